//! One connection to the receiver, from greeting to the end of the stream or to whatever breaks it.

use std::io;

use cli::shutdown::{Cause, Shutdown};
use proto::{
    Batch, Binding, Client, ClientEvent, Credentials, ErrorCode, MAX_CONTROL_BODY, Message, StreamDigest, Violation,
    message::{Failure, Open},
};
use tokio::time::{Instant, sleep_until, timeout};
use transport::{Reader, Writer, key_file, tls};

use crate::{Config, Source};

/// Samples in a frame, 63 KiB of them: over a slow link a frame must arrive within the receiver's patience, and what
/// arrives in part holds memory there.
const FRAME_SAMPLES: u64 = 80;
const _: () = assert!(FRAME_SAMPLES as usize <= Batch::MAX_SAMPLES);

/// How a session ended without fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    Stopped(Cause),
}

/// Why a session broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Key(#[from] key_file::Error),
    #[error("failed to connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("whoever listens at {address} does not hold our key")]
    Impostor { address: String },
    #[error("the receiver says nothing")]
    Silent,
    #[error("the receiver is there, but makes nothing durable")]
    Stalled,
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Transport(#[from] transport::Error),
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the receiver broke the protocol: {0}")]
    Violation(#[from] Violation),
    #[error("the receiver refused: {}", .0.text)]
    Refused(Failure),
}

impl Error {
    /// Whether another connection took the stream over.
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(self, Error::Refused(failure) if failure.code == ErrorCode::Fenced)
    }

    /// Whether there was a connection that the receiver may not know to be over.
    pub(crate) fn is_break(&self) -> bool {
        !matches!(self, Error::Key(_) | Error::Connect { .. } | Error::Impostor { .. } | Error::Refused(_))
    }

    /// Whether the two sides seem to hold different keys. A handshake that the network damages looks the same.
    pub(crate) fn is_about_the_key(&self) -> bool {
        match self {
            Error::Refused(failure) => failure.code == ErrorCode::Refused,
            Error::Violation(violation) => *violation == Violation::Unproven,
            Error::Impostor { .. } => true,
            _ => false,
        }
    }

    /// Whether trying again is pointless. A damaged frame is not final: the next connection may be sound. Nor is a key
    /// file that is not there yet: the first receiver makes it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Error::Key(error) => !matches!(error, key_file::Error::Missing(_)),
            Error::Refused(Failure { code: ErrorCode::Refused | ErrorCode::Protocol, .. }) => false,
            Error::Refused(failure) => !failure.code.is_temporary(),
            Error::Violation(violation) => matches!(violation, Violation::Magic | Violation::Version { .. }),
            _ => false,
        }
    }
}

/// What a session hears from the receiver on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Every sample before this position is durable.
    Durable(u64),
    /// The receiver cannot take samples for now.
    Paused,
}

/// Connects, opens the stream and sends what the receiver does not have yet. `heard` is told each sign of progress.
pub(crate) async fn session(
    source: &Source,
    config: &Config,
    shutdown: &mut Shutdown,
    heard: &mut impl FnMut(Heard),
) -> Result<Ended, Error> {
    let opening = async {
        let (mut reader, mut writer, credentials) = connect(config).await?;
        let client = timeout(config.patience.welcome, open(&mut reader, &mut writer, source, credentials));
        let client = client.await.unwrap_or(Err(Error::Silent))?;
        Ok::<_, Error>((reader, writer, client))
    };
    let (mut reader, mut writer, client) = tokio::select! {
        opened = opening => opened?,
        cause = shutdown.wait() => return Ok(Ended::Stopped(cause)),
    };
    tracing::info!("connected to {}; sending from sample {}", config.connect, client.sendable().start);
    heard(Heard::Durable(client.durable()));
    let mut sending = Sending::new(source, config, client);
    let ended = tokio::select! {
        biased;
        cause = shutdown.wait() => Ended::Stopped(cause),
        ended = sending.run(&mut reader, &mut writer, heard) => ended.map(|()| Ended::Complete)?,
    };
    transport::close(reader, writer).await;
    Ok(ended)
}

/// Connects, with TLS to another machine. The key is read anew each time: a receiver may have made it just now.
async fn connect(config: &Config) -> Result<(Reader, Writer, Credentials), Error> {
    let key = key_file::read(&config.key)?;
    let address = || config.connect.clone();
    let channel = async {
        let addresses = transport::resolve(&config.connect).await?;
        let stream = transport::connect(&addresses, config.patience.connect).await?;
        if config.tls || !transport::is_loopback(stream.peer_addr()?.ip()) {
            return tls::Connector::new(&key).connect(stream).await;
        }
        let (reader, writer) = transport::split(stream)?;
        Ok((reader, writer, Binding::Plain))
    };
    // The receiver may be verifying its chunks before it accepts.
    let connected =
        timeout(config.patience.welcome, channel).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (reader, writer, binding) = connected.map_err(|error| match error {
        error if tls::is_impostor(&error) => Error::Impostor { address: address() },
        source => Error::Connect { address: address(), source },
    })?;
    Ok((reader, writer.with_limit(config.patience.write), transport::credentials(&key, binding)?))
}

/// Proves the key to the receiver, has it proved in return, and opens the stream.
async fn open(
    reader: &mut Reader,
    writer: &mut Writer,
    source: &Source,
    credentials: Credentials,
) -> Result<Client, Error> {
    let open = Open {
        stream: source.stream.clone(),
        dataset: source.dataset.clone(),
        dataset_digest: source.dataset_digest,
        first: source.first,
        end: source.end(),
    };
    let (mut client, hello) = Client::new(open, credentials);
    writer.send(&hello).await?;
    loop {
        let message = reader.read(MAX_CONTROL_BODY).await?.ok_or(Error::Closed)?;
        match client.receive(message)? {
            ClientEvent::Send(message) => writer.send(&message).await?,
            ClientEvent::Ready => return Ok(client),
            ClientEvent::Failed(failure) => return Err(Error::Refused(failure)),
            ClientEvent::Durable(_) | ClientEvent::Paused(_) | ClientEvent::Alive | ClientEvent::Done => {}
        }
    }
}

