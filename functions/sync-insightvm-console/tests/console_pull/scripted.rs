//! What is asked, and what is made of each kind of answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{CheckLine, FindingState, Outcome, RuleId, ScanJob, ScanOutcome};
use serde_json::{Value, json};
use sync::{Coverage, Mode, Next, Proof, Scanner, SyncError, Unit};

use crate::support::*;

fn asset(id: u64, scanned: &str) -> Value {
    json!({
        "id": id, "ip": format!("10.0.0.{id}"), "hostName": format!("h{id}"), "assessedForVulnerabilities": true,
        "history": [{ "date": scanned, "type": "SCAN", "scanId": 1, "version": 1 }]
    })
}

fn assets() -> Vec<Value> {
    vec![asset(1, "2026-11-21T10:00:00Z"), asset(2, "2026-11-20T10:00:00Z"), asset(7, "2026-11-21T23:00:00Z")]
}

fn found(id: &str, status: &str) -> Value {
    let whole = if status == "not-vulnerable" { "invulnerable" } else { "vulnerable" };
    let instances = u8::from(whole == "vulnerable");
    let results = [json!({ "status": status, "port": 22, "protocol": "tcp" })];
    json!({ "id": id, "status": whole, "instances": instances, "results": results })
}

const HEADER: &str = "asset_id,last_assessed,announced,tags,vulnerability,status,excepted,port,protocol,key,proof,first_found\n";

fn row(asset: u64, announced: u64, vulnerability: &str) -> String {
    let status = if vulnerability.is_empty() { "" } else { "Vulnerable Version" };
    format!(
        "{asset},2026-11-21 10:00:00,{announced},CUSTOM:team=web,{vulnerability},{status},0,22,TCP,,,2026-01-01 00:00:00\n"
    )
}

/// A console with three assets on two pages, and reports that are ready at the second look.
fn console(call: &Call) -> Reply {
    let size: usize = call.query.get("size").map_or(10, |size| size.parse().unwrap());
    match (call.method.as_str(), call.path.trim_start_matches("/api/3/")) {
        ("GET", "assets") | ("POST", "assets/search") => part(&assets(), call.page(), size),
        ("GET", "assets/1/vulnerabilities") => {
            page(&[found("v1", "vulnerable-version"), found("v2", "not-vulnerable")])
        }
        ("GET", "assets/2/vulnerabilities") => page(&[]),
        ("GET", "assets/7/vulnerabilities") => page(&[found("v3", "vulnerable-with-exception-applied")]),
        ("GET", "tags") => page(&[
            json!({ "id": 5, "name": "team=web", "type": "custom" }),
            json!({ "id": 6, "name": "Very High", "type": "criticality" }),
            json!({ "id": 7, "name": "gone", "type": "custom" }),
        ]),
        ("GET", "tags/5/assets") => ok(json!({ "resources": [{ "id": 1 }, { "id": 99 }], "links": [] })),
        ("GET", "tags/6/assets") => ok(json!({ "resources": [{ "id": 7 }], "links": [] })),
        ("GET", "sites") => page(&[json!({ "id": 1 })]),
        ("GET", "scans") => page(&[]),
        ("GET", "reports") => page(&[
            json!({ "id": 3, "name": "vulnrelay/console-test/20200101T000000Z-0001/findings/0" }),
            json!({ "id": 4, "name": "vulnrelay/another/x" }),
            json!({ "id": 5, "name": "Monthly" }),
        ]),
        ("POST", "reports") => {
            let wish: Value = serde_json::from_str(&call.body).unwrap();
            let id = match wish["scope"]["assets"].as_array() {
                None => 100,
                Some(all) if all.len() == 3 => 300,
                Some(part) => 200 + part[0].as_u64().unwrap(),
            };
            ok(json!({ "id": id }))
        }
        ("POST", _) => ok(json!({ "id": 9 })),
        ("GET", "reports/100/history/9/output") => ok("vulnerability,title,severity\nv1,One,Severe\n"),
        ("GET", "reports/300/history/9/output") => {
            let rows = [row(1, 1, "v1"), row(2, 0, ""), row(7, 2, "v1"), row(7, 2, "v3")];
            ok(format!("{HEADER}{}", rows.concat()))
        }
        ("GET", "reports/201/history/9/output") => {
            ok(format!("{HEADER}{}{}", row(1, 1, "v1"), row(2, 0, "")))
        }
        ("GET", "reports/207/history/9/output") => {
            ok(format!("{HEADER}{}{}", row(7, 2, "v1"), row(7, 2, "v3")))
        }
        ("GET", path) if path.starts_with("reports/") => ok(json!({ "id": 9, "status": "complete" })),
        ("GET", "vulnerabilities/v2/solutions") => ok(json!({ "resources": ["s1", "missing"] })),
        ("GET", "solutions/s1") => {
            ok(json!({ "id": "s1", "type": "patch", "summary": { "text": "Patch it" } }))
        }
        ("GET", "vulnerabilities/v1" | "vulnerabilities/v2") => ok(
            json!({ "id": &call.path[call.path.len() - 2..], "title": "T", "severity": "Critical", "severityScore": 9 }),
        ),
        ("DELETE", _) => ok(json!({ "links": [] })),
        _ => status(404),
    }
}

