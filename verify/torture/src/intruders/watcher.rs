//! A watcher with the token, who is to be told everything while others try to get in.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::{sync::watch, time::timeout};

use super::{LIMIT, attempt::Target};
use crate::locked;

pub(super) struct Watcher {
    thread: JoinHandle<anyhow::Result<(u64, Duration)>>,
    seen: Seen,
}

/// What was told, and how much of it the watcher has seen.
#[derive(Clone)]
pub(super) struct Seen {
    /// When each event was told.
    told: Arc<Mutex<Vec<Instant>>>,
    seen: watch::Receiver<u64>,
}

impl Seen {
    /// Tells the next event, by its number.
    pub(super) fn tell(&self, tell: impl FnOnce(u64)) {
        let mut told = locked(&self.told);
        told.push(Instant::now());
        tell(told.len() as u64);
    }

    pub(super) async fn wait_for(&self, number: u64, limit: Duration) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        timeout(limit, seen.wait_for(|&seen| seen >= number)).await.context("the watcher is told nothing")??;
        Ok(())
    }
}

impl Watcher {
    pub(super) fn start(target: &Target) -> anyhow::Result<Watcher> {
        let mut stream = TcpStream::connect(target.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // In this version of HTTP the answer is lines and nothing between them.
        write!(stream, "GET /runs/0/events HTTP/1.0\r\n{}\r\n", target.pass())?;
        let (progress, seen) = watch::channel(0);
        let seen = Seen { told: Arc::default(), seen };
        let told = Arc::clone(&seen.told);
        let thread = thread::spawn(move || follow(&stream, &told, &progress));
        Ok(Watcher { thread, seen })
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// How many events were seen to the end, and after what time the latest of them.
    pub(super) fn end(self, expect: u64) -> anyhow::Result<(u64, Duration)> {
        let (events, latest) = self.thread.join().ok().context("it panicked")??;
        ensure!(events == expect, "it was told {events} events of {expect}");
        Ok((events, latest))
    }
}

fn follow(
    stream: &TcpStream,
    told: &Mutex<Vec<Instant>>,
    progress: &watch::Sender<u64>,
) -> anyhow::Result<(u64, Duration)> {
    let (mut number, mut latest, mut is_over) = (0, Duration::ZERO, false);
    for line in BufReader::new(stream).lines() {
        let line = line.context("it was dropped")?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let event: serde_json::Value = serde_json::from_str(data)?;
        match event["event"].as_str() {
            Some("stored") => {
                ensure!(event["samples"] == number + 1, "after event {number} it was told {data}");
                latest = latest.max(locked(told)[number as usize].elapsed());
                number += 1;
                progress.send_replace(number);
            }
            Some("finished") => is_over = true,
            _ => ensure!(data == "{}", "it was told {data}"),
        }
    }
    ensure!(is_over, "it was not told the end, after event {number}");
    Ok((number, latest))
}
