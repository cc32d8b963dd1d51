//! A scanner's answers out of files, for teams without access to its API: the same normalisers, the same engine.
//!
//! A file says what it says and no more: a host that is not in it is not missing. A finding that is not in it is gone
//! only if the file holds the whole scan of its host, which of all formats only Nessus's does; all others close by the
//! scanner's own word.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{Finding, Host, RuleId, Scanner as Kind};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::error::SyncError;
use crate::normalized::{NormalizeError, Normalized, Summary};
use crate::scanner::{Coverage, HostReport, Next, Proof, Run, Scanner, Sink, Unit};
use crate::scope::Scope;

/// A scanner's pure reader of its own answers: a stream's name, or nothing to tell it from the content.
pub type Normalize = fn(&str, Box<dyn Read>, &mut dyn FnMut(Normalized)) -> Result<Summary, NormalizeError>;

/// Statements that are read ahead while others are written.
const READ_AHEAD: usize = 1_000;
/// Evidence of one host that is kept in memory, in bytes. What is more is reported in parts, and proves no absence.
const HOST_BYTES: usize = 16 << 20;

/// A file to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The stream that it holds; empty to tell it from the content.
    pub stream: String,
}

/// Files instead of an API.
pub struct FileScanner {
    kind: Kind,
    normalize: Normalize,
    files: Vec<File>,
}

impl FileScanner {
    /// Takes over `files`, one unit each.
    pub fn new(kind: Kind, normalize: Normalize, files: Vec<File>) -> Self {
        Self { kind, normalize, files }
    }
}

#[async_trait]
impl Scanner for FileScanner {
    fn kind(&self) -> Kind {
        self.kind
    }

    async fn plan(&self, _run: &Run) -> Result<Vec<Unit>, SyncError> {
        let name =
            |file: &File| file.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        Ok(self
            .files
            .iter()
            .enumerate()
            .map(|(n, file)| Unit::new(format!("{n:04}/{}", name(file)), file))
            .collect())
    }

    async fn pull(&self, _run: &Run, unit: &Unit, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let file: File = unit.work()?;
        let shown = file.path.display().to_string();
        let (send, mut statements) = mpsc::channel(READ_AHEAD);
        let normalize = self.normalize;
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::File::open(&file.path)?;
            // Whoever no longer listens wants no more; the rest of the file is passed over.
            normalize(&file.stream, Box::new(bytes), &mut |statement| drop(send.blocking_send(statement)))
        });
        let mut reader = Reader::default();
        while let Some(statement) = statements.recv().await {
            reader.take(statement, sink).await?;
        }
        let malformed = |offset, detail: String| SyncError::Malformed {
            system: "import".to_owned(),
            what: shown.clone(),
            offset,
            detail,
        };
        let read = match reading.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(NormalizeError::Malformed { offset, problem, remedy })) => {
                Err(malformed(offset, format!("{problem}: {remedy}")))
            }
            Ok(Err(error)) => Err(malformed(0, error.to_string())),
            Err(_) => Err(malformed(0, "reading it ended before its end".to_owned())),
        };
        reader.flush(sink, true).await?;
        read?;
        // Nobody will bring the definitions that were not there: findings must not wait for them.
        let unknown = sink.unknown_rules(reader.named.into_iter().collect()).await?;
        sink.rules_without_definition(unknown).await?;
        sink.rescore_hosts_of(&unit.id).await?;
        Ok(Next::Done(Proof { received: reader.received, ..Proof::default() }))
    }

    async fn check(&self) -> Result<String, SyncError> {
        Ok("files are read where they are".to_owned())
    }
}

/// Puts statements together host by host.
#[derive(Default)]
struct Reader {
    host: Option<Host>,
    /// All was told of it.
    whole: bool,
    /// What its scan looked for, where the file tells.
    scope: Option<Arc<Scope>>,
    findings: Vec<Finding>,
    bytes: usize,
    /// Parts of this host were reported already.
    parted: bool,
    /// Rules that findings name.
    named: BTreeSet<RuleId>,
    received: u64,
}

impl Reader {
    async fn take(&mut self, statement: Normalized, sink: &mut dyn Sink) -> Result<(), SyncError> {
        match statement {
            Normalized::Rule(rule) => return sink.rule(rule).await,
            Normalized::Refused(bad) => {
                self.received += 1;
                sink.refuse(bad);
            }
            Normalized::Whole { host, scope } => {
                self.whole = self.host.as_ref().is_some_and(|known| known.native == host);
                self.scope = scope;
            }
            Normalized::Host(host) => {
                if self.host.as_ref().is_none_or(|known| known.native != host.native) {
                    self.flush(sink, true).await?;
                }
                self.host = Some(match self.host.take() {
                    Some(known) => host.completed_with(&known),
                    None => host,
                });
            }
            Normalized::Finding { host, finding, .. } => {
                if self.host.as_ref().is_none_or(|known| known.native != host) {
                    self.flush(sink, true).await?;
                    self.host = Some(Host { native: host, ..Host::default() });
                }
                self.received += 1;
                self.bytes += crate::engine::weight(&finding);
                self.named.insert(finding.rule.clone());
                self.findings.push(finding);
                if self.bytes >= HOST_BYTES {
                    self.flush(sink, false).await?;
                }
            }
        }
        Ok(())
    }

    /// Reports what is known of the host, and forgets it if it `is_over`.
    async fn flush(&mut self, sink: &mut dyn Sink, is_over: bool) -> Result<(), SyncError> {
        self.bytes = 0;
        let findings = std::mem::take(&mut self.findings);
        let whole = std::mem::take(&mut self.whole) && is_over && !self.parted;
        let scope = self.scope.take();
        self.parted = !is_over;
        let host = if is_over { self.host.take() } else { self.host.clone() };
        let Some(host) = host else { return Ok(()) };
        if findings.is_empty() && !whole {
            return sink.inventory(host).await;
        }
        let coverage = if whole { Coverage::within(scope) } else { Coverage::Part };
        sink.report(HostReport { host, findings, coverage }).await
    }
}
