//! Real findings of Amazon Inspector, in its own words and in Security Hub's: the recordings that `RECORDINGS` names.
//! The expectations were read off the recordings by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::{Finding, FindingState, Host, Rule, Severity};
use sync::Normalized;

/// What a recording holds.
#[derive(Default)]
struct Told {
    hosts: BTreeMap<String, Host>,
    findings: Vec<(String, Finding)>,
    rules: BTreeMap<String, Rule>,
    refused: usize,
}

impl Told {
    fn finding(&self, rule: &str) -> &Finding {
        &self.findings.iter().find(|(_, finding)| finding.rule.as_str() == rule).unwrap().1
    }
}

fn read(name: &str) -> Option<Told> {
    let Some(folder) = std::env::var_os("RECORDINGS") else {
        println!("skipped: RECORDINGS is not set");
        return None;
    };
    let file = std::fs::File::open(PathBuf::from(folder).join("aws").join(name)).unwrap();
    let mut told = Told::default();
    sync_aws::normalize("", file, &mut |statement| match statement {
        Normalized::Host(host) => {
            told.hosts.insert(host.native.clone(), host);
        }
        Normalized::Finding { host, finding, .. } => told.findings.push((host, finding)),
        Normalized::Rule(rule) => {
            told.rules.insert(rule.id.to_string(), rule);
        }
        Normalized::Refused(_) => told.refused += 1,
        Normalized::Whole { host, .. } => panic!("a push tells one finding, not all of {host}"),
    })
    .unwrap();
    Some(told)
}

#[test]
fn findings_of_inspector() {
    let Some(told) = read("inspector2_many.json") else { return };
    assert_eq!((told.findings.len(), told.hosts.len(), told.rules.len(), told.refused), (8, 2, 8, 0));
    let count = |severity| told.findings.iter().filter(|(_, f)| f.severity == severity).count();
    let counts =
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info].map(count);
    assert_eq!(counts, [0, 2, 3, 1, 2], "two are UNTRIAGED");
    let states: Vec<_> = told.findings.iter().map(|(_, f)| f.state).collect();
    assert_eq!(states.iter().filter(|state| **state == FindingState::Fixed).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == FindingState::Open).count(), 7);

    let closed = told.finding("CVE-2021-3744");
    assert_eq!((closed.state, closed.source_state.as_str()), (FindingState::Fixed, "CLOSED"));
    assert_eq!(closed.fixed_at, Some("2024-06-14T02:03:53Z".parse().unwrap()));
    assert_eq!(closed.first_found, Some("2024-02-02T15:30:33Z".parse().unwrap()));
    assert_eq!((closed.epss, closed.exploit_available), (Some(0.00075), Some(false)));
    assert_eq!(closed.evidence.as_deref(), Some("linux 4.19.118-2, fixed in 0:4.19.232-1"));

    let exploited = told.finding("CVE-2023-42753");
    assert_eq!((exploited.severity, exploited.exploit_available), (Severity::High, Some(true)));
    let cvss = exploited.cvss.as_ref().unwrap();
    assert_eq!((cvss.version.as_str(), cvss.score.to_string().as_str()), ("3.1", "7.8"));
    assert_eq!(exploited.vendor_risk, Some(7.8));

    let untriaged = told.finding("CVE-2024-37021");
    assert_eq!((untriaged.severity, untriaged.source_severity.as_str()), (Severity::Info, "UNTRIAGED"));
    assert!(untriaged.cvss.is_none() && untriaged.vendor_risk.is_none());
    assert_eq!(told.rules["CVE-2024-37021"].patchable, Some(false));
    assert_eq!(told.rules["CVE-2024-37021"].solution, None, "NotAvailable is no solution");

    let old = told.finding("CVE-2015-8035");
    assert_eq!(old.cvss.as_ref().map(|cvss| (cvss.version.as_str(), cvss.score.0)), Some(("2.0", 26)));
    let instance = &told.hosts["012345678901/us-east-1/i-0b22a22eec53b9321"];
    assert_eq!((instance.ips.len(), instance.os.as_deref()), (2, Some("CENTOS_7")));
    assert_eq!(
        (instance.cloud[0].account.as_deref(), instance.cloud[0].id.as_str()),
        (Some("012345678901"), "i-0b22a22eec53b9321")
    );
    let tags: Vec<_> = instance.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())).collect();
    assert_eq!(tags, [("Backup_Policy", "Monthly"), ("Name", "my-instance")]);
    let image =
        told.hosts.values().find(|host| host.native.contains("repository/my-awesome-docker-image")).unwrap();
    assert!(image.cloud.is_empty());
    assert_eq!(image.os.as_deref(), Some("DEBIAN_10"));
}

#[test]
fn findings_of_instances_by_way_of_security_hub() {
    let Some(told) = read("asff_inspector_ec2_cve.json") else { return };
    assert_eq!((told.findings.len(), told.rules.len(), told.refused), (5, 1, 0));
    // The account was redacted in all but one of them.
    let hosts: Vec<_> = told.hosts.keys().map(String::as_str).collect();
    assert_eq!(
        hosts,
        ["111111111111/us-east-1/i-11111111111111111", "XXXXXXXXXXXX/us-east-1/i-11111111111111111"]
    );
    assert!(
        told.findings.iter().all(|(_, f)| f.severity == Severity::Critical && f.state == FindingState::Open)
    );
    let finding = &told.findings[0].1;
    assert_eq!((finding.source_severity.as_str(), finding.source_state.as_str()), ("CRITICAL", "ACTIVE"));
    assert_eq!(
        finding.key.as_str(),
        "arn:aws:inspector2:us-east-1:XXXXXXXXXXXX:finding/c830773636319eaf8313475ae5876490"
    );
    assert_eq!((finding.vendor_risk, finding.exploit_available), (Some(10.0), None));
    assert_eq!(finding.cvss.as_ref().map(|cvss| cvss.score.0), Some(100));
    assert_eq!(finding.first_found, Some("2023-03-01T08:04:10Z".parse().unwrap()));
    let rule = &told.rules["CVE-2022-3643"];
    assert_eq!(
        (rule.title.as_str(), rule.cves.len(), rule.patchable),
        ("CVE-2022-3643 - kernel", 1, Some(true))
    );
    assert_eq!(rule.solution.as_deref(), Some("yum update kernel"));
}

#[test]
fn findings_of_images_by_way_of_security_hub() {
    let Some(told) = read("asff_inspector_ecr.json") else { return };
    assert_eq!((told.findings.len(), told.hosts.len(), told.rules.len(), told.refused), (7, 7, 7, 0));
    let count = |severity| told.findings.iter().filter(|(_, f)| f.severity == severity).count();
    assert_eq!([Severity::Critical, Severity::High, Severity::Medium].map(count), [1, 5, 1]);
    let exploits = told.findings.iter().filter(|(_, f)| f.exploit_available == Some(true)).count();
    assert_eq!(exploits, 4);
    assert_eq!(told.finding("CVE-2023-2650").epss, Some(0.0014));
    let text = told.finding("CVE-2022-32149");
    assert_eq!(text.severity, Severity::High);
    assert!(text.evidence.as_ref().unwrap().contains("golang.org/x/text"));
    assert!(
        told.hosts
            .keys()
            .all(|native| native.starts_with("arn:aws:ecr:eu-central-1:123456789012:repository/"))
    );
}
