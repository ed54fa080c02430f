//! Values as the text of a configuration has them, and how each type of the settings reads and shows itself.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use mqtt_broker::{MountpointTemplate, SharedStrategy};
use mqtt_codec::{QoS, Version};
use mqtt_store::{Durability, Overflow};
use mqtt_topic::TopicFilter;
use mqtt_transport::{AddressValidation, CertificateField, ClientCertificates, TlsVersion, Url};

/// A value between text and type: it has the right [`Kind`], its meaning is not checked yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Not given, which differs from every value that can be given.
    Absent,
    Boolean(bool),
    Integer(u64),
    Text(String),
    List(Vec<String>),
}

/// What can be written for an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Boolean,
    /// A whole number within these bounds.
    Integer {
        min: u64,
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    Text,
    /// Any number of strings.
    List,
}

impl Kind {
    /// A whole number from `min` to `max`.
    pub(crate) const fn integer(min: u64, max: u64) -> Self {
        Self::Integer { min, max }
    }

    /// A whole number from `min` upwards.
    pub(crate) const fn at_least(min: u64) -> Self {
        Self::Integer { min, max: INTEGER_MAX }
    }

    /// One of the names of `C`.
    pub(crate) const fn choice<C: Choice>() -> Self {
        Self::Choice(C::NAMES)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max: INTEGER_MAX } => write!(f, "a whole number from {min}"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Choice(names) => {
                let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                write!(f, "one of {}", quoted.join(", "))
            }
            Self::Text => f.write_str("a string"),
            Self::List => f.write_str("a list of strings"),
        }
    }
}

/// The largest number that TOML can hold.
pub(crate) const INTEGER_MAX: u64 = i64::MAX as u64;

/// Why a text or a value is none for this option.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The element of a list that is to blame.
    pub(crate) element: Option<usize>,
    /// To be read after the name of the option.
    pub(crate) message: String,
}

impl Refusal {
    /// The value as a whole is to blame.
    pub(crate) fn new(message: impl ToString) -> Self {
        Self { element: None, message: message.to_string() }
    }
}

/// Takes every element of a list, or tells all that are wrong.
///
/// # Errors
/// Those of `take`, each with its element.
pub(crate) fn each<I: IntoIterator, T>(
    elements: I,
    take: impl Fn(I::Item) -> Result<T, Refusal>,
) -> Result<Vec<T>, Vec<Refusal>> {
    let (mut taken, mut refusals) = (Vec::new(), Vec::new());
    for (position, element) in elements.into_iter().enumerate() {
        match take(element) {
            Ok(value) => taken.push(value),
            Err(refusal) => refusals.push(Refusal { element: Some(position), ..refusal }),
        }
    }
    if refusals.is_empty() { Ok(taken) } else { Err(refusals) }
}

/// A type of which an option can be.
pub(crate) trait Setting: Sized {
    /// The value as it would be written.
    fn show(&self) -> Value;

    /// The meaning of a value whose kind and bounds were checked.
    ///
    /// # Errors
    /// Says what is wrong with it; a list may have several elements that are.
    fn read(value: Value) -> Result<Self, Vec<Refusal>>;
}

/// A type with a few named values.
pub(crate) trait Choice: Sized + Copy + PartialEq + 'static {
    /// How the values are written.
    const NAMES: &'static [&'static str];
    /// The values, in the order of [`NAMES`](Self::NAMES).
    const VALUES: &'static [Self];
}

impl<C: Choice> Setting for C {
    fn show(&self) -> Value {
        let position = Self::VALUES.iter().position(|value| value == self);
        Value::Text(Self::NAMES[position.expect("every value has a name")].to_owned())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let Value::Text(text) = value else { return Err(vec![mismatch()]) };
        let position = Self::NAMES.iter().position(|name| *name == text);
        position.map(|at| Self::VALUES[at]).ok_or_else(|| vec![mismatch()])
    }
}

impl Choice for Version {
    const NAMES: &'static [&'static str] = &["3.1", "3.1.1", "5.0"];
    const VALUES: &'static [Self] = &[Self::V3_1, Self::V3_1_1, Self::V5];
}

