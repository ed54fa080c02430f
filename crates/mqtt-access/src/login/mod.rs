//! Who somebody is: members of a chain that are asked in turn, of which the first one with an opinion decides.

mod chain;
mod grant;

use core::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use mqtt_codec::{ReasonCode, Version};
use mqtt_session::AuthenticationMethod;

pub use chain::Chain;
pub use grant::{Grant, Proof};

/// What a client shows when it connects.
#[derive(Clone, Copy)]
pub struct Applicant<'a> {
    /// Client identifier, as sent or as assigned.
    pub client_id: &'a str,
    /// Protocol version.
    pub version: Version,
    /// Where it comes from, if that is known.
    pub address: Option<SocketAddr>,
    /// Name of the listener it came through.
    pub listener: &'a str,
    /// Whether that listener admits clients that show nothing.
    pub anonymous_allowed: bool,
    /// Subject of the certificate that it proved to own, as RFC 4514 writes it.
    pub certificate_subject: Option<&'a str>,
    /// Common name in that certificate.
    pub certificate_common_name: Option<&'a str>,
    /// User name: what the CONNECT says, or what `proven_by` has proved.
    pub username: Option<&'a str>,
    /// Password, if it gave one.
    pub password: Option<&'a [u8]>,
    /// What has proved the user name already, if anything has.
    pub proven_by: Option<ProvenBy<'a>>,
    /// Whether too many logins of this user have failed. Nothing that can be guessed is looked at then, unless the answer is
    /// still known: the decision is `Deny` with [`ReasonCode::ConnectionRateExceeded`].
    pub must_wait: bool,
    /// The time.
    pub now: Moment,
}

/// What has proved a user name before the chain is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvenBy<'a> {
    /// The certificate of the connection.
    Certificate,
    /// An exchange of this method of enhanced authentication.
    Method(&'a str),
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For durations.
    pub instant: Instant,
    /// For dates that others have set.
    pub wall: SystemTime,
}

impl fmt::Debug for Applicant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applicant")
            .field("client_id", &self.client_id)
            .field("address", &self.address)
            .field("listener", &self.listener)
            .field("proven_by", &self.proven_by)
            .finish_non_exhaustive()
    }
}

impl Applicant<'_> {
    /// Whether it shows neither a name nor a password.
    #[must_use]
    pub fn shows_nothing(&self) -> bool {
        self.username.is_none() && self.password.is_none()
    }
}

/// What one member thinks of a login.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It is admitted.
    Allow(Grant),
    /// It is refused, and nobody else is asked. A wrong secret is [`ReasonCode::BadUserNameOrPassword`], which counts as a
    /// failed login of the user and the address; a service that cannot be reached is [`ReasonCode::ServerUnavailable`].
    Deny(ReasonCode),
    /// This member does not know: the next one is asked.
    Pass,
}

/// A decision that may take its time.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

/// One member of a chain.
///
/// ```
/// use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};
/// use mqtt_codec::ReasonCode;
///
/// /// Admits devices whose client identifier begins with their user name.
/// #[derive(Debug)]
/// struct Devices;
///
/// impl Authenticator for Devices {
///     fn name(&self) -> &str {
///         "devices"
///     }
///     fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
///         let decision = match applicant.username {
///             Some(name) if applicant.client_id.starts_with(name) => Decision::Allow(Grant::named(Some(name))),
///             Some(_) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
///             None => Decision::Pass,
///         };
///         Box::pin(async move { decision })
///     }
/// }
/// # let _ = Devices;
/// ```
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// What the configuration calls it.
    fn name(&self) -> &str;

    /// Whether it can tell a right name from a wrong one at present. If no member before the anonymous one can, a name
    /// that a client shows there counts for nothing.
    fn checks_names(&self) -> bool {
        true
    }

    /// Decides. The future must not block; it is dropped when the client goes away or has waited for too long. What it
    /// cannot find out it denies.
    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a>;

    /// A method of enhanced authentication that proves a name to this member.
    fn method(&self, name: &str) -> Option<Arc<dyn AuthenticationMethod>> {
        let _ = name;
        None
    }

    /// Whether a client that was admitted with this may stay, asked after a change of what members know. Must not block.
    fn still_admits(&self, grant: &Grant) -> bool {
        let _ = grant;
        true
    }
}
