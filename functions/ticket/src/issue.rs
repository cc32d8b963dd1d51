//! What an issue and its comments say.

use std::collections::BTreeSet;

use domain::policy::Tracker;
use domain::sla::What;
use domain::vulnerability::{Asset, Intent};
use domain::{Rule, Status, VulnId, Vulnerability};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Longest summary, in the units that Jira counts: UTF-16.
const SUMMARY: usize = 255;
/// Of that, the most that the asset's name takes.
const ASSET_NAME: usize = 80;
/// Solutions that are quoted, and how much of each.
const SOLUTIONS: usize = 3;
const SOLUTION: usize = 2_000;
/// CVEs, names and addresses that are listed.
const LISTED: usize = 30;
/// Label of every issue of ours, and the property that says what the issue is about.
const LABEL: &str = "vulnrelay";

/// The label under which the issue of a vulnerability is found again. It names the vulnerability and not the wish, so
/// that a wish of a later episode finds the issue of an earlier one whose answer was lost.
pub fn marker(vulnerability: &VulnId) -> String {
    format!("{LABEL}-{vulnerability}")
}

/// The mark of a comment: the wish and its time. A key can come back in a later turn of events.
pub fn comment_marker(intent: &Intent) -> String {
    format!("{} of {}", intent.key, day_and_time(intent.since))
}

/// The request that creates the issue.
pub fn create(
    tracker: &Tracker,
    asset: Option<&Asset>,
    vulnerability: &Vulnerability,
    rules: &[Rule],
    marker: &str,
    key: &str,
) -> Value {
    json!({
        "fields": {
            "project": { "key": tracker.project },
            "issuetype": { "name": tracker.issue_type },
            "summary": summary(asset, vulnerability),
            "description": description(asset, vulnerability, rules, key),
            "labels": [LABEL, marker],
        },
        "properties": [{
            "key": LABEL,
            "value": { "vulnerability": vulnerability.id, "asset": vulnerability.asset, "key": key },
        }],
    })
}

/// One line: what is wrong, and where.
fn summary(asset: Option<&Asset>, vulnerability: &Vulnerability) -> String {
    let place =
        asset.map_or_else(|| vulnerability.asset.to_string(), |asset| asset.host.display_name().to_owned());
    let place = format!(" on {}", cut(&one_line(&place), ASSET_NAME));
    let what = one_line(&vulnerability.title);
    let what = if what.is_empty() { "Vulnerability".to_owned() } else { what };
    format!("{}{place}", cut(&what, SUMMARY - place.encode_utf16().count()))
}

fn description(asset: Option<&Asset>, v: &Vulnerability, rules: &[Rule], key: &str) -> Value {
    let mut facts = vec![("What", one_line(&v.title))];
    if let Some(asset) = asset {
        let host = &asset.host;
        let names: BTreeSet<&String> =
            host.fqdns.iter().chain(&host.hostnames).chain(&host.netbios).collect();
        facts.push(("Asset", host.display_name().to_owned()));
        facts.push(("Names", list(names)));
        facts.push(("Addresses", list(&host.ips)));
        facts.push(("System", host.os.clone().unwrap_or_default()));
        facts.push(("Owner", asset.owner.clone()));
        facts.push(("Service", asset.service.clone().unwrap_or_default()));
    }
    facts.push(("Severity", v.severity.to_string()));
    facts.push(("Score", score(v)));
    facts.push(("CVEs", list(&v.cves)));
    facts.push(("Due", v.due.map(day_and_time).unwrap_or_default()));
    facts.push(("Seen by", list(&v.scanners)));
    let items: Vec<Value> = facts
        .iter()
        .map(|(name, value)| (name, one_line(value)))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            let content = json!([strong(&format!("{name}: ")), text(&cut(&value, SOLUTION))]);
            json!({ "type": "listItem", "content": [{ "type": "paragraph", "content": content }] })
        })
        .collect();
    let mut blocks = vec![json!({ "type": "bulletList", "content": items })];
    let solutions = solutions(rules);
    if !solutions.is_empty() {
        blocks.push(json!({ "type": "heading", "attrs": { "level": 3 }, "content": [text("Solution")] }));
        blocks.extend(solutions.iter().map(|solution| paragraph(solution)));
    }
    blocks.push(paragraph(&format!("Reference: {key}")));
    doc(&blocks)
}

