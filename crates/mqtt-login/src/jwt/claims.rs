//! The inside of a token: what it says, and whether that is enough.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mqtt_access::acl::Policy;
use mqtt_access::login::{Applicant, Grant, Moment};
use serde_json::{Map, Value};

use super::token::Refused;
use crate::permissions::read_permissions;

/// What is asked of the claims, and which ones matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Whether a token must have an end (`exp`).
    pub expiry_required: bool,
    /// `iss` must be one of these; empty for any.
    pub issuers: Vec<String>,
    /// `aud` must have one of these; empty for any.
    pub audiences: Vec<String>,
    /// The claim that is the user name. It must be there, and a name in the CONNECT must equal it.
    pub username_claim: String,
    /// Further claims as `CLAIM=TEXT`, in which `${username}` and `${clientid}` stand for what the client says.
    pub required: Vec<String>,
    /// The claim with rules; empty for none.
    pub acl_claim: String,
    /// The claim with groups: a text or a list of texts; empty for none.
    pub groups_claim: String,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(5),
            expiry_required: true,
            issuers: Vec::new(),
            audiences: Vec::new(),
            username_claim: "sub".to_owned(),
            required: Vec::new(),
            acl_claim: "acl".to_owned(),
            groups_claim: "groups".to_owned(),
        }
    }
}

/// The claims of a token whose signature is right.
///
/// ```
/// use mqtt_login::jwt::{Checks, Claims};
///
/// let claims = serde_json::json!({"sub": "anna"});
/// let claims = Claims::new(claims.as_object().expect("an object").clone());
/// let checks = Checks { username_claim: "sub".into(), ..Checks::default() };
/// assert_eq!(claims.username(&checks), Some("anna"));
/// ```
#[derive(Debug)]
pub struct Claims(Map<String, Value>);

/// Groups that are taken from one token.
const GROUPS_MAX: usize = 256;
/// A login that lasts longer has no end.
const LASTS_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Claims {
    /// These claims; that somebody may be believed who says so is the caller's matter.
    #[must_use]
    pub fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// The claims of a token whose signature nobody has looked at, or of a JSON object: to explain them, never to believe them.
    /// `None` if it is neither.
    #[must_use]
    pub fn read_unverified(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let claims = match text.split(|byte| *byte == b'.').collect::<Vec<_>>()[..] {
            [_, claims, _] if !text.starts_with(b"{") => URL_SAFE_NO_PAD.decode(claims).ok()?,
            _ => text.to_owned(),
        };
        serde_json::from_slice(&claims).ok().map(Self)
    }

    /// The user name.
    #[must_use]
    pub fn username(&self, checks: &Checks) -> Option<&str> {
        self.text(&checks.username_claim).filter(|name| !name.is_empty() && !name.contains('\0'))
    }

    /// The client's own rules.
    ///
    /// # Errors
    /// They cannot be understood.
    pub fn rules(&self, checks: &Checks) -> Result<Option<Policy>, Refused> {
        let acl = self.at(&checks.acl_claim);
        acl.map(|acl| read_permissions("token", acl)).transpose().map_err(Refused::Rules)
    }

    /// What they grant to a client whose CONNECT has this user name.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn grant(
        &self,
        checks: &Checks,
        applicant: &Applicant<'_>,
        username: Option<&str>,
    ) -> Result<Grant, Refused> {
        let expires_at = self.check_times(checks, applicant.now)?;
        self.check_one_of("iss", &checks.issuers)?;
        self.check_one_of("aud", &checks.audiences)?;
        let name =
            self.username(checks).ok_or_else(|| Refused::Claim(checks.username_claim.as_str().into()))?;
        if username.is_some_and(|shown| shown != name) {
            return Err(Refused::Claim(checks.username_claim.as_str().into()));
        }
        self.check_required(checks, name, applicant.client_id)?;
        Ok(Grant {
            username: Some(name.into()),
            expires_at,
            groups: self.groups(checks),
            rules: self.rules(checks)?.map(Into::into),
            ..Grant::default()
        })
    }

    /// When the login ends.
    fn check_times(&self, checks: &Checks, now: Moment) -> Result<Option<std::time::Instant>, Refused> {
        let since_epoch = now.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from > since_epoch + checks.leeway) {
                return Err(Refused::NotYet);
            }
        }
        let Some(end) = self.time("exp")? else {
            return if checks.expiry_required { Err(Refused::Claim("exp".into())) } else { Ok(None) };
        };
        let left = end.saturating_add(checks.leeway).saturating_sub(since_epoch);
        match left {
            Duration::ZERO => Err(Refused::Expired),
            left if left > LASTS_MAX => Ok(None),
            left => Ok(now.instant.checked_add(left)),
        }
    }

    /// A NumericDate (RFC 7519, section 2).
    fn time(&self, name: &str) -> Result<Option<Duration>, Refused> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
        let seconds = seconds.ok_or_else(|| Refused::Claim(name.into()))?;
        Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
    }

    fn check_one_of(&self, name: &str, asked: &[String]) -> Result<(), Refused> {
        let is_asked = |value: &Value| value.as_str().is_some_and(|text| asked.iter().any(|one| one == text));
        let holds = match self.0.get(name) {
            _ if asked.is_empty() => true,
            Some(Value::Array(list)) if name == "aud" => list.iter().any(is_asked),
            Some(value) => is_asked(value),
            None => false,
        };
        if holds { Ok(()) } else { Err(Refused::Claim(name.into())) }
    }

    fn check_required(&self, checks: &Checks, username: &str, client_id: &str) -> Result<(), Refused> {
        for line in &checks.required {
            let (claim, asked) = line.split_once('=').unwrap_or((line, ""));
            let asked = asked.replace("${clientid}", client_id).replace("${username}", username);
            if self.text(claim) != Some(&asked) {
                return Err(Refused::Claim(claim.into()));
            }
        }
        Ok(())
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self, checks: &Checks) -> Box<[Box<str>]> {
        match self.at(&checks.groups_claim) {
            Some(Value::String(group)) => [group.as_str().into()].into(),
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).take(GROUPS_MAX).map(Into::into).collect()
            }
            _ => [].into(),
        }
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.at(claim)?.as_str()
    }

    /// A claim by its name, or by a path through objects such as `realm_access.roles`.
    fn at(&self, claim: &str) -> Option<&Value> {
        if claim.is_empty() {
            return None;
        }
        let deep = || {
            let mut names = claim.split('.');
            let first = self.0.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        };
        self.0.get(claim).or_else(deep)
    }
}
