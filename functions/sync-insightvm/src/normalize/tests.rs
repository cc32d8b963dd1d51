//! Every shape of an answer.

use domain::finding::Tenths;
use domain::{CloudId, Cvss, FindingState, Severity, Tag};
use serde_json::{Value, json};

use super::*;

fn asset_of(record: &Value) -> asset::Asset {
    asset::asset(0, record.to_string().as_bytes()).unwrap().0
}

fn with_findings(list: &str, findings: Value) -> asset::Asset {
    asset_of(&json!({
        "id": "a", "last_scan_end": "2026-11-20T10:00:00Z", "assessed_for_vulnerabilities": true, list: findings,
    }))
}

fn rule_of(record: &Value) -> domain::Rule {
    rule::rule(0, record.to_string().as_bytes()).unwrap().0
}

fn all(stream: &str, body: &str) -> (Vec<Normalized>, Result<Summary, NormalizeError>) {
    let mut statements = Vec::new();
    let summary = normalize(stream, body.as_bytes(), &mut |statement| statements.push(statement));
    (statements, summary)
}

#[test]
fn every_field_of_an_asset_has_its_place() {
    let host = asset_of(&json!({
        "id": "org-default-asset-7", "host_name": "web.example.com", "ip": "10.0.0.7", "mac": "01:01:01:A0:1A:11",
        "os_description": "Ubuntu Linux 22.04", "last_scan_end": "2026-11-20T10:00:00.000Z",
        "tags": [
            {"name": "Head office", "type": "SITE"}, {"name": "env=prod", "type": "CUSTOM"},
            {"name": "ann", "type": "OWNER"}, {"name": "Berlin", "type": "LOCATION"},
            {"name": "Very High", "type": "CRITICALITY"},
        ],
        "unique_identifiers": [
            {"id": "9928ced5", "source": "R7 Agent"}, {"id": "422637A2-75D4-0000-0000-000000000001", "source": "CSPRODUCT"},
            {"id": "i-0cac20ad3a055e8c9", "source": "AWS"}, {"id": "VMware-42", "source": "dmidecode"},
            {"id": "/subscriptions/S1/resourceGroups/R/VM", "source": "Azure"}, {"id": "77", "source": "GCP"},
        ],
    }))
    .host;
    assert_eq!(host.native, "org-default-asset-7");
    assert_eq!((host.fqdns, host.ips), (vec!["web.example.com".into()], vec!["10.0.0.7".to_owned()]));
    assert_eq!(host.macs, ["01:01:01:A0:1A:11"]);
    assert_eq!(host.os.as_deref(), Some("Ubuntu Linux 22.04"));
    assert_eq!(host.agent_ids, ["9928ced5"]);
    assert_eq!(host.bios_uuid.as_deref(), Some("422637A2-75D4-0000-0000-000000000001"));
    let cloud = |provider: &str, account: Option<&str>, id: &str| CloudId {
        provider: provider.into(),
        account: account.map(Into::into),
        region: None,
        id: id.into(),
    };
    let azure = cloud("azure", Some("S1"), "/subscriptions/s1/resourcegroups/r/vm");
    assert_eq!(host.cloud, [cloud("aws", None, "i-0cac20ad3a055e8c9"), azure, cloud("gcp", None, "77")]);
    let tag = |key: &str, value: &str| Tag { key: key.into(), value: value.into() };
    let expected = [
        tag("site", "Head office"),
        tag("env", "prod"),
        tag("owner", "ann"),
        tag("location", "Berlin"),
        tag("criticality", "Very High"),
    ];
    assert_eq!((host.tags.as_slice(), host.criticality), (expected.as_slice(), Some(5)));
    assert_eq!(host.last_scanned_at.unwrap().to_string(), "2026-11-20T10:00:00Z");
    assert_eq!(host.credentialed, Some(true), "the agent looks from inside");
}

#[test]
fn pitfall_15_tags_may_be_one_object_or_a_list() {
    let one = asset_of(&json!({"id": "a", "tags": {"name": "S", "type": "SITE"}})).host;
    let list = asset_of(&json!({"id": "a", "tags": [{"name": "S", "type": "SITE"}]})).host;
    assert_eq!(one.tags, list.tags);
    assert_eq!(one.tags.len(), 1);
    for tags in [json!(null), json!([]), json!([null, {}]), json!("")] {
        assert!(asset_of(&json!({"id": "a", "tags": tags})).host.tags.is_empty(), "{tags}");
    }
}

