//! The APIs beside hosts and detections: the gateway, asset management, groups and tags, compliance, versions.

#![allow(clippy::unwrap_used)] // helpers of tests panic like tests

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::Outcome::{Bad, Doubtful, Good, Unknown};
use domain::host::Software;
use domain::{FindingKind, FindingState, Tag};
use support::*;
use sync::{Coverage, Mode, Next, Scanner, SyncError};

/// An estate of host 1 without findings.
fn estate(call: &Call) -> Reply {
    match call.endpoint() {
        Endpoint::Hosts => hosts_page(&[host_xml(1, "")], None),
        Endpoint::HostIds => ids_page("<ID>1</ID>"),
        Endpoint::Detections => detections_page(&[], None),
        Endpoint::KnowledgeBase => kb_page(std::iter::empty()),
        Endpoint::Groups => groups_page(&[]),
        Endpoint::Tags => search_page("", None),
        Endpoint::Assets => search_page(&asset_xml(71, 1), None),
        Endpoint::Policies => policies_page(&[(7, "CIS")]),
        Endpoint::Posture => posture_page(&[], &[], None),
        Endpoint::Auth => Reply { status: 201, ..ok("eyJh.eyJz.c2ln") },
        Endpoint::GlobalAssets => ok(&global_assets(&[(9, 1)], None)),
        Endpoint::About => ok("<ABOUT/>"),
    }
}

fn global_assets(assets: &[(u64, u64)], next: Option<u64>) -> String {
    let assets: Vec<_> = assets
        .iter()
        .map(|(asset, host)| {
            format!(
                "{{\"assetId\":{asset},\"hostId\":{host},\"softwareListData\":{{\"software\":[{{\"productName\":\"sudo\"}}]}}}}"
            )
        })
        .collect();
    format!(
        "{{\"responseCode\":\"SUCCESS\",\"assetListData\":{{\"asset\":[{}]}},\"hasMore\":{},\"lastSeenAssetId\":{}}}",
        assets.join(","),
        u8::from(next.is_some()),
        next.unwrap_or(0)
    )
}

fn asked(server: &Server, endpoint: Endpoint) -> Vec<Call> {
    server.calls().into_iter().filter(|call| call.endpoint() == endpoint).collect()
}

#[tokio::test]
async fn the_gateway_gives_a_token_for_user_and_password_and_assets_for_the_token() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::GlobalAssets if call.query.contains("lastSeenAssetId=9") => {
            ok(&global_assets(&[(10, 2)], None))
        }
        Endpoint::GlobalAssets => ok(&global_assets(&[(9, 1)], Some(9))),
        _ => estate(call),
    })
    .await;
    let gateway = format!("{}/gateway", server.base);
    let mut sink = Recorder::default();
    drive(&scanner_with_gateway(&server, &gateway, &["asset_inventory"]), &full_run(), &mut sink)
        .await
        .unwrap();
    let auth = &asked(&server, Endpoint::Auth)[0];
    assert_eq!(
        (auth.form("username"), auth.form("password"), auth.form("token")),
        ("user", "secret", "true")
    );
    assert_eq!(auth.header("authorization"), "", "nothing but the form");
    let pages = asked(&server, Endpoint::GlobalAssets);
    assert_eq!(pages.len(), 2);
    assert!(pages.iter().all(|call| call.header("authorization") == "Bearer eyJh.eyJz.c2ln"));
    assert!(pages[0].query.contains("pageSize=300"));
    let natives: Vec<_> = sink.supplements.iter().map(|host| host.native.as_str()).collect();
    assert_eq!(natives, ["1", "2"]);
    assert_eq!(
        sink.supplements[0].software,
        [Software { name: "sudo".into(), version: None, publisher: None }]
    );
    assert!(asked(&server, Endpoint::Assets).is_empty(), "the asset search has no more than that");
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_when_it_is_refused() {
    static TOKENS: AtomicUsize = AtomicUsize::new(0);
    let server = serve(|call| match call.endpoint() {
        Endpoint::Auth => {
            let n = TOKENS.fetch_add(1, Ordering::SeqCst);
            Reply { status: 201, ..ok(&format!("a.b.{n}")) }
        }
        // The first token is not taken.
        Endpoint::GlobalAssets if call.header("authorization") == "Bearer a.b.0" => {
            Reply { status: 401, ..ok("{}") }
        }
        _ => estate(call),
    })
    .await;
    let scanner = scanner_with_gateway(&server, &format!("{}/gateway", server.base), &["asset_inventory"]);
    let mut sink = Recorder::default();
    let unit = sync::Unit::new("global-assets/0", &serde_json::json!({"ask": "global_assets", "after": 0}));
    for (hours, tokens) in [(0, 2), (3, 2), (4, 3)] {
        sink.now = time(NOW) + jiff::SignedDuration::from_hours(hours);
        assert!(matches!(scanner.pull(&full_run(), &unit, &mut sink).await.unwrap(), Next::Done(_)));
        assert_eq!(TOKENS.load(Ordering::SeqCst), tokens, "after {hours} hours");
    }
    // A token that is refused again and again is an end, not a loop.
    let server = serve(|call| match call.endpoint() {
        Endpoint::GlobalAssets => Reply { status: 401, ..ok("{}") },
        _ => estate(call),
    })
    .await;
    let scanner = scanner_with_gateway(&server, &format!("{}/gateway", server.base), &["asset_inventory"]);
    let Next::More(more, _) = scanner.pull(&full_run(), &unit, &mut Recorder::default()).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(more[0].id, "host-assets/0", "the API decides about the credentials");
    assert_eq!(asked(&server, Endpoint::GlobalAssets).len(), 2);
}