/// `912 of 1000: severity 95, exploit 180, …`; the parts sum to the score.
fn score(v: &Vulnerability) -> String {
    let c = &v.score.contributions;
    let parts = [
        ("severity", c.severity),
        ("exploit availability", c.exploit),
        ("EPSS", c.epss),
        ("threat intelligence", c.threat),
        ("asset criticality", c.criticality),
        ("exposure", c.exposure),
        ("convergence", c.convergence),
        ("active exploitation", c.active_exploitation),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, points)| *points > 0)
        .map(|(name, points)| format!("{name} {points}"))
        .collect();
    let value = format!("{} of 1000", v.score.value);
    if parts.is_empty() { value } else { format!("{value}: {}", parts.join(", ")) }
}

/// What the scanners advise, each advice once, in the order of the rules.
fn solutions(rules: &[Rule]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    rules
        .iter()
        .filter_map(|rule| rule.solution.as_deref())
        .map(|solution| cut(&one_line(solution), SOLUTION))
        .filter(|solution| !solution.is_empty() && seen.insert(solution.clone()))
        .take(SOLUTIONS)
        .collect()
}

/// The comment with which an issue is closed: why.
pub fn closing(v: &Vulnerability, marker: &str) -> Value {
    let last = |wanted: fn(&What) -> bool| v.events.iter().rev().find(|e| wanted(&e.what)).map(|e| day(e.at));
    let decided = |what: &str| match &v.decision {
        Some(decision) => {
            let until = decision.until.map(|until| format!(", until {}", day(until))).unwrap_or_default();
            let reason = one_line(&decision.reason);
            let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
            format!("{what} by {} on {}{until}{reason}.", one_line(&decision.by), day(decision.at))
        }
        None => format!("{what}."),
    };
    let why = match v.status {
        Status::Fixed => {
            let on =
                last(|what| matches!(what, What::Fixed)).map(|day| format!(" on {day}")).unwrap_or_default();
            format!("Fixed{on}, by evidence of {}.", list(&v.scanners))
        }
        Status::Gone => "The asset is gone.".to_owned(),
        Status::RiskAccepted => decided("The risk was accepted"),
        Status::FalsePositive => decided("Judged a false positive"),
        Status::Suppressed => "Suppressed in the scanner or by policy.".to_owned(),
        status => format!("No longer open: {}.", status.as_str().replace('_', " ")),
    };
    comment(&why, marker)
}

/// The comment with which an issue is opened again.
pub fn reopening(v: &Vulnerability, marker: &str) -> Value {
    let last = |wanted: fn(&What) -> bool| v.events.iter().rev().find(|e| wanted(&e.what)).map(|e| day(e.at));
    let again = last(|what| matches!(what, What::Reopened));
    let expired = last(|what| matches!(what, What::Expired));
    let why = match (again, expired) {
        (Some(again), expired) if expired.as_ref() <= Some(&again) => {
            format!("Seen again on {again} by {}.", list(&v.scanners))
        }
        (_, Some(expired)) => {
            format!("Open again: the acceptance ended on {expired}. Seen by {}.", list(&v.scanners))
        }
        _ => format!("Open again. Seen by {}.", list(&v.scanners)),
    };
    comment(&why, marker)
}

/// The comment with which a superfluous issue is closed.
pub fn duplicate(of: &str, marker: &str) -> Value {
    comment(&format!("Duplicate of {of}: both stand for the same vulnerability."), marker)
}

fn comment(why: &str, marker: &str) -> Value {
    doc(&[paragraph(&cut(why, SOLUTION)), paragraph(&format!("Reference: {marker}"))])
}

fn doc(content: &[Value]) -> Value {
    json!({ "type": "doc", "version": 1, "content": content })
}

fn paragraph(words: &str) -> Value {
    json!({ "type": "paragraph", "content": [text(words)] })
}

/// Jira refuses empty text nodes; nobody calls this with one.
fn text(words: &str) -> Value {
    json!({ "type": "text", "text": words })
}

fn strong(words: &str) -> Value {
    json!({ "type": "text", "text": words, "marks": [{ "type": "strong" }] })
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let shown = all.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > LISTED { format!("{shown} and {} more", all.len() - LISTED) } else { shown }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `max` UTF-16 units, cut with a mark.
fn cut(text: &str, max: usize) -> String {
    if text.encode_utf16().count() <= max {
        return text.to_owned();
    }
    let mut left = max - 1;
    let kept: String = text
        .chars()
        .take_while(|character| {
            let fits = character.len_utf16() <= left;
            left = left.saturating_sub(character.len_utf16());
            fits
        })
        .collect();
    format!("{kept}…")
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn day_and_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_fits_and_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        let emoji = "🔥".repeat(300);
        assert_eq!(cut(&emoji, 255).encode_utf16().count(), 255);
        assert_eq!(cut(&emoji, 254).encode_utf16().count(), 253, "a pair is not split");
    }

    #[test]
    fn a_long_list_is_counted() {
        let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        assert!(list(&names).ends_with("29 and 10 more"));
    }
}
