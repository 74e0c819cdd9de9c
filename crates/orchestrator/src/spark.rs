//! A Spark of our own: a Spark Connect server in local mode, on loopback, for one run. Only who knows its token may use
//! it, and it ends with this process, however that ends.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, anyhow};
use process::exit::{Code, OrExit};
use setup::tool::Tool;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStderr, Command},
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use crate::random;

/// A JVM on a busy machine takes its time.
const START_LIMIT: Duration = Duration::from_secs(180);
/// After that it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Holds the server until stdin ends, which the system sees to if we are killed. It lets go of stderr, so that this ends
/// with the server.
const LIFELINE: &str =
    r#""$0" "$@" < /dev/null & child=$!; exec 2> /dev/null; cat > /dev/null; kill $child; wait $child"#;

/// The name of its log.
const LOG: &str = "spark.log";

/// What Spark says before its address, and before the port of its pages.
const STARTED: &str = "Spark Connect server started at: ";
const UI: &str = "Successfully started service 'SparkUI' on port ";

/// A server that may still be on its way. When this is dropped, all that was started for it ends.
pub(crate) struct Server {
    tool: Tool,
    /// What it leaves on the disk.
    dir: PathBuf,
    token: String,
    /// Where its address comes when it has started.
    address: oneshot::Receiver<String>,
    /// When it is given up if it has not.
    until: Instant,
    is_used: bool,
}

impl Server {
    /// Begins to start the server of the Spark in `home`; it works in the folder `dir`, which is made, and logs there.
    /// It is to serve a trainer with so many partitions. `on_ui` is told the address of Spark's own pages.
    pub(crate) fn start(
        home: &Path,
        dir: &Path,
        partitions: u32,
        on_ui: impl Fn(String) + Send + 'static,
    ) -> anyhow::Result<Server> {
        let _ = fs::remove_dir_all(dir); // A run that was killed may have left it.
        fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
        let dir = dir.canonicalize()?;
        let token = random::hex::<32>()?;
        let mut tool = Tool::start(command(home, &dir, partitions, &token))?;
        let stderr = tool.child.stderr.take().context("no pipe to stderr")?;
        let (started, address) = oneshot::channel();
        tokio::spawn(follow(stderr, dir.join(LOG), on_ui, started));
        Ok(Server { tool, dir, token, address, until: Instant::now() + START_LIMIT, is_used: false })
    }

    /// How a trainer finds it, as soon as it can: variables of its environment.
    pub(crate) async fn environment(&mut self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let address = timeout_at(self.until, &mut self.address).await.ok().and_then(Result::ok);
        let failed = || anyhow!("Spark did not start; see `{}`", self.dir.join(LOG).display());
        let remote = format!("sc://{}", address.ok_or_else(failed).or_exit(Code::Unavailable)?);
        self.is_used = true;
        Ok(vec![("SPARK_REMOTE", remote), ("SPARK_CONNECT_AUTHENTICATE_TOKEN", self.token.clone())])
    }

    /// Ends it, at once if nobody has used it, and removes what it left, but for the log if that is to be kept.
    pub(crate) async fn stop(mut self, keep_log: bool) {
        drop(self.tool.child.stdin.take());
        if self.is_used {
            let _ = timeout(STOP_LIMIT, self.tool.child.wait()).await; // If it does not end, it is killed now.
        }
        drop(self.tool);
        // What cannot be removed is in the run folder, for the user to see.
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if !(keep_log && path.ends_with(LOG)) {
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
        }
        let _ = fs::remove_dir(&self.dir);
    }
}

