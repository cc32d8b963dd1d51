//! What a unit has to remember.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sync::{ASKED_AT_ONCE, CHANGES, QUESTIONS, Unit};

/// Pauses between two looks at a report, in seconds; the last one repeats. The console builds its data model for each
/// report anew, which takes minutes where there are many assets.
const PAUSES: [i64; 7] = [2, 5, 10, 15, 20, 30, 60];
/// Definitions that one unit knows of: it hands those on that it has not asked for, so that the hosts that wait for all of
/// them are sent on once.
const DEFINITIONS_PER_CHAIN: usize = 500;
/// Definitions that it asks for.
pub const DEFINITIONS_AT_ONCE: usize = 20;

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Work {
    /// Remove what earlier runs left, then read the definitions by a report.
    Rules(Report),
    /// Read a page of assets.
    Assets {
        /// From 0 on.
        page: u64,
        /// Assets in all pages together, as the page before told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
        /// Of an incremental run: from when on looks at an asset are news, as the first page has found out. All pages ask
        /// for the same assets, or some would fall between two of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Timestamp>,
    },
    /// Read what is found on these assets by a report.
    Findings {
        /// The page of assets.
        page: u64,
        /// Their numbers.
        assets: Vec<u64>,
        /// Those at which an agent looked last, and when.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        agents: Vec<(u64, Timestamp)>,
        /// The report.
        report: Report,
    },
    /// Remove a report.
    Forget {
        /// Its number.
        report: u64,
    },
    /// Read how the sites were scanned.
    Scans,
    /// Ask whether there still are these assets.
    Missing {
        /// Their numbers.
        assets: Vec<String>,
    },
    /// Read a page of all definitions, those that were changed last first, as long as they were changed since a time.
    Changed {
        /// From 0 on.
        page: u64,
        /// The time.
        since: Timestamp,
    },
    /// Ask for definitions one by one.
    Definitions {
        /// Of these rules.
        rules: Vec<String>,
        /// The unit whose hosts wait for them.
        hosts_of: String,
    },
}

/// How far a report is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its number at the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The number of its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u64>,
    /// When the generation began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Looks at it.
    #[serde(default)]
    pub looks: usize,
    /// Reports before this one that came to nothing.
    #[serde(default)]
    pub tries: u32,
}

impl Report {
    /// When to look again, or `None` if it has taken longer than `patience`.
    pub fn look_again(&mut self, now: Timestamp, patience: SignedDuration) -> Option<Timestamp> {
        if now.duration_since(self.since.unwrap_or(now)) >= patience {
            return None;
        }
        let pause = PAUSES[self.looks.min(PAUSES.len() - 1)];
        self.looks += 1;
        Some(later(now, pause))
    }
}

/// The moment `seconds` after `now`.
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

/// The unit that reads how the sites were scanned.
pub fn scans() -> Unit {
    Unit::new("scans", &Work::Scans)
}

/// The unit that reads the definitions by a report.
pub fn rules() -> Unit {
    Unit::new("rules", &Work::Rules(Report::default()))
}

/// The unit that reads the first page of assets.
pub fn assets() -> Unit {
    assets_after(0, None, None)
}

/// The unit that reads a page of assets; `total` and `from` are what the page before told.
pub fn assets_after(page: u64, total: Option<u64>, from: Option<Timestamp>) -> Unit {
    Unit::new(format!("assets/{page}"), &Work::Assets { page, total, from })
}

/// The unit that reads what is found on the assets of a page; at `agents` among them, an agent looked last.
pub fn findings(page: u64, assets: Vec<u64>, agents: Vec<(u64, Timestamp)>) -> Unit {
    Unit::new(format!("findings/{page}"), &Work::Findings { page, assets, agents, report: Report::default() })
}

/// The unit that removes a report.
pub fn forget(report: u64) -> Unit {
    Unit::new(format!("forget/{report}"), &Work::Forget { report })
}

/// The units that ask whether there still are these assets.
pub fn missing(assets: &[String]) -> Vec<Unit> {
    let unit = |assets: &[String]| {
        let id = format!("{QUESTIONS}{:016x}", domain::digest(assets.join("\n").as_bytes()));
        Unit::new(id, &Work::Missing { assets: assets.to_vec() })
    };
    assets.chunks(ASKED_AT_ONCE).map(unit).collect()
}

/// The unit that reads a page of definitions that were changed since a time.
pub fn changed(page: u64, since: Timestamp) -> Unit {
    Unit::new(format!("{CHANGES}{page}"), &Work::Changed { page, since })
}

/// The units that ask for definitions which the hosts of a unit wait for.
pub fn definitions(rules: &[String], hosts_of: &str) -> Vec<Unit> {
    let unit = |rules: &[String]| {
        // The page may be worked again when some of its rules are known: another batch is another unit.
        let batch = domain::digest(rules.join("\n").as_bytes());
        let id = format!("definitions/{}/{batch:016x}", hosts_of.replace('/', "-"));
        Unit::new(id, &Work::Definitions { rules: rules.to_vec(), hosts_of: hosts_of.to_owned() })
    };
    rules.chunks(DEFINITIONS_PER_CHAIN).map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_patience_ends() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let patience = SignedDuration::from_hours(2);
        let mut report = Report { since: Some(now), ..Report::default() };
        let pauses: Vec<i64> =
            (0..9).map(|_| report.look_again(now, patience).unwrap().duration_since(now).as_secs()).collect();
        assert_eq!(pauses, [2, 5, 10, 15, 20, 30, 60, 60, 60]);
        assert!(report.look_again(later(now, 7_199), patience).is_some());
        assert_eq!(report.look_again(later(now, 7_200), patience), None);
    }

    #[test]
    fn work_survives_storage() {
        let agents = vec![(9, Timestamp::UNIX_EPOCH)];
        let unit = findings(3, vec![7, 9], agents.clone());
        assert_eq!(unit.id, "findings/3");
        let of = |agents| Work::Findings { page: 3, assets: vec![7, 9], agents, report: Report::default() };
        assert_eq!(unit.work::<Work>().unwrap(), of(agents));
        let earlier: Work = serde_json::from_value(serde_json::json!({
            "step": "findings", "page": 3, "assets": [7, 9], "report": {},
        }))
        .unwrap();
        assert_eq!(earlier, of(vec![]), "stored by a version that did not tell");
        let many: Vec<String> = (0..1_200).map(|n| format!("v{n}")).collect();
        let ids = |rules: &[String]| -> Vec<String> {
            definitions(rules, "findings/3").into_iter().map(|unit| unit.id).collect()
        };
        let all = ids(&many);
        assert!(all.iter().all(|id| id.starts_with("definitions/findings-3/")), "{all:?}");
        assert_eq!((all.len(), &ids(&many)), (3, &all));
        assert!(ids(&many[1..]).iter().all(|id| !all.contains(id)), "another batch is another unit");
    }
}
