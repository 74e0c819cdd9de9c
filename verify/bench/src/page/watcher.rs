//! Somebody who watches a page over a socket of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use anyhow::{Context, ensure};

/// A page is never silent for so long.
const LIMIT: Duration = Duration::from_secs(60);
/// A watcher needs little.
const STACK: usize = 128 << 10;

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Reads,
    NeverReads,
}

/// A page, with the cookie that opens it.
pub(super) struct Page {
    host: String,
    cookie: String,
}

pub(super) enum Watcher {
    Reads(JoinHandle<anyhow::Result<()>>),
    NeverReads(#[expect(dead_code, reason = "held open")] TcpStream),
}

impl Page {
    /// Opens what was printed.
    pub(super) fn open(address: &str) -> anyhow::Result<Page> {
        let parts = address.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        let (host, path) = parts.with_context(|| format!("`{address}` is no address of a page"))?;
        let mut page = Page { host: host.to_owned(), cookie: String::new() };
        let mut answer = String::new();
        page.ask(&format!("/{path}"))?.read_to_string(&mut answer)?;
        let is_cookie = |line: &&str| line.to_ascii_lowercase().starts_with("set-cookie: ");
        let cookie = answer.lines().find(is_cookie).context("the page does not open")?;
        page.cookie = cookie["set-cookie: ".len()..].split(';').next().unwrap_or_default().to_owned();
        Ok(page)
    }

    /// In HTTP/1.0, whose answers are lines and nothing between them, and end with the connection.
    fn ask(&self, path: &str) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let Page { host, cookie } = self;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n")?;
        Ok(stream)
    }
}

impl Watcher {
    pub(super) fn start(page: &Page, kind: Kind) -> anyhow::Result<Watcher> {
        let stream = page.ask("/runs/0/events")?;
        Ok(match kind {
            Kind::Reads => Watcher::Reads(Builder::new().stack_size(STACK).spawn(move || read(stream))?),
            Kind::NeverReads => Watcher::NeverReads(stream),
        })
    }

    /// Fails if one who reads was not told the end.
    pub(super) fn end(self) -> anyhow::Result<()> {
        match self {
            Watcher::Reads(thread) => thread.join().ok().context("a watcher panicked")?,
            Watcher::NeverReads(_) => Ok(()),
        }
    }
}

fn read(stream: TcpStream) -> anyhow::Result<()> {
    let mut is_over = false;
    for line in BufReader::with_capacity(8 << 10, stream).lines() {
        is_over |= line.context("a watcher was dropped")?.contains("\"event\":\"finished\"");
    }
    ensure!(is_over, "a watcher was not told the end");
    Ok(())
}
