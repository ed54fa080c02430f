//! A broker, its store and its clients in one process, with seeded clock, network and disk: the same seed gives the
//! same run. What clients see is compared with a model of what they were promised.
//!
//! `MARTLET_SIM_SEED=7` replays one seed and tells what happens in it, `MARTLET_SIM_STEPS=2000` makes runs longer,
//! `MARTLET_SIM_SEEDS=500` makes them more. See `cargo xtask simulate`.

mod client;
mod link;
mod model;
mod world;

use tokio::runtime::Builder;
use world::{Outcome, World};

const STEPS: u64 = 250;
const SEEDS: u64 = 40;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn run(seed: u64, steps: u64) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async { World::start(seed).await.run(steps).await })
}

#[test]
fn clients_get_what_they_were_promised_whatever_happens() {
    let steps = number("MARTLET_SIM_STEPS").unwrap_or(STEPS);
    let one = number("MARTLET_SIM_SEED");
    let seeds = one.map_or(1..number("MARTLET_SIM_SEEDS").unwrap_or(SEEDS) + 1, |seed| seed..seed + 1);
    for seed in seeds {
        let outcome = run(seed, steps);
        if one.is_some() {
            outcome.events.iter().for_each(|event| eprintln!("{event}"));
        }
        let told = outcome.events.len().saturating_sub(60);
        assert!(
            outcome.faults.is_empty(),
            "MARTLET_SIM_SEED={seed} MARTLET_SIM_STEPS={steps}: {:#?}\nthe last events: {:#?}",
            outcome.faults,
            &outcome.events[told..],
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3] {
        let (first, second) = (run(seed, 150), run(seed, 150));
        let differs = first.events.iter().zip(&second.events).position(|(first, second)| first != second);
        if let Some(at) = differs {
            panic!("seed {seed}, event {at}: {} and {}", first.events[at], second.events[at]);
        }
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert!(first.events.len() > 100, "{}", first.events.len());
    }
    assert_ne!(run(1, 50).hash, run(2, 50).hash);
}
