//! A receiver on a disk that is really full: a small file system of its own, in a namespace that ends with the process.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

mod helper;

use std::{fs, path::Path, process::Command};

use event::Event;
use helper::{Process, key, send, sending, source};
use tempfile::TempDir;

/// Mounts 400 KiB at `$0`, all but a corner filled with ballast, and becomes the program in `$@`.
const ON_A_SMALL_DISK: &str =
    r#"mount -t tmpfs -o size=400k none "$0" && head -c 300k /dev/zero > "$0/ballast" && exec "$@""#;

fn on_a_small_disk(disk: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK]).arg(disk);
    command
}

#[tokio::test]
async fn a_full_disk_pauses_the_senders_until_there_is_room() {
    let dir = TempDir::new().unwrap();
    if !on_a_small_disk(dir.path()).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this system lets no ordinary user mount a file system");
        return;
    }
    let mut command = on_a_small_disk(dir.path());
    command.arg(env!("CARGO_BIN_EXE_receiver"));
    let receiver = Process::spawn(command, &key(), &dir.path().join("chunks"), &["--samples-per-chunk=10"]);
    let sender = tokio::spawn(send(source("a", 0, 300), sending(receiver.listening())));
    let receiver = tokio::task::spawn_blocking(move || {
        let reason = loop {
            match receiver.event() {
                Some(Event::Paused { reason }) => break reason,
                Some(Event::Stored { samples, .. }) => assert!(samples < 300),
                Some(Event::Receiving { .. }) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(reason.starts_with("no room for `") && reason.contains("No space left on device"), "{reason}");
        let disk = dir.path().strip_prefix("/").unwrap();
        fs::remove_file(Path::new("/proc").join(receiver.id().to_string()).join("root").join(disk).join("ballast"))
            .unwrap();
        let events: Vec<Event> = std::iter::from_fn(|| receiver.event()).collect();
        assert!(events.contains(&Event::Resumed), "{events:?}");
        assert!(matches!(events.last(), Some(Event::Complete { samples: 300, .. })), "{events:?}");
        receiver
    });
    sender.await.unwrap();
    assert_eq!(receiver.await.unwrap().code(), Some(0));
}
