//! The work of each unit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use domain::{Finding, Host, RuleId};
use jiff::Timestamp;
use sync::http::{Elements, HttpResponse};
use sync::split::json::JsonArray;
use sync::{Coverage, HostReport, Next, Proof, Run, Sink, SyncError, Unit};

use crate::TenableScanner;
use crate::client::{Chunk, Export, Progress, Started};
use crate::normalize::findings::{Findings, Statement};
use crate::normalize::{RECORD_LIMIT, assets, compliance};
use crate::work::{
    self, AssetsWork, BODY_TRIES, CHUNK_TRIES, ChunkWork, Start, VulnsWork, Watch, Work, later, vulns_wait,
};

/// Pause before a chunk is asked for again, in seconds.
const CHUNK_PAUSE: i64 = 15;
const NOT_READY: &str = "it is announced and not ready";
/// An export names its empty chunks: one that it does not name as such and that holds nothing is not clean, but broken.
const EMPTY: &str = "it holds no record although the export knows of no empty chunk";
/// Findings of one host that are reported at once, and the evidence that they may hold together, in bytes.
const GROUP_FINDINGS: usize = 64;
const GROUP_EVIDENCE: usize = 256 * 1024;

impl TenableScanner {
    /// Begins an export. Repeating this is safe: Tenable answers with the running export of the same wish (findings),
    /// or replaces it by the new one (assets).
    pub(crate) async fn start(
        &self,
        run: &Run,
        unit: &Unit,
        start: Start,
        now: Timestamp,
    ) -> Result<Next, SyncError> {
        let wish = match start.export {
            Export::Assets => work::assets_wish(run, self.chunk_size, self.assets_version),
            Export::Compliance => work::compliance_wish(run, self.options.retention),
            Export::Vulns => work::vulns_wish(run, self.num_assets, self.options.retention),
        };
        let retry_at = match self.client.start(start.export, &wish, now).await {
            Ok(Started::Running(uuid)) => {
                tracing::info!(export = start.export.as_str(), uuid, "export begun");
                let watch = Watch::new(uuid, now);
                let next = match start.export {
                    Export::Assets => work::assets_wait(AssetsWork::new(watch)),
                    of @ (Export::Vulns | Export::Compliance) => {
                        vulns_wait(VulnsWork { of, watch, planned: BTreeSet::new(), not_before: now })
                    }
                };
                return Ok(Next::More(vec![next], Proof::default()));
            }
            Ok(Started::Conflict) => later(now, CHUNK_PAUSE),
            // As many exports as the account may have are running, perhaps by other tools.
            Err(SyncError::Throttled { until, .. }) => until,
            Err(SyncError::Unauthorized { detail, .. })
                if start.export == Export::Compliance && detail.starts_with("403") =>
            {
                let missing = format!(
                    "compliance is not open to this user ({detail}): give it the privilege to export, or leave \
                     compliance out of data_streams"
                );
                return Ok(self.after(start.export, nothing(missing)));
            }
            Err(error) => return Err(error),
        };
        let refused_since = start.refused_since.unwrap_or(now);
        if now.duration_since(refused_since) >= self.options.patience {
            let missing =
                format!("Tenable has not begun the export since {refused_since}: others are running");
            return Ok(self.after(start.export, nothing(missing)));
        }
        let again = Work::Start(Start { refused_since: Some(refused_since), ..start });
        Ok(Next::Later(retry_at, Unit::new(unit.id.clone(), &again)))
    }

    /// What follows an export. Findings are wanted also when the inventory is not whole.
    fn after(&self, export: Export, proof: Proof) -> Next {
        if let Some(missing) = &proof.missing {
            tracing::warn!(export = export.as_str(), missing, "export is not whole");
        }
        match export {
            Export::Assets => {
                let units = self.after_assets();
                if units.is_empty() { Next::Done(proof) } else { Next::More(units, proof) }
            }
            _ => Next::Done(proof),
        }
    }

