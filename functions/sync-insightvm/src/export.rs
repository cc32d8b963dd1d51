//! Working the units of the Bulk Export.
//!
//! No unit remembers the address of a file: that is good for some minutes and for whoever has it. Each asks for it anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::{Finding, Host, RuleId};
use jiff::Timestamp;
use sync::http::RemoteFile;
use sync::{BadRecord, Coverage, HostReport, Mode, Next, Proof, Run, Sink, SyncError, Unit};

use crate::InsightvmScanner;
use crate::client::graphql::{Export, Standing, files_of};
use crate::normalize::bulk::{Record, Table};
use crate::parquet_file::{self, Take};
use crate::work::{self, Part, Start, Wait, Work, windows};

/// Findings of one host that are reported at once, and the evidence that they may hold together, in bytes.
const GROUP_FINDINGS: usize = 64;
const GROUP_EVIDENCE: usize = 256 * 1024;
/// Rules that are looked up together.
const RULES_AT_ONCE: usize = 100;

impl InsightvmScanner {
    /// Begins an export. Repeating this is safe: the data of one day are the same.
    pub(crate) async fn start_export(&self, start: Start, now: Timestamp) -> Result<Next, SyncError> {
        let id = self.client.begin(&start.export, now).await?;
        tracing::info!(export = id, "export begun");
        let wait = Wait { start, id, polls: 0, since: now };
        Ok(Next::More(vec![work::unit(&Work::Wait(wait))], Proof::default()))
    }

    /// Asks how far an export is, and plans what follows it.
    pub(crate) async fn wait_for_export(
        &self,
        run: &Run,
        unit: &Unit,
        wait: Wait,
        now: Timestamp,
    ) -> Result<Next, SyncError> {
        let missing = match self.client.standing(&wait.id, now).await? {
            Standing::Complete(files) => {
                return match wait.start.export {
                    Export::Vulnerabilities => Ok(self.after_base(run, wait.id, &files)),
                    Export::Remediation { .. } => {
                        let base = wait.start.base.clone().unwrap_or_default();
                        let window = wait.start.window;
                        if files_of(&files, Table::Remediation).is_empty() {
                            Ok(self.after_window(run, &base, window, Proof::default()))
                        } else {
                            let part = first(wait.id, Table::Remediation, &base, window);
                            Ok(Next::More(vec![work::unit(&Work::Chain(part))], Proof::default()))
                        }
                    }
                };
            }
            Standing::Going(word) => match wait.again(now, self.options.patience) {
                Some(at) => {
                    let polls = wait.polls + 1;
                    let again = Work::Wait(Wait { polls, ..wait });
                    return Ok(Next::Later(at, Unit::new(unit.id.clone(), &again)));
                }
                None => format!("the export has been {word} since {} and was given up", wait.since),
            },
            Standing::Failed(word) => format!("InsightVM says of the export that it is {word}"),
        };
        let proof = Proof { missing: Some(missing), ..Proof::default() };
        Ok(match wait.start.export {
            Export::Vulnerabilities => Next::Done(proof),
            // The findings are worth reading all the same.
            Export::Remediation { .. } => {
                let base = wait.start.base.unwrap_or_default();
                self.after_window(run, &base, wait.start.window, proof)
            }
        })
    }

    /// Behind the export of assets and vulnerabilities: the assets, so that a host's identity is known before its
    /// findings.
    fn after_base(&self, run: &Run, base: String, files: &[crate::client::graphql::Files]) -> Next {
        let wanted = [(self.assets, Table::Assets), (self.vulnerabilities, Table::Vulnerabilities)];
        for (wanted, table) in wanted {
            if wanted && files_of(files, table).is_empty() {
                let missing = Some(format!("the export has no file of {}", table.prefix()));
                return Next::Done(Proof { missing, ..Proof::default() });
            }
        }
        if self.assets {
            let part = first(base.clone(), Table::Assets, &base, 0);
            return Next::More(vec![work::unit(&Work::Chain(part))], Proof::default());
        }
        self.start_window(run, &base, 0, Proof::default())
    }

