//! `cargo xtask simulate`: seeds of the broker's simulation, which is a test of `mqtt-broker`.

use std::process::Command;

use crate::CommandResult;
use crate::args::Args;
use crate::process;
use crate::workspace::Workspace;

/// Options, and the environment variables that the test reads instead.
const OPTIONS: [(&str, &str); 3] =
    [("--seed", "MARTLET_SIM_SEED"), ("--seeds", "MARTLET_SIM_SEEDS"), ("--steps", "MARTLET_SIM_STEPS")];

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let mut test = Command::new("cargo");
    test.current_dir(&workspace.root).args([
        "test",
        "--package",
        "mqtt-broker",
        "--test",
        "simulation",
        "--",
    ]);
    test.args(["--nocapture", "clients_get_what_they_were_promised"]);
    for (option, variable) in OPTIONS {
        if let Some(text) = args.value(option)? {
            let number: u64 = text.parse().map_err(|_| format!("{option} needs a number"))?;
            test.env(variable, number.to_string());
        }
    }
    args.finish()?;
    process::show(&mut test).map(|shown| shown.success).map_err(|error| format!("cargo: {error}"))
}
