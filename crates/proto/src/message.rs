//! What the messages say, and their frames. The bodies of small messages are `bincode`; a [`Batch`] travels as raw bytes.

mod batch;
mod body;
mod kind;
mod text;

pub use batch::Batch;
pub use body::{End, ErrorCode, Failure, Hello, MAGIC, Nonce, Open, Proof, Welcome};
pub use text::{MAX_DATASET_NAME, MAX_NAME, MAX_TEXT, is_name};

use crate::{
    codec,
    frame::{self, FrameError, Header},
};
use text::{allowed, is_text};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens the conversation, from both sides.
    Hello(Hello),
    /// receiver: prove that you hold the key, with this number in it.
    Challenge(Nonce),
    /// sender: the proof; now prove yours.
    Proof(Proof),
    /// receiver: the proof.
    Counterproof([u8; 32]),
    /// sender: which stream this is.
    Open(Open),
    /// receiver: where to go on.
    Welcome(Welcome),
    /// sender: samples.
    Data(Batch),
    /// receiver: every sample before this position is durable.
    Ack(u64),
    /// sender: that was the whole stream.
    End(End),
    /// receiver: the whole stream is durable and its digest agrees.
    EndAck,
    /// sender: `EndAck` has come, and nobody will come back to ask.
    Bye,
    /// receiver: send no more samples until `Resume`; the reason, for people, at most [`MAX_TEXT`]. Said again every few
    /// seconds for as long as it holds.
    Pause(String),
    /// receiver: go on.
    Resume,
    /// Are you there?
    Ping(u64),
    /// The answer to the [`Message::Ping`] of the same number.
    Pong(u64),
    /// Why the session ends.
    Error(Failure),
}

