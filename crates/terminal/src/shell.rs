//! A command as it would be typed in a shell, to be read and pasted.

use std::{borrow::Cow, ffi::OsStr};

/// The words beside each other, quoted where a shell would take one for something else.
pub fn command_line<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    words.into_iter().map(|word| quoted(word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quoted(word: Cow<'_, str>) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_=./:,+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let words = ["/x/receiver", "--dir=a b", "--stream=it's", "--json", ""].map(OsStr::new);
        assert_eq!(command_line(words), r"/x/receiver '--dir=a b' '--stream=it'\''s' --json ''");
    }
}
