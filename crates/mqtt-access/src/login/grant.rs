//! What a login brings along.

use core::fmt;
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use crate::acl::Policy;

/// Under what conditions a client is admitted.
///
/// ```
/// use mqtt_access::login::Grant;
///
/// let grant = Grant { is_superuser: true, ..Grant::named(Some("olga")) };
/// assert_eq!(grant.username.as_deref(), Some("olga"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The user name it has from now on; `None` for an anonymous client.
    pub username: Option<Arc<str>>,
    /// When the login ends.
    pub expires_at: Option<Instant>,
    /// Groups (roles) it belongs to, besides those that the rules give to its user.
    pub groups: Box<[Box<str>]>,
    /// Rules of its own, which come before those for everybody. With them, what no rule of either kind allows is denied.
    pub rules: Option<Arc<Policy>>,
    /// Whether no rule about topics applies to it.
    pub is_superuser: bool,
    /// What the member wants to see again in [`still_admits`](super::Authenticator::still_admits).
    pub proof: Option<Proof>,
}

impl Grant {
    /// Admits a client under this name, without an end and without anything more.
    #[must_use]
    pub fn named(username: Option<&str>) -> Self {
        Self { username: username.map(Into::into), ..Self::default() }
    }
}

/// Anything that a member remembers of a login. Never shown.
///
/// ```
/// use mqtt_access::login::{Grant, Proof};
///
/// /// The key that a token was signed with.
/// struct Key(u32);
///
/// let grant = Grant { proof: Some(Proof::new(Key(7))), ..Grant::named(Some("anna")) };
/// let key = grant.proof.as_ref().and_then(|proof| proof.get::<Key>());
/// assert!(key.is_some_and(|key| key.0 == 7));
/// ```
#[derive(Clone)]
pub struct Proof(Arc<dyn Any + Send + Sync>);

impl Proof {
    /// Keeps a value.
    #[must_use]
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Self(Arc::new(value))
    }

    /// The value, if it is of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof")
    }
}
