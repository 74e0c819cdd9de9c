//! Python is where the others come from: PyTorch and PySpark, in an environment of their own in the user's cache. The
//! scripts are in `python/` of this crate; each prints one line of JSON.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use serde::de::DeserializeOwned;

use crate::child;

/// What the environment holds. PyTorch's version is that of our libtorch, so that both compute with the same kernels.
const PACKAGES: [&str; 3] = ["torch==2.13.0", "pyspark==4.3.0", "numpy"];
/// Where PyTorch is found without CUDA, which is a tenth of the size.
const CPU_INDEX: &str = "https://download.pytorch.org/whl/cpu";
const INSTALL_LIMIT: Duration = Duration::from_secs(60 * 60);
const SCRIPT_LIMIT: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
pub(crate) struct Python {
    program: PathBuf,
    pub(crate) versions: String,
}

impl Python {
    /// Finds the environment in the user's cache, or makes it.
    pub(crate) fn provide() -> anyhow::Result<Python> {
        let cache = setup::cache_dir()?;
        let directory = cache.join("bench-torch-2.13.0-pyspark-4.3.0");
        let program = directory.join("bin/python");
        if !directory.exists() {
            let partial = directory.with_extension("partial");
            install(&partial).context("PyTorch and PySpark cannot be installed")?;
            fs::rename(&partial, &directory).with_context(|| format!("failed to finish `{}`", directory.display()))?;
        }
        let script = "import sys, numpy, pyspark, torch; print('Python', sys.version.split()[0] + \
                      ', PyTorch', torch.__version__ + ', PySpark', pyspark.__version__ + ', NumPy', numpy.__version__)";
        let mut command = Command::new(&program);
        command.args(["-c", script]);
        let versions = child::output(command, SCRIPT_LIMIT)
            .with_context(|| format!("`{}` is not whole; remove it and start again", directory.display()))?;
        Ok(Python { program, versions: versions.trim().to_owned() })
    }

    pub(crate) fn run<T: DeserializeOwned>(&self, script: &str, arguments: &[OsString]) -> anyhow::Result<T> {
        let mut command = Command::new(&self.program);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script)).args(arguments);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYSPARK_PYTHON", &self.program);
        let said = child::output(command, SCRIPT_LIMIT)?;
        serde_json::from_str(&said).with_context(|| format!("`{script}` said `{}`", said.trim()))
    }
}

pub(crate) fn note(python: &anyhow::Result<Python>) -> String {
    match python {
        Ok(python) => python.versions.clone(),
        Err(error) => format!("PyTorch and PySpark did not take part: {error:#}"),
    }
}

/// Makes the environment in `directory`, which stays behind when it fails and is then made again.
fn install(directory: &Path) -> anyhow::Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(directory);
    child::output(venv, INSTALL_LIMIT)?;
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(directory.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(arguments);
        child::output(command, INSTALL_LIMIT)
    };
    let [torch, others @ ..] = PACKAGES;
    // Where this index cannot be reached, the next line installs the build with CUDA.
    let _ = pip(&["--timeout=15", "--retries=0", "--index-url", CPU_INDEX, torch]);
    pip(&[&[torch], &others[..]].concat()).map(drop)
}
