//! The units at work.

use std::collections::{BTreeMap, HashSet};

use domain::{Finding, FindingKind, FindingState, Host, RuleId, Severity};
use jiff::{SignedDuration, Timestamp};
use sync::http::HttpResponse;
use sync::{Coverage, HostReport, Mode, Next, Proof, Run, Sink, SyncError};

use crate::NessusScanner;
use crate::client::FileStatus;
use crate::document::{Document, Piece, ReportHost};
use crate::normalize::{Met, Wanted, by_target};
use crate::work::{File, ScanWork};

/// Evidence of one finding is cut here while it is on its way: the table keeps less, and some plugins print megabytes.
const EVIDENCE_LIMIT: usize = 4_000;
/// Findings of one host that are kept until it has been read. A host with more is reported in parts, and then its
/// silence proves nothing: that is some twenty thousand findings.
const HOST_BYTES: usize = 16 << 20;

impl NessusScanner {
    /// Which scans are to be read.
    pub(crate) async fn list(&self, run: &Run, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let now = sink.now();
        let scans = self.client.scans(now).await?;
        sink.scan_jobs(scans.jobs()).await?;
        let since = match run.mode {
            Mode::Full => None,
            // The dates are the server's, and so has to be the watermark.
            Mode::Incremental { since } => Some(shifted(since, scans.ahead(now))),
        };
        Ok(match ScanWork::first(scans.with_results(since), since) {
            Some(first) => Next::More(vec![first.unit()], Proof::default()),
            None => Next::Done(Proof::default()),
        })
    }

