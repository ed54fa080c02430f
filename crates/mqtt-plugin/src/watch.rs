//! New versions of a plug-in, noticed by its file.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use crate::Plugin;

impl Plugin {
    /// Looks at the file in this interval and takes a new version over, as long as the plug-in is used. A version that
    /// cannot be used is logged and counted, and the old one stays.
    pub fn watch(self: &Arc<Self>, interval: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (weak, mut seen) = (Arc::downgrade(self), self.state());
        async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(state) = weak.upgrade().map(|plugin| plugin.state()) else { return };
                if state != seen && state.is_some() {
                    seen = state;
                    take_over(&weak).await;
                }
            }
        }
    }

    /// Takes the file's content over, and says in the log what came of it.
    pub async fn reload_and_log(self: &Arc<Self>) {
        let plugin = self.clone();
        let reloading = tokio::task::spawn_blocking(move || plugin.reload());
        match reloading.await.expect("reloading does not panic") {
            Ok(()) => tracing::info!(plugin = self.name(), "a new version is asked from now on"),
            Err(error) => {
                tracing::error!(plugin = self.name(), %error, "the new version cannot be used; the old one stays");
            }
        }
    }

    /// When the file was written, and its length.
    fn state(&self) -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(self.path()?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

async fn take_over(plugin: &Weak<Plugin>) {
    if let Some(plugin) = plugin.upgrade() {
        plugin.reload_and_log().await;
    }
}
