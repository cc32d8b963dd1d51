//! A server that answers by script, and how a run is worked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::RunId;
use domain::policy::Connector;
pub use recorder::{NOW, Recorder, time};
use serde_json::{Value, json};
use sync::http::HeaderName;
use sync::{HttpClient, HttpOptions, Mode, Next, Proof, Run, Scanner, SyncError, Unit};
use sync_insightvm_console::ConsoleScanner;

#[derive(Debug, Clone)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub body: String,
    pub headers: HeaderMap,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == format!("/api/3/{path}")
    }

    pub fn page(&self) -> usize {
        self.query.get("page").map_or(0, |page| page.parse().unwrap())
    }
}

#[derive(Debug, Clone)]
pub struct Reply(pub u16, pub Vec<u8>, pub Vec<(&'static str, String)>);

pub fn ok(body: impl ToString) -> Reply {
    Reply(200, body.to_string().into_bytes(), vec![])
}

pub fn status(status: u16) -> Reply {
    let body = json!({ "status": status.to_string(), "message": "The resource does not exist or access is prohibited." });
    Reply(status, body.to_string().into_bytes(), vec![])
}

/// One page of several.
pub fn part(resources: &[Value], number: usize, size: usize) -> Reply {
    let shown: Vec<&Value> = resources.iter().skip(number * size).take(size).collect();
    let page = json!({ "number": number, "size": size, "totalResources": resources.len() });
    ok(json!({ "resources": shown, "page": page, "links": [] }))
}

pub fn page(resources: &[Value]) -> Reply {
    part(resources, 0, resources.len().max(1))
}

pub struct Server {
    pub base: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.calls().iter().filter(|call| call.is(method, path)).count()
    }
}

pub async fn serve(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (memory, answer) = (calls.clone(), Arc::new(answer));
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let query = uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('='));
        let call = Call {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: query.map(|(name, value)| (name.to_owned(), value.replace("%2C", ","))).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
            headers,
        };
        let Reply(status, body, headers) = answer(&call);
        memory.lock().unwrap().push(call);
        let mut response: Response = (StatusCode::from_u16(status).unwrap(), body).into_response();
        for (name, value) in headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        async move { response }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
    Server { base, calls }
}

pub fn connector(base_url: &str, more: Value) -> Connector {
    let mut document = json!({
        "name": "console-test", "type": "insightvm-console", "base_url": base_url, "allow_private_address": true,
        "auth": { "method": "basic", "username": "user", "password": "${PASSWORD}" },
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(document).unwrap()
}

pub fn http(base_url: &str, user: &str, password: &str) -> HttpClient {
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: Duration::from_millis(1),
        read_timeout: Duration::from_secs(10),
        ..HttpOptions::default()
    };
    HttpClient::new("console-test", base_url, &options).unwrap().with_basic(user, password).unwrap()
}

pub fn scanner(server: &Server, more: Value) -> ConsoleScanner {
    let http = http(&server.base, "user", "secret");
    let http = http.with_secret_header(HeaderName::from_static("token"), "123456").unwrap();
    ConsoleScanner::new(&connector(&server.base, more), http)
}

pub fn run(mode: Mode) -> Run {
    let connector = "console-test".parse().unwrap();
    Run::new(connector, RunId::new(time(NOW), 1), mode, time(NOW))
}

/// Works a run to its end, one unit after the other, waiting by moving the clock. Each unit goes through its stored form.
pub async fn drive(
    scanner: &ConsoleScanner,
    run: &Run,
    sink: &mut Recorder,
) -> Result<BTreeMap<String, Proof>, SyncError> {
    let mut units: VecDeque<Unit> = scanner.plan(run).await?.into();
    let mut done = BTreeMap::new();
    for _ in 0..500 {
        let Some(unit) = units.pop_front() else { return Ok(done) };
        let stored: Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
        match scanner.pull(run, &stored, sink).await? {
            Next::Done(proof) => assert!(done.insert(unit.id, proof).is_none(), "a unit ended twice"),
            Next::More(more, proof) => {
                units.extend(more);
                assert!(done.insert(unit.id, proof).is_none(), "a unit ended twice");
            }
            Next::Later(at, unit) => {
                sink.now = sink.now.max(at);
                units.push_front(unit);
            }
        }
    }
    panic!("the run has no end: {done:?}");
}
