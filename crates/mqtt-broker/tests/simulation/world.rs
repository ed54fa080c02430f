//! Everything that happens, one random step after the other.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Broker, Settings, SharedStrategy};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::{Faults, SimulatedMedium};
use mqtt_store::{
    Condition, Durability, DurableSettings, DurableStore, Journal as _, QueueLimits, RetainedLimits,
    WriteSettings,
};
use mqtt_testkit::pipe;
use mqtt_transport::Connection;
use tokio::time::{Instant, sleep};

use crate::client::{Client, End};
use crate::link::Link;
use crate::model::Model;

/// A sequence that depends on its seed alone.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn qos(&mut self) -> QoS {
        [AtMostOnce, AtLeastOnce, ExactlyOnce, AtLeastOnce, ExactlyOnce][self.below(5) as usize]
    }
}

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) faults: Vec<String>,
    pub(crate) events: Vec<String>,
    /// Of every packet that a client got, in order.
    pub(crate) hash: u64,
}

pub(crate) struct World {
    random: Random,
    medium: SimulatedMedium,
    store: Arc<DurableStore>,
    broker: Broker,
    durability: Durability,
    began: Instant,
    clients: Vec<Client>,
    model: Model,
    events: Vec<String>,
    hasher: DefaultHasher,
    /// The medium is at fault: nothing can be said about what is refused.
    is_faulty: bool,
}

const CLIENTS: u64 = 6;
const FILTERS: [&str; 6] = ["s/#", "s/+/1", "s/c0/#", "s/will/#", "r/#", "s/c1/2"];
/// 2033, and milliseconds since 1970.
const BEGAN_MS: u64 = 2_000_000_000_000;

impl World {
    pub(crate) async fn start(seed: u64) -> Self {
        let mut random = Random(seed);
        let durability = [Durability::Periodic, Durability::Acked][random.below(2) as usize];
        let (medium, began) = (SimulatedMedium::new(), Instant::now());
        let (store, broker) = open(&medium, durability, began).await;
        let clients = (0..CLIENTS).map(|at| {
            let window = [1, 2, 10, 1000][random.below(4) as usize];
            Client::new(format!("c{at}"), at < CLIENTS - 1, window)
        });
        let clients = clients.collect();
        Self {
            random,
            medium,
            store,
            broker,
            durability,
            began,
            clients,
            model: Model::default(),
            events: vec![format!("{durability:?}")],
            hasher: DefaultHasher::new(),
            is_faulty: false,
        }
    }

    pub(crate) async fn run(mut self, steps: u64) -> Outcome {
        for _ in 0..steps {
            self.step().await;
            if !self.model.faults.is_empty() {
                break;
            }
        }
        if self.model.faults.is_empty() {
            self.finish().await;
        }
        Outcome { faults: self.model.faults, events: self.events, hash: self.hasher.finish() }
    }

    fn tell(&mut self, what: String) {
        let at = self.began.elapsed().as_millis();
        self.events.push(format!("{at} {what}"));
    }

    fn link(&self) -> Link {
        let (near, far) = pipe();
        self.broker.attach(Connection::boxed(far), mqtt_broker::Peer::anonymous());
        Link::new(near)
    }

