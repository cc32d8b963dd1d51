//! Real `.nessus` files from 2012 to 2025: the recordings that `RECORDINGS` names. The expectations were read off the
//! files with another parser.

use std::collections::BTreeSet;
use std::path::PathBuf;

use domain::{Finding, FindingState, Host, Rule, Severity};
use store::Verdict;
use sync::{Normalized, Summary};

use crate::nessus::Written;

fn recordings() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("RECORDINGS") else {
        eprintln!("skipped: RECORDINGS is not set");
        return None;
    };
    Some(PathBuf::from(folder).join("nessus"))
}

/// What one file says.
#[derive(Default)]
struct Said {
    hosts: Vec<Host>,
    findings: Vec<(String, Finding, usize)>,
    rules: Vec<Rule>,
    whole: Vec<String>,
    summary: Summary,
}

impl Said {
    /// Critical, high, medium, low, info.
    fn severities(&self) -> [usize; 5] {
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info]
            .map(|severity| self.findings.iter().filter(|(_, f, _)| f.severity == severity).count())
    }

    fn count(&self, of: impl Fn(&Finding) -> bool) -> usize {
        self.findings.iter().filter(|(_, finding, _)| of(finding)).count()
    }

    fn cves(&self) -> usize {
        self.rules.iter().flat_map(|rule| &rule.cves).collect::<BTreeSet<_>>().len()
    }

    fn finding(&self, plugin: &str) -> &Finding {
        &self.findings.iter().find(|(_, finding, _)| finding.rule.as_str() == plugin).unwrap().1
    }
}

fn read(name: &str) -> Option<Said> {
    let path = recordings()?.join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut said = Said::default();
    let summary = sync_nessus::normalize("", file, &mut |statement| match statement {
        Normalized::Host(host) => said.hosts.push(host),
        Normalized::Rule(rule) => said.rules.push(rule),
        Normalized::Refused(bad) => panic!("{bad}"),
        Normalized::Whole { host, .. } => said.whole.push(host),
        Normalized::Finding { host, finding, cves, .. } => said.findings.push((host, finding, cves.len())),
    });
    said.summary = summary.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(said.findings.iter().all(|(host, ..)| said.hosts.iter().any(|h| h.native == *host)), "{name}");
    Some(said)
}

#[test]
fn every_file_is_read_to_its_last_item() {
    for (name, hosts, items, severities, rules, cves) in [
        ("example_v3.nessus", 1, 155, [8, 5, 16, 8, 118], 106, 34),
        ("heimdall_3hosts.nessus", 3, 149, [1, 1, 5, 2, 140], 80, 34),
        ("nessus10_2025.nessus", 1, 40, [11, 9, 3, 1, 16], 40, 55),
        ("nessus_report_local_3.nessus", 3, 106, [2, 3, 20, 10, 71], 55, 44),
        ("nessus_scan_week1.nessus", 7, 295, [0, 0, 23, 7, 265], 32, 1),
        ("nessus_scan_week2.nessus", 7, 287, [0, 1, 14, 7, 265], 31, 1),
        ("nessus_scan_week3.nessus", 7, 287, [0, 0, 15, 7, 265], 31, 1),
        ("nessus_with_cvssv3.nessus", 1, 49, [2, 10, 13, 1, 23], 48, 136),
        ("pytenable_example.nessus", 1, 230, [7, 77, 9, 2, 135], 193, 700),
    ] {
        let Some(said) = read(name) else { return };
        let expected = Summary { hosts, findings: items, rules, refused: 0 };
        assert_eq!(said.summary, expected, "{name}");
        assert_eq!(said.whole.len() as u64, hosts, "{name}");
        assert_eq!(said.severities(), severities, "{name}");
        assert_eq!(said.cves(), cves, "{name}");
        assert!(
            said.findings.iter().all(|(_, f, _)| f.state == FindingState::Open && f.first_found.is_some()),
            "{name}"
        );
        assert!(said.hosts.iter().all(|host| host.credentialed.is_some() && host.checks.is_some()), "{name}");
    }
}

