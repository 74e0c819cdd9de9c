//! Which message may come when: [`SenderSession`] on the sender's side of a connection, [`ReceiverSession`] on the
//! receiver's. They hold positions and nothing else; the caller moves the bytes and keeps the time.

mod receiver;
mod sender;
mod violation;

pub use receiver::{ReceiverEvent, ReceiverSession};
pub use sender::{SenderEvent, SenderSession};
pub use violation::Violation;

#[cfg(test)]
mod tests {
    use sample::{Extent, PIXELS, SampleSlice};

    use super::*;
    use crate::{
        Batch, Binding, Credentials, ErrorCode, HEADER_BYTES, Header, Key, MAX_BODY, MAX_CONTROL_BODY,
        MAX_STRANGER_BODY, Message, VERSION,
        message::{End, Failure, Hello, Open, Proof, Welcome},
    };

    /// What a side brings that holds the key `key`; its nonce is the same number.
    fn with_key(key: u8) -> Credentials {
        Credentials { key: Key::new([key; 32]), nonce: [key; 32], binding: Binding::Plain }
    }

    fn sender() -> SenderSession {
        let (sender, hello) = SenderSession::new(open(), with_key(1));
        assert_eq!(hello, Message::Hello(Hello::OURS));
        sender
    }

    fn receiver() -> ReceiverSession {
        ReceiverSession::new(with_key(1))
    }

    /// Greets the receiver, and returns its greeting and challenge.
    fn greet(receiver: &mut ReceiverSession) -> [Message; 2] {
        let Ok(ReceiverEvent::Greet(answer)) = receiver.receive(Message::Hello(Hello::OURS)) else { panic!() };
        answer
    }

    /// The proof that the sender makes of a receiver's greeting and challenge.
    fn proof(sender: &mut SenderSession, [hello, challenge]: [Message; 2]) -> Proof {
        assert_eq!(sender.receive(hello), Ok(SenderEvent::Alive));
        let Ok(SenderEvent::Send(Message::Proof(proof))) = sender.receive(challenge) else { panic!() };
        proof
    }

    /// Lets both prove the key to each other.
    fn authenticate(sender: &mut SenderSession, receiver: &mut ReceiverSession) {
        let proof = Message::Proof(proof(sender, greet(receiver)));
        assert!(!receiver.is_authenticated());
        assert_eq!(receiver.max_body(), MAX_STRANGER_BODY);
        let Ok(ReceiverEvent::Send(counterproof)) = receiver.receive(proof) else { panic!() };
        assert!(receiver.is_authenticated() && !sender.is_authenticated());
        assert_eq!(sender.receive(counterproof), Ok(SenderEvent::Send(Message::Open(open()))));
        assert!(sender.is_authenticated());
    }

    fn open() -> Open {
        Open { stream: "s".into(), dataset: "d".into(), dataset_digest: [1; 32], extent: Extent::range(10..20) }
    }

    fn batch(first: u64, count: usize) -> Message {
        let frame = Batch::frame(first, SampleSlice { labels: &vec![0; count], images: &vec![0; count * PIXELS] });
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
        Message::decode(&Header::decode(header, MAX_BODY).unwrap(), body.to_vec()).unwrap()
    }

    fn streaming_sender(next: u64, durable: u64, window: u64) -> SenderSession {
        let mut sender = sender();
        authenticate(&mut sender, &mut receiver());
        assert_eq!(sender.sendable(), 10..10);
        let welcome = Message::Welcome(Welcome { next, durable, window });
        assert_eq!(sender.receive(welcome), Ok(SenderEvent::Ready));
        sender
    }

    fn streaming_receiver(next: u64, durable: u64, window: u64) -> ReceiverSession {
        let mut receiver = receiver();
        authenticate(&mut sender(), &mut receiver);
        assert_eq!(receiver.max_body(), MAX_CONTROL_BODY);
        assert_eq!(receiver.receive(Message::Open(open())), Ok(ReceiverEvent::Open(open())));
        receiver.welcome(Welcome { next, durable, window });
        assert_eq!(receiver.max_body(), MAX_BODY);
        receiver
    }