#[tokio::test]
async fn a_full_run_by_reports_reads_every_page_once_and_leaves_no_report() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    let done =
        drive(&scanner(&server, json!({ "page_size": 2 })), &run(Mode::Full), &mut sink).await.unwrap();

    assert_eq!(sink.inventory.iter().map(|host| host.native.as_str()).collect::<Vec<_>>(), ["1", "2", "7"]);
    assert!(sink.reports.iter().all(|report| report.coverage == Coverage::Whole));
    let counts: Vec<_> = sink.reports.iter().map(|r| (r.host.native.as_str(), r.findings.len())).collect();
    assert_eq!(counts, [("1", 1), ("2", 0), ("7", 2)], "an asset on which nothing is found says so");
    assert_eq!(sink.reports[0].host.tags[0].key, "team");
    assert!(sink.refused.is_empty(), "{:?}", sink.refused);
    assert!(done.values().all(|proof| proof.missing.is_none()), "{done:?}");
    assert_eq!((done["findings/1"].announced, done["findings/1"].received), (Some(2), 2));
    // v1 came by the report of definitions; v3 is asked for and is not there.
    assert_eq!(sink.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["v1"]);
    assert_eq!(sink.undefined, [RuleId::new("v3")].into());
    assert_eq!(sink.rescored, ["findings/1"]);
    // What an earlier run left is removed, others' reports are not.
    let deleted: Vec<_> =
        server.calls().into_iter().filter(|call| call.method == "DELETE").map(|call| call.path).collect();
    assert_eq!(
        deleted,
        ["/api/3/reports/3", "/api/3/reports/100", "/api/3/reports/201", "/api/3/reports/207"]
    );
    assert_eq!(server.count("GET", "assets"), 2, "never past the last page");
}

#[tokio::test]
async fn requests_are_what_a_console_wants() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({})), &run(Mode::Full), &mut sink).await.unwrap();
    for call in server.calls() {
        assert_eq!(call.header("authorization"), Some("Basic dXNlcjpzZWNyZXQ="), "{}", call.path);
        assert_eq!(call.header("token"), Some("123456"), "the second factor");
        if call.is("GET", "assets") {
            assert_eq!((call.query["size"].as_str(), call.query["sort"].as_str()), ("500", "id,ASC"));
        }
        if call.is("POST", "reports") {
            let wish: Value = serde_json::from_str(&call.body).unwrap();
            assert_eq!(
                (&wish["format"], &wish["version"], &wish["timezone"]),
                (&json!("sql-query"), &json!("2.3.0"), &json!("UTC"))
            );
            assert!(
                wish["name"].as_str().unwrap().starts_with("vulnrelay/console-test/20261122T000000Z-0001/")
            );
        }
    }
}

#[tokio::test]
async fn an_incremental_run_asks_for_a_day_more_and_takes_what_was_scanned_since() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    let since = time("2026-11-21T22:00:00Z");
    drive(&scanner(&server, json!({})), &run(Mode::Incremental { since }), &mut sink).await.unwrap();
    let search = server.calls().into_iter().find(|call| call.is("POST", "assets/search")).unwrap();
    let filter = json!([{ "field": "last-scan-date", "operator": "is-on-or-after", "value": "2026-11-20" }]);
    assert_eq!(
        serde_json::from_str::<Value>(&search.body).unwrap(),
        json!({ "match": "all", "filters": filter })
    );
    assert_eq!(sink.hosts().into_keys().collect::<Vec<_>>(), ["7"]);
    assert_eq!(sink.findings().into_keys().collect::<Vec<_>>(), ["7"]);
    assert_eq!(server.count("GET", "assets"), 0);
}

