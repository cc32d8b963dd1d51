//! The scanner against a local server that answers by script.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod support;

use std::collections::BTreeSet;

use domain::{FindingState, RuleId};
use support::*;
use sync::{Coverage, Mode, Next, Run, Scanner, SyncError, Unit};

/// An estate of two pages: hosts 1, 2 and 7.
fn estate(call: &Call) -> Reply {
    let id_min: u64 = call.form("id_min").parse().unwrap_or(0);
    match call.endpoint() {
        Endpoint::Hosts if id_min == 0 => hosts_page(
            &[host_xml(1, ""), host_xml(2, "")],
            Some(&format!("{}{}?action=list&id_min=7", call.base, call.path)),
        ),
        Endpoint::Hosts => hosts_page(&[host_xml(7, "")], None),
        Endpoint::Detections if id_min == 0 => detections_page(
            &[
                host_xml(1, &detection_xml(100, "Active")),
                host_xml(2, &(detection_xml(100, "Fixed") + &detection_xml(101, "New"))),
            ],
            Some(&format!("{}{}?action=list&id_min=7", call.base, call.path)),
        ),
        Endpoint::Detections => detections_page(&[host_xml(7, &detection_xml(102, "Re-Opened"))], None),
        // 102 is not in the knowledge base.
        Endpoint::KnowledgeBase => {
            kb_page(call.form("ids").split(',').filter(|qid| !qid.is_empty() && *qid != "102"))
        }
        Endpoint::HostIds => ids_page("<ID>1</ID><ID_RANGE>2-7</ID_RANGE>"),
        Endpoint::Groups => groups_page(&[]),
        Endpoint::Tags => search_page("", None),
        Endpoint::Assets => search_page(&(asset_xml(71, 1) + "<HostAsset><id>72</id></HostAsset>"), None),
        Endpoint::Policies => policies_page(&[]),
        Endpoint::Posture => posture_page(&[], &[], None),
        Endpoint::Auth => Reply { status: 201, ..ok("eyJh.eyJz.c2ln") },
        Endpoint::GlobalAssets => Reply { status: 403, ..ok("{}") },
        Endpoint::About => {
            ok("<ABOUT><API-VERSION MAJOR=\"1\" MINOR=\"0\"/><WEB-VERSION>10.30.1</WEB-VERSION></ABOUT>")
        }
    }
}

#[tokio::test]
async fn a_full_run_reads_every_page_once_and_none_behind_the_last() {
    let server = serve(estate).await;
    let mut sink = Recorder::default();
    let run = full_run();
    let scanner = scanner(&server, &[]);
    let done = drive(&scanner, &run, &mut sink).await.unwrap();

    let hosts: Vec<_> = sink.inventory.iter().map(|h| h.native.as_str()).collect();
    assert_eq!(hosts, ["1", "2", "7"]);
    let states: Vec<_> = sink.reports.iter().flat_map(|r| r.findings.iter().map(|f| f.state)).collect();
    assert_eq!(states, [FindingState::Open, FindingState::Fixed, FindingState::Open, FindingState::Reopened]);
    assert!(sink.reports.iter().all(|r| r.coverage == Coverage::Whole));
    assert_eq!(sink.rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["100", "101"]);
    assert_eq!(sink.undefined, BTreeSet::from([RuleId::new("102")]));
    assert!(sink.refused.is_empty());
    assert_eq!(
        sink.rescored,
        ["detections/0", "detections/7"],
        "whoever waited for definitions is looked at again"
    );

    let ids: Vec<_> = done
        .iter()
        .map(|(id, proof)| (id.split_inclusive('/').take(2).collect::<String>(), proof.received))
        .collect();
    let expected = [
        ("hosts/0", 2),
        ("hosts/7", 1),
        ("detections/0", 3),
        ("kb/detections-0/", 2),
        ("detections/7", 1),
        ("kb/detections-7/", 0),
        ("host-assets/0", 2),
        ("host-ids/0", 7),
    ];
    assert_eq!(ids, expected.map(|(id, n)| (id.to_owned(), n)));
    // For each page of hosts the directory of groups and tags is read as well.
    assert_eq!(server.calls().len(), 12);
    assert_eq!(sink.existing.join(","), "1,2,3,4,5,6,7");
    let supplements: Vec<_> = sink.supplements.iter().map(|host| host.native.as_str()).collect();
    assert_eq!(supplements, ["1"], "an asset that was never scanned has no place in the host list");
    assert_eq!(sink.supplements[0].software[0].name, "sudo");
}

