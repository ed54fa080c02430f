//! Who may do what, as the configuration says: the broker's [`Access`](mqtt_broker::Access) over `mqtt-access`.

mod clock;
mod explain;
mod guard;
mod http;
mod jwt;
mod load;
mod logins;
mod lookups;
mod members;
mod passwd;
mod service;
mod settings;

#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod tests;

pub(crate) use explain::{AclArguments, run as run_acl};
pub(crate) use guard::{Guard, Prepared as PreparedAccess};
pub(crate) use load::load;
pub(crate) use members::{Member, Order};
pub(crate) use passwd::{PasswdArguments, run as run_passwd};
pub(crate) use settings::AccessSettings;