/// Asset 1 was looked at on the 21st at 10:00, asset 7 at the end of that day, asset 2 the day before.
#[tokio::test]
async fn what_a_long_scan_looked_at_comes_when_it_has_ended() {
    let since = time("2026-11-21T22:00:00Z");
    let scan =
        |began: &str, ended: &str| json!({ "id": 1, "siteId": 1, "startTime": began, "endTime": ended });
    let old = scan("2026-11-18T00:00:00Z", "2026-11-20T21:00:00Z");
    let (long, short) = ("2026-11-21T09:00:00Z", "2026-11-21T22:30:00Z");
    for (scans, read) in [
        (page(&[]), vec!["7"]),
        (page(&[scan(short, NOW), old.clone()]), vec!["7"]),
        (page(&[scan(long, NOW), old.clone()]), vec!["1", "7"]),
        // Integrated some time after its end.
        (page(&[scan(long, "2026-11-21T20:30:00Z"), old]), vec!["1", "7"]),
        // More scans than are told, or none that may be seen: a day is a guess.
        (ok(json!({ "resources": [scan(short, NOW)], "page": { "totalResources": 900 } })), vec!["1", "7"]),
        (status(404), vec!["1", "7"]),
    ] {
        let told = scans.clone();
        let server = serve(move |call| match call.path.as_str() {
            "/api/3/scans" => told.clone(),
            _ => console(call),
        })
        .await;
        let mut sink = Recorder::default();
        let streams = json!({ "data_streams": ["assets", "vulnerabilities"], "page_size": 2 });
        drive(&scanner(&server, streams), &run(Mode::Incremental { since }), &mut sink).await.unwrap();
        assert_eq!(sink.hosts().into_keys().collect::<Vec<_>>(), read, "{scans:?}");
        assert_eq!(server.count("GET", "scans"), 1, "once for all pages");
    }
}

#[tokio::test]
async fn a_search_begins_a_day_before_the_oldest_scan_that_has_ended_since() {
    let server = serve(|call| match call.path.as_str() {
        "/api/3/scans" => {
            page(&[json!({ "siteId": 1, "startTime": "2026-11-17T09:00:00Z", "endTime": NOW })])
        }
        _ => console(call),
    })
    .await;
    let since = time("2026-11-21T22:00:00Z");
    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({ "page_size": 2 })), &run(Mode::Incremental { since }), &mut sink)
        .await
        .unwrap();
    let all = server.calls().into_iter().filter(|call| call.is("POST", "assets/search"));
    let values: Vec<Value> = all
        .map(|call| serde_json::from_str::<Value>(&call.body).unwrap()["filters"][0]["value"].clone())
        .collect();
    assert_eq!(values, ["2026-11-16", "2026-11-16"]);
}

/// The catalogue has more than 150,000 definitions; findings are asked for by asset or by report, and definitions by id.
#[tokio::test]
async fn pitfall_16_the_catalogue_is_never_asked_for() {
    for via in ["api", "report"] {
        let server = serve(console).await;
        let mut sink = Recorder::default();
        drive(&scanner(&server, json!({ "via": via })), &run(Mode::Full), &mut sink).await.unwrap();
        assert_eq!(server.count("GET", "vulnerabilities"), 0);
        let asked = (0..9).map(|n| server.count("GET", &format!("vulnerabilities/v{n}"))).max();
        assert_eq!(asked, Some(1), "each once");
    }
}

/// Nor where what was changed is read again: its pages are read as far as they are new. The console counts days in a time
/// zone of its own, so that one day more counts as new.
#[tokio::test]
async fn pitfall_16_the_catalogue_is_not_paged_through_for_what_was_changed() {
    const DEFINITIONS: usize = 150_000;
    // 400 a day, 500 a page.
    let changed_on = |number: usize| {
        let day = i32::try_from(number / 400).unwrap();
        time("2026-11-21T00:00:00Z") - jiff::SignedDuration::from_hours(24) * day
    };
    let catalogue = move |call: &Call| {
        let size: usize = call.query["size"].parse().unwrap();
        let numbers = (call.page() * size..DEFINITIONS).take(size);
        let all: Vec<Value> = numbers
            .map(|number| {
                let modified = changed_on(number).strftime("%Y-%m-%d").to_string();
                json!({ "id": format!("v{number}"), "title": "New", "severity": "Severe", "modified": modified })
            })
            .collect();
        let page = json!({ "number": call.page(), "size": size, "totalResources": DEFINITIONS });
        ok(json!({ "resources": all, "page": page }))
    };
    // Since so many days before the newest change, and the pages that have what is new by then; the first is read in any case.
    for (days, pages) in [(-2, 1), (0, 2), (1, 3), (4, 5)] {
        let since = time("2026-11-21T00:00:00Z") - jiff::SignedDuration::from_hours(24) * days;
        for (via, pages) in [("api", pages), ("report", 0)] {
            let server = serve(move |call| match call.path.as_str() {
                "/api/3/vulnerabilities" => catalogue(call),
                _ => console(call),
            })
            .await;
            let mut sink = Recorder::default();
            let asked = sync::Run { changes_since: Some(since), ..run(Mode::Full) };
            drive(&scanner(&server, json!({ "via": via })), &asked, &mut sink).await.unwrap();
            assert_eq!(server.count("GET", "vulnerabilities"), pages, "{via} since {since}");
        }
    }
}

