//! Where a scanner's statements go: compared with what is known, written only where they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use domain::vulnerability::{Closing, Depth, Evidence, Sighting, Statement};
use domain::{
    Details, Finding, FindingKind, FindingState, Host, LastScan, Rule, RuleId, ScanJob, ScanJobs, Severity,
    SightingId,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use store::{Entry, EntryState, RuleBook, RunCounts, SightingState, StoreError, Tally};

use super::{Deadline, Engine, fit};
use crate::error::SyncError;
use crate::scanner::{BadRecord, Coverage, Fix, HostReport, Run, Sink};
use crate::scope::Scope;

/// Bytes of findings kept in memory before they are compared and written. Scanners mix the findings of several hosts:
/// a host that is written in two parts costs its manifest and its decisions twice.
const BUFFERED_BYTES: usize = 24 << 20;
/// Hosts kept in memory before they are compared and written.
const BUFFERED_HOSTS: usize = 500;
/// Rules kept in memory before they are compared and written.
const BUFFERED_RULES: usize = 200;
/// Hosts that are compared and written at the same time.
const PARALLEL_HOSTS: usize = 8;
/// Tries of one host that somebody else writes at the same time.
const TRIES: usize = 6;
/// Stands in a manifest where the digest of a finding would, once a report of another range of ports lacks it: told again,
/// it counts as changed, and found by that range.
const OTHER_RANGE: u64 = u64::MAX;
/// Stands there before what a report leaves out is closed. Should that be as far as it gets: told again, it counts as
/// changed, and is written open.
const LEFT_OUT: u64 = u64::MAX - 1;
/// Rules of a report that its own list does not name and that are remembered; none are usual.
const UNLISTED: usize = 64;
/// Refused records whose reason is logged; the others are only counted.
const LOGGED_REFUSALS: u64 = 20;

/// What is collected of one host until it is written.
#[derive(Default)]
struct Buffered {
    inventory: Option<Host>,
    supplement: Option<Host>,
    /// Network, ports and software out of the two inventories.
    details: Option<Details>,
    scan: Option<Host>,
    findings: BTreeMap<u64, Finding>,
    whole: bool,
    /// What the scan looked for, where that is told.
    scope: Option<Arc<Scope>>,
    fixes: Vec<Fix>,
}

impl Buffered {
    /// How deep the scan looked.
    fn depth(&self) -> Depth {
        self.scan.as_ref().map(Depth::of).unwrap_or_default()
    }

    /// Whether what it leaves out may be gone: it is whole, and of a scan as deep as those before, and no earlier.
    fn proves_absence(&self, known: &Sighting) -> bool {
        let depth = self.depth();
        self.whole && !depth.is_before(&known.depth) && depth.disproves(known.depth)
    }

    /// It has nothing but the word that something is gone.
    fn says_nothing_of_the_host(&self) -> bool {
        self.inventory.is_none() && self.scan.is_none()
    }
}

pub(super) struct EngineSink<'a> {
    engine: &'a Engine,
    run: &'a Run,
    unit: &'a str,
    deadline: Deadline,
    hosts: BTreeMap<String, Buffered>,
    buffered_bytes: usize,
    rules: Vec<Rule>,
    seen_rules: BTreeSet<(RuleId, u64)>,
    book: RuleBook,
    seen_hosts: BTreeMap<String, LastScan>,
    /// Hosts of the scanner's own list of all.
    existing: BTreeSet<String>,
    confirmed: BTreeMap<String, Option<bool>>,
    scopes: BTreeSet<String>,
    /// Hosts that this attempt has compared.
    compared: BTreeSet<SightingId>,
    counts: RunCounts,
}

impl<'a> EngineSink<'a> {
    pub(super) fn new(engine: &'a Engine, run: &'a Run, unit: &'a str, deadline: Deadline) -> Self {
        Self {
            engine,
            run,
            unit,
            deadline,
            hosts: BTreeMap::new(),
            buffered_bytes: 0,
            rules: Vec::new(),
            seen_rules: BTreeSet::new(),
            book: RuleBook::as_of(engine.kind, engine.clock.now()),
            seen_hosts: BTreeMap::new(),
            existing: BTreeSet::new(),
            confirmed: BTreeMap::new(),
            scopes: BTreeSet::new(),
            compared: BTreeSet::new(),
            counts: RunCounts::default(),
        }
    }

    pub(super) fn counts(&self) -> RunCounts {
        RunCounts { hosts: self.seen_hosts.len() as u64, ..self.counts }
    }

    /// Writes what is buffered, and the names of the hosts seen.
    pub(super) async fn end(&mut self) -> Result<(), SyncError> {
        // Time may be over by now: what was read to its end need not be read again for that.
        self.write().await?;
        if !self.seen_hosts.is_empty() {
            let seen = &self.seen_hosts;
            self.engine.store.put_hosts(&self.run.connector, &self.run.id, self.unit, seen).await?;
        }
        if !self.existing.is_empty() {
            let existing = &self.existing;
            self.engine.store.put_existing(&self.run.connector, &self.run.id, self.unit, existing).await?;
        }
        if !self.confirmed.is_empty() {
            let told = &self.confirmed;
            self.engine.store.put_confirmed(&self.run.connector, &self.run.id, self.unit, told).await?;
        }
        if !self.scopes.is_empty() {
            let scopes = &self.scopes;
            self.engine.store.put_scopes(&self.run.connector, &self.run.id, self.unit, scopes).await?;
        }
        Ok(())
    }

    /// Writes what is buffered, and says when time is over.
    async fn flush(&mut self) -> Result<(), SyncError> {
        self.write().await?;
        if self.deadline.is_over() { Err(SyncError::OutOfTime) } else { Ok(()) }
    }

    /// Writes what is buffered: rules before the findings that name them.
    pub(super) async fn write(&mut self) -> Result<(), SyncError> {
        self.flush_rules().await?;
        let hosts = std::mem::take(&mut self.hosts);
        self.buffered_bytes = 0;
        let (engine, run, unit) = (self.engine, self.run, self.unit);
        let outcomes: Vec<HostOutcome> = stream::iter(hosts)
            .map(|(native, buffered)| write_host(engine, (run, unit), native, buffered))
            .buffer_unordered(PARALLEL_HOSTS)
            .try_collect()
            .await?;
        let mut unscored = Vec::new();
        let mut waiting = BTreeMap::new();
        for outcome in outcomes {
            self.counts = add(self.counts, outcome.counts);
            // What an attempt that died has written is unchanged by now, and counts all the same.
            if self.compared.insert(outcome.sighting.clone())
                && let Some(earlier) = &outcome.earlier
            {
                self.counts = add(self.counts, counted_before(earlier));
                self.counts.unchanged = self.counts.unchanged.saturating_sub(earlier.written);
            }
            if outcome.unscored {
                if outcome.rules.is_empty() {
                    unscored.push(outcome.sighting);
                } else {
                    waiting.insert(outcome.sighting, outcome.rules);
                }
            }
        }
        // A host whose rules are not defined yet is decided on when they are: whoever brings the definitions sends
        // it. It stays marked as not scored until then, so that it cannot be forgotten.
        let asked: BTreeSet<RuleId> = waiting.values().flatten().cloned().collect();
        let unknown: BTreeSet<_> =
            self.book.unknown(&engine.store, asked.into_iter().collect()).await?.into_iter().collect();
        unscored.extend(waiting.into_iter().filter(|(_, rules)| rules.is_disjoint(&unknown)).map(|(s, _)| s));
        self.engine.send_to_score(&unscored).await
    }

