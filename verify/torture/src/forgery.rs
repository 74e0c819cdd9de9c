//! Forged handshakes: peers that do not hold the key, but have recorded those who do, and can stand between them, meet a
//! real receiver over real sockets, with TLS and without. The state machines of the protocol, alone and of both sides, meet
//! the same and worse in `hostile`.

mod forger;

use std::time::Duration;

use anyhow::{Context, ensure};
use proto::{
    Binding, Key, MAX_BODY, Message,
    message::{Hello, Open},
};
use sample::{Extent, random::Stream};
use tokio::{net::TcpStream, time::timeout};
use transport::{key_file, tls};

use crate::{Finding, programs, samples};
use forger::{Forger, Forgery};

const LIMIT: Duration = Duration::from_secs(30);
/// Samples of the honest sender who comes last.
const HONEST: u64 = 500;

/// Forges so many times at one receiver; in the end an honest sender must find everything as it was.
pub async fn run(count: u64, seed: u64) -> anyhow::Result<Finding> {
    let mut finding = Finding { cases: count, ..Finding::default() };
    let dir = tempfile::tempdir()?;
    let chunks = dir.path().join("chunks");
    let (receiver, address) = programs::Receiver::start(&chunks, &["--streams=1".into()])?;
    let key = key_file::read(&programs::key(&chunks))?;
    for case in 0..count {
        let socket = TcpStream::connect(address).await.context("failed to reach the receiver")?;
        let mut random = Stream::keyed("tributary forgery on a socket", &[seed, case]);
        let forgery = Forgery::any(&mut random);
        finding.count(forgery.name());
        let said = timeout(LIMIT, forge(socket, &key, forgery, &mut random)).await;
        let wrong = match said {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "the receiver does not hang up".into(),
        };
        finding.violations.push(format!("{wrong}: {}, case {case} of seed {seed}", forgery.name()));
    }
    let honest = sender::Config { deadline: LIMIT, ..sender::Config::new(address, programs::key(&chunks)) };
    samples::send(&samples::source("honest", 0, HONEST), &honest, |_| {}).await.context("the honest sender")?;
    tokio::task::spawn_blocking(move || receiver.follow(|| {})).await??;
    finding.violations.extend(samples::check(&chunks, HONEST).into_iter().take(10));
    Ok(finding)
}

/// Forges once, over TLS every fourth time. All that may be heard is the greeting that everybody hears, and "refused".
async fn forge(socket: TcpStream, key: &Key, forgery: Forgery, random: &mut Stream) -> anyhow::Result<()> {
    let (mut reader, mut writer, channel) = if random.below(4) == 0 {
        tls::Connector::new(key).connect(socket).await?
    } else {
        let (reader, writer) = transport::split(socket)?;
        (reader, writer, Binding::Plain)
    };
    let forger = Forger::new(key.clone(), channel, random)?;
    writer.write(&forger.greeting(forgery, random)).await?;
    let mut message = reader.read(MAX_BODY).await?.context("no answer")?;
    if message == Message::Hello(Hello::OURS) {
        let Some(Message::Challenge(challenge)) = reader.read(MAX_BODY).await? else { anyhow::bail!("no challenge") };
        let proof = forger.proof(forgery, random, challenge);
        writer.write(&[proof, Message::Open(open()).frame(), forger::samples()].concat()).await?;
        message = reader.read(MAX_BODY).await?.context("no answer to the proof")?;
    }
    ensure!(message == Message::refused(), "it said {message:?}");
    ensure!(reader.read(MAX_BODY).await?.is_none(), "it said more");
    Ok(())
}

/// The stream that a forger would like to open.
fn open() -> Open {
    Open { stream: "forged".into(), dataset: "made-up".into(), dataset_digest: [7; 32], extent: Extent::range(0..10) }
}