/// The API tells only since when the status is what it is.
#[tokio::test]
async fn pitfall_16_a_report_knows_when_something_was_first_found() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({ "page_size": 2 })), &run(Mode::Full), &mut sink).await.unwrap();
    assert_eq!(sink.findings()["1"][0].first_found, Some(time("2026-01-01T00:00:00Z")));
}

#[tokio::test]
async fn by_the_api_each_asset_is_asked_and_tags_are_asked_by_tag() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, json!({ "via": "api" })), &run(Mode::Full), &mut sink).await.unwrap();
    let states: Vec<_> =
        sink.reports.iter().map(|r| r.findings.iter().map(|f| f.state).collect::<Vec<_>>()).collect();
    assert_eq!(
        states,
        [vec![FindingState::Open, FindingState::Fixed], vec![], vec![FindingState::Suppressed]]
    );
    assert!(sink.reports.iter().all(|report| report.coverage == Coverage::Whole));
    assert_eq!(sink.reports[0].host.tags[0].value, "web");
    assert_eq!(sink.reports[2].host.criticality, Some(5));
    assert!(done.values().all(|proof| proof.missing.is_none()), "{done:?}");
    let rule = sink.rules.iter().find(|rule| rule.id.as_str() == "v2").unwrap();
    assert_eq!((rule.solution.as_deref(), rule.patchable), (Some("Patch it"), Some(true)));
    assert_eq!(sink.rescored, ["assets/0"]);
    assert_eq!(server.calls().iter().filter(|call| call.path.ends_with("/tags")).count(), 1);
    assert!(server.calls().iter().all(|call| !call.path.contains("/reports")));
}

/// The console tells them in no order; a report has them by their ids, so that both ways say the same.
#[tokio::test]
async fn the_first_three_solutions_by_their_ids_are_read() {
    let solution = |id: &str, kind: &str, summary: &str| json!({ "id": id, "type": kind, "summary": { "text": summary }, "steps": { "text": "" } });
    let server = serve(move |call| match call.path.trim_start_matches("/api/3/") {
        "vulnerabilities/v2/solutions" => ok(json!({ "resources": ["d", "c", "a", "b"] })),
        "solutions/a" => ok(solution("a", "configuration", "Block it")),
        "solutions/b" => ok(solution("b", "configuration", "Set it right")),
        "solutions/c" => ok(solution("c", "unknown", "Block it")),
        "solutions/d" => ok(solution("d", "patch", "Patch it")),
        _ => console(call),
    })
    .await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({ "via": "api" })), &run(Mode::Full), &mut sink).await.unwrap();
    let rule = sink.rules.iter().find(|rule| rule.id.as_str() == "v2").unwrap();
    let (told, patchable) = ("Block it\n\nSet it right", Some(false));
    assert_eq!((rule.solution.as_deref(), rule.patchable), (Some(told), patchable));
    assert_eq!(server.count("GET", "solutions/d"), 0);
}

#[tokio::test]
async fn where_there_are_more_tags_than_assets_the_assets_are_asked_for_theirs() {
    let tags: Vec<Value> =
        (0..30).map(|id| json!({ "id": id, "name": format!("t{id}"), "type": "custom" })).collect();
    let server = serve(move |call| match call.path.as_str() {
        "/api/3/tags" => page(&tags),
        "/api/3/assets/7/tags" => ok(json!({ "resources": [tags[4], tags[9]], "links": [] })),
        "/api/3/assets/1/tags" => ok(json!({ "resources": [], "links": [] })),
        "/api/3/assets/2/tags" => status(404),
        _ => console(call),
    })
    .await;
    let mut sink = Recorder::default();
    let only = json!({ "data_streams": ["assets"] });
    drive(&scanner(&server, only), &run(Mode::Full), &mut sink).await.unwrap();
    let tags: Vec<usize> = sink.inventory.iter().map(|host| host.tags.len()).collect();
    assert_eq!(tags, [0, 0, 2]);
    assert!(server.calls().iter().all(|call| !call.path.starts_with("/api/3/tags/")));
}

