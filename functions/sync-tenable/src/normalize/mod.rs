//! Tenable's bytes -> our words. Pure: no clock, no network.

pub mod assets;
pub mod compliance;
pub mod findings;

use std::collections::HashSet;
use std::io::Read;

use domain::RuleId;
pub use sync::lenient;
use sync::names;
use sync::split::json::{JsonArray, SplitError};
use sync::{BadRecord, NormalizeError, Normalized, Summary, pieces};

/// Longest record that is read. A plugin's output has up to 1 MB, which JSON may write six times as long.
pub const RECORD_LIMIT: usize = 8 * 1024 * 1024;

/// Reads the record that begins at an offset.
type ReadRecord = Box<dyn FnMut(u64, &[u8], &mut dyn FnMut(Normalized))>;

/// Normalises a chunk of an export: `assets`, `vulnerabilities` or `compliance`.
///
/// A bad record fails alone ([`Normalized::Refused`]); a document that is no whole JSON array is an error, and what was
/// emitted before it must not be taken for everything. A vulnerability chunk gives each host and each rule once, before
/// the first finding that needs it.
pub fn normalize(
    stream: &str,
    reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    let mut read: ReadRecord = match stream {
        "assets" => Box::new(|offset, bytes, emit| match assets::asset(offset, bytes) {
            Ok(host) => emit(Normalized::Host(host)),
            Err(bad) => emit(Normalized::Refused(bad)),
        }),
        "vulnerabilities" | "vulns" | "findings" => {
            Box::new(read_finding(|offset, bytes| findings::finding(offset, bytes, |_| true).map(Some)))
        }
        "compliance" => Box::new(read_finding(compliance::finding)),
        _ => {
            let known = "assets, vulnerabilities, compliance";
            return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known });
        }
    };
    let mut summary = Summary::default();
    let mut counted = |statement: Normalized| {
        summary.count(&statement);
        emit(statement);
    };
    let mut splitter = JsonArray::new(RECORD_LIMIT);
    pieces(reader, |bytes| {
        splitter.feed(bytes);
        for piece in splitter.by_ref() {
            match piece {
                Ok(piece) => read(piece.offset, &piece.bytes, &mut counted),
                Err(bad) => counted(Normalized::Refused(bad)),
            }
        }
        splitter.error().map_or(Ok(()), |error| Err(malformed(error)))
    })?;
    splitter.finish().map_err(|error| malformed(&error))?;
    Ok(summary)
}

fn read_finding(
    read: fn(u64, &[u8]) -> Result<Option<findings::Statement>, BadRecord>,
) -> impl FnMut(u64, &[u8], &mut dyn FnMut(Normalized)) {
    let mut hosts = HashSet::new();
    // The finding's title, CVEs and solution come from its own record each time; only the definition is told once.
    let mut rules: HashSet<RuleId> = HashSet::new();
    move |offset, bytes, emit| match read(offset, bytes) {
        Ok(None) => {}
        Ok(Some(findings::Statement { host, finding, rule })) => {
            let native = host.native.clone();
            if hosts.insert(native.clone()) {
                emit(Normalized::Host(host));
            }
            let title = rule.as_ref().map(|rule| rule.title.clone());
            let cves = rule.as_ref().map(|rule| rule.cves.clone()).unwrap_or_default();
            let solution = rule.as_ref().and_then(|rule| rule.solution.clone());
            if let Some(rule) = rule.filter(|rule| rules.insert(rule.id.clone())) {
                emit(Normalized::Rule(rule));
            }
            emit(Normalized::Finding { host: native, finding, title, cves, solution });
        }
        Err(bad) => emit(Normalized::Refused(bad)),
    }
}

fn malformed(error: &SplitError) -> NormalizeError {
    let remedy = match error {
        SplitError::Empty | SplitError::CutOff { .. } => "download the chunk again",
        SplitError::NotAnArray { found: '<', .. } => {
            "this is a page of a proxy or of a portal, not of the API"
        }
        SplitError::NotAnArray { .. } => "give the body of an export chunk, which begins with [",
        SplitError::Trailing { .. } => "give one chunk at a time",
    };
    NormalizeError::Malformed { offset: error.offset(), problem: error.to_string(), remedy }
}

/// A parser's complaint without what it quotes beyond a few words.
fn brief(error: &serde_json::Error) -> String {
    const LENGTH: usize = 120;
    let text = error.to_string();
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
