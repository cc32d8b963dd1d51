//! The host list detection: hosts with what is wrong with them.

use std::fmt::Write as _;

use axum::body::Body;
use futures::stream;

use super::Ask;
use super::hosts::{Page, Piece, epilogue, finish, identity, prologue};
use crate::dice;
use crate::estate::catalogue::Weakness;
use crate::estate::{Host, Known, Sighting, State, iso};
use crate::faults::Mode;

const ROOT: &str = "HOST_LIST_VM_DETECTION_OUTPUT";
/// Hosts looked at per piece of the body.
const GROUP: usize = 5;

/// The answer as a body that is written while it is read.
pub fn stream(ask: Ask) -> Body {
    let page = Page::new(&ask);
    let wanted = Wanted::new(&ask);
    let state = Some((ask, page, wanted, Stage::Start));
    Body::from_stream(stream::unfold(state, |state| {
        let piece = state.and_then(|(ask, page, wanted, stage)| piece(ask, page, wanted, stage));
        async move { piece }
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    NoHostYet,
    InList,
}

type Progress = Option<(Ask, Page, Wanted, Stage)>;

fn piece(ask: Ask, mut page: Page, wanted: Wanted, mut stage: Stage) -> Option<(Piece, Progress)> {
    let mut text = String::new();
    if stage == Stage::Start {
        text = prologue(&ask, ROOT);
        stage = Stage::NoHostYet;
    }
    for _ in 0..GROUP {
        let Some(known) = page.next(&ask.world, &ask.params) else {
            if stage == Stage::InList {
                text.push_str("    </HOST_LIST>\n");
            }
            finish(&ask, &mut page, &mut text);
            text.push_str(&epilogue(ROOT));
            return Some((Ok(text.into()), None));
        };
        let found: Vec<Sighting> =
            known.sightings().into_iter().filter(|s| wanted.keep(&known.host, s)).collect();
        // A host without a matching detection is not in the list, and does not count.
        if found.is_empty() {
            continue;
        }
        page.wrote();
        if stage == Stage::NoHostYet {
            text.push_str("    <HOST_LIST>\n");
            stage = Stage::InList;
        }
        text.push_str("      <HOST>\n");
        text.push_str(&identity(&ask, &known));
        text.push_str("        <DETECTION_LIST>\n");
        for sighting in &found {
            detection(&mut text, &ask, &known, sighting);
        }
        text.push_str("        </DETECTION_LIST>\n      </HOST>\n");
    }
    Some((Ok(text.into()), Some((ask, page, wanted, stage))))
}

/// Which detections are asked for.
struct Wanted {
    states: Vec<String>,
    severities: Option<Vec<u8>>,
    qids: Option<Vec<u32>>,
    types: Option<Vec<String>>,
    updated_since: Option<i64>,
    processed_after: Option<i64>,
    information: bool,
    ignored: bool,
}

impl Wanted {
    fn new(ask: &Ask) -> Self {
        let params = &ask.params;
        let numbers = |name: &str| {
            params
                .list(name)
                .map(|list| list.iter().filter_map(|one| one.trim().parse::<u32>().ok()).collect::<Vec<_>>())
        };
        let states = params.list("status").unwrap_or(vec!["New", "Active", "Re-Opened"]);
        Self {
            states: states.into_iter().map(str::to_owned).collect(),
            severities: numbers("severities")
                .map(|list| list.into_iter().map(|n| n.min(255) as u8).collect()),
            qids: numbers("qids"),
            types: params
                .list("include_vuln_type")
                .map(|list| list.iter().map(|one| one.to_lowercase()).collect()),
            updated_since: params.time("detection_updated_since"),
            processed_after: params.time("detection_processed_after"),
            information: params.on("show_igs"),
            ignored: params.on("include_ignored"),
        }
    }

    fn keep(&self, host: &Host, sighting: &Sighting) -> bool {
        let Sighting { weakness, .. } = sighting;
        if !self.qids.as_ref().is_none_or(|qids| qids.contains(&weakness.qid())) {
            return false;
        }
        if weakness.is_information() {
            return self.information;
        }
        self.states.iter().any(|state| state == status(sighting))
            && self.severities.as_ref().is_none_or(|list| list.contains(&weakness.qualys_severity))
            && self
                .types
                .as_ref()
                .is_none_or(|list| list.iter().any(|one| kind(weakness).eq_ignore_ascii_case(one)))
            && self.updated_since.is_none_or(|time| updated(sighting) >= time)
            && self.processed_after.is_none_or(|time| sighting.indexed >= time)
            && (self.ignored || !ignored(host, sighting))
    }
}

fn status(sighting: &Sighting) -> &'static str {
    match sighting.state {
        State::Fixed => "Fixed",
        State::Reopened if sighting.is_new => "Re-Opened",
        State::Open if sighting.is_new => "New",
        State::Open | State::Reopened => "Active",
    }
}

/// Whether a finding is certain or likely.
pub fn kind(weakness: &Weakness) -> &'static str {
    match (weakness.is_information(), weakness.id % 9 == 4) {
        (true, _) => "Info",
        (false, true) => "Potential",
        (false, false) => "Confirmed",
    }
}

fn updated(sighting: &Sighting) -> i64 {
    match (sighting.state, sighting.last_fixed) {
        (State::Fixed, Some(fixed)) => fixed,
        _ => sighting.last_found,
    }
}

fn ignored(host: &Host, sighting: &Sighting) -> bool {
    dice::hash_numbers(17, &[u64::from(host.index), u64::from(sighting.weakness.id)]) % 101 == 7
}

/// A score of 1 to 100 in the spirit of the vendor's.
fn qds(weakness: &Weakness) -> (u32, &'static str) {
    let raw = f64::from(weakness.qualys_severity) * 8.0 + weakness.cvss * 2.5 + weakness.epss * 15.0;
    let score = (raw + if weakness.exploited { 22.0 } else { 0.0 }).clamp(1.0, 100.0).round() as u32;
    let label = match score {
        90.. => "CRITICAL",
        70.. => "HIGH",
        40.. => "MEDIUM",
        _ => "LOW",
    };
    (score, label)
}

fn detection(text: &mut String, ask: &Ask, known: &Known, sighting: &Sighting) {
    let Sighting { weakness, port, .. } = sighting;
    let info = weakness.product.info();
    text.push_str("          <DETECTION>\n");
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "            <{name}>{value}</{name}>");
    };
    let unique = (u64::from(known.host.index) * 1_000 + u64::from(weakness.id)) * 100_000 + u64::from(*port);
    line("UNIQUE_VULN_ID", &(1_000_000_000 + unique));
    line("QID", &weakness.qid());
    line("TYPE", &kind(weakness));
    if !weakness.is_information() {
        line("SEVERITY", &weakness.qualys_severity);
    }
    if *port > 0 {
        line("PORT", port);
        line("PROTOCOL", &info.protocol.to_lowercase());
    }
    if !weakness.is_information() {
        line("SSL", &u8::from(matches!(port, 443 | 8443)));
    }
    if ask.params.text("show_results") != Some("0") {
        let odd = if ask.mode == Mode::Named("control-chars".into()) { "\u{b}\u{1f}" } else { "" };
        let results =
            format!("<![CDATA[{} {odd}1.{}.{} is installed]]>", info.name, weakness.id % 20, weakness.id % 7);
        line("RESULTS", &results);
    }
    if weakness.is_information() {
        text.push_str("          </DETECTION>\n");
        return;
    }
    line("STATUS", &status(sighting));
    line("FIRST_FOUND_DATETIME", &iso(sighting.first_found));
    line("LAST_FOUND_DATETIME", &iso(sighting.last_found));
    if ask.params.on("show_qds") {
        let (score, label) = qds(weakness);
        let _ = writeln!(text, "            <QDS severity=\"{label}\">{score}</QDS>");
    }
    if ask.params.on("show_qds_factors") {
        factors(text, weakness);
    }
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "            <{name}>{value}</{name}>");
    };
    line("TIMES_FOUND", &sighting.times_found);
    line("LAST_TEST_DATETIME", &iso(known.last_scan()));
    line("LAST_UPDATE_DATETIME", &iso(updated(sighting)));
    if let Some(fixed) = sighting.last_fixed {
        line("LAST_FIXED_DATETIME", &iso(fixed));
    }
    if let Some(back) = sighting.resurfaced.filter(|_| ask.params.on("show_reopened_info")) {
        line("FIRST_REOPENED_DATETIME", &iso(back));
        line("LAST_REOPENED_DATETIME", &iso(back));
        line("TIMES_REOPENED", &1);
    }
    line("IS_IGNORED", &u8::from(ignored(&known.host, sighting)));
    line("IS_DISABLED", &0);
    line("LAST_PROCESSED_DATETIME", &iso(sighting.indexed));
    text.push_str("          </DETECTION>\n");
}

fn factors(text: &mut String, weakness: &Weakness) {
    text.push_str("            <QDS_FACTORS>\n");
    let mut factor = |name: &str, value: String| {
        let _ = writeln!(text, "              <QDS_FACTOR name=\"{name}\"><![CDATA[{value}]]></QDS_FACTOR>");
    };
    if weakness.cvss > 0.0 {
        factor("CVSS", format!("{:.1}", weakness.cvss));
        factor("CVSS_version", "v3.x".into());
        factor("CVSS_vector", weakness.vector.into());
    }
    if !weakness.cves.is_empty() {
        factor("epss", format!("{:.5}", weakness.epss));
    }
    if weakness.exploited {
        factor("CISA_vuln", "YES".into());
        factor("exploit_maturity", "weaponized".into());
    }
    text.push_str("            </QDS_FACTORS>\n");
}
