//! One TCP connection of the wire protocol: messages in, messages out, each within a time limit. It is the same on both
//! sides, so sender and receiver share it; `proto` says what the bytes mean.

#![forbid(unsafe_code)]

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use proto::{FrameError, HEADER_BYTES, Header, Message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// Memory is reserved in steps of this many bytes, as bytes arrive, however long a frame says it is.
const READ_STEP: usize = 64 * 1024;

/// How long a write may make no progress before the peer is taken for dead.
pub const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// How long [`close`] waits for the peer to take the last message.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no, or the peer died.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer sent bytes that are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// The reading half.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
}

/// The writing half.
#[derive(Debug)]
pub struct Writer {
    half: OwnedWriteHalf,
}

/// Takes over a connected socket.
///
/// # Errors
/// When the socket is already gone.
pub fn split(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?; // Acks are small and somebody waits for each.
    let (read, write) = stream.into_split();
    Ok((Reader { half: read, buffer: BytesMut::new() }, Writer { half: write }))
}

impl Reader {
    /// The next message, or `None` when the peer has closed the connection between two frames. Cancel safe: bytes of an
    /// unfinished frame are kept for the next call.
    ///
    /// # Errors
    /// When the connection breaks, also inside a frame, or brings bytes that are no frame of at most `max_body` bytes.
    pub async fn read(&mut self, max_body: u32) -> Result<Option<Message>, Error> {
        loop {
            if let Some(message) = self.take_message(max_body)? {
                return Ok(Some(message));
            }
            self.buffer.reserve(READ_STEP);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed inside a frame").into()),
                };
            }
        }
    }

    /// The first message in the buffer, if it is there as a whole.
    fn take_message(&mut self, max_body: u32) -> Result<Option<Message>, FrameError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(header, max_body)?;
        let Some(body) = rest.get(..header.len as usize) else { return Ok(None) };
        let message = Message::decode(&header, body.to_vec())?;
        self.buffer.advance(HEADER_BYTES + header.len as usize);
        Ok(Some(message))
    }
}

impl Writer {
    /// Writes a frame.
    ///
    /// # Errors
    /// When the connection breaks, or the peer takes nothing for [`WRITE_LIMIT`].
    pub async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut left = frame;
        while !left.is_empty() {
            let writing = timeout(WRITE_LIMIT, self.half.write(left)).await;
            let stuck = |_| io::Error::new(io::ErrorKind::TimedOut, "the peer takes no more bytes");
            match writing.map_err(stuck)?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => left = &left[written..],
            }
        }
        Ok(())
    }

    /// Writes a message.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.write(&message.frame()).await
    }
}

/// Ends a connection such that the peer still gets what was written: closing a socket with unread bytes in it would
/// reset the connection and throw our last message away.
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
        assert!(reader.buffer.capacity() <= 2 * READ_STEP);
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
