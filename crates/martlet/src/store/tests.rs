//! Exports of random stores, and lines that are wrong.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use mqtt_codec::{PacketId, PropertiesBuf, Property, QoS, RetainHandling, SubscriptionOptions};
use mqtt_session::{Subscription, WillMessage};
use mqtt_store::durable::{CopyItem, ImportError, Importer, Item, MessageItem};
use mqtt_store::{SessionHead, Source};
use mqtt_topic::TopicName;
use tempfile::{TempDir, tempdir};

use super::transfer::{Refused, read, write};

/// A sequence that depends on its seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn qos(&mut self) -> QoS {
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.below(3) as usize]
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 8] = ["a", "ä", "\"", "\\", "\n", "€/", "𝄞", "{}"];
        (0..=self.below(6)).map(|_| PARTS[self.below(8) as usize]).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        if self.chance() {
            return self.text().into_bytes();
        }
        (0..self.below(80)).map(|_| self.below(256) as u8).collect()
    }

    fn properties(&mut self) -> PropertiesBuf {
        let mut properties = PropertiesBuf::new();
        let (text, bytes) = (self.text(), self.bytes());
        let all = [
            Property::PayloadFormatIndicator(text.len() % 2 == 0),
            Property::ContentType(&text),
            Property::ResponseTopic("answers"),
            Property::CorrelationData(&bytes),
            Property::UserProperty("k", &text),
            Property::UserProperty("k", "again"),
        ];
        for property in all.iter().filter(|_| self.chance()) {
            properties.push(property).expect("it fits");
        }
        properties
    }

    fn source(&mut self) -> Source {
        Source {
            client_id: self.text().into(),
            username: Some(self.text().into()).filter(|_| self.chance()),
            listener: self.text().into(),
            address: Some("2001:db8::1".parse().expect("an address")).filter(|_| self.chance()),
        }
    }

    fn head(&mut self) -> SessionHead {
        let topic = format!("will/{}", self.text());
        let will = WillMessage::restore(
            TopicName::parse(&*topic).expect("a name"),
            &self.bytes(),
            self.properties().as_properties(),
            Some(self.below(100) as u32).filter(|_| self.chance()),
            (self.qos(), self.chance()),
            self.below(100) as u32,
        );
        SessionHead {
            client_id: self.text().into(),
            owner: Some(Arc::new(self.source())).filter(|_| self.chance()),
            session_expiry_s: if self.chance() { u32::MAX } else { self.below(1000) as u32 },
            away_since_ms: Some(1 + self.below(1 << 41)).filter(|_| self.chance()),
            will: Some(will).filter(|_| self.chance()),
        }
    }

    fn subscription(&mut self) -> Subscription {
        let handling =
            [RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
        let options = SubscriptionOptions {
            qos: self.qos(),
            no_local: self.chance(),
            retain_as_published: self.chance(),
            retain_handling: handling[self.below(3) as usize],
        };
        Subscription {
            options,
            identifier: Some(1 + self.below(268_435_455) as u32).filter(|_| self.chance()),
        }
    }

    /// Puts a random store together.
    fn fill(&mut self, importer: &mut Importer) -> Result<(), ImportError> {
        let topics: Vec<String> = (1..=20).map(|number| format!("{}{number}", self.text())).collect();
        for (number, topic) in (1..).zip(&topics) {
            let (properties, payload) = (self.properties(), self.bytes());
            let expires_at_ms = Some(1 + self.below(1 << 42)).filter(|_| self.chance());
            let properties = properties.as_properties().as_bytes();
            let message = MessageItem { topic, properties, payload: &payload, expires_at_ms };
            importer.put(&Item::Message { number, message })?;
            if self.chance() {
                let publisher = if self.chance() { self.source().to_text() } else { String::new() };
                let qos = self.qos();
                importer.put(&Item::Retained { topic, message: number, qos, publisher: &publisher })?;
            }
        }
        for session in 1..=self.below(6) {
            importer.put(&Item::Session { number: session, head: &self.head() })?;
            self.fill_session(importer, session)?;
        }
        Ok(())
    }

    fn fill_session(&mut self, importer: &mut Importer, session: u64) -> Result<(), ImportError> {
        for _ in 0..self.below(4) {
            let filter = format!("{}#", ["", "a/+/", "$share/g/"][self.below(3) as usize]);
            importer.put(&Item::Subscription {
                session,
                filter: &filter,
                subscription: self.subscription(),
            })?;
        }
        let id = |id: u64| PacketId::new(id as u16).expect("above zero");
        for packet in 1..self.below(5) {
            importer.put(&Item::Received { session, packet_id: id(packet * 13_000) })?;
        }
        let ids = [1, 268_435_455];
        for packet in 0..self.below(20) {
            let subscription_ids = &ids[..self.below(3) as usize];
            let (qos, retain) = (self.qos(), self.chance());
            let copy = CopyItem { message: 1 + self.below(20), qos, retain, subscription_ids };
            importer.put(&match packet < 5 {
                true => {
                    Item::InFlight { session, copy, packet_id: id(100 - packet), released: self.chance() }
                }
                false => Item::Queued { session, copy },
            })?;
        }
        Ok(())
    }
}

