//! Many retained messages: what storing them costs, and how fast a new subscriber gets them all.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{PacketId, PacketType, QoS, Version};

use super::dial::Dialer;
use super::ledger::Ledger;
use super::link::{Answers, Broken, Link, farewell};
use super::observer::Observer;
use super::packets::{Template, acknowledgement, publish, received, subscribe};
use super::report::Report;
use super::scenario::Retained;
use super::stamp::Stamp;

/// Messages that are sent in one go, and above QoS 0 acknowledged before the next ones.
const CHUNK: u16 = 500;

/// Publishes, subscribes, counts, and takes away again what was published.
///
/// # Errors
/// A connection cannot be opened or breaks. Missing messages are problems in the report.
pub(super) async fn run(
    dialer: Arc<Dialer>,
    scenario: &Retained,
    observer: &mut Observer,
) -> Result<Report, Broken> {
    let mut report = Report::default();
    let mut publisher = dialer.admit(0, "p0").await?;
    let mut subscriber = dialer.admit(1, "s0").await?;

    observer.mark();
    let started = Instant::now();
    store(&mut publisher, &dialer.prefix, scenario, scenario.payload_bytes).await?;
    report.section("storing").add("messages", u64::from(scenario.messages));
    let count = u64::from(scenario.messages);
    add_costs(&mut report, observer, started.elapsed(), count);
    if let Some(broker) = observer.spent().broker {
        report.add("rss_bytes_each", broker.rss_bytes_each(scenario.messages as usize));
    }

    observer.mark();
    let started = Instant::now();
    let replay = Replay::of(&mut subscriber, &dialer.prefix, scenario).await?;
    report.section("replay").add("messages", replay.received);
    add_costs(&mut report, observer, replay.latest.duration_since(started), replay.received);
    report.add("first_after_us", replay.first.unwrap_or(started).duration_since(started).as_secs_f64() * 1e6);
    report.add("live", replay.live);
    replay.judge(count, &mut report);

    subscriber.disconnect().await;
    if !scenario.keep {
        store(&mut publisher, &dialer.prefix, scenario, 0).await?;
    }
    publisher.disconnect().await;
    Ok(report)
}

/// What `count` steps have cost since the mark.
fn add_costs(report: &mut Report, observer: &Observer, time: Duration, count: u64) {
    report.add("per_s", count as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE));
    if let Some(broker) = observer.spent().broker {
        report.add("cpu_us_each", broker.cpu.as_secs_f64() * 1e6 / count.max(1) as f64);
    }
}

/// Publishes one retained message for each topic; with no payload it takes away what was there `[MQTT-3.3.1-6]`.
async fn store(
    link: &mut Link,
    prefix: &str,
    scenario: &Retained,
    payload_bytes: usize,
) -> Result<(), Broken> {
    let chunk = link.receive_maximum.min(CHUNK);
    let mut numbers = 0..scenario.messages;
    let mut bytes = Vec::new();
    while !numbers.is_empty() {
        bytes.clear();
        let ids = (1..=chunk).filter_map(PacketId::new);
        let mut sent = 0;
        // The other way round, a number would be taken for the identifier that is not there.
        for (id, number) in ids.zip(numbers.by_ref()) {
            let topic = format!("{prefix}/{number}");
            let (qos, version) = (scenario.qos, link.version);
            let template =
                Template { topic: &topic, qos, retain: true, payload_bytes, publisher: 0, version };
            bytes.extend(publish(&template, number, id).map_err(|error| error.to_string())?);
            sent += 1;
        }
        link.send(&bytes).await?;
        if scenario.qos != QoS::AtMostOnce {
            acknowledged(link, sent).await?;
        }
    }
    // When the answer comes, everything before it has been taken.
    link.ping().await
}

