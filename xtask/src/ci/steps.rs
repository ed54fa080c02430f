//! The steps of CI: what each runs and what it counts.

use std::env;
use std::time::Duration;

use super::counters;
use crate::process::{self, Shown};
use crate::report::Counts;
use crate::workspace::Workspace;
use crate::{conformance, guests, layers, tidy};
use crate::{instructions, interop, torture};

const CARGO_DENY_VERSION: &str = "0.20.2";
/// Building cargo-deny takes two to three minutes on two cores.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// What the steps may do on this machine.
pub(super) struct Settings {
    /// Build missing tools of cargo instead of skipping what needs them.
    pub(super) install_tools: bool,
}

/// What a step found.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    /// Why something was skipped, or what to know besides the numbers.
    pub(super) note: String,
}

impl Outcome {
    fn one(passed: bool) -> Self {
        Self { counts: Counts::one(passed), note: String::new() }
    }

    fn skipped(note: impl Into<String>) -> Self {
        Self { counts: Counts::SKIPPED, note: note.into() }
    }
}

/// A step: an error means that it could not even run.
pub(super) type Step = fn(&Workspace, &Settings) -> Result<Outcome, String>;

/// All steps in their order; the flag says whether `--quick` leaves it out.
pub(super) const STEPS: &[(&str, Step, bool)] = &[
    ("format", format, false),
    ("clippy", clippy, false),
    ("features", features, false),
    ("layers", |workspace, _| layers::run(workspace).map(Outcome::one), false),
    ("tidy", |workspace, _| tidy::run(workspace).map(Outcome::one), false),
    ("tests", tests, false),
    ("doc tests", doc_tests, false),
    ("documentation", documentation, false),
    ("packages", packages, true),
    ("guide", guide, false),
    ("benches", benches, true),
    ("guests", guests_build, true),
    ("deny", deny, false),
    ("conformance", |workspace, _| conformance::run(workspace, true).map(Outcome::one), false),
    ("release build", release_build, true),
    ("torture", |workspace, _| torture::run(workspace).map(Outcome::one), true),
    ("instructions", instructions, true),
    ("interop", interop_suites, true),
];

/// The program's tests run with what it has only on request; the release build is the default one.
const PLUGINS: &str = "martlet/plugins";

fn format(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    cargo(workspace, &["fmt", "--all", "--", "--check"]).map(|shown| Outcome::one(shown.success))
}

fn clippy(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let words =
        ["clippy", "--workspace", "--all-targets", "--features", PLUGINS, "--locked", "--", "-D", "warnings"];
    cargo(workspace, &words).map(|shown| Outcome::one(shown.success))
}

/// Crates with the features that an embedder may choose; the ones with all of them are what clippy sees above.
const CHOICES: &[(&str, &str)] = &[
    ("mqtt-transport", ""),
    ("mqtt-transport", "ws"),
    ("mqtt-transport", "tls"),
    ("mqtt-transport", "quic"),
    ("mqtt-login", ""),
    ("mqtt-login", "jwt"),
    ("mqtt-login", "http"),
    ("mqtt-client", ""),
    ("mqtt-broker", ""),
    ("martlet", ""),
    ("martlet", "tls,ws,quic"),
];

fn features(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let check = |(name, chosen): &(&str, &str)| {
        let words = ["clippy", "--locked", "-p", name, "--no-default-features", "--features", chosen];
        let mut command = workspace.cargo(&words);
        let shown = process::show(command.args(["--", "-D", "warnings"]));
        shown.map(|shown| Counts::one(shown.success)).map_err(|error| format!("cargo: {error}"))
    };
    let counts = CHOICES.iter().map(check).sum::<Result<Counts, String>>()?;
    Ok(Outcome { counts, note: String::new() })
}

fn tests(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let workspace_with = ["--workspace", "--features", PLUGINS, "--locked", "--no-fail-fast"];
    let nextest = [&["nextest", "run"], &workspace_with[..], &["--status-level=fail"]].concat();
    let libtest = [&["test"], &workspace_with[..], &["--lib", "--bins", "--tests"]].concat();
    let has_nextest = process::output(&mut workspace.cargo(&["nextest", "--version"])).is_ok();
    let words: &[&str] = if has_nextest { &nextest } else { &libtest };
    cargo(workspace, words).map(counted)
}

fn doc_tests(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    cargo(workspace, &["test", "--workspace", "--doc", "--locked", "--no-fail-fast"]).map(counted)
}

/// The runner's own numbers; a runner that failed without a failed test (it did not compile) is one failure.
fn counted(shown: Shown) -> Outcome {
    let mut counts = counters::counts(&shown.output).unwrap_or_default();
    if !shown.success && counts.failed == 0 {
        counts.failed = 1;
    }
    let note = if counts.skipped > 0 { "skipped: marked `#[ignore]`" } else { "" };
    Outcome { counts, note: note.to_owned() }
}

