//! Real answers of an InsightVM console, replayed through the real client: the recordings that `RECORDINGS` names.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use domain::{FindingState, Severity};
use sync::{Normalized, Summary};

fn folder() -> Option<PathBuf> {
    match std::env::var_os("RECORDINGS") {
        Some(folder) => Some(PathBuf::from(folder).join("insightvm-console")),
        None => {
            println!("skipped: RECORDINGS is not set");
            None
        }
    }
}

fn read(stream: &str, path: PathBuf) -> (Vec<Normalized>, Summary) {
    let mut statements = Vec::new();
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let summary =
        sync_insightvm_console::normalize(stream, Cursor::new(bytes), &mut |s| statements.push(s)).unwrap();
    (statements, summary)
}

#[test]
fn a_real_scan_of_one_asset() {
    let Some(folder) = folder() else { return };
    let recording = folder.join("fetch-asset-vulnerabilities_3085008937");
    let (statements, summary) =
        read("assets", recording.join("00_GET_api_3_assets_page_0_size_500.200.json"));
    assert_eq!(summary, Summary { hosts: 1, ..Summary::default() });
    let Normalized::Host(host) = &statements[0] else { panic!() };
    assert_eq!((host.native.as_str(), host.os.as_deref()), ("1", Some("Debian Linux")));
    assert_eq!(
        (host.ips.as_slice(), host.macs.as_slice()),
        (&["172.18.0.3".into()][..], &["02:42:AC:12:00:03".into()][..])
    );
    assert_eq!(host.fqdns, ["da7a8ca02894.vulnerable-net"]);
    assert_eq!(host.last_scanned_at, Some("2023-08-09T17:33:45.998Z".parse().unwrap()));

    let page = recording.join("01_GET_api_3_assets_1_vulnerabilities_page_0_size_500.200.json");
    let (statements, summary) = read("vulnerabilities", page);
    assert_eq!((summary.refused, summary.findings), (0, 52), "as many as the asset counts");
    let mut keys = BTreeMap::new();
    for statement in &statements {
        let Normalized::Finding { host, finding, .. } = statement else { continue };
        assert_eq!((host.as_str(), finding.state), ("1", FindingState::Open));
        assert!(finding.first_found.is_some() && finding.evidence.as_ref().is_some_and(|e| !e.contains('<')));
        *keys.entry(finding.key.to_string()).or_insert(0) += 1;
    }
    assert!(keys.values().all(|count| *count == 1), "keys tell findings apart");
    assert!(keys.contains_key("apache-httpd-cve-2017-15710|80|tcp|"), "{keys:?}");

    let mut severities: BTreeMap<Severity, u32> = BTreeMap::new();
    for entry in std::fs::read_dir(&recording).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("api_3_vulnerabilities_") || !name.ends_with(".200.json") {
            continue;
        }
        let (statements, summary) = read("definitions", entry);
        assert_eq!(summary, Summary { rules: 1, ..Summary::default() }, "{name}");
        let Normalized::Rule(rule) = &statements[0] else { panic!() };
        assert!(rule.description.is_some() && rule.cvss.is_some() && !rule.title.is_empty(), "{name}");
        *severities.entry(rule.severity.unwrap()).or_default() += 1;
        if rule.id.as_str() == "apache-httpd-cve-2017-15710" {
            let cvss = rule.cvss.as_ref().unwrap();
            assert_eq!((cvss.version.as_str(), cvss.score.to_string()), ("3.0", "7.5".into()));
            assert_eq!((rule.cves[0].as_str(), rule.severity), ("CVE-2017-15710", Some(Severity::Medium)));
        }
    }
    assert!(severities[&Severity::Medium] > 30 && severities.values().sum::<u32>() > 40, "{severities:?}");
    println!("{severities:?}");
}

#[test]
fn payloads_of_rapid7s_own_plugin() {
    let Some(folder) = folder() else { return };
    let payloads = folder.join("plugin-payloads");
    // The plugin has cut the links, which alone name the asset: a finding that nothing can be kept under.
    let (statements, _) = read("vulnerabilities", payloads.join("get_asset_vulnerabilities.json"));
    let [Normalized::Refused(bad)] = statements.as_slice() else { panic!("{statements:?}") };
    assert!(bad.problem.contains("no link"), "{bad:?}");
    let (statements, _) =
        read("definitions", payloads.join("get_asset_vulnerabilities_with_risk_score.json"));
    let Normalized::Rule(rule) = &statements[0] else { panic!("{statements:?}") };
    let cvss = rule.cvss.as_ref().unwrap();
    assert_eq!((rule.id.as_str(), cvss.version.as_str()), ("cifs-smb2-signing-not-required", "2.0"));
}
