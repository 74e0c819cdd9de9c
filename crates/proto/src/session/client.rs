//! The sender's side: it proves itself first, then sends as far as the window reaches, and believes the receiver nothing
//! that cannot be.

use std::ops::Range;

use super::{Violation, check_hello};
use crate::{
    Credentials, ErrorCode, Message,
    auth::{Nonce, Role, Transcript},
    message::{End, Failure, Hello, Open, Proof, Welcome},
};

/// The sender's side of one connection.
#[derive(Clone, Debug)]
pub struct Client {
    open: Open,
    credentials: Credentials,
    state: ClientState,
    next: u64,
    durable: u64,
    window: u64,
    paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
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
pub enum ClientEvent {
    /// Send this.
    Send(Message),
    /// The stream is open; samples may be sent as [`Client::sendable`] says.
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

impl Client {
    /// A session for a stream, and the first message to send.
    pub fn new(open: Open, credentials: Credentials) -> (Client, Message) {
        let first = open.first;
        let state = ClientState::Hello;
        let client = Client { open, credentials, state, next: first, durable: first, window: 0, paused: false };
        (client, Message::Hello(Hello::OURS))
    }

    /// Takes in a message from the receiver.
    ///
    /// # Errors
    /// When the message may not come now, or cannot be true.
    pub fn receive(&mut self, message: Message) -> Result<ClientEvent, Violation> {
        if !self.is_authenticated() {
            return self.authenticate(message);
        }
        match (message, self.state) {
            (Message::Error(failure), _) => Ok(ClientEvent::Failed(failure)),
            (Message::Ping(number), _) => Ok(ClientEvent::Send(Message::Pong(number))),
            (Message::Pong(_), _) => Ok(ClientEvent::Alive),
            (Message::Welcome(welcome), ClientState::Welcome) => self.welcomed(welcome),
            (Message::Ack(durable), ClientState::Streaming | ClientState::EndAck) => {
                if durable < self.durable || durable > self.next {
                    let Client { durable: before, next, .. } = self;
                    return Err(Violation::Position(format!("Ack({durable}) is not between {before} and {next}")));
                }
                self.durable = durable;
                Ok(ClientEvent::Durable(durable))
            }
            (Message::Pause(reason), ClientState::Streaming | ClientState::EndAck) => {
                self.paused = true;
                Ok(ClientEvent::Paused(reason))
            }
            (Message::Resume, ClientState::Streaming | ClientState::EndAck) => {
                self.paused = false;
                Ok(ClientEvent::Alive)
            }
            (Message::EndAck, ClientState::EndAck) if self.durable == self.open.end => {
                self.state = ClientState::Done;
                Ok(ClientEvent::Done)
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    ClientState::Welcome => "Welcome",
                    ClientState::Streaming => "Ack",
                    ClientState::EndAck => "the last Ack and EndAck",
                    _ => "nothing",
                },
            }),
        }
    }

    /// Whether the receiver has proved that it holds the key.
    pub fn is_authenticated(&self) -> bool {
        use ClientState::*;
        !matches!(self.state, Hello | Challenge { .. } | Counterproof { .. })
    }

    /// The samples that may be sent now: as many as the window has room for. Empty while the window is full, during a
    /// pause, and before the stream is open.
    pub fn sendable(&self) -> Range<u64> {
        if self.state != ClientState::Streaming || self.paused {
            return self.next..self.next;
        }
        self.next..self.open.end.min(self.durable.saturating_add(self.window)).max(self.next)
    }

    /// Notes that the first `count` of the sendable samples were sent.
    pub fn sent(&mut self, count: u64) {
        debug_assert!(count <= self.sendable().end - self.next);
        self.next += count;
    }

    /// Whether every sample was sent, so that `End` is due.
    pub fn is_all_sent(&self) -> bool {
        self.state == ClientState::Streaming && self.next == self.open.end
    }

    /// The message that ends the stream; `digest` is of the whole stream.
    pub fn end(&mut self, digest: [u8; 32]) -> Message {
        debug_assert!(self.is_all_sent());
        self.state = ClientState::EndAck;
        Message::End(End { count: self.open.end - self.open.first, digest })
    }

    /// The position that is durable, as far as this session knows.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Hears a receiver that may be anybody.
    fn authenticate(&mut self, message: Message) -> Result<ClientEvent, Violation> {
        let Credentials { ref key, nonce, .. } = self.credentials;
        match (message, self.state) {
            (Message::Hello(receiver_hello), ClientState::Hello) => {
                check_hello(receiver_hello)?;
                self.state = ClientState::Challenge { receiver_hello };
                Ok(ClientEvent::Alive)
            }
            (Message::Challenge(receiver_nonce), ClientState::Challenge { receiver_hello }) => {
                let mac = self.transcript(receiver_hello, receiver_nonce).prove(key, Role::Sender);
                self.state = ClientState::Counterproof { receiver_hello, receiver_nonce };
                Ok(ClientEvent::Send(Message::Proof(Proof { nonce, mac })))
            }
            (Message::Counterproof(mac), ClientState::Counterproof { receiver_hello, receiver_nonce }) => {
                if !self.transcript(receiver_hello, receiver_nonce).is_proved(key, Role::Receiver, &mac) {
                    return Err(Violation::Unproven);
                }
                self.state = ClientState::Welcome;
                Ok(ClientEvent::Send(Message::Open(self.open.clone())))
            }
            // The code is public knowledge; the words of a stranger reach nobody.
            (Message::Error(Failure { code, .. }), _) if code.is_for_strangers() => {
                let text = match code {
                    ErrorCode::Version => "it speaks another version of the protocol than this program",
                    _ => "no reason given",
                };
                Ok(ClientEvent::Failed(Failure { code, text: text.into() }))
            }
            (message, state) => Err(Violation::Unexpected {
                message: message.name(),
                expected: match state {
                    ClientState::Hello => "Hello",
                    ClientState::Challenge { .. } => "Challenge",
                    _ => "Counterproof",
                },
            }),
        }
    }

    fn transcript(&self, receiver_hello: Hello, receiver_nonce: Nonce) -> Transcript {
        let Credentials { nonce: sender_nonce, binding, .. } = self.credentials;
        Transcript { sender_hello: Hello::OURS, receiver_hello, receiver_nonce, sender_nonce, binding }
    }

    fn welcomed(&mut self, welcome: Welcome) -> Result<ClientEvent, Violation> {
        let Open { first, end, .. } = self.open;
        let Welcome { next, durable, window } = welcome;
        if !(first <= durable && durable <= next && next <= end) || window == 0 {
            let what = format!("{welcome:?} does not fit a stream of samples {first}..{end}");
            return Err(Violation::Position(what));
        }
        (self.next, self.durable, self.window) = (next, durable, window);
        self.state = ClientState::Streaming;
        Ok(ClientEvent::Ready)
    }
}