#[tokio::test]
async fn requests_are_what_qualys_wants() {
    let server = serve(estate).await;
    drive(&scanner(&server, &[]), &full_run(), &mut Recorder::default()).await.unwrap();
    let calls = server.calls();
    for call in &calls {
        assert_eq!(call.method, "POST", "{}", call.path);
        assert_eq!(call.header("x-requested-with"), "vulnrelay");
        assert_eq!(call.header("authorization"), "Basic dXNlcjpzZWNyZXQ=");
        assert!(call.form("action") == "list" || call.body.starts_with("<ServiceRequest>"), "{}", call.body);
        assert!(call.query.is_empty());
    }
    let detections = calls.iter().find(|call| call.endpoint() == Endpoint::Detections).unwrap();
    for (key, value) in [
        ("status", "New,Active,Re-Opened,Fixed"),
        ("show_qds", "1"),
        ("show_qds_factors", "1"),
        ("show_results", "1"),
        ("show_igs", "0"),
        ("show_reopened_info", "1"),
        ("truncation_limit", "500"),
        ("vm_processed_after", ""),
    ] {
        assert_eq!(detections.form(key), value, "{key}");
    }
}

#[tokio::test]
async fn a_full_run_too_asks_for_changed_definitions_a_week_of_them_at_once() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::KnowledgeBase if call.form("details") == "All" && call.form("ids").is_empty() => {
            kb_page(["100"].into_iter())
        }
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let run = sync::Run { changes_since: Some(time("2026-11-02T00:00:00Z")), ..full_run() };
    drive(&scanner(&server, &[]), &run, &mut sink).await.unwrap();
    let asked: Vec<_> = server
        .calls()
        .iter()
        .map(|call| {
            (call.form("last_modified_after").to_owned(), call.form("last_modified_before").to_owned())
        })
        .filter(|(after, _)| !after.is_empty())
        .collect();
    let spans = [
        ("2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z"),
        ("2026-11-08T23:59:59Z", "2026-11-15T23:59:59Z"),
        ("2026-11-15T23:59:58Z", ""),
    ];
    assert_eq!(asked, spans.map(|(after, before)| (after.to_owned(), before.to_owned())));
}

#[tokio::test]
async fn an_incremental_run_asks_for_changes_and_refreshes_used_definitions() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::KnowledgeBase => kb_page(["100", "555"].into_iter()),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder { known: ["100", "101", "102"].map(RuleId::new).into(), ..Recorder::default() };
    let run = run(Mode::Incremental { since: time("2026-11-21T22:00:00.5Z") });
    let done = drive(&scanner(&server, &[]), &run, &mut sink).await.unwrap();
    assert_eq!(
        sink.rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
        ["100"],
        "555 is used by nobody"
    );
    assert!(done.iter().any(|(id, proof)| id == "changed/0" && proof.received == 2));
    for call in server.calls() {
        let field = match call.endpoint() {
            Endpoint::KnowledgeBase => "last_modified_after",
            Endpoint::Hosts | Endpoint::Detections => "vm_processed_after",
            Endpoint::Assets => {
                assert!(call.body.contains("field=\"updated\" operator=\"GREATER\">2026-11-21T22:00:00Z<"));
                continue;
            }
            Endpoint::Groups | Endpoint::Tags => continue,
            other => panic!("{other:?} belongs to full passes"),
        };
        assert_eq!(call.form(field), "2026-11-21T22:00:00Z");
    }
}

#[tokio::test]
async fn nothing_is_an_answer() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Hosts | Endpoint::HostIds => empty("HOST_LIST_OUTPUT"),
        Endpoint::Groups => empty("ASSET_GROUP_LIST_OUTPUT"),
        Endpoint::Tags | Endpoint::Assets => search_page("", None),
        _ => empty("HOST_LIST_VM_DETECTION_OUTPUT"),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &[]), &full_run(), &mut sink).await.unwrap();
    assert_eq!(done.len(), 4);
    assert!(done.iter().all(|(_, proof)| proof.received == 0 && proof.missing.is_none()));
    assert!(sink.reports.is_empty() && sink.inventory.is_empty());
}

