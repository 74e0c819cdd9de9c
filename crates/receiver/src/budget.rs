//! The memory budget: bytes of samples that may be on their way from sockets to chunks, all connections together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The whole budget. The store actor takes samples out unless the disk is full, and a sender that stops in the middle of
/// a frame is cut off, so whoever waits for a permit gets it.
const BYTES: usize = 32 << 20;

/// The budget that all connections share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

/// The right to hold one message in memory, given back when dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

impl Default for Budget {
    fn default() -> Self {
        Budget(Arc::new(Semaphore::new(BYTES)))
    }
}

impl Budget {
    /// Waits for the right to hold a message of so many bytes, at most [`proto::MAX_BODY`].
    pub(crate) async fn permit(&self, bytes: u32) -> Option<Permit> {
        Arc::clone(&self.0).acquire_many_owned(bytes).await.ok()
    }
}
