//! Findings in the words of AWS, in ours.

#![allow(clippy::unwrap_used)] // a helper that fails fails its test

use domain::finding::Tenths;
use domain::{FindingState, Severity};
use serde_json::{Value, json};
use sync_aws::normalize::normalize;
use sync_aws::normalize::{
    INSPECTOR_EVENT, Kind, SECURITY_HUB_EVENT, Told, findings, inspector, security_hub, time,
};

const SENT: &str = "2026-11-22T10:00:05Z";

/// A finding of Inspector on an instance, with changes.
fn inspector(changes: Value) -> Value {
    let mut finding = json!({
        "awsAccountId": "111122223333",
        "description": "A flaw in how links are followed.",
        "epss": { "score": 0.00043 },
        "exploitAvailable": "NO",
        "findingArn": "arn:aws:inspector2:eu-central-1:111122223333:finding/0a1b",
        "firstObservedAt": "Wed Nov 04 16:59:44.356 UTC 2026",
        "fixAvailable": "YES",
        "inspectorScore": 6.8,
        "lastObservedAt": "Sun Nov 22 09:59:59.476 UTC 2026",
        "packageVulnerabilityDetails": {
            "cvss": [
                { "baseScore": 4.3, "scoringVector": "AV:N/AC:M/Au:N/C:N/I:N/A:P", "source": "NVD", "version": "2.0" },
                { "baseScore": 5.5, "scoringVector": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", "source": "A", "version": "3.1" },
                { "baseScore": 6.8, "scoringVector": "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:H", "source": "B", "version": "3.1" }
            ],
            "relatedVulnerabilities": ["USN-6940-1"],
            "vulnerabilityId": "CVE-2026-1001",
            "vulnerablePackages": [
                { "name": "zlib", "version": "1.2", "release": "3", "fixedInVersion": "0:1.3-1", "remediation": "yum update zlib" },
                { "name": "alib", "version": "2", "fixedInVersion": "NotAvailable", "remediation": "NotAvailable", "filePath": "app/lock" }
            ]
        },
        "remediation": { "recommendation": { "text": "None Provided" } },
        "resources": [{
            "details": { "awsEc2Instance": { "ipV4Addresses": ["10.0.0.7"], "ipV6Addresses": [], "platform": "UBUNTU_22_04" } },
            "id": "i-0aaa", "partition": "aws", "region": "eu-central-1", "type": "AWS_EC2_INSTANCE",
            "tags": { "team": "payments", "Name": "shop" }
        }],
        "severity": "MEDIUM", "status": "ACTIVE", "title": "CVE-2026-1001 - zlib, alib",
        "type": "PACKAGE_VULNERABILITY",
        "updatedAt": "Sun Nov 22 10:00:00.951 UTC 2026"
    });
    apply(&mut finding, changes);
    finding
}

/// The same finding as Security Hub passes it on, with changes.
fn security_hub(changes: Value) -> Value {
    let mut finding = json!({
        "SchemaVersion": "2018-10-08",
        "Id": "arn:aws:inspector2:eu-central-1:111122223333:finding/0a1b",
        "ProductArn": "arn:aws:securityhub:eu-central-1::product/aws/inspector",
        "GeneratorId": "AWSInspector",
        "AwsAccountId": "111122223333",
        "Region": "eu-central-1",
        "Types": ["Software and Configuration Checks/Vulnerabilities/CVE"],
        "FirstObservedAt": "2026-11-04T16:59:44Z", "LastObservedAt": "2026-11-22T09:59:59Z",
        "UpdatedAt": "2026-11-22T10:00:00Z",
        "Severity": { "Label": "MEDIUM", "Normalized": 40 },
        "Title": "CVE-2026-1001 - zlib, alib",
        "Description": "A flaw in how links are followed.",
        "Remediation": { "Recommendation": { "Text": "None Provided" } },
        "ProductFields": { "aws/inspector/FindingStatus": "ACTIVE", "aws/inspector/inspectorScore": "6.8" },
        "Resources": [{
            "Type": "AwsEc2Instance", "Id": "arn:aws:ec2:eu-central-1:111122223333:instance/i-0aaa",
            "Region": "eu-central-1", "Tags": { "Name": "shop", "team": "payments" },
            "Details": { "AwsEc2Instance": { "IpV4Addresses": ["10.0.0.7"] } }
        }],
        "Workflow": { "Status": "NEW" }, "RecordState": "ACTIVE",
        "Vulnerabilities": [{
            "Id": "CVE-2026-1001", "FixAvailable": "YES", "ExploitAvailable": "NO", "EpssScore": 0.00043,
            "Cvss": [
                { "Version": "2.0", "BaseScore": 4.3, "BaseVector": "AV:N/AC:M/Au:N/C:N/I:N/A:P" },
                { "Version": "3.1", "BaseScore": 6.8, "BaseVector": "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:H" }
            ],
            "VulnerablePackages": [
                { "Name": "zlib", "Version": "1.2", "Release": "3", "FixedInVersion": "0:1.3-1", "Remediation": "yum update zlib" },
                { "Name": "alib", "Version": "2", "FilePath": "app/lock" }
            ]
        }]
    });
    apply(&mut finding, changes);
    finding
}

/// Sets what the pointers name; `null` takes it away.
fn apply(document: &mut Value, changes: Value) {
    for (place, value) in changes.as_object().unwrap() {
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value.clone());
        }
    }
}

