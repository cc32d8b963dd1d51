//! Parquet files of the Bulk Export.
//!
//! A file is read row group by row group, and of a row group only the columns that are used, page by page: memory does
//! not grow with the file.

mod cells;
mod headers;
mod rows;

use std::collections::HashSet;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::headers::Checked;
use bytes::Bytes;
use domain::{Finding, FindingKey, FindingKind, FindingState, Host, Rule, RuleId, Severity};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde::{Deserialize, Serialize};
use sync::scanner::Fix;
use sync::{BadRecord, NormalizeError, Normalized};

/// Files longer than this are not read from a stream: reading Parquet begins at its end.
const STREAM_LIMIT: u64 = 512 << 20;

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// `asset`
    Assets,
    /// `asset_vulnerability`
    Vulnerabilities,
    /// `vulnerability_remediation`
    Remediation,
}

impl Table {
    /// As in unit ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assets => "assets",
            Self::Vulnerabilities => "vulnerabilities",
            Self::Remediation => "remediation",
        }
    }

    /// What an export calls it, before a slash or alone: `vulnerability_remediation/ivm`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Assets => "asset",
            Self::Vulnerabilities => "asset_vulnerability",
            Self::Remediation => "vulnerability_remediation",
        }
    }

    /// The columns that are read, in lower case; the first ones must be there.
    fn columns(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Assets => (&["assetid"], rows::ASSET),
            Self::Vulnerabilities => (&["assetid", "vulnid"], rows::VULNERABILITY),
            Self::Remediation => (&["assetid", "vulnid", "lastremoved"], rows::REMEDIATION),
        }
    }
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An asset.
    Asset(Box<Host>),
    /// A finding on an asset, and its definition where it was wanted.
    Finding {
        /// Id of the asset.
        host: String,
        /// The finding.
        finding: Box<Finding>,
        /// The definition, the first time that this reader comes across it.
        rule: Option<Box<Rule>>,
    },
    /// Something is gone.
    Removed(Fix),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no Parquet file, or a broken one, or of a kind that is not read.
    #[error("it cannot be read as Parquet: {0}")]
    Broken(String),
    /// It is of another table.
    #[error("it has no column {column}: it is no file of {table}")]
    OtherTable {
        /// The column, in lower case.
        column: &'static str,
        /// The table.
        table: &'static str,
    },
}

/// An opened file.
pub struct ParquetFile<R: ChunkReader> {
    reader: SerializedFileReader<Checked<R>>,
    table: Table,
    projection: Type,
}

impl<R: ChunkReader + 'static> ParquetFile<R> {
    /// Opens a file of a table: reads its footer.
    pub fn open(reader: R, table: Table) -> Result<Self, FileError> {
        guarded(|| {
            let reader = SerializedFileReader::new(Checked(reader)).map_err(broken)?;
            let schema = reader.metadata().file_metadata().schema();
            let (needed, used) = table.columns();
            let names: Vec<String> =
                schema.get_fields().iter().map(|f| f.name().to_ascii_lowercase()).collect();
            if let Some(column) = needed.iter().find(|column| !names.iter().any(|name| name == *column)) {
                return Err(FileError::OtherTable { column, table: table.as_str() });
            }
            let fields = schema.get_fields().iter().zip(&names);
            let wanted = fields.filter(|(_, name)| used.contains(&name.as_str())).map(|(f, _)| Arc::clone(f));
            let projection = Type::group_type_builder(schema.name())
                .with_fields(wanted.collect())
                .build()
                .map_err(broken)?;
            Ok(Self { reader, table, projection })
        })
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Number of rows of all groups.
    pub fn rows(&self) -> u64 {
        self.reader.metadata().file_metadata().num_rows().try_into().unwrap_or(0)
    }

    /// Reads one row group. A row that says nothing fails alone, with its number in the group for its offset; `take`
    /// answers whether to go on. Returns the number of rows read.
    pub fn read(
        &self,
        group: usize,
        take: &mut dyn FnMut(Result<Record, BadRecord>) -> bool,
    ) -> Result<u64, FileError> {
        guarded(|| {
            let group = self.reader.get_row_group(group).map_err(broken)?;
            let rows = RowIter::from_row_group(Some(self.projection.clone()), &*group).map_err(broken)?;
            let mut told = HashSet::new();
            let mut number = 0;
            for row in rows {
                let row = row.map_err(broken)?;
                let record = match self.table {
                    Table::Assets => rows::asset(&row).map(|host| Some(Record::Asset(Box::new(host)))),
                    Table::Vulnerabilities => {
                        rows::vulnerability(&row, |rule| told.insert(rule.clone())).map(Some)
                    }
                    Table::Remediation => rows::remediation(&row).map(|fix| fix.map(Record::Removed)),
                };
                let go_on = match record {
                    Ok(Some(record)) => take(Ok(record)),
                    Ok(None) => true,
                    Err(problem) => {
                        let problem = format!("row {number} of its row group: {problem}");
                        take(Err(BadRecord { offset: number, problem }))
                    }
                };
                number += 1;
                if !go_on {
                    break;
                }
            }
            Ok(number)
        })
    }
}

