//! The trickle: messages from one client to another, each with the time at which it was sent.

use core::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mqtt_codec::{QoS, Version};
use mqtt_testkit::{ToWire, puback, publish};

use crate::wire::{self, Wire};

/// Between two messages of one quality of service.
const PACE: Duration = Duration::from_micros(500);

/// When messages were sent, and after how many microseconds they came; by quality of service.
type Samples = Arc<Mutex<Vec<(Instant, f64)>>>;

/// Publishers and subscribers at QoS 0 and 1, which run as long as the broker.
pub(crate) struct Probe([Samples; 2]);

/// Of the messages of some time.
pub(crate) struct Figures {
    p50_us: f64,
    pub(crate) p99_us: f64,
    longest_us: f64,
}

impl Probe {
    pub(crate) fn start(port: u16) -> Self {
        Self([QoS::AtMostOnce, QoS::AtLeastOnce].map(|qos| start(port, qos)))
    }

    /// What was sent in between, once all of it has come.
    pub(crate) fn figures(&self, from: Instant, to: Instant) -> [Figures; 2] {
        self.0.each_ref().map(|samples| {
            let has_come = || samples.lock().expect("nobody panics").last().is_some_and(|(at, _)| *at > to);
            while !has_come() {
                thread::sleep(PACE);
            }
            let samples = samples.lock().expect("nobody panics");
            let between = samples.iter().filter(|(at, _)| (from..to).contains(at));
            Figures::of(between.map(|(_, us)| *us).collect())
        })
    }
}

impl Figures {
    fn of(mut all_us: Vec<f64>) -> Self {
        all_us.sort_unstable_by(f64::total_cmp);
        let share = |share: f64| all_us.get((all_us.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        Self { p50_us: share(0.5), p99_us: share(0.99), longest_us: all_us.last().copied().unwrap_or(0.0) }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}, {:.0}, {:.0}", self.p50_us, self.p99_us, self.longest_us)
    }
}

fn start(port: u16, qos: QoS) -> Samples {
    let topic = format!("beside/{}", qos as u8);
    let samples = Samples::default();
    let mut subscriber = Wire::connect(port, &format!("{topic}/to"), true).expect("a connection");
    subscriber.subscribe(&topic, qos).expect("a connection");
    let publisher = Wire::connect(port, &format!("{topic}/from"), true).expect("a connection");
    let (mut acknowledgements, mut writer) = publisher.split();
    let (its_samples, began) = (samples.clone(), Instant::now());
    // All end when the broker closes their connections.
    thread::spawn(move || while wire::read(&mut acknowledgements).is_ok() {});
    thread::spawn(move || {
        while let Ok(packet) = subscriber.read() {
            note(&packet, began, &its_samples);
            if let Some(packet_id) = packet.packet_id()
                && subscriber.write(puback(packet_id)).is_err()
            {
                return;
            }
        }
    });
    thread::spawn(move || {
        for packet_id in (1..=u16::MAX).cycle() {
            let sent_at = u64::try_from(began.elapsed().as_nanos()).expect("not that long");
            let packet = publish(&topic).payload(sent_at.to_be_bytes()).qos(qos, packet_id);
            if writer.write_all(&packet.to_wire(Version::V3_1_1)).is_err() {
                return;
            }
            thread::sleep(PACE);
        }
    });
    samples
}

fn note(packet: &wire::Read1, began: Instant, samples: &Samples) {
    let sent_at = packet.body.last_chunk().filter(|_| packet.first >> 4 == 3);
    let Some(sent_at) = sent_at.map(|bytes| Duration::from_nanos(u64::from_be_bytes(*bytes))) else { return };
    let latency = began.elapsed() - sent_at;
    samples.lock().expect("nobody panics").push((began + sent_at, latency.as_secs_f64() * 1e6));
}
