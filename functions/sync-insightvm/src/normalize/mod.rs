//! InsightVM's bytes -> our words. Pure: no clock, no network.

pub mod asset;
pub mod bulk;
pub mod finding;
pub mod rule;

use std::io::Read;

use sync::split::json::{JsonMember, MemberError, ReadElement, SplitError};
use sync::{BadRecord, NormalizeError, Normalized, Summary, elements};

/// Longest record that is read: an asset holds its findings, some 2 KB each.
pub const RECORD_LIMIT: usize = 24 << 20;
/// The member of a page that holds its records.
pub const RECORDS: &str = "data";
const STREAMS: &str = "assets, vulnerabilities, bulk_assets, bulk_vulnerabilities, bulk_remediation";

/// Normalises an answer of the integration API (`assets`: a page of assets with their findings; `vulnerabilities`: a page
/// of definitions) or a Parquet file of the Bulk Export (`bulk_assets`, `bulk_vulnerabilities`, `bulk_remediation`).
///
/// A bad record fails alone ([`Normalized::Refused`]); a document that is not whole is an error, and what was emitted
/// before it must not be taken for everything. Findings of the integration API come without title, CVEs and severity:
/// those are in the definitions.
pub fn normalize(
    stream: &str,
    mut reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    let mut summary = Summary::default();
    let mut counted = |statement: Normalized| {
        summary.count(&statement);
        emit(statement);
    };
    match stream {
        "assets" => page(&mut reader, &mut asset::asset, &mut |read| match read {
            Ok(asset) => emit_asset(asset, &mut counted),
            Err(bad) => counted(Normalized::Refused(bad)),
        })?,
        "vulnerabilities" => page(&mut reader, &mut rule::rule, &mut |read| match read {
            Ok(rule) => counted(Normalized::Rule(rule)),
            Err(bad) => counted(Normalized::Refused(bad)),
        })?,
        "bulk_assets" => bulk::normalize(bulk::Table::Assets, &mut reader, &mut counted)?,
        "bulk_vulnerabilities" => bulk::normalize(bulk::Table::Vulnerabilities, &mut reader, &mut counted)?,
        "bulk_remediation" => bulk::normalize(bulk::Table::Remediation, &mut reader, &mut counted)?,
        _ => return Err(NormalizeError::UnknownStream { stream: stream.to_owned(), known: STREAMS }),
    }
    Ok(summary)
}

fn emit_asset(asset: asset::Asset, emit: &mut dyn FnMut(Normalized)) {
    let host = asset.host.native.clone();
    emit(Normalized::Host(asset.host));
    for finding::Statement { finding, remedy } in asset.findings {
        let host = host.clone();
        emit(Normalized::Finding { host, finding, title: None, cves: vec![], solution: remedy.solution });
    }
    asset.refused.into_iter().for_each(|bad| emit(Normalized::Refused(bad)));
}

fn page<T>(
    reader: &mut dyn Read,
    read: &mut ReadElement<'_, T>,
    take: &mut dyn FnMut(Result<T, BadRecord>),
) -> Result<(), NormalizeError> {
    elements(reader, JsonMember::new(RECORDS, RECORD_LIMIT), read, take, malformed)
}

fn malformed(error: MemberError) -> NormalizeError {
    let remedy = match error {
        MemberError::Empty | MemberError::CutOff { .. } | MemberError::Array(SplitError::CutOff { .. }) => {
            "download the page again"
        }
        MemberError::NotAnObject { found: '<', .. } => {
            "this is a page of a proxy or of a portal, not of the API"
        }
        MemberError::NotAnObject { .. } | MemberError::Missing { .. } => {
            "give the body of a page, which begins with {\"data\":["
        }
        MemberError::Broken { .. } | MemberError::Array(_) => "give one page at a time",
    };
    NormalizeError::Malformed { offset: error.offset(), problem: error.to_string(), remedy }
}

#[cfg(test)]
mod tests;
