//! The suites: which program runs their cases, and what that program needs first.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process;

/// The revision of eclipse/paho.mqtt.testing that the results in our documentation are about.
const PAHO_REVISION: &str = "9d7bb80bb8b9d9cfc0b52f8cb4c1916401281103";
const PAHO_URL: &str = "https://github.com/eclipse/paho.mqtt.testing.git";
const CLONE_LIMIT: Duration = Duration::from_secs(45);
const INSTALL_LIMIT: Duration = Duration::from_secs(240);

/// Where things are.
pub(super) struct Places {
    /// The folder `interop/` of the repository.
    pub(super) scripts: PathBuf,
    /// What is downloaded and logged, inside cargo's target directory.
    pub(super) work: PathBuf,
    /// A checkout of the Eclipse Paho test suites that somebody pointed at.
    pub(super) paho: Option<PathBuf>,
}

/// A suite that is ready to run: `program list` prints its cases, `program run CASE …` runs one.
#[derive(Clone)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    program: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    /// The time that one case may take.
    pub(super) limit: Duration,
}

impl Suite {
    fn new(name: &'static str, program: impl IntoIterator<Item = OsString>) -> Self {
        let program = program.into_iter().collect();
        Self { name, program, environment: Vec::new(), limit: Duration::from_secs(60) }
    }

    /// The program with further arguments.
    pub(super) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(arguments);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(super) fn cases(&self) -> Result<Vec<String>, String> {
        let list = process::output(&mut self.command(["list"]))?;
        Ok(list.split_whitespace().map(str::to_owned).collect())
    }
}

/// Makes a suite ready, or says in a few words why it cannot run here.
type Prepare = fn(&Places) -> Result<Suite, String>;

/// All suites, the slowest first.
pub(super) const SUITES: &[(&str, Prepare)] = &[
    ("paho-testing-v5", |places| paho_testing(places, "paho-testing-v5", "client_test5")),
    ("paho-testing-v3", |places| paho_testing(places, "paho-testing-v3", "client_test")),
    ("paho-python", |places| virtual_environment(places, "paho-python", "paho_python.py")),
    ("aiomqtt", |places| virtual_environment(places, "aiomqtt", "aiomqtt_cases.py")),
    ("mqtt-js", mqtt_js),
    ("tls", |places| encrypting(places, "tls", "tls_cases.py")),
    ("nginx", |places| encrypting(places, "nginx", "nginx_cases.py")),
    ("browser", browser),
    ("quic", |places| encrypting(places, "quic", "quic_cases.py")),
    ("access", |places| virtual_environment(places, "access", "access_cases.py")),
    ("security", |places| virtual_environment(places, "security", "security_cases.py")),
    ("mosquitto-twin", |places| virtual_environment(places, "mosquitto-twin", "mosquitto_twin_cases.py")),
    ("login", |places| virtual_environment(places, "login", "login_cases.py")),
    ("database-access", |places| {
        need("openssl", "version")?;
        virtual_environment(places, "database-access", "database_cases.py")
    }),
    ("mosquitto", |places| {
        installed(places, "mosquitto", "mosquitto_clients.py", "mosquitto_sub", "mosquitto-clients")
    }),
    ("paho-c", |places| installed(places, "paho-c", "paho_c.py", "paho_c_sub", "paho.mqtt.c-examples")),
];

fn paho_testing(places: &Places, name: &'static str, module: &str) -> Result<Suite, String> {
    need("python3", "--version")?;
    let checkout = match &places.paho {
        Some(checkout) => checkout.clone(),
        None => clone_paho(&places.work)?,
    };
    let folder = paho_folder(&checkout).ok_or("the checkout has no interoperability/client_test5.py")?;
    let script = places.scripts.join("paho_testing.py");
    let mut suite = Suite::new(name, ["python3".into(), script.into(), folder.into(), module.into()]);
    suite.limit = Duration::from_secs(90);
    Ok(suite)
}

/// The folder with the test programs, given the checkout or that folder itself.
pub(super) fn paho_folder(checkout: &Path) -> Option<PathBuf> {
    let candidates = [checkout.join("interoperability"), checkout.to_owned()];
    candidates.into_iter().find(|folder| folder.join("client_test5.py").is_file())
}

