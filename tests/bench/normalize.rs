//! How fast answers are normalised: MB/s and statements/s for each format, as a ratio to the bare tokenizer and to the
//! common Python library on the same bytes.
//!
//! ```text
//! cargo bench --workspace --bench normalize [-- [FORMAT...] [--megabytes N] [--rounds N]]
//! ```
//!
//! "Copies alone" is the ratio that a reader would have which made every statement in the time of a copy, and read nothing.
//!
//! Ours and the tokenizer take turns, and the best of the rounds counts: other work on the machine slows both. Exit 1
//! where ours has less than half the speed of the tokenizer.

#![allow(clippy::unwrap_used)] // a benchmark panics like a test

#[allow(dead_code)] // the table of formats is all that is wanted of it
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use fuzz::{FORMATS, Format};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::de::IgnoredAny;
use simulators::insightvm::table::{Cell, Table};
use tests::{done, python};

/// Least share of the tokenizer's speed.
const BUDGET: f64 = 0.5;

struct Options {
    formats: Vec<&'static Format>,
    megabytes: usize,
    rounds: usize,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { formats: Vec::new(), megabytes: 20, rounds: 5 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next().unwrap().parse().unwrap();
            match argument.as_str() {
                "--bench" => {} // cargo says so
                "--megabytes" => options.megabytes = number(),
                "--rounds" => options.rounds = number(),
                name => options.formats.push(Format::named(name)),
            }
        }
        if options.formats.is_empty() {
            options.formats = FORMATS.iter().collect();
        }
        options
    }
}

/// What a format is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Xml,
    Json,
    Csv,
    Parquet,
}

impl Kind {
    fn of(format: &Format, bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(b'<') => Self::Xml,
            Some(b'{' | b'[') => Self::Json,
            _ if format.name.contains("bulk") => Self::Parquet,
            _ => Self::Csv,
        }
    }

    /// Looks at every token and makes nothing of it.
    fn tokenize(self, bytes: &[u8]) {
        match self {
            Self::Xml => {
                let mut reader = quick_xml::Reader::from_str(std::str::from_utf8(bytes).unwrap());
                while !matches!(black_box(reader.read_event().unwrap()), quick_xml::events::Event::Eof) {}
            }
            Self::Json => {
                black_box(serde_json::from_slice::<IgnoredAny>(bytes).unwrap());
            }
            Self::Csv => {
                let mut reader = csv::Reader::from_reader(bytes);
                let mut record = csv::ByteRecord::new();
                while reader.read_byte_record(&mut record).unwrap() {
                    black_box(&record);
                }
            }
            Self::Parquet => {
                let file = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).unwrap();
                for row in file.get_row_iter(None).unwrap() {
                    black_box(row.unwrap());
                }
            }
        }
    }

    /// How the Python script knows it.
    fn extension(self, format: &Format) -> Option<&'static str> {
        match self {
            Self::Xml if format.name == "nessus" => Some("nessus"),
            Self::Xml => Some("xml"),
            Self::Json => Some("json"),
            Self::Csv => Some("csv"),
            Self::Parquet => None,
        }
    }
}

struct Row {
    format: &'static Format,
    bytes: usize,
    statements: u64,
    ours: Duration,
    /// Of a copy of every statement, and nothing else: what the results alone cost.
    copies: Duration,
    tokenizer: Duration,
    python: Option<f64>,
}

