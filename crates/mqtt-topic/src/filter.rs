//! Topic filters: what a subscription asks for.

use core::fmt;

use crate::name::check_size;
use crate::{TopicError, TopicName};

const SHARE_PREFIX: &str = "$share/";

/// A text that is valid as the topic filter of a SUBSCRIBE or UNSUBSCRIBE (sections 4.7 and 4.8.2).
///
/// A shared subscription `$share/name/filter` is taken apart here and nowhere else. MQTT 3.1.1 does not define the
/// form, but every broker gives it the same meaning there, so no version is asked for.
///
/// ```
/// use mqtt_topic::{TopicFilter, TopicName};
///
/// let filter = TopicFilter::parse("$share/workers/jobs/+")?;
/// assert_eq!((filter.share_name(), filter.filter()), (Some("workers"), "jobs/+"));
/// assert!(filter.has_wildcards() && filter.matches(&TopicName::parse("jobs/7")?));
/// assert!(TopicFilter::parse("jobs/#/7").is_err());
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<S = Box<str>> {
    text: S,
    /// Bytes before the filter proper: the length of `$share/name/`, or 0.
    share_len: u16,
    has_wildcards: bool,
}

impl<S: AsRef<str>> TopicFilter<S> {
    /// Checks the rules of section 4.7 for a filter and of section 4.8.2 for a shared one, and keeps `text`.
    ///
    /// # Errors
    /// The text is empty, too long, holds U+0000, a wildcard in a wrong place, or starts with `$share/` and is no
    /// valid shared subscription.
    pub fn parse(text: S) -> Result<Self, TopicError> {
        let whole = text.as_ref();
        check_size(whole)?;
        if whole.as_bytes().contains(&0) {
            return Err(TopicError::Nul); // [MQTT-4.7.3-2]
        }
        let share_len = share_prefix_len(whole)?;
        let has_wildcards = check_wildcards(&whole[usize::from(share_len)..])?;
        Ok(Self { text, share_len, has_wildcards })
    }

    /// The whole text as the client sent it, `$share/name/` included.
    pub fn as_str(&self) -> &str {
        self.text.as_ref()
    }

    /// What names are matched against: the text without `$share/name/`.
    pub fn filter(&self) -> &str {
        &self.as_str()[usize::from(self.share_len)..]
    }

    /// The group of a shared subscription, at least one character long; `None` if the filter is not shared.
    pub fn share_name(&self) -> Option<&str> {
        let end = usize::from(self.share_len).checked_sub(1)?;
        Some(&self.as_str()[SHARE_PREFIX.len()..end])
    }

    /// Whether [`filter`](Self::filter) holds `+` or `#`. Without them it matches the one name that equals it.
    pub fn has_wildcards(&self) -> bool {
        self.has_wildcards
    }

    /// The texts between the `/` separators of [`filter`](Self::filter), wildcards included, at least one.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.filter().split('/')
    }

    /// The same filter without owning its text.
    pub fn as_ref(&self) -> TopicFilter<&str> {
        TopicFilter { text: self.as_str(), share_len: self.share_len, has_wildcards: self.has_wildcards }
    }

    /// A copy that owns its text.
    pub fn to_boxed(&self) -> TopicFilter {
        TopicFilter {
            text: self.as_str().into(),
            share_len: self.share_len,
            has_wildcards: self.has_wildcards,
        }
    }

    /// The text as it was given to [`parse`](Self::parse).
    pub fn into_inner(self) -> S {
        self.text
    }

    /// Whether a message published to `name` belongs to this subscription (section 4.7). Bytes are compared as they
    /// are, without folding case or normalising characters [MQTT-4.7.3-4].
    pub fn matches(&self, name: &TopicName<impl AsRef<str>>) -> bool {
        if !self.has_wildcards {
            return self.filter() == name.as_str();
        }
        if name.is_dollar() && self.starts_with_wildcard() {
            return false; // [MQTT-4.7.2-1]
        }
        let mut name_levels = name.levels();
        for level in self.levels() {
            match (level, name_levels.next()) {
                ("#", _) => return true, // also the parent level itself (section 4.7.1.2)
                ("+", Some(_)) => {}
                (literal, Some(actual)) if literal == actual => {}
                _ => return false,
            }
        }
        name_levels.next().is_none()
    }

    /// Whether the first character of [`filter`](Self::filter) is `+` or `#`.
    pub(crate) fn starts_with_wildcard(&self) -> bool {
        self.filter().starts_with(['+', '#'])
    }
}

impl<S: AsRef<str>> fmt::Display for TopicFilter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<S: AsRef<str>> fmt::Debug for TopicFilter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Bytes of `$share/name/`, 0 for a filter that is not shared.
fn share_prefix_len(text: &str) -> Result<u16, TopicError> {
    let Some(rest) = text.strip_prefix(SHARE_PREFIX) else {
        return Ok(0);
    };
    let (share_name, filter) = rest.split_once('/').unwrap_or((rest, ""));
    if share_name.is_empty() {
        return Err(TopicError::EmptyShareName); // [MQTT-4.8.2-1]
    }
    if share_name.contains(['+', '#']) || share_name.len() == rest.len() {
        return Err(TopicError::InvalidShareName); // [MQTT-4.8.2-2]
    }
    if filter.is_empty() {
        return Err(TopicError::EmptySharedFilter); // [MQTT-4.8.2-2]
    }
    let len = text.len() - filter.len();
    Ok(u16::try_from(len).expect("check_size bounds the whole text by 65535 bytes"))
}

/// Whether there are wildcards, all of them in their places.
fn check_wildcards(filter: &str) -> Result<bool, TopicError> {
    if !filter.contains(['+', '#']) {
        return Ok(false);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('#') && !(alone && levels.peek().is_none()) {
            return Err(TopicError::MisplacedMultiLevelWildcard); // [MQTT-4.7.1-1]
        }
        if level.contains('+') && !alone {
            return Err(TopicError::MisplacedSingleLevelWildcard); // [MQTT-4.7.1-2]
        }
    }
    Ok(true)
}