#[tokio::test]
async fn streams_that_are_not_pulled_are_not_asked_for() {
    let server = serve(estate).await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, &["host_detections"]), &full_run(), &mut sink).await.unwrap();
    let asked = |server: &Server| server.calls().iter().map(Call::endpoint).collect::<Vec<_>>();
    assert_eq!(asked(&server), [Endpoint::Detections, Endpoint::Detections, Endpoint::HostIds]);
    assert_eq!(sink.undefined.len(), 3, "nobody has to wait for definitions");

    let server = serve(estate).await;
    drive(&scanner(&server, &["asset_inventory"]), &full_run(), &mut Recorder::default()).await.unwrap();
    assert_eq!(asked(&server), [Endpoint::Hosts, Endpoint::Hosts, Endpoint::Assets, Endpoint::HostIds]);
}

async fn first_answer(
    reply: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) -> (Recorder, Result<Next, SyncError>) {
    let server = serve(reply).await;
    let mut sink = Recorder::default();
    let unit = Unit::new("detections/0", &serde_json::json!({"ask": "detections", "id_min": 0}));
    let next = scanner(&server, &[]).pull(&full_run(), &unit, &mut sink).await;
    (sink, next)
}

#[tokio::test]
async fn pitfall_11_limits_send_the_unit_back_with_their_time_and_nobody_sleeps() {
    let wait = |seconds: i64| time(NOW) + jiff::SignedDuration::from_secs(seconds);
    let item = |key: &str, value: &str| format!("<ITEM><KEY>{key}</KEY><VALUE>{value}</VALUE></ITEM>");
    let rate = words(409, 1965, "rate", &item("SECONDS_TO_WAIT", "7200"));
    let by_header = words(409, 1965, "rate", "").with("x-ratelimit-towait-sec", "90");
    let running = words(409, 1960, "concurrency", &item("CALLS_TO_FINISH", "1"));
    let gateway = Reply { status: 429, ..ok("<html>") };
    let by_date = gateway.clone().with("retry-after", "Sun, 22 Nov 2026 00:00:40 GMT");
    let both = gateway.clone().with("retry-after", "30").with("x-ratelimit-towait-sec", "90");
    let maintenance = words(503, 1999, "Maintenance", "").with("retry-after", "600");
    for (reply, until) in [
        (rate, wait(7200)),
        (by_header, wait(90)),
        (running, wait(60)),
        (gateway.with("retry-after", "30"), wait(30)),
        (by_date, wait(40)),
        (both, wait(90)),
        (maintenance, wait(600)),
    ] {
        let began = std::time::Instant::now();
        let (_, next) = first_answer(move |_| reply.clone()).await;
        let Ok(Next::Later(at, unit)) = next else { panic!("{next:?}") };
        assert_eq!((at, unit.id.as_str()), (until, "detections/0"));
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "nothing sleeps on a limit");
    }
}

#[tokio::test]
async fn a_used_up_limit_delays_the_next_page_of_the_same_api() {
    let server =
        serve(|call| estate(call).with("x-ratelimit-remaining", "0").with("x-ratelimit-towait-sec", "120"))
            .await;
    let scanner = scanner(&server, &[]);
    let mut sink = Recorder::default();
    let first = scanner.plan(&full_run()).await.unwrap().remove(0);
    let Next::More(next, _) = scanner.pull(&full_run(), &first, &mut sink).await.unwrap() else { panic!() };
    assert_eq!(next[0].id, "hosts/7");
    let calls = server.calls().len();
    let later = scanner.pull(&full_run(), &next[0], &mut sink).await.unwrap();
    assert_eq!(later, Next::Later(time("2026-11-22T00:02:00Z"), next[0].clone()));
    assert_eq!(server.calls().len(), calls, "nothing was asked");
    sink.now = time("2026-11-22T00:02:00Z");
    assert!(matches!(scanner.pull(&full_run(), &next[0], &mut sink).await.unwrap(), Next::More(..)));
}

