//! Intruders: hostile requests at a page that is served while a run goes on. None of them is let in, hears anything but a
//! refusal, or keeps a watcher from being told everything.

mod attempt;
mod watcher;

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context, ensure};
use event::Event;
use page::{Happening, Limits, Options, Run, Server};
use sample::random::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Finding, panics};
use attempt::{Attempt, Target};
use watcher::Watcher;

/// Until a request is answered or its connection closed.
const LIMIT: Duration = Duration::from_secs(20);
/// What a server waits for the slow ones here.
const PATIENCE: Duration = Duration::from_millis(300);
/// Requests at the same time.
const AT_ONCE: u64 = 16;
/// Places for strangers.
const STRANGERS: usize = 64;
/// After so many requests a crowd comes, of so many that there are no places for all.
const CROWD: (u64, usize) = (500, 100);
/// What stands in files that are not to be read: in the run folder, and beside it.
const SECRET: &str = "nothing that a page shows";

/// What becomes of requests: it is counted beside the kinds.
const REFUSED: &str = "refused";
const DROPPED: &str = "dropped without an answer";

/// Makes so many hostile requests, and tells a watcher of each.
pub async fn run(count: u64, seed: u64) -> anyhow::Result<Finding> {
    panics::watch();
    let dir = tempfile::tempdir()?;
    let folder = dir.path().join("run");
    fs::create_dir(&folder)?;
    for file in ["secret", "run/config.toml", "run/.lock", "run/secret"] {
        fs::write(dir.path().join(file), SECRET)?;
    }
    fs::write(folder.join(run_folder::REPORT), "<!doctype html>")?;
    let told = Run::new("run", &folder);
    let limits = Limits { head: PATIENCE, body: PATIENCE, strangers: STRANGERS, ..Limits::default() };
    let options = Options { listen: ([127, 0, 0, 1], 0).into(), token_file: None };
    let server = Server::start_within(&options, vec![told.clone()], limits)?;
    let target = Arc::new(Target::of(server.address())?);
    let watcher = Watcher::start(&target)?;
    let crowds = Arc::new(Mutex::new(()));
    let (next, mut crew, mut all) = (Arc::new(AtomicU64::new(0)), JoinSet::new(), Finding::default());
    for _ in 0..AT_ONCE {
        let (next, target) = (Arc::clone(&next), Arc::clone(&target));
        let (told, seen, crowds) = (told.clone(), watcher.seen(), Arc::clone(&crowds));
        crew.spawn(async move {
            let mut finding = Finding::default();
            loop {
                let case = next.fetch_add(1, Ordering::Relaxed);
                if case >= count || finding.violations.len() >= crate::ENOUGH {
                    return finding;
                }
                finding.cases += 1;
                // Behind by this much, he would miss points that are left out of a curve.
                if let Err(error) = seen.wait_for(case.saturating_sub(400), LIMIT).await {
                    finding.violations.push(format!("{error:#}, case {case} of seed {seed}"));
                    return finding;
                }
                seen.tell(|number| {
                    let stored = Event::Stored { samples: number, chunks: number };
                    told.tell(Some("receiver"), SystemTime::now(), &Happening::Event(&stored));
                });
                let mut random = Stream::keyed("tributary intruders", &[seed, case]);
                let attempt = Attempt::any(&target, &mut random);
                finding.count(attempt.name);
                match make(&target, &attempt).await {
                    Ok(how) => finding.count(how),
                    Err(error) => {
                        finding.violations.push(format!("{}: {error:#}, case {case} of seed {seed}", attempt.name));
                    }
                }
                if case % CROWD.0 == 0
                    && let Err(error) = crowd(&target, &crowds).await
                {
                    finding.violations.push(format!("in a crowd: {error:#}, case {case} of seed {seed}"));
                }
            }
        });
    }
    while let Some(finding) = crew.join_next().await {
        all.add(finding?);
    }
    told.tell(None, SystemTime::now(), &Happening::Finished { ok: true, text: "" });
    let stop = tokio::task::spawn_blocking(move || server.stop());
    timeout(LIMIT, stop).await.context("the server does not stop")??;
    let (events, latest) = watcher.end(all.cases).unwrap_or_else(|error| {
        all.violations.push(format!("the watcher: {error:#}"));
        (0, Duration::ZERO)
    });
    all.violations.extend(panics::take());
    let [refused, dropped] = [REFUSED, DROPPED].map(|how| all.counts.remove(how).unwrap_or_default());
    let cases = all.cases;
    all.hold(refused > cases / 2, || format!("{refused} of {cases} requests were answered"));
    all.figure(REFUSED, refused);
    all.figure(DROPPED, dropped);
    all.figure("let in", cases - refused - dropped);
    all.figure("events that a watcher was told meanwhile", format!("{events} of {cases}"));
    all.figure("the latest of them", format!("after {:.0} ms", latest.as_secs_f64() * 1000.0));
    Ok(all)
}

/// Makes a request, and hears the answer to the end. What became of it.
async fn make(target: &Target, attempt: &Attempt) -> anyhow::Result<&'static str> {
    let mut stream = connect(target.address).await?;
    let answer = timeout(LIMIT, async {
        let _ = stream.write_all(&attempt.bytes).await; // It may have heard enough.
        if !attempt.lingers {
            let _ = stream.shutdown().await;
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await; // A reset is an end as well.
        answer
    });
    let answer = answer.await.context("the server does not hang up")?;
    attempt.judge(target, &answer)?;
    Ok(if answer.is_empty() { DROPPED } else { REFUSED })
}

/// Many come at once and say nothing, and one who has the token asks.
async fn crowd(target: &Target, one_at_a_time: &Mutex<()>) -> anyhow::Result<()> {
    let _turn = one_at_a_time.lock().await;
    let mut strangers = Vec::new();
    for _ in 0..CROWD.1 {
        strangers.push(connect(target.address).await?);
    }
    let mut member = connect(target.address).await?;
    let request = format!("GET /runs HTTP/1.1\r\n{}Connection: close\r\n\r\n", target.pass());
    member.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(LIMIT, member.read_to_string(&mut answer)).await.context("no answer")??;
    ensure!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"[{"name":"run"}]"#), "it said {answer:?}");
    Ok(())
}

/// Connects. A system that is out of ports for a moment is none of the page's doing.
async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut attempts = 0;
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) if attempts == 100 => return Err(error).context("failed to reach the page"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
        attempts += 1;
    }
}
