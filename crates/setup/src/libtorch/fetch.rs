//! Fetching libtorch with pip: as Python wheels, of which [`wheel`] unpacks the few files that a program
//! without Python and without a GPU needs.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::{process::Command, task::spawn_blocking};

use super::{
    version::{self, VERSION},
    wheel::{self, Wheel},
};
use crate::{
    cache::{create_dir, lock, remove_dir, unavailable},
    caller::Caller,
    pip::Pip,
    tool,
};

const ADVICE: &str = "or set LIBTORCH to a libtorch 2.13.0";

/// Wheel tags of the platforms with wheels, most recent first; pip matches each exactly. Only Linux on x86-64 has been
/// tried. The `manylinux` tags end with the machine's name.
fn platform_tags() -> Option<Vec<String>> {
    let manylinux = |machine: &str| {
        ["manylinux_2_28", "manylinux_2_25", "manylinux_2_17", "manylinux2014"].map(|tag| format!("{tag}_{machine}"))
    };
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", machine @ ("x86_64" | "aarch64")) => Some(manylinux(machine).into()),
        ("macos", "aarch64") => {
            Some(["macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"].map(Into::into).into())
        }
        _ => None,
    }
}

/// Fetches libtorch into `target`, inside `cache`. A set-up that is killed leaves nothing that looks whole, and a wheel
/// that was downloaded is kept until [`remove_wheels`].
pub(crate) async fn fetch(cache: &Path, target: &Path, caller: &Caller) -> anyhow::Result<()> {
    let tags = platform_tags().ok_or_else(|| {
        let here = format!("{} on {}", env::consts::OS, env::consts::ARCH);
        unavailable(format!(
            "libtorch cannot be fetched for {here}: install libtorch {VERSION}, and set LIBTORCH to it"
        ))
    })?;
    let compiler = tool::compiler().await?;
    let pip = Pip::find("libtorch", ADVICE, caller).await?;
    let _lock = lock(cache, caller).await?;
    if version::check(target).is_ok() {
        return Ok(()); // Another set-up fetched it meanwhile.
    }
    let wheels = wheels_in(cache);
    create_dir(&wheels)?;
    let wheel = async |package, version: &str| provide(&pip, &tags, &wheels, package, version).await;

    let torch = wheel("torch", &format!("=={VERSION}")).await?;
    let partial = cache.join(format!("libtorch-{VERSION}.partial"));
    remove_dir(&partial)?;
    let Caller { console, shutdown } = caller;
    console.note("unpacking libtorch");
    let (into, stop) = (partial.clone(), shutdown.clone());
    // Beside the programs that are built meanwhile, whose cargo has to be heard.
    let (torch, unpacked) = spawn_blocking(move || {
        let unpacked = torch.unpack_libtorch(&into, &stop);
        (torch, unpacked)
    })
    .await?;
    unpacked?;
    if torch.needs_cuda()? {
        // The CUDA build's CPU library is linked to these two, though it calls them only to profile a GPU.
        wheel("nvidia-cuda-cupti", "==13.0.*").await?.unpack_library("libcupti.so.13", &partial, shutdown)?;
        wheel("nvidia-cuda-runtime", "==13.0.*").await?.unpack_library("libcudart.so.13", &partial, shutdown)?;
        replace_shell(&compiler, &partial.join("lib/libtorch.so")).await?;
    }
    let (from, to) = (partial, target.to_owned());
    let sealed = spawn_blocking(move || wheel::seal(&from, &to)).await?;
    sealed.with_context(|| format!("failed to finish `{}`", target.display()))
}

/// Removes the downloaded wheels, which a finished set-up needs no more, also those that a killed one has left.
pub(crate) fn remove_wheels(cache: &Path) -> anyhow::Result<()> {
    remove_dir(&wheels_in(cache))
}

fn wheels_in(cache: &Path) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}.wheels"))
}

/// `libtorch.so` only names other libraries, here that of CUDA, which we leave out. An empty one satisfies the linker.
async fn replace_shell(compiler: &OsStr, path: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(compiler);
    command.args(["-shared", "-Wl,-soname,libtorch.so", "-x", "c++", "/dev/null", "-o"]).arg(path);
    if tool::answers(&mut command).await? {
        return Ok(());
    }
    Err(unavailable(format!("`{}` failed to make `{}`", compiler.to_string_lossy(), path.display())))
}

/// The wheel of a package: left by an earlier set-up, or downloaded now.
async fn provide(pip: &Pip<'_>, tags: &[String], wheels: &Path, package: &str, version: &str) -> anyhow::Result<Wheel> {
    if let Some(wheel) = Wheel::find(wheels, package)? {
        return Ok(wheel);
    }
    let mut arguments: Vec<&OsStr> =
        ["download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"].map(OsStr::new).into();
    arguments.extend(tags.iter().flat_map(|tag| ["--platform", tag]).map(OsStr::new));
    let requirement = format!("{package}{version}");
    arguments.extend([OsStr::new("--dest"), wheels.as_os_str(), OsStr::new(&requirement)]);
    pip.run(package, &arguments, wheels).await?;
    Wheel::find(wheels, package)?
        .ok_or_else(|| unavailable(format!("pip has left no wheel of {package} in `{}`", wheels.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_that_a_killed_set_up_has_left_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        remove_wheels(cache.path()).unwrap();
        create_dir(&wheels_in(cache.path()).join("torch-2.13.0-x.whl")).unwrap();
        remove_wheels(cache.path()).unwrap();
        assert_eq!(cache.path().read_dir().unwrap().count(), 0);
    }
}