#[tokio::test]
async fn the_host_list_is_not_asked_for_a_heavy_host_before_there_is_room() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Detections if call.form("id_min").is_empty() => Reply { status: 504, ..ok("") },
        Endpoint::HostIds => {
            ids_page("<ID>3</ID>").with("x-ratelimit-remaining", "0").with("x-ratelimit-towait-sec", "7200")
        }
        _ => estate(call),
    })
    .await;
    let asked = || server.calls().iter().filter(|call| call.endpoint() == Endpoint::HostIds).count();
    let scanner = scanner(&server, &["host_detections"]);
    let job = |used_up| {
        let work = serde_json::json!({
            "ask": "detections", "id_min": 0, "size": 1, "failures": 2, "used_up": used_up
        });
        Unit::new("detections/0", &work)
    };
    let mut sink = Recorder::default();
    let until = "2026-11-22T01:00:00Z";
    let used_up = job(serde_json::json!({ "host_list": until }));
    let next = scanner.pull(&full_run(), &used_up, &mut sink).await.unwrap();
    assert!(matches!(&next, Next::Later(at, unit) if (*at, &*unit.id) == (time(until), "detections/0")));
    assert_eq!((asked(), sink.refused.len()), (0, 0));

    let next = scanner.pull(&full_run(), &job(serde_json::json!({})), &mut sink).await.unwrap();
    let Next::More(units, _) = next else { panic!("{next:?}") };
    assert_eq!((asked(), sink.refused.len(), units[0].id.as_str()), (1, 1, "detections/4"));
    assert_eq!(units[0].work["used_up"], serde_json::json!({ "host_list": "2026-11-22T02:00:00Z" }));
}

#[tokio::test]
async fn wrong_credentials_are_told_from_refused_questions() {
    for reply in [
        words(200, 2001, "Your account has expired.", ""),
        words(401, 2000, "Bad Login/Password", ""),
        Reply { status: 401, ..ok("") },
        words(200, 2012, "User license is not authorized to run this API.", ""),
    ] {
        let (_, next) = first_answer(move |_| reply.clone()).await;
        assert!(matches!(next, Err(SyncError::Unauthorized { .. })), "{next:?}");
    }
    let (_, next) = first_answer(|_| words(400, 1905, "parameter id_min has invalid value", "")).await;
    let Err(SyncError::Refused { status: 400, detail, .. }) = next else { panic!("{next:?}") };
    assert_eq!(detail, "code 1905: parameter id_min has invalid value");
    for reply in [words(200, 999, "Internal error", ""), words(503, 1999, "Maintenance", "")] {
        let (_, next) = first_answer(move |_| reply.clone()).await;
        assert!(matches!(next, Err(SyncError::Refused { status: 503, .. })), "{next:?}");
    }
}

#[tokio::test]
async fn pitfall_13_html_instead_of_data_is_an_error_not_an_end() {
    for body in [
        "<!DOCTYPE html><html><body>Scheduled maintenance<br></body></html>",
        "",
        "Service unavailable",
        "<OTHER/>",
    ] {
        let (_, next) = first_answer(move |_| ok(body)).await;
        assert!(matches!(next, Err(SyncError::Malformed { .. })), "{body}: {next:?}");
    }
}

#[tokio::test]
async fn pitfall_09_a_page_that_does_not_end_keeps_its_whole_hosts_and_is_asked_for_with_fewer() {
    let whole = detections_page(&[host_xml(1, &detection_xml(1, "New")), host_xml(2, "")], None).body;
    let cut = whole[..whole.find("<ID>2").unwrap()].to_owned();
    for reply in [ok(&cut), Reply { status: 504, ..ok("<html>Gateway Time-out</html>") }] {
        let is_cut = reply.status == 200;
        let (sink, next) = first_answer(move |_| reply.clone()).await;
        let Ok(Next::Later(_, unit)) = next else { panic!("{next:?}") };
        assert_eq!((unit.id.as_str(), &unit.work["size"]), ("detections/0", &serde_json::json!(125)));
        assert_eq!(sink.reports.len(), usize::from(is_cut));
    }
}

#[tokio::test]
async fn pitfall_09_the_cheapest_question_proves_the_connection() {
    let server = serve(estate).await;
    scanner(&server, &[]).check().await.unwrap();
    let paths: Vec<_> = server.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths, ["/msp/about.php"]);
}