fn read(finding: &Value) -> Told {
    let sent = Some(SENT.parse().unwrap());
    let told = match findings(finding)[0].0.unwrap() {
        Kind::Inspector => inspector::finding(finding, sent),
        Kind::SecurityHub => security_hub::finding(finding, sent),
    };
    let mut told = told.unwrap();
    assert_eq!(told.len(), 1);
    told.remove(0)
}

#[test]
fn a_finding_of_inspector_in_our_words() {
    let Told { push, rule } = read(&inspector(json!({})));
    let (host, finding) = (push.host, push.finding);
    assert_eq!(host.native, "111122223333/eu-central-1/i-0aaa");
    let cloud = &host.cloud[0];
    assert_eq!((cloud.provider.as_str(), cloud.id.as_str()), ("aws", "i-0aaa"));
    assert_eq!(
        (cloud.account.as_deref(), cloud.region.as_deref()),
        (Some("111122223333"), Some("eu-central-1"))
    );
    assert_eq!(
        (host.ips.as_slice(), host.os.as_deref()),
        (&["10.0.0.7".to_owned()][..], Some("UBUNTU_22_04"))
    );
    assert_eq!(host.tags[1].value, "payments");
    assert_eq!(host.last_scanned_at, Some("2026-11-22T09:59:59Z".parse().unwrap()));

    assert_eq!(finding.key.as_str(), "arn:aws:inspector2:eu-central-1:111122223333:finding/0a1b");
    assert_eq!((finding.severity, finding.state), (Severity::Medium, FindingState::Open));
    assert_eq!((finding.source_severity.as_str(), finding.source_state.as_str()), ("MEDIUM", "ACTIVE"));
    let cvss = finding.cvss.unwrap();
    assert_eq!((cvss.version.as_str(), cvss.score), ("3.1", Tenths(68)), "the worst of the newest version");
    assert_eq!((finding.epss, finding.vendor_risk), (Some(0.00043), Some(6.8)));
    assert_eq!(finding.exploit_available, Some(false));
    assert_eq!(finding.first_found, Some("2026-11-04T16:59:44Z".parse().unwrap()));
    assert_eq!(finding.fixed_at, None);
    assert_eq!(
        finding.evidence.as_deref(),
        Some("alib 2 in app/lock, no fix yet\nzlib 1.2-3, fixed in 0:1.3-1")
    );
    assert_eq!(push.said.at, "2026-11-22T10:00:00Z".parse().unwrap());
    assert_eq!(push.said.sent, SENT.parse().unwrap());

    assert_eq!((rule.id.as_str(), rule.title.as_str()), ("CVE-2026-1001", "CVE-2026-1001 - zlib, alib"));
    assert_eq!(rule.cves, ["CVE-2026-1001".parse().unwrap()]);
    assert_eq!((rule.solution.as_deref(), rule.patchable), (Some("yum update zlib"), Some(true)));
}