impl Choice for Overflow {
    const NAMES: &'static [&'static str] = &["drop-newest", "drop-oldest"];
    const VALUES: &'static [Self] = &[Self::DropNewest, Self::DropOldest];
}

impl Choice for SharedStrategy {
    const NAMES: &'static [&'static str] = &["round-robin", "random", "sticky", "hash-client", "hash-topic"];
    const VALUES: &'static [Self] =
        &[Self::RoundRobin, Self::Random, Self::Sticky, Self::HashClient, Self::HashTopic];
}

impl Choice for ClientCertificates {
    const NAMES: &'static [&'static str] = &["off", "optional", "required"];
    const VALUES: &'static [Self] = &[Self::NotAsked, Self::Optional, Self::Required];
}

impl Choice for TlsVersion {
    const NAMES: &'static [&'static str] = &["1.2", "1.3"];
    const VALUES: &'static [Self] = &[Self::V1_2, Self::V1_3];
}

impl Choice for AddressValidation {
    const NAMES: &'static [&'static str] = &["when-busy", "always"];
    const VALUES: &'static [Self] = &[Self::WhenBusy, Self::Always];
}

impl Choice for Option<CertificateField> {
    const NAMES: &'static [&'static str] = &["connect", "cn", "san", "dn"];
    const VALUES: &'static [Self] = &[
        None,
        Some(CertificateField::CommonName),
        Some(CertificateField::AlternativeName),
        Some(CertificateField::DistinguishedName),
    ];
}

impl Setting for Vec<String> {
    fn show(&self) -> Value {
        Value::List(self.clone())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        if let Value::List(texts) = value { Ok(texts) } else { Err(vec![mismatch()]) }
    }
}

impl Setting for Vec<PathBuf> {
    fn show(&self) -> Value {
        Value::List(self.iter().map(|path| path.display().to_string()).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Vec::<String>::read(value)?.into_iter().map(PathBuf::from).collect())
    }
}

/// Networks; an address stands for itself alone.
impl Setting for Vec<IpNet> {
    fn show(&self) -> Value {
        Value::List(self.iter().map(ToString::to_string).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        each(Vec::<String>::read(value)?, |text| {
            let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            net.ok_or_else(|| Refusal::new(format!("holds {text:?}, which is no address or network")))
        })
    }
}

/// A path that can be left out with "".
impl Setting for Option<PathBuf> {
    fn show(&self) -> Value {
        Value::Text(self.as_ref().map_or_else(String::new, |path| path.display().to_string()))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Some(PathBuf::from(text(value)?)).filter(|path| !path.as_os_str().is_empty()))
    }
}

impl Choice for Durability {
    const NAMES: &'static [&'static str] = &["memory", "periodic", "acked"];
    const VALUES: &'static [Self] = &[Self::Memory, Self::Periodic, Self::Acked];
}

/// Rules are written as `FILTER=PROMISE`.
impl Setting for Vec<(TopicFilter, Durability)> {
    fn show(&self) -> Value {
        let rule = |(filter, promise): &(TopicFilter, Durability)| match promise.show() {
            Value::Text(promise) => format!("{}={promise}", filter.as_str()),
            _ => unreachable!("a choice is a text"),
        };
        Value::List(self.iter().map(rule).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let Value::List(rules) = value else { return Err(vec![mismatch()]) };
        each(rules, |rule| {
            let refused = |why: String| Refusal::new(format!("holds {rule:?}: {why}"));
            let (filter, promise) =
                rule.rsplit_once('=').ok_or_else(|| refused("it is not FILTER=PROMISE".to_owned()))?;
            let filter = TopicFilter::parse(filter.to_owned().into_boxed_str())
                .map_err(|error| refused(format!("{filter:?} is no topic filter: {error}")))?;
            let promise = Durability::read(Value::Text(promise.to_owned()))
                .map_err(|_| refused(format!("{promise:?} is none of memory, periodic, acked")))?;
            Ok((filter, promise))
        })
    }
}

impl Setting for bool {
    fn show(&self) -> Value {
        Value::Boolean(*self)
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        if let Value::Boolean(value) = value { Ok(value) } else { Err(vec![mismatch()]) }
    }
}

impl Setting for Option<bool> {
    fn show(&self) -> Value {
        self.map_or(Value::Absent, Value::Boolean)
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        bool::read(value).map(Some)
    }
}

/// Whole numbers differ only in their width.
macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            fn show(&self) -> Value {
                Value::Integer(u64::try_from(*self).unwrap_or(INTEGER_MAX).min(INTEGER_MAX))
            }