#[tokio::test]
async fn pitfall_10_one_heavy_host_is_skipped_and_counted_and_does_not_hold_up_the_others() {
    let id_min = |call: &Call| call.form("id_min").parse::<u64>().unwrap_or(0);
    let server = serve(move |call| match call.endpoint() {
        // Whatever page holds host 3 is cut off.
        Endpoint::Detections => {
            let size: usize = call.form("truncation_limit").parse().unwrap();
            let from = id_min(call).max(1);
            let hosts: Vec<u64> = (from..=6).take(size).collect();
            if hosts.contains(&3) {
                return Reply { status: 504, ..ok("") };
            }
            let next = hosts.last().filter(|last| **last < 6).map(|last| last + 1);
            let url = next.map(|next| format!("{}{}?id_min={next}", call.base, call.path));
            let hosts: Vec<_> = hosts.iter().map(|id| host_xml(*id, &detection_xml(100, "New"))).collect();
            detections_page(&hosts, url.as_deref())
        }
        Endpoint::HostIds => {
            ids_page(&(id_min(call).max(1)..=6).map(|id| format!("<ID>{id}</ID>")).collect::<String>())
        }
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &["host_detections"]), &full_run(), &mut sink).await.unwrap();
    let hosts: BTreeSet<_> = sink.reports.iter().map(|report| report.host.native.as_str()).collect();
    assert_eq!(hosts, BTreeSet::from(["1", "2", "4", "5", "6"]));
    assert!(matches!(&sink.refused[..], [bad] if bad.problem.contains("host 3")), "{:?}", sink.refused);
    assert!(
        done.iter().all(|(_, proof)| proof.missing.is_none()),
        "one odd host makes no run incomplete: {done:?}"
    );
    assert!(sink.existing.contains(&"3".to_owned()), "it is not taken for purged");

    // If nothing can be had, that is no odd host.
    let server = serve(|call| match call.endpoint() {
        Endpoint::Detections => Reply { status: 504, ..ok("") },
        Endpoint::HostIds => {
            let from = call.form("id_min").parse::<u64>().unwrap_or(1);
            ids_page(&(from..=6).map(|id| format!("<ID>{id}</ID>")).collect::<String>())
        }
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let outcome = drive(&scanner(&server, &["host_detections"]), &full_run(), &mut sink).await;
    assert!(matches!(outcome, Err(SyncError::Refused { status: 504, .. })), "{outcome:?}");
    assert_eq!(sink.refused.len(), 3);
}

#[tokio::test]
async fn an_incremental_run_skips_a_heavy_host_of_those_that_changed() {
    // Hosts 3 and 4 have changed, and 3 cannot be had.
    let from = |call: &Call| call.form("id_min").parse::<u64>().unwrap_or(0).max(1);
    let changed = |call: &Call, id: &u64| call.form("vm_processed_after").is_empty() || *id >= 3;
    let server = serve(move |call| match call.endpoint() {
        Endpoint::Detections => {
            let size: usize = call.form("truncation_limit").parse().unwrap();
            let hosts: Vec<u64> = (from(call)..=4).filter(|id| changed(call, id)).take(size).collect();
            if hosts.contains(&3) {
                return Reply { status: 504, ..ok("") };
            }
            let hosts: Vec<_> = hosts.iter().map(|id| host_xml(*id, &detection_xml(100, "New"))).collect();
            detections_page(&hosts, None)
        }
        Endpoint::HostIds => {
            let ids = (from(call)..=4).filter(|id| changed(call, id));
            ids_page(&ids.map(|id| format!("<ID>{id}</ID>")).collect::<String>())
        }
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let since = time("2026-11-21T00:00:00Z");
    let run = Run { mode: Mode::Incremental { since }, ..full_run() };
    drive(&scanner(&server, &["host_detections"]), &run, &mut sink).await.unwrap();
    let hosts: Vec<_> = sink.reports.iter().map(|report| report.host.native.as_str()).collect();
    assert_eq!(hosts, ["4"]);
    assert!(matches!(&sink.refused[..], [bad] if bad.problem.contains("host 3")), "{:?}", sink.refused);
}

#[tokio::test]
async fn a_refused_detection_takes_the_proof_of_absence_with_it() {
    let bad = detection_xml(1, "New") + "<DETECTION><QID>x</QID></DETECTION>";
    let (sink, next) =
        first_answer(move |_| detections_page(&[host_xml(1, &bad), host_xml(2, "")], None)).await;
    let Ok(Next::More(_, proof)) = next else { panic!("{next:?}") };
    assert_eq!((sink.refused.len(), proof.received), (1, 2));
    assert_eq!(
        sink.reports.iter().map(|r| r.coverage.clone()).collect::<Vec<_>>(),
        [Coverage::Part, Coverage::Whole]
    );
}

#[tokio::test]
async fn only_the_id_of_a_link_is_used_and_only_on_our_host() {
    let evil = serve(estate).await;
    let link = format!("{}/api/2.0/fo/asset/host/vm/detection/?id_min=9", evil.base);
    for link in [link, String::new(), "/api?id_min=0".into(), "/api?id_min=-1".into(), "/api".into()] {
        let shown = link.clone();
        let (_, next) = first_answer(move |_| detections_page(&[], Some(&link))).await;
        assert!(matches!(next, Err(SyncError::Malformed { .. })), "{shown}: {next:?}");
    }
    assert!(evil.calls().is_empty(), "no request, and no credential, went to another host");
}

#[tokio::test]
async fn a_closed_knowledge_base_leaves_findings_without_texts() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::KnowledgeBase => words(200, 2012, "User license is not authorized to run this API.", ""),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &[]), &full_run(), &mut sink).await.unwrap();
    assert_eq!(sink.undefined.len(), 3);
    let missing: Vec<_> = done.iter().filter_map(|(_, proof)| proof.missing.as_deref()).collect();
    assert!(missing.iter().all(|text| text.contains("have Qualys enable")) && !missing.is_empty());
}

#[tokio::test]
async fn pitfall_12_many_rules_are_asked_in_a_body_and_in_batches_with_stable_names() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Detections => detections_page(
            &[host_xml(1, &(0..650).map(|q| detection_xml(1000 + q, "New")).collect::<String>())],
            None,
        ),
        _ => estate(call),
    })
    .await;
    let scanner = scanner(&server, &["host_detections", "knowledge_base"]);
    let mut sink = Recorder::default();
    let unit = scanner.plan(&full_run()).await.unwrap().remove(0);
    let Next::More(mut units, _) = scanner.pull(&full_run(), &unit, &mut sink).await.unwrap() else {
        panic!()
    };
    let Next::More(again, _) = scanner.pull(&full_run(), &unit, &mut sink).await.unwrap() else { panic!() };
    assert_eq!(units, again);
    let first = units[0].clone();
    let mut batches = 0;
    while let Some(unit) = units.pop() {
        batches += 1;
        if let Next::More(more, _) = scanner.pull(&full_run(), &unit, &mut sink).await.unwrap() {
            assert!(sink.rescored.is_empty(), "hosts wait for all definitions of their page");
            units.extend(more);
        }
    }
    assert_eq!((batches, sink.rules.len()), (3, 650));
    assert_eq!(sink.rescored, ["detections/0"]);
    let asked = server.calls();
    assert!(asked.iter().all(|call| call.query.is_empty() && call.form("ids").split(',').count() <= 300));
    // Worked again, a batch that is known costs no request.
    scanner.pull(&full_run(), &first, &mut sink).await.unwrap();
    assert_eq!(server.calls().len(), asked.len());
}

