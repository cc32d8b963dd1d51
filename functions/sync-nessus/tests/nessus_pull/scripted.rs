use domain::{FindingKind, FindingState, Outcome, Severity};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};
use sync::{Coverage, Mode, Next, Ports, Scanner, Scope, SyncError, Unit};
use sync_nessus::{Client, NessusScanner};

use crate::support::*;

/// `GET /scans` with these ids, completed an hour ago.
fn list(ids: &[u64]) -> Reply {
    let scans: Vec<Value> = ids
        .iter()
        .map(|id| json!({ "id": id, "status": "completed", "uuid": "u", "last_modification_date": ago(3_600) }))
        .collect();
    ok(
        json!({ "folders": [], "scans": if scans.is_empty() { Value::Null } else { json!(scans) }, "timestamp": ago(0) }),
    )
}

/// The details of a scan with histories of these ids and statuses, a day apart, the last one completed an hour ago.
fn details(histories: &[(u64, &str)]) -> Reply {
    let count = i64::try_from(histories.len()).unwrap();
    let list: Vec<Value> = (0..)
        .zip(histories)
        .map(|(at, (id, status))| {
            let ended = ago(3_600 + 86_400 * (count - 1 - at));
            json!({ "history_id": id, "status": status, "creation_date": ended - 1_800, "last_modification_date": ended })
        })
        .collect();
    let status = histories.last().map_or("empty", |(_, status)| *status);
    ok(json!({ "info": { "status": status, "hostcount": 1 }, "hosts": [], "history": list }))
}

/// A Nessus with scan 5, whose newest history 50 has this file, and scan 7 with another one.
fn nessus(call: &Call, file_of_5: &str) -> Reply {
    match call.what.as_str() {
        "GET /scans" => list(&[5, 7]),
        "GET /scans/5" => details(&[(49, "completed"), (50, "completed")]),
        "GET /scans/7" => details(&[(70, "completed")]),
        "POST /scans/5/export" => ok(json!({ "file": 500, "token": "t" })),
        "POST /scans/7/export" => ok(json!({ "file": "700" })),
        "GET /scans/5/export/500/status" | "GET /scans/7/export/700/status" => {
            ok(json!({ "status": if call.before == 0 { "loading" } else { "ready" } }))
        }
        "GET /scans/5/export/500/download" => ok(file_of_5),
        "GET /scans/7/export/700/download" => ok(file(&host("10.0.0.7", &item(3, 0, 1)))),
        "GET /server/properties" => {
            ok(json!({ "nessus_type": "Nessus Professional", "server_version": "10.8.3" }))
        }
        _ => error(404, "The requested file was not found."),
    }
}

fn two_hosts() -> String {
    file(&(host("10.0.0.1", &(item(1, 443, 4) + &item(2, 0, 0))) + &host("10.0.0.2", "")))
}

async fn pulled(server: &Server, mode: Mode) -> (Recorder, Vec<(String, Option<String>)>) {
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server.base, &[]), mode, &mut sink, |_| {}).await.unwrap();
    (sink, done.into_iter().map(|(id, proof)| (id, proof.missing)).collect())
}

