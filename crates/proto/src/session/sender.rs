//! The sender's side of a connection. It proves that it holds the key, has the receiver prove it, sends as far as the
//! window reaches, and believes no position that is impossible.

use std::ops::Range;

use super::violation::{Violation, check_hello, version_in};
use crate::{
    Credentials, ErrorCode, Message, VERSION,
    auth::{Role, Transcript},
    message::{End, Failure, Hello, Nonce, Open, Proof, Welcome},
};

/// The sender's side of one connection.
#[derive(Clone, Debug)]
pub struct SenderSession {
    open: Open,
    credentials: Credentials,
    state: State,
    next: u64,
    durable: u64,
    window: u64,
    paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hello,
    Challenge { receiver_hello: Hello },
    Counterproof { receiver_hello: Hello, receiver_nonce: Nonce },
    Welcome,
    Streaming,
    EndAck,
    Done,
}

/// What a message means to the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEvent {
    /// Send this.
    Send(Message),
    /// The stream is open; samples may be sent as [`SenderSession::sendable`] says.
    Ready,
    /// Every sample before this position is durable.
    Durable(u64),
    /// The receiver cannot take samples for now, and says why.
    Paused(String),
    /// The peer is alive.
    Alive,
    /// The whole stream is durable and its digest agrees: say `Bye`, and that is the end.
    Done,
    /// The receiver ended the session.
    Failed(Failure),
}

impl SenderSession {
    /// A session for a stream, and the first message to send.
    pub fn new(open: Open, credentials: Credentials) -> (Self, Message) {
        let (state, first) = (State::Hello, open.extent.first);
        let session = Self { open, credentials, state, next: first, durable: first, window: 0, paused: false };
        (session, Message::Hello(Hello::OURS))
    }

    /// Takes in a message from the receiver.
    ///
    /// # Errors
    /// When the message may not come now, or cannot be true.
    pub fn receive(&mut self, message: Message) -> Result<SenderEvent, Violation> {
        if !self.is_authenticated() {
            return self.authenticate(message);
        }
        match (message, self.state) {
            (Message::Error(failure), _) => Ok(SenderEvent::Failed(failure)),
            (Message::Ping(number), _) => Ok(SenderEvent::Send(Message::Pong(number))),
            (Message::Pong(_), _) => Ok(SenderEvent::Alive),
            (Message::Welcome(welcome), State::Welcome) => self.welcomed(welcome),
            (Message::Ack(durable), State::Streaming | State::EndAck) => {
                if durable < self.durable || durable > self.next {
                    let Self { durable: before, next, .. } = self;
                    return Err(Violation::Position(format!("Ack({durable}) is not between {before} and {next}")));
                }
                self.durable = durable;
                Ok(SenderEvent::Durable(durable))
            }
            (Message::Pause(reason), State::Streaming | State::EndAck) => {
                self.paused = true;
                Ok(SenderEvent::Paused(reason))
            }
            (Message::Resume, State::Streaming | State::EndAck) => {
                self.paused = false;
                Ok(SenderEvent::Alive)
            }
            (Message::EndAck, State::EndAck) if self.open.extent.end == Some(self.durable) => {
                self.state = State::Done;
                Ok(SenderEvent::Done)
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    State::Welcome => "Welcome",
                    State::Streaming => "Ack",
                    State::EndAck => "the last Ack and EndAck",
                    _ => "nothing",
                },
            }),
        }
    }

    /// Whether the receiver has proved that it holds the key.
    pub fn is_authenticated(&self) -> bool {
        use State::*;
        !matches!(self.state, Hello | Challenge { .. } | Counterproof { .. })
    }

    /// The samples that may be sent now: as many as the window has room for. Empty while the window is full, during a
    /// pause, and before the stream is open.
    pub fn sendable(&self) -> Range<u64> {
        if self.state != State::Streaming || self.paused {
            return self.next..self.next;
        }
        self.next..self.open.extent.limit().min(self.durable.saturating_add(self.window)).max(self.next)
    }

    /// Notes that the first `count` of the sendable samples were sent.
    pub fn sent(&mut self, count: u64) {
        debug_assert!(count <= self.sendable().end - self.next);
        self.next += count;
    }

    /// Whether every sample was sent, so that `End` is due. Of a stream without an end, never.
    pub fn is_all_sent(&self) -> bool {
        self.state == State::Streaming && self.open.extent.end == Some(self.next)
    }

    /// The message that ends the stream, when [all was sent](Self::is_all_sent); `digest` is of the whole stream.
    pub fn end(&mut self, digest: [u8; 32]) -> Message {
        debug_assert!(self.is_all_sent());
        self.state = State::EndAck;
        Message::End(End { count: self.next - self.open.extent.first, digest })
    }

    /// The position that is durable, as far as this session knows.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Takes in a message before the receiver has proved that it holds the key.
    fn authenticate(&mut self, message: Message) -> Result<SenderEvent, Violation> {
        let Credentials { ref key, nonce, .. } = self.credentials;
        match (message, self.state) {
            (Message::Hello(receiver_hello), State::Hello) => {
                check_hello(receiver_hello)?;
                self.state = State::Challenge { receiver_hello };
                Ok(SenderEvent::Alive)
            }
            (Message::Challenge(receiver_nonce), State::Challenge { receiver_hello }) => {
                let mac = self.transcript(receiver_hello, receiver_nonce).prove(key, Role::Sender);
                self.state = State::Counterproof { receiver_hello, receiver_nonce };
                Ok(SenderEvent::Send(Message::Proof(Proof { nonce, mac })))
            }
            (Message::Counterproof(mac), State::Counterproof { receiver_hello, receiver_nonce }) => {
                if !self.transcript(receiver_hello, receiver_nonce).is_proved(key, Role::Receiver, &mac) {
                    return Err(Violation::Unproven);
                }
                self.state = State::Welcome;
                Ok(SenderEvent::Send(Message::Open(self.open.clone())))
            }
            // The code is public knowledge; the text of an unproved peer is not passed on.
            (Message::Error(Failure { code: ErrorCode::Version, text }), _) => match version_in(&text) {
                Some(version) if version != VERSION => Err(Violation::Version { min: version, max: version }),
                _ => {
                    let text = "it speaks another version of the protocol than this program";
                    Ok(SenderEvent::Failed(Failure { code: ErrorCode::Version, text: text.into() }))
                }
            },
            (Message::Error(Failure { code, .. }), _) if code.may_precede_proof() => {
                Ok(SenderEvent::Failed(Failure { code, text: "no reason given".into() }))
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    State::Hello => "Hello",
                    State::Challenge { .. } => "Challenge",
                    _ => "Counterproof",
                },
            }),
        }
    }

    fn transcript(&self, receiver_hello: Hello, receiver_nonce: Nonce) -> Transcript {
        let Credentials { nonce: sender_nonce, binding, .. } = self.credentials;
        Transcript { sender_hello: Hello::OURS, receiver_hello, receiver_nonce, sender_nonce, binding }
    }

    fn welcomed(&mut self, welcome: Welcome) -> Result<SenderEvent, Violation> {
        let extent = self.open.extent;
        let Welcome { next, durable, window } = welcome;
        if !(extent.first <= durable && durable <= next && next <= extent.limit()) || window == 0 {
            let what = format!("{welcome:?} does not fit a stream of samples {extent}");
            return Err(Violation::Position(what));
        }
        (self.next, self.durable, self.window) = (next, durable, window);
        self.state = State::Streaming;
        Ok(SenderEvent::Ready)
    }
}
