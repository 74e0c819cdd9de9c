//! One TCP connection of the wire protocol: messages in, messages out, each within a time limit. It is the same on both
//! sides, so sender and receiver share it; `proto` says what the bytes mean.
//!
//! - [`connect()`] and [`resolve`]: to a receiver that is known by name;
//! - [`key_file`]: the file with the key that both sides share;
//! - [`tls`]: how a connection that leaves the machine is encrypted.

#![forbid(unsafe_code)]

mod connect;
pub mod key_file;
pub mod tls;

use std::{io, net::IpAddr, time::Duration};

use bytes::{Buf, BufMut, BytesMut};
use proto::{Binding, Credentials, FrameError, HEADER_BYTES, Header, Key, Message};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub use connect::{connect, resolve};

/// Bytes of headers and small frames that are read at once.
const BUFFER: usize = 4096;

/// How long a write may make no progress before the connection is given up.
pub const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// How long [`close`] waits for the peer to take the last message.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system reported an error, or the peer is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// The reading half.
pub struct Reader {
    half: Box<dyn AsyncRead + Send + Unpin>,
    /// Bytes that no frame has claimed.
    buffer: BytesMut,
    /// The frame that is coming in.
    frame: Option<(Header, Vec<u8>)>,
}

/// The writing half.
pub struct Writer {
    half: Box<dyn AsyncWrite + Send + Unpin>,
    limit: Duration,
}

/// Whether only this machine can reach this address, so that what is sent there need not be encrypted.
pub fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback() // An IPv4 address may be written as IPv6.
}

/// What this side brings to one connection: the key, and a fresh number.
///
/// # Errors
/// When the system has no random numbers.
pub fn credentials(key: &Key, binding: Binding) -> io::Result<Credentials> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce)?;
    Ok(Credentials { key: key.clone(), nonce, binding })
}

/// Takes over a connected socket, as it is.
///
/// # Errors
/// When the socket is already gone.
pub fn split(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?; // Acks are small, and the sender waits for each.
    let (read, write) = stream.into_split();
    Ok(halves(read, write))
}

fn halves(
    read: impl AsyncRead + Send + Unpin + 'static,
    write: impl AsyncWrite + Send + Unpin + 'static,
) -> (Reader, Writer) {
    let reader = Reader { half: Box::new(read), buffer: BytesMut::new(), frame: None };
    (reader, Writer { half: Box::new(write), limit: WRITE_LIMIT })
}

impl Reader {
    /// The header of the next message, or `None` when the peer has closed the connection between two frames. No memory
    /// is held for the body until [`Reader::read`] is called. Cancel safe.
    ///
    /// # Errors
    /// When the connection breaks, also inside a frame, or brings bytes that are no frame of at most `max_body` bytes.
    pub async fn header(&mut self, max_body: u32) -> Result<Option<Header>, Error> {
        if let Some((header, _)) = &self.frame {
            return Ok(Some(*header));
        }
        loop {
            if let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() {
                return Ok(Some(Header::decode(header, max_body)?));
            }
            self.buffer.reserve(BUFFER);
            let room = BUFFER - self.buffer.len();
            if self.half.read_buf(&mut (&mut self.buffer).limit(room)).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(closed_inside_a_frame()) };
            }
        }
    }

    /// The next message, or `None` when the peer has closed the connection between two frames. Cancel safe: bytes of an
    /// unfinished frame are kept for the next call.
    ///
    /// # Errors
    /// As [`Reader::header`], and when the body is not what its header says.
    pub async fn read(&mut self, max_body: u32) -> Result<Option<Message>, Error> {
        if self.frame.is_none() {
            let Some(header) = self.header(max_body).await? else { return Ok(None) };
            self.buffer.advance(HEADER_BYTES);
            let here = self.buffer.len().min(header.len as usize);
            let mut body = Vec::with_capacity(header.len as usize);
            body.extend_from_slice(&self.buffer.split_to(here));
            self.frame = Some((header, body));
        }
        while let Some((header, body)) = &mut self.frame
            && body.len() < header.len as usize
        {
            let missing = header.len as usize - body.len();
            if self.half.read_buf(&mut body.limit(missing)).await? == 0 {
                return Err(closed_inside_a_frame());
            }
        }
        match self.frame.take() {
            Some((header, body)) => Ok(Some(Message::decode(&header, body)?)),
            None => Ok(None),
        }
    }
}

