//! Plug-ins as the configuration names them.

#[cfg(feature = "plugins")]
mod wasm;

#[cfg(feature = "plugins")]
pub(crate) use wasm::Plugins;

#[cfg(not(feature = "plugins"))]
use {crate::config::PluginSettings, crate::exit::Failure, mqtt_broker::Builder};

/// None: a program that was built without them refuses to start with any.
#[cfg(not(feature = "plugins"))]
#[derive(Debug)]
pub(crate) struct Plugins;

#[cfg(not(feature = "plugins"))]
impl Plugins {
    pub(crate) fn open(settings: &PluginSettings) -> Result<Self, Failure> {
        if settings.files.is_empty() {
            return Ok(Self);
        }
        let message =
            "`plugins.files`: this program was built without plug-ins; build it with `--features plugins`";
        Err(Failure { exit: crate::exit::Exit::Usage, message: format!("error: {message}") })
    }

    pub(crate) fn hook_into(&self, builder: Builder) -> Builder {
        builder
    }

    pub(crate) fn watch(&self) {}

    pub(crate) async fn reload(&self) {}
}

#[cfg(all(test, not(feature = "plugins")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_plug_ins_says_so() {
        assert!(Plugins::open(&PluginSettings::default()).is_ok());
        let some = PluginSettings { files: vec!["rooms.wasm".into()], ..PluginSettings::default() };
        let failure = Plugins::open(&some).expect_err("there are none");
        assert!(failure.message.contains("--features plugins"), "{}", failure.message);
    }
}
