//! One page of Mandiant's `/v4/vulnerability`.
//!
//! Its `total_count` ends at 10,000, so that pages are asked for as long as they are full.

use std::io::{BufReader, Read};

use domain::threat::{Evidence, Level};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::value::RawValue;
use store::MandiantPart;
use sync::lenient::Scalar;

use super::{Follow, Malformed, Parsed, Source};
use crate::pages::{Paged, Paging};

#[derive(Deserialize)]
struct Page {
    vulnerability: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
    #[serde(default)]
    cve_id: Option<String>,
    #[serde(default)]
    exploitation_state: Scalar,
    #[serde(default)]
    observed_in_the_wild: Scalar,
    #[serde(default)]
    was_zero_day: Scalar,
    #[serde(default)]
    last_modified_date: Scalar,
    #[serde(default)]
    publish_date: Scalar,
}

impl Paged for MandiantPart {
    const PAGING: Paging = Paging {
        // The most that Mandiant allows.
        records: 1_000,
        everything: SignedDuration::from_hours(90 * 24),
        overlap: SignedDuration::from_hours(1),
        // What was reported on before is told of when it is reported on again.
        reach: Some(SignedDuration::from_hours(3 * 365 * 24)),
        // At a hundred reports a day, far from the 10,000 that one search tells.
        span: Some(SignedDuration::from_hours(7 * 24)),
        may_be_empty: true,
    };
}

impl Source for MandiantPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let page: Page = serde_json::from_reader(BufReader::new(body)).map_err(Malformed::new)?;
        let mut parsed = Parsed { follow: Follow::WhileFull, ..Parsed::default() };
        parsed.each(page.vulnerability, |parsed, vulnerability: Vulnerability| {
            // Some have no CVE yet.
            let Some(cve) = vulnerability.cve_id.as_deref().filter(|cve| !cve.is_empty()) else { return };
            if let Some((block, place)) = parsed.place(cve) {
                parsed.rows.entry(block).or_default().insert(place, Self(evidence(&vulnerability)));
            }
        });
        Ok(parsed)
    }
}

/// Nothing, where no exploitation is known.
fn evidence(vulnerability: &Vulnerability) -> Vec<Evidence> {
    let state = vulnerability.exploitation_state.clone().text().unwrap_or_default();
    let wild = vulnerability.observed_in_the_wild.truth() == Some(true);
    let level = match state.to_ascii_lowercase().as_str() {
        "confirmed" | "wide" => Level::Active,
        _ if wild => Level::Active,
        "available" | "anticipated" => Level::Anticipated,
        _ => return Vec::new(),
    };
    let more = [
        (wild, ", observed in the wild"),
        (vulnerability.was_zero_day.truth() == Some(true), ", was a zero day"),
    ];
    let more: String = more.into_iter().filter_map(|(yes, words)| yes.then_some(words)).collect();
    let since = vulnerability.last_modified_date.time().or_else(|| vulnerability.publish_date.time());
    vec![Evidence::stated(&vulnerability.id, level, since).told(None, &format!("exploitation {state}{more}"))]
}
