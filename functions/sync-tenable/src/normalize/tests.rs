use std::sync::Arc;

use domain::{Finding, FindingState, Host, Rule, RuleId, Severity};
use serde_json::{Value, json};
use sync::{NormalizeError, Normalized, Summary};

use super::findings::Findings;
use super::normalize;

/// A whole record, as Tenable documents it, with `changes` merged into it.
fn record(changes: Value) -> Value {
    let mut record = json!({
        "asset": {
            "bios_uuid": "1fa02642-5b8e", "device_type": "general-purpose", "fqdn": "share.target.example.com",
            "hostname": "share", "uuid": "53ed0fa2", "ipv4": "203.0.113.71", "ipv6": "2001:db8::c7",
            "last_authenticated_results": "2023-05-04T05:03:13.737Z", "mac_address": "00:50:56:a6:22:93",
            "netbios_name": "SHARE", "operating_system": ["Microsoft Windows Server 2016 Standard"],
            "serial_number": "C137B8E58B6", "agent_uuid": "9928ced5", "tracked": true,
            "network_id": "00000000-0000-0000-0000-000000000000",
        },
        "output": "\n  KB : 5002113\n",
        "plugin": {
            "id": 156641, "name": "Security Updates for SharePoint", "synopsis": "It is missing updates.",
            "description": "An attacker can do <b>things</b>.", "solution": "Install KB5002113.",
            "cve": ["CVE-2022-21840", "cve-2022-21837", "not a cve"],
            "xrefs": [{"type": "CVE", "id": "2022-21842"}, {"type": "CVE", "id": "2022-21837"}, {"type": "MSKB", "id": "5"}],
            "cvss_base_score": 9, "cvss_vector": {"raw": "AV:N/AC:L/Au:S/C:C/I:C/A:C"},
            "cvss3_base_score": 8.8, "cvss3_vector": {"raw": "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H"},
            "cvss4_base_score": 6.9, "cvss4_vector": {"raw": "AV:N/AC:L/AT:P/PR:H"},
            "epss_score": 10.647, "exploit_available": true, "vpr": {"score": 6.7}, "vpr_v2": {"score": 4.9}, "has_patch": true,
            "modification_date": "2022-05-06T00:00:00Z", "risk_factor": "high",
        },
        "port": {"port": 445, "protocol": "TCP", "service": "cifs"},
        "scan": {"started_at": "2023-05-03T14:14:02.387Z", "completed_at": "2023-05-03T15:00:00Z"},
        "severity": "high", "severity_id": 3, "severity_default_id": 3, "severity_modification_type": "NONE",
        "first_found": "2022-11-08T19:18:10.472Z", "last_found": "2023-05-04T05:03:13.737Z", "state": "OPEN",
        "finding_id": "02716af9", "indexed": "2023-05-04T05:13:40.809406Z",
    });
    merge(&mut record, changes);
    record
}

/// RFC 7396: `null` removes.
fn merge(target: &mut Value, changes: Value) {
    match (target, changes) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(&name);
                } else {
                    merge(fields.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        (target, changes) => *target = changes,
    }
}

struct Statement {
    host: Host,
    finding: Finding,
    rule: Option<Rule>,
}

fn read_by(findings: &mut Findings, changes: Value, wanted: bool) -> Statement {
    let record = record(changes).to_string();
    let (statement, length) = findings.read(0, record.as_bytes(), |_| wanted).unwrap();
    assert_eq!(length, record.len());
    Statement {
        host: Arc::unwrap_or_clone(statement.host),
        finding: statement.finding,
        rule: statement.rule.map(Arc::unwrap_or_clone),
    }
}

fn read(changes: Value) -> Statement {
    read_by(&mut Findings::default(), changes, true)
}

