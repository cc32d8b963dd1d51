//! The Scheduler on one machine: sends a message to a queue at its times.
//!
//! When an entry fired last is kept beside the queues, written in the same transaction as the message. A restart
//! therefore neither fires everything at once nor skips anything; times missed while the process was away are made
//! good by one message.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::LocalAwsError;
use super::queues::{QueueError, Queues};

/// The clock may jump and a machine may sleep: look at least this often.
const LONGEST_NAP: Duration = Duration::from_secs(15);

/// Stands in a body for what tells one firing from every other, as with EventBridge Scheduler.
pub const EXECUTION_ID: &str = "<aws.scheduler.execution-id>";

/// When an entry fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once when it is new, then at this distance.
    Every(Duration),
    /// Once.
    At(Timestamp),
}

/// A message that is sent at certain times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// Name, under which the last time is kept.
    pub name: String,
    /// Times.
    pub when: When,
    /// Queue to send to.
    pub queue: String,
    /// What to send; [`EXECUTION_ID`] in it is replaced.
    pub body: String,
}

impl ScheduleEntry {
    fn body_at(&self, at: Timestamp) -> String {
        self.body.replace(EXECUTION_ID, &format!("{} at {at}", self.name))
    }
}

/// State of an entry, for a status page.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ScheduleStatus {
    /// Name of the entry.
    pub name: String,
    /// Queue it sends to.
    pub queue: String,
    /// When it fired last.
    pub last: Option<Timestamp>,
    /// When it fires next; none after its only time.
    pub next: Option<Timestamp>,
}

/// All schedules of this machine.
pub struct Scheduler {
    queues: Arc<Queues>,
    entries: Vec<ScheduleEntry>,
}

impl Scheduler {
    /// Takes the entries; nothing fires before [`tick`](Self::tick) or [`run`](Self::run).
    ///
    /// # Errors
    /// When a queue is missing, a name is there twice, or a distance is below a second.
    pub fn new(queues: Arc<Queues>, entries: Vec<ScheduleEntry>) -> Result<Self, LocalAwsError> {
        let mut names = std::collections::HashSet::new();
        for entry in &entries {
            queues.config(&entry.queue)?;
            if !names.insert(entry.name.as_str()) {
                return Err(LocalAwsError::Config(format!("schedule {} is there twice", entry.name)));
            }
            if matches!(entry.when, When::Every(every) if every < Duration::from_secs(1)) {
                return Err(LocalAwsError::Config(format!(
                    "schedule {} is more often than a second",
                    entry.name
                )));
            }
        }
        Ok(Self { queues, entries })
    }

    /// Fires what is due; returns the names.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub fn tick(&self) -> Result<Vec<&str>, QueueError> {
        let now = self.queues.clock().now();
        let mut fired = Vec::new();
        for entry in &self.entries {
            let last = self.queues.last_fired(&entry.name)?;
            if next(entry.when, last, now).is_some_and(|due| due <= now) {
                let at = on_grid(entry.when, last, now);
                self.queues.fire(&entry.name, at, &entry.queue, &entry.body_at(at))?;
                fired.push(entry.name.as_str());
            }
        }
        Ok(fired)
    }

    /// Fires every entry now, whatever its time.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub fn fire_all(&self) -> Result<(), QueueError> {
        let now = self.queues.clock().now();
        self.entries
            .iter()
            .try_for_each(|entry| self.queues.fire(&entry.name, now, &entry.queue, &entry.body_at(now)))
    }

    /// When the next entry is due.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub fn next_due(&self) -> Result<Option<Timestamp>, QueueError> {
        Ok(self.status()?.into_iter().filter_map(|entry| entry.next).min())
    }

    /// State of all entries, in their order.
    ///
    /// # Errors
    /// When the queue storage fails.
    pub fn status(&self) -> Result<Vec<ScheduleStatus>, QueueError> {
        let now = self.queues.clock().now();
        self.entries
            .iter()
            .map(|entry| {
                let last = self.queues.last_fired(&entry.name)?;
                let next = next(entry.when, last, now);
                Ok(ScheduleStatus { name: entry.name.clone(), queue: entry.queue.clone(), last, next })
            })
            .collect()
    }

    /// Fires everything at its time, for ever: spawn it, or race it against a shutdown. Dropping it loses nothing.
    pub async fn run(&self) {
        loop {
            let due = self.tick().and_then(|fired| {
                if !fired.is_empty() {
                    tracing::debug!(?fired, "schedules fired");
                }
                self.next_due()
            });
            let nap = match due {
                Ok(due) => due.map_or(LONGEST_NAP, |due| self.queues.real_time_until(due)),
                Err(error) => {
                    tracing::error!(%error, "schedules cannot be read");
                    LONGEST_NAP
                }
            };
            tokio::time::sleep(nap.min(LONGEST_NAP)).await;
        }
    }
}

