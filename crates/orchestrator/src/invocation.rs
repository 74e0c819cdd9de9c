//! Invocations: the command lines of the children. They are made from the very flag groups that the children parse, so
//! that a flag is declared once and its name is written nowhere else.

use std::{fmt::Display, net::SocketAddr, path::Path, time::Duration};

use anyhow::Context;
use flags::Streaming;
use manifest::StreamEntry;
use process::exit::{Code, OrExit};
use serde::Serialize;
use serde_json::Value;
use setup::siblings::Program;

use crate::config::{Config, file::table};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation {
    /// What messages call it: `sender-0`.
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) arguments: Vec<String>,
    /// An exit code whose cause may pass by itself, so that it is worth starting the child again.
    pub(crate) passing: Option<Code>,
}

/// The receiver, on `listen`; `fresh` empties the chunk directory first. Where a receiver of this run may have been
/// before, its port may be in use for a moment.
pub(crate) fn receiver(config: &Config, listen: impl Display, fresh: bool) -> anyhow::Result<Invocation> {
    let mut arguments = vec![format!("--listen={listen}"), format!("--streams={}", config.senders)];
    arguments.extend(arguments_of(&config.security)?);
    arguments.extend(arguments_of(&config.directory)?);
    arguments.extend(arguments_of(&config.identity)?);
    arguments.extend(arguments_of(&config.chunking)?);
    if fresh {
        arguments.push("--fresh".into());
    }
    let passing = (!fresh || config.resume.is_some()).then_some(Code::Unavailable);
    Ok(Invocation { passing, ..child("receiver", Program::Receiver, arguments) })
}

/// A sender that only finds, fetches or draws the data and checks it, so that the others find it ready.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<Invocation> {
    let mut arguments = vec!["--prepare".into()];
    arguments.extend(arguments_of(&config.streaming)?);
    Ok(child("sender", Program::Sender, arguments))
}

/// The senders, one for each stream. Where there may be much to verify for a receiver that is started again, they may lose
/// patience with it.
pub(crate) fn senders(config: &Config, receiver: SocketAddr) -> anyhow::Result<Vec<Invocation>> {
    let passing = (config.live.live || config.streaming.endless).then_some(Code::Unavailable);
    let sender = |(index, stream): (u64, StreamEntry)| {
        let (name, dealt) = (&stream.name, config.dealt(index));
        let share = if dealt.is_some() || config.streaming.endless {
            config.streaming.clone()
        } else {
            Streaming { offset: stream.first, samples: stream.samples(), ..config.streaming.clone() }
        };
        let mut arguments = vec![format!("--connect={receiver}"), format!("--stream={name}")];
        arguments.extend(arguments_of(&config.security)?);
        if !receiver.ip().to_canonical().is_loopback() {
            arguments.push("--tls".into()); // The receiver wants it, also from here.
        }
        arguments.extend(dealt.map(|share| format!("--share={share}")));
        arguments.extend(arguments_of(&share)?);
        Ok(Invocation { passing, ..child(name, Program::Sender, arguments) })
    };
    (0..).zip(config.shares()).map(sender).collect()
}

/// The trainer, which waits up to `wait` for the chunk directory to be complete. It goes on from the run folder's newest
/// checkpoint, and begins with the first round if there is none; so it can be started as often as need be.
pub(crate) fn trainer(config: &Config, run_dir: &Path, wait: Duration) -> anyhow::Result<Invocation> {
    let run_dir = run_dir.to_str().context("the run folder's path is not UTF-8").or_exit(Code::Usage)?;
    let mut arguments = vec![format!("--resume={run_dir}"), format!("--wait={}s", wait.as_secs())];
    arguments.extend(arguments_of(&config.directory)?);
    arguments.extend(arguments_of(&config.identity)?);
    arguments.extend(arguments_of(&config.training)?);
    arguments.extend(arguments_of(&config.live)?);
    if config.live.live {
        arguments.push(format!("--offset={}", config.streaming.offset));
    }
    arguments.extend(arguments_of(&config.engine)?); // Always: the run folder may name another engine.
    let passing = (!wait.is_zero()).then_some(Code::Unavailable);
    Ok(Invocation { passing, ..child("trainer", Program::Trainer, arguments) })
}

fn arguments_of(flags: &impl Serialize) -> anyhow::Result<Vec<String>> {
    let argument = |(key, value)| match value {
        Value::Bool(true) => format!("--{key}"),
        Value::String(text) => format!("--{key}={text}"),
        other => format!("--{key}={other}"),
    };
    Ok(table(flags)?.into_iter().map(argument).collect())
}

