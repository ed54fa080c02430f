//! Transactions on their way to whoever writes: one queue, in order, from which the writer's thread takes, or whoever
//! writes in its stead because it has nothing to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::health::{Condition, Health};
use crate::journal::{Progress, Transaction};

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Order {
    Store {
        transaction: Transaction,
        to: Option<(Arc<Progress>, u64)>,
    },
    /// Store all that came before, sync, and end.
    Close,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    state: Mutex<State>,
    /// The thread may have something to do.
    more: Condvar,
    /// There is room again.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Order>,
    bytes: usize,
    /// Orders for which somebody waits.
    urgent: usize,
    /// Orders that only the thread carries out.
    heavy: usize,
    /// Orders that take long, which are left to the thread as well.
    long: usize,
    /// Those among the urgent ones that are heavy.
    urgent_heavy: usize,
    /// Whether a sync is under way: the next one begins after it, so that heavy orders gain nothing by being written
    /// before its end, and all that come until then share one write and one sync.
    syncing: bool,
    /// Whether the thread is to look even if nothing is urgent.
    rung: bool,
    /// Whether anything came since the thread last looked: then it looks again soon, so that it need not be called.
    stirred: bool,
    /// Whether the thread would not look for long.
    dozing: bool,
    /// Whether nobody writes any more.
    closed: bool,
}

/// Orders that may wait; whoever has more waits.
const ORDERS_MAX: usize = 64 << 10;
/// So many are not left to others: the thread takes them.
const PATIENT_MAX: usize = 1024;
/// The longest that orders wait for which nobody waits.
const PATIENCE: Duration = Duration::from_millis(10);

impl Order {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Store { transaction, .. } => transaction.bytes,
            Self::Close => 0,
        }
    }

    /// Tells whoever waits for it that it will never be stored.
    pub(crate) fn fail(&self) {
        if let Self::Store { to: Some((to, 1..)), .. } = self {
            to.fail();
            to.wake();
        }
    }

    /// Whether somebody waits until it is carried out.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Store { transaction, .. } => transaction.is_awaited(),
            Self::Close => true,
        }
    }

    /// Whether it takes long to carry out.
    fn is_long(&self) -> bool {
        matches!(self, Self::Store { transaction, .. } if transaction.is_long)
    }

    /// Whether it asks for a sync.
    fn is_heavy(&self) -> bool {
        match self {
            Self::Store { transaction, .. } => transaction.synced,
            Self::Close => true,
        }
    }
}

impl State {
    fn count(&mut self, order: &Order, change: impl Fn(&mut usize, usize)) {
        change(&mut self.bytes, order.bytes());
        change(&mut self.urgent, order.is_urgent().into());
        change(&mut self.heavy, order.is_heavy().into());
        change(&mut self.long, order.is_long().into());
        change(&mut self.urgent_heavy, (order.is_urgent() && order.is_heavy()).into());
    }

    /// Whether somebody waits for an order that can be carried out now.
    fn has_urgent(&self) -> bool {
        self.urgent > if self.syncing { self.urgent_heavy } else { 0 }
    }

    fn pop(&mut self) -> Option<Order> {
        let order = self.waiting.pop_front()?;
        self.count(&order, |sum, part| *sum -= part);
        Some(order)
    }
}

impl Orders {
    /// Appends an order, and waits while there are too many. Does not call the thread unless nobody else may come.
    /// If nobody writes any more, whoever waits for it is told that it will not be stored.
    pub(crate) fn push(&self, order: Order) {
        let mut state = self.state.lock();
        while state.waiting.len() >= ORDERS_MAX && !state.closed {
            self.more.notify_one();
            self.room.wait(&mut state);
        }
        if state.closed {
            drop(state);
            return order.fail();
        }
        state.count(&order, |sum, part| *sum += part);
        state.waiting.push_back(order);
        state.stirred = true;
        if state.dozing || state.waiting.len() >= PATIENT_MAX {
            state.dozing = false;
            self.more.notify_one();
        }
    }