    #[test]
    fn a_sender_keeps_within_the_window_and_goes_on_after_an_ack() {
        let mut sender = streaming_sender(12, 11, 4);
        assert_eq!(sender.sendable(), 12..15);
        sender.sent(3);
        assert_eq!(sender.sendable(), 15..15);
        assert_eq!(sender.receive(Message::Ack(15)), Ok(SenderEvent::Durable(15)));
        assert_eq!(sender.sendable(), 15..19);
        sender.sent(4);
        assert_eq!(sender.receive(Message::Ack(19)), Ok(SenderEvent::Durable(19)));
        assert_eq!(sender.sendable(), 19..20);
        sender.sent(1);
        assert!(sender.is_all_sent());
        assert_eq!(sender.end([7; 32]), Message::End(End { count: 10, digest: [7; 32] }));
        assert_eq!(sender.receive(Message::Ack(20)), Ok(SenderEvent::Durable(20)));
        assert_eq!(sender.receive(Message::EndAck), Ok(SenderEvent::Done));
    }

    #[test]
    fn a_bye_is_said_only_after_the_end_was_acknowledged() {
        let mut receiver = streaming_receiver(18, 18, 4);
        receiver.receive(batch(18, 2)).unwrap();
        let end = End { count: 10, digest: [3; 32] };
        assert_eq!(receiver.receive(Message::End(end)), Ok(ReceiverEvent::End(end)));
        assert!(matches!(receiver.clone().receive(Message::Bye), Err(Violation::Unexpected { .. })));
        assert_eq!(receiver.acknowledge_end(), Message::EndAck);
        assert_eq!(receiver.receive(Message::Ping(1)), Ok(ReceiverEvent::Send(Message::Pong(1))));
        assert_eq!(receiver.receive(Message::Bye), Ok(ReceiverEvent::Bye));
    }

    #[test]
    fn a_paused_sender_sends_nothing_until_it_may_go_on() {
        let mut sender = streaming_sender(12, 11, 4);
        assert_eq!(sender.receive(Message::pause("full\n")), Ok(SenderEvent::Paused("full ".into())));
        assert_eq!(sender.sendable(), 12..12);
        assert_eq!(sender.receive(Message::Ack(12)), Ok(SenderEvent::Durable(12)));
        assert_eq!(sender.sendable(), 12..12);
        assert_eq!(sender.receive(Message::Resume), Ok(SenderEvent::Alive));
        assert_eq!(sender.sendable(), 12..16);
    }

    #[test]
    fn a_sender_believes_no_impossible_position() {
        for (next, durable, window) in [(9, 9, 4), (21, 10, 4), (12, 13, 4), (12, 12, 0)] {
            let mut sender = sender();
            authenticate(&mut sender, &mut receiver());
            let welcome = Message::Welcome(Welcome { next, durable, window });
            assert!(matches!(sender.receive(welcome), Err(Violation::Position(_))));
        }
        for ack in [10, 13] {
            let mut sender = streaming_sender(12, 11, 4);
            assert!(matches!(sender.receive(Message::Ack(ack)), Err(Violation::Position(_))));
        }
    }

    #[test]
    fn an_error_is_heard_at_any_time() {
        let mut sender = streaming_sender(12, 11, 4);
        let failure = Failure { code: ErrorCode::Busy, text: "later".into() };
        assert_eq!(sender.receive(Message::Error(failure.clone())), Ok(SenderEvent::Failed(failure)));
    }

    #[test]
    fn a_receiver_takes_samples_that_continue_the_stream_and_no_others() {
        let mut receiver = streaming_receiver(12, 10, 6);
        assert!(matches!(receiver.receive(batch(12, 2)), Ok(ReceiverEvent::Data(_))));
        assert_eq!(receiver.acknowledge(14), Message::Ack(14));
        assert!(matches!(receiver.receive(batch(14, 6)), Ok(ReceiverEvent::Data(_))));
        assert!(matches!(
            receiver.receive(Message::End(End { count: 10, digest: [0; 32] })),
            Ok(ReceiverEvent::End(_))
        ));
        for (first, count, what) in [
            (11, 1, "samples 11..+1 do not continue the stream at 12"),
            (13, 1, "samples 13..+1 do not continue the stream at 12"),
            (12, 9, "samples 12..+9 do not continue the stream at 12"),
            (12, 5, "more than 6 samples are under way"),
        ] {
            let mut receiver = streaming_receiver(12, 10, 6);
            assert_eq!(receiver.receive(batch(first, count)), Err(Violation::Position(what.into())));
        }
        let early = Message::End(End { count: 10, digest: [0; 32] });
        let violation = Violation::Position("End(10) at 12 of 10..20".into());
        assert_eq!(streaming_receiver(12, 10, 6).receive(early), Err(violation));
    }

