//! What a connector makes of scanner bytes, one statement at a time, for whoever has no sink: the `normalize` command,
//! fuzzers, benchmarks.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use domain::{CveId, Finding, Host, Rule};

use crate::scanner::BadRecord;
use crate::scope::Scope;
use crate::split::json::{Cutter, ReadElement};

/// One normalised statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Normalized {
    /// A host, from an inventory or as findings describe it.
    Host(Host),
    /// A finding.
    Finding {
        /// The scanner's id of the host it is on.
        host: String,
        /// The finding.
        finding: Finding,
        /// The rule's title, where the bytes hold it.
        title: Option<String>,
        /// The rule's CVEs, where the bytes hold them.
        cves: Vec<CveId>,
        /// The rule's solution, where the bytes hold it.
        solution: Option<String>,
    },
    /// That was all of a host: a scan has looked at it to the end, and each of its findings could be read.
    Whole {
        /// The scanner's id of the host.
        host: String,
        /// What that scan looked for, where the bytes tell.
        scope: Option<Arc<Scope>>,
    },
    /// A rule's definition.
    Rule(Rule),
    /// A record that could not be read.
    Refused(BadRecord),
}

/// How much was normalised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Hosts.
    pub hosts: u64,
    /// Findings.
    pub findings: u64,
    /// Rules.
    pub rules: u64,
    /// Records that could not be read.
    pub refused: u64,
}

impl Summary {
    /// Counts a statement.
    pub fn count(&mut self, statement: &Normalized) {
        match statement {
            Normalized::Host(_) => self.hosts += 1,
            Normalized::Finding { .. } => self.findings += 1,
            Normalized::Rule(_) => self.rules += 1,
            Normalized::Whole { .. } => {}
            Normalized::Refused(_) => self.refused += 1,
        }
    }
}

/// Why bytes could not be normalised at all.
#[derive(Debug, thiserror::Error)]
pub enum NormalizeError {
    /// The document as a whole is not what it should be; single bad records are [`Normalized::Refused`].
    #[error("at byte {offset}: {problem}: {remedy}")]
    Malformed {
        /// Where in the document.
        offset: u64,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The scanner has no such stream.
    #[error("there is no stream {stream:?}: use one of {known}")]
    UnknownStream {
        /// What was asked for.
        stream: String,
        /// What there is.
        known: &'static str,
    },
    /// The bytes could not be read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
}

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Calls `take` with piece after piece of what there is to read, until it ends or `take` has enough of it.
pub fn pieces<E: Into<NormalizeError>>(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), NormalizeError> {
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => take(&buffer[..length]).map_err(Into::into)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Calls `take` with each element that `cutter` finds in what there is to read, as `read` understands it.
///
/// # Errors
/// It cannot be read, or it as a whole is not what it should be, in the words of `malformed`.
pub fn elements<C: Cutter, T>(
    reader: impl Read,
    mut cutter: C,
    read: &mut ReadElement<'_, T>,
    take: &mut dyn FnMut(Result<T, BadRecord>),
    malformed: fn(C::Error) -> NormalizeError,
) -> Result<(), NormalizeError> {
    pieces(reader, |bytes| {
        cutter.feed(bytes);
        while let Some(element) = cutter.read_next(read) {
            take(element);
        }
        if cutter.error().is_some() { cutter.finish().map_err(malformed) } else { Ok(()) }
    })?;
    cutter.finish().map_err(malformed)
}
