//! What watchers are told: everything once, in order, whenever they come.

use std::time::{Duration, Instant};

use event::Event;
use page::Limits;
use serde_json::json;

use crate::client::{LONG, Message, Page};

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.json()["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_watches_is_told_at_once_and_who_comes_late_is_told_all_in_order() {
    let page = Page::new();
    let mut early = page.watch("");
    early.reset();
    for i in 0..20 {
        page.log(&format!("{i}"));
        let start = Instant::now();
        let message = early.next().unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "pushed, not polled");
        assert_eq!(message.json()["text"], i.to_string());
        assert_eq!(message.json()["child"], "trainer");
    }
    let mut late = page.watch("");
    late.reset();
    let messages = late.take(20);
    assert_eq!(texts(&messages), (0..20).map(|i| i.to_string()).collect::<Vec<_>>());
    page.log("then");
    assert_eq!(late.next().unwrap(), early.next().unwrap());
}

#[test]
fn who_comes_again_goes_on_after_what_he_saw_and_ids_of_another_run_begin_again() {
    let page = Page::new();
    (0..6).for_each(|i| page.log(&i.to_string()));
    let mut first = page.watch("");
    first.reset();
    let seen = first.take(3);
    drop(first);
    page.log("6");
    let mut again = page.watch(&seen[2].id);
    assert_eq!(texts(&again.take(4)), ["3", "4", "5", "6"]);
    let newest = page.watch(&seen[2].id).take(4).pop().unwrap().id;
    let mut up_to_date = page.watch(&newest);
    page.log("7");
    assert_eq!(texts(&up_to_date.take(1)), ["7"]);
    let (epoch, _) = seen[0].id.split_once('-').unwrap();
    for id in ["0123456789abcdef-3".to_owned(), "3".into(), format!("{epoch}-999"), format!("{epoch}--1")] {
        let mut other = page.watch(&id);
        other.reset();
        assert_eq!(texts(&other.take(2)), ["0", "1"], "{id}");
    }
}

#[test]
fn who_comes_late_or_reads_in_turns_ends_with_the_same_as_who_saw_it_all() {
    let page = Page::new();
    let mut turns = page.watch("");
    turns.reset();
    let mut last = Message::default();
    for samples in 1..=5000 {
        page.tell("sender-0", &Event::Acknowledged { samples, of: 5000 });
        page.tell("receiver", &Event::Stored { samples, chunks: samples });
        if samples % 1000 == 0 {
            page.log(&samples.to_string());
        }
        if samples == 2500 {
            last = turns.next().unwrap();
            turns = page.watch(&last.id);
        }
    }
    let mut late = page.watch("");
    late.reset();
    let mut messages = Vec::new();
    while messages.last().is_none_or(|message: &Message| message.json()["text"] != "5000") {
        messages.push(late.next().unwrap());
    }
    let of = |event: &str| messages.iter().filter(|message| message.json()["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("acknowledged").len(), 1);
    assert_eq!(of("log").len(), 5);
    let stored: Vec<u64> = of("stored").iter().map(|message| message.json()["samples"].as_u64().unwrap()).collect();
    assert!(stored.len() <= 1000 && stored.is_sorted(), "{}", stored.len());
    assert_eq!((stored[0], stored[stored.len() - 1]), (1, 5000));
    // The other has seen other points, and ends with the same.
    let (mut acknowledged, mut durable) = (json!(0), json!(0));
    let number = |message: &Message| message.id.split_once('-').unwrap().1.parse::<u64>().unwrap();
    let mut before = number(&last);
    loop {
        let message = turns.next().unwrap();
        assert!(number(&message) > before, "each once, in order");
        before = number(&message);
        match message.json() {
            said if said["event"] == "acknowledged" => acknowledged = said["samples"].clone(),
            said if said["event"] == "stored" => durable = said["samples"].clone(),
            said if said["text"] == "5000" => break,
            _ => {}
        }
    }
    assert_eq!((acknowledged, durable), (json!(5000), json!(5000)));
}

#[test]
fn a_silent_run_shows_signs_of_life() {
    let page = Page::within(Limits { heartbeat: Duration::from_millis(20), ..Limits::default() });
    let mut watcher = page.watch("");
    watcher.reset();
    (0..3).for_each(|_| assert_eq!(watcher.chunk(), b":\n\n"));
    page.log("x");
    assert_eq!(texts(&watcher.take(1)), ["x"]);
}

#[test]
fn a_server_that_stops_first_tells_what_there_was_to_tell() {
    let page = Page::new();
    let mut watchers: Vec<_> = (0..5).map(|_| page.watch("")).collect();
    watchers.iter_mut().for_each(|watcher| watcher.reset());
    page.log("the last");
    let (start, address) = (Instant::now(), page.address);
    page.server.stop();
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    for watcher in &mut watchers {
        assert_eq!(texts(&watcher.take(1)), ["the last"]);
        assert_eq!(watcher.next(), None);
    }
    assert!(std::net::TcpStream::connect(address).is_err());
}
