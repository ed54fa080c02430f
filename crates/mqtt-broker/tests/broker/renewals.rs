//! Files of encrypted listeners that change or end while the broker runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mqtt_broker::{Broker, ListenerSettings, MetricsSnapshot};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_testkit::{Authority, Issued, Peer, connect, pipe, publish};
use mqtt_transport::{
    Cause, CertificateFiles, ClientCertificates, ConnectOptions, Connection, Connector, Scheme,
    TlsClientOptions,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::quiet;
use crate::log::Log;

/// A folder with the files of a wss listener: certificates for two names, each of an authority of its own, and what
/// judges its clients.
struct House {
    folder: tempfile::TempDir,
    clients: Authority,
}

const NAMES: [&str; 2] = ["a.example", "b.example"];

impl House {
    fn new() -> Self {
        let house =
            Self { folder: tempfile::tempdir().expect("a folder"), clients: Authority::new("clients") };
        NAMES.iter().for_each(|name| house.renew(name));
        house.clients.issue("resident", &[], 1).write(house.folder.path(), "resident");
        house.admit_only(&house.clients, &[]);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn pair(&self, name: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }

    /// A new certificate for a name, of a new authority, so that who trusts it sees no other one.
    fn renew(&self, name: &str) {
        let authority = Authority::new("servers");
        self.write(&format!("{name}.ca"), authority.pem());
        let issued = authority.issue(name, &[name], 1);
        self.write(&format!("{name}.pem"), &issued.certificate);
        self.write(&format!("{name}.key"), &issued.key);
    }

    /// Clients of this authority, but for those who are revoked.
    fn admit_only(&self, authority: &Authority, revoked: &[&Issued]) {
        self.write("clients.ca", authority.pem());
        self.write("clients.crl", &authority.revoke(revoked));
    }

    async fn start(&self) -> Broker {
        let mut listener = ListenerSettings::new("wss://127.0.0.1:0/mqtt".parse().expect("an address"));
        listener.rules.allow_anonymous = true;
        let tls = &mut listener.transport.tls;
        tls.certificates = NAMES.map(|name| self.pair(name)).into();
        tls.client_certificates = ClientCertificates::Required;
        tls.client_ca_file = Some(self.path("clients.ca"));
        tls.crl_files = vec![self.path("clients.crl")];
        let settings = quiet(|settings| settings.certificate_check_interval = None);
        Broker::builder()
            .settings(settings)
            .listen(listener)
            .start()
            .await
            .expect("a free port and good files")
    }

    /// Connects with a client's certificate to one of the names, and trusts only what is shown for it now.
    async fn dial(&self, broker: &Broker, name: &str, client: &str) -> io::Result<Connection> {
        let tls = TlsClientOptions {
            ca_file: Some(self.path(&format!("{name}.ca"))),
            certificate: Some(self.pair(client)),
            ..TlsClientOptions::default()
        };
        let options = ConnectOptions { tls, ..ConnectOptions::default() };
        let url = format!("wss://{name}:1/mqtt").parse().expect("an address");
        let stream = TcpStream::connect(("127.0.0.1", broker.addresses()[0].port())).await?;
        Connector::new(url, &options)?.upgrade(stream).await
    }

    async fn enter(&self, broker: &Broker, name: &str, client: &str) -> Peer<Connection> {
        let mut peer = Peer::new(client, self.dial(broker, name, client).await.expect("admitted"));
        peer.connect(connect(client)).await;
        peer
    }

    async fn newcomers(&self, broker: &Broker, client: &str) {
        for name in NAMES {
            let mut newcomer = self.enter(broker, name, client).await;
            newcomer.subscribe("other", AtMostOnce).await;
            newcomer.leave().await;
        }
    }

    async fn check_refused(&self, broker: &Broker, client: &str, cause: Cause) {
        let before = refused(&broker.metrics(), cause);
        // It waits for the answer to its HTTP request, so it hears the alert.
        self.dial(broker, NAMES[0], client).await.expect_err("no longer admitted");
        while refused(&broker.metrics(), cause) == before {
            tokio::task::yield_now().await;
        }
    }
}

fn refused(metrics: &MetricsSnapshot, cause: Cause) -> u64 {
    metrics.refused_for(Scheme::Wss, cause)
}

/// What a round of the test changes.
const CHANGES: [Change; 4] = [Change::Server, Change::Authority, Change::Revocations, Change::Rubbish];

#[derive(Clone, Copy)]
enum Change {
    Server,
    Authority,
    Revocations,
    Rubbish,
}

/// Every file that a listener has changes again and again while messages flow over wss: nothing is lost, out of order or
/// twice, whoever is there stays, and each newcomer is judged by the files of the moment, or, if one of those is wrong,
/// by the last good ones.
#[tokio::test]
async fn any_file_may_change_under_load_and_only_newcomers_notice() {
    const MESSAGES: usize = 160;
    let mut house = House::new();
    let broker = house.start().await;
    let mut subscriber = house.enter(&broker, NAMES[0], "resident").await;
    subscriber.subscribe("t", AtLeastOnce).await;
    house.clients.issue("publisher", &[], 2).write(house.folder.path(), "publisher");
    let mut publisher = house.enter(&broker, NAMES[1], "publisher").await;
    let mut guest = house.clients.issue("guest", &[], 3);
    for number in 0..MESSAGES {
        if number % 10 == 0 {
            match CHANGES[number / 10 % CHANGES.len()] {
                Change::Server => {
                    house.renew(NAMES[1]);
                    broker.reload_certificates().await.expect("good files");
                    guest.write(house.folder.path(), "guest");
                    house.newcomers(&broker, "guest").await;
                }
                Change::Authority => {
                    let before = std::mem::replace(&mut house.clients, Authority::new("new clients"));
                    before.issue("old", &[], 4).write(house.folder.path(), "old");
                    house.admit_only(&house.clients, &[]);
                    broker.reload_certificates().await.expect("good files");
                    guest = house.clients.issue("guest", &[], 3);
                    guest.write(house.folder.path(), "guest");
                    house.newcomers(&broker, "guest").await;
                    house.check_refused(&broker, "old", Cause::CertificateUnknown).await;
                }
                Change::Revocations => {
                    house.admit_only(&house.clients, &[&guest]);
                    broker.reload_certificates().await.expect("good files");
                    house.check_refused(&broker, "guest", Cause::CertificateRevoked).await;
                    guest = house.clients.issue("guest", &[], 5);
                    guest.write(house.folder.path(), "guest");
                    house.newcomers(&broker, "guest").await;
                }
                Change::Rubbish => {
                    for name in ["a.example.pem", "b.example.key", "clients.ca", "clients.crl"] {
                        let good = fs::read_to_string(house.path(name)).expect("a file");
                        house.write(name, "rubbish");
                        let errors = broker.reload_certificates().await.expect_err("a wrong file");
                        assert!(errors.len() == 1 && errors[0].to_string().contains(name), "{errors:?}");
                        house.newcomers(&broker, "guest").await;
                        house.write(name, &good);
                    }
                }
            }
        }
        publisher.publish(publish("t").payload(format!("{number}")).qos1(1)).await;
        subscriber.receive_text(&number.to_string()).await;
    }
    let metrics = broker.metrics();
    let rounds = (MESSAGES / 10 / CHANGES.len()) as u64;
    assert_eq!((metrics.dropped_total(), metrics.connects_failed), (0, 2 * rounds));
    assert_eq!((metrics.certificate_reloads, metrics.certificate_reloads_failed), (3 * rounds, 4 * rounds));
    assert_eq!(refused(&metrics, Cause::CertificateUnknown), rounds);
    assert_eq!(refused(&metrics, Cause::CertificateRevoked), rounds);
    publisher.leave().await;
    subscriber.leave().await;
    broker.shutdown().await;
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Some day in 2023, when the clock of these tests begins.
const BEGIN: Duration = Duration::from_secs(1_700_000_000);

/// A certificate in a file, with ends in days of the test, and a broker whose calendar goes with the paused clock.
struct Calendar {
    folder: tempfile::TempDir,
    authority: Authority,
    broker: Broker,
    log: Log,
}

impl Calendar {
    async fn start(end_day: u32, look_every: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("authority");
        write_ending(&authority, folder.path(), end_day);
        let mut listener = ListenerSettings::new("mqtts://127.0.0.1:0".parse().expect("an address"));
        let path = |name| folder.path().join(name);
        let files = CertificateFiles { certificate: path("server.pem"), key: path("server.key") };
        listener.transport.tls.certificates = vec![files];
        let log = Log::listen();
        let mut settings = quiet(|settings| settings.certificate_check_interval = look_every);
        settings.sys.interval = Some(HOUR);
        let began = Instant::now();
        let unix_ms = move || u64::try_from((BEGIN + began.elapsed()).as_millis()).expect("not that late");
        let builder = Broker::builder().settings(settings).calendar(unix_ms).listen(listener);
        let broker = builder.start().await.expect("a free port and good files");
        // So that nothing else that is regular happens at the same moment as what the tests do.
        sleep(HOUR / 2 + Duration::from_secs(30)).await;
        Self { folder, authority, broker, log }
    }

    fn renew(&self, end_day: u32) {
        write_ending(&self.authority, self.folder.path(), end_day);
    }

    /// Lets so many hours pass; what was logged meanwhile.
    async fn pass(&self, hours: u32) -> Vec<String> {
        sleep(HOUR * hours).await;
        self.log.take()
    }

    /// What `$SYS` says of the certificates.
    async fn figure(&self, name: &str) -> String {
        let (near, far) = pipe();
        self.broker.attach(Connection::boxed(far), mqtt_broker::Peer::anonymous());
        let mut observer = Peer::new("observer", near);
        observer.connect(connect("observer")).await;
        observer.subscribe(&format!("$SYS/broker/certificates/{name}"), AtMostOnce).await;
        observer.receive().await.text().to_owned()
    }
}

fn write_ending(authority: &Authority, folder: &Path, day: u32) {
    let at = UNIX_EPOCH + BEGIN + DAY * day;
    authority.issue_ending("server", &["127.0.0.1"], 1, at).write(folder, "server");
}

fn check_days(lines: &[String], days: &[u32]) {
    assert_eq!(lines.len(), days.len(), "{lines:?}");
    for (line, days) in lines.iter().zip(days) {
        assert!(line.contains("ends soon") && line.contains("server.pem"), "{line}");
        assert!(line.starts_with("WARN") && line.contains(&format!("days_left={days}")), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_two_weeks_ahead_once_a_day_and_at_once_for_another_certificate() {
    let calendar = Calendar::start(20, Some(HOUR / 3)).await;
    let nothing: [&str; 0] = [];
    assert_eq!(calendar.pass(6 * 24 - 1).await, nothing, "more than two weeks");
    assert_eq!(calendar.figure("1/seconds_left").await, (14 * 24 * 3600 + 3600).to_string());
    check_days(&calendar.pass(2).await, &[14]);
    check_days(&calendar.pass(3 * 24).await, &[13, 12, 11]);
    // Another one that ends soon, and after it one that does not.
    calendar.renew(12);
    check_days(&calendar.pass(1).await, &[2]);
    calendar.renew(400);
    assert_eq!(calendar.pass(20 * 24).await, nothing, "a good one");
    assert_eq!(calendar.figure("1/seconds_left").await, (371 * 24 * 3600 - 2 * 3600).to_string());
    // A short one again, also if the log was told of the same end before.
    calendar.renew(30);
    check_days(&calendar.pass(1).await, &[0]);
    let ended = calendar.pass(48).await;
    assert!(ended.iter().any(|line| line.starts_with("ERROR") && line.contains("has ended")), "{ended:?}");
    assert_eq!(calendar.figure("1/seconds_left").await, "0");
    assert_eq!(calendar.figure("reloads").await, "3");
    calendar.broker.shutdown().await;
}

/// Where files are not looked at, the calendar is, and a reload on demand warns as well.
#[tokio::test(start_paused = true)]
async fn an_end_is_told_also_where_files_are_read_on_demand_only() {
    let calendar = Calendar::start(20, None).await;
    check_days(&calendar.pass(7 * 24 - 1).await, &[14]);
    calendar.renew(10);
    check_days(&calendar.pass(12).await, &[13]);
    calendar.broker.reload_certificates().await.expect("good files");
    check_days(&calendar.log.take(), &[2]);
    calendar.broker.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_file_is_logged_and_counted_once_and_the_right_one_taken_over() {
    let calendar = Calendar::start(400, Some(HOUR)).await;
    assert!(calendar.pass(2).await.is_empty());
    fs::write(calendar.folder.path().join("server.pem"), "rubbish").expect("a file");
    let lines = calendar.pass(5).await;
    assert!(
        lines.len() == 1 && lines[0].starts_with("ERROR") && lines[0].contains("server.pem"),
        "{lines:?}"
    );
    assert!(lines[0].contains("the old ones stay"), "{lines:?}");
    assert_eq!(calendar.figure("reloads_failed").await, "1");
    calendar.renew(401);
    assert!(calendar.pass(2).await.is_empty());
    assert_eq!(calendar.figure("reloads").await, "1");
    calendar.broker.shutdown().await;
}
