//! Runs in a real pseudo-terminal, whose screen is read as a person would see it; and what is printed elsewhere.

#![cfg(unix)]

mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    process::{Child, Command},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use support::Bench;

/// No run on a bench is silent for so long, also not one that has to build the siblings first.
const LIMIT: Duration = Duration::from_secs(300);
/// So tall that nothing scrolls away.
const ROWS: u16 = 200;

struct Terminal {
    child: Child,
    controller: File,
    bytes: mpsc::Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All that was written to it.
    raw: Vec<u8>,
}

impl Terminal {
    fn start(mut command: Command, columns: u16) -> Terminal {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let controller = File::from(controller);
        resize(&controller, columns);
        command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let child = command.spawn().unwrap();
        drop(command); // It holds the terminal open.
        let (sender, bytes) = mpsc::channel();
        let mut reader = controller.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            // The end is an error here: nobody holds the terminal any more.
            while let Ok(count @ 1..) = reader.read(&mut buffer)
                && sender.send(buffer[..count].to_vec()).is_ok()
            {}
        });
        Terminal { child, controller, bytes, screen: vt100::Parser::new(ROWS, columns, 0), raw: Vec::new() }
    }

    fn resize(&mut self, columns: u16) {
        resize(&self.controller, columns);
        self.screen.screen_mut().set_size(ROWS, columns);
    }

    /// The screen after what was written next; `None` at the end.
    #[track_caller]
    fn next(&mut self) -> Option<String> {
        match self.bytes.recv_timeout(LIMIT) {
            Ok(bytes) => {
                self.screen.process(&bytes);
                self.raw.extend(bytes);
                Some(self.screen.screen().contents())
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the run hangs:\n{}", self.screen.screen().contents()),
        }
    }

    /// The last screen, after the program has ended well.
    #[track_caller]
    fn finish(&mut self) -> String {
        while self.next().is_some() {}
        let contents = self.screen.screen().contents();
        assert!(self.child.wait().unwrap().success(), "{contents}");
        contents
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill(); // After a failed test; otherwise it has ended.
        let _ = self.child.wait();
    }
}