fn directory() -> TempDir {
    tempdir().expect("a directory")
}

fn lines(path: &Path) -> String {
    let mut lines = Vec::new();
    write(path, &mut lines).expect("it can be read");
    String::from_utf8(lines).expect("JSON is UTF-8")
}

fn import(path: &Path, lines: &str) -> Result<(), Refused> {
    read(path, false, &mut BufReader::new(lines.as_bytes())).map(drop)
}

#[test]
fn what_is_exported_imported_and_exported_again_is_the_same() {
    for seed in 1..25 {
        let (first, second) = (directory(), directory());
        let mut importer = Importer::begin(first.path(), false).expect("it is empty");
        Random(seed * 0x9e37_79b9).fill(&mut importer).expect("all of it is right");
        importer.finish().expect("it is whole");
        let exported = lines(first.path());
        import(second.path(), &exported).expect("what was exported can be imported");
        assert_eq!(lines(second.path()), exported, "seed {seed}");
    }
}

#[test]
fn what_is_wrong_in_an_export_is_told_with_its_line() {
    const HEAD: &str = "{\"kind\":\"martlet_export\",\"version\":1}\n";
    const MESSAGE: &str =
        "{\"kind\":\"message\",\"number\":1,\"topic\":\"t\",\"payload\":{\"text\":\"x\"}}\n";
    let good = format!("{HEAD}{MESSAGE}{{\"kind\":\"end\",\"lines\":2}}\n");
    import(directory().path(), &good).expect("it is whole");
    let check = |lines: &str, told: &str| {
        let directory = directory();
        let refused = import(directory.path(), lines).expect_err(told);
        assert!(
            matches!(&refused, Refused::Line(sentence) if sentence.contains(told)),
            "{refused:?}, not {told}"
        );
        import(directory.path(), &good).expect("nothing was left there");
    };
    check("", "no export");
    check("hello\n", "line 1");
    check(MESSAGE, "no export");
    check(&HEAD.replace('1', "2"), "version 2");
    check(&good[..HEAD.len() + 10], "line 2");
    check(&good[..HEAD.len() + MESSAGE.len()], "the end is missing after line 2");
    check(&good.replace("\"lines\":2", "\"lines\":3"), "2 lines instead of 3");
    check(&good.replace("\"topic\":\"t\"", "\"topic\":\"#\""), "line 2: \"#\" is no topic name");
    check(&good.replace("\"text\"", "\"base64\""), "line 2: base64");
    check(&good.replace("\"payload\"", "\"load\""), "line 2");
    check(&good.replace(MESSAGE, &MESSAGE.repeat(2)), "line 3: message 1");
    check(&good.replace(MESSAGE, &(MESSAGE.to_owned() + HEAD)), "line 3");
}
