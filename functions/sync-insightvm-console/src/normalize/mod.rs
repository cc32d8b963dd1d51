//! InsightVM's bytes -> our words. Pure: no clock, no network.

pub mod json;
pub mod report;
pub mod state;
mod xml;

use std::io::Read;

use sync::split::json::{Cutter, JsonMember, MemberError, only};
use sync::split::xml::SplitError;
use sync::{BadRecord, NormalizeError, Normalized, Summary, pieces};

use crate::csv::{Broken, Rows};

/// Longest element of a page. A service banner or a proof has kilobytes, an asset with its software megabytes.
pub const RECORD_LIMIT: usize = 16 * 1024 * 1024;
/// Bytes by which a document is told.
const BEGINNING: u64 = 64 * 1024;
const KNOWN: &str = "assets, vulnerabilities, definitions, report, report_rules, xml";

/// Normalises one answer of a console: a page of `assets`, of the `vulnerabilities` of an asset, of `definitions`; the CSV
/// of one of our reports (`report` with findings, `report_rules` with definitions); or a Nexpose XML 2.0 export (`xml`).
///
/// A bad record fails alone ([`Normalized::Refused`]); a document that is something else, or was cut off, is an error, and
/// what was emitted before it must not be taken for everything. Findings of the API come without severity, which is in
/// their definition. Memory does not grow with the document.
pub fn normalize(
    stream: &str,
    reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    let mut summary = Summary::default();
    let mut counted = |statement: Normalized| {
        summary.count(&statement);
        emit(statement);
    };
    let mut reader = reader;
    let mut begun = Vec::new();
    let stream = match stream {
        "" => {
            reader.by_ref().take(BEGINNING).read_to_end(&mut begun)?;
            told_by(&begun)
        }
        named => named,
    };
    let reader = std::io::Cursor::new(begun).chain(reader);
    match stream {
        "assets" | "vulnerabilities" | "definitions" => page(stream, reader, &mut counted)?,
        "report" | "report_rules" => csv(stream == "report", reader, &mut counted)?,
        "xml" => export(reader, &mut counted)?,
        _ => return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known: KNOWN }),
    }
    Ok(summary)
}

/// What a document is by its first bytes. A packed report is taken for one with findings.
fn told_by(begun: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(begun);
    let has = |names: &[&str]| names.iter().all(|name| text.contains(name));
    match text.trim_start().chars().next() {
        Some('<') => "xml",
        Some('{') if has(&["\"results\"", "\"instances\""]) => "vulnerabilities",
        Some('{') if has(&["\"severityScore\""]) || has(&["\"cvss\""]) => "definitions",
        Some('{') => "assets",
        _ if text.lines().next().is_some_and(|line| line.contains("title") && !line.contains("asset_id")) => {
            "report_rules"
        }
        _ => "report",
    }
}

fn page(stream: &str, reader: impl Read, emit: &mut dyn FnMut(Normalized)) -> Result<(), NormalizeError> {
    let told =
        |read: Result<Vec<Normalized>, BadRecord>| read.unwrap_or_else(|bad| vec![Normalized::Refused(bad)]);
    let read = &mut |offset, bytes: &[u8]| element(stream, offset, bytes);
    let mut splitter = JsonMember::new("resources", RECORD_LIMIT);
    let mut single = Vec::new();
    pieces(reader, |bytes| {
        splitter.feed(bytes);
        // A definition is also asked for alone, and then has no page around it.
        if stream == "definitions" && single.len() < RECORD_LIMIT {
            single.extend_from_slice(bytes);
        }
        while let Some(element) = splitter.read_next(read) {
            single = Vec::new();
            told(element).into_iter().for_each(&mut *emit);
        }
        Ok::<(), NormalizeError>(())
    })?;
    match splitter.finish() {
        Err(MemberError::Missing { .. }) if stream == "definitions" => {
            told(only(&single, read)).into_iter().for_each(emit);
            Ok(())
        }
        Err(error) => Err(broken_page(&error)),
        Ok(()) => Ok(()),
    }
}

