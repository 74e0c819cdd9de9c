//! A watcher: what happens in a run, as Server-Sent Events. It is a cursor into the run's log and no queue: who reads slowly
//! finds less there, because what is superseded is gone, and who does not read costs nothing but the connection.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use crate::run::Run;

/// As many bytes are taken of the log at a time.
const BATCH: usize = 16 << 10;
/// Between two looks at the log, for which screens are fast enough. What comes in between is sent together.
const PACE: Duration = Duration::from_millis(50);

/// The body of an answer that goes on.
pub(crate) struct Events(Pin<Box<dyn Future<Output = Next> + Send>>);

/// What is sent next, and by whom the one after; nothing after the end.
type Next = Option<(String, Watcher)>;

struct Watcher {
    run: Run,
    /// The id of the last event that was taken.
    position: u64,
    told: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    heartbeat: Duration,
    last: Instant,
}

impl Events {
    /// What comes after the event that was seen last; all that there is, if that was none of this run.
    pub(crate) fn new(
        run: &Run,
        last_event_id: Option<&str>,
        stopping: watch::Receiver<bool>,
        heartbeat: Duration,
    ) -> Self {
        let position = last_event_id.and_then(|id| run.position(id));
        // Browsers come again after so many milliseconds.
        let opening = if position.is_some() { "retry: 1000\n\n" } else { "retry: 1000\nevent: reset\ndata: {}\n\n" };
        let last = Instant::now();
        let told = run.told();
        let watcher = Watcher { run: run.clone(), position: position.unwrap_or(0), told, stopping, heartbeat, last };
        Events(Box::pin(async move { Some((opening.to_owned(), watcher)) }))
    }
}

impl Watcher {
    async fn next(mut self) -> Next {
        loop {
            let is_stopping = *self.stopping.borrow_and_update();
            self.told.borrow_and_update();
            let (text, last) = self.run.after(self.position, BATCH);
            self.position = last;
            if !text.is_empty() {
                self.last = Instant::now();
                return Some((text, self));
            }
            if is_stopping {
                return None;
            }
            tokio::select! {
                _ = self.told.changed() => sleep_until(self.last + PACE).await,
                _ = self.stopping.changed() => {}
                () = sleep(self.heartbeat) => return Some((":\n\n".into(), self)),
            }
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = ready!(self.0.as_mut().poll(cx));
        Poll::Ready(next.map(|(text, watcher)| {
            self.0 = Box::pin(watcher.next());
            Ok(Frame::data(text.into()))
        }))
    }
}
