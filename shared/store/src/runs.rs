//! Runs and their units: checkpoints that let a pull go on after any interruption.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use domain::decide::SWEEP_AFTER;
use domain::{Check, ConnectorName, Coverage, LastScan, RunId, ScanJobs, SightingId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::AuditLine;
use crate::codec::{self, Item, bytes, deflate, document, inflate, n, number, s, text};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Range, Store, sort_key};

/// Units planned in one transaction; DynamoDB takes 100 items.
const UNITS_PER_TRANSACTION: usize = 40;
/// Bytes of their work; DynamoDB takes 4 MB.
const BYTES_PER_TRANSACTION: usize = 1 << 20;
/// Host names in one item; 250 KB before compression.
const HOSTS_PER_ITEM: usize = 5_000;
/// Tries of a confirmation that meets others.
const CONFIRM_TRIES: u32 = 5;
/// Runs in a connector's history.
const HISTORY: usize = 10;
/// Wishes for a run that a connector remembers. A message comes again within its queue's retention, while the
/// connector hears of few others.
const REQUESTS: usize = 32;
/// What belongs to one run is kept this long after it began.
const KEPT_DAYS: i64 = 90;
/// What it has seen is kept longer: the next full run compares itself with it, whenever that is.
const HOSTS_KEPT_DAYS: i64 = 400;

/// What a connector remembers between runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectorState {
    /// The run under way.
    pub active: Option<RunId>,
    /// Somebody asked for another run while one was under way.
    pub again: bool,
    /// Wishes for a run that were taken up, newest last.
    pub requests: Vec<String>,
    /// The last full run that was proven complete, and when it began.
    pub last_full: Option<(RunId, Timestamp)>,
    /// The next incremental run asks for changes since here (before overlap).
    pub watermark: Option<Timestamp>,
    /// Definitions that changed since here were not read by the last complete run: the scanner did not answer.
    pub definitions_since: Option<Timestamp>,
    /// Findings that the scanner sees and no complete run closed.
    pub open: i64,
    /// When its first run began.
    pub first_run_at: Option<Timestamp>,
    /// When the first sync was complete and its summary was asked for.
    pub introduced_at: Option<Timestamp>,
    /// The last complete full runs, newest first.
    pub history: Vec<HistoryEntry>,
}

/// One complete full run, to compare later ones with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The run.
    pub run: RunId,
    /// Hosts in it.
    pub hosts: u64,
    /// Findings in it.
    pub received: u64,
}

impl ConnectorState {
    /// Whether this wish for a run was taken up before.
    pub fn has_taken(&self, request: &str) -> bool {
        self.requests.iter().any(|taken| taken == request)
    }

    /// Remembers that a wish for a run was taken up.
    pub fn take(&mut self, request: Option<&str>) {
        self.requests.extend(request.map(str::to_owned));
        self.requests.drain(..self.requests.len().saturating_sub(REQUESTS));
    }

    /// Adds a complete full run to the history.
    pub fn remember(&mut self, entry: HistoryEntry) {
        self.history.insert(0, entry);
        self.history.truncate(HISTORY);
    }
}

/// Whether a run can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every unit done, everything announced received. Only this closes anything.
    Complete,
    /// Something is missing.
    Partial,
    /// Nothing is known to be missing, but it is empty or much smaller than it used to be.
    Suspicious,
    /// Nothing came at all.
    Failed,
}

impl Verdict {
    /// The word used in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Suspicious => "suspicious",
            Self::Failed => "failed",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Units are being worked.
    #[default]
    Running,
    /// It would close too much: a person has to approve.
    Held,
    /// Judged, its closings released.
    Done,
}

/// What a run, or a unit of it, has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCounts {
    /// Hosts reported.
    pub hosts: u64,
    /// Findings received.
    pub received: u64,
    /// Findings written because they were new or changed.
    pub written: u64,
    /// Findings seen open for the first time.
    pub opened: u64,
    /// Of those, critical ones.
    pub opened_critical: u64,
    /// Of those, high ones.
    pub opened_high: u64,
    /// Findings seen again after they had been closed.
    pub reopened: u64,
    /// Findings closed by this run; counted when it is judged.
    pub closed: u64,
    /// Findings that were as before.
    pub unchanged: u64,
    /// Records that could not be read.
    pub refused: u64,
    /// Requests sent to the scanner.
    pub requests: u64,
    /// Records that the scanner announced, where it does.
    pub announced: u64,
    /// Records that arrived of those.
    pub arrived: u64,
    /// Questions for changed definitions that found no answer.
    pub unanswered: u64,
}

