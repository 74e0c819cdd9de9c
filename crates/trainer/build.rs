//! Lets the trainer find libtorch when it runs, without `LD_LIBRARY_PATH`; `crates/model/build.rs` has checked that it
//! is there. A dependency's link arguments do not reach this crate, so the same lines stand here.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).unwrap_or_default();
    println!("cargo:rerun-if-changed={}", libtorch.join("build-version").display());

    // Where it is missing, the build of `model` says so.
    let Ok(lib) = libtorch.join("lib").canonicalize() else { return };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // libtorch registers its operators when it is loaded: the linker must keep it although nothing names its symbols.
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch");
    }
}
