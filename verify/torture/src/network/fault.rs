//! A fault is what happens to the bytes of one direction of a connection. A [`Flow`] is such a direction: it passes bytes
//! on, and makes one fault happen on the way.

use std::{future::pending, sync::Arc, time::Duration};

use sample::random::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::yield_now,
    time::sleep,
};

use super::log::{HEADER, Log};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut,                // FIN to both sides.
    Reset,              // RST to both sides.
    HalfClose,          // FIN in this direction only.
    Silence,            // The rest is swallowed, and nobody is told anything.
    Deafness,           // The rest is not even taken off the socket, until the sending side can send no more.
    Stall(Duration),    // The rest comes after a while.
    Pace(Range, Range), // The rest comes in pieces of so many bytes, each after so many microseconds.
    Crossing,           // The receiver's answers go to another connection, and that one's to this.
    Bytes(Change),      // The next few bytes come through changed.
    Frame(Change),      // The next frame comes through changed.
}

/// From a number up to another, which is not in it.
type Range = (u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Flip,      // One bit of each byte is flipped.
    Insert,    // Random bytes come before it.
    Drop,      // It is lost.
    Duplicate, // It comes twice.
    Reverse,   // Its bytes come in the reverse order.
    Swap,      // The next one comes before it.
    Replay,    // Some earlier frame, of this connection or of one before, comes again before it.
}

/// A fault, and where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) fault: Fault,
    /// How many bytes come before; how many frames, if a frame is changed.
    pub(crate) after: u64,
    /// How many bytes are changed.
    pub(crate) length: u64,
}

/// The most bytes that are passed on at once.
const PIECE: u64 = 16 * 1024;
const INSERTED: usize = 16;

pub(crate) struct Flow<R, W> {
    pub(crate) from: R,
    pub(crate) to: W,
    pub(crate) hit: Option<Hit>,
    pub(crate) random: Stream,
    pub(crate) log: Arc<Log>,
    pub(crate) session: usize,
    /// 0 from sender to receiver, 1 from receiver to sender.
    pub(crate) side: usize,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Flow<R, W> {
    /// Passes bytes on until they end. A fault that it returns is to happen to the whole connection. That somebody is gone
    /// is no concern here: the other direction notices.
    pub(crate) async fn run(&mut self) -> Option<Fault> {
        if let Some(hit) = self.hit {
            let is_there = match hit.fault {
                Fault::Frame(_) => self.pass_frames(hit.after).await,
                _ => self.pass(hit.after).await,
            };
            if is_there && self.strike(hit).await {
                return Some(hit.fault);
            }
        }
        self.pass(u64::MAX).await;
        let _ = self.to.shutdown().await;
        None
    }

    /// Makes a fault happen here; says whether it is one of the whole connection.
    async fn strike(&mut self, hit: Hit) -> bool {
        if let Fault::Bytes(change) | Fault::Frame(change) = hit.fault {
            self.change(hit, change).await;
            return false;
        }
        self.log.strike();
        match hit.fault {
            Fault::HalfClose => drop(self.to.shutdown().await),
            Fault::Silence => {
                self.swallow().await;
                pending().await
            }
            Fault::Deafness => pending().await,
            Fault::Stall(time) => sleep(time).await,
            Fault::Pace(piece, micros) => self.pass_slowly(piece, micros).await,
            Fault::Cut | Fault::Reset => return true,
            Fault::Crossing | Fault::Bytes(_) | Fault::Frame(_) => {}
        }
        false
    }

    async fn change(&mut self, hit: Hit, change: Change) {
        let earlier = if change == Change::Replay { self.log.frames(self.side) } else { Vec::new() };
        let part = self.part(hit).await;
        if part.is_empty() {
            return;
        }
        self.log.strike();
        let random = &mut self.random;
        let changed = match change {
            Change::Flip => part.into_iter().map(|byte| byte ^ 1 << random.below(8)).collect(),
            Change::Insert => (0..INSERTED).map(|_| random.next_u64() as u8).chain(part).collect(),
            Change::Drop => Vec::new(),
            Change::Duplicate => part.repeat(2),
            Change::Reverse => part.into_iter().rev().collect(),
            Change::Swap => [self.part(hit).await, part].concat(),
            Change::Replay if earlier.is_empty() => part,
            Change::Replay => [&earlier[random.below(earlier.len() as u64) as usize], &part[..]].concat(),
        };
        self.write(&changed).await;
    }

    /// What is changed: the next frame, or a few bytes. At the end, as much of it as there is.
    async fn part(&mut self, hit: Hit) -> Vec<u8> {
        match hit.fault {
            Fault::Frame(_) => self.take_frame().await,
            _ => self.take(hit.length).await,
        }
    }

    /// Passes on so many bytes; says whether there were so many.
    async fn pass(&mut self, count: u64) -> bool {
        let mut left = count;
        while left > 0 {
            let bytes = self.read(left).await;
            if bytes.is_empty() {
                return false;
            }
            left -= bytes.len() as u64;
            self.write(&bytes).await;
        }
        true
    }

    async fn pass_frames(&mut self, count: u64) -> bool {
        for _ in 0..count {
            let frame = self.take_frame().await;
            self.write(&frame).await;
            if frame.is_empty() {
                return false;
            }
        }
        true
    }

    async fn pass_slowly(&mut self, piece: Range, micros: Range) {
        loop {
            let most = within(&mut self.random, piece);
            let bytes = self.read(most).await;
            if bytes.is_empty() {
                return;
            }
            match within(&mut self.random, micros) {
                0 => yield_now().await,
                micros => sleep(Duration::from_micros(micros)).await,
            }
            self.write(&bytes).await;
        }
    }

    async fn take_frame(&mut self) -> Vec<u8> {
        let mut frame = self.take(HEADER as u64).await;
        if let Some(length) = frame.first_chunk() {
            let body = u32::from_be_bytes(*length);
            frame.extend(self.take(body.into()).await);
        }
        frame
    }

    /// The next so many bytes; fewer at the end.
    async fn take(&mut self, count: u64) -> Vec<u8> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < count {
            let more = self.read(count - taken.len() as u64).await;
            if more.is_empty() {
                break;
            }
            taken.extend(more);
        }
        taken
    }

