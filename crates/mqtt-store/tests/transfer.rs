//! Stores that are taken apart, put together and copied.

mod contents;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::{fs, io, thread};

use contents::{fill, items, open};
use mqtt_codec::{Properties, QoS};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
use mqtt_store::durable::{
    CopyItem, ImportError, Importer, Item, MessageItem, OpenError, backup, export, verify,
};
use mqtt_store::{
    Durability, Journal as _, Progress, Pushed, Queue, QueueLimits, SessionHead, Store as _, Transaction,
};
use mqtt_topic::TopicName;
use tempfile::{TempDir, tempdir};

fn filled() -> TempDir {
    let directory = tempdir().expect("a directory");
    fill(directory.path());
    directory
}

fn transfer(from: &Path, to: &Path, replace: bool) -> Result<(), ImportError> {
    let mut importer = Importer::begin(to, replace)?;
    export(from, |item| importer.put(item).map_err(io::Error::other)).map_err(ImportError::Open)?;
    importer.finish().map(drop)
}

#[test]
fn what_is_exported_and_imported_is_the_same() {
    let (from, to) = (filled(), tempdir().expect("a directory"));
    let before = items(from.path());
    assert!(before.len() > 20, "{before:#?}");
    transfer(from.path(), to.path(), false).expect("it can be imported");
    assert_eq!(items(to.path()), before);
    drop(open(to.path()));
    assert_eq!(items(to.path()), before, "a store that was opened and closed");
}

#[test]
fn a_store_that_holds_something_is_only_replaced_when_asked() {
    let (from, to) = (filled(), filled());
    let mut store = open(to.path());
    let gone = store.take_recovered().pop().expect("a session");
    let mut transaction = Transaction::default();
    transaction.end(gone.id);
    store.submit(&mut transaction, None);
    drop(store);
    let before = items(to.path());
    assert!(matches!(transfer(from.path(), to.path(), false), Err(ImportError::NotEmpty)));
    assert_eq!(items(to.path()), before);
    transfer(from.path(), to.path(), true).expect("it was asked for");
    assert_eq!(items(to.path()), items(from.path()));
    store = open(to.path());
    assert_eq!(store.report().sessions, 2);
}

#[test]
fn an_import_that_is_given_up_leaves_what_was_there() {
    let to = filled();
    let before = items(to.path());
    let mut importer = Importer::begin(to.path(), true).expect("it was asked for");
    let message = MessageItem { topic: "t", properties: &[], payload: b"new", expires_at_ms: None };
    importer.put(&Item::Message { number: 1, message }).expect("a good message");
    drop(importer);
    assert_eq!(items(to.path()), before);
}

#[test]
fn nothing_starts_on_a_directory_that_was_filled_in_part() {
    let (from, to) = (filled(), tempdir().expect("a directory"));
    let mut importer = Importer::begin(to.path(), false).expect("it is empty");
    export(from.path(), |item| importer.put(item).map_err(io::Error::other)).expect("it can be read");
    // What a kill would leave.
    let left = tempdir().expect("a directory");
    for entry in fs::read_dir(to.path()).expect("it is there") {
        let entry = entry.expect("it is there");
        fs::copy(entry.path(), left.path().join(entry.file_name())).expect("it can be copied");
    }
    assert!(matches!(verify(left.path(), contents::settings().wall), Err(OpenError::Medium(_))));
    assert!(matches!(backup(left.path(), &left.path().join("copy")), Err(OpenError::Medium(_))));
    transfer(from.path(), left.path(), true).expect("it can be begun again");
    assert_eq!(items(left.path()), items(from.path()));
}

#[test]
fn items_that_refer_to_nothing_or_say_nonsense_are_refused() {
    let to = tempdir().expect("a directory");
    let mut importer = Importer::begin(to.path(), false).expect("it is empty");
    let message = |topic, properties| MessageItem { topic, properties, payload: b"", expires_at_ms: None };
    let good = Item::Message { number: 1, message: message("t", &[]) };
    importer.put(&good).expect("a good message");
    let copy = |message| CopyItem { message, qos: QoS::AtLeastOnce, retain: false, subscription_ids: &[] };
    let head = SessionHead {
        client_id: "c".into(),
        owner: None,
        session_expiry_s: 1,
        away_since_ms: None,
        will: None,
    };
    importer.put(&Item::Session { number: 5, head: &head }).expect("a good session");
    let packet_id = 3.try_into().expect("above zero");
    let sent = Item::InFlight { session: 5, copy: copy(1), packet_id, released: false };
    importer.put(&sent).expect("a good message under way");
    let retained = |topic| Item::Retained { topic, message: 1, qos: QoS::AtLeastOnce, publisher: "" };
    let subscription = mqtt_session::Subscription { options: Default::default(), identifier: None };
    for wrong in [
        good,
        Item::Message { number: 0, message: message("t", &[]) },
        Item::Message { number: 2, message: message("t/#", &[]) },
        Item::Message { number: 2, message: message("t", &[0x23, 0]) },
        retained("other"),
        Item::Session { number: 5, head: &head },
        sent,
        Item::Queued { session: 6, copy: copy(1) },
        Item::Queued { session: 5, copy: copy(2) },
        Item::Received { session: 6, packet_id },
        Item::Subscription { session: 5, filter: "a#", subscription },
    ] {
        let refused = importer.put(&wrong);
        assert!(matches!(refused, Err(ImportError::Item(_))), "{wrong:?}: {refused:?}");
    }
    importer.put(&retained("t")).expect("it goes on");
    assert_eq!(importer.finish().expect("it is whole").retained, 1);
}

