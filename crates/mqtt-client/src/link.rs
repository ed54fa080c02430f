//! One connection: reading, sending, waiting.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use mqtt_codec::{Properties, PropertiesBuf, ReasonCode, decode};
use mqtt_session::{Protocol, Received, Session, Ticket, Violation};
use mqtt_transport::{Connection, FrameReader, FrameWriter, ReadError, close_gracefully};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::acknowledgements::Acknowledgements;
use crate::command::{Answer, Command, tell};
use crate::handshake::Admitted;
use crate::outgoing::Outbound;
use crate::subscriptions::Subscriptions;
use crate::{ClientError, Exchange, Incoming, Options};

/// What outlives connections, lent to each of them.
pub(crate) struct Work<'a> {
    pub(crate) commands: &'a mut mpsc::Receiver<Command>,
    pub(crate) held: &'a mut VecDeque<Command>,
    pub(crate) outbound: &'a mut Outbound,
    pub(crate) subscriptions: &'a mut Subscriptions,
    pub(crate) acknowledgements: &'a Arc<Acknowledgements>,
    pub(crate) options: &'a Options,
    pub(crate) waker: &'a Arc<AtomicWaker>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The stream ended or failed.
    Lost(String),
    /// The server said DISCONNECT (MQTT 5).
    ServerLeft { reason: ReasonCode, text: Option<String> },
    /// The server broke a rule.
    Violation(Violation),
    /// The application disconnects, or dropped its last handle.
    Done { reason: ReasonCode, properties: PropertiesBuf, answer: Option<Answer<()>> },
}

/// How the application wants to leave.
#[derive(Debug)]
struct Leaving {
    reason: ReasonCode,
    properties: PropertiesBuf,
    answer: Option<Answer<()>>,
}

