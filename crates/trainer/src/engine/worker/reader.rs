//! Who reads the replies. A worker that nobody listens to any more, because its task was cancelled or Spark is gone, is to
//! end, for Spark does not see to that.

use std::io;

/// Whether nobody reads what goes to stdout. It can only be told of a pipe, and on Unix.
pub(super) fn is_gone() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let stdout = io::stdout();
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())]; // Errors are reported unasked.
        let found = poll(&mut descriptors, Some(&Timespec::default()));
        found.is_ok() && descriptors[0].revents().contains(PollFlags::ERR)
    }
    #[cfg(not(unix))]
    false
}
