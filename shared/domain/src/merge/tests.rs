use super::*;
use crate::ids::{FindingKey, SightingId};
use proptest::prelude::*;

fn finding(host: &str, rule: &str, cves: &[&str]) -> Mergeable {
    let (connector, scanner) = match host.split_once('/') {
        Some(("q", _)) => ("q", Scanner::Qualys),
        _ => ("t", Scanner::Tenable),
    };
    let native = host.rsplit('/').next().unwrap_or(host);
    Mergeable {
        finding: FindingRef {
            sighting: SightingId::new(connector.parse().unwrap(), native),
            finding: FindingKey::new(rule),
            rule: RuleId::new(rule),
        },
        scanner,
        cves: cves.iter().map(|c| c.parse().unwrap()).collect(),
    }
}

fn asset() -> AssetId {
    AssetId::derive("x")
}

/// A record of these findings, known since the given day of a month.
fn record(id: &VulnId, since: u8, findings: &[Mergeable]) -> Vulnerability {
    let cves: BTreeSet<&CveId> = findings.iter().flat_map(|f| &f.cves).collect();
    let scanners: BTreeSet<Scanner> = findings.iter().map(|f| f.scanner).collect();
    let text = serde_json::json!({
        "id": id, "asset": asset(), "title": "", "cves": cves, "scanners": scanners, "severity": "high",
        "findings": findings.iter().map(|f| &f.finding).collect::<Vec<_>>(), "status": "identified",
        "score": crate::score::score(&Default::default(), &Default::default()), "factors": {}, "events": [],
        "known_since": format!("2026-01-{since:02}T00:00:00Z"),
    });
    serde_json::from_value(text).unwrap()
}

/// The records that follow from groups, all known since one day.
fn records(groups: &[Group], findings: &[Mergeable], since: u8) -> BTreeMap<VulnId, Vulnerability> {
    let members = |g: &Group| g.members.iter().map(|&m| findings[m].clone()).collect::<Vec<_>>();
    groups.iter().map(|g| (g.id.clone(), record(&g.id, since, &members(g)))).collect()
}

fn shape(groups: &[Group]) -> Vec<Vec<usize>> {
    groups.iter().map(|g| g.members.clone()).collect()
}

#[test]
fn a_shared_cve_joins_scanners_and_rules_without_one_stand_alone() {
    let findings = [
        finding("t/1", "100", &["CVE-2021-44228", "CVE-2021-45046"]),
        finding("q/7", "376157", &["CVE-2021-45046"]),
        finding("t/1", "200", &[]),
        finding("q/7", "38173", &[]),
    ];
    let groups = merge(&asset(), &findings, &BTreeMap::new());
    assert_eq!(shape(&groups), [vec![0, 1], vec![2], vec![3]]);
    assert_eq!(groups[0].cves.len(), 2);
    assert!(groups.iter().all(|g| !g.known));
}

#[test]
fn a_rule_number_of_one_scanner_is_not_that_of_another() {
    let findings = [finding("t/1", "100", &[]), finding("q/7", "100", &[]), finding("t/2", "100", &[])];
    assert_eq!(shape(&merge(&asset(), &findings, &BTreeMap::new())), [vec![0, 2], vec![1]]);
}

#[test]
fn cves_join_over_a_chain() {
    let findings = [
        finding("t/1", "1", &["CVE-2024-0001", "CVE-2024-0002"]),
        finding("t/1", "2", &["CVE-2024-0003"]),
        finding("t/1", "3", &["CVE-2024-0002", "CVE-2024-0003"]),
    ];
    assert_eq!(shape(&merge(&asset(), &findings, &BTreeMap::new())), [vec![0, 1, 2]]);
}

#[test]
fn the_same_input_gives_the_same_ids_in_any_order() {
    let mut findings =
        vec![finding("t/1", "100", &["CVE-2021-44228"]), finding("q/7", "9", &["CVE-2021-44228"])];
    let one = merge(&asset(), &findings, &BTreeMap::new());
    findings.reverse();
    let other = merge(&asset(), &findings, &BTreeMap::new());
    assert_eq!(one[0].id, other[0].id);
}

#[test]
fn a_record_keeps_its_id_when_its_rule_gets_another_cve() {
    let before = [finding("t/1", "1", &["CVE-2024-0002"])];
    let known = records(&merge(&asset(), &before, &BTreeMap::new()), &before, 1);
    let after = [finding("t/1", "1", &["CVE-2024-0001", "CVE-2024-0002"])];
    let groups = merge(&asset(), &after, &known);
    assert!(groups[0].known && known.contains_key(&groups[0].id));
}

