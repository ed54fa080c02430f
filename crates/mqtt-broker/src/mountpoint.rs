//! Where the clients of a listener are mounted in the topic tree.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mqtt_codec::ReasonCode;
use mqtt_session::Refusal;
use mqtt_topic::{Mountpoint, MountpointError, Unmountable};

/// The mountpoint of each client of a listener: a topic prefix such as `devices/${username}/`, in which `${username}` and
/// `${clientid}` stand for what the client was admitted as.
///
/// ```
/// let template: mqtt_broker::MountpointTemplate = "devices/${clientid}/".parse()?;
/// assert_eq!(template.to_string(), "devices/${clientid}/");
/// # Ok::<(), mqtt_broker::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountpointTemplate {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Username,
    ClientId,
}

/// Why a text is no template of a mountpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// Something in `${}` that nothing is known of.
    UnknownPlaceholder(Box<str>),
    /// A `${` without its `}`.
    OpenPlaceholder,
    /// Whatever the placeholders stand for, it is no mountpoint.
    Mountpoint(MountpointError),
}

impl FromStr for MountpointTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, after) = behind.split_once('}').ok_or(TemplateError::OpenPlaceholder)?;
            let placeholder = match name {
                "username" => Part::Username,
                "clientid" => Part::ClientId,
                name => return Err(TemplateError::UnknownPlaceholder(name.into())),
            };
            parts.extend([Part::Text(before.into()), placeholder]);
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        let template = Self { text: text.into(), parts: parts.into() };
        let example = template.filled_with(|_| Ok::<_, MountpointError>("x"));
        example.and_then(Mountpoint::parse).map_err(TemplateError::Mountpoint)?;
        Ok(template)
    }
}

impl MountpointTemplate {
    fn filled_with<'a, E>(&'a self, value: impl Fn(&Part) -> Result<&'a str, E>) -> Result<String, E> {
        let mut filled = String::new();
        for part in &self.parts {
            filled.push_str(match part {
                Part::Text(text) => text,
                placeholder => value(placeholder)?,
            });
        }
        Ok(filled)
    }

    /// The mountpoint of one client.
    ///
    /// # Errors
    /// A name that the template needs is missing, or would lead to another place than one level of the client's own.
    pub(crate) fn mountpoint(
        &self,
        client_id: &str,
        username: Option<&str>,
    ) -> Result<Arc<Mountpoint>, Refusal> {
        let value = |part: &Part| match part {
            Part::Username => level(username, ReasonCode::NotAuthorized, "user name"),
            _ => level(Some(client_id), ReasonCode::ClientIdentifierNotValid, "client identifier"),
        };
        let refused = |error: MountpointError| refusal(ReasonCode::NotAuthorized, error.to_string());
        Mountpoint::parse(self.filled_with(value)?).map(Arc::new).map_err(refused)
    }
}

/// A name that is one level of a topic. With a `/` in it, a client could sit inside the place of another one.
fn level<'a>(name: Option<&'a str>, reason: ReasonCode, what: &str) -> Result<&'a str, Refusal> {
    let name = name.ok_or_else(|| refusal(reason, format!("a {what} is needed here")))?;
    if name.is_empty() || name.contains(['/', '+', '#']) || name.starts_with('$') {
        return Err(refusal(reason, format!("the {what} cannot be part of a topic here")));
    }
    Ok(name)
}

fn refusal(reason: ReasonCode, text: String) -> Refusal {
    Refusal { reason, text: Some(text.into()), server_reference: None }
}

/// What a client is told about a topic that it cannot have; `invalid` is the word for one that is too long.
pub(crate) fn reason_of(unmountable: Unmountable, invalid: ReasonCode) -> ReasonCode {
    match unmountable {
        Unmountable::Dollar => ReasonCode::NotAuthorized,
        Unmountable::TooLong => invalid,
    }
}

impl fmt::Display for MountpointTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPlaceholder(name) => {
                write!(f, "${{{name}}} is unknown: there are ${{username}} and ${{clientid}}")
            }
            Self::OpenPlaceholder => f.write_str("a `${` has no `}`"),
            Self::Mountpoint(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, username: Option<&str>, expected: Result<&str, ReasonCode>) {
        let template: MountpointTemplate = template.parse().expect("a template");
        let mountpoint = template.mountpoint("c1", username);
        let mountpoint = mountpoint.as_ref().map(|it| it.as_str()).map_err(|refusal| refusal.reason);
        assert_eq!(mountpoint, expected, "{template} {username:?}");
    }

    #[test]
    fn placeholders_stand_for_one_level_each() {
        check("site/", None, Ok("site/"));
        check("d/${clientid}/", None, Ok("d/c1/"));
        check("${username}/", Some("ann"), Ok("ann/"));
        check("a/u-${username}-${clientid}/", Some("ann"), Ok("a/u-ann-c1/"));
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        for name in [None, Some(""), Some("a/b"), Some("+"), Some("a#"), Some("$SYS")] {
            check("${username}/", name, Err(ReasonCode::NotAuthorized));
            check("site/", name, Ok("site/"));
        }
        let template: MountpointTemplate = "${clientid}/".parse().expect("a template");
        let refused = template.mountpoint("a/b", None).expect_err("two levels");
        assert_eq!(refused.reason, ReasonCode::ClientIdentifierNotValid);
    }

    #[test]
    fn wrong_templates_say_what_is_wrong() {
        for (text, expected) in [
            ("a/${user}/", "${user} is unknown: there are ${username} and ${clientid}"),
            ("a/${username/", "a `${` has no `}`"),
            ("a", "a mountpoint ends with `/`"),
            ("${username}", "a mountpoint ends with `/`"),
            ("$SYS/", "a mountpoint does not begin with `$`"),
            ("a/+/", "a mountpoint holds no `+`, no `#` and no U+0000"),
        ] {
            let error = text.parse::<MountpointTemplate>().expect_err("no template");
            assert_eq!(error.to_string(), expected);
        }
    }
}
