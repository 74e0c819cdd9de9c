//! `host:port`, as a user gives it. What can never be reached is refused at once, with what to write instead.

use std::net::{SocketAddr, SocketAddrV6, ToSocketAddrs};

use anyhow::Context;
use process::exit::{Code, OrExit};

/// Where a receiver is, for `--connect`.
///
/// # Errors
/// When it is no `host:port`; one sentence.
pub fn to_connect(text: &str) -> Result<String, String> {
    match check(text)? {
        0 => Err("port 0 is for --listen only: give the port that the receiver listens on".into()),
        _ => Ok(text.to_owned()),
    }
}

/// Where to listen, for `--listen`; port 0 stands for a free one.
///
/// # Errors
/// When it is no `host:port`; one sentence.
pub fn to_listen(text: &str) -> Result<String, String> {
    check(text).map(|_| text.to_owned())
}

/// The address to listen on that is meant.
///
/// # Errors
/// When nobody knows the host.
pub fn resolve(text: &str) -> anyhow::Result<SocketAddr> {
    let found = text.to_socket_addrs().with_context(|| format!("failed to find the host of `{text}`"));
    let found = found.and_then(|mut found| found.next().with_context(|| format!("`{text}` has no address")));
    found.or_exit(Code::Unavailable)
}

/// The port, if all is well.
fn check(text: &str) -> Result<u16, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(format!("leave out `{scheme}://`: give host and port, such as {}", example(rest)));
    }
    if let Ok(address) = text.parse::<SocketAddrV6>() {
        return Ok(address.port());
    }
    // With or without a port, which nobody can tell.
    if text.starts_with('[') || text.matches(':').count() > 1 {
        return Err("put an IPv6 address into brackets, with the port behind them, such as [::1]:9999".into());
    }
    let Some((host, port)) = text.split_once(':') else {
        return Err(format!("give a port as well, such as {}", example(text)));
    };
    if host.is_empty() {
        return Err(format!("give a host before the port, such as 127.0.0.1:{port}"));
    }
    if !is_host(host) {
        return Err(format!("`{host}` is no host name; give host and port, such as 127.0.0.1:9999"));
    }
    let number = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
    number.ok_or_else(|| format!("`{port}` is no port; give a number up to 65535, such as {host}:9999"))
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
}

/// The host at the beginning of a text, with a port.
fn example(text: &str) -> String {
    let host = text.split([':', '/']).next().filter(|host| is_host(host)).unwrap_or("127.0.0.1");
    format!("{host}:9999")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_taken_as_they_are() {
        for text in
            ["127.0.0.1:9999", "localhost:1", "my_host-1.example:65535", "[::1]:9999", "[fe80::1%3]:7", "bücher:7"]
        {
            assert_eq!(to_connect(text), Ok(text.to_owned()));
            assert_eq!(to_listen(text), Ok(text.to_owned()));
        }
        assert_eq!(to_listen("127.0.0.1:0"), Ok("127.0.0.1:0".to_owned()));
        assert!(to_connect("127.0.0.1:0").unwrap_err().contains("port 0"));
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for (text, advice) in [
            ("", "give a port as well, such as 127.0.0.1:9999"),
            ("host", "give a port as well, such as host:9999"),
            ("tcp://host:9999", "leave out `tcp://`: give host and port, such as host:9999"),
            ("http://[::1]/", "leave out `http://`: give host and port, such as 127.0.0.1:9999"),
            (":9999", "give a host before the port, such as 127.0.0.1:9999"),
            ("host:", "`` is no port; give a number up to 65535, such as host:9999"),
            ("host:65536", "`65536` is no port; give a number up to 65535, such as host:9999"),
            ("host:+1", "`+1` is no port; give a number up to 65535, such as host:9999"),
            ("host:9999/", "`9999/` is no port; give a number up to 65535, such as host:9999"),
            ("a b:9999", "`a b` is no host name; give host and port, such as 127.0.0.1:9999"),
            ("::1:9999", "put an IPv6 address into brackets, with the port behind them, such as [::1]:9999"),
            ("[::1]", "put an IPv6 address into brackets, with the port behind them, such as [::1]:9999"),
            ("[host]:9999", "put an IPv6 address into brackets, with the port behind them, such as [::1]:9999"),
        ] {
            assert_eq!(to_listen(text), Err(advice.to_owned()), "{text}");
        }
    }
}