#[tokio::test]
async fn pitfall_14_without_csam_the_asset_search_is_asked() {
    for refusal in [
        Reply { status: 403, ..ok("{\"message\":\"not subscribed\"}") },
        Reply { status: 404, ..ok("") },
        ok("{\"responseCode\":\"FAILED\",\"responseMessage\":\"Module is not enabled\",\"count\":0}"),
    ] {
        let server = serve(move |call| match call.endpoint() {
            Endpoint::GlobalAssets => refusal.clone(),
            _ => estate(call),
        })
        .await;
        let scanner =
            scanner_with_gateway(&server, &format!("{}/gateway", server.base), &["asset_inventory"]);
        let mut sink = Recorder::default();
        let done = drive(&scanner, &full_run(), &mut sink).await.unwrap();
        assert!(done.iter().all(|(_, proof)| proof.missing.is_none()), "{done:?}");
        assert_eq!(sink.supplements.len(), 1);
        assert_eq!(asked(&server, Endpoint::Assets).len(), 1);
    }
}

#[tokio::test]
async fn pitfall_14_the_gateway_may_refuse_without_saying_for_how_long() {
    let wait = |seconds: i64| time(NOW) + jiff::SignedDuration::from_secs(seconds);
    let plain = Reply { status: 429, ..ok("") };
    let maintenance = Reply { status: 503, ..ok("<html>") }.with("retry-after", "600");
    for (reply, until) in [
        (plain.clone(), wait(300)),
        (plain.clone().with("x-ratelimit-towait-sec", "70"), wait(70)),
        (plain.with("retry-after", "Sun, 22 Nov 2026 00:00:40 GMT"), wait(40)),
        (maintenance, wait(600)),
    ] {
        let server = serve(move |call| match call.endpoint() {
            Endpoint::GlobalAssets => reply.clone(),
            _ => estate(call),
        })
        .await;
        let scanner =
            scanner_with_gateway(&server, &format!("{}/gateway", server.base), &["asset_inventory"]);
        let unit =
            sync::Unit::new("global-assets/0", &serde_json::json!({"ask": "global_assets", "after": 0}));
        let next = scanner.pull(&full_run(), &unit, &mut Recorder::default()).await.unwrap();
        assert!(matches!(next, Next::Later(at, _) if at == until), "{next:?}");
    }
}