#[test]
fn whether_a_login_worked_is_told_or_unknown() {
    let told = |statuses: &[&str], source: &str| {
        let statuses: Vec<Value> = statuses.iter().map(|status| json!({ "status": status })).collect();
        let identifiers = json!([{ "id": "7f3c", "source": source }]);
        let asset =
            json!({ "id": "a", "credential_assessments": statuses, "unique_identifiers": identifiers });
        let host = asset_of(&asset).host;
        (host.credentialed, host.partly_credentialed)
    };
    let credentialed = |statuses: &[&str]| told(statuses, "dmidecode");
    assert_eq!(credentialed(&[]), (None, None));
    assert_eq!(credentialed(&["NO_CREDS_SUPPLIED"]), (Some(false), None));
    assert_eq!(credentialed(&["LOGIN_FAILED", "LOGIN_SUCCESSFUL"]), (Some(true), Some(true)));
    assert_eq!(credentialed(&["PARTIAL_CREDENTIALS_SUCCESS"]), (Some(true), Some(true)));
    assert_eq!(credentialed(&["NO_CREDS_SUPPLIED", "LOGIN_SUCCESSFUL"]), (Some(true), Some(false)));
    assert_eq!(credentialed(&["CREDENTIAL_STATUS_ALL_SUCCESS"]), (Some(true), Some(false)));
    let with_agent = |statuses: &[&str]| told(statuses, "R7 Agent");
    assert_eq!(with_agent(&[]), (Some(true), None));
    assert_eq!(with_agent(&["NO_CREDS_SUPPLIED", "NO_CREDS_SUPPLIED"]), (Some(true), None));
    assert_eq!(with_agent(&["NO_CREDS_SUPPLIED", "LOGIN_FAILED"]), (Some(false), None));
}

#[test]
fn every_field_of_a_finding_has_its_place() {
    let asset = with_findings(
        "same",
        json!([{
            "vulnerability_id": "openssl-cve-2022-0778", "check_id": "c1", "key": "9de5", "nic": "n1", "port": 443,
            "protocol": "TCP", "proof": "<p><p>OpenSSL 1.0 &lt; 1.1</p></p>", "status": "VULNERABLE_VERS",
            "first_found": "2026-10-01T00:00:00Z", "last_found": "2026-11-20T10:00:00Z", "reintroduced": null,
            "solution_summary": "Upgrade", "solution_fix": "<p>Install <b>1.1</b></p>", "solution_type": "PATCH",
        }]),
    );
    let finding::Statement { finding, remedy } = &asset.findings[0];
    assert_eq!(finding.key.as_str(), "openssl-cve-2022-0778|c1|443|tcp|n1|9de5");
    assert_eq!(finding.rule.as_str(), "openssl-cve-2022-0778");
    assert_eq!((finding.state, finding.source_state.as_str()), (FindingState::Open, "VULNERABLE_VERS"));
    assert_eq!((finding.port, finding.protocol.as_deref()), (Some(443), Some("tcp")));
    assert_eq!(finding.evidence.as_deref(), Some("OpenSSL 1.0 < 1.1"));
    assert_eq!(finding.source_severity, "", "the definition says it");
    assert_eq!(finding.first_found.unwrap().to_string(), "2026-10-01T00:00:00Z");
    assert!(finding.fixed_at.is_none() && finding.reopened_at.is_none());
    assert_eq!((remedy.solution.as_deref(), remedy.patchable), (Some("Upgrade\n\nInstall 1.1"), Some(true)));
    assert!(asset.whole);
}

#[test]
fn numbers_may_be_text_and_parts_may_be_missing() {
    let asset = with_findings(
        "new",
        json!([{"vulnerability_id": 77, "port": "8443"}, {"vulnerability_id": "v", "port": 0}]),
    );
    let keys: Vec<_> = asset.findings.iter().map(|s| s.finding.key.as_str()).collect();
    assert_eq!(keys, ["77||8443", "v"]);
    assert_eq!(asset.findings[1].finding.port, None);
}

