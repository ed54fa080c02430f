//! A branch of the topic tree that some client takes for the whole tree.

use core::fmt;

use crate::{TOPIC_BYTES_MAX, TopicFilter, TopicName};

/// The prefix of everything that a client publishes and gets, and never sees: `devices/7/` makes `devices/7/state` of
/// its `state`.
///
/// What begins with `$` does not exist below a mountpoint: the broker's own tree is not the client's, and a topic that
/// would look like it to others must not come into being [MQTT-4.7.2-1].
///
/// ```
/// use mqtt_topic::{Mountpoint, TopicFilter, TopicName};
///
/// let site = Mountpoint::parse("site/7/").unwrap();
/// let mut whole = String::new();
/// assert_eq!(site.mount_name(TopicName::parse("door")?, &mut whole).unwrap().as_str(), "site/7/door");
/// assert_eq!(site.shown("site/7/door"), Some("door"));
/// assert_eq!(site.shown("site/8/door"), None);
/// assert_eq!(site.mount_filter(&TopicFilter::parse("+")?).unwrap().as_str(), "site/7/+");
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mountpoint(Box<str>);

/// Why a text is no mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountpointError {
    /// It does not end with `/`, so it would be glued to the first level of the client's topics.
    NoSlash,
    /// It begins with `$`.
    Dollar,
    /// It holds `+`, `#` or U+0000.
    Character,
    /// It leaves no room for a topic.
    TooLong,
}

/// Why a name or a filter has no place below a mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmountable {
    /// It begins with `$`.
    Dollar,
    /// With the prefix it has more than [`TOPIC_BYTES_MAX`] bytes.
    TooLong,
}

impl Mountpoint {
    /// Checks a prefix.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(prefix: impl Into<Box<str>>) -> Result<Self, MountpointError> {
        let prefix = prefix.into();
        if prefix.starts_with('$') {
            Err(MountpointError::Dollar)
        } else if prefix.contains(['+', '#', '\0']) {
            Err(MountpointError::Character)
        } else if !prefix.ends_with('/') {
            Err(MountpointError::NoSlash)
        } else if prefix.len() >= TOPIC_BYTES_MAX {
            Err(MountpointError::TooLong)
        } else {
            Ok(Self(prefix))
        }
    }

    /// The prefix, with its `/` at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes the whole name of what the client calls `name`, in the place of what was in `into`.
    ///
    /// # Errors
    /// The name has no place here; `into` holds nothing of use then.
    pub fn mount_name<'a>(
        &self,
        name: TopicName<&str>,
        into: &'a mut String,
    ) -> Result<TopicName<&'a str>, Unmountable> {
        into.clear();
        self.push(name.as_str(), into)?;
        Ok(TopicName::assume_valid(into))
    }

    /// The whole filter of what the client calls `filter`. A share name stays in front.
    ///
    /// # Errors
    /// The filter has no place here.
    pub fn mount_filter(&self, filter: &TopicFilter<&str>) -> Result<TopicFilter<String>, Unmountable> {
        let share_bytes = filter.as_str().len() - filter.filter().len();
        let mut text = filter.as_str()[..share_bytes].to_owned();
        self.push(filter.filter(), &mut text)?;
        Ok(TopicFilter::parse(text).expect("a prefix of whole levels keeps a filter valid"))
    }

    fn push(&self, topic: &str, into: &mut String) -> Result<(), Unmountable> {
        if topic.starts_with('$') {
            return Err(Unmountable::Dollar);
        }
        if into.len() + self.0.len() + topic.len() > TOPIC_BYTES_MAX {
            return Err(Unmountable::TooLong);
        }
        into.push_str(&self.0);
        into.push_str(topic);
        Ok(())
    }

    /// What the client calls a topic; `None` if it has no name for it.
    pub fn shown<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(&*self.0).filter(|shown| !shown.is_empty() && !shown.starts_with('$'))
    }

    /// Whether a filter is one that [`mount_filter`](Self::mount_filter) has made here.
    pub fn holds(&self, filter: &TopicFilter<&str>) -> bool {
        self.shown(filter.filter()).is_some()
    }
}