    /// What comes next, at most so many bytes; none at the end.
    async fn read(&mut self, most: u64) -> Vec<u8> {
        let mut bytes = vec![0; most.min(PIECE) as usize];
        let count = self.from.read(&mut bytes).await.unwrap_or(0);
        bytes.truncate(count);
        self.log.note(self.session, |session| session.bytes[self.side].extend_from_slice(&bytes));
        bytes
    }

    async fn write(&mut self, bytes: &[u8]) {
        let _ = self.to.write_all(bytes).await;
    }

    /// Says FIN, and reads until the other side does.
    pub(crate) async fn drain(&mut self) {
        let _ = self.to.shutdown().await;
        self.swallow().await;
    }

    async fn swallow(&mut self) {
        while !self.read(PIECE).await.is_empty() {}
    }
}

/// A number in the range.
fn within(random: &mut Stream, (start, end): Range) -> u64 {
    start + random.below(end - start)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::{super::log::frames, *};

    /// What comes through of bytes that arrive in pieces of `step` bytes.
    async fn through(hit: Hit, bytes: &'static [u8], step: usize) -> Vec<u8> {
        let ((mut sender, from), (to, mut receiver)) = (duplex(step), duplex(1024));
        let (log, random) = (Arc::new(Log::default()), Stream::keyed("tributary test of faults", &[1]));
        let session = log.begin();
        let mut flow = Flow { from, to, hit: Some(hit), random, log: log.clone(), session, side: 0 };
        tokio::spawn(async move { sender.write_all(bytes).await });
        tokio::spawn(async move { flow.run().await });
        let mut out = Vec::new();
        receiver.read_to_end(&mut out).await.unwrap();
        assert!(log.strikes() > 0);
        out
    }

    async fn check(fault: Fault, after: u64, bytes: &'static [u8], expect: &[u8]) {
        for step in 1..=bytes.len() {
            let out = through(Hit { fault, after, length: 2 }, bytes, step).await;
            let (out, expect) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(expect));
            assert_eq!(out, expect, "{fault:?} after {after}, in pieces of {step}");
        }
    }

    #[tokio::test]
    async fn a_break_comes_after_exactly_so_many_bytes() {
        for (after, expect) in [(0, &b""[..]), (2, b"ab"), (6, b"abcdef")] {
            check(Fault::Cut, after, b"abcdef", expect).await;
            check(Fault::HalfClose, after, b"abcdef", expect).await;
        }
    }

    #[tokio::test]
    async fn a_slow_direction_loses_nothing() {
        check(Fault::Stall(Duration::from_millis(1)), 2, b"abcdef", b"abcdef").await;
        check(Fault::Pace((1, 4), (0, 9)), 0, b"abcdef", b"abcdef").await;
    }

    #[tokio::test]
    async fn the_bytes_that_are_named_are_changed_and_no_others() {
        check(Fault::Bytes(Change::Drop), 2, b"abcdef", b"abef").await;
        check(Fault::Bytes(Change::Duplicate), 2, b"abcdef", b"abcdcdef").await;
        check(Fault::Bytes(Change::Reverse), 3, b"abcdef", b"abcedf").await;
        let changed = |change| through(Hit { fault: Fault::Bytes(change), after: 2, length: 1 }, b"abcdef", 6);
        let flipped = changed(Change::Flip).await;
        assert_eq!((flipped[2] ^ b'c').count_ones(), 1);
        assert_eq!([&flipped[..2], &flipped[3..]].concat(), b"abdef");
        let longer = changed(Change::Insert).await;
        assert_eq!([&longer[..2], &longer[2 + INSERTED..]].concat(), b"abcdef");
    }

    #[tokio::test]
    async fn whole_frames_are_lost_doubled_swapped_and_replayed() {
        const ABC: &[u8] = b"\0\0\0\x01\x09\0\0\0\0\0\0\0a\0\0\0\x01\x09\0\0\0\0\0\0\0b\0\0\0\x01\x09\0\0\0\0\0\0\0c";
        let all = |order: &[usize]| order.iter().flat_map(|&index| frames(ABC)[index].to_vec()).collect::<Vec<u8>>();
        check(Fault::Frame(Change::Drop), 1, ABC, &all(&[0, 2])).await;
        check(Fault::Frame(Change::Duplicate), 1, ABC, &all(&[0, 1, 1, 2])).await;
        check(Fault::Frame(Change::Swap), 1, ABC, &all(&[0, 2, 1])).await;
        check(Fault::Frame(Change::Swap), 2, ABC, ABC).await;
        check(Fault::Frame(Change::Replay), 1, ABC, &all(&[0, 0, 1, 2])).await;
    }
}
