//! The runtime's threads: as many work as the load needs, the others rest.
//!
//! A scheduler that steals work wakes a second thread as soon as there are two things to do. With many clients that each
//! have one message under way, that is all the time: both threads then do so little at once that they sleep and wake
//! each other more than they work, on processors that the kernel and other programs could use. So the threads that are
//! not needed rest in a task of their own, and come back when those at work have no time left and a processor has.

mod judge;
mod post;
mod processors;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeMetrics};
use tracing::debug;

use self::judge::{Judge, Sample, Verdict};
use self::post::{Post, Rest};
use self::processors::IdleTime;

/// Sends threads to rest and calls them back, until it is dropped: then all work.
#[derive(Debug)]
pub(crate) struct Crew {
    post: Arc<Post>,
    watch: Option<JoinHandle<()>>,
}

impl Crew {
    /// Watches over the threads of a runtime. One that has a single thread needs no watch.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn watch(runtime: &Handle) -> io::Result<Self> {
        let post = Arc::new(Post::default());
        let runtime = runtime.clone();
        if runtime.metrics().num_workers() < 2 {
            return Ok(Self { post, watch: None });
        }
        let watched = post.clone();
        let thread = std::thread::Builder::new().name("martlet-crew".to_owned());
        let watch = thread.spawn(move || Watch::new(runtime, watched).run())?;
        Ok(Self { post, watch: Some(watch) })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.post.close();
        if let Some(watch) = self.watch.take() {
            // A thread that panicked has said so.
            watch.join().ok();
        }
    }
}

/// The longest that a thread rests before another was seen to sleep: only then is nothing left in its own queue.
const PROOF: Duration = Duration::from_millis(5);

/// The one that decides.
#[derive(Debug)]
struct Watch {
    runtime: Handle,
    post: Arc<Post>,
    judge: Judge,
    before: Vec<Reading>,
    idle: IdleTime,
}

/// What the runtime tells about one of its threads.
#[derive(Clone, Copy, Debug)]
struct Reading {
    busy: Duration,
    /// Goes up by one when it falls asleep and when it wakes.
    naps: u64,
}

impl Watch {
    fn new(runtime: Handle, post: Arc<Post>) -> Self {
        let before = readings(&runtime.metrics());
        Self { judge: Judge::new(before.len()), runtime, post, before, idle: IdleTime::default() }
    }

    /// Begins with a single one at work, since there is nothing to do yet.
    fn run(mut self) {
        self.send_to_rest(self.before.len() - 1);
        let mut began = Instant::now();
        while self.post.stay_open(self.judge.patience()) {
            let elapsed = began.elapsed();
            began = Instant::now();
            let mut sample = self.sample(elapsed);
            sample.idle_processors =
                if self.judge.is_close(&sample) { self.idle.processors() } else { self.idle.rest() };
            match self.judge.decide(&sample) {
                Verdict::Rest(threads) => self.send_to_rest(threads),
                Verdict::Work(threads) => self.post.call_back(threads),
                Verdict::Stay => continue,
            }
            debug!(resting = self.post.resting(), "threads");
        }
    }

    fn sample(&mut self, elapsed: Duration) -> Sample {
        let now = readings(&self.runtime.metrics());
        let before = std::mem::replace(&mut self.before, now.clone());
        let busy =
            before.iter().zip(&now).map(|(before, now)| now.busy.saturating_sub(before.busy).min(elapsed));
        // A thread that was neither asleep nor told what it did is in the middle of something: it rests, or it is held up.
        let held = before
            .iter()
            .zip(&now)
            .filter(|(before, now)| before.naps == now.naps && now.naps % 2 == 0 && before.busy == now.busy);
        Sample {
            elapsed,
            busy: busy.sum(),
            held: held.count().saturating_sub(self.post.resting()),
            resting: self.post.resting(),
            idle_processors: Some(0.0),
        }
    }