    /// Calls the thread.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        state.rung = true;
        (state.dozing, _) = (false, self.more.notify_one());
    }

    /// A sync begins, at the end of which [`end_sync`](Self::end_sync) is called.
    pub(crate) fn begin_sync(&self) {
        self.state.lock().syncing = true;
    }

    /// Calls the thread: a sync has ended, and the next may begin.
    pub(crate) fn end_sync(&self) {
        self.state.lock().syncing = false;
        self.ring();
    }

    /// Whether somebody waits for an order that can be carried out now.
    pub(crate) fn has_urgent(&self) -> bool {
        self.state.lock().has_urgent()
    }

    /// Takes all orders, if they are few and none asks for more than a write. Whether it was so.
    pub(crate) fn take_light(&self, into: &mut Vec<Order>, bytes_max: usize) -> bool {
        let mut state = self.state.lock();
        if state.heavy + state.long > 0 || state.bytes > bytes_max || state.waiting.len() >= PATIENT_MAX {
            return false;
        }
        (state.bytes, state.urgent) = (0, 0);
        into.extend(state.waiting.drain(..));
        true
    }

    /// Takes orders of about so many bytes.
    pub(crate) fn take(&self, into: &mut Vec<Order>, bytes_max: usize) {
        let mut state = self.state.lock();
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(order) = state.pop()
        {
            bytes += order.bytes();
            into.push(order);
        }
        state.rung |= !state.waiting.is_empty();
        if state.waiting.len() < ORDERS_MAX {
            self.room.notify_all();
        }
    }

    /// Waits until there is something to do, or so long.
    pub(crate) fn wait(&self, patience: Duration) {
        let mut state = self.state.lock();
        let is_called =
            |state: &State| state.rung || state.has_urgent() || state.waiting.len() >= PATIENT_MAX;
        if !is_called(&state) && !patience.is_zero() {
            let patience = if std::mem::take(&mut state.stirred) { patience.min(PATIENCE) } else { patience };
            state.dozing = patience > PATIENCE;
            self.more.wait_for(&mut state, patience);
            state.dozing = false;
        }
        state.rung = false;
    }

    /// Nobody writes any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        let rest = std::mem::replace(&mut *state, State { closed: true, ..State::default() });
        self.room.notify_all();
        drop(state);
        rest.waiting.iter().for_each(Order::fail);
    }
}

/// Closes the queue when the thread ends, however it does.
pub(crate) struct Closing<'o> {
    pub(crate) orders: &'o Orders,
    pub(crate) health: Arc<Health>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.become_(Condition::Failed, Some("the thread that writes has panicked"));
        }
        self.orders.close();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::{Durability, SessionId};

    fn order(to: &Arc<Progress>) -> Order {
        Order::Store { transaction: Transaction::default(), to: Some((to.clone(), 1)) }
    }

    #[test]
    fn whoever_comes_before_or_after_the_end_of_the_writer_is_told_that_nothing_is_stored() {
        let orders = Orders::default();
        let (before, after) = (Arc::default(), Arc::default());
        orders.push(order(&before));
        drop(Closing { orders: &orders, health: Arc::default() });
        orders.push(order(&after));
        assert!(before.has_failed() && after.has_failed());
    }

    #[test]
    fn while_one_sync_is_under_way_whatever_needs_the_next_waits_for_its_end_and_the_rest_does_not() {
        let orders = Orders::default();
        let awaiting = |durability| {
            let mut transaction = Transaction::default();
            transaction.require(durability);
            transaction.end(SessionId(NonZeroU64::MIN));
            Order::Store { transaction, to: None }
        };
        orders.begin_sync();
        orders.push(awaiting(Durability::Acked));
        assert!(!orders.has_urgent());
        orders.push(awaiting(Durability::Periodic));
        assert!(orders.has_urgent());
        orders.take(&mut Vec::new(), usize::MAX);
        orders.push(awaiting(Durability::Acked));
        orders.end_sync();
        assert!(orders.has_urgent());
    }

    #[test]
    fn the_end_of_a_session_is_left_to_the_thread() {
        let orders = Orders::default();
        let mut transaction = Transaction::default();
        transaction.end(SessionId(NonZeroU64::MIN));
        orders.push(Order::Store { transaction, to: None });
        let mut taken = Vec::new();
        assert!(!orders.take_light(&mut taken, usize::MAX) && taken.is_empty());
        orders.take(&mut taken, usize::MAX);
        orders.push(order(&Arc::default()));
        assert!(orders.take_light(&mut taken, usize::MAX));
        assert_eq!(taken.len(), 2);
    }

    #[test]
    fn a_writer_that_panics_leaves_a_store_that_has_failed() {
        let health = Arc::new(Health::default());
        let closed = health.clone();
        let thread = std::thread::spawn(move || {
            let _closing = Closing { orders: &Orders::default(), health: closed };
            std::panic::resume_unwind(Box::new("a mistake"));
        });
        assert!(thread.join().is_err());
        assert_eq!(health.condition(), Condition::Failed);
    }
}
