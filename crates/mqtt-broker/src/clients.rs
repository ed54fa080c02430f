//! Who is connected, who is away: one owner for each client identifier.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Instant;

use mqtt_session::{Refusal, Session, WillMessage};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::access::Identity;
use crate::bell::Bell;
use crate::connection::{Dialogue, Replays};
use crate::outbox::Outbox;

/// All sessions by client identifier.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Ordered, so that they can be listed in pages.
    slots: Mutex<BTreeMap<Arc<str>, Slot>>,
    away: AtomicUsize,
}

#[derive(Debug)]
pub(crate) enum Slot {
    Online(Arc<Handle>),
    Away(Box<Away>),
}

/// A session whose client is away. Its protocol state is in the store.
#[derive(Debug)]
pub(crate) struct Away {
    pub(crate) outbox: Arc<Outbox>,
    /// Names this absence in the timetable.
    pub(crate) epoch: u64,
    /// When the session ends; `None` for never.
    pub(crate) ends_at: Option<Instant>,
    /// What will be published, and when, unless the client returns ([MQTT-3.1.3-9]).
    pub(crate) will: Option<(WillMessage, Instant)>,
    pub(crate) replays: Option<Replays>,
}

/// What others can ask of a connection.
#[derive(Debug)]
pub(crate) enum Order {
    /// Give the session to a new connection of the same client ([MQTT-3.1.4-3]).
    HandOver { clean_start: bool, to: oneshot::Sender<Option<HandedOver>> },
    /// Leave with this reason.
    Disconnect(Refusal),
    /// Access rules have changed: look at everything again.
    Recheck,
    /// Send what can be sent, say 0x8B and leave.
    ShutDown,
    /// Do this on the connection's own task, and go on.
    Act(Act),
}

/// Work for a connection's task. It is dropped undone if the connection ends first.
pub(crate) struct Act(pub(crate) Box<Work>);

type Work = dyn FnOnce(&mut Dialogue, Instant) + Send;

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

/// A session on its way from one connection to the next.
#[derive(Debug)]
pub(crate) struct HandedOver {
    pub(crate) session: Session,
    pub(crate) outbox: Arc<Outbox>,
    /// Retained messages that its subscriptions have not got yet.
    pub(crate) replays: Option<Replays>,
}

/// The way to a connection's task.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    /// Whose connection it is.
    pub(crate) identity: Option<Arc<Identity>>,
    orders: Mutex<VecDeque<Order>>,
    waker: Bell,
    ordered: AtomicBool,
    /// Whether nobody carries out orders any more.
    closed: AtomicBool,
}

impl Order {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::HandOver { .. } => "taken over",
            Self::Disconnect(_) => "by order",
            Self::Recheck => "rechecked",
            Self::ShutDown => "shutdown",
            Self::Act(_) => "work",
        }
    }
}

/// A client identifier is in use by, or kept for, another user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherUsers;

impl Slot {
    /// Whose it is, if it is anybody's.
    pub(crate) fn owner(&self) -> Option<Arc<Identity>> {
        match self {
            Self::Online(handle) => handle.identity.clone(),
            Self::Away(away) => away.outbox.identity(),
        }
    }
}

impl Handle {
    pub(crate) fn new(identity: &Arc<Identity>) -> Self {
        Self { identity: Some(identity.clone()), ..Self::default() }
    }

    fn username(&self) -> Option<Arc<str>> {
        self.identity.as_ref().and_then(|identity| identity.username.clone())
    }

    pub(crate) fn order(&self, order: Order) {
        let mut orders = self.orders.lock();
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        orders.push_back(order);
        drop(orders);
        self.ordered.store(true, Ordering::Release);
        self.wake();
    }

    /// The connection has ended: what was ordered and what comes is dropped.
    pub(crate) fn close(&self) {
        let mut orders = self.orders.lock();
        self.closed.store(true, Ordering::Relaxed);
        let dropped = std::mem::take(&mut *orders);
        drop(orders);
        drop(dropped);
    }

    /// Has the connection look at its deadlines and orders.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn take_order(&self) -> Option<Order> {
        if !self.ordered.load(Ordering::Acquire) {
            return None;
        }
        let mut orders = self.orders.lock();
        let order = orders.pop_front();
        self.ordered.store(!orders.is_empty(), Ordering::Release);
        order
    }
}

impl Clients {
    /// Makes `handle` the owner of a client identifier; returns what was there.
    ///
    /// # Errors
    /// It belongs to another user.
    pub(crate) fn claim(
        &self,
        client_id: &Arc<str>,
        handle: &Arc<Handle>,
    ) -> Result<Option<Slot>, OtherUsers> {
        let mut slots = self.slots.lock();
        let user = handle.username();
        let owner = slots.get(client_id).and_then(Slot::owner);
        if owner.is_some_and(|owner| owner.username != user) {
            return Err(OtherUsers);
        }
        let previous = slots.insert(client_id.clone(), Slot::Online(handle.clone()));
        drop(slots);
        if matches!(previous, Some(Slot::Away(_))) {
            self.away.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(previous)
    }

    /// Makes `handle` the owner of the identifier of a client that is away.
    pub(crate) fn take_away(&self, client_id: &Arc<str>, handle: &Arc<Handle>) -> Option<Box<Away>> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(client_id).filter(|slot| matches!(slot, Slot::Away(_)))?;
        let Slot::Away(away) = std::mem::replace(slot, Slot::Online(handle.clone())) else { return None };
        self.away.fetch_sub(1, Ordering::Relaxed);
        Some(away)
    }

