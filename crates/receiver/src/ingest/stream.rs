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
        Stream { extent, accepted: durable, durable, digest, holder, confirmed: None }
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
                Some((*lease, end.take()?.digest == self.digest.finish()))
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

    /// Whether all of the stream is durable, or all that was accepted of one without an end.
    pub(super) fn is_sealable(&self) -> bool {
        self.durable == self.extent.end.unwrap_or(self.accepted)
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
}
