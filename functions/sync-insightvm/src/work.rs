//! What a unit has to remember.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sync::{Mode, Run, Unit};

use crate::client::graphql::Export;
use crate::normalize::bulk::Table;

/// Pauses between two questions for a status, in seconds; the last one repeats. An export takes three to five minutes.
const PAUSES: [i64; 5] = [5, 15, 30, 30, 60];
/// Longest span of one remediation export, in days.
const WINDOW_DAYS: i64 = 31;
/// How far back a full pass asks what was remediated, in days, or longer where no run was complete since; an incremental one
/// goes back to its watermark.
const FULL_DAYS: i64 = 2 * WINDOW_DAYS;
/// Nobody waits for more than this many remediation exports.
const WINDOWS: usize = 12;

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Work {
    /// Read a page of assets.
    Assets(Page),
    /// Fetch definitions.
    Definitions(Definitions),
    /// Read a page of the definitions that changed.
    Changed(Page),
    /// Ask whether there still are these assets.
    Missing {
        /// Their ids.
        assets: Vec<String>,
    },
    /// Begin an export.
    Start(Start),
    /// Wait for an export.
    Wait(Wait),
    /// Read a part of a file of an export and go on with the next one.
    Chain(Part),
    /// Plan the files of findings.
    Findings {
        /// The export.
        export: String,
    },
    /// Plan the parts of a file of findings.
    File(Part),
    /// Read one part of a file of findings.
    Part(Part),
}

/// A page of a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Pages before it.
    pub number: u64,
    /// Where it begins; nothing for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Records on the pages before it.
    #[serde(default)]
    pub received: u64,
    /// Fewest records that any page before it has announced: some may be added or deleted meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<u64>,
}

/// Definitions that a page of assets needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definitions {
    /// The unit of that page.
    pub page: String,
    /// Which.
    pub rules: Vec<Wanted>,
}

/// A definition that is wanted, with what only its findings know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Id of the vulnerability.
    pub id: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
    /// Whether there is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchable: Option<bool>,
}

/// An export that is to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Which.
    pub export: Export,
    /// The export of assets and vulnerabilities, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Which of the remediation exports.
    #[serde(default)]
    pub window: usize,
}

/// An export being watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// What began.
    pub start: Start,
    /// Its id.
    pub id: String,
    /// Questions asked.
    #[serde(default)]
    pub polls: usize,
    /// When it began.
    pub since: Timestamp,
}

impl Wait {
    /// When to ask again; `None` after `patience`.
    pub fn again(&self, now: Timestamp, patience: SignedDuration) -> Option<Timestamp> {
        let pause = PAUSES[self.polls.min(PAUSES.len() - 1)];
        (now.duration_since(self.since) < patience).then(|| later(now, pause))
    }
}

/// A part of a file: a Parquet row group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The export.
    pub export: String,
    /// What is in the file.
    pub table: Table,
    /// Which of the files.
    pub file: usize,
    /// Its name, so that another order of files is noticed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Which row group.
    #[serde(default)]
    pub group: usize,
    /// The export of assets and vulnerabilities.
    pub base: String,
    /// Which of the remediation exports.
    #[serde(default)]
    pub window: usize,
}

/// The unit that does this work. The same work always has the same id.
pub fn unit(work: &Work) -> Unit {
    Unit::new(id(work), work)
}