#[test]
fn what_an_earlier_record_said_of_a_plugin_or_a_host_is_not_said_again_of_another() {
    let mut findings = Findings::default();
    let changes = [
        json!({}),
        json!({"plugin": {"name": "Another name"}}),
        json!({"plugin": {"cvss3_base_score": 1.0, "cvss4_base_score": null}}),
        json!({"asset": {"ipv4": "203.0.113.72"}}),
        json!({"scan": {"completed_at": "2023-06-01T00:00:00Z"}}),
        json!({"severity_default_id": 1}),
        json!({}),
        json!({"asset": {"uuid": "other"}, "plugin": {"id": 7}}),
    ];
    for changes in changes {
        // What is not wanted is not remembered as if there were none.
        assert!(read_by(&mut findings, changes.clone(), false).rule.is_none());
        let (known, alone) = (read_by(&mut findings, changes.clone(), true), read(changes.clone()));
        assert_eq!(
            (known.host, known.finding, known.rule),
            (alone.host, alone.finding, alone.rule),
            "{changes}"
        );
    }
}

fn at(text: &str) -> Option<jiff::Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn every_field_of_a_finding_has_its_place() {
    let Statement { host, finding, rule } = read(json!({"resurfaced_date": "2023-05-01T00:00:00Z"}));
    assert_eq!(host.native, "53ed0fa2");
    assert_eq!(
        (host.hostnames.as_slice(), host.fqdns.as_slice()),
        (&["share".into()][..], &["share.target.example.com".into()][..])
    );
    assert_eq!(host.ips, ["203.0.113.71", "2001:db8::c7"]);
    assert_eq!((host.macs[0].as_str(), host.netbios[0].as_str()), ("00:50:56:a6:22:93", "SHARE"));
    assert_eq!(
        (host.bios_uuid.as_deref(), host.serial.as_deref()),
        (Some("1fa02642-5b8e"), Some("C137B8E58B6"))
    );
    assert_eq!(host.agent_ids, ["9928ced5"]);
    assert_eq!(host.os.as_deref(), Some("Microsoft Windows Server 2016 Standard"));
    assert_eq!((host.credentialed, host.last_scanned_at), (Some(true), at("2023-05-03T15:00:00Z")));

    assert_eq!((finding.key.as_str(), finding.rule.as_str()), ("02716af9", "156641"));
    assert_eq!((finding.severity, finding.source_severity.as_str()), (Severity::High, "3"));
    assert_eq!((finding.state, finding.source_state.as_str()), (FindingState::Open, "OPEN"));
    assert_eq!((finding.epss, finding.vendor_risk), (Some(0.106_47), Some(6.7)));
    assert_eq!(finding.exploit_available, Some(true));
    assert_eq!(finding.vendor_factors, [("vpr_v2".to_owned(), "4.9".to_owned())].into());
    assert_eq!(finding.first_found, at("2022-11-08T19:18:10.472Z"));
    assert_eq!(finding.last_found, at("2023-05-04T05:03:13.737Z"));
    assert_eq!((finding.fixed_at, finding.reopened_at), (None, at("2023-05-01T00:00:00Z")));
    assert_eq!(
        (finding.port, finding.protocol.as_deref(), finding.service.as_deref()),
        (Some(445), Some("tcp"), Some("cifs"))
    );
    assert_eq!(finding.evidence.as_deref(), Some("\n  KB : 5002113\n"));

    let rule = rule.unwrap();
    assert_eq!((rule.id.as_str(), rule.title.as_str()), ("156641", "Security Updates for SharePoint"));
    let cves: Vec<&str> = rule.cves.iter().map(domain::CveId::as_str).collect();
    assert_eq!(cves, ["CVE-2022-21837", "CVE-2022-21840", "CVE-2022-21842"]);
    assert_eq!(rule.severity, Some(Severity::High));
    assert_eq!(rule.description.as_deref(), Some("An attacker can do <b>things</b>."));
    assert_eq!((rule.solution.as_deref(), rule.patchable), (Some("Install KB5002113."), Some(true)));
    assert_eq!(rule.modified, at("2022-05-06T00:00:00Z"));
    assert_eq!(rule.cvss, finding.cvss);
}

