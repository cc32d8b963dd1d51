//! How well a scanner covers the hosts that it knows: scanned within their cadence, with credentials or without; and how
//! the scans that should see to that went.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ids::RunId;

/// Hosts, and scans, that are named one by one. What is more is only counted.
pub const LISTED: usize = 500;
/// Characters of a scan's name that are kept.
const NAME: usize = 120;

/// How a scanner last looked at a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastScan {
    /// The end of the last vulnerability scan, if there was one.
    pub at: Option<Timestamp>,
    /// Whether it could log in, where the scanner tells.
    pub credentialed: Option<bool>,
    /// Only some of its logins worked.
    pub partly: bool,
    /// The scanner says that the host no longer exists.
    pub gone: bool,
}

impl LastScan {
    /// What two statements about one host come to: the later scan counts.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let (later, earlier) = if other.at >= self.at { (other, self) } else { (self, other) };
        let told = if later.credentialed.is_some() { later } else { earlier };
        Self {
            at: later.at,
            credentialed: told.credentialed,
            partly: told.partly,
            gone: self.gone || other.gone,
        }
    }

    /// How the host is covered at `now`, or nothing if it is gone.
    fn covered(self, now: Timestamp, cadence: SignedDuration) -> Option<Covered> {
        if self.gone {
            return None;
        }
        Some(match (self.at, self.credentialed) {
            (None, _) => Covered::Never,
            (Some(at), _) if now.duration_since(at) > cadence => Covered::Stale,
            (Some(_), Some(false)) => Covered::WithoutCredentials,
            (Some(_), Some(true)) if self.partly => Covered::PartlyCredentialed,
            (Some(_), Some(true)) => Covered::Well,
            (Some(_), None) => Covered::Untold,
        })
    }
}

/// How a host is covered, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covered {
    /// Known, and not scanned once.
    Never,
    /// Scanned, but not within the cadence.
    Stale,
    /// Scanned in time, from outside only: what is installed stays unseen.
    WithoutCredentials,
    /// Scanned in time; some logins worked and some did not, so that a part of what is installed stays unseen.
    PartlyCredentialed,
    /// Scanned in time; the scanner does not tell whether it could log in.
    Untold,
    /// Scanned in time, with credentials.
    Well,
}

/// A host that is not covered as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The scanner's own id of the host.
    pub host: String,
    /// What is wrong.
    pub covered: Covered,
    /// The end of its last scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scanned_at: Option<Timestamp>,
}

/// A connector's coverage, as of one full run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The run.
    pub run: RunId,
    /// When it was judged.
    pub at: Timestamp,
    /// Seconds within which each host has to be scanned.
    pub cadence_seconds: i64,
    /// Hosts by how they are covered.
    pub hosts: BTreeMap<Covered, u64>,
    /// Hosts that were never scanned, are stale, or were scanned without credentials or with some that failed; worst and longest ago first, the
    /// first [`LISTED`].
    pub gaps: Vec<Gap>,
}

impl Coverage {
    /// Judges what a full run has told of its hosts. Nothing where it told of no scan at all: an export without scan times
    /// does not say that nobody scans.
    pub fn of(
        run: RunId,
        hosts: impl IntoIterator<Item = (String, LastScan)>,
        cadence: SignedDuration,
        now: Timestamp,
    ) -> Option<Self> {
        let mut counts = BTreeMap::new();
        let mut gaps = Vec::new();
        let mut told = false;
        for (host, scan) in hosts {
            told |= scan.at.is_some();
            let Some(covered) = scan.covered(now, cadence) else { continue };
            *counts.entry(covered).or_default() += 1;
            if covered <= Covered::PartlyCredentialed {
                gaps.push(Gap { host, covered, scanned_at: scan.at });
            }
        }
        gaps.sort_by(|a, b| (a.covered, a.scanned_at, &a.host).cmp(&(b.covered, b.scanned_at, &b.host)));
        gaps.truncate(LISTED);
        told.then(|| Self { run, at: now, cadence_seconds: cadence.as_secs(), hosts: counts, gaps })
    }

