//! Real answers of Tenable, replayed through the real client: the recordings that `RECORDINGS` names.
//!
//! A recording is a folder of exchanges, `NN_METHOD_path.STATUS.json` with a `.meta.json` beside it that names method,
//! address and status. The expectations were read off the recordings by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::policy::Connector;
use domain::{Finding, FindingState, Host, Rule, RunId, Severity};
use jiff::Timestamp;
use recorder::Recorder;
use sync::{HostReport, HttpClient, HttpOptions, Mode, Next, Normalized, Run, Scanner, Unit};
use sync_tenable::TenableScanner;

/// The folder of Tenable's recordings, if there are any.
fn recordings() -> Option<PathBuf> {
    match std::env::var_os("RECORDINGS") {
        Some(folder) => Some(PathBuf::from(folder).join("tenable")),
        None => {
            println!("skipped: RECORDINGS is not set");
            None
        }
    }
}

/// Recorded answers by method and path, in order; the last one repeats.
type Exchanges = Arc<Mutex<BTreeMap<String, VecDeque<(u16, Vec<u8>)>>>>;

fn load(folder: &Path) -> Exchanges {
    let mut exchanges: BTreeMap<String, VecDeque<(u16, Vec<u8>)>> = BTreeMap::new();
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for meta in names.iter().filter(|name| name.to_string_lossy().ends_with(".meta.json")) {
        let told: serde_json::Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
        let path = told["url"].as_str().unwrap().trim_start_matches("https://cloud.tenable.com");
        let body = PathBuf::from(meta.to_string_lossy().replace(".meta.json", ".json"));
        let status = u16::try_from(told["status"].as_u64().unwrap()).unwrap();
        let key = format!("{} {path}", told["method"].as_str().unwrap());
        exchanges.entry(key).or_default().push_back((status, std::fs::read(body).unwrap()));
    }
    Arc::new(Mutex::new(exchanges))
}

