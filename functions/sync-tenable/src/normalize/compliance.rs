//! One element of a compliance chunk.
//!
//! | ours | Tenable |
//! | --- | --- |
//! | one rule per control | `compliance_control_id`, else `check_id` |
//! | key of the finding | `audit_file` with `compliance_full_id` |
//! | state open, severity high | `status` FAILED |
//! | state open, severity medium | `status` WARNING: a check that somebody has to judge |
//! | state reopened | the same with `state` REOPENED |
//! | state fixed | `status` PASSED, or `state` FIXED: the check is not made any more |
//! | nothing | `status` ERROR, SKIPPED, UNKNOWN |

use std::borrow::Cow;
use std::sync::Arc;

use domain::{Finding, FindingKey, FindingKind, FindingState, Host, Rule, RuleId, Scanner, Severity};
use serde::Deserialize;
use sync::BadRecord;
use sync::split::json::{brief, element};

use super::findings::Statement;
use super::lenient::{Field, FromScalar, List, Part};
use super::names;

/// What is kept of what a check saw; the table keeps less.
const EVIDENCE_LIMIT: usize = 4_000;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Record<'a> {
    asset_uuid: Field<'a>,
    asset: Part<Asset<'a>>,
    audit_file: Field<'a>,
    check_id: Field<'a>,
    check_name: Field<'a>,
    check_info: Field<'a>,
    actual_value: Field<'a>,
    compliance_control_id: Field<'a>,
    compliance_full_id: Field<'a>,
    solution: Field<'a>,
    synopsis: Field<'a>,
    status: Field<'a>,
    state: Field<'a>,
    first_seen: Field<'a>,
    last_seen: Field<'a>,
    last_observed: Field<'a>,
    last_fixed: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Asset<'a> {
    id: Field<'a>,
    name: List<Field<'a>>,
    ipv4_addresses: List<Field<'a>>,
    ipv6_addresses: List<Field<'a>>,
    fqdns: List<Field<'a>>,
    netbios_name: List<Field<'a>>,
    mac_addresses: List<Field<'a>>,
    operating_systems: List<Field<'a>>,
    agent_uuid: Field<'a>,
}

impl<'a> FromScalar for Asset<'a> {
    type Text = Cow<'a, str>;
}