/// An open stream on its way.
struct Sending<'a> {
    source: &'a Source,
    config: &'a Config,
    client: Client,
    /// Over the samples before `digested`. It is made on the way, while the network is busy.
    digest: StreamDigest,
    digested: u64,
    /// The batch that begins at this position has not waited for its simulated latency yet.
    next_batch: u64,
    /// When the latency of the batch at `next_batch` is over.
    due: Instant,
    last_heard: Instant,
    last_ping: Instant,
    /// When something became durable, was first under way, or the receiver last said that it pauses.
    last_progress: Instant,
    /// The user knows that the receiver pauses.
    paused: bool,
}

impl<'a> Sending<'a> {
    fn new(source: &'a Source, config: &'a Config, client: Client) -> Self {
        let now = Instant::now();
        let next_batch = client.sendable().start;
        Sending {
            source,
            config,
            client,
            digest: StreamDigest::default(),
            digested: source.first,
            next_batch,
            due: now + config.batch_delay,
            last_heard: now,
            last_ping: now,
            last_progress: now,
            paused: false,
        }
    }

    async fn run(
        &mut self,
        reader: &mut Reader,
        writer: &mut Writer,
        heard: &mut impl FnMut(Heard),
    ) -> Result<(), Error> {
        loop {
            if self.client.is_all_sent() {
                self.digest_to(self.source.end());
                let end = self.client.end(self.digest.finish());
                writer.send(&end).await?;
            }
            let sendable = self.client.sendable();
            let waiting = !sendable.is_empty() && sendable.start == self.next_batch && Instant::now() < self.due;
            let ready = !sendable.is_empty() && !waiting;
            let quiet = self.last_heard.max(self.last_ping) + self.config.patience.ping;
            tokio::select! {
                biased;
                message = reader.read(MAX_CONTROL_BODY) => {
                    self.last_heard = Instant::now();
                    match self.client.receive(message?.ok_or(Error::Closed)?)? {
                        ClientEvent::Durable(position) => {
                            (self.last_progress, self.paused) = (Instant::now(), false);
                            heard(Heard::Durable(position));
                        }
                        ClientEvent::Paused(reason) => {
                            if !std::mem::replace(&mut self.paused, true) {
                                tracing::warn!("the receiver pauses: {reason}");
                            }
                            self.last_progress = Instant::now();
                            heard(Heard::Paused);
                        }
                        ClientEvent::Send(message) => writer.send(&message).await?,
                        ClientEvent::Done => {
                            let _ = writer.send(&Message::Bye).await; // Without it, the receiver waits a little longer.
                            return Ok(());
                        }
                        ClientEvent::Failed(failure) => return Err(Error::Refused(failure)),
                        ClientEvent::Alive | ClientEvent::Ready => {}
                    }
                }
                () = sleep_until(self.due), if waiting => {}
                () = std::future::ready(()), if ready => self.send_some(writer).await?,
                () = sleep_until(quiet) => {
                    if self.last_heard.elapsed() > self.config.patience.idle {
                        return Err(Error::Silent);
                    }
                    // With nothing to send, there is an ack, the last one or the end of a pause to wait for.
                    let owed = sendable.is_empty() || self.client.durable() < sendable.start;
                    // A chunk may take its time to fill. What comes when all is durable comes at once, or was lost.
                    let Config { deadline, patience, .. } = self.config;
                    let all_durable = self.client.durable() == self.source.end();
                    let limit = if all_durable { patience.idle.min(*deadline) } else { *deadline };
                    if owed && self.last_progress.elapsed() > limit {
                        return Err(Error::Stalled);
                    }
                    self.last_ping = Instant::now();
                    writer.send(&Message::Ping(0)).await?;
                }
            }
        }
    }

    /// Sends one frame: what is left of the batch, as far as the window and a frame have room.
    async fn send_some(&mut self, writer: &mut Writer) -> Result<(), Error> {
        let sendable = self.client.sendable();
        if sendable.start == self.next_batch {
            self.next_batch = self.batch_end(sendable.start);
        }
        let to = sendable.end.min(self.next_batch).min(sendable.start + FRAME_SAMPLES);
        if self.client.durable() == sendable.start {
            self.last_progress = Instant::now(); // From here on the receiver owes an ack.
        }
        let (labels, images) = self.source.slice(sendable.start, to);
        writer.write(&Batch::frame(sendable.start, labels, images)).await?;
        self.client.sent(to - sendable.start);
        self.digest_to(to);
        if to == self.next_batch {
            self.due = Instant::now() + self.config.batch_delay;
        }
        Ok(())
    }

    /// Takes samples into the digest: those of the frame that was sent, and once after a reconnect all before it.
    fn digest_to(&mut self, to: u64) {
        let (labels, images) = self.source.slice(self.digested, to);
        self.digest.update(labels, images);
        self.digested = to;
    }

    /// Where the batch that holds `position` ends. Batches are cut from the start of the stream, so a resumed stream has
    /// the same ones.
    fn batch_end(&self, position: u64) -> u64 {
        let size = self.config.samples_per_batch;
        let offset = (position - self.source.first) / size * size;
        (self.source.first + offset).saturating_add(size).min(self.source.end())
    }
}