#[tokio::test]
async fn credentials_and_tokens_go_to_the_two_configured_hosts_only() {
    let evil = serve(estate).await;
    let link = evil.base.clone();
    // Links, redirects and the addresses of next pages point to another host.
    let server = serve(move |call| {
        let away = format!("{link}{}?id_min=99", call.path);
        match call.endpoint() {
            Endpoint::Hosts => hosts_page(&[host_xml(1, "")], Some(&away)),
            Endpoint::Detections => detections_page(&[], Some(&away)),
            Endpoint::Posture => posture_page(&[], &[], Some(&away)),
            Endpoint::About | Endpoint::Auth | Endpoint::GlobalAssets => {
                Reply { status: 307, ..ok("") }.with("location", &away)
            }
            _ => Reply { status: 302, ..ok("") }.with("location", &away),
        }
    })
    .await;
    let scanner = scanner_with_gateway(&server, &format!("{}/gateway", server.base), &[]);
    let asks = [
        serde_json::json!({"ask": "hosts", "id_min": 0}),
        serde_json::json!({"ask": "detections", "id_min": 0}),
        serde_json::json!({"ask": "definitions", "page": 0, "batch": 0, "qids": ["1"]}),
        serde_json::json!({"ask": "host_ids", "id_min": 0}),
        serde_json::json!({"ask": "host_assets", "after": 0}),
        serde_json::json!({"ask": "global_assets", "after": 0}),
        serde_json::json!({"ask": "policies", "id_min": 0}),
        serde_json::json!({"ask": "posture", "id_min": 0, "policies": [{"id": 7}]}),
    ];
    for ask in asks {
        let unit = sync::Unit::new("u", &ask);
        let outcome = scanner.pull(&full_run(), &unit, &mut Recorder::default()).await;
        let fails = match &outcome {
            // What only adds to hosts is left out then.
            Ok(Next::Done(_)) if ask["ask"] == "host_assets" => true,
            Ok(Next::Done(proof) | Next::More(_, proof)) => proof.missing.is_some(),
            Ok(Next::Later(..)) => false,
            Err(_) => true,
        };
        assert!(fails, "{ask}: {outcome:?}");
    }
    assert!(scanner.check().await.is_err());
    assert!(evil.calls().is_empty(), "{:?}", evil.calls());
}

#[tokio::test]
async fn another_gateway_than_the_platforms_gets_no_password() {
    let connector = domain::policy::Connector {
        gateway_url: Some("https://gateway.evil.example".into()),
        ..connector("https://qualysapi.qualys.com", &[], 10)
    };
    let http = http("https://qualysapi.qualys.com");
    let login = (secrecy::SecretString::from("u"), secrecy::SecretString::from("p"));
    let error = sync_qualys::QualysScanner::new(&connector, http, Some(login)).err().unwrap();
    assert!(
        matches!(&error, SyncError::Config { field, .. } if field == "qualys-test.gateway_url"),
        "{error}"
    );
}

#[tokio::test]
async fn groups_and_the_criticality_of_tags_complete_the_hosts() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Hosts => hosts_page(
            &["<HOST><ID>1</ID><TAGS><TAG><TAG_ID>5</TAG_ID><NAME>env=prod</NAME></TAG></TAGS><ASSET_GROUP_IDS>7,8\
               </ASSET_GROUP_IDS></HOST><HOST><ID>2</ID><ASSET_CRITICALITY_SCORE>2</ASSET_CRITICALITY_SCORE><TAGS><TAG>\
               <TAG_ID>5</TAG_ID><NAME>env=prod</NAME></TAG></TAGS></HOST>"
                .to_owned()],
            None,
        ),
        Endpoint::Groups => groups_page(&[(7, "DMZ"), (9, "Other")]),
        Endpoint::Tags if call.body.contains(">0<") => search_page("<Tag><id>4</id></Tag>", Some(4)),
        Endpoint::Tags => search_page("<Tag><id>5</id><criticalityScore>4</criticalityScore></Tag>", None),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    drive(&scanner(&server, &["tags"]), &full_run(), &mut sink).await.unwrap();
    let [one, two] = &sink.inventory[..] else { panic!("{:?}", sink.inventory) };
    assert!(one.tags.contains(&Tag { key: "asset_group".into(), value: "DMZ".into() }), "{:?}", one.tags);
    assert_eq!(one.tags.len(), 2, "a group without a name is none");
    assert_eq!((one.criticality, two.criticality), (Some(4), Some(2)), "the host's own rating counts");
    assert_eq!(asked(&server, Endpoint::Hosts)[0].form("details"), "All/AGs");
    assert!(asked(&server, Endpoint::Detections).is_empty() && asked(&server, Endpoint::Assets).is_empty());
}

