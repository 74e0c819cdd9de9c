//! Forged handshakes: peers that do not hold the key, but have recorded those who do, and can stand between them. Most
//! meet the protocol's state machines alone, where a hundred thousand take seconds; some meet a real receiver over real
//! sockets, with TLS and without.

mod forger;
mod sockets;

use std::{collections::BTreeMap, time::Instant};

use dataset::random::Stream;
use proto::{
    Client, ClientEvent, HEADER_BYTES, Header, Message, Server, ServerEvent,
    message::{Open, Proof},
};

use crate::{Finding, programs};
use forger::{Forger, Forgery};

/// How many forgeries.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Against the state machines: every other one is a forged sender, the rest are forged receivers.
    pub machines: u64,
    /// Against a receiver's sockets.
    pub sockets: u64,
    /// Of all that is random.
    pub seed: u64,
}

/// Tries every way to forge, again and again.
///
/// # Errors
/// When a program cannot be run at all, or the honest are not let in. What went wrong otherwise is in the finding.
pub async fn run(config: Config) -> anyhow::Result<Finding> {
    let Config { machines, sockets, seed } = config;
    programs::path("receiver")?; // It may have to be built, which is not part of the time.
    let start = Instant::now();
    let (mut violations, mut counts) = (Vec::new(), BTreeMap::new());
    for case in 0..machines {
        let mut random = Stream::keyed("tributary forgery", &[seed, case]);
        let (forger, forgery) = (Forger::new(&mut random)?, Forgery::any(&mut random));
        let (who, lets_in) = match case % 2 {
            0 => ("sender", lets_sender_in(&forger, forgery, &mut random)),
            _ => ("receiver", believes_receiver(&forger, forgery, &mut random)),
        };
        *counts.entry(forgery.name()).or_insert(0_u64) += 1;
        if lets_in {
            violations.push(format!("a forged {who} got through: {}, case {case} of seed {seed}", forgery.name()));
        }
    }
    violations.extend(sockets::run(sockets, seed).await?);
    let counts = counts.into_iter().map(|(name, count)| (format!("machines, {name}"), count.to_string()));
    Ok(Finding {
        title: "Forged handshakes".into(),
        cases: machines + sockets,
        seed,
        took: start.elapsed(),
        figures: counts.chain([("sockets, plain and TLS".into(), sockets.to_string())]).collect(),
        violations,
    })
}

/// The stream that a forger would like to open.
fn open() -> Open {
    Open { stream: "forged".into(), dataset: "made-up".into(), dataset_digest: [7; 32], first: 0, end: 10 }
}

/// Whether a receiver lets a forged sender in, or says more than its greeting.
fn lets_sender_in(forger: &Forger, forgery: Forgery, random: &mut Stream) -> bool {
    let mut server = Server::new(forger.victim(random));
    let mut heard = hear(&mut server, &forger.greeting(forgery, random));
    if let Some(ServerEvent::Greet([_, Message::Challenge(challenge)])) = heard.first() {
        let answer = forger.proof(forgery, random, *challenge);
        heard.extend(hear(&mut server, &answer));
    }
    heard.extend(hear(&mut server, &Message::Open(open()).frame())); // Also after a mistake.
    server.is_authenticated() || heard.iter().any(|event| !matches!(event, ServerEvent::Greet(_)))
}

/// What the receiver makes of bytes, up to the first mistake in them.
fn hear(server: &mut Server, mut bytes: &[u8]) -> Vec<ServerEvent> {
    let mut heard = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let Ok(header) = Header::decode(header, server.max_body()) else { break };
        let Some((body, rest)) = rest.split_at_checked(header.len as usize) else { break };
        let Ok(message) = Message::decode(&header, body.to_vec()) else { break };
        let Ok(event) = server.receive(message) else { break };
        heard.push(event);
        bytes = rest;
    }
    heard
}

/// Whether a sender believes a forged receiver, or tells it more than its own proof.
fn believes_receiver(forger: &Forger, forgery: Forgery, random: &mut Stream) -> bool {
    let (mut client, _) = Client::new(open(), forger.victim(random));
    let (hello, challenge) = forger.receiver_greeting(forgery, random);
    let mut told = Vec::new();
    let mut proof = Proof { nonce: [0; 32], mac: [0; 32] };
    for message in [hello, Message::Challenge(challenge)] {
        match client.receive(message) {
            Ok(ClientEvent::Send(Message::Proof(shown))) => proof = shown,
            Ok(ClientEvent::Send(message)) => told.push(message),
            _ => {}
        }
    }
    for message in forger.counterproof(forgery, random, challenge, proof) {
        if let Ok(ClientEvent::Send(message)) = client.receive(message) {
            told.push(message);
        }
    }
    client.is_authenticated() || !told.is_empty()
}
