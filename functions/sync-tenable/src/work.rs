//! What a unit has to remember, what is asked for, and how long to wait.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync::{Mode, Run, Unit};

use crate::client::{AssetsVersion, Export, Status};

/// Pauses between two questions for a status, in seconds; the last one repeats. A small export is ready in seconds, a
/// large one takes an hour: asking that often would use up the rate limit.
const PAUSES: [i64; 8] = [2, 3, 4, 5, 10, 15, 20, 30];
/// Tries of a chunk that Tenable has announced and does not deliver.
pub const CHUNK_TRIES: u32 = 20;
/// Tries of a chunk whose body is broken or empty.
pub const BODY_TRIES: u32 = 3;

/// The work of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Work {
    /// Begin an export.
    Start(Start),
    /// Wait for the asset export and read its chunks, one after the other.
    Assets(AssetsWork),
    /// Wait for an export of findings and plan its chunks.
    Vulns(VulnsWork),
    /// Read one chunk of an export of findings.
    Chunk(ChunkWork),
    /// Read the list of scans.
    Scans,
}

/// An export that is to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Which.
    pub export: Export,
    /// When Tenable first refused because too many are running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
}

/// An export being watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Tenable's id of the export.
    pub uuid: String,
    /// Questions asked since it last moved.
    pub polls: usize,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// Where it stood then.
    pub mark: String,
}

impl Watch {
    /// An export that has just begun.
    pub fn new(uuid: String, now: Timestamp) -> Self {
        Self { uuid, polls: 0, moved_at: now, mark: String::new() }
    }

    /// Takes note of a status. Answers when to ask again, or `None` if the export has not moved for `patience`.
    pub fn note(&mut self, status: &Status, now: Timestamp, patience: SignedDuration) -> Option<Timestamp> {
        let mark = status.mark();
        if mark != self.mark {
            self.mark = mark;
            self.moved_at = now;
            self.polls = 0;
        } else if now.duration_since(self.moved_at) >= patience {
            return None;
        }
        let pause = PAUSES[self.polls.min(PAUSES.len() - 1)];
        self.polls += 1;
        Some(later(now, pause))
    }
}

/// State of the asset export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetsWork {
    /// The export.
    pub watch: Watch,
    /// Chunks that were read or given up.
    #[serde(default)]
    pub done: BTreeSet<u64>,
    /// Chunks that can be read.
    #[serde(default)]
    pub todo: Vec<u64>,
    /// Tries of the first of `todo`.
    #[serde(default)]
    pub tries: u32,
    /// The export says that it has empty chunks.
    #[serde(default)]
    pub may_be_empty: bool,
}

impl AssetsWork {
    /// An export that has just begun.
    pub fn new(watch: Watch) -> Self {
        Self { watch, done: BTreeSet::new(), todo: Vec::new(), tries: 0, may_be_empty: false }
    }
}

/// State of an export of findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VulnsWork {
    /// Which.
    #[serde(default)]
    pub of: Export,
    /// The export.
    pub watch: Watch,
    /// Chunks that have units of their own.
    #[serde(default)]
    pub planned: BTreeSet<u64>,
    /// Not to be asked before.
    pub not_before: Timestamp,
}

/// State of one chunk of findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkWork {
    /// Of which export.
    #[serde(default)]
    pub of: Export,
    /// The export.
    pub uuid: String,
    /// The chunk.
    pub id: u64,
    /// Tries so far that found it not ready or empty.
    #[serde(default)]
    pub tries: u32,
    /// The export says that it has empty chunks.
    #[serde(default)]
    pub may_be_empty: bool,
}

/// The unit that reads the list of scans.
pub fn scans() -> Unit {
    Unit::new("scans", &Work::Scans)
}

/// The unit that begins an export.
pub fn start(export: Export) -> Unit {
    Unit::new(format!("{}/start", export.as_str()), &Work::Start(Start { export, refused_since: None }))
}

/// The unit that waits for the next chunk of the asset export and reads it. Its id tells how many came before.
pub fn assets_wait(work: AssetsWork) -> Unit {
    Unit::new(format!("assets/wait/{}", work.done.len()), &Work::Assets(work))
}

/// The unit that waits for an export of findings. Its id tells how many chunks were planned before it, so that a
/// repeated plan leads to the same unit and a later one to another.
pub fn vulns_wait(work: VulnsWork) -> Unit {
    Unit::new(format!("{}/wait/{}", work.of.as_str(), work.planned.len()), &Work::Vulns(work))
}

/// The unit that reads one chunk of an export of findings.
pub fn chunk(of: Export, uuid: &str, id: u64, may_be_empty: bool) -> Unit {
    let work = ChunkWork { of, uuid: uuid.to_owned(), id, tries: 0, may_be_empty };
    Unit::new(format!("{}/chunk/{id}", of.as_str()), &Work::Chunk(work))
}

