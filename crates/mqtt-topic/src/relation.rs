//! How two filters relate: whether one holds all of another, or anything of it.

use crate::TopicFilter;

impl<S: AsRef<str>> TopicFilter<S> {
    /// Whether every name that matches `other` matches this filter as well. Share names do not count.
    ///
    /// Exact but for one direction: two spellings of the same set (`#` and `+/#`) need not be recognised, and then the
    /// answer is `false`.
    pub fn covers(&self, other: &TopicFilter<impl AsRef<str>>) -> bool {
        if other.filter().starts_with('$') && self.starts_with_wildcard() {
            return false; // [MQTT-4.7.2-1]
        }
        let mut others = other.levels();
        for level in self.levels() {
            match (level, others.next()) {
                ("#", _) => return true, // also the parent level itself (section 4.7.1.2)
                ("+", Some(other)) if other != "#" => {}
                (literal, Some(other)) if literal == other => {}
                _ => return false,
            }
        }
        others.next().is_none()
    }

    /// Whether some name matches both filters. Share names do not count.
    pub fn overlaps(&self, other: &TopicFilter<impl AsRef<str>>) -> bool {
        let hidden = |a: &str, b_is_wild: bool| a.starts_with('$') && b_is_wild;
        if hidden(self.filter(), other.starts_with_wildcard())
            || hidden(other.filter(), self.starts_with_wildcard())
        {
            return false; // [MQTT-4.7.2-1]
        }
        let (mut ours, mut theirs) = (self.levels(), other.levels());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some("#"), _) | (_, Some("#")) => return true,
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}