    /// Waits for a chunk of the asset export that was not read yet, reads it, and plans the unit that goes on.
    ///
    /// What a unit has reported counts when it ends, so it ends after each chunk; `Later` is for waiting alone.
    pub(crate) async fn pull_assets(
        &self,
        unit: &Unit,
        mut work: AssetsWork,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        if work.todo.is_empty() {
            let status = match self.client.status(Export::Assets, &work.watch.uuid, now).await {
                Err(SyncError::NotFound { .. }) => {
                    return Ok(self.after(Export::Assets, nothing(unknown_export())));
                }
                other => other?,
            };
            let ask_again = work.watch.note(&status, now, self.options.patience);
            work.may_be_empty = status.has_empty_chunks();
            work.todo = status.available().into_iter().filter(|id| !work.done.contains(id)).collect();
            if work.todo.is_empty() {
                return Ok(match (status.progress(), ask_again) {
                    (Progress::Ended { missing }, _) => {
                        self.after(Export::Assets, Proof { missing, ..Proof::default() })
                    }
                    (Progress::Going, Some(at)) => Next::Later(at, again(unit, Work::Assets(work))),
                    (Progress::Going, None) => {
                        let missing = self.give_up(Export::Assets, &work.watch).await;
                        self.after(Export::Assets, nothing(missing))
                    }
                });
            }
        }
        let id = work.todo[0];
        let proof = match self.read_assets_chunk(&work, id, sink).await? {
            Read::Done(received) => Proof { received, ..Proof::default() },
            Read::Expired => nothing(expired(Export::Assets, id)),
            // Tried again from here and not by the engine: one chunk that stays broken must not keep the findings back.
            Read::Failed { tries, reason } => {
                work.tries += 1;
                if work.tries < tries {
                    return Ok(Next::Later(later(now, CHUNK_PAUSE), again(unit, Work::Assets(work))));
                }
                nothing(format!("assets chunk {id} was given up after {tries} tries: {reason}"))
            }
        };
        work.todo.remove(0);
        work.done.insert(id);
        work.tries = 0;
        Ok(Next::More(vec![work::assets_wait(work)], proof))
    }

