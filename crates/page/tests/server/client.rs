//! A server with a run in a folder of its own, and a client that speaks HTTP by hand.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use event::Event;
use page::{Happening, Limits, Options, Run, Server};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes here.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Page {
    pub(crate) server: Server,
    pub(crate) run: Run,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    dir: TempDir,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Page {
    pub(crate) fn new() -> Page {
        Page::within(Limits::default())
    }

    pub(crate) fn within(limits: Limits) -> Page {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::new("one", dir.path());
        let options = Options { listen: ([127, 0, 0, 1], 0).into(), token_file: None };
        let server = Server::start_within(&options, vec![run.clone()], limits).unwrap();
        let (address, token) = parts(&server);
        Page { server, run, address, token, dir }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// The lines that let a request in.
    pub(crate) fn pass(&self) -> String {
        format!("Host: {}\r\nCookie: tributary-{}={}\r\n", self.address, self.address.port(), self.token)
    }

    /// Asks, with these lines of a head.
    pub(crate) fn ask(&self, line: &str, head: &str, body: &[u8]) -> Reply {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{line} HTTP/1.1\r\n{head}{length}Connection: close\r\n\r\n");
        self.say(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), &self.pass(), b"")
    }

    /// Says these bytes, and hears the answer to the end.
    pub(crate) fn say(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said); // A reset after the answer is no matter.
        let text = String::from_utf8_lossy(&said);
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head: head.to_lowercase(), body: said[head.len() + 4..].to_vec() }
    }

    pub(crate) fn watch(&self, last_event_id: &str) -> Watcher {
        let id = if last_event_id.is_empty() { String::new() } else { format!("Last-Event-ID: {last_event_id}\r\n") };
        let mut stream = self.connect();
        write!(stream, "GET /runs/0/events HTTP/1.1\r\n{}{id}\r\n", self.pass()).unwrap();
        Watcher::new(stream)
    }

    pub(crate) fn log(&self, text: &str) {
        self.run.tell(Some("trainer"), SystemTime::now(), &Happening::Log(text));
    }

    pub(crate) fn tell(&self, child: &str, event: &Event) {
        self.run.tell(Some(child), SystemTime::now(), &Happening::Event(event));
    }
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Where a server is, and its token.
pub(crate) fn parts(server: &Server) -> (SocketAddr, String) {
    let (address, token) = server.address().strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    (address.parse().unwrap(), token.into())
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// Hears Server-Sent Events.
pub(crate) struct Watcher {
    stream: BufReader<TcpStream>,
    text: String,
}

impl Watcher {
    pub(crate) fn new(stream: TcpStream) -> Watcher {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "no whole head: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        Watcher { stream, text: String::new() }
    }

    /// The next message; nothing after the end.
    pub(crate) fn next(&mut self) -> Option<Message> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut message = Message::default();
                for (name, value) in block.lines().filter_map(|line| line.split_once(':')) {
                    let value = value.trim_start().to_owned();
                    match name {
                        "id" => message.id = value,
                        "event" => message.event = value,
                        "data" => message.data = value,
                        other => assert!(["", "retry"].contains(&other), "{other}"),
                    }
                }
                self.text = rest.to_owned();
                if !message.data.is_empty() {
                    return Some(message);
                }
            }
            let chunk = self.chunk();
            if chunk.is_empty() {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next chunk of the body, empty at its end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        self.stream.read_line(&mut size).unwrap();
        let mut chunk = vec![0; usize::from_str_radix(size.trim_end(), 16).unwrap() + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        chunk.truncate(chunk.len() - 2);
        chunk
    }

    /// The next message is where all that there is begins again.
    #[track_caller]
    pub(crate) fn reset(&mut self) {
        let message = self.next().unwrap();
        assert_eq!((&*message.event, &*message.data, &*message.id), ("reset", "{}", ""));
    }

    /// So many messages.
    #[track_caller]
    pub(crate) fn take(&mut self, n: usize) -> Vec<Message> {
        (0..n).map(|_| self.next().unwrap()).collect()
    }
}

/// A file in a folder that is not there yet.
pub(crate) fn write(path: PathBuf, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    process::file::replace(&path, bytes.as_ref()).unwrap();
}