#[test]
fn pitfall_18_the_best_cvss_wins_and_gets_its_prefix_back() {
    let cvss = |plugin: Value| {
        read(json!({"plugin": plugin}))
            .finding
            .cvss
            .map(|c| (c.version, c.score.to_string(), c.vector.unwrap_or_default()))
    };
    let is = |version: &str, score: &str, vector: &str| Some((version.into(), score.into(), vector.into()));
    assert_eq!(cvss(json!({})), is("4.0", "6.9", "CVSS:4.0/AV:N/AC:L/AT:P/PR:H"));
    assert_eq!(
        cvss(json!({"cvss4_base_score": 0})),
        is("3", "8.8", "CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H")
    );
    let v31 = json!({"cvss4_base_score": null, "cvss3_base_score": "9.8", "cvss3_vector": {"raw": "CVSS:3.1/AV:N"}});
    assert_eq!(cvss(v31), is("3.1", "9.8", "CVSS:3.1/AV:N"));
    let v2 =
        json!({"cvss4_base_score": 0, "cvss3_base_score": 0.0, "cvss_vector": {"raw": "CVSS2#AV:N/AC:L"}});
    assert_eq!(cvss(v2), is("2.0", "9.0", "AV:N/AC:L"));
    let text = json!({"cvss4_vector": "AV:P"});
    assert_eq!(cvss(text), is("4.0", "6.9", "CVSS:4.0/AV:P"));
    assert_eq!(cvss(json!({"cvss4_base_score": 0, "cvss3_base_score": 11, "cvss_base_score": "n/a"})), None);
    assert_eq!(cvss(json!({"cvss4_vector": null})), is("4.0", "6.9", ""));
}

#[test]
fn pitfall_18_severity_is_what_tenable_says_also_after_a_recast() {
    let severity = |changes: Value| {
        let finding = read(changes).finding;
        (finding.severity, finding.source_severity)
    };
    let expected = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    for (id, severity_word) in expected.into_iter().enumerate() {
        assert_eq!(severity(json!({"severity_id": id})), (severity_word, id.to_string()));
        assert_eq!(severity(json!({"severity_id": id.to_string()})), (severity_word, id.to_string()));
    }
    let recast = json!({"severity_id": 1, "severity": "low", "severity_default_id": 4, "severity_modification_type": "RECASTED"});
    assert_eq!(severity(recast.clone()), (Severity::Low, "1".into()));
    assert_eq!(read(recast).rule.unwrap().severity, Some(Severity::Critical), "the rule keeps what it was");
    assert_eq!(
        severity(json!({"severity_id": null, "severity": "critical"})),
        (Severity::Critical, "critical".into())
    );
    let unknown = json!({"severity_id": 9, "severity": "apocalyptic", "severity_default_id": null});
    assert_eq!(severity(unknown), (Severity::Medium, "9".into()), "unknown is kept raw and seen");
}

#[test]
fn states_map_and_unknown_ones_stay_open_with_their_word() {
    let state = |state: &str, modification: &str| {
        let finding = read(json!({"state": state, "severity_modification_type": modification, "last_fixed": "2023-01-01T00:00:00Z"})).finding;
        (finding.state, finding.source_state, finding.fixed_at.is_some())
    };
    assert_eq!(state("OPEN", "NONE"), (FindingState::Open, "OPEN".into(), false));
    assert_eq!(
        state("REOPENED", "NONE"),
        (FindingState::Reopened, "REOPENED".into(), false),
        "its last fix is history"
    );
    assert_eq!(state("FIXED", "NONE"), (FindingState::Fixed, "FIXED".into(), true));
    assert_eq!(state("fixed", "NONE"), (FindingState::Fixed, "fixed".into(), true));
    assert_eq!(state("OPEN", "ACCEPTED"), (FindingState::Suppressed, "OPEN".into(), false));
    assert_eq!(state("REOPENED", "ACCEPTED"), (FindingState::Suppressed, "REOPENED".into(), false));
    assert_eq!(state("FIXED", "ACCEPTED"), (FindingState::Fixed, "FIXED".into(), true), "fixed is fixed");
    assert_eq!(state("OPEN", "RECASTED"), (FindingState::Open, "OPEN".into(), false));
    assert_eq!(state("QUARANTINED", "NONE"), (FindingState::Open, "QUARANTINED".into(), false));
}