#[tokio::test]
async fn a_full_run_reads_the_newest_history_of_each_scan_one_after_the_other() {
    let server = serve(|call| nessus(call, &two_hosts())).await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server.base, &[]), Mode::Full, &mut sink, |_| {}).await.unwrap();
    let done: Vec<_> =
        done.iter().map(|(id, proof)| (id.as_str(), proof.received, proof.missing.is_none())).collect();
    assert_eq!(done, [("scans", 0, true), ("scan/5", 2, true), ("scan/7", 1, true)]);
    let hosts = said(&sink);
    assert_eq!(hosts.keys().collect::<Vec<_>>(), ["5/10.0.0.1", "5/10.0.0.2", "7/10.0.0.7"]);
    assert!(hosts.values().all(|(_, coverage, _)| *coverage == Coverage::Whole));
    let (host, _, findings) = &hosts["5/10.0.0.1"];
    assert_eq!((host.credentialed, host.last_scanned_at.unwrap().as_second()), (Some(true), ago(3_700)));
    let finding = &findings["1|443|tcp"];
    assert_eq!((finding.severity, finding.state), (Severity::Critical, FindingState::Open));
    assert_eq!((finding.first_found, finding.last_found), (host.last_scanned_at, host.last_scanned_at));
    assert_eq!(finding.evidence.as_deref(), Some("seen"));
    assert_eq!(findings["2|0|tcp"].evidence, None, "an observation's output changes with every scan");
    assert_eq!(sink.rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);

    let asked = server.asked();
    assert_eq!(
        asked,
        [
            "GET /scans",
            "GET /scans/5",
            "POST /scans/5/export",
            "GET /scans/5/export/500/status",
            "GET /scans/5/export/500/status",
            "GET /scans/5/export/500/download",
            "GET /scans/7",
            "POST /scans/7/export",
            "GET /scans/7/export/700/status",
            "GET /scans/7/export/700/status",
            "GET /scans/7/export/700/download",
        ]
    );
    for call in server.calls() {
        assert_eq!(call.header("x-apikeys"), "accessKey=sim-access;secretKey=sim-secret");
        assert!(call.header("x-cookie").is_empty());
    }
}

#[tokio::test]
async fn pitfall_17_only_nessus_format_is_asked_for() {
    let server = serve(|call| nessus(call, &two_hosts())).await;
    pulled(&server, Mode::Full).await;
    let posts: Vec<_> = server.calls().into_iter().filter(|call| call.what.starts_with("POST")).collect();
    assert_eq!(posts.len(), 2);
    for (call, query) in posts.iter().zip(["history_id=50", "history_id=70"]) {
        assert_eq!(serde_json::from_str::<Value>(&call.body).unwrap(), json!({ "format": "nessus" }));
        assert_eq!(call.query, query);
    }
}

#[tokio::test]
async fn pitfall_17_a_licence_without_the_api_is_said_in_words() {
    let server = serve(|call| match call.what.as_str() {
        "POST /scans/5/export" => error(412, "API is not available"),
        _ => nessus(call, ""),
    })
    .await;
    let (sink, done) = pulled(&server, Mode::Full).await;
    let missing = done[1].1.as_ref().unwrap();
    assert!(missing.contains("scan 5") && missing.contains("licence"), "{missing}");
    assert_eq!(said(&sink).len(), 1, "the other scan is read all the same");
}

#[tokio::test]
async fn pitfall_04_one_export_at_a_time() {
    let server = serve(|call| nessus(call, &two_hosts())).await;
    pulled(&server, Mode::Full).await;
    let asked = server.asked();
    let at = |what: &str| asked.iter().position(|asked| asked == what).unwrap();
    assert!(at("GET /scans/5/export/500/download") < at("POST /scans/7/export"));
}

#[tokio::test]
async fn an_incremental_run_reads_what_was_completed_since() {
    // The scan ran again an hour ago, and was stopped: what it had found was read the day before.
    let server = serve(|call| match call.what.as_str() {
        "GET /scans" => {
            let scan = |id: u64, at: i64| json!({ "id": id, "status": "completed", "last_modification_date": at });
            ok(json!({ "scans": [scan(5, ago(3_600)), scan(6, ago(90_000)), scan(7, ago(3_600))], "timestamp": ago(0) }))
        }
        "GET /scans/5" => details(&[(49, "completed"), (50, "canceled")]),
        _ => nessus(call, ""),
    })
    .await;
    let since = time(NOW) - SignedDuration::from_hours(3);
    let (sink, _) = pulled(&server, Mode::Incremental { since }).await;
    assert_eq!(said(&sink).into_keys().collect::<Vec<_>>(), ["7/10.0.0.7"]);
    assert!(!server.asked().contains(&"GET /scans/6".to_owned()), "it has not changed");
    let (sink, _) = pulled(&server, Mode::Full).await;
    assert_eq!(said(&sink).len(), 1, "6 is not known to this server, and 5 has no file here");
}

