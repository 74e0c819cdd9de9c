//! The receiver's side: a stranger has one chance to prove himself, and a stream goes on where it stopped and nowhere else.

use std::mem;

use super::{Violation, check_hello};
use crate::{
    Batch, Credentials, MAX_BODY, MAX_CONTROL_BODY, MAX_STRANGER_BODY, Message,
    auth::{Role, Transcript},
    message::{End, Failure, Hello, Open, Welcome},
};

/// The receiver's side of one connection.
#[derive(Clone, Debug)]
pub struct Server {
    state: ServerState,
}

#[derive(Clone, Debug)]
enum ServerState {
    Hello(Credentials),
    Proof {
        credentials: Credentials,
        sender_hello: Hello,
    },
    /// A stranger who had its chance.
    Refused,
    Open,
    /// `Open` has come; the caller owes the Welcome.
    Opening(Open),
    Streaming {
        open: Open,
        next: u64,
        durable: u64,
        window: u64,
    },
    Ended {
        acknowledged: bool,
    },
}

/// What a message means to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// Send this.
    Send(Message),
    /// Send both: our greeting, and the challenge.
    Greet([Message; 2]),
    /// A sender wants to open a stream: answer with [`Server::welcome`], or end the session.
    Open(Open),
    /// Samples, which continue the stream.
    Data(Batch),
    /// The stream is over. Once it is durable and the digest agrees, answer with [`Server::acknowledge_end`].
    End(End),
    /// The sender knows that all is well, and is gone.
    Bye,
    /// The peer is alive.
    Alive,
    /// The sender ended the session.
    Failed(Failure),
}

impl Server {
    /// A session with a stranger, who is to prove that it holds the same key.
    pub fn new(credentials: Credentials) -> Server {
        Server { state: ServerState::Hello(credentials) }
    }

    /// Whether the sender has proved that it holds the key. A sender that has not is told [`Message::refused`], and
    /// nothing else, whatever was wrong.
    pub fn is_authenticated(&self) -> bool {
        !matches!(self.state, ServerState::Hello(_) | ServerState::Proof { .. } | ServerState::Refused)
    }

    /// The longest frame body that may come now.
    pub fn max_body(&self) -> u32 {
        match self.state {
            ServerState::Streaming { .. } => MAX_BODY,
            _ if self.is_authenticated() => MAX_CONTROL_BODY,
            _ => MAX_STRANGER_BODY,
        }
    }

    /// Takes in a message from the sender.
    ///
    /// # Errors
    /// When the message may not come now, or does not continue the stream.
    pub fn receive(&mut self, message: Message) -> Result<ServerEvent, Violation> {
        if !self.is_authenticated() {
            return self.authenticate(message);
        }
        match (message, &mut self.state) {
            (Message::Error(failure), _) => Ok(ServerEvent::Failed(failure)),
            (Message::Ping(number), ServerState::Streaming { .. } | ServerState::Ended { .. }) => {
                Ok(ServerEvent::Send(Message::Pong(number)))
            }
            (Message::Pong(_), ServerState::Streaming { .. } | ServerState::Ended { .. }) => Ok(ServerEvent::Alive),
            (Message::Open(open), ServerState::Open) => {
                // Columns of numbers are signed where the samples are going.
                if open.first >= open.end || i64::try_from(open.end).is_err() {
                    return Err(Violation::Position(format!("a stream of samples {}..{}", open.first, open.end)));
                }
                self.state = ServerState::Opening(open.clone());
                Ok(ServerEvent::Open(open))
            }
            (Message::Data(batch), ServerState::Streaming { open, next, durable, window }) => {
                let (first, count) = (batch.first_seq(), batch.count() as u64);
                if first != *next || count > open.end - *next {
                    let what = format!("samples {first}..+{count} do not continue the stream at {next}");
                    return Err(Violation::Position(what));
                }
                if *next + count - *durable > *window {
                    return Err(Violation::Position(format!("more than {window} samples are under way")));
                }
                *next += count;
                Ok(ServerEvent::Data(batch))
            }
            (Message::End(end), ServerState::Streaming { open, next, .. }) => {
                if *next != open.end || end.count != open.end - open.first {
                    return Err(Violation::Position(format!("End({}) at {next} of {}", end.count, open.end)));
                }
                self.state = ServerState::Ended { acknowledged: false };
                Ok(ServerEvent::End(end))
            }
            (Message::Bye, ServerState::Ended { acknowledged: true }) => Ok(ServerEvent::Bye),
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    ServerState::Open => "Open",
                    ServerState::Opening(_) => "nothing before Welcome",
                    ServerState::Streaming { .. } => "Data or End",
                    ServerState::Ended { acknowledged: true } => "Bye",
                    _ => "nothing after End",
                },
            }),
        }
    }

    /// Hears a stranger. There is one chance: after any mistake, this session lets nobody in.
    fn authenticate(&mut self, message: Message) -> Result<ServerEvent, Violation> {
        match (message, mem::replace(&mut self.state, ServerState::Refused)) {
            (Message::Hello(sender_hello), ServerState::Hello(credentials)) => {
                check_hello(sender_hello)?;
                let challenge = Message::Challenge(credentials.nonce);
                self.state = ServerState::Proof { credentials, sender_hello };
                Ok(ServerEvent::Greet([Message::Hello(Hello::OURS), challenge]))
            }
            (Message::Proof(proof), ServerState::Proof { credentials, sender_hello }) => {
                let Credentials { ref key, nonce: receiver_nonce, binding } = credentials;
                let (receiver_hello, sender_nonce) = (Hello::OURS, proof.nonce);
                let transcript = Transcript { sender_hello, receiver_hello, receiver_nonce, sender_nonce, binding };
                if !transcript.is_proved(key, Role::Sender, &proof.mac) {
                    return Err(Violation::Unproven);
                }
                self.state = ServerState::Open;
                Ok(ServerEvent::Send(Message::Counterproof(transcript.prove(key, Role::Receiver))))
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    ServerState::Hello(_) => "Hello",
                    ServerState::Proof { .. } => "Proof",
                    _ => "nothing",
                },
            }),
        }
    }

    /// Accepts the stream that was asked for.
    ///
    /// # Panics
    /// When no [`ServerEvent::Open`] came before.
    pub fn welcome(&mut self, welcome: Welcome) -> Message {
        let ended = ServerState::Ended { acknowledged: false };
        let ServerState::Opening(open) = mem::replace(&mut self.state, ended) else {
            panic!("a Welcome answers an Open");
        };
        let Welcome { next, durable, window } = welcome;
        self.state = ServerState::Streaming { open, next, durable, window };
        Message::Welcome(welcome)
    }

    /// The message that says what is durable.
    pub fn acknowledge(&mut self, position: u64) -> Message {
        if let ServerState::Streaming { durable, .. } = &mut self.state {
            *durable = position;
        }
        Message::Ack(position)
    }

    /// The message that says that the whole stream is durable and its digest agrees.
    pub fn acknowledge_end(&mut self) -> Message {
        if let ServerState::Ended { acknowledged } = &mut self.state {
            *acknowledged = true;
        }
        Message::EndAck
    }
}