#[test]
fn pitfall_03_a_fix_is_a_change_although_last_found_is_the_same() {
    let open = read(json!({"state": "OPEN", "last_found": "2026-11-20T00:00:00Z"})).finding;
    let fixed = read(json!({
        "state": "FIXED", "last_found": "2026-11-20T00:00:00Z", "last_fixed": "2026-11-21T00:00:00Z",
    }))
    .finding;
    assert_eq!((open.last_found, &open.key), (fixed.last_found, &fixed.key));
    assert_ne!(open.digest(), fixed.digest());
}

#[test]
fn pitfall_18_what_a_plugin_printed_is_no_part_of_the_key() {
    let printed = |output: &str| read(json!({"output": output})).finding;
    assert_eq!(printed("one").key, printed("two").key);
    assert_ne!(printed("one").digest(), printed("two").digest());
}

#[test]
fn without_an_id_the_key_is_plugin_port_and_protocol() {
    let key = |port: Value| read(json!({"finding_id": null, "port": port})).finding.key.as_str().to_owned();
    assert_eq!(key(json!({})), "156641|445|tcp");
    assert_eq!(key(json!({"port": "445"})), "156641|445|tcp", "text or number is one port");
    assert_eq!(key(json!({"port": 0, "protocol": "ICMP"})), "156641|0|icmp");
    assert_eq!(key(json!(8080)), "156641|8080|");
    assert_eq!(key(json!(null)), "156641|0|");
}

#[test]
fn port_0_is_the_host_as_a_whole() {
    for port in [json!(0), json!("0"), json!(70_000), json!("none"), json!(-1), json!(4.5)] {
        assert_eq!(read(json!({"port": {"port": port}})).finding.port, None);
    }
}

#[test]
fn numbers_that_mean_none_are_absent() {
    let none = read(json!({"plugin": {"epss_score": null, "vpr": null, "vpr_v2": null}})).finding;
    assert_eq!((none.epss, none.vendor_risk), (None, None));
    let odd =
        read(json!({"plugin": {"epss_score": 101, "vpr": {"score": 0}, "vpr_v2": {"score": 11}}})).finding;
    assert_eq!((odd.epss, odd.vendor_risk), (None, None));
    let text = read(json!({"plugin": {"epss_score": "97.5", "vpr": {"score": "9.2"}}})).finding;
    assert_eq!((text.epss, text.vendor_risk), (Some(0.975), Some(9.2)));
    assert_eq!(
        read(json!({"plugin": {"vpr": null}})).finding.vendor_risk,
        Some(4.9),
        "the new rating stands in"
    );
}

#[test]
fn odd_and_redacted_values_cost_no_record() {
    let changes = json!({
        "asset": {"ipv4": "[REDACTED]", "mac_address": "[REDACTED]", "hostname": "192.0.2.9", "fqdn": null, "operating_system": "Linux",
            "ipv6": null, "last_authenticated_results": null, "netbios_name": ["A", "B"], "agent_uuid": ""},
        "plugin": {"solution": "N/A", "description": null, "cve": "CVE-2021-44228", "xrefs": "none", "has_patch": "true", "modification_date": 0},
        "scan": "unknown", "output": {"lines": 3}, "first_found": "2018-02-31T00:00:00Z", "last_found": 1_654_275_509,
    });
    let Statement { host, finding, rule } = read(changes);
    assert_eq!((host.ips, host.hostnames, host.macs), (vec!["192.0.2.9".into()], vec![], vec![]));
    assert_eq!((host.netbios, host.agent_ids), (vec!["A".into(), "B".into()], vec![]));
    assert_eq!((host.os.as_deref(), host.credentialed, host.last_scanned_at), (Some("Linux"), None, None));
    assert_eq!((finding.evidence, finding.first_found), (None, None));
    assert_eq!(finding.last_found, at("2022-06-03T16:58:29Z"));
    let rule = rule.unwrap();
    assert_eq!((rule.solution, rule.description.as_deref()), (None, Some("It is missing updates.")));
    assert_eq!((rule.cves.len(), rule.patchable, rule.modified), (1, Some(true), None));
}