#[tokio::test]
async fn tags_that_are_not_open_make_the_run_incomplete_and_lose_no_host() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Groups => words(403, 2012, "User license is not authorized to run this API.", ""),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &["tags"]), &full_run(), &mut sink).await.unwrap();
    assert_eq!(sink.inventory.len(), 1);
    assert!(done[0].1.missing.as_deref().is_some_and(|text| text.contains("leave tags")), "{done:?}");
    // Nobody has named them: then they are welcome, not owed.
    let done = drive(&scanner(&server, &[]), &full_run(), &mut Recorder::default()).await.unwrap();
    assert!(done.iter().all(|(_, proof)| proof.missing.is_none()), "{done:?}");
}

#[tokio::test]
async fn asset_groups_are_named_without_the_right_to_tagging() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Hosts => {
            hosts_page(&["<HOST><ID>1</ID><ASSET_GROUP_IDS>7</ASSET_GROUP_IDS></HOST>".to_owned()], None)
        }
        Endpoint::Groups => groups_page(&[(7, "DMZ")]),
        Endpoint::Tags => words(403, 2012, "User license is not authorized to run this API.", ""),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &["tags"]), &full_run(), &mut sink).await.unwrap();
    assert_eq!(sink.inventory[0].tags, [Tag { key: "asset_group".into(), value: "DMZ".into() }]);
    assert!(done[0].1.missing.is_some(), "{done:?}");
}

#[tokio::test]
async fn compliance_is_pulled_on_request_policy_by_policy() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Policies => policies_page(&[(7, "CIS"), (8, "Own")]),
        Endpoint::Posture if call.form("policy_id") == "8" => words(400, 1905, "policy is inactive", ""),
        Endpoint::Posture if call.form("id_min") == "50" => {
            posture_page(&[posture_xml(2, 1071, "Passed"), posture_xml(2, 9, "Error")], &[1071], None)
        }
        Endpoint::Posture => posture_page(
            &[
                posture_xml(1, 1071, "Failed"),
                posture_xml(1, 1072, "Failed"),
                "<INFO><ID>x</ID></INFO>".into(),
            ],
            &[1071],
            Some(&format!("{}{}?action=list&policy_id=7&id_min=50", call.base, call.path)),
        ),
        _ => estate(call),
    })
    .await;
    let mut sink = Recorder::default();
    let done = drive(&scanner(&server, &["compliance_posture"]), &full_run(), &mut sink).await.unwrap();
    let findings: Vec<_> = sink
        .reports
        .iter()
        .flat_map(|report| {
            report.findings.iter().map(|f| (report.host.native.as_str(), f.key.as_str(), f.state))
        })
        .collect();
    assert_eq!(
        findings,
        [
            ("1", "pc|7|1071|1|", FindingState::Open),
            ("1", "pc|7|1072|1|", FindingState::Open),
            ("2", "pc|7|1071|1|", FindingState::Fixed)
        ]
    );
    assert!(sink.reports.iter().all(|report| report.coverage == Coverage::Part));
    assert!(sink.reports.iter().flat_map(|r| &r.findings).all(|f| f.kind == FindingKind::Compliance));
    assert_eq!(sink.reports[0].host.ips, ["10.0.0.1"], "the glossary knows the host");
    assert_eq!(sink.rules[0].title, "Control 1071 holds");
    assert!(sink.undefined.iter().any(|rule| rule.as_str() == "control-1072"), "nobody waits for its words");
    assert_eq!(sink.refused.len(), 1);
    let missing: Vec<_> = done.iter().filter_map(|(_, proof)| proof.missing.as_deref()).collect();
    assert!(missing.len() == 1 && missing[0].contains("policy 8 (Own)"), "{missing:?}");

    let server = serve(estate).await;
    drive(&scanner(&server, &[]), &full_run(), &mut Recorder::default()).await.unwrap();
    assert!(
        asked(&server, Endpoint::Policies).is_empty(),
        "not everybody has it, so that it has to be named"
    );
}

