//! What keeping messages costs: sessions that outlive their connections, with each promise of ours and with peers that
//! have persistence switched on.

use std::fs;

use super::peers::{CONFIG, Found, Launch, Peer, Place, peer, words};
use super::results::{Figures, Results, Spread};
use super::run::Bench;
use super::scenarios::{Scenario, load};
use super::{Options, martlet, measure};
use crate::CommandResult;
use crate::workspace::Workspace;

/// In the order of the table. The first is what the others are compared with.
static OURS: [Peer; 4] = [
    peer("martlet, nothing kept", "martlet", VERSION, |place| serve(place, "--in-memory")),
    durable("martlet, memory", |place| promising(place, "memory")),
    durable("martlet, periodic", |place| promising(place, "periodic")),
    durable("martlet, acked", |place| promising(place, "acked")),
];

static OTHERS: [Peer; 4] = [
    peer("mosquitto", "mosquitto", &["-h"], mosquitto),
    peer("mochi", "mochi", &[], mochi),
    peer("nats-server", "nats-server", &["--version"], nats),
    peer("rmqttd", "rmqttd", &["--version"], rmqttd),
];

const VERSION: &[&str] = &["--version"];

const SCENARIOS: &[Scenario] = &[
    load(
        "kept-10-qos1",
        "10 pairs of kept sessions, QoS 1, 64 B",
        "pairs 10 --qos 1 --session-expiry 3600",
        false,
    ),
    load(
        "kept-10-qos2",
        "10 pairs of kept sessions, QoS 2, 64 B",
        "pairs 10 --qos 2 --session-expiry 3600",
        false,
    ),
    load(
        "kept-50-single",
        "50 pairs of kept sessions, QoS 1, one message under way each",
        "pairs 50 --qos 1 --window 1 --session-expiry 3600",
        false,
    ),
];

const fn durable(name: &'static str, launch: fn(&Place<'_>) -> Launch) -> Peer {
    Peer { counts_syncs: true, ..peer(name, "martlet", VERSION, launch) }
}

fn serve(place: &Place<'_>, kept: &str) -> Launch {
    let line = format!("serve {kept} --listen tcp://127.0.0.1:{}", place.port);
    Launch { arguments: words(&line), config: String::new() }
}

fn promising(place: &Place<'_>, promise: &str) -> Launch {
    serve(
        place,
        &format!(
            "--data-dir {}/data --set storage.durability={promise} --set sys.interval_ms=500",
            place.folder
        ),
    )
}

/// Its snapshots are all it has; every second is as often as it can.
fn mosquitto(place: &Place<'_>) -> Launch {
    let config = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n\
         persistence true\npersistence_location {}/\nautosave_interval 1\n",
        place.port, place.folder
    );
    Launch { arguments: words(&format!("-c {CONFIG}")), config }
}

/// The program that reads a configuration, `cmd/docker` of its repository. Bolt syncs for each message.
fn mochi(place: &Place<'_>) -> Launch {
    let config = format!(
        "listeners:\n  - type: tcp\n    id: tcp\n    address: 127.0.0.1:{}\n\
         hooks:\n  storage:\n    bolt:\n      path: {}/bolt.db\n  auth:\n    allow_all: true\n\
         logging:\n  level: WARN\n",
        place.port, place.folder
    );
    Launch { arguments: words(&format!("--config {CONFIG}")), config }
}

/// Synced for each message, as an acknowledgement promises with `acked`.
fn nats(place: &Place<'_>) -> Launch {
    let config = format!(
        "server_name: peer\nlisten: \"127.0.0.1:{}\"\njetstream {{\n  store_dir: \"{}/jetstream\"\n  \
         sync_interval: always\n}}\nmqtt {{\n  listen: \"127.0.0.1:{}\"\n}}\n",
        place.other_ports[0], place.folder, place.port,
    );
    Launch { arguments: words(&format!("-c {CONFIG}")), config }
}

fn rmqttd(place: &Place<'_>) -> Launch {
    let config = format!(
        "[node]\nid = 1\n\n[rpc]\nserver_addr = \"127.0.0.1:{}\"\n\n[log]\nto = \"console\"\nlevel = \"warn\"\n\n\
         [plugins]\ndefault_startups = [\"rmqtt-session-storage\"]\n\n\
         [listener.tcp.external]\naddr = \"127.0.0.1:{}\"\nallow_anonymous = true\nmax_mqueue_len = 1000000\n",
        place.other_ports[0], place.port,
    );
    Launch { arguments: words(&format!("--config {CONFIG}")), config }
}

/// Measures, the brokers taking turns, and prints a table.
pub(super) fn compare(workspace: &Workspace, options: &Options) -> CommandResult {
    let program = martlet(workspace, options)?;
    let mut everybody: Vec<Found> = OURS.iter().map(|peer| peer.found(program.clone())).collect();
    everybody.extend(OTHERS.iter().filter_map(|peer| peer.find(&options.given)));
    let is_chosen = |scenario: &&Scenario| {
        options.only.is_empty() || options.only.iter().any(|text| scenario.key.contains(text.as_str()))
    };
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(is_chosen).collect();
    let folder = workspace.target.join("compare");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let bench = Bench { tool: program, folder, time: options.time, patience: options.patience };
    let mut results = Results::default();
    measure(&bench, &everybody, &scenarios, options.runs, &mut results);
    for scenario in scenarios {
        println!("\n{}\n\n{}", scenario.title, table(scenario, &everybody, &results));
    }
    Ok(true)
}

fn table(scenario: &Scenario, everybody: &[Found], results: &Results) -> String {
    let first = figures(results, scenario, everybody[0].peer.name, |one| one.per_s);
    let mut table =
        "| broker | messages/s | to the first | us CPU | p99 us | messages per sync |\n|---|---|---|---|---|---|\n".to_owned();
    for found in everybody {
        let name = found.peer.name;
        let of = |figure: fn(&Figures) -> f64| figures(results, scenario, name, figure);
        let row = match (of(|one| one.per_s), of(|one| one.cpu_us), of(|one| one.p99_us)) {
            (Some(per_s), Some(cpu_us), Some(p99_us)) => {
                let ratio = per_s / first.unwrap_or(per_s);
                let synced = of(|one| one.per_sync).filter(|per_sync| *per_sync > 0.0);
                let synced = synced.map_or("–".to_owned(), |per_sync| format!("{per_sync:.0}"));
                format!("{per_s:.0} | {ratio:.2} | {cpu_us:.2} | {p99_us:.0} | {synced}")
            }
            _ => results.failure(scenario.key, name).unwrap_or("not measured").to_owned() + " | | | |",
        };
        table += &format!("| {name} {} | {row} |\n", found.version);
    }
    table
}

/// The median of a figure.
fn figures(results: &Results, scenario: &Scenario, peer: &str, figure: fn(&Figures) -> f64) -> Option<f64> {
    Spread::of(results.figures(scenario.key, peer).iter().map(figure)).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::{OTHERS, OURS};

    #[test]
    fn shown_configurations_name_no_place_of_this_machine() {
        for peer in OURS.iter().chain(&OTHERS) {
            let shown = peer.shown();
            assert!(shown.contains("PORT") && !shown.contains("/tmp"), "{shown}");
        }
    }
}
