//! Bounds for members that ask somebody else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};
use mqtt_codec::ReasonCode;
use mqtt_session::AuthenticationMethod;

use crate::turns::{NoTurn, Turns};

/// How many questions a member that asks another service may have, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Questions under way at a time.
    pub concurrent_max: usize,
    /// Logins that may wait until one of those ends; more are refused with [`ReasonCode::ServerBusy`].
    pub waiting_max: usize,
    /// From the question to the answer, waiting included; then the login is refused with
    /// [`ReasonCode::ServerUnavailable`].
    pub deadline: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { concurrent_max: 32, waiting_max: 1000, deadline: Duration::from_secs(5) }
    }
}

/// A member within bounds. Whatever it cannot answer in time is refused.
///
/// ```
/// use std::time::Duration;
/// use mqtt_access::login::Authenticator as _;
/// use mqtt_login::{Anonymous, Bounded, Bounds};
///
/// let bounds = Bounds { deadline: Duration::from_secs(1), ..Bounds::default() };
/// let member = Bounded::new(Anonymous { names_are_checked: false }, bounds);
/// assert_eq!(member.name(), "anonymous");
/// ```
pub struct Bounded<A> {
    inner: A,
    turns: Turns,
}

impl<A: Authenticator> Bounded<A> {
    /// Puts bounds around a member.
    #[must_use]
    pub fn new(inner: A, bounds: Bounds) -> Self {
        Self { inner, turns: Turns::new(bounds) }
    }

    async fn ask(&self, applicant: &Applicant<'_>) -> Decision {
        let member = self.inner.name();
        match self.turns.take(self.inner.decide(applicant)).await {
            Ok(decision) => decision,
            Err(NoTurn::Busy) => {
                tracing::warn!(member, "too many logins wait for their answer");
                Decision::Deny(ReasonCode::ServerBusy)
            }
            Err(NoTurn::Late) => {
                tracing::warn!(member, deadline = ?self.turns.deadline(), "no answer about a login in time");
                Decision::Deny(ReasonCode::ServerUnavailable)
            }
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Bounded<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bounded").field(&self.inner).finish()
    }
}

impl<A: Authenticator> Authenticator for Bounded<A> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn checks_names(&self) -> bool {
        self.inner.checks_names()
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(self.ask(applicant))
    }

    fn method(&self, name: &str) -> Option<Arc<dyn AuthenticationMethod>> {
        self.inner.method(name)
    }

    fn still_admits(&self, grant: &Grant) -> bool {
        self.inner.still_admits(grant)
    }
}
