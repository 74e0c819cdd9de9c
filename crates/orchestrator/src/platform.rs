//! What differs between operating systems.

use std::{io, path::Path};

use tokio::process::Command;

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

/// Makes `link` a symbolic link to the directory `target`.
#[cfg(unix)]
pub(crate) fn link_directory(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Makes `link` a symbolic link to the directory `target`; needs developer mode.
#[cfg(windows)]
pub(crate) fn link_directory(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}
