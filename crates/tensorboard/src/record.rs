//! A record is how TensorFlow frames bytes in a file: their length, a checksum of the length, the bytes, a checksum of the
//! bytes, all little-endian. The format is TensorFlow's `tfrecord`.

/// Bytes before and behind those of a record.
const HEADER: usize = 12;
const FOOTER: usize = 4;

/// Appends a record.
pub fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    let length = (bytes.len() as u64).to_le_bytes();
    into.extend(length);
    into.extend(checksum(&length));
    into.extend(bytes);
    into.extend(checksum(bytes));
}

/// The bytes of the first record, and what comes after it; `None` if it is cut short or damaged.
pub(crate) fn take(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = file.split_at_checked(HEADER)?;
    let (length, length_sum) = header.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (bytes_sum, rest) = rest.split_at_checked(FOOTER)?;
    (length_sum == checksum(length) && bytes_sum == checksum(bytes)).then_some((bytes, rest))
}

/// CRC-32C, rotated and shifted, so that the checksum of bytes that hold their own checksum is still one.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What TensorBoard's `RecordWriter` writes.
    const WRITTEN: &[u8] = b"\t\0\0\0\0\0\0\x007\xf9q9tributary\x89#:k";

    #[test]
    fn a_record_has_the_bytes_that_tensorboards_own_writer_gives_it() {
        let mut file = Vec::new();
        put(&mut file, b"tributary");
        assert_eq!(file, WRITTEN);
        assert_eq!(take(&file), Some((&b"tributary"[..], &b""[..])));
    }

    #[test]
    fn any_changed_or_missing_byte_of_a_record_is_noticed() {
        let mut file = Vec::new();
        put(&mut file, b"tributary");
        for at in 0..file.len() {
            assert_eq!(take(&file[..at]), None, "{at}");
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(take(&changed), None, "{at}");
        }
    }
}