async fn replay(State(exchanges): State<Exchanges>, request: Request) -> Response {
    let key = format!("{} {}", request.method(), request.uri().path());
    let mut exchanges = exchanges.lock().unwrap();
    let Some(answers) = exchanges.get_mut(&key) else {
        return (StatusCode::NOT_FOUND, "not recorded").into_response();
    };
    let (status, body) = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// What a run brought.
struct Brought {
    inventory: BTreeMap<String, Host>,
    hosts: BTreeMap<String, Host>,
    findings: Vec<(String, Finding)>,
    rules: BTreeMap<String, Rule>,
    refused: usize,
    received: u64,
    missing: Vec<String>,
}

impl Brought {
    fn of(told: Recorder, received: u64, missing: Vec<String>) -> Self {
        let inventory = told.hosts();
        let (mut hosts, mut findings) = (BTreeMap::<String, Host>::new(), Vec::new());
        for HostReport { host, findings: found, .. } in told.reports {
            let native = host.native.clone();
            findings.extend(found.into_iter().map(|finding| (native.clone(), finding)));
            let known = hosts.remove(&native).unwrap_or_default();
            hosts.insert(native, host.completed_with(&known));
        }
        let rules = told.rules.into_iter().map(|rule| (rule.id.to_string(), rule)).collect();
        Self { inventory, hosts, findings, rules, refused: told.refused.len(), received, missing }
    }

    fn count(&self, severity: Severity, state: FindingState) -> usize {
        self.findings.iter().filter(|(_, f)| f.severity == severity && f.state == state).count()
    }

    fn finding(&self, plugin: &str) -> &Finding {
        &self.findings.iter().find(|(_, f)| f.rule.as_str() == plugin).unwrap().1
    }

    fn keys(&self) -> BTreeSet<(&str, &str)> {
        self.findings.iter().map(|(host, f)| (host.as_str(), f.key.as_str())).collect()
    }
}

/// Pulls one stream out of one recording, from the plan to the last unit.
async fn pull(folder: &Path, stream: &str) -> Brought {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new().fallback(replay).with_state(load(folder));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let connector: Connector = serde_json::from_value(serde_json::json!({
        "name": "tenable-recorded", "type": "tenable", "base_url": url, "data_streams": [stream],
        "auth": { "method": "api_keys", "access_key": "${A}", "secret_key": "${S}" },
    }))
    .unwrap();
    let options = HttpOptions { allow_private_address: true, ..HttpOptions::default() };
    let http =
        sync_tenable::with_keys(HttpClient::new("tenable-recorded", &url, &options).unwrap(), "a", "s")
            .unwrap();
    let scanner = TenableScanner::new(&connector, http);
    let started_at: Timestamp = "2022-06-03T17:00:00Z".parse().unwrap();
    let run = Run::new(connector.name, RunId::new(started_at, 1), Mode::Full, started_at);

    let (mut sink, mut received, mut missing) = (Recorder::new(started_at), 0, Vec::new());
    let mut units: VecDeque<Unit> = scanner.plan(&run).await.unwrap().into();
    while let Some(unit) = units.pop_front() {
        let proof = match scanner.pull(&run, &unit, &mut sink).await.unwrap() {
            Next::Later(at, unit) => {
                sink.now = sink.now.max(at);
                units.push_back(unit);
                continue;
            }
            Next::More(more, proof) => {
                units.extend(more);
                proof
            }
            Next::Done(proof) => proof,
        };
        received += proof.received;
        missing.extend(proof.missing);
    }
    Brought::of(sink, received, missing)
}

#[tokio::test]
async fn an_export_of_findings_of_2018() {
    let Some(folder) = recordings() else { return };
    let brought = pull(&folder.join("test_exports_vulns"), "vulnerabilities").await;
    assert_eq!((brought.received, brought.refused), (344, 0));
    assert_eq!((brought.findings.len(), brought.hosts.len(), brought.rules.len()), (344, 6, 224));
    assert_eq!(brought.keys().len(), 344, "host, plugin, port and protocol tell the findings apart");
    let open = |severity| brought.count(severity, FindingState::Open);
    assert_eq!(open(Severity::Critical), 6);
    assert_eq!(open(Severity::High), 50);
    assert_eq!(open(Severity::Medium), 11);
    assert_eq!(open(Severity::Low), 12);
    assert_eq!(open(Severity::Info), 258);
    assert_eq!(brought.count(Severity::Info, FindingState::Reopened), 7);
    // Reopened findings carry the date of their last fix, which is not theirs any more.
    assert!(brought.findings.iter().all(|(_, finding)| finding.fixed_at.is_none()));
    assert_eq!(brought.findings.iter().filter(|(_, finding)| finding.port.is_some()).count(), 210);
    assert_eq!(brought.findings.iter().filter(|(_, f)| f.protocol.as_deref() == Some("icmp")).count(), 1);
    assert_eq!(brought.findings.iter().filter(|(_, finding)| finding.cvss.is_some()).count(), 76);

    let kernel = brought.finding("100931");
    let cvss = kernel.cvss.as_ref().unwrap();
    assert_eq!((cvss.version.as_str(), cvss.score.to_string().as_str()), ("3", "9.8"));
    assert_eq!(cvss.vector.as_deref(), Some("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"));
    assert_eq!((kernel.severity, kernel.source_severity.as_str()), (Severity::Critical, "4"));
    assert_eq!(kernel.first_found, Some("2018-03-29T21:42:04Z".parse().unwrap()));
    assert!(kernel.evidence.as_ref().unwrap().contains("linux-image-4.8.0-56-generic"));

    // The host was renamed twice: its newest description counts. A host name that is an address is an address, and an
    // FQDN without a dot is a host name.
    let windows = &brought.hosts["2d520484-6b83-4c63-b3d0-bf094315cc0f"];
    assert_eq!((windows.fqdns.as_slice(), windows.ips.len()), (&["archie.ad.demo.io".to_owned()][..], 1));
    assert_eq!((windows.ips[0].as_str(), windows.netbios[0].as_str()), ("192.168.16.147", "ARCHIE"));
    assert_eq!(windows.bios_uuid.as_deref(), Some("02EB2642-6E94-23AF-9C99-B61644C2CC46"));
    let firewall = &brought.hosts["bca4b34f-0d9f-4a5b-88b9-041af9685ff5"];
    assert_eq!((firewall.hostnames.as_slice(), firewall.fqdns.len()), (&["pfsense".to_owned()][..], 0));
    assert_eq!((windows.credentialed, firewall.credentialed), (Some(true), None));
}

#[tokio::test]
async fn an_export_of_findings_of_2022() {
    let Some(folder) = recordings() else { return };
    let brought = pull(&folder.join("fetch-vulnerabilities_2554332652"), "vulnerabilities").await;
    assert_eq!((brought.received, brought.refused, brought.missing.len()), (103, 0, 0));
    assert_eq!((brought.findings.len(), brought.hosts.len(), brought.rules.len()), (103, 1, 58));
    assert_eq!(brought.keys().len(), 103);
    let open = |severity| brought.count(severity, FindingState::Open);
    let by_severity =
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info].map(open);
    assert_eq!(by_severity, [2, 12, 5, 0, 84]);
    assert_eq!(brought.findings.iter().filter(|(_, finding)| finding.vendor_risk.is_some()).count(), 18);
    assert_eq!(
        brought.findings.iter().filter(|(_, finding)| finding.cvss.is_some()).count(),
        19,
        "0 is no score"
    );
    let finding = brought.finding("159106");
    assert_eq!((finding.vendor_risk, finding.key.as_str()), (Some(7.4), "159106|0|tcp"));
    // Addresses were redacted in the recording: they are absent, and the record is not lost.
    let host = &brought.hosts["e6782de6-e520-4fa8-8ca9-49286d7fca2a"];
    assert!(host.ips.is_empty() && host.macs.is_empty());
    assert_eq!(
        (host.hostnames[0].as_str(), host.fqdns[0].as_str()),
        ("maxosxj1", "mbp16inch2021.localdomain")
    );
    assert_eq!(host.agent_ids, ["9928ced55f8a4121b63c15b50cd461e6"]);
    assert_eq!(host.os.as_deref(), Some("macOS 12.0"));
    assert_eq!(brought.rules["14272"].solution, None, "N/A is no solution");
}