fn broken(error: parquet::errors::ParquetError) -> FileError {
    FileError::Broken(sync::http::shorten(&error.to_string()))
}

/// A file that is not what it says makes the Parquet reader fail, and at worst panic: that is an error of this file too.
fn guarded<T>(work: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(FileError::Broken("its parts contradict each other".into())))
}

/// Normalises a whole file out of a stream.
pub(super) fn normalize(
    table: Table,
    reader: &mut dyn Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<(), NormalizeError> {
    let malformed =
        |problem: String, remedy: &'static str| NormalizeError::Malformed { offset: 0, problem, remedy };
    let mut body = Vec::new();
    reader.take(STREAM_LIMIT + 1).read_to_end(&mut body)?;
    if body.len() as u64 > STREAM_LIMIT {
        return Err(malformed(format!("it is longer than {STREAM_LIMIT} bytes"), "let a connector read it"));
    }
    let wrong =
        |error: FileError| malformed(error.to_string(), "give one Parquet file of the export as it is");
    let file = ParquetFile::open(Bytes::from(body), table).map_err(wrong)?;
    for group in 0..file.groups() {
        let mut take = |record: Result<Record, BadRecord>| {
            match record {
                Ok(Record::Asset(host)) => emit(Normalized::Host(*host)),
                Ok(Record::Finding { host, finding, rule }) => {
                    let title = rule.as_ref().map(|rule| rule.title.clone());
                    let cves = rule.as_ref().map(|rule| rule.cves.clone()).unwrap_or_default();
                    let solution = rule.as_ref().and_then(|rule| rule.solution.clone());
                    if let Some(rule) = rule {
                        emit(Normalized::Rule(*rule));
                    }
                    emit(Normalized::Finding { host, finding: *finding, title, cves, solution });
                }
                Ok(Record::Removed(fix)) => emit(removed(fix)),
                Err(bad) => emit(Normalized::Refused(bad)),
            }
            true
        };
        file.read(group, &mut take).map_err(wrong)?;
    }
    Ok(())
}

/// A removal as a finding: which one it was is known to whoever has the asset's findings.
fn removed(fix: Fix) -> Normalized {
    let finding = Finding {
        key: FindingKey::new(fix.rule.as_str()),
        rule: RuleId::new(fix.rule.as_str()),
        severity: Severity::Medium,
        source_severity: String::new(),
        kind: FindingKind::Vulnerability,
        state: FindingState::Fixed,
        source_state: "removed".into(),
        cvss: None,
        epss: None,
        vendor_risk: None,
        exploit_available: None,
        vendor_factors: std::collections::BTreeMap::new(),
        first_found: fix.first_found,
        last_found: None,
        fixed_at: Some(fix.at),
        reopened_at: None,
        port: None,
        protocol: None,
        service: None,
        evidence: fix.evidence,
    };
    Normalized::Finding { host: fix.host, finding, title: None, cves: vec![], solution: None }
}

#[cfg(test)]
mod tests;
