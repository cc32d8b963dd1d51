//! Files written for the purpose: none, one, many rows, other types, broken ones.

use simulators::insightvm::table::{Cell, Table as Writer};

use super::*;
use crate::normalize::normalize;

const ASSET: &str = "optional binary assetId (STRING); optional binary agentId (STRING); optional binary awsInstanceId (STRING);
    optional binary ip (STRING); optional binary hostName (STRING); optional binary mac (STRING);
    optional group sites (LIST) { repeated group list { optional binary element (STRING); } }
    optional group tags (LIST) { repeated group list { optional group element {
        optional binary name (STRING); optional binary tagType (STRING); } } }";

const FINDING: &str =
    "optional binary assetId (STRING); optional binary vulnId (STRING); optional int32 port;
    optional binary protocol (STRING); optional binary proof (STRING); optional binary severity (STRING);
    optional double cvssV3Score; optional int32 riskScoreV2_0; optional double riskScore;
    optional int64 epssscore (DECIMAL(10,9)); optional boolean hasExploits;
    optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true));
    optional int64 reintroducedTimestamp (TIMESTAMP(MICROS,true));
    optional group cves (LIST) { repeated group list { optional binary element (STRING); } }";

const REMOVED: &str = "optional binary assetId (STRING); optional binary vulnId (STRING);
    optional int64 firstFoundTimestamp (TIMESTAMP(MICROS,true));
    optional int64 reintroducedTimestamp (TIMESTAMP(MICROS,true));
    optional int64 lastRemoved (TIMESTAMP(MICROS,true));";

fn file(columns: &'static str, rows: Vec<Vec<Cell>>) -> Vec<u8> {
    let groups: Vec<_> = rows.chunks(2).map(<[Vec<Cell>]>::to_vec).collect();
    Writer::new(columns).write(&groups)
}

fn all(stream: &str, body: &[u8]) -> Vec<Normalized> {
    let mut statements = Vec::new();
    normalize(stream, body, &mut |statement| statements.push(statement)).unwrap();
    statements
}

fn finding(asset: &str, extra: impl FnOnce(&mut Vec<Cell>)) -> Vec<Cell> {
    let mut row = vec![
        Cell::text(asset),
        Cell::text("v1"),
        Cell::Int(Some(443)),
        Cell::text("TCP"),
        Cell::text("<p>seen</p>"),
        Cell::text("Critical"),
        Cell::Double(Some(9.8)),
        Cell::Int(Some(589)),
        Cell::Double(Some(897.96)),
        Cell::Time(Some(13_470_000)),
        Cell::Bool(Some(true)),
        Cell::time(1_760_000_000),
        Cell::Time(None),
        Cell::List(vec!["CVE-2012-5673".into(), "x".into()]),
    ];
    extra(&mut row);
    row
}

#[test]
fn a_row_of_assets_is_a_host() {
    let tags =
        vec![("env=prod".to_owned(), "CUSTOM".to_owned()), ("High".to_owned(), "CRITICALITY".to_owned())];
    let row = vec![
        Cell::text("3a0f"),
        Cell::text("cc2f"),
        Cell::text("i-0cac20ad3a055e8c9"),
        Cell::text("10.2.153.2"),
        Cell::text("ws.example.com"),
        Cell::text("0AFF000096D1"),
        Cell::List(vec!["Bangalore".into(), "Pune".into()]),
        Cell::Tags(tags),
    ];
    let statements = all("bulk_assets", &file(ASSET, vec![row]));
    let [Normalized::Host(host)] = statements.as_slice() else { panic!("{statements:?}") };
    assert_eq!(
        (host.native.as_str(), host.fqdns[0].as_str(), host.ips[0].as_str()),
        ("3a0f", "ws.example.com", "10.2.153.2")
    );
    assert_eq!(
        (host.macs.as_slice(), host.agent_ids.as_slice()),
        (&["0AFF000096D1".to_owned()][..], &["cc2f".to_owned()][..])
    );
    assert_eq!((host.cloud[0].provider.as_str(), host.criticality), ("aws", Some(4)));
    let tags: Vec<_> = host.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    assert_eq!(tags, ["site=Bangalore", "site=Pune", "env=prod", "criticality=High"]);
}