fn child(name: &str, program: Program, arguments: Vec<String>) -> Invocation {
    let events_and_lifeline = ["--json".into(), "--lifeline".into()];
    let arguments = arguments.into_iter().chain(events_and_lifeline).collect();
    Invocation { name: name.into(), program, arguments, passing: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    fn line(invocation: &Invocation) -> String {
        format!("{} {}", invocation.program.name(), invocation.arguments.join(" "))
    }

    #[test]
    fn the_original_preset_reaches_every_child() {
        let config = config(&["--preset", "original", "--data", "mnist"]);
        assert_eq!(
            line(&receiver(&config, &config.listen, true).unwrap()),
            "receiver --listen=127.0.0.1:0 --streams=1 --key=data/tributary.key --dir=data/streaming_input \
             --samples-per-chunk=1000 --fresh --json --lifeline"
        );
        let address = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(
            senders(&config, address).unwrap().iter().map(line).collect::<Vec<_>>(),
            [
                "sender --connect=127.0.0.1:4000 --stream=sender-0 --key=data/tributary.key --batch-delay=500ms --data=mnist \
              --dataset=auto --drift=none --offset=0 --samples=20000 --samples-per-batch=500 --json --lifeline"
            ]
        );
        assert_eq!(
            line(&trainer(&config, Path::new("runs/x"), Duration::ZERO).unwrap()),
            "trainer --resume=runs/x --wait=0s --dir=data/streaming_input --batch-size=full --learning-rate=0.0005 \
             --local-epochs=1 --optimizer=adam --partitions=12 --received-accuracy=each-round --rounds=5 --seed=42 --step=native \
             --strategy=fedavg --test-data=mnist --weighting=uniform --engine=rayon --spark-patience=10m --json --lifeline"
        );
    }

    #[test]
    fn the_trainer_of_a_live_run_is_told_where_its_slices_are_and_any_other_is_not() {
        let live_flags = |flags: &[&str]| -> Vec<String> {
            let trainer = trainer(&config(flags), Path::new("runs/x"), Duration::ZERO).unwrap();
            let names = ["--live", "--samples-per-round", "--replay", "--fading-factor", "--drift-delta", "--offset"];
            let is_live = |argument: &String| names.iter().any(|name| argument.split('=').next() == Some(name));
            trainer.arguments.into_iter().filter(is_live).collect()
        };
        let expect = ["--drift-delta=0.002", "--fading-factor=0.999", "--live", "--replay=sliding:50"];
        let given = live_flags(&["--live", "--replay=sliding:50", "--offset=7", "--samples-per-round=100"]);
        assert_eq!(given[..4], expect);
        assert_eq!(given[4..], ["--samples-per-round=100", "--offset=7"]);
        assert_eq!(live_flags(&["--offset=7"]), [""; 0]);
    }

    #[test]
    fn senders_that_gave_up_are_started_again_where_a_stream_may_be_long() {
        for (flags, passing) in
            [(&[][..], None), (&["--live"], Some(Code::Unavailable)), (&["--endless"], Some(Code::Unavailable))]
        {
            let senders = senders(&config(flags), "127.0.0.1:1".parse().unwrap()).unwrap();
            assert_eq!(senders[0].passing, passing, "{flags:?}");
        }
    }

    #[test]
    fn senders_use_tls_where_the_receiver_wants_it() {
        let config = config(&["--key", "k"]);
        for (address, tls) in [("127.0.0.1:1", false), ("[::ffff:127.0.0.1]:1", false), ("0.0.0.0:1", true)] {
            let sender = senders(&config, address.parse().unwrap()).unwrap().remove(0);
            assert_eq!(sender.arguments.contains(&"--tls".into()), tls, "{address}");
            assert!(sender.arguments.contains(&"--key=k".into()));
        }
    }

    #[test]
    fn a_drift_reaches_all_who_look_at_the_data() {
        let drift = "--drift=rotate:45@20000,digits:0-4@0..100";
        let config = config(&[drift, "--senders=2"]);
        let senders = senders(&config, "127.0.0.1:1".parse().unwrap()).unwrap();
        for invocation in senders.iter().chain([&prepare(&config).unwrap()]) {
            assert!(invocation.arguments.contains(&drift.into()), "{}", line(invocation));
        }
    }

    #[test]
    fn the_senders_share_the_samples_without_gap_or_overlap() {
        let config = config(&["--senders", "3", "--samples", "11", "--offset", "5"]);
        let shares: Vec<String> = senders(&config, "127.0.0.1:1".parse().unwrap())
            .unwrap()
            .iter()
            .flat_map(|sender| sender.arguments.clone())
            .filter(|argument| argument.starts_with("--offset=") || argument.starts_with("--samples="))
            .collect();
        let expect = ["--offset=5", "--samples=4", "--offset=9", "--samples=4", "--offset=13", "--samples=3"];
        assert_eq!(shares, expect);
    }

    #[test]
    fn in_a_live_run_the_senders_deal_the_samples_out() {
        let given = ["--senders=2", "--samples=11", "--offset=5", "--samples-per-batch=3"];
        let config = config(&[&given[..], &["--live", "--samples-per-round=5"]].concat());
        let senders = senders(&config, "127.0.0.1:1".parse().unwrap()).unwrap();
        for (sender, share) in senders.iter().zip(["--share=0/2", "--share=1/2"]) {
            for argument in [share, "--offset=5", "--samples=11"] {
                assert!(sender.arguments.iter().any(|given| given == argument), "{:?}", sender.arguments);
            }
        }
        let extents: Vec<String> = config.shares().map(|stream| stream.extent().to_string()).collect();
        assert_eq!(extents, ["5..11 in blocks of 3 every 6", "8..13 in blocks of 3 every 6"]);
    }
}