    /// Behind the last part of an asset file or of a remediation file.
    fn after_chain(&self, run: &Run, part: &Part, proof: Proof) -> Next {
        match part.table {
            Table::Remediation => self.after_window(run, &part.base, part.window, proof),
            _ if self.vulnerabilities => self.start_window(run, &part.base, 0, proof),
            _ => Next::Done(proof),
        }
    }

    fn after_window(&self, run: &Run, base: &str, window: usize, proof: Proof) -> Next {
        self.start_window(run, base, window + 1, proof)
    }

    /// The next remediation export, or, behind the last one, the findings: what is removed and what is there contradict
    /// each other where one of two findings of a kind was removed, and then what is there counts.
    fn start_window(&self, run: &Run, base: &str, window: usize, proof: Proof) -> Next {
        let next = match windows(run).into_iter().nth(window) {
            Some(export) => Work::Start(Start { export, base: Some(base.to_owned()), window }),
            None => Work::Findings { export: base.to_owned() },
        };
        Next::More(vec![work::unit(&next)], proof)
    }

    /// Reads one row group of assets or removals and goes on with the next one.
    pub(crate) async fn read_chain(
        &self,
        run: &Run,
        part: Part,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let (files, file) = self.file_of(&part, sink.now()).await?;
        // All of them, as of one moment: what a full pull does not find in there is not there.
        let mut listed = (part.table == Table::Assets && run.mode == Mode::Full).then(Vec::new);
        let mut reader = HostReader { sink: &mut *sink, listed: &mut listed };
        let (received, opened) = parquet_file::read(&file, part.table, part.group, &mut reader).await?;
        if let Some(listed) = listed {
            sink.exist(listed).await?;
        }
        let proof = Proof { received, ..Proof::default() };
        let next = if part.group + 1 < opened.groups {
            Part { group: part.group + 1, ..part }
        } else if part.file + 1 < files {
            Part { file: part.file + 1, name: String::new(), group: 0, ..part }
        } else {
            return Ok(self.after_chain(run, &part, proof));
        };
        Ok(Next::More(vec![work::unit(&Work::Chain(next))], proof))
    }

    /// Plans the files of findings.
    pub(crate) async fn plan_files(&self, export: &str, now: Timestamp) -> Result<Next, SyncError> {
        let urls = self.urls(export, Table::Vulnerabilities, now).await?;
        let mut units = Vec::with_capacity(urls.len());
        for (file, url) in urls.iter().enumerate() {
            let name = self.client.file(url)?.name().to_owned();
            let part = Part { file, name, ..first(export.to_owned(), Table::Vulnerabilities, export, 0) };
            units.push(work::unit(&Work::File(part)));
        }
        // Without them nothing would undo a removal that says too little.
        let missing = units.is_empty().then(|| "the export has no file of findings".to_owned());
        Ok(Next::More(units, Proof { missing, ..Proof::default() }))
    }

    /// Plans the row groups of a file of findings.
    pub(crate) async fn plan_parts(&self, part: Part, now: Timestamp) -> Result<Next, SyncError> {
        let (_, file) = self.file_of(&part, now).await?;
        let opened = parquet_file::open(&file, part.table).await?;
        let units: Vec<Unit> =
            (0..opened.groups).map(|group| work::unit(&Work::Part(Part { group, ..part.clone() }))).collect();
        // An empty file is one without row groups.
        Ok(if units.is_empty() { Next::Done(Proof::default()) } else { Next::More(units, Proof::default()) })
    }

    /// Reads one row group of findings.
    pub(crate) async fn read_findings(&self, part: Part, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let (_, file) = self.file_of(&part, sink.now()).await?;
        let mut reader =
            FindingReader { sink, host: None, findings: Vec::new(), evidence: 0, rules: Vec::new() };
        let (received, _) = parquet_file::read(&file, part.table, part.group, &mut reader).await?;
        reader.flush().await?;
        reader.flush_rules().await?;
        Ok(Next::Done(Proof { received, ..Proof::default() }))
    }

