//! The handshake: a peer proves that it holds the key. One that does not is told "refused", in the same bytes whatever
//! was wrong. Only one of another version of the protocol hears more: our greeting, which is no secret, says which this one
//! is. The log says more.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use proto::{Binding, ErrorCode, Key, Message, ReceiverEvent, ReceiverSession, Violation, message::Hello};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use transport::{Reader, Writer, tls};

use crate::error::Error;

/// Lines in the log about refused peers come no faster, so that these cannot fill it.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What a handshake needs of this receiver.
pub(crate) struct Handshake {
    key: Key,
    tls: tls::Acceptor,
    /// Whether only this machine can connect, so that a connection may do without TLS.
    loopback: bool,
    last_log: Mutex<Option<Instant>>,
}

/// A connection whose peer holds the key.
pub(crate) struct Authenticated {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) session: ReceiverSession,
}

impl Handshake {
    pub(crate) fn new(key: Key, loopback: bool) -> Handshake {
        Handshake { tls: tls::Acceptor::new(&key), key, loopback, last_log: Mutex::default() }
    }

    /// Lets the peer prove that it holds the key, before `due`; `None` if it leaves.
    pub(crate) async fn perform(&self, stream: TcpStream, due: Instant) -> Result<Option<Authenticated>, Error> {
        let (mut reader, mut writer, binding) = timeout_at(due, self.channel(stream)).await??;
        let mut session = ReceiverSession::new(transport::credentials(&self.key, binding)?);
        let proving = async {
            if binding == Binding::Plain && !self.loopback {
                return Err(Error::Plain);
            }
            prove(&mut reader, &mut writer, &mut session).await
        };
        let result = timeout_at(due, proving).await.unwrap_or_else(|late| Err(late.into()));
        if matches!(result, Ok(true)) {
            return Ok(Some(Authenticated { reader, writer, session }));
        }
        let messages = match &result {
            Err(error @ Error::Violation(Violation::Version { .. })) => {
                vec![Message::Hello(Hello::OURS), Message::error(ErrorCode::Version, error.to_string())]
            }
            Err(_) => vec![Message::refused()],
            Ok(_) => Vec::new(),
        };
        for message in &messages {
            let _ = writer.send(message).await; // The peer may be gone, and the connection ends anyway.
        }
        transport::close(reader, writer).await;
        result.map(|_| None)
    }

    /// Logs why a peer was refused, unless there was such a line just before.
    pub(crate) fn log_refusal(&self, peer: SocketAddr, error: &Error) {
        let Ok(mut last) = self.last_log.lock() else { return };
        if last.is_none_or(|last| last.elapsed() >= LOG_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(%peer, "refused: {error}");
        } else {
            tracing::debug!(%peer, "refused: {error}");
        }
    }

    async fn channel(&self, stream: TcpStream) -> std::io::Result<(Reader, Writer, Binding)> {
        if tls::is_offered(&stream).await? {
            return self.tls.accept(stream).await;
        }
        let (reader, writer) = transport::split(stream)?;
        Ok((reader, writer, Binding::Plain))
    }
}

/// Whether the peer has proved that it holds the key, and has our proof; `false` if it leaves before.
async fn prove(reader: &mut Reader, writer: &mut Writer, session: &mut ReceiverSession) -> Result<bool, Error> {
    while let Some(message) = reader.read(session.max_body()).await? {
        match session.receive(message)? {
            ReceiverEvent::Greet(messages) => {
                for message in &messages {
                    writer.send(message).await?;
                }
            }
            ReceiverEvent::Send(message) => writer.send(&message).await?,
            _ => {}
        }
        if session.is_authenticated() {
            return Ok(true);
        }
    }
    Ok(false)
}
