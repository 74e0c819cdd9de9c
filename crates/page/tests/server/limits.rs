//! Those who are slow, silent or many: they cost the others nothing.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use page::Limits;

use crate::client::{LONG, Page, Watcher};

const SHORT: Duration = Duration::from_millis(100);

/// Until this connection is closed by the server.
#[track_caller]
fn closes(mut stream: std::net::TcpStream) {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest); // A reset is an end as well.
    assert!(start.elapsed() < LONG / 2, "it was not closed");
}

#[test]
fn who_says_nothing_or_never_ends_a_head_or_a_body_is_dropped() {
    let page = Page::within(Limits { head: SHORT, body: SHORT, ..Limits::default() });
    let silent = page.connect();
    let mut slow = page.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let mut idle = page.connect();
    write!(idle, "GET /runs HTTP/1.1\r\n{}\r\n", page.pass()).unwrap();
    let mut body = page.connect();
    let head = format!("{}Content-Type: image/png\r\nContent-Length: 1000\r\n", page.pass());
    write!(body, "POST /runs/0/digits HTTP/1.1\r\n{head}\r\nx").unwrap();
    for stream in [silent, slow, idle, body] {
        closes(stream);
    }
    assert_eq!(page.get("/runs").status, 200);
}

#[test]
fn a_watcher_who_never_reads_is_dropped_and_the_others_are_served() {
    let page = Page::within(Limits { write: SHORT, ..Limits::default() });
    let mut deaf = page.connect();
    write!(deaf, "GET /runs/0/events HTTP/1.1\r\n{}\r\n", page.pass()).unwrap();
    let mut good = page.watch("");
    good.reset();
    let line = "x".repeat(400);
    let start = Instant::now();
    // As much as it takes for the system to keep no more for him.
    let mut told = 0;
    while is_open(&deaf) {
        for _ in 0..50 {
            told += 1;
            page.log(&format!("{told} {line}"));
        }
        good.next().unwrap();
        assert!(start.elapsed() < LONG, "it was not dropped, of {told} lines");
    }
    page.log("then");
    while good.next().unwrap().json()["text"] != "then" {}
}

/// Whether the peer has not closed it: what was written to it is still to be read, or more may come.
fn is_open(stream: &std::net::TcpStream) -> bool {
    // A write to a connection that was reset fails; before that, it is a byte of a request that is never read.
    (&*stream).write_all(b"\n").is_ok()
}

#[test]
fn a_crowd_of_strangers_keeps_no_member_out() {
    let page = Page::within(Limits { strangers: 4, members: 2, ..Limits::default() });
    let mut watcher = page.watch("");
    watcher.reset();
    let crowd: Vec<_> = (0..20).map(|_| page.connect()).collect();
    assert_eq!(page.get("/runs").status, 200);
    page.log("x");
    assert!(watcher.next().is_some());
    let second = page.watch("");
    let refused = page.get("/runs");
    assert_eq!((refused.status, refused.text()), (503, "Too many are watching: try again later.\n"));
    drop((crowd, second));
}

#[test]
fn watchers_who_come_all_at_once_are_members_before_they_are_a_crowd() {
    let page = Page::within(Limits { strangers: 8, ..Limits::default() });
    let watchers: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = page.connect();
            write!(stream, "GET /runs/0/events HTTP/1.1\r\n{}\r\n", page.pass()).unwrap();
            stream
        })
        .collect();
    page.log("x");
    for (number, stream) in watchers.into_iter().enumerate() {
        let mut watcher = Watcher::new(stream);
        watcher.reset();
        assert!(watcher.next().is_some(), "{number}");
    }
}

#[test]
fn a_browser_takes_no_place_but_while_it_is_answered() {
    let page = Page::within(Limits { strangers: 4, members: 2, ..Limits::default() });
    let asked = |_| {
        let mut stream = page.connect();
        write!(stream, "GET /page.js HTTP/1.1\r\n{}Connection: keep-alive\r\n\r\n", page.pass()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said:.100}");
        stream
    };
    let kept: Vec<_> = (0..20).map(asked).collect();
    drop(kept);
}

#[test]
fn a_stranger_in_the_middle_of_a_head_does_not_delay_the_end() {
    let page = Page::within(Limits { stop: LONG, ..Limits::default() });
    let mut slow = page.connect();
    slow.write_all(b"GET / HT").unwrap();
    assert_eq!(page.get("/runs").status, 200); // By now the other one is heard as well.
    let start = Instant::now();
    drop(page);
    assert!(start.elapsed() < LONG / 2, "the end waited for a stranger");
}

#[test]
fn a_head_that_is_too_long_is_refused_and_what_is_no_request_as_well() {
    let page = Page::new();
    let long = page.say(format!("GET / HTTP/1.1\r\n{}X: {}\r\n\r\n", page.pass(), "x".repeat(20_000)).as_bytes());
    assert_eq!(long.status, 431);
    let long = page.say(format!("GET /{} HTTP/1.1\r\n{}\r\n", "x".repeat(20_000), page.pass()).as_bytes());
    assert!((400..500).contains(&long.status), "{}", long.status);
    assert_eq!(page.say(b"\x16\x03\x01\x02\x00 hello\r\n\r\n").status, 400);
    assert_eq!(page.get("/runs").status, 200);
}
