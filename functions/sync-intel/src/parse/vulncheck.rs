//! One page of VulnCheck's index `vulncheck-kev`: what is known to be exploited, with the reports that say so.

use std::io::{BufReader, Read};

use domain::threat::{Evidence, Level};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::value::RawValue;
use store::VulncheckPart;
use sync::lenient::Scalar;

use super::{Follow, Malformed, Parsed, Source};
use crate::pages::{Paged, Paging};

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "_meta")]
    meta: Meta,
    data: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    cve: Vec<String>,
    #[serde(default)]
    vulnerability_name: Scalar,
    #[serde(default)]
    known_ransomware_campaign_use: Scalar,
    #[serde(rename = "date_added", default)]
    date_added: Scalar,
    #[serde(rename = "vulncheck_reported_exploitation", default)]
    reports: Option<Vec<Report>>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    url: Scalar,
    #[serde(default)]
    date_added: Scalar,
}

impl Paged for VulncheckPart {
    const PAGING: Paging = Paging {
        // The most that VulnCheck allows.
        records: 300,
        everything: SignedDuration::from_hours(7 * 24),
        // Changes are asked for by day.
        overlap: SignedDuration::from_hours(24),
        reach: None,
        span: None,
        may_be_empty: false,
    };
}

impl Source for VulncheckPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let page: Page = serde_json::from_reader(BufReader::new(body)).map_err(Malformed::new)?;
        let cursor = page.meta.next_cursor.filter(|cursor| !cursor.is_empty() && !page.data.is_empty());
        let mut parsed = Parsed { follow: Follow::Cursor(cursor), ..Parsed::default() };
        parsed.each(page.data, |parsed, entry: Entry| {
            let evidence = evidence(&entry);
            for cve in &entry.cve {
                if let Some((block, place)) = parsed.place(cve) {
                    parsed.rows.entry(block).or_default().insert(place, Self(vec![evidence.clone()]));
                }
            }
        });
        Ok(parsed)
    }
}

/// The list's own entry, named by the newest of the reports behind it.
fn evidence(entry: &Entry) -> Evidence {
    let reports = entry.reports.as_deref().unwrap_or_default();
    let newest = reports.iter().max_by_key(|report| report.date_added.time());
    let id =
        newest.and_then(|report| report.url.clone().text()).unwrap_or_else(|| "vulncheck-kev".to_owned());
    let ransomware = entry.known_ransomware_campaign_use.clone().text();
    let ransomware = if ransomware.is_some_and(|word| word.eq_ignore_ascii_case("known")) {
        ", used by ransomware"
    } else {
        ""
    };
    let name = entry.vulnerability_name.clone().text().unwrap_or_default();
    let words = format!("{name}{ransomware}, reports: {}", reports.len());
    Evidence::stated(id, Level::Active, entry.date_added.time()).told(None, words.trim_start_matches(", "))
}
