//! One session with the receiver, from the connection to the end of the stream or to whatever breaks it. [`Sending`]
//! decides; here the bytes are moved.

use std::{ops::Range, time::Instant};

use process::shutdown::{Cause, Shutdown};
use proto::{Batch, ErrorCode, MAX_CONTROL_BODY, Message, SenderEvent, StreamDigest};
use sample::Samples;
use tokio::time::sleep_until;
use transport::{Reader, Writer};

use crate::{
    Config, Source, connection,
    error::Error,
    sending::{Action, FRAME_SAMPLES, Sending},
};

/// How a session ended, if nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The stream is complete.
    Complete,
    /// The receiver was told to stop, and what it has is the whole stream.
    Sealed,
    /// The session was stopped.
    Stopped(Cause),
}

/// Connects, opens the stream and sends what the receiver does not have yet. `report` hears all that the receiver says.
/// Returns when there is nothing more to send, or the session is stopped.
pub(crate) async fn run(
    source: &Source,
    config: &Config,
    shutdown: &mut Shutdown,
    report: &mut impl FnMut(&SenderEvent),
) -> Result<Ended, Error> {
    let (mut reader, writer, session) = tokio::select! {
        opened = connection::open(source, config) => opened?,
        cause = shutdown.wait() => return Ok(Ended::Stopped(cause)),
    };
    tracing::info!("connected to {}; sending from sample {}", config.connect, session.sendable().start);
    report(&SenderEvent::Durable(session.durable()));
    let sending = Sending::new(Instant::now(), session, source.extent, config);
    let digest = source.extent.end.is_some().then(StreamDigest::default);
    let digested = source.extent.first;
    let mut session = Session { source, sending, digest, digested, writer, paused: false };
    let ended = tokio::select! {
        biased;
        cause = shutdown.wait() => Ended::Stopped(cause),
        ended = session.run(&mut reader, report) => ended?,
    };
    transport::close(reader, session.writer).await;
    Ok(ended)
}

/// An open stream, and the bytes that it sends.
struct Session<'a> {
    source: &'a Source,
    sending: Sending<'a>,
    /// Over the samples before position `digested`. It is made on the way, while the network is busy. A stream without an end
    /// needs none.
    digest: Option<StreamDigest>,
    digested: u64,
    writer: Writer,
    /// Whether the user knows that the receiver pauses.
    paused: bool,
}

impl Session<'_> {
    /// Does what is to be done, and before that takes in what the receiver says.
    async fn run(&mut self, reader: &mut Reader, report: &mut impl FnMut(&SenderEvent)) -> Result<Ended, Error> {
        loop {
            let action = self.sending.next(Instant::now());
            let wait = async {
                if let Ok(Action::Wait(until)) = action {
                    sleep_until(until.into()).await;
                }
            };
            tokio::select! {
                biased;
                message = reader.read(MAX_CONTROL_BODY) => {
                    let event = self.sending.receive(Instant::now(), message?.ok_or(Error::Closed)?)?;
                    if event == SenderEvent::Done {
                        let _ = self.writer.send(&Message::Bye).await; // Without it, the receiver waits a little longer.
                        return Ok(Ended::Complete);
                    }
                    if self.is_sealed(&event) {
                        return Ok(Ended::Sealed);
                    }
                    report(&event);
                    self.respond(event).await?;
                }
                () = wait => self.perform(action?).await?,
            }
        }
    }

    /// Whether the receiver says that what it has is all that there is to be: which of a stream with an end must be true.
    fn is_sealed(&self, event: &SenderEvent) -> bool {
        let says_so = matches!(event, SenderEvent::Failed(failure) if failure.code == ErrorCode::Sealed);
        says_so && self.source.extent.end.is_none_or(|end| end == self.sending.durable())
    }

    async fn respond(&mut self, event: SenderEvent) -> Result<(), Error> {
        match event {
            SenderEvent::Durable(_) => self.paused = false,
            SenderEvent::Paused(reason) => {
                if !std::mem::replace(&mut self.paused, true) {
                    tracing::warn!("the receiver pauses: {reason}");
                }
            }
            SenderEvent::Send(message) => self.writer.send(&message).await?,
            SenderEvent::Failed(failure) => return Err(Error::Refused(failure)),
            SenderEvent::Alive | SenderEvent::Ready | SenderEvent::Done => {}
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<(), Error> {
        match action {
            Action::Send(positions) => {
                let samples = self.source.samples(positions.clone());
                self.writer.write(&Batch::frame(positions.start, samples.as_slice())).await?;
                self.sending.sent(Instant::now(), &positions);
                self.digest(positions, &samples);
            }
            Action::End(position) => {
                self.digest_to(position);
                let digest = self.digest.as_ref().expect("a stream that is at its end has one, and so a digest");
                let end = self.sending.end(digest.finish());
                self.writer.send(&end).await?;
            }
            Action::Ping => {
                self.sending.pinged(Instant::now());
                self.writer.send(&Message::Ping(0)).await?;
            }
            Action::Wait(_) => {}
        }
        Ok(())
    }

    /// Takes the samples of a frame that was sent into the digest.
    fn digest(&mut self, positions: Range<u64>, samples: &Samples) {
        self.digest_to(positions.start);
        if let Some(digest) = &mut self.digest {
            digest.update(samples.as_slice());
            self.digested = positions.end;
        }
    }

    /// Takes all samples before a position into the digest, a few at a time. After a reconnect there are many, once.
    fn digest_to(&mut self, to: u64) {
        let Some(digest) = &mut self.digest else { return };
        while self.digested < to {
            let next = to.min(self.digested + FRAME_SAMPLES);
            digest.update(self.source.samples(self.digested..next).as_slice());
            self.digested = next;
        }
    }
}
