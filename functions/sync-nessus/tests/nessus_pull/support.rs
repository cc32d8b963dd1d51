//! A server that answers by script, and a driver that works units as the queue would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::policy::Connector;
use domain::{Finding, Host, RunId};
pub use recorder::{NOW, Recorder, time};
use serde_json::json;
use sync::{Coverage, HostReport, HttpClient, HttpOptions, Mode, Next, Proof, Run, Scanner, SyncError};
use sync_nessus::{Client, NessusScanner, with_keys};

/// Seconds since 1970 of a moment before now.
pub fn ago(seconds: i64) -> i64 {
    time(NOW).as_second() - seconds
}

#[derive(Debug, Clone)]
pub struct Call {
    /// `GET /scans/5`
    pub what: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
    /// How often the same was asked before.
    pub before: usize,
}

impl Call {
    pub fn header(&self, key: &str) -> &str {
        self.headers.get(key).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

pub fn ok(body: impl ToString) -> Reply {
    Reply { status: 200, body: body.to_string().into_bytes() }
}

pub fn error(status: u16, text: &str) -> Reply {
    Reply { status, ..ok(json!({ "error": text })) }
}

pub struct Server {
    pub base: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.what).collect()
    }
}

pub async fn serve(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (memory, answer) = (calls.clone(), Arc::new(answer));
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (memory, answer) = (memory.clone(), answer.clone());
        async move {
            let what = format!("{method} {}", uri.path());
            let mut all = memory.lock().unwrap();
            let call = Call {
                before: all.iter().filter(|call| call.what == what).count(),
                what,
                query: uri.query().unwrap_or("").to_owned(),
                headers,
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            let reply = answer(&call);
            all.push(call);
            let response: Response =
                (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
            response
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
    Server { base, calls }
}

pub fn connector(base_url: &str, streams: &[&str]) -> Connector {
    serde_json::from_value(json!({
        "name": "nessus-test", "type": "nessus", "base_url": base_url, "data_streams": streams,
        "auth": { "method": "api_keys", "access_key": "a", "secret_key": "${KEY}" }, "allow_private_address": true,
    }))
    .unwrap()
}

pub fn http(base_url: &str) -> HttpClient {
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: Duration::from_millis(1),
        ..HttpOptions::default()
    };
    HttpClient::new("nessus-test", base_url, &options).unwrap()
}

pub fn scanner(base_url: &str, streams: &[&str]) -> NessusScanner {
    let client = Client::new(with_keys(http(base_url), "sim-access", "sim-secret").unwrap());
    NessusScanner::new(&connector(base_url, streams), client)
}

pub fn run(mode: Mode) -> Run {
    Run::new("nessus-test".parse().unwrap(), RunId::new(time(NOW), 1), mode, time(NOW))
}

/// What was said of each host in the end: a file that was read twice said it twice.
pub fn said(sink: &Recorder) -> BTreeMap<String, (Host, Coverage, BTreeMap<String, Finding>)> {
    let said = |findings: &[Finding]| findings.iter().map(|f| (f.key.to_string(), f.clone())).collect();
    let host =
        |r: &HostReport| (r.host.native.clone(), (r.host.clone(), r.coverage.clone(), said(&r.findings)));
    sink.reports.iter().map(host).collect()
}

pub fn findings(sink: &Recorder) -> Vec<Finding> {
    said(sink).into_values().flat_map(|(_, _, findings)| findings.into_values()).collect()
}

/// Works a run to its end, waiting by moving the clock; `passed` is told by how much. Answers each unit's proof.
pub async fn drive(
    scanner: &NessusScanner,
    mode: Mode,
    sink: &mut Recorder,
    passed: impl Fn(jiff::SignedDuration),
) -> Result<Vec<(String, Proof)>, SyncError> {
    let run = run(mode);
    let mut units: VecDeque<_> = scanner.plan(&run).await?.into();
    let (mut done, mut failures) = (Vec::new(), 0);
    for _ in 0..2_000 {
        let Some(unit) = units.pop_front() else {
            assert!(sink.inventory.is_empty(), "Nessus has no inventory");
            assert!(
                sink.undefined.is_empty() && sink.rescored.is_empty(),
                "definitions come with the findings"
            );
            return Ok(done);
        };
        // What survives is what can be stored.
        let unit: sync::Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
        match scanner.pull(&run, &unit, sink).await {
            Ok(Next::Done(proof)) => done.push((unit.id, proof)),
            Ok(Next::More(more, proof)) => {
                units.extend(more);
                done.push((unit.id, proof));
            }
            Ok(Next::Later(at, unit)) => {
                assert!(at > sink.now, "it waits in the queue, never here");
                passed(at.duration_since(sink.now));
                sink.now = at;
                units.push_front(unit);
            }
            Err(error) if error.is_transient() && failures < 20 => {
                failures += 1;
                units.push_front(unit);
            }
            Err(error) => return Err(error),
        }
    }
    panic!("the run has no end: {done:?}");
}

/// A file with these hosts.
pub fn file(hosts: &str) -> String {
    format!(
        "<?xml version=\"1.0\" ?>\n<NessusClientData_v2><Policy><policyName>p</policyName></Policy><Report name=\"r\">{hosts}\
        </Report></NessusClientData_v2>"
    )
}

/// A host whose scan came to its end, with these items.
pub fn host(ip: &str, items: &str) -> String {
    format!(
        "<ReportHost name=\"{ip}\"><HostProperties><tag name=\"HOST_END_TIMESTAMP\">{}</tag><tag name=\"host-ip\">{ip}</tag>\
        <tag name=\"Credentialed_Scan\">true</tag></HostProperties>{items}</ReportHost>",
        ago(3_700)
    )
}

pub fn item(plugin: u32, port: u16, severity: u8) -> String {
    format!(
        "<ReportItem port=\"{port}\" svc_name=\"www\" protocol=\"tcp\" severity=\"{severity}\" pluginID=\"{plugin}\" \
        pluginName=\"Plugin {plugin}\" pluginFamily=\"General\"><plugin_output>seen</plugin_output></ReportItem>"
    )
}
