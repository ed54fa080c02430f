//! Which methods a hook leaves out: those that are called for each packet or message need not be asked twice.
//!
//! The default of such a method notes for which type it ran, and it runs only for types without a method of their own. A hook
//! that passes questions on to another one has its own, whatever the other has.

use std::any::TypeId;
use std::cell::Cell;

use super::{Events, Hooks};

thread_local! {
    /// The type whose default ran last, and for which event.
    static LAST: Cell<Option<(TypeId, Events)>> = const { Cell::new(None) };
}

/// To be called by the default of a method.
#[cold]
pub(super) fn note<H: Hooks + ?Sized>(event: Events) {
    LAST.set(Some((TypeId::of::<H>(), event)));
}

/// Whether a hook of this type leaves out what the call is about, and what the call returned.
pub(super) fn watch<T>(hook: TypeId, event: Events, call: impl FnOnce() -> T) -> (bool, T) {
    LAST.set(None);
    let returned = call();
    (LAST.get() == Some((hook, event)), returned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::chain::Chain;
    use super::*;

    /// Wants everything and has no method.
    #[derive(Debug)]
    struct Empty;

    impl Hooks for Empty {
        fn interests(&self) -> Events {
            Events::ALL
        }
    }

    /// Passes one question on.
    #[derive(Debug)]
    struct Wrapper(Empty);

    impl Hooks for Wrapper {
        fn interests(&self) -> Events {
            Events::SELECT_MEMBER | Events::DROPPED
        }

        fn select_member(&self, topic: &str, members: &[&str]) -> Option<usize> {
            self.0.select_member(topic, members)
        }
    }

    fn chain(hooks: Vec<Arc<dyn Hooks>>) -> Chain {
        let chain = Chain::new(hooks);
        assert!(chain.wants(Events::SELECT_MEMBER | Events::DROPPED));
        for _ in 0..2 {
            assert_eq!(chain.select_member("t", &["a"]), None);
            chain.tell(Events::DROPPED, |hook| {
                hook.dropped(mqtt_session::DropReason::SessionEnded, "c", "t", mqtt_codec::QoS::AtMostOnce);
            });
        }
        chain
    }

    #[test]
    fn what_a_hook_leaves_out_is_not_wanted_any_more_after_the_first_time() {
        let chain = chain(vec![Arc::new(Empty)]);
        assert!(!chain.wants(Events::SELECT_MEMBER) && !chain.wants(Events::DROPPED));
        assert!(chain.wants(Events::PUBLISH | Events::CONNECT), "nobody has asked yet");
    }

    #[test]
    fn a_hook_that_passes_a_question_on_is_always_asked() {
        let chain = chain(vec![Arc::new(Empty), Arc::new(Wrapper(Empty))]);
        assert!(chain.wants(Events::SELECT_MEMBER) && !chain.wants(Events::DROPPED));
    }
}
