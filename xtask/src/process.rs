//! Running other programs: with their output both shown and kept, or into a log with a time limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(10);

/// What a program that was shown while it ran has left behind.
pub(crate) struct Shown {
    pub(crate) success: bool,
    /// Both output streams, line by line in the order of their arrival.
    pub(crate) output: String,
}

/// Runs a program without standard input, passes its output on and keeps it.
pub(crate) fn show(command: &mut Command) -> io::Result<Shown> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let kept = Arc::new(Mutex::new(String::new()));
    let out = child.stdout.take().map(|stream| pass_on(stream, io::stdout(), &kept));
    let err = child.stderr.take().map(|stream| pass_on(stream, io::stderr(), &kept));
    let status = child.wait()?;
    for reader in [out, err].into_iter().flatten() {
        reader.join().expect("passing lines on does not panic");
    }
    let output = std::mem::take(&mut *kept.lock().expect("no thread panicked with the lock held"));
    Ok(Shown { success: status.success(), output })
}

fn pass_on(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    kept: &Arc<Mutex<String>>,
) -> thread::JoinHandle<()> {
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            // Whoever watches may have gone away; the output is still kept.
            let _ = to.write_all(&line).and_then(|()| to.flush());
            kept.lock()
                .expect("no thread panicked with the lock held")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

/// How a program with a time limit ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(Option<i32>),
    OutOfTime,
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        *self == Self::Code(Some(0))
    }
}

/// Runs a program with both output streams in the file `log`, and ends it with all its children after `limit`.
pub(crate) fn run_bounded(command: &mut Command, log: &Path, limit: Duration) -> io::Result<Ended> {
    let out = File::create(log)?;
    let err = out.try_clone()?;
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn()?;
    match wait(&mut child, limit)? {
        Some(status) => Ok(Ended::Code(status.code())),
        None => {
            signal("KILL", &format!("-{}", child.id()));
            child.wait()?;
            Ok(Ended::OutOfTime)
        }
    }
}

/// Waits for a child, or says `None` when it is still there after `limit`.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Asks `kill` to send a signal; a process that has ended already is no error.
pub(crate) fn signal(name: &str, process: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), "--", process]).stderr(Stdio::null()).status();
}

/// Whether a program of this name is found and answers to `probe`, whatever it answers.
pub(crate) fn exists(program: &str, probe: &str) -> bool {
    let probe = Command::new(program)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok()
}

/// The standard output of a program that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if !out.status.success() {
        return Err(format!("{name} failed: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    String::from_utf8(out.stdout).map_err(|_| format!("{name} printed something that is not UTF-8"))
}