    /// Makes `handle` the owner of an identifier that nobody has. Whether it was free.
    pub(crate) fn claim_free(&self, client_id: &Arc<str>, handle: &Arc<Handle>) -> bool {
        let mut slots = self.slots.lock();
        let free = !slots.contains_key(client_id);
        if free {
            slots.insert(client_id.clone(), Slot::Online(handle.clone()));
        }
        free
    }

    /// Removes a client that is away.
    pub(crate) fn remove_away(&self, client_id: &str) -> Option<Box<Away>> {
        let epoch = match self.slots.lock().get(client_id) {
            Some(Slot::Away(away)) => away.epoch,
            _ => return None,
        };
        self.end_absence(client_id, epoch)
    }

    /// Up to `limit` clients after an identifier, in the order of their bytes, and whether each is connected.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, bool)> {
        let slots = self.slots.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = slots.range::<str, _>((start, Bound::Unbounded)).take(limit);
        page.map(|(id, slot)| (id.clone(), matches!(slot, Slot::Online(_)))).collect()
    }

    /// Whether a client is connected; `None` if there is no session of that name.
    pub(crate) fn is_online(&self, client_id: &str) -> Option<bool> {
        self.slots.lock().get(client_id).map(|slot| matches!(slot, Slot::Online(_)))
    }

    /// Gives up a client identifier, unless another connection has claimed it. Whether it was ours.
    pub(crate) fn release(&self, client_id: &str, handle: &Arc<Handle>) -> bool {
        let mut slots = self.slots.lock();
        let ours = is_owner(&slots, client_id, handle);
        if ours {
            slots.remove(client_id);
        }
        ours
    }

    /// Marks a client as away, unless another connection has claimed its identifier: then the parts come
    /// back.
    pub(crate) fn leave(
        &self,
        client_id: &Arc<str>,
        handle: &Arc<Handle>,
        away: Box<Away>,
    ) -> Result<(), Box<Away>> {
        let mut slots = self.slots.lock();
        if !is_owner(&slots, client_id, handle) {
            return Err(away);
        }
        slots.insert(client_id.clone(), Slot::Away(away));
        self.away.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Marks a client as away that has not connected since the start; returns what was there.
    pub(crate) fn restore(&self, client_id: &Arc<str>, away: Box<Away>) -> Option<Box<Away>> {
        match self.slots.lock().insert(client_id.clone(), Slot::Away(away)) {
            Some(Slot::Away(older)) => Some(older),
            _ => {
                self.away.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Removes the session of a client that is away in that epoch.
    pub(crate) fn end_absence(&self, client_id: &str, epoch: u64) -> Option<Box<Away>> {
        let mut slots = self.slots.lock();
        match slots.get(client_id) {
            Some(Slot::Away(away)) if away.epoch == epoch => {}
            _ => return None,
        }
        match slots.remove(client_id) {
            Some(Slot::Away(away)) => {
                self.away.fetch_sub(1, Ordering::Relaxed);
                Some(away)
            }
            _ => None,
        }
    }

    /// Takes the delayed will of a client that is away in that epoch.
    pub(crate) fn take_will(&self, client_id: &str, epoch: u64) -> Option<(WillMessage, Arc<Outbox>)> {
        match self.slots.lock().get_mut(client_id) {
            Some(Slot::Away(away)) if away.epoch == epoch => {
                let (will, _) = away.will.take()?;
                Some((will, away.outbox.clone()))
            }
            _ => None,
        }
    }

    /// The connections of all clients that are online.
    pub(crate) fn online(&self) -> Vec<Arc<Handle>> {
        let slots = self.slots.lock();
        let online = slots.values().filter_map(|slot| match slot {
            Slot::Online(handle) => Some(handle.clone()),
            Slot::Away(_) => None,
        });
        online.collect()
    }

    /// The connection of one client.
    pub(crate) fn find(&self, client_id: &str) -> Option<Arc<Handle>> {
        match self.slots.lock().get(client_id)? {
            Slot::Online(handle) => Some(handle.clone()),
            Slot::Away(_) => None,
        }
    }

    /// Clients that are online, and clients that are away.
    pub(crate) fn len(&self) -> (usize, usize) {
        let all = self.slots.lock().len();
        let away = self.away.load(Ordering::Relaxed).min(all);
        (all - away, away)
    }
}

fn is_owner(slots: &BTreeMap<Arc<str>, Slot>, client_id: &str, handle: &Arc<Handle>) -> bool {
    matches!(slots.get(client_id), Some(Slot::Online(owner)) if Arc::ptr_eq(owner, handle))
}
