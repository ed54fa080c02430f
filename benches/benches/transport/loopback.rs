//! Every transport the same way: two ends of one connection over the loopback, on one thread.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput};
use mqtt_testkit::Authority;
use mqtt_transport::{
    CertificateFiles, ConnectOptions, Connection, Connector, FrameReader, FrameWriter, Listener,
    ListenerOptions, Scheme, Url,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

const BYTES: usize = 1 << 20;
const FRAMES: usize = 10_000;
const FRAME_BYTES: usize = 64;
const ROUNDS: usize = 100;
/// What a broker hands over at once when it is busy.
const BURST_BYTES: usize = 64 << 10;

/// Two ends of one connection.
struct Pair {
    client: Connection,
    broker: Connection,
}

impl Pair {
    async fn open(url: &str, folder: &Path) -> Self {
        let mut options = ListenerOptions::default();
        let file = |name: &str| folder.join(name);
        options.tls.certificates =
            vec![CertificateFiles { certificate: file("server.pem"), key: file("server.key") }];
        let url = Url::parse(url).expect("an address");
        let listener = Listener::bind(&url, options).await.expect("a free port");
        let mut options = ConnectOptions::default();
        options.tls.ca_file = Some(file("ca.pem"));
        let connector = Connector::new(listener.url().clone(), &options).expect("good files");
        let accept = async {
            let incoming = listener.accept().await.expect("a client comes");
            let mut broker = incoming.handshake().await.expect("it keeps to the rules").connection;
            broker.read_u8().await.expect("a byte");
            broker
        };
        let dial = async {
            let mut client = connector.connect().await.expect("it listens");
            client.write_u8(0).await.expect("sent");
            client.flush().await.expect("sent");
            client
        };
        let (broker, client) = tokio::join!(accept, dial);
        Self { client, broker }
    }

    /// Bytes from the broker to the client.
    async fn bytes(&mut self, block: &[u8], sink: &mut [u8]) {
        let Self { client, broker } = self;
        let send = async {
            for _ in 0..BYTES / block.len() {
                broker.write_all(block).await.expect("sent");
            }
            broker.flush().await.expect("sent");
        };
        let receive = async {
            let mut left = BYTES;
            while left > 0 {
                left -= client.read(sink).await.expect("received");
            }
        };
        tokio::join!(send, receive);
    }

    /// Packets from the client to the broker, in bursts.
    async fn frames(&mut self, packet: &[u8], writer: &mut FrameWriter, reader: &mut FrameReader) {
        let Self { client, broker } = self;
        let burst = BURST_BYTES / packet.len();
        let send = async {
            let mut left = FRAMES;
            while left > 0 {
                let count = left.min(burst);
                (0..count).for_each(|_| writer.buffer().extend_from_slice(black_box(packet)));
                writer.flush(client).await.expect("sent");
                left -= count;
            }
        };
        let receive = async {
            let mut left = FRAMES;
            while left > 0 {
                let mut count = |frame: &[u8]| {
                    black_box(frame);
                    left -= 1;
                    ControlFlow::Continue(())
                };
                let burst = std::future::poll_fn(|cx| reader.poll_burst(cx, broker, &mut count));
                burst.await.expect("received");
            }
        };
        tokio::join!(send, receive);
    }

    /// One packet there and back, [`ROUNDS`] times.
    async fn echo(&mut self, packet: &[u8], answer: &mut [u8]) {
        let Self { client, broker } = self;
        for _ in 0..ROUNDS {
            pass(client, broker, packet, answer).await;
            pass(broker, client, packet, answer).await;
        }
    }
}

async fn pass(from: &mut Connection, to: &mut Connection, packet: &[u8], answer: &mut [u8]) {
    from.write_all(packet).await.expect("sent");
    from.flush().await.expect("sent");
    to.read_exact(answer).await.expect("received");
}

/// What all pairs need.
struct House {
    runtime: Runtime,
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new("authority");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
        authority.issue("server", &["127.0.0.1"], 1).write(folder.path(), "server");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.expect("a runtime"), folder }
    }

    /// Measures the same work on each transport.
    fn each(&self, criterion: &mut Criterion, name: &str, size: Throughput, work: impl AsyncFn(&mut Pair)) {
        let mut group = criterion.benchmark_group(format!("transport/{name}"));
        group.throughput(size);
        for scheme in Scheme::ALL {
            let url = match scheme {
                Scheme::Unix => format!("unix://{}/socket", self.folder.path().display()),
                scheme => format!("{}://127.0.0.1:0", scheme.name()),
            };
            let mut pair = self.runtime.block_on(Pair::open(&url, self.folder.path()));
            group.bench_function(BenchmarkId::from_parameter(scheme.name()), |bencher| {
                bencher.iter(|| self.runtime.block_on(work(&mut pair)));
            });
        }
        group.finish();
    }
}

pub(crate) fn loopback(criterion: &mut Criterion) {
    let house = House::new();
    let block = vec![b'x'; BURST_BYTES];
    house.each(criterion, "1 MiB to a client", Throughput::Bytes(BYTES as u64), async |pair| {
        pair.bytes(&block, &mut vec![0; BURST_BYTES]).await;
    });
    let packet = super::publish(FRAME_BYTES);
    let size = Throughput::Elements(FRAMES as u64);
    house.each(criterion, "10,000 packets to a broker", size, async |pair| {
        pair.frames(&packet, &mut FrameWriter::new(), &mut FrameReader::new(1 << 20)).await;
    });
    let size = Throughput::Elements(2 * ROUNDS as u64);
    house.each(criterion, "100 packets there and back", size, async |pair| {
        pair.echo(&packet, &mut packet.clone()).await;
    });
}
