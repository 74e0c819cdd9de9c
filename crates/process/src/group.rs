//! A process group: a child, and all that it starts.

use std::process::Command;

/// Lets the child lead a group of its own. A terminal's Ctrl-C then reaches only this process, which stops its children in
/// order.
#[cfg(unix)]
pub fn begin(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Lets the child lead a group of its own. A console's Ctrl-C then reaches only this process, which stops its children in
/// order.
#[cfg(windows)]
pub fn begin(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// Ends the process group that `leader` leads: itself and all that it has started.
#[cfg(unix)]
pub fn kill(leader: u32) {
    // The shell's own `kill`, which is there even where the program of that name is not. If it fails, the group is gone.
    let kill = format!("kill -s KILL -- -{leader}");
    drop(Command::new("sh").args(["-c", &kill]).stderr(std::process::Stdio::null()).status());
}

/// What the leader has started lives on until it is done.
#[cfg(windows)]
pub fn kill(_leader: u32) {}
