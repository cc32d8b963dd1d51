//! Our requests and the simulators' answers against the vendors' published specifications, which `RECORDINGS` holds.

mod specification;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use jiff::SignedDuration;
use queue::Trigger;
use serde_json::Value;

use crate::site::{Setup, Site};
use specification::{Exchange, Specification};

fn specification(name: &str) -> Option<Specification> {
    match std::env::var_os("RECORDINGS") {
        Some(folder) => Some(Specification::read(&PathBuf::from(folder).join("specs").join(name))),
        None => {
            println!("skipped: RECORDINGS is not set");
            None
        }
    }
}

/// What went over the wire.
pub type Wire = Arc<Mutex<Vec<Exchange>>>;

async fn listen(State(wire): State<Wire>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let sent = to_bytes(body, usize::MAX).await.unwrap();
    let pairs = parts.uri.query().unwrap_or("").split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.replace("%2C", ","))).collect();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let body = serde_json::from_slice(&sent).ok();
    let answer = next.run(Request::from_parts(parts, Body::from(sent))).await;
    let (parts, answered) = answer.into_parts();
    let answered = to_bytes(answered, usize::MAX).await.unwrap();
    let status = parts.status.as_u16();
    let answer = serde_json::from_slice(&answered).ok();
    wire.lock().unwrap().push(Exchange { method, path, query, body, status, answer });
    Response::from_parts(parts, Body::from(answered))
}

/// Stands before the simulated systems and takes note.
pub fn stand_before(routes: axum::Router, wire: &Wire) -> axum::Router {
    routes.layer(from_fn_with_state(wire.clone(), listen))
}

/// Pulls a connector twice, and answers what was said between it and the system under `prefix`.
async fn pulled(setup: Setup, connector: &str, prefix: &str) -> Vec<Exchange> {
    let wire = Wire::default();
    let site = Site::start(Setup { wire: Some(wire.clone()), ..setup }).await;
    site.day(5);
    site.pull(connector, Trigger::Full).await;
    assert!(site.last_run(connector).await.counts.received > 0);
    // Due for what has changed, not yet for everything.
    site.advance(SignedDuration::from_hours(2));
    site.pull(connector, Trigger::Scheduled).await;
    let wire = wire.lock().unwrap();
    let ours = wire.iter().filter_map(|exchange| {
        let path = exchange.path.strip_prefix(prefix)?.to_owned();
        Some(Exchange { path, ..exchange.clone() })
    });
    ours.collect()
}