    /// One scan: choose a history, have it exported, read it.
    pub(crate) async fn scan(&self, mut work: ScanWork, sink: &mut dyn Sink) -> Result<Next, SyncError> {
        let now = sink.now();
        let outcome = match work.file.clone() {
            None => self.begin(&mut work, now).await,
            Some(file) => self.go_on(&mut work, file, sink).await,
        };
        let problem = match outcome {
            Ok(next) => return Ok(next),
            // Nessus is busy with something else, or somebody is in the way.
            Err(SyncError::Throttled { .. }) if work.waits_too_long(now) => {
                return Ok(given_up(&work, "Nessus is busy all the time"));
            }
            Err(SyncError::Throttled { until, .. }) => return Ok(Next::Later(until, work.unit())),
            // One scan's trouble: the others are read all the same.
            Err(
                error
                @ (SyncError::NotFound { .. } | SyncError::Malformed { .. } | SyncError::Refused { .. }),
            ) => error.to_string(),
            Err(error @ SyncError::Unreachable { sent: true, .. }) if work.file.is_some() => {
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        tracing::warn!(scan = work.scan, tries = work.tries, problem, "the results of a scan did not come");
        Ok(match work.try_again(now) {
            Some(at) => Next::Later(at, work.unit()),
            None => given_up(&work, &problem),
        })
    }

    /// Chooses the history that counts and asks for it.
    async fn begin(&self, work: &mut ScanWork, now: Timestamp) -> Result<Next, SyncError> {
        let Some(report) = self.client.details(work.scan, now).await?.newest() else {
            return Ok(done(work, Proof::default()));
        };
        if work.since.is_some_and(|since| report.ended.is_some_and(|ended| ended < since)) {
            // The scan was changed, or runs again; what it has found was read before.
            return Ok(done(work, Proof::default()));
        }
        let id = self.client.export(work.scan, report.history, now).await?;
        let mut file = File {
            id,
            polls: 0,
            began: report.began,
            ended: report.ended,
            proves_absence: report.proves_absence,
            has_hosts: report.has_hosts,
        };
        let at = file.next_poll(now);
        work.file = Some(file);
        work.waiting_since = Some(now);
        Ok(Next::Later(at, work.unit()))
    }

    /// Waits for the file, and reads it when it is there.
    async fn go_on(
        &self,
        work: &mut ScanWork,
        mut file: File,
        sink: &mut dyn Sink,
    ) -> Result<Next, SyncError> {
        let now = sink.now();
        match self.client.status(work.scan, file.id, now).await? {
            FileStatus::Ready => {}
            FileStatus::Loading if work.waits_too_long(now) => {
                return Ok(given_up(work, "the export was not ready in two hours"));
            }
            FileStatus::Loading => {
                let at = file.next_poll(now);
                work.file = Some(file);
                return Ok(Next::Later(at, work.unit()));
            }
            FileStatus::Failed => return Err(self.refused(work, "the export ended as an error")),
        }
        let answer = self.client.download(work.scan, file.id, now).await?;
        let counted = ReportReader::new(self, work.scan, &file).read(answer, sink).await?;
        if counted.hosts == 0 && file.has_hosts {
            return Err(self.refused(work, "the export is empty, although the scan has hosts"));
        }
        Ok(done(work, Proof { received: counted.items, ..Proof::default() }))
    }

    fn refused(&self, work: &ScanWork, detail: &str) -> SyncError {
        SyncError::Refused {
            system: self.client.system().to_owned(),
            what: format!("the export of scan {}", work.scan),
            status: 200,
            detail: detail.to_owned(),
        }
    }

    fn wants(&self, kind: FindingKind) -> bool {
        match kind {
            FindingKind::Vulnerability => self.scans,
            FindingKind::Compliance => self.compliance,
        }
    }
}

/// A moment of our clock as the server's clock shows it.
fn shifted(time: Timestamp, ahead: SignedDuration) -> Timestamp {
    time.saturating_add(ahead).unwrap_or(time)
}

fn done(work: &ScanWork, proof: Proof) -> Next {
    match work.next() {
        Some(next) => Next::More(vec![next.unit()], proof),
        None => Next::Done(proof),
    }
}

fn given_up(work: &ScanWork, problem: &str) -> Next {
    let missing = format!("scan {} was given up after {} tries: {problem}", work.scan, work.tries.max(1));
    done(work, Proof { missing: Some(missing), ..Proof::default() })
}

/// What was read.
#[derive(Default)]
struct Counted {
    hosts: u64,
    items: u64,
}

/// Reads a file and reports its hosts.
struct ReportReader<'a> {
    scanner: &'a NessusScanner,
    scan: u64,
    file: &'a File,
    counted: Counted,
    /// Rules that this file has told already.
    rules: HashSet<RuleId>,
    /// What hosts of this file are known by, their targets apart.
    met: Met,
    /// And the one that is being read, once that was asked for.
    native: Option<String>,
    /// Findings of the host that is being read.
    findings: BTreeMap<u64, Finding>,
    bytes: usize,
    in_parts: bool,
}

impl<'a> ReportReader<'a> {
    fn new(scanner: &'a NessusScanner, scan: u64, file: &'a File) -> Self {
        Self {
            scanner,
            scan,
            file,
            counted: Counted::default(),
            rules: HashSet::new(),
            met: Met::default(),
            native: None,
            findings: BTreeMap::new(),
            bytes: 0,
            in_parts: false,
        }
    }

    async fn read(mut self, mut answer: HttpResponse, sink: &mut dyn Sink) -> Result<Counted, SyncError> {
        let what = answer.what().to_owned();
        let malformed = |error: sync::split::xml::SplitError| {
            self.scanner.client.malformed(&what, error.offset, &error.problem)
        };
        let mut document = Document::new();
        while let Some(bytes) = answer.chunk().await? {
            document.feed(&bytes);
            loop {
                let rules = &self.rules;
                let wanted = |rule: &RuleId| match rules.contains(rule) {
                    true => Wanted::Nothing,
                    false => Wanted::Definition,
                };
                let Some(piece) = document.next_piece(wanted) else { break };
                self.take(piece, &mut document, sink).await?;
            }
            document.check().map_err(malformed)?;
        }
        document.finish().map_err(malformed)?;
        Ok(self.counted)
    }

