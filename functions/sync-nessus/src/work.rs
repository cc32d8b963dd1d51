//! What a unit has to remember, and how long to wait.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sync::Unit;

/// Pauses between two questions for a file, in seconds; the last one repeats. A small one is ready at once, a large one
/// takes minutes.
const PAUSES: [i64; 6] = [2, 3, 5, 10, 20, 30];
/// Tries to get one scan's results: an export that ends as an error, a file that is gone, a download that is cut off.
pub const TRIES: u32 = 5;
/// Pause before a scan is tried again; doubles with each try.
const RETRY_PAUSE: i64 = 15;
/// How long Nessus may prepare a file, or be busy with something else.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(2);

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Work {
    /// Which scans there are.
    List,
    /// The results of one scan.
    Scan(ScanWork),
}

/// State of one scan, and what comes after it: Nessus is asked for one export at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanWork {
    /// The scan.
    pub scan: u64,
    /// Scans to come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rest: Vec<u64>,
    /// Only what was completed since then, by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The export that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    /// Tries that failed.
    #[serde(default)]
    pub tries: u32,
    /// Since when nothing has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Nessus' id of it.
    pub id: u64,
    /// Questions asked for it.
    #[serde(default)]
    pub polls: usize,
    /// When the scan began, where Nessus tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When the scan ended, where Nessus tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What is not in it was not found.
    pub proves_absence: bool,
    /// Something has to be in it.
    pub has_hosts: bool,
}

impl File {
    /// When to ask for it, once more.
    pub fn next_poll(&mut self, now: Timestamp) -> Timestamp {
        let pause = PAUSES[self.polls.min(PAUSES.len() - 1)];
        self.polls += 1;
        later(now, pause)
    }
}

impl ScanWork {
    /// The first of these scans; the others follow it. `None` if there is none.
    pub fn first(mut scans: Vec<u64>, since: Option<Timestamp>) -> Option<Self> {
        if scans.is_empty() {
            return None;
        }
        let scan = scans.remove(0);
        Some(Self { scan, rest: scans, since, file: None, tries: 0, waiting_since: None })
    }

    /// What comes after this scan.
    pub fn next(&self) -> Option<Self> {
        Self::first(self.rest.clone(), self.since)
    }

    /// The unit of this scan.
    pub fn unit(&self) -> Unit {
        Unit::new(format!("scan/{}", self.scan), &Work::Scan(self.clone()))
    }

    /// Notes a try that failed. Answers when to try again, or `None` if it is to be given up.
    pub fn try_again(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.file = None;
        self.waiting_since = None;
        self.tries += 1;
        (self.tries < TRIES).then(|| later(now, RETRY_PAUSE << (self.tries - 1)))
    }

    /// Notes that nothing has moved. Whether that has lasted too long.
    pub fn waits_too_long(&mut self, now: Timestamp) -> bool {
        now.duration_since(*self.waiting_since.get_or_insert(now)) >= PATIENCE
    }
}

/// The unit that asks for the list of scans.
pub fn list() -> Unit {
    Unit::new("scans", &Work::List)
}

fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn one_scan_follows_the_other() {
        assert_eq!(ScanWork::first(vec![], None), None);
        let first = ScanWork::first(vec![4, 7], Some(NOW)).unwrap();
        let second = first.next().unwrap();
        assert_eq!((first.unit().id.as_str(), second.unit().id.as_str()), ("scan/4", "scan/7"));
        assert_eq!((second.since, second.next()), (Some(NOW), None));
    }

    #[test]
    fn work_survives_storage() {
        let mut work = ScanWork::first(vec![4, 7], None).unwrap();
        let file =
            File { id: 9, polls: 1, began: None, ended: Some(NOW), proves_absence: true, has_hosts: false };
        work.file = Some(file);
        assert_eq!(work.unit().work::<Work>().unwrap(), Work::Scan(work));
    }

    #[test]
    fn pauses_grow_and_tries_end() {
        let mut file =
            File { id: 1, polls: 0, began: None, ended: None, proves_absence: true, has_hosts: true };
        let pauses: Vec<i64> = (0..8).map(|_| file.next_poll(NOW).as_second()).collect();
        assert_eq!(pauses, [2, 3, 5, 10, 20, 30, 30, 30]);
        let mut work = ScanWork::first(vec![4], None).unwrap();
        let tries: Vec<_> = (0..5).map(|_| work.try_again(NOW).map(Timestamp::as_second)).collect();
        assert_eq!(tries, [Some(15), Some(30), Some(60), Some(120), None]);
    }

    #[test]
    fn patience_has_an_end() {
        let mut work = ScanWork::first(vec![4], None).unwrap();
        assert!(!work.waits_too_long(NOW));
        assert!(!work.waits_too_long(later(NOW, 7_199)));
        assert!(work.waits_too_long(later(NOW, 7_200)));
    }
}