fn resize(controller: &File, columns: u16) {
    tcsetwinsize(controller, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

fn run(bench: &Bench, environment: &[(&str, &str)], flags: &[&str]) -> Command {
    let mut command = bench.command_on_data(flags);
    command.env("TERM", "xterm").env_remove("NO_COLOR").envs(environment.iter().copied());
    command
}

/// Whether this is a whole line of a run that is over: each has one of these beginnings, and no remains of a bar.
fn is_whole(line: &str) -> bool {
    let starts = [
        "receiver | ",
        "sender-0 | ",
        "sender-1 | ",
        "trainer  | ",
        "receiver died (signal: 9 (SIGKILL)); starting it again (1 of 5)",
        "sender-1 died (signal: 9 (SIGKILL)); starting it again (1 of 5)",
        "another cargo is at work; waiting for it", // Another test's, which builds as well.
        "the receiver listens on 127.0.0.1:",
        "received 2000 samples in ",
        "training on 2000 samples in 2 partitions, rounds 1 to ",
        "training live in 2 partitions, 500 samples a round, ",
        "round ",
        "phases  ",
        "model  ",
        "report  ",
        "model SHA-256 ",
        "seconds  ",
        "training speed ",
        "most behind ",
        "drift ",
        "prequential ",
        "received accuracy ",
        "test accuracy ",
    ];
    line.is_empty()
        || starts.iter().any(|start| line.starts_with(start)) && !line.contains("[=") && !line.contains(" left")
}

#[track_caller]
fn check_last_screen(screen: &str, rounds: u32) {
    for line in screen.lines() {
        assert!(is_whole(line), "torn: {line}\n{screen}");
    }
    let shown: Vec<_> =
        screen.lines().filter_map(|line| line.strip_prefix("round ")?.split("  train loss ").next()).collect();
    let expect: Vec<_> = (1..=rounds).map(|round| format!("{round}/{rounds}")).collect();
    assert_eq!(shown, expect, "{screen}");
    assert!(screen.trim_end().lines().last().unwrap().starts_with("test accuracy "), "{screen}");
}

/// Names in front of logs are in colour.
const LOGS: (&str, &str) = ("RUST_LOG", "info");

const SLOWLY: [&str; 4] = ["--batch-delay=50ms", "--samples-per-batch=50", "--samples-per-chunk=100", "--senders=2"];

#[test]
fn the_live_view_shows_every_stage_is_never_torn_and_leaves_nothing_behind() {
    let bench = Bench::built();
    // Time to kill a sender in, and rounds that a fast machine trains for longer than a frame of the view lasts.
    let slowly = ["--batch-delay=200ms", "--samples-per-batch=50", "--samples-per-chunk=100", "--senders=2"];
    let flags = [&slowly[..], &["--rounds=3", "--local-epochs=3"]].concat();
    let mut terminal = Terminal::start(run(&bench, &[], &flags), 120);
    let mut seen = BTreeSet::new();
    let mut to_kill = vec![(6, "--stream=sender-1 "), (2, "/receiver ")]; // When there are so many chunks.
    while let Some(screen) = terminal.next() {
        let is_live = |line: &&str| line.contains('[') && (line.contains(" % ") || line.contains(" %, "));
        let live: Vec<&str> = screen.lines().filter(is_live).collect();
        assert!(live.len() <= 1, "two bars of one stage:\n{screen}");
        for stage in ["streaming   [", "round 1/3   [", "round 3/3   ["] {
            if live.iter().any(|line| line.starts_with(stage)) {
                seen.insert(stage);
            }
        }
        if let Some((_, child)) = to_kill.pop_if(|(chunks, _)| bench.chunks() >= *chunks) {
            bench.signal_child(child, "KILL");
        }
    }
    let screen = terminal.finish();
    check_last_screen(&screen, 3);
    for name in ["receiver", "sender-1"] {
        let line = format!("\n{name} died (signal: 9 (SIGKILL)); starting it again (1 of 5)\n");
        assert!(screen.contains(&line), "{screen}");
    }
    assert_eq!(seen.len(), 3, "{seen:?}\n{screen}");
    bench.assert_no_child();
    assert_eq!(bench.summary()["n_samples"], 2000);
}

#[test]
fn a_live_run_shows_streaming_and_training_side_by_side() {
    let bench = Bench::built();
    let slowly = ["--batch-delay=100ms", "--samples-per-batch=50", "--samples-per-chunk=100"];
    // Rounds that a fast machine trains for longer than a frame of the view lasts.
    let flags = [&slowly[..], &["--live", "--samples-per-round=500", "--local-epochs=20"]].concat();
    let mut terminal = Terminal::start(run(&bench, &[], &flags), 120);
    let mut seen = BTreeSet::new();
    let mut signals = vec!["CONT", "STOP"];
    while terminal.next().is_some() {
        // A trainer that is slower than the stream waits, too, while the sender is held after the first slice.
        let is_due = |signal: &mut &str| if *signal == "STOP" { bench.chunks() > 5 } else { seen.contains("waiting") };
        if let Some(signal) = signals.pop_if(is_due) {
            bench.signal_child("/sender ", signal);
        }
        // Where two bars stand below each other, the first fills its row; it is no line that goes on in the second.
        let rows: Vec<String> = terminal.screen.screen().rows(0, 120).collect();
        let streaming = rows.iter().position(|row| row.starts_with("streaming   "));
        let below = streaming.and_then(|row| rows[row + 1].split("  ").next()).unwrap_or_default();
        assert!(rows.iter().filter(|row| row.contains(" [")).count() <= 2, "{rows:#?}");
        seen.insert(below.to_owned());
    }
    assert!(seen.contains("waiting") && seen.iter().any(|stage| stage.starts_with("round ")), "{seen:?}");
    let screen = terminal.finish();
    for line in screen.lines() {
        assert!(is_whole(line), "torn: {line}\n{screen}");
    }
    let shown: Vec<&str> =
        screen.lines().filter_map(|line| line.strip_prefix("round ")?.split("  to sample ").next()).collect();
    assert_eq!(shown, ["1", "2", "3", "4"], "{screen}");
}

#[test]
fn the_live_view_fits_into_forty_columns_and_into_a_window_that_changes() {
    let bench = Bench::built();
    let mut terminal = Terminal::start(run(&bench, &[], &[&SLOWLY[..], &["--rounds=2"]].concat()), 40);
    while terminal.next().is_some_and(|screen| !screen.contains("streaming   [")) {}
    while let Some(screen) = terminal.next()
        && bench.chunks() < 5
    {
        let live = screen.lines().find(|line| line.contains("streaming   ["));
        assert!(live.is_none_or(|line| line.chars().count() <= 40), "{screen}");
    }
    terminal.resize(90);
    let screen = terminal.finish();
    assert!(!screen.contains("streaming   [") && !screen.contains(" left"), "{screen}");
    assert!(screen.contains("\nround 2/2  train loss "), "{screen}");
}

#[test]
fn a_page_stays_on_a_terminal_until_ctrl_c_which_is_a_good_end() {
    let bench = Bench::built();
    let mut terminal = Terminal::start(run(&bench, &[], &["--batch-delay=0ms", "--rounds=1", "--page"]), 100);
    while !terminal.next().unwrap().contains("the page is served until Ctrl-C") {}
    bench.assert_no_child();
    let id = terminal.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let screen = terminal.finish();
    assert_eq!(screen.matches("watch this run: http://127.0.0.1:").count(), 1, "{screen}");
    assert!(screen.trim_end().ends_with("the page is served until Ctrl-C"), "{screen}");
}

#[test]
fn no_color_means_no_colour_and_a_dumb_terminal_gets_plain_lines() {
    let bench = Bench::built();
    let flags = ["--batch-delay=0s", "--rounds=1"];
    let mut coloured = Terminal::start(run(&bench, &[LOGS], &flags), 120);
    check_last_screen(&coloured.finish(), 1);
    let is_colour = |window: &[u8]| window.starts_with(b"\x1b[") && window.ends_with(b"m");
    assert!(coloured.raw.windows(5).any(is_colour), "this test cannot see colours");
    let mut plain = Terminal::start(run(&bench, &[LOGS, ("NO_COLOR", "1")], &flags), 120);
    check_last_screen(&plain.finish(), 1);
    assert!(!plain.raw.windows(5).any(is_colour));
    let mut dumb = Terminal::start(run(&bench, &[("TERM", "dumb")], &flags), 120);
    check_last_screen(&dumb.finish(), 1);
    assert!(!dumb.raw.contains(&0x1b), "{}", String::from_utf8_lossy(&dumb.raw));
}

#[test]
fn quiet_prints_the_summary_and_nothing_else() {
    let bench = Bench::built();
    let run = bench.run(&["--quiet", "--batch-delay=0s", "--rounds=1"]);
    run.assert_code(0);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.trim_start().starts_with("phases  "), "{}", run.stdout);
    assert!(run.stdout.lines().last().unwrap().starts_with("test accuracy "), "{}", run.stdout);
    fs::write(bench.path("damaged"), "").unwrap();
    let run = bench.run(&["--quiet", "--test-data=damaged", "--batch-delay=0s"]);
    assert!(run.code != Some(0) && run.stderr.contains("trainer failed (exit status: "), "{}", run.stderr);
}

#[test]
fn json_is_one_event_a_line_with_the_name_of_the_child() {
    let bench = Bench::new();
    let run = bench.run(&["--json", "--batch-delay=0s", "--rounds=2", "--senders=2"]);
    run.assert_code(0);
    let lines: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let said: BTreeSet<(&str, &str)> =
        lines.iter().map(|line| (line["child"].as_str().unwrap(), line["event"].as_str().unwrap())).collect();
    for expect in [
        ("sender", "data"),
        ("receiver", "listening"),
        ("sender-1", "acknowledged"),
        ("receiver", "stored"),
        ("receiver", "complete"),
        ("trainer", "training"),
        ("trainer", "progress"),
        ("trainer", "round"),
        ("trainer", "summary"),
    ] {
        assert!(said.contains(&expect), "{expect:?} in {said:?}");
    }
    let last_of = |event: &str| lines.iter().rfind(|line| line["event"] == event).unwrap();
    assert_eq!(last_of("progress")["samples"], last_of("progress")["of"]);
    assert_eq!(last_of("round")["round"], 2);
    let both = bench.run(&["--json", "--quiet"]);
    both.assert_code(64);
}
