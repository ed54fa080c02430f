//! Users and their rules in a database: the parts that are the same for all of them.

mod found;
mod template;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::acl::Policy;
use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};
use mqtt_access::password::PasswordHash;
use mqtt_codec::ReasonCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::recall::Recall;
use crate::{Bounds, Checker};

pub use found::{Found, ROWS_MAX};
pub use template::Who;

/// A database that knows users.
///
/// ```
/// use mqtt_access::acl::Policy;
/// use mqtt_access::password::PasswordHash;
/// use mqtt_login::lookup::{Found, Looked, Source, Who};
///
/// /// A table in memory, in the place of a database.
/// #[derive(Debug)]
/// struct Table(Vec<(String, String)>);
///
/// impl Source for Table {
///     fn name(&self) -> &'static str {
///         "table"
///     }
///     fn user<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Found>> {
///         let row = self.0.iter().find(|(name, _)| name == who.username);
///         let found = row.map(|(_, hash)| {
///             let hash = PasswordHash::parse(hash).map_err(|error| error.to_string())?;
///             Ok(Found { hash, is_superuser: false })
///         });
///         Box::pin(async move { found.transpose() })
///     }
///     fn rules<'a>(&'a self, _: Who<'a>) -> Looked<'a, Option<Policy>> {
///         Box::pin(async { Ok(None) })
///     }
/// }
/// # let _ = Table(Vec::new());
/// ```
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What the configuration calls it.
    fn name(&self) -> &'static str;

    /// The user's entry; `None` if there is none. The error is a sentence for the log, without secrets.
    fn user<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Found>>;

    /// The rules that the database has for it; `None` if it is not asked for rules.
    fn rules<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Policy>>;
}

/// An answer of a database.
pub type Looked<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Admits users that a database knows, with their password, and asks it for their rules. The bounds are those of its
/// questions; password checks have their own.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mqtt_access::acl::Policy;
/// use mqtt_access::password::PasswordHash;
/// use mqtt_login::lookup::{Found, Looked, Lookup, Source, Who};
/// use mqtt_login::{Bounds, Checker, CheckerBounds};
/// #
/// # /// A table in memory, in the place of a database.
/// # #[derive(Debug)]
/// # struct Table(Vec<(String, String)>);
/// #
/// # impl Source for Table {
/// #     fn name(&self) -> &'static str {
/// #         "table"
/// #     }
/// #     fn user<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Found>> {
/// #         let row = self.0.iter().find(|(name, _)| name == who.username);
/// #         let found = row.map(|(_, hash)| {
/// #             let hash = PasswordHash::parse(hash).map_err(|error| error.to_string())?;
/// #             Ok(Found { hash, is_superuser: false })
/// #         });
/// #         Box::pin(async move { found.transpose() })
/// #     }
/// #     fn rules<'a>(&'a self, _: Who<'a>) -> Looked<'a, Option<Policy>> {
/// #         Box::pin(async { Ok(None) })
/// #     }
/// # }
/// let checker = Arc::new(Checker::new(CheckerBounds::default()).expect("random numbers"));
/// let source = Arc::new(Table(Vec::new()));
/// let lookup = Lookup::new(source, checker, Bounds::default(), Duration::from_secs(60)).expect("random numbers");
/// # let _ = lookup;
/// ```
pub struct Lookup {
    source: Arc<dyn Source>,
    checker: Arc<Checker>,
    recall: Recall<Grant>,
    /// The hash that was found last: checking a password against it takes as long for a user who does not exist.
    nobody: Mutex<PasswordHash>,
    deadline: Duration,
    /// Both questions that are asked and those that wait.
    admitted: Semaphore,
    asking: Semaphore,
}

/// Logins that are remembered at most.
const RECALL_MAX: usize = 10_000;

impl Lookup {
    /// Asks this database, and remembers for a time whom it has admitted.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(
        source: Arc<dyn Source>,
        checker: Arc<Checker>,
        bounds: Bounds,
        remembered: Duration,
    ) -> Result<Self, getrandom::Error> {
        let nobody = Mutex::new(PasswordHash::new(b"")?);
        Ok(Self {
            source,
            checker,
            recall: Recall::new(remembered, RECALL_MAX)?,
            nobody,
            deadline: bounds.deadline,
            admitted: Semaphore::new(bounds.concurrent_max + bounds.waiting_max),
            asking: Semaphore::new(bounds.concurrent_max),
        })
    }

    async fn ask(&self, applicant: &Applicant<'_>) -> Decision {
        let (Some(username), Some(password), None) =
            (applicant.username, applicant.password, applicant.proven_by)
        else {
            return Decision::Pass;
        };
        let who = Who { username, client_id: applicant.client_id };
        let digest = self.recall.digest(&who.with(password));
        if let Some((grant, _)) = self.recall.get(&digest, applicant.now.instant) {
            return Decision::Allow(grant);
        }
        if applicant.must_wait {
            return Decision::Deny(ReasonCode::ConnectionRateExceeded);
        }
        let found = match self.answer(self.source.user(who)).await {
            Ok(found) => found,
            Err(reason) => return Decision::Deny(reason),
        };
        let Some(found) = found else { return self.pretend(password).await };
        let decision = self.check(who, password, found, applicant).await;
        if let Decision::Allow(grant) = &decision {
            self.recall.put(digest, grant, grant.expires_at, applicant.now.instant);
        }
        decision
    }

    /// Others may know a user who is not here, after the time that a check takes.
    async fn pretend(&self, password: &[u8]) -> Decision {
        let nobody = self.nobody.lock().clone();
        match self.checker.verify(&nobody, password).await {
            Err(reason) => Decision::Deny(reason),
            Ok(_) => Decision::Pass,
        }
    }

    async fn check(
        &self,
        who: Who<'_>,
        password: &[u8],
        found: Found,
        applicant: &Applicant<'_>,
    ) -> Decision {
        *self.nobody.lock() = found.hash.clone();
        let now = applicant.now.instant;
        if !self.checker.knows(who.username, &found.hash, password, now) {
            match self.checker.verify(&found.hash, password).await {
                Err(reason) => return Decision::Deny(reason),
                Ok(false) => return Decision::Deny(ReasonCode::BadUserNameOrPassword),
                Ok(true) => self.checker.remember(who.username, &found.hash, password, now),
            }
        }
        match self.answer(self.source.rules(who)).await {
            Err(reason) => Decision::Deny(reason),
            Ok(rules) => Decision::Allow(Grant {
                rules: rules.map(Arc::new),
                is_superuser: found.is_superuser,
                ..Grant::named(Some(who.username))
            }),
        }
    }

    /// The answer to a question, within the bounds.
    async fn answer<T>(&self, question: Looked<'_, T>) -> Result<T, ReasonCode> {
        let member = self.source.name();
        let Ok(_place) = self.admitted.try_acquire() else {
            tracing::warn!(member, "too many logins wait for their answer");
            return Err(ReasonCode::ServerBusy);
        };
        let answer = async {
            let _turn = self.asking.acquire().await.map_err(|error| error.to_string())?;
            question.await
        };
        let answer = tokio::time::timeout(self.deadline, answer).await;
        answer.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(|problem| {
            tracing::warn!(member, problem, "a login cannot be looked up");
            ReasonCode::ServerUnavailable
        })
    }
}

impl Authenticator for Lookup {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(self.ask(applicant))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lookup").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests;