impl Message {
    /// The message as a frame.
    pub fn frame(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Message::Hello(hello) => (kind::HELLO, codec::encode(hello)),
            Message::Challenge(nonce) => (kind::CHALLENGE, codec::encode(nonce)),
            Message::Proof(proof) => (kind::PROOF, codec::encode(proof)),
            Message::Counterproof(mac) => (kind::COUNTERPROOF, codec::encode(mac)),
            Message::Open(open) => (kind::OPEN, codec::encode(open)),
            Message::Welcome(welcome) => (kind::WELCOME, codec::encode(welcome)),
            Message::Data(batch) => {
                return frame::encode(kind::DATA, batch.bytes(), |frame| frame.extend_from_slice(batch.body()));
            }
            Message::Ack(durable) => (kind::ACK, codec::encode(durable)),
            Message::End(end) => (kind::END, codec::encode(end)),
            Message::EndAck => (kind::END_ACK, Vec::new()),
            Message::Bye => (kind::BYE, Vec::new()),
            Message::Ping(number) => (kind::PING, codec::encode(number)),
            Message::Pong(number) => (kind::PONG, codec::encode(number)),
            Message::Pause(reason) => (kind::PAUSE, codec::encode(reason)),
            Message::Resume => (kind::RESUME, Vec::new()),
            Message::Error(failure) => (kind::ERROR, codec::encode(failure)),
        };
        frame::encode(kind, body.len(), |frame| frame.extend_from_slice(&body))
    }

    /// The message in a frame whose header has been read.
    ///
    /// # Errors
    /// When the checksum is wrong, the type is unknown or the body is not of its type.
    pub fn decode(header: &Header, body: Vec<u8>) -> Result<Message, FrameError> {
        header.verify(&body)?;
        let message = match header.kind {
            kind::HELLO => codec::decode(&body).map(Message::Hello),
            kind::CHALLENGE => codec::decode(&body).map(Message::Challenge),
            kind::PROOF => codec::decode(&body).map(Message::Proof),
            kind::COUNTERPROOF => codec::decode(&body).map(Message::Counterproof),
            kind::OPEN => codec::decode(&body).map(Message::Open),
            kind::WELCOME => codec::decode(&body).map(Message::Welcome),
            kind::DATA => Batch::from_body(body).map(Message::Data),
            kind::ACK => codec::decode(&body).map(Message::Ack),
            kind::END => codec::decode(&body).map(Message::End),
            kind::END_ACK => codec::decode(&body).map(|()| Message::EndAck),
            kind::BYE => codec::decode(&body).map(|()| Message::Bye),
            kind::PING => codec::decode(&body).map(Message::Ping),
            kind::PONG => codec::decode(&body).map(Message::Pong),
            kind::PAUSE => codec::decode(&body).map(Message::Pause),
            kind::RESUME => codec::decode(&body).map(|()| Message::Resume),
            kind::ERROR => codec::decode(&body).map(Message::Error),
            unknown => Err(FrameError::UnknownType(unknown)),
        }?;
        match &message {
            Message::Open(Open { stream, dataset, .. }) if !is_name(stream) || !is_text(dataset, MAX_DATASET_NAME) => {
                Err(FrameError::Body("a name is not allowed"))
            }
            Message::Pause(text) | Message::Error(Failure { text, .. }) if !is_text(text, MAX_TEXT) => {
                Err(FrameError::Body("a text is not allowed"))
            }
            _ => Ok(message),
        }
    }

    /// An `Error` with a text cut to what is allowed.
    pub fn error(code: ErrorCode, text: impl Into<String>) -> Message {
        Message::Error(Failure { code, text: allowed(text.into()) })
    }

    /// A `Pause` with a reason cut to what is allowed.
    pub fn pause(reason: impl Into<String>) -> Message {
        Message::Pause(allowed(reason.into()))
    }

    /// All that a peer is told that has not proved that it holds the key: the same bytes, whatever the reason.
    pub fn refused() -> Message {
        Message::error(ErrorCode::Refused, "refused")
    }

    /// The name of the message's type.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "Hello",
            Message::Challenge(_) => "Challenge",
            Message::Proof(_) => "Proof",
            Message::Counterproof(_) => "Counterproof",
            Message::Open(_) => "Open",
            Message::Welcome(_) => "Welcome",
            Message::Data(_) => "Data",
            Message::Ack(_) => "Ack",
            Message::End(_) => "End",
            Message::EndAck => "EndAck",
            Message::Bye => "Bye",
            Message::Pause(_) => "Pause",
            Message::Resume => "Resume",
            Message::Ping(_) => "Ping",
            Message::Pong(_) => "Pong",
            Message::Error(_) => "Error",
        }
    }
}

#[cfg(test)]
mod tests {
    use sample::{Extent, PIXELS, SampleSlice};

    use super::*;
    use crate::{HEADER_BYTES, MAX_BODY};

    fn decode(frame: &[u8]) -> Result<Message, FrameError> {
        let (header, body) = frame.split_first_chunk().unwrap();
        Message::decode(&Header::decode(header, MAX_BODY)?, body.to_vec())
    }

    /// The wire format is pinned byte by byte: type and body here, the rest of the header by the tests of `frame`.
    #[track_caller]
    fn check(message: &Message, kind: u8, body: &[u8]) {
        let frame = message.frame();
        assert_eq!((frame[4], &frame[HEADER_BYTES..]), (kind, body));
        assert_eq!(decode(&frame).as_ref(), Ok(message));
    }

