//! A frame is one message on the wire:
//!
//! ```text
//! len u32 | type u8 | flags u8 | zero u16 | crc32c u32 | body (len bytes)
//! ```
//!
//! Integers are big-endian. The checksum covers the eight bytes before it and the body. TCP's own 16-bit checksum lets
//! a damaged segment through now and then; CRC-32C does not let any burst of up to 32 bits through.

/// Bytes before the body.
pub const HEADER_BYTES: usize = 12;

/// The header of a frame, checked as far as a header can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which message.
    pub kind: u8,
    /// Bytes of the body.
    pub len: u32,
    crc: u32,
    covered: [u8; 8],
}

/// Why bytes are not a frame of ours. The connection cannot go on: where the next frame begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The body is longer than this side is ready to hold.
    #[error("a frame of {len} bytes is over the limit of {cap}")]
    TooLong {
        /// What the header says.
        len: u32,
        /// The most that is accepted.
        cap: u32,
    },
    /// Flags or zero bits are set; version 1 has none.
    #[error("reserved bits of a frame are set")]
    Reserved,
    /// The checksum is wrong.
    #[error("the checksum of a frame is wrong")]
    Checksum,
    /// No such message.
    #[error("unknown message type {0}")]
    UnknownType(u8),
    /// The body is not what its type says.
    #[error("the body of a frame is wrong: {0}")]
    Body(&'static str),
}

impl Header {
    /// Reads a header; nothing of `len` bytes is reserved before it has passed.
    ///
    /// # Errors
    /// When the body would be longer than `cap`, or reserved bits are set.
    pub fn decode(bytes: &[u8; HEADER_BYTES], cap: u32) -> Result<Header, FrameError> {
        let [l0, l1, l2, l3, kind, flags, z0, z1, c0, c1, c2, c3] = *bytes;
        let len = u32::from_be_bytes([l0, l1, l2, l3]);
        if len > cap {
            return Err(FrameError::TooLong { len, cap });
        }
        if [flags, z0, z1] != [0; 3] {
            return Err(FrameError::Reserved);
        }
        let covered = [l0, l1, l2, l3, kind, flags, z0, z1];
        Ok(Header { kind, len, crc: u32::from_be_bytes([c0, c1, c2, c3]), covered })
    }

    /// Checks the body against the checksum.
    ///
    /// # Errors
    /// When either does not match what was sent.
    pub fn verify(&self, body: &[u8]) -> Result<(), FrameError> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.covered), body);
        if crc == self.crc && body.len() == self.len as usize { Ok(()) } else { Err(FrameError::Checksum) }
    }
}

/// A frame around a body that `fill` writes.
pub(crate) fn encode(kind: u8, body_capacity: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + body_capacity);
    frame.extend_from_slice(&[0; HEADER_BYTES]);
    fill(&mut frame);
    let len = u32::try_from(frame.len() - HEADER_BYTES).expect("bodies are at most MAX_BODY");
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame[4] = kind;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..8]), &frame[HEADER_BYTES..]);
    frame[8..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32C (Castagnoli), bit by bit, to be independent of the crate: RFC 3720, appendix B.4.
    fn reference_crc32c(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
        })
    }

    #[test]
    fn the_checksum_is_castagnoli_over_header_and_body() {
        assert_eq!(reference_crc32c(b"123456789"), 0xe306_9283); // the check value of the RFC
        let frame = encode(9, 2, |body| body.extend_from_slice(b"ab"));
        assert_eq!(frame[..8], [0, 0, 0, 2, 9, 0, 0, 0]);
        assert_eq!(frame[8..12], reference_crc32c(&[0, 0, 0, 2, 9, 0, 0, 0, b'a', b'b']).to_be_bytes());
        assert_eq!(frame[12..], *b"ab");
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_found() {
        let good = encode(9, 5, |body| body.extend_from_slice(b"hello"));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (header, body) = bad.split_first_chunk().unwrap();
            let passed = Header::decode(header, 100).and_then(|header| header.verify(body));
            assert!(passed.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_length_is_checked_before_anything_else() {
        let header = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(Header::decode(&header, 4096), Err(FrameError::TooLong { len: u32::MAX, cap: 4096 }));
        let header = [0, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        assert!(Header::decode(&header, 4096).is_ok());
        assert_eq!(Header::decode(&header, 4095), Err(FrameError::TooLong { len: 4096, cap: 4095 }));
    }

    #[test]
    fn reserved_bits_are_refused() {
        for index in 5..8 {
            let mut header = [0; HEADER_BYTES];
            header[index] = 1;
            assert_eq!(Header::decode(&header, 0), Err(FrameError::Reserved));
        }
    }
}
