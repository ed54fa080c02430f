//! Plug-ins that run.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::Builder;
use mqtt_plugin::{Limits, Plugin, PluginOptions, PreparedPlugin};
use tracing::info;

use crate::config::PluginSettings;
use crate::exit::Failure;

#[derive(Debug)]
pub(crate) struct Plugins {
    plugins: Vec<Arc<Plugin>>,
    check_interval: Option<Duration>,
}

impl Plugins {
    /// Compiles and starts all of them.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be used.
    pub(crate) fn open(settings: &PluginSettings) -> Result<Self, Failure> {
        let limits = Limits {
            fuel_max: settings.fuel_max,
            deadline: settings.deadline,
            memory_bytes_max: settings.memory_bytes_max,
        };
        let mut texts = settings.settings.iter();
        let plugins = settings.files.iter().map(|file| {
            let settings_text = texts.next().cloned().unwrap_or_default();
            let options = PluginOptions { settings: settings_text, limits, fail_open: settings.fail_open };
            let opened = Plugin::open(file, options);
            let plugin =
                opened.map_err(|error| Failure::failed(format_args!("{}: {error}", file.display())))?;
            info!(plugin = plugin.name(), file = %file.display(), "a plug-in is asked");
            Ok(Arc::new(plugin))
        });
        let plugins = plugins.collect::<Result<_, _>>()?;
        Ok(Self { plugins, check_interval: settings.check_interval })
    }

    /// Adds them to the broker's hooks, in their order.
    pub(crate) fn hook_into(&self, builder: Builder) -> Builder {
        self.plugins.iter().fold(builder, |builder, plugin| builder.hook(plugin.clone()))
    }

    /// Takes new versions over as soon as they are in the files.
    pub(crate) fn watch(&self) {
        let Some(interval) = self.check_interval else { return };
        for plugin in &self.plugins {
            tokio::spawn(plugin.watch(interval));
        }
    }

    /// Reads all files again and starts the new versions, which nobody asks yet.
    ///
    /// # Errors
    /// What is wrong with each that cannot be used.
    pub(crate) async fn prepare(&self) -> Result<Prepared, Vec<String>> {
        let plugins = self.plugins.clone();
        let prepare = move || {
            let mut errors = Vec::new();
            let prepared = plugins.into_iter().filter_map(|plugin| {
                let told = |error| errors.push(format!("plug-in {}: {error}", plugin.name()));
                let prepared = plugin.prepare().map_err(told).ok()?;
                Some((plugin, prepared))
            });
            let prepared: Vec<_> = prepared.collect();
            if errors.is_empty() { Ok(Prepared(prepared)) } else { Err(errors) }
        };
        tokio::task::spawn_blocking(prepare).await.expect("preparing does not panic")
    }
}

/// New versions of all plug-ins.
#[derive(Debug)]
pub(crate) struct Prepared(Vec<(Arc<Plugin>, PreparedPlugin)>);

impl Prepared {
    /// Asks the new versions from now on.
    pub(crate) fn take_over(self) {
        for (plugin, prepared) in self.0 {
            plugin.take_over(prepared);
            info!(plugin = plugin.name(), "a new version is asked from now on");
        }
    }
}
