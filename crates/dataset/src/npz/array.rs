//! The elements of an array: images from bytes or floats, labels from integers of any kind. Nothing is reserved for a shape
//! before it is known to be possible.

use std::io::Read;

use sample::{CLASSES, COLS, PIXELS, ROWS};

use super::header::Header;
use crate::idx::{self, IMAGES, MAX_SAMPLES};

/// The images, behind the header of an IDX file.
pub(super) fn images(header: &Header, content: &mut dyn Read, packed: u64) -> Result<Vec<u8>, String> {
    const SIDES: [u64; 2] = [ROWS as u64, COLS as u64];
    let count = match header.shape[..] {
        [count, rows, cols] | [count, 1, rows, cols] | [count, rows, cols, 1] if [rows, cols] == SIDES => count,
        [count, pixels] if pixels == PIXELS as u64 => count,
        _ => {
            let shape = &header.shape;
            return Err(format!(
                "has the shape {shape:?}, not [n, 28, 28], [n, 1, 28, 28], [n, 28, 28, 1] or [n, 784]"
            ));
        }
    };
    let grey: fn(&[u8], bool) -> Result<u8, f64> = match header.element {
        (b'u', 1) => |element, _| Ok(element[0]),
        (b'f', 4) => grey_of_float,
        (b'f', 8) => grey_of_double,
        _ => return Err(format!("has elements of type {}, not uint8, float32 or float64", header.type_name())),
    };
    let size = header.element.1;
    let count = at_most(count)?;
    if (count * PIXELS) as u64 > idx::room(packed) {
        return Err(format!(
            "has {count} images in {packed} bytes; if it is sound, save it by `numpy.savez`, not compressed"
        ));
    }
    let mut image = vec![0; PIXELS * size];
    let mut images = IMAGES.header(count as u32); // As long as what has come, whatever the shape says.
    for number in 0..count {
        content.read_exact(&mut image).map_err(|error| format!("cannot be read: {error}"))?;
        for element in image.chunks_exact(size) {
            images.push(grey(element, header.is_big_endian).map_err(|value| {
                format!(
                    "has the value {value} in image {number}, which is none of 0/255 to 255/255; save the images as uint8, 0 to 255"
                )
            })?);
        }
    }
    Ok(images)
}

/// The k of a number that is k/255, to the last bit; or else the number.
fn grey_of_float(element: &[u8], is_big_endian: bool) -> Result<u8, f64> {
    let bytes = element.try_into().expect("a float has four bytes");
    let value = if is_big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) };
    let grey = (value * 255.0).round() as u8;
    // Both ways to compute it: in float32, and in float64 and then rounded.
    let is_exact = value == f32::from(grey) / 255.0 || value == (f64::from(grey) / 255.0) as f32;
    if is_exact { Ok(grey) } else { Err(value.into()) }
}

fn grey_of_double(element: &[u8], is_big_endian: bool) -> Result<u8, f64> {
    let bytes = element.try_into().expect("a double has eight bytes");
    let value = if is_big_endian { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) };
    let grey = (value * 255.0).round() as u8;
    if value == f64::from(grey) / 255.0 { Ok(grey) } else { Err(value) }
}

pub(super) fn labels(header: &Header, content: &mut dyn Read, _packed: u64) -> Result<Vec<u8>, String> {
    let (b'i' | b'u', size @ (1 | 2 | 4 | 8)) = header.element else {
        return Err(format!("has elements of type {}, not integers", header.type_name()));
    };
    let [count] = header.shape[..] else { return Err(format!("has the shape {:?}, not [n]", header.shape)) };
    let mut bytes = vec![0; at_most(count)? * size];
    content.read_exact(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    let label = |(sample, element): (usize, &[u8])| {
        let split = if header.is_big_endian { element.split_last() } else { element.split_first() };
        match split {
            // A negative number has a higher byte that is not zero, or is at least 128.
            Some((&label, higher)) if usize::from(label) < CLASSES && higher.iter().all(|&byte| byte == 0) => Ok(label),
            _ => Err(format!("has a label that is not 0 to 9, of sample {sample}")),
        }
    };
    bytes.chunks_exact(size).enumerate().map(label).collect()
}

/// So many samples, unless a file may not have as many.
fn at_most(count: u64) -> Result<usize, String> {
    if count > MAX_SAMPLES as u64 {
        return Err(format!("has {count} samples, more than the {MAX_SAMPLES} that a file may have"));
    }
    Ok(count as usize)
}
