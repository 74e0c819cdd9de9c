//! The door: a connection passes by proving that it holds the key. Whoever does not is told "refused", in the same bytes
//! whatever was wrong but for another version of the protocol, and the log knows more.

use std::{net::SocketAddr, path::Path, sync::Mutex, time::Duration};

use cli::exit::{Code, failure};
use proto::{Binding, ErrorCode, Key, Message, Server, ServerEvent, Violation};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use transport::{Reader, Writer, key_file, tls};

use crate::{
    connection::Error,
    lobby::{Lobby, Place},
};

/// Lines about strangers in the log come no faster, so that they cannot fill it.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// How a connection becomes one of a sender of ours.
pub(crate) struct Door {
    key: Key,
    tls: tls::Acceptor,
    /// Whether only this machine can reach us, so that a connection may do without TLS.
    private: bool,
    pub(crate) lobby: Lobby,
    last_note: Mutex<Option<Instant>>,
}

/// A connection whose peer holds the key.
pub(crate) struct Guest {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) server: Server,
}

/// The key for a receiver that listens on this address. Where only this machine can connect, it is made if there is none;
/// where others can, somebody must have made it on purpose.
pub(crate) fn key(address: &str, private: bool, path: &Path) -> anyhow::Result<Key> {
    let key = match key_file::read(path) {
        Err(key_file::Error::Missing(_)) if private => match key_file::create(path) {
            Err(key_file::Error::Exists(_)) => key_file::read(path), // Another receiver was faster.
            created => created.inspect(|_| tracing::info!("made the key file `{}`", path.display())),
        },
        Err(error @ key_file::Error::Missing(_)) => {
            let advice = "make one with `receiver keygen`, and copy it to the senders' machines";
            let text = anyhow::anyhow!("--listen {address} is open to other machines, and {error}; {advice}");
            return Err(failure(Code::Unsafe, text));
        }
        read => read,
    };
    key.map_err(|error| failure(error.exit_code(), error))
}

impl Door {
    pub(crate) fn new(key: Key, private: bool) -> Door {
        Door { tls: tls::Acceptor::new(&key), key, private, lobby: Lobby::default(), last_note: Mutex::default() }
    }

    /// Lets the peer prove that it holds the key, before `due`; `None` if it leaves.
    pub(crate) async fn admit(
        &self,
        stream: TcpStream,
        mut place: Place,
        due: Instant,
    ) -> Result<Option<Guest>, Error> {
        tokio::select! {
            guest = self.examine(stream, due) => guest,
            () = place.lost() => Err(Error::Crowded),
        }
    }

    /// Logs why a stranger was refused, unless there was such a line just now.
    pub(crate) fn note(&self, peer: SocketAddr, error: &Error) {
        let Ok(mut last) = self.last_note.lock() else { return };
        if last.is_none_or(|last| last.elapsed() >= NOTE_INTERVAL) {
            *last = Some(Instant::now());
            tracing::warn!(%peer, "refused: {error}");
        } else {
            tracing::debug!(%peer, "refused: {error}");
        }
    }

    async fn examine(&self, stream: TcpStream, due: Instant) -> Result<Option<Guest>, Error> {
        let (mut reader, mut writer, binding) = timeout_at(due, self.channel(stream)).await??;
        let mut server = Server::new(transport::credentials(&self.key, binding)?);
        let proving = async {
            if binding == Binding::Plain && !self.private {
                return Err(Error::Plain);
            }
            prove(&mut reader, &mut writer, &mut server).await
        };
        let result = timeout_at(due, proving).await.unwrap_or_else(|late| Err(late.into()));
        if matches!(result, Ok(true)) {
            return Ok(Some(Guest { reader, writer, server }));
        }
        if let Err(error) = &result {
            let message = match error {
                Error::Violation(Violation::Version { .. }) => Message::error(ErrorCode::Version, error.to_string()),
                _ => Message::refused(),
            };
            let _ = writer.send(&message).await; // The peer may be gone, and the connection ends anyway.
        }
        transport::close(reader, writer).await;
        result.map(|_| None)
    }

    async fn channel(&self, stream: TcpStream) -> std::io::Result<(Reader, Writer, Binding)> {
        if tls::is_offered(&stream).await? {
            return self.tls.accept(stream).await;
        }
        let (reader, writer) = transport::split(stream)?;
        Ok((reader, writer, Binding::Plain))
    }
}

/// Whether the peer has proved that it holds the key, and has our proof; not so if it leaves before.
async fn prove(reader: &mut Reader, writer: &mut Writer, server: &mut Server) -> Result<bool, Error> {
    while let Some(message) = reader.read(server.max_body()).await? {
        match server.receive(message)? {
            ServerEvent::Greet(messages) => {
                for message in &messages {
                    writer.send(message).await?;
                }
            }
            ServerEvent::Send(message) => writer.send(&message).await?,
            _ => {}
        }
        if server.is_authenticated() {
            return Ok(true);
        }
    }
    Ok(false)
}
