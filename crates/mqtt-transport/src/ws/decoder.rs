//! From the bytes of a WebSocket connection to the bytes inside its binary messages, in place and without a buffer.

use crate::arrival::Cause;

use super::{BINARY, CLOSE, CloseCode, PING, PONG, Role, mask_with};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
/// The longest header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
const CONTROL_BYTES_MAX: u64 = 125;

/// Where in the stream of frames we are.
#[derive(Debug)]
pub(super) struct Decoder {
    role: Role,
    message_bytes_max: u64,
    /// Bytes of the present message so far, announced ones included; `None` between messages.
    message_bytes: Option<u64>,
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// What has come of a control frame's payload; empty, and without memory, at any other time.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    left: u64,
    mask: [u8; 4],
    phase: u8,
}

/// What interrupts a run of data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// To be answered with the same bytes.
    Ping(Vec<u8>),
    /// The peer says that it is done; its code is to be sent back.
    Close(Option<u16>),
    /// The peer broke a rule.
    Broken(CloseCode, Violation),
}

/// Which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) cause: Cause,
    pub(super) text: &'static str,
}

/// How far a run over bytes came.
#[derive(Debug)]
pub(super) struct Run {
    /// Bytes that were looked at.
    pub(super) used: usize,
    /// Bytes of data, which are now in front.
    pub(super) data: usize,
    /// What stopped the run before its end.
    pub(super) event: Option<Event>,
}

impl Decoder {
    pub(super) fn new(role: Role, message_bytes_max: u64) -> Self {
        Self {
            role,
            message_bytes_max,
            message_bytes: None,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            frame: None,
            control: Vec::new(),
        }
    }

    /// Takes frames apart until `bytes` end or something but data comes, and moves the data to the front of `bytes`.
    pub(super) fn run(&mut self, bytes: &mut [u8]) -> Run {
        let mut run = Run { used: 0, data: 0, event: None };
        while run.used < bytes.len() && run.event.is_none() {
            run.event = match self.frame.take() {
                None => self.take_header(bytes, &mut run),
                Some(frame) if frame.opcode >= CLOSE => self.take_control(frame, bytes, &mut run),
                Some(frame) => {
                    self.frame = take_data(frame, bytes, &mut run);
                    None
                }
            };
        }
        run
    }

    /// Takes bytes of a header; once it is complete, judges it.
    fn take_header(&mut self, bytes: &[u8], run: &mut Run) -> Option<Event> {
        let len = usize::from(self.header_len);
        let missing = header_len(&self.header[..len]) - len;
        let step = missing.min(bytes.len() - run.used);
        self.header[len..len + step].copy_from_slice(&bytes[run.used..run.used + step]);
        run.used += step;
        self.header_len += step as u8;
        let len = usize::from(self.header_len);
        if header_len(&self.header[..len]) > len {
            return None;
        }
        self.header_len = 0;
        self.judge().err().map(|(code, cause, text)| Event::Broken(code, Violation { cause, text })).or_else(
            || {
                // An empty control frame has no byte that could complete it.
                let frame = self.frame.take_if(|frame| frame.left == 0)?;
                (frame.opcode >= CLOSE).then(|| self.complete_control(frame.opcode)).flatten()
            },
        )
    }

