//! The state machines of a connection, each against a peer that has proved itself and says anything at any time.

use std::sync::LazyLock;

use proto::{
    Batch, Message, ReceiverEvent, ReceiverSession, SenderEvent,
    message::{Open, Welcome},
};
use sample::{Extent, PIXELS, SampleSlice};

use crate::{
    handshake::{authenticated_receiver, authenticated_sender},
    steps::{OWN, Steps},
};

static RECEIVER: LazyLock<ReceiverSession> = LazyLock::new(authenticated_receiver);

/// A sender whose receiver says anything.
/// Panics when a position goes back or leaves the stream, or more may be sent than the window allows.
pub fn sender_session(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    let first = steps.number();
    let extent = match steps.number() {
        0 => Extent::endless(first),
        count => Extent::range(first..first.saturating_add(count)),
    };
    let end = extent.limit();
    let mut sender = authenticated_sender(extent);
    let mut window = None;
    let (mut next, mut durable) = (first, first);
    while let Some(step) = steps.byte() {
        if step >= OWN {
            let sendable = sender.sendable();
            match sendable.end - sendable.start {
                0 if sender.is_all_sent() => drop(sender.end([0; 32])),
                room => sender.sent(steps.number().min(room)),
            }
        } else if let Some(message) = steps.message(step) {
            if let Message::Welcome(welcome) = &message {
                window.get_or_insert(welcome.window);
            }
            match sender.receive(message) {
                Ok(SenderEvent::Done) => {
                    assert_eq!(sender.durable(), end, "done, with samples that are not durable");
                    return true;
                }
                Ok(SenderEvent::Failed(_)) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        let sendable = sender.sendable();
        assert!(durable <= sender.durable() && next <= sendable.start, "a position went back");
        (durable, next) = (sender.durable(), sendable.start);
        assert!(first <= durable && durable <= next, "{first} {durable} {next}");
        assert!(next <= sendable.end && sendable.end <= end, "{sendable:?} of {first}..{end}");
        let under_way = sendable.end - durable;
        assert!(sendable.is_empty() || under_way <= window.unwrap_or(0), "{under_way} samples are under way");
    }
    false
}

/// A receiver whose sender says anything.
/// Panics when samples are let through that do not continue the stream, leave it or overflow the window, or the stream ends
/// before its last sample.
pub fn receiver_session(data: &[u8]) -> bool {
    let mut steps = Steps(data);
    let mut receiver = RECEIVER.clone();
    let mut stream: Option<Accepted> = None;
    let (mut ended, mut acknowledged) = (false, false);
    while let Some(step) = steps.byte() {
        if step >= OWN {
            if let Some(stream) = &mut stream {
                stream.durable += steps.number().min(stream.next - stream.durable);
                receiver.acknowledge(stream.durable);
                if ended && stream.durable == stream.next {
                    acknowledged = true;
                    receiver.acknowledge_end();
                }
            }
            continue;
        }
        let Some(message) = steps.message(step) else { continue };
        match receiver.receive(message) {
            Ok(ReceiverEvent::Open(open)) => {
                assert!(stream.is_none(), "a second stream");
                let accepted = Accepted::some_of(&open, &mut steps);
                let Accepted { next, durable, window, .. } = accepted;
                receiver.welcome(Welcome { next, durable, window });
                stream = Some(accepted);
            }
            Ok(ReceiverEvent::Data(batch)) => {
                assert!(!ended, "samples after the end");
                stream.as_mut().expect("samples before a stream").take(&batch);
            }
            Ok(ReceiverEvent::End(end)) => {
                let stream = stream.as_ref().expect("an end before a stream");
                assert!(!ended && stream.extent.end == Some(stream.next));
                assert_eq!(end.count, stream.next - stream.extent.first);
                ended = true;
            }
            Ok(ReceiverEvent::Bye) => {
                assert!(acknowledged, "a Bye before the end was acknowledged");
                return true;
            }
            Ok(ReceiverEvent::Failed(_)) | Err(_) => return false,
            Ok(ReceiverEvent::Send(_) | ReceiverEvent::Alive) => {}
            Ok(ReceiverEvent::Greet(_)) => panic!("a greeting after the handshake"),
        }
    }
    ended
}

/// What a receiver that keeps its own books knows of a stream.
struct Accepted {
    extent: Extent,
    next: u64,
    durable: u64,
    window: u64,
}

impl Accepted {
    /// A stream of which some samples were received earlier.
    fn some_of(open: &Open, steps: &mut Steps<'_>) -> Self {
        let extent = open.extent;
        let (first, end) = (extent.first, extent.limit());
        assert!(first < end && extent.seq(end - 1) < i64::MAX as u64, "{open:?}");
        let durable = first + steps.number().min(end - first);
        let next = durable + steps.number().min(end - durable);
        Accepted { extent, next, durable, window: steps.number().max(1) }
    }

    fn take(&mut self, batch: &Batch) {
        let count = batch.count() as u64;
        assert!(count > 0 && batch.first_position() == self.next && count <= self.extent.limit() - self.next);
        let SampleSlice { labels, images } = batch.samples();
        assert_eq!((labels.len() as u64, images.len()), (count, labels.len() * PIXELS));
        self.next += count;
        assert!(self.next - self.durable <= self.window, "more than the window");
    }
}
