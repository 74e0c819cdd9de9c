//! Spark's own pages. A server does not say where they are: at the first of some ports that was free when it started.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// How many ports to try. Spark itself tries sixteen; who starts so many on one machine knows where they are.
const PORTS: u16 = 4;
/// How long each step may take; the pages are near, or not within reach.
const LIMIT: Duration = Duration::from_secs(1);
const MAX_ANSWER: u64 = 1 << 16;

/// The address of the pages of application `id` on `host`, which are at port `first` or soon after.
pub(super) fn find(host: &str, first: u16, id: &str) -> Option<String> {
    for port in (first..=u16::MAX).take(PORTS.into()).filter(|port| *port != 0) {
        // Where nobody listens, later ports were not tried by Spark either.
        if applications(host, port).ok()?.contains(&format!("\"{id}\"")) {
            return Some(format!("http://{host}:{port}"));
        }
    }
    None
}

/// What is said there about applications.
fn applications(host: &str, port: u16) -> io::Result<String> {
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(stream, "GET /api/v1/applications HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    // What came in time may do.
    let _ = stream.take(MAX_ANSWER).read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
