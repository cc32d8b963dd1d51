//! The scanner against a scripted server: every answer that an export can give.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::{FindingState, ScanJob, ScanOutcome};
use jiff::SignedDuration;
use recorder::Recorder;
use serde_json::{Value, json};
use sync::{Coverage, HostReport, HttpOptions, Mode, Proof};

use super::*;

/// One answer of the scripted server.
#[derive(Clone)]
struct Answer(u16, Vec<(&'static str, String)>, Vec<u8>);

fn answer(body: &Value) -> Answer {
    Answer(200, vec![], body.to_string().into_bytes())
}

fn text(status: u16, body: &str) -> Answer {
    Answer(status, vec![], body.as_bytes().to_vec())
}

/// What the server says per method and path; the last answer repeats. Everything asked is remembered.
#[derive(Default)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    asked: Vec<(String, String, Option<String>)>,
}

type Shared = Arc<Mutex<Script>>;

async fn play(State(script): State<Shared>, request: Request) -> Response {
    let key = format!("{} {}", request.method(), request.uri().path());
    let keys = request.headers().get("x-apikeys").and_then(|keys| keys.to_str().ok()).map(str::to_owned);
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut script = script.lock().unwrap();
    script.asked.push((key.clone(), String::from_utf8_lossy(&body).into_owned(), keys));
    let Some(answers) = script.answers.get_mut(&key) else { panic!("nobody should ask for {key}") };
    let Answer(status, headers, body) =
        if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}

struct Stage {
    scanner: TenableScanner,
    script: Shared,
    sink: Recorder,
    run: Run,
}

fn start_time() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

async fn stage(page_size: Option<u32>, streams: &[&str], answers: Vec<(&str, Vec<Answer>)>) -> Stage {
    let answers = answers.into_iter().map(|(key, answers)| (key.to_owned(), answers)).collect();
    let script = Arc::new(Mutex::new(Script { answers, asked: vec![] }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new().fallback(play).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: std::time::Duration::from_millis(1),
        ..HttpOptions::default()
    };
    let http = with_keys(HttpClient::new("tenable-test", &url, &options).unwrap(), "a", "s").unwrap();
    let connector: Connector = serde_json::from_value(json!({
        "name": "tenable-test", "type": "tenable", "base_url": url, "page_size": page_size, "data_streams": streams,
        "auth": {"method": "api_keys", "access_key": "${A}", "secret_key": "${S}"},
    }))
    .unwrap();
    let now = start_time();
    Stage {
        scanner: TenableScanner::new(&connector, http),
        script,
        sink: Recorder::new(now),
        run: Run::new(connector.name, domain::RunId::new(now, 1), Mode::Full, now),
    }
}

impl Stage {
    /// Works the plan to its end as the engine does; every unit is stored and read back in between.
    async fn run(&mut self) -> Vec<(String, Proof)> {
        let mut queue: std::collections::VecDeque<Unit> = self.scanner.plan(&self.run).await.unwrap().into();
        let mut done: Vec<(String, Proof)> = Vec::new();
        while let Some(unit) = queue.pop_front() {
            let unit: Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
            match self.scanner.pull(&self.run, &unit, &mut self.sink).await.unwrap() {
                Next::Done(proof) => done.push((unit.id, proof)),
                Next::More(more, proof) => {
                    for next in &more {
                        assert!(!done.iter().any(|(id, _)| *id == next.id), "{} was planned twice", next.id);
                    }
                    done.push((unit.id, proof));
                    queue.extend(more);
                }
                Next::Later(at, again) => {
                    assert_eq!(again.id, unit.id);
                    // Others go on meanwhile; the time moves only when all wait.
                    self.sink.now = if queue.is_empty() { self.sink.now.max(at) } else { self.sink.now };
                    assert!(
                        self.sink.now < start_time() + SignedDuration::from_hours(48),
                        "{} waits for ever",
                        again.id
                    );
                    queue.push_back(again);
                }
            }
        }
        assert!(prove_no_absence(&self.sink));
        done
    }

    async fn pull(&mut self, unit: &Unit) -> Result<Next, SyncError> {
        self.scanner.pull(&self.run, unit, &mut self.sink).await
    }

    fn asked(&self, key: &str) -> Vec<String> {
        let script = self.script.lock().unwrap();
        script.asked.iter().filter(|(asked, ..)| asked == key).map(|(_, body, _)| body.clone()).collect()
    }
}

/// An export never proves absence.
fn prove_no_absence(sink: &Recorder) -> bool {
    sink.reports.iter().all(|report| report.coverage == Coverage::Part)
}

fn missing(done: &[(String, Proof)]) -> Vec<String> {
    done.iter().filter_map(|(_, proof)| proof.missing.clone()).collect()
}

fn received(done: &[(String, Proof)]) -> u64 {
    done.iter().map(|(_, proof)| proof.received).sum()
}

fn status(word: &str, available: &[u64], total: u64) -> Answer {
    answer(
        &json!({"status": word, "chunks_available": available, "chunks_failed": [], "chunks_cancelled": [], "total_chunks": total}),
    )
}

fn export(uuid: &str) -> Answer {
    answer(&json!({ "export_uuid": uuid }))
}

fn asset(id: &str) -> Value {
    json!({"id": id, "hostnames": [id], "last_scan_time": "2026-11-21T00:00:00Z"})
}

fn finding(host: &str, plugin: u32, state: &str) -> Value {
    json!({
        "asset": {"uuid": host, "hostname": host}, "plugin": {"id": plugin, "name": format!("Plugin {plugin}")},
        "port": {"port": 443, "protocol": "TCP"}, "severity_id": 3, "state": state,
        "last_fixed": "2026-11-20T00:00:00Z",
    })
}

/// Two assets, then three findings on them in two chunks that come out of order.
fn happy() -> Vec<(&'static str, Vec<Answer>)> {
    vec![
        ("POST /assets/export", vec![export("a1")]),
        (
            "GET /assets/export/a1/status",
            vec![
                answer(&json!({"status": "QUEUED", "chunks_available": []})),
                answer(&json!({"status": "PROCESSING", "chunks_available": [2]})),
                answer(&json!({"status": "FINISHED", "chunks_available": [2, 1]})),
            ],
        ),
        ("GET /assets/export/a1/chunks/1", vec![answer(&json!([asset("h1")]))]),
        ("GET /assets/export/a1/chunks/2", vec![answer(&json!([asset("h2")]))]),
        ("GET /scans", vec![answer(&json!({ "folders": null, "scans": null }))]),
        ("POST /vulns/export", vec![export("v1")]),
        (
            "GET /vulns/export/v1/status",
            vec![
                status("QUEUED", &[], 0),
                status("PROCESSING", &[], 2),
                status("PROCESSING", &[2], 2),
                status("PROCESSING", &[2], 2),
                status("FINISHED", &[2, 1], 2),
            ],
        ),
        (
            "GET /vulns/export/v1/chunks/1",
            vec![answer(&json!([finding("h1", 1, "OPEN"), finding("h1", 2, "FIXED")]))],
        ),
        ("GET /vulns/export/v1/chunks/2", vec![answer(&json!([finding("h2", 1, "REOPENED")]))]),
    ]
}

#[tokio::test]
async fn assets_come_before_findings_and_every_chunk_once() {
    let mut stage = stage(None, &[], happy()).await;
    let done = stage.run().await;
    assert_eq!((missing(&done), received(&done)), (vec![], 5));
    let hosts: Vec<&str> = stage.sink.inventory.iter().map(|host| host.native.as_str()).collect();
    assert_eq!(hosts, ["h2", "h1"]);
    assert_eq!(stage.sink.reports.iter().map(|report| report.findings.len()).sum::<usize>(), 3);
    let fixed: Vec<_> = stage
        .sink
        .reports
        .iter()
        .flat_map(|r| &r.findings)
        .filter(|f| f.state == FindingState::Fixed)
        .collect();
    assert_eq!(fixed.len(), 1);
    assert!(fixed[0].fixed_at.is_some());
    let script = stage.script.lock().unwrap();
    let last_asset = script.asked.iter().rposition(|(key, ..)| key.contains("/assets/")).unwrap();
    let first_finding = script.asked.iter().position(|(key, ..)| key.contains("/vulns/")).unwrap();
    assert!(last_asset < first_finding, "no finding before the whole inventory");
    for (key, ..) in script.asked.iter().filter(|(key, ..)| key.contains("/chunks/")) {
        assert_eq!(script.asked.iter().filter(|(asked, ..)| asked == key).count(), 1, "{key}");
    }
    assert!(script.asked.iter().all(|(.., keys)| keys.as_deref() == Some("accessKey=a;secretKey=s")));
}

#[tokio::test]
async fn pitfall_02_wishes_name_all_three_states_the_window_and_sizes() {
    let mut stage = stage(Some(7), &[], happy()).await;
    stage.run().await;
    let wish: Value = serde_json::from_str(&stage.asked("POST /vulns/export")[0]).unwrap();
    assert_eq!(wish["num_assets"], 50, "never below what Tenable accepts");
    assert_eq!(wish["filters"]["state"], json!(["OPEN", "REOPENED", "FIXED"]));
    assert_eq!(wish["filters"]["since"], start_time().as_second() - 365 * 86_400);
    let wish: Value = serde_json::from_str(&stage.asked("POST /assets/export")[0]).unwrap();
    assert_eq!(wish, json!({ "chunk_size": 100, "include_open_ports": true }));
}

#[tokio::test]
async fn only_the_streams_that_are_wanted() {
    let mut only_assets = stage(None, &["assets"], happy()).await;
    assert_eq!(received(&only_assets.run().await), 2);
    assert!(only_assets.asked("POST /vulns/export").is_empty());
    let mut only_findings = stage(None, &["vulnerabilities"], happy()).await;
    assert_eq!(received(&only_findings.run().await), 3);
    assert!(only_findings.asked("POST /assets/export").is_empty());
}

#[tokio::test]
async fn pitfall_01_an_incremental_run_asks_for_what_was_indexed_since() {
    let mut stage = stage(None, &[], happy()).await;
    let since = start_time() - SignedDuration::from_hours(3);
    stage.run.mode = Mode::Incremental { since };
    stage.run().await;
    let wish: Value = serde_json::from_str(&stage.asked("POST /vulns/export")[0]).unwrap();
    assert_eq!(wish["filters"]["indexed_at"], since.as_second());
    let wish: Value = serde_json::from_str(&stage.asked("POST /assets/export")[0]).unwrap();
    assert_eq!(wish["filters"]["updated_at"], since.as_second());
}

/// The vulnerability part of a run with these answers in it.
async fn vulns(answers: Vec<(&str, Vec<Answer>)>) -> Stage {
    let mut all = vec![
        ("POST /vulns/export", vec![export("v1")]),
        ("POST /vulns/export/v1/cancel", vec![text(200, "{}")]),
    ];
    all.extend(answers);
    stage(None, &["vulnerabilities"], all).await
}

#[tokio::test]
async fn pitfall_04_a_running_export_is_adopted_not_doubled() {
    let conflict = json!({"active_job_id": "v9", "failure_reason": "conflict"}).to_string();
    let mut stage = vulns(vec![
        ("POST /vulns/export", vec![text(409, &conflict)]),
        ("GET /vulns/export/v9/status", vec![status("FINISHED", &[1], 1)]),
        ("GET /vulns/export/v9/chunks/1", vec![answer(&json!([finding("h", 1, "OPEN")]))]),
    ])
    .await;
    assert_eq!(received(&stage.run().await), 1);
}

#[tokio::test]
async fn too_many_exports_mean_later_and_in_the_end_missing() {
    let busy = Answer(429, vec![("retry-after", "7".into())], b"<html>429</html>".to_vec());
    let mut stage = vulns(vec![("POST /vulns/export", vec![busy])]).await;
    let unit = stage.scanner.plan(&stage.run).await.unwrap().remove(0);
    let Next::Later(at, _) = stage.pull(&unit).await.unwrap() else { panic!("not later") };
    assert_eq!(at, work::later(start_time(), 7));
    let done = stage.run().await;
    assert!(missing(&done)[0].contains("others are running"), "{done:?}");
}

#[tokio::test]
async fn throttled_anywhere_means_later() {
    let busy = Answer(429, vec![("retry-after", "30".into())], b"<html>429</html>".to_vec());
    let maintained = Answer(503, vec![("retry-after", "600".into())], b"<html>503</html>".to_vec());
    let mut stage = vulns(vec![
        ("GET /vulns/export/v1/status", vec![busy.clone(), status("FINISHED", &[1], 1)]),
        ("GET /vulns/export/v1/chunks/1", vec![busy, maintained, answer(&json!([finding("h", 1, "OPEN")]))]),
    ])
    .await;
    let done = stage.run().await;
    assert_eq!((received(&done), missing(&done)), (1, vec![]));
    assert_eq!(stage.sink.now, work::later(start_time(), 660));
}

#[tokio::test]
async fn pitfall_05_an_error_with_usable_chunks_ends_the_job_and_is_incomplete() {
    let broken = json!({"status": "ERROR", "reason": "The export request timed out.", "chunks_available": [1], "chunks_cancelled": [2, 3], "total_chunks": 3});
    let mut stage = vulns(vec![
        ("GET /vulns/export/v1/status", vec![answer(&broken)]),
        ("GET /vulns/export/v1/chunks/1", vec![answer(&json!([finding("h", 1, "OPEN")]))]),
    ])
    .await;
    let done = stage.run().await;
    assert_eq!(received(&done), 1);
    assert!(
        missing(&done)[0].contains("timed out") && missing(&done)[0].contains("2 chunks were cancelled"),
        "{done:?}"
    );
}

#[tokio::test]
async fn failed_cancelled_and_forgotten_exports_are_incomplete() {
    for (status, words) in [
        (
            answer(&json!({"status": "FINISHED", "chunks_available": [], "chunks_failed": [4]})),
            "1 chunks failed (4)",
        ),
        (answer(&json!({"status": "CANCELLED", "chunks_available": []})), "cancelled by an administrator"),
        (text(404, r#"{"status":404,"message":"Export expired or not found"}"#), "does not know the export"),
    ] {
        let mut stage = vulns(vec![("GET /vulns/export/v1/status", vec![status])]).await;
        let done = stage.run().await;
        assert!(missing(&done)[0].contains(words), "{words}: {done:?}");
    }
}

#[tokio::test]
async fn an_export_that_stands_still_is_given_up_and_cancelled() {
    for word in ["QUEUED", "PROCESSING"] {
        let mut stage = vulns(vec![("GET /vulns/export/v1/status", vec![status(word, &[], 0)])]).await;
        let done = stage.run().await;
        assert!(missing(&done)[0].contains(&format!("{word} without progress")), "{done:?}");
        assert_eq!(stage.asked("POST /vulns/export/v1/cancel").len(), 1);
        assert!(stage.sink.now < start_time() + SignedDuration::from_hours(7));
        assert!(stage.asked("GET /vulns/export/v1/status").len() < 800, "polling backs off");
    }
}

#[tokio::test]
async fn an_export_without_a_chunk_is_whole() {
    let mut stage = vulns(vec![("GET /vulns/export/v1/status", vec![status("FINISHED", &[], 0)])]).await;
    let done = stage.run().await;
    assert_eq!((received(&done), missing(&done)), (0, vec![]));
}

/// One vulnerability chunk that answers like this.
async fn chunk(answers: Vec<Answer>) -> Stage {
    vulns(vec![
        ("GET /vulns/export/v1/status", vec![status("FINISHED", &[1], 1)]),
        ("GET /vulns/export/v1/chunks/1", answers),
    ])
    .await
}

#[tokio::test]
async fn a_chunk_that_is_not_ready_comes_later_and_one_that_expired_is_missing() {
    let good = answer(&json!([finding("h", 1, "OPEN")]));
    let mut stage = chunk(vec![text(400, "{}"), text(400, "{}"), good]).await;
    let done = stage.run().await;
    assert_eq!((received(&done), missing(&done)), (1, vec![]));
    let mut stage = chunk(vec![text(400, "{}")]).await;
    assert!(missing(&stage.run().await)[0].contains("not ready"));
    let mut stage = chunk(vec![text(404, "{}")]).await;
    assert!(missing(&stage.run().await)[0].contains("24 hours"));
}

#[tokio::test]
async fn pitfall_06_an_empty_chunk_is_not_clean_unless_the_export_says_so() {
    let mut stage = chunk(vec![text(200, "[]"), answer(&json!([finding("h", 1, "OPEN")]))]).await;
    let done = stage.run().await;
    assert_eq!((received(&done), missing(&done)), (1, vec![]), "the second try brings it");
    let mut stage = chunk(vec![text(200, "[]")]).await;
    assert!(missing(&stage.run().await)[0].contains("no record"));
    let says =
        json!({"status": "FINISHED", "chunks_available": [1], "total_chunks": 1, "empty_chunks_count": 1});
    let mut stage = vulns(vec![
        ("GET /vulns/export/v1/status", vec![answer(&says)]),
        ("GET /vulns/export/v1/chunks/1", vec![text(200, "[]")]),
    ])
    .await;
    assert!(missing(&stage.run().await).is_empty());
}

#[tokio::test]
async fn pitfall_06_broken_bodies_are_malformed_and_may_be_tried_again() {
    let cut_off = json!([finding("h", 1, "OPEN")]).to_string();
    for body in ["", "<html>maintenance</html>", "{\"error\":\"x\"}", "null", &cut_off[..cut_off.len() - 9]] {
        let mut stage = chunk(vec![text(200, body)]).await;
        let error = stage.pull(&work::chunk(Export::Vulns, "v1", 1, false)).await.unwrap_err();
        assert!(matches!(error, SyncError::Malformed { .. }) && error.is_transient(), "{body}: {error}");
    }
}

#[tokio::test]
async fn one_bad_record_fails_alone() {
    let body = format!("[{},{{\"plugin\":[1}},{}]", finding("h", 1, "OPEN"), finding("h", 2, "OPEN"));
    let mut stage = chunk(vec![text(200, &body)]).await;
    let done = stage.run().await;
    assert_eq!((received(&done), missing(&done)), (3, vec![]));
    assert_eq!((stage.sink.refused.len(), stage.sink.reports.len()), (1, 1));
    assert_eq!(stage.sink.refused[0].offset, finding("h", 1, "OPEN").to_string().len() as u64 + 2);
}

#[tokio::test]
async fn a_broken_asset_chunk_does_not_keep_findings_back() {
    for broken in [text(200, "<html>"), text(400, "{}"), text(404, "{}"), text(200, "[]")] {
        let mut answers = happy();
        answers.retain(|(key, _)| *key != "GET /assets/export/a1/chunks/1");
        answers.push(("GET /assets/export/a1/chunks/1", vec![broken]));
        let mut stage = stage(None, &[], answers).await;
        let done = stage.run().await;
        assert_eq!((received(&done), missing(&done).len()), (4, 1), "{done:?}");
    }
}

#[tokio::test]
async fn pitfall_08_a_long_chunk_is_reported_in_small_groups_with_each_rule_once() {
    let many: Vec<Value> = (0..150).map(|n| finding("h1", n % 3, "OPEN")).collect();
    let mut body = vec![finding("h1", 0, "OPEN"), finding("h2", 0, "OPEN")];
    body.extend(many);
    let mut stage = chunk(vec![answer(&Value::from(body))]).await;
    stage.run().await;
    let groups: Vec<(&str, usize)> =
        stage.sink.reports.iter().map(|r| (r.host.native.as_str(), r.findings.len())).collect();
    assert_eq!(groups, [("h1", 1), ("h2", 1), ("h1", 64), ("h1", 64), ("h1", 22)]);
    assert_eq!(stage.sink.rules.len(), 3);
}

#[tokio::test]
async fn the_newest_description_of_a_host_counts() {
    let seen = |plugin: u32, address: &str, scanned: &str| {
        let mut finding = finding("h1", plugin, "FIXED");
        finding["asset"]["ipv4"] = address.into();
        finding["scan"] = json!({ "completed_at": scanned });
        finding
    };
    let body = json!([
        seen(1, "192.0.2.1", "2026-11-01T00:00:00Z"),
        seen(2, "192.0.2.2", "2026-11-20T00:00:00Z"),
        finding("h2", 1, "OPEN"),
        seen(3, "192.0.2.3", "2026-10-01T00:00:00Z"),
    ]);
    let mut stage = chunk(vec![answer(&body)]).await;
    stage.run().await;
    let last = &stage.sink.reports.last().unwrap().host;
    assert_eq!((last.native.as_str(), last.ips.as_slice()), ("h1", &["192.0.2.2".to_owned()][..]));
    assert_eq!(last.last_scanned_at, Some("2026-11-20T00:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn wrong_keys_are_unauthorized_and_no_status_is_malformed() {
    let mut stage = vulns(vec![
        ("POST /vulns/export", vec![text(401, r#"{"error":"Unauthorized"}"#)]),
        ("GET /session", vec![text(403, "{}")]),
    ])
    .await;
    let unit = work::start(Export::Vulns);
    assert!(matches!(stage.pull(&unit).await, Err(SyncError::Unauthorized { .. })));
    assert!(matches!(stage.scanner.check().await, Err(SyncError::Unauthorized { .. })));
    for (body, key) in [
        ("{}", "POST /vulns/export"),
        ("<html>", "POST /vulns/export"),
        (r#"{"export_uuid":"../x"}"#, "POST /vulns/export"),
    ] {
        let mut stage = vulns(vec![(key, vec![text(200, body)])]).await;
        assert!(matches!(stage.pull(&unit).await, Err(SyncError::Malformed { .. })), "{body}");
    }
    let mut stage = vulns(vec![("GET /vulns/export/v1/status", vec![text(200, "{}")])]).await;
    let Next::More(units, _) = stage.pull(&unit).await.unwrap() else { panic!() };
    assert!(matches!(stage.pull(&units[0]).await, Err(SyncError::Malformed { .. })));
}

#[tokio::test]
async fn check_answers_in_one_line() {
    let session = json!({"username": "integration@example.com", "permissions": 16});
    let stage = stage(None, &[], vec![("GET /session", vec![answer(&session)])]).await;
    let line = stage.scanner.check().await.unwrap();
    assert!(
        line.contains("integration@example.com") && line.contains("Basic") && !line.contains('\n'),
        "{line}"
    );
}

#[tokio::test]
async fn rights_are_told_stream_by_stream() {
    let answers = vec![
        ("GET /assets/export/status", vec![answer(&json!({"exports": []}))]),
        ("GET /vulns/export/status", vec![text(403, "{}")]),
        ("GET /scans", vec![answer(&json!({"scans": null}))]),
    ];
    let stage = stage(None, &[], answers).await;
    let lines = stage.scanner.rights(start_time()).await;
    let told: Vec<_> = lines.iter().map(|line| (line.what.as_str(), line.outcome)).collect();
    let (good, bad) = (domain::Outcome::Good, domain::Outcome::Bad);
    assert_eq!(told, [("assets", good), ("vulnerabilities", bad), ("scans", good)]);
}

#[tokio::test]
async fn scans_are_told_as_they_went_and_a_list_that_may_not_be_read_takes_nothing_from_the_run() {
    let scan = |id: u64, folder: u64, status: Value| {
        json!({
            "id": id, "folder_id": folder, "name": format!("scan of {id}"), "status": status, "enabled": id == 14,
            "last_modification_date": 1_795_000_000 + id, "uuid": null,
        })
    };
    let list = json!({
        "folders": [{"id": 43, "type": "main"}, {"id": 44, "type": "trash"}], "timestamp": 1_795_100_000,
        "scans": [
            scan(14, 43, json!("completed")), scan(29, 43, json!("aborted")), scan(30, 43, json!("empty")),
            scan(32, 44, json!("completed")), {"name": "without an id"}, "no scan", null,
        ],
    });
    let mut told = stage(None, &["scans"], vec![("GET /scans", vec![answer(&list)])]).await;
    assert_eq!(told.run().await, [("scans".to_owned(), Proof::default())]);
    let at = |second: i64| Some(Timestamp::from_second(second).unwrap());
    let job = |id: u64, outcome, at| ScanJob {
        id: id.to_string(),
        name: format!("scan of {id}"),
        outcome,
        at,
        scheduled: Some(id == 14),
    };
    assert_eq!(
        told.sink.scans,
        [
            job(14, ScanOutcome::Completed, at(1_795_000_014)),
            job(29, ScanOutcome::Unfinished, at(1_795_000_029)),
            job(30, ScanOutcome::Never, None),
        ]
    );
    for refusal in [text(403, "{}"), text(200, "[]"), text(200, "<html>")] {
        let mut refused = stage(None, &["scans"], vec![("GET /scans", vec![refusal])]).await;
        assert_eq!(refused.run().await, [("scans".to_owned(), Proof::default())]);
        assert_eq!(refused.sink.scans, []);
    }
    let mut unknown = stage(None, &["scans"], vec![("GET /scans", vec![text(401, "{}")])]).await;
    let unit = unknown.scanner.plan(&unknown.run).await.unwrap().remove(0);
    let refused = unknown.pull(&unit).await;
    assert!(
        matches!(refused, Err(SyncError::Unauthorized { .. })),
        "keys that are wrong are wrong for all: {refused:?}"
    );
}

fn check(host: &str, control: &str, status: &str) -> Value {
    json!({
        "asset_uuid": host, "audit_file": "CIS.audit", "check_name": control, "compliance_control_id": control,
        "compliance_full_id": control, "status": status, "state": "OPEN",
    })
}

#[tokio::test]
async fn compliance_is_an_export_of_its_own_on_request() {
    let mut answers = happy();
    answers.extend([
        ("POST /compliance/export", vec![export("c1")]),
        (
            "GET /compliance/export/c1/status",
            vec![status("PROCESSING", &[], 2), status("FINISHED", &[2, 1], 2)],
        ),
        (
            "GET /compliance/export/c1/chunks/1",
            vec![answer(&json!([check("h1", "a", "FAILED"), check("h1", "b", "PASSED")]))],
        ),
        (
            "GET /compliance/export/c1/chunks/2",
            vec![answer(&json!([check("h2", "a", "ERROR"), check("h2", "b", "FAILED")]))],
        ),
    ]);
    let mut all = stage(None, &["assets", "vulnerabilities", "compliance"], answers.clone()).await;
    let done = all.run().await;
    assert_eq!((missing(&done), received(&done)), (vec![], 9));
    let kinds: Vec<_> =
        all.sink.reports.iter().flat_map(|r| &r.findings).map(|f| (f.kind, f.state)).collect();
    let compliance = kinds.iter().filter(|(kind, _)| *kind == domain::FindingKind::Compliance).count();
    assert_eq!((kinds.len(), compliance), (6, 3), "a check that could not be made is no finding");
    assert_eq!(all.sink.rules.iter().filter(|rule| rule.id.as_str().starts_with("audit-")).count(), 3);
    let wish: Value = serde_json::from_str(&all.asked("POST /compliance/export")[0]).unwrap();
    assert_eq!(wish["filters"]["state"], json!(["OPEN", "REOPENED", "FIXED"]));
    let mut usual = stage(None, &[], answers).await;
    usual.run().await;
    assert!(usual.asked("POST /compliance/export").is_empty());

    let refused = vec![("POST /compliance/export", vec![text(403, "{}")])];
    let mut without_right = stage(None, &["compliance"], refused).await;
    assert!(missing(&without_right.run().await)[0].contains("leave compliance out"));
}

#[tokio::test]
async fn version_2_of_the_asset_export_is_a_choice() {
    let mut answers = happy();
    answers.push(("POST /assets/v2/export", vec![export("a1")]));
    let mut stage = stage(None, &["assets"], answers).await;
    stage.scanner = TenableScanner::new(
        &serde_json::from_value(json!({
            "name": "tenable-test", "type": "tenable", "base_url": "http://127.0.0.1:1", "data_streams": ["assets"],
            "api_versions": {"assets": "2"}, "auth": {"method": "api_keys", "access_key": "${A}", "secret_key": "${S}"},
        }))
        .unwrap(),
        stage.scanner.client.http().clone(),
    );
    let done = stage.run().await;
    assert_eq!((missing(&done), received(&done)), (vec![], 2));
    assert!(stage.asked("POST /assets/export").is_empty());
    let wish: Value = serde_json::from_str(&stage.asked("POST /assets/v2/export")[0]).unwrap();
    assert_eq!(wish["filters"], json!({ "types": ["host"] }));
}

#[tokio::test]
async fn keys_go_to_the_configured_host_only() {
    let evil = stage(None, &[], vec![]).await;
    let address = evil.scanner.client.http().same_host("/").unwrap().to_string();
    let away = |path: &str| Answer(307, vec![("location", format!("{address}{path}"))], vec![]);
    let mut stage = stage(
        None,
        &["vulnerabilities"],
        vec![
            ("POST /vulns/export", vec![away("vulns/export")]),
            ("GET /vulns/export/v1/status", vec![away("vulns/export/v1/status")]),
            ("GET /vulns/export/v1/chunks/1", vec![away("vulns/export/v1/chunks/1")]),
            ("GET /session", vec![away("session")]),
        ],
    )
    .await;
    let now = start_time();
    let watch = work::Watch::new("v1".into(), now);
    let wait = work::VulnsWork { of: Export::Vulns, watch, planned: Default::default(), not_before: now };
    for unit in
        [work::start(Export::Vulns), work::vulns_wait(wait), work::chunk(Export::Vulns, "v1", 1, false)]
    {
        let outcome = stage.pull(&unit).await;
        assert!(outcome.is_err(), "{}: {outcome:?}", unit.id);
    }
    assert!(stage.scanner.check().await.is_err());
    assert!(evil.script.lock().unwrap().asked.is_empty(), "a redirect is not followed, with keys or without");
}

mod simulated;