#[test]
fn security_hubs_copy_of_a_finding_is_the_same_finding() {
    let (own, copy) = (read(&inspector(json!({}))), read(&security_hub(json!({}))));
    assert_eq!(own.push.host.native, copy.push.host.native);
    assert_eq!(own.push.host.cloud, copy.push.host.cloud);
    assert_eq!(own.push.said, copy.push.said, "its times have no fractions of a second");
    assert_eq!(own.push.finding, copy.push.finding);
    assert_eq!(own.rule.cves, copy.rule.cves);
    assert_eq!(own.rule.id, copy.rule.id);
}

#[test]
fn states_of_inspector() {
    let state = |word: &str| {
        let finding = read(&inspector(json!({ "/status": word }))).push.finding;
        (finding.state, finding.source_state, finding.fixed_at.is_some())
    };
    assert_eq!(state("CLOSED"), (FindingState::Fixed, "CLOSED".into(), true));
    assert_eq!(state("SUPPRESSED"), (FindingState::Suppressed, "SUPPRESSED".into(), false));
    assert_eq!(
        state("PONDERING"),
        (FindingState::Open, "PONDERING".into(), false),
        "unknown words are kept raw"
    );
}

#[test]
fn states_of_security_hub() {
    let state = |changes: Value| {
        let finding = read(&security_hub(changes)).push.finding;
        (finding.state, finding.source_state)
    };
    assert_eq!(state(json!({ "/RecordState": "ARCHIVED" })), (FindingState::Fixed, "ACTIVE ARCHIVED".into()));
    assert_eq!(
        state(json!({ "/Workflow/Status": "RESOLVED" })),
        (FindingState::Fixed, "ACTIVE RESOLVED".into())
    );
    assert_eq!(
        state(json!({ "/Workflow/Status": "SUPPRESSED" })),
        (FindingState::Suppressed, "ACTIVE SUPPRESSED".into())
    );
    assert_eq!(
        state(json!({ "/Workflow/Status": "SUPPRESSED", "/RecordState": "ARCHIVED" })).0,
        FindingState::Fixed,
        "what is gone needs no silence"
    );
    assert_eq!(state(json!({ "/Workflow/Status": "NOTIFIED" })), (FindingState::Open, "ACTIVE".into()));
    let without = json!({ "/ProductFields": null, "/Workflow": null });
    assert_eq!(state(without), (FindingState::Open, "ACTIVE".into()));
}

#[test]
fn severities() {
    let ours = |word: &str| read(&inspector(json!({ "/severity": word }))).push.finding;
    for (word, severity) in [
        ("CRITICAL", Severity::Critical),
        ("HIGH", Severity::High),
        ("LOW", Severity::Low),
        ("INFORMATIONAL", Severity::Info),
        ("UNTRIAGED", Severity::Info),
        ("UNHEARD_OF", Severity::Medium),
    ] {
        let finding = ours(word);
        assert_eq!((finding.severity, finding.source_severity.as_str()), (severity, word));
    }
    let number =
        |n: u8| read(&security_hub(json!({ "/Severity": { "Normalized": n } }))).push.finding.severity;
    assert_eq!(
        [0, 1, 39, 40, 69, 70, 89, 90].map(number),
        [
            Severity::Info,
            Severity::Low,
            Severity::Low,
            Severity::Medium,
            Severity::Medium,
            Severity::High,
            Severity::High,
            Severity::Critical
        ]
    );
}

