//! Definitions and solutions.

use serde_json::{Value, json};

use super::Console;
use crate::estate::Weakness;
use crate::estate::catalogue;

/// The console's id of a definition.
pub fn id(weakness: &Weakness) -> String {
    let product = slug(weakness.product.info().cpe);
    match weakness.cves.first() {
        Some(cve) => format!("{product}-{}", cve.to_ascii_lowercase()),
        None => format!("{}-{}", slug(weakness.name), weakness.id),
    }
}

fn slug(text: &str) -> String {
    let dashed: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    dashed.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The definition of that id.
pub fn by_id(wanted: &str) -> Option<&'static Weakness> {
    catalogue::all().find(|weakness| id(weakness) == wanted)
}

/// All definitions, those that were changed last first.
pub fn newest() -> Vec<&'static Weakness> {
    let mut all: Vec<_> = catalogue::all().collect();
    all.sort_by_key(|weakness| std::cmp::Reverse(weakness.published()));
    all
}

/// Severity in the console's words, and its score from 1 to 10.
pub fn severity(weakness: &Weakness) -> (&'static str, u8) {
    // Rounded and within the range of the type.
    let score =
        if weakness.cvss > 0.0 { weakness.cvss.round() as u8 } else { 1 + 2 * weakness.tenable_severity };
    let word = match score {
        8.. => "Critical",
        4..=7 => "Severe",
        _ => "Moderate",
    };
    (word, score.clamp(1, 10))
}

/// The console's own risk number, up to 1,000.
pub fn risk(weakness: &Weakness) -> f64 {
    80.5 * f64::from(severity(weakness).1)
}

/// The vector of CVSS 3, if it has one.
pub fn vector(weakness: &Weakness) -> Option<String> {
    (weakness.cvss > 0.0).then(|| format!("CVSS:3.1/{}", weakness.vector))
}

/// What it is, as HTML.
pub fn description(weakness: &Weakness) -> String {
    let product = weakness.product.info().name;
    format!("<p>{product} on this asset allows {}. The console saw its version.</p>", weakness.kind.words())
}

/// What to do about a definition.
pub struct Solution {
    /// The console's id of it.
    pub id: String,
    /// `rollup-patch`, `patch` or `configuration`.
    pub kind: &'static str,
    /// In one line.
    pub summary: String,
    /// As HTML.
    pub steps: String,
}

/// The solutions of a definition, in no order. Every second one has some for single platforms too.
pub fn solutions(weakness: &Weakness) -> Vec<Solution> {
    let product = weakness.product.info().name;
    let solution = |id: String, kind, summary: String, steps: String| Solution { id, kind, summary, steps };
    let latest = solution(
        format!("{}-upgrade-latest", slug(product)),
        "rollup-patch",
        format!("Upgrade {product} to the latest version"),
        format!("<p>Install the latest version of {product}.</p>"),
    );
    if !weakness.id.is_multiple_of(2) {
        return vec![latest];
    }
    let on = |platform: &str, kind, summary: &str, steps: &str| {
        let id = format!("{}-{}", slug(platform), slug(product));
        solution(id, kind, format!("{summary} {product} on {platform}"), format!("<p>{steps} {product}.</p>"))
    };
    vec![
        on("Windows", "configuration", "Restrict access to", "Block the ports of"),
        on("Debian Linux", "patch", "Upgrade", "Run apt-get to upgrade"),
        latest,
        on("Amazon Linux", "patch", "Update", "Run yum to update"),
    ]
}

/// A definition as the API shows it.
pub fn definition(console: &Console, weakness: &Weakness) -> Value {
    let (word, score) = severity(weakness);
    let id = id(weakness);
    let mut cvss = json!({ "links": [] });
    if let Some(vector) = vector(weakness) {
        cvss["v3"] = json!({ "score": weakness.cvss, "vector": vector });
    }
    json!({
        "id": id, "title": weakness.title(), "severity": word, "severityScore": score,
        "cves": weakness.cves, "cvss": cvss, "riskScore": risk(weakness),
        "description": { "html": description(weakness), "text": weakness.kind.words() },
        "published": weakness.published(), "added": weakness.published(), "modified": weakness.published(),
        "exploits": u8::from(weakness.exploited), "malwareKits": 0, "denialOfService": false,
        "categories": [weakness.product.info().family],
        "links": [console.link(&format!("vulnerabilities/{id}"), "self")],
    })
}

/// A solution as the API shows it.
pub fn solution(console: &Console, wanted: &str) -> Option<Value> {
    let mut all =
        catalogue::all().flat_map(|weakness| solutions(weakness).into_iter().map(move |s| (s, weakness)));
    let (Solution { kind, summary, steps, .. }, weakness) =
        all.find(|(solution, _)| solution.id == wanted)?;
    Some(json!({
        "id": wanted, "type": kind, "estimate": "PT1H", "appliesTo": weakness.product.info().name,
        "summary": { "html": summary, "text": summary },
        "steps": { "html": steps, "text": summary },
        "links": [console.link(&format!("solutions/{wanted}"), "self")],
    }))
}
