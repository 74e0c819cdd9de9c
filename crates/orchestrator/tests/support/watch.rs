//! Somebody who watches a page, and reads what it is sent, as a browser would.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// No page is silent for so long: it shows every ten seconds that it is there.
const LIMIT: Duration = Duration::from_secs(60);

/// A page, with the cookie that opens it.
pub(crate) struct Page {
    host: String,
    cookie: String,
}

pub(crate) struct Watcher(BufReader<TcpStream>);

impl Page {
    /// Opens what was printed.
    pub(crate) fn open(address: &str) -> Page {
        let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut page = Page { host: host.into(), cookie: String::new() };
        let answer = page.get(&format!("/{path}"));
        let cookie =
            answer.lines().find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie: ").then(|| &line[12..]));
        page.cookie = cookie.unwrap_or_else(|| panic!("no cookie in {answer}")).split(';').next().unwrap().into();
        page
    }

    /// All that is answered.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        self.ask(path).read_to_string(&mut answer).unwrap();
        answer
    }

    /// Watches the run from its beginning.
    pub(crate) fn watch(&self) -> Watcher {
        let mut reader = BufReader::new(self.ask("/runs/0/events"));
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap() > 2 {}
        assert!(head.contains("text/event-stream"), "{head}");
        Watcher(reader)
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let Page { host, cookie } = self;
        // Of HTTP/1.0, whose answers end with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n").unwrap();
        stream
    }
}

impl Watcher {
    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ")
                && data != "{}\n"
            {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The events up to one of this name, and that one.
    #[track_caller]
    pub(crate) fn until(&mut self, name: &str) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            let is_last = event["event"] == name;
            events.push(event);
            if is_last {
                return events;
            }
        }
        panic!("no `{name}` in {events:?}");
    }
}
