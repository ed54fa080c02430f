//! Enhanced authentication (section 4.12): the interface that a method implements.

use core::fmt;

use mqtt_codec::ReasonCode;

/// A challenge and response method, such as SCRAM. Methods are found by their name.
pub trait AuthenticationMethod: fmt::Debug + Send + Sync {
    /// The Authentication Method that a CONNECT names.
    fn name(&self) -> &str;

    /// Begins an exchange, at a CONNECT or at a re-authentication.
    fn start(&self, client_id: &str, username: Option<&str>) -> Box<dyn Exchange>;
}

/// One exchange with one client. It is dropped when it is over.
pub trait Exchange: Send {
    /// Takes the client's next data and says how it goes on. Must not block.
    fn step(&mut self, data: &[u8]) -> Step;

    /// The user name that the exchange has proved, if it is known from there and not from the CONNECT.
    fn username(&self) -> Option<&str> {
        None
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
