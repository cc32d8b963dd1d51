//! What tests of scanners pull into: it remembers everything, and its clock is moved by hand.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::{Finding, Host, Rule, RuleId, ScanJob};
use jiff::Timestamp;
use sync::{BadRecord, Fix, HostReport, Sink, SyncError};

/// When a test takes place that does not say otherwise.
pub const NOW: &str = "2026-11-22T00:00:00Z";

/// A moment in RFC 3339.
///
/// # Panics
/// If it is none.
pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Everything that a scanner said, in its order.
#[derive(Debug)]
pub struct Recorder {
    /// What the clock shows.
    pub now: Timestamp,
    /// Hosts of inventories.
    pub inventory: Vec<Host>,
    /// Hosts of second inventories.
    pub supplements: Vec<Host>,
    /// Hosts that the scanner's own list has.
    pub existing: Vec<String>,
    /// Whether the scanner still has the hosts that it was asked for one by one, as far as it says.
    pub confirmed: BTreeMap<String, Option<bool>>,
    /// Hosts with findings.
    pub reports: Vec<HostReport>,
    /// How scans last went.
    pub scans: Vec<ScanJob>,
    /// Definitions.
    pub rules: Vec<Rule>,
    /// Rules whose definition is known, also from before.
    pub known: BTreeSet<RuleId>,
    /// Rules without a definition.
    pub undefined: BTreeSet<RuleId>,
    /// Units whose hosts are to be scored again.
    pub rescored: Vec<String>,
    /// What is gone without a name.
    pub fixes: Vec<Fix>,
    /// What could not be read.
    pub refused: Vec<BadRecord>,
    /// Reports that are still taken; the next one finds the time used up.
    pub room: usize,
}

impl Recorder {
    /// One that has heard nothing.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            inventory: vec![],
            supplements: vec![],
            existing: vec![],
            confirmed: BTreeMap::new(),
            reports: vec![],
            scans: vec![],
            rules: vec![],
            known: BTreeSet::new(),
            undefined: BTreeSet::new(),
            rescored: vec![],
            fixes: vec![],
            refused: vec![],
            room: usize::MAX,
        }
    }

    /// What inventories said of each host in the end.
    pub fn hosts(&self) -> BTreeMap<String, Host> {
        self.inventory.iter().map(|host| (host.native.clone(), host.clone())).collect()
    }

    /// What was found on each host in the end.
    pub fn findings(&self) -> BTreeMap<String, Vec<Finding>> {
        self.reports.iter().map(|report| (report.host.native.clone(), report.findings.clone())).collect()
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(time(NOW))
    }
}

#[async_trait]
impl Sink for Recorder {
    async fn inventory(&mut self, host: Host) -> Result<(), SyncError> {
        self.inventory.push(host);
        Ok(())
    }

    async fn supplement(&mut self, host: Host) -> Result<(), SyncError> {
        self.supplements.push(host);
        Ok(())
    }

    async fn exist(&mut self, natives: Vec<String>) -> Result<(), SyncError> {
        self.existing.extend(natives);
        Ok(())
    }

    async fn confirm(&mut self, native: String, exists: Option<bool>) -> Result<(), SyncError> {
        self.confirmed.insert(native, exists);
        Ok(())
    }

    async fn scan_jobs(&mut self, jobs: Vec<ScanJob>) -> Result<(), SyncError> {
        self.scans = jobs;
        Ok(())
    }

    async fn report(&mut self, report: HostReport) -> Result<(), SyncError> {
        self.reports.push(report);
        self.room = self.room.checked_sub(1).ok_or(SyncError::OutOfTime)?;
        Ok(())
    }

    async fn rule(&mut self, rule: Rule) -> Result<(), SyncError> {
        self.known.insert(rule.id.clone());
        self.rules.push(rule);
        Ok(())
    }

    async fn unknown_rules(&mut self, rules: Vec<RuleId>) -> Result<Vec<RuleId>, SyncError> {
        let is_new = |rule: &RuleId| !self.known.contains(rule) && !self.undefined.contains(rule);
        Ok(rules.into_iter().filter(is_new).collect())
    }

    async fn rules_without_definition(&mut self, rules: Vec<RuleId>) -> Result<(), SyncError> {
        self.undefined.extend(rules);
        Ok(())
    }

    async fn rescore_hosts_of(&mut self, unit: &str) -> Result<(), SyncError> {
        self.rescored.push(unit.to_owned());
        Ok(())
    }

    async fn fixed(&mut self, fix: Fix) -> Result<(), SyncError> {
        self.fixes.push(fix);
        Ok(())
    }

    fn refuse(&mut self, record: BadRecord) {
        self.refused.push(record);
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}
