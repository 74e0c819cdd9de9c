//! Exit codes. The numbers are those of BSD's `sysexits.h`, and 128 + the signal's number for a stop by signal, so
//! that a script can tell a typing mistake from a full disk.

use std::{
    fmt,
    io::{self, Write},
    process::{ExitCode, ExitStatus},
};

/// Why a program ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A flag or configuration value is wrong.
    Usage = 64,
    /// Data is corrupt or does not fit; the file is named.
    Data = 65,
    /// A port is in use, or a peer is gone.
    Unavailable = 69,
    /// A mistake of ours.
    Software = 70,
    /// The chunk directory is locked, complete or not ours.
    Directory = 73,
    /// Reading or writing failed.
    Io = 74,
    /// A peer refused us.
    Refused = 77,
    /// The configuration would be unsafe.
    Unsafe = 78,
    /// Stopped by SIGHUP: the terminal was closed.
    HungUp = 129,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM, or because the parent process is gone.
    Terminated = 143,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// The code of this number, which libraries that know no command line use; [`Code::Software`] for an unknown one.
impl From<u8> for Code {
    fn from(number: u8) -> Self {
        use Code::*;
        let all = [Usage, Data, Unavailable, Software, Directory, Io, Refused, Unsafe, HungUp, Interrupted, Terminated];
        all.into_iter().find(|code| *code as u8 == number).unwrap_or(Software)
    }
}

/// The code that a child ended with; [`Code::Software`] for an unknown one, or none.
impl From<ExitStatus> for Code {
    fn from(status: ExitStatus) -> Self {
        status.code().and_then(|number| u8::try_from(number).ok()).map_or(Code::Software, Code::from)
    }
}

impl Code {
    /// Whether the program did not fail, but was told to stop.
    pub fn is_stop(self) -> bool {
        matches!(self, Code::HungUp | Code::Interrupted | Code::Terminated)
    }
}

/// An error that carries the exit code the program should end with.
#[derive(Debug)]
pub struct Failure {
    code: Code,
    error: anyhow::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Failure {}

/// Makes an error that ends the program with `code`: a [`Code`], or the number of one.
pub fn failure(code: impl Into<Code>, error: impl Into<anyhow::Error>) -> anyhow::Error {
    Failure { code: code.into(), error: error.into() }.into()
}

/// Attaches an exit code to the error of a `Result`.
pub trait OrExit<T> {
    /// Ends the program with `code` if this is an error that nobody handles.
    fn or_exit(self, code: Code) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, code: Code) -> anyhow::Result<T> {
        self.map_err(|error| failure(code, error))
    }
}

/// The exit code of an error: the one attached to it, else [`Code::Io`] for an I/O error, else [`Code::Software`].
pub fn code_of(error: &anyhow::Error) -> Code {
    if let Some(failure) = error.chain().find_map(|cause| cause.downcast_ref::<Failure>()) {
        return failure.code;
    }
    if error.chain().any(|cause| cause.is::<io::Error>()) { Code::Io } else { Code::Software }
}

/// Ends `main`: nothing to say on success, else one line on stderr with the whole chain of causes.
pub fn report(program: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A parent that read this may be gone; the exit code still says it.
            let _ = writeln!(io::stderr(), "{program}: {error:#}");
            code_of(&error).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_code_survives_context_added_above_it() {
        let error = Err::<(), _>(anyhow!("label 10")).or_exit(Code::Data).context("failed to read `x`").unwrap_err();
        assert_eq!(code_of(&error), Code::Data);
        assert_eq!(format!("{error:#}"), "failed to read `x`: label 10");
    }

    #[test]
    fn an_io_error_without_a_code_is_74_and_anything_else_70() {
        let io: anyhow::Result<()> = Err(io::Error::other("disk")).context("failed to write `x`");
        assert_eq!(code_of(&io.unwrap_err()), Code::Io);
        assert_eq!(code_of(&anyhow!("surprise")), Code::Software);
    }
}
