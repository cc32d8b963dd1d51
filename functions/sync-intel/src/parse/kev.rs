//! CISA's `known_exploited_vulnerabilities.json`.

use std::io::Read;

use domain::intel::Kev;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Malformed, Parsed, Source};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Catalogue {
    #[serde(default)]
    date_released: Option<String>,
    count: usize,
    vulnerabilities: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(rename = "cveID")]
    cve: String,
    date_added: Date,
    due_date: Date,
    #[serde(default)]
    vulnerability_name: String,
    #[serde(default)]
    known_ransomware_campaign_use: Option<String>,
}

impl Source for Kev {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let catalogue: Catalogue =
            serde_json::from_reader(std::io::BufReader::new(body)).map_err(Malformed::new)?;
        let mut parsed = Parsed { records: catalogue.vulnerabilities.len(), ..Parsed::default() };
        if catalogue.count != parsed.records {
            let problem = format!("it announces {} entries and has {}", catalogue.count, parsed.records);
            return Err(Malformed::new(problem));
        }
        parsed.as_of = catalogue.date_released.and_then(|date| date.parse::<Timestamp>().ok());
        for row in &catalogue.vulnerabilities {
            let Ok(row) = serde_json::from_str::<Row>(row.get()) else {
                parsed.unreadable += 1;
                continue;
            };
            // Every entry has exactly one id: one that cannot be read hides an entry.
            let Some((block, place)) = parsed.place(&row.cve) else {
                parsed.unreadable += 1;
                continue;
            };
            let known = row.known_ransomware_campaign_use.unwrap_or_default();
            let entry = Self {
                added: row.date_added,
                due: row.due_date,
                ransomware: known.trim().eq_ignore_ascii_case("known"),
                name: row.vulnerability_name.trim().to_owned(),
            };
            parsed.rows.entry(block).or_default().insert(place, entry);
        }
        parsed.checked()
    }
}