            fn read(value: Value) -> Result<Self, Vec<Refusal>> {
                <$type>::try_from(number(value)?)
                    .map_err(|_| vec![Refusal::new("is more than this machine can count")])
            }
        }
    )*};
}

integers!(u16, u32, u64, usize);

impl Setting for NonZeroU16 {
    fn show(&self) -> Value {
        Value::Integer(self.get().into())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Self::new(u16::read(value)?).ok_or_else(|| vec![Refusal::new("must not be 0")])
    }
}

impl Setting for QoS {
    fn show(&self) -> Value {
        Value::Integer(*self as u64)
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let level = u8::try_from(number(value)?).unwrap_or(u8::MAX);
        Self::try_from(level).map_err(|_| vec![mismatch()])
    }
}

/// Durations are written in milliseconds.
impl Setting for Duration {
    fn show(&self) -> Value {
        Value::Integer(u64::try_from(self.as_millis()).unwrap_or(INTEGER_MAX).min(INTEGER_MAX))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Self::from_millis(number(value)?))
    }
}

/// A duration that can be switched off with 0.
impl Setting for Option<Duration> {
    fn show(&self) -> Value {
        self.unwrap_or_default().show()
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Some(Duration::read(value)?).filter(|duration| !duration.is_zero()))
    }
}

/// A number that can be switched off with 0.
impl Setting for Option<usize> {
    fn show(&self) -> Value {
        self.unwrap_or_default().show()
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Some(usize::read(value)?).filter(|number| *number > 0))
    }
}

impl Setting for Arc<str> {
    fn show(&self) -> Value {
        Value::Text((**self).to_owned())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        text(value).map(Into::into)
    }
}

/// A text that can be left out with "".
impl Setting for Option<Box<str>> {
    fn show(&self) -> Value {
        Value::Text(self.as_deref().unwrap_or_default().to_owned())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Some(text(value)?.into_boxed_str()).filter(|text| !text.is_empty()))
    }
}

impl Setting for String {
    fn show(&self) -> Value {
        Value::Text(self.clone())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        text(value)
    }
}

impl Setting for Option<String> {
    fn show(&self) -> Value {
        Value::Text(self.clone().unwrap_or_default())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Ok(Some(text(value)?).filter(|text| !text.is_empty()))
    }
}

/// A mountpoint that can be left out with "".
impl Setting for Option<MountpointTemplate> {
    fn show(&self) -> Value {
        Value::Text(self.as_ref().map_or_else(String::new, ToString::to_string))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let text = text(value)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|error| vec![Refusal::new(format!("is {text:?}: {error}"))])
    }
}

impl Setting for Vec<TopicFilter> {
    fn show(&self) -> Value {
        Value::List(self.iter().map(|filter| filter.as_str().to_owned()).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let Value::List(texts) = value else { return Err(vec![mismatch()]) };
        each(texts, |text| {
            TopicFilter::parse(text.clone().into_boxed_str())
                .map_err(|error| Refusal::new(format!("holds {text:?}, which is no topic filter: {error}")))
        })
    }
}

impl Setting for Url {
    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let text = text(value)?;
        Self::parse(&text).map_err(|error| vec![Refusal::new(format!("is {text:?}: {}", error.problem()))])
    }
}

pub(crate) fn text(value: Value) -> Result<String, Vec<Refusal>> {
    if let Value::Text(text) = value { Ok(text) } else { Err(vec![mismatch()]) }
}

fn number(value: Value) -> Result<u64, Vec<Refusal>> {
    if let Value::Integer(number) = value { Ok(number) } else { Err(vec![mismatch()]) }
}

/// A row of the table whose kind does not fit its type would be our mistake; a test reads every row.
fn mismatch() -> Refusal {
    Refusal::new("has a value of the wrong kind")
}