    async fn flush_rules(&mut self) -> Result<(), SyncError> {
        let rules = std::mem::take(&mut self.rules);
        let mut changed = self.book.changed(&self.engine.store, rules).await?;
        if changed.iter().any(|rule| rule.solution.is_none()) {
            changed = self.with_known_solutions(changed).await?;
        }
        if !changed.is_empty() {
            self.book.write(&self.engine.store, &changed, &[]).await?;
        }
        Ok(())
    }

    /// A definition without a solution says nothing against the one that is known: some scanners tell solutions with
    /// findings, and definitions without.
    async fn with_known_solutions(&mut self, mut changed: Vec<Rule>) -> Result<Vec<Rule>, SyncError> {
        let store = &self.engine.store;
        let bare: Vec<RuleId> =
            changed.iter().filter(|rule| rule.solution.is_none()).map(|rule| rule.id.clone()).collect();
        let new: BTreeSet<RuleId> = self.book.unknown(store, bare.clone()).await?.into_iter().collect();
        let asked: BTreeSet<_> =
            bare.into_iter().filter(|id| !new.contains(id)).map(|id| (self.engine.kind, id)).collect();
        if asked.is_empty() {
            return Ok(changed);
        }
        let known = store.rules(&asked).await?;
        for rule in changed.iter_mut().filter(|rule| rule.solution.is_none()) {
            if let Some(known) = known.get(&(rule.scanner, rule.id.clone())) {
                rule.solution.clone_from(&known.solution);
                rule.patchable = rule.patchable.or(known.patchable);
            }
        }
        Ok(self.book.changed(store, changed).await?)
    }

    fn see(&mut self, host: &Host) {
        let scan = LastScan {
            at: host.last_scanned_at,
            credentialed: host.credentialed,
            partly: host.partly_credentialed == Some(true),
            gone: host.gone_at.is_some(),
        };
        let known = self.seen_hosts.entry(host.native.clone()).or_default();
        *known = known.with(scan);
    }

    /// Refuses what has an id that the table cannot hold. `true`: it fits.
    fn fits(&mut self, what: &str, id: &str) -> bool {
        match fit::id(what, id) {
            Ok(()) => true,
            Err(problem) => {
                self.refuse(BadRecord { offset: 0, problem });
                false
            }
        }
    }

