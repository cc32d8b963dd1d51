//! What a `sync --once` did.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::{ConnectorName, RunId};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use store::{DeliveryState, RunStatus, StoreError, Units, Verdict};

use crate::stack::Stack;

/// Runs that one `sync --once` can reasonably have.
const RUNS: i32 = 20;
/// Deliveries that are counted.
const DELIVERIES: i32 = 10_000;

/// One connector's part.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectorSummary {
    /// The connector.
    pub name: ConnectorName,
    /// Runs that ended, or wait for approval.
    pub runs: usize,
    /// The verdict of the last one.
    pub verdict: &'static str,
    /// Why it is not complete, or why it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Findings received.
    pub received: u64,
    /// Findings written.
    pub written: u64,
    /// Findings seen open for the first time.
    pub opened: u64,
    /// Findings seen again.
    pub reopened: u64,
    /// Findings closed.
    pub closed: u64,
    /// Findings that were as before.
    pub unchanged: u64,
    /// Records that could not be read.
    pub refused: u64,
    /// Requests sent to the scanner.
    pub requests: u64,
}

/// The whole.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// By connector that had to run or did, in the order of the configuration.
    pub connectors: Vec<ConnectorSummary>,
    /// Messages sent, by queue; and those that went to the dead letters.
    pub messages: Value,
    /// Units that the table used.
    pub capacity: Units,
    /// The same by operation.
    pub capacity_by_operation: BTreeMap<&'static str, Units>,
    /// Tickets created, closed or reopened.
    pub tickets: usize,
    /// Messages delivered to channels.
    pub notifications: usize,
    /// Deliveries held because a budget is used up.
    pub held: usize,
    /// Bytes in the table at the end, without its indexes.
    pub stored_bytes: u64,
    /// Seconds from begin to end.
    pub seconds: f64,
}

/// Where things stood before.
pub struct Before {
    at: Timestamp,
    instant: Instant,
    ended: BTreeMap<ConnectorName, Vec<RunId>>,
}

impl Before {
    /// Notes which runs had ended.
    pub async fn note(stack: &Stack) -> Result<Self, StoreError> {
        let services = stack.services();
        let mut ended = BTreeMap::new();
        for connector in &services.config.connectors {
            let runs = stack.observer().runs(&connector.name, RUNS).await?;
            let runs =
                runs.into_iter().filter(|run| run.status != RunStatus::Running).map(|run| run.id).collect();
            ended.insert(connector.name.clone(), runs);
        }
        Ok(Self { at: stack.clock().now(), instant: Instant::now(), ended })
    }

    /// What has happened since.
    pub async fn summarise(self, stack: &Stack, dead_letters: u64) -> Result<Summary, StoreError> {
        let services = stack.services();
        let mut connectors = Vec::new();
        for connector in &services.config.connectors {
            let known = self.ended.get(&connector.name).cloned().unwrap_or_default();
            let runs = stack.observer().runs(&connector.name, RUNS).await?;
            let runs: Vec<_> = runs.into_iter().filter(|run| !known.contains(&run.id)).collect();
            if runs.is_empty() && !connector.is_pulled() {
                // Nobody asked it for anything: it takes what is pushed or imported.
                continue;
            }
            let sum = |of: fn(&store::RunCounts) -> u64| runs.iter().map(|run| of(&run.counts)).sum();
            let last = runs.first();
            let verdict = match last {
                Some(run) if run.status == RunStatus::Held => "held",
                Some(run) => run.verdict.map_or("running", Verdict::as_str),
                None => "none",
            };
            let released = |run: &&store::RunRecord| run.status == RunStatus::Done;
            connectors.push(ConnectorSummary {
                name: connector.name.clone(),
                runs: runs.len(),
                verdict,
                reason: last.and_then(|run| run.reason.clone()),
                received: sum(|c| c.received),
                written: sum(|c| c.written),
                opened: sum(|c| c.opened),
                reopened: sum(|c| c.reopened),
                closed: runs.iter().filter(released).map(|run| run.counts.closed).sum(),
                unchanged: sum(|c| c.unchanged),
                refused: sum(|c| c.refused),
                requests: sum(|c| c.requests),
            });
        }
        let (mut tickets, mut notifications, mut held) = (0, 0, 0);
        let now = stack.clock().now();
        for at in [now - SignedDuration::from_hours(24), now] {
            let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            for delivery in stack.observer().deliveries(day, DELIVERIES).await? {
                held += usize::from(delivery.state == DeliveryState::Held);
                if delivery.state == DeliveryState::Sent && delivery.at >= self.at {
                    let tracker =
                        services.config.trackers.iter().any(|tracker| tracker.name == delivery.receiver);
                    *(if tracker { &mut tickets } else { &mut notifications }) += 1;
                }
            }
        }
        let mut messages = json!(services.queue.sent());
        messages["dead_letters"] = json!(dead_letters);
        let capacity = services.store.capacity();
        Ok(Summary {
            connectors,
            messages,
            capacity: capacity.total(),
            capacity_by_operation: capacity.by_operation(),
            tickets,
            notifications,
            held,
            stored_bytes: stack.observer().stored_bytes().await?,
            seconds: (self.instant.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        })
    }
}
