//! The task behind the handles: connects, runs connections, connects again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::task::AtomicWaker;
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::Session;
use tokio::sync::{mpsc, watch};

use crate::acknowledgements::Acknowledgements;
use crate::client::Status;
use crate::command::{Answer, Command, tell};
use crate::handshake::{Admitted, admit};
use crate::link::{End, Link, Work};
use crate::outgoing::Outbound;
use crate::subscriptions::Subscriptions;
use crate::{Backoff, ClientError, ConnectError, Options, Welcome};

/// What a new handle is made of.
pub(crate) struct Started {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) welcome: Welcome,
}

/// Commands on their way from the handles to the driver.
const COMMANDS_MAX: usize = 64;

struct Driver {
    options: Options,
    client_id: String,
    commands: mpsc::Receiver<Command>,
    /// What was asked for between two connections and needs one: obeyed on the next, before all else.
    held: VecDeque<Command>,
    status: watch::Sender<Status>,
    outbound: Outbound,
    subscriptions: Subscriptions,
    acknowledgements: Arc<Acknowledgements>,
    waker: Arc<AtomicWaker>,
    random: RandomState,
    /// Connections in a row that were established and did not last: the pauses go on growing over them.
    short_lived: u32,
}

/// What happens after a connection.
enum After {
    TryAgain { cause: String },
    End { cause: String, answer: Option<Answer<()>> },
}

/// Connects for the first time and leaves the rest to a task.
pub(crate) async fn start(options: Options) -> Result<Started, ConnectError> {
    let (client_id, clean_start) = (options.client_id.clone(), options.clean_start);
    let admitted = admit(&options, &client_id, clean_start, Session::new()).await;
    let admitted = admitted.map_err(|failed| failed.0)?;
    let welcome = admitted.welcome.clone();
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    let session_present = welcome.session_present;
    let (status, status_receiver) = watch::channel(Status::Connected { session_present });
    let waker = Arc::new(AtomicWaker::new());
    let subscriptions = Subscriptions::new(options.incoming_max, waker.clone());
    let dropped = subscriptions.dropped();
    let driver = Driver {
        client_id: welcome.client_id.clone(),
        subscriptions,
        acknowledgements: Acknowledgements::new(waker.clone()),
        outbound: Outbound::new(&options),
        random: RandomState::new(),
        short_lived: 0,
        options,
        commands,
        held: VecDeque::new(),
        status,
        waker,
    };
    tokio::spawn(driver.run(admitted));
    Ok(Started { commands: sender, status: status_receiver, dropped, welcome })
}

impl Driver {
    async fn run(mut self, first: Admitted) {
        let mut admitted = first;
        let (cause, answer) = loop {
            let session_present = admitted.welcome.session_present;
            self.status.send_replace(Status::Connected { session_present });
            let (after, session) = self.serve(admitted).await;
            let cause = match after {
                After::End { cause, answer } => break (cause, answer),
                After::TryAgain { cause } => cause,
            };
            match self.connect_again(session, cause).await {
                Ok(again) => admitted = again,
                Err(ended) => break ended,
            }
        };
        self.subscriptions.end();
        self.status.send_replace(Status::Ended { cause });
        if let Some(answer) = answer {
            tell(answer, Ok(()));
        }
    }

    /// Runs one connection to its end.
    async fn serve(&mut self, admitted: Admitted) -> (After, Session) {
        let mut work = Work {
            commands: &mut self.commands,
            held: &mut self.held,
            outbound: &mut self.outbound,
            subscriptions: &mut self.subscriptions,
            acknowledgements: &self.acknowledgements,
            options: &self.options,
            waker: &self.waker,
        };
        let mut link = Link::new(admitted, &mut work);
        let began = tokio::time::Instant::now();
        let end = poll_fn(|cx| link.poll(cx, &mut work)).await;
        let lasted = began.elapsed() >= self.options.reconnect.unwrap_or_default().longest;
        self.short_lived = if lasted { 0 } else { self.short_lived.saturating_add(1) };
        let session = link.close(&end).await;
        self.subscriptions.connection_lost();
        self.acknowledgements.forget();
        let after = match end {
            End::Done { answer, .. } => After::End { cause: "disconnected".into(), answer },
            End::Lost(cause) => After::TryAgain { cause },
            End::Violation(violation) => After::TryAgain { cause: violation.to_string() },
            End::ServerLeft { reason, text } => after_server(reason, text),
        };
        match after {
            After::TryAgain { cause } if self.options.reconnect.is_none() => {
                (After::End { cause, answer: None }, session)
            }
            after => (after, session),
        }
    }