#[tokio::test]
async fn definitions_that_were_changed_are_read_again_where_they_are_known() {
    let definition = |id: &str, modified: &str| json!({ "id": id, "title": "New", "severity": "Severe", "modified": modified });
    let newest = [
        definition("v1", "2026-11-21"),
        definition("unused", "2026-11-20"),
        definition("v3", "2026-11-18"),
        definition("v2", "2026-11-01"),
    ];
    let mut unsorted = newest.clone();
    unsorted.swap(0, 3);
    let full = |page: &[Value]| {
        let more: Vec<Value> = (3..500).map(|n| definition(&format!("x{n}"), "2026-11-18")).collect();
        [&page[..3], &more].concat()
    };
    let since = time("2026-11-19T00:00:00Z");
    let old: Vec<Value> = (0..500).map(|n| definition(&format!("x{n}"), "2026-11-01")).collect();
    for (list, total, read, pages) in [
        (newest.to_vec(), 4, vec!["v1", "v3"], 1),
        (unsorted.to_vec(), 4, vec!["v3", "v1"], 1),
        // Whatever page it gives: there is another one as far as it counts any, and this one is new and sorted.
        (full(&newest), 1_000, vec!["v1", "v3", "v1", "v3"], 2),
        (full(&newest), 500, vec!["v1", "v3"], 1),
        (full(&unsorted), 1_000, vec!["v3"], 1),
        (old, 1_000, vec![], 1),
    ] {
        let server = serve(move |call| match call.path.as_str() {
            "/api/3/vulnerabilities" => {
                let page = json!({ "number": call.page(), "size": 500, "totalResources": total });
                ok(json!({ "resources": list, "page": page }))
            }
            _ => console(call),
        })
        .await;
        let mut sink = Recorder { known: ["v1", "v2", "v3"].map(RuleId::new).into(), ..Recorder::default() };
        let asked = sync::Run { changes_since: Some(since), ..run(Mode::Full) };
        drive(&scanner(&server, json!({ "via": "api" })), &asked, &mut sink).await.unwrap();
        let known: Vec<_> = sink.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(known, read);
        let calls = server.calls();
        let lists = calls.iter().filter(|call| call.path == "/api/3/vulnerabilities").count();
        assert_eq!(lists, pages);
        let mut sink = Recorder::default();
        drive(&scanner(&server, json!({})), &asked, &mut sink).await.unwrap();
        assert_eq!(server.calls().iter().filter(|call| call.path == "/api/3/vulnerabilities").count(), pages);
    }
}

#[tokio::test]
async fn definitions_are_asked_for_in_parts_and_the_hosts_that_wait_are_sent_on_once() {
    let server = serve(|call| match call.path.strip_prefix("/api/3/vulnerabilities/") {
        Some(solutions) if solutions.ends_with("/solutions") => page(&[]),
        Some(id) => ok(json!({ "id": id, "title": "New", "severity": "Severe" })),
        None => console(call),
    })
    .await;
    let scanner = scanner(&server, json!({ "via": "api" }));
    let rules: Vec<String> = (0..45).map(|n| format!("w{n}")).collect();
    let work = json!({ "step": "definitions", "rules": rules, "hosts_of": "assets/0" });
    let mut unit = Unit::new("definitions/assets-0/first", &work);
    let mut sink = Recorder::default();
    let mut ids = vec![unit.id.clone()];
    while let Next::More(more, _) = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap() {
        assert_eq!((more.len(), sink.rescored.len()), (1, 0));
        unit = more.into_iter().next().unwrap();
        ids.push(unit.id.clone());
    }
    assert!(ids.len() == 3 && ids[1] != ids[2], "{ids:?}");
    assert_eq!((sink.rules.len(), sink.rescored), (45, vec!["assets/0".to_owned()]));
    assert!(rules.iter().all(|rule| server.count("GET", &format!("vulnerabilities/{rule}")) == 1));
}

#[tokio::test]
async fn streams_that_are_not_pulled_are_not_asked_for() {
    let server = serve(console).await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({ "data_streams": ["assets"] })), &run(Mode::Full), &mut sink)
        .await
        .unwrap();
    assert_eq!((sink.inventory.len(), sink.reports.len()), (3, 0));
    assert_eq!(sink.inventory[0].tags.len(), 1, "the inventory has the tags then");
    assert!(server.calls().iter().all(|call| call.method == "GET" && !call.path.contains("vulnerabilities")));

    let mut sink = Recorder::default();
    drive(&scanner(&server, json!({ "data_streams": ["vulnerabilities"] })), &run(Mode::Full), &mut sink)
        .await
        .unwrap();
    assert_eq!((sink.inventory.len(), sink.reports.len()), (0, 3));
}

