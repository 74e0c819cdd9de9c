//! Forged handshakes: peers that do not hold the key, but have recorded those who do, and can stand between them. Most
//! meet the protocol's state machines alone, where a hundred thousand take seconds; some meet a real receiver over real
//! sockets, with TLS and without.

mod forger;
mod sockets;

use std::time::Instant;

use proto::{
    HEADER_BYTES, Header, Message, ReceiverEvent, ReceiverSession, SenderEvent, SenderSession,
    message::{Open, Proof},
};
use sample::random::Stream;

use crate::{Finding, Tally, programs};
use forger::{Forger, Forgery};

/// Tries every way to forge, again and again: `machines` times against the state machines, where every other one is a
/// forged sender and the rest are forged receivers, and `sockets` times against a receiver's sockets.
pub async fn run(machines: u64, sockets: u64, seed: u64) -> anyhow::Result<Finding> {
    programs::path("receiver")?; // It may have to be built, which is not part of the time.
    let start = Instant::now();
    let mut tally = Tally { cases: machines + sockets, ..Tally::default() };
    for case in 0..machines {
        let mut random = Stream::keyed("tributary forgery", &[seed, case]);
        let (forger, forgery) = (Forger::new(&mut random)?, Forgery::any(&mut random));
        let (who, lets_in) = match case % 2 {
            0 => ("sender", lets_sender_in(&forger, forgery, &mut random)),
            _ => ("receiver", believes_receiver(&forger, forgery, &mut random)),
        };
        tally.count(format!("machines, {}", forgery.name()));
        tally.hold(!lets_in, || format!("a forged {who} got through: {}, case {case} of seed {seed}", forgery.name()));
    }
    sockets::run(sockets, seed, &mut tally).await?;
    let mut finding = tally.finding("Forged handshakes", seed, start);
    finding.figure("sockets, plain and TLS", sockets);
    Ok(finding)
}

/// The stream that a forger would like to open.
fn open() -> Open {
    Open { stream: "forged".into(), dataset: "made-up".into(), dataset_digest: [7; 32], first: 0, end: 10 }
}

/// Whether a receiver lets a forged sender in, or says more than its greeting.
fn lets_sender_in(forger: &Forger, forgery: Forgery, random: &mut Stream) -> bool {
    let mut receiver = ReceiverSession::new(forger.victim(random));
    let mut heard = hear(&mut receiver, &forger.greeting(forgery, random));
    if let Some(ReceiverEvent::Greet([_, Message::Challenge(challenge)])) = heard.first() {
        let answer = forger.proof(forgery, random, *challenge);
        heard.extend(hear(&mut receiver, &answer));
    }
    heard.extend(hear(&mut receiver, &Message::Open(open()).frame())); // Also after a mistake.
    receiver.is_authenticated() || heard.iter().any(|event| !matches!(event, ReceiverEvent::Greet(_)))
}

/// What the receiver makes of bytes, up to the first mistake in them.
fn hear(receiver: &mut ReceiverSession, mut bytes: &[u8]) -> Vec<ReceiverEvent> {
    let mut heard = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let Ok(header) = Header::decode(header, receiver.max_body()) else { break };
        let Some((body, rest)) = rest.split_at_checked(header.len as usize) else { break };
        let Ok(message) = Message::decode(&header, body.to_vec()) else { break };
        let Ok(event) = receiver.receive(message) else { break };
        heard.push(event);
        bytes = rest;
    }
    heard
}

/// Whether a sender believes a forged receiver, or tells it more than its own proof.
fn believes_receiver(forger: &Forger, forgery: Forgery, random: &mut Stream) -> bool {
    let (mut sender, _) = SenderSession::new(open(), forger.victim(random));
    let (hello, challenge) = forger.receiver_greeting(forgery, random);
    let mut told = Vec::new();
    let mut proof = Proof { nonce: [0; 32], mac: [0; 32] };
    for message in [hello, Message::Challenge(challenge)] {
        match sender.receive(message) {
            Ok(SenderEvent::Send(Message::Proof(shown))) => proof = shown,
            Ok(SenderEvent::Send(message)) => told.push(message),
            _ => {}
        }
    }
    for message in forger.counterproof(forgery, random, challenge, proof) {
        if let Ok(SenderEvent::Send(message)) = sender.receive(message) {
            told.push(message);
        }
    }
    sender.is_authenticated() || !told.is_empty()
}
