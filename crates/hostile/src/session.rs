//! The state machines of a connection, each against a peer that has proved itself and says anything at any time.
//!
//! The bytes are a list of steps. A step is one byte that says what happens and the numbers that it needs; a number is one
//! byte, or eight after a byte of 0xff.

use std::sync::LazyLock;

use proto::{
    Batch, ClientEvent, HEADER_BYTES, IMAGE_BYTES, Message, Server, ServerEvent,
    message::{Open, Welcome},
};

use crate::{
    handshake::{receiver_of_a_friend, sender_to_a_friend},
    wire::message,
};

/// Steps that are not messages of the peer.
pub(crate) const OWN: u8 = 0x80;

/// A receiver after the handshake.
static FRIENDLY: LazyLock<Server> = LazyLock::new(receiver_of_a_friend);

/// A sender whose receiver says anything.
///
/// # Panics
/// When a position goes back or leaves the stream, or more may be sent than the window allows.
pub fn client(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    let first = steps.number();
    let end = first.saturating_add(steps.number());
    let mut client = sender_to_a_friend(first, end);
    let mut window = None;
    let (mut next, mut durable) = (first, first);
    while let Some(step) = steps.byte() {
        if step >= OWN {
            let sendable = client.sendable();
            match sendable.end - sendable.start {
                0 if client.is_all_sent() => drop(client.end([0; 32])),
                room => client.sent(steps.number().min(room)),
            }
        } else if let Some(message) = steps.message(step) {
            if let Message::Welcome(welcome) = &message {
                window.get_or_insert(welcome.window);
            }
            match client.receive(message) {
                Ok(ClientEvent::Done) => {
                    assert_eq!(client.durable(), end, "done, with samples that are not durable");
                    return true;
                }
                Ok(ClientEvent::Failed(_)) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        let sendable = client.sendable();
        assert!(durable <= client.durable() && next <= sendable.start, "a position went back");
        (durable, next) = (client.durable(), sendable.start);
        assert!(first <= durable && durable <= next, "{first} {durable} {next}");
        assert!(next <= sendable.end && sendable.end <= end, "{sendable:?} of {first}..{end}");
        let under_way = sendable.end - durable;
        assert!(sendable.is_empty() || under_way <= window.unwrap_or(0), "{under_way} samples are under way");
    }
    false
}

/// A receiver whose sender says anything.
///
/// # Panics
/// When samples are let through that do not continue the stream, leave it or overflow the window, or the stream ends
/// before its last sample.
pub fn server(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    let mut server = FRIENDLY.clone();
    let mut stream: Option<Accepted> = None;
    let (mut ended, mut acknowledged) = (false, false);
    while let Some(step) = steps.byte() {
        if step >= OWN {
            if let Some(stream) = &mut stream {
                stream.durable += steps.number().min(stream.next - stream.durable);
                server.acknowledge(stream.durable);
                if ended && stream.durable == stream.end {
                    acknowledged = true;
                    server.acknowledge_end();
                }
            }
            continue;
        }
        let Some(message) = steps.message(step) else { continue };
        match server.receive(message) {
            Ok(ServerEvent::Open(open)) => {
                assert!(stream.is_none(), "a second stream");
                let accepted = Accepted::some_of(&open, &mut steps);
                let Accepted { next, durable, window, .. } = accepted;
                server.welcome(Welcome { next, durable, window });
                stream = Some(accepted);
            }
            Ok(ServerEvent::Data(batch)) => {
                assert!(!ended, "samples after the end");
                stream.as_mut().expect("samples before a stream").take(&batch);
            }
            Ok(ServerEvent::End(end)) => {
                let stream = stream.as_ref().expect("an end before a stream");
                assert!(!ended && stream.next == stream.end && end.count == stream.end - stream.first);
                ended = true;
            }
            Ok(ServerEvent::Bye) => {
                assert!(acknowledged, "a good-bye before the end was acknowledged");
                return true;
            }
            Ok(ServerEvent::Failed(_)) | Err(_) => return false,
            Ok(ServerEvent::Send(_) | ServerEvent::Alive) => {}
            Ok(ServerEvent::Greet(_)) => panic!("a greeting after the handshake"),
        }
    }
    ended
}

/// What a receiver that keeps its own books knows of a stream.
struct Accepted {
    first: u64,
    end: u64,
    next: u64,
    durable: u64,
    window: u64,
}

impl Accepted {
    /// A stream of which some samples were received earlier.
    fn some_of(open: &Open, steps: &mut Steps<'_>) -> Self {
        let Open { first, end, .. } = *open;
        assert!(first < end && end <= i64::MAX as u64, "{open:?}");
        let durable = first + steps.number().min(end - first);
        let next = durable + steps.number().min(end - durable);
        Accepted { first, end, next, durable, window: steps.number().max(1) }
    }

    fn take(&mut self, batch: &Batch) {
        let count = batch.count() as u64;
        assert!(count > 0 && batch.first_seq() == self.next && count <= self.end - self.next);
        assert_eq!(batch.images().len(), batch.labels().len() * IMAGE_BYTES);
        self.next += count;
        assert!(self.next - self.durable <= self.window, "more than the window");
    }
}

/// What is left of the list of steps.
pub(crate) struct Steps<'a>(pub(crate) &'a [u8]);

impl<'a> Steps<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            Some(0xff) => self.bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            byte => byte.unwrap_or(0).into(),
        }
    }

    /// So many bytes, or fewer at the end.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The message of a step, if there is one. Those that have numbers take them one by one, which finds more than whole
    /// bodies would; any other type has a body of any bytes.
    pub(crate) fn message(&mut self, step: u8) -> Option<Message> {
        match step {
            3 => Some(Message::Welcome(Welcome { next: self.number(), durable: self.number(), window: self.number() })),
            4 => {
                let (first, count) = (self.number(), self.number().clamp(1, 8) as usize);
                let frame = Batch::frame(first, &vec![1; count], &vec![0; count * IMAGE_BYTES]);
                message(frame[4], &frame[HEADER_BYTES..])
            }
            5 => Some(Message::Ack(self.number())),
            6 => message(6, &[&self.number().to_be_bytes()[..], &[0; 32]].concat()),
            2 => {
                let (first, end) = (self.number(), self.number());
                let (stream, dataset) = ("s".into(), "d".into());
                Some(Message::Open(Open { stream, dataset, dataset_digest: [0; 32], first, end }))
            }
            kind => {
                let len = self.number() as usize;
                message(kind, self.bytes(len.min(2048)))
            }
        }
    }
}