/// The moment `seconds` after `now`.
pub fn later(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn before(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The body of `POST /assets/export` or `/assets/v2/export`. Without a filter it is every asset, deleted and terminated
/// ones included where the user may see them. Open ports are left out unless they are asked for.
pub fn assets_wish(run: &Run, chunk_size: u32, version: AssetsVersion) -> Value {
    let mut wish = json!({ "chunk_size": chunk_size, "include_open_ports": true });
    let mut filters = serde_json::Map::new();
    if version == AssetsVersion::V2 {
        // Version 2 has web applications as well.
        filters.insert("types".into(), json!(["host"]));
    }
    if let Mode::Incremental { since } = run.mode {
        // Version 2 has one word for updated, deleted and terminated.
        let name = if version == AssetsVersion::V2 { "since" } else { "updated_at" };
        filters.insert(name.into(), since.as_second().into());
    }
    if !filters.is_empty() {
        wish["filters"] = filters.into();
    }
    wish
}

/// The body of `POST /compliance/export`: all states, passed checks too, so that a check that is passed at last is seen.
/// Here `since` is a time of indexing.
pub fn compliance_wish(run: &Run, retention: SignedDuration) -> Value {
    let since = match run.mode {
        Mode::Full => before(run.started_at, retention),
        Mode::Incremental { since } => since,
    };
    json!({ "filters": { "since": since.as_second().max(1), "state": ["OPEN", "REOPENED", "FIXED"] } })
}

/// The body of `POST /vulns/export`.
///
/// * All three states are named: without that, fixed findings may be left out, and a fix would never be seen.
/// * `since` is always given: without any time filter, and with a `since` of 0, Tenable goes back 30 days only. It is
///   the one filter that means "fixed since" for FIXED and "seen since" for the others. A full pass goes back for
///   `retention`: what no scan has confirmed for so long is not worth a statement.
/// * An incremental pass asks for what was *indexed* since its watermark: findings are published when their scan has
///   ended, with a date from before, and a watermark on their own dates would lose them. Its `since` is wide, and only
///   keeps the filter's meaning for the three states.
pub fn vulns_wish(run: &Run, num_assets: u32, retention: SignedDuration) -> Value {
    const WIDE: SignedDuration = SignedDuration::from_hours(30 * 24);
    let mut filters = json!({ "state": ["OPEN", "REOPENED", "FIXED"] });
    match run.mode {
        Mode::Full => filters["since"] = before(run.started_at, retention).as_second().max(1).into(),
        Mode::Incremental { since } => {
            filters["since"] = before(since, WIDE).as_second().max(1).into();
            filters["indexed_at"] = since.as_second().max(1).into();
        }
    }
    json!({ "num_assets": num_assets, "include_unlicensed": false, "filters": filters })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: Mode) -> Run {
        let started_at = "2026-11-22T10:00:00Z".parse().unwrap();
        Run::new("tenable-prod".parse().unwrap(), domain::RunId::new(started_at, 1), mode, started_at)
    }

    #[test]
    fn pitfall_06_a_full_pass_names_its_window_and_all_states() {
        let wish = vulns_wish(&run(Mode::Full), 500, SignedDuration::from_hours(365 * 24));
        assert_eq!(wish["num_assets"], 500);
        assert_eq!(wish["filters"]["state"], json!(["OPEN", "REOPENED", "FIXED"]));
        assert_eq!(wish["filters"]["since"], 1_763_805_600, "365 days before the start");
        assert!(wish["filters"].get("indexed_at").is_none());
        let wish = |version| assets_wish(&run(Mode::Full), 1000, version);
        assert_eq!(wish(AssetsVersion::V1), json!({ "chunk_size": 1000, "include_open_ports": true }));
        assert_eq!(wish(AssetsVersion::V2)["filters"], json!({ "types": ["host"] }));
        let wish = compliance_wish(&run(Mode::Full), SignedDuration::from_hours(365 * 24));
        assert_eq!(wish["filters"]["since"], 1_763_805_600);
    }

    #[test]
    fn pitfall_01_an_incremental_pass_asks_for_what_was_indexed() {
        let since: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let run = run(Mode::Incremental { since });
        let wish = vulns_wish(&run, 500, SignedDuration::from_hours(1));
        assert_eq!(wish["filters"]["indexed_at"], since.as_second());
        assert_eq!(wish["filters"]["since"], since.as_second() - 30 * 86_400);
        assert_eq!(wish["filters"]["state"].as_array().unwrap().len(), 3);
        assert_eq!(assets_wish(&run, 100, AssetsVersion::V1)["filters"]["updated_at"], since.as_second());
        assert_eq!(assets_wish(&run, 100, AssetsVersion::V2)["filters"]["since"], since.as_second());
        assert_eq!(compliance_wish(&run, SignedDuration::ZERO)["filters"]["since"], since.as_second());
    }

    #[test]
    fn pitfall_05_pauses_grow_until_the_export_moves_and_end_when_it_is_stuck() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let patience = SignedDuration::from_hours(6);
        let status = |chunks: &str| -> Status {
            serde_json::from_str(&format!(r#"{{"status":"PROCESSING","chunks_available":[{chunks}]}}"#))
                .unwrap()
        };
        let mut watch = Watch::new("u".into(), now);
        let pauses: Vec<i64> = (0..10)
            .map(|_| watch.note(&status(""), now, patience).unwrap().duration_since(now).as_secs())
            .collect();
        assert_eq!(pauses, [2, 3, 4, 5, 10, 15, 20, 30, 30, 30]);
        let soon = later(now, 6 * 3600 - 1);
        assert_eq!(watch.note(&status("1"), soon, patience), Some(later(soon, 2)));
        assert!(watch.note(&status("1"), later(soon, 6 * 3600 - 1), patience).is_some());
        assert_eq!(watch.note(&status("1"), later(soon, 6 * 3600), patience), None, "stuck");
    }

    #[test]
    fn work_survives_storage() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let work = VulnsWork {
            of: Export::Vulns,
            watch: Watch::new("u".into(), now),
            planned: [3, 1].into(),
            not_before: now,
        };
        let unit = vulns_wait(work.clone());
        assert_eq!(unit.id, "vulns/wait/2");
        assert_eq!(unit.work::<Work>().unwrap(), Work::Vulns(work));
        assert_eq!(chunk(Export::Vulns, "u", 7, false).id, "vulns/chunk/7");
        assert_eq!(chunk(Export::Compliance, "u", 7, false).id, "compliance/chunk/7");
    }
}
