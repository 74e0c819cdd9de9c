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
use terminal::Console;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStderr, Command},
    sync::oneshot,
    task::JoinSet,
    time::timeout,
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
pub(crate) struct Starting {
    /// The task that starts it, until it is done.
    task: JoinSet<anyhow::Result<Server>>,
    server: Option<Server>,
    dir: PathBuf,
}

struct Server {
    tool: Tool,
    /// What it leaves on the disk.
    dir: PathBuf,
    address: String,
    token: String,
}

impl Starting {
    /// Begins to start the server of the Spark in `home`; it works in the folder `dir`, which is made, and logs there.
    /// It is to serve a trainer with so many partitions.
    pub(crate) fn new(home: PathBuf, dir: PathBuf, partitions: u32, console: Console) -> Self {
        let mut task = JoinSet::new();
        task.spawn(Server::start(home, dir.clone(), partitions, console));
        Starting { task, server: None, dir }
    }

    /// How a trainer finds it: variables of its environment.
    pub(crate) async fn environment(&mut self) -> anyhow::Result<Vec<(&'static str, String)>> {
        if let Some(started) = self.task.join_next().await {
            self.server = Some(started??);
        }
        let server = self.server.as_ref().context("Spark did not start")?;
        Ok(vec![
            ("SPARK_REMOTE", format!("sc://{}", server.address)),
            ("SPARK_CONNECT_AUTHENTICATE_TOKEN", server.token.clone()),
        ])
    }

    /// Ends it, and removes what it left; the log stays of one that failed to start, or if it is to be kept.
    pub(crate) async fn stop(mut self, keep_log: bool) {
        self.task.abort_all();
        match self.task.join_next().await {
            Some(Ok(started)) => self.server = started.ok(),
            Some(Err(_)) => drop(fs::remove_dir_all(&self.dir)), // It is in the run folder, for the user to see.
            None => {}
        }
        if let Some(server) = self.server.take() {
            server.stop(keep_log).await;
        }
    }
}

impl Server {
    async fn start(home: PathBuf, dir: PathBuf, partitions: u32, console: Console) -> anyhow::Result<Server> {
        let _ = fs::remove_dir_all(&dir); // A run that was killed may have left it.
        fs::create_dir_all(&dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
        let dir = dir.canonicalize()?;
        let token = random::hex::<32>()?;
        let mut tool = Tool::start(command(&home, &dir, partitions, &token))?;
        let stderr = tool.child.stderr.take().context("no pipe to stderr")?;
        let log = dir.join(LOG);
        let (started, address) = oneshot::channel();
        tokio::spawn(follow(stderr, log.clone(), console, started));
        let failed = || anyhow!("Spark did not start; see `{}`", log.display());
        let address = timeout(START_LIMIT, address).await.ok().and_then(Result::ok);
        let address = address.ok_or_else(failed).or_exit(Code::Unavailable)?;
        Ok(Server { tool, dir, address, token })
    }

    async fn stop(mut self, keep_log: bool) {
        drop(self.tool.child.stdin.take());
        let _ = timeout(STOP_LIMIT, self.tool.child.wait()).await; // If it does not end, it is killed now.
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
async fn follow(stderr: ChildStderr, log: PathBuf, console: Console, started: oneshot::Sender<String>) {
    let Ok(mut log) = tokio::fs::File::create(log).await else { return };
    let mut lines = BufReader::new(stderr).lines();
    let mut started = Some(started);
    while let Ok(Some(line)) = lines.next_line().await {
        // A full disk has other ways to be told. Flushed at once: the log is read as soon as the server has ended.
        let _ = log.write_all(format!("{line}\n").as_bytes()).await;
        let _ = log.flush().await;
        if let Some((_, port)) = line.split_once(UI) {
            console.note(&format!("Spark UI: http://127.0.0.1:{}", port.trim_end_matches('.')));
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
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;

    #[tokio::test]
    async fn a_spark_that_does_not_start_is_told_at_once_and_its_log_stays() {
        let home = tempfile::tempdir().unwrap();
        let submit = home.path().join("bin/spark-submit");
        fs::create_dir(submit.parent().unwrap()).unwrap();
        fs::write(&submit, "#!/bin/sh\necho \"no memory; $SPARK_REMOTE\" >&2; exit 1\n").unwrap();
        fs::set_permissions(&submit, fs::Permissions::from_mode(0o755)).unwrap();
        let (dir, started) = (home.path().join("work"), Instant::now());
        let mut spark = Starting::new(home.path().to_owned(), dir.clone(), 2, Console::new());
        let error = spark.environment().await.unwrap_err();
        spark.stop(false).await;
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
