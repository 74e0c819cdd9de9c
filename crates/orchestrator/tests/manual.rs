//! Completions and man pages of the real programs, judged by the real `bash` and `man`.

#![cfg(unix)]

mod support;

use std::{
    fs,
    process::{Command, Stdio},
};

use support::Bench;

/// What bash answers once it has read the script.
#[track_caller]
fn in_bash(script: &str, commands: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("completions");
    fs::write(&file, script).unwrap();
    let line = format!("set -e; source '{}'; {commands}", file.display());
    let output = Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_the_flags_of_all_four_programs() {
    let bench = Bench::built();
    for (program, flags) in [
        ("orchestrator", "--step --strategy"),
        ("receiver", "--streams"),
        ("sender", "--stream"),
        ("trainer", "--step --strategy"),
    ] {
        let named = if program == "orchestrator" { None } else { Some(program) };
        let run = bench.run_with(&["completions", "bash"].into_iter().chain(named).collect::<Vec<_>>());
        run.assert_code(0);
        let complete = format!("complete -p {program}; COMP_WORDS=({program} --st); COMP_CWORD=1; ");
        let said = in_bash(
            &run.stdout,
            &format!("{complete} _{program} {program} --st {program} || true; echo \"${{COMPREPLY[@]}}\""),
        );
        let [registered, completed] = said.lines().collect::<Vec<_>>().try_into().unwrap();
        assert!(registered.ends_with(&format!("-F _{program} {program}")), "{registered}");
        assert_eq!(completed, flags, "{program}");
    }
}

#[test]
fn every_shell_has_a_script_and_an_unknown_one_an_error() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = bench.run_with(&["completions", shell]);
        run.assert_code(0);
        assert!(run.stdout.contains("spark-patience") && run.stderr.is_empty(), "{shell}");
    }
    let run = bench.run_with(&["completions", "basic"]);
    run.assert_code(64);
    assert_eq!(run.stderr.lines().next(), Some("error: invalid value 'basic' for '<SHELL>'"));
}

#[test]
fn man_reads_the_pages_of_all_four_programs_without_a_warning() {
    let bench = Bench::built();
    bench.run_with(&["man", "pages"]).assert_code(0);
    let pages: Vec<_> = fs::read_dir(bench.path("pages")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for program in ["orchestrator", "receiver", "sender", "trainer"] {
        assert!(pages.contains(&bench.path(&format!("pages/{program}.1"))), "{pages:?}");
    }
    assert!(pages.contains(&bench.path("pages/receiver-keygen.1")), "{pages:?}");
    let hidden = pages.iter().find(|page| page.to_string_lossy().contains("worker"));
    assert_eq!(hidden, None);
    for page in pages {
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l"]).arg(&page).env("MANPAGER", "cat").env("MANWIDTH", "80");
        // Not every machine has it.
        let Ok(output) = man.stdin(Stdio::null()).output() else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