#[test]
fn a_directory_that_is_used_is_neither_exported_nor_filled() {
    let directory = filled();
    let _store = open(directory.path());
    assert!(matches!(export(directory.path(), |_| Ok(())), Err(OpenError::InUse)));
    assert!(matches!(Importer::begin(directory.path(), true), Err(ImportError::Open(OpenError::InUse))));
}

#[test]
fn a_store_that_is_closed_gives_its_directory_free_although_somebody_still_has_it() {
    let directory = filled();
    let store = open(directory.path());
    store.close();
    let next = open(directory.path());
    assert_eq!(next.report().retained, store.report().retained);
}

#[test]
fn a_copy_is_made_only_of_a_store_and_only_to_where_nothing_is() {
    let (from, empty) = (filled(), tempdir().expect("a directory"));
    let to = empty.path().join("copy");
    backup(from.path(), &to).expect("it is new");
    assert_eq!(items(&to), items(from.path()));
    let again = backup(from.path(), &to);
    assert!(
        matches!(&again, Err(OpenError::Medium(error)) if error.kind() == io::ErrorKind::AlreadyExists),
        "{again:?}"
    );
    let nothing = backup(&empty.path().join("nothing"), &empty.path().join("other"));
    assert!(
        matches!(&nothing, Err(OpenError::Medium(error)) if error.kind() == io::ErrorKind::NotFound),
        "{nothing:?}"
    );
}

/// Takes the next message, waiting for its body.
fn next(queue: &mut dyn Queue) -> Option<Delivery> {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    while !queue.is_empty() {
        queue.refill(&|| waker.clone());
        if queue.front().is_some() {
            return queue.pop();
        }
        thread::park();
    }
    None
}

/// Messages come, go and are compacted away while copies are made.
#[test]
fn a_copy_made_under_load_holds_all_that_was_acknowledged_before() {
    const WAITING: usize = 300;
    let from = tempdir().expect("a directory");
    let store = open(from.path());
    let mut queue = store.open_kept_queue("client", QueueLimits::default()).expect("a queue");
    let id = queue.session().expect("it is kept");
    let progress = Arc::new(Progress::default());
    // The messages from one number to another are in the store; the first may go at any moment.
    let (gone, ending) = (AtomicU64::new(0), AtomicBool::new(false));
    let copies: Vec<(u64, u64, TempDir)> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut transaction = Transaction::default();
            transaction.set_durability(Durability::Periodic);
            let head = SessionHead {
                client_id: "client".into(),
                owner: None,
                session_expiry_s: u32::MAX,
                away_since_ms: None,
                will: None,
            };
            transaction.head(id, head);
            for number in 1_u64.. {
                let payload = format!("{number:0200}");
                let topic = TopicName::assume_valid("t");
                let message = Message::new(topic, Properties::EMPTY, payload.as_bytes(), NO_PUBLISHER, None);
                let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message };
                assert_eq!(queue.push_in(delivery, &mut transaction), Pushed::Queued);
                if queue.len() > WAITING {
                    gone.store(number - WAITING as u64, Ordering::SeqCst);
                    transaction.give_up(id, queue.pop().expect("it waits").hop.place);
                }
                store.submit(&mut transaction, Some((&progress, number)));
                if ending.load(Ordering::SeqCst) {
                    return;
                }
            }
        });
        let copies = (0..8).map(|round| {
            while progress.done() < 1000 * (round + 1) {
                thread::yield_now();
            }
            let done = progress.done();
            let to = tempdir().expect("a directory");
            backup(from.path(), to.path()).expect("a copy can be made at any time");
            (done, gone.load(Ordering::SeqCst), to)
        });
        let copies = copies.collect();
        ending.store(true, Ordering::SeqCst);
        copies
    });
    assert!(!from.path().join("0000000001.segment").exists(), "old segments went meanwhile");
    for (done, gone, copy) in copies {
        let store = open(copy.path());
        let mut queue = store.take_recovered().pop().expect("the session").queue;
        let mut numbers = Vec::new();
        while let Some(delivery) = next(&mut *queue) {
            let text = std::str::from_utf8(delivery.message.payload()).expect("digits");
            numbers.push(text.parse::<u64>().expect("a number"));
        }
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        assert!(first <= gone + 1 && last >= done, "{first} to {last} instead of {gone} to {done}");
        assert!(numbers.is_sorted() && last - first + 1 == numbers.len() as u64, "none is missing between");
    }
}
