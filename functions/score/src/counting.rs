//! From transitions to counters.

use domain::decide::Transition;
use domain::vulnerability::Counted;
use domain::{Asset, Severity, Status};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use store::CounterDelta;

/// What a write of this asset adds to the counters.
pub fn delta(
    before: Option<&Asset>,
    after: &Asset,
    transitions: &[Transition],
    now: Timestamp,
) -> CounterDelta {
    let mut delta = CounterDelta::default();
    let day = now.to_zoned(TimeZone::UTC).date();
    for transition in transitions {
        if let Some((owner, counted)) = &transition.from {
            add_open(&mut delta, owner, counted, -1);
        }
        let Some((owner, counted)) = &transition.to else { continue };
        add_open(&mut delta, owner, counted, 1);
        let was = transition.from.as_ref().map(|(_, counted)| counted.status);
        match (was, counted.status) {
            (Some(Status::Fixed), status) if status.is_open() => delta.add_day(day, owner, "reopened", 1),
            (was, status) if status.is_open() && !was.is_some_and(known) => {
                delta.add_day(day, owner, "opened", 1)
            }
            (Some(was), Status::Fixed) if was != Status::Fixed => match transition.days_to_fix {
                Some(days) => delta.add_fix(day, owner, days),
                None => delta.add_day(day, owner, "fixed", 1),
            },
            _ => {}
        }
    }
    count_asset(&mut delta, before, after);
    delta
}

/// Open before, or taken out of the open ones by a decision or by silence: coming back from there opens nothing.
fn known(status: Status) -> bool {
    status != Status::Created
}

fn add_open(delta: &mut CounterDelta, owner: &str, counted: &Counted, change: i64) {
    if !counted.status.is_open() {
        return;
    }
    let attribute = match counted.severity {
        Severity::Critical => "critical",
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
        Severity::Info => "info",
    };
    delta.add_open(owner, attribute, change);
    if counted.overdue {
        delta.add_open(owner, "overdue", change);
    }
}

/// An asset counts for its owner from its first decision until it is gone, and for each connector that sees it.
fn count_asset(delta: &mut CounterDelta, before: Option<&Asset>, after: &Asset) {
    if let Some(before) = before.filter(|before| before.gone_at.is_none()) {
        delta.add_open(&before.owner, "assets", -1);
        for connector in &before.seen_by {
            delta.add_open(&before.owner, store::seen_by(connector), -1);
        }
    }
    if after.gone_at.is_none() {
        delta.add_open(&after.owner, "assets", 1);
        for connector in &after.seen_by {
            delta.add_open(&after.owner, store::seen_by(connector), 1);
        }
    }
}