#[test]
fn the_list_says_the_state() {
    let of = |list: &str, reintroduced: Value| {
        let finding = json!({
            "vulnerability_id": "v", "first_found": "2026-10-01T00:00:00Z", "last_found": "2026-11-01T00:00:00Z",
            "reintroduced": reintroduced, "status": "vulnerable",
        });
        with_findings(list, json!([finding])).findings.remove(0).finding
    };
    assert_eq!(of("same", json!(null)).state, FindingState::Open);
    assert_eq!(of("new", json!(null)).state, FindingState::Open);
    let back = of("same", json!("2026-10-20T00:00:00Z"));
    assert_eq!(back.state, FindingState::Reopened);
    assert_eq!(back.reopened_at.unwrap().to_string(), "2026-10-20T00:00:00Z");
    assert_eq!(
        of("same", json!("2026-10-01T00:00:00Z")).state,
        FindingState::Open,
        "not after it was first found"
    );
    let fixed = of("remediated", json!("2026-10-20T00:00:00Z"));
    assert_eq!(fixed.state, FindingState::Fixed);
    assert_eq!(
        fixed.fixed_at.unwrap().to_string(),
        "2026-11-20T10:00:00Z",
        "the scan that no longer found it"
    );
}

#[test]
fn pitfall_19_each_finding_is_a_statement_of_its_own() {
    let body = json!({"data": [{"id": "a", "same": [{"vulnerability_id": "v", "port": 1}, {"vulnerability_id": "v", "port": 2}]}],
        "metadata": {"cursor": null}})
    .to_string();
    let (statements, summary) = all("assets", &body);
    let summary = summary.unwrap();
    assert_eq!((summary.hosts, summary.findings, statements.len()), (1, 2, 3));
}

