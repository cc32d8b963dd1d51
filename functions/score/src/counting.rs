//! From transitions to counters.

use domain::decide::Transition;
use domain::{Asset, Status};
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
            delta.add_counted(owner, counted, -1);
        }
        let Some((owner, counted)) = &transition.to else { continue };
        delta.add_counted(owner, counted, 1);
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
    // An asset counts from its first decision on.
    if let Some(before) = before {
        delta.add_asset(before, -1);
    }
    delta.add_asset(after, 1);
    delta
}

/// Open before, or taken out of the open ones by a decision or by silence: coming back from there opens nothing.
fn known(status: Status) -> bool {
    status != Status::Created
}