    async fn read_assets_chunk(
        &self,
        work: &AssetsWork,
        id: u64,
        sink: &mut dyn Sink,
    ) -> Result<Read, SyncError> {
        let body = match self.client.chunk(Export::Assets, &work.watch.uuid, id, sink.now()).await? {
            Chunk::Body(body) => body,
            Chunk::Expired => return Ok(Read::Expired),
            Chunk::NotReady => return Ok(Read::Failed { tries: CHUNK_TRIES, reason: NOT_READY.to_owned() }),
        };
        let mut records = records(body);
        let mut received = 0;
        loop {
            match records.next(&mut assets::asset).await {
                Ok(None) if received == 0 && !work.may_be_empty => {
                    return Ok(Read::Failed { tries: BODY_TRIES, reason: EMPTY.to_owned() });
                }
                Ok(None) => return Ok(Read::Done(received)),
                Ok(Some(host)) => {
                    received += 1;
                    match host {
                        Ok(host) => sink.inventory(host).await?,
                        Err(bad) => sink.refuse(bad),
                    }
                }
                Err(error @ SyncError::Malformed { .. }) => {
                    return Ok(Read::Failed { tries: BODY_TRIES, reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the status of an export of findings and plans the chunks that are new.
    pub(crate) async fn wait_for_vulns(
        &self,
        unit: &Unit,
        mut work: VulnsWork,
        now: Timestamp,
    ) -> Result<Next, SyncError> {
        let of = work.of;
        if now < work.not_before {
            return Ok(Next::Later(work.not_before, unit.clone()));
        }
        let status = match self.client.status(work.of, &work.watch.uuid, now).await {
            Err(SyncError::NotFound { .. }) => {
                return Ok(self.after(of, nothing(unknown_export())));
            }
            other => other?,
        };
        let ask_again = work.watch.note(&status, now, self.options.patience);
        let mut units = Vec::new();
        for id in status.available() {
            if work.planned.insert(id) {
                units.push(work::chunk(of, &work.watch.uuid, id, status.has_empty_chunks()));
            }
        }
        Ok(match (status.progress(), ask_again) {
            (Progress::Ended { missing }, _) => {
                let proof = Proof { missing, ..Proof::default() };
                if units.is_empty() { self.after(of, proof) } else { Next::More(units, proof) }
            }
            (Progress::Going, Some(at)) if units.is_empty() => {
                Next::Later(at, again(unit, Work::Vulns(work)))
            }
            (Progress::Going, Some(at)) => {
                units.push(vulns_wait(VulnsWork { not_before: at, ..work }));
                Next::More(units, Proof::default())
            }
            (Progress::Going, None) => {
                let missing = self.give_up(of, &work.watch).await;
                self.after(of, nothing(missing))
            }
        })
    }

    /// Ends an export that has stood still for too long, so that the next one is not turned away because of it.
    async fn give_up(&self, export: Export, watch: &Watch) -> String {
        self.client.cancel(export, &watch.uuid).await;
        let status = watch.mark.split(' ').next().unwrap_or_default();
        format!("the export has been {status} without progress since {} and was given up", watch.moved_at)
    }

    /// Reads one chunk of findings.
    pub(crate) async fn pull_chunk(
        &self,
        unit: &Unit,
        mut work: ChunkWork,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let (tries, reason) = match self.client.chunk(work.of, &work.uuid, work.id, sink.now()).await? {
            Chunk::Body(body) => {
                let received = FindingReader::of(work.of).read(self, records(body), sink).await?;
                if received > 0 || work.may_be_empty {
                    return Ok(Next::Done(Proof { received, ..Proof::default() }));
                }
                (BODY_TRIES, EMPTY)
            }
            Chunk::Expired => return Ok(Next::Done(nothing(expired(work.of, work.id)))),
            Chunk::NotReady => (CHUNK_TRIES, NOT_READY),
        };
        work.tries += 1;
        if work.tries >= tries {
            let missing =
                format!("{} chunk {} was given up after {tries} tries: {reason}", work.of.as_str(), work.id);
            return Ok(Next::Done(nothing(missing)));
        }
        Ok(Next::Later(later(sink.now(), CHUNK_PAUSE), again(unit, Work::Chunk(work))))
    }
}

/// Reads findings out of a chunk. Those of one host usually stand together, and are reported together.
#[derive(Default)]
struct FindingReader {
    of: Export,
    /// Rules that this chunk has told already.
    rules: HashSet<RuleId>,
    /// The hosts of this chunk. Each record describes its host as it was when the finding was last seen: the newest
    /// description counts, or an old fixed finding would bring an old address back.
    hosts: HashMap<String, Host>,
    known: Findings,
    /// The description that came last: most records repeat it.
    last: Option<Arc<Host>>,
    /// The host of `findings`.
    host: Option<String>,
    findings: Vec<Finding>,
    evidence: usize,
}

impl FindingReader {
    fn of(of: Export) -> Self {
        Self { of, ..Self::default() }
    }

    /// Reports everything and answers how many records there were.
    async fn read(
        mut self,
        scanner: &TenableScanner,
        mut records: Records,
        sink: &mut dyn Sink,
    ) -> Result<u64, SyncError> {
        let mut received = 0;
        let described = scanner.describes_hosts();
        loop {
            let (rules, known, of) = (&self.rules, &mut self.known, self.of);
            let mut read = |offset, bytes: &[u8]| match of {
                Export::Compliance => compliance::finding(offset, bytes),
                _ => known
                    .read(offset, bytes, |rule| !rules.contains(rule))
                    .map(|(statement, length)| (Some(statement), length)),
            };
            let Some(statement) = records.next(&mut read).await? else { break };
            received += 1;
            match statement {
                Ok(Some(mut statement)) => {
                    // Hosts that another export describes are only named: two descriptions would take turns, and each
                    // turn is a write.
                    if described && of == Export::Compliance {
                        let native = statement.host.native.clone();
                        statement.host = Arc::new(Host { native, ..Host::default() });
                    }
                    self.take(statement, sink).await?;
                }
                // A check that could not be made says nothing.
                Ok(None) => {}
                Err(bad) => sink.refuse(bad),
            }
        }
        self.flush(sink).await?;
        Ok(received)
    }

    async fn take(&mut self, statement: Statement, sink: &mut dyn Sink) -> Result<(), SyncError> {
        let Statement { host, finding, rule } = statement;
        let same_host = self.host.as_ref().is_some_and(|native| *native == host.native);
        if !same_host || self.findings.len() >= GROUP_FINDINGS || self.evidence >= GROUP_EVIDENCE {
            self.flush(sink).await?;
        }
        if let Some(rule) = rule.filter(|rule| !self.rules.contains(&rule.id)) {
            let id = rule.id.clone();
            sink.rule(Arc::unwrap_or_clone(rule)).await?;
            self.rules.insert(id);
        }
        self.evidence += finding.evidence.as_ref().map_or(0, String::len);
        self.findings.push(finding);
        if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &host)) && same_host {
            return Ok(());
        }
        self.last = Some(Arc::clone(&host));
        let host = Arc::unwrap_or_clone(host);
        let native = host.native.clone();
        let newest = match self.hosts.remove(&native) {
            Some(known) if known.last_scanned_at >= host.last_scanned_at => known.completed_with(&host),
            Some(known) => host.completed_with(&known),
            None => host,
        };
        self.hosts.insert(native.clone(), newest);
        self.host = Some(native);
        Ok(())
    }

    async fn flush(&mut self, sink: &mut dyn Sink) -> Result<(), SyncError> {
        self.evidence = 0;
        if let Some(host) = self.host.take().and_then(|native| self.hosts.get(&native).cloned()) {
            let findings = std::mem::take(&mut self.findings);
            sink.report(HostReport { host, findings, coverage: Coverage::Part }).await?;
        }
        Ok(())
    }
}

/// The elements of a chunk, as they arrive.
type Records = Elements<JsonArray>;

fn records(body: HttpResponse) -> Records {
    Elements::new(body, JsonArray::new(RECORD_LIMIT))
}

/// What became of a chunk of the inventory.
enum Read {
    /// So many records were in it.
    Done(u64),
    /// It is gone.
    Expired,
    /// It may work later; after so many tries it is given up.
    Failed { tries: u32, reason: String },
}

fn again(unit: &Unit, work: Work) -> Unit {
    Unit::new(unit.id.clone(), &work)
}

fn nothing(missing: String) -> Proof {
    Proof { missing: Some(missing), ..Proof::default() }
}

fn unknown_export() -> String {
    "Tenable does not know the export any more".to_owned()
}

fn expired(export: Export, id: u64) -> String {
    format!(
        "{} chunk {id} has expired: chunks are kept for 24 hours, and it was not read in time",
        export.as_str()
    )
}