#[test]
fn a_control_of_security_hub_is_open_until_it_passes() {
    let control = |status: &str| {
        security_hub(json!({
            "/GeneratorId": "security-control/EC2.8", "/Compliance": { "Status": status }, "/Vulnerabilities": null,
            "/ProductFields": {}, "/Title": "EC2 instances should use IMDSv2",
            "/Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
            "/Resources": [{ "Type": "AwsS3Bucket", "Id": "arn:aws:s3:::logs", "Partition": "aws" }]
        }))
    };
    let Told { push, rule } = read(&control("FAILED"));
    assert_eq!((rule.id.as_str(), rule.cves.len()), ("security-control/EC2.8", 0));
    assert_eq!(
        (push.finding.state, push.finding.source_state.as_str()),
        (FindingState::Open, "ACTIVE FAILED")
    );
    assert_eq!(push.host.native, "arn:aws:s3:::logs");
    assert!(push.host.cloud.is_empty(), "a bucket is no machine that another scanner knows");
    assert_eq!(read(&control("PASSED")).push.finding.state, FindingState::Fixed);
    assert_eq!(
        security_hub::finding(&control("NOT_AVAILABLE"), None),
        Ok(vec![]),
        "not checked is not failed"
    );
}

#[test]
fn attacks_are_no_weaknesses() {
    let attack =
        security_hub(json!({ "/Types": ["TTPs/Discovery/Recon:EC2-Portscan"], "/Vulnerabilities": null }));
    assert_eq!(security_hub::finding(&attack, None), Ok(vec![]));
}

#[test]
fn a_reachable_port_is_a_finding_on_that_port() {
    let reachable = inspector(json!({
        "/packageVulnerabilityDetails": null, "/type": "NETWORK_REACHABILITY",
        "/title": "Port 22 is reachable from an Internet Gateway - TCP",
        "/networkReachabilityDetails": { "openPortRange": { "begin": 22, "end": 22 }, "protocol": "TCP" }
    }));
    let Told { push, rule } = read(&reachable);
    assert_eq!((push.finding.port, push.finding.protocol.as_deref()), (Some(22), Some("tcp")));
    assert_eq!(rule.id.as_str(), "Port 22 is reachable from an Internet Gateway - TCP");
    let copy = security_hub(json!({
        "/Vulnerabilities": null, "/Title": "Port 22 is reachable from an Internet Gateway - TCP"
    }));
    assert_eq!(read(&copy).rule.id, rule.id);
}

#[test]
fn an_advisory_names_its_cves_and_a_cve_stands_for_itself() {
    let cves = |changes: Value| read(&inspector(changes)).rule.cves;
    let related = json!(["CVE-2026-7", "CVE-2026-1002", "CVE-2026-1001", "USN-1"]);
    let advisory = json!({
        "/packageVulnerabilityDetails/vulnerabilityId": "ALAS-2026-1",
        "/packageVulnerabilityDetails/relatedVulnerabilities": related
    });
    assert_eq!(cves(advisory), ["CVE-2026-1001".parse().unwrap(), "CVE-2026-1002".parse().unwrap()]);
    let itself = json!({ "/packageVulnerabilityDetails/relatedVulnerabilities": ["CVE-2026-1002"] });
    assert_eq!(cves(itself), ["CVE-2026-1001".parse().unwrap()], "related is not the same");
}

