//! One session with the receiver, from the connection to the end of the stream or to whatever breaks it. [`Sending`]
//! decides; here the bytes are moved.

use std::time::Instant;

use process::shutdown::{Cause, Shutdown};
use proto::{Batch, MAX_CONTROL_BODY, Message, SenderEvent, StreamDigest};
use tokio::time::sleep_until;
use transport::{Reader, Writer};

use crate::{
    Config, Source, connection,
    error::Error,
    sending::{Action, Sending},
};

/// Connects, opens the stream and sends what the receiver does not have yet. `report` hears all that the receiver says.
/// Returns when the stream is complete, or why the session was stopped before.
pub(crate) async fn run(
    source: &Source,
    config: &Config,
    shutdown: &mut Shutdown,
    report: &mut impl FnMut(&SenderEvent),
) -> Result<Option<Cause>, Error> {
    let (mut reader, writer, session) = tokio::select! {
        opened = connection::open(source, config) => opened?,
        cause = shutdown.wait() => return Ok(Some(cause)),
    };
    tracing::info!("connected to {}; sending from sample {}", config.connect, session.sendable().start);
    report(&SenderEvent::Durable(session.durable()));
    let sending = Sending::new(Instant::now(), session, source.first..source.end(), config);
    let (digest, digested) = (StreamDigest::default(), source.first);
    let mut session = Session { source, sending, digest, digested, writer, paused: false };
    let stopped = tokio::select! {
        biased;
        cause = shutdown.wait() => Some(cause),
        done = session.run(&mut reader, report) => done.map(|()| None)?,
    };
    transport::close(reader, session.writer).await;
    Ok(stopped)
}

/// An open stream, and the bytes that it sends.
struct Session<'a> {
    source: &'a Source,
    sending: Sending<'a>,
    /// Over the samples before `digested`. It is made on the way, while the network is busy.
    digest: StreamDigest,
    digested: u64,
    writer: Writer,
    /// Whether the user knows that the receiver pauses.
    paused: bool,
}

impl Session<'_> {
    /// Does what is to be done, and before that takes in what the receiver says.
    async fn run(&mut self, reader: &mut Reader, report: &mut impl FnMut(&SenderEvent)) -> Result<(), Error> {
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
                        return Ok(());
                    }
                    report(&event);
                    self.respond(event).await?;
                }
                () = wait => self.perform(action?).await?,
            }
        }
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
            Action::Send(samples) => {
                self.writer.write(&Batch::frame(samples.start, self.source.slice(&samples))).await?;
                self.sending.sent(Instant::now(), &samples);
                self.digest_to(samples.end);
            }
            Action::End => {
                self.digest_to(self.source.end());
                let end = self.sending.end(self.digest.finish());
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

    /// Takes samples into the digest: those of the frame that was sent, and once after a reconnect all before it.
    fn digest_to(&mut self, to: u64) {
        self.digest.update(self.source.slice(&(self.digested..to)));
        self.digested = to;
    }
}
