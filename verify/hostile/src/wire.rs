//! Frames and messages.

use proto::{FrameError, HEADER_BYTES, Header, MAX_BODY, MAX_CONTROL_BODY, Message};

/// A stream of frames, which ends where the first bad one begins. The first byte says whether their checksums are put
/// right before, the second how long bodies may be.
/// Panics when a message that was understood is not written as it was read.
pub fn frame(data: &[u8]) -> bool {
    let [sealed, cap, stream @ ..] = data else { return false };
    let cap = if cap % 2 == 0 { MAX_BODY } else { MAX_CONTROL_BODY };
    let mut stream = stream.to_vec();
    let (mut at, mut understood) = (0, 0);
    while at < stream.len() {
        if sealed % 2 == 0 {
            seal(&mut stream[at..]);
        }
        match first_frame(&stream[at..], cap) {
            Ok(Some((message, len))) => {
                assert_eq!(message.frame(), stream[at..at + len], "{message:?} is written otherwise than it was read");
                (at, understood) = (at + len, understood + 1);
            }
            Ok(None) | Err(_) => return false,
        }
    }
    understood > 0
}

/// Appends a frame with a checksum that is right, whatever its type and body.
pub fn put_frame(stream: &mut Vec<u8>, kind: u8, body: &[u8]) {
    let at = stream.len();
    stream.extend_from_slice(&(body.len() as u32).to_be_bytes());
    stream.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    stream.extend_from_slice(body);
    seal(&mut stream[at..]);
}

pub(crate) fn message(kind: u8, body: &[u8]) -> Option<Message> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    put_frame(&mut frame, kind, body);
    first_frame(&frame, MAX_BODY).ok().flatten().map(|(message, _)| message)
}

/// The first message of a stream and the length of its frame; `None` if the stream ends before.
fn first_frame(stream: &[u8], cap: u32) -> Result<Option<(Message, usize)>, FrameError> {
    let Some((header, rest)) = stream.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let header = Header::decode(header, cap)?;
    assert!(header.len <= cap);
    let Some(body) = rest.get(..header.len as usize) else { return Ok(None) };
    let message = Message::decode(&header, body.to_vec())?;
    Ok(Some((message, HEADER_BYTES + body.len())))
}

/// Puts the checksum of the first frame right, if it is there as a whole.
fn seal(stream: &mut [u8]) {
    let Some((header, rest)) = stream.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let Some(body) = rest.get(..len) else { return };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..8]), body);
    header[8..].copy_from_slice(&crc.to_be_bytes());
}