    async fn flush_if_full(&mut self) -> Result<(), SyncError> {
        if self.buffered_bytes >= BUFFERED_BYTES || self.hosts.len() >= BUFFERED_HOSTS {
            self.flush().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for EngineSink<'_> {
    async fn inventory(&mut self, mut host: Host) -> Result<(), SyncError> {
        if !self.fits("host", &host.native) {
            return Ok(());
        }
        fit::host(&mut host);
        self.see(&host);
        let details = fit::details(host.take_details());
        self.buffered_bytes += details_weight(&details);
        let buffered = self.hosts.entry(host.native.clone()).or_default();
        if buffered.supplement.is_none() {
            buffered.details = Some(details);
        }
        buffered.inventory = Some(host);
        self.flush_if_full().await
    }

    async fn supplement(&mut self, mut host: Host) -> Result<(), SyncError> {
        if !self.fits("host", &host.native) {
            return Ok(());
        }
        fit::host(&mut host);
        let details = fit::details(host.take_details());
        self.buffered_bytes += details_weight(&details);
        let buffered = self.hosts.entry(host.native.clone()).or_default();
        buffered.details = Some(details);
        buffered.supplement = Some(host);
        self.flush_if_full().await
    }

    async fn exist(&mut self, natives: Vec<String>) -> Result<(), SyncError> {
        self.existing.extend(natives.into_iter().filter(|native| fit::id("host", native).is_ok()));
        Ok(())
    }

    async fn confirm(&mut self, native: String, exists: Option<bool>) -> Result<(), SyncError> {
        self.confirmed.insert(native, exists);
        Ok(())
    }

    async fn knows(&mut self, native: &str) -> Result<bool, SyncError> {
        if fit::id("host", native).is_err() {
            return Ok(false);
        }
        let sighting = SightingId::new(self.run.connector.clone(), native);
        Ok(!self.engine.store.sightings(&[sighting]).await?.is_empty())
    }

    async fn may_see(&mut self, scopes: Vec<String>) -> Result<(), SyncError> {
        self.scopes.extend(scopes);
        Ok(())
    }

    async fn scan_jobs(&mut self, jobs: Vec<ScanJob>) -> Result<(), SyncError> {
        let jobs = ScanJobs::of(jobs, self.engine.clock.now());
        Ok(self.engine.store.put_scan_jobs(&self.run.connector, &jobs).await?)
    }

    async fn report(&mut self, mut report: HostReport) -> Result<(), SyncError> {
        if !self.fits("host", &report.host.native) {
            return Ok(());
        }
        fit::host(&mut report.host);
        let told = report.findings.len();
        report.findings.retain_mut(|finding| {
            fit::finding(finding);
            self.fits("rule", finding.rule.as_str())
        });
        if report.findings.len() < told {
            report.coverage = Coverage::Part;
        }
        self.see(&report.host);
        self.buffered_bytes += report.findings.iter().map(weight).sum::<usize>();
        self.counts.received += report.findings.len() as u64;
        let buffered = self.hosts.entry(report.host.native.clone()).or_default();
        buffered.whole |= report.coverage.is_whole();
        if let Coverage::Within(scope) = report.coverage {
            buffered.scope = Some(scope);
        }
        for finding in report.findings {
            let hash = finding.key.hash();
            // Of two of one key, the one counts that is open.
            let is_settled = finding.state == FindingState::Fixed
                && buffered.findings.get(&hash).is_some_and(|known| known.state != FindingState::Fixed);
            if !is_settled {
                buffered.findings.insert(hash, finding);
            }
        }
        let earlier = buffered.scan.take();
        buffered.scan = Some(match earlier {
            Some(earlier) => report.host.completed_with(&earlier),
            None => report.host,
        });
        self.flush_if_full().await
    }

    async fn rule(&mut self, mut rule: Rule) -> Result<(), SyncError> {
        if !self.fits("rule", rule.id.as_str()) {
            return Ok(());
        }
        fit::rule(&mut rule);
        // Tenable repeats the definition with each finding: the same one is looked at once per unit.
        if self.seen_rules.insert((rule.id.clone(), rule.digest())) {
            self.rules.push(rule);
        }
        if self.rules.len() >= BUFFERED_RULES {
            self.flush_rules().await?;
        }
        Ok(())
    }

    async fn unknown_rules(&mut self, mut rules: Vec<RuleId>) -> Result<Vec<RuleId>, SyncError> {
        self.flush_rules().await?;
        rules.retain(|rule| fit::id("rule", rule.as_str()).is_ok());
        Ok(self.book.unknown(&self.engine.store, rules).await?)
    }

    async fn rules_without_definition(&mut self, mut rules: Vec<RuleId>) -> Result<(), SyncError> {
        rules.retain(|rule| fit::id("rule", rule.as_str()).is_ok());
        if !rules.is_empty() {
            self.book.write(&self.engine.store, &[], &rules).await?;
        }
        Ok(())
    }

    async fn rescore_hosts_of(&mut self, unit: &str) -> Result<(), SyncError> {
        self.flush_rules().await?;
        let mut natives = self.engine.store.hosts_of_unit(&self.run.connector, &self.run.id, unit).await?;
        if unit == self.unit {
            // Its own are kept only when it ends; those that were written before their definitions came wait until now.
            self.write().await?;
            natives.extend(self.seen_hosts.keys().cloned());
        }
        let sightings: Vec<_> =
            natives.into_iter().map(|native| SightingId::new(self.run.connector.clone(), native)).collect();
        self.engine.send_to_score(&sightings).await
    }

    async fn fixed(&mut self, fix: Fix) -> Result<(), SyncError> {
        if !self.fits("host", &fix.host) || !self.fits("rule", fix.rule.as_str()) {
            return Ok(());
        }
        self.buffered_bytes += size_of::<Fix>() + fix.evidence.as_ref().map_or(0, String::len);
        self.hosts.entry(fix.host.clone()).or_default().fixes.push(fix);
        self.flush_if_full().await
    }

    fn refuse(&mut self, record: BadRecord) {
        self.counts.refused += 1;
        if self.counts.refused <= LOGGED_REFUSALS {
            tracing::warn!(
                connector = %self.run.connector, run = %self.run.id, unit = self.unit,
                offset = record.offset, problem = %record.problem, "record refused"
            );
        }
    }

    fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }
}

/// Bytes that a finding holds in memory, as far as they differ much between findings.
pub(crate) fn weight(finding: &Finding) -> usize {
    /// The key, and the short texts beside it.
    const SHORT: usize = 128;
    let factors: usize =
        finding.vendor_factors.iter().map(|(name, value)| SHORT + name.len() + value.len()).sum();
    size_of::<Finding>() + SHORT + factors + finding.evidence.as_ref().map_or(0, String::len)
}

/// Bytes that details hold in memory.
fn details_weight(details: &Details) -> usize {
    const ENTRY: usize = 160;
    (details.software.len() + details.open_ports.len()) * ENTRY
}

/// What became of one host.
struct HostOutcome {
    sighting: SightingId,
    counts: RunCounts,
    /// What this unit had counted on it before.
    earlier: Option<Tally>,
    /// `score` has not seen the latest state.
    unscored: bool,
    /// Rules of its new and changed findings.
    rules: BTreeSet<RuleId>,
}

impl HostOutcome {
    fn nothing(sighting: &SightingId) -> Self {
        Self {
            sighting: sighting.clone(),
            counts: RunCounts::default(),
            earlier: None,
            unscored: false,
            rules: BTreeSet::new(),
        }
    }
}

async fn write_host(
    engine: &Engine,
    work: (&Run, &str),
    native: String,
    buffered: Buffered,
) -> Result<HostOutcome, SyncError> {
    let sighting = SightingId::new(work.0.connector.clone(), native);
    for attempt in 0..TRIES {
        // The first look may be stale: every write is conditional, so that a stale look is noticed and repeated.
        match compare_and_write(engine, work, &sighting, &buffered, attempt > 0).await {
            Err(SyncError::Store(StoreError::Conflict { .. })) if attempt + 1 < TRIES => {
                let pause = std::time::Duration::from_millis(10 << attempt);
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            }
            other => return other,
        }
    }
    Err(SyncError::Store(StoreError::Conflict { what: format!("sighting {sighting}") }))
}

/// Order of effects, so that a crash anywhere is repaired by redelivery: findings, then the sighting (which from then
/// on counts as not scored), then the manifest. The message to `score` follows; if it is lost, the next look at the
/// sighting sees that it is not scored.
async fn compare_and_write(
    engine: &Engine,
    (run, unit): (&Run, &str),
    sighting: &SightingId,
    buffered: &Buffered,
    consistent: bool,
) -> Result<HostOutcome, SyncError> {
    let mut state = engine.store.sighting_state(sighting, consistent).await?;
    if state.rev.is_none() && buffered.says_nothing_of_the_host() {
        return Ok(HostOutcome::nothing(sighting));
    }
    let doubtful = engine.forget_doubtful(run, sighting, &mut state).await?;
    let silent = engine.silent_about(run, sighting, &state, buffered, &doubtful).await?;
    let mut gone = absent(&state, buffered);
    gone.retain(|hash| !silent.has(*hash));
    let removed = engine.removed(sighting, &state, buffered).await?;
    // All: a mark that is missing is set before anything is written that it tells of.
    if mark(&mut state, &silent.of_other_range, OTHER_RANGE)
        | mark(&mut state, &gone, LEFT_OUT)
        | mark(&mut state, removed.keys(), LEFT_OUT)
    {
        engine.store.put_manifest(sighting, &state).await?;
        state.manifest_rev = Some(state.manifest_rev.unwrap_or(0) + 1);
    }
    let news = news_of_details(&mut state, buffered);
    let mut found =
        compare(run, engine.clock.now(), &mut state, buffered, engine.kind.kind().remembers, &gone);
    if !engine.kind.kind().remembers {
        engine.store.keep_first_found(sighting, &mut found.rewritten).await?;
    }
    found.statements.append(&mut found.rewritten);
    found.touched |= !doubtful.is_empty();
    if let Some(details) = news {
        // Before the sighting that names their digest: what is lost in between is written again.
        engine.store.put_details(sighting, details).await?;
        found.described = true;
    }
    let fixed = close_removed(removed, &mut state, &mut found);
    if !fixed.is_empty() {
        state.sighting.closing_run = Some(run.id.clone());
        state.sighting.pending_closings =
            u32::try_from(state.manifest.count(EntryState::Closing)).unwrap_or(u32::MAX);
    }
    if !found.statements.is_empty() {
        engine.store.write_statements(sighting, &found.statements).await?;
    }
    if !found.absent.is_empty() {
        let closing = Closing {
            run: run.id.clone(),
            at: buffered.scan.as_ref().and_then(|h| h.last_scanned_at).unwrap_or(run.started_at),
            evidence: Evidence::AbsentFromReport,
        };
        engine.store.close_statements(sighting, &found.absent, &closing).await?;
    }
    for (hash, Removed { at, .. }) in fixed {
        let closing = Closing { run: run.id.clone(), at, evidence: Evidence::ScannerSaysFixed };
        engine.store.close_statements(sighting, &[hash], &closing).await?;
    }
    if found.described || found.touched {
        let (rev, seq) = engine.store.put_sighting(sighting, &state, found.touched).await?;
        (state.rev, state.seq) = (Some(rev), seq);
    }
    let pending = state.sighting.open_closings();
    if pending > 0 {
        engine.store.note_closings(&run.connector, &run.id, &sighting.native, pending).await?;
    } else if found.had_pending {
        engine.store.forget_closings(&run.connector, &run.id, &sighting.native).await?;
    }
    let earlier = state.tally.take().filter(|tally| tally.run == run.id && tally.unit == unit);
    if found.manifest_changed {
        state.tally = Some(tally(run, unit, earlier.as_ref(), &found.counts));
        engine.store.put_manifest(sighting, &state).await?;
    }
    Ok(HostOutcome {
        sighting: sighting.clone(),
        counts: found.counts,
        earlier,
        unscored: state.is_unscored(),
        rules: found.rules,
    })
}

impl Engine {
    /// Takes back what an earlier run left out of whole reports and was not proven: it was no evidence, and a later run
    /// that looks at the host otherwise must not make it one. What this report leaves out as well is closed anew. Written at
    /// once, manifest last, so that whoever dies in between leaves it to be done again. Answers which these were.
    async fn forget_doubtful(
        &self,
        run: &Run,
        sighting: &SightingId,
        state: &mut SightingState,
    ) -> Result<Vec<u64>, SyncError> {
        if state.sighting.open_closings() == 0 || state.sighting.closing_run.as_ref() == Some(&run.id) {
            return Ok(Vec::new());
        }
        let known =
            self.store.statements(sighting).await?.map(|stated| stated.statements).unwrap_or_default();
        // What the scanner itself calls fixed needs no second look. One that is open already was taken back by an attempt
        // that died.
        let is_doubtful = |statement: &Statement| match &statement.closing {
            None => statement.finding.state != FindingState::Fixed,
            Some(closing) => {
                closing.evidence == Evidence::AbsentFromReport && !statement.is_closed(&state.sighting)
            }
        };
        let doubtful: Vec<u64> =
            known.iter().filter(|known| is_doubtful(known)).map(|known| known.finding.key.hash()).collect();
        let is_closing = |hash: &u64| {
            state.manifest.entries.get(hash).is_some_and(|entry| entry.state == EntryState::Closing)
        };
        let reopened: Vec<u64> = doubtful.into_iter().filter(is_closing).collect();
        if reopened.is_empty() {
            return Ok(reopened);
        }
        self.store.reopen_statements(sighting, &reopened).await?;
        for hash in &reopened {
            if let Some(entry) = state.manifest.entries.get_mut(hash) {
                entry.state = EntryState::Open;
            }
        }
        self.store.put_manifest(sighting, state).await?;
        state.manifest_rev = Some(state.manifest_rev.unwrap_or(0) + 1);
        Ok(reopened)
    }

