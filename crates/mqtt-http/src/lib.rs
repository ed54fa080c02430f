#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod client;
mod error;
mod pool;
mod url;

pub use client::{Client, ClientOptions, Request, Response};
pub use error::HttpError;
pub use mqtt_transport::TlsClientOptions;
pub use url::{HttpUrl, HttpUrlError};
