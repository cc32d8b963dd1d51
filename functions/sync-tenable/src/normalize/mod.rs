//! Tenable's bytes -> our words. Pure: no clock, no network.

pub mod assets;
pub mod compliance;
pub mod findings;

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use domain::RuleId;
use findings::{Findings, Statement};
pub use sync::lenient;
use sync::names;
use sync::split::json::{JsonArray, ReadElement, SplitError};
use sync::{BadRecord, NormalizeError, Normalized, Summary, elements};

/// Longest record that is read. A plugin's output has up to 1 MB, which JSON may write six times as long.
pub const RECORD_LIMIT: usize = 8 * 1024 * 1024;

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
    let mut summary = Summary::default();
    let mut counted = |statement: Normalized| {
        summary.count(&statement);
        emit(statement);
    };
    match stream {
        "assets" => each(reader, &mut assets::asset, &mut |read| match read {
            Ok(host) => counted(Normalized::Host(host)),
            Err(bad) => counted(Normalized::Refused(bad)),
        })?,
        "vulnerabilities" | "vulns" | "findings" => {
            let (mut findings, mut told) = (Findings::default(), Told::default());
            let read = &mut |offset, bytes: &[u8]| findings.read(offset, bytes, |_| true);
            each(reader, read, &mut |read| match read {
                Ok(statement) => told.emit(statement, &mut counted),
                Err(bad) => counted(Normalized::Refused(bad)),
            })?;
        }
        "compliance" => {
            let mut told = Told::default();
            each(reader, &mut compliance::finding, &mut |read| match read {
                Ok(Some(statement)) => told.emit(statement, &mut counted),
                Ok(None) => {}
                Err(bad) => counted(Normalized::Refused(bad)),
            })?;
        }
        _ => {
            let known = "assets, vulnerabilities, compliance";
            return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known });
        }
    }
    Ok(summary)
}

/// Calls `take` with each element of the array, as `read` understands it.
fn each<T>(
    reader: impl Read,
    read: &mut ReadElement<'_, T>,
    take: &mut dyn FnMut(Result<T, BadRecord>),
) -> Result<(), NormalizeError> {
    elements(reader, JsonArray::new(RECORD_LIMIT), read, take, malformed)
}

/// What was told already: each host and each definition is told once.
#[derive(Default)]
struct Told {
    hosts: HashSet<String>,
    rules: HashSet<RuleId>,
}

impl Told {
    fn emit(&mut self, statement: Statement, emit: &mut dyn FnMut(Normalized)) {
        let Statement { host, finding, rule } = statement;
        let native = host.native.clone();
        if !self.hosts.contains(&native) {
            self.hosts.insert(native.clone());
            emit(Normalized::Host(Arc::unwrap_or_clone(host)));
        }
        // The finding's title, CVEs and solution come from its own record each time; only the definition is told once.
        let (mut title, mut cves, mut solution) = (None, Vec::new(), None);
        if let Some(rule) = rule {
            title = Some(rule.title.clone());
            cves.clone_from(&rule.cves);
            solution.clone_from(&rule.solution);
            if !self.rules.contains(&rule.id) {
                self.rules.insert(rule.id.clone());
                emit(Normalized::Rule(Arc::unwrap_or_clone(rule)));
            }
        }
        emit(Normalized::Finding { host: native, finding, title, cves, solution });
    }
}

fn malformed(error: SplitError) -> NormalizeError {
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

#[cfg(test)]
mod tests;
