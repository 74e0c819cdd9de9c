//! One stream: its positions, its digest, and who holds it.

use std::time::{Duration, Instant};

use proto::{Batch, StreamDigest, message::End};
use sample::Extent;

use super::interface::LeaseId;

/// A stream of samples. `extent.first <= durable <= accepted <= extent.end`, if there is an end.
#[derive(Debug)]
pub(crate) struct Stream {
    extent: Extent,
    /// Every sample before this one was appended.
    pub(super) accepted: u64,
    /// Every sample before this one is in a chunk.
    pub(super) durable: u64,
    /// Of all accepted samples.
    digest: StreamDigest,
    /// Whether that is what its sender said it to be, at the end.
    is_compared: bool,
    holder: Holder,
    /// When the sender said that it knows that the whole stream is durable.
    pub(super) confirmed: Option<Instant>,
}

#[derive(Debug)]
enum Holder {
    Connection {
        lease: LeaseId,
        /// What the sender said at the end, until that is answered.
        end: Option<End>,
    },
    Nobody {
        since: Instant,
    },
}

impl Stream {
    /// A stream that nobody holds, durable to this position; the digest is that of its durable samples.
    pub(crate) fn new(now: Instant, extent: Extent, durable: u64, digest: StreamDigest) -> Stream {
        let holder = Holder::Nobody { since: now };
        Stream { extent, accepted: durable, durable, digest, is_compared: false, holder, confirmed: None }
    }

    /// The lease that is valid.
    pub(super) fn lease(&self) -> Option<LeaseId> {
        match self.holder {
            Holder::Connection { lease, .. } => Some(lease),
            Holder::Nobody { .. } => None,
        }
    }

    /// Lets a connection hold the stream. An earlier lease becomes invalid.
    pub(super) fn grant(&mut self, lease: LeaseId) {
        self.holder = Holder::Connection { lease, end: None };
    }

    /// The connection is gone. One that comes back says again that the stream has ended.
    pub(super) fn release(&mut self, now: Instant) {
        self.holder = Holder::Nobody { since: now };
    }

    pub(super) fn accept(&mut self, batch: &Batch) {
        self.digest.update(batch.samples());
        self.accepted += batch.count() as u64;
    }

    pub(super) fn set_end(&mut self, said: End) {
        if let Holder::Connection { end, .. } = &mut self.holder {
            *end = Some(said);
        }
    }

    /// Takes what the sender said at the end, if all of the stream is durable. Returns whom to answer, and whether what
    /// arrived is what was sent.
    pub(super) fn check_end(&mut self) -> Option<(LeaseId, bool)> {
        let is_durable = self.is_durable();
        match &mut self.holder {
            Holder::Connection { lease, end } if is_durable => {
                self.is_compared = end.take()?.digest == self.digest.finish();
                Some((*lease, self.is_compared))
            }
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accepted == self.extent.first
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.extent.end == Some(self.accepted)
    }

    /// Whether all of the stream is durable; of one without an end, all never is.
    fn is_durable(&self) -> bool {
        self.extent.end == Some(self.durable)
    }

    /// Whether the stream was declared without an end.
    pub(super) fn is_endless(&self) -> bool {
        self.extent.end.is_none()
    }

    /// When the stream is settled, if nothing more happens: all of it is durable, and its sender knows that or has been
    /// away for the whole grace.
    pub(super) fn settled_at(&self, grace: Duration) -> Option<Instant> {
        match self.holder {
            _ if !self.is_durable() => None,
            _ if self.confirmed.is_some() => self.confirmed,
            Holder::Nobody { since } => Some(since + grace),
            Holder::Connection { .. } => None,
        }
    }

    /// Whether the stream, when the receiver is stopped, is all that there is to be: without an end, if what was accepted is
    /// durable; with one, if what arrived was compared with what was sent, or nobody has come to do that.
    pub(super) fn is_sealable(&self, now: Instant, grace: Duration) -> bool {
        match self.extent.end {
            None => self.durable == self.accepted,
            Some(_) => self.is_compared || self.is_settled(now, grace),
        }
    }

    /// Whether its sender is away and may come back.
    pub(super) fn is_missed(&self, now: Instant, grace: Duration) -> bool {
        self.lease().is_none() && !self.is_settled(now, grace)
    }

    fn is_settled(&self, now: Instant, grace: Duration) -> bool {
        self.settled_at(grace).is_some_and(|at| at <= now)
    }
}