/// Bytes that may wait in the writer before no more messages are encoded.
const WRITE_BYTES_HIGH: usize = 128 << 10;
/// Time for the last bytes when the application disconnects.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Link {
    stream: Connection,
    reader: FrameReader,
    writer: FrameWriter,
    protocol: Protocol,
    last_sent: Instant,
    /// When a PINGREQ was sent that the server has not answered yet.
    pinged_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// A re-authentication that is under way, and who waits for it.
    exchange: Option<(Box<dyn Exchange>, Answer<()>)>,
    /// The application wants to leave when everything has been sent.
    leaving: Option<Leaving>,
    end: Option<End>,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Link {
    /// Takes an admitted connection into use: sends again what the server has not acknowledged, and
    /// subscribes again if it has forgotten.
    pub(crate) fn new(admitted: Admitted, work: &mut Work<'_>) -> Self {
        let Admitted { stream, reader, mut writer, mut protocol, welcome, session_kept } = admitted;
        work.outbound.offered(welcome.properties.as_properties());
        work.subscriptions.offered(protocol.version(), welcome.properties.as_properties());
        let start = now();
        let lost = protocol.resume(start, writer.buffer());
        work.outbound.give_up(&lost);
        if !session_kept {
            work.outbound.session_lost();
        }
        if !welcome.session_present {
            work.subscriptions.renew(&mut protocol, writer.buffer());
        }
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            stream,
            reader,
            writer,
            protocol,
            last_sent: start,
            pinged_at: None,
            timer,
            exchange: None,
            leaving: None,
            end: None,
        }
    }

    /// Ends the connection; what outlives it comes back.
    pub(crate) async fn close(mut self, end: &End) -> Session {
        if let Some((_, answer)) = self.exchange.take() {
            let error = match end {
                End::ServerLeft { reason, .. } => ClientError::Refused(*reason),
                _ => ClientError::SessionLost,
            };
            tell(answer, Err(error));
        }
        let farewell = match end {
            End::Lost(_) | End::ServerLeft { .. } => None,
            End::Violation(violation) => Some((violation.reason, Properties::EMPTY)),
            End::Done { reason, properties, .. } => Some((*reason, properties.as_properties())),
        };
        if let Some((reason, properties)) = farewell {
            self.protocol.send_disconnect_with(reason, properties, self.writer.buffer());
            let flushed = tokio::time::timeout(LINGER, self.writer.flush(&mut self.stream)).await;
            if matches!(flushed, Ok(Ok(()))) {
                close_gracefully(self.stream, LINGER).await;
            }
        }
        self.protocol.finish().session
    }

    /// Runs until the connection ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> Poll<End> {
        work.waker.register(cx.waker());
        loop {
            let commanded = self.poll_commands(cx, work);
            let read = self.poll_input(cx, work);
            let written = self.poll_output(cx, work);
            if self.end.is_none() && self.has_left(work) {
                let Leaving { reason, properties, answer } = self.leaving.take().expect("it is leaving");
                self.end = Some(End::Done { reason, properties, answer });
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            if !(commanded || read || written) && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn has_left(&self, work: &Work<'_>) -> bool {
        self.leaving.is_some() && work.outbound.is_empty() && self.writer.is_empty()
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> bool {
        work.subscriptions.drop_abandoned(&mut self.protocol, self.writer.buffer());
        let mut worked = false;
        while let Some(command) = work.held.pop_front() {
            self.obey(command, work);
            worked = true;
        }
        while self.leaving.is_none() && work.outbound.takes_more() {
            match work.commands.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(command)) => self.obey(command, work),
                Poll::Ready(None) => {
                    let (reason, properties) = (ReasonCode::Success, PropertiesBuf::new());
                    self.leaving = Some(Leaving { reason, properties, answer: None });
                }
            }
            worked = true;
        }
        worked
    }

    fn obey(&mut self, command: Command, work: &mut Work<'_>) {
        let out = self.writer.buffer();
        match command {
            Command::Publish(outgoing) => work.outbound.push(outgoing),
            Command::Subscribe(request) => work.subscriptions.subscribe(&mut self.protocol, request, out),
            Command::Listen { filter, answer } => tell(answer, work.subscriptions.listen(filter)),
            Command::Unsubscribe { filters, properties, answer } => {
                work.subscriptions.unsubscribe(&mut self.protocol, &filters, &properties, answer, out);
            }
            Command::Reauthenticate { answer } => self.reauthenticate(answer, work.options),
            Command::Disconnect { reason, properties, answer } => {
                self.leaving = Some(Leaving { reason, properties, answer: Some(answer) });
            }
        }
    }

    /// Begins to authenticate anew ([MQTT-4.12.1-1]).
    fn reauthenticate(&mut self, answer: Answer<()>, options: &Options) {
        let Some(authenticator) = options.authenticator() else {
            return tell(answer, Err(ClientError::NotAuthenticated));
        };
        if self.exchange.is_some() {
            return tell(answer, Err(ClientError::SessionLost));
        }
        let mut exchange = authenticator.start();
        let data = exchange.first();
        self.protocol.send_auth(ReasonCode::ReAuthenticate, data.as_deref(), self.writer.buffer());
        self.exchange = Some((exchange, answer));
    }

    /// Whether something is awaited from the server, so that its packets must be read even if there is no room for
    /// messages.
    fn is_awaiting(&self, work: &Work<'_>) -> bool {
        work.outbound.is_awaiting() || work.subscriptions.is_awaiting() || self.exchange.is_some()
    }

    fn poll_input(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> bool {
        while let Some(ticket) = work.subscriptions.next_unstuck() {
            self.protocol.answer_publish(ticket, ReasonCode::Success, self.writer.buffer());
        }
        while let Some((ticket, reason)) = work.acknowledgements.next() {
            self.protocol.answer_publish(ticket, reason, self.writer.buffer());
        }
        if work.subscriptions.is_stuck() && !self.is_awaiting(work) {
            // A full mailbox wakes the driver when it is read.
            self.protocol.excuse_silence(now());
            return false;
        }
        let Self { stream, reader, writer, protocol, exchange, end, .. } = self;
        let burst = reader.poll_burst(cx, stream, &mut |frame| {
            if let Err(violation) = on_frame(frame, protocol, work, exchange, writer.buffer(), end) {
                end.get_or_insert(End::Violation(violation));
            }
            let go_on = end.is_none() && !work.subscriptions.is_stuck();
            if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match burst {
            Poll::Pending => false,
            Poll::Ready(Ok(_)) => true,
            Poll::Ready(Err(ReadError::Malformed(error))) => {
                self.end.get_or_insert(End::Violation(error.into()));
                false
            }
            Poll::Ready(Err(error)) => {
                self.end.get_or_insert(End::Lost(error.to_string()));
                false
            }
        }
    }

    fn poll_output(&mut self, cx: &mut Context<'_>, work: &mut Work<'_>) -> bool {
        let now = now();
        let mut worked = false;
        loop {
            let mut filled = false;
            if self.writer.pending_bytes() < WRITE_BYTES_HIGH {
                let out = self.writer.buffer();
                if self.protocol.is_resending() {
                    work.outbound.give_up(&self.protocol.continue_resending(now, out));
                }
                filled = work.outbound.fill(&mut self.protocol, now, WRITE_BYTES_HIGH, out);
            }
            let pending = self.writer.pending_bytes();
            if pending > 0 {
                self.last_sent = now;
            }
            let flushed = self.writer.poll_flush(cx, &mut self.stream);
            // Bytes that have left make room for more, and nothing else would come back for it.
            let moved = filled || self.writer.pending_bytes() < pending;
            worked |= moved;
            match flushed {
                Poll::Ready(Ok(())) if moved => {}
                Poll::Ready(Err(error)) => {
                    self.end.get_or_insert(End::Lost(error.to_string()));
                    return worked;
                }
                _ => return worked,
            }
        }
    }

    /// Keeps the connection alive. Ready when something was done.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let keep_alive = *self.protocol.keep_alive();
        let (Some(dead_at), now) = (keep_alive.deadline(), now()) else { return Poll::Pending };
        if dead_at <= now {
            self.end = Some(End::Lost("the server was silent for too long".into()));
            return Poll::Ready(());
        }
        let interval = Duration::from_secs(keep_alive.interval_s().into());
        // The server was heard one and a half intervals before the deadline.
        let heard = dead_at.checked_sub(interval + interval / 2).unwrap_or(now);
        // [MQTT-3.1.2-20]; and a server that only listens is asked for a sign of life as well.
        let waiting = self.pinged_at.filter(|at| *at >= heard);
        let ping_at = waiting.map_or(heard.min(self.last_sent) + interval, |at| at + interval);
        if ping_at <= now {
            self.protocol.send_pingreq(self.writer.buffer());
            self.last_sent = now;
            self.pinged_at = Some(now);
            return Poll::Ready(());
        }
        let wake_at = tokio::time::Instant::from_std(ping_at.min(dead_at));
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        self.timer.as_mut().poll(cx)
    }
}

/// Handles one packet of the server.
fn on_frame(
    frame: &[u8],
    protocol: &mut Protocol,
    work: &mut Work<'_>,
    exchange: &mut Option<(Box<dyn Exchange>, Answer<()>)>,
    out: &mut Vec<u8>,
    end: &mut Option<End>,
) -> Result<(), Violation> {
    let packet = decode(frame, protocol.version())?;
    let arrived: Option<(Incoming, Ticket)> = match protocol.receive(packet, now(), out)? {
        Received::Publish(publish) => {
            let mut properties = PropertiesBuf::new();
            properties.extend_from(publish.properties);
            let incoming = Incoming {
                topic: publish.topic.as_str().to_owned(),
                payload: publish.payload.to_vec(),
                qos: publish.qos,
                retain: publish.retain,
                dup: publish.dup,
                packet_id: publish.packet_id().map_or(0, core::num::NonZeroU16::get),
                properties,
                pending: None,
            };
            Some((incoming, publish.ticket()))
        }
        Received::Completed(completed) => {
            work.outbound.complete(&completed);
            None
        }
        Received::Suback(suback) => {
            work.subscriptions.answered(suback.packet_id, suback.reasons.iter().collect());
            None
        }
        Received::Unsuback(unsuback) => {
            work.subscriptions.answered(unsuback.packet_id, unsuback.reasons.iter().collect());
            None
        }
        Received::Disconnect(disconnect) => {
            let text = disconnect.properties.reason_string().map(str::to_owned);
            end.get_or_insert(End::ServerLeft { reason: disconnect.reason, text });
            None
        }
        Received::Auth(auth) => {
            let (reason, data) = (auth.reason, auth.properties.authentication_data().map(Box::from));
            on_auth(reason, data, exchange, protocol, out)?;
            None
        }
        // Refused by role.
        Received::Subscribe(_) | Received::Unsubscribe(_) => None,
        Received::Nothing | Received::Pingresp => None,
    };
    if let Some((mut incoming, mut ticket)) = arrived {
        if work.options.acknowledge_manually && ticket.awaits().is_some() {
            incoming.pending = Some(work.acknowledgements.expect(std::mem::take(&mut ticket)));
        }
        if let Some(ticket) = work.subscriptions.arrived(incoming, ticket) {
            protocol.answer_publish(ticket, ReasonCode::Success, out);
        }
    }
    Ok(())
}

/// Goes on with a re-authentication.
fn on_auth(
    reason: ReasonCode,
    data: Option<Box<[u8]>>,
    exchange: &mut Option<(Box<dyn Exchange>, Answer<()>)>,
    protocol: &mut Protocol,
    out: &mut Vec<u8>,
) -> Result<(), Violation> {
    let Some((mut own, answer)) = exchange.take() else {
        return Err(Violation::protocol_error("MQTT-4.12.1-1")); // the client begins
    };
    if reason == ReasonCode::Success {
        let proved = own.verify(data.as_deref());
        tell(answer, if proved { Ok(()) } else { Err(ClientError::NotAuthenticated) });
        return if proved { Ok(()) } else { Err(Violation::new(ReasonCode::NotAuthorized, "4.12.1")) };
    }
    let Some(next) = own.answer(data.as_deref().unwrap_or_default()) else {
        tell(answer, Err(ClientError::NotAuthenticated));
        return Err(Violation::new(ReasonCode::NotAuthorized, "4.12.1"));
    };
    protocol.send_auth(ReasonCode::ContinueAuthentication, Some(&next), out);
    *exchange = Some((own, answer));
    Ok(())
}