    /// The open findings that the scanner calls gone.
    async fn removed(
        &self,
        sighting: &SightingId,
        state: &SightingState,
        buffered: &Buffered,
    ) -> Result<BTreeMap<u64, Removed>, SyncError> {
        if buffered.fixes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = self.store.statements(sighting).await?.map(|stated| stated.statements);
        Ok(told_removed(buffered, state, &known.unwrap_or_default()))
    }

    /// What a whole report leaves out and yet says nothing about.
    async fn silent_about(
        &self,
        run: &Run,
        sighting: &SightingId,
        state: &SightingState,
        buffered: &Buffered,
        doubtful: &[u64],
    ) -> Result<Silent, SyncError> {
        let forgets = self.kind.kind().forgets;
        let absent = absent(state, buffered);
        if absent.is_empty() || (buffered.scope.is_none() && !forgets) {
            return Ok(Silent::default());
        }
        let known = self.store.statements_of(sighting, &absent).await?;
        let mut silent = Silent::default();
        if let Some(scope) = &buffered.scope {
            silent.outside(scope, state, &known);
        }
        if forgets {
            silent.between_scans(run, state, buffered, &known, doubtful);
        }
        Ok(silent)
    }
}

/// Open findings that a whole report leaves out.
fn absent(state: &SightingState, buffered: &Buffered) -> Vec<u64> {
    if !buffered.proves_absence(&state.sighting) {
        return Vec::new();
    }
    // Whole about weaknesses in any case, about compliance only if it speaks of it at all.
    let covers_compliance = buffered.findings.values().any(|finding| finding.kind == FindingKind::Compliance);
    let entries = state.manifest.entries.iter();
    entries
        .filter(|(hash, known)| {
            known.state == EntryState::Open
                && (covers_compliance || known.kind == FindingKind::Vulnerability)
                && !buffered.findings.contains_key(*hash)
        })
        .map(|(hash, _)| *hash)
        .collect()
}

/// Sets a mark in the manifest. Answers whether any was missing.
fn mark<'h>(state: &mut SightingState, hashes: impl IntoIterator<Item = &'h u64>, mark: u64) -> bool {
    let mut is_news = false;
    for hash in hashes {
        if let Some(entry) = state.manifest.entries.get_mut(hash) {
            is_news |= std::mem::replace(&mut entry.digest, mark) != mark;
        }
    }
    is_news
}

/// Findings that a whole report leaves out and yet says nothing about.
#[derive(Default)]
struct Silent {
    /// On ports that its scan may not have looked at, and the one that has found them did: from the sighting on, they would
    /// count as found by the range of this report.
    of_other_range: BTreeSet<u64>,
    others: BTreeSet<u64>,
}

impl Silent {
    fn has(&self, hash: u64) -> bool {
        self.of_other_range.contains(&hash) || self.others.contains(&hash)
    }

    /// Takes those that the scan did not look for.
    fn outside(&mut self, scope: &Scope, state: &SightingState, known: &[Statement]) {
        let before = state.sighting.depth.port_range;
        let is_other = before.zip(scope.port_range()).is_some_and(|(before, now)| before != now);
        for Statement { finding, .. } in known {
            let hash = finding.key.hash();
            let is_marked =
                state.manifest.entries.get(&hash).is_some_and(|entry| entry.digest == OTHER_RANGE);
            if (is_other || is_marked) && !scope.has_port(finding) {
                self.of_other_range.insert(hash);
            } else if !scope.has_rule(&finding.rule) && !state.sighting.unlisted.contains(&finding.rule) {
                self.others.insert(hash);
            }
        }
    }

    /// Takes those that no scan has looked for since they were told: the scanner has forgotten them. `doubtful`: what an
    /// earlier run has left out already, by a scan that was later then.
    fn between_scans(
        &mut self,
        run: &Run,
        state: &SightingState,
        buffered: &Buffered,
        known: &[Statement],
        doubtful: &[u64],
    ) {
        let scanned = buffered.depth().at;
        for Statement { finding, closing } in known {
            let hash = finding.key.hash();
            let told = state.sighting.depth.at.max(finding.last_found);
            // An attempt that died may have kept the time of this scan already, and with it that this was left out.
            let is_noted = closing.as_ref().is_some_and(|closing| closing.run == run.id);
            if scanned <= told && !is_noted && !doubtful.contains(&hash) {
                self.others.insert(hash);
            }
        }
    }
}

