//! Enhanced authentication (section 4.12), the client's side.

use std::fmt;

/// A challenge and response method that a client proves itself with, such as SCRAM.
///
/// ```
/// use mqtt_client::{Authenticator, Exchange, Options};
///
/// /// Shows a token, and is asked nothing more.
/// #[derive(Debug)]
/// struct Token(Vec<u8>);
///
/// impl Authenticator for Token {
///     fn method(&self) -> &str {
///         "TOKEN"
///     }
///
///     fn start(&self) -> Box<dyn Exchange> {
///         Box::new(Shown(self.0.clone()))
///     }
/// }
///
/// struct Shown(Vec<u8>);
///
/// impl Exchange for Shown {
///     fn first(&mut self) -> Option<Vec<u8>> {
///         Some(self.0.clone())
///     }
///
///     fn answer(&mut self, _challenge: &[u8]) -> Option<Vec<u8>> {
///         None // nothing was to be asked: gives up
///     }
/// }
///
/// let url = "tcp://127.0.0.1:1883".parse().expect("an address");
/// let options = Options::new(url).authentication(Token(b"abc".to_vec()));
/// # let _ = options;
/// ```
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// The Authentication Method that the CONNECT names.
    fn method(&self) -> &str;

    /// Begins an exchange: for each connection, and for each [re-authentication](crate::Client::reauthenticate).
    fn start(&self) -> Box<dyn Exchange>;
}

/// One exchange with the server. Its methods must not block.
///
/// ```
/// use mqtt_client::Exchange;
///
/// /// Answers each challenge with its bytes in reverse.
/// struct Mirror;
///
/// impl Exchange for Mirror {
///     fn first(&mut self) -> Option<Vec<u8>> {
///         None
///     }
///
///     fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
///         Some(challenge.iter().rev().copied().collect())
///     }
/// }
///
/// assert_eq!(Mirror.answer(b"abc").as_deref(), Some(&b"cba"[..]));
/// ```
pub trait Exchange: Send {
    /// The Authentication Data to begin with, if there is any.
    fn first(&mut self) -> Option<Vec<u8>>;

    /// The answer to the server's data; `None` gives up.
    fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>>;

    /// Whether the data that the server says success with shows that it is the right one.
    fn verify(&mut self, last: Option<&[u8]>) -> bool {
        let _ = last;
        true
    }
}

#[cfg(feature = "scram")]
mod scram {
    use std::fmt;

    use mqtt_access::scram::{ClientExchange, Mechanism};

    use super::{Authenticator, Exchange};

    /// SCRAM-SHA-256 or SCRAM-SHA-512: the password never leaves the client, and the server proves that it knows it.
    ///
    /// ```
    /// use mqtt_client::{Options, Scram, ScramMechanism};
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let scram = Scram::new(ScramMechanism::Sha256, "greenhouse", "a long password");
    /// let options = Options::new("tcp://127.0.0.1:1883".parse()?).authentication(scram);
    /// # let _ = options;
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    #[derive(Clone)]
    pub struct Scram {
        mechanism: Mechanism,
        username: String,
        password: Vec<u8>,
    }

    impl Scram {
        /// For this user.
        pub fn new(mechanism: Mechanism, username: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
            Self { mechanism, username: username.into(), password: password.into() }
        }
    }

    impl Authenticator for Scram {
        fn method(&self) -> &str {
            self.mechanism.name()
        }

        fn start(&self) -> Box<dyn Exchange> {
            Box::new(ClientExchange::new(self.mechanism, &self.username, &self.password))
        }
    }

    impl Exchange for ClientExchange {
        fn first(&mut self) -> Option<Vec<u8>> {
            ClientExchange::first(self).ok()
        }

        fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
            ClientExchange::answer(self, challenge)
        }

        fn verify(&mut self, last: Option<&[u8]>) -> bool {
            ClientExchange::verify(self, last.unwrap_or_default())
        }
    }

    impl fmt::Debug for Scram {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { mechanism, username, .. } = self;
            f.debug_struct("Scram")
                .field("mechanism", mechanism)
                .field("username", username)
                .finish_non_exhaustive()
        }
    }
}

#[cfg(feature = "scram")]
pub use scram::Scram;