fn closed_inside_a_frame() -> Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed inside a frame").into()
}

impl Writer {
    /// Gives the connection up when a write makes no progress for `limit`, instead of [`WRITE_LIMIT`].
    pub fn with_limit(self, limit: Duration) -> Writer {
        Writer { limit, ..self }
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// When the connection breaks, or the peer takes nothing for the limit of this writer.
    pub async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let stuck = |_| io::Error::new(io::ErrorKind::TimedOut, "the peer takes no more bytes");
        let mut left = frame;
        while !left.is_empty() {
            let writing = timeout(self.limit, self.half.write(left)).await;
            match writing.map_err(stuck)?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => left = &left[written..],
            }
        }
        // TLS may have taken bytes that the socket has not.
        timeout(self.limit, self.half.flush()).await.map_err(stuck)?
    }

    /// Writes a message.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.write(&message.frame()).await
    }
}

/// Ends a connection in such a way that the peer still gets what was written. Closing a socket that holds unread bytes
/// would reset the connection and lose the last message.
pub async fn close(mut reader: Reader, mut writer: Writer) {
    let drain = async {
        writer.half.shutdown().await?;
        reader.buffer.clear();
        while reader.half.read_buf(&mut reader.buffer).await? > 0 {
            reader.buffer.clear();
        }
        io::Result::Ok(())
    };
    // The peer may be gone already; nothing is left to do about it.
    let _ = timeout(CLOSE_LIMIT, drain).await;
}

#[cfg(test)]
mod tests {
    use proto::MAX_BODY;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, Reader, Writer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (reader, writer) = split(listener.accept().await.unwrap().0).unwrap();
        (peer, reader, writer)
    }

    #[tokio::test]
    async fn messages_arrive_however_the_bytes_are_cut() {
        let (mut peer, mut reader, _writer) = pair().await;
        let bytes = [Message::Ping(1).frame(), Message::EndAck.frame(), Message::Ack(7).frame()].concat();
        tokio::join!(
            async {
                for byte in &bytes {
                    peer.write_all(&[*byte]).await.unwrap();
                }
                drop(peer);
            },
            async {
                for expect in [Message::Ping(1), Message::EndAck, Message::Ack(7)] {
                    assert_eq!(reader.read(MAX_BODY).await.unwrap(), Some(expect));
                }
                assert_eq!(reader.read(MAX_BODY).await.unwrap(), None);
            }
        );
    }

    #[tokio::test]
    async fn a_peer_that_dies_inside_a_frame_is_an_error() {
        let (mut peer, mut reader, _writer) = pair().await;
        let frame = Message::Ping(1).frame();
        peer.write_all(&frame[..frame.len() - 1]).await.unwrap();
        drop(peer);
        let error = reader.read(MAX_BODY).await.unwrap_err();
        assert_eq!(error.to_string(), "the peer closed inside a frame");
    }

    #[tokio::test]
    async fn a_frame_over_the_limit_is_refused_before_its_body_comes() {
        let (mut peer, mut reader, _writer) = pair().await;
        peer.write_all(&[0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        let error = reader.read(4096).await.unwrap_err();
        assert_eq!(error.to_string(), "a frame of 4294967295 bytes is over the limit of 4096");
        assert!(reader.buffer.capacity() <= 2 * BUFFER);
    }

    #[tokio::test]
    async fn the_last_message_arrives_even_if_the_peer_is_still_sending() {
        let (peer, mut reader, mut writer) = pair().await;
        let (mut peer_reader, mut peer_writer) = split(peer).unwrap();
        peer_writer.send(&Message::Ping(1)).await.unwrap();
        assert!(reader.read(MAX_BODY).await.unwrap().is_some());
        peer_writer.send(&Message::Ping(2)).await.unwrap(); // Never read by the other side.
        writer.send(&Message::EndAck).await.unwrap();
        tokio::join!(close(reader, writer), async {
            assert_eq!(peer_reader.read(MAX_BODY).await.unwrap(), Some(Message::EndAck));
            drop((peer_reader, peer_writer));
        });
    }
}
