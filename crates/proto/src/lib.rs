//! The wire protocol, version 2, as pure functions of bytes: no sockets, no files, no clock. Both programs that speak
//! it, and every test and fuzzer, use this one implementation.
//!
//! ```text
//! sender                                  receiver
//! Hello(magic, versions)           ->
//!                                  <-     Hello(magic, version)
//!                                  <-     Challenge(nonce)
//! Proof(nonce, mac)                ->
//!                                  <-     Counterproof(mac)
//! Open(stream, dataset, extent)    ->
//!                                  <-     Welcome(next, durable, window)
//! Data(position, labels, images)*  ->
//!                                  <-     Ack(durable)*
//! End(count, digest)               ->
//!                                  <-     EndAck
//! Bye                              ->
//! ```
//!
//! Without the `Bye`, the `EndAck` may have been lost, and the receiver waits a while for the sender to come back and ask.
//!
//! Until the sender has proved that it holds the key nothing else is heard, and whatever is wrong is answered with one and
//! the same `Error`; until the receiver has proved it, it learns nothing. `Ping` and `Pong` may come from either side once
//! the stream is open, `Pause` and `Resume` from the receiver; `Error` ends a session. One that speaks another version is
//! told by `Hello` and `Error` which version this one is.
//!
//! A `seq` is a sample's index in what its source sends; a position counts the samples of a stream, from the extent's `first`
//! on, and stands between them, so it is an exclusive end. [`Extent`](sample::Extent) says which seqs the positions mean: so
//! several senders can deal out samples in turn. In one piece, a position is the seq of the next sample. A stream without an
//! end has no `End`: it goes on until the receiver seals it and says so in an `Error`.
//!
//! - [`frame`]: bytes of one message, with length cap and checksum;
//! - [`message`]: what the messages say;
//! - [`auth`]: the key, and what proves it;
//! - [`session`]: which message may come when, for both sides.

#![forbid(unsafe_code)]

pub mod auth;
pub mod frame;
pub mod message;
pub mod session;

mod codec;
mod digest;

pub use auth::{Binding, Credentials, Key};
pub use digest::StreamDigest;
pub use frame::{FrameError, HEADER_BYTES, Header};
pub use message::{Batch, ErrorCode, Message};
pub use session::{ReceiverEvent, ReceiverSession, SenderEvent, SenderSession, Violation};

/// The protocol version that this crate speaks.
pub const VERSION: u16 = 2;

/// Largest frame body once a stream is open: 1,335 samples. Larger batches are split; see [`Batch::MAX_SAMPLES`].
pub const MAX_BODY: u32 = 1 << 20;

/// Largest frame body before a stream is open: no message needs more.
pub const MAX_CONTROL_BODY: u32 = 4096;

/// Largest frame body that a receiver takes from a stranger: a `Proof` has 64 bytes.
pub const MAX_STRANGER_BODY: u32 = 64;
