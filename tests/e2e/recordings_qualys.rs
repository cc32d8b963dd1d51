//! The Qualys connector against recorded answers of the real API: replayed to the real client, and read as files.
//! Expectations were taken from the recordings with an unrelated XML parser, not from our own output.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::policy::{Auth, Connector, Seconds};
use domain::{Finding, FindingState, Host, Rule, RunId, Severity};
use recorder::Recorder;
use serde_json::{Value, json};
use sync::{HttpClient, HttpOptions, Mode, Next, Normalized, Run, Scanner, Summary, Unit};
use sync_qualys::QualysScanner;

fn recordings() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("RECORDINGS") else {
        eprintln!("skipped: RECORDINGS is not set");
        return None;
    };
    Some(PathBuf::from(folder).join("qualys"))
}

fn read(path: &Path) -> (Vec<Normalized>, Summary) {
    let mut statements = Vec::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let summary = sync_qualys::normalize("", file, &mut |statement| statements.push(statement))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (statements, summary)
}

fn rules(statements: Vec<Normalized>) -> BTreeMap<String, Rule> {
    let rule = |statement| if let Normalized::Rule(rule) = statement { Some(rule) } else { None };
    statements.into_iter().filter_map(rule).map(|rule| (rule.id.to_string(), rule)).collect()
}

fn hosts(statements: &[Normalized]) -> Vec<&Host> {
    statements.iter().filter_map(|s| if let Normalized::Host(host) = s { Some(host) } else { None }).collect()
}

fn findings(statements: &[Normalized]) -> Vec<(&str, &Finding, Option<&str>, usize)> {
    statements
        .iter()
        .filter_map(|statement| match statement {
            Normalized::Finding { host, finding, title, cves, .. } => {
                Some((host.as_str(), finding, title.as_deref(), cves.len()))
            }
            _ => None,
        })
        .collect()
}

const KNOWLEDGE_BASE: &str = "steps_741716276/06_POST_api_2.0_fo_knowledge_base_vuln.200.xml";

#[test]
fn qualys_recorded_documents_are_all_read() {
    let Some(folder) = recordings() else { return };
    let mut pending = vec![folder];
    let (mut files, mut refused) = (0, 0);
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "xml") {
                files += 1;
                refused += read(&path).1.refused;
            }
        }
    }
    assert!(files >= 20, "{files}");
    assert_eq!(refused, 0);
}

#[test]
fn qualys_recorded_definitions() {
    let Some(folder) = recordings() else { return };
    let (statements, summary) = read(&folder.join(KNOWLEDGE_BASE));
    assert_eq!((summary.rules, summary.hosts, summary.findings), (42, 0, 0));
    let rules = rules(statements);
    let with_cves: Vec<_> = rules.values().filter(|r| !r.cves.is_empty()).map(|r| r.id.as_str()).collect();
    assert_eq!(with_cves.len(), 5, "{with_cves:?}");
    assert_eq!(rules.values().map(|r| r.cves.len()).sum::<usize>(), 6);
    let cves = |id: &str| rules[id].cves.iter().map(|cve| cve.to_string()).collect::<Vec<_>>();
    assert_eq!(cves("150456"), ["CVE-2021-44224"]);
    assert_eq!(rules["6"].title, "DNS Host Name");
    assert_eq!(rules["6"].severity, Some(Severity::Info));
    assert_eq!(rules["6"].patchable, Some(false));
    assert_eq!(rules["6"].modified, Some("2018-01-04T17:39:37Z".parse().unwrap()));
    assert_eq!(rules["150001"].severity, Some(Severity::Critical));
    assert_eq!(rules["45017"].solution, None, "not applicable says nothing");
    assert!(rules.values().all(|r| r.cvss.is_none()), "CVSS is not enabled in this subscription");
    for rule in rules.values() {
        for text in [&rule.description, &rule.solution].into_iter().flatten() {
            for markup in ["<P>", "<BR>", "</A>", "&quot;", "HREF="] {
                assert!(!text.contains(markup), "{} keeps {markup}", rule.id);
            }
        }
    }
}

#[test]
fn qualys_recorded_scan_report() {
    let Some(folder) = recordings() else { return };
    let (statements, summary) = read(&folder.join("Qualys_Sample_Report.xml"));
    // 301 statements, 209 of them gathered information.
    assert_eq!((summary.hosts, summary.findings, summary.rules), (7, 92, 93));
    let hosts = hosts(&statements);
    assert_eq!(hosts[0].native, "64.41.200.243");
    assert_eq!(hosts[0].fqdns, ["demo13.s02.sjc01.qualys.com"]);
    assert_eq!(hosts[0].os.as_deref(), Some("Ubuntu / Tiny Core Linux / Linux 2.6.x"));
    let findings = findings(&statements);
    assert!(findings.iter().all(|(_, f, title, _)| f.state == FindingState::Open && title.is_some()));
    assert_eq!(findings.iter().filter(|(_, f, ..)| f.source_state == "Active").count(), 2);
    let debian =
        findings.iter().find(|(_, f, ..)| f.rule.as_str() == "42007" && f.port == Some(8443)).unwrap();
    assert_eq!((debian.0, debian.1.severity, debian.3), ("64.41.200.250", Severity::Critical, 1));
    assert_eq!(debian.1.protocol.as_deref(), Some("tcp"));
    assert_eq!(debian.1.first_found, Some("2019-07-31T22:15:32Z".parse().unwrap()));
    let keys: BTreeSet<_> = findings.iter().map(|(host, f, ..)| (*host, f.key.as_str())).collect();
    assert_eq!(keys.len(), 92, "no two findings share a key");
    let amd = rules(statements).remove("370876").and_then(|rule| rule.cvss).unwrap();
    assert_eq!((amd.version.as_str(), amd.score.to_string().as_str()), ("3", "9.0"));
}

