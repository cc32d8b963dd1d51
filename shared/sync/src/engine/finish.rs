//! The end of a run: its verdict, and what the verdict allows.
//!
//! Steps, each repeatable: ask for the hosts that are missing, judge (once), release the closings, mark missing hosts, end. A run that was judged and then
//! interrupted goes on with the step it was at.

use std::collections::{BTreeMap, BTreeSet};

use domain::policy::Connector;
use domain::vulnerability::NotifyEvent;
use domain::{Coverage, RunId, Severity, SightingId};
use jiff::SignedDuration;
use platform::Metric;
use queue::{EffectMessage, Outgoing, QueueName, SyncMessage, Trigger};
use store::{ConnectorState, EntryState, HistoryEntry, RunRecord, RunStatus, UnitState, Verdict};

use super::{Deadline, Engine, SIGHTINGS_PER_MESSAGE, run_of};
use crate::error::SyncError;
use crate::scanner::{Mode, Run, UNREADABLE};

/// A run that would close fewer findings than this is never held.
const CLOSE_LIMIT_MIN: u64 = 50;
/// A full run with less than this share of the hosts or findings of its history is suspicious, in per cent.
const SHARP_DROP_PERCENT: u64 = 50;
/// Histories smaller than this are too small to tell a drop from daily life.
const HISTORY_MIN: u64 = 10;

/// Runs that may lie between two full ones; hosts that only older ones have seen are not looked for.
const RUNS_BETWEEN: i32 = 500;
/// Hosts that one run asks for one by one, at most. Those beyond it are missing.
const ASKED: usize = 10_000;
/// Sightings that are read at once.
const PARALLEL_READS: usize = 16;

impl Engine {
    pub(super) async fn finish(&self, connector: &Connector, run: &RunId) -> Result<(), SyncError> {
        let Some((record, planned)) = self.store.run(&connector.name, run).await? else { return Ok(()) };
        if record.status == RunStatus::Done {
            // Ended before; what was to be sent then may have been lost.
            return self.tell_end(connector, &record, &record.intents).await;
        }
        if record.status != RunStatus::Running || !planned {
            return Ok(());
        }
        let run = run_of(connector, &record);
        // With units pending, somebody has planned the questions below and may have died before he sent them.
        if record.verdict.is_none()
            && (record.pending > 0 || self.ask_for_missing(connector, &run, &record).await?)
        {
            return self.send_pending(&run).await;
        }
        let record =
            if record.verdict.is_some() { record } else { self.judge(connector, &run, record).await? };
        if record.status == RunStatus::Held {
            tracing::warn!(connector = %connector.name, run = %run.id, reason = record.reason, "run is held");
            return Ok(());
        }
        if record.verdict == Some(Verdict::Complete) {
            let deadline = Deadline::after(self.options.time_budget);
            let released = self.release(connector, &run, deadline).await?;
            let marked = released && self.mark_missing(connector, &run, &record, deadline).await?;
            if !marked {
                return self
                    .send(&SyncMessage::finish(run.connector.clone(), run.id), SignedDuration::ZERO)
                    .await;
            }
        }
        self.end(connector, &run, &record).await
    }

