//! The handshake: each side against a stranger who has heard everything and says anything.

use std::sync::LazyLock;

use proto::{
    Binding, Credentials, Key, MAX_STRANGER_BODY, Message, ReceiverEvent, ReceiverSession, SenderEvent, SenderSession,
    message::Open,
};

use crate::steps::{OWN, Steps};

/// What a sender says of a refusal before the proof: its own words, whatever the stranger's are.
const OUR_WORDS: [&str; 2] = ["no reason given", "it speaks another version of the protocol than this program"];

/// Both sides against a stranger: the first byte says which. The steps are those of [`crate::sender_session`] and
/// [`crate::receiver_session`], and those from 0x80 on bring what an honest peer would say, as it is or with a bit flipped.
/// Panics when anything but exactly what an honest peer says lets the stranger in.
pub fn handshake(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    match steps.byte() {
        Some(side) if side % 2 == 0 => sender(&mut steps),
        _ => receiver(&mut steps),
    }
}

/// What each of two honest sides says to prove itself.
struct Honest {
    sender: [Message; 2],
    receiver: [Message; 3],
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let ((mut sender, hello), mut receiver) =
        (SenderSession::new(open(0, 1), credentials(1, 1)), ReceiverSession::new(credentials(1, 2)));
    let Ok(ReceiverEvent::Greet([greeting, challenge])) = receiver.receive(hello.clone()) else { unreachable!() };
    assert_eq!(sender.receive(greeting.clone()), Ok(SenderEvent::Alive));
    let Ok(SenderEvent::Send(proof)) = sender.receive(challenge.clone()) else { unreachable!() };
    let Ok(ReceiverEvent::Send(counterproof)) = receiver.receive(proof.clone()) else { unreachable!() };
    assert!(matches!(sender.receive(counterproof.clone()), Ok(SenderEvent::Send(Message::Open(_)))));
    Honest { sender: [hello, proof], receiver: [greeting, challenge, counterproof] }
});

pub(crate) fn authenticated_receiver() -> ReceiverSession {
    let mut receiver = ReceiverSession::new(credentials(1, 2));
    HONEST.sender.iter().for_each(|message| drop(receiver.receive(message.clone())));
    assert!(receiver.is_authenticated());
    receiver
}

pub(crate) fn authenticated_sender(first: u64, end: u64) -> SenderSession {
    let (mut sender, _) = SenderSession::new(open(first, end), credentials(1, 1));
    HONEST.receiver.iter().for_each(|message| drop(sender.receive(message.clone())));
    assert!(sender.is_authenticated());
    sender
}

/// A stranger tries to pass for a sender. There is one chance: nothing that is right lets it in after a mistake.
fn sender(steps: &mut Steps<'_>) -> bool {
    let mut receiver = ReceiverSession::new(credentials(1, 2));
    let mut said = Vec::new();
    while let Some(message) = next(steps, &HONEST.sender) {
        assert!(receiver.max_body() <= MAX_STRANGER_BODY);
        said.push(message.clone());
        let event = receiver.receive(message);
        if receiver.is_authenticated() {
            assert_eq!(said, HONEST.sender, "a stranger was let in");
            return true;
        }
        assert!(matches!(event, Ok(ReceiverEvent::Greet(_)) | Err(_)), "a stranger was heard: {event:?}");
    }
    false
}

fn receiver(steps: &mut Steps<'_>) -> bool {
    let (mut sender, _) = SenderSession::new(open(0, 1), credentials(1, 1));
    let mut said = Vec::new();
    while let Some(message) = next(steps, &HONEST.receiver) {
        said.push(message.clone());
        let event = sender.receive(message);
        if sender.is_authenticated() {
            assert_eq!(said, HONEST.receiver, "a stranger was trusted");
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

fn next(steps: &mut Steps<'_>, honest: &[Message]) -> Option<Message> {
    while let Some(step) = steps.byte() {
        if step < OWN {
            if let Some(message) = steps.message(step) {
                return Some(message);
            }
            continue;
        }
        let message = &honest[usize::from(step) % honest.len()];
        if step < 0xc0 {
            return Some(message.clone());
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

fn open(first: u64, end: u64) -> Open {
    Open { stream: "s".into(), dataset: "d".into(), dataset_digest: [0; 32], first, end }
}

fn credentials(key: u8, nonce: u8) -> Credentials {
    Credentials { key: Key::new([key; 32]), nonce: [nonce; 32], binding: Binding::Plain }
}
