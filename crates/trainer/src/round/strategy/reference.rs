//! Every strategy against the numbers of `scripts/strategies-reference.py`, over rounds that it has to remember.

use clap::ValueEnum;
use flags::Weighting;
use model::{Architecture, StateDict};
use run_folder::ServerState;
use serde::Deserialize;

use super::{chosen, tests::update};
use crate::config::tests::config;

static ARCHITECTURE: Architecture = Architecture { name: "24 weights", tensors: &[("weight", &[4, 6])] };

#[derive(Deserialize)]
struct Reference {
    start: Vec<f32>,
    samples: Vec<u64>,
    /// Of each round and client.
    updates: Vec<Vec<Vec<f32>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    strategy: String,
    weighting: String,
    /// The first so many take part.
    clients: usize,
    /// After each round.
    models: Vec<Vec<f64>>,
}

fn state_dict(values: &[f32]) -> StateDict {
    let mut dict = ARCHITECTURE.zeros();
    dict.values_mut().copy_from_slice(values);
    dict
}

#[test]
fn every_strategy_is_what_its_paper_says() {
    let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/strategies.json")).unwrap();
    for Case { strategy, weighting, clients: taken, models } in &reference.cases {
        assert!(Weighting::from_str(weighting, false).is_ok());
        let config = config(&[&format!("--partitions={taken}"), "--strategy", strategy, "--weighting", weighting]);
        let strategy = chosen(&config);
        let (mut server, mut global) = (ServerState::default(), state_dict(&reference.start));
        for (round, (clients, model)) in reference.updates.iter().zip(models).enumerate() {
            let clients = (0..).zip(&reference.samples).zip(clients).take(*taken);
            let updates: Vec<_> =
                clients.map(|((client, &n), weights)| update(client, n, state_dict(weights))).collect();
            global = strategy.step(&mut server, &global, &updates);
            // What is not a number is not close either.
            let is_close = |(&ours, &theirs): (&f32, &f64)| (f64::from(ours) - theirs).abs() <= 1e-6;
            let far = global.values().iter().zip(model).find(|pair| !is_close(*pair));
            assert_eq!(far, None, "{} round {}", config.training.strategy, round + 1);
        }
    }
    assert_eq!(reference.cases.len(), 23);
}