#[test]
fn a_finding_that_cannot_be_read_fails_alone_with_its_place_and_takes_the_proof_with_it() {
    let body = r#"{"data":[{"id":"a","last_scan_end":"2026-11-20T10:00:00Z","same":[{"vulnerability_id":"v"},{"port":1}]}],"metadata":{}}"#;
    let (statements, summary) = all("assets", body);
    assert_eq!((summary.unwrap().findings, statements.len()), (1, 3));
    let Some(Normalized::Refused(bad)) = statements.last() else { panic!("{statements:?}") };
    assert_eq!(bad.offset as usize, body.find(r#"{"port":1}"#).unwrap());
    let record = &body[9..body.len() - 16];
    let (asset, length) = asset::asset(9, record.as_bytes()).unwrap();
    assert_eq!(length, record.len());
    assert!(!asset.whole);
    for odd in ["null", "7", "\"v\"", "[\"v\"]", "[{\"vulnerability_id\": \"v\"}]"] {
        let record = record.replace(r#"{"port":1}"#, odd);
        let (asset, _) = asset::asset(0, record.as_bytes()).unwrap();
        assert_eq!((asset.findings.len(), asset.refused.len(), asset.whole), (1, 1, false), "{odd}");
    }
}

#[test]
fn an_asset_proves_absence_only_where_it_was_assessed_and_told_whole() {
    let whole = |extra: Value| {
        let mut record = json!({"id": "a", "last_scan_end": "2026-11-20T10:00:00Z", "same": []});
        record.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let asset = asset_of(&record);
        (asset.whole, asset.untold)
    };
    assert_eq!(whole(json!({})), (true, false), "nothing is left of what there was");
    assert_eq!(whole(json!({"same": null})), (false, false));
    assert_eq!(whole(json!({"assessed_for_vulnerabilities": false})), (false, false));
    assert_eq!(whole(json!({"last_scan_end": null})), (false, false), "never scanned");
    assert_eq!(whole(json!({"total_vulnerabilities": 6})), (false, true), "it contradicts itself");
    let same = json!([{"vulnerability_id": "v", "port": 1}, {"vulnerability_id": "v", "port": 2}]);
    for (count, is_whole) in [(json!(1), true), (json!(2), true), (json!("3"), false), (json!(3), false)] {
        let record = json!({"same": same, "total_vulnerabilities": count});
        assert_eq!(whole(record), (is_whole, false), "2 of {count}");
    }
}

#[test]
fn a_definition_is_a_rule() {
    let rule = rule_of(&json!({
        "id": "7-zip-cve-2008-6536", "title": "7-Zip", "description": "<p>Bad &amp; old</p>", "severity": "critical",
        "severity_score": 10, "cvss_v2_score": 10.0, "cvss_v2_vector": "(AV:N/AC:L/Au:N/C:C/I:C/A:C)",
        "cvss_v3_score": 0.0, "cvss_v3_vector": null, "cves": "CVE-2016-2334, CVE-2008-6536,CVE-2016-2334",
        "references": "bid:28285,cve:CVE-2016-2335,url:https://example.com/a,b", "modified": "2018-06-08T00:00:00Z",
    }));
    assert_eq!(rule.title, "7-Zip");
    assert_eq!(rule.description.as_deref(), Some("Bad & old"));
    assert_eq!(rule.severity, Some(Severity::Critical), "without CVSS 3 the score decides");
    let cves: Vec<_> = rule.cves.iter().map(ToString::to_string).collect();
    assert_eq!(cves, ["CVE-2008-6536", "CVE-2016-2334", "CVE-2016-2335"]);
    let vector = Some("AV:N/AC:L/Au:N/C:C/I:C/A:C".to_owned());
    assert_eq!(rule.cvss, Some(Cvss { version: "2.0".into(), score: Tenths(100), vector }));
    assert!(rule.modified.is_some() && rule.solution.is_none());
}

#[test]
fn a_definition_with_exploits_or_malware_kits_says_so() {
    let told = |field: &str, value: Value| rule_of(&json!({ "id": "v", field: value })).exploit_available;
    let exploit = json!([{"id": "123", "name": "ExampleName", "rank": "average", "skill_level": "expert", "source": "metasploit"}]);
    assert_eq!(told("exploits", exploit), Some(true));
    assert_eq!(told("malware_kits", json!([{"name": "Blackhole", "popularity": "rare"}])), Some(true));
    for nothing in [json!([]), json!(null), json!(0), json!([{}]), json!("")] {
        assert_eq!(told("exploits", nothing.clone()), None, "{nothing}");
    }
}

#[test]
fn pitfall_15_cves_may_be_an_empty_text_or_a_list() {
    let cves = |cves: Value| rule_of(&json!({"id": "v", "cves": cves})).cves.len();
    assert_eq!(cves(json!("")), 0);
    assert_eq!(cves(json!(null)), 0);
    assert_eq!(cves(json!("n/a")), 0);
    assert_eq!(cves(json!(["CVE-2016-2334", "CVE-2016-2335"])), 2);
}

#[test]
fn none_one_and_many() {
    let page = |records: usize| {
        let data: Vec<Value> = (0..records).map(|n| json!({"id": format!("a{n}")})).collect();
        json!({"metadata": {"cursor": "x"}, "data": data}).to_string()
    };
    for (records, hosts) in [(0, 0), (1, 1), (300, 300)] {
        assert_eq!(all("assets", &page(records)).1.unwrap().hosts, hosts);
    }
    assert_eq!(all("vulnerabilities", &page(2)).1.unwrap().rules, 2);
}

#[test]
fn a_document_that_is_not_a_whole_page_is_an_error_that_says_what_to_do() {
    for (body, remedy) in [
        ("", "download the page again"),
        ("{\"data\":[{\"id\":\"a\"}", "download the page again"),
        ("<html></html>", "not of the API"),
        ("[]", "begins with"),
        ("{\"message\":\"Unauthorized\"}", "begins with"),
        ("{\"data\":[]}{", "one page at a time"),
    ] {
        let error = all("assets", body).1.unwrap_err().to_string();
        assert!(error.contains(remedy), "{body}: {error}");
    }
    assert!(matches!(all("hosts", "").1, Err(NormalizeError::UnknownStream { .. })));
}

#[test]
fn a_record_that_is_no_asset_fails_alone() {
    let body = r#"{"data":[7,{"id":""},{"id":"a"},"x",{"id":"b","tags":[[[]]]}],"metadata":{}}"#;
    let summary = all("assets", body).1.unwrap();
    assert_eq!((summary.hosts, summary.refused), (2, 3));
}
