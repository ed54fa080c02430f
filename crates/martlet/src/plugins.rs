//! Plug-ins as the configuration names them.

#[cfg(feature = "plugins")]
mod wasm;

#[cfg(feature = "plugins")]
pub(crate) use wasm::Plugins;

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

    pub(crate) async fn reload(&self) {}
}
