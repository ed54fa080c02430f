//! Plug-ins as the configuration names them.

#[cfg(feature = "plugins")]
mod wasm;

#[cfg(feature = "plugins")]
pub(crate) use wasm::{Plugins, Prepared};

#[cfg(not(feature = "plugins"))]
use {crate::config::PluginSettings, crate::exit::Failure, mqtt_broker::Builder};

/// None: the configuration of a program that was built without them names none.
#[cfg(not(feature = "plugins"))]
#[derive(Debug)]
pub(crate) struct Plugins;

#[cfg(not(feature = "plugins"))]
#[allow(clippy::unnecessary_wraps, reason = "as in a program that has them")]
impl Plugins {
    pub(crate) fn open(settings: &PluginSettings) -> Result<Self, Failure> {
        assert!(settings.files.is_empty(), "the configuration was checked");
        Ok(Self)
    }

    pub(crate) fn hook_into(&self, builder: Builder) -> Builder {
        builder
    }

    pub(crate) fn watch(&self) {}

    #[allow(clippy::unused_async, reason = "as in a program that has them")]
    pub(crate) async fn prepare(&self) -> Result<Prepared, Vec<String>> {
        Ok(Prepared)
    }
}

/// None, as well.
#[cfg(not(feature = "plugins"))]
#[derive(Debug)]
pub(crate) struct Prepared;

#[cfg(not(feature = "plugins"))]
impl Prepared {
    #[allow(clippy::unused_self, reason = "as in a program that has them")]
    pub(crate) fn take_over(self) {}
}
