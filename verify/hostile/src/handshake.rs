//! The handshake: each side against a stranger who has heard everything and says anything.

use std::sync::LazyLock;

use proto::{
    Binding, Credentials, Key, MAX_STRANGER_BODY, Message, ReceiverEvent, ReceiverSession, SenderEvent, SenderSession,
    message::Open,
};
use sample::Extent;

use crate::steps::{OWN, Steps};

/// What a sender says of a refusal before the proof: its own words, whatever the stranger's are.
const OUR_WORDS: [&str; 2] = ["no reason given", "it speaks another version of the protocol than this program"];

/// Both sides against a stranger: the first byte says which side, and on which channel. The steps are those of
/// [`crate::sender_session`] and [`crate::receiver_session`]; those from 0x80 on bring what an honest peer would say, from
/// 0xa0 on what the stranger has heard of others, and from 0xc0 on what an honest peer would say with a bit flipped.
/// Panics when anything but exactly what an honest peer says lets the stranger in.
pub fn handshake(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    let first = steps.byte().unwrap_or(1);
    let channel = &CHANNELS[usize::from(first / 2 % 2)];
    if first % 2 == 0 { sender(&mut steps, channel) } else { receiver(&mut steps, channel) }
}

/// What two sides say to prove themselves to each other.
#[derive(Clone)]
struct Conversation {
    sender: [Message; 2],
    receiver: [Message; 3],
}

/// A conversation of those who hold the key, and those that a stranger can take words from.
struct Channel {
    binding: Binding,
    honest: Conversation,
    heard: [Conversation; 4],
}

static CHANNELS: LazyLock<[Channel; 2]> = LazyLock::new(|| {
    let (plain, tls) = (Binding::Plain, Binding::Tls([7; 32]));
    [Channel::new(plain, tls), Channel::new(tls, plain)]
});

impl Channel {
    fn new(binding: Binding, other: Binding) -> Channel {
        let honest = Conversation::new(1, [1, 2], binding);
        let mut reflected = honest.clone();
        let (Message::Proof(proof), Message::Counterproof(counterproof)) =
            (&mut reflected.sender[1], &mut reflected.receiver[2])
        else {
            unreachable!("a conversation has its proofs there")
        };
        std::mem::swap(&mut proof.mac, counterproof);
        let earlier = Conversation::new(1, [3, 4], binding);
        let with_another_key = Conversation::new(2, [1, 2], binding);
        let on_another_channel = Conversation::new(1, [1, 2], other);
        Channel { binding, honest, heard: [earlier, with_another_key, on_another_channel, reflected] }
    }

    fn credentials(&self, nonce: u8) -> Credentials {
        credentials(1, nonce, self.binding)
    }
}

impl Conversation {
    fn new(key: u8, [sender, receiver]: [u8; 2], binding: Binding) -> Conversation {
        let (mut sender, hello) = SenderSession::new(open(Extent::range(0..1)), credentials(key, sender, binding));
        let mut receiver = ReceiverSession::new(credentials(key, receiver, binding));
        let Ok(ReceiverEvent::Greet([greeting, challenge])) = receiver.receive(hello.clone()) else { unreachable!() };
        assert_eq!(sender.receive(greeting.clone()), Ok(SenderEvent::Alive));
        let Ok(SenderEvent::Send(proof)) = sender.receive(challenge.clone()) else { unreachable!() };
        let Ok(ReceiverEvent::Send(counterproof)) = receiver.receive(proof.clone()) else { unreachable!() };
        assert!(matches!(sender.receive(counterproof.clone()), Ok(SenderEvent::Send(Message::Open(_)))));
        Conversation { sender: [hello, proof], receiver: [greeting, challenge, counterproof] }
    }
}

pub(crate) fn authenticated_receiver() -> ReceiverSession {
    let mut receiver = ReceiverSession::new(CHANNELS[0].credentials(2));
    CHANNELS[0].honest.sender.iter().for_each(|message| drop(receiver.receive(message.clone())));
    assert!(receiver.is_authenticated());
    receiver
}

pub(crate) fn authenticated_sender(extent: Extent) -> SenderSession {
    let (mut sender, _) = SenderSession::new(open(extent), CHANNELS[0].credentials(1));
    CHANNELS[0].honest.receiver.iter().for_each(|message| drop(sender.receive(message.clone())));
    assert!(sender.is_authenticated());
    sender
}

/// A stranger tries to pass for a sender. There is one chance: nothing that is right lets it in after a mistake.
fn sender(steps: &mut Steps<'_>, channel: &Channel) -> bool {
    let mut receiver = ReceiverSession::new(channel.credentials(2));
    let mut said = Vec::new();
    while let Some(message) = next(steps, channel, |conversation| &conversation.sender) {
        assert!(receiver.max_body() <= MAX_STRANGER_BODY);
        said.push(message.clone());
        let event = receiver.receive(message);
        if receiver.is_authenticated() {
            assert_eq!(said, channel.honest.sender, "a stranger was let in");
            return true;
        }
        assert!(matches!(event, Ok(ReceiverEvent::Greet(_)) | Err(_)), "a stranger was heard: {event:?}");
    }
    false
}

fn receiver(steps: &mut Steps<'_>, channel: &Channel) -> bool {
    let (mut sender, _) = SenderSession::new(open(Extent::range(0..1)), channel.credentials(1));
    let mut said = Vec::new();
    while let Some(message) = next(steps, channel, |conversation| &conversation.receiver) {
        said.push(message.clone());
        let event = sender.receive(message);
        if sender.is_authenticated() {
            assert_eq!(said, channel.honest.receiver, "a stranger was trusted");
            return true;
        }
        match event {
            Ok(SenderEvent::Alive | SenderEvent::Send(Message::Proof(_))) => {}
            Ok(SenderEvent::Failed(failure)) => {
                assert!(OUR_WORDS.contains(&&*failure.text), "a stranger's words were heard: {}", failure.text);
                return false;
            }
            Ok(event) => panic!("a stranger was heard: {event:?}"),
            Err(_) => return false,
        }
    }
    false
}

fn next(steps: &mut Steps<'_>, channel: &Channel, side: fn(&Conversation) -> &[Message]) -> Option<Message> {
    let honest = side(&channel.honest);
    while let Some(step) = steps.byte() {
        if step < OWN {
            if let Some(message) = steps.message(step) {
                return Some(message);
            }
            continue;
        }
        let message = &honest[usize::from(step) % honest.len()];
        match step {
            ..0xa0 => return Some(message.clone()),
            0xa0..0xc0 => {
                let heard: Vec<&Message> = channel.heard.iter().flat_map(side).collect();
                return Some(heard[usize::from(step - 0xa0) % heard.len()].clone());
            }
            _ => {}
        }
        let frame = message.frame();
        let (kind, mut body) = (frame[4], frame[proto::HEADER_BYTES..].to_vec());
        let bit = steps.number() as usize % (body.len() * 8);
        body[bit / 8] ^= 1 << (bit % 8);
        if let Some(message) = crate::wire::message(kind, &body) {
            return Some(message);
        }
    }
    None
}

fn open(extent: Extent) -> Open {
    Open { stream: "s".into(), dataset: "d".into(), dataset_digest: [0; 32], extent }
}

fn credentials(key: u8, nonce: u8, binding: Binding) -> Credentials {
    Credentials { key: Key::new([key; 32]), nonce: [nonce; 32], binding }
}