/// When an entry fires next, given when it did last.
fn next(when: When, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    match (when, last) {
        // The clock was set back far: start anew instead of waiting for it to catch up.
        (When::Every(every), Some(last)) if set_back(last, now, every) => Some(now),
        (When::Every(every), Some(last)) => last.checked_add(every).ok(),
        (When::Every(_), None) => Some(now),
        (When::At(at), Some(last)) if last >= at => None,
        (When::At(at), _) => Some(at),
    }
}

/// The time to note for a firing now: the one it was due at, so that lateness does not add up.
fn on_grid(when: When, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let (When::Every(every), Some(last)) = (when, last) else { return now };
    if set_back(last, now, every) {
        return now;
    }
    let (late, every) = (now.duration_since(last).as_millis(), every.as_millis() as i128);
    i64::try_from(late - late % every)
        .ok()
        .and_then(|whole| last.checked_add(SignedDuration::from_millis(whole)).ok())
        .unwrap_or(now)
}

fn set_back(last: Timestamp, now: Timestamp, every: Duration) -> bool {
    Duration::try_from(last.duration_since(now)).is_ok_and(|ahead| ahead > every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_late_firing_keeps_the_rhythm() {
        let every = When::Every(Duration::from_secs(60));
        assert_eq!(next(every, None, at(1000)), Some(at(1000)));
        assert_eq!(next(every, Some(at(1000)), at(1010)), Some(at(1060)));
        assert_eq!(on_grid(every, Some(at(1000)), at(1070)), at(1060));
        // away for hours: one firing, and the next one on the grid
        assert_eq!(on_grid(every, Some(at(1000)), at(8210)), at(8200));
    }

    #[test]
    fn each_firing_is_told_apart() {
        let body = format!(r#"{{"request":"{EXECUTION_ID}"}}"#);
        let entry = ScheduleEntry { name: "sync".into(), when: When::At(at(0)), queue: "q".into(), body };
        assert_eq!(entry.body_at(at(0)), r#"{"request":"sync at 1970-01-01T00:00:00Z"}"#);
        assert_ne!(entry.body_at(at(0)), entry.body_at(at(1)));
    }

    #[test]
    fn a_clock_set_back_does_not_silence_a_schedule() {
        let every = When::Every(Duration::from_secs(60));
        assert_eq!(next(every, Some(at(9_000_000)), at(1000)), Some(at(1000)));
        assert_eq!(on_grid(every, Some(at(9_000_000)), at(1000)), at(1000));
        // a small correction fires nothing twice
        assert_eq!(next(every, Some(at(1010)), at(1000)), Some(at(1070)));
    }

    #[test]
    fn a_single_time_fires_once() {
        let once = When::At(at(1000));
        assert_eq!(next(once, None, at(990)), Some(at(1000)));
        assert_eq!(next(once, Some(at(1003)), at(5000)), None);
        assert_eq!(next(When::At(at(2000)), Some(at(1003)), at(1500)), Some(at(2000)));
    }
}