    fn judge(&mut self) -> Result<(), (CloseCode, Cause, &'static str)> {
        let broken = |text| (CloseCode::Protocol, Cause::BadFrame, text);
        let (first, second) = (self.header[0], self.header[1]);
        let (is_final, opcode, masked) = (first & 0x80 != 0, first & 0x0F, second & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(broken("reserved bits are set"));
        }
        if masked != (self.role == Role::Broker) {
            return Err((
                CloseCode::Protocol,
                Cause::UnmaskedFrame,
                "a client masks its frames, a server does not",
            ));
        }
        let (payload_bytes, after) = payload_bytes(&self.header);
        if payload_bytes >> 63 != 0 {
            return Err(broken("a length has at most 63 bits"));
        }
        let mask = self.header[after..].first_chunk().copied().filter(|_| masked).unwrap_or_default();
        match opcode {
            CLOSE | PING | PONG if is_final && payload_bytes <= CONTROL_BYTES_MAX => {}
            CLOSE | PING | PONG => return Err(broken("control frames are short and whole")),
            TEXT => {
                let text = "MQTT needs binary frames"; // [MQTT-6.0.0-1]
                return Err((CloseCode::Unsupported, Cause::TextFrame, text));
            }
            BINARY if self.message_bytes.is_none() => self.begin_data(0, payload_bytes, is_final)?,
            CONTINUATION => match self.message_bytes {
                Some(so_far) => self.begin_data(so_far, payload_bytes, is_final)?,
                None => return Err(broken("there is no message to continue")),
            },
            BINARY => return Err(broken("the message before is not complete")),
            _ => return Err(broken("unknown kind of frame")),
        }
        self.frame = Some(Frame { opcode, left: payload_bytes, mask, phase: 0 });
        Ok(())
    }

    fn begin_data(
        &mut self,
        so_far: u64,
        payload_bytes: u64,
        is_final: bool,
    ) -> Result<(), (CloseCode, Cause, &'static str)> {
        let total = so_far + payload_bytes;
        if total > self.message_bytes_max {
            return Err((CloseCode::TooLarge, Cause::MessageTooLarge, "the message is too large"));
        }
        self.message_bytes = (!is_final).then_some(total);
        Ok(())
    }

    fn take_control(&mut self, mut frame: Frame, bytes: &mut [u8], run: &mut Run) -> Option<Event> {
        let piece = next_piece(&mut frame, bytes, run);
        self.control.extend_from_slice(&bytes[piece]);
        if frame.left > 0 {
            self.frame = Some(frame);
            return None;
        }
        self.complete_control(frame.opcode)
    }

    fn complete_control(&mut self, opcode: u8) -> Option<Event> {
        let payload = std::mem::take(&mut self.control);
        match opcode {
            PING => Some(Event::Ping(payload)),
            CLOSE => Some(close_event(&payload)),
            _ => None,
        }
    }
}

fn close_event(payload: &[u8]) -> Event {
    let broken = Event::Broken(
        CloseCode::Protocol,
        Violation { cause: Cause::BadFrame, text: "a close frame holds a code and a text" },
    );
    match payload.split_first_chunk() {
        None if payload.is_empty() => Event::Close(None),
        Some((code, reason)) if std::str::from_utf8(reason).is_ok() => match u16::from_be_bytes(*code) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Event::Close(Some(code)),
            _ => broken,
        },
        _ => broken,
    }
}

/// Moves what has come of a frame's data to the front. Returns the frame unless it is complete.
fn take_data(mut frame: Frame, bytes: &mut [u8], run: &mut Run) -> Option<Frame> {
    let piece = next_piece(&mut frame, bytes, run);
    let data = piece.len();
    bytes.copy_within(piece, run.data);
    run.data += data;
    (frame.left > 0).then_some(frame)
}

/// Unmasks what is there of a frame's payload, and says where it is.
fn next_piece(frame: &mut Frame, bytes: &mut [u8], run: &mut Run) -> std::ops::Range<usize> {
    let there = bytes.len() - run.used;
    let step = usize::try_from(frame.left).map_or(there, |left| left.min(there));
    let piece = run.used..run.used + step;
    if frame.mask != [0; 4] {
        mask_with(&mut bytes[piece.clone()], frame.mask, usize::from(frame.phase));
    }
    frame.phase = ((usize::from(frame.phase) + step) % 4) as u8;
    frame.left -= step as u64;
    run.used += step;
    piece
}

/// Bytes of the whole header, as far as it can be told from its beginning.
fn header_len(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let length = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + mask
}

/// The announced length, and where the mask begins.
fn payload_bytes(header: &[u8; HEADER_BYTES_MAX]) -> (u64, usize) {
    let [_, second, a, b, c, d, e, f, g, h, ..] = *header;
    match second & 0x7F {
        126 => (u16::from_be_bytes([a, b]).into(), 4),
        127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10),
        short => (short.into(), 2),
    }
}