/// What the scanner itself calls gone.
struct Removed {
    rule: RuleId,
    at: Timestamp,
}

/// Those among `known` that the scanner calls gone. What this very report contains is there.
fn told_removed(buffered: &Buffered, state: &SightingState, known: &[Statement]) -> BTreeMap<u64, Removed> {
    let is_open =
        |hash: &u64| state.manifest.entries.get(hash).is_some_and(|entry| entry.state == EntryState::Open);
    let removed = known.iter().filter_map(|Statement { finding, .. }| {
        let hash = finding.key.hash();
        let fix = buffered.fixes.iter().find(|fix| fix.is_about(finding))?;
        let is_gone = is_open(&hash) && !buffered.findings.contains_key(&hash);
        is_gone.then(|| (hash, Removed { rule: finding.rule.clone(), at: fix.at }))
    });
    removed.collect()
}

/// Notes them as closing, and answers which that changes.
fn close_removed(
    mut removed: BTreeMap<u64, Removed>,
    state: &mut SightingState,
    found: &mut Found,
) -> BTreeMap<u64, Removed> {
    removed.retain(|hash, Removed { rule, .. }| {
        // One that a whole report lacks as well is closing already.
        let entry = state.manifest.entries.get_mut(hash).filter(|entry| entry.state == EntryState::Open);
        let Some(entry) = entry else { return false };
        entry.state = EntryState::Closing;
        found.rules.insert(rule.clone());
        found.counts.written += 1;
        found.manifest_changed = true;
        found.touched = true;
        true
    });
    removed
}

/// The details to write, if they differ from what is kept. Those of a second inventory stand before the first one's.
fn news_of_details<'a>(state: &mut SightingState, buffered: &'a Buffered) -> Option<&'a Details> {
    if buffered.supplement.is_none() && state.sighting.supplement.is_some() {
        return None;
    }
    let details = buffered.details.as_ref()?;
    let digest = (!details.is_empty()).then(|| details.digest());
    if digest == state.sighting.details {
        return None;
    }
    state.sighting.details = digest;
    Some(details)
}

/// What a unit has counted on a host, after this time.
fn tally(run: &Run, unit: &str, earlier: Option<&Tally>, counts: &RunCounts) -> Tally {
    let before = earlier.map(counted_before).unwrap_or_default();
    let sum = add(before, *counts);
    Tally {
        run: run.id.clone(),
        unit: unit.to_owned(),
        written: sum.written,
        opened: sum.opened,
        critical: sum.opened_critical,
        high: sum.opened_high,
        reopened: sum.reopened,
    }
}

fn counted_before(tally: &Tally) -> RunCounts {
    RunCounts {
        written: tally.written,
        opened: tally.opened,
        opened_critical: tally.critical,
        opened_high: tally.high,
        reopened: tally.reopened,
        ..RunCounts::default()
    }
}

/// The difference between a report and what is known.
#[derive(Default)]
struct Found {
    /// New ones.
    statements: Vec<Statement>,
    /// Those that were known and said something else.
    rewritten: Vec<Statement>,
    absent: Vec<u64>,
    rules: BTreeSet<RuleId>,
    counts: RunCounts,
    /// The description of the host, or its scan time, changed.
    described: bool,
    /// Something changed that `score` has to look at.
    touched: bool,
    manifest_changed: bool,
    had_pending: bool,
}

/// `gone`: what the report leaves out, and is gone by that.
fn compare(
    run: &Run,
    now: Timestamp,
    state: &mut SightingState,
    buffered: &Buffered,
    remembers: bool,
    gone: &[u64],
) -> Found {
    let mut found = Found { had_pending: state.sighting.open_closings() > 0, ..Found::default() };
    if !found.had_pending {
        state.manifest.settle();
    }
    let depth = buffered.depth();
    let proves = buffered.proves_absence(&state.sighting);
    let is_late = buffered.whole && depth.is_before(&state.sighting.depth);
    // Of a scanner without memory it is what was, and what is known by now stays as it is.
    let is_past = is_late && !remembers;
    describe(state, buffered, is_past, &mut found);
    for (hash, finding) in &buffered.findings {
        let digest = if remembers {
            finding.digest()
        } else {
            // It is the date of this report, and says nothing of those before it.
            Finding { first_found: None, ..finding.clone() }.digest()
        };
        let known = state.manifest.entries.get(hash).copied();
        if is_past && known.is_some() {
            found.counts.unchanged += 1;
            continue;
        }
        let next = next_state(finding.state, known.map(|entry| entry.state));
        let entry = Entry { digest, state: next, kind: finding.kind };
        found.rules.insert(finding.rule.clone());
        if known == Some(entry) {
            found.counts.unchanged += 1;
            continue;
        }
        found.counts.written += 1;
        let was = known.map(|entry| entry.state);
        match (was, next) {
            (None | Some(EntryState::NeverOpen), EntryState::Open) => {
                found.counts.opened += 1;
                found.counts.opened_critical += u64::from(finding.severity == Severity::Critical);
                found.counts.opened_high += u64::from(finding.severity == Severity::High);
            }
            (Some(EntryState::Closed | EntryState::Closing), EntryState::Open) => found.counts.reopened += 1,
            _ => {}
        }
        let closing = matches!(next, EntryState::Closed | EntryState::Closing).then(|| Closing {
            run: run.id.clone(),
            at: finding.fixed_at.unwrap_or(now),
            evidence: Evidence::ScannerSaysFixed,
        });
        if next == EntryState::Closing {
            state.sighting.closing_run = Some(run.id.clone());
        }
        let list = if known.is_some() { &mut found.rewritten } else { &mut found.statements };
        list.push(Statement { finding: finding.clone(), closing });
        state.manifest.entries.insert(*hash, entry);
        found.manifest_changed = true;
        found.touched = true;
    }
    let before = state.sighting.depth;
    // Whoever stops telling how much it looks for does not look for less.
    let told = Depth {
        checks: depth.checks.or(before.checks),
        port_range: depth.port_range.or(before.port_range),
        at: depth.at.or(before.at),
        ..depth
    };
    let has_weakness = || buffered.findings.values().any(|f| f.kind == FindingKind::Vulnerability);
    state.sighting.depth = match proves {
        true => told,
        // What is found is as deep as the scan that found it, whatever that leaves out.
        false if has_weakness() => before.deepest(depth),
        false => before,
    };
    found.described |= state.sighting.depth != before;
    if let Some(scope) = &buffered.scope {
        let unlisted = buffered.findings.values().map(|f| &f.rule).filter(|rule| !scope.has_rule(rule));
        for rule in unlisted.take(UNLISTED) {
            found.described |= state.sighting.unlisted.insert(rule.clone());
        }
    }
    for hash in gone {
        if let Some(entry) = state.manifest.entries.get_mut(hash) {
            entry.state = EntryState::Closing;
            found.absent.push(*hash);
        }
    }
    if !found.absent.is_empty() {
        found.counts.written += found.absent.len() as u64;
        state.sighting.closing_run = Some(run.id.clone());
        found.manifest_changed = true;
        found.touched = true;
    }
    state.sighting.pending_closings =
        u32::try_from(state.manifest.count(EntryState::Closing)).unwrap_or(u32::MAX);
    found
}

