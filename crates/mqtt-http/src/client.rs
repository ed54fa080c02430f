//! Requests to one address.

use core::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use mqtt_transport::{ConnectOptions, Connector, TlsClientOptions};

use crate::HttpUrl;
use crate::error::HttpError;
use crate::pool::{Pool, Sender};

/// How a client asks.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// From the request to the end of the answer.
    pub timeout: Duration,
    /// Longest body of an answer, in bytes.
    pub answer_bytes_max: usize,
    /// Connections that are kept open for later requests.
    pub idle_max: usize,
    /// For `https://`.
    pub tls: TlsClientOptions,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            answer_bytes_max: 64 * 1024,
            idle_max: 8,
            tls: TlsClientOptions::default(),
        }
    }
}

/// What to ask.
///
/// ```
/// use mqtt_http::Request;
///
/// let request = Request::post("application/json", r#"{"lamp":"on"}"#).header("authorization", "Bearer 7");
/// # let _ = request;
/// ```
pub struct Request {
    method: Method,
    query: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    is_valid: bool,
}

/// What was answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Asks one service. Clones share its connections.
///
/// ```no_run
/// use mqtt_http::{Client, ClientOptions, HttpUrl, Request};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(&HttpUrl::parse("http://127.0.0.1:8080/login")?, &ClientOptions::default())?;
/// let response = client.send(Request::get().query("user=anna".into())).await?;
/// assert!(response.is_success(), "{}", response.status);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    url: HttpUrl,
    connector: Connector,
    pool: Arc<Pool>,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Request {
    /// Fetches what is at the address.
    #[must_use]
    pub fn get() -> Self {
        Self { method: Method::GET, query: None, headers: Vec::new(), body: Bytes::new(), is_valid: true }
    }

    /// Sends this to the address.
    #[must_use]
    pub fn post(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self { method: Method::POST, query: None, headers, body: body.into(), is_valid: true }
    }

    /// Appends this to the query of the address. It must be encoded already.
    #[must_use]
    pub fn query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }

    /// Adds a header, whose value is never shown.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                self.headers.push((name, value));
            }
            _ => self.is_valid = false,
        }
        self
    }

    /// Whether a header can be sent as it is.
    #[must_use]
    pub fn is_header(name: &str, value: &str) -> bool {
        name.parse::<HeaderName>().is_ok() && HeaderValue::from_str(value).is_ok()
    }

    fn into_hyper(self, url: &HttpUrl) -> Result<hyper::Request<Full<Bytes>>, HttpError> {
        if !self.is_valid {
            return Err(HttpError::BadRequest);
        }
        let target = match &self.query {
            None => url.target().to_owned(),
            Some(query) if url.target().contains('?') => format!("{}&{query}", url.target()),
            Some(query) => format!("{}?{query}", url.target()),
        };
        let mut request = hyper::Request::builder().method(self.method).uri(target).header(HOST, url.host());
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).map_err(|_| HttpError::BadRequest)
    }
}

impl Client {
    /// Reads the files that an encrypted address needs.
    ///
    /// # Errors
    /// A file that is missing or wrong; [`io::ErrorKind::Unsupported`] if this build lacks TLS.
    pub fn new(url: &HttpUrl, options: &ClientOptions) -> io::Result<Self> {
        let connect = ConnectOptions { tls: options.tls.clone(), ..ConnectOptions::default() };
        Ok(Self {
            url: url.clone(),
            connector: Connector::new(url.connection(), &connect)?,
            pool: Arc::new(Pool::new(options.idle_max)),
            timeout: options.timeout,
            answer_bytes_max: options.answer_bytes_max,
        })
    }

    /// Where it asks.
    #[must_use]
    pub fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// Asks, and waits for the whole answer. Giving up the future gives up the connection.
    ///
    /// # Errors
    /// There is no complete answer within the time and size that are allowed. Whatever the status code is, it is an answer.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let answered = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        answered.unwrap_or(Err(HttpError::TimedOut))
    }

    async fn exchange(&self, request: Request) -> Result<Response, HttpError> {
        let request = request.into_hyper(&self.url)?;
        let (sender, answer) = self.ask(request).await?;
        let response = self.read(answer).await?;
        self.pool.put(sender);
        Ok(response)
    }

    /// A connection that turns out to be closed before anything was sent is no reason to fail.
    async fn ask(
        &self,
        mut request: hyper::Request<Full<Bytes>>,
    ) -> Result<(Sender, hyper::Response<Incoming>), HttpError> {
        while let Some(mut sender) = self.pool.take() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((sender, answer)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(HttpError::Broken(failed.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request).await.map_err(HttpError::Broken)?;
        Ok((sender, answer))
    }

    async fn connect(&self) -> Result<Sender, HttpError> {
        let stream = self.connector.connect().await.map_err(HttpError::Connect)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Broken)?;
        // It ends with its sender, and with the other side; what went wrong the sender is told.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    async fn read(&self, answer: hyper::Response<Incoming>) -> Result<Response, HttpError> {
        let (head, mut body) = answer.into_parts();
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(HttpError::Broken)?.into_data() else { continue };
            if read.len() + data.len() > self.answer_bytes_max {
                return Err(HttpError::TooLong);
            }
            read.extend_from_slice(&data);
        }
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body: read.freeze() })
    }
}

impl Response {
    /// The value of a header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the status is one of the 200s.
    #[must_use]
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}