/// Reads the element of a compliance chunk that `bytes` begin with, which stands at `offset`, and answers how many bytes it
/// has. `None`: the check says nothing.
pub fn finding(offset: u64, bytes: &[u8]) -> Result<(Option<Statement>, usize), BadRecord> {
    let bad = |problem: String| BadRecord { offset, problem };
    let (record, length): (Record<'_>, _) =
        element(bytes).map_err(|error| bad(format!("it is no result of a check: {}", brief(&error))))?;
    let asset = record.asset.0;
    let native = record
        .asset_uuid
        .text()
        .or_else(|| asset.id.clone().text())
        .ok_or_else(|| bad("it has no asset".into()))?;
    let name = record.check_name.text();
    let check = record.check_id.text();
    let named = || name.as_ref().map(|name| format!("{:016x}", domain::digest(name.as_bytes())));
    let control = record
        .compliance_control_id
        .text()
        .or_else(|| check.clone())
        .or_else(named)
        .ok_or_else(|| bad("it has neither a control nor a check".into()))?;
    let full = record.compliance_full_id.text().or(check).unwrap_or_else(|| control.clone());

    let status = record.status.text().unwrap_or_default().trim().to_ascii_uppercase();
    let word = record.state.text().unwrap_or_default().trim().to_ascii_uppercase();
    let severity = if status == "WARNING" { Severity::Medium } else { Severity::High };
    let state = match (status.as_str(), word.as_str()) {
        (_, "FIXED") | ("PASSED", _) => FindingState::Fixed,
        ("FAILED" | "WARNING", "REOPENED") => FindingState::Reopened,
        ("FAILED" | "WARNING", _) => FindingState::Open,
        _ => return Ok((None, length)),
    };
    let rule = Rule {
        scanner: Scanner::Tenable,
        id: RuleId::new(format!("audit-{control}")),
        title: name.unwrap_or_else(|| format!("Check {control}")),
        cves: vec![],
        severity: None,
        cvss: None,
        description: record.check_info.text().or(record.synopsis.text()),
        solution: record.solution.text(),
        patchable: None,
        vendor_risk: None,
        exploit_available: None,
        modified: None,
    };
    let last = record.last_observed.time().or_else(|| record.last_seen.time());
    let finding = Finding {
        key: FindingKey::new(format!("{}|{full}", record.audit_file.text().unwrap_or_default())),
        rule: rule.id.clone(),
        kind: FindingKind::Compliance,
        severity,
        source_severity: status.clone(),
        state,
        source_state: [status, word]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        cvss: None,
        epss: None,
        vendor_risk: None,
        exploit_available: None,
        vendor_factors: std::collections::BTreeMap::new(),
        first_found: record.first_seen.time(),
        last_found: record.last_seen.time().or(last),
        fixed_at: (state == FindingState::Fixed).then(|| record.last_fixed.time().or(last)).flatten(),
        reopened_at: None,
        port: None,
        protocol: None,
        service: None,
        evidence: record.actual_value.text().map(short),
    };
    let mut host = Host {
        native,
        netbios: asset.netbios_name.texts(),
        macs: names::macs(asset.mac_addresses.texts()),
        agent_ids: asset.agent_uuid.text().into_iter().collect(),
        os: asset.operating_systems.texts().into_iter().next(),
        ..Host::default()
    };
    let addresses = asset.ipv4_addresses.texts().into_iter().chain(asset.ipv6_addresses.texts()).collect();
    names::sort_into(&mut host, addresses, asset.name.texts(), asset.fqdns.texts());
    let rule = Some(Arc::new(rule));
    Ok((Some(Statement { host: Arc::new(host), finding, rule }), length))
}

fn short(mut text: String) -> String {
    let end = text.char_indices().nth(EVIDENCE_LIMIT).map(|(end, _)| end);
    if let Some(end) = end {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(record: &Value) -> Option<Statement> {
        finding(0, record.to_string().as_bytes()).unwrap().0
    }

    fn record(status: &str, state: &str) -> Value {
        json!({
            "asset_uuid": "a1", "audit_file": "CIS_CentOS_8.audit", "check_id": "c1", "check_name": "5.5.4 GID 0",
            "check_info": "Why.", "actual_value": "root:x:0:1", "status": status, "state": state, "plugin_id": 21157,
            "compliance_control_id": "baadfa", "compliance_full_id": "a91e96", "solution": "# usermod -g 0 root",
            "first_seen": "2026-01-16T00:18:49Z", "last_seen": "2026-11-20T17:27:07Z",
            "last_observed": "2026-11-21T00:00:00Z", "last_fixed": "2026-11-19T00:00:00Z",
            "asset": {"id": "a1", "ipv4_addresses": ["10.22.20.164"], "fqdns": ["h.example.com"], "name": "h.example.com",
                "mac_addresses": ["04:32:d7:26:ef:82"], "operating_systems": ["Linux"], "agent_uuid": "5084c8"},
        })
    }

    #[test]
    fn pitfall_18_results_of_checks_do_not_share_the_id_of_their_plugin() {
        let one = read(&record("FAILED", "OPEN")).unwrap();
        let mut other = record("FAILED", "OPEN");
        other["compliance_control_id"] = "beef".into();
        other["compliance_full_id"] = "b2".into();
        let other = read(&other).unwrap();
        assert_ne!(one.finding.key, other.finding.key);
        assert_ne!(one.finding.rule, other.finding.rule);
        let mut same = record("FAILED", "OPEN");
        same["actual_value"] = "root:x:0:2".into();
        assert_eq!(
            read(&same).unwrap().finding.key,
            one.finding.key,
            "what a check saw is no part of its identity"
        );
    }

    #[test]
    fn every_field_has_its_place() {
        let Statement { host, finding, rule } = read(&record("FAILED", "OPEN")).unwrap();
        assert_eq!((host.native.as_str(), &host.ips[..]), ("a1", &["10.22.20.164".to_owned()][..]));
        assert_eq!(
            (host.fqdns.clone(), host.agent_ids.clone()),
            (vec!["h.example.com".to_owned()], vec!["5084c8".to_owned()])
        );
        assert_eq!(finding.kind, FindingKind::Compliance);
        assert_eq!((finding.state, finding.severity), (FindingState::Open, Severity::High));
        assert_eq!(
            (finding.source_state.as_str(), finding.source_severity.as_str()),
            ("FAILED OPEN", "FAILED")
        );
        assert_eq!(finding.evidence.as_deref(), Some("root:x:0:1"));
        assert_eq!((finding.first_found, finding.fixed_at), ("2026-01-16T00:18:49Z".parse().ok(), None));
        let rule = rule.unwrap();
        assert_eq!((rule.title.as_str(), rule.description.as_deref()), ("5.5.4 GID 0", Some("Why.")));
        assert_eq!(rule.solution.as_deref(), Some("# usermod -g 0 root"));
    }

    #[test]
    fn status_and_state_together_say_where_it_stands() {
        let state = |status: &str, word: &str| {
            read(&record(status, word)).map(|s| (s.finding.state, s.finding.severity))
        };
        assert_eq!(state("FAILED", "REOPENED"), Some((FindingState::Reopened, Severity::High)));
        assert_eq!(state("WARNING", "OPEN"), Some((FindingState::Open, Severity::Medium)));
        assert_eq!(state("PASSED", "OPEN").map(|s| s.0), Some(FindingState::Fixed));
        assert_eq!(state("FAILED", "FIXED").map(|s| s.0), Some(FindingState::Fixed));
        for nothing in ["ERROR", "SKIPPED", "UNKNOWN", "", "NEW_WORD"] {
            assert_eq!(state(nothing, "OPEN"), None, "{nothing}");
        }
        assert!(read(&record("PASSED", "OPEN")).unwrap().finding.fixed_at.is_some());
    }

    #[test]
    fn older_records_and_broken_ones() {
        let old = json!({"asset_uuid": "a", "check_name": "x", "audit_file": "f", "status": "FAILED"});
        let old = read(&old).unwrap();
        assert!(
            old.finding.rule.as_str().starts_with("audit-") && old.finding.key.as_str().starts_with("f|")
        );
        for bad in ["{}", "[]", "7", r#"{"asset_uuid":"a","status":"FAILED"}"#, r#"{"asset_uuid":"#] {
            assert_eq!(finding(9, bad.as_bytes()).unwrap_err().offset, 9, "{bad}");
        }
    }
}