#[tokio::test]
async fn any_unit_may_be_worked_twice() {
    let server = serve(estate).await;
    let scanner = scanner(&server, &[]);
    let mut sink = Recorder::default();
    let mut units = scanner.plan(&full_run()).await.unwrap();
    while let Some(unit) = units.pop() {
        let first = scanner.pull(&full_run(), &unit, &mut sink).await.unwrap();
        let stored: Unit = serde_json::from_str(&serde_json::to_string(&unit).unwrap()).unwrap();
        let second = scanner.pull(&full_run(), &stored, &mut sink).await.unwrap();
        let ids = |next: &Next| match next {
            Next::More(units, _) => units.iter().map(|u| u.id.clone()).collect(),
            _ => vec![],
        };
        assert_eq!(ids(&first), ids(&second));
        if let Next::More(more, _) = first {
            units.extend(more);
        }
    }
}

#[tokio::test]
async fn check_proves_address_and_credentials() {
    let server = serve(estate).await;
    let line = scanner(&server, &[]).check().await.unwrap();
    assert!(line.contains("10.30.1"), "{line}");
    assert_eq!(server.calls()[0].path, "/msp/about.php");
    let server = serve(|_| Reply { status: 401, ..ok("") }).await;
    assert!(matches!(scanner(&server, &[]).check().await, Err(SyncError::Unauthorized { .. })));
    let server = serve(|_| ok("<html>Login</html>")).await;
    assert!(matches!(scanner(&server, &[]).check().await, Err(SyncError::Malformed { .. })));
}