/// What the element says that `bytes` begin with, and how many bytes it has.
fn element(stream: &str, offset: u64, bytes: &[u8]) -> Result<(Vec<Normalized>, usize), BadRecord> {
    match stream {
        "assets" => {
            let (asset, length) = json::asset(offset, bytes)?;
            Ok((vec![Normalized::Host(asset.host)], length))
        }
        "definitions" => {
            let (rule, length) = json::rule(offset, bytes)?;
            Ok((vec![Normalized::Rule(rule)], length))
        }
        _ => {
            let (on_asset, length) = json::finding(offset, bytes, None)?;
            // A page belongs to one asset, which only the links name.
            let Some(host) = on_asset.asset else {
                return Err(BadRecord { offset, problem: "it has no link that names its asset".to_owned() });
            };
            let told = state::findings(on_asset.instances).into_iter().map(|finding| {
                let (host, title, cves, solution) = (host.clone(), None, Vec::new(), None);
                Normalized::Finding { host, finding, title, cves, solution }
            });
            Ok((told.collect(), length))
        }
    }
}

fn csv(of_findings: bool, reader: impl Read, emit: &mut dyn FnMut(Normalized)) -> Result<(), NormalizeError> {
    let mut rows = Rows::default();
    let mut assets = report::Assets::default();
    let mut read = |rows: &mut Rows| {
        let wanted = if of_findings { report::FINDING_COLUMNS } else { report::RULE_COLUMNS };
        if let Some(column) = report::missing_column(rows, wanted) {
            return Err(Broken { offset: 0, problem: format!("its first line names no column {column}") });
        }
        while let Some(row) = rows.next_row() {
            let row = match row {
                Ok(row) => row,
                Err(bad) => {
                    emit(Normalized::Refused(bad));
                    continue;
                }
            };
            if !of_findings {
                emit(report::rule(rows, &row).map_or_else(Normalized::Refused, Normalized::Rule));
                continue;
            }
            let (asset, taken) = assets.take(rows, &row);
            asset.into_iter().for_each(|asset| tell(asset, emit));
            taken.err().into_iter().for_each(|bad| emit(Normalized::Refused(bad)));
        }
        Ok(())
    };
    pieces(reader, |bytes| {
        let fed = rows.feed(bytes);
        read(&mut rows)?;
        fed
    })?;
    rows.finish()?;
    read(&mut rows)?;
    assets.finish().into_iter().for_each(|asset| tell(asset, emit));
    Ok(())
}

fn tell(asset: report::OnAsset, emit: &mut dyn FnMut(Normalized)) {
    let native = asset.host.native.clone();
    emit(Normalized::Host(asset.host));
    for finding in asset.findings {
        let (host, title, cves, solution) = (native.clone(), None, Vec::new(), None);
        emit(Normalized::Finding { host, finding, title, cves, solution });
    }
}

fn export(reader: impl Read, emit: &mut dyn FnMut(Normalized)) -> Result<(), NormalizeError> {
    let mut document = xml::Document::default();
    let malformed = |SplitError { offset, problem }: SplitError| NormalizeError::Malformed {
        offset,
        problem,
        remedy: "export it again as \"XML Export 2.0\", and give it as the console wrote it",
    };
    pieces(reader, |bytes| document.feed(bytes, emit).map_err(malformed))?;
    document.finish().map_err(malformed)
}

impl From<Broken> for NormalizeError {
    fn from(Broken { offset, problem }: Broken) -> Self {
        Self::Malformed { offset, problem, remedy: "generate the report again with our query, as CSV" }
    }
}

fn broken_page(error: &MemberError) -> NormalizeError {
    let remedy = match error {
        MemberError::NotAnObject { found: '<', .. } => {
            "this is a page of a proxy or of the console, not of its API"
        }
        _ => "ask the console again, and give the answer as it came",
    };
    NormalizeError::Malformed { offset: error.offset(), problem: error.to_string(), remedy }
}

#[cfg(test)]
mod tests;