impl RunCounts {
    /// Placeholder of each attribute in an expression (its name after the colon), and what to add.
    fn fields(&self) -> [(&'static str, u64); 14] {
        [
            (":hosts", self.hosts),
            (":received", self.received),
            (":written", self.written),
            (":opened", self.opened),
            (":opened_critical", self.opened_critical),
            (":opened_high", self.opened_high),
            (":reopened", self.reopened),
            (":closed", self.closed),
            (":unchanged", self.unchanged),
            (":refused", self.refused),
            (":requests", self.requests),
            (":announced", self.announced),
            (":arrived", self.arrived),
            (":unanswered", self.unanswered),
        ]
    }

    fn read(item: &Item) -> Self {
        let get = |name| number(item, name).unwrap_or(0);
        Self {
            hosts: get("hosts"),
            received: get("received"),
            written: get("written"),
            opened: get("opened"),
            opened_critical: get("opened_critical"),
            opened_high: get("opened_high"),
            reopened: get("reopened"),
            closed: get("closed"),
            unchanged: get("unchanged"),
            refused: get("refused"),
            requests: get("requests"),
            announced: get("announced"),
            arrived: get("arrived"),
            unanswered: get("unanswered"),
        }
    }
}

/// A run as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub id: RunId,
    /// Full or incremental, as the sync engine wrote it.
    pub mode: serde_json::Value,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was finished.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub status: RunStatus,
    /// Whether it can be believed, once judged.
    pub verdict: Option<Verdict>,
    /// Why it is not complete, or why it waits.
    pub reason: Option<String>,
    /// Units planned so far.
    pub units: u64,
    /// Units not worked yet.
    pub pending: i64,
    /// Units given up.
    pub failed: u64,
    /// Units that ended although something is missing.
    pub missing: u64,
    /// What it has counted.
    pub counts: RunCounts,
    /// Who approved its closings.
    pub approved_by: Option<String>,
    /// Notifications wanted and not confirmed: key -> channel.
    pub intents: BTreeMap<String, String>,
}

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// To be worked.
    Pending,
    /// Worked.
    Done,
    /// Given up.
    Failed,
}

/// A unit as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRecord {
    /// Unique within the run.
    pub id: String,
    /// The scanner's description of the work.
    pub work: serde_json::Value,
    /// Where it stands.
    pub state: UnitState,
    /// Failures so far.
    pub failures: u32,
    /// Not to be worked before.
    pub not_before: Option<Timestamp>,
    /// When it was put off for the first time.
    pub put_off_since: Option<Timestamp>,
    /// Why it was given up, or what it misses although it ended.
    pub missing: Option<String>,
    /// Revision for conditional writes; also the turn that the unit is at.
    pub rev: u64,
}

impl UnitRecord {
    /// The turn of a unit that was just planned.
    pub const FIRST_TURN: u64 = 1;
}

/// How a unit goes on.
#[derive(Debug, Clone, Copy)]
pub struct GoesOn<'a> {
    /// The scanner's description of the work, with what it has to know next time.
    pub work: &'a serde_json::Value,
    /// Not to be worked before.
    pub not_before: Timestamp,
    /// When it was put off for the first time.
    pub put_off_since: Timestamp,
    /// Failures so far.
    pub failures: u32,
    /// The turn that it takes.
    pub turn: u64,
}

impl Store {
    /// What the connector remembers, with its revision.
    pub async fn connector_state(
        &self,
        connector: &ConnectorName,
    ) -> Result<(ConnectorState, Option<u64>), StoreError> {
        match self.get(&keys::connector(connector), true).await? {
            Some(item) => Ok((codec::parse(&item)?, number(&item, "rev"))),
            None => Ok((ConnectorState::default(), None)),
        }
    }

    /// Writes what the connector remembers, unless somebody else did since.
    pub async fn put_connector_state(
        &self,
        connector: &ConnectorName,
        state: &ConnectorState,
        rev: Option<u64>,
    ) -> Result<(), StoreError> {
        let item = connector_item(state, rev);
        self.put(&keys::connector(connector), item, Some(Condition::revision(rev))).await
    }