#[test]
fn a_known_rule_is_not_read_again() {
    let record = record(json!({})).to_string();
    let not_this = |rule: &RuleId| *rule != RuleId::new("156641");
    let (statement, _) = Findings::default().read(0, record.as_bytes(), not_this).unwrap();
    assert_eq!(statement.rule, None);
    assert!(statement.finding.cvss.is_some());
}

#[test]
fn a_record_without_identity_is_refused_with_its_place() {
    let changes = [
        json!({"asset": null}),
        json!({"asset": {"uuid": null}}),
        json!({"plugin": null}),
        json!({"plugin": {"id": null}}),
        json!({"asset": 5}),
    ];
    for change in changes {
        let record = record(change.clone()).to_string();
        let error = Findings::default().read(42, record.as_bytes(), |_| true).unwrap_err();
        assert_eq!(error.offset, 42, "{change}");
        assert!(error.problem.len() < 200, "{error}");
    }
}

fn run(stream: &str, body: &str) -> (Result<Summary, NormalizeError>, Vec<Normalized>) {
    let mut statements = Vec::new();
    let summary = normalize(stream, body.as_bytes(), &mut |statement| statements.push(statement));
    (summary, statements)
}

#[test]
fn pitfall_19_none_one_and_many_are_a_finding_each() {
    assert_eq!(run("vulnerabilities", "[]").0.unwrap(), Summary::default());
    let one = json!([record(json!({}))]).to_string();
    let expected = Summary { hosts: 1, rules: 1, findings: 1, refused: 0 };
    assert_eq!(run("vulnerabilities", &one).0.unwrap(), expected);
    let many = json!([
        record(json!({})),
        record(json!({"finding_id": "2"})),
        record(json!({"asset": {"uuid": "other"}})),
        record(json!({"plugin": {"id": 1}})),
    ]);
    let (summary, statements) = run("vulnerabilities", &many.to_string());
    assert_eq!(summary.unwrap(), Summary { hosts: 2, rules: 2, findings: 4, refused: 0 });
    assert!(matches!(&statements[0], Normalized::Host(host) if host.native == "53ed0fa2"));
    assert!(matches!(&statements[1], Normalized::Rule(_)));
    let Normalized::Finding { host, title, cves, solution, .. } = &statements[3] else {
        panic!("{statements:?}")
    };
    assert_eq!((host.as_str(), title.as_deref()), ("53ed0fa2", Some("Security Updates for SharePoint")));
    assert_eq!((cves.len(), solution.as_deref()), (3, Some("Install KB5002113.")));
}

#[test]
fn a_bad_record_fails_alone() {
    let good = record(json!({})).to_string();
    let body = format!("[{good},{{\"asset\":[1}},{good},7,{good}]");
    let (summary, statements) = run("findings", &body);
    assert_eq!(summary.unwrap(), Summary { hosts: 1, rules: 1, findings: 3, refused: 2 });
    let offsets: Vec<u64> = statements
        .iter()
        .filter_map(|statement| match statement {
            Normalized::Refused(bad) => Some(bad.offset),
            _ => None,
        })
        .collect();
    let first = good.len() as u64 + 2;
    assert_eq!(offsets, [first, first + 13 + good.len() as u64 + 1]);
}

#[test]
fn a_document_that_is_no_chunk_names_place_and_remedy() {
    let problem = |body: &str| run("assets", body).0.unwrap_err().to_string();
    assert!(problem("<html>429</html>").contains("portal"), "{}", problem("<html>429</html>"));
    assert!(problem("").contains("download the chunk again"));
    assert!(problem("[{\"id\":\"a\"},").starts_with("at byte 12:"), "{}", problem("[{\"id\":\"a\"},"));
    assert!(problem("{\"error\":\"x\"}").contains("begins with ["));
    assert!(problem("[][]").starts_with("at byte 2:"));
    assert!(run("tags", "[]").0.unwrap_err().to_string().contains("assets, vulnerabilities"));
}