/// Takes over the description. The time of the last scan alone is written, but is nothing to decide on.
fn describe(state: &mut SightingState, buffered: &Buffered, is_past: bool, found: &mut Found) {
    let new = state.rev.is_none();
    let mut take = |mine: &mut Option<Host>, theirs: &Option<Host>| {
        let Some(theirs) = theirs else { return };
        let before = mine.as_ref();
        if before.is_none_or(|host| host.digest() != theirs.digest()) {
            found.touched = true;
        }
        if before != Some(theirs) {
            found.described = true;
            *mine = Some(theirs.clone());
        }
    };
    take(&mut state.sighting.inventory, &buffered.inventory);
    take(&mut state.sighting.supplement, &buffered.supplement);
    // Parts of one host arrive in several chunks: a part completes what is known, it does not replace it.
    let scan = match (&state.sighting.scan, &buffered.scan) {
        (Some(known), Some(past)) if is_past => Some(known.clone().completed_with(past)),
        (Some(known), Some(part)) if !buffered.whole => Some(part.clone().completed_with(known)),
        (_, part) => part.clone(),
    };
    take(&mut state.sighting.scan, &scan);
    // A second inventory may know a machine for long after it was purged here.
    if !buffered.says_nothing_of_the_host() {
        let back = [state.sighting.missing_since.take().is_some(), state.sighting.purged_at.take().is_some()];
        found.touched |= back.contains(&true);
    }
    found.touched |= new;
}

/// Where a finding stands after the scanner's word, given where it stood.
fn next_state(said: FindingState, was: Option<EntryState>) -> EntryState {
    match (said, was) {
        (FindingState::Open | FindingState::Reopened, _) => EntryState::Open,
        (FindingState::Suppressed, _) => EntryState::Suppressed,
        (FindingState::Fixed, None | Some(EntryState::NeverOpen)) => EntryState::NeverOpen,
        (FindingState::Fixed, Some(EntryState::Closed)) => EntryState::Closed,
        (FindingState::Fixed, Some(_)) => EntryState::Closing,
    }
}

fn add(a: RunCounts, b: RunCounts) -> RunCounts {
    RunCounts {
        hosts: a.hosts + b.hosts,
        received: a.received + b.received,
        written: a.written + b.written,
        opened: a.opened + b.opened,
        opened_critical: a.opened_critical + b.opened_critical,
        opened_high: a.opened_high + b.opened_high,
        reopened: a.reopened + b.reopened,
        closed: a.closed + b.closed,
        unchanged: a.unchanged + b.unchanged,
        refused: a.refused + b.refused,
        requests: a.requests + b.requests,
        announced: a.announced + b.announced,
        arrived: a.arrived + b.arrived,
        unanswered: a.unanswered + b.unanswered,
    }
}

#[cfg(test)]
mod tests {
    use domain::RunId;

    use super::*;
    use crate::scanner::Mode;

    fn run() -> Run {
        let started_at = "2026-11-22T00:00:00Z".parse().unwrap();
        Run::new("n".parse().unwrap(), RunId::new(started_at, 0), Mode::Full, started_at)
    }