    /// Tries until the server admits the client again; the application may end it meanwhile.
    async fn connect_again(
        &mut self,
        mut session: Session,
        mut cause: String,
    ) -> Result<Admitted, (String, Option<Answer<()>>)> {
        let backoff = self.options.reconnect.unwrap_or_default();
        let mut attempts = 0;
        loop {
            self.status.send_replace(Status::Reconnecting { attempts, cause });
            let tried = self.short_lived.saturating_sub(1).saturating_add(attempts);
            self.pause(&backoff, tried).await?;
            match admit(&self.options, &self.client_id, self.starts_clean(), session).await {
                Ok(admitted) => return Ok(admitted),
                Err(failed) if failed.0.is_permanent() => return Err((failed.0.to_string(), None)),
                Err(failed) => {
                    cause = failed.0.to_string();
                    session = failed.1;
                }
            }
            attempts += 1;
        }
    }

    /// Waits before an attempt. Messages are accepted meanwhile, up to the limit.
    async fn pause(&mut self, backoff: &Backoff, attempt: u32) -> Result<(), (String, Option<Answer<()>>)> {
        let pause = tokio::time::sleep(backoff.pause(attempt, self.random.hash_one(attempt)));
        tokio::pin!(pause);
        loop {
            let has_room = self.outbound.takes_more();
            tokio::select! {
                () = &mut pause => return Ok(()),
                command = self.commands.recv(), if has_room => match command {
                    None => return Err(("dropped while not connected".into(), None)),
                    Some(Command::Publish(outgoing)) => self.outbound.push(outgoing),
                    Some(Command::Disconnect { answer, .. }) => {
                        return Err(("disconnected".into(), Some(answer)));
                    }
                    Some(Command::Reauthenticate { answer }) => tell(answer, Err(ClientError::SessionLost)),
                    Some(command @ (Command::Subscribe(_) | Command::Unsubscribe { .. })) => self.hold(command),
                    Some(Command::Listen { filter, answer }) => {
                        tell(answer, self.subscriptions.listen(filter));
                    }
                },
            }
        }
    }

    /// Keeps a request for the next connection, unless too many wait for it already.
    fn hold(&mut self, command: Command) {
        if self.held.len() < COMMANDS_MAX {
            return self.held.push_back(command);
        }
        match command {
            Command::Subscribe(request) => tell(request.answer, Err(ClientError::BufferFull)),
            Command::Unsubscribe { answer, .. } => tell(answer, Err(ClientError::BufferFull)),
            _ => {}
        }
    }

    /// Whether a new connection begins with an empty session: only where nothing is kept anyway.
    fn starts_clean(&self) -> bool {
        match self.options.version {
            Version::V5 => self.options.session_expiry_s == 0,
            _ => self.options.clean_start,
        }
    }
}

/// A server that says goodbye may not want to see this client again.
fn after_server(reason: ReasonCode, text: Option<String>) -> After {
    let cause = match text {
        Some(text) => format!("the server disconnected: {reason} ({text})"),
        None => format!("the server disconnected: {reason}"),
    };
    let for_good = matches!(
        reason,
        ReasonCode::SessionTakenOver
            | ReasonCode::NotAuthorized
            | ReasonCode::Banned
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
    );
    if for_good { After::End { cause, answer: None } } else { After::TryAgain { cause } }
}