/// Works one unit against a console of which one path answers differently.
async fn one(
    unit: Unit,
    via: &str,
    path: &'static str,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> (Recorder, Result<Next, SyncError>) {
    let server =
        serve(move |call| if call.path == format!("/api/3/{path}") { reply() } else { console(call) }).await;
    let mut sink = Recorder::default();
    let next = scanner(&server, json!({ "via": via })).pull(&run(Mode::Full), &unit, &mut sink).await;
    (sink, next)
}

fn first() -> Unit {
    Unit::new("assets/0", &json!({ "step": "assets", "page": 0 }))
}

fn ready() -> Unit {
    let report = json!({ "id": 201, "instance": 9, "since": NOW });
    Unit::new("findings/0", &json!({ "step": "findings", "page": 0, "assets": [1, 2], "report": report }))
}

fn missing(next: &Next) -> &str {
    match next {
        Next::Done(proof) | Next::More(_, proof) => proof.missing.as_deref().unwrap_or(""),
        Next::Later(..) => panic!("{next:?}"),
    }
}

#[tokio::test]
async fn pages_that_are_none_are_errors_never_an_end() {
    for (body, problem) in [
        ("<html>Maintenance</html>", "HTML"),
        ("{\"resources\":[{\"id\":1}", "ends before"),
        ("", "empty"),
        ("{\"status\":200}", "resources"),
    ] {
        let (sink, next) = one(first(), "api", "assets", move || ok(body)).await;
        let error = next.unwrap_err();
        assert!(
            matches!(error, SyncError::Malformed { .. }) && error.to_string().contains(problem),
            "{error}"
        );
        assert!(sink.inventory.is_empty());
    }
}

