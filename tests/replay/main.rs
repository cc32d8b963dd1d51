//! Everything that the fuzzers kept, once more: what was found stays mended, on every machine and without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::FORMATS;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn every_kept_input_still_passes() {
    let mut failed = Vec::new();
    for format in FORMATS {
        let corpus = folder().join("corpus").join(format.name);
        let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
        let mut replayed = 0;
        for file in files {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| fuzz::run(format.name, &bytes)).is_err() {
                failed.push(path);
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", corpus.display());
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_seeds_state_something() {
    for format in FORMATS {
        let seed = fs::read(folder().join("corpus").join(format.name).join("seed")).unwrap();
        let end = format.normalize(&mut &*seed, &mut |_| {});
        let summary = end.unwrap_or_else(|error| panic!("{}: {error}", format.name));
        assert!(summary.hosts + summary.findings + summary.rules > 0, "{}: {summary:?}", format.name);
        assert_eq!(summary.refused, 0, "{}", format.name);
    }
}

#[test]
fn every_format_has_a_target_and_no_corpus_is_forgotten() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let targets = manifest.split("[[bin]]").skip(1).map(|bin| bin.split('"').nth(1).unwrap().to_owned());
    let corpora = fs::read_dir(folder().join("corpus")).unwrap();
    let corpora = corpora.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let formats = sorted(FORMATS.iter().map(|format| format.name.to_owned()).collect());
    assert_eq!(sorted(targets.collect()), formats);
    assert_eq!(sorted(corpora.collect()), formats);
}
