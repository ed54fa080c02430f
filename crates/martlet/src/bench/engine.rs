//! Runs a [`Load`]: connects its clients, lets them go, watches them, and adds up what they say.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::crew::in_parallel;
use super::dial::Dialer;
use super::gate::Gate;
use super::histogram::Histogram;
use super::ledger::Ledger;
use super::link::{Broken, Link};
use super::observer::{Observer, Spent};
use super::publisher::Publisher;
use super::scenario::{Extent, Load, Plan};
use super::sequence::Flaws;
use super::stamp::Clock;
use super::subscriber::{Subscriber, Tally};
use super::supervisor::Supervisor;

/// Connections that are being opened at a time.
const CONNECTING_MAX: usize = 32;

/// What a run has found.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Messages published, warm-up included.
    pub(super) published: u64,
    /// Messages received, warm-up and duplicates included.
    pub(super) received: u64,
    pub(super) flaws: Flaws,
    /// How often a publisher went on after a silence, because nothing it had under way arrived any more.
    pub(super) stalls: u64,
    /// Connections that ended before their time, and why.
    pub(super) broken: Vec<Broken>,
    pub(super) measured: Measured,
}

/// What was measured, without the warm-up.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) delivered: u64,
    pub(super) latency: Histogram,
    pub(super) spent: Spent,
}

/// A run with its clients connected.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) gates: Vec<Arc<Gate>>,
    tallies: Vec<Arc<Mutex<Tally>>>,
    pub(super) clock: Clock,
    /// Deliveries that each message leads to.
    fan: u64,
}

/// Runs a load from the first connection to the last.
///
/// # Errors
/// The clients cannot be connected; what happens later is part of the outcome.
pub(super) async fn run(
    dialer: Arc<Dialer>,
    load: &Load,
    threads: usize,
    observer: &mut Observer,
) -> Result<Outcome, Broken> {
    let plan = Plan::new(load, &dialer.prefix);
    let stage = Stage::new(&plan, load.window, threads);
    let ledger = plan.shared.then(|| Arc::new(Mutex::new(Ledger::new(plan.publishers.len()))));
    let subscribers = connect_subscribers(&dialer, &plan, load).await?;
    let publishers = connect_publishers(&dialer, &plan).await?;

    let (end, ended) = watch::channel(false);
    let (broken, mut breakages) = mpsc::unbounded_channel();
    let mut receiving = JoinSet::new();
    for (at, (task, link)) in plan.subscribers.iter().zip(subscribers).enumerate() {
        let gates = &stage.gates[task.sources.start as usize..task.sources.end as usize];
        let tally = Arc::clone(&stage.tallies[at % stage.tallies.len()]);
        let subscriber = Subscriber::new(link, task, gates, ledger.clone(), tally, stage.clock);
        receiving.spawn(receive(subscriber, ended.clone(), broken.clone()));
    }
    let mut publishing = JoinSet::new();
    for ((task, gate), link) in plan.publishers.iter().zip(&stage.gates).zip(publishers) {
        let publisher = Publisher::new(link, task, Arc::clone(gate), stage.clock)?;
        publishing.spawn(publish(publisher, ended.clone(), broken.clone()));
    }
    drop((ended, broken));

    let mut supervisor = Supervisor::new(&stage, &mut breakages, load.silence, observer);
    let measured = measure(&mut supervisor, load.extent).await;
    let (stalls, broken) = supervisor.finish();
    end.send_replace(true);
    while publishing.join_next().await.is_some() {}
    let mut flaws = Flaws::default();
    receiving.join_all().await.into_iter().for_each(|found| flaws += found);
    if let Some(ledger) = ledger {
        let ledger = ledger.lock().expect("nothing panics while it holds this lock");
        flaws += ledger.flaws(stage.gates.iter().map(|gate| gate.sent_messages()));
    }
    let published = stage.gates.iter().map(|gate| gate.sent_messages()).sum();
    Ok(Outcome { published, received: stage.delivered(), flaws, stalls, broken, measured })
}

