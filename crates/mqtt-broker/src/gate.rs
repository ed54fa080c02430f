//! What stands before a login: how many may come, from where, how fast, and how many of one user.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_codec::ReasonCode;
use mqtt_session::Refusal;
use parking_lot::Mutex;

use crate::Limits;
use crate::bucket::Bucket;
use crate::refusals::EntryRefusal;

/// Counts of connections, shared by all listeners.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded: those without connections and with a full bucket make room.
    addresses: HashMap<IpAddr, Visitor>,
    users: HashMap<Arc<str>, usize>,
    arrivals: Option<Bucket>,
    /// Connections that have not been admitted yet.
    handshakes: usize,
    /// Bytes of their packets, without those that each may have anyway.
    early_bytes: usize,
}

#[derive(Debug)]
struct Visitor {
    open: usize,
    bucket: Bucket,
}

/// One connection of an address, and its handshake as long as it lasts.
#[derive(Debug)]
pub(crate) struct Visit {
    gate: Gate,
    address: IpAddr,
}

/// The time until a connection is admitted.
#[derive(Debug)]
pub(crate) struct Handshake(Gate);

/// What one connection that has not been admitted yet holds of `limits.handshake_bytes_max`.
#[derive(Debug)]
pub(crate) struct EarlyBytes {
    gate: Gate,
    counted: usize,
}

/// One connection of a user.
#[derive(Debug)]
pub(crate) struct Seat {
    gate: Gate,
    username: Arc<str>,
}

/// Bytes before the admission that do not count, so that those who send a lot keep nobody else out.
const EARLY_BYTES_FREE: usize = 1024;
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 100_000;

impl Gate {
    /// Lets a new connection in.
    ///
    /// # Errors
    /// It comes too fast, or there are too many.
    pub(crate) fn enter(
        &self,
        limits: &Limits,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(Option<Box<Visit>>, Handshake), EntryRefusal> {
        let address = address.map(network_of);
        let mut state = self.state.lock();
        if limits.handshakes_max > 0 && state.handshakes >= limits.handshakes_max {
            return Err(EntryRefusal::HandshakesFull);
        }
        state.visit(limits, address, now)?;
        state.arrive(limits, now)?;
        state.handshakes += 1;
        let visit = address.and_then(|address| self.note_visit(&mut state, address));
        Ok((visit, Handshake(self.clone())))
    }

    /// Counts a connection whose address a proxy has told after it was let in.
    ///
    /// # Errors
    /// No more may come from there.
    pub(crate) fn reveal(
        &self,
        limits: &Limits,
        address: IpAddr,
        now: Instant,
    ) -> Result<Option<Box<Visit>>, EntryRefusal> {
        let address = network_of(address);
        let mut state = self.state.lock();
        state.visit(limits, Some(address), now)?;
        Ok(self.note_visit(&mut state, address))
    }

    /// One more connection from there. Addresses are remembered only where a limit counts them.
    fn note_visit(&self, state: &mut State, address: IpAddr) -> Option<Box<Visit>> {
        state.addresses.get_mut(&address)?.open += 1;
        Some(Box::new(Visit { gate: self.clone(), address }))
    }

    /// The room that one connection takes before it is admitted; nothing yet.
    pub(crate) fn early_bytes(&self) -> EarlyBytes {
        EarlyBytes { gate: self.clone(), counted: 0 }
    }

    /// A place among the connections of a user, if users are counted.
    ///
    /// # Errors
    /// The user has as many as it may.
    pub(crate) fn seat(&self, limits: &Limits, username: Option<&Arc<str>>) -> Result<Option<Seat>, Refusal> {
        let (Some(username), 1..) = (username, limits.connections_per_user_max) else { return Ok(None) };
        let mut state = self.state.lock();
        let seats = state.users.entry(username.clone()).or_insert(0);
        if *seats >= limits.connections_per_user_max {
            return Err(ReasonCode::QuotaExceeded.into());
        }
        *seats += 1;
        Ok(Some(Seat { gate: self.clone(), username: username.clone() }))
    }
}

impl EarlyBytes {
    /// So many bytes are held from now on; `bytes_max` is for all together, 0 for no limit.
    ///
    /// # Errors
    /// There is no room for them.
    pub(crate) fn hold(&mut self, bytes: usize, bytes_max: usize) -> Result<(), EntryRefusal> {
        let counted = bytes.saturating_sub(EARLY_BYTES_FREE);
        if counted == self.counted {
            return Ok(());
        }
        let mut state = self.gate.state.lock();
        let all = state.early_bytes - self.counted + counted;
        if bytes_max > 0 && all > bytes_max && counted > self.counted {
            return Err(EntryRefusal::HandshakeBytes);
        }
        state.early_bytes = all;
        self.counted = counted;
        Ok(())
    }
}

impl State {
    fn arrive(&mut self, limits: &Limits, now: Instant) -> Result<(), EntryRefusal> {
        let rate = limits.connects_per_second_max;
        let in_time =
            rate == 0 || self.arrivals.get_or_insert_with(|| Bucket::new(now)).take(rate, rate, now);
        if in_time { Ok(()) } else { Err(EntryRefusal::TooFast) }
    }

    /// Whether one more connection may come from here.
    fn visit(&mut self, limits: &Limits, address: Option<IpAddr>, now: Instant) -> Result<(), EntryRefusal> {
        let (open_max, rate) =
            (limits.connections_per_address_max, limits.connects_per_address_per_second_max);
        let Some(address) = address.filter(|_| open_max > 0 || rate > 0) else { return Ok(()) };
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, visitor| visitor.open > 0 || !visitor.bucket.is_full(now));
            if self.addresses.len() >= ADDRESSES_MAX {
                return Err(EntryRefusal::AddressTooFast);
            }
        }
        let visitor = self.addresses.entry(address);
        let visitor = visitor.or_insert_with(|| Visitor { open: 0, bucket: Bucket::new(now) });
        if open_max > 0 && visitor.open >= open_max {
            return Err(EntryRefusal::AddressFull);
        }
        let in_time = rate == 0 || visitor.bucket.take(rate, rate, now);
        if in_time { Ok(()) } else { Err(EntryRefusal::AddressTooFast) }
    }
}

/// Whoever has an IPv6 address has a whole /64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        let Some(visitor) = state.addresses.get_mut(&self.address) else { return };
        visitor.open = visitor.open.saturating_sub(1);
        let forgettable = visitor.open == 0;
        if forgettable && state.addresses.len() > ADDRESSES_MAX / 2 {
            state.addresses.remove(&self.address);
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.state.lock().handshakes -= 1;
    }
}

impl Drop for EarlyBytes {
    fn drop(&mut self) {
        if self.counted > 0 {
            self.gate.state.lock().early_bytes -= self.counted;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        if let Some(seats) = state.users.get_mut(&self.username) {
            *seats -= 1;
            if *seats == 0 {
                state.users.remove(&self.username);
            }
        }
    }
}
