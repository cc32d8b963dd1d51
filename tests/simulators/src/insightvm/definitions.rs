//! `POST /vulnerabilities`: the catalogue, which does not have every id that findings name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::estate::Weakness;
use crate::estate::catalogue::{self, Kind};

/// What is asked for.
pub struct Wish {
    size: usize,
    from: usize,
    query: Asked,
}

enum Asked {
    All,
    Ids(Vec<String>),
    Modified(Timestamp),
}

impl Wish {
    /// Reads a request.
    pub fn parse(params: &BTreeMap<String, String>, body: &[u8]) -> Result<Self, String> {
        if let Some(name) = params.keys().find(|name| !["size", "cursor", "page"].contains(&name.as_str())) {
            return Err(format!("parameter {name} is unknown"));
        }
        let size =
            params.get("size").map_or(Ok(200), |size| size.parse().map_err(|_| "size is not a number"))?;
        if !(1..=500).contains(&size) {
            return Err("size must be between 1 and 500".into());
        }
        let from = match params.get("cursor") {
            None => 0,
            Some(cursor) => cursor
                .split_once(":::_S:::")
                .and_then(|(from, _)| from.parse().ok())
                .ok_or_else(|| format!("The cursor is not valid: {cursor}"))?,
        };
        let wanted: Value = serde_json::from_slice(body).map_err(|_| "the body is not a JSON object")?;
        let query = wanted.get("vulnerability").and_then(Value::as_str).unwrap_or_default().trim();
        let wrong = || format!("The query is not valid: {query}");
        let query = if query.is_empty() {
            Asked::All
        } else if let Some(list) = query.strip_prefix("id IN") {
            let list =
                list.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']')).ok_or_else(wrong)?;
            let id = |text: &str| text.trim().strip_prefix('\'')?.strip_suffix('\'').map(str::to_owned);
            Asked::Ids(list.split(',').map(id).collect::<Option<_>>().ok_or_else(wrong)?)
        } else if let Some(time) = query.strip_prefix("modified >") {
            Asked::Modified(time.trim().parse().map_err(|_| wrong())?)
        } else {
            return Err(format!("the query is not simulated: {query}"));
        };
        Ok(Self { size, from, query })
    }

    /// What faults know it by.
    pub fn key(&self) -> String {
        match &self.query {
            Asked::All => "all".into(),
            // What is asked again after half of an answer has the same end.
            Asked::Ids(ids) => {
                let last = catalogue::all().filter(|w| is_listed(w) && self.takes(w)).last();
                last.map_or_else(|| ids.join(","), id)
            }
            Asked::Modified(time) => format!("modified/{time}/{}", self.from),
        }
    }

    fn takes(&self, weakness: &Weakness) -> bool {
        match &self.query {
            Asked::All => true,
            Asked::Ids(ids) => ids.contains(&id(weakness)),
            Asked::Modified(since) => modified(weakness).parse::<Timestamp>().is_ok_and(|time| time > *since),
        }
    }
}

/// A page. The one behind the last definition is empty, and has no cursor.
pub fn page(wish: &Wish, empty: bool) -> Value {
    let all: Vec<&Weakness> =
        catalogue::all().filter(|w| !w.is_information() && is_listed(w) && wish.takes(w)).collect();
    let part: &[&Weakness] = if empty { &[] } else { all.get(wish.from..).unwrap_or_default() };
    let part = &part[..part.len().min(wish.size)];
    let cursor = part.last().map(|last| format!("{}:::_S:::{}", wish.from + part.len(), id(last)));
    let data: Vec<Value> = part.iter().map(|weakness| definition(weakness)).collect();
    json!({
        "data": data,
        "metadata": {
            "number": wish.from / wish.size,
            "size": wish.size,
            "totalResources": all.len(),
            "totalPages": all.len().div_ceil(wish.size),
            "cursor": cursor,
        },
        "links": [],
    })
}

/// The id of a vulnerability.
pub fn id(weakness: &Weakness) -> String {
    match weakness.cves.first() {
        Some(cve) => {
            format!("{}-{}", weakness.product.info().cpe.replace(['_', '.'], "-"), cve.to_lowercase())
        }
        None => format!("sim-setting-{}", weakness.id),
    }
}

/// Some ids of findings are not in the catalogue.
pub fn is_listed(weakness: &Weakness) -> bool {
    weakness.id % 61 != 7
}

/// Word and score.
pub fn severity(weakness: &Weakness) -> (&'static str, i64) {
    // A setting has no CVSS: it is moderate.
    let score = if weakness.cvss > 0.0 { (weakness.cvss.round() as i64).clamp(1, 10) } else { 3 };
    let word = match score {
        8.. => "critical",
        4..8 => "severe",
        _ => "moderate",
    };
    (word, score)
}

/// The old risk score, up to 1000.
pub fn risk(weakness: &Weakness) -> f64 {
    ((weakness.cvss * 70.0 + weakness.epss * 200.0) * 100.0).round() / 100.0
}

/// Active Risk, 1 to 1000.
pub fn active_risk(weakness: &Weakness) -> i32 {
    let raw = weakness.cvss * 50.0 + weakness.epss * 200.0 + if weakness.exploited { 300.0 } else { 0.0 };
    (raw as i32).clamp(1, 1000)
}

/// What to do, as HTML.
pub fn fix(weakness: &Weakness) -> String {
    let name = weakness.product.info().name;
    format!(
        "<p>Download and install a release of {name} that is not affected by <i>{}</i>.</p>",
        weakness.name
    )
}

/// What it is, as HTML.
pub fn description(weakness: &Weakness) -> String {
    format!("<p>{} is affected by a {}.</p>", weakness.product.info().name, weakness.kind.words())
}

/// Day of the last change.
pub fn modified(weakness: &Weakness) -> String {
    format!("{}T00:00:00Z", weakness.published())
}

fn definition(weakness: &Weakness) -> Value {
    let (word, score) = severity(weakness);
    let real = weakness.cvss > 0.0;
    let references: Vec<String> = weakness.cves.iter().map(|cve| format!("cve:{cve}")).collect();
    let exploits: Vec<Value> = if weakness.exploited {
        vec![
            json!({ "id": "1", "name": "exploit", "rank": "good", "skill_level": "novice", "source": "metasploit" }),
        ]
    } else {
        vec![]
    };
    json!({
        "id": id(weakness),
        "title": weakness.title(),
        "description": description(weakness),
        "severity": word,
        "severity_score": score,
        "cves": weakness.cves.join(","),
        "cvss_v2_score": if real { weakness.cvss } else { 3.5 },
        "cvss_v2_vector": "(AV:N/AC:L/Au:N/C:P/I:P/A:P)",
        "cvss_v3_score": if real { weakness.cvss } else { 0.0 },
        "cvss_v3_vector": real.then(|| format!("CVSS:3.1/{}", weakness.vector)),
        "risk_score": risk(weakness),
        "added": modified(weakness),
        "modified": modified(weakness),
        "published": modified(weakness),
        "categories": weakness.product.info().name,
        "references": references.join(","),
        "exploits": exploits,
        "malware_kits": [],
        "links": [],
        "denial_of_service": weakness.kind == Kind::Denial,
        "pci_fail": score >= 4,
        "pci_severity_score": score / 2,
    })
}
