//! Answers that the simulator does not give.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use domain::{Outcome, RunId};
use serde_json::{Value, json};
use sync::{Mode, Next, Proof, Run, Scanner, SyncError, Unit};
use sync_insightvm::InsightvmScanner;

use crate::support::{Recorder, connector, http, time};

const NOW: &str = "2026-11-22T00:00:00Z";

#[derive(Debug, Clone)]
struct Call {
    method: String,
    path: String,
    query: String,
    key: Option<String>,
    range: Option<String>,
    body: Value,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Serves answers by script: a status and a body.
async fn serve(answer: impl Fn(&Call) -> (u16, String) + Send + Sync + 'static) -> (String, Calls) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls = Calls::default();
    let (memory, answer) = (calls.clone(), Arc::new(answer));
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (memory, answer) = (memory.clone(), answer.clone());
        async move {
            let header =
                |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let call = Call {
                method: method.to_string(),
                path: uri.path().to_owned(),
                query: uri.query().unwrap_or_default().to_owned(),
                key: header("x-api-key"),
                range: header("range"),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (status, body) = answer(&call);
            memory.lock().unwrap().push(call);
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
    (base, calls)
}

fn run(mode: Mode) -> Run {
    let started_at = time(NOW);
    Run::new("insightvm-sim".parse().unwrap(), RunId::new(started_at, 1), mode, started_at)
}

fn scanner(base: &str, extra: Value) -> InsightvmScanner {
    InsightvmScanner::new(&connector(base, extra), http(base, "secret-key"))
}

fn page(data: Value, cursor: Value, total: u64) -> String {
    json!({"data": data, "metadata": {"number": 0, "size": 2, "totalResources": total, "totalPages": 1, "cursor": cursor}})
        .to_string()
}

async fn first(
    mode: Mode,
    answer: impl Fn(&Call) -> (u16, String) + Send + Sync + 'static,
) -> (Recorder, Result<Next, SyncError>, Vec<Call>) {
    let (base, calls) = serve(answer).await;
    let scanner = scanner(&base, json!({}));
    let mut sink = Recorder::new(time(NOW));
    let unit = scanner.plan(&run(mode)).await.unwrap().remove(0);
    let next = scanner.pull(&run(mode), &unit, &mut sink).await;
    let calls = calls.lock().unwrap().clone();
    (sink, next, calls)
}

#[tokio::test]
async fn requests_are_what_insightvm_wants() {
    let (_, _, calls) = first(Mode::Full, |_| (200, page(json!([]), json!(null), 0))).await;
    let call = &calls[0];
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/vm/v4/integration/assets"));
    assert_eq!(call.query, "size=100&includeUniqueIdentifiers=true&includeSame=true");
    assert_eq!((call.key.as_deref(), &call.body), (Some("secret-key"), &json!({})));

    let since = time("2026-11-21T22:00:00.5Z");
    let (_, _, calls) = first(Mode::Incremental { since }, |_| (200, page(json!([]), json!(null), 0))).await;
    let call = &calls[0];
    assert!(
        call.query.contains("comparisonTime=2026-11-21T22%3A00%3A00Z&currentTime=2026-11-22T00%3A00%3A00Z"),
        "{}",
        call.query
    );
    assert!(!call.query.contains("includeSame"));
    assert_eq!(call.body, json!({"asset": "last_scan_end > 2026-11-20T22:00:00Z"}), "results arrive late");
}

#[tokio::test]
async fn definitions_are_asked_for_by_id_alone() {
    let (base, calls) = serve(|call| {
        if call.path.ends_with("/vulnerabilities") {
            return (200, page(json!([{"id": "a-1", "title": "A"}, {"id": "not-asked", "title": "N"}]), json!("9:::_S:::x"), 2));
        }
        let same = json!([{"vulnerability_id": "a-1"}, {"vulnerability_id": "b-2"}, {"vulnerability_id": "odd'] || ['"}]);
        (200, page(json!([{"id": "h", "last_scan_end": NOW, "same": same}]), json!(null), 1))
    })
    .await;
    let scanner = scanner(&base, json!({}));
    let mut sink = Recorder::new(time(NOW));
    let unit = scanner.plan(&run(Mode::Full)).await.unwrap().remove(0);
    let Next::More(units, _) = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap() else {
        panic!()
    };
    assert_eq!(units.len(), 1);
    scanner.pull(&run(Mode::Full), &units[0], &mut sink).await.unwrap();
    let asked = calls.lock().unwrap().last().unwrap().clone();
    assert_eq!(
        asked.body,
        json!({"vulnerability": "id IN ['a-1', 'b-2']"}),
        "what would break the query is not in it"
    );
    assert_eq!(sink.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["a-1"]);
    assert_eq!(sink.undefined.len(), 2);
    assert_eq!(sink.rescored, ["assets/0"]);
    let before = calls.lock().unwrap().len();
    scanner.pull(&run(Mode::Full), &units[0], &mut sink).await.unwrap();
    assert_eq!(calls.lock().unwrap().len(), before, "worked again, what is known costs no request");
}

#[tokio::test]
async fn every_error_has_its_meaning() {
    let words =
        |status: u16| json!({"status": status, "localized_message": null, "message": "words"}).to_string();
    let answer = |status: u16| first(Mode::Full, move |_| (status, words(status)));
    assert!(matches!(answer(401).await.1, Err(SyncError::Unauthorized { .. })));
    assert!(matches!(answer(403).await.1, Err(SyncError::Unauthorized { .. })));
    assert!(matches!(answer(404).await.1, Err(SyncError::NotFound { .. })));
    let Err(SyncError::Refused { status: 400, detail, .. }) = answer(400).await.1 else { panic!() };
    assert!(detail.contains("words"));
    assert!(answer(500).await.1.is_err_and(|error| error.is_transient()));
    let Ok(Next::Later(at, _)) = answer(429).await.1 else { panic!() };
    assert_eq!(at, time("2026-11-22T00:01:00Z"), "without Retry-After a minute");
}

#[tokio::test]
async fn the_check_tells_a_right_that_is_missing_from_a_platform_that_does_not_answer() {
    let lines = async |status: u16, extra: Value| {
        let (base, _) = serve(move |_| (status, json!({"message": "words"}).to_string())).await;
        scanner(&base, extra).rights(time(NOW)).await
    };
    for line in lines(403, json!({})).await {
        assert_eq!(line.outcome, Outcome::Bad);
        assert!(line.says.contains("give its user the right"), "{}: {}", line.what, line.says);
    }
    let told = lines(429, json!({})).await;
    let told: Vec<_> = told.iter().map(|line| (line.what.as_str(), line.outcome)).collect();
    assert_eq!(told, [("assets", Outcome::Unknown), ("vulnerabilities", Outcome::Unknown)]);

    let bulk = || json!({"via": "bulk_export"});
    let export = lines(403, bulk()).await.remove(0);
    assert_eq!((export.what.as_str(), export.outcome), ("bulk_export", Outcome::Bad));
    assert!(export.says.contains("the key of a Platform Admin"), "{}", export.says);
    assert_eq!(lines(429, bulk()).await[0].outcome, Outcome::Unknown);
}

#[tokio::test]
async fn something_else_than_a_page_is_an_error_not_an_end() {
    for body in [
        "",
        "<html><body>Maintenance</body></html>",
        "[]",
        "{}",
        "{\"data\":[]}",
        "{\"data\":[{\"id\":\"a\"}",
    ] {
        let (_, next, _) = first(Mode::Full, move |_| (200, body.to_owned())).await;
        assert!(matches!(next, Err(SyncError::Malformed { .. })), "{body}: {next:?}");
    }
}

#[tokio::test]
async fn a_list_that_goes_in_circles_has_an_end() {
    let (base, _) = serve(|_| (200, page(json!([{"id": "a"}]), json!("1:::_S:::a"), 1))).await;
    let scanner = scanner(&base, json!({}));
    let mut sink = Recorder::new(time(NOW));
    let mut unit = scanner.plan(&run(Mode::Full)).await.unwrap().remove(0);
    for _ in 0..3 {
        match scanner.pull(&run(Mode::Full), &unit, &mut sink).await {
            Ok(Next::More(mut units, _)) => unit = units.remove(0),
            Err(SyncError::Malformed { detail, .. }) => {
                return assert!(detail.contains("back to itself"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it follows the circle");
}

#[tokio::test]
async fn an_empty_page_is_the_end_and_less_than_announced_is_noticed() {
    let (_, next, _) = first(Mode::Full, |_| (200, page(json!([]), json!("1:::_S:::a"), 10))).await;
    let Ok(Next::Done(proof)) = next else { panic!("{next:?}") };
    assert_eq!(proof, Proof { announced: Some(10), received: 0, missing: None });
    let (_, next, _) =
        first(Mode::Full, |_| (200, page(json!([{"id": "a"}, {"id": "b"}]), json!(null), 1))).await;
    let Ok(Next::Done(proof)) = next else { panic!("{next:?}") };
    assert_eq!((proof.announced, proof.received), (Some(2), 2), "what was added meanwhile breaks no promise");
}

#[tokio::test]
async fn assets_that_name_none_of_their_findings_make_the_run_incomplete() {
    let asset = json!([{"id": "a", "last_scan_end": NOW, "total_vulnerabilities": 6, "same": []}]);
    let (sink, next, _) = first(Mode::Full, move |_| (200, page(asset.clone(), json!(null), 1))).await;
    let Ok(Next::Done(proof)) = next else { panic!("{next:?}") };
    assert!(proof.missing.unwrap().contains("1 assets"));
    assert!(sink.reports.is_empty(), "nothing is concluded from it");
}

#[tokio::test]
async fn a_changed_definition_is_taken_if_somebody_uses_it() {
    for announced in [2, 3] {
        let (base, calls) = serve(move |call| {
            if call.query.contains("cursor") {
                return (200, page(json!([]), json!(null), announced));
            }
            let definitions = json!([{"id": "used", "title": "U"}, {"id": "unused", "title": "N"}]);
            (200, page(definitions, json!("2:::_S:::unused"), announced))
        })
        .await;
        let scanner = scanner(&base, json!({}));
        let mut sink = Recorder::new(time(NOW));
        sink.known.insert(domain::RuleId::new("used"));
        let run = run(Mode::Incremental { since: time("2026-11-21T00:00:00Z") });
        let unit: Unit = scanner.plan(&run).await.unwrap().remove(1);
        let Next::More(units, _) = scanner.pull(&run, &unit, &mut sink).await.unwrap() else { panic!() };
        assert!(units[0].id.starts_with(sync::CHANGES), "{}", units[0].id);
        match scanner.pull(&run, &units[0], &mut sink).await {
            // Nothing that was found depends on it: it is no part of what makes the run whole.
            Ok(Next::Done(proof)) => assert_eq!((proof, announced), (Proof::default(), 2)),
            Err(error) => {
                assert_eq!(announced, 3, "{error}");
                assert!(error.to_string().contains("fewer definitions than it counts"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sink.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["used"]);
        assert_eq!(
            calls.lock().unwrap()[0].body,
            json!({"vulnerability": "modified > 2026-11-21T00:00:00Z"})
        );
    }
}

/// A GraphQL server whose one file is somewhere else.
async fn exporting(file: String) -> (String, Calls) {
    serve(move |call| {
        let query = call.body["query"].as_str().unwrap_or_default();
        let result =
            json!([{"prefix": "asset", "urls": [file]}, {"prefix": "asset_vulnerability", "urls": [file]}]);
        let data = if query.starts_with("mutation") {
            json!({"createVulnerabilityExport": {"id": "abc="}})
        } else {
            json!({"export": {"id": "abc=", "status": "COMPLETE", "result": result}})
        };
        (200, json!({"data": data}).to_string())
    })
    .await
}

async fn second_unit_of_an_export(file: String) -> (Result<Next, SyncError>, Vec<Call>) {
    let (base, calls) = exporting(file).await;
    let scanner = scanner(&base, json!({"via": "bulk_export"}));
    let mut sink = Recorder::new(time(NOW));
    let mut unit = scanner.plan(&run(Mode::Full)).await.unwrap().remove(0);
    for _ in 0..2 {
        let Next::More(mut units, _) = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap() else {
            panic!()
        };
        unit = units.remove(0);
    }
    assert_eq!(unit.id, "export/assets/0/0");
    let next = scanner.pull(&run(Mode::Full), &unit, &mut sink).await;
    let calls = calls.lock().unwrap().clone();
    (next, calls)
}

#[tokio::test]
async fn a_file_is_asked_for_without_the_key() {
    let (files, seen) = serve(|_| (206, "no parquet".into())).await;
    let (next, _) = second_unit_of_an_export(format!("{files}/f.parquet?X-Amz-Signature=verysecret")).await;
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|call| call.key.is_none() && call.range.is_some()));
    assert!(seen.iter().all(|call| call.query == "X-Amz-Signature=verysecret"));
    let error = next.unwrap_err().to_string();
    assert!(!error.contains("verysecret"), "{error}");
}

#[tokio::test]
async fn a_file_somewhere_else_is_not_asked_for() {
    for file in [
        "https://evil.example/f.parquet",
        "http://files.s3.amazonaws.com/f",
        "https://s3.amazonaws.com.evil.example/f",
    ] {
        let (next, _) = second_unit_of_an_export(file.to_owned()).await;
        assert!(matches!(next, Err(SyncError::Malformed { .. })), "{file}: {next:?}");
    }
}

#[tokio::test]
async fn a_host_that_serves_no_parts_is_told() {
    let (files, _) = serve(|_| (200, "all of it".into())).await;
    let (next, _) = second_unit_of_an_export(format!("{files}/f.parquet")).await;
    assert!(next.unwrap_err().to_string().contains("parts"));
}

#[tokio::test]
async fn errors_of_graphql_come_with_200() {
    let outcome = async |code: &'static str, message: &'static str| {
        let error = json!({"data": null, "errors": [{"message": message, "extensions": {"code": code}}]});
        let (base, _) = serve(move |_| (200, error.to_string())).await;
        let scanner = scanner(&base, json!({"via": "bulk_export"}));
        let unit = scanner.plan(&run(Mode::Full)).await.unwrap().remove(0);
        scanner.pull(&run(Mode::Full), &unit, &mut Recorder::new(time(NOW))).await
    };
    assert!(matches!(outcome("PERMISSION_DENIED", "no").await, Err(SyncError::Unauthorized { .. })));
    assert!(matches!(outcome("INTERNAL", "oh").await, Err(error) if error.is_transient()));
    assert!(matches!(outcome("BAD_REQUEST", "what").await, Err(error) if !error.is_transient()));
    assert!(matches!(outcome("RESOURCE_EXHAUSTED", "wait").await, Ok(Next::Later(..))));
    let running = "An export is already in-progress for this organization, exportId: Zm9v+/=";
    let Ok(Next::More(units, _)) = outcome("FAILED_PRECONDITION", running).await else { panic!() };
    assert_eq!(units[0].work["id"], "Zm9v+/=", "the running one is adopted");
}

#[tokio::test]
async fn an_export_that_never_ends_is_given_up() {
    let (base, _) = serve(|call| {
        let data = if call.body["query"].as_str().unwrap_or_default().starts_with("mutation") {
            json!({"createVulnerabilityExport": {"id": "abc"}})
        } else {
            json!({"export": {"id": "abc", "status": "PROCESSING", "result": null}})
        };
        (200, json!({"data": data}).to_string())
    })
    .await;
    let scanner = scanner(&base, json!({"via": "bulk_export"}));
    let mut sink = Recorder::new(time(NOW));
    let mut unit = scanner.plan(&run(Mode::Full)).await.unwrap().remove(0);
    for polls in 0..500 {
        match scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap() {
            Next::More(mut units, _) => unit = units.remove(0),
            Next::Later(at, again) => {
                assert!(at > sink.now);
                (sink.now, unit) = (at, again);
            }
            Next::Done(proof) => {
                assert!(proof.missing.unwrap().contains("PROCESSING") && polls > 50);
                return;
            }
        }
    }
    panic!("it polls for ever");
}
