//! Wakes a task that has registered once.

use std::task::Waker;

use parking_lot::Mutex;

/// The way to wake a task. Unlike with futures' `AtomicWaker`, ringing does not use the registration up, so that a task
/// which always has the same waker need not come back before each wait.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Option<Waker>>);

impl Bell {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// From now on this is who is woken.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.0.lock();
        if registered.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let replaced = registered.replace(waker.clone());
        drop(registered);
        drop(replaced);
    }

    pub(crate) fn wake(&self) {
        // What waking leads to is done outside of the lock.
        let waker = self.0.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes nobody any more.
    pub(crate) fn clear(&self) {
        let waker = self.0.lock().take();
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn rung(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_task_registers_once_for_any_number_of_wakes() {
        let (bell, count) = (Bell::new(), Arc::new(Count::default()));
        bell.register(&Waker::from(count.clone()));
        bell.wake();
        bell.wake();
        assert_eq!(count.rung(), 2);
    }

    #[test]
    fn the_last_who_registered_is_woken_and_nobody_is_kept() {
        let (bell, first, second) = (Bell::new(), Arc::new(Count::default()), Arc::new(Count::default()));
        bell.register(&Waker::from(first.clone()));
        bell.register(&Waker::from(second.clone()));
        bell.wake();
        assert_eq!((first.rung(), second.rung(), Arc::strong_count(&first)), (0, 1, 1));
        bell.clear();
        bell.wake();
        assert_eq!((second.rung(), Arc::strong_count(&second)), (1, 1));
    }
}