#[tokio::test]
async fn an_incremental_pass_asks_for_changed_postures_and_changed_assets() {
    let server = serve(estate).await;
    let run = run(Mode::Incremental { since: time("2026-11-21T22:00:00Z") });
    let scanner = scanner_with_gateway(
        &server,
        &format!("{}/gateway", server.base),
        &["asset_inventory", "compliance_posture"],
    );
    drive(&scanner, &run, &mut Recorder::default()).await.unwrap();
    assert_eq!(asked(&server, Endpoint::Posture)[0].form("status_changes_since"), "2026-11-21T22:00:00Z");
    assert!(asked(&server, Endpoint::GlobalAssets)[0].query.contains("lastModifiedDate=2026-11-21T22"));
    assert!(asked(&server, Endpoint::HostIds).is_empty(), "only a full pass tells what is purged");
}

#[tokio::test]
async fn each_api_has_its_version() {
    let server = serve(estate).await;
    let connector = domain::policy::Connector {
        api_versions: [("host_list", "4.0"), ("host_detections", "3")]
            .map(|(api, version)| (api.to_owned(), version.to_owned()))
            .into(),
        ..connector(&server.base, &[], 100)
    };
    let http = http(&server.base).with_basic("user", "secret").unwrap();
    let scanner = sync_qualys::QualysScanner::new(&connector, http, None).unwrap();
    drive(&scanner, &full_run(), &mut Recorder::default()).await.unwrap();
    assert_eq!(asked(&server, Endpoint::Hosts)[0].path, "/api/4.0/fo/asset/host/");
    assert_eq!(asked(&server, Endpoint::HostIds)[0].path, "/api/4.0/fo/asset/host/");
    assert_eq!(asked(&server, Endpoint::Detections)[0].path, "/api/3.0/fo/asset/host/vm/detection/");
    assert_eq!(asked(&server, Endpoint::Groups)[0].path, "/api/2.0/fo/asset/group/");

    let server = serve(|_| Reply { status: 404, ..ok("Not Found") }).await;
    let error =
        drive(&support::scanner(&server, &["host_detections"]), &full_run(), &mut Recorder::default())
            .await
            .unwrap_err();
    assert!(error.to_string().contains("api_versions"), "{error}");
}

#[tokio::test]
async fn ids_that_cannot_be_read_are_no_list_of_all_hosts() {
    for body in ["<ID>1</ID><ID>two</ID>", "<ID_RANGE>9-1</ID_RANGE>"] {
        let server = serve(move |call| match call.endpoint() {
            Endpoint::HostIds => ids_page(body),
            _ => estate(call),
        })
        .await;
        let unit = sync::Unit::new("host-ids/0", &serde_json::json!({"ask": "host_ids", "id_min": 0}));
        let outcome = scanner(&server, &[]).pull(&full_run(), &unit, &mut Recorder::default()).await;
        assert!(matches!(outcome, Err(SyncError::Malformed { .. })), "{body}: {outcome:?}");
    }
}