    #[test]
    fn each_message_has_these_bytes() {
        check(&Message::Hello(Hello::OURS), 1, b"TRBT\x00\x02\x00\x02");
        check(&Message::Challenge([0xc4; 32]), 16, &[0xc4; 32]);
        let proof = Proof { nonce: [1; 32], mac: [2; 32] };
        check(&Message::Proof(proof), 17, &[[1; 32], [2; 32]].concat());
        check(&Message::Counterproof([3; 32]), 18, &[3; 32]);
        let extent = Extent { first: 1, end: Some(0x0203), block: 2, stride: 6 };
        let open = Open { stream: "s-0".into(), dataset: "mnist".into(), dataset_digest: [0xab; 32], extent };
        let mut body = b"\0\0\0\0\0\0\0\x03s-0\0\0\0\0\0\0\0\x05mnist".to_vec();
        body.extend_from_slice(&[0xab; 32]);
        body.extend_from_slice(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x06");
        let closed = [&body[..], b"\x01\0\0\0\0\0\0\x02\x03"].concat();
        check(&Message::Open(open.clone()), 2, &closed);
        let endless = Open { extent: Extent { end: None, ..extent }, ..open };
        check(&Message::Open(endless), 2, &[&body[..], b"\0"].concat());
        let welcome = Welcome { next: 3, durable: 2, window: 1 };
        check(&Message::Welcome(welcome), 3, b"\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01");
        check(&Message::Ack(0x0102), 5, b"\0\0\0\0\0\0\x01\x02");
        let mut body = b"\0\0\0\0\0\0\0\x07".to_vec();
        body.extend_from_slice(&[9; 32]);
        check(&Message::End(End { count: 7, digest: [9; 32] }), 6, &body);
        check(&Message::EndAck, 7, b"");
        check(&Message::Bye, 13, b"");
        check(&Message::pause("no"), 10, b"\0\0\0\0\0\0\0\x02no");
        check(&Message::Resume, 12, b"");
        check(&Message::Ping(1), 8, b"\0\0\0\0\0\0\0\x01");
        check(&Message::Pong(2), 9, b"\0\0\0\0\0\0\0\x02");
        check(&Message::error(ErrorCode::Fenced, "no"), 11, b"\0\0\0\x04\0\0\0\0\0\0\0\x02no");
        check(&Message::error(ErrorCode::Sealed, "no"), 11, b"\0\0\0\x0a\0\0\0\0\0\0\0\x02no");
        check(&Message::refused(), 11, b"\0\0\0\x09\0\0\0\0\0\0\0\x07refused");
    }

    #[test]
    fn samples_are_encoded_alike_with_and_without_a_batch_of_their_own() {
        let frame = Batch::frame(1, SampleSlice { labels: &[7], images: &[5; PIXELS] });
        let message = decode(&frame).unwrap();
        assert!(matches!(message, Message::Data(_)));
        assert_eq!(message.frame(), frame);
    }

    #[track_caller]
    fn check_bad(kind: u8, body: &[u8], expect: FrameError) {
        assert_eq!(decode(&frame::encode(kind, 0, |frame| frame.extend_from_slice(body))), Err(expect));
    }

    #[test]
    fn a_malformed_body_is_an_error() {
        let left_over = FrameError::Body("it has bytes left over");
        let undecodable = FrameError::Body("it does not decode");
        check_bad(0, b"", FrameError::UnknownType(0));
        check_bad(200, b"", FrameError::UnknownType(200));
        check_bad(5, b"\0\0\0\0\0\0\0\x01\0", left_over);
        check_bad(7, b"\0", left_over);
        check_bad(5, b"\0\0\0", undecodable);
        check_bad(16, &[0; 31], undecodable);
        check_bad(17, &[0; 65], left_over);
        check_bad(18, &[0; 33], left_over);
        check_bad(2, b"\xff\xff\xff\xff\xff\xff\xff\xff", undecodable);
        check_bad(11, b"\0\0\0\x63\0\0\0\0\0\0\0\0", undecodable);
        check_bad(11, b"\0\0\0\0\0\0\0\0\0\0\0\x01\x1b", FrameError::Body("a text is not allowed"));
        check_bad(4, b"\0\0", FrameError::Body("a batch without its header"));
        let disagree = FrameError::Body("a batch whose count and length do not agree");
        check_bad(4, b"\0\0\0\0\0\0\0\0\0\0\0\0", disagree);
        check_bad(4, b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff", disagree);
        let mut batch = b"\0\0\0\0\0\0\0\0\0\0\0\x01\x0a".to_vec();
        batch.extend_from_slice(&[0; PIXELS]);
        check_bad(4, &batch, FrameError::Body("a label that is not a digit"));
    }
}
