//! Lets what links libtorch find it when it runs, without `LD_LIBRARY_PATH`: the tests of `model`, and `trainer`, whose
//! manifest names this script too, because a link argument does not reach the crates that depend on a crate.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    println!("cargo::rerun-if-changed={}", libtorch.join("build-version").display());

    // Absolute and without links, so that any target directory works and a moved link does not change a built binary.
    let Ok(lib) = libtorch.join("lib").canonicalize() else { missing(&libtorch) };
    if !["libtorch.so", "libtorch.dylib"].iter().any(|name| lib.join(name).exists()) {
        missing(&libtorch);
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // libtorch registers its operators when it is loaded: the linker must keep it although nothing names its symbols.
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo::rustc-link-arg=-ltorch");
    }
}

fn missing(libtorch: &Path) -> ! {
    println!("cargo::error=no libtorch in `{}`: run `cargo run --bin orchestrator -- setup`", libtorch.display());
    exit(1);
}