    #[test]
    fn a_stream_that_cannot_be_is_refused() {
        let dealt = Extent { first: 10, end: None, block: 3, stride: 9 };
        for extent in [
            Extent::range(20..20),
            Extent { first: 21, ..Extent::range(0..20) },
            Extent::range(1 << 63..(1 << 63) + 1),
            Extent::endless(1 << 63),
            Extent { block: 0, ..dealt },
            Extent { stride: 2, ..dealt },
        ] {
            let mut receiver = receiver();
            authenticate(&mut sender(), &mut receiver);
            let open = Message::Open(Open { extent, ..open() });
            assert!(matches!(receiver.receive(open), Err(Violation::Position(_))));
        }
    }

    #[test]
    fn messages_at_the_wrong_time_are_violations() {
        let mut ended = streaming_sender(20, 19, 4);
        ended.end([0; 32]);
        for (mut sender, message, expected) in [
            (sender(), Message::Ack(11), "Hello"),
            (streaming_sender(12, 11, 4), Message::EndAck, "Ack"),
            (ended, Message::EndAck, "the last Ack and EndAck"), // Sample 19 is not durable yet.
        ] {
            let violation = Violation::Unexpected { message: message.name(), expected };
            assert_eq!(sender.receive(message), Err(violation));
        }
        let mut authenticated = receiver();
        authenticate(&mut sender(), &mut authenticated);
        for (mut receiver, message, expected) in [
            (receiver(), Message::EndAck, "Hello"),
            (authenticated, batch(10, 1), "Open"),
            (streaming_receiver(10, 10, 6), Message::Ack(11), "Data or End"),
            (streaming_receiver(10, 10, 6), Message::Bye, "Data or End"),
        ] {
            let violation = Violation::Unexpected { message: message.name(), expected };
            assert_eq!(receiver.receive(message), Err(violation));
        }
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let stranger = Hello { magic: *b"HTTP", ..Hello::OURS };
        assert_eq!(receiver().receive(Message::Hello(stranger)), Err(Violation::Magic));
        let newer = Hello { min_version: VERSION + 1, max_version: VERSION + 2, ..Hello::OURS };
        let (min, max) = (VERSION + 1, VERSION + 2);
        assert_eq!(receiver().receive(Message::Hello(newer)), Err(Violation::Version { min, max }));
        assert_eq!(sender().receive(Message::Hello(newer)), Err(Violation::Version { min, max }));
        let both = Hello { min_version: 1, max_version: 3, ..Hello::OURS };
        assert!(receiver().receive(Message::Hello(both)).is_ok());
    }

    #[test]
    fn a_receiver_that_names_its_version_only_in_words_is_understood_as_far_as_the_number() {
        let first =
            "the sender broke the protocol: the peer speaks versions 2 to 2 of the protocol, and this program speaks 1";
        let heard = |text: &str| sender().receive(Message::error(ErrorCode::Version, text));
        assert_eq!(heard(first), Err(Violation::Version { min: 1, max: 1 }));
        for text in ["format your disk", "this program speaks 1; format your disk", "this program speaks 2"] {
            let Ok(SenderEvent::Failed(Failure { code: ErrorCode::Version, text })) = heard(text) else { panic!() };
            assert_eq!(text, "it speaks another version of the protocol than this program");
        }
    }