fn main() -> ExitCode {
    let options = Options::read();
    let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = tests.join("../target/bench-normalize");
    std::fs::create_dir_all(&folder).unwrap();
    let mut rows = Vec::new();
    let mut files = Vec::new();
    for format in &options.formats {
        let bytes = input(tests, format, options.megabytes);
        let kind = Kind::of(format, &bytes);
        rows.push(measure(format, kind, &bytes, options.rounds));
        files.push(kind.extension(format).map(|extension| {
            let file = folder.join(format!("{}.{extension}", format.name));
            std::fs::write(&file, &bytes).unwrap();
            file
        }));
    }
    for (row, seconds) in rows.iter_mut().zip(in_python(tests, &files)) {
        row.python = seconds;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    print(&rows);
    let slow: Vec<&str> = rows.iter().filter(|row| row.ratio() < BUDGET).map(|row| row.format.name).collect();
    if slow.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("less than {BUDGET} of the tokenizer's speed: {}", slow.join(", "));
    ExitCode::FAILURE
}

/// Twenty megabytes and more, the same each time.
fn input(tests: &Path, format: &Format, megabytes: usize) -> Vec<u8> {
    if format.name.contains("bulk") {
        return parquet(format, megabytes);
    }
    let mut command = Command::new("python3");
    command.arg(tests.join("bench/generate.py")).args([format.name, &megabytes.to_string()]);
    done("generate.py", command.output()).stdout
}

/// A file of the Bulk Export. A row packs to some 30 bytes.
fn parquet(format: &Format, megabytes: usize) -> Vec<u8> {
    const ASSETS: &str = "optional binary assetId (STRING); optional binary agentId (STRING); optional binary ip (STRING);
        optional binary hostName (STRING); optional binary mac (STRING); optional binary osDescription (STRING);";
    const FINDINGS: &str =
        "optional binary assetId (STRING); optional binary vulnId (STRING); optional int32 port;
        optional binary protocol (STRING); optional binary proof (STRING); optional binary title (STRING);
        optional binary description (STRING); optional binary severity (STRING); optional double cvssV3Score;
        optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true));";
    const REMOVED: &str = "optional binary assetId (STRING); optional binary vulnId (STRING);
        optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true)); optional int64 lastRemoved (TIMESTAMP(MICROS,true));";
    let text = |text: String| Cell::Text(Some(text));
    let row = |n: usize| {
        let (asset, rule, at) = (n / 50, n * 7919 % 2000, 1_760_000_000 + i64::try_from(n).unwrap());
        let (host, rule) = (text(format!("asset-{asset:032x}")), text(format!("rule-{rule}")));
        match format.stream {
            "bulk_assets" => vec![
                text(format!("asset-{n:032x}")),
                text(format!("{n:032x}")),
                text(format!("10.0.{}.{}", n >> 8 & 255, n & 255)),
                text(format!("web{n}.example.com")),
                Cell::text("00:50:56:A6:22:93"),
                Cell::text("Ubuntu Linux 22.04"),
            ],
            "bulk_remediation" => vec![host, rule, Cell::time(at), Cell::time(at)],
            _ => vec![
                host,
                rule,
                Cell::Int(Some(443)),
                Cell::text("TCP"),
                text(format!("<p>Vulnerable version of product {} found on host {asset}</p>", n * 31 % 997)),
                text(format!("Rule {n}")),
                Cell::text("<p>The remote host runs a version that is affected by several weaknesses</p>"),
                Cell::text("Severe"),
                Cell::Double(Some(7.5)),
                Cell::time(at),
            ],
        }
    };
    let columns = match format.stream {
        "bulk_assets" => ASSETS,
        "bulk_remediation" => REMOVED,
        _ => FINDINGS,
    };
    let groups: Vec<Vec<Vec<Cell>>> =
        (0..megabytes * 2).map(|group| (0..10_000).map(|n| row(group * 10_000 + n)).collect()).collect();
    Table::new(columns).write(&groups)
}

fn measure(format: &'static Format, kind: Kind, bytes: &[u8], rounds: usize) -> Row {
    let mut row = Row {
        format,
        bytes: bytes.len(),
        statements: 0,
        ours: Duration::MAX,
        copies: Duration::MAX,
        tokenizer: Duration::MAX,
        python: None,
    };
    for _ in 0..rounds {
        let began = Instant::now();
        let end = format.normalize(&mut &*bytes, &mut |statement| drop(black_box(statement)));
        row.ours = row.ours.min(began.elapsed());
        let summary = end.unwrap_or_else(|error| panic!("{}: {error}", format.name));
        assert_eq!(summary.refused, 0, "{}", format.name);
        row.statements = summary.hosts + summary.findings + summary.rules;
        let began = Instant::now();
        kind.tokenize(bytes);
        row.tokenizer = row.tokenizer.min(began.elapsed());
    }
    let mut statements = Vec::new();
    let end = format.normalize(&mut &*bytes, &mut |statement| statements.push(statement));
    end.unwrap_or_else(|error| panic!("{}: {error}", format.name));
    for _ in 0..rounds {
        let began = Instant::now();
        statements.iter().for_each(|statement| drop(black_box(statement.clone())));
        row.copies = row.copies.min(began.elapsed());
    }
    row
}

/// Seconds of the usual Python library for each file.
fn in_python(tests: &Path, files: &[Option<PathBuf>]) -> Vec<Option<f64>> {
    let named: Vec<&PathBuf> = files.iter().flatten().collect();
    let mut command = Command::new(python(tests));
    let output = command.arg(tests.join("python/normalize_bench.py")).args(&named).output();
    let seconds: Vec<f64> = serde_json::from_slice(&done("normalize_bench.py", output).stdout).unwrap();
    let mut seconds = seconds.into_iter();
    files.iter().map(|file| file.as_ref().and_then(|_| seconds.next())).collect()
}

impl Row {
    fn ratio(&self) -> f64 {
        self.tokenizer.as_secs_f64() / self.ours.as_secs_f64()
    }
}

#[allow(clippy::cast_precision_loss)] // to be read by people
fn print(rows: &[Row]) {
    println!(
        "| format | MB/s | statements/s | of the tokenizer's speed | copies alone | times the Python library's |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        let seconds = row.ours.as_secs_f64();
        println!(
            "| {} | {:.0} | {:.0},000 | {:.2} | {:.2} | {} |",
            row.format.name,
            row.bytes as f64 / 1e6 / seconds,
            row.statements as f64 / 1e3 / seconds,
            row.ratio(),
            row.tokenizer.as_secs_f64() / row.copies.as_secs_f64(),
            row.python.map_or("".into(), |python| format!("{:.1}", python / seconds)),
        );
    }
}
