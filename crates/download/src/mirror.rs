//! One mirror: a file of MNIST from it, verified, within limits on every wait.

use std::{
    fmt,
    io::{self, Read},
    ops::ControlFlow,
    time::Duration,
};

use sha2::{Digest, Sha256};
use ureq::Agent;

use crate::{OnProgress, Progress};

/// How long to wait for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For the name lookup, and again for the connection with its TLS handshake.
    pub connect: Duration,
    /// For the next byte.
    pub stall: Duration,
    /// For one whole file from one mirror.
    pub overall: Duration,
}

impl Default for Limits {
    /// Short for the connection, because behind a firewall that drops packets every mirror costs all of it before
    /// `--dataset auto` can go on; long for the whole, because 10 MB over a poor line take minutes.
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), stall: Duration::from_secs(10), overall: Duration::from_secs(600) }
    }
}

/// No packed file of MNIST is larger than 10 MB; a mirror that sends more than this is not one.
const MAX_PACKED_BYTES: u64 = 64 << 20;

pub(crate) struct Mirror {
    pub(crate) url: String,
    agent: Agent,
    pub(crate) given_up: bool,
    pub(crate) last_failure: Option<String>,
}

/// Why one attempt at one mirror failed, and whether the same mirror may do better later.
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) again: bool,
}

impl Mirror {
    pub(crate) fn new(url: &str, limits: &Limits) -> Self {
        let mut config = Agent::config_builder()
            .user_agent(concat!("tributary/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_per_read(Some(limits.stall))
            .timeout_per_write(Some(limits.stall))
            .timeout_global(Some(limits.overall));
        if url.starts_with("http://127.0.0.1:") {
            // A proxy from the environment could not reach this machine's loopback interface.
            config = config.proxy(None);
        }
        Self { url: url.to_owned(), agent: config.build().into(), given_up: false, last_failure: None }
    }

    /// The packed bytes of one file, verified, unless `progress` breaks it off.
    pub(crate) fn get(
        &self,
        name: &str,
        sha256: &[u8; 32],
        progress: OnProgress<'_>,
    ) -> Result<ControlFlow<(), Vec<u8>>, Failure> {
        let response = self.agent.get(format!("{}{name}", self.url)).call()?;
        let mut body = response.into_body();
        let total = body.content_length();
        let mut body = body.as_reader().take(MAX_PACKED_BYTES);
        let mut packed = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            let so_far = Progress::Downloading { file: name.to_owned(), done: packed.len() as u64, total };
            if progress(so_far).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            match body.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => packed.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ureq::Error::from(error).into()),
            }
        }
        let wrong = |why| Failure { why, again: false };
        let unpacked =
            dataset::unpack_idx(&packed).map_err(|_| wrong("sent something that is not the file".to_owned()))?;
        if Sha256::digest(&unpacked).as_slice() != sha256 {
            return Err(wrong("sent a file with another checksum".to_owned()));
        }
        Ok(ControlFlow::Continue(packed))
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.last_failure.as_deref().unwrap_or("not asked"))
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        use ureq::{Error, Timeout};
        let again = match &error {
            Error::StatusCode(code) => *code >= 500,
            Error::Timeout(Timeout::Resolve | Timeout::Connect) => false,
            Error::Timeout(_) | Error::Protocol(_) => true,
            // A connection that broke; not one that never was, because of a failed name lookup for instance.
            Error::Io(error) => {
                matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
            }
            _ => false,
        };
        Self { why: error.to_string(), again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_address_gets_no_second_chance() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!Failure::from(ureq::Error::Io(refused)).again);
        let lookup = io::Error::other("failed to lookup address information");
        assert!(!Failure::from(ureq::Error::Io(lookup)).again);
        assert!(!Failure::from(ureq::Error::HostNotFound).again);
        assert!(!Failure::from(ureq::Error::Timeout(ureq::Timeout::Connect)).again);
        assert!(Failure::from(ureq::Error::Io(io::ErrorKind::ConnectionReset.into())).again);
    }
}
