//! Wakes connections at a later time: one timer for all of them, so that a connection needs none of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clients::Handle;

/// Who is woken when. A connection has one entry at most: the earliest time that it asked for.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// By time and by the address of the handle, which nothing else has while it lies here.
    entries: Mutex<BTreeMap<(Instant, usize), Arc<Handle>>>,
    earlier: Notify,
}

/// When one connection will be woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Instant>);

/// Connections woken in one go before others get a turn.
const WOKEN_MAX: usize = 1024;

impl Alarm {
    /// Sees to it that the connection is woken at `at` or before. An early alarm is harmless, since the next one is
    /// set when it rings; so traffic, which only puts deadlines off, does not come this far.
    pub(crate) fn ensure(&mut self, alarms: &Alarms, handle: &Arc<Handle>, at: Instant, now: Instant) {
        let stands = self.0.is_some_and(|standing| standing > now && standing <= at);
        if !stands {
            alarms.set(self.0.replace(at), at, handle);
        }
    }

    /// Forgets it.
    pub(crate) fn clear(&mut self, alarms: &Alarms, handle: &Arc<Handle>) {
        if let Some(at) = self.0.take() {
            alarms.entries.lock().remove(&(at, address(handle)));
        }
    }
}

impl Alarms {
    fn set(&self, earlier: Option<Instant>, at: Instant, handle: &Arc<Handle>) {
        let mut entries = self.entries.lock();
        if let Some(earlier) = earlier {
            entries.remove(&(earlier, address(handle)));
        }
        let is_first = entries.first_key_value().is_none_or(|((first, _), _)| at < *first);
        entries.insert((at, address(handle)), handle.clone());
        drop(entries);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Moves those whose time has come to `due`, up to [`WOKEN_MAX`].
    fn take_due(&self, now: Instant, due: &mut Vec<Arc<Handle>>) {
        let mut entries = self.entries.lock();
        while due.len() < WOKEN_MAX
            && let Some(first) = entries.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
    }

    fn next_at(&self) -> Option<Instant> {
        self.entries.lock().first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes everybody whose time has come, for as long as the broker runs.
    pub(crate) async fn ring(&self) {
        let mut due = Vec::new();
        loop {
            self.take_due(tokio::time::Instant::now().into_std(), &mut due);
            if due.is_empty() {
                self.wait().await;
            } else {
                due.drain(..).for_each(|handle| handle.wake());
                tokio::task::yield_now().await;
            }
        }
    }

    async fn wait(&self) {
        let earlier = self.earlier.notified();
        match self.next_at() {
            None => earlier.await,
            Some(at) => tokio::select! {
                biased;
                () = earlier => {}
                () = tokio::time::sleep_until(at.into()) => {}
            },
        }
    }
}

fn address(handle: &Arc<Handle>) -> usize {
    Arc::as_ptr(handle).addr()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A handle, and how often its connection was woken.
    fn connection() -> (Arc<Handle>, Arc<Count>) {
        let (handle, count) = (Arc::new(Handle::default()), Arc::new(Count(AtomicUsize::new(0))));
        handle.register(&Waker::from(count.clone()));
        (handle, count)
    }

    fn rung(alarms: &Alarms, now: Instant) -> usize {
        let mut due = Vec::new();
        alarms.take_due(now, &mut due);
        due.len()
    }

    #[test]
    fn a_later_deadline_leaves_the_alarm_alone_and_an_earlier_one_moves_it() {
        let (alarms, (handle, _)) = (Alarms::default(), connection());
        let (mut alarm, now) = (Alarm::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        alarm.ensure(&alarms, &handle, after(10), now);
        alarm.ensure(&alarms, &handle, after(20), now);
        assert_eq!(alarms.next_at(), Some(after(10)));
        alarm.ensure(&alarms, &handle, after(5), now);
        assert_eq!(alarms.next_at(), Some(after(5)));
        assert_eq!((rung(&alarms, after(4)), rung(&alarms, after(30))), (0, 1));
        alarm.ensure(&alarms, &handle, after(20), after(5));
        assert_eq!(alarms.next_at(), Some(after(20)));
        alarm.clear(&alarms, &handle);
        assert_eq!(alarms.next_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_woken_at_the_exact_time() {
        let alarms = Arc::new(Alarms::default());
        let ringing = alarms.clone();
        tokio::spawn(async move { ringing.ring().await });
        let begin = tokio::time::Instant::now();
        let (late, early) = (connection(), connection());
        for ((handle, _), seconds) in [(&late, 9), (&early, 3)] {
            let at = begin + Duration::from_secs(seconds);
            Alarm::default().ensure(&alarms, handle, at.into_std(), begin.into_std());
            tokio::task::yield_now().await;
        }
        for (millis, woken) in [(2_999, [0, 0]), (3_001, [0, 1]), (8_999, [0, 1]), (9_001, [1, 1])] {
            tokio::time::sleep_until(begin + Duration::from_millis(millis)).await;
            let counts = [&late, &early].map(|(_, count)| count.0.load(Ordering::Relaxed));
            assert_eq!(counts, woken, "after {millis} ms");
        }
    }
}
