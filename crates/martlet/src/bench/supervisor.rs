//! Watches a run: time, silence, broken connections, and the user's wish to end it.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::engine::{Mark, Measured, Stage};
use super::link::Broken;
use super::observer::Observer;

/// How often a run is looked at.
const TICK: Duration = Duration::from_millis(10);
/// After all has arrived, so long a further copy of a message may still come.
const GRACE: Duration = Duration::from_millis(50);
/// Broken connections that are told one by one.
const BREAKAGES_KEPT: usize = 5;

/// Looks at a run from outside, in ticks.
pub(super) struct Supervisor<'a> {
    pub(super) stage: &'a Stage,
    breakages: &'a mut UnboundedReceiver<Broken>,
    observer: &'a mut Observer,
    silence: Duration,
    /// For each publisher, what was settled when that last changed, and when it was.
    settled: Vec<(u64, Instant)>,
    stalls: u64,
    broken: Vec<Broken>,
    /// A connection broke, or the user wants to end: no more waiting.
    over: bool,
}

impl<'a> Supervisor<'a> {
    /// For a run whose clients wait at their gates.
    pub(super) fn new(
        stage: &'a Stage,
        breakages: &'a mut UnboundedReceiver<Broken>,
        silence: Duration,
        observer: &'a mut Observer,
    ) -> Self {
        let settled = vec![(0, Instant::now()); stage.gates.len()];
        Self { stage, breakages, observer, silence, settled, stalls: 0, broken: Vec::new(), over: false }
    }

    /// Lets all publishers go.
    pub(super) fn start(&mut self) {
        let now = Instant::now();
        self.settled.iter_mut().for_each(|(_, since)| *since = now);
        self.stage.gates.iter().for_each(|gate| gate.start());
    }

    /// Lets no publisher send anything new.
    pub(super) fn stop(&self) {
        self.stage.gates.iter().for_each(|gate| gate.stop());
    }

    /// The present moment, to measure from.
    pub(super) fn mark(&mut self) -> Mark {
        self.observer.mark();
        Mark { at: Instant::now(), delivered: self.stage.delivered() }
    }

    /// What has happened since.
    pub(super) fn measured_since(&self, begin: &Mark) -> Measured {
        let seconds = begin.at.elapsed().as_secs_f64();
        let delivered = self.stage.delivered() - begin.delivered;
        Measured { seconds, delivered, latency: self.stage.latencies(), spent: self.observer.spent() }
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.watch(|_| Instant::now() >= end).await;
    }

    /// Waits until all publishers are done and all they sent has arrived, or nothing comes any more.
    pub(super) async fn drain(&mut self) {
        let mut latest = (self.stage.delivered(), Instant::now());
        self.watch(|supervisor| {
            let stage = supervisor.stage;
            let delivered = stage.delivered();
            if delivered != latest.0 {
                latest = (delivered, Instant::now());
            }
            let finished = stage.gates.iter().all(|gate| gate.is_finished());
            let complete = finished && delivered >= stage.expected();
            let stopped = finished || stage.gates.iter().all(|gate| gate.is_stopped());
            complete || stopped && latest.1.elapsed() >= supervisor.silence
        })
        .await;
        self.stop();
        let copies_end = Instant::now() + GRACE;
        self.watch(|_| Instant::now() >= copies_end).await;
    }

    /// How often a silence was ended by giving up on messages, and the first reasons of broken connections.
    pub(super) fn finish(self) -> (u64, Vec<Broken>) {
        self.observer.finish();
        (self.stalls, self.broken)
    }

    async fn watch(&mut self, mut is_done: impl FnMut(&Self) -> bool) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        while !self.over && !is_done(self) {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(broken) = self.breakages.recv() => self.note(broken),
                _ = &mut interrupt => self.over = true,
            }
            self.end_silences();
            self.observer.progress(self.stage.delivered());
        }
    }

    fn note(&mut self, broken: Broken) {
        self.over = true;
        if self.broken.len() < BREAKAGES_KEPT {
            self.broken.push(broken);
        }
    }

    /// Gives up on what a publisher has under way when nothing of it arrives any more.
    fn end_silences(&mut self) {
        let now = Instant::now();
        for (gate, (settled, since)) in self.stage.gates.iter().zip(&mut self.settled) {
            let settled_now = gate.settled();
            if settled_now != *settled || gate.under_way() == 0 {
                (*settled, *since) = (settled_now, now);
            } else if now.duration_since(*since) >= self.silence && gate.write_off() {
                self.stalls += 1;
                *since = now;
            }
        }
    }
}
