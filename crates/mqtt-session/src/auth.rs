//! Enhanced authentication (section 4.12): the interface that a method implements.

use core::fmt;

use mqtt_codec::ReasonCode;

/// A challenge and response method, such as SCRAM. Methods are found by their name.
///
/// ```
/// use mqtt_codec::ReasonCode;
/// use mqtt_session::{AuthenticationMethod, Exchange, Step};
///
/// /// Repeat what the server says, backwards.
/// #[derive(Debug)]
/// struct Backwards;
///
/// impl AuthenticationMethod for Backwards {
///     fn name(&self) -> &str {
///         "backwards"
///     }
///     fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
///         Box::new(Asked(false))
///     }
/// }
///
/// struct Asked(bool);
///
/// impl Exchange for Asked {
///     fn step(&mut self, data: &[u8]) -> Step {
///         match std::mem::replace(&mut self.0, true) {
///             false => Step::Continue(Box::from(*b"word")),
///             true if data == b"drow" => Step::Success(None),
///             true => Step::Failure(ReasonCode::NotAuthorized),
///         }
///     }
/// }
///
/// let mut exchange = Backwards.start("c", None);
/// assert_eq!(exchange.step(b""), Step::Continue(Box::from(*b"word")));
/// assert_eq!(exchange.step(b"drow"), Step::Success(None));
/// ```
pub trait AuthenticationMethod: fmt::Debug + Send + Sync {
    /// The Authentication Method that a CONNECT names.
    fn name(&self) -> &str;

    /// Begins an exchange, at a CONNECT or at a re-authentication.
    fn start(&self, client_id: &str, username: Option<&str>) -> Box<dyn Exchange>;
}

/// One exchange with one client. It is dropped when it is over.
///
/// ```
/// use mqtt_session::{Exchange, Step};
///
/// /// Success at the first word.
/// struct Easy;
///
/// impl Exchange for Easy {
///     fn step(&mut self, _: &[u8]) -> Step {
///         Step::Success(None)
///     }
/// }
/// # let _ = Easy;
/// ```
pub trait Exchange: Send {
    /// Takes the client's next data and says how it goes on. Must not block.
    fn step(&mut self, data: &[u8]) -> Step;

    /// The user name that the exchange has proved, if it is known from there and not from the CONNECT.
    fn username(&self) -> Option<&str> {
        None
    }

    /// The user name that the client claims in the exchange, as soon as it is known: for whoever slows down guessing.
    fn claimed_username(&self) -> Option<&str> {
        self.username()
    }
}

/// How an authentication goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this in an AUTH with reason 0x18 and wait for the next data ([MQTT-4.12.0-2]).
    Continue(Box<[u8]>),
    /// The client is who it says; this goes into the CONNACK or the final AUTH.
    Success(Option<Box<[u8]>>),
    /// Refuse with this reason and close ([MQTT-4.12.0-4]).
    Failure(ReasonCode),
}
