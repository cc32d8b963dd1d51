//! One page of NVD's `/rest/json/cves/2.0`: CVEs with the scores that NVD and others gave.
//!
//! Only NVD's own score counts here (`Primary`): the other ones stand in the CVE records. Since 2026-04-15 NVD scores no
//! more than a part of all CVEs, so that most have none.

use std::io::{BufReader, Read};

use domain::Cvss;
use domain::finding::Tenths;
use domain::intel::Nvd;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Follow, Malformed, Parsed, Source};
use crate::pages::{Paged, Paging};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    total_results: usize,
    #[serde(default)]
    timestamp: String,
    vulnerabilities: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Entry {
    cve: Cve,
}

#[derive(Deserialize)]
struct Cve {
    id: String,
    #[serde(default)]
    metrics: Metrics,
}

/// By version of the standard.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics {
    #[serde(rename = "cvssMetricV40")]
    v40: Vec<Metric>,
    #[serde(rename = "cvssMetricV31")]
    v31: Vec<Metric>,
    #[serde(rename = "cvssMetricV30")]
    v30: Vec<Metric>,
    #[serde(rename = "cvssMetricV2")]
    v2: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    #[serde(rename = "type")]
    kind: String,
    cvss_data: Scored,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scored {
    version: String,
    base_score: f64,
}

impl Paged for Nvd {
    const PAGING: Paging = Paging {
        // What NVD recommends and allows at most.
        records: 2_000,
        // NVD tells changes of at most 120 days.
        everything: SignedDuration::from_hours(119 * 24),
        overlap: SignedDuration::from_hours(2),
        reach: None,
        span: None,
        may_be_empty: false,
    };
}

impl Source for Nvd {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let page: Page = serde_json::from_reader(BufReader::new(body)).map_err(Malformed::new)?;
        let mut parsed = Parsed {
            follow: Follow::Upto(page.total_results),
            as_of: moment(&page.timestamp),
            ..Parsed::default()
        };
        parsed.each(page.vulnerabilities, |parsed, Entry { cve }| {
            if let Some((block, place)) = parsed.place(&cve.id) {
                parsed.rows.entry(block).or_default().insert(place, Self { cvss: own(cve.metrics) });
            }
        });
        Ok(parsed)
    }
}

/// NVD's own score by the newest version of the standard.
fn own(metrics: Metrics) -> Option<Cvss> {
    let Metrics { v40, v31, v30, v2 } = metrics;
    let mut all = [v40, v31, v30, v2].into_iter().flatten().filter(|metric| metric.kind == "Primary");
    all.find_map(|Metric { cvss_data: Scored { version, base_score }, .. }| {
        Some(Cvss { version, score: Tenths::from_f64(base_score)?, vector: None })
    })
}

/// NVD writes times without a zone; they are UTC.
fn moment(text: &str) -> Option<Timestamp> {
    let time: DateTime = text.trim_end_matches('Z').parse().ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
