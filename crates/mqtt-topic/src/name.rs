//! Topic names: where one message is published.

use core::fmt;

use crate::{TOPIC_BYTES_MAX, TopicError};

/// A text that is valid as the topic name of a PUBLISH or of a will (section 4.7).
///
/// `S` is how the text is held: `&str` on the hot path, `Box<str>` (the default), `Arc<str>` or `String` to keep it.
/// Names compare by their exact bytes: case matters, a leading or trailing `/` makes one more, empty level.
///
/// ```
/// use mqtt_topic::{TopicError, TopicName};
///
/// let name = TopicName::parse("plant/7/temperature")?;
/// assert_eq!(name.levels().collect::<Vec<_>>(), ["plant", "7", "temperature"]);
/// assert!(TopicName::parse("$SYS/uptime")?.is_dollar());
/// assert_eq!(TopicName::parse("plant/#").unwrap_err(), TopicError::WildcardInName);
/// # Ok::<(), TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<S = Box<str>>(S);

impl<S: AsRef<str>> TopicName<S> {
    /// Checks the rules of section 4.7 for a name and keeps `text`.
    ///
    /// # Errors
    /// The text is empty, too long, or holds U+0000, `+` or `#`.
    pub fn parse(text: S) -> Result<Self, TopicError> {
        check_size(text.as_ref())?;
        let bytes = text.as_ref().as_bytes();
        // One pass without branches over all bytes; which rule is broken is found out afterwards.
        if bytes.iter().fold(false, |bad, byte| bad | matches!(byte, 0 | b'+' | b'#')) {
            return Err(forbidden_in_name(bytes));
        }
        Ok(Self(text))
    }

    /// Takes a text that has been a valid name before, for example one kept beside a stored message.
    /// It is checked in debug builds only; an invalid text matches wrongly but harms no memory.
    pub fn assume_valid(text: S) -> Self {
        debug_assert!(TopicName::parse(text.as_ref()).is_ok(), "the text was a valid topic name before");
        Self(text)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The same name without owning its text.
    pub fn as_ref(&self) -> TopicName<&str> {
        TopicName(self.as_str())
    }

    /// A copy that owns its text.
    pub fn to_boxed(&self) -> TopicName {
        TopicName(self.as_str().into())
    }

    /// The text as it was given to [`parse`](Self::parse).
    pub fn into_inner(self) -> S {
        self.0
    }

    /// The texts between the `/` separators, at least one; empty ones count (section 4.7.1.1).
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.as_str().split('/')
    }

    /// Whether the name starts with `$`, which hides it from filters that start with a wildcard [MQTT-4.7.2-1].
    pub fn is_dollar(&self) -> bool {
        self.as_str().starts_with('$')
    }
}

impl<S: AsRef<str>> fmt::Display for TopicName<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<S: AsRef<str>> fmt::Debug for TopicName<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The two rules of size that names and filters share.
pub(crate) fn check_size(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),   // [MQTT-4.7.3-1]
        1..=TOPIC_BYTES_MAX => Ok(()), // [MQTT-4.7.3-3]
        _ => Err(TopicError::TooLong),
    }
}

#[cold]
fn forbidden_in_name(bytes: &[u8]) -> TopicError {
    if bytes.contains(&0) {
        TopicError::Nul // [MQTT-4.7.3-2]
    } else {
        TopicError::WildcardInName // [MQTT-4.7.0-1]
    }
}