    /// What a thread has in its queue when it begins to rest is taken by another as soon as that has nothing to do. If none
    /// is seen to sleep soon, there is too much to do to rest.
    fn send_to_rest(&self, threads: usize) {
        if !self.lay_down(threads, PROOF) {
            return;
        }
        let naps = self.naps();
        if !self.post.stay_open(PROOF) || self.naps() == naps {
            self.post.call_back(threads);
        }
    }

    fn lay_down(&self, threads: usize, patience: Duration) -> bool {
        let rest = || drop(self.runtime.spawn(Rest::new(self.post.clone())));
        let all_rest = self.post.expect(threads, patience, rest);
        // Whoever sleeps while nobody looks after the sockets is woken by this, and looks after them.
        drop(self.runtime.spawn(async {}));
        all_rest
    }

    fn naps(&self) -> u64 {
        readings(&self.runtime.metrics()).iter().map(|reading| reading.naps).sum()
    }
}

fn readings(metrics: &RuntimeMetrics) -> Vec<Reading> {
    let read = |thread| Reading {
        busy: metrics.worker_total_busy_duration(thread),
        naps: metrics.worker_park_unpark_count(thread),
    };
    (0..metrics.num_workers()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    /// Long enough for a machine that has other things to do.
    const MINUTE: Duration = Duration::from_secs(60);

    fn runtime(threads: usize) -> Runtime {
        Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
    }

    /// The threads on which many tasks that wake each other run.
    fn threads_at_work(runtime: &Runtime) -> usize {
        let chain = async |rounds: usize| {
            let mut seen = HashSet::new();
            for _ in 0..rounds {
                seen.insert(tokio::spawn(async { std::thread::current().id() }).await.unwrap());
            }
            seen
        };
        runtime.block_on(async {
            let chains: Vec<_> = (0..20).map(|_| tokio::spawn(chain(200))).collect();
            let mut seen = HashSet::new();
            for chain in chains {
                seen.extend(chain.await.unwrap());
            }
            seen.len()
        })
    }

    #[test]
    fn threads_that_rest_leave_their_work_to_the_others_until_they_are_called_back() {
        let runtime = runtime(4);
        let post = Arc::new(Post::default());
        let watch = Watch::new(runtime.handle().clone(), post.clone());
        assert!(watch.lay_down(3, MINUTE));
        assert_eq!((post.resting(), threads_at_work(&runtime)), (3, 1));
        post.call_back(1);
        assert!(post.settle(MINUTE) && threads_at_work(&runtime) <= 2);
        post.close();
        assert!(post.settle(MINUTE) && post.resting() == 0);
    }

    #[test]
    fn sockets_and_timers_are_served_while_all_threads_but_one_rest() {
        let runtime = runtime(2);
        let crew = Crew { post: Arc::default(), watch: None };
        let watch = Watch::new(runtime.handle().clone(), crew.post.clone());
        assert!(watch.lay_down(1, MINUTE));
        let echoed = runtime.block_on(runtime.spawn(async {
            let (mut here, there) = tokio::net::UnixStream::pair().unwrap();
            let echo = tokio::spawn(async move {
                let (mut reads, mut writes) = there.into_split();
                tokio::io::copy(&mut reads, &mut writes).await
            });
            here.write_all(b"21.5").await.unwrap();
            here.shutdown().await.unwrap();
            let mut echoed = Vec::new();
            here.read_to_end(&mut echoed).await.unwrap();
            tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
            echo.await.unwrap().unwrap();
            echoed
        }));
        assert_eq!((echoed.unwrap().as_slice(), crew.post.resting()), (&b"21.5"[..], 1));
        drop(crew); // and the runtime ends, because nobody rests any more
    }

    #[test]
    fn a_runtime_that_is_watched_ends_like_any_other() {
        for threads in [1, 3] {
            let runtime = runtime(threads);
            let crew = Crew::watch(runtime.handle()).unwrap();
            assert!(threads_at_work(&runtime) <= threads);
            drop(crew);
        }
    }
}
