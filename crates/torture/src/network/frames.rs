//! Frames in a stream of bytes, told apart by their lengths alone, so that the proxy can treat each as a whole without
//! understanding any.

/// Bytes of a header, which begins with the length of the body.
const HEADER: usize = 12;

/// The frames of one direction.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes bytes in and gives the frames that they complete, headers included.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.buffer.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(length) = self.buffer.first_chunk::<4>() {
            let end = HEADER + u32::from_be_bytes(*length) as usize;
            if self.buffer.len() < end {
                break;
            }
            let rest = self.buffer.split_off(end);
            whole.push(std::mem::replace(&mut self.buffer, rest));
        }
        whole
    }

    /// The bytes of a frame that has not come as a whole.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
}