    /// Hosts that the scanner knows and does not call gone.
    pub fn known(&self) -> u64 {
        self.hosts.values().sum()
    }

    /// Hosts that are not covered as they should be.
    pub fn amiss(&self) -> u64 {
        self.hosts.range(..=Covered::PartlyCredentialed).map(|(_, count)| count).sum()
    }
}

/// A scan that is set up in a scanner, or a site that is scanned as a whole, as it last went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanJob {
    /// The scanner's own id of it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it last went.
    pub outcome: ScanOutcome,
    /// When it last ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether it runs by itself, where the scanner tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<bool>,
}

impl ScanJob {
    /// Whether it leaves hosts unscanned: it did not come to its end; or it should run by itself, and never has, or not
    /// within the cadence.
    pub fn is_amiss(&self, now: Timestamp, cadence: SignedDuration) -> bool {
        match self.outcome {
            ScanOutcome::Unfinished => true,
            ScanOutcome::Running => false,
            ScanOutcome::Never => self.scheduled != Some(false),
            ScanOutcome::Untold | ScanOutcome::Completed => {
                self.scheduled != Some(false) && self.at.is_some_and(|at| now.duration_since(at) > cadence)
            }
        }
    }
}

/// How a scan last went, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanOutcome {
    /// It did not run once.
    Never,
    /// It did not come to its end: aborted, stopped, paused.
    Unfinished,
    /// The scanner does not tell.
    Untold,
    /// It runs, or is about to.
    Running,
    /// It came to its end.
    Completed,
}

impl ScanOutcome {
    /// By the scanner's word for it: `status` of Tenable's and Nessus' list of scans, and of the InsightVM console's
    /// (`GlobalScan` of its specification). An empty status is a scan that never ran.
    pub fn of(status: &str) -> Self {
        match status.trim().to_ascii_lowercase().as_str() {
            "" | "empty" => Self::Never,
            "completed" | "imported" | "finished" => Self::Completed,
            "aborted" | "canceled" | "cancelled" | "stopped" | "stopping" | "paused" | "pausing"
            | "error" => Self::Unfinished,
            "running" | "pending" | "processing" | "initializing" | "publishing" | "resuming"
            | "dispatched" | "integrating" => Self::Running,
            _ => Self::Untold,
        }
    }
}

/// The scans of a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanJobs {
    /// When the scanner told of them.
    pub at: Timestamp,
    /// Worst and longest ago first, the first [`LISTED`].
    pub jobs: Vec<ScanJob>,
    /// How many more there are.
    #[serde(default)]
    pub unlisted: u64,
}

