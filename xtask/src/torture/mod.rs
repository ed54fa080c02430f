//! `cargo xtask torture`: the real broker is killed again and again, on a disk that fails, while clients count what
//! arrives.

mod broker;
mod mortal;
mod publisher;
mod subscriber;
mod verdict;
mod wire;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::CommandResult;
use crate::args::Args;
use crate::workspace::Workspace;
use broker::{Broker, Life, Plan, build_faults};
use mortal::{Mortal, life};
use publisher::{Progress, Publisher, topic};
use subscriber::{Group, Subscriber};
use wire::{Link, Packet};

const FAULTS_SHOWN: usize = 40;
const PUBLISHERS: usize = 4;
const RETRY: Duration = Duration::from_millis(5);
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const RETAINED_LIMIT: Duration = Duration::from_secs(10);
/// How long the broker lives between two kills, in milliseconds.
const LIFE_MIN_MILLIS: u64 = 50;
const LIFE_SPREAD_MILLIS: u64 = 1500;
const AWAY: Duration = Duration::from_millis(700);
/// The run within CI.
const SHORT: Duration = Duration::from_secs(25);

/// What the broker promises with an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Memory,
    Periodic,
    Acked,
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "periodic" => Ok(Self::Periodic),
            "acked" => Ok(Self::Acked),
            other => Err(format!("--mode {other}: it can be memory, periodic or acked")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Periodic => "periodic",
            Self::Acked => "acked",
        }
    }
}

/// Where the broker is and what can be expected of it.
struct Place {
    address: SocketAddr,
    /// How long any one connection may last.
    limit: Duration,
    /// Whether its disk may be full or fail, so that it may refuse messages.
    can_fail: bool,
    mode: Mode,
    /// What is said of the broker's present [life].
    life: AtomicU64,
}

pub(crate) fn command(workspace: &Workspace, mut args: Args) -> CommandResult {
    let minutes: f64 = args
        .value("--minutes")?
        .map_or(Ok(1.0), |text| text.parse())
        .map_err(|_| "--minutes needs a number")?;
    if !(minutes > 0.0 && minutes <= 1440.0) {
        return Err("--minutes must be more than 0 and at most 1440".to_owned());
    }
    let seed = args.value("--seed")?.map(|text| text.parse().map_err(|_| "--seed needs a number"));
    let seed = seed.transpose()?.unwrap_or_else(clock_seed);
    let mode = args.value("--mode")?.map_or(Ok(Mode::Periodic), |text| Mode::parse(&text))?;
    let binary =
        args.value("--binary")?.map(std::path::absolute).transpose().map_err(|error| error.to_string())?;
    args.finish()?;
    let binary = binary.unwrap_or_else(|| workspace.target.join("release/martlet"));
    let time = Duration::from_secs_f64(minutes * 60.0);
    torture(workspace, &binary, time, seed, mode).map(|faults| faults == 0)
}

/// The short run of CI against the release build: half of it each in the two modes that outlive the process.
pub(crate) fn run(workspace: &Workspace) -> CommandResult {
    let binary = workspace.target.join("release/martlet");
    let seed = clock_seed();
    let mut faults = 0;
    for mode in [Mode::Periodic, Mode::Acked] {
        faults += torture(workspace, &binary, SHORT / 2, seed, mode)?;
    }
    Ok(faults == 0)
}

/// Runs and prints the verdict; returns how many faults there were.
fn torture(
    workspace: &Workspace,
    binary: &Path,
    time: Duration,
    seed: u64,
    mode: Mode,
) -> Result<usize, String> {
    println!("torture: seed {seed}, {}, {} s", mode.name(), time.as_secs());
    let folder = workspace.target.join("torture").join(format!("{seed}-{}", mode.name()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let plan = plan(binary, &folder, seed, mode)?;
    let mut broker = Broker::start(plan)?;
    let limit = time + DRAIN_LIMIT;
    let place = Place {
        address: broker.address,
        limit,
        can_fail: broker.can_fail(),
        mode,
        life: AtomicU64::default(),
    };
    let progress: Vec<Progress> = (0..PUBLISHERS).map(|_| Progress::default()).collect();
    let groups = [Group::new("present"), Group::new("often-away"), Group::shared("shared")];
    let subscribers = subscribers(&place, &groups)?;
    let (running, publishing) = (AtomicBool::new(true), AtomicBool::new(true));
    let mortals = Mortal::all(&place);
    let (counts, mut faults) = thread::scope(|scope| {
        let (place, running, publishing, progress) = (&place, &running, &publishing, &progress);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|at| scope.spawn(move || Publisher::new(at, place, &progress[at]).run(running, DRAIN_LIMIT)))
            .collect();
        let subscribers: Vec<_> = subscribers
            .into_iter()
            .map(|one| scope.spawn(move || one.run(publishing, progress, DRAIN_LIMIT)))
            .collect();
        let mortals = mortals.map(|mortal| scope.spawn(|| mortal.run(running)));
        let mut faults = Vec::new();
        let counts = kill_again_and_again(&mut broker, time, seed, place, progress, &mut faults);
        running.store(false, Ordering::SeqCst);
        let died = mortals.map(|mortal| mortal.join().expect("a client that dies does not panic")).concat();
        faults.extend(publishers.into_iter().flat_map(|one| one.join().expect("a publisher does not panic")));
        groups.iter().for_each(|group| group.expect_wills(&died));
        publishing.store(false, Ordering::SeqCst);
        faults
            .extend(subscribers.into_iter().flat_map(|one| one.join().expect("a subscriber does not panic")));
        (counts, faults)
    });
    let counts = counts?;
    faults.extend(groups.iter().flat_map(|group| group.verdict(&place, &progress, &counts.sent_before)));
    faults.extend(verdict::check(&mut broker, &place, &progress)?);
    let sent: u64 = progress.iter().map(|one| one.sent.load(Ordering::SeqCst)).sum();
    let refused: usize = progress.iter().map(|one| one.refused.lock().expect("nobody panicked").len()).sum();
    drop(broker);
    faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("torture: {fault}"));
    let (kills, powers) = (counts.kills, counts.power_failures);
    println!(
        "torture: seed {seed}, {}: {kills} kills, {powers} of them power failures, {sent} messages, {refused} refused, {} faults",
        mode.name(),
        faults.len()
    );
    if faults.is_empty() {
        let _ = fs::remove_dir_all(&folder);
    } else {
        println!("torture: the data directory and log are in {}", folder.display());
    }
    Ok(faults.len())
}

