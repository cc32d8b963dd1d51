use domain::{FindingState, Severity};
use serde_json::{Value, json};

use super::*;

fn read(stream: &str, document: &str) -> (Vec<Normalized>, Result<Summary, String>) {
    let mut statements = Vec::new();
    let end = normalize(stream, document.as_bytes(), &mut |statement| statements.push(statement));
    (statements, end.map_err(|error| error.to_string()))
}

fn page(resources: &[Value]) -> String {
    let page = json!({ "number": 0, "size": 500, "totalResources": resources.len(), "totalPages": 1 });
    json!({ "resources": resources, "page": page, "links": [] }).to_string()
}

fn hosts(statements: &[Normalized]) -> Vec<&domain::Host> {
    statements.iter().filter_map(|s| if let Normalized::Host(host) = s { Some(host) } else { None }).collect()
}

fn findings(statements: &[Normalized]) -> Vec<&domain::Finding> {
    statements
        .iter()
        .filter_map(|s| if let Normalized::Finding { finding, .. } = s { Some(finding) } else { None })
        .collect()
}

fn at(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn every_field_of_an_asset_has_its_place() {
    let asset = json!({
        "id": 41, "ip": "198.51.100.7", "mac": "00:50:56:A6:22:93", "hostName": "web1.example.com",
        "hostNames": [{ "name": "web1.example.com", "source": "dns" }, { "name": "WEB1", "source": "netbios" }],
        "addresses": [{ "ip": "198.51.100.7", "mac": "00:50:56:A6:22:93" }, { "ip": "2001:db8::7" }],
        "ids": [
            { "id": "4219B54B-0001-4000-8000-000000000001", "source": "dmidecode" },
            { "id": "0123456789abcdef0123456789abcdef", "source": "R7 Agent" },
            { "id": "i-0123456789abcdef0", "source": "AWS" }, { "id": "7QX1", "source": "CSPRODUCT serial" }
        ],
        "os": "Debian Linux 11", "assessedForVulnerabilities": true,
        "history": [
            { "date": "2026-11-20T01:00:00.5Z", "type": "SCAN", "scanId": 3, "version": 1 },
            { "date": "2026-11-21T01:00:00Z", "type": "AGENT-IMPORT", "version": 2 },
            { "date": "2026-11-22T01:00:00Z", "type": "VULNERABILITY_EXCEPTION_APPLIED", "version": 3 }
        ]
    });
    let (statements, end) = read("assets", &page(&[asset]));
    assert_eq!(end, Ok(Summary { hosts: 1, ..Summary::default() }));
    let host = hosts(&statements)[0];
    assert_eq!((host.native.as_str(), host.os.as_deref()), ("41", Some("Debian Linux 11")));
    assert_eq!(host.ips, ["198.51.100.7", "2001:db8::7"]);
    assert_eq!(
        (host.macs.as_slice(), host.netbios.as_slice()),
        (&["00:50:56:A6:22:93".into()][..], &["WEB1".into()][..])
    );
    assert_eq!(host.fqdns, ["web1.example.com"]);
    assert_eq!(host.bios_uuid.as_deref(), Some("4219B54B-0001-4000-8000-000000000001"));
    assert_eq!(host.agent_ids, ["0123456789abcdef0123456789abcdef"]);
    assert_eq!((host.cloud[0].provider.as_str(), host.serial.as_deref()), ("aws", Some("7QX1")));
    assert_eq!(host.last_scanned_at, at("2026-11-21T01:00:00Z"), "an exception is no scan");
    assert_eq!(host.credentialed, Some(true), "an agent looks from inside");
}

#[test]
fn an_asset_may_have_next_to_nothing_and_a_bad_one_fails_alone() {
    let document = page(&[
        json!({ "id": "7", "mac": "00:00:00:00:00:00" }),
        json!({ "ip": "10.0.0.1" }),
        json!(5),
        json!(["41"]),
        json!({ "id": 8 }),
    ]);
    let (statements, end) = read("assets", &document);
    assert_eq!(end, Ok(Summary { hosts: 2, refused: 3, ..Summary::default() }));
    let host = hosts(&statements)[0];
    assert_eq!((host.native.as_str(), host.macs.len(), host.last_scanned_at), ("7", 0, None));
    let Normalized::Refused(bad) = &statements[1] else { panic!("{statements:?}") };
    assert_eq!(&document[usize::try_from(bad.offset).unwrap()..][..7], "{\"ip\":\"");
    assert!(bad.problem.contains("no id"), "{bad}");
}

fn found(results: Value) -> Value {
    json!({
        "id": "ssh-weak", "instances": 1, "status": "vulnerable", "since": "2026-01-02T00:00:00Z", "results": results,
        "links": [{ "href": "https://console:3780/api/3/assets/41/vulnerabilities/ssh-weak", "rel": "self" }]
    })
}

#[test]
fn a_result_is_a_finding_with_its_host_state_and_evidence() {
    let results = json!([
        { "port": 22, "protocol": "tcp", "proof": "<p>SSH <b>1</b></p>", "since": "2026-01-02T00:00:00Z", "status": "vulnerable-version", "checkId": "a" },
        { "port": "2222", "protocol": "TCP", "status": "vulnerable-with-exception-applied", "exceptions": [4] },
        { "key": "/etc/ssh", "status": "not-vulnerable", "since": "2026-02-02T00:00:00Z" },
        { "port": 23, "protocol": "tcp", "status": "unknown" }
    ]);
    let (statements, end) = read("vulnerabilities", &page(&[found(results)]));
    assert_eq!(end, Ok(Summary { findings: 3, ..Summary::default() }));
    assert!(statements.iter().all(|s| matches!(s, Normalized::Finding { host, .. } if host == "41")));
    let all = findings(&statements);
    let by_key = |key: &str| *all.iter().find(|f| f.key.as_str() == key).unwrap();
    let open = by_key("ssh-weak|22|tcp|");
    assert_eq!(
        (open.state, open.source_state.as_str(), open.evidence.as_deref()),
        (FindingState::Open, "vulnerable-version", Some("SSH 1"))
    );
    assert_eq!(
        (open.port, open.protocol.as_deref(), open.first_found),
        (Some(22), Some("tcp"), at("2026-01-02T00:00:00Z"))
    );
    assert_eq!(
        (open.severity, open.source_severity.as_str()),
        (Severity::Medium, ""),
        "the definition knows better"
    );
    assert_eq!(by_key("ssh-weak|2222|tcp|").state, FindingState::Suppressed);
    let fixed = by_key("ssh-weak|0||/etc/ssh");
    assert_eq!(
        (fixed.state, fixed.fixed_at, fixed.first_found),
        (FindingState::Fixed, at("2026-02-02T00:00:00Z"), None)
    );
}

#[test]
fn a_finding_is_whole_if_it_tells_as_many_results_as_it_counts() {
    let whole = |results: Value, more: Value| {
        let mut found = found(results);
        found.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        super::json::finding(0, found.to_string().as_bytes(), None).unwrap().0.whole
    };
    let result = |status: &str| json!({ "port": 22, "protocol": "tcp", "status": status });
    assert!(whole(json!([result("vulnerable")]), json!({})));
    assert!(whole(json!(result("vulnerable")), json!({})), "one alone");
    let excepted = json!([result("vulnerable"), result("vulnerable-with-exception-applied")]);
    assert!(whole(excepted, json!({})), "the count may leave out what is excepted");
    assert!(whole(json!([result("not-vulnerable")]), json!({ "instances": 0, "status": "invulnerable" })));
    for none in [json!([]), json!(null)] {
        assert!(!whole(none.clone(), json!({})));
        assert!(!whole(none.clone(), json!({ "instances": null })), "it is there because of something");
        assert!(whole(none, json!({ "instances": 0, "status": "no-results" })));
    }
    assert!(!whole(json!([result("vulnerable")]), json!({ "instances": "2" })));
    assert!(!whole(json!([result("vulnerable"), result("not-vulnerable")]), json!({ "instances": 2 })));
    assert!(!whole(json!([result("vulnerable"), result("unknown")]), json!({})), "it may still be there");
}

#[test]
fn a_finding_with_a_result_that_is_no_object_is_refused() {
    for odd in [json!("vulnerable"), json!([null]), json!([["22", "tcp"]]), json!([{ "port": 22 }, 22])] {
        let (statements, end) = read("vulnerabilities", &page(&[found(odd.clone())]));
        assert_eq!(end, Ok(Summary { refused: 1, ..Summary::default() }), "{odd}");
        let Normalized::Refused(bad) = &statements[0] else { panic!("{statements:?}") };
        assert!(bad.problem.contains("expected"), "{bad}");
    }
}

#[test]
fn a_definition_comes_alone_or_in_a_page() {
    let definition = json!({
        "id": "apache-cve-2017-3167", "title": "Apache: authentication bypass", "severity": "Critical", "severityScore": "8",
        "cves": ["CVE-2017-3167", "cve-2017-3167", "nonsense"], "modified": "2023-01-05", "exploits": 2, "malwareKits": 0,
        "cvss": { "v2": { "score": 7.5, "vector": "AV:N/AC:L/Au:N/C:P/I:P/A:P" }, "v3": { "score": 9.8, "vector": "CVSS:3.0/AV:N" } },
        "description": { "html": "<p>Use of <tt>x</tt></p>", "text": "Use of x" }
    });
    for document in [definition.to_string(), page(std::slice::from_ref(&definition))] {
        let (statements, end) = read("definitions", &document);
        assert_eq!(end, Ok(Summary { rules: 1, ..Summary::default() }));
        let Normalized::Rule(rule) = &statements[0] else { panic!("{statements:?}") };
        assert_eq!((rule.id.as_str(), rule.severity), ("apache-cve-2017-3167", Some(Severity::Critical)));
        assert_eq!((rule.cves.len(), rule.exploit_available), (1, Some(true)));
        let cvss = rule.cvss.as_ref().unwrap();
        assert_eq!((cvss.version.as_str(), cvss.score.to_string()), ("3.0", "9.8".into()));
        assert_eq!(
            (rule.description.as_deref(), rule.modified),
            (Some("Use of x"), at("2023-01-05T00:00:00Z"))
        );
    }
    assert_eq!(read("definitions", "{}").1, Ok(Summary { refused: 1, ..Summary::default() }));
    let (without, _) = read("definitions", r#"{"id": "v", "exploits": 0, "malwareKits": 0}"#);
    let Normalized::Rule(rule) = &without[0] else { panic!("{without:?}") };
    assert_eq!(rule.exploit_available, None);
}

const HEADER: &str = "asset_id,last_assessed,announced,tags,vulnerability,status,excepted,port,protocol,key,proof,\
    first_found,last_found,reopened_at,severity,severity_score,cvss_v3_score\n";

fn report(rows: &str) -> (Vec<Normalized>, Result<Summary, String>) {
    read("report", &format!("{HEADER}{rows}"))
}

#[test]
fn a_report_has_what_the_api_lacks() {
    let rows = "41,2026-11-21 01:00:00,2,\"CRITICALITY:Very High\nCUSTOM:team=web\nLOCATION:Berlin\nSITE:Berlin, east\",ssh-weak,Vulnerable Version,0,22,TCP,,\"<p>SSH <b>1</b></p>\",\
        2025-01-01 10:00:00.25,2026-11-21 01:00:00,2026-03-01 00:00:00,Critical,9,9.8\n\
        41,2026-11-21 01:00:00,2,,ssl-old,Vulnerable Exploited,1,-1,ip,/a,,,,,Moderate,3,\n\
        42,2026-11-21 01:00:00,0,,,,,,,,,,,,,,\n";
    let (statements, end) = report(rows);
    assert_eq!(end, Ok(Summary { hosts: 2, findings: 2, ..Summary::default() }));
    let host = hosts(&statements)[0];
    assert_eq!((host.criticality, host.last_scanned_at), (Some(5), at("2026-11-21T01:00:00Z")));
    let tags: Vec<_> = host.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    assert_eq!(tags, ["location=Berlin", "site=Berlin, east", "team=web"]);
    let all = findings(&statements);
    assert_eq!(
        (all[0].key.as_str(), all[0].severity, all[0].source_severity.as_str()),
        ("ssh-weak|22|tcp|", Severity::Critical, "Critical")
    );
    assert_eq!(
        (all[0].first_found, all[0].last_found),
        (at("2025-01-01T10:00:00.25Z"), at("2026-11-21T01:00:00Z"))
    );
    assert_eq!(all[0].reopened_at, at("2026-03-01T00:00:00Z"));
    assert_eq!(
        (all[1].state, all[1].source_state.as_str()),
        (FindingState::Suppressed, "vulnerable-with-exception-applied")
    );
    assert_eq!((all[1].key.as_str(), all[1].port, all[1].severity), ("ssl-old|0||/a", None, Severity::Low));
}

#[test]
fn a_report_tells_whether_the_last_scan_could_log_in() {
    let rows = [1, 2, 3, 4, -1]
        .map(|status| format!("{},2026-11-21 01:00:00,0,,,,,,,,,{status}\n", 40 + status))
        .concat();
    let header = "asset_id,last_assessed,announced,tags,vulnerability,status,excepted,port,protocol,key,proof,logins\n";
    let (statements, end) = read("report", &format!("{header}{rows}"));
    assert_eq!(end, Ok(Summary { hosts: 5, ..Summary::default() }));
    let told: Vec<_> =
        hosts(&statements).iter().map(|host| (host.credentialed, host.partly_credentialed)).collect();
    let (failed, untold) = ((Some(false), None), (None, None));
    assert_eq!(told, [failed, failed, (Some(true), Some(true)), (Some(true), Some(false)), untold]);
    let (statements, _) = report("41,2026-11-21 01:00:00,0,,,,,,,,,,,,,,\n");
    assert_eq!(hosts(&statements)[0].credentialed, None, "of a report without that column");
}

/// Everything would close and open again whenever a connector's way changes.
#[test]
fn both_ways_give_the_same_finding_under_the_same_key() {
    let results = json!([
        { "port": 22, "protocol": "tcp", "proof": "<p>SSH <b>1</b></p>", "since": "2025-01-01T10:00:00Z", "status": "vulnerable-version", "checkId": "a" },
        { "proof": "x", "key": "/a", "status": "vulnerable-with-exception-applied", "since": "2025-01-01T10:00:00Z" },
        { "port": 443, "protocol": "tcp", "status": "vulnerable-potential", "since": "2025-01-01T10:00:00Z" }
    ]);
    let rows = "41,2026-11-21 01:00:00,3,,ssh-weak,Vulnerable Version,0,22,TCP,,<p>SSH <b>1</b></p>,2025-01-01 10:00:00,,,,,\n\
        41,2026-11-21 01:00:00,3,,ssh-weak,Vulnerable,1,-1,ip,/a,x,2025-01-01 10:00:00,,,,,\n\
        41,2026-11-21 01:00:00,3,,ssh-weak,Potential,0,443,TCP,,,2025-01-01 10:00:00,,,,,\n";
    let (by_api, _) = read("vulnerabilities", &page(&[found(results)]));
    let (by_report, _) = report(rows);
    let by_report = report::without_severity(findings(&by_report).into_iter().cloned().collect());
    let still = |finding: &domain::Finding| domain::Finding { last_found: None, ..finding.clone() };
    assert_eq!(
        findings(&by_api).into_iter().map(still).collect::<Vec<_>>(),
        by_report.iter().map(still).collect::<Vec<_>>()
    );
    assert_eq!(by_report.len(), 3);
}

#[test]
fn rows_that_cannot_be_read_fail_alone() {
    let rows = "41,2026-11-21 01:00:00,2,,ssh-weak,,0,22,TCP,,,,,,,,\n41,2026-11-21 01:00:00,2,,ssl-old,Potential,0,,,,,,,,,,\n\
        x,,,,,,,,,,,,,,,,\n42,2026-11-21 01:00:00,0,,,,,,,,,,,,,,\n1,2\n";
    let (statements, end) = report(rows);
    assert_eq!(end, Ok(Summary { hosts: 2, findings: 1, refused: 3, ..Summary::default() }));
    let problems: Vec<_> = statements
        .iter()
        .filter_map(|s| if let Normalized::Refused(bad) = s { Some(bad.problem.as_str()) } else { None })
        .collect();
    assert!(
        problems[0].contains("no status")
            && problems[1].contains("asset_id")
            && problems[2].contains("columns"),
        "{problems:?}"
    );
}

#[test]
fn a_report_of_definitions() {
    let document = "vulnerability,title,description,severity,severity_score,cvss_v2_score,cvss_v2_vector,cvss_v3_score,\
        cvss_v3_vector,modified,cves,summary,fix,solution_type\n\
        ssh-weak,Weak <b>SSH</b>,\"<p>a</p><p>b</p>\",Severe,5,5.0,(AV:N/AC:L),0,,2024-01-02 00:00:00,\"CVE-2020-1,CVE-2020-12345\",Upgrade,<p>Upgrade SSH</p>,PATCH\n";
    let (statements, end) = read("report_rules", document);
    assert_eq!(end, Ok(Summary { rules: 1, ..Summary::default() }));
    let Normalized::Rule(rule) = &statements[0] else { panic!("{statements:?}") };
    assert_eq!((rule.title.as_str(), rule.severity), ("Weak SSH", Some(Severity::Medium)));
    assert_eq!(rule.cvss.as_ref().unwrap().vector.as_deref(), Some("AV:N/AC:L"));
    assert_eq!((rule.solution.as_deref(), rule.patchable), (Some("Upgrade SSH"), Some(true)));
    assert_eq!(rule.cves.len(), 1, "CVE-2020-1 is none");
    assert_eq!(rule.vendor_risk, None, "of a report without that column");
}

fn rule_of(columns: &str, row: &str) -> domain::Rule {
    let document = format!("vulnerability,title,severity,{columns}\nssh-weak,Weak SSH,Severe,{row}\n");
    let (statements, end) = read("report_rules", &document);
    assert_eq!(end, Ok(Summary { rules: 1, ..Summary::default() }), "{document}");
    let [Normalized::Rule(rule)] = statements.as_slice() else { panic!("{statements:?}") };
    rule.clone()
}

#[test]
fn solutions_of_a_report_stand_together_whole_and_each_text_once() {
    let columns = "summary,fix,solution_type,summary_2,fix_2,solution_type_2,summary_3,fix_3,solution_type_3";
    for (row, solution, patchable) in [
        ("Block it,<p>Close the port</p>,WORKAROUND,,,,,,", Some("Block it\nClose the port"), Some(false)),
        ("Block it,,WORKAROUND,Upgrade,,ROLLUP,,,", Some("Block it\n\nUpgrade"), Some(true)),
        ("Upgrade,,PATCH,Upgrade,,WORKAROUND,,Do,", Some("Upgrade\n\nDo"), Some(true)),
        ("Upgrade,,,,,,,,", Some("Upgrade"), None),
        ("Upgrade,,UNKNOWN,,,,,,", Some("Upgrade"), None),
        (",,,,,,,,", None, None),
    ] {
        let rule = rule_of(columns, row);
        assert_eq!((rule.solution.as_deref(), rule.patchable), (solution, patchable), "{row}");
    }
}

#[test]
fn a_definition_of_a_report_with_exploits_says_so() {
    assert_eq!(rule_of("exploited", "4711").exploit_available, Some(true));
    assert_eq!(rule_of("exploited", "").exploit_available, None);
}

#[test]
fn a_risk_score_is_a_number_above_nothing_by_either_way() {
    for (told, risk) in
        [("421.5", Some(421.5)), ("", None), ("0", None), ("-1", None), ("high", None), ("Infinity", None)]
    {
        assert_eq!(rule_of("risk_score", told).vendor_risk, risk, "{told}");
        let (statements, _) = read("definitions", &json!({ "id": "a", "riskScore": told }).to_string());
        let Normalized::Rule(rule) = &statements[0] else { panic!("{statements:?}") };
        assert_eq!(rule.vendor_risk, risk, "{told}");
    }
}

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<NexposeReport version="2.0"><scans><scan id="1" name="s" startTime="20260101T000000000"/></scans>
<nodes><node address="198.51.100.7" status="alive" device-id="41" hardware-address="005056A62293" scan-time="20261121T010000123">
<names><name>web1.example.com</name></names>
<fingerprints><os certainty="0.80" vendor="Debian" product="Linux" version="11"/><os certainty="1.00" vendor="Debian" product="Debian Linux"/></fingerprints>
<tests><test id="Linux-Old" status="vulnerable-version" vulnerable-since="20250101T100000000" key="kernel"><Paragraph>Linux <URLLink LinkURL="http://a" LinkTitle="b">5.4</URLLink></Paragraph></test></tests>
<endpoints><endpoint protocol="tcp" port="22" status="open"><services><service name="SSH"><tests>
<test id="ssh-weak" status="vulnerable-exploited"><Paragraph>weak</Paragraph></test>
<test id="ssh-old" status="exception-vulnerable-version" key="x>y"/><test id="ssh-fine" status="not-vulnerable"></test></tests></service></services></endpoint></endpoints>
</node></nodes>
<VulnerabilityDefinitions><vulnerability id="ssh-weak" title="Weak SSH" severity="9" cvssScore="10.0" cvssVector="(AV:N)" modified="20240102T000000000">
<description><ContainerBlockElement><Paragraph>It is weak.</Paragraph></ContainerBlockElement></description>
<references><reference source="CVE">CVE-2020-12345</reference><reference source="URL">http://x</reference></references>
<solution><ContainerBlockElement><UnorderedList><ListItem>Upgrade</ListItem></UnorderedList></ContainerBlockElement></solution></vulnerability>
<vulnerability title="no id"/></VulnerabilityDefinitions></NexposeReport>"#;

#[test]
fn nexpose_xml_is_read_with_ports_and_the_severities_of_its_definitions() {
    let (statements, end) = read("xml", XML);
    assert_eq!(end, Ok(Summary { hosts: 1, findings: 4, rules: 1, refused: 1 }));
    let host = hosts(&statements)[0];
    assert_eq!(
        (host.native.as_str(), host.os.as_deref(), host.macs[0].as_str()),
        ("41", Some("Debian Debian Linux"), "00:50:56:A6:22:93")
    );
    assert_eq!(host.last_scanned_at, at("2026-11-21T01:00:00Z"));
    let all = findings(&statements);
    let by_key =
        |key: &str| *all.iter().find(|f| f.key.as_str() == key).unwrap_or_else(|| panic!("{key}: {all:?}"));
    let weak = by_key("ssh-weak|22|tcp|");
    assert_eq!(
        (weak.state, weak.severity, weak.source_severity.as_str()),
        (FindingState::Open, Severity::Medium, ""),
        "as by the API: that of the definition counts, which comes last"
    );
    assert_eq!((weak.source_state.as_str(), weak.evidence.as_deref()), ("vulnerable", Some("weak")));
    let old = by_key("linux-old|0||kernel");
    assert_eq!(
        (old.first_found, old.evidence.as_deref()),
        (at("2025-01-01T10:00:00Z"), Some("Linux 5.4 (http://a)"))
    );
    assert_eq!(by_key("ssh-old|22|tcp|x>y").state, FindingState::Suppressed);
    assert_eq!(by_key("ssh-fine|22|tcp|").state, FindingState::Fixed);
    let Some(Normalized::Rule(rule)) = statements.iter().find(|s| matches!(s, Normalized::Rule(_))) else {
        panic!("{statements:?}")
    };
    assert_eq!((rule.id.as_str(), rule.title.as_str(), rule.cves.len()), ("ssh-weak", "Weak SSH", 1));
    assert_eq!((rule.severity, rule.solution.as_deref()), (Some(Severity::Critical), Some("- Upgrade")));
    let place = |wanted: fn(&Normalized) -> bool| statements.iter().position(wanted);
    assert!(
        place(|s| matches!(s, Normalized::Finding { .. })) < place(|s| matches!(s, Normalized::Rule(_))),
        "nothing waits for the definitions"
    );
}

#[test]
fn documents_that_are_something_else_are_errors_with_place_and_remedy() {
    let problem = |stream: &str, document: &str| read(stream, document).1.unwrap_err();
    assert!(problem("assets", "<html><body>Login</body></html>").contains("HTML"));
    assert!(problem("assets", "{\"resources\":[{\"id\":1}").contains("ask the console again"));
    assert!(problem("assets", "").contains("empty"));
    assert!(problem("vulnerabilities", "{\"status\":404}").contains("resources"));
    assert!(problem("report", "ip,name\n1,2\n").contains("no column asset_id"));
    assert!(problem("report", "").contains("empty"));
    assert!(problem("xml", "<html><body/></html>").contains("an HTML page"));
    assert!(problem("xml", &XML[..XML.len() - 20]).contains("cut off"));
    assert!(problem("tags", "").contains("report_rules"));
}

#[test]
fn a_document_tells_what_it_is() {
    let definition = page(&[json!({ "id": "a", "severityScore": 4, "severity": "Severe" })]);
    let rules = "vulnerability,title,severity\na,A,Severe\n";
    let row = format!("{HEADER}41,2026-11-21 01:00:00,0,,,,,,,,,,,,,,\n");
    for (document, hosts, findings, rules) in [
        (page(&[json!({ "id": 1, "ip": "10.0.0.1" })]), 1, 0, 0),
        (page(&[found(json!([{ "status": "vulnerable" }]))]), 0, 1, 0),
        (definition, 0, 0, 1),
        (rules.to_owned(), 0, 0, 1),
        (row, 1, 0, 0),
        (XML.to_owned(), 1, 4, 1),
    ] {
        let summary = read("", &document).1.unwrap();
        assert_eq!((summary.hosts, summary.findings, summary.rules), (hosts, findings, rules), "{document}");
    }
}

#[test]
fn nothing_is_an_answer() {
    assert_eq!(read("assets", &page(&[])).1, Ok(Summary::default()));
    assert_eq!(report("").1, Ok(Summary::default()));
    assert_eq!(
        read("xml", "<NexposeReport version=\"2.0\"><nodes/></NexposeReport>").1,
        Ok(Summary::default())
    );
}

/// The catalogue of an installation has more than 150,000 definitions; a connector never asks for it.
#[test]
fn pitfall_16_numbers_may_be_text_and_lists_may_be_one() {
    let asset = json!({ "id": "41", "ip": ["198.51.100.7"], "hostNames": { "name": "a", "source": "dns" }, "history": null, "osFingerprint": [], "ids": "x" });
    let (statements, end) = read("assets", &page(&[asset]));
    assert_eq!(end, Ok(Summary { hosts: 1, ..Summary::default() }));
    assert_eq!(
        (hosts(&statements)[0].ips.len(), hosts(&statements)[0].hostnames.as_slice()),
        (1, &["a".into()][..])
    );
}
