//! The fuzz target of every format: the name of the binary is the name of the format.

#![no_main]

libfuzzer_sys::fuzz_target!(
    // libFuzzer's own hook ends the process at every panic, also at one of the Parquet reader, which our code catches.
    // One that is not caught ends it all the same.
    init: std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_none_or(|at| !at.file().contains("/parquet-")) {
            eprintln!("{panic}");
        }
    })),
    |bytes: &[u8]| fuzz::run(env!("CARGO_BIN_NAME"), bytes)
);
