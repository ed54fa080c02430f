//! SIGHUP: what a running broker reads again, and takes over as a whole or not at all.

use mqtt_broker::{Broker, PreparedCertificates};
use tracing::{error, info, warn};

use crate::access::{self, Guard, PreparedAccess};
use crate::cli::{self, ServeArguments};
use crate::config::{self, Configuration};
use crate::plugins::{self, Plugins};

/// What a reload is about.
pub(crate) struct Running<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) guard: &'a Guard,
    pub(crate) plugins: &'a Plugins,
    pub(crate) arguments: &'a ServeArguments,
    pub(crate) started_with: &'a Configuration,
}

/// Users and rules that can be used, and what is strange about them or takes no effect.
struct Access {
    prepared: PreparedAccess,
    warnings: Vec<String>,
}

impl Running<'_> {
    /// Reads everything before it changes anything: one mistake, in whatever file, keeps all as it was.
    pub(crate) async fn reload(&self) {
        info!(signal = "SIGHUP", "reading certificates, users, access rules and plug-ins again");
        let mut errors = Vec::new();
        let access = kept(self.access(), &mut errors);
        let certificates = self.broker.prepare_certificates().await.map_err(sentences);
        let certificates = kept(certificates, &mut errors);
        let plugins = kept(self.plugins.prepare().await, &mut errors);
        let (Some(access), Some(certificates), Some(plugins)) = (access, certificates, plugins) else {
            errors.iter().for_each(|problem| error!("{problem}"));
            return error!(mistakes = errors.len(), "nothing was taken over: everything stays as it was");
        };
        self.take_over(access, certificates, plugins);
    }

    fn access(&self) -> Result<Access, Vec<String>> {
        let configuration = cli::configuration(self.arguments, |name| std::env::var(name).ok());
        let configuration = configuration.map_err(|failure| vec![failure.message])?;
        let options = config::needing_restart(self.started_with, &configuration);
        let loaded = access::load(&configuration.access)?;
        let mut warnings = loaded.warnings.clone();
        if !options.is_empty() {
            warnings.push(format!("not taken over before the next start: {}", options.join(", ")));
        }
        let prepared = self.guard.prepare(configuration.access, loaded).map_err(|error| vec![error])?;
        Ok(Access { prepared, warnings })
    }

    fn take_over(&self, access: Access, certificates: PreparedCertificates, plugins: plugins::Prepared) {
        access.warnings.iter().for_each(|warning| warn!("{warning}"));
        self.guard.take_over(access.prepared);
        certificates.take_over();
        plugins.take_over();
        self.broker.access_changed();
        info!("certificates, users, access rules and plug-ins taken over");
    }
}

/// What was read, unless it is wrong: then what is wrong joins the rest of that.
fn kept<T>(read: Result<T, Vec<String>>, errors: &mut Vec<String>) -> Option<T> {
    read.map_err(|more| errors.extend(more)).ok()
}

fn sentences(errors: Vec<std::io::Error>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
