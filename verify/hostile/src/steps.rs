//! What happens to a session, as bytes: a list of steps. A step is one byte that says what happens and the numbers that it
//! needs; a number is one byte, or eight after a byte of 0xff.

use proto::{
    Batch, HEADER_BYTES, Message,
    message::{Open, Welcome},
};
use sample::{Extent, PIXELS, SampleSlice};

use crate::wire::message;

/// Steps from here on are not messages of the peer.
pub(crate) const OWN: u8 = 0x80;

pub(crate) struct Steps<'a>(pub(crate) &'a [u8]);

impl<'a> Steps<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            Some(0xff) => self.bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            byte => byte.unwrap_or(0).into(),
        }
    }

    /// First, end, block and stride. An end of 0 stands for none.
    pub(crate) fn extent(&mut self) -> Extent {
        let (first, end) = (self.number(), Some(self.number()).filter(|end| *end > 0));
        Extent { first, end, block: self.number(), stride: self.number() }
    }

    /// So many bytes, or fewer at the end.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The message of a step, if there is one. Those that have numbers take them one by one, which finds more than whole
    /// bodies would; any other type has a body of any bytes.
    pub(crate) fn message(&mut self, step: u8) -> Option<Message> {
        match step {
            3 => Some(Message::Welcome(Welcome { next: self.number(), durable: self.number(), window: self.number() })),
            4 => {
                let (first, count) = (self.number(), self.number().clamp(1, 8) as usize);
                let frame =
                    Batch::frame(first, SampleSlice { labels: &vec![1; count], images: &vec![0; count * PIXELS] });
                message(frame[4], &frame[HEADER_BYTES..])
            }
            5 => Some(Message::Ack(self.number())),
            6 => message(6, &[&self.number().to_be_bytes()[..], &[0; 32]].concat()),
            2 => {
                let (stream, dataset, extent) = ("s".into(), "d".into(), self.extent());
                Some(Message::Open(Open { stream, dataset, dataset_digest: [0; 32], extent }))
            }
            kind => {
                let len = self.number() as usize;
                message(kind, self.bytes(len.min(2048)))
            }
        }
    }
}