fn documentation(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let mut command = workspace.cargo(&["doc", "--workspace", "--no-deps", "--all-features", "--locked"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    process::show(&mut command).map(|shown| Outcome::one(shown.success)).map_err(|error| error.to_string())
}

/// What would be published of each crate can be told from its manifest. Nothing is packed: that asks a registry for crates
/// which are not there yet.
fn packages(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let others = ["benches", "embedding-examples", "xtask"].map(|name| ["--exclude", name]).concat();
    let words = [&["package", "--workspace", "--list", "--allow-dirty", "--locked"][..], &others].concat();
    cargo(workspace, &words).map(|shown| Outcome::one(shown.success))
}

/// The guide as a book, where the program that makes it is there. What is in it is checked by `tidy` and the tests.
fn guide(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    if process::output(std::process::Command::new("mdbook").arg("--version")).is_err() {
        return Ok(Outcome::skipped("mdbook is not installed"));
    }
    let mut build = std::process::Command::new("mdbook");
    let book = workspace.target.join("guide");
    build.args(["build", "docs/guide", "--dest-dir"]).arg(book).current_dir(&workspace.root);
    process::show(&mut build).map(|shown| Outcome::one(shown.success)).map_err(|error| error.to_string())
}

/// Every bench runs once, with inputs as small as it offers.
fn benches(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    cargo(workspace, &["bench", "-p", "benches", "--locked", "--", "--test"])
        .map(|shown| Outcome::one(shown.success))
}

/// The sources of the components that tests load still fit the interface.
fn guests_build(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    if !guests::is_possible() {
        return Ok(Outcome::skipped(format!("the compiler has no library for {}", guests::TARGET)));
    }
    guests::build(workspace).map(Outcome::one)
}

fn deny(workspace: &Workspace, settings: &Settings) -> Result<Outcome, String> {
    let is_there = || process::output(&mut workspace.cargo(&["deny", "--version"])).is_ok();
    if !is_there() && settings.install_tools {
        install_cargo_deny(workspace);
    }
    if !is_there() {
        return Ok(Outcome::skipped("cargo-deny is not installed (`--install-tools` builds it)"));
    }
    let log = workspace.target.join("cargo-deny.log");
    let mut fetch = workspace.cargo(&["deny", "fetch", "db"]);
    let fetched = process::run_bounded(&mut fetch, &log, FETCH_LIMIT).is_ok_and(|ended| ended.success());
    let mut words = vec!["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    if fetched {
        words.push("advisories");
    }
    let mut outcome = cargo(workspace, &words).map(|shown| Outcome::one(shown.success))?;
    if !fetched {
        outcome.note = "without advisories: their database cannot be reached".to_owned();
    }
    Ok(outcome)
}

fn install_cargo_deny(workspace: &Workspace) {
    println!("building cargo-deny {CARGO_DENY_VERSION}, at most {} s", INSTALL_LIMIT.as_secs());
    let log = workspace.target.join("cargo-deny-install.log");
    let mut install =
        workspace.cargo(&["install", "--locked", "cargo-deny", "--version", CARGO_DENY_VERSION]);
    match process::run_bounded(&mut install, &log, INSTALL_LIMIT) {
        Ok(ended) if ended.success() => println!("cargo-deny is built"),
        Ok(ended) => println!("cargo-deny could not be built ({ended:?}); see {}", log.display()),
        Err(error) => println!("cargo-deny could not be built: {error}"),
    }
}

fn release_build(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    interop::build_release(workspace).map(Outcome::one)
}

/// No layer may need more instructions than is written down for it.
fn instructions(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    if !instructions::is_possible() {
        return Ok(Outcome::skipped("valgrind is not installed"));
    }
    let comparison = instructions::run(workspace)?;
    let failed = comparison.failures.len() as u64;
    let counts = Counts { passed: comparison.passed, failed, skipped: 0 };
    Ok(Outcome { counts, note: comparison.failures.join("; ") })
}

fn interop_suites(workspace: &Workspace, _: &Settings) -> Result<Outcome, String> {
    let summary = interop::run(workspace, &interop::Options::default())?;
    Ok(Outcome { counts: summary.counts, note: summary.notes.join("; ") })
}

fn cargo(workspace: &Workspace, words: &[&str]) -> Result<Shown, String> {
    let mut command = workspace.cargo(words);
    if env::var_os("CARGO_TERM_COLOR").is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        command.env("CARGO_TERM_COLOR", "always");
    }
    process::show(&mut command).map_err(|error| format!("cargo: {error}"))
}
