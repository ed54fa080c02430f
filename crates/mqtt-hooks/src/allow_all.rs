use mqtt_broker::{Answer, Authentication, Events, Hooks, Login};

/// Admits everybody. Access rules on topics still apply.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Hooks for AllowAll {
    fn interests(&self) -> Events {
        Events::AUTHENTICATE
    }

    fn authenticate<'a>(&'a self, _: &'a Login<'a>) -> Answer<'a, Authentication> {
        Box::pin(std::future::ready(Authentication::Admit))
    }
}