#[tokio::test]
async fn the_watermark_is_by_the_server_s_clock() {
    // It is two hours behind: what it dates an hour before our watermark is an hour after it.
    let server = serve(|call| match call.what.as_str() {
        "GET /scans" => ok(json!({
            "scans": [{ "id": 7, "status": "completed", "last_modification_date": ago(3_600) }], "timestamp": ago(7_200),
        })),
        _ => nessus(call, ""),
    })
    .await;
    let since = time(NOW) - SignedDuration::from_mins(30);
    assert_eq!(said(&pulled(&server, Mode::Incremental { since }).await.0).len(), 1);
}

#[tokio::test]
async fn nothing_is_an_answer() {
    for body in [json!({ "scans": null }), json!({ "folders": null, "scans": [] })] {
        let server = serve(move |_| ok(&body)).await;
        let (sink, done) = pulled(&server, Mode::Full).await;
        assert_eq!(done, [("scans".to_owned(), None)]);
        assert!(sink.reports.is_empty());
    }
    // A scan that has found nobody.
    let server = serve(|call| match call.what.as_str() {
        "GET /scans" => list(&[5]),
        "GET /scans/5" => {
            ok(json!({ "info": { "hostcount": 0 }, "history": [{ "history_id": 50, "status": "completed", "last_modification_date": ago(9) }] }))
        }
        _ => nessus(call, &file("")),
    })
    .await;
    let (sink, done) = pulled(&server, Mode::Full).await;
    assert!(sink.reports.is_empty() && done.iter().all(|(_, missing)| missing.is_none()));
}

#[tokio::test]
async fn aborted_stopped_and_running_histories_close_nothing_and_are_not_read() {
    for status in ["aborted", "canceled", "stopped", "running", "paused", "empty", "pending", "processing"] {
        let server = serve(move |call| match call.what.as_str() {
            "GET /scans/5" => details(&[(49, "completed"), (50, status)]),
            _ => nessus(call, &two_hosts()),
        })
        .await;
        pulled(&server, Mode::Full).await;
        let export = server.calls().into_iter().find(|call| call.what == "POST /scans/5/export").unwrap();
        assert_eq!(export.query, "history_id=49", "{status}: the newest completed one counts");
        let server = serve(move |call| match call.what.as_str() {
            "GET /scans" => list(&[5]),
            "GET /scans/5" => details(&[(50, status)]),
            _ => nessus(call, &two_hosts()),
        })
        .await;
        let (sink, done) = pulled(&server, Mode::Full).await;
        assert!(sink.reports.is_empty(), "{status}");
        assert!(done.iter().all(|(_, missing)| missing.is_none()), "{status}");
    }
}

#[tokio::test]
async fn an_imported_file_and_a_host_without_an_end_prove_no_absence() {
    let coverage = async |status: &'static str, file: String| {
        let server = serve(move |call| match call.what.as_str() {
            "GET /scans" => list(&[5]),
            "GET /scans/5" => details(&[(50, status)]),
            _ => nessus(call, &file),
        })
        .await;
        pulled(&server, Mode::Full).await.0.reports[0].coverage.clone()
    };
    assert_eq!(coverage("completed", two_hosts()).await, Coverage::Whole);
    assert_eq!(coverage("imported", two_hosts()).await, Coverage::Part);
    let running = two_hosts().replace("HOST_END_TIMESTAMP", "HOST_START_TIMESTAMP");
    assert_eq!(coverage("completed", running).await, Coverage::Part);
    let bad = file(&host("10.0.0.1", &(item(1, 0, 4) + "<ReportItem pluginID='x'/>")));
    assert_eq!(coverage("completed", bad).await, Coverage::Part);
}

#[tokio::test]
async fn a_report_proves_as_much_as_its_policy_looks_for() {
    let policy = "<Policy><Preferences><ServerPreferences><preference><name>plugin_set</name><value>1;2;</value></preference>\
        <preference><name>port_range</name><value>1-1024</value></preference></ServerPreferences></Preferences></Policy><Report";
    let file = two_hosts().replacen("<Report", policy, 1);
    let server = serve(move |call| nessus(call, &file)).await;
    let (sink, _) = pulled(&server, Mode::Full).await;
    let expected = Scope::new(vec![1, 2], Ports::parse("1-1024"));
    for report in sink.reports.iter().filter(|report| report.host.native.starts_with("5/")) {
        let Coverage::Within(scope) = &report.coverage else { panic!("{:?}", report.coverage) };
        assert_eq!(**scope, expected);
        assert_eq!((report.host.checks, report.host.port_range), (Some(2), expected.port_range()));
    }
}