fn clone_paho(work: &Path) -> Result<PathBuf, String> {
    let checkout = work.join("paho.mqtt.testing");
    if paho_folder(&checkout).is_some() {
        return Ok(checkout);
    }
    fs::create_dir_all(&checkout).map_err(|error| error.to_string())?;
    let log = work.join("paho.mqtt.testing.log");
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.args(words).current_dir(&checkout).env("GIT_TERMINAL_PROMPT", "0");
        process::run_bounded(&mut command, &log, CLONE_LIMIT).is_ok_and(|ended| ended.success())
    };
    let fetched =
        git(&["init", "--quiet"]) && git(&["fetch", "--quiet", "--depth=1", PAHO_URL, PAHO_REVISION]);
    if fetched && git(&["checkout", "--quiet", "FETCH_HEAD"]) {
        return Ok(checkout);
    }
    Err("no checkout given (--paho DIR or PAHO_TESTING_DIR) and its git host cannot be reached".to_owned())
}

/// A suite in Python that needs packages; they are installed by name, at the versions of `requirements.txt`.
fn virtual_environment(places: &Places, name: &'static str, script: &str) -> Result<Suite, String> {
    need("python3", "--version")?;
    let folder = places.work.join("python");
    let python = folder.join("bin/python");
    let requirements = places.scripts.join("requirements.txt");
    once(&requirements, &folder.join("installed"), || {
        let log = places.work.join("python.log");
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(&folder);
        install(&mut create, &log, "a virtual environment for Python")?;
        let mut packages = Command::new(&python);
        packages
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements);
        install(&mut packages, &log, "the packages of requirements.txt")
    })?;
    Ok(Suite::new(name, [python.into(), places.scripts.join(script).into()]))
}

/// MQTT.js on a page; the browser itself is the system's.
fn browser(places: &Places) -> Result<Suite, String> {
    let suite = encrypting(places, "browser", "browser_cases.py")?;
    mqtt_js(places).map(|_| suite)
}

/// Encrypted listeners, QUIC among them; the cases of MQTT.js are skipped where its package cannot be had.
fn encrypting(places: &Places, name: &'static str, script: &str) -> Result<Suite, String> {
    need("openssl", "version")?;
    let mut suite = virtual_environment(places, name, script)?;
    let packages = mqtt_js(places).map(|other| other.environment).unwrap_or_default();
    suite.environment.extend(packages);
    Ok(suite)
}

fn mqtt_js(places: &Places) -> Result<Suite, String> {
    need("node", "--version")?;
    need("npm", "--version")?;
    let folder = places.work.join("node");
    let package = places.scripts.join("package.json");
    once(&package, &folder.join("installed"), || {
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        fs::copy(&package, folder.join("package.json")).map_err(|error| error.to_string())?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]);
        install(npm.current_dir(&folder), &places.work.join("npm.log"), "the package of package.json")
    })?;
    let mut suite = Suite::new("mqtt-js", ["node".into(), places.scripts.join("mqtt_js.cjs").into()]);
    suite.environment.push(("NODE_PATH", folder.join("node_modules").into()));
    Ok(suite)
}

/// A suite that drives programs which the system's package brings.
fn installed(
    places: &Places,
    name: &'static str,
    script: &str,
    program: &str,
    package: &str,
) -> Result<Suite, String> {
    need("python3", "--version")?;
    need(program, "--help").map_err(|reason| format!("{reason} (package {package})"))?;
    Ok(Suite::new(name, ["python3".into(), places.scripts.join(script).into()]))
}

fn need(program: &str, probe: &str) -> Result<(), String> {
    if process::exists(program, probe) { Ok(()) } else { Err(format!("{program} is not installed")) }
}

/// Runs an installation unless it was done for this very list of packages; `stamp` keeps the list.
fn once(list: &Path, stamp: &Path, install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let wanted = fs::read(list).map_err(|error| format!("{}: {error}", list.display()))?;
    if fs::read(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).map_err(|error| error.to_string())
}

fn install(command: &mut Command, log: &Path, what: &str) -> Result<(), String> {
    let ended = process::run_bounded(command, log, INSTALL_LIMIT).map_err(|error| error.to_string())?;
    if ended.success() { Ok(()) } else { Err(format!("cannot install {what}: see {}", log.display())) }
}