#[tokio::test]
async fn an_export_of_assets_with_chunks_that_were_never_downloaded() {
    let Some(folder) = recordings() else { return };
    let brought = pull(&folder.join("test_exports_assets"), "assets").await;
    assert_eq!((brought.received, brought.inventory.len(), brought.refused), (100, 100, 0));
    // Three chunks were announced; only the first one is in the recording.
    assert_eq!(brought.missing.len(), 2, "{:?}", brought.missing);
    assert!(brought.missing.iter().all(|missing| missing.contains("expired")));
    let docker = &brought.inventory["b666e9f5-fde7-4cd8-9c07-12c19246b616"];
    assert_eq!((docker.fqdns[0].as_str(), docker.ips[0].as_str()), ("docker.demo.io", "192.168.15.104"));
    assert_eq!((docker.macs.len(), docker.credentialed), (10, Some(true)));
    assert_eq!(docker.bios_uuid.as_deref(), Some("422637a2-75d4-2b17-3065-14f5fa23698e"));
    assert_eq!(docker.last_scanned_at, Some("2018-03-29T21:43:12Z".parse().unwrap()));
    assert!(brought.inventory.values().all(|host| host.gone_at.is_none() && host.criticality.is_none()));
    assert_eq!(brought.inventory.values().filter(|host| host.credentialed == Some(true)).count(), 3);
}

#[tokio::test]
async fn an_export_of_assets_with_cloud_machines() {
    let Some(folder) = recordings() else { return };
    for (recording, assets) in [
        ("fetch-assets_3872274967", 6),
        ("fetch-assets-mapped-relationships-azure_vm_3276337367", 6),
        ("iterateAssets-success_1289501922", 4),
    ] {
        let brought = pull(&folder.join(recording), "assets").await;
        assert_eq!(
            (brought.received, brought.inventory.len(), brought.missing.len()),
            (assets, assets as usize, 0)
        );
        let azure = &brought.inventory["f85956cd-d141-45d8-a199-cf2686658ae7"].cloud[0];
        assert_eq!(
            (azure.provider.as_str(), azure.id.as_str()),
            ("azure", "b1691058-b730-4428-a82a-9c3219c5d9db")
        );
        assert_eq!(azure.account.as_deref(), Some("d3803fd6-2ba4-4286-80aa-f3d613ad59a7"));
    }
}

#[test]
fn the_documented_examples() {
    let Some(folder) = recordings() else { return };
    let read = |stream: &str, name: &str| {
        let mut statements = Vec::new();
        let file = std::fs::File::open(folder.join("api-examples").join(name)).unwrap();
        let summary =
            sync_tenable::normalize(stream, file, &mut |statement| statements.push(statement)).unwrap();
        (summary, statements)
    };
    let (summary, statements) =
        read("vulnerabilities", "get_vulns_export_export_uuid_chunks_chunk_id_200_response.json");
    assert_eq!((summary.hosts, summary.findings, summary.rules, summary.refused), (2, 2, 2, 0));
    let Normalized::Finding { finding, cves, .. } = &statements[2] else { panic!("{statements:?}") };
    assert_eq!((finding.epss, finding.vendor_risk, cves.len()), (Some(0.106_47), Some(6.7), 3));
    assert_eq!(finding.cvss.as_ref().unwrap().version, "4.0");

    let (summary, statements) =
        read("assets", "get_assets_export_export_uuid_chunks_chunk_id_200_Asset_export_v1_model.json");
    assert_eq!((summary.hosts, summary.refused), (2, 0));
    let Normalized::Host(first) = &statements[0] else { panic!() };
    assert_eq!((first.criticality, first.serial.as_deref()), (Some(5), Some("C137B8E58B6")));
    assert_eq!(first.last_scanned_at, None, "the example names the 31st of February");
    let (summary, _) =
        read("assets", "get_assets_export_export_uuid_chunks_chunk_id_200_Assets_export_v2_model.json");
    assert_eq!((summary.hosts, summary.refused), (3, 0));
}
