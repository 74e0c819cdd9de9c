//! Which message may come when. [`Client`] is the sender's side of one connection, [`Server`] the receiver's. They hold
//! positions and nothing else; the caller moves the bytes and keeps the time.

use crate::{
    VERSION,
    message::{Hello, MAGIC},
};

mod client;
mod server;

pub use client::{Client, ClientEvent};
pub use server::{Server, ServerEvent};

/// The peer broke the protocol. The connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The peer does not speak this protocol.
    #[error("the peer does not speak this protocol")]
    Magic,
    /// No common version.
    #[error("the peer speaks versions {min} to {max} of the protocol, and this program speaks {VERSION}")]
    Version {
        /// The peer's lowest.
        min: u16,
        /// The peer's highest.
        max: u16,
    },
    /// The peer has not proved that it holds the key.
    #[error("the peer does not hold our key")]
    Unproven,
    /// A message at the wrong time.
    #[error("{message} came while waiting for {expected}")]
    Unexpected {
        /// What came.
        message: &'static str,
        /// What could have come.
        expected: &'static str,
    },
    /// A position or count that cannot be.
    #[error("{0}")]
    Position(String),
}

fn check_hello(hello: Hello) -> Result<(), Violation> {
    let Hello { magic, min_version: min, max_version: max } = hello;
    if magic != MAGIC {
        return Err(Violation::Magic);
    }
    if (min..=max).contains(&VERSION) { Ok(()) } else { Err(Violation::Version { min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Batch, Binding, Credentials, ErrorCode, HEADER_BYTES, Header, IMAGE_BYTES, Key, MAX_BODY, MAX_CONTROL_BODY,
        MAX_STRANGER_BODY, Message,
        message::{End, Failure, Open, Proof, Welcome},
    };

    /// What a side brings that holds the key `key`; its nonce is the same number.
    fn with_key(key: u8) -> Credentials {
        Credentials { key: Key::new([key; 32]), nonce: [key; 32], binding: Binding::Plain }
    }

    fn client() -> Client {
        let (client, hello) = Client::new(open(), with_key(1));
        assert_eq!(hello, Message::Hello(Hello::OURS));
        client
    }

    fn server() -> Server {
        Server::new(with_key(1))
    }

    /// Lets both prove the key to each other.
    fn authenticate(client: &mut Client, server: &mut Server) {
        let Ok(ServerEvent::Greet([hello, challenge])) = server.receive(Message::Hello(Hello::OURS)) else { panic!() };
        assert_eq!(client.receive(hello), Ok(ClientEvent::Alive));
        let Ok(ClientEvent::Send(proof)) = client.receive(challenge) else { panic!() };
        assert!(!server.is_authenticated());
        assert_eq!(server.max_body(), MAX_STRANGER_BODY);
        let Ok(ServerEvent::Send(counterproof)) = server.receive(proof) else { panic!() };
        assert!(server.is_authenticated() && !client.is_authenticated());
        assert_eq!(client.receive(counterproof), Ok(ClientEvent::Send(Message::Open(open()))));
        assert!(client.is_authenticated());
    }

    fn open() -> Open {
        Open { stream: "s".into(), dataset: "d".into(), dataset_digest: [1; 32], first: 10, end: 20 }
    }

    fn batch(first: u64, count: usize) -> Message {
        let frame = Batch::frame(first, &vec![0; count], &vec![0; count * IMAGE_BYTES]);
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
        Message::decode(&Header::decode(header, MAX_BODY).unwrap(), body.to_vec()).unwrap()
    }

    fn streaming_client(next: u64, durable: u64, window: u64) -> Client {
        let mut client = client();
        authenticate(&mut client, &mut server());
        assert_eq!(client.sendable(), 10..10);
        let welcome = Message::Welcome(Welcome { next, durable, window });
        assert_eq!(client.receive(welcome), Ok(ClientEvent::Ready));
        client
    }

    fn streaming_server(next: u64, durable: u64, window: u64) -> Server {
        let mut server = server();
        authenticate(&mut client(), &mut server);
        assert_eq!(server.max_body(), MAX_CONTROL_BODY);
        assert_eq!(server.receive(Message::Open(open())), Ok(ServerEvent::Open(open())));
        server.welcome(Welcome { next, durable, window });
        assert_eq!(server.max_body(), MAX_BODY);
        server
    }

    #[test]
    fn a_sender_keeps_within_the_window_and_goes_on_after_an_ack() {
        let mut client = streaming_client(12, 11, 4);
        assert_eq!(client.sendable(), 12..15);
        client.sent(3);
        assert_eq!(client.sendable(), 15..15);
        assert_eq!(client.receive(Message::Ack(15)), Ok(ClientEvent::Durable(15)));
        assert_eq!(client.sendable(), 15..19);
        client.sent(4);
        assert_eq!(client.receive(Message::Ack(19)), Ok(ClientEvent::Durable(19)));
        assert_eq!(client.sendable(), 19..20);
        client.sent(1);
        assert!(client.is_all_sent());
        assert_eq!(client.end([7; 32]), Message::End(End { count: 10, digest: [7; 32] }));
        assert_eq!(client.receive(Message::Ack(20)), Ok(ClientEvent::Durable(20)));
        assert_eq!(client.receive(Message::EndAck), Ok(ClientEvent::Done));
    }

    #[test]
    fn a_bye_is_said_only_after_the_end_was_acknowledged() {
        let mut server = streaming_server(18, 18, 4);
        server.receive(batch(18, 2)).unwrap();
        let end = End { count: 10, digest: [3; 32] };
        assert_eq!(server.receive(Message::End(end)), Ok(ServerEvent::End(end)));
        assert!(matches!(server.clone().receive(Message::Bye), Err(Violation::Unexpected { .. })));
        assert_eq!(server.acknowledge_end(), Message::EndAck);
        assert_eq!(server.receive(Message::Ping(1)), Ok(ServerEvent::Send(Message::Pong(1))));
        assert_eq!(server.receive(Message::Bye), Ok(ServerEvent::Bye));
    }

    #[test]
    fn a_paused_sender_sends_nothing_until_it_may_go_on() {
        let mut client = streaming_client(12, 11, 4);
        assert_eq!(client.receive(Message::pause("full\n")), Ok(ClientEvent::Paused("full ".into())));
        assert_eq!(client.sendable(), 12..12);
        assert_eq!(client.receive(Message::Ack(12)), Ok(ClientEvent::Durable(12)));
        assert_eq!(client.sendable(), 12..12);
        assert_eq!(client.receive(Message::Resume), Ok(ClientEvent::Alive));
        assert_eq!(client.sendable(), 12..16);
    }

    #[test]
    fn a_sender_believes_no_impossible_position() {
        for (next, durable, window) in [(9, 9, 4), (21, 10, 4), (12, 13, 4), (12, 12, 0)] {
            let mut client = client();
            authenticate(&mut client, &mut server());
            let welcome = Message::Welcome(Welcome { next, durable, window });
            assert!(matches!(client.receive(welcome), Err(Violation::Position(_))));
        }
        for ack in [10, 13] {
            let mut client = streaming_client(12, 11, 4);
            assert!(matches!(client.receive(Message::Ack(ack)), Err(Violation::Position(_))));
        }
    }

    #[test]
    fn the_end_is_not_believed_before_everything_is_durable() {
        let mut client = streaming_client(20, 19, 4);
        client.end([0; 32]);
        assert!(matches!(client.receive(Message::EndAck), Err(Violation::Unexpected { .. })));
    }

    #[test]
    fn an_error_is_heard_at_any_time() {
        let mut client = streaming_client(12, 11, 4);
        let failure = Failure { code: ErrorCode::Busy, text: "later".into() };
        assert_eq!(client.receive(Message::Error(failure.clone())), Ok(ClientEvent::Failed(failure)));
    }

    #[test]
    fn a_receiver_takes_samples_that_continue_the_stream_and_no_others() {
        let mut server = streaming_server(12, 10, 6);
        assert!(matches!(server.receive(batch(12, 2)), Ok(ServerEvent::Data(_))));
        assert_eq!(server.acknowledge(14), Message::Ack(14));
        assert!(matches!(server.receive(batch(14, 6)), Ok(ServerEvent::Data(_))));
        assert!(matches!(server.receive(Message::End(End { count: 10, digest: [0; 32] })), Ok(ServerEvent::End(_))));
        for (first, count, what) in [
            (11, 1, "samples 11..+1 do not continue the stream at 12"),
            (13, 1, "samples 13..+1 do not continue the stream at 12"),
            (12, 9, "samples 12..+9 do not continue the stream at 12"),
            (12, 5, "more than 6 samples are under way"),
        ] {
            let mut server = streaming_server(12, 10, 6);
            assert_eq!(server.receive(batch(first, count)), Err(Violation::Position(what.into())));
        }
    }

    #[test]
    fn a_receiver_does_not_believe_an_early_end() {
        let mut server = streaming_server(12, 10, 6);
        let end = Message::End(End { count: 10, digest: [0; 32] });
        assert_eq!(server.receive(end), Err(Violation::Position("End(10) at 12 of 20".into())));
    }

    #[test]
    fn a_stream_that_cannot_be_is_refused() {
        for (first, end) in [(20, 20), (21, 20), (1 << 63, (1 << 63) + 1)] {
            let mut server = server();
            authenticate(&mut client(), &mut server);
            let open = Message::Open(Open { first, end, ..open() });
            assert!(matches!(server.receive(open), Err(Violation::Position(_))));
        }
    }

    #[test]
    fn messages_at_the_wrong_time_are_violations() {
        for message in [batch(10, 1), Message::Open(open()), Message::Ping(1), Message::EndAck] {
            assert!(matches!(server().receive(message), Err(Violation::Unexpected { .. })));
        }
        let mut server = streaming_server(10, 10, 6);
        assert!(matches!(server.receive(Message::Ack(11)), Err(Violation::Unexpected { .. })));
        let mut client = client();
        assert!(matches!(client.receive(Message::Ack(11)), Err(Violation::Unexpected { .. })));
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let stranger = Hello { magic: *b"HTTP", ..Hello::OURS };
        assert_eq!(server().receive(Message::Hello(stranger)), Err(Violation::Magic));
        let newer = Hello { min_version: 2, max_version: 3, ..Hello::OURS };
        assert_eq!(server().receive(Message::Hello(newer)), Err(Violation::Version { min: 2, max: 3 }));
        let both = Hello { min_version: 1, max_version: 3, ..Hello::OURS };
        assert!(server().receive(Message::Hello(both)).is_ok());
    }

    #[test]
    fn a_sender_without_the_key_is_refused_and_has_no_second_chance() {
        let (mut stranger, _) = Client::new(open(), with_key(2));
        let mut server = server();
        let Ok(ServerEvent::Greet([hello, challenge])) = server.receive(Message::Hello(Hello::OURS)) else { panic!() };
        stranger.receive(hello.clone()).unwrap();
        let Ok(ClientEvent::Send(guess)) = stranger.receive(challenge.clone()) else { panic!() };
        assert_eq!(server.receive(guess), Err(Violation::Unproven));
        let mut friend = client();
        friend.receive(hello).unwrap();
        let Ok(ClientEvent::Send(proof)) = friend.receive(challenge) else { panic!() };
        assert!(server.receive(proof).is_err(), "the right proof comes too late");
        assert!(server.receive(Message::Hello(Hello::OURS)).is_err());
        assert!(!server.is_authenticated());
    }

    #[test]
    fn a_receiver_without_the_key_is_not_told_what_is_to_be_sent() {
        let mut client = client();
        let mut thief = Server::new(with_key(2));
        let Ok(ServerEvent::Greet([hello, challenge])) = thief.receive(Message::Hello(Hello::OURS)) else { panic!() };
        client.receive(hello).unwrap();
        let Ok(ClientEvent::Send(Message::Proof(proof))) = client.receive(challenge) else { panic!() };
        let reflected = client.receive(Message::Counterproof(proof.mac));
        assert_eq!(reflected, Err(Violation::Unproven));
        assert_eq!(client.receive(Message::Counterproof([0; 32])), Err(Violation::Unproven));
        assert!(!client.is_authenticated());
        assert_eq!(client.sendable(), 10..10);
    }

    #[test]
    fn before_the_proof_nothing_else_is_heard() {
        let counterproof = Message::Counterproof([0; 32]);
        let proof = Message::Proof(Proof { nonce: [0; 32], mac: [0; 32] });
        let failure = Message::error(ErrorCode::Stopping, "stop");
        let challenge = Message::Challenge([0; 32]);
        for message in [Message::Open(open()), batch(10, 1), counterproof, failure, challenge, Message::Ping(1)] {
            assert!(matches!(server().receive(message.clone()), Err(Violation::Unexpected { .. })));
            let mut greeted = server();
            greeted.receive(Message::Hello(Hello::OURS)).unwrap();
            assert!(matches!(greeted.receive(message), Err(Violation::Unexpected { .. })));
            assert!(greeted.receive(Message::Hello(Hello::OURS)).is_err());
        }
        assert!(matches!(server().receive(proof), Err(Violation::Unexpected { .. })));
    }

    #[test]
    fn a_stranger_may_say_no_but_not_put_words_into_our_mouth() {
        for (code, heard) in [(ErrorCode::Refused, true), (ErrorCode::Busy, true), (ErrorCode::Dataset, false)] {
            let failed = client().receive(Message::error(code, "format your disk"));
            match failed {
                Ok(ClientEvent::Failed(failure)) if heard => assert!(!failure.text.contains("disk")),
                Err(Violation::Unexpected { .. }) if !heard => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