    /// Lets everybody do what they have to do, or only some of it.
    async fn settle(&mut self) {
        if self.random.one_in(4) {
            for _ in 0..self.random.below(12) {
                tokio::task::yield_now().await;
            }
        } else {
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn step(&mut self) {
        let at = self.random.below(self.clients.len() as u64) as usize;
        match self.random.below(40) {
            0 => self.kill().await,
            1 => self.fail().await,
            2 => self.check_retained().await,
            3 => {
                let time = Duration::from_millis(self.random.below(20_000));
                self.tell(format!("{} ms pass", time.as_millis()));
                sleep(time).await;
            }
            4..=6 => self.cut(at).await,
            7 => self.take_over(at).await,
            8..=17 if self.clients[at].link.is_none() => self.connect(at).await,
            8..=14 => self.subscribe(at).await,
            15..=18 => self.retain(at).await,
            _ => self.publish(at).await,
        }
        self.settle().await;
        for at in 0..self.clients.len() {
            self.receive(at).await;
        }
    }

    async fn receive(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let session = client.session;
        let packets = client.receive(&mut self.model).await;
        // What is discarded while the disk is at fault comes back.
        client.is_doubtful |= self.is_faulty && client.session != session;
        client.pay(&mut self.random).await;
        let name = client.name.clone();
        for packet in packets {
            (at, &packet, self.began.elapsed()).hash(&mut self.hasher);
            self.tell(format!("{name} <- {}", describe(&packet)));
        }
        if self.clients[at].link.as_ref().is_some_and(|link| link.is_closed) {
            self.tell(format!("{name} is closed"));
            self.lose(at, End::Closed).await;
        }
    }

    /// A connection is gone; the will is published if the broker is well.
    async fn lose(&mut self, at: usize, end: End) {
        let Some(will) = self.clients[at].lost(end, &mut self.model) else { return };
        if end == End::Cut && !self.is_faulty {
            self.model.choose(will);
            sleep(Duration::from_millis(1)).await;
            self.model.acknowledged(will, None);
        }
    }

    async fn connect(&mut self, at: usize) {
        let (clean, mortal) = (self.random.one_in(8), self.random.one_in(3));
        let link = self.link();
        let client = &mut self.clients[at];
        client.connect(link, clean, mortal, &mut self.model).await;
        let name = client.name.clone();
        self.tell(format!("{name} connects, clean {clean}, mortal {mortal}"));
    }

    async fn take_over(&mut self, at: usize) {
        if !self.clients[at].is_online() || self.is_faulty {
            return;
        }
        let name = self.clients[at].name.clone();
        self.tell(format!("{name} comes a second time"));
        let old = self.clients[at].link.take();
        self.clients[at].lost(End::Closed, &mut self.model);
        self.connect(at).await;
        self.settle().await;
        drop(old);
    }

    async fn cut(&mut self, at: usize) {
        if self.clients[at].link.is_none() {
            return;
        }
        let name = self.clients[at].name.clone();
        match self.random.below(4) {
            0 if self.clients[at].is_online() => {
                self.tell(format!("{name} disconnects"));
                self.clients[at].disconnect().await;
                self.lose(at, End::Disconnect).await;
            }
            1 if self.clients[at].is_online() => {
                self.tell(format!("{name} is cut within a packet"));
                self.clients[at].send_half().await;
                self.lose(at, End::Cut).await;
            }
            _ => {
                self.tell(format!("{name} is cut"));
                self.lose(at, End::Cut).await;
            }
        }
    }

    async fn subscribe(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if !client.is_online() {
            return;
        }
        let filter = FILTERS[self.random.below(FILTERS.len() as u64) as usize];
        let qos = if filter.starts_with('r') { AtLeastOnce } else { self.random.qos() };
        let name = client.name.clone();
        if self.random.one_in(4) {
            client.unsubscribe(filter, &mut self.model).await;
            self.tell(format!("{name} unsubscribes {filter}"));
        } else {
            client.subscribe(filter, qos, &mut self.model).await;
            self.tell(format!("{name} subscribes {filter} {qos:?}"));
        }
    }

    async fn publish(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if !client.is_online() {
            return;
        }
        for _ in 0..=self.random.below(4) {
            let qos = self.random.qos();
            let topic = format!("s/{}/{}", client.name, qos as u8);
            client.publish(&topic, qos, &mut self.model).await;
        }
        let (name, last) = (client.name.clone(), self.model.messages.len());
        self.tell(format!("{name} publishes up to {last}"));
    }

    async fn retain(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if !client.is_online() {
            return;
        }
        let (clears, qos) =
            (self.random.one_in(3), [AtLeastOnce, ExactlyOnce][self.random.below(2) as usize]);
        client.retain(clears, qos, &mut self.model).await;
        let (name, last) = (client.name.clone(), self.model.messages.len());
        self.tell(format!("{name} retains {last}, clears {clears}"));
    }

    /// The disk gets full, gets room again, or fails for good.
    async fn fail(&mut self) {
        let faults = match self.random.below(4) {
            _ if self.is_faulty && self.store_is_good_for_more() => Faults::default(),
            0 => Faults { sync_fails: true, ..Faults::default() },
            1 => Faults { write_fails: true, ..Faults::default() },
            _ => Faults { room_bytes: Some(self.random.below(300) as usize), ..Faults::default() },
        };
        self.tell(format!("the disk: {faults:?}"));
        let heals = !self.is_faulty;
        self.is_faulty = true;
        self.medium.set_faults(faults);
        if !heals && self.store_is_good_for_more() {
            self.heal().await;
        }
    }

    fn store_is_good_for_more(&self) -> bool {
        self.store.condition() != Condition::Failed
    }

    /// After a full disk: what waits is written.
    async fn heal(&mut self) {
        self.store.retry();
        sleep(Duration::from_millis(500)).await;
        self.is_faulty = self.store.condition() != Condition::Good;
    }

    /// The process is killed, or the power fails, and the broker starts on what is left.
    async fn kill(&mut self) {
        if self.random.one_in(2) {
            for at in 0..self.clients.len() {
                self.receive(at).await;
            }
        }
        let power = self.durability == Durability::Acked && self.random.one_in(3);
        let left = if power {
            let (kept, garbled) = (self.random.below(1001) as usize, self.random.one_in(2));
            self.tell(format!("the power fails, {kept} thousandths are left, garbled {garbled}"));
            self.medium.after_power_failure(kept, garbled)
        } else {
            self.tell("the broker is killed".to_owned());
            self.medium.after_kill()
        };
        let (clients, model) = (self.clients.iter_mut(), &mut self.model);
        let wills: Vec<_> = clients.filter_map(|client| client.lost(End::Killed, model)).collect();
        if power {
            let doubtful = self.model.lose_power();
            for client in &mut self.clients {
                client.is_doubtful |= client.session.is_some_and(|session| doubtful.contains(&session));
                client.is_doubtful |= client.lasts && client.session.is_none();
            }
        }
        self.medium = left;
        // Who was connected has died with the broker; what of them was stored a moment ago the power may have taken.
        let certain = !power && !self.is_faulty;
        for will in wills.into_iter().filter(|_| certain) {
            self.model.choose(will);
            self.model.acknowledged(will, None);
        }
        self.is_faulty = false;
        (self.store, self.broker) = open(&self.medium, self.durability, self.began).await;
    }

    async fn check_retained(&mut self) {
        if self.is_faulty {
            return;
        }
        sleep(Duration::from_millis(1)).await;
        for at in 0..self.clients.len() {
            self.receive(at).await;
        }
        let link = self.link();
        let found = retained(link).await;
        self.tell(format!("retained: {found:?}"));
        self.model.check_retained(&found);
    }

    /// All come back, take what is there for them, and say what is missing.
    async fn finish(&mut self) {
        if self.is_faulty {
            self.medium.set_faults(Faults::default());
            self.kill().await;
        }
        self.tell("the end".to_owned());
        for at in 0..self.clients.len() {
            self.lose(at, End::Cut).await;
        }
        for round in 0..200 {
            for at in 0..self.clients.len() {
                if self.clients[at].link.is_none() {
                    let link = self.link();
                    self.clients[at].connect(link, false, false, &mut self.model).await;
                }
            }
            sleep(Duration::from_millis(1)).await;
            for at in 0..self.clients.len() {
                self.receive(at).await;
                self.clients[at].pay_all().await;
            }
            if round > 2 && self.clients.iter().all(Client::is_idle) && self.is_quiet().await {
                break;
            }
        }
        for client in &self.clients {
            if !client.is_idle() {
                self.model.faults.push(format!("{} waits for the broker for ever", client.name));
            }
            client.session.into_iter().for_each(|session| self.model.check_missing(&client.name, session));
        }
        self.check_retained().await;
        self.check_emptiness().await;
    }

    async fn is_quiet(&mut self) -> bool {
        let before = self.events.len();
        for _ in 0..4 {
            sleep(Duration::from_millis(10)).await;
            for at in 0..self.clients.len() {
                self.receive(at).await;
                self.clients[at].pay_all().await;
            }
        }
        self.events.len() == before
    }

    /// Whoever has everything leaves nothing behind in the store, also not for the next process.
    async fn check_emptiness(&mut self) {
        let kept = self.broker.metrics().storage.map_or(0, |storage| storage.messages);
        if kept != 0 {
            self.model.faults.push(format!("{kept} messages are kept for nobody"));
        }
        let (left, _) = open(&self.medium.after_kill(), self.durability, self.began).await;
        if left.report().messages != 0 {
            self.model.faults.push(format!("{} messages come back for nobody", left.report().messages));
        }
    }
}

async fn open(
    medium: &SimulatedMedium,
    durability: Durability,
    began: Instant,
) -> (Arc<DurableStore>, Broker) {
    let calendar = move || BEGAN_MS + u64::try_from(began.elapsed().as_millis()).expect("not that long");
    let settings = DurableSettings {
        write: WriteSettings {
            sync_interval: Duration::from_secs(3600),
            segment_bytes_max: 2048,
            space_factor: 2,
            space_bytes_min: 8 << 10,
        },
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall { instant: Instant::now().into_std(), unix_ms: calendar() },
        drop_damaged: false,
    };
    let store = DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("nothing is damaged");
    let store = Arc::new(store);
    let mut settings = Settings::default();
    settings.sys.interval = None;
    settings.durability.default = durability;
    settings.shared_strategy = SharedStrategy::RoundRobin;
    let builder = Broker::builder().settings(settings).store(store.clone()).calendar(calendar);
    (store, builder.start().await.expect("it starts"))
}

/// What a newcomer gets of the retained topics.
async fn retained(mut link: Link) -> BTreeMap<String, usize> {
    use mqtt_codec::{Packet, Version, decode};
    link.send(&mqtt_testkit::connect("reader")).await;
    link.send(&mqtt_testkit::subscribe(1).filter("r/#", AtMostOnce)).await;
    sleep(Duration::from_millis(1)).await;
    let mut found = BTreeMap::new();
    for packet in link.receive().await {
        if let Ok(Packet::Publish(message)) = decode(&packet, Version::V5)
            && message.retain
        {
            let number = std::str::from_utf8(message.payload).ok().and_then(|text| text.parse().ok());
            found.insert(message.topic.to_owned(), number.unwrap_or(usize::MAX));
        }
    }
    found
}

fn describe(packet: &[u8]) -> String {
    use mqtt_codec::{Packet, Version, decode};
    match decode(packet, Version::V5) {
        Ok(Packet::Publish(message)) => {
            let payload = String::from_utf8_lossy(message.payload);
            let id = message.packet_id.map_or(0, |id| id.get());
            let flags = if message.dup { " again" } else { "" };
            format!("PUBLISH {} {payload} id {id} {:?}{flags}", message.topic, message.qos)
        }
        Ok(Packet::Connack(connack)) => format!("CONNACK {:?} {}", connack.reason, connack.session_present),
        Ok(Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack)) => {
            format!("{:02x} id {} {:?}", packet[0], ack.packet_id.get(), ack.reason)
        }
        Ok(Packet::Suback(ack)) => format!("SUBACK id {}", ack.packet_id.get()),
        Ok(Packet::Unsuback(ack)) => format!("UNSUBACK id {}", ack.packet_id.get()),
        Ok(Packet::Disconnect(end)) => format!("DISCONNECT {:?}", end.reason),
        other => format!("{other:?}"),
    }
}
