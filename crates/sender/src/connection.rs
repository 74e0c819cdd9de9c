//! A connection to the receiver, up to the open stream.

use std::io;

use proto::{Binding, Credentials, MAX_CONTROL_BODY, SenderEvent, SenderSession, message::Open};
use tokio::time::timeout;
use transport::{Reader, Writer, key_file, tls};

use crate::{Config, Source, error::Error};

/// Connects, proves the key, has it proved in return, and opens the stream.
pub(crate) async fn open(source: &Source, config: &Config) -> Result<(Reader, Writer, SenderSession), Error> {
    let (mut reader, mut writer, credentials) = connect(config).await?;
    let session = timeout(config.time_limits.open, open_stream(&mut reader, &mut writer, source, credentials));
    let session = session.await.unwrap_or(Err(Error::Silent))?;
    Ok((reader, writer, session))
}

/// Connects, with TLS to another machine. The key is read anew each time: a receiver may have made it just now.
async fn connect(config: &Config) -> Result<(Reader, Writer, Credentials), Error> {
    let key = key_file::read(&config.key)?;
    let channel = async {
        let addresses = transport::resolve(&config.connect).await?;
        let stream = transport::connect(&addresses, config.time_limits.connect).await?;
        if config.tls || !transport::is_loopback(stream.peer_addr()?.ip()) {
            return tls::Connector::new(&key).connect(stream).await;
        }
        let (reader, writer) = transport::split(stream)?;
        Ok((reader, writer, Binding::Plain))
    };
    // The receiver may be verifying its chunks before it accepts.
    let connected = timeout(config.time_limits.open, channel).await;
    let (reader, writer, binding) =
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|source| {
            let address = config.connect.clone();
            if tls::is_impostor(&source) { Error::Impostor { address } } else { Error::Connect { address, source } }
        })?;
    Ok((reader, writer.with_limit(config.time_limits.write), transport::credentials(&key, binding)?))
}

async fn open_stream(
    reader: &mut Reader,
    writer: &mut Writer,
    source: &Source,
    credentials: Credentials,
) -> Result<SenderSession, Error> {
    let open = Open {
        stream: source.stream.clone(),
        dataset: source.dataset.clone(),
        dataset_digest: source.dataset_digest,
        extent: source.extent,
    };
    let (mut session, hello) = SenderSession::new(open, credentials);
    writer.send(&hello).await?;
    loop {
        let message = reader.read(MAX_CONTROL_BODY).await?.ok_or(Error::Closed)?;
        match session.receive(message)? {
            SenderEvent::Send(message) => writer.send(&message).await?,
            SenderEvent::Ready => return Ok(session),
            SenderEvent::Failed(failure) => return Err(Error::Refused(failure)),
            SenderEvent::Durable(_) | SenderEvent::Paused(_) | SenderEvent::Alive | SenderEvent::Done => {}
        }
    }
}
