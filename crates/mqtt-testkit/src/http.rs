//! An HTTP service for tests: it notes what it is asked and answers what it was told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A service on a free port of this machine. It ends with the runtime.
#[derive(Debug, Clone)]
pub struct HttpService {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<String>,
    answers: VecDeque<HttpAnswer>,
    /// What is answered when nothing else waits.
    otherwise: Option<HttpAnswer>,
    connections: usize,
}

/// What a service does about a request.
#[derive(Debug, Clone)]
pub enum HttpAnswer {
    /// Answers with these bytes, as they are, and stays connected.
    Bytes(Vec<u8>),
    /// Answers with these bytes and closes.
    ThenClose(Vec<u8>),
    /// Says nothing.
    Silence,
}

impl HttpAnswer {
    /// A well-formed answer.
    #[must_use]
    pub fn status(status: u16, body: &str) -> Self {
        Self::with_headers(status, "", body)
    }

    /// A well-formed answer with further headers, each ending with CR LF.
    #[must_use]
    pub fn with_headers(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes(),
        )
    }
}

const WHY: &str = "no test panics while it holds this lock";

impl HttpService {
    /// Starts one that has no answers yet.
    ///
    /// # Panics
    /// This machine has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let service = Self { address, state: Arc::default() };
        let accepting = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.state.lock().expect(WHY).connections += 1;
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        service
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next request that has no answer yet with this.
    ///
    /// # Panics
    /// Never: no test panics while it holds the lock.
    pub fn answer(&self, answer: HttpAnswer) {
        self.state.lock().expect(WHY).answers.push_back(answer);
    }

    /// Answers every further request with this.
    ///
    /// # Panics
    /// Never, as above.
    pub fn always(&self, answer: HttpAnswer) {
        self.state.lock().expect(WHY).otherwise = Some(answer);
    }

    /// The requests so far, head and body.
    ///
    /// # Panics
    /// Never, as above.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().expect(WHY).asked.clone()
    }

    /// Connections so far.
    ///
    /// # Panics
    /// Never, as above.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.lock().expect(WHY).connections
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some(request) = next_request(&mut stream, &mut read).await {
            let answer = self.note(request);
            match answer {
                HttpAnswer::Bytes(bytes) => drop(stream.write_all(&bytes).await),
                HttpAnswer::ThenClose(bytes) => return drop(stream.write_all(&bytes).await),
                HttpAnswer::Silence => std::future::pending().await,
            }
        }
    }

    fn note(&self, request: String) -> HttpAnswer {
        let mut state = self.state.lock().expect(WHY);
        state.asked.push(request);
        let next = state.answers.pop_front();
        next.or_else(|| state.otherwise.clone()).unwrap_or_else(|| HttpAnswer::status(500, ""))
    }
}

/// Head and body of the next request; `None` at the end of the connection.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(length) = request_length(read) {
            let request = read.drain(..length).collect();
            return String::from_utf8(request).ok();
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&part[..count]);
    }
}

fn request_length(read: &[u8]) -> Option<usize> {
    let head_length = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = core::str::from_utf8(&read[..head_length]).ok()?.to_ascii_lowercase();
    let body = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = head_length + body.and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or(0);
    (read.len() >= length).then_some(length)
}
