//! Each fuzzer is the function of `hostile` that has its name.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<hostile::Target> = LazyLock::new(|| {
    let mut targets = hostile::TARGETS.iter();
    targets.find(|(name, _)| *name == env!("CARGO_BIN_NAME")).expect("there is a function for each fuzzer").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    hostile::feed(*TARGET, data);
});
