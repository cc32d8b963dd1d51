//! Recorded Future's risk list of vulnerabilities: a table with the rules that apply to each.
//!
//! Only rules count, never the total score: it is high for what NVD alone calls severe, and that would count twice.

use std::io::{BufRead, BufReader, Read};

use csv::ReaderBuilder;
use domain::threat::{Evidence, Level, worth_keeping};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use store::RecordedFuturePart;
use sync::lenient::Scalar;

use super::{GZIP, Malformed, Parsed, Source};

#[derive(Deserialize)]
struct Details {
    #[serde(rename = "EvidenceDetails", alias = "evidenceDetails")]
    evidence: Vec<Rule>,
}

/// A rule that applies, in the writing of the list or that of single look-ups.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "Rule", alias = "rule")]
    name: String,
    #[serde(rename = "Criticality", alias = "criticality", default)]
    criticality: Scalar,
    #[serde(rename = "Timestamp", alias = "timestamp", default)]
    at: Scalar,
    #[serde(rename = "EvidenceString", alias = "evidenceString", default)]
    words: Scalar,
}

impl Source for RecordedFuturePart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let mut body = BufReader::new(body);
        let head = body.fill_buf().map_err(Malformed::new)?;
        if head.starts_with(&GZIP) { table(BufReader::new(MultiGzDecoder::new(body))) } else { table(body) }
    }
}

fn table(text: impl Read) -> Result<Parsed<RecordedFuturePart>, Malformed> {
    let mut parsed = Parsed::<RecordedFuturePart>::default();
    let mut table = ReaderBuilder::new().from_reader(text);
    let headers = table.headers().map_err(Malformed::new)?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim() == name);
        found.ok_or_else(|| Malformed::new(format!("it has no column {name:?}")))
    };
    let (name, details) = (column("Name")?, column("EvidenceDetails")?);
    for row in table.records() {
        let row = row.map_err(Malformed::new)?;
        parsed.records += 1;
        let text = |column: usize| row.get(column).unwrap_or_default();
        let Ok(Details { evidence }) = serde_json::from_str(text(details)) else {
            parsed.unreadable += 1;
            continue;
        };
        let kept = worth_keeping(evidence.iter().filter_map(assertion).collect());
        if let Some((block, place)) = parsed.place(text(name))
            && !kept.is_empty()
        {
            parsed.rows.entry(block).or_default().insert(place, RecordedFuturePart(kept));
        }
    }
    parsed.checked()
}

/// What a rule asserts; nothing, where it repeats NVD's severity.
fn assertion(rule: &Rule) -> Option<Evidence> {
    let name = rule.name.to_lowercase();
    if name.starts_with("nist severity") {
        return None;
    }
    let has = |words: &str| name.contains(words);
    let grave = rule.criticality.number().is_some_and(|criticality| criticality >= 4.0);
    let historical = has("historical");
    let level = if grave && !historical && (has("exploited in the wild") || has("linked to ransomware")) {
        Level::Active
    } else if !historical
        && (has("using remote execution") || has("exploit kit") || has("penetration testing tools"))
    {
        Level::Anticipated
    } else {
        Level::Chatter
    };
    let (id, at) = (rule.name.trim(), rule.at.time());
    let evidence =
        if has("recent") { Evidence::sighted(id, level, at) } else { Evidence::stated(id, level, at) };
    Some(evidence.told(None, &rule.words.clone().text().unwrap_or_default()))
}
