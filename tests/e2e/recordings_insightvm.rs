//! Real answers of InsightVM's cloud: the recordings that `RECORDINGS` names. The expectations were read off the
//! recordings by hand.

use std::path::PathBuf;

use domain::{FindingState, Severity};
use sync::{Normalized, Summary};

/// A recording, as it is or as the only record of a page.
fn read(name: &str, stream: &str, page: bool) -> Option<(Vec<Normalized>, Summary)> {
    let Some(folder) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set");
        return None;
    };
    let path = PathBuf::from(folder).join("insightvm-cloud").join(name);
    let mut text = std::fs::read_to_string(path).unwrap();
    if !page {
        text = format!("{{\"data\":[{text}],\"metadata\":{{}}}}");
    }
    let mut statements = Vec::new();
    let summary =
        sync_insightvm::normalize(stream, text.as_bytes(), &mut |statement| statements.push(statement))
            .unwrap();
    Some((statements, summary))
}

#[test]
fn a_page_of_assets() {
    let Some((statements, summary)) = read("asset_search.json", "assets", true) else { return };
    assert_eq!((summary.hosts, summary.findings, summary.refused), (2, 0, 0));
    let Normalized::Host(host) = &statements[0] else { panic!() };
    assert_eq!(host.native, "5058b0b4-701a-414e-9630-430d2cddbf4d");
    assert_eq!(
        (host.ips.as_slice(), host.macs.as_slice()),
        (&["1.1.1.1".to_owned()][..], &["01:01:01:A0:1A:11".to_owned()][..])
    );
    assert_eq!(host.os.as_deref(), Some("Linux 3.0"));
    assert_eq!(host.last_scanned_at.unwrap().to_string(), "2000-01-01T00:00:00Z");
    let tags: Vec<_> = host.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
    assert_eq!(tags, [("TestTag1", ""), ("site", "TestTag2")]);
}

#[test]
fn an_asset_with_its_findings() {
    let Some((statements, summary)) = read("get_asset_include_vulns.json", "assets", false) else { return };
    assert_eq!((summary.hosts, summary.findings, summary.refused), (1, 1, 0));
    let Normalized::Finding { finding, solution, .. } = &statements[1] else { panic!() };
    assert_eq!(finding.rule.as_str(), "abcd-abc-1234-1234");
    assert_eq!(finding.key.as_str(), "abcd-abc-1234-1234|||||9de5069c5afe602b2ea0a04b66beb2c0");
    assert_eq!((finding.state, finding.source_state.as_str()), (FindingState::Open, "vulnerable"));
    assert_eq!(finding.evidence.as_deref(), Some("OpenBSD OpenSSH 4.3 on Linux"));
    let told = "2000-01 Example Update for Example System\n\nDownload and apply the patch from example.com";
    assert_eq!(solution.as_deref(), Some(told));
}

#[test]
fn an_asset_without_findings() {
    let Some((_, summary)) = read("get_asset.json", "assets", false) else { return };
    assert_eq!((summary.hosts, summary.findings, summary.refused), (1, 0, 0));
}

#[test]
fn definitions() {
    let Some((statements, summary)) = read("vuln_search.json", "vulnerabilities", true) else { return };
    assert_eq!(summary.refused, 0);
    assert_eq!(summary.rules as usize, statements.len());
    let rule = |id: &str| {
        let found = statements.iter().find_map(|statement| match statement {
            Normalized::Rule(rule) if rule.id.as_str() == id => Some(rule.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {id}"))
    };
    let old = rule("7-zip-cve-2008-6536");
    assert_eq!(old.severity, Some(Severity::Critical), "score 10 without CVSS 3");
    assert_eq!(old.cves.iter().map(ToString::to_string).collect::<Vec<_>>(), ["CVE-2008-6536"]);
    let cvss = old.cvss.unwrap();
    assert_eq!((cvss.version.as_str(), cvss.vector.as_deref()), ("2.0", Some("AV:N/AC:L/Au:N/C:C/I:C/A:C")));
    assert!(statements.iter().all(|s| matches!(s, Normalized::Rule(rule) if rule.severity.is_some())));
}
