//! Commands that turn files into lines: `normalize`, `score`, `sla`, `export`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde_json::{Value, json};
use sync::normalized::Normalized;

use super::{ExportArgs, Failure, NormalizeArgs, StateArgs};
use crate::aws::{LocalAws, LocalAwsConfig};
use crate::scanners::Row;
use crate::stack::TABLE;
use crate::{export, terminal};

pub fn open(path: &Path) -> Result<Box<dyn Read>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(path)
        .map_err(|e| Failure::Input(format!("{}: {e}: name a file that exists", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

/// The lines of a file that are not blank, with their numbers from 1.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String), Failure>>, Failure> {
    let lines = BufReader::new(open(path)?).lines().enumerate();
    let blank = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.trim().is_empty());
    Ok(lines.filter(move |(_, line)| !blank(line)).map(|(at, line)| match line {
        Ok(line) => Ok((at + 1, line)),
        Err(error) => Err(Failure::Input(format!("{}:{}: {error}", path.display(), at + 1))),
    }))
}

pub fn normalize(args: &NormalizeArgs) -> Result<(), Failure> {
    let row = Row::of(args.scanner)
        .ok_or_else(|| Failure::Input(format!("nothing here reads answers of {}", args.scanner)))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for path in &args.files {
        let reader = open(path)?;
        let mut broken = None;
        let mut emit = |record: Normalized| {
            if let Normalized::Refused(bad) = &record {
                terminal::notice(&format!("{}: {bad}", path.display()));
            }
            if let Some(line) = line(args.scanner, record)
                && let Err(error) = writeln!(out, "{line}")
            {
                broken.get_or_insert(error);
            }
        };
        let stream = args.stream.as_deref().unwrap_or("");
        let summary = (row.normalize)(stream, reader, &mut emit);
        summary.map_err(|error| Failure::Input(format!("{}: {error}", path.display())))?;
        if let Some(error) = broken {
            return Err(Failure::failed(error));
        }
    }
    out.flush().map_err(Failure::failed)
}

/// One normalised record as the design's line. The connector of a file is the scanner's name.
fn line(scanner: domain::Scanner, record: Normalized) -> Option<Value> {
    let (kind, fields, more) = match record {
        Normalized::Host(host) => ("asset", serde_json::to_value(host), vec![]),
        Normalized::Finding { host, finding, title, cves, solution } => {
            let mut more = vec![("asset_key", json!(host))];
            more.extend(title.map(|title| ("title", json!(title))));
            if !cves.is_empty() {
                more.push(("cves", json!(cves)));
            }
            more.extend(solution.map(|solution| ("solution", json!(solution))));
            ("finding", serde_json::to_value(finding), more)
        }
        Normalized::Rule(rule) => ("rule", serde_json::to_value(rule), vec![]),
        Normalized::Whole { .. } | Normalized::Refused(_) => return None,
    };
    let mut line = json!({ "type": kind, "connector": scanner, "scanner": scanner });
    let object = line.as_object_mut()?;
    if let Ok(Value::Object(fields)) = fields {
        object.extend(fields);
    }
    object.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Some(line)
}

pub fn score(path: &Path) -> Result<(), Failure> {
    let config = domain::score::ScoreConfig::default();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in lines(path)? {
        let (number, line) = line?;
        let parsed: domain::score::ScoreLine = serde_json::from_str(&line)
            .map_err(|e| Failure::Input(format!("{}:{number}: {e}", path.display())))?;
        let answer = serde_json::to_string(&parsed.answer(&config)).unwrap_or_default();
        writeln!(out, "{answer}").map_err(Failure::failed)?;
    }
    out.flush().map_err(Failure::failed)
}

pub fn sla(path: &Path) -> Result<(), Failure> {
    let document: domain::sla::Document = serde_json::from_reader(open(path)?)
        .map_err(|e| Failure::Input(format!("{}:{}: {e}", path.display(), e.line())))?;
    let answer =
        domain::sla::run(&document).map_err(|e| Failure::Input(format!("{}: {e}", path.display())))?;
    println!("{}", serde_json::to_string(&answer).unwrap_or_default());
    Ok(())
}

/// The state that a directory holds.
pub(super) async fn state(args: &StateArgs) -> Result<(LocalAws, store::Store), Failure> {
    state_in(&args.data).await
}

/// The same by the directory's name.
pub(super) async fn state_in(data: &Path) -> Result<(LocalAws, store::Store), Failure> {
    if !data.is_dir() {
        return Err(Failure::Input(format!("{}: there is no state: run a sync first", data.display())));
    }
    let config = LocalAwsConfig { data: Some(data.to_owned()), ..LocalAwsConfig::new(vec![]) };
    let aws = LocalAws::start(config).await.map_err(crate::stack::StackError::from)?;
    let store = crate::stack::table_of(&aws, TABLE);
    Ok((aws, store))
}

pub async fn export(args: ExportArgs) -> Result<(), Failure> {
    let (aws, store) = state(&args.state).await?;
    let mut out = BufWriter::new(std::io::stdout());
    export::export(&store, args.stable, &mut out).await.map_err(Failure::failed)?;
    aws.shutdown().await;
    Ok(())
}
