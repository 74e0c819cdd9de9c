//! The token that opens a page: who has it may watch. It is drawn for each start, or kept in a file that only its owner may
//! read.

use std::{fmt, path::Path};

use anyhow::anyhow;
use process::{
    exit::{Code, failure},
    private::{self, Fault},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Characters of a token in a file.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

/// What opens a page.
pub(crate) struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// A token that nobody can guess.
    pub(crate) fn draw() -> anyhow::Result<Token> {
        let mut bytes = Zeroizing::new([0; 16]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| failure(Code::Io, anyhow!("the system has no random numbers for a token: {error}")))?;
        Ok(Token(Zeroizing::new(hex::encode(*bytes))))
    }

    /// The token in this file, which is made if it is not there.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Token> {
        let name = path.display();
        let fault = match private::read(path, LENGTHS.end() + 3) {
            Ok(text) => {
                let none = || {
                    failure(
                        Code::Data,
                        anyhow!(
                            "`{name}` holds no token: write one line of {} to {} letters, digits, `-` or `_` into it, or \
                             remove it, and a token is drawn",
                            LENGTHS.start(),
                            LENGTHS.end()
                        ),
                    )
                };
                return parse(&text).ok_or_else(none);
            }
            Err(Fault::Missing) => {
                let token = Token::draw()?;
                match private::create(path, &format!("{}\n", *token.0)) {
                    Ok(()) => return Ok(token),
                    Err(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        Err(match fault {
            Fault::Exposed => {
                failure(Code::Unsafe, anyhow!("`{name}` is open to other users: run `chmod 600 {name}`, or remove it"))
            }
            Fault::Unprotectable => failure(
                Code::Unsafe,
                anyhow!("`{name}` is open to other users, and its file system cannot close it: put it elsewhere"),
            ),
            Fault::Malformed => failure(Code::Data, anyhow!("`{name}` is no file that a token could be in")),
            Fault::Missing => failure(Code::Io, anyhow!("there is no file `{name}`")),
            Fault::Exists => failure(Code::Io, anyhow!("`{name}` was made by another program meanwhile: try again")),
            Fault::Io(action, error) => failure(Code::Io, anyhow!("failed to {action} `{name}`: {error}")),
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is the token. It takes as long wherever the first difference is.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

fn parse(text: &str) -> Option<Token> {
    let token = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (LENGTHS.contains(&token.len()) && token.bytes().all(is_safe)).then(|| Token(Zeroizing::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_token_is_that_and_nothing_like_it() {
        let (token, other) = (Token::draw().unwrap(), Token::draw().unwrap());
        let text = token.text();
        assert_eq!(text.len(), 32, "128 bits");
        assert!(token.is(text.as_bytes()));
        let wrong = [
            other.text().to_owned(),
            String::new(),
            text[..31].to_owned(),
            format!("{text}0"),
            format!("{text}\0"),
            text.to_uppercase() + "x",
            format!(" {}", &text[1..]),
        ];
        for wrong in wrong {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token", "it is in no log");
    }

    #[test]
    fn a_line_of_a_file_is_a_token_if_it_can_stand_in_an_address() {
        let token = "abcDEF-123_45678";
        for (text, expect) in [
            (token.to_owned(), Some(token)),
            (format!("{token}\n"), Some(token)),
            (format!("{token}\r\n"), Some(token)),
            (format!("{token}\n\n"), None),
            (format!(" {token}"), None),
            (token[1..].to_owned(), None),
            (format!("{token}&x=1"), None),
            (format!("{token};"), None),
            (format!("{token}é"), None),
            ("a".repeat(257), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(&text).as_ref().map(Token::text), expect, "{text}");
        }
    }

    #[test]
    fn a_file_is_made_once_and_read_after_that_if_nobody_else_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let drawn = Token::of_file(&path).unwrap();
        assert_eq!(Token::of_file(&path).unwrap().text(), drawn.text());
        let code = |path: &Path| process::exit::code_of(&Token::of_file(path).unwrap_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert_eq!(code(&path), Code::Unsafe);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(&path, "short\n").unwrap();
        assert_eq!(code(&path), Code::Data);
        assert_eq!(code(&dir.path().join("absent/token")), Code::Io);
    }
}