    /// Number of files of a part's table, and the part's own, at a fresh address.
    async fn file_of(&self, part: &Part, now: Timestamp) -> Result<(usize, RemoteFile), SyncError> {
        let urls = self.urls(&part.export, part.table, now).await?;
        let changed = || {
            let detail = format!("the export has other files of {} than before", part.table.prefix());
            self.client.malformed("the export", &detail)
        };
        let file = self.client.file(urls.get(part.file).ok_or_else(changed)?)?;
        if !part.name.is_empty() && file.name() != part.name {
            return Err(changed());
        }
        Ok((urls.len(), file))
    }

    async fn urls(&self, export: &str, table: Table, now: Timestamp) -> Result<Vec<String>, SyncError> {
        match self.client.standing(export, now).await? {
            Standing::Complete(files) => Ok(files_of(&files, table)),
            _ => Err(self.client.malformed("the export", "it was complete, and is not any more")),
        }
    }
}

/// The first part of the first file.
fn first(export: String, table: Table, base: &str, window: usize) -> Part {
    Part { export, table, file: 0, name: String::new(), group: 0, base: base.to_owned(), window }
}

/// Takes the rows of a file of assets or of removals.
struct HostReader<'a> {
    sink: &'a mut dyn Sink,
    /// The hosts that were read, where they are all that there are.
    listed: &'a mut Option<Vec<String>>,
}

impl HostReader<'_> {
    fn list(&mut self, native: &str) {
        if let Some(listed) = self.listed {
            listed.push(native.to_owned());
        }
    }
}

#[async_trait]
impl Take for HostReader<'_> {
    async fn take(&mut self, record: Result<Record, BadRecord>) -> Result<(), SyncError> {
        match record {
            Ok(Record::Asset(host)) => {
                self.list(&host.native);
                self.sink.inventory(*host).await?;
            }
            Ok(Record::Removed(fix)) => self.sink.fixed(fix).await?,
            Ok(Record::Finding { .. }) => {}
            Err(bad) => {
                self.list(sync::UNREADABLE);
                self.sink.refuse(bad);
            }
        }
        Ok(())
    }
}

/// Takes the rows of a file of findings. Those of one host usually stand together, and are reported together.
struct FindingReader<'a> {
    sink: &'a mut dyn Sink,
    host: Option<String>,
    findings: Vec<Finding>,
    evidence: usize,
    rules: Vec<domain::Rule>,
}

#[async_trait]
impl Take for FindingReader<'_> {
    async fn take(&mut self, record: Result<Record, BadRecord>) -> Result<(), SyncError> {
        let (host, finding, rule) = match record {
            Ok(Record::Finding { host, finding, rule }) => (host, finding, rule),
            Ok(_) => return Ok(()),
            Err(bad) => {
                self.sink.refuse(bad);
                return Ok(());
            }
        };
        if let Some(rule) = rule {
            self.rules.push(*rule);
            if self.rules.len() >= RULES_AT_ONCE {
                self.flush_rules().await?;
            }
        }
        let same_host = self.host.as_ref() == Some(&host);
        if !same_host || self.findings.len() >= GROUP_FINDINGS || self.evidence >= GROUP_EVIDENCE {
            self.flush().await?;
        }
        self.evidence += finding.evidence.as_ref().map_or(0, String::len);
        self.findings.push(*finding);
        self.host = Some(host);
        Ok(())
    }
}

impl FindingReader<'_> {
    /// A finding that the export leaves out proves nothing: hosts are always reported in part.
    async fn flush(&mut self) -> Result<(), SyncError> {
        self.evidence = 0;
        let findings = std::mem::take(&mut self.findings);
        let Some(native) = self.host.take().filter(|_| !findings.is_empty()) else { return Ok(()) };
        let host = Host { native, ..Host::default() };
        self.sink.report(HostReport { host, findings, coverage: Coverage::Part }).await
    }

    /// The best solution differs between assets: the first one told stays with the rule.
    async fn flush_rules(&mut self) -> Result<(), SyncError> {
        let rules = std::mem::take(&mut self.rules);
        let ids = rules.iter().map(|rule| rule.id.clone()).collect();
        let unknown: BTreeSet<RuleId> = self.sink.unknown_rules(ids).await?.into_iter().collect();
        for mut rule in rules {
            if !unknown.contains(&rule.id) {
                (rule.solution, rule.patchable) = (None, None);
            }
            self.sink.rule(rule).await?;
        }
        Ok(())
    }
}
