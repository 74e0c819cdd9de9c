//! The one place that knows `bincode`. Integers are fixed-size and big-endian, as in the frame header, so that a dump of
//! the wire can be read by eye.

use bincode::{
    config::{BigEndian, Configuration, Fixint, Limit},
    serde::{decode_from_slice, encode_to_vec},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{MAX_CONTROL_BODY, frame::FrameError};

/// The limit stops a length inside the body from reserving more memory than the body could fill.
type Config = Configuration<BigEndian, Fixint, Limit<{ MAX_CONTROL_BODY as usize }>>;

fn config() -> Config {
    bincode::config::standard().with_big_endian().with_fixed_int_encoding().with_limit()
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_to_vec(value, config()).expect("messages are plain structs, and a Vec takes any number of bytes")
}

/// Decodes a value that must fill `body` exactly.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match decode_from_slice(body, config()) {
        Ok((value, used)) if used == body.len() => Ok(value),
        Ok(_) => Err(FrameError::Body("it has bytes left over")),
        Err(_) => Err(FrameError::Body("it does not decode")),
    }
}
