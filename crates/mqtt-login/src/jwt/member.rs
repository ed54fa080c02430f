//! Tokens as a member of the chain.

#[cfg(feature = "http")]
use std::sync::Arc;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};

use super::claims::{Checks, Claims};
use super::keys::KeySet;
#[cfg(feature = "http")]
use super::remote::RemoteKeys;
use super::token::{Refused, header, verify};

/// How tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Where they are.
    pub field: TokenField,
    /// The longest one, in bytes.
    pub bytes_max: usize,
    /// What is asked of their claims.
    pub checks: Checks,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { field: TokenField::Password, bytes_max: 16 * 1024, checks: Checks::default() }
    }
}

/// The field of the CONNECT that holds the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenField {
    /// The password.
    Password,
    /// The user name, which then says nothing else.
    Username,
}

/// Admits clients with a token. What does not look like a token is left to others; a token that is not good is refused.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_access::login::Chain;
/// use mqtt_login::jwt::{Jwt, KeySet, TokenSettings};
///
/// let jwt = Jwt::new(KeySet::secret(&[7; 32])?, TokenSettings::default());
/// let chain = Chain::new(vec![Arc::new(jwt)]);
/// assert!(chain.member("jwt").is_some());
/// # Ok::<(), mqtt_login::jwt::KeyError>(())
/// ```
#[derive(Debug)]
pub struct Jwt {
    keys: KeySet,
    #[cfg(feature = "http")]
    remote: Option<Arc<RemoteKeys>>,
    settings: TokenSettings,
}

impl Jwt {
    /// Its name in a chain.
    pub const NAME: &'static str = "jwt";

    /// Admits with tokens that these keys have signed.
    #[must_use]
    pub fn new(keys: KeySet, settings: TokenSettings) -> Self {
        Self {
            keys,
            #[cfg(feature = "http")]
            remote: None,
            settings,
        }
    }

    /// Admits also with tokens that keys from elsewhere have signed.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn and_remote(mut self, remote: Arc<RemoteKeys>) -> Self {
        self.remote = Some(remote);
        self
    }

    async fn check(&self, applicant: &Applicant<'_>) -> Decision {
        let (token, username) = match self.settings.field {
            TokenField::Password => (applicant.password, applicant.username),
            TokenField::Username => (applicant.username.map(str::as_bytes), None),
        };
        let Some(token) = token else { return Decision::Pass };
        match self.admit(token, applicant, username).await {
            Ok(None) => Decision::Pass,
            Ok(Some(grant)) => Decision::Allow(grant),
            Err(refused) => {
                tracing::info!(client_id = applicant.client_id, why = %refused, "token refused");
                Decision::Deny(refused.reason())
            }
        }
    }

    async fn admit(
        &self,
        token: &[u8],
        applicant: &Applicant<'_>,
        username: Option<&str>,
    ) -> Result<Option<Grant>, Refused> {
        if token.len() > self.settings.bytes_max {
            // Whatever begins like a JSON object in base64.
            return if token.starts_with(b"eyJ") { Err(Refused::TooLong) } else { Ok(None) };
        }
        let Some(header) = header(token) else { return Ok(None) };
        let claims = match verify(token, &header, &self.keys) {
            #[cfg(feature = "http")]
            Err(refused) if self.remote.is_some() => {
                self.ask_remote(token, &header, applicant, refused).await?
            }
            verified => verified?,
        };
        Claims::new(claims).grant(&self.settings.checks, applicant, username).map(Some)
    }

    #[cfg(feature = "http")]
    async fn ask_remote(
        &self,
        token: &[u8],
        header: &super::token::Header,
        applicant: &Applicant<'_>,
        refused: Refused,
    ) -> Result<serde_json::Map<String, serde_json::Value>, Refused> {
        let Some(remote) = &self.remote else { return Err(refused) };
        let now = applicant.now.instant;
        match verify(token, header, &*remote.keys(now).await?) {
            Err(Refused::UnknownKey) => match remote.newer_keys(now).await {
                Some(keys) => verify(token, header, &keys),
                None => Err(Refused::UnknownKey),
            },
            verified => verified,
        }
    }
}

impl Authenticator for Jwt {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(self.check(applicant))
    }
}