impl fmt::Display for Mountpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MountpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "a mountpoint ends with `/`",
            Self::Dollar => "a mountpoint does not begin with `$`",
            Self::Character => "a mountpoint holds no `+`, no `#` and no U+0000",
            Self::TooLong => "a mountpoint leaves room for a topic in 65535 bytes",
        })
    }
}

impl core::error::Error for MountpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn mountpoint() -> Mountpoint {
        Mountpoint::parse("site/7/").expect("a mountpoint")
    }

    fn check_filter(filter: &str, expected: Result<&str, Unmountable>) {
        let filter = TopicFilter::parse(filter).expect("a filter");
        let mounted = mountpoint().mount_filter(&filter);
        assert_eq!(mounted.as_ref().map(TopicFilter::as_str).map_err(|error| *error), expected);
        if let Ok(mounted) = mounted {
            assert_eq!(mounted.share_name(), filter.share_name());
            assert!(mountpoint().holds(&mounted.as_ref()));
        }
    }

    #[test]
    fn a_filter_is_mounted_behind_its_share_name() {
        check_filter("a/b", Ok("site/7/a/b"));
        check_filter("#", Ok("site/7/#"));
        check_filter("+/x", Ok("site/7/+/x"));
        check_filter("/", Ok("site/7//"));
        check_filter("$share/g/a/#", Ok("$share/g/site/7/a/#"));
        check_filter("$SYS/#", Err(Unmountable::Dollar));
        check_filter("$share/g/$SYS/#", Err(Unmountable::Dollar));
    }

    #[test]
    fn a_name_comes_back_as_the_client_gave_it() {
        let mut whole = String::from("what was there before");
        for name in ["a", "a/b", "/", "site/7/a", "ä/ö"] {
            let name = TopicName::parse(name).expect("a name");
            let mounted = mountpoint().mount_name(name, &mut whole).expect("it has a place");
            assert_eq!(mounted.as_str(), format!("site/7/{name}"));
            assert_eq!(mountpoint().shown(mounted.as_str()), Some(name.as_str()));
        }
        let dollar = TopicName::parse("$SYS/x").expect("a name");
        assert_eq!(mountpoint().mount_name(dollar, &mut whole), Err(Unmountable::Dollar));
    }

    #[test]
    fn what_has_no_name_below_a_mountpoint_is_not_shown() {
        for topic in ["site/7", "site/7/", "site/70/a", "site", "other/a", "site/7/$x", "$SYS/x"] {
            assert_eq!(mountpoint().shown(topic), None, "{topic}");
        }
    }

    #[test]
    fn the_bound_of_a_topic_holds_for_the_whole_of_it() {
        let room = TOPIC_BYTES_MAX - mountpoint().as_str().len();
        let mut whole = String::new();
        for (bytes, fits) in [(room, true), (room + 1, false)] {
            let text = "x".repeat(bytes);
            let name = TopicName::parse(text.as_str()).expect("a name");
            assert_eq!(mountpoint().mount_name(name, &mut whole).is_ok(), fits);
            let filter = TopicFilter::parse(text.as_str()).expect("a filter");
            assert_eq!(mountpoint().mount_filter(&filter).is_ok(), fits);
        }
        let share = format!("$share/g/{}", "x".repeat(room - 8));
        let filter = TopicFilter::parse(share.as_str()).expect("a filter");
        assert_eq!(mountpoint().mount_filter(&filter), Err(Unmountable::TooLong));
    }

    #[test]
    fn only_whole_levels_without_wildcards_are_a_mountpoint() {
        for (prefix, expected) in [
            ("a", MountpointError::NoSlash),
            ("", MountpointError::NoSlash),
            ("a/b", MountpointError::NoSlash),
            ("$SYS/", MountpointError::Dollar),
            ("a/+/", MountpointError::Character),
            ("#/", MountpointError::Character),
            ("a\0/", MountpointError::Character),
        ] {
            assert_eq!(Mountpoint::parse(prefix), Err(expected), "{prefix:?}");
        }
        assert_eq!(Mountpoint::parse("x".repeat(TOPIC_BYTES_MAX - 1) + "/"), Err(MountpointError::TooLong));
        for prefix in ["a/", "/", "a//b/", "a/$b/"] {
            assert_eq!(Mountpoint::parse(prefix).map(|it| it.to_string()).as_deref(), Ok(prefix));
        }
    }
}
