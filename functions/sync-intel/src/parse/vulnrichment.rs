//! The archive of CISA's repository `vulnrichment`: a CVE record of version 5 a file, to which CISA has added its
//! assessment by SSVC and, where the authority gave no CVSS score, one of its own.

use std::collections::BTreeMap;
use std::io::Read;

use domain::Cvss;
use domain::finding::Tenths;
use domain::intel::{CvssSource, Exploitation, Record};
use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use tar::Archive;

use super::{Malformed, Parsed, Source};

/// No record is as long: the longest has a few hundred kilobytes.
const RECORD_LIMIT: u64 = 4 * 1024 * 1024;
/// Whose container holds the assessment.
const CISA: &str = "CISA-ADP";

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "cveMetadata")]
    metadata: Metadata,
    containers: Containers,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "cveId")]
    cve: String,
}

#[derive(Deserialize)]
struct Containers {
    #[serde(default)]
    cna: Container,
    #[serde(default)]
    adp: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    #[serde(rename = "providerMetadata")]
    provider: Provider,
    metrics: Vec<Metric>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Provider {
    short_name: String,
    date_updated: String,
}

/// One of several ways to measure.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metric {
    #[serde(rename = "cvssV4_0")]
    cvss4: Option<Scored>,
    #[serde(rename = "cvssV3_1")]
    cvss31: Option<Scored>,
    #[serde(rename = "cvssV3_0")]
    cvss30: Option<Scored>,
    #[serde(rename = "cvssV2_0")]
    cvss2: Option<Scored>,
    other: Option<Other>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scored {
    version: String,
    base_score: f64,
}

#[derive(Deserialize)]
struct Other {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    content: Content,
}

/// What SSVC says; other kinds have none of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    options: Vec<BTreeMap<String, Value>>,
    timestamp: String,
}

impl Source for Record {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let mut parsed = Parsed::default();
        let mut archive = Archive::new(MultiGzDecoder::new(body));
        let mut bytes = Vec::new();
        for file in archive.entries().map_err(Malformed::new)? {
            let file = file.map_err(Malformed::new)?;
            if !is_record(&file.path_bytes()) {
                continue;
            }
            parsed.records += 1;
            bytes.clear();
            let length = file.take(RECORD_LIMIT).read_to_end(&mut bytes).map_err(Malformed::new)?;
            match serde_json::from_slice::<Document>(&bytes) {
                Ok(document) if (length as u64) < RECORD_LIMIT => take(&mut parsed, &document),
                _ => parsed.unreadable += 1,
            }
        }
        // The archive may end before its compressed form does: what follows says whether all of it came.
        std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(Malformed::new)?;
        parsed.checked()
    }
}

/// `vulnrichment-develop/2024/3xxx/CVE-2024-3400.json`
fn is_record(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b"CVE-") && name.ends_with(b".json")
}

fn take(parsed: &mut Parsed<Record>, document: &Document) {
    let Containers { cna, adp } = &document.containers;
    let cisa = adp.iter().find(|container| container.provider.short_name == CISA);
    if let Some(updated) = cisa.and_then(|cisa| cisa.provider.date_updated.parse::<Timestamp>().ok()) {
        parsed.as_of = parsed.as_of.max(Some(updated));
    }
    let mut record = cisa.map(assessment).unwrap_or_default();
    let by_cna = best_cvss(cna).map(|cvss| (CvssSource::Cna, cvss));
    record.cvss = by_cna.or_else(|| Some((CvssSource::CisaAdp, best_cvss(cisa?)?)));
    // A place is counted whether or not something is known of it: an id that is none is.
    let place = parsed.place(&document.metadata.cve);
    if let Some((block, place)) = place.filter(|_| record != Record::default()) {
        parsed.rows.entry(block).or_default().insert(place, record);
    }
}

/// Words come in any case. Of several assessments the last one counts.
fn assessment(container: &Container) -> Record {
    let told = container.metrics.iter().filter_map(|metric| metric.other.as_ref());
    let told = told.filter(|other| other.kind.eq_ignore_ascii_case("ssvc"));
    let Some(Other { content, .. }) = told.max_by_key(|other| other.content.timestamp.as_str()) else {
        return Record::default();
    };
    let word = |point: &str| {
        let options = content.options.iter().flatten();
        let mut named = options.filter(|(name, _)| name.eq_ignore_ascii_case(point));
        named.find_map(|(_, value)| value.as_str()).map(str::to_ascii_lowercase)
    };
    let known = |word: Option<String>, no: &str, yes: &str| match word?.as_str() {
        word if word == no => Some(false),
        word if word == yes => Some(true),
        _ => None,
    };
    let assessed = content.timestamp.parse::<Timestamp>().ok();
    Record {
        exploitation: match word("Exploitation").as_deref() {
            Some("none") => Some(Exploitation::None),
            Some("poc" | "public poc") => Some(Exploitation::Poc),
            Some("active") => Some(Exploitation::Active),
            _ => None,
        },
        automatable: known(word("Automatable"), "no", "yes"),
        total_impact: known(word("Technical Impact"), "partial", "total"),
        assessed: assessed.map(|at| at.to_zoned(TimeZone::UTC).date()),
        cvss: None,
    }
}

/// The highest score of the newest version of the standard.
fn best_cvss(container: &Container) -> Option<Cvss> {
    let highest = |of: fn(&Metric) -> &Option<Scored>| {
        let scores = container.metrics.iter().filter_map(|metric| of(metric).as_ref());
        scores.filter_map(told).max_by_key(|cvss| cvss.score)
    };
    highest(|metric| &metric.cvss4)
        .or_else(|| highest(|metric| &metric.cvss31))
        .or_else(|| highest(|metric| &metric.cvss30))
        .or_else(|| highest(|metric| &metric.cvss2))
}

/// A score of 0 stands for none.
fn told(scored: &Scored) -> Option<Cvss> {
    let score = Tenths::from_f64(scored.base_score).filter(|score| score.0 > 0)?;
    Some(Cvss { version: scored.version.chars().take(8).collect(), score, vector: None })
}