#[tokio::test]
async fn a_refusal_is_about_credentials_and_404_about_rights() {
    for code in [401, 404] {
        let (_, next) = one(first(), "api", "assets", move || status(code)).await;
        let error = next.unwrap_err();
        assert!(matches!(error, SyncError::Unauthorized { .. }) && !error.is_transient(), "{error}");
        assert!(
            !error.to_string().contains("dXNlcjpzZWNyZXQ=") && !error.to_string().contains("123456"),
            "{error}"
        );
    }
    let (_, next) = one(first(), "api", "assets", || status(500)).await;
    assert!(next.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_console_that_is_starting_or_busy_is_left_alone() {
    for (reply, seconds) in [
        (Reply(503, vec![], vec![]), 120),
        (Reply(503, vec![], vec![("retry-after", "30".into())]), 30),
        (Reply(503, vec![], vec![("retry-after", "Sun, 22 Nov 2026 00:10:00 GMT".into())]), 600),
        (Reply(429, vec![], vec![("retry-after", "7".into())]), 7),
    ] {
        let (_, next) = one(first(), "api", "assets", move || reply.clone()).await;
        let Ok(Next::Later(at, unit)) = next else { panic!("{next:?}") };
        assert_eq!((at.duration_since(time(NOW)).as_secs(), unit), (seconds, first()));
    }
}

#[tokio::test]
async fn an_asset_that_does_not_show_its_findings_makes_the_run_partial() {
    let (sink, next) = one(first(), "api", "assets/2/vulnerabilities", || status(404)).await;
    assert!(missing(&next.unwrap()).starts_with("1 of 3 assets do not show"));
    assert_eq!(sink.reports.len(), 2, "nothing is said of it");
}

#[tokio::test]
async fn findings_that_were_not_all_told_prove_no_absence() {
    let short = || ok(json!({ "resources": [found("v1", "vulnerable")], "page": { "totalResources": 2 } }));
    let (sink, _) = one(first(), "api", "assets/1/vulnerabilities", short).await;
    assert_eq!(sink.reports[0].coverage, Coverage::Part);
    let bad = || ok(json!({ "resources": [found("v1", "vulnerable"), 5], "page": { "totalResources": 2 } }));
    let (sink, _) = one(first(), "api", "assets/1/vulnerabilities", bad).await;
    assert_eq!((sink.reports[0].coverage.clone(), sink.refused.len()), (Coverage::Part, 1));
    let untold = || page(&[found("v1", "vulnerable"), found("v2", "unknown")]);
    let (sink, _) = one(first(), "api", "assets/1/vulnerabilities", untold).await;
    assert_eq!((sink.reports[0].coverage.clone(), sink.reports[0].findings.len()), (Coverage::Part, 1));
}

#[tokio::test]
async fn a_page_with_fewer_assets_than_announced_is_seen() {
    let short = || ok(json!({ "resources": [asset(1, NOW)], "page": { "totalResources": 3 } }));
    let (_, next) = one(first(), "report", "assets", short).await;
    let Ok(Next::More(_, proof)) = next else { panic!("{next:?}") };
    assert_eq!((proof.announced, proof.received), (Some(3), 1));
}

/// Whoever stands behind a deleted asset moves up, and one is on neither page.
#[tokio::test]
async fn a_list_that_shrinks_while_it_is_read_is_not_whole() {
    let unit = Unit::new("assets/1", &json!({ "step": "assets", "page": 1, "total": 1001 }));
    let shrunk = || ok(json!({ "resources": [asset(900, NOW)], "page": { "totalResources": 501 } }));
    let (_, next) = one(unit, "report", "assets", shrunk).await;
    assert_eq!(missing(&next.unwrap()), "500 assets were deleted while the list was read");
}

#[tokio::test]
async fn a_report_that_lacks_rows_or_assets_proves_no_absence() {
    let output = "reports/201/history/9/output";
    let (sink, next) = one(ready(), "report", output, || ok(format!("{HEADER}{}", row(1, 2, "v1")))).await;
    let Ok(Next::More(_, proof)) = &next else { panic!("{next:?}") };
    assert_eq!((proof.announced, proof.received), (Some(2), 1));
    assert_eq!(missing(next.as_ref().unwrap()), "1 assets are not in the report");
    assert_eq!(sink.reports[0].coverage, Coverage::Part);
    let silent = || ok(format!("{HEADER}{}", row(1, 1, "v1").replace("Vulnerable Version", "Unknown")));
    let (sink, _) = one(ready(), "report", output, silent).await;
    assert_eq!((sink.reports[0].coverage.clone(), sink.reports[0].findings.len()), (Coverage::Part, 0));

    let (sink, _) =
        one(ready(), "report", output, || ok(format!("{HEADER}{}{}", row(1, 0, ""), row(9, 0, "")))).await;
    assert_eq!((sink.reports.len(), sink.refused.len()), (1, 1), "an asset that was not asked for");

    for (body, problem) in [("<html>", "no column"), ("", "empty")] {
        let (sink, next) = one(ready(), "report", output, move || ok(body)).await;
        assert!(next.unwrap_err().to_string().contains(problem));
        assert!(sink.reports.is_empty());
    }
}

#[tokio::test]
async fn an_asset_that_nobody_has_looked_at_says_nothing() {
    let never = || ok(format!("{HEADER}1,,0,,,,,,,,,\n{}", row(2, 0, "")));
    let (sink, next) = one(ready(), "report", "reports/201/history/9/output", never).await;
    assert_eq!(missing(&next.unwrap()), "");
    assert_eq!(sink.findings().into_keys().collect::<Vec<_>>(), ["2"]);
}

#[tokio::test]
async fn a_report_is_waited_for_by_later_and_given_up_with_a_reason() {
    let running = || ok(json!({ "id": 9, "status": "running" }));
    let (_, next) = one(ready(), "report", "reports/201/history/9", running).await;
    let Ok(Next::Later(at, unit)) = next else { panic!("{next:?}") };
    assert_eq!((at.duration_since(time(NOW)).as_secs(), unit.work["report"]["looks"].as_u64()), (2, Some(1)));

    let long_ago = json!({ "id": 201, "instance": 9, "since": "2026-11-21T20:00:00Z", "looks": 50 });
    let unit =
        Unit::new("findings/0", &json!({ "step": "findings", "page": 0, "assets": [1], "report": long_ago }));
    let (_, next) = one(unit, "report", "reports/201/history/9", running).await;
    let Ok(Next::More(after, _)) = &next else { panic!("{next:?}") };
    assert_eq!(after[0].id, "forget/201", "it is removed all the same");
    assert!(missing(next.as_ref().unwrap()).contains("not ready after"));
}

#[tokio::test]
async fn a_report_that_failed_or_is_gone_is_begun_anew_twice() {
    for gone in [false, true] {
        let looks = AtomicUsize::new(0);
        let server = serve(move |call| {
            if call.path.starts_with("/api/3/reports/201/history/9") {
                looks.fetch_add(1, Ordering::Relaxed);
                return if gone { status(404) } else { ok(json!({ "id": 9, "status": "failed" })) };
            }
            console(call)
        })
        .await;
        let scanner = scanner(&server, json!({}));
        let (mut sink, mut unit) = (Recorder::default(), ready());
        let next = loop {
            match scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap() {
                Next::Later(at, again) => (sink.now, unit) = (sink.now.max(at), again),
                other => break other,
            }
        };
        assert!(missing(&next).contains("3 reports came to nothing"), "{next:?}");
        assert_eq!(server.count("POST", "reports"), 2);
        assert!(server.calls().iter().filter(|call| call.method == "DELETE").count() >= 2);
    }
}

#[tokio::test]
async fn the_check_names_what_is_visible_and_what_is_not_allowed() {
    let server = serve(console).await;
    let tried = scanner(&server, json!({}));
    assert_eq!(tried.check().await.unwrap(), "signed in, 3 assets in 1 sites are visible");
    let outcomes = |lines: Vec<CheckLine>| lines.into_iter().map(|l| (l.what, l.outcome)).collect::<Vec<_>>();
    let good = |what: &str| (what.to_owned(), Outcome::Good);
    let all = [good("assets"), good("vulnerabilities"), good("scans")];
    assert_eq!(outcomes(tried.rights(time(NOW)).await), all);

    let server = serve(|call| if call.is("GET", "reports") { status(404) } else { console(call) }).await;
    let lines = scanner(&server, json!({})).rights(time(NOW)).await;
    assert!(lines[1].says.contains("404") && lines[1].says.contains("reports"), "{}", lines[1].says);
    let bad = ("vulnerabilities".to_owned(), Outcome::Bad);
    assert_eq!(outcomes(lines), [good("assets"), bad, good("scans")]);
    let by_api = scanner(&server, json!({ "via": "api", "data_streams": ["vulnerabilities"] }));
    assert_eq!(outcomes(by_api.rights(time(NOW)).await), [good("vulnerabilities")]);
}

#[tokio::test]
async fn a_site_tells_of_its_last_scan_and_a_list_that_is_hidden_takes_nothing_from_the_run() {
    let scan = |site: u64, status: &str, day: u32| json!({ "id": day, "siteId": site, "status": status, "endTime": format!("2026-11-{day:02}T06:00:00Z") });
    let told = move |call: &Call| {
        let active = call.query.get("active").map(String::as_str);
        match (call.path.trim_start_matches("/api/3/"), active) {
            ("sites", _) => part(
                &[
                    json!({ "id": 1, "name": "One", "lastScanTime": "2026-11-20T06:00:00Z" }),
                    json!({ "id": 2, "name": "Two", "lastScanTime": "2026-10-02T06:00:00Z" }),
                    json!({ "id": 3 }),
                    json!({ "id": 4, "name": "Agents", "type": "agent" }),
                    json!({ "id": 5, "name": "Five" }),
                ],
                call.page(),
                2,
            ),
            // In no order, and one of a site that is gone.
            ("scans", Some("false")) => {
                page(&[scan(1, "finished", 18), scan(1, "error", 20), scan(9, "stopped", 19), json!("odd")])
            }
            ("scans", Some("true")) => page(&[scan(1, "running", 21), scan(5, "integrating", 21)]),
            _ => status(404),
        }
    };
    let only = json!({ "data_streams": ["scans"] });
    let server = serve(told).await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, only.clone()), &run(Mode::Full), &mut sink).await.unwrap();
    assert_eq!(done, BTreeMap::from([("scans".to_owned(), Proof::default())]));
    let day = |text: &str| Some(time(&format!("2026-{text}T06:00:00Z")));
    let job = |id: &str, name: &str, outcome, at| ScanJob {
        id: id.to_owned(),
        name: name.to_owned(),
        outcome,
        at,
        scheduled: None,
    };
    assert_eq!(
        sink.scans,
        [
            job("1", "One", ScanOutcome::Unfinished, day("11-20")),
            job("2", "Two", ScanOutcome::Untold, day("10-02")),
            job("3", "site 3", ScanOutcome::Never, None),
            job("5", "Five", ScanOutcome::Running, day("11-21")),
        ]
    );
    let server = serve(|_| status(404)).await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, only), &run(Mode::Full), &mut sink).await.unwrap();
    assert_eq!((done.len(), &done["scans"], sink.scans.len()), (1, &Proof::default(), 0));
}

#[tokio::test]
async fn no_redirect_is_followed_with_credentials() {
    let other = serve(|_| ok("{}")).await;
    let target = other.base.clone();
    let (_, next) = one(first(), "api", "assets", move || {
        Reply(302, vec![], vec![("location", format!("{target}/api/3/assets"))])
    })
    .await;
    assert!(next.is_err());
    assert!(other.calls().is_empty());
}