    fn finding(rule: &str, first_found: &str) -> Finding {
        let json = serde_json::json!({
            "finding_key": rule, "rule_id": rule, "severity": "high", "source_severity": "3", "state": "open",
            "source_state": "", "first_found": first_found,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_earlier_scan_disproves_nothing_that_a_later_one_has_found() {
        let at = |at: &str, findings: &[&Finding]| {
            let mut report = report(findings, Some(true), 100);
            report.scan.as_mut().unwrap().last_scanned_at = Some(at.parse().unwrap());
            report
        };
        let (old, new) = (finding("old", WEEK1), finding("new", WEEK2));
        let mut state = SightingState::default();
        compared(&mut state, &at(WEEK2, &[&new]));
        let said_before = Finding { evidence: Some("another version".into()), ..new.clone() };
        let found = compared(&mut state, &at(WEEK1, &[&old]));
        assert_eq!((found.absent.len(), found.counts.opened), (0, 1), "what nobody knew is taken");
        let found = compared(&mut state, &at(WEEK1, &[&old, &said_before]));
        assert_eq!((found.counts.unchanged, found.counts.written, found.manifest_changed), (2, 0, false));
        let scan = state.sighting.scan.as_ref().unwrap();
        assert_eq!(scan.last_scanned_at, Some(WEEK2.parse().unwrap()), "nor its description");
        assert_eq!(compared(&mut state, &at(WEEK2, &[&new])).absent, [old.key.hash()], "the same scan again");
        // A scanner with memory tells what is, by whichever scan.
        let now = at(WEEK1, &[&said_before]);
        let gone = absent(&state, &now);
        let found = compare(&run(), run().started_at, &mut state, &now, true, &gone);
        assert_eq!((found.rewritten.len(), found.absent.len()), (1, 0));
    }

    #[test]
    fn what_a_deep_scan_told_in_part_is_not_gone_because_a_shallow_one_does_not_see_it() {
        let local = finding("local", WEEK1);
        let mut state = SightingState::default();
        compared(&mut state, &Buffered { whole: false, ..report(&[&local], Some(true), 100) });
        for _ in 0..2 {
            assert!(compared(&mut state, &report(&[], Some(false), 100)).absent.is_empty());
        }
        let unknown = report(&[&local], Some(true), 0);
        let unknown = Buffered { scan: unknown.scan.map(|host| Host { checks: None, ..host }), ..unknown };
        compared(&mut state, &unknown);
        assert!(
            compared(&mut state, &report(&[], Some(true), 3)).absent.is_empty(),
            "it looked for more once"
        );
        assert_eq!(compared(&mut state, &report(&[], Some(true), 100)).absent, [local.key.hash()]);
    }

    /// A whole report by a scan that could log in or not, with so many checks.
    fn report(findings: &[&Finding], credentialed: Option<bool>, checks: u32) -> Buffered {
        let host = Host { native: "h".into(), credentialed, checks: Some(checks), ..Host::default() };
        let findings = findings.iter().map(|finding| (finding.key.hash(), (*finding).clone())).collect();
        Buffered { inventory: None, scan: Some(host), findings, whole: true, ..Buffered::default() }
    }

    fn compared(state: &mut SightingState, report: &Buffered) -> Found {
        let gone = absent(state, report);
        compare(&run(), run().started_at, state, report, false, &gone)
    }

    /// What is stored of a host, and how a report of it is worked.
    #[derive(Default)]
    struct Stored {
        state: SightingState,
        statements: BTreeMap<u64, Statement>,
    }

    impl Stored {
        /// Works a report of such a scanner as far as what is found is written. Answers the rules of what is gone by it.
        fn take(&mut self, run: &Run, report: &Buffered, kind: domain::Scanner) -> Vec<String> {
            let mut gone = absent(&self.state, report);
            let known: Vec<Statement> =
                gone.iter().filter_map(|hash| self.statements.get(hash).cloned()).collect();
            let mut silent = Silent::default();
            report.scope.iter().for_each(|scope| silent.outside(scope, &self.state, &known));
            if kind.kind().forgets {
                silent.between_scans(run, &self.state, report, &known, &[]);
            }
            gone.retain(|hash| !silent.has(*hash));
            mark(&mut self.state, &silent.of_other_range, OTHER_RANGE);
            mark(&mut self.state, &gone, LEFT_OUT);
            let stored: Vec<Statement> = self.statements.values().cloned().collect();
            let removed = told_removed(report, &self.state, &stored);
            mark(&mut self.state, removed.keys(), LEFT_OUT);
            let mut found =
                compare(run, run.started_at, &mut self.state, report, kind.kind().remembers, &gone);
            let fixed = close_removed(removed, &mut self.state, &mut found);
            for statement in found.statements.into_iter().chain(found.rewritten) {
                self.statements.insert(statement.finding.key.hash(), statement);
            }
            let closing = |at, evidence| Closing { run: run.id.clone(), at, evidence };
            let absent = found.absent.into_iter();
            let closings = absent
                .map(|hash| (hash, closing(run.started_at, Evidence::AbsentFromReport)))
                .chain(fixed.iter().map(|(hash, fix)| (*hash, closing(fix.at, Evidence::ScannerSaysFixed))));
            let mut gone = Vec::new();
            for (hash, closing) in closings {
                let statement = self.statements.get_mut(&hash).unwrap();
                statement.closing.get_or_insert(closing);
                gone.push(statement.finding.rule.to_string());
            }
            gone.sort();
            gone
        }

        /// The same of one that a whole scan of Nessus has brought.
        fn nessus(&mut self, findings: &[Finding], plugins: &[u32], ports: &str) -> Vec<String> {
            let scope = Scope::new(plugins.to_vec(), crate::scope::Ports::parse(ports));
            let mut report = report(&findings.iter().collect::<Vec<_>>(), Some(true), 100);
            report.scan.as_mut().unwrap().port_range = scope.port_range();
            self.take(&run(), &Buffered { scope: Some(Arc::new(scope)), ..report }, domain::Scanner::Nessus)
        }
    }

    #[test]
    fn what_an_attempt_that_died_has_closed_is_open_when_it_is_told_again() {
        let (kept, flaps) = (finding("1", WEEK1), finding("2", WEEK1));
        let mut stored = Stored::default();
        stored.nessus(&[kept.clone(), flaps.clone()], &[], "default");
        let (manifest, sighting) = (stored.state.manifest.clone(), stored.state.sighting.clone());
        assert_eq!(stored.nessus(std::slice::from_ref(&kept), &[], "default"), ["2"]);
        // It died before it could keep more than the mark and the statement.
        (stored.state.manifest, stored.state.sighting) = (manifest, sighting);
        mark(&mut stored.state, &[flaps.key.hash()], LEFT_OUT);
        assert_eq!(stored.nessus(&[kept, flaps.clone()], &[], "default"), NOTHING);
        assert_eq!(stored.statements[&flaps.key.hash()].closing, None);
    }

    fn on_port(rule: &str, port: u16) -> Finding {
        Finding { port: Some(port), protocol: Some("tcp".into()), ..finding(rule, WEEK1) }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn what_a_policy_has_switched_off_is_not_gone_because_nobody_looks_for_it() {
        let audit = |rule: &str| Finding { kind: FindingKind::Compliance, ..finding(rule, WEEK1) };
        let (kept, off, passed) = (finding("1", WEEK1), finding("2", WEEK1), audit("3-00ff"));
        let mut stored = Stored::default();
        let all = [finding("1", WEEK1), finding("2", WEEK1), audit("3-00ff"), audit("4-00ff")];
        stored.nessus(&all, &[1, 2, 3, 4], "default");
        for _ in 0..2 {
            let seen = [kept.clone(), passed.clone()];
            assert_eq!(stored.nessus(&seen, &[1, 3, 9], "default"), NOTHING, "neither the second time");
        }
        assert_eq!(stored.nessus(&[off, passed], &[1, 2, 3, 9], "default"), ["1"], "what is looked for is");
        assert_eq!(stored.nessus(&[audit("3-00ff")], &[1, 2, 3, 4], "default"), ["2", "4-00ff"]);
    }

    #[test]
    fn what_a_scan_has_found_that_its_list_does_not_name_is_gone_when_it_is_absent() {
        let (listed, unlisted) = (finding("1", WEEK1), finding("99999", WEEK1));
        let mut stored = Stored::default();
        stored.nessus(&[listed.clone(), unlisted], &[1, 2], "default");
        assert_eq!(
            stored.nessus(&[listed], &[1, 2], "default"),
            ["99999"],
            "no list says whether it is looked for"
        );
    }

    #[test]
    fn a_policy_that_does_not_tell_its_plugins_is_taken_to_look_for_them() {
        let mut stored = Stored::default();
        stored.nessus(&[finding("1", WEEK1)], &[1], "default");
        assert_eq!(stored.nessus(&[], &[], "default"), ["1"]);
    }

    #[test]
    fn what_lies_on_a_port_that_a_smaller_range_leaves_out_is_not_gone() {
        let (low, high, host) = (on_port("1", 80), on_port("2", 8080), finding("3", WEEK1));
        let mut stored = Stored::default();
        stored.nessus(&[low, high.clone(), host], &[], "1-65535");
        assert_eq!(stored.nessus(&[on_port("4", 443)], &[], "1-1024"), ["1", "3"]);
        assert_eq!(stored.nessus(&[], &[], "1-1024"), ["4"], "what the smaller range found itself is");
        assert_eq!(stored.nessus(&[], &[], "1-1024"), NOTHING);
        assert_eq!(
            stored.nessus(&[], &[], "1-9000"),
            ["2"],
            "a range that holds the port is not smaller for it"
        );
    }

    #[test]
    fn ports_that_only_the_scanner_knows_close_what_they_have_found_themselves() {
        let (low, high) = (on_port("1", 80), on_port("2", 8080));
        let mut stored = Stored::default();
        stored.nessus(&[low.clone(), high.clone()], &[], "all");
        assert_eq!(stored.nessus(std::slice::from_ref(&low), &[], "default"), NOTHING);
        assert_eq!(
            stored.nessus(&[], &[], "default"),
            ["1"],
            "one that is left from before keeps back no other"
        );
        stored.nessus(std::slice::from_ref(&high), &[], "default");
        assert_eq!(stored.nessus(&[], &[], "default"), ["2"], "seen again, it is of this range");
    }

    #[test]
    fn a_page_that_comes_again_does_not_take_the_new_range_for_the_one_that_found_it() {
        let mut stored = Stored::default();
        stored.nessus(&[on_port("1", 8080)], &[], "all");
        let before = stored.state.manifest.clone();
        assert_eq!(stored.nessus(&[], &[], "default"), NOTHING);
        let is_marked = |entry: &Entry| entry.digest == OTHER_RANGE;
        assert!(stored.state.manifest.entries.values().all(is_marked) && before != stored.state.manifest);
        assert_eq!(stored.nessus(&[], &[], "default"), NOTHING);
    }

    #[test]
    fn what_several_ranges_have_found_is_of_none_of_them() {
        let mut stored = Stored::default();
        stored.nessus(&[on_port("1", 80)], &[], "default");
        // A scan that could not log in proves nothing, and finds something.
        let scope = Scope::new(vec![], crate::scope::Ports::parse("all"));
        let mut blind = report(&[&on_port("1", 80), &on_port("2", 9999)], Some(false), 100);
        blind.scan.as_mut().unwrap().port_range = scope.port_range();
        let blind = Buffered { scope: Some(Arc::new(scope)), ..blind };
        stored.take(&run(), &blind, domain::Scanner::Nessus);
        assert_eq!(stored.nessus(&[], &[], "default"), NOTHING);
        assert_eq!(stored.nessus(&[], &[], "all"), ["1", "2"]);
    }

    /// A whole report of InsightVM on an asset that was assessed then.
    fn assessed(at: &str, findings: &[&Finding]) -> Buffered {
        let mut report = report(findings, None, 0);
        report.scan = report.scan.map(|host| Host { checks: None, last_scanned_at: at.parse().ok(), ..host });
        report
    }

    fn told(rule: &str, at: &str) -> Finding {
        Finding { last_found: at.parse().ok(), ..finding(rule, WEEK1) }
    }

    #[test]
    fn what_a_scanner_forgets_between_two_scans_is_not_gone() {
        let kinds = [domain::Scanner::Qualys, domain::Scanner::Insightvm, domain::Scanner::InsightvmConsole];
        for kind in kinds {
            let (one, two) = (told("1", WEEK1), told("2", WEEK1));
            let mut stored = Stored::default();
            stored.take(&run(), &assessed(WEEK1, &[&one, &two]), kind);
            assert_eq!(stored.take(&run(), &assessed(WEEK1, &[&one]), kind), NOTHING);
            // What is new since then was told by the pulls in between.
            let part = Buffered { whole: false, ..assessed(WEEK2, &[&told("3", WEEK2)]) };
            stored.take(&run(), &part, kind);
            assert_eq!(
                stored.take(&run(), &assessed(WEEK2, &[&one]), kind),
                ["2"],
                "that lacks 3 by the scan that has it"
            );
            assert_eq!(stored.take(&run(), &assessed(WEEK3, &[&one]), kind), ["3"]);
        }
    }

    #[test]
    fn what_an_attempt_that_died_was_told_as_removed_is_open_when_it_is_told_again() {
        let kind = domain::Scanner::Insightvm;
        let one = told("1", WEEK1);
        let mut stored = Stored::default();
        stored.take(&run(), &assessed(WEEK1, &[&one]), kind);
        let (manifest, sighting) = (stored.state.manifest.clone(), stored.state.sighting.clone());
        let Finding { rule, first_found, evidence, .. } = one.clone();
        let fix = Fix { host: "h".into(), rule, first_found, evidence, at: WEEK2.parse().unwrap() };
        let removed = Buffered { scan: None, whole: false, fixes: vec![fix], ..assessed(WEEK2, &[]) };
        assert_eq!(stored.take(&run(), &removed, kind), ["1"]);
        assert_eq!(stored.take(&run(), &removed, kind), NOTHING, "it is noted");
        // It died before it could keep more than the mark and the statement.
        (stored.state.manifest, stored.state.sighting) = (manifest, sighting);
        mark(&mut stored.state, &[one.key.hash()], LEFT_OUT);
        let part = Buffered { whole: false, ..assessed(WEEK2, &[&one]) };
        assert_eq!(stored.take(&run(), &part, kind), NOTHING);
        assert_eq!(stored.statements[&one.key.hash()].closing, None);
    }

    #[test]
    fn a_page_that_comes_again_closes_what_it_has_closed() {
        let kind = domain::Scanner::Insightvm;
        let mut stored = Stored::default();
        stored.take(&run(), &assessed(WEEK1, &[&told("1", WEEK1)]), kind);
        let manifest = stored.state.manifest.clone();
        assert_eq!(stored.take(&run(), &assessed(WEEK2, &[]), kind), ["1"]);
        assert_eq!(stored.take(&run(), &assessed(WEEK2, &[]), kind), NOTHING, "it is noted");
        // The sighting was written, the manifest was not.
        stored.state.manifest = manifest;
        assert_eq!(stored.take(&run(), &assessed(WEEK2, &[]), kind), ["1"]);
        assert_eq!(stored.state.sighting.pending_closings, 1);
    }

    const WEEK1: &str = "2026-11-01T00:00:00Z";
    const WEEK2: &str = "2026-11-08T00:00:00Z";
    const WEEK3: &str = "2026-11-15T00:00:00Z";

    #[test]
    fn what_a_scan_with_credentials_found_is_not_gone_because_one_without_does_not_see_it() {
        let (local, remote) = (finding("local", WEEK1), finding("remote", WEEK1));
        let mut state = SightingState::default();
        let both = report(&[&local, &remote], Some(true), 100);
        assert_eq!(compared(&mut state, &both).counts.opened, 2);
        for blind in [Some(false), None, Some(false)] {
            let found = compared(&mut state, &report(&[&remote], blind, 100));
            assert!(found.absent.is_empty(), "{blind:?}, and not the second time either");
        }
        let found = compared(&mut state, &report(&[&remote], Some(true), 100));
        assert_eq!(found.absent, [local.key.hash()]);
    }

    #[test]
    fn what_many_checks_found_is_not_gone_because_few_do_not_look_for_it() {
        let (old, new) = (finding("old", WEEK1), finding("new", WEEK1));
        let mut state = SightingState::default();
        compared(&mut state, &report(&[&old], Some(false), 100_000));
        let found = compared(&mut state, &report(&[&new], Some(false), 3_000));
        assert_eq!((found.absent.len(), found.counts.opened), (0, 1), "what it does see counts");
        let found = compared(&mut state, &report(&[&new], Some(false), 101_000));
        assert_eq!(found.absent, [old.key.hash()]);
    }

    #[test]
    fn a_scan_that_was_blind_at_first_closes_what_it_found_itself() {
        let mut state = SightingState::default();
        let found = finding("remote", WEEK1);
        compared(&mut state, &report(&[&found], Some(false), 100));
        assert_eq!(compared(&mut state, &report(&[], Some(false), 100)).absent, [found.key.hash()]);
    }

    #[test]
    fn a_report_without_memory_changes_nothing_by_its_date() {
        let mut state = SightingState::default();
        compared(&mut state, &report(&[&finding("a", WEEK1)], None, 100));
        let found = compared(&mut state, &report(&[&finding("a", WEEK2)], None, 100));
        assert_eq!((found.counts.unchanged, found.counts.written, found.manifest_changed), (1, 0, false));
        let said_otherwise = Finding { evidence: Some("else".into()), ..finding("a", WEEK2) };
        let found = compared(&mut state, &report(&[&said_otherwise], None, 100));
        assert_eq!((found.rewritten.len(), found.statements.len()), (1, 0), "its first date is to be kept");
    }
}
