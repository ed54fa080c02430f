//! The client against a service that answers as the test says.

use std::time::Duration;

use mqtt_http::{Client, ClientOptions, HttpError, HttpUrl, Request};
use mqtt_testkit::{HttpAnswer, HttpService};

fn client(service: &HttpService, path: &str, options: &ClientOptions) -> Client {
    let url = HttpUrl::parse(&service.url(path)).expect("an address");
    Client::new(&url, options).expect("no files are needed")
}

#[tokio::test]
async fn a_request_says_what_it_should_and_the_connection_is_used_again() {
    let service = HttpService::start().await;
    let client = client(&service, "/login?realm=a", &ClientOptions::default());
    service.answer(HttpAnswer::with_headers(200, "etag: \"7\"\r\n", "yes"));
    service.answer(HttpAnswer::Bytes(
        b"HTTP/1.1 404 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n".to_vec(),
    ));
    let first =
        client.send(Request::post("application/json", "{}").header("x-key", "k")).await.expect("an answer");
    assert_eq!((first.status, first.header("etag"), &*first.body), (200, Some("\"7\""), &b"yes"[..]));
    let second = client.send(Request::get().query("a=1".to_owned())).await.expect("an answer");
    assert_eq!((second.status, &*second.body), (404, &b"no"[..]));
    let asked = service.asked();
    assert!(asked[0].starts_with("POST /login?realm=a HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("x-key: k\r\n") && asked[0].ends_with("\r\n\r\n{}"), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /login?realm=a&a=1 HTTP/1.1\r\n"), "{}", asked[1]);
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_service_closes_is_replaced() {
    let service = HttpService::start().await;
    let client = client(&service, "/", &ClientOptions::default());
    service.answer(HttpAnswer::ThenClose(
        b"HTTP/1.1 200 X\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1".to_vec(),
    ));
    service.answer(HttpAnswer::status(200, "2"));
    assert_eq!(&*client.send(Request::get()).await.expect("an answer").body, b"1");
    assert_eq!(&*client.send(Request::get()).await.expect("another").body, b"2");
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_is_too_long_late_or_none_is_an_error() {
    let service = HttpService::start().await;
    let options = ClientOptions {
        timeout: Duration::from_millis(200),
        answer_bytes_max: 10,
        ..ClientOptions::default()
    };
    let client = client(&service, "/", &options);
    service.answer(HttpAnswer::status(200, "01234567890"));
    assert!(matches!(client.send(Request::get()).await, Err(HttpError::TooLong)));
    service.answer(HttpAnswer::ThenClose(b"SSH-2.0-x\r\n".to_vec()));
    assert!(matches!(client.send(Request::get()).await, Err(HttpError::Broken(_))));
    service.answer(HttpAnswer::ThenClose(b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\nabc".to_vec()));
    assert!(matches!(client.send(Request::get()).await, Err(HttpError::Broken(_))));
    service.answer(HttpAnswer::Silence);
    assert!(matches!(client.send(Request::get()).await, Err(HttpError::TimedOut)));
    service.answer(HttpAnswer::status(200, "0123456789"));
    assert!(client.send(Request::get()).await.is_ok());
    assert!(matches!(client.send(Request::get().header("a b", "c")).await, Err(HttpError::BadRequest)));
    assert!(matches!(client.send(Request::get().header("a", "c\r\nd: e")).await, Err(HttpError::BadRequest)));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    drop(listener);
    let client = Client::new(&HttpUrl::parse(&url).expect("an address"), &ClientOptions::default());
    let refused = client.expect("no files").send(Request::get()).await;
    assert!(matches!(refused, Err(HttpError::Connect(_))), "{refused:?}");
}
