//! The type numbers of messages; those of authentication are from 16.

pub(super) const HELLO: u8 = 1;
pub(super) const OPEN: u8 = 2;
pub(super) const WELCOME: u8 = 3;
pub(super) const DATA: u8 = 4;
pub(super) const ACK: u8 = 5;
pub(super) const END: u8 = 6;
pub(super) const END_ACK: u8 = 7;
pub(super) const PING: u8 = 8;
pub(super) const PONG: u8 = 9;
pub(super) const PAUSE: u8 = 10;
pub(super) const ERROR: u8 = 11;
pub(super) const RESUME: u8 = 12;
pub(super) const BYE: u8 = 13;
pub(super) const CHALLENGE: u8 = 16;
pub(super) const PROOF: u8 = 17;
pub(super) const COUNTERPROOF: u8 = 18;