async fn measure(supervisor: &mut Supervisor<'_>, extent: Extent) -> Measured {
    match extent {
        Extent::Time { warm_up, measured } => {
            supervisor.start();
            supervisor.pass(warm_up).await;
            supervisor.stage.forget_latencies();
            let begin = supervisor.mark();
            supervisor.pass(measured).await;
            let result = supervisor.measured_since(&begin);
            supervisor.stop();
            supervisor.drain().await;
            result
        }
        Extent::Messages(_) => {
            let begin = supervisor.mark();
            let begin_ns = supervisor.stage.clock.now_ns();
            supervisor.start();
            supervisor.drain().await;
            let mut result = supervisor.measured_since(&begin);
            let latest_ns = supervisor.stage.latest_ns().max(begin_ns);
            result.seconds = (latest_ns - begin_ns) as f64 / 1e9;
            result
        }
    }
}

async fn connect_subscribers(dialer: &Arc<Dialer>, plan: &Plan, load: &Load) -> Result<Vec<Link>, Broken> {
    let qos = load.qos;
    in_parallel(0..plan.subscribers.len(), CONNECTING_MAX, |number| {
        let (dialer, filter) = (Arc::clone(dialer), plan.subscribers[number].filter.clone());
        async move {
            let mut link = dialer.admit(number, &format!("s{number}")).await?;
            link.subscribe(&filter, qos).await?;
            Ok(link)
        }
    })
    .await
}

async fn connect_publishers(dialer: &Arc<Dialer>, plan: &Plan) -> Result<Vec<Link>, Broken> {
    let before = plan.subscribers.len();
    in_parallel(0..plan.publishers.len(), CONNECTING_MAX, |number| {
        let dialer = Arc::clone(dialer);
        async move { dialer.admit(before + number, &format!("p{number}")).await }
    })
    .await
}

async fn receive(
    mut subscriber: Subscriber,
    ended: watch::Receiver<bool>,
    broken: mpsc::UnboundedSender<Broken>,
) -> Flaws {
    let broke = until_end(ended, |cx| subscriber.poll_run(cx)).await;
    let flaws = subscriber.flaws();
    match broke {
        Some(reason) => drop(broken.send(format!("a subscriber's connection: {reason}"))),
        None => subscriber.end().await,
    }
    flaws
}

async fn publish(
    mut publisher: Publisher,
    ended: watch::Receiver<bool>,
    broken: mpsc::UnboundedSender<Broken>,
) {
    match until_end(ended, |cx| publisher.poll_run(cx)).await {
        Some(reason) => drop(broken.send(format!("a publisher's connection: {reason}"))),
        None => publisher.end().await,
    }
}

/// Lets a client work until it breaks, or until the end of the run.
async fn until_end(
    mut ended: watch::Receiver<bool>,
    mut poll_run: impl FnMut(&mut std::task::Context<'_>) -> Poll<Broken>,
) -> Option<Broken> {
    let mut end = pin!(ended.wait_for(|ended| *ended));
    poll_fn(|cx| match poll_run(cx) {
        Poll::Ready(broken) => Poll::Ready(Some(broken)),
        Poll::Pending => end.as_mut().poll(cx).map(|_| None),
    })
    .await
}

impl Stage {
    fn new(plan: &Plan, window: u64, threads: usize) -> Self {
        Self {
            gates: plan.publishers.iter().map(|_| Arc::new(Gate::new(plan.fan, window))).collect(),
            tallies: (0..threads.max(1)).map(|_| Arc::new(Mutex::new(Tally::new()))).collect(),
            clock: Clock::start(),
            fan: plan.fan,
        }
    }

    /// Messages received so far.
    pub(super) fn delivered(&self) -> u64 {
        self.tallied(|tally| tally.delivered).sum()
    }

    /// Messages that should have been received by now.
    pub(super) fn expected(&self) -> u64 {
        self.gates.iter().map(|gate| gate.sent_messages() * self.fan).sum()
    }

    /// All latencies since they were last forgotten.
    pub(super) fn latencies(&self) -> Histogram {
        let mut sum = Histogram::new();
        self.tallied(|tally| sum.merge(&tally.latency)).for_each(drop);
        sum
    }

    fn forget_latencies(&self) {
        self.tallied(|tally| tally.latency.clear()).for_each(drop);
    }

    /// When the latest message arrived, on the clock of the run.
    fn latest_ns(&self) -> u64 {
        self.tallied(|tally| tally.latest_ns).max().unwrap_or(0)
    }

    fn tallied<T>(&self, mut look: impl FnMut(&mut Tally) -> T) -> impl Iterator<Item = T> {
        self.tallies
            .iter()
            .map(move |tally| look(&mut tally.lock().expect("nothing panics while it holds this lock")))
    }
}

/// The moment from which something is measured.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    pub(super) delivered: u64,
}
