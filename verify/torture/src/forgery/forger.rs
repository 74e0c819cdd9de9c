//! The forger: all that can be done without the key, by somebody who has heard everything that was ever said with it and
//! can stand between those who hold it.

use anyhow::{Context, bail};
use proto::{
    Batch, Binding, Credentials, ErrorCode, Key, Message, ReceiverEvent, ReceiverSession, SenderEvent, SenderSession,
    VERSION,
    message::{End, Hello, Proof, Welcome},
};
use sample::{PIXELS, SampleSlice, random::Stream};

use super::open;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forgery {
    AnotherKey,     // A proof with another key.
    FlippedBit,     // The right proof with one bit flipped.
    Replay,         // A proof from an earlier conversation.
    Reflection,     // A receiver's proof from an earlier conversation, sent back to it.
    Downgrade,      // The greeting altered on its way, and the right proof for the unaltered one.
    AnotherChannel, // The right proof for the same conversation on another channel.
    Disorder,       // Messages at the wrong time.
    Noise,          // Bytes that mean nothing.
}

impl Forgery {
    const ALL: [(Forgery, &'static str); 8] = [
        (Forgery::AnotherKey, "another key"),
        (Forgery::FlippedBit, "a flipped bit"),
        (Forgery::Replay, "a replay"),
        (Forgery::Reflection, "a reflection"),
        (Forgery::Downgrade, "an altered greeting"),
        (Forgery::AnotherChannel, "another channel"),
        (Forgery::Disorder, "the wrong order"),
        (Forgery::Noise, "noise"),
    ];

    pub(super) fn any(random: &mut Stream) -> Forgery {
        pick(random, &Forgery::ALL).0
    }

    pub(super) fn name(self) -> &'static str {
        Forgery::ALL.iter().find(|(forgery, _)| *forgery == self).map_or("", |(_, name)| name)
    }
}

/// Somebody who has recorded a conversation and can make the honest speak, but cannot look at the key.
pub(super) struct Forger {
    key: Key,
    channel: Binding,
    recorded: Recorded,
}

/// What two who hold the key have said.
struct Recorded {
    challenge: [u8; 32],
    proof: Proof,
    counterproof: [u8; 32],
}

impl Forger {
    pub(super) fn new(key: Key, channel: Binding, random: &mut Stream) -> anyhow::Result<Forger> {
        let recorded = converse(&key, bytes(random), bytes(random), channel)?;
        Ok(Forger { key, channel, recorded })
    }

    pub(super) fn greeting(&self, forgery: Forgery, random: &mut Stream) -> Vec<u8> {
        match forgery {
            Forgery::Downgrade => wider().frame(),
            Forgery::Disorder if random.below(2) == 0 => out_of_order(random).frame(),
            Forgery::Noise if random.below(2) == 0 => noise(random),
            _ => Message::Hello(Hello::OURS).frame(),
        }
    }

    /// What it answers to the challenge.
    pub(super) fn proof(&self, forgery: Forgery, random: &mut Stream, challenge: [u8; 32]) -> Vec<u8> {
        let Recorded { challenge: recorded_challenge, proof: recorded, counterproof } = self.recorded;
        let right = |key: &Key, channel, nonce| converse(key, challenge, nonce, channel).map(|said| said.proof);
        let nonce = bytes(random);
        let proof = match forgery {
            Forgery::AnotherKey => right(&Key::new(bytes(random)), self.channel, nonce),
            Forgery::FlippedBit | Forgery::Downgrade => right(&self.key, self.channel, nonce),
            Forgery::AnotherChannel => right(&self.key, self.another_channel(random), nonce),
            Forgery::Replay => Ok(recorded),
            Forgery::Reflection => {
                let nonce = *pick(random, &[challenge, recorded_challenge, recorded.nonce]);
                Ok(Proof { nonce, mac: counterproof })
            }
            Forgery::Disorder => return out_of_order(random).frame(),
            Forgery::Noise => return noise(random),
        };
        let mut frame = proof.map_or_else(|_| Vec::new(), |proof| Message::Proof(proof).frame());
        if forgery == Forgery::FlippedBit {
            let bit = random.below(frame.len() as u64 * 8) as usize;
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        frame
    }

    fn another_channel(&self, random: &mut Stream) -> Binding {
        match self.channel {
            Binding::Tls(_) if random.below(2) == 0 => Binding::Plain,
            _ if random.below(2) == 0 => Binding::Tls([0; 32]),
            _ => Binding::Tls(bytes(random)),
        }
    }
}

/// What two who hold `key` say, with these numbers, on this channel.
fn converse(key: &Key, challenge: [u8; 32], nonce: [u8; 32], binding: Binding) -> anyhow::Result<Recorded> {
    let credentials = |nonce| Credentials { key: key.clone(), nonce, binding };
    let (mut sender, hello) = SenderSession::new(open(), credentials(nonce));
    let mut receiver = ReceiverSession::new(credentials(challenge));
    let ReceiverEvent::Greet([hello, asked]) = receiver.receive(hello)? else { bail!("no greeting") };
    sender.receive(hello)?;
    let SenderEvent::Send(Message::Proof(proof)) = sender.receive(asked)? else { bail!("no proof") };
    let ReceiverEvent::Send(Message::Counterproof(counterproof)) = receiver.receive(Message::Proof(proof))? else {
        bail!("no proof in return")
    };
    sender.receive(Message::Counterproof(counterproof)).context("the honest do not believe each other")?;
    Ok(Recorded { challenge, proof, counterproof })
}

/// The greeting with more versions than the sender offered; the right one is among them, so nobody need refuse it.
fn wider() -> Message {
    Message::Hello(Hello { max_version: VERSION + 1, ..Hello::OURS })
}

/// Any message but those that a handshake has in this place.
fn out_of_order(random: &mut Stream) -> Message {
    let failure = Message::error(ErrorCode::Stopping, "stop");
    let welcome = Message::Welcome(Welcome { next: 0, durable: 0, window: 1000 });
    let end = Message::End(End { count: 10, digest: [0; 32] });
    let [open, challenge, counterproof] =
        [Message::Open(open()), Message::Challenge(bytes(random)), Message::Counterproof(bytes(random))];
    let rest = [Message::Ack(0), Message::EndAck, Message::Ping(0), Message::Pong(0), Message::Resume];
    let messages = [failure, welcome, end, open, challenge, counterproof, Message::pause("full")];
    pick(random, &[&messages[..], &rest[..]].concat()).clone()
}

/// Bytes that are neither a frame nor TLS: the length is over every limit.
fn noise(random: &mut Stream) -> Vec<u8> {
    (0..12 + random.below(100)).map(|i| if i == 0 { 0xff } else { random.next_u64() as u8 }).collect()
}

/// Samples for a stream that nobody opened.
pub(super) fn samples() -> Vec<u8> {
    Batch::frame(0, SampleSlice { labels: &[1; 10], images: &[1; 10 * PIXELS] })
}

pub(super) fn bytes(random: &mut Stream) -> [u8; 32] {
    std::array::from_fn(|_| random.next_u64() as u8)
}

fn pick<'a, T>(random: &mut Stream, items: &'a [T]) -> &'a T {
    &items[random.below(items.len() as u64) as usize]
}
