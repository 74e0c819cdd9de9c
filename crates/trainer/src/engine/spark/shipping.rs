//! How this trainer gets onto executors that do not have it: its binary and the libtorch that it is linked to are shipped
//! like any file of a Spark session.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use anyhow::Context;
use process::exit::Code;
use terminal::shell;

/// The files that make up this trainer: the program, which is to be called `name`, and its libraries.
pub(super) fn files(dir: &std::path::Path, name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let program = dir.join(name);
    let exe = env::current_exe().context("failed to find this program's own path")?;
    // A link would do but for other systems, and it is a few megabytes.
    fs::copy(&exe, &program).with_context(|| format!("failed to copy `{}`", exe.display()))?;
    let Some(mut files) = libraries() else {
        fail!(
            Code::Unavailable,
            "this trainer's libtorch was not found; install the trainer on the executors and give --worker-command"
        );
    };
    files.push(program);
    Ok(files)
}

/// The shell command that starts this program where it is.
pub(super) fn command_here() -> anyhow::Result<String> {
    let exe = env::current_exe().context("failed to find this program's own path")?;
    Ok(shell::command_line([exe.as_os_str()]))
}

/// The libraries of this process that lie beside libtorch. The others belong to the system.
fn libraries() -> Option<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mapped: BTreeSet<PathBuf> = maps.lines().filter_map(|line| Some(line.get(line.find('/')?..)?.into())).collect();
    let libtorch = mapped.iter().find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so"))?;
    let home = libtorch.parent()?.to_owned();
    Some(mapped.into_iter().filter(|path| path.parent() == Some(&home)).collect())
}

/// The shell command that starts the shipped program. Spark puts what it ships into a folder of the last directory in
/// `PATH`, or into the working directory.
pub(super) fn command(name: &str) -> String {
    format!(
        r#"r=$(echo "$PATH" | sed "s/.*://"); f=$(ls -d "$r"/{name} "$r"/*/{name} ./{name} ./*/{name} 2>/dev/null | head -n 1); [ -n "$f" ] || {{ echo "the shipped trainer has not arrived here" >&2; exit 69; }}; d=$(dirname "$f"); chmod u+x "$f"; LD_LIBRARY_PATH="$d" exec "$f""#
    )
}
