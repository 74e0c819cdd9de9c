//! What differs between operating systems.

#[cfg(unix)]
use std::process::Stdio;
use std::{io, path::Path};

use tokio::process::Command;

/// Makes a symbolic link to a directory.
#[cfg(unix)]
pub(crate) use std::os::unix::fs::symlink as link_directory;
/// Makes a symbolic link to a directory; needs developer mode.
#[cfg(windows)]
pub(crate) use std::os::windows::fs::symlink_dir as link_directory;

/// Keeps a terminal's Ctrl-C from the child: it reaches only this process, which then stops its children in order.
#[cfg(unix)]
pub(crate) fn shield_from_terminal(command: &mut Command) {
    command.process_group(0);
}

/// Keeps a console's Ctrl-C from the child: it reaches only this process, which then stops its children in order.
#[cfg(windows)]
pub(crate) fn shield_from_terminal(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// Ends the process group that `leader` leads: itself and all that it has started.
#[cfg(unix)]
pub(crate) fn kill_group(leader: u32) {
    // The shell's own `kill`, which is there even where the program of that name is not. If it fails, the group is gone.
    let kill = format!("kill -s KILL -- -{leader}");
    drop(std::process::Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status());
}

/// What the leader has started lives on until it is done.
#[cfg(windows)]
pub(crate) fn kill_group(_leader: u32) {}

/// Columns of the terminal on stderr; `None` if it is none.
#[cfg(unix)]
pub(crate) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Columns of the terminal on stderr: nobody knows.
#[cfg(windows)]
pub(crate) fn terminal_width() -> Option<usize> {
    None
}

/// Bytes that can be written to the disk of `directory`, which exists; `None` if nobody knows.
#[cfg(unix)]
pub(crate) fn free_space(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Bytes that can be written to the disk of `directory`: nobody knows.
#[cfg(windows)]
pub(crate) fn free_space(_directory: &Path) -> Option<u64> {
    None
}

/// Makes renames and new files in `directory` durable.
#[cfg(unix)]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

/// A directory cannot be opened like a file, and a rename is durable without it.
#[cfg(windows)]
pub(crate) fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}