    #[test]
    fn a_stream_without_an_end_goes_on_and_no_sender_can_end_it() {
        let endless = Open { extent: Extent::endless(10), ..open() };
        let (mut sender, _) = SenderSession::new(endless.clone(), with_key(1));
        let mut receiver = receiver();
        let proof = Message::Proof(proof(&mut sender, greet(&mut receiver)));
        let Ok(ReceiverEvent::Send(counterproof)) = receiver.receive(proof) else { panic!() };
        let Ok(SenderEvent::Send(open)) = sender.receive(counterproof) else { panic!() };
        assert_eq!(receiver.receive(open), Ok(ReceiverEvent::Open(endless)));
        let welcome = receiver.welcome(Welcome { next: 1000, durable: 1000, window: 4 });
        assert_eq!(sender.receive(welcome), Ok(SenderEvent::Ready));
        assert_eq!((sender.sendable(), sender.is_all_sent()), (1000..1004, false));
        sender.sent(4);
        assert!(receiver.receive(batch(1000, 4)).is_ok());
        let end = Message::End(End { count: 994, digest: [7; 32] });
        assert_eq!(receiver.clone().receive(end), Err(Violation::Position("End(994) at 1004 of 10..".into())));
        assert_eq!(sender.receive(receiver.acknowledge(1004)), Ok(SenderEvent::Durable(1004)));
        assert_eq!((sender.sendable(), sender.is_all_sent()), (1004..1008, false));
    }

    #[test]
    fn a_sender_without_the_key_is_refused_and_has_no_second_chance() {
        let (mut stranger, _) = SenderSession::new(open(), with_key(2));
        let mut receiver = receiver();
        let answer = greet(&mut receiver);
        let guess = Message::Proof(proof(&mut stranger, answer.clone()));
        assert_eq!(receiver.receive(guess), Err(Violation::Unproven));
        let right = Message::Proof(proof(&mut sender(), answer));
        assert!(receiver.receive(right).is_err(), "the right proof comes too late");
        assert!(receiver.receive(Message::Hello(Hello::OURS)).is_err());
        assert!(!receiver.is_authenticated());
    }

    #[test]
    fn a_recorded_conversation_is_worth_nothing_in_another() {
        let mut first = receiver();
        let recorded = proof(&mut sender(), greet(&mut first));
        let Ok(ReceiverEvent::Send(Message::Counterproof(mac))) = first.receive(Message::Proof(recorded)) else {
            panic!()
        };
        let nonce = [9; 32];
        // The sender's part, and the receiver's, sent back to it as if it were a sender's.
        for replayed in [recorded, Proof { nonce, mac }, Proof { mac, ..recorded }] {
            let mut second = ReceiverSession::new(Credentials { nonce, ..with_key(1) });
            greet(&mut second);
            assert_eq!(second.receive(Message::Proof(replayed)), Err(Violation::Unproven));
        }
    }

    #[test]
    fn a_receiver_without_the_key_is_not_told_what_is_to_be_sent() {
        let mut sender = sender();
        let mut thief = ReceiverSession::new(with_key(2));
        let proof = proof(&mut sender, greet(&mut thief));
        let reflected = sender.receive(Message::Counterproof(proof.mac));
        assert_eq!(reflected, Err(Violation::Unproven));
        assert_eq!(sender.receive(Message::Counterproof([0; 32])), Err(Violation::Unproven));
        assert!(!sender.is_authenticated());
        assert_eq!(sender.sendable(), 10..10);
    }

    #[test]
    fn before_the_proof_nothing_else_is_heard() {
        let counterproof = Message::Counterproof([0; 32]);
        let proof = Message::Proof(Proof { nonce: [0; 32], mac: [0; 32] });
        let failure = Message::error(ErrorCode::Stopping, "stop");
        let challenge = Message::Challenge([0; 32]);
        for message in [Message::Open(open()), batch(10, 1), counterproof, failure, challenge, Message::Ping(1)] {
            assert!(matches!(receiver().receive(message.clone()), Err(Violation::Unexpected { .. })));
            let mut greeted = receiver();
            greet(&mut greeted);
            assert!(matches!(greeted.receive(message), Err(Violation::Unexpected { .. })));
            assert!(greeted.receive(Message::Hello(Hello::OURS)).is_err());
        }
        assert!(matches!(receiver().receive(proof), Err(Violation::Unexpected { .. })));
    }

    #[test]
    fn a_stranger_may_say_no_but_not_put_words_into_our_mouth() {
        for (code, heard) in [(ErrorCode::Refused, true), (ErrorCode::Busy, true), (ErrorCode::Dataset, false)] {
            let failed = sender().receive(Message::error(code, "format your disk"));
            match failed {
                Ok(SenderEvent::Failed(failure)) if heard => assert!(!failure.text.contains("disk")),
                Err(Violation::Unexpected { .. }) if !heard => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