    async fn take(
        &mut self,
        piece: Piece,
        document: &mut Document,
        sink: &mut dyn Sink,
    ) -> Result<(), SyncError> {
        match piece {
            Piece::Refused(bad) => {
                self.counted.items += 1;
                sink.refuse(bad);
            }
            Piece::Item(item) if self.scanner.wants(item.finding.kind) => {
                self.counted.items += 1;
                if let Some(rule) = item.rule {
                    self.rules.insert(rule.id.clone());
                    sink.rule(rule).await?;
                }
                self.keep(item.finding);
                if self.bytes >= HOST_BYTES
                    && let Some(described) = document.host()
                {
                    let mut host = described.host.clone();
                    let name = document.name().unwrap_or_default();
                    host.native = self.native(&host, name, sink).await?;
                    tracing::warn!(scan = self.scan, host = %host.native, "a host has too many findings to compare");
                    self.in_parts = true;
                    self.report(host, Coverage::Part, sink).await?;
                }
            }
            Piece::Item(_) => {}
            Piece::Host(host) => {
                self.counted.hosts += 1;
                let ReportHost { described, name, whole, scope } = *host;
                let mut host = described.host;
                // Weaknesses that are passed over are not absent.
                let looks = self.scanner.wants(FindingKind::Vulnerability);
                let whole = whole && looks && !self.in_parts && self.file.proves_absence;
                self.in_parts = false;
                if described.wall_clock {
                    host.last_scanned_at = self.within(host.last_scanned_at);
                }
                host.native = self.native(&host, &name, sink).await?;
                self.native = None;
                let coverage = if whole { Coverage::within(scope) } else { Coverage::Part };
                self.report(host, coverage, sink).await?;
            }
        }
        Ok(())
    }

    /// What the host that is being read is known by. A machine with two addresses, or two with one board's id: each is
    /// compared with its own past, whichever of them stands first in the file, or alone.
    async fn native(&mut self, host: &Host, name: &str, sink: &mut dyn Sink) -> Result<String, SyncError> {
        if let Some(native) = &self.native {
            return Ok(native.clone());
        }
        let by_target = by_target(&host.native, name);
        // Whoever is known by the target's address or name alone shares that with nobody.
        let is_shareable = by_target != format!("{0}@{0}", host.native);
        let is_known = is_shareable && sink.knows(&format!("{}/{by_target}", self.scan)).await?;
        Ok(self.native.insert(self.met.next(&host.native, name, is_known)).clone())
    }

    /// Keeps a finding. Of two of one key, the one counts that is open.
    fn keep(&mut self, mut finding: Finding) {
        if finding.severity == Severity::Info && finding.kind == FindingKind::Vulnerability {
            // An observation prints times, durations and ports of its own, other ones with every scan.
            finding.evidence = None;
        }
        if let Some(evidence) = &mut finding.evidence
            && evidence.len() > EVIDENCE_LIMIT
        {
            let end = (0..=EVIDENCE_LIMIT).rev().find(|end| evidence.is_char_boundary(*end)).unwrap_or(0);
            evidence.truncate(end);
            evidence.shrink_to_fit();
        }
        let hash = finding.key.hash();
        if let Some(known) = self.findings.get(&hash)
            && (known.state.is_open() || finding.state == FindingState::Fixed)
        {
            return;
        }
        self.bytes += size_of::<Finding>() + 256 + finding.evidence.as_ref().map_or(0, String::len);
        self.findings.insert(hash, finding);
    }

    async fn report(
        &mut self,
        mut host: Host,
        coverage: Coverage,
        sink: &mut dyn Sink,
    ) -> Result<(), SyncError> {
        // Different scans look for different things, each time anew: the silence of one says nothing of the others.
        host.native = format!("{}/{}", self.scan, host.native);
        let at = host.last_scanned_at;
        let began = self.within(None);
        let findings = std::mem::take(&mut self.findings).into_values().map(|finding| Finding {
            first_found: finding.first_found.or(began),
            last_found: at,
            ..finding
        });
        self.bytes = 0;
        sink.report(HostReport { findings: findings.collect(), host, coverage }).await
    }

    /// A time of the server's wall clock, which lies within the scan if the server lives in UTC; else the scan's end.
    fn within(&self, time: Option<Timestamp>) -> Option<Timestamp> {
        let File { began, ended, .. } = self.file;
        let late = |time: Timestamp| ended.is_some_and(|ended| time > ended);
        let early = |time: Timestamp| began.is_some_and(|began| time < began);
        time.filter(|time| !late(*time) && !early(*time)).or(*ended).or(time)
    }
}