#[test]
fn of_two_that_become_one_the_older_stays() {
    let (a, b) = (finding("t/1", "1", &["CVE-2024-0001"]), finding("t/1", "2", &["CVE-2024-0002"]));
    let ids = [VulnId::derive(&asset(), "z"), VulnId::derive(&asset(), "y")];
    for older in 0..2 {
        let (day_a, day_b) = if older == 0 { (1, 2) } else { (2, 1) };
        let known = BTreeMap::from([
            (ids[0].clone(), record(&ids[0], day_a, std::slice::from_ref(&a))),
            (ids[1].clone(), record(&ids[1], day_b, std::slice::from_ref(&b))),
        ]);
        let findings = [a.clone(), b.clone(), finding("q/7", "3", &["CVE-2024-0001", "CVE-2024-0002"])];
        let groups = merge(&asset(), &findings, &known);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].id, ids[older]);
        assert_eq!(groups[0].absorbed, [ids[1 - older].clone()]);
    }
}

#[test]
fn a_finding_that_moves_leaves_both_records_where_they_are() {
    let findings = [
        finding("t/1", "1", &["CVE-2024-0001"]),
        finding("t/1", "2", &["CVE-2024-0001"]),
        finding("t/1", "3", &["CVE-2024-0002"]),
    ];
    let known = records(&merge(&asset(), &findings, &BTreeMap::new()), &findings, 1);
    let mut moved = findings.clone();
    moved[1].cves = vec!["CVE-2024-0002".parse().unwrap()];
    let groups = merge(&asset(), &moved, &known);
    assert_eq!(shape(&groups), [vec![0], vec![1, 2]]);
    assert!(groups.iter().all(|g| g.known && g.absorbed.is_empty()));
    assert_eq!(known[&groups[0].id].cves, groups[0].cves);
    assert_eq!(known[&groups[1].id].cves, groups[1].cves);
}

#[test]
fn where_its_findings_are_gone_a_record_continues_with_its_cve_or_its_rule() {
    let before = [finding("t/1", "1", &["CVE-2024-0001"]), finding("t/1", "2", &[])];
    let known = records(&merge(&asset(), &before, &BTreeMap::new()), &before, 1);
    let after = [finding("q/7", "9", &["CVE-2024-0001"]), finding("t/5", "2", &[]), finding("q/7", "2", &[])];
    let groups = merge(&asset(), &after, &known);
    assert_eq!(groups.iter().map(|g| g.known).collect::<Vec<_>>(), [true, true, false]);
}

fn some_findings() -> impl Strategy<Value = Vec<Mergeable>> {
    let cves = ["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003", "CVE-2024-0004"];
    let one = (0..3usize, 0..5usize, prop::collection::btree_set(0..cves.len(), 0..3));
    prop::collection::vec(one, 0..14).prop_map(move |all| {
        let named = all.into_iter().map(|(host, rule, of)| {
            let cves: Vec<&str> = of.into_iter().map(|c| cves[c]).collect();
            finding(["t/1", "q/7", "t/2"][host], ["1", "2", "3", "4", "5"][rule], &cves)
        });
        let unique: BTreeMap<FindingRef, Mergeable> = named.map(|m| (m.finding.clone(), m)).collect();
        unique.into_values().collect()
    })
}

proptest! {
    #[test]
    fn every_finding_is_in_one_group_and_every_id_is_of_one_group(findings in some_findings(), later in some_findings()) {
        let first = merge(&asset(), &findings, &BTreeMap::new());
        let known = records(&first, &findings, 1);
        let groups = merge(&asset(), &later, &known);
        let mut members: Vec<usize> = groups.iter().flat_map(|g| g.members.clone()).collect();
        members.sort_unstable();
        prop_assert_eq!(members, (0..later.len()).collect::<Vec<_>>());
        let ids: Vec<&VulnId> = groups.iter().flat_map(|g| std::iter::once(&g.id).chain(&g.absorbed)).collect();
        prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        for group in &groups {
            prop_assert_eq!(group.known, known.contains_key(&group.id));
        }
    }

    #[test]
    fn merged_again_nothing_changes(findings in some_findings()) {
        let first = merge(&asset(), &findings, &BTreeMap::new());
        let again = merge(&asset(), &findings, &records(&first, &findings, 1));
        prop_assert_eq!(shape(&first), shape(&again));
        for (one, other) in first.iter().zip(&again) {
            prop_assert_eq!(&one.id, &other.id);
            prop_assert!(other.known && other.absorbed.is_empty());
        }
    }
}
