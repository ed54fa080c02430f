//! A running `martlet serve` and the tools that talk to it, all from the binary that was built for the test.
#![allow(dead_code, reason = "each test program uses another part")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// The binary with a clean environment.
pub(crate) fn martlet<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_martlet"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    martlet(arguments).output().expect("the binary runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A file of one test, removed with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` is unique among all tests of the crate.
    pub(crate) fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("martlet-{}-{name}", std::process::id())))
    }

    pub(crate) fn with(name: &str, content: impl AsRef<[u8]>) -> Self {
        let scratch = Self::new(name);
        std::fs::write(&scratch.0, content).expect("a writable directory for temporary files");
        scratch
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A broker process that listens; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    log: BufReader<ChildStderr>,
    /// The addresses that its log lines told, in order.
    pub addresses: Vec<String>,
}

impl Broker {
    /// Listens on TCP only, on a free port.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--listen", "tcp://127.0.0.1:0"], 1)
    }

    /// Keeps its state in a directory.
    #[allow(dead_code, reason = "not every test file keeps state")]
    pub(crate) fn start_on(directory: &str) -> Self {
        let arguments = ["--listen", "tcp://127.0.0.1:0", "--data-dir", directory];
        Self::start_as(&["serve", "--set", "log.format=json"], &arguments, 1)
    }

    /// Starts `martlet serve` in memory and waits until it has told the addresses of so many listeners.
    pub(crate) fn start_with(arguments: &[&str], listeners: usize) -> Self {
        Self::start_as(&["serve", "--in-memory", "--set", "log.format=json"], arguments, listeners)
    }

    fn start_as(command: &[&str], arguments: &[&str], listeners: usize) -> Self {
        Self::spawn(martlet(command).args(arguments), listeners)
    }

    /// Starts a broker that logs in JSON, and waits until it has told the addresses of so many listeners.
    pub(crate) fn spawn(command: &mut Command, listeners: usize) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut broker = Self { child, log, addresses: Vec::new() };
        while broker.addresses.len() < listeners {
            let line = broker.line_with("\"listening\"");
            let (_, rest) = line.split_once("\"url\":\"").expect("a listener's line has its URL");
            broker.addresses.push(rest.split('"').next().expect("a closing quote").to_owned());
        }
        broker
    }

    /// Reads the log up to a line that holds this text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            let bytes = self.log.read_line(&mut all).expect("readable");
            assert!(bytes > 0, "the log ended without {text}:\n{all}");
            if all[start..].contains(text) {
                return all[start..].to_owned();
            }
        }
    }

    /// Host and port of a listener.
    pub(crate) fn socket(&self, listener: usize) -> &str {
        let (_, rest) = self.addresses[listener].split_once("://").expect("a URL");
        rest.split('/').next().expect("a host")
    }

    /// Port of the first listener.
    pub(crate) fn port(&self) -> &str {
        self.socket(0).rsplit(':').next().expect("a port")
    }

    /// Number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end: exit code and the rest of the log.
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut rest).expect("readable");
        (self.child.wait().expect("it ends").code(), rest)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end with this on its standard input.
pub(crate) fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = martlet(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads its input");
    child.wait_with_output().expect("it ends")
}
