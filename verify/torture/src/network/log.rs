//! What a proxy saw: the bytes of each connection, and how often something went wrong.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::locked;

#[derive(Debug, Default)]
pub(crate) struct Log {
    sessions: Mutex<Vec<Session>>,
    strikes: AtomicU64,
}

/// The bytes of one connection, as the proxy got them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// From sender to receiver, and from receiver to sender.
    pub(crate) bytes: [Vec<u8>; 2],
    pub(crate) is_over: bool,
}

impl Log {
    /// Begins a session for a new connection, and returns its number.
    pub(crate) fn begin(&self) -> usize {
        let mut sessions = locked(&self.sessions);
        sessions.push(Session::default());
        sessions.len() - 1
    }

    pub(crate) fn connections(&self) -> u64 {
        locked(&self.sessions).len() as u64
    }

    pub(crate) fn session(&self, number: usize) -> Option<Session> {
        locked(&self.sessions).get(number).cloned()
    }

    /// Changes what is known of a session that has begun.
    pub(crate) fn note(&self, session: usize, change: impl FnOnce(&mut Session)) {
        change(&mut locked(&self.sessions)[session]);
    }

    /// The frames that came by in one direction, over all connections.
    pub(crate) fn frames(&self, side: usize) -> Vec<Vec<u8>> {
        let sessions = locked(&self.sessions);
        sessions.iter().flat_map(|session| frames(&session.bytes[side])).map(<[u8]>::to_vec).collect()
    }

    /// Something went wrong, as it should.
    pub(crate) fn strike(&self) {
        self.strikes.fetch_add(1, Relaxed);
    }

    pub(crate) fn strikes(&self) -> u64 {
        self.strikes.load(Relaxed)
    }
}

/// Bytes of a header, which begins with the length of the body.
pub(crate) const HEADER: usize = 12;

/// The whole frames at the start of a stream of bytes, headers included. They are told apart by their lengths alone, so
/// that each can be treated as a whole without understanding any.
pub(crate) fn frames(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut whole = Vec::new();
    while let Some(length) = stream.first_chunk()
        && let Some((frame, rest)) = stream.split_at_checked(HEADER + u32::from_be_bytes(*length) as usize)
    {
        whole.push(frame);
        stream = rest;
    }
    whole
}