/// Waits until so many messages are acknowledged.
async fn acknowledged(link: &mut Link, mut messages: u32) -> Result<(), Broken> {
    let mut frame = Vec::new();
    while messages > 0 {
        link.next_frame(&mut frame).await?;
        match (PacketType::from_first_byte(frame[0]), frame.as_slice()) {
            (Some(PacketType::Puback | PacketType::Pubcomp), _) => messages -= 1,
            (Some(PacketType::Pubrec), &[_, _, high, low, ..]) => {
                link.send(&acknowledgement(0x62, [high, low])).await?;
            }
            (Some(PacketType::Disconnect), _) => return Err(farewell(&frame, link.version)),
            _ => return Err(format!("a publisher got a packet of type {}", frame[0] >> 4)),
        }
    }
    Ok(())
}

/// What a subscriber of everything got.
struct Replay {
    version: Version,
    payload_bytes: usize,
    ledger: Ledger,
    received: u64,
    /// Those that came without the RETAIN flag: the broker stored them after it took the subscription.
    live: u64,
    damaged: u64,
    first: Option<Instant>,
    latest: Instant,
    trouble: Option<Broken>,
}

impl Replay {
    /// Subscribes to all and receives until there are as many as there should be, or no more come.
    async fn of(link: &mut Link, prefix: &str, scenario: &Retained) -> Result<Self, Broken> {
        let mut replay = Self {
            version: link.version,
            payload_bytes: scenario.payload_bytes,
            ledger: Ledger::new(1),
            received: 0,
            live: 0,
            damaged: 0,
            first: None,
            latest: Instant::now(),
            trouble: None,
        };
        let packet = subscribe(link.version, &format!("{prefix}/+"), scenario.qos);
        link.send(&packet.map_err(|error| error.to_string())?).await?;
        while replay.received < u64::from(scenario.messages) {
            match tokio::time::timeout(scenario.silence, replay.take_burst(link)).await {
                Ok(taken) => taken?,
                Err(_) => break,
            }
        }
        Ok(replay)
    }

    async fn take_burst(&mut self, link: &mut Link) -> Result<(), Broken> {
        link.frames(|frame, answers| self.take(frame, answers)).await?;
        self.latest = Instant::now();
        self.first = self.first.or((self.received > 0).then_some(self.latest));
        poll_fn(|cx| link.poll_answer(cx)).await?;
        self.trouble.take().map_or(Ok(()), Err)
    }

    fn take(&mut self, frame: &[u8], answers: &mut Answers) {
        match (PacketType::from_first_byte(frame[0]), frame) {
            (Some(PacketType::Publish), _) => self.take_message(frame, answers),
            (Some(PacketType::Suback), &[.., reason]) if reason < 0x80 => {}
            (Some(PacketType::Pubrel), &[_, _, high, low, ..]) => {
                answers.push(acknowledgement(0x70, [high, low]));
            }
            (Some(PacketType::Disconnect), _) => self.trouble = Some(farewell(frame, self.version)),
            _ => self.trouble = Some(format!("a subscriber got the packet {frame:?}")),
        }
    }

    fn take_message(&mut self, frame: &[u8], answers: &mut Answers) {
        let message = received(frame, self.version);
        let stamp = message.and_then(|message| Stamp::read(message.payload));
        let Some((message, stamp)) = message.zip(stamp) else {
            self.damaged += 1;
            return;
        };
        if let Some(id) = message.id {
            answers.push(acknowledgement(if frame[0] & 0b0100 == 0 { 0x40 } else { 0x50 }, id));
        }
        self.received += 1;
        self.live += u64::from(!message.retain);
        self.damaged += u64::from(message.payload.len() != self.payload_bytes);
        self.ledger.arrive(0, stamp.sequence);
    }

    fn judge(&self, expected: u64, report: &mut Report) {
        let flaws = self.ledger.flaws([expected].into_iter());
        let found = [(flaws.lost, "lost"), (flaws.duplicated, "duplicated"), (self.damaged, "damaged")];
        report.section("check");
        for (count, name) in found {
            report.add(name, count);
            if count > 0 {
                report.problems.push(format!("{count} messages {name}"));
            }
        }
    }
}
