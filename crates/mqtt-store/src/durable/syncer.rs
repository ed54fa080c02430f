//! Syncs files away from the one that writes, who goes on meanwhile.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::live::At;
use super::medium::{Medium, MediumFile};
use super::orders::Orders;

/// What is to be safe.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) file: Arc<dyn MediumFile>,
    /// Everything before it is safe afterwards.
    pub(crate) to: At,
    /// Files that are not needed any more then.
    pub(crate) remove: Vec<String>,
}

/// A sync that has come to its end.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) to: At,
    pub(crate) result: io::Result<()>,
}

/// A thread that syncs, one request at a time.
#[derive(Debug)]
pub(crate) struct Syncer {
    requests: Option<Sender<Request>>,
    synced: Receiver<Synced>,
    is_busy: bool,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn start(medium: Arc<dyn Medium>, orders: Arc<Orders>) -> io::Result<Self> {
        let (requests, waiting) = crossbeam_channel::bounded(1);
        let (done, synced) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("store-sync".to_owned());
        let told = orders.clone();
        let thread = thread.spawn(move || serve(&*medium, &waiting, &done, &told))?;
        Ok(Self { requests: Some(requests), synced, is_busy: false, orders, thread: Some(thread) })
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Begins to sync. Only while it is not busy.
    pub(crate) fn begin(&mut self, request: Request) {
        self.is_busy = true;
        self.orders.begin_sync();
        let requests = self.requests.as_ref().expect("it runs until it is dropped");
        requests.send(request).expect("the thread lives as long as this");
    }

    /// The end of the sync that was under way, if it has come.
    pub(crate) fn take(&mut self) -> Option<Synced> {
        let synced = self.synced.try_recv().ok()?;
        self.is_busy = false;
        Some(synced)
    }

    /// Waits for the sync that is under way, if any.
    pub(crate) fn wait(&mut self) -> Option<Synced> {
        let synced = if self.is_busy { self.synced.recv().ok() } else { None };
        self.is_busy = false;
        synced
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.wait();
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            thread.join().ok();
        }
    }
}

fn serve(medium: &dyn Medium, requests: &Receiver<Request>, done: &Sender<Synced>, orders: &Orders) {
    for Request { file, to, remove } in requests {
        let result = file.sync().and_then(|()| remove.iter().try_for_each(|name| medium.remove(name)));
        if done.send(Synced { to, result }).is_err() {
            return;
        }
        orders.end_sync();
    }
}
