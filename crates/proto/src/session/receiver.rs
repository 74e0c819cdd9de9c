//! The receiver's side of a connection. A sender has one chance to prove that it holds the key. Then samples are taken
//! that continue the stream within the window, and no others.

use std::mem;

use super::violation::{Violation, check_hello};
use crate::{
    Batch, Credentials, MAX_BODY, MAX_CONTROL_BODY, MAX_STRANGER_BODY, Message,
    auth::{Role, Transcript},
    message::{End, Failure, Hello, Open, Welcome},
};

/// The receiver's side of one connection.
#[derive(Clone, Debug)]
pub struct ReceiverSession {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Hello(Credentials),
    Proof {
        credentials: Credentials,
        sender_hello: Hello,
    },
    /// The sender has made a mistake before its proof.
    Refused,
    Open,
    /// `Open` has come; the caller owes the Welcome.
    Opening(Open),
    Streaming(Positions),
    Ended {
        acknowledged: bool,
    },
}

/// How far an open stream is.
#[derive(Clone, Debug)]
struct Positions {
    open: Open,
    next: u64,
    durable: u64,
    window: u64,
}

/// What a message means to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverEvent {
    /// Send this.
    Send(Message),
    /// Send both: our greeting, and the challenge.
    Greet([Message; 2]),
    /// A sender wants to open a stream: answer with [`ReceiverSession::welcome`], or end the session.
    Open(Open),
    /// Samples, which continue the stream.
    Data(Batch),
    /// The stream is over. Once it is durable and the digest agrees, answer with [`ReceiverSession::acknowledge_end`].
    End(End),
    /// The sender knows that all is well, and is gone.
    Bye,
    /// The peer is alive.
    Alive,
    /// The sender ended the session.
    Failed(Failure),
}

impl ReceiverSession {
    /// A session with a sender that is to prove that it holds the same key.
    pub fn new(credentials: Credentials) -> ReceiverSession {
        ReceiverSession { state: State::Hello(credentials) }
    }

    /// Whether the sender has proved that it holds the key. A sender that has not is told [`Message::refused`], and
    /// nothing else, whatever was wrong.
    pub fn is_authenticated(&self) -> bool {
        !matches!(self.state, State::Hello(_) | State::Proof { .. } | State::Refused)
    }

    /// The longest frame body that may come now.
    pub fn max_body(&self) -> u32 {
        match self.state {
            State::Streaming(_) => MAX_BODY,
            _ if self.is_authenticated() => MAX_CONTROL_BODY,
            _ => MAX_STRANGER_BODY,
        }
    }

    /// Takes in a message from the sender.
    ///
    /// # Errors
    /// When the message may not come now, or does not continue the stream.
    pub fn receive(&mut self, message: Message) -> Result<ReceiverEvent, Violation> {
        if !self.is_authenticated() {
            return self.authenticate(message);
        }
        match (message, &mut self.state) {
            (Message::Error(failure), _) => Ok(ReceiverEvent::Failed(failure)),
            (Message::Ping(number), State::Streaming(_) | State::Ended { .. }) => {
                Ok(ReceiverEvent::Send(Message::Pong(number)))
            }
            (Message::Pong(_), State::Streaming(_) | State::Ended { .. }) => Ok(ReceiverEvent::Alive),
            (Message::Open(open), State::Open) => {
                open.extent.check().map_err(Violation::Position)?;
                self.state = State::Opening(open.clone());
                Ok(ReceiverEvent::Open(open))
            }
            (Message::Data(batch), State::Streaming(positions)) => {
                positions.advance(&batch)?;
                Ok(ReceiverEvent::Data(batch))
            }
            (Message::End(end), State::Streaming(positions)) => {
                positions.check_end(end)?;
                self.state = State::Ended { acknowledged: false };
                Ok(ReceiverEvent::End(end))
            }
            (Message::Bye, State::Ended { acknowledged: true }) => Ok(ReceiverEvent::Bye),
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    State::Open => "Open",
                    State::Opening(_) => "nothing before Welcome",
                    State::Streaming(_) => "Data or End",
                    State::Ended { acknowledged: true } => "Bye",
                    _ => "nothing after End",
                },
            }),
        }
    }

    /// Takes in a message before the sender has proved that it holds the key. One mistake ends the attempt for good.
    fn authenticate(&mut self, message: Message) -> Result<ReceiverEvent, Violation> {
        match (message, mem::replace(&mut self.state, State::Refused)) {
            (Message::Hello(sender_hello), State::Hello(credentials)) => {
                check_hello(sender_hello)?;
                let challenge = Message::Challenge(credentials.nonce);
                self.state = State::Proof { credentials, sender_hello };
                Ok(ReceiverEvent::Greet([Message::Hello(Hello::OURS), challenge]))
            }
            (Message::Proof(proof), State::Proof { credentials, sender_hello }) => {
                let Credentials { ref key, nonce: receiver_nonce, binding } = credentials;
                let (receiver_hello, sender_nonce) = (Hello::OURS, proof.nonce);
                let transcript = Transcript { sender_hello, receiver_hello, receiver_nonce, sender_nonce, binding };
                if !transcript.is_proved(key, Role::Sender, &proof.mac) {
                    return Err(Violation::Unproven);
                }
                self.state = State::Open;
                Ok(ReceiverEvent::Send(Message::Counterproof(transcript.prove(key, Role::Receiver))))
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    State::Hello(_) => "Hello",
                    State::Proof { .. } => "Proof",
                    _ => "nothing",
                },
            }),
        }
    }

    /// Accepts the stream that was asked for.
    ///
    /// # Panics
    /// When no [`ReceiverEvent::Open`] came before.
    pub fn welcome(&mut self, welcome: Welcome) -> Message {
        let ended = State::Ended { acknowledged: false };
        let State::Opening(open) = mem::replace(&mut self.state, ended) else {
            panic!("a Welcome answers an Open");
        };
        let Welcome { next, durable, window } = welcome;
        self.state = State::Streaming(Positions { open, next, durable, window });
        Message::Welcome(welcome)
    }

    /// The message that says what is durable.
    pub fn acknowledge(&mut self, position: u64) -> Message {
        if let State::Streaming(positions) = &mut self.state {
            positions.durable = position;
        }
        Message::Ack(position)
    }

    /// The message that says that the whole stream is durable and its digest agrees.
    pub fn acknowledge_end(&mut self) -> Message {
        if let State::Ended { acknowledged } = &mut self.state {
            *acknowledged = true;
        }
        Message::EndAck
    }
}

impl Positions {
    /// Moves on over samples that continue the stream within the window.
    fn advance(&mut self, batch: &Batch) -> Result<(), Violation> {
        let Positions { ref open, next, durable, window } = *self;
        let (first, count) = (batch.first_position(), batch.count() as u64);
        if first != next || count > open.extent.limit() - next {
            return Err(Violation::Position(format!("samples {first}..+{count} do not continue the stream at {next}")));
        }
        if next + count - durable > window {
            return Err(Violation::Position(format!("more than {window} samples are under way")));
        }
        self.next += count;
        Ok(())
    }

    /// Checks that a stream which is said to be over is. One without an end never is.
    fn check_end(&self, end: End) -> Result<(), Violation> {
        let Positions { open: Open { extent, .. }, next, .. } = self;
        if extent.end != Some(*next) || end.count != next - extent.first {
            return Err(Violation::Position(format!("End({}) at {next} of {extent}", end.count)));
        }
        Ok(())
    }
}