impl ScanJobs {
    /// Out of all that a scanner has, each with an id of its own.
    pub fn of(mut jobs: Vec<ScanJob>, now: Timestamp) -> Self {
        jobs.sort_by(|a, b| (a.outcome, a.at, &a.id).cmp(&(b.outcome, b.at, &b.id)));
        let unlisted = jobs.len().saturating_sub(LISTED) as u64;
        jobs.truncate(LISTED);
        for job in &mut jobs {
            if let Some((end, _)) = job.name.char_indices().nth(NAME) {
                job.name.truncate(end);
            }
        }
        Self { at: now, jobs, unlisted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(
        id: &str,
        status: &str,
        day: impl Into<Option<u32>>,
        scheduled: impl Into<Option<bool>>,
    ) -> ScanJob {
        let (outcome, at) = (ScanOutcome::of(status), day.into().map(at));
        ScanJob { id: id.into(), name: format!("scan {id}"), outcome, at, scheduled: scheduled.into() }
    }

    #[test]
    fn a_scan_that_leaves_hosts_unscanned_is_amiss() {
        let amiss = |job: ScanJob| job.is_amiss(at(20), SignedDuration::from_hours(7 * 24));
        assert!(!amiss(job("1", "completed", 13, true)));
        assert!(amiss(job("1", "completed", 12, true)), "not within the cadence");
        assert!(amiss(job("1", "finished", 12, None)), "a site is to be scanned, whoever starts it");
        assert!(!amiss(job("1", "completed", 12, false)), "somebody ran it once");
        assert!(amiss(job("1", "aborted", 19, false)) && amiss(job("1", "canceled", 19, true)));
        assert!(!amiss(job("1", "running", 2, true)), "a long one");
        assert!(amiss(job("1", "empty", None, true)) && !amiss(job("1", "", None, false)));
        assert!(!amiss(job("1", "unknown", 19, None)) && amiss(job("1", "unknown", 2, None)));
    }

    #[test]
    fn of_many_scans_the_worst_are_listed() {
        let many = (0..LISTED).map(|n| job(&format!("{n:03}"), "completed", 19, true));
        let long = ScanJob { name: "ä".repeat(NAME + 1), ..job("b", "aborted", 18, true) };
        let found = ScanJobs::of(many.chain([job("a", "aborted", 19, true), long]).collect(), at(20));
        let first: Vec<&str> = found.jobs.iter().take(3).map(|job| job.id.as_str()).collect();
        assert_eq!((first.as_slice(), found.jobs.len(), found.unlisted), (&["b", "a", "000"][..], LISTED, 2));
        assert_eq!(found.jobs[0].name.chars().count(), NAME);
    }

    fn at(day: u32) -> Timestamp {
        format!("2026-11-{day:02}T00:00:00Z").parse().unwrap()
    }

    fn scan(day: u32, credentialed: impl Into<Option<bool>>) -> LastScan {
        LastScan { at: Some(at(day)), credentialed: credentialed.into(), ..LastScan::default() }
    }

    fn coverage(hosts: &[(&str, LastScan)]) -> Coverage {
        let hosts = hosts.iter().map(|(name, scan)| ((*name).to_owned(), *scan));
        Coverage::of(RunId::stored("r"), hosts, SignedDuration::from_hours(7 * 24), at(20)).unwrap()
    }

    #[test]
    fn who_tells_of_no_scan_says_nothing_of_coverage() {
        let of = |scans: &[LastScan]| {
            let hosts = scans.iter().enumerate().map(|(n, scan)| (n.to_string(), *scan));
            Coverage::of(RunId::stored("r"), hosts, SignedDuration::from_hours(1), at(20))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[LastScan { credentialed: Some(true), ..LastScan::default() }]), None);
        let gone = LastScan { gone: true, ..scan(2, true) };
        assert_eq!(of(&[LastScan::default(), gone]).unwrap().hosts[&Covered::Never], 1);
    }

    #[test]
    fn the_worst_and_longest_ago_come_first() {
        let gone = LastScan { gone: true, ..LastScan::default() };
        let found = coverage(&[
            ("well", scan(19, true)),
            ("untold", scan(13, None)),
            ("outside", scan(19, false)),
            ("stale", scan(12, true)),
            ("staler", scan(2, false)),
            ("never", LastScan::default()),
            ("gone", gone),
        ]);
        let gaps: Vec<_> = found.gaps.iter().map(|gap| (gap.host.as_str(), gap.covered)).collect();
        assert_eq!(
            gaps,
            [
                ("never", Covered::Never),
                ("staler", Covered::Stale),
                ("stale", Covered::Stale),
                ("outside", Covered::WithoutCredentials)
            ]
        );
        assert_eq!((found.known(), found.amiss(), found.hosts[&Covered::Stale]), (6, 4, 2));
    }

    #[test]
    fn all_are_counted_and_some_are_listed() {
        let names: Vec<String> = (0..LISTED + 5).map(|n| format!("h{n}")).collect();
        let hosts: Vec<_> = names.iter().map(|name| (name.as_str(), scan(1, true))).collect();
        let found = coverage(&hosts);
        assert_eq!((found.known(), found.gaps.len()), ((LISTED + 5) as u64, LISTED));
    }

    #[test]
    fn the_later_scan_counts_and_silence_says_nothing() {
        let inventory = LastScan::default();
        assert_eq!(inventory.with(scan(3, true)), scan(3, true));
        assert_eq!(scan(3, true).with(inventory), scan(3, true));
        assert_eq!(scan(3, true).with(scan(4, false)), scan(4, false));
        assert_eq!(scan(4, None).with(scan(3, true)), scan(4, true));
    }
}
