use core::fmt;

use mqtt_broker::{
    Events, Hooks, Identity, InboundPublish, Publication, PublishVerdict, ReasonCode, SubscriptionOptions,
    TopicFilter, TopicName,
};

/// Rewrites topics of messages and filters of subscriptions. The first rule whose pattern matches is applied.
///
/// A pattern is a topic filter. In its template `$1`, `$2` ... stand for what its `+` matched, in their order, and `$#`
/// for what its `#` did. `old/+/temp/#` with `new/$1/t/$#` makes `new/kitchen/t/max` of `old/kitchen/temp/max`. A
/// filter of a subscription is compared by its text, wildcards and all, behind its share name.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_broker::Broker;
/// use mqtt_hooks::TopicRewrite;
///
/// let rewrite = TopicRewrite::new().rule("old/+/#", "new/$1/$#")?;
/// let builder = Broker::builder().hook(Arc::new(rewrite));
/// # let _ = builder;
/// # Ok::<(), mqtt_hooks::InvalidRule>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TopicRewrite {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    template: String,
}

/// A rule that can never be applied: its pattern is no filter, or its template names what the pattern has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRule {
    rule: String,
}

impl TopicRewrite {
    /// Without any rule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more rule, tried after those before it.
    ///
    /// # Errors
    /// The pattern is no topic filter, or the template needs parts that it does not have, or makes no topic.
    pub fn rule(mut self, pattern: &str, template: &str) -> Result<Self, InvalidRule> {
        let rule = Rule { pattern: pattern.to_owned(), template: template.to_owned() };
        let invalid = InvalidRule { rule: format!("{pattern} -> {template}") };
        let example = pattern.replace(['+', '#'], "x");
        let is_filter = TopicFilter::parse(pattern).is_ok_and(|filter| filter.share_name().is_none());
        let made = rule.apply(&example).filter(|made| !made.contains('$') || template.starts_with('$'));
        if !is_filter || made.is_none_or(|made| TopicName::parse(made.as_str()).is_err()) {
            return Err(invalid);
        }
        self.rules.push(rule);
        Ok(self)
    }

    fn apply(&self, topic: &str) -> Option<String> {
        self.rules.iter().find_map(|rule| rule.apply(topic))
    }

    fn apply_to_filter(&self, filter: &mut String) {
        let share_bytes = match TopicFilter::parse(filter.as_str()) {
            Ok(parsed) if parsed.share_name().is_some() => filter.len() - parsed.filter().len(),
            Ok(_) => 0,
            Err(_) => return,
        };
        let (share, rest) = filter.split_at(share_bytes);
        if let Some(made) = self.apply(rest) {
            *filter = format!("{share}{made}");
        }
    }
}

impl Rule {
    fn apply(&self, topic: &str) -> Option<String> {
        let mut captures = Vec::new();
        let mut rest = Some(topic);
        let mut tail = "";
        for level in self.pattern.split('/') {
            if level == "#" {
                tail = rest.unwrap_or_default();
                rest = None;
                break;
            }
            let (first, after) = split_level(rest?);
            match level {
                "+" => captures.push(first),
                level if level == first => {}
                _ => return None,
            }
            rest = after;
        }
        if rest.is_some() {
            return None;
        }
        let mut made = self.template.replace("$#", tail);
        // From the highest on, so that $1 does not take the beginning of $10.
        for (number, capture) in captures.iter().enumerate().rev() {
            made = made.replace(&format!("${}", number + 1), capture);
        }
        // An empty tail leaves no empty level behind.
        Some(made.strip_suffix('/').filter(|_| tail.is_empty()).map(str::to_owned).unwrap_or(made))
    }
}

fn split_level(topic: &str) -> (&str, Option<&str>) {
    topic.split_once('/').map_or((topic, None), |(first, after)| (first, Some(after)))
}

impl Hooks for TopicRewrite {
    fn interests(&self) -> Events {
        Events::PUBLISH | Events::SUBSCRIBE | Events::UNSUBSCRIBE
    }

    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        match self.apply(publish.topic.as_str()) {
            Some(topic) => PublishVerdict::rewrite(Publication { topic, ..Publication::from(publish) }),
            None => PublishVerdict::Pass,
        }
    }

    fn subscribe(
        &self,
        _: &Identity,
        filter: &mut String,
        _: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        self.apply_to_filter(filter);
        Ok(())
    }

    fn unsubscribe(&self, _: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        self.apply_to_filter(filter);
        Ok(())
    }
}

impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a rule that cannot be applied: {}", self.rule)
    }
}

impl std::error::Error for InvalidRule {}

#[cfg(test)]
mod tests {
    use super::TopicRewrite;

    fn check(pattern: &str, template: &str, topic: &str, expected: Option<&str>) {
        let rewrite = TopicRewrite::new().rule(pattern, template).expect("a rule");
        assert_eq!(rewrite.apply(topic).as_deref(), expected, "{pattern} -> {template}: {topic}");
    }

    #[test]
    fn parts_of_a_topic_go_where_the_template_says() {
        check("old/+/temp/#", "new/$1/t/$#", "old/kitchen/temp/max", Some("new/kitchen/t/max"));
        check("old/+/temp/#", "new/$1/t/$#", "old/kitchen/temp", Some("new/kitchen/t"));
        check("old/+/temp/#", "new/$1/t/$#", "old/kitchen/humidity", None);
        check("+/+", "$2/$1", "a/b", Some("b/a"));
        check("+/+", "$2/$1", "a/b/c", None);
        check("a", "b", "a", Some("b"));
        check("a", "b", "a/b", None);
        check("#", "all/$#", "x/y", Some("all/x/y"));
    }

    #[test]
    fn rules_that_can_never_be_applied_are_refused() {
        for (pattern, template) in
            [("a#", "b"), ("a", "b/$1"), ("a/+", "b/#"), ("a", ""), ("$share/g/a", "b")]
        {
            assert!(TopicRewrite::new().rule(pattern, template).is_err(), "{pattern} -> {template}");
        }
    }

    #[test]
    fn a_filter_is_rewritten_behind_its_share_name() {
        let rewrite = TopicRewrite::new().rule("old/#", "new/$#").expect("a rule");
        for (filter, expected) in
            [("old/+/x", "new/+/x"), ("$share/g/old/#", "$share/g/new/#"), ("other", "other"), ("a#", "a#")]
        {
            let mut filter = filter.to_owned();
            rewrite.apply_to_filter(&mut filter);
            assert_eq!(filter, expected);
        }
    }
}