fn command(home: &Path, dir: &Path, partitions: u32, token: &str) -> Command {
    // It holds a round's replies, of 2.3 MB each; docs/spark.md.
    let memory = format!("{}m", 1024 + u64::from(partitions) * 5 / 2);
    let mut command = Command::new("sh");
    command.args(["-c", LIFELINE]).arg(home.join("bin/spark-submit"));
    command.args(["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "--master", "local[*]"]);
    for (key, value) in [
        ("spark.connect.grpc.binding.address", "127.0.0.1"),
        ("spark.connect.grpc.binding.port", "0"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.maxResultSize", "0"),
        ("spark.driver.memory", &memory),
    ] {
        command.arg("--conf").arg(format!("{key}={value}"));
    }
    command.args(["--name", "tributary", "spark-internal"]).current_dir(dir);
    // spark-submit would take these for flags, which contradict ours.
    command.env_remove("SPARK_REMOTE").env_remove("DEPLOY_MODE");
    command.env("SPARK_HOME", home).env("SPARK_LOCAL_IP", "127.0.0.1").env("SPARK_LOCAL_DIRS", dir);
    command.env("SPARK_CONNECT_AUTHENTICATE_TOKEN", token);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Keeps the server's log, and picks out what is to be known.
async fn follow(stderr: ChildStderr, log: PathBuf, on_ui: impl Fn(String), started: oneshot::Sender<String>) {
    let Ok(mut log) = tokio::fs::File::create(log).await else { return };
    let mut lines = BufReader::new(stderr).lines();
    let mut started = Some(started);
    while let Ok(Some(line)) = lines.next_line().await {
        // A full disk has other ways to be told. Flushed at once: the log is read as soon as the server has ended.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
        let _ = log.flush().await;
        if let Some((_, port)) = line.split_once(UI) {
            on_ui(format!("http://127.0.0.1:{}", port.trim_end_matches('.')));
        }
        if let Some((_, address)) = line.split_once(STARTED)
            && let Some(started) = started.take()
        {
            let _ = started.send(address.trim().to_owned()); // Nobody waits if it took too long.
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_spark_that_does_not_start_is_told_at_once_and_its_log_stays() {
        let home = tempfile::tempdir().unwrap();
        let submit = home.path().join("bin/spark-submit");
        fs::create_dir(submit.parent().unwrap()).unwrap();
        fs::write(&submit, "#!/bin/sh\necho \"no memory; $SPARK_REMOTE\" >&2; exit 1\n").unwrap();
        fs::set_permissions(&submit, fs::Permissions::from_mode(0o755)).unwrap();
        let (dir, started) = (home.path().join("work"), Instant::now());
        let mut spark = Server::start(home.path(), &dir, 2, |_| {}).unwrap();
        let error = spark.environment().await.unwrap_err();
        spark.stop(true).await;
        assert!(started.elapsed() < START_LIMIT / 2, "{:?}", started.elapsed());
        assert_eq!(process::exit::code_of(&error), Code::Unavailable);
        assert!(error.to_string().starts_with("Spark did not start; see `"), "{error}");
        assert_eq!(fs::read_to_string(dir.join(LOG)).unwrap(), "no memory; \n");
    }

    #[test]
    fn the_server_listens_on_loopback_wants_a_token_and_hears_of_no_other_server() {
        let command = command(Path::new("/spark"), Path::new("/run"), 100, "secret");
        let words: Vec<_> = command.as_std().get_args().map(|word| word.to_str().unwrap()).collect();
        for expect in [
            "spark.connect.grpc.binding.address=127.0.0.1",
            "spark.driver.bindAddress=127.0.0.1",
            "spark.driver.maxResultSize=0",
            "spark.driver.memory=1274m",
        ] {
            assert!(words.contains(&expect), "{expect}");
        }
        assert!(!words.iter().any(|word| word.contains("secret")));
        let variables: Vec<_> = command.as_std().get_envs().collect();
        for (name, value) in [
            ("SPARK_LOCAL_IP", Some("127.0.0.1")),
            ("SPARK_CONNECT_AUTHENTICATE_TOKEN", Some("secret")),
            ("SPARK_REMOTE", None),
            ("DEPLOY_MODE", None),
        ] {
            assert!(variables.contains(&(name.as_ref(), value.map(AsRef::as_ref))), "{name}");
        }
    }
}
