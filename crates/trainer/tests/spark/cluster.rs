//! A real Spark, on loopback: a Spark Connect server in local mode, or on a standalone cluster. Every process of it bears
//! a mark in its environment, which those that it starts inherit. By the mark a *reaper* ends all of them when the cluster
//! is dropped or when this process is gone, however it went.

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that a test waits for.
const LIMIT: Duration = Duration::from_secs(90);
const MARK: &str = "TRIBUTARY_TEST_CLUSTER";

pub(crate) struct Cluster {
    dir: PathBuf,
    pub(crate) remote: String,
    ui: String,
    reaper: Child,
}

impl Cluster {
    /// A server that runs tasks itself, two at once; one test at a time.
    pub(crate) fn local() -> MutexGuard<'static, Cluster> {
        static SHARED: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(Cluster::new_local(&[], "")));
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server on a cluster of one master and two workers; one test at a time.
    pub(crate) fn standalone() -> MutexGuard<'static, Cluster> {
        static SHARED: LazyLock<Mutex<Cluster>> = LazyLock::new(|| Mutex::new(Cluster::new_standalone(2)));
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`local`](Self::local), for one test alone, and for those only who know the token if there is one.
    pub(crate) fn new_local(settings: &[&str], token: &str) -> Cluster {
        let mut cluster = Cluster::empty();
        cluster.start_server("local[2]", settings, token);
        cluster
    }

    /// A server on a cluster with so many workers, for one test alone.
    pub(crate) fn new_standalone(workers: usize) -> Cluster {
        let mut cluster = Cluster::empty();
        let deploy = "org.apache.spark.deploy";
        let class = format!("{deploy}.master.Master");
        let master = [&class, "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"];
        cluster.start("master", "spark-class", &master, "");
        let url = cluster.logged("master", "Starting Spark master at ");
        for index in 0..workers {
            let (name, work) = (format!("worker-{index}"), cluster.dir.join(format!("work-{index}")));
            let class = format!("{deploy}.worker.Worker");
            let flags = [&class, "--host", "127.0.0.1", "--cores", "1", "--memory", "700m", "--webui-port", "0"];
            let arguments = [&flags[..], &["--work-dir", work.to_str().unwrap(), &url]].concat();
            cluster.start(&name, "spark-class", &arguments, "");
        }
        cluster.start_server(&url, &["spark.executor.cores=1", "spark.executor.memory=600m"], "");
        wait_until("executors", || cluster.executors().len() == workers);
        cluster
    }

    fn empty() -> Cluster {
        let dir = tempfile::tempdir().unwrap().keep();
        // Its own process group: a Ctrl-C at a terminal must not reach it.
        let script = r#"
            read -r _
            for process in /proc/[0-9]*; do
                grep -qzxF "$0" "$process/environ" 2>/dev/null && kill -KILL "${process#/proc/}"
            done
            rm -rf "$1"
            exit 0"#;
        let mark = format!("{MARK}={}", dir.display());
        let mut reaper = Command::new("bash");
        reaper.args(["-c", script, &mark]).arg(&dir).stdin(Stdio::piped()).process_group(0);
        Cluster { dir, remote: String::new(), ui: String::new(), reaper: reaper.spawn().unwrap() }
    }

    fn start_server(&mut self, master: &str, settings: &[&str], token: &str) {
        let own = [
            "spark.connect.grpc.binding.address=127.0.0.1",
            "spark.connect.grpc.binding.port=0",
            "spark.driver.bindAddress=127.0.0.1",
            "spark.driver.host=127.0.0.1",
            "spark.driver.memory=700m",
            "spark.ui.port=0",
        ];
        let class = "org.apache.spark.sql.connect.service.SparkConnectServer";
        let mut arguments = vec!["--class", class, "--master", master];
        arguments.extend(own.iter().chain(settings).flat_map(|setting| ["--conf", setting]));
        self.start("server", "spark-submit", &[&arguments[..], &["spark-internal"]].concat(), token);
        let address = self.logged("server", "Spark Connect server started at: ");
        self.remote = format!("sc://127.0.0.1:{}", address.rsplit(':').next().unwrap());
        let port = self.logged("server", "started service 'SparkUI' on port ");
        self.ui = format!("127.0.0.1:{}", port.trim_end_matches('.'));
    }

    #[expect(clippy::zombie_processes, reason = "the reaper ends them; what is left of them goes with this process")]
    fn start(&self, name: &str, program: &str, arguments: &[&str], token: &str) {
        let home = env::var_os("SPARK_HOME").expect("SPARK_HOME is not set; it is to name the folder of a Spark 4.1+");
        let log = File::create(self.dir.join(name)).unwrap();
        // One short-lived compiler and one collector each: these programs live for seconds, on the cores of the tests.
        let java = format!("-Djava.io.tmpdir={} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC", self.dir.display());
        Command::new(Path::new(&home).join("bin").join(program))
            .args(arguments)
            .current_dir(&self.dir)
            .env(MARK, &self.dir)
            .envs([("SPARK_LOCAL_IP", "127.0.0.1"), ("JAVA_TOOL_OPTIONS", &java)])
            .env("SPARK_LOCAL_DIRS", &self.dir)
            .envs((!token.is_empty()).then_some(("SPARK_CONNECT_AUTHENTICATE_TOKEN", token)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
    }

    /// Waits for this in the log of a process; the rest of the word that begins with it.
    fn logged(&self, name: &str, text: &str) -> String {
        let log = || String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap()).into_owned();
        let find = || {
            let log = log();
            let rest = log.split_once(text)?.1;
            Some(rest[..rest.find(char::is_whitespace)?].to_owned())
        };
        let started = Instant::now();
        loop {
            if let Some(found) = find() {
                return found;
            }
            assert!(started.elapsed() < LIMIT, "`{text}` is not in the log of {name}:\n{}", log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The processes that run now and whose command line holds this.
    pub(crate) fn processes(&self, text: &str) -> Vec<u32> {
        self.processes_that(|command| command.contains(text))
    }

    pub(crate) fn executors(&self) -> Vec<u32> {
        let words = ["CoarseGrainedExecutorBackend", "--executor-id"];
        self.processes_that(|command| !command.starts_with("bash") && words.iter().all(|word| command.contains(word)))
    }

    fn processes_that(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.dir.display());
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_one = |pid: &u32| {
            let read =
                |name| Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{name}")).ok()?).into_owned());
            let is_ours = read("environ")?.split('\0').any(|variable| variable == mark);
            Some(is_ours && is_wanted(&read("cmdline")?.replace('\0', " ")))
        };
        entries.filter(|pid| is_one(pid).unwrap_or(false)).collect()
    }

    pub(crate) fn kill(&self, text: &str) {
        let found = self.processes(text);
        assert!(!found.is_empty(), "there is no `{text}`");
        kill(&found);
        wait_until("death", || self.processes(text).is_empty());
    }

    /// Kills so many executors, as far as they are there; they may have successors.
    pub(crate) fn kill_executors(&self, count: usize) {
        let mut killed = self.executors();
        killed.truncate(count);
        kill(&killed);
        wait_until("death", || self.executors().iter().all(|process| !killed.contains(process)));
    }

    /// What Spark's pages say of what it runs (`jobs?status=running`) and keeps (`storage/rdd`).
    pub(crate) fn says(&self, what: &str) -> String {
        let base = "/api/v1/applications";
        let get = |path: &str| -> serde_json::Value {
            let mut stream = TcpStream::connect(&self.ui).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
        };
        let id = get(base)[0]["id"].as_str().unwrap().to_owned();
        get(&format!("{base}/{id}/{what}")).to_string()
    }

    pub(crate) fn check_clean(&self) {
        wait_until("jobs to end", || self.says("jobs?status=running") == "[]");
        wait_until("partitions to be forgotten", || self.says("storage/rdd") == "[]");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read(self.dir.join("server")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let skip = log.lines().count().saturating_sub(100);
            let tail: String = log.lines().skip(skip).map(|line| format!("server: {line}\n")).collect();
            let _ = std::io::stderr().write_all(tail.as_bytes());
        }
        let _ = self.reaper.stdin.take().map(|mut lifeline| lifeline.write_all(b"\n"));
        let _ = self.reaper.wait();
    }
}

fn kill(processes: &[u32]) {
    for process in processes {
        // It may be gone already.
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < LIMIT, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