#[tokio::test]
async fn rights_are_told_stream_by_stream() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::KnowledgeBase => words(200, 2012, "User license is not authorized to run this API.", ""),
        Endpoint::Policies => Reply { status: 403, ..ok("") },
        _ => estate(call),
    })
    .await;
    let all = ["asset_inventory", "tags", "knowledge_base", "host_detections", "compliance_posture"];
    let lines = scanner(&server, &all).rights(time(NOW)).await;
    let told: Vec<_> = lines.iter().map(|line| (line.what.as_str(), line.outcome)).collect();
    assert_eq!(
        told,
        [
            ("asset_inventory", Good),
            ("tags", Good),
            ("knowledge_base", Bad),
            ("host_detections", Good),
            ("compliance_posture", Bad)
        ]
    );
    assert!(scanner(&server, &["host_detections"]).rights(time(NOW)).await.len() == 1);
}

#[tokio::test]
async fn the_right_to_tagging_is_looked_at() {
    let server = serve(|call| match call.endpoint() {
        Endpoint::Tags => Reply { status: 403, ..ok("") },
        _ => estate(call),
    })
    .await;
    let lines = scanner(&server, &["asset_inventory", "tags"]).rights(time(NOW)).await;
    assert_eq!(lines.iter().map(|line| line.outcome).collect::<Vec<_>>(), [Good, Bad]);
}

/// How the asset search refuses whom it is not open to.
fn closed_searches() -> [Reply; 3] {
    let not_authorized = "<ServiceResponse><responseCode>NOT_AUTHORIZED</responseCode><responseErrorDetails>\
        <errorMessage>API access is missing.</errorMessage></responseErrorDetails></ServiceResponse>";
    [Reply { status: 403, ..ok("") }, ok(not_authorized), words(403, 2012, "no such permission", "")]
}

#[tokio::test]
async fn who_gets_no_details_of_hosts_is_told_which_right_is_missing() {
    let told = async |search: &Reply, global: Option<Reply>| {
        let (search, has_gateway) = (search.clone(), global.is_some());
        let server = serve(move |call| match (call.endpoint(), &global) {
            (Endpoint::Assets, _) => search.clone(),
            (Endpoint::GlobalAssets, Some(global)) => global.clone(),
            _ => estate(call),
        })
        .await;
        let streams = ["asset_inventory"];
        let scanner = match has_gateway {
            true => scanner_with_gateway(&server, &format!("{}/gateway", server.base), &streams),
            false => scanner(&server, &streams),
        };
        let line = scanner.rights(time(NOW)).await.remove(0);
        (line.outcome, line.says, asked(&server, Endpoint::GlobalAssets).len())
    };
    let no_global = Reply { status: 403, ..ok("{\"message\":\"not subscribed\"}") };
    let open = search_page("", None);
    for search in closed_searches() {
        for global in [None, Some(no_global.clone())] {
            let (outcome, says, _) = told(&search, global).await;
            assert_eq!(outcome, Doubtful, "{says}");
            for words in ["software", "open ports", "Read Asset", "Global AssetView"] {
                assert!(says.contains(words), "{words}: {says}");
            }
        }
        let global = ok(&global_assets(&[(9, 1)], None));
        assert_eq!(told(&search, Some(global)).await.0, Good, "Global AssetView has them");
    }
    let (outcome, says, asked) = told(&open, Some(no_global)).await;
    assert_eq!((outcome, asked), (Good, 0), "{says}");
    let busy = Reply { status: 429, ..ok("") };
    assert_eq!(told(&busy, None).await.0, Unknown);
    assert_eq!(told(&closed_searches()[0], Some(busy)).await.0, Unknown);
}

#[tokio::test]
async fn a_closed_asset_search_takes_nothing_from_a_run() {
    for search in closed_searches() {
        let server = serve(move |call| match call.endpoint() {
            Endpoint::Assets => search.clone(),
            _ => estate(call),
        })
        .await;
        let mut sink = Recorder::default();
        let done = drive(&scanner(&server, &["asset_inventory"]), &full_run(), &mut sink).await.unwrap();
        assert!(done.iter().all(|(_, proof)| proof.missing.is_none()), "{done:?}");
        assert_eq!((sink.inventory.len(), sink.supplements.len()), (1, 0));
    }
}
