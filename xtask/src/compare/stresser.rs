//! mqtt-stresser: slow, but its figures are quoted everywhere.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::launch::Running;
use super::machine::wait_until_quiet;
use super::peers::Found;
use super::results::{StresserFigures, StresserSample};
use super::run::{Said, bounded_output};
use super::transports::Over;

/// Clients at a time, each publishing to itself.
pub(super) const CLIENTS: [u64; 3] = [2, 10, 100];
/// Messages of each client.
pub(super) const MESSAGES: u64 = 10_000;

const LIMIT: Duration = Duration::from_secs(240);

/// Runs it against a fresh broker.
pub(super) fn measure(
    program: &Path,
    found: &Found,
    clients: u64,
    folder: &Path,
    patience: Duration,
) -> StresserSample {
    wait_until_quiet(patience);
    let outcome = Running::start(found, Over::Tcp, folder).and_then(|running| {
        let mut command = Command::new(program);
        command.args(["-broker", &format!("tcp://127.0.0.1:{}", running.port)]);
        command.args(["-num-clients", &clients.to_string(), "-num-messages", &MESSAGES.to_string()]);
        command.args([
            "-rampup-delay",
            "1s",
            "-rampup-size",
            "100",
            "-timeout",
            "60s",
            "-global-timeout",
            "180s",
        ]);
        command.arg("-no-progress");
        let Said { stdout, stderr } = bounded_output(&mut command, folder, LIMIT)?;
        parse(&stdout).ok_or_else(|| why_not(&format!("{stdout}\n{stderr}")))
    });
    StresserSample { clients, peer: found.peer.name.to_owned(), outcome }
}

/// Reads the two blocks of throughput. Incomplete runs print them, too, and then do not count.
fn parse(text: &str) -> Option<StresserFigures> {
    let complete = text.lines().find_map(|line| line.strip_prefix("Completed:"))?.contains("(100%)");
    let (_, publishing) = text.split_once("# Publishing Throughput")?;
    let (publishing, receiving) = publishing.split_once("# Receiving Throughput").or_else(|| {
        // As the program spells it.
        publishing.split_once("# Receiving Througput")
    })?;
    let three = |block: &str| {
        let number = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some([number("Fastest:")?, number("Median:")?, number("Slowest:")?])
    };
    complete.then_some(StresserFigures { publish: three(publishing)?, receive: three(receiving)? })
}

/// What to tell about a run without figures: how many clients came through, otherwise its last words.
fn why_not(said: &str) -> String {
    let completed = said.lines().find(|line| line.starts_with("Completed:"));
    let last = || said.lines().rev().find(|line| !line.trim().is_empty());
    let line = completed.or_else(last).unwrap_or("it said nothing");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{parse, why_not};

    const SAID: &str = "\
# Results
Completed:          10 (100%)
# Publishing Throughput
Fastest: 300 msg/sec
Slowest: 100 msg/sec
Median: 200 msg/sec

  < 300 msg/sec  100%
# Receiving Througput
Fastest: 30 msg/sec
Slowest: 10 msg/sec
Median: 20 msg/sec
";

    #[test]
    fn both_blocks_are_read() {
        let figures = parse(SAID).expect("complete");
        assert_eq!((figures.publish, figures.receive), ([300.0, 200.0, 100.0], [30.0, 20.0, 10.0]));
    }

    #[test]
    fn an_incomplete_run_does_not_count() {
        assert_eq!(parse(&SAID.replace("10 (100%)", "9 (90%)")), None);
        assert_eq!(parse("Test timeout."), None);
    }

    #[test]
    fn an_incomplete_run_tells_how_many_clients_came_through() {
        assert_eq!(why_not(&SAID.replace("10 (100%)", "9 (90%)")), "Completed: 9 (90%)");
        assert_eq!(why_not("Connecting ...\nTest timeout.\n"), "Test timeout.");
        assert_eq!(why_not("\n"), "it said nothing");
    }
}
