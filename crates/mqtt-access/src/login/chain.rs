//! Members in their order.

use std::sync::Arc;

use mqtt_codec::ReasonCode;
use mqtt_session::AuthenticationMethod;

use super::{Applicant, Authenticator, Decision, Grant};

/// Members that are asked one after the other. The first one that allows or denies decides; at the end of the chain the
/// answer is no.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_access::login::{Answer, Applicant, Authenticator, Chain, Decision, Grant};
///
/// #[derive(Debug)]
/// struct Everybody;
///
/// impl Authenticator for Everybody {
///     fn name(&self) -> &str {
///         "everybody"
///     }
///     fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
///         Box::pin(async move { Decision::Allow(Grant::named(applicant.username)) })
///     }
/// }
///
/// let chain = Chain::new(vec![Arc::new(Everybody)]);
/// assert!(chain.member("everybody").is_some() && chain.member("nobody").is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Chain {
    members: Vec<Arc<dyn Authenticator>>,
}

impl Chain {
    /// These members in this order. Without any, nobody is admitted.
    #[must_use]
    pub fn new(members: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { members }
    }

    /// The same members and then this one, if there is one.
    #[must_use]
    pub fn followed_by(mut self, member: Option<Arc<dyn Authenticator>>) -> Self {
        self.members.extend(member);
        self
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Arc<dyn Authenticator>> {
        self.members.iter().find(|member| member.name() == name)
    }

    /// Whether any member can tell a right name from a wrong one at present.
    #[must_use]
    pub fn checks_names(&self) -> bool {
        self.members.iter().any(|member| member.checks_names())
    }

    /// Asks the members; the answer comes with the one that admitted the client.
    ///
    /// # Errors
    /// Why the client is refused.
    pub async fn decide<'a>(
        &'a self,
        applicant: &'a Applicant<'a>,
    ) -> Result<(&'a dyn Authenticator, Grant), ReasonCode> {
        for member in &self.members {
            match member.decide(applicant).await {
                Decision::Allow(grant) => return Ok((&**member, grant)),
                Decision::Deny(reason) => return Err(reason),
                Decision::Pass => {}
            }
        }
        Err(nobody_knows(applicant))
    }

    /// A method of enhanced authentication that one of the members offers.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<Arc<dyn AuthenticationMethod>> {
        self.members.iter().find_map(|member| member.method(name))
    }
}

impl FromIterator<Arc<dyn Authenticator>> for Chain {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Authenticator>>>(members: I) -> Self {
        Self::new(members.into_iter().collect())
    }
}

/// A client that shows nothing has failed no login.
fn nobody_knows(applicant: &Applicant<'_>) -> ReasonCode {
    if applicant.shows_nothing() { ReasonCode::NotAuthorized } else { ReasonCode::BadUserNameOrPassword }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};
    use std::time::{Instant, SystemTime};

    use mqtt_codec::Version;

    use super::super::{Answer, Moment};
    use super::*;

    #[derive(Debug)]
    struct Says(&'static str, Decision, Arc<Mutex<Vec<&'static str>>>);

    impl Authenticator for Says {
        fn name(&self) -> &str {
            self.0
        }

        fn decide<'a>(&'a self, _: &'a Applicant<'a>) -> Answer<'a> {
            self.2.lock().expect("one thread").push(self.0);
            Box::pin(ready(self.1.clone()))
        }
    }

    /// Who admitted or why not, and who was asked.
    fn ask(members: &[(&'static str, Decision)], username: Option<&str>) -> (String, Vec<&'static str>) {
        let asked = Arc::default();
        let member = |(name, decision): &(&'static str, Decision)| {
            Arc::new(Says(name, decision.clone(), Arc::clone(&asked))) as Arc<dyn Authenticator>
        };
        let chain: Chain = members.iter().map(member).collect();
        let applicant = Applicant {
            client_id: "c",
            version: Version::V5,
            address: None,
            listener: "door",
            anonymous_allowed: false,
            certificate_subject: None,
            certificate_common_name: None,
            username,
            password: None,
            proven_by: None,
            must_wait: false,
            now: Moment { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH },
        };
        let answer = pin!(chain.decide(&applicant)).poll(&mut Context::from_waker(Waker::noop()));
        let said = match answer {
            Poll::Ready(Ok((member, _))) => member.name().to_owned(),
            Poll::Ready(Err(reason)) => format!("{reason:?}"),
            Poll::Pending => unreachable!("nobody waits here"),
        };
        let asked = asked.lock().expect("one thread").clone();
        (said, asked)
    }

    #[test]
    fn the_first_member_with_an_opinion_decides() {
        let allow = || Decision::Allow(Grant::default());
        let deny = || Decision::Deny(ReasonCode::Banned);
        let pass = || Decision::Pass;
        assert_eq!(ask(&[("a", pass()), ("b", allow()), ("c", deny())], None), ("b".into(), vec!["a", "b"]));
        assert_eq!(ask(&[("a", deny()), ("b", allow())], None), ("Banned".into(), vec!["a"]));
    }

    #[test]
    fn the_end_of_the_chain_denies() {
        assert_eq!(ask(&[], None).0, "NotAuthorized");
        assert_eq!(ask(&[("a", Decision::Pass)], None).0, "NotAuthorized");
        assert_eq!(ask(&[("a", Decision::Pass)], Some("eve")).0, "BadUserNameOrPassword");
    }
}