fn plan(binary: &Path, folder: &Path, seed: u64, mode: Mode) -> Result<Plan, String> {
    let (binary, folder): (PathBuf, PathBuf) = (binary.to_owned(), folder.to_owned());
    let faults = build_faults(&folder)?;
    Ok(Plan { binary, folder, mode, seed, faults })
}

/// Sessions that subscribe before anything is published: one always there, one often away, and two that share.
fn subscribers<'a>(place: &'a Place, groups: &'a [Group; 3]) -> Result<Vec<Subscriber<'a>>, String> {
    let [present, often_away, shared] = groups;
    let all = [
        ("present", present, Duration::ZERO),
        ("often-away", often_away, AWAY),
        ("shared-1", shared, Duration::ZERO),
        ("shared-2", shared, AWAY),
    ];
    all.into_iter()
        .map(|(name, group, away)| {
            let (mut link, _) = Link::open(place.address, name, false).map_err(|error| error.to_string())?;
            group
                .filters()
                .iter()
                .try_for_each(|filter| link.subscribe(filter))
                .map_err(|error| error.to_string())?;
            Ok(Subscriber::new(name.to_owned(), place, away, group))
        })
        .collect()
}

/// What was done to the broker.
struct Counts {
    kills: u64,
    power_failures: u64,
    /// What each publisher had sent before the last kill.
    sent_before: Vec<u64>,
}

fn kill_again_and_again(
    broker: &mut Broker,
    time: Duration,
    seed: u64,
    place: &Place,
    progress: &[Progress],
    faults: &mut Vec<String>,
) -> Result<Counts, String> {
    let end = Instant::now() + time;
    let mut random = Random(seed);
    let mut counts = Counts { kills: 0, power_failures: 0, sent_before: Vec::new() };
    let of_all = |count: &dyn Fn(&Progress) -> u64| progress.iter().map(count).collect::<Vec<u64>>();
    // Until every publisher got an answer, nobody was promised anything.
    while of_all(&|one| one.answered.load(Ordering::SeqCst)).contains(&0) && Instant::now() < end {
        thread::sleep(RETRY);
    }
    let mut has_faults = false;
    while Instant::now() < end {
        let loses_power = broker.can_fail() && place.mode == Mode::Acked && random.below(3) == 0;
        place.life.store(life(counts.kills, !has_faults && !loses_power), Ordering::SeqCst);
        thread::sleep(Duration::from_millis(LIFE_MIN_MILLIS + random.below(LIFE_SPREAD_MILLIS)));
        has_faults = broker.can_fail() && random.below(2) == 0;
        let acknowledged = of_all(&|one| one.retained_acknowledged.load(Ordering::SeqCst));
        counts.kills += 1;
        counts.power_failures += u64::from(loses_power);
        broker.kill()?;
        place.life.store(life(counts.kills, false), Ordering::SeqCst);
        counts.sent_before = of_all(&|one| one.sent.load(Ordering::SeqCst));
        broker.restart(Life { number: counts.kills, has_faults }, loses_power)?;
        if place.mode != Mode::Memory {
            let found = retained_faults(place, progress, &acknowledged);
            faults.extend(found.into_iter().map(|fault| format!("after kill {}: {fault}", counts.kills)));
        }
    }
    // The last life is a good one: what waits can be stored.
    broker.restart(Life { number: counts.kills + 1, has_faults: false }, false)?;
    counts.sent_before = of_all(&|one| one.sent.load(Ordering::SeqCst));
    Ok(counts)
}

/// Each retained value must be the last acknowledged before the kill, or a later one that was sent.
fn retained_faults(place: &Place, progress: &[Progress], acknowledged: &[u64]) -> Vec<String> {
    let values = match retained_values(place, acknowledged) {
        Ok(values) => values,
        Err(error) => return vec![format!("retained values cannot be read: {error}")],
    };
    let mut faults = Vec::new();
    for (at, (value, least)) in values.iter().zip(acknowledged).enumerate() {
        let most = progress[at].retained_sent.load(Ordering::SeqCst);
        if value < least || *value > most {
            faults.push(format!("{} retains {value}, expected {least} to {most}", topic(at)));
        }
    }
    faults
}

/// What a newcomer receives of each topic first; zero for nothing.
fn retained_values(place: &Place, acknowledged: &[u64]) -> std::io::Result<Vec<u64>> {
    let end = Instant::now() + RETAINED_LIMIT;
    let mut values = Vec::new();
    for (at, least) in acknowledged.iter().enumerate() {
        let (mut link, _) = Link::open(place.address, &format!("reader-{at}"), true)?;
        link.subscribe(&topic(at))?;
        let mut value = 0;
        while *least > 0 && value == 0 && Instant::now() < end {
            if let Some(Packet::Publish { retain: true, payload, .. }) = link.poll()? {
                value = payload.parse().unwrap_or_default();
            }
        }
        values.push(value);
    }
    Ok(values)
}

/// Splitmix64: the same kills for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64)
}