#[test]
fn times_in_every_way_that_was_seen() {
    let read = |text: &str| time(Some(&json!(text))).map(|time| time.to_string());
    for text in [
        "2024-09-04T16:59:44Z",
        "2024-09-04T18:59:44.356000+02:00",
        "Wed Sep 04 16:59:44.356 UTC 2024",
        "Sep 4, 2024, 4:59:44 PM",
        "Sep 4, 2024, 4:59:44\u{202f}PM",
        "Sep 04, 2024 04:59:44 PM",
    ] {
        assert_eq!(read(text).as_deref(), Some("2024-09-04T16:59:44Z"), "{text}");
    }
    assert_eq!(time(Some(&json!(1_725_469_184.356))).unwrap().to_string(), "2024-09-04T16:59:44Z");
    for text in ["", "yesterday", "Wed Sep 31 16:59:44.356 UTC 2024"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let problem = |finding: &Value| match findings(finding)[0].0.unwrap() {
        Kind::Inspector => inspector::finding(finding, None).unwrap_err(),
        Kind::SecurityHub => security_hub::finding(finding, None).unwrap_err(),
    };
    assert!(problem(&inspector(json!({ "/updatedAt": "soon" }))).contains("updatedAt"));
    assert!(problem(&inspector(json!({ "/resources": [] }))).contains("resource"));
    assert!(problem(&inspector(json!({ "/findingArn": "" }))).contains("findingArn"));
    assert!(problem(&security_hub(json!({ "/UpdatedAt": null }))).contains("UpdatedAt"));
    assert!(problem(&security_hub(json!({ "/Resources": [{ "Type": "Other" }] }))).contains("no id"));
}

#[test]
fn every_shape_of_a_document_is_read() {
    let (own, copy) = (inspector(json!({})), security_hub(json!({})));
    let count = |stream: &str, document: Value| {
        let summary = normalize(stream, document.to_string().as_bytes(), &mut |_| {}).unwrap();
        (summary.hosts, summary.findings, summary.rules, summary.refused)
    };
    assert_eq!(count("", json!({ "detail-type": INSPECTOR_EVENT, "detail": own })), (1, 1, 1, 0));
    assert_eq!(
        count("", json!({ "detail-type": SECURITY_HUB_EVENT, "detail": { "findings": [copy] } })),
        (1, 1, 1, 0)
    );
    assert_eq!(count("inspector", json!({ "findings": [own, own] })), (1, 2, 1, 0));
    assert_eq!(count("", json!({ "Findings": [copy] })), (1, 1, 1, 0));
    assert_eq!(count("", json!([own, copy, { "a": 1 }])), (1, 2, 1, 1));
    assert_eq!(count("security_hub", own), (0, 0, 0, 1));
    assert_eq!(count("", json!({ "findings": [] })), (0, 0, 0, 0));
    assert!(normalize("assets", &b"[]"[..], &mut |_| {}).is_err());
    let broken = normalize("", &b"{\n \"findings\": ["[..], &mut |_| {}).unwrap_err().to_string();
    assert!(broken.starts_with("at byte 15"), "{broken}");
}

#[test]
fn what_stands_in_the_place_of_something_else_tells_nothing() {
    let odd = inspector(json!({
        "/packageVulnerabilityDetails/cvss": { "baseScore": 9.8 }, "/remediation": [7], "/epss": "high",
        "/packageVulnerabilityDetails/vulnerablePackages": ["zlib"], "/resources/0/tags": ["team"],
        "/networkReachabilityDetails": true, "/new": { "unheard": [1.5] }
    }));
    let Told { push, rule } = read(&odd);
    assert_eq!((push.finding.cvss, push.finding.epss, push.finding.port), (None, None, None));
    assert_eq!((push.host.tags.len(), rule.solution), (0, None));
    assert_eq!(push.host.ips, ["10.0.0.7"]);
}

#[test]
fn of_a_field_that_is_given_twice_the_last_counts() {
    let finding = inspector(json!({})).to_string();
    let twice = format!("{{\"findings\":[{{\"severity\":\"LOW\",{}]}}", &finding[1..]);
    let mut severities = Vec::new();
    let summary = normalize("", twice.as_bytes(), &mut |statement| {
        if let sync::Normalized::Finding { finding, .. } = statement {
            severities.push(finding.severity);
        }
    });
    assert_eq!((summary.unwrap().refused, severities), (0, vec![Severity::Medium]));
}