fn assert_kept(specification: &Specification, exchanges: &[Exchange], known: &[&str]) {
    let problems: BTreeSet<String> =
        exchanges.iter().flat_map(|exchange| specification.problems(exchange)).collect();
    let unknown: Vec<_> =
        problems.iter().filter(|told| !known.iter().any(|known| told.contains(known))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    for known in known {
        assert!(problems.iter().any(|told| told.contains(known)), "{known:?} is no problem any more");
    }
}

fn operations(exchanges: &[Exchange]) -> BTreeSet<String> {
    let shape = |path: &str| -> String {
        // The version of the API is no id.
        let is_id = |at: usize, part: &str| at != 2 && part.bytes().any(|b| b.is_ascii_digit());
        let parts = path.split('/').enumerate();
        parts.map(|(at, part)| if is_id(at, part) { "*" } else { part }).collect::<Vec<_>>().join("/")
    };
    exchanges.iter().map(|exchange| format!("{} {}", exchange.method, shape(&exchange.path))).collect()
}

#[tokio::test]
async fn the_console_is_asked_and_answers_as_rapid7_specifies() {
    let Some(specification) = specification("insightvm-console-swagger.json") else { return };
    for way in ["report", "api"] {
        let setup = crate::console::with_console(Setup::new(4), way);
        let exchanges = pulled(setup, "console-demo", "/insightvm-console").await;
        assert_kept(&specification, &exchanges, &[]);
        let unnamed: BTreeSet<_> =
            exchanges.iter().flat_map(|exchange| specification.unnamed(exchange)).collect();
        assert_eq!(
            unnamed,
            BTreeSet::new(),
            "the simulator answers with what the specification does not know"
        );
        let operations = operations(&exchanges);
        let expected: &[&str] = match way {
            "report" => &[
                "GET /api/3/assets",
                "POST /api/3/assets/search",
                "POST /api/3/reports",
                "POST /api/3/reports/*/generate",
                "GET /api/3/reports/*/history/*",
                "GET /api/3/reports/*/history/*/output",
                "DELETE /api/3/reports/*",
            ],
            _ => &[
                "GET /api/3/assets",
                "POST /api/3/assets/search",
                "GET /api/3/assets/*/vulnerabilities",
                "GET /api/3/tags",
                "GET /api/3/tags/*/assets",
                "GET /api/3/vulnerabilities/*",
                "GET /api/3/vulnerabilities/*/solutions",
            ],
        };
        assert!(expected.iter().all(|one| operations.contains(*one)), "{operations:?}");
    }
}

#[tokio::test]
async fn tenable_is_asked_and_answers_as_tenable_specifies() {
    let Some(specification) = specification("tenable-vulnerability-management-openapi.json") else { return };
    let streams = "data_streams: [assets, vulnerabilities";
    let setup = || Setup::new(4).edit(streams, format!("{streams}, scans, compliance"));
    let second =
        setup().edit("    type: tenable\n", "    type: tenable\n    api_versions: { assets: \"2\" }\n");
    for (setup, assets) in [(setup(), "POST /assets/export"), (second, "POST /assets/v2/export")] {
        let exchanges = pulled(setup, "tenable-demo", "/tenable").await;
        assert_kept(&specification, &exchanges, TENABLE_KNOWN);
        let operations = operations(&exchanges);
        for one in [
            assets,
            "POST /vulns/export",
            "GET /vulns/export/*/status",
            "GET /vulns/export/*/chunks/*",
            "POST /compliance/export",
            "GET /compliance/export/*/chunks/*",
            "GET /scans",
        ] {
            assert!(operations.contains(one), "{one}: {operations:?}");
        }
    }
}

/// Where the simulator follows real answers and not the specification.
const TENABLE_KNOWN: &[&str] = &[
    // A list of texts by the schema; objects with type and id in its own example, and in every real answer.
    "answer[].plugin.xrefs[]:",
    // Seconds by the schema; a text in every real answer.
    "answer[].indexed:",
];

/// Real answers of a real console, read by the same checker: it must not ask for more than they have.
#[test]
fn a_real_console_keeps_the_specification_as_far_as_we_check_it() {
    let Some(specification) = specification("insightvm-console-swagger.json") else { return };
    let folder = PathBuf::from(std::env::var_os("RECORDINGS").unwrap()).join("insightvm-console");
    let mut checked = 0;
    let mut problems = BTreeSet::new();
    for recording in
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for meta in std::fs::read_dir(recording).unwrap().map(|entry| entry.unwrap().path()) {
            let name = meta.to_string_lossy().into_owned();
            let Some(body) = name.strip_suffix(".meta.json") else { continue };
            let told: Value = serde_json::from_slice(&std::fs::read(&meta).unwrap()).unwrap();
            let Some(url) = told["url"].as_str().and_then(|url| url.split("localhost:3780").nth(1)) else {
                continue;
            };
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            let Ok(answer) = std::fs::read(format!("{body}.json")) else { continue };
            let exchange = Exchange {
                method: told["method"].as_str().unwrap().to_owned(),
                path: path.to_owned(),
                query: query
                    .split('&')
                    .filter_map(|p| p.split_once('='))
                    .map(|(n, v)| (n.into(), v.into()))
                    .collect(),
                body: None,
                status: u16::try_from(told["status"].as_u64().unwrap()).unwrap(),
                answer: serde_json::from_slice(&answer).ok(),
            };
            checked += 1;
            problems.extend(specification.problems(&exchange));
        }
    }
    assert!(checked > 20, "{checked}");
    let allowed = |told: &&String| !REAL_DEVIATIONS.iter().any(|known| told.contains(known));
    assert_eq!(problems.iter().filter(allowed).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Where the real console of the recordings differs from what its vendor specifies.
const REAL_DEVIATIONS: &[&str] = &[
    // Asked for by others' clients, not by us.
    "/users query: page is no parameter",
    "/users query: size is no parameter",
    "role.privileges[]: \"manage-advpolicies\"",
];