#[tokio::test]
async fn one_bad_item_is_refused_with_its_place_and_the_rest_is_read() {
    let text = file(&host("10.0.0.1", &(item(1, 0, 4) + "<ReportItem pluginID='x'/>" + &item(2, 0, 4))));
    let at = text.find("<ReportItem pluginID='x'").unwrap() as u64;
    let server = serve(move |call| nessus(call, &text)).await;
    let (sink, done) = pulled(&server, Mode::Full).await;
    assert_eq!(sink.refused.iter().map(|bad| bad.offset).collect::<Vec<_>>(), [at]);
    assert_eq!(said(&sink)["5/10.0.0.1"].2.len(), 2);
    assert!(done.iter().all(|(_, missing)| missing.is_none()));
}

#[tokio::test]
async fn what_is_no_file_is_tried_again_and_then_given_up_and_the_other_scans_are_read() {
    let cut = two_hosts()[..300].to_owned();
    let html = "<!DOCTYPE html><html><body>Scheduled maintenance<br></body></html>".to_owned();
    let none = file("");
    for (body, word) in [
        (cut, "cut off"),
        (html, "an HTML page"),
        (String::new(), "empty"),
        ("{}".into(), "text stands"),
        (none, "although the scan has hosts"),
    ] {
        let shown = body.clone();
        let server = serve(move |call| nessus(call, &body)).await;
        let (sink, done) = pulled(&server, Mode::Full).await;
        let missing = done[1].1.as_ref().unwrap_or_else(|| panic!("{shown}"));
        assert!(missing.contains("scan 5 was given up after 5 tries") && missing.contains(word), "{missing}");
        assert!(said(&sink).contains_key("7/10.0.0.7"), "{shown}");
        assert_eq!(
            server.asked().iter().filter(|what| *what == "POST /scans/5/export").count(),
            5,
            "each a new export"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_exported_again() {
    for gone in ["GET /scans/5/export/500/status", "GET /scans/5/export/500/download"] {
        let server = serve(move |call| match call.what.as_str() {
            what if what == gone && call.before == 0 => error(404, "The requested file was not found."),
            _ => nessus(call, &two_hosts()),
        })
        .await;
        let (sink, done) = pulled(&server, Mode::Full).await;
        assert!(done.iter().all(|(_, missing)| missing.is_none()), "{gone}: {done:?}");
        assert_eq!(said(&sink).len(), 3);
        assert_eq!(server.asked().iter().filter(|what| *what == "POST /scans/5/export").count(), 2);
    }
}

#[tokio::test]
async fn pitfall_05_an_export_that_ends_as_an_error_or_never_is_given_up() {
    let server = serve(|call| match call.what.as_str() {
        "GET /scans/5/export/500/status" => ok(json!({ "status": "error" })),
        _ => nessus(call, ""),
    })
    .await;
    let (_, done) = pulled(&server, Mode::Full).await;
    assert!(done[1].1.as_ref().unwrap().contains("ended as an error"), "{done:?}");
    let server = serve(|call| match call.what.as_str() {
        "GET /scans/5/export/500/status" => ok(json!({ "status": "loading" })),
        _ => nessus(call, ""),
    })
    .await;
    let (sink, done) = pulled(&server, Mode::Full).await;
    assert!(done[1].1.as_ref().unwrap().contains("not ready in two hours"), "{done:?}");
    let polls = server.asked().iter().filter(|what| what.ends_with("500/status")).count();
    assert!((200..300).contains(&polls), "{polls}: twice a minute");
    assert!(said(&sink).contains_key("7/10.0.0.7"));
}

async fn first_answer(reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Result<Next, SyncError> {
    let server = serve(reply).await;
    let unit = Unit::new("scans", &json!({ "step": "list" }));
    scanner(&server.base, &[]).pull(&run(Mode::Full), &unit, &mut Recorder::default()).await
}

#[tokio::test]
async fn a_busy_server_is_waited_for_in_the_queue_but_not_for_ever() {
    for status in [409, 429, 503] {
        let next = first_answer(move |_| error(status, "busy")).await;
        let Ok(Next::Later(at, unit)) = next else { panic!("{next:?}") };
        assert_eq!((at, unit.id.as_str()), (time(NOW) + SignedDuration::from_secs(60), "scans"), "{status}");
    }
    let server = serve(|call| match call.what.as_str() {
        "POST /scans/5/export" => error(409, "another export"),
        _ => nessus(call, ""),
    })
    .await;
    let (sink, done) = pulled(&server, Mode::Full).await;
    assert!(done[1].1.as_ref().unwrap().contains("busy all the time"), "{done:?}");
    assert!(said(&sink).contains_key("7/10.0.0.7"));
}

#[tokio::test]
async fn wrong_credentials_end_the_run_and_other_errors_have_names() {
    for status in [401, 403] {
        let next = first_answer(move |_| error(status, "Invalid Credentials")).await;
        assert!(matches!(next, Err(SyncError::Unauthorized { .. })), "{next:?}");
    }
    let next = first_answer(|_| error(500, "oh")).await;
    assert!(
        matches!(&next, Err(error @ SyncError::Refused { status: 500, .. }) if error.is_transient()),
        "{next:?}"
    );
    for body in ["<html>Sign in</html>", "", "[]"] {
        let next = first_answer(move |_| ok(body)).await;
        assert!(matches!(next, Err(SyncError::Malformed { .. })), "{body}: {next:?}");
    }
}

fn with_session(server: &Server) -> NessusScanner {
    let secret = |text: &str| SecretString::from(text.to_owned());
    let client = Client::with_session(http(&server.base), secret("jo"), secret("hunter2"));
    NessusScanner::new(&connector(&server.base, &[]), client)
}

#[tokio::test]
async fn a_session_is_begun_renewed_once_and_ended() {
    let server = serve(|call| match call.what.as_str() {
        "POST /session" => ok(json!({ "token": format!("t{}", call.before) })),
        "DELETE /session" => ok(json!({})),
        "GET /scans" if call.before == 0 => error(401, "Invalid Credentials"),
        _ => nessus(call, ""),
    })
    .await;
    let unit = Unit::new("scans", &json!({ "step": "list" }));
    let next = with_session(&server).pull(&run(Mode::Full), &unit, &mut Recorder::default()).await.unwrap();
    assert!(matches!(next, Next::More(..)));
    assert_eq!(
        server.asked(),
        ["POST /session", "GET /scans", "POST /session", "GET /scans", "DELETE /session"]
    );
    let calls = server.calls();
    assert_eq!(
        serde_json::from_str::<Value>(&calls[0].body).unwrap(),
        json!({ "username": "jo", "password": "hunter2" })
    );
    assert_eq!(calls[3].header("x-cookie"), "token=t1");
    assert!(calls.iter().all(|call| call.header("x-apikeys").is_empty()));

    let server = serve(|call| match call.what.as_str() {
        "POST /session" => ok(json!({ "token": "t" })),
        _ => error(401, "Invalid Credentials"),
    })
    .await;
    let next = with_session(&server).pull(&run(Mode::Full), &unit, &mut Recorder::default()).await;
    assert!(matches!(next, Err(SyncError::Unauthorized { .. })), "{next:?}");
    assert_eq!(
        server.asked().iter().filter(|what| *what == "POST /session").count(),
        2,
        "once more, not for ever"
    );
}

#[tokio::test]
async fn a_token_never_shows_in_an_error() {
    for body in [r#"{"token":"s3cret-token"#, r#"{"tokens":"s3cret-token"}"#, r#"["s3cret-token"]"#] {
        let server = serve(move |_| ok(body)).await;
        let error = with_session(&server).check().await.unwrap_err();
        assert!(matches!(error, SyncError::Malformed { .. }), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("s3cret") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn streams_are_kinds_of_findings() {
    let audit = "<ReportItem port='0' protocol='tcp' severity='3' pluginID='21157'><compliance>true</compliance>\
        <cm:compliance-check-name>c</cm:compliance-check-name><cm:compliance-result>FAILED</cm:compliance-result></ReportItem>";
    let text = file(&host("10.0.0.1", &(item(1, 0, 4) + audit)));
    let kinds = async |streams: &[&str]| {
        let text = text.clone();
        let server = serve(move |call| nessus(call, &text)).await;
        let mut sink = Recorder::default();
        drive(&scanner(&server.base, streams), Mode::Full, &mut sink, |_| {}).await.unwrap();
        let (_, _, findings) = said(&sink).remove("5/10.0.0.1").unwrap();
        findings.into_values().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&[]).await, [FindingKind::Vulnerability], "audits are taken on request");
    assert_eq!(kinds(&["compliance"]).await, [FindingKind::Compliance]);
    assert_eq!(kinds(&["scans", "compliance"]).await.len(), 2);
}

#[tokio::test]
async fn of_two_results_of_one_check_the_failed_one_counts() {
    let result = |word: &str| {
        format!(
            "<ReportItem port='0' protocol='tcp' severity='3' pluginID='21157'><compliance>true</compliance>\
            <cm:compliance-check-name>c</cm:compliance-check-name><cm:compliance-result>{word}</cm:compliance-result></ReportItem>"
        )
    };
    for words in [["PASSED", "FAILED"], ["FAILED", "PASSED"]] {
        let text = file(&host("10.0.0.1", &words.map(result).concat()));
        let server = serve(move |call| nessus(call, &text)).await;
        let mut sink = Recorder::default();
        drive(&scanner(&server.base, &["compliance"]), Mode::Full, &mut sink, |_| {}).await.unwrap();
        assert_eq!(findings(&sink)[0].source_state, "FAILED", "{words:?}");
    }
}

#[tokio::test]
async fn two_targets_that_are_one_machine_are_compared_each_with_its_own_past() {
    let of = |ip: &str, items: &str| {
        host(ip, items).replace(
            "</HostProperties>",
            "<tag name=\"bios-uuid\">CE162642-CAF4-A4E1-78D4-3FF87ADDEFF2</tag></HostProperties>",
        )
    };
    let text = file(&(of("10.0.0.1", &item(1, 80, 2)) + &of("10.0.0.2", &item(2, 80, 2))));
    let server = serve(move |call| nessus(call, &text)).await;
    let (sink, _) = pulled(&server, Mode::Full).await;
    let natives: Vec<_> = said(&sink).into_keys().filter(|native| native.starts_with("5/")).collect();
    let uuid = "422616cef4cae1a478d43ff87addeff2";
    assert_eq!(natives, [format!("5/{uuid}"), format!("5/{uuid}@10.0.0.2")]);
}

#[tokio::test]
async fn pitfall_08_a_host_with_very_many_findings_is_reported_in_parts_and_closes_nothing() {
    let many: String = (0..30_000_u32).map(|n| item(10_000 + n, 0, 3)).collect();
    let long = format!(
        "<ReportItem pluginID='7' severity='2'><plugin_output>{}</plugin_output></ReportItem>",
        "é".repeat(50_000)
    );
    let text = file(&(host("10.0.0.1", &many) + &host("10.0.0.2", &long)));
    let server = serve(move |call| nessus(call, &text)).await;
    let (sink, _) = pulled(&server, Mode::Full).await;
    let parts: Vec<_> = sink.reports.iter().filter(|report| report.host.native == "5/10.0.0.1").collect();
    assert!(parts.len() > 1 && parts.iter().all(|part| part.coverage == Coverage::Part), "{}", parts.len());
    assert_eq!(parts.iter().map(|part| part.findings.len()).sum::<usize>(), 30_000);
    let (_, coverage, findings) = &said(&sink)["5/10.0.0.2"];
    assert_eq!(*coverage, Coverage::Whole);
    assert_eq!(findings["7|0|"].evidence.as_ref().unwrap().len(), 4_000);
}

#[tokio::test]
async fn the_wall_clock_of_the_server_does_not_lead_beyond_the_scan() {
    let text = file(&host("10.0.0.1", &item(1, 0, 2))).replace(
        &format!("<tag name=\"HOST_END_TIMESTAMP\">{}</tag>", ago(3_700)),
        // Sydney: eleven hours ahead.
        "<tag name=\"HOST_END\">Sun Nov 22 09:58:20 2026</tag>",
    );
    let server = serve(move |call| nessus(call, &text)).await;
    let (sink, _) = pulled(&server, Mode::Full).await;
    assert_eq!(
        said(&sink)["5/10.0.0.1"].0.last_scanned_at.unwrap().as_second(),
        ago(3_600),
        "the end of the scan"
    );
}

#[tokio::test]
async fn any_unit_may_be_worked_twice() {
    let server = serve(|call| nessus(call, &two_hosts())).await;
    let scanner = scanner(&server.base, &[]);
    let mut sink = Recorder::default();
    let mut units = scanner.plan(&run(Mode::Full)).await.unwrap();
    while let Some(unit) = units.pop() {
        let first = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap();
        let second = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap();
        match (first, second) {
            (Next::More(more, _), Next::More(again, _)) => {
                assert_eq!(more, again);
                units.extend(more);
            }
            (Next::Later(_, unit), _) => units.push(unit),
            (Next::Done(_), Next::Done(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said(&sink).len(), 3);
}

#[tokio::test]
async fn check_names_the_server_and_rights_name_what_is_closed() {
    let with = async |scans: Value| {
        let server = serve(move |call| match call.what.as_str() {
            "GET /scans" => ok(json!({ "scans": scans })),
            _ => nessus(call, ""),
        })
        .await;
        let scanner = scanner(&server.base, &["scans", "compliance"]);
        assert!(scanner.check().await.unwrap().contains("Nessus Professional 10.8.3"));
        let lines = scanner.rights(time(NOW)).await;
        assert_eq!(lines.iter().map(|line| line.what.as_str()).collect::<Vec<_>>(), ["scans", "compliance"]);
        (lines[0].outcome, lines[0].says.clone())
    };
    let (mine, draft, closed) = (
        json!({ "id": 1, "status": "completed", "user_permissions": 128 }),
        json!({ "id": 2, "status": "empty" }),
        json!({ "id": 3, "status": "completed", "user_permissions": 0 }),
    );
    assert_eq!(with(json!([mine, draft])).await, (Outcome::Good, "1 with results may be read".into()));
    let (outcome, says) = with(json!([mine, closed])).await;
    assert!(outcome == Outcome::Doubtful && says.contains("1 of 2") && says.contains("Can view"), "{says}");
    assert_eq!(with(json!([closed])).await.0, Outcome::Bad);
    assert_eq!(with(Value::Null).await.0, Outcome::Doubtful);
    let server = serve(|_| error(401, "Invalid Credentials")).await;
    assert!(matches!(scanner(&server.base, &[]).check().await, Err(SyncError::Unauthorized { .. })));
}

#[tokio::test]
async fn a_unit_that_runs_out_of_time_goes_on_from_where_it_was_stored() {
    let server = serve(|call| nessus(call, &two_hosts())).await;
    let scanner = scanner(&server.base, &[]);
    let mut sink = Recorder::default();
    let mut unit = Unit::new("scan/5", &json!({ "step": "scan", "scan": 5, "tries": 0 }));
    // Until it is about to read.
    while !server.asked().contains(&"GET /scans/5/export/500/download".to_owned()) {
        sink.room = 1;
        match scanner.pull(&run(Mode::Full), &unit, &mut sink).await {
            Ok(Next::Later(_, again)) => unit = again,
            other => assert!(matches!(other, Err(SyncError::OutOfTime)), "{other:?}"),
        }
    }
    sink.room = usize::MAX;
    let next = scanner.pull(&run(Mode::Full), &unit, &mut sink).await.unwrap();
    assert!(matches!(next, Next::Done(_)), "{next:?}");
    assert_eq!(said(&sink).len(), 2);
    assert_eq!(
        server.asked().iter().filter(|what| what.starts_with("POST")).count(),
        1,
        "the file is still there"
    );
}
