//! The section `[plugins]`: which WebAssembly components the broker asks, and what they may use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::problem::{Place, Problem};

/// Whether this program has plug-ins.
const ARE_BUILT_IN: bool = cfg!(feature = "plugins");

/// Plug-ins, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PluginSettings {
    pub(crate) files: Vec<PathBuf>,
    /// What each is told at its start; those at the end may be left out.
    pub(crate) settings: Vec<String>,
    pub(crate) fuel_max: u64,
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes_max: usize,
    pub(crate) fail_open: bool,
    /// Time between two looks at the files; `None` to look at SIGHUP only.
    pub(crate) check_interval: Option<Duration>,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            settings: Vec::new(),
            fuel_max: 10_000_000,
            deadline: Duration::from_secs(1),
            memory_bytes_max: 16 << 20,
            fail_open: false,
            check_interval: Some(Duration::from_secs(10)),
        }
    }
}

/// What does not fit together, or into this program.
pub(super) fn problem(plugins: &PluginSettings, places: &BTreeMap<&'static str, Place>) -> Option<Problem> {
    if let Some(place) = places.get("plugins.files").filter(|_| !plugins.files.is_empty() && !ARE_BUILT_IN) {
        let message = "this program was built without plug-ins; build it with `--features plugins`";
        return Some(Problem { place: place.clone(), message: message.to_owned() });
    }
    let place = places.get("plugins.settings").filter(|_| plugins.settings.len() > plugins.files.len())?;
    let message = "`plugins.settings` has more elements than `plugins.files`".to_owned();
    Some(Problem { place: place.clone(), message })
}
