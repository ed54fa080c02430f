//! What the broker has when everything is quiet must be what the model says, exactly.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::broker::Broker;
use super::publisher::{Progress, topic};
use super::{Mode, Place};

/// How long the broker may take to write down what happened last, which nobody waits for.
const QUIET: Duration = Duration::from_millis(500);

/// Kills the broker once more, and compares what it has kept with what was acknowledged.
pub(super) fn check(
    broker: &mut Broker,
    place: &Place,
    progress: &[Progress],
) -> Result<Vec<String>, String> {
    if place.mode == Mode::Memory {
        return Ok(Vec::new());
    }
    thread::sleep(QUIET);
    broker.kill()?;
    let items = items(&broker.export()?)?;
    let mut faults = check_retained(&items, progress);
    faults.extend(check_sessions(&items, progress.len()));
    Ok(faults)
}

fn items(lines: &str) -> Result<Vec<Value>, String> {
    let parsed = lines.lines().map(serde_json::from_str);
    parsed.collect::<Result<_, _>>().map_err(|error| format!("the export is no JSON: {error}"))
}

fn of_kind<'v>(items: &'v [Value], kind: &'v str) -> impl Iterator<Item = &'v Value> {
    items.iter().filter(move |item| item["kind"] == kind)
}

fn check_retained(items: &[Value], progress: &[Progress]) -> Vec<String> {
    let payloads: BTreeMap<_, _> = of_kind(items, "message")
        .map(|item| (item["number"].as_u64(), item["payload"]["text"].as_str()))
        .collect();
    let mut retained: BTreeMap<_, _> = of_kind(items, "retained")
        .map(|item| {
            let payload = payloads.get(&item["message"].as_u64()).copied().flatten();
            (item["topic"].as_str().unwrap_or_default(), payload)
        })
        .collect();
    let mut faults = Vec::new();
    for (at, progress) in progress.iter().enumerate() {
        let found = retained.remove(&*topic(at)).flatten().and_then(|text| text.parse().ok()).unwrap_or(0);
        let last = progress.retained_acknowledged.load(Ordering::SeqCst);
        let refused = progress.refused.lock().expect("nobody panicked");
        // What was refused may be there or not, as long as nothing newer was accepted.
        if found != last && !(found > last && refused.contains(&found)) {
            faults.push(format!("at the end {} retains {found}, not {last}", topic(at)));
        }
    }
    faults.extend(retained.keys().map(|topic| format!("at the end {topic} retains what nobody published")));
    faults
}

fn check_sessions(items: &[Value], publishers: usize) -> Vec<String> {
    let names: BTreeMap<_, _> =
        of_kind(items, "session").map(|item| (item["number"].as_u64(), item["client_id"].as_str())).collect();
    let mut found: BTreeMap<&str, Vec<&str>> =
        names.values().map(|name| (name.unwrap_or(""), Vec::new())).collect();
    for item in of_kind(items, "subscription") {
        let name = names.get(&item["session"].as_u64()).copied().flatten().unwrap_or("");
        found.entry(name).or_default().push(item["filter"].as_str().unwrap_or(""));
    }
    let everything = vec!["torture/#", "wills/#"];
    let mut expected = BTreeMap::from([
        ("mortal", Vec::new()),
        ("often-away", everything.clone()),
        ("present", everything),
        ("shared-1", vec!["$share/g/torture/#"]),
        ("shared-2", vec!["$share/g/torture/#"]),
    ]);
    let publishers: Vec<String> = (0..publishers).map(|at| format!("publisher-{at}")).collect();
    expected.extend(publishers.iter().map(|name| (&**name, Vec::new())));
    let mut faults = Vec::new();
    if found != expected {
        faults.push(format!("at the end there are the sessions {found:?}, not {expected:?}"));
    }
    for kind in ["queued", "in_flight", "received"] {
        let left = of_kind(items, kind).count();
        if left > 0 {
            faults.push(format!("at the end {left} items are {kind} although everybody has everything"));
        }
    }
    faults
}