fn id(work: &Work) -> String {
    match work {
        Work::Assets(page) => format!("assets/{}", page.number),
        Work::Changed(page) => format!("{}{}", sync::CHANGES, page.number),
        Work::Missing { assets } => {
            format!("{}{:016x}", sync::QUESTIONS, domain::digest(assets.join("\n").as_bytes()))
        }
        // The page may be worked again when some of its rules are known: another batch is another unit.
        Work::Definitions(work) => {
            let ids: Vec<&str> = work.rules.iter().map(|wanted| wanted.id.as_str()).collect();
            format!(
                "definitions/{}/{:016x}",
                work.page.replace('/', "-"),
                domain::digest(ids.join("\n").as_bytes())
            )
        }
        Work::Start(start) => format!("{}/start", folder(&start.export, start.window)),
        Work::Wait(wait) => format!("{}/wait", folder(&wait.start.export, wait.start.window)),
        Work::Chain(part) if part.table == Table::Remediation => {
            format!("export/removed-{}/{}/{}", part.window, part.file, part.group)
        }
        Work::Chain(part) | Work::Part(part) => {
            format!("export/{}/{}/{}", part.table.as_str(), part.file, part.group)
        }
        Work::Findings { .. } => "export/findings".to_owned(),
        Work::File(part) => format!("export/{}/{}", part.table.as_str(), part.file),
    }
}

fn folder(export: &Export, window: usize) -> String {
    match export {
        Export::Vulnerabilities => "export".to_owned(),
        Export::Remediation { .. } => format!("export/removed-{window}"),
    }
}

/// The spans of days whose remediations a run asks for, oldest first.
pub fn windows(run: &Run) -> Vec<Export> {
    let day = |time: Timestamp| time.to_zoned(jiff::tz::TimeZone::UTC).date();
    let plus = |day: Date, days: i64| day.saturating_add(SignedDuration::from_hours(24 * days));
    let end = plus(day(run.started_at), 1);
    let begin = match run.mode {
        Mode::Full => {
            let usual = plus(end, -FULL_DAYS);
            run.changes_since.map_or(usual, |since| usual.min(plus(day(since), -1)))
        }
        // The day before: an export tells of a day when that is over.
        Mode::Incremental { since } => plus(day(since), -1),
    };
    let mut windows = Vec::new();
    let mut to = end;
    while to > begin && windows.len() < WINDOWS {
        let from = plus(to, -WINDOW_DAYS).max(begin);
        windows.push(Export::Remediation { from, to });
        to = from;
    }
    windows.reverse();
    windows
}

/// The moment `seconds` after `now`.
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: Mode) -> Run {
        let started_at = "2026-11-22T10:00:00Z".parse().unwrap();
        let id = domain::RunId::new(started_at, 1);
        Run::new("insightvm-prod".parse().unwrap(), id, mode, started_at)
    }

    fn spans(run: &Run) -> Vec<(String, String)> {
        let span = |export: Export| match export {
            Export::Remediation { from, to } => (from.to_string(), to.to_string()),
            Export::Vulnerabilities => panic!(),
        };
        windows(run).into_iter().map(span).collect()
    }

    #[test]
    fn remediation_is_asked_for_in_spans_of_31_days_without_a_gap() {
        let full = spans(&run(Mode::Full));
        let expected = [("2026-09-22", "2026-10-23"), ("2026-10-23", "2026-11-23")];
        assert_eq!(full, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
        let since = "2026-08-01T00:00:00Z".parse().unwrap();
        let part = spans(&run(Mode::Incremental { since }));
        assert_eq!((part.len(), part[0].0.as_str()), (4, "2026-07-31"));
        assert!(part.windows(2).all(|pair| pair[0].1 == pair[1].0));
        for (from, to) in part {
            let (from, to): (Date, Date) = (from.parse().unwrap(), to.parse().unwrap());
            assert!(from < to && to.since(from).unwrap().get_days() <= 31, "{from} {to}");
        }
    }

    #[test]
    fn a_full_pass_after_a_long_pause_goes_back_to_where_it_began() {
        let mut full = run(Mode::Full);
        let usual = spans(&full);
        full.changes_since = "2026-11-20T00:00:00Z".parse().ok();
        assert_eq!(spans(&full), usual);
        full.changes_since = "2026-06-01T00:00:00Z".parse().ok();
        assert_eq!(spans(&full)[0].0, "2026-05-31");
    }

    #[test]
    fn an_endless_gap_has_an_end() {
        assert_eq!(spans(&run(Mode::Incremental { since: Timestamp::UNIX_EPOCH })).len(), WINDOWS);
    }
}
