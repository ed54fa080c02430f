//! What a service answers.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use mqtt_access::acl::Policy;
use mqtt_access::login::{Grant, Moment};
use serde_json::{Map, Value};

use crate::permissions::read_permissions;

/// What a JSON answer says.
#[derive(Debug)]
pub enum Answered {
    /// The client may come in, with all that goes with it but its name.
    Allow(Grant),
    /// It may not.
    Deny,
    /// Somebody else decides.
    Ignore,
}

/// Groups that are taken from one answer.
const GROUPS_MAX: usize = 256;

/// Reads `{"result": "allow" | "deny" | "ignore", "is_superuser": bool, "acl": [...], "groups": [...], "expire_at": SECONDS}`,
/// or `{"ok": bool}`.
///
/// # Errors
/// A sentence that says what is wrong: an answer that is not understood as a whole admits nobody.
pub fn read_answer(body: &[u8], now: Moment) -> Result<Answered, String> {
    let answer: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| "the answer is no JSON object")?;
    match (answer.get("result").and_then(Value::as_str), answer.get("ok").and_then(Value::as_bool)) {
        (Some("allow"), _) => grant(&answer, now),
        (Some("deny"), _) => Ok(Answered::Deny),
        (Some("ignore"), _) => Ok(Answered::Ignore),
        (None, Some(true)) if !answer.contains_key("result") => grant(&answer, now),
        (None, Some(false)) if !answer.contains_key("result") => Ok(Answered::Deny),
        _ => Err("`result` is none of \"allow\", \"deny\", \"ignore\"".to_owned()),
    }
}

fn grant(answer: &Map<String, Value>, now: Moment) -> Result<Answered, String> {
    let expires_at = match answer.get("expire_at") {
        None | Some(Value::Null) => None,
        Some(at) => match end(at, now)? {
            End::Past => return Ok(Answered::Deny),
            End::At(at) => at,
        },
    };
    let is_superuser = match answer.get("is_superuser") {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().ok_or("`is_superuser` is neither true nor false")?,
    };
    Ok(Answered::Allow(Grant {
        expires_at,
        groups: groups(answer)?,
        rules: rules(answer)?,
        is_superuser,
        ..Grant::default()
    }))
}

enum End {
    Past,
    At(Option<Instant>),
}

fn end(at: &Value, now: Moment) -> Result<End, String> {
    let seconds = at.as_f64().filter(|seconds| *seconds >= 0.0).ok_or("`expire_at` is no time in seconds")?;
    let at = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let since_epoch = now.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = at.saturating_sub(since_epoch);
    Ok(if left.is_zero() { End::Past } else { End::At(now.instant.checked_add(left)) })
}

fn groups(answer: &Map<String, Value>) -> Result<Box<[Box<str>]>, String> {
    let wrong = || "`groups` is no list of texts".to_owned();
    match answer.get("groups") {
        None | Some(Value::Null) => Ok([].into()),
        Some(Value::Array(list)) if list.len() <= GROUPS_MAX => {
            list.iter().map(|group| group.as_str().map(Into::into).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn rules(answer: &Map<String, Value>) -> Result<Option<Arc<Policy>>, String> {
    match answer.get("acl") {
        None | Some(Value::Null) => Ok(None),
        Some(acl) => read_permissions("answer", acl).map(Arc::new).map(Some),
    }
}
