//! A broker in a program of its own, whose clients log in with a token or with what a member of the program's own knows:
//!
//! ```sh
//! cargo run -p mqtt-login --features jwt --example chain
//! ```

use std::future::ready;
use std::sync::Arc;
use std::time::SystemTime;

use jsonwebtoken::{EncodingKey, Header};
use mqtt_access::login::{Answer, Applicant, Authenticator, Chain, Decision, Grant, Moment};
use mqtt_broker::{Access, Broker, Grant as Admission, ListenerSettings, Login};
use mqtt_codec::ReasonCode;
use mqtt_login::jwt::{Jwt, KeySet, TokenSettings};
use mqtt_session::Refusal;
use mqtt_testkit::{Peer, connect};
use mqtt_transport::Url;

/// Admits devices whose client identifier begins with their user name.
#[derive(Debug)]
struct Devices;

impl Authenticator for Devices {
    fn name(&self) -> &str {
        "devices"
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        let belongs = |name: &str| applicant.client_id.starts_with(name) && !name.is_empty();
        let decision = match applicant.username {
            Some(name) if belongs(name) => Decision::Allow(Grant::named(Some(name))),
            Some(_) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            None => Decision::Pass,
        };
        Box::pin(ready(decision))
    }
}

/// What the broker asks. Rules of a grant would be obeyed in the methods about topics, which this example leaves as they are.
#[derive(Debug)]
struct Doorkeeper(Chain);

impl Access for Doorkeeper {
    fn authenticate<'a>(
        &'a self,
        login: &'a Login<'a>,
    ) -> mqtt_broker::Answer<'a, Result<Admission, Refusal>> {
        Box::pin(async move {
            let applicant = Applicant {
                client_id: login.client_id,
                version: login.version,
                address: login.address,
                listener: &login.listener.name,
                anonymous_allowed: login.listener.allow_anonymous,
                certificate_subject: None,
                certificate_common_name: None,
                username: login.username,
                password: login.password,
                proven_by: None,
                must_wait: false,
                now: Moment { instant: tokio::time::Instant::now().into_std(), wall: SystemTime::now() },
            };
            let (member, grant) = self.0.decide(&applicant).await?;
            tracing::info!(member = member.name(), client_id = login.client_id, "admitted");
            Ok(Admission { username: grant.username, expires_at: grant.expires_at, details: None })
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = [7; 32];
    let chain = Chain::new(vec![
        Arc::new(Jwt::new(KeySet::secret(&secret)?, TokenSettings::default())),
        Arc::new(Devices),
    ]);
    let listener = ListenerSettings::new(Url::tcp("127.0.0.1", 0));
    let broker = Broker::builder().access(Arc::new(Doorkeeper(chain))).listen(listener).start().await?;
    let address = broker.addresses()[0].clone();
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() + 60;
    let claims = serde_json::json!({"sub": "anna", "exp": end});
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&secret))?;
    for (client_id, username, password) in
        [("c1", "anna", &*token), ("pump-7", "pump", ""), ("c2", "eve", "guess")]
    {
        let stream = tokio::net::TcpStream::connect((address.host(), address.port())).await?;
        let mut peer = Peer::new(client_id, stream);
        peer.send(connect(client_id).username(username).password(password)).await;
        let answer = peer.expect_connack().await;
        assert_eq!(answer.reason.is_error(), client_id == "c2", "{client_id}: {:?}", answer.reason);
    }
    broker.shutdown().await;
    Ok(())
}