    /// Begins a run: the run becomes the connector's active one, together with its first units.
    pub async fn begin_run(
        &self,
        connector: &ConnectorName,
        (state, rev): (&ConnectorState, Option<u64>),
        run: &RunId,
        mode: &serde_json::Value,
        started_at: Timestamp,
    ) -> Result<(), StoreError> {
        let state = ConnectorState { active: Some(run.clone()), again: false, ..state.clone() };
        let expires = started_at.as_second() + KEPT_DAYS * 86_400;
        let run_item = Item::from([
            ("mode".to_owned(), s(mode.to_string())),
            ("started_at".into(), s(started_at.to_string())),
            ("state".into(), s("running")),
            ("planned".into(), AttributeValue::Bool(false)),
            ("units".into(), n(0)),
            ("pending".into(), n(0)),
            ("expires".into(), n(expires)),
        ]);
        let items = vec![
            self.transact_put(
                &keys::connector(connector),
                connector_item(&state, rev),
                Condition::revision(rev),
            )?,
            self.transact_put(&keys::run(connector, run), run_item, Condition::absent())?,
        ];
        self.transact(&format!("connector {connector}"), items).await
    }

    /// Adds units to a run. Units that exist already are left as they are, so that planning twice plans once.
    pub async fn add_units(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        units: &[(String, serde_json::Value)],
    ) -> Result<(), StoreError> {
        for batch in batches(units) {
            let mut wanted = batch.to_vec();
            // Once with all; after a conflict with those that turned out not to exist.
            for attempt in 0..6 {
                if wanted.is_empty() {
                    break;
                }
                let mut items = Vec::with_capacity(wanted.len() + 1);
                for (unit, work) in &wanted {
                    let item = unit_item(run, work, UnitRecord::FIRST_TURN, None);
                    items.push(self.transact_put(
                        &keys::unit(connector, run, unit),
                        item,
                        Condition::absent(),
                    )?);
                }
                let count = n(wanted.len());
                items.push(self.transact_update(
                    &keys::run(connector, run),
                    "ADD units :n, pending :n",
                    "attribute_exists(pk)",
                    vec![(":n", count)],
                )?);
                match self.transact(&format!("run {run}"), items).await {
                    Ok(()) => break,
                    Err(error) if error.is_conflict() && attempt < 5 => {
                        let keys: Vec<_> =
                            wanted.iter().map(|(u, _)| keys::unit(connector, run, u)).collect();
                        let existing = self.batch_get(&keys, true).await?;
                        let existing: Vec<_> = existing.iter().map(sort_key).collect();
                        wanted
                            .retain(|(u, _)| !existing.contains(&keys::unit(connector, run, u).sk.as_str()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Says that the plan of a run is whole: from now on no pending units means that it can be judged.
    pub async fn mark_planned(&self, connector: &ConnectorName, run: &RunId) -> Result<(), StoreError> {
        let values = vec![(":t", AttributeValue::Bool(true))];
        self.update(&keys::run(connector, run), "SET planned = :t", Some("attribute_exists(pk)"), &[], values)
            .await
    }

    /// A run. The flag says whether its plan is whole.
    pub async fn run(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<Option<(RunRecord, bool)>, StoreError> {
        let item = self.get(&keys::run(connector, run), true).await?;
        item.map(|item| {
            let planned = item.get("planned").and_then(|v| v.as_bool().ok()).copied().unwrap_or(false);
            Ok((read_run(&item)?, planned))
        })
        .transpose()
    }

    /// The newest runs of a connector.
    pub async fn runs(&self, connector: &ConnectorName, limit: i32) -> Result<Vec<RunRecord>, StoreError> {
        let pk = keys::runs_partition(connector);
        let mut range = Range::all(&pk);
        range.prefix = Some("RUN#");
        range.descending = true;
        range.limit = Some(limit);
        let (items, _) = self.query_page(&range, None).await?;
        items.iter().map(read_run).collect()
    }

    /// What was found when the connector was last tried out.
    pub async fn check(&self, connector: &ConnectorName) -> Result<Option<Check>, StoreError> {
        self.get(&keys::check(connector), false).await?.as_ref().map(codec::parse).transpose()
    }

    /// Keeps what was found, in place of what was found before.
    pub async fn put_check(&self, connector: &ConnectorName, check: &Check) -> Result<(), StoreError> {
        let item = Item::from([(codec::DOCUMENT.to_owned(), document(check))]);
        self.put(&keys::check(connector), item, None).await
    }

    /// How well the connector's hosts are scanned, as of its last complete full run.
    pub async fn coverage(&self, connector: &ConnectorName) -> Result<Option<Coverage>, StoreError> {
        self.get(&keys::coverage(connector), false).await?.as_ref().map(codec::parse).transpose()
    }

    /// Keeps the coverage, or that there is none, in place of the one before.
    pub async fn put_coverage(
        &self,
        connector: &ConnectorName,
        coverage: Option<&Coverage>,
    ) -> Result<(), StoreError> {
        let key = keys::coverage(connector);
        match coverage {
            Some(coverage) => {
                let item = Item::from([(codec::DOCUMENT.to_owned(), document(coverage))]);
                self.put(&key, item, None).await
            }
            None => self.delete(&key).await,
        }
    }

    /// How the connector's scans went, as its scanner last told.
    pub async fn scan_jobs(&self, connector: &ConnectorName) -> Result<Option<ScanJobs>, StoreError> {
        self.get(&keys::scan_jobs(connector), false).await?.as_ref().map(codec::parse).transpose()
    }

    /// Keeps them, in place of those before.
    pub async fn put_scan_jobs(&self, connector: &ConnectorName, jobs: &ScanJobs) -> Result<(), StoreError> {
        let item = Item::from([(codec::DOCUMENT.to_owned(), document(jobs))]);
        self.put(&keys::scan_jobs(connector), item, None).await
    }

    /// A unit of a run.
    pub async fn unit(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
    ) -> Result<Option<UnitRecord>, StoreError> {
        let item = self.get(&keys::unit(connector, run, unit), true).await?;
        item.map(|item| read_unit(&item)).transpose()
    }

    /// Units of a run in one state, or all.
    pub async fn units(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        state: Option<UnitState>,
    ) -> Result<Vec<UnitRecord>, StoreError> {
        let pk = keys::run_partition(connector, run);
        let mut range = Range::all(&pk);
        range.prefix = Some("UNIT#");
        range.consistent = true;
        let units: Result<Vec<_>, _> = self.query_all(range).await?.iter().map(read_unit).collect();
        Ok(units?.into_iter().filter(|u| state.is_none_or(|s| u.state == s)).collect())
    }

    /// Remembers how a unit goes on. A conflict means that it has gone on, or ended, since it was read.
    pub async fn postpone_unit(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &UnitRecord,
        next: GoesOn<'_>,
    ) -> Result<(), StoreError> {
        let mut item = unit_item(run, next.work, next.turn, Some(next.not_before));
        item.insert("failures".into(), n(next.failures));
        item.insert("put_off_since".into(), s(next.put_off_since.to_string()));
        self.put(&keys::unit(connector, run, &unit.id), item, Some(Condition::revision(Some(unit.rev)))).await
    }

    /// Ends a unit and adds what it counted to its run, in one transaction: it cannot be counted twice.
    /// A conflict means that it had ended before.
    pub async fn end_unit(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &UnitRecord,
        state: UnitState,
        missing: Option<&str>,
        counts: &RunCounts,
    ) -> Result<(), StoreError> {
        let mut item = unit_item(run, &unit.work, unit.rev + 1, None);
        item.insert("state".into(), s(if state == UnitState::Failed { "failed" } else { "done" }));
        if let Some(missing) = missing {
            item.insert("missing".into(), s(missing));
        }
        let mut expression = "ADD pending :minus, failed :failed, incomplete :incomplete".to_owned();
        let mut values = vec![
            (":minus", n(-1)),
            (":failed", n(u8::from(state == UnitState::Failed))),
            (":incomplete", n(u8::from(missing.is_some()))),
        ];
        for (placeholder, value) in counts.fields() {
            if value > 0 {
                expression.push_str(&format!(", {} {placeholder}", &placeholder[1..]));
                values.push((placeholder, n(value)));
            }
        }
        let items = vec![
            self.transact_put(
                &keys::unit(connector, run, &unit.id),
                item,
                Condition::revision(Some(unit.rev)),
            )?,
            self.transact_update(&keys::run(connector, run), &expression, "attribute_exists(pk)", values)?,
        ];
        self.transact(&format!("unit {}", unit.id), items).await
    }

    /// Writes the verdict. It is given once: a conflict means that it was given already.
    pub async fn judge_run(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        verdict: Verdict,
        status: RunStatus,
        reason: Option<&str>,
        closed: u64,
    ) -> Result<(), StoreError> {
        let state = if status == RunStatus::Held { "held" } else { "running" };
        let mut update = "SET verdict = :v, #state = :s, closed = :c".to_owned();
        let mut values = vec![(":v", s(verdict.as_str())), (":s", s(state)), (":c", n(closed))];
        if let Some(reason) = reason {
            update.push_str(", reason = :r");
            values.push((":r", s(reason)));
        }
        let condition = Some("attribute_exists(pk) AND attribute_not_exists(verdict)");
        self.update(&keys::run(connector, run), &update, condition, &[("#state", "state")], values).await
    }

    /// Sets the number of hosts of a run: its units have each counted those they saw, some more than once.
    pub async fn count_hosts(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        hosts: u64,
    ) -> Result<(), StoreError> {
        let values = vec![(":h", n(hosts))];
        self.update(&keys::run(connector, run), "SET hosts = :h", Some("attribute_exists(pk)"), &[], values)
            .await
    }

    /// Lets a held run go on, by whom the audit's line names. A conflict means that it is not held.
    pub async fn approve_run(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        line: &AuditLine,
    ) -> Result<(), StoreError> {
        let approved = self.transact_update_named(
            &keys::run(connector, run),
            "SET #state = :running, approved_by = :by",
            "#state = :held",
            &[("#state", "state")],
            vec![(":running", s("running")), (":held", s("held")), (":by", s(&line.by))],
        )?;
        self.transact(&format!("run {run}"), vec![approved, self.transact_audit(line)?]).await
    }

    /// Ends a run together with what its connector remembers of it. `intents`: key -> channel.
    pub async fn end_run(
        &self,
        connector: &ConnectorName,
        (state, rev): (&ConnectorState, Option<u64>),
        run: &RunId,
        ended_at: Timestamp,
        intents: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let mut update = "SET #state = :done, ended_at = :e".to_owned();
        let mut values = vec![(":done", s("done")), (":e", s(ended_at.to_string()))];
        if !intents.is_empty() {
            update.push_str(", intents = :i, w = :w, ws = :ws");
            let map = intents.iter().map(|(key, channel)| (key.clone(), s(channel))).collect();
            values.push((":i", AttributeValue::M(map)));
            values.extend(sweep_timer(run, ended_at));
        }
        let items = vec![
            self.transact_put(
                &keys::connector(connector),
                connector_item(state, rev),
                Condition::revision(rev),
            )?,
            self.transact_update_named(
                &keys::run(connector, run),
                &update,
                "attribute_exists(pk)",
                &[("#state", "state")],
                values,
            )?,
        ];
        self.transact(&format!("connector {connector}"), items).await
    }

    /// Puts a notification back on a run that had it, to be asked for again.
    pub(crate) fn transact_run_intent(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        intent: &str,
        channel: &ConnectorName,
        now: Timestamp,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut values = vec![(":c", s(channel.as_str()))];
        values.extend(sweep_timer(run, now));
        let update = "SET intents.#k = :c, w = :w, ws = :ws";
        let (key, had) = (keys::run(connector, run), "attribute_exists(intents)");
        self.transact_update_named(&key, update, had, &[("#k", intent)], values)
    }

    /// A run's notification was delivered. Saying so again changes nothing.
    pub async fn confirm_run_intent(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        key: &str,
    ) -> Result<(), StoreError> {
        let (run, names) = (keys::run(connector, run), [("#k", key)]);
        let mut tries = 0;
        loop {
            // The last one takes the timer of the sweep with it.
            let last = "attribute_exists(intents.#k) AND size(intents) = :one";
            let values = vec![(":one", n(1))];
            match self.update(&run, "REMOVE intents.#k, w, ws", Some(last), &names, values).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
            let one_of_several = "attribute_exists(intents.#k) AND size(intents) > :one";
            let values = vec![(":one", n(1))];
            match self.update(&run, "REMOVE intents.#k", Some(one_of_several), &names, values).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
            // It is gone, unless another one went between the two.
            let item = self.get(&run, true).await?;
            let is_there =
                item.as_ref().map(read_run).transpose()?.is_some_and(|r| r.intents.contains_key(key));
            tries += 1;
            if !is_there {
                return Ok(());
            }
            if tries == CONFIRM_TRIES {
                return Err(StoreError::Conflict { what: format!("notification {key}") });
            }
        }
    }

    /// Notes that a sighting has closings which wait for the verdict of `run`.
    pub async fn note_closings(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        native: &str,
        count: u32,
    ) -> Result<(), StoreError> {
        let mut item = Item::from([("count".to_owned(), n(count))]);
        expire(&mut item, run, KEPT_DAYS);
        self.put(&keys::closing(connector, run, native), item, None).await
    }

    /// Forgets closings: they were released, or reopened before the verdict.
    pub async fn forget_closings(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        native: &str,
    ) -> Result<(), StoreError> {
        self.delete(&keys::closing(connector, run, native)).await
    }

    /// Sightings with closings that wait for the verdict of `run`, and how many each.
    pub async fn closings(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<Vec<(SightingId, u32)>, StoreError> {
        let pk = keys::run_partition(connector, run);
        let mut range = Range::all(&pk);
        range.prefix = Some("CLOSING#");
        range.consistent = true;
        let items = self.query_all(range).await?;
        Ok(items
            .iter()
            .filter_map(|item| {
                let native = sort_key(item).strip_prefix("CLOSING#")?;
                Some((SightingId::new(connector.clone(), native), number(item, "count").unwrap_or(0)))
            })
            .collect())
    }

    /// Keeps the names of the hosts that a unit has seen, and when they were scanned.
    pub async fn put_hosts(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
        hosts: &BTreeMap<String, LastScan>,
    ) -> Result<(), StoreError> {
        let lines: Vec<String> = hosts.iter().map(|(name, scan)| host_line(name, *scan)).collect();
        self.put_host_lines(run, &lines, |piece| keys::hosts(connector, run, unit, piece)).await
    }

    async fn put_host_lines(
        &self,
        run: &RunId,
        lines: &[String],
        key: impl Fn(usize) -> keys::Key,
    ) -> Result<(), StoreError> {
        for (piece, lines) in lines.chunks(HOSTS_PER_ITEM).enumerate() {
            let mut item = Item::from([("h".to_owned(), bytes(deflate(lines.join("\n").as_bytes())))]);
            expire(&mut item, run, HOSTS_KEPT_DAYS);
            self.put(&key(piece), item, None).await?;
        }
        Ok(())
    }

    /// The names of all hosts that a run has seen.
    pub async fn hosts(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.scans(connector, run).await?.into_keys().collect())
    }

    /// All hosts that a run has seen, with their last scans.
    pub async fn scans(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeMap<String, LastScan>, StoreError> {
        self.hosts_with(connector, run, "HOSTS#").await
    }

    /// The names of the hosts that one unit has seen.
    pub async fn hosts_of_unit(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.hosts_with(connector, run, &format!("HOSTS#{unit}#")).await?.into_keys().collect())
    }

    /// Keeps a unit's part of the scanner's own list of all its hosts.
    pub async fn put_existing(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
        hosts: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = hosts.iter().cloned().collect();
        self.put_host_lines(run, &names, |piece| keys::existing(connector, run, unit, piece)).await
    }

    /// The scanner's own list of all its hosts, where the run has asked for it.
    pub async fn existing(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.hosts_with(connector, run, keys::EXISTING).await?.into_keys().collect())
    }

    /// Keeps what a unit was told about single hosts: whether the scanner still has them, as far as it says.
    pub async fn put_confirmed(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
        hosts: &BTreeMap<String, Option<bool>>,
    ) -> Result<(), StoreError> {
        // In the form of hosts that were seen: gone, or without a mark, or with the one for a login that failed.
        let line = |(name, exists): (&String, &Option<bool>)| {
            let credentialed = exists.is_none().then_some(false);
            let scan = LastScan { gone: *exists == Some(false), credentialed, ..LastScan::default() };
            host_line(name, scan)
        };
        let lines: Vec<String> = hosts.iter().map(line).collect();
        self.put_host_lines(run, &lines, |piece| keys::confirmed(connector, run, unit, piece)).await
    }

    /// Whether the scanner still has the hosts that a run has asked for one by one; `None` where it did not say.
    pub async fn confirmed(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeMap<String, Option<bool>>, StoreError> {
        let told = self.hosts_with(connector, run, keys::CONFIRMED).await?;
        let exists = |scan: LastScan| scan.credentialed.is_none().then_some(!scan.gone);
        Ok(told.into_iter().map(|(name, scan)| (name, exists(scan))).collect())
    }

    /// Keeps for which hosts a run has planned questions, or would have with more room.
    pub async fn put_asked(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        hosts: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = hosts.iter().cloned().collect();
        self.put_host_lines(run, &names, |piece| keys::asked(connector, run, piece)).await
    }

    /// For which hosts a run has planned questions.
    pub async fn asked(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.hosts_with(connector, run, keys::ASKED).await?.into_keys().collect())
    }

    /// Keeps which parts of a scanner its account may see, in the scanner's own words.
    pub async fn put_scopes(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        unit: &str,
        scopes: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let names: Vec<String> = scopes.iter().cloned().collect();
        self.put_host_lines(run, &names, |piece| keys::scopes(connector, run, unit, piece)).await
    }

    /// Which parts of a scanner its account could see in a run, where it told.
    pub async fn scopes(
        &self,
        connector: &ConnectorName,
        run: &RunId,
    ) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.hosts_with(connector, run, keys::SCOPES).await?.into_keys().collect())
    }

    async fn hosts_with(
        &self,
        connector: &ConnectorName,
        run: &RunId,
        prefix: &str,
    ) -> Result<BTreeMap<String, LastScan>, StoreError> {
        let pk = keys::run_partition(connector, run);
        let mut range = Range::all(&pk);
        range.prefix = Some(prefix);
        range.consistent = true;
        let mut hosts: BTreeMap<String, LastScan> = BTreeMap::new();
        for item in self.query_all(range).await? {
            let packed = item
                .get("h")
                .and_then(|v| v.as_b().ok())
                .ok_or_else(|| codec::malformed(&item, "no hosts"))?;
            let joined = inflate(packed.as_ref()).map_err(|e| codec::malformed(&item, e))?;
            for (name, scan) in String::from_utf8_lossy(&joined).lines().map(read_host_line) {
                let known = hosts.entry(name.to_owned()).or_default();
                *known = known.with(scan);
            }
        }
        Ok(hosts)
    }
}

/// `<name>\t<second of the last scan>\t<marks>`: `y` and `n` for a login that worked or not, `p` beside `y` if only some
/// did, `g` for gone. Names hold no line break.
fn host_line(name: &str, scan: LastScan) -> String {
    let at = scan.at.map(|at| at.as_second().to_string()).unwrap_or_default();
    let credentialed = match scan.credentialed {
        Some(true) => "y",
        Some(false) => "n",
        None => "",
    };
    let (partly, gone) = (if scan.partly { "p" } else { "" }, if scan.gone { "g" } else { "" });
    format!("{name}\t{at}\t{credentialed}{partly}{gone}")
}

fn read_host_line(line: &str) -> (&str, LastScan) {
    let mut fields = line.rsplitn(3, '\t');
    let (Some(marks), Some(at), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
        // Written before scan times were kept.
        return (line, LastScan::default());
    };
    let scan = LastScan {
        at: at.parse().ok().and_then(|second| Timestamp::from_second(second).ok()),
        credentialed: marks.contains('y').then_some(true).or(marks.contains('n').then_some(false)),
        partly: marks.contains('p'),
        gone: marks.contains('g'),
    };
    (name, scan)
}

impl Store {
    pub(crate) fn transact_put(
        &self,
        key: &keys::Key,
        mut item: Item,
        condition: impl Into<Option<Condition>>,
    ) -> Result<TransactWriteItem, StoreError> {
        item.insert("pk".into(), s(&key.pk));
        item.insert("sk".into(), s(&key.sk));
        let mut put = Put::builder().table_name(&*self.table).set_item(Some(item));
        if let Some(condition) = condition.into() {
            put = put.condition_expression(condition.expression);
            for (name, value) in condition.values {
                put = put.expression_attribute_values(name, value);
            }
        }
        Ok(TransactWriteItem::builder().put(put.build().map_err(build)?).build())
    }

    pub(crate) fn transact_delete(&self, key: &keys::Key) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder().table_name(&*self.table).key("pk", s(&key.pk)).key("sk", s(&key.sk));
        Ok(TransactWriteItem::builder().delete(delete.build().map_err(build)?).build())
    }

    pub(crate) fn transact_update(
        &self,
        key: &keys::Key,
        update: &str,
        condition: &str,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<TransactWriteItem, StoreError> {
        self.transact_update_named(key, update, condition, &[], values)
    }

    pub(crate) fn transact_update_named(
        &self,
        key: &keys::Key,
        update: &str,
        condition: &str,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<TransactWriteItem, StoreError> {
        let mut item = Update::builder()
            .table_name(&*self.table)
            .key("pk", s(&key.pk))
            .key("sk", s(&key.sk))
            .update_expression(update)
            .set_condition_expression((!condition.is_empty()).then(|| condition.to_owned()));
        for (name, real) in names {
            item = item.expression_attribute_names(*name, *real);
        }
        for (name, value) in values {
            item = item.expression_attribute_values(name, value);
        }
        Ok(TransactWriteItem::builder().update(item.build().map_err(build)?).build())
    }
}

fn build(error: aws_sdk_dynamodb::error::BuildError) -> StoreError {
    StoreError::Aws { operation: "TransactWriteItems", cause: error.to_string() }
}

fn connector_item(state: &ConnectorState, rev: Option<u64>) -> Item {
    Item::from([(codec::DOCUMENT.to_owned(), document(state)), ("rev".into(), n(rev.unwrap_or(0) + 1))])
}

/// Units that are planned together: a transaction takes no more than 4 MB.
fn batches(mut units: &[(String, serde_json::Value)]) -> Vec<&[(String, serde_json::Value)]> {
    let mut batches = Vec::new();
    while !units.is_empty() {
        let mut bytes = 0;
        let fits = units.iter().take(UNITS_PER_TRANSACTION).take_while(|(id, work)| {
            bytes += id.len() + work.to_string().len();
            bytes <= BYTES_PER_TRANSACTION
        });
        // One that is too large alone is for the table to refuse.
        let (batch, rest) = units.split_at(fits.count().max(1));
        batches.push(batch);
        units = rest;
    }
    batches
}

/// Lets an item of a run go so many days after the run began.
fn expire(item: &mut Item, run: &RunId, days: i64) {
    if let Some(began) = run.began() {
        item.insert("expires".into(), n(began.as_second() + days * 86_400));
    }
}

fn unit_item(run: &RunId, work: &serde_json::Value, rev: u64, not_before: Option<Timestamp>) -> Item {
    let mut item = Item::from([
        ("work".to_owned(), s(work.to_string())),
        ("state".into(), s("pending")),
        ("rev".into(), n(rev)),
    ]);
    expire(&mut item, run, KEPT_DAYS);
    if let Some(at) = not_before {
        item.insert("not_before".into(), s(at.to_string()));
    }
    item
}

fn read_unit(item: &Item) -> Result<UnitRecord, StoreError> {
    Ok(UnitRecord {
        id: sort_key(item).trim_start_matches("UNIT#").to_owned(),
        work: serde_json::from_str(codec::required(item, "work")?).map_err(|e| codec::malformed(item, e))?,
        state: match text(item, "state") {
            Some("done") => UnitState::Done,
            Some("failed") => UnitState::Failed,
            _ => UnitState::Pending,
        },
        failures: number(item, "failures").unwrap_or(0),
        not_before: text(item, "not_before").and_then(|t| t.parse().ok()),
        put_off_since: text(item, "put_off_since").and_then(|t| t.parse().ok()),
        missing: text(item, "missing").map(str::to_owned),
        rev: number(item, "rev").unwrap_or(0),
    })
}

/// The timer under which the notifications of a run, asked for at `at`, are asked for again.
fn sweep_timer(run: &RunId, at: Timestamp) -> [(&'static str, AttributeValue); 2] {
    let (sweep, id) = (at + SWEEP_AFTER, run.to_string());
    [(":w", s(keys::timer_of(sweep, &id))), (":ws", s(keys::timer_sort(sweep, &id)))]
}

fn read_run(item: &Item) -> Result<RunRecord, StoreError> {
    let intents = item.get("intents").and_then(|v| v.as_m().ok());
    Ok(RunRecord {
        id: RunId::stored(sort_key(item).trim_start_matches("RUN#")),
        mode: serde_json::from_str(codec::required(item, "mode")?).map_err(|e| codec::malformed(item, e))?,
        started_at: codec::required(item, "started_at")?.parse().map_err(|e| codec::malformed(item, e))?,
        ended_at: text(item, "ended_at").and_then(|t| t.parse().ok()),
        status: match text(item, "state") {
            Some("held") => RunStatus::Held,
            Some("done") => RunStatus::Done,
            _ => RunStatus::Running,
        },
        verdict: [Verdict::Complete, Verdict::Partial, Verdict::Suspicious, Verdict::Failed]
            .into_iter()
            .find(|v| text(item, "verdict") == Some(v.as_str())),
        reason: text(item, "reason").map(str::to_owned),
        units: number(item, "units").unwrap_or(0),
        pending: number(item, "pending").unwrap_or(0),
        failed: number(item, "failed").unwrap_or(0),
        missing: number(item, "incomplete").unwrap_or(0),
        counts: RunCounts::read(item),
        approved_by: text(item, "approved_by").map(str::to_owned),
        intents: intents
            .map(|map| map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_s().ok()?.clone()))).collect())
            .unwrap_or_default(),
    })
}
