//! Users and groups of the system, by name or number.

use std::fmt::Display;

use nix::unistd::{Group, User};

use super::value::{self, Refusal, Setting, Value};

/// A user of the system, as it was written and by its number; none if it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UnixUser(Option<(String, u32)>);

/// A group of the system, as it was written and by its number; none if it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UnixGroup(Option<(String, u32)>);

impl UnixUser {
    pub(crate) fn id(&self) -> Option<u32> {
        self.0.as_ref().map(|(_, id)| *id)
    }
}

impl UnixGroup {
    pub(crate) fn id(&self) -> Option<u32> {
        self.0.as_ref().map(|(_, id)| *id)
    }
}

impl Setting for UnixUser {
    fn show(&self) -> Value {
        show(self.0.as_ref())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let found = |name: &str| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw()));
        read(value, "user", found).map(Self)
    }
}

impl Setting for UnixGroup {
    fn show(&self) -> Value {
        show(self.0.as_ref())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let found = |name: &str| Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw()));
        read(value, "group", found).map(Self)
    }
}

fn show(owner: Option<&(String, u32)>) -> Value {
    Value::Text(owner.map_or_else(String::new, |(name, _)| name.clone()))
}

/// A number is taken as it is, whether or not anybody has it.
fn read<E: Display>(
    value: Value,
    what: &str,
    find: impl Fn(&str) -> Result<Option<u32>, E>,
) -> Result<Option<(String, u32)>, Vec<Refusal>> {
    let name = value::text(value)?;
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = name.parse() {
        return Ok(Some((name, id)));
    }
    match find(&name) {
        Ok(Some(id)) => Ok(Some((name, id))),
        Ok(None) => Err(vec![Refusal::new(format!("is {name:?}: this system has no such {what}"))]),
        Err(error) => {
            Err(vec![Refusal::new(format!("is {name:?}: the {what} cannot be looked up: {error}"))])
        }
    }
}
