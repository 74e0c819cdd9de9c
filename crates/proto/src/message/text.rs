//! Texts and names in messages: short, and without control characters, because they reach terminals and logs.

/// Longest name of a stream, in bytes.
pub const MAX_NAME: usize = 64;

/// Longest name of a dataset, in bytes: as long as a folder's.
pub const MAX_DATASET_NAME: usize = 255;

/// Longest text of an `Error`, in bytes.
pub const MAX_TEXT: usize = 1024;

/// Whether a text is at most so many bytes long and holds no control characters.
pub(super) fn is_text(text: &str, max: usize) -> bool {
    text.len() <= max && !text.contains(char::is_control)
}

/// The part of a text that a message may carry.
pub(super) fn allowed(text: String) -> String {
    let mut text = text.replace(char::is_control, " ");
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// Whether a text may name a stream: letters, digits, `.`, `_` and `-`, at most [`MAX_NAME`] bytes.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(is_name("sender-0") && is_name(&"x".repeat(64)));
        for name in ["", "a b", "a/b", "\u{1b}[31m", "é", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