#[test]
fn the_newest_format_has_epss_vpr_and_exploits() {
    let Some(said) = read("nessus10_2025.nessus") else { return };
    assert_eq!(said.count(|finding| finding.epss.is_some()), 23);
    assert_eq!(said.count(|finding| finding.vendor_risk.is_some()), 23);
    assert_eq!(said.count(|finding| finding.exploit_available.is_some()), 19);
    assert_eq!(said.count(|finding| finding.cvss.is_some()), 24);
    assert_eq!(said.count(|finding| finding.port.is_some()), 34);
    assert_eq!(said.count(|finding| finding.evidence.is_some()), 39);
    let apache = said.finding("150280");
    assert_eq!((apache.epss, apache.vendor_risk, apache.port), (Some(0.7159), Some(6.7), Some(80)));
    assert_eq!((apache.severity, apache.service.as_deref()), (Severity::Critical, Some("http?")));
    let cvss = apache.cvss.as_ref().unwrap();
    assert_eq!((cvss.version.as_str(), cvss.score.to_string().as_str()), ("3.0", "9.8"));
    let rule = said.rules.iter().find(|rule| rule.id.as_str() == "150280").unwrap();
    assert_eq!((rule.title.as_str(), rule.cves.len()), ("Apache 2.4.x < 2.4.47 Multiple Vulnerabilities", 7));
    let host = &said.hosts[0];
    assert_eq!(
        (host.native.as_str(), host.credentialed, host.checks),
        ("172.32.0.215", Some(false), Some(257_918))
    );
    assert_eq!(
        host.last_scanned_at,
        Some("2025-11-07T18:28:09Z".parse().unwrap()),
        "the time stamp, not the wall clock"
    );
}

#[test]
fn hosts_are_known_by_the_best_that_they_show() {
    let Some(said) = read("pytenable_example.nessus") else { return };
    let host = &said.hosts[0];
    assert_eq!((host.native.as_str(), host.credentialed), ("422616cef4cae1a478d43ff87addeff2", Some(true)));
    assert_eq!(
        (host.fqdns.as_slice(), host.ips.as_slice()),
        (&["adam.ad.demo.io".to_owned()][..], &["192.168.16.133".to_owned()][..])
    );
    assert_eq!(host.agent_ids, ["155e3f7a3e2e4e3a910c3edb567dea7f"]);
    let vectors: Vec<_> = said.findings.iter().filter_map(|(_, f, _)| f.cvss.as_ref()).collect();
    assert_eq!(vectors.iter().filter(|cvss| cvss.version == "3").count(), 84, "vectors without their prefix");

    let Some(said) = read("heimdall_3hosts.nessus") else { return };
    let hosts: Vec<_> =
        said.hosts.iter().map(|host| (host.native.as_str(), host.credentialed.unwrap())).collect();
    assert_eq!(hosts[0], ("2cf05d80e790", true), "and not a container's");
    // 5A:… was made up by the host itself, so that its name counts.
    assert_eq!(hosts[1..], [("splunk.cmoo.rs", false), ("18e829426e51", false)]);
}

#[test]
fn the_weeks_have_the_same_keys_but_for_what_changed() {
    let Some(weeks) = [1, 2, 3]
        .iter()
        .map(|week| read(&format!("nessus_scan_week{week}.nessus")))
        .collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let keys = |said: &Said| -> BTreeSet<(String, String)> {
        said.findings.iter().map(|(host, finding, _)| (host.clone(), finding.key.to_string())).collect()
    };
    let sets: Vec<_> = weeks.iter().map(keys).collect();
    assert_eq!(sets.iter().map(BTreeSet::len).collect::<Vec<_>>(), [295, 287, 287]);
    let change =
        |a: usize, b: usize| (sets[b].difference(&sets[a]).count(), sets[a].difference(&sets[b]).count());
    assert_eq!((change(0, 1), change(1, 2)), ((1, 9), (1, 1)));
}

#[tokio::test]
async fn three_weeks_of_one_scan_open_and_close_what_they_should() {
    let Some(folder) = recordings() else { return };
    let written = Written::start().await;
    let file = |week: u32| std::fs::read(folder.join(format!("nessus_scan_week{week}.nessus"))).unwrap();
    let mut seen = Vec::new();
    for week in [1, 2, 3] {
        let run = written.week("completed", file(week)).await;
        assert_eq!((run.verdict, run.counts.hosts, run.counts.refused), (Some(Verdict::Complete), 7, 0));
        let counts = &run.counts;
        seen.push((counts.received, counts.opened, counts.closed, counts.reopened));
    }
    assert_eq!(seen, [(295, 295, 0, 0), (287, 1, 9, 0), (287, 1, 1, 0)]);
    // The first week again, as the fourth: what had gone is back, and what was new is gone.
    let run = written.week("completed", file(1)).await;
    assert_eq!((run.counts.opened, run.counts.closed, run.counts.reopened), (0, 1, 9));
}