#[test]
fn a_row_of_findings_is_a_finding_and_its_rule_once() {
    let rows = vec![
        finding("a", |_| {}),
        finding("b", |row| row[2] = Cell::Int(None)),
        finding("c", |row| row[12] = Cell::time(1_770_000_000)),
    ];
    let statements = all("bulk_vulnerabilities", &file(FINDING, rows));
    let findings: Vec<_> = statements
        .iter()
        .filter_map(|s| {
            if let Normalized::Finding { host, finding, .. } = s {
                Some((host.as_str(), finding))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(findings.len(), 3);
    let (host, first) = &findings[0];
    assert_eq!((*host, first.key.as_str(), first.severity), ("a", "v1||443|tcp", Severity::Critical));
    assert_eq!(
        (first.vendor_risk, first.exploit_available),
        (Some(589.0), Some(true)),
        "Active Risk before the old score"
    );
    let older = domain::Finding {
        vendor_factors: [("riskScore".to_owned(), "1.5".to_owned())].into(),
        ..(*first).clone()
    };
    assert!(
        first.vendor_factors["riskScore"] != "1.5" && first.digest() == older.digest(),
        "it grows with age"
    );
    let without = domain::Finding { vendor_factors: Default::default(), ..(*first).clone() };
    assert_ne!(first.digest(), without.digest());
    assert!((first.epss.unwrap() - 0.013_47).abs() < 1e-12);
    assert_eq!(first.first_found.unwrap().as_second(), 1_760_000_000);
    assert_eq!((first.evidence.as_deref(), first.source_severity.as_str()), (Some("seen"), "Critical"));
    assert!(first.last_found.is_none(), "the export does not tell it");
    assert_eq!((findings[1].1.key.as_str(), findings[1].1.port), ("v1|||tcp", None));
    assert_eq!(findings[2].1.state, FindingState::Reopened);
    let rules: Vec<_> = statements
        .iter()
        .filter_map(|s| if let Normalized::Rule(rule) = s { Some(rule) } else { None })
        .collect();
    // Once a row group: rows of another group may be read by somebody else.
    assert_eq!(rules.len(), 2);
    assert_eq!((rules[0].cves.len(), rules[0].severity), (1, Some(Severity::Critical)));
}

#[test]
fn the_old_score_counts_where_active_risk_is_missing() {
    let rows = vec![finding("a", |row| row[7] = Cell::Int(None))];
    let statements = all("bulk_vulnerabilities", &file(FINDING, rows));
    assert!(
        statements
            .iter()
            .any(|s| matches!(s, Normalized::Finding { finding, .. } if finding.vendor_risk == Some(897.96)))
    );
}

#[test]
fn only_what_is_removed_and_did_not_come_back_is_fixed() {
    let row = |back: Option<i64>, removed: Option<i64>| {
        let micros = |time: Option<i64>| Cell::Time(time.map(|time| time * 1_000_000));
        vec![Cell::text("a"), Cell::text("v"), Cell::time(100_000_000), micros(back), micros(removed)]
    };
    let day = 1_770_000_000;
    let rows = vec![
        row(None, Some(day)),
        row(Some(day - 9), Some(day)),
        row(Some(day + 9), Some(day)),
        row(None, None),
    ];
    let statements = all("bulk_remediation", &file(REMOVED, rows));
    assert_eq!(statements.len(), 2);
    for statement in statements {
        let Normalized::Finding { finding, .. } = statement else { panic!() };
        assert_eq!((finding.state, finding.fixed_at.unwrap().as_second()), (FindingState::Fixed, day));
    }
}

#[test]
fn none_and_a_bad_one_among_others() {
    assert!(all("bulk_vulnerabilities", &file(FINDING, vec![])).is_empty());
    let rows = vec![finding("a", |_| {}), finding("", |_| {}), finding("c", |row| row[1] = Cell::Text(None))];
    let statements = all("bulk_vulnerabilities", &file(FINDING, rows));
    let refused: Vec<_> = statements
        .iter()
        .filter_map(|s| if let Normalized::Refused(bad) = s { Some(bad.to_string()) } else { None })
        .collect();
    assert_eq!(refused.len(), 2);
    assert!(
        refused[0].contains("row 1 of its row group") && refused[0].contains("assetId"),
        "{}",
        refused[0]
    );
}

#[test]
fn what_is_no_such_file_is_an_error() {
    let assets = file(ASSET, vec![]);
    let good = file(FINDING, (0..40).map(|n| finding(&format!("a{n}"), |_| {})).collect());
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    for (body, problem) in [
        (&b""[..], "cannot be read as Parquet"),
        (&b"<html>Scheduled maintenance</html>"[..], "cannot be read as Parquet"),
        (torn.as_slice(), "cannot be read as Parquet"),
        (assets.as_slice(), "no column vulnid"),
    ] {
        let error = normalize("bulk_vulnerabilities", body, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_file_with_any_byte_broken_never_does_more_than_fail() {
    let good = file(FINDING, (0..6).map(|n| finding(&format!("a{n}"), |_| {})).collect());
    std::panic::set_hook(Box::new(|_| {}));
    for at in (0..good.len()).step_by(7) {
        let mut broken = good.clone();
        broken[at] ^= 0x5A;
        let _ = normalize("bulk_vulnerabilities", broken.as_slice(), &mut |_| {});
    }
    let _ = std::panic::take_hook();
}