#[test]
fn qualys_recorded_assets() {
    let Some(folder) = recordings() else { return };
    let (statements, _) =
        read(&folder.join("fetchHostDetails_2031643069/01_POST_qps_rest_2.0_search_am_hostasset.200.xml"));
    let hosts = hosts(&statements);
    assert_eq!(hosts.len(), 1);
    let host = hosts[0];
    assert_eq!(host.native, "107800671", "the id that detections use");
    assert_eq!(host.ips, ["172.31.66.126", "3.236.88.110"]);
    let cloud = &host.cloud[0];
    assert_eq!((cloud.provider.as_str(), cloud.id.as_str()), ("aws", "i-02751173c463c34e8"));
    assert_eq!(
        (cloud.account.as_deref(), cloud.region.as_deref()),
        (Some("191097756250"), Some("us-east-1"))
    );
    assert_eq!(host.fqdns, ["ec2-3-236-88-110.compute-1.amazonaws.com"]);
}

/// Answers each API with its recording, whatever the version in the path, with the recorded headers.
async fn replay(folder: &Path) -> (String, Arc<Mutex<Vec<String>>>) {
    let answers: BTreeMap<&str, (PathBuf, PathBuf)> = [
        ("asset/host/", "steps_741716276/05_GET_api_2.0_fo_asset_host_action_list_details_None_truncation_limit_10000_vm_processed_after"),
        ("asset/host/vm/detection/", "iterateHostDetections_31119415/01_POST_api_2.0_fo_asset_host_vm_detection"),
        ("search/am/hostasset", "fetchHostDetails_2031643069/01_POST_qps_rest_2.0_search_am_hostasset"),
        ("knowledge_base/vuln/", "steps_741716276/06_POST_api_2.0_fo_knowledge_base_vuln"),
    ]
    .map(|(api, name)| (api, (folder.join(format!("{name}.200.xml")), folder.join(format!("{name}.200.meta.json")))))
    .into();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    let handler = move |uri: Uri, body: Bytes| {
        let path = uri.path().splitn(5, '/').nth(4).unwrap_or("").to_owned();
        log.lock().unwrap().push(format!("{path} {}", String::from_utf8_lossy(&body)));
        let (body, meta) =
            answers.get(path.as_str()).unwrap_or_else(|| panic!("nothing recorded for {path}")).clone();
        async move {
            let meta: Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
            let status = StatusCode::from_u16(meta["status"].as_u64().unwrap() as u16).unwrap();
            let mut answer: Response = (status, std::fs::read(body).unwrap()).into_response();
            for (name, value) in meta["headers"].as_object().unwrap() {
                let name: HeaderName = name.parse().unwrap();
                answer.headers_mut().insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
            }
            answer
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    (base, asked)
}

#[tokio::test]
async fn qualys_recorded_exchange_is_pulled() {
    let Some(folder) = recordings() else { return };
    let (base, asked) = replay(&folder).await;
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: Duration::from_millis(1),
        ..HttpOptions::default()
    };
    let http = HttpClient::new("qualys", &base, &options).unwrap().with_basic("user", "secret").unwrap();
    let connector = Connector {
        name: "qualys".parse().unwrap(),
        scanner: domain::Scanner::Qualys,
        base_url: base.clone(),
        gateway_url: None,
        api_versions: Default::default(),
        auth: Auth::Basic { username: "user".into(), password: "${PASSWORD}".into(), token: None },
        // Nobody has recorded tags and asset groups.
        data_streams: ["asset_inventory", "knowledge_base", "host_detections"].map(str::to_owned).into(),
        sync_interval: Seconds::hour(),
        full_interval: Seconds::week(),
        scan_cadence: Seconds::month(),
        scope: "default".into(),
        max_concurrency: None,
        close_limit_percent: 30,
        via: None,
        page_size: None,
        allow_private_address: true,
        tls: domain::policy::Tls::default(),
    };
    let scanner = QualysScanner::new(&connector, http, None).unwrap();
    let mut sink = Recorder::default();
    let run = Run::new(connector.name.clone(), RunId::new(sink.now, 1), Mode::Full, sink.now);
    let mut units = scanner.plan(&run).await.unwrap();
    // The recorded client asked for 43 rules, one of which has no definition.
    let meta = folder.join(KNOWLEDGE_BASE.replace(".xml", ".meta.json"));
    let meta: Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
    let ids = meta["request_body"].as_str().unwrap().split_once("ids=").unwrap().1.replace("%2C", ",");
    let qids: Vec<&str> = ids.split(',').collect();
    units.insert(
        0,
        Unit::new("kb/detections-0/0", &json!({"ask": "definitions", "page": 0, "batch": 0, "qids": qids})),
    );
    let mut done = Vec::new();
    while let Some(unit) = units.pop() {
        match scanner.pull(&run, &unit, &mut sink).await.unwrap() {
            Next::Done(proof) => done.push((unit.id, proof.received, proof.missing)),
            Next::More(more, proof) => {
                done.push((unit.id, proof.received, proof.missing));
                units.extend(more);
            }
            later @ Next::Later(..) => panic!("{later:?}"),
        }
    }
    let expected = [
        ("hosts/0", 0),
        ("host-ids/0", 0),
        ("host-assets/0", 1),
        ("detections/0", 0),
        ("kb/detections-0/0", 42),
    ];
    assert_eq!(done, expected.map(|(id, received)| (id.to_owned(), received, None)));
    assert_eq!((qids.len(), sink.rules.len(), sink.undefined.len()), (43, 42, 1));
    assert!(sink.inventory.is_empty() && sink.reports.is_empty() && sink.refused.is_empty());
    assert_eq!(asked.lock().unwrap().len(), 5);
}