    async fn judge(
        &self,
        connector: &Connector,
        run: &Run,
        mut record: RunRecord,
    ) -> Result<RunRecord, SyncError> {
        record.counts.hosts = self.store.hosts(&connector.name, &run.id).await?.len() as u64;
        self.store.count_hosts(&connector.name, &run.id, record.counts.hosts).await?;
        let (state, _) = self.store.connector_state(&connector.name).await?;
        let reason = self.first_reason(connector, &record).await?;
        let (verdict, reason) = verdict(run, &record, &state, reason);
        let closings = self.store.closings(&connector.name, &run.id).await?;
        let closed: u64 = closings.iter().map(|(_, count)| u64::from(*count)).sum();
        let limit = close_limit(connector.close_limit_percent, state.open);
        let purged =
            if verdict == Verdict::Complete { self.purged_by(connector, run, &record).await? } else { 0 };
        let (status, reason) = if verdict == Verdict::Complete && closed + purged > limit {
            (RunStatus::Held, Some(too_much(closed, purged, limit)))
        } else {
            (RunStatus::Running, reason)
        };
        let closed = if verdict == Verdict::Complete { closed } else { 0 };
        tracing::info!(connector = %connector.name, run = %run.id, verdict = verdict.as_str(), closed, "run judged");
        match self.store.judge_run(&connector.name, &run.id, verdict, status, reason.as_deref(), closed).await
        {
            Ok(()) => {}
            // Judged by another delivery of the message: its verdict stands.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        let judged = self.store.run(&connector.name, &run.id).await?;
        Ok(judged.map_or(record, |(judged, _)| judged))
    }

    /// Why the first incomplete unit is incomplete.
    async fn first_reason(
        &self,
        connector: &Connector,
        record: &RunRecord,
    ) -> Result<Option<String>, SyncError> {
        if record.failed == 0 && record.missing == 0 {
            return Ok(None);
        }
        let units = self.store.units(&connector.name, &record.id, None).await?;
        let first = units
            .iter()
            .find(|u| u.state == UnitState::Failed)
            .or(units.iter().find(|u| u.missing.is_some()));
        Ok(first.and_then(|unit| Some(format!("{}: {}", unit.id, unit.missing.as_ref()?))))
    }

    /// Lets the closings of a complete run count. `false`: out of time, call again.
    async fn release(&self, connector: &Connector, run: &Run, deadline: Deadline) -> Result<bool, SyncError> {
        let closings = self.store.closings(&connector.name, &run.id).await?;
        for batch in closings.chunks(SIGHTINGS_PER_MESSAGE) {
            for (sighting, _) in batch {
                self.store.prove_sighting(sighting, &run.id).await?;
            }
            let sightings: Vec<_> = batch.iter().map(|(sighting, _)| sighting.clone()).collect();
            self.send_to_score(&sightings).await?;
            for (sighting, _) in batch {
                self.store.forget_closings(&connector.name, &run.id, &sighting.native).await?;
            }
            if deadline.is_over() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plans questions for the hosts that a full run has not come across, where a scanner can be asked so. `true`: there is
    /// something to work again.
    async fn ask_for_missing(
        &self,
        connector: &Connector,
        run: &Run,
        record: &RunRecord,
    ) -> Result<bool, SyncError> {
        if run.mode != Mode::Full || record.verdict.is_some() {
            return Ok(false);
        }
        // Not of a scanner that shows nothing, or half of what it has.
        let mut record = record.clone();
        record.counts.hosts = self.store.hosts(&connector.name, &run.id).await?.len() as u64;
        let (state, _) = self.store.connector_state(&connector.name).await?;
        if verdict(run, &record, &state, None).0 != Verdict::Complete {
            return Ok(false);
        }
        let Unseen { mut hosts, listed, .. } = self.unseen(connector, run).await?;
        let asked = self.store.asked(&connector.name, &run.id).await?;
        hosts.retain(|host| !asked.contains(host));
        if listed || hosts.is_empty() || self.sees_less(connector, run).await? {
            return Ok(false);
        }
        let built = match (self.make)(connector.clone()).await {
            Ok(built) => built,
            Err(error) if error.is_transient() => return Err(error),
            // What was pulled is whole; nobody can be asked any more.
            Err(error) => {
                tracing::warn!(connector = %connector.name, run = %run.id, %error, "hosts that are missing are not asked for");
                return Ok(false);
            }
        };
        let now: Vec<String> = hosts.iter().take(ASKED.saturating_sub(asked.len())).cloned().collect();
        let units = built.scanner.ask_for(&now).into_iter().map(|unit| (unit.id, unit.work));
        let units: Vec<_> = units.collect();
        if !units.is_empty() {
            // Those that were worked already stay as they are.
            self.store.add_units(&connector.name, &run.id, &units).await?;
            // Whatever becomes of the questions: for those that stay without an answer, the next full run asks.
            hosts.extend(asked);
            self.store.put_asked(&connector.name, &run.id, &hosts).await?;
        }
        let record = self.store.run(&connector.name, &run.id).await?;
        Ok(record.is_some_and(|(record, _)| record.pending > 0))
    }

    /// Whether the account may see less of the scanner than in the last full run: what it does not show may be there.
    async fn sees_less(&self, connector: &Connector, run: &Run) -> Result<bool, SyncError> {
        let (state, _) = self.store.connector_state(&connector.name).await?;
        let Some((previous, _)) = state.last_full else { return Ok(false) };
        let now = self.store.scopes(&connector.name, &run.id).await?;
        Ok(now.contains(UNREADABLE) || !self.store.scopes(&connector.name, &previous).await?.is_subset(&now))
    }

    /// Hosts that the last full run or any since has seen, and this one has not.
    async fn unseen(&self, connector: &Connector, run: &Run) -> Result<Unseen, SyncError> {
        let (state, _) = self.store.connector_state(&connector.name).await?;
        let Some((previous, previous_at)) = state.last_full.filter(|(previous, _)| *previous != run.id)
        else {
            return Ok(Unseen::default());
        };
        let existing = self.store.existing(&connector.name, &run.id).await?;
        let confirmed = self.store.confirmed(&connector.name, &run.id).await?;
        let mut before = self.store.existing(&connector.name, &previous).await?;
        before.remove(UNREADABLE);
        // One that had slipped through the last time, or of which nothing was said.
        let told = self.store.confirmed(&connector.name, &previous).await?;
        before.extend(self.store.asked(&connector.name, &previous).await?);
        before.extend(told.keys().cloned());
        before.retain(|host| told.get(host) != Some(&Some(false)));
        let newest = self.store.runs(&connector.name, RUNS_BETWEEN).await?;
        // Not by their ids, which say nothing within a second.
        let since = newest.into_iter().filter(|known| known.started_at >= previous_at && known.id != run.id);
        let others = since.map(|known| known.id).filter(|id| *id != previous);
        for earlier in others.chain([previous.clone()]) {
            before.extend(self.store.hosts(&connector.name, &earlier).await?);
        }
        // What this run has seen exists, whatever the list says.
        let seen = self.store.hosts(&connector.name, &run.id).await?;
        before.retain(|host| !seen.contains(host) && !existing.contains(host));
        let listed = !existing.is_empty() && !existing.contains(UNREADABLE);
        Ok(Unseen { hosts: before, listed, confirmed })
    }

    /// Hosts that a complete full run no longer contains.
    async fn missing(
        &self,
        connector: &Connector,
        run: &Run,
        record: &RunRecord,
    ) -> Result<Missing, SyncError> {
        if run.mode != Mode::Full {
            return Ok(Missing::default());
        }
        let Unseen { hosts, listed, confirmed } = self.unseen(connector, run).await?;
        let mut missing = Missing::default();
        for native in hosts {
            let list = match confirmed.get(&native) {
                Some(Some(true)) => continue,
                Some(Some(false)) => &mut missing.gone,
                None if listed => &mut missing.gone,
                // The host may have been one of the records that could not be read.
                Some(None) | None if record.counts.refused > 0 => continue,
                Some(None) | None => &mut missing.unseen,
            };
            list.push(SightingId::new(run.connector.clone(), native));
        }
        Ok(missing)
    }

    /// How many findings are open, as far as the scanner said, on hosts that it has no more.
    async fn purged_by(
        &self,
        connector: &Connector,
        run: &Run,
        record: &RunRecord,
    ) -> Result<u64, SyncError> {
        let Missing { gone, .. } = self.missing(connector, run, record).await?;
        let mut open = 0;
        for piece in gone.chunks(PARALLEL_READS) {
            let states = piece.iter().map(|host| self.store.sighting_state(host, false));
            for state in futures::future::try_join_all(states).await? {
                // What is known to be gone already does not go again.
                if state.sighting.purged_at.is_none() {
                    open += state.manifest.count(EntryState::Open) as u64;
                }
            }
        }
        Ok(open)
    }

    /// Marks hosts that a complete full run no longer contains. Their findings become stale, never fixed; where the scanner
    /// says that it has no such host, they are gone.
    async fn mark_missing(
        &self,
        connector: &Connector,
        run: &Run,
        record: &RunRecord,
        deadline: Deadline,
    ) -> Result<bool, SyncError> {
        let Missing { gone, unseen } = self.missing(connector, run, record).await?;
        for (sightings, is_gone) in [(gone, true), (unseen, false)] {
            for sightings in sightings.chunks(SIGHTINGS_PER_MESSAGE) {
                for sighting in sightings {
                    if is_gone {
                        self.store.purge_sighting(sighting, run.started_at).await?;
                    } else {
                        self.store.miss_sighting(sighting, &run.id).await?;
                    }
                }
                self.send_to_score(sightings).await?;
                if deadline.is_over() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn end(&self, connector: &Connector, run: &Run, record: &RunRecord) -> Result<(), SyncError> {
        let (mut state, rev) = self.store.connector_state(&connector.name).await?;
        if state.active.as_ref() != Some(&run.id) {
            return Ok(());
        }
        state.active = None;
        let counts = &record.counts;
        let grown = counts.opened + counts.reopened;
        state.open = (state.open + grown.cast_signed() - counts.closed.cast_signed()).max(0);
        let mut intents = BTreeMap::new();
        if record.verdict == Some(Verdict::Complete) {
            state.watermark = Some(run.started_at);
            state.definitions_since = match counts.unanswered {
                0 => None,
                _ => run.changes_since.map(|since| since + self.options.overlap),
            };
            if run.mode == Mode::Full {
                state.last_full = Some((run.id.clone(), run.started_at));
                state.remember(HistoryEntry {
                    run: run.id.clone(),
                    hosts: counts.hosts,
                    received: counts.received,
                });
            }
            if state.introduced_at.is_none() {
                state.introduced_at = Some(self.clock.now());
                intents = self.introduction(connector, &run.id);
            }
        }
        if record.verdict == Some(Verdict::Complete) && run.mode == Mode::Full {
            let hosts = self.store.scans(&connector.name, &run.id).await?;
            let cadence = connector.scan_cadence.duration();
            let coverage = Coverage::of(run.id.clone(), hosts, cadence, self.clock.now());
            self.store.put_coverage(&connector.name, coverage.as_ref()).await?;
        }
        self.store.end_run(&connector.name, (&state, rev), &run.id, self.clock.now(), &intents).await?;
        self.measure(connector, &run.id)
            .field("verdict", record.verdict.map_or("none", Verdict::as_str))
            .value(Metric::Opened, grown)
            .value(Metric::Closed, counts.closed)
            .since(Metric::SyncLag, state.watermark)
            .emit();
        self.tell_end(connector, record, &intents).await
    }

    /// Sends what the end of a run brings. Until it is done, the intents stay with the run, and the wish for another
    /// run with the connector.
    async fn tell_end(
        &self,
        connector: &Connector,
        record: &RunRecord,
        intents: &BTreeMap<String, String>,
    ) -> Result<(), SyncError> {
        let run = &record.id;
        let messages = intents
            .keys()
            .map(|key| Outgoing::now(&EffectMessage::of_run(&connector.name, run, key.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        self.queue.send_all(QueueName::Notify, messages).await?;
        if record.failed > 0 {
            // Definitions that did not come will not come any more: their findings count without them.
            let hosts = self.store.hosts(&connector.name, run).await?;
            let sightings: Vec<_> = hosts
                .into_iter()
                .map(|native| domain::SightingId::new(connector.name.clone(), native))
                .collect();
            self.send_to_score(&sightings).await?;
        }
        let (state, _) = self.store.connector_state(&connector.name).await?;
        if state.again && state.active.is_none() {
            let start = SyncMessage::start(connector.name.clone(), Trigger::Webhook, format!("after {run}"));
            self.send(&start, SignedDuration::ZERO).await?;
        }
        Ok(())
    }

    /// The one summary of a first sync, for each channel that wants it.
    fn introduction(&self, connector: &Connector, run: &RunId) -> BTreeMap<String, String> {
        self.config
            .channels
            .iter()
            .filter(|channel| channel.owners.is_empty())
            .filter(|channel| channel.wants(NotifyEvent::FirstSync, Severity::Critical, ""))
            .map(|channel| {
                let text = format!("first-sync\n{}\n{}\n{run}", channel.name, connector.name);
                (format!("n-{:016x}", domain::digest(text.as_bytes())), channel.name.to_string())
            })
            .collect()
    }
}

/// Hosts that a full run has not come across.
#[derive(Default)]
struct Unseen {
    /// Those that the scanner's own list lacks too, where there is one.
    hosts: BTreeSet<String>,
    /// There is one.
    listed: bool,
    /// What the scanner said when it was asked for one.
    confirmed: BTreeMap<String, Option<bool>>,
}

/// Hosts that a run lacks.
#[derive(Default)]
struct Missing {
    /// The scanner says that it has no such host.
    gone: Vec<SightingId>,
    /// It says nothing of them.
    unseen: Vec<SightingId>,
}

/// Why a run is held.
fn too_much(closed: u64, purged: u64, limit: u64) -> String {
    let all = closed + purged;
    let purged = match purged {
        0 => String::new(),
        _ => format!(", {purged} of them on hosts that the scanner does not have any more"),
    };
    format!("would close {all} findings{purged}; the limit is {limit}: approve it, or look at the scanner")
}

/// How many findings one run may close without approval.
fn close_limit(percent: u8, open: i64) -> u64 {
    (open.max(0).unsigned_abs() * u64::from(percent) / 100).max(CLOSE_LIMIT_MIN)
}

/// Whether a run can be believed, and why not.
/// What a complete run says that was not told which definitions were changed.
const UNREAD: &str = "which definitions were changed was not told; the next run asks since the same time";

fn verdict(
    run: &Run,
    record: &RunRecord,
    state: &ConnectorState,
    reason: Option<String>,
) -> (Verdict, Option<String>) {
    let counts = &record.counts;
    let without_answer = record.failed + counts.unanswered;
    if record.failed > 0 && without_answer >= record.units && counts.received == 0 && counts.hosts == 0 {
        return (Verdict::Failed, reason);
    }
    if record.failed > 0 || record.missing > 0 {
        return (Verdict::Partial, reason);
    }
    if counts.announced != counts.arrived {
        let reason = format!("{} records were announced, {} arrived", counts.announced, counts.arrived);
        return (Verdict::Partial, Some(reason));
    }
    let unread = (counts.unanswered > 0).then(|| UNREAD.to_owned());
    if run.mode != Mode::Full {
        return (Verdict::Complete, unread);
    }
    let typical = |of: fn(&HistoryEntry) -> u64| {
        let mut values: Vec<_> = state.history.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    };
    if counts.hosts == 0 {
        let reason = "the scanner has no host at all: empty is not clean".to_owned();
        return (Verdict::Suspicious, Some(reason));
    }
    for (what, now, usual) in [
        ("hosts", counts.hosts, typical(|entry| entry.hosts)),
        ("findings", counts.received, typical(|entry| entry.received)),
    ] {
        if usual >= HISTORY_MIN && now * 100 < usual * SHARP_DROP_PERCENT {
            return (Verdict::Suspicious, Some(format!("{now} {what}, where there usually are {usual}")));
        }
    }
    (Verdict::Complete, unread)
}

#[cfg(test)]
mod tests {
    use store::RunCounts;

    use super::*;

    fn run(mode: Mode) -> Run {
        let started_at = "2026-11-22T00:00:00Z".parse().unwrap();
        Run::new("q".parse().unwrap(), RunId::new(started_at, 0), mode, started_at)
    }

    fn record(units: u64, failed: u64, hosts: u64, received: u64) -> RunRecord {
        let run = run(Mode::Full);
        RunRecord {
            id: run.id,
            mode: serde_json::Value::Null,
            started_at: run.started_at,
            ended_at: None,
            status: RunStatus::Running,
            verdict: None,
            reason: None,
            units,
            pending: 0,
            failed,
            missing: failed,
            counts: RunCounts { hosts, received, ..RunCounts::default() },
            approved_by: None,
            intents: BTreeMap::new(),
        }
    }

    fn history(hosts: u64, received: u64) -> ConnectorState {
        let mut state = ConnectorState::default();
        state.remember(HistoryEntry { run: RunId::stored("r"), hosts, received });
        state
    }

    #[test]
    fn empty_is_not_clean() {
        let judged = verdict(&run(Mode::Full), &record(2, 0, 0, 0), &ConnectorState::default(), None);
        assert_eq!(judged.0, Verdict::Suspicious);
    }

    #[test]
    fn a_sharp_drop_is_suspicious_and_a_small_one_is_not() {
        let judge = |hosts, received| {
            verdict(&run(Mode::Full), &record(2, 0, hosts, received), &history(100, 4_000), None).0
        };
        assert_eq!(judge(100, 1_900), Verdict::Suspicious);
        assert_eq!(judge(49, 4_000), Verdict::Suspicious);
        assert_eq!(judge(60, 2_400), Verdict::Complete);
    }

    #[test]
    fn nothing_new_is_normal_for_an_incremental_run() {
        let mode = Mode::Incremental { since: "2026-11-21T00:00:00Z".parse().unwrap() };
        assert_eq!(verdict(&run(mode), &record(2, 0, 0, 0), &history(100, 4_000), None).0, Verdict::Complete);
    }

    #[test]
    fn one_failed_unit_makes_it_partial_all_make_it_failed() {
        let judge = |failed, hosts| {
            verdict(&run(Mode::Full), &record(4, failed, hosts, hosts), &history(1, 1), None).0
        };
        assert_eq!(judge(1, 30), Verdict::Partial);
        assert_eq!(judge(4, 0), Verdict::Failed);
    }

    #[test]
    fn what_was_announced_has_to_arrive() {
        let mut short = record(2, 0, 10, 10);
        (short.counts.announced, short.counts.arrived) = (11, 10);
        let judged = verdict(&run(Mode::Full), &short, &ConnectorState::default(), None);
        assert_eq!(judged, (Verdict::Partial, Some("11 records were announced, 10 arrived".into())));
    }

    #[test]
    fn the_breaker_lets_small_numbers_pass() {
        assert_eq!(close_limit(30, 10), 50);
        assert_eq!(close_limit(30, 1_000), 300);
        assert_eq!(close_limit(30, -5), 50);
    }
}
