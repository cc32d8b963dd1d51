//! The pages and the API, from the outside.

#![allow(clippy::unwrap_used)] // a helper that fails fails its test

mod doors;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use aws_lambda_events::http::Method;
use dashboard::ROUTES;
use domain::{
    AssetId, Check, CheckLine, Coverage, LastScan, Outcome, RunId, ScanJob, ScanJobs, ScanOutcome, Severity,
    Status,
};
use serde_json::{Value, json};
use store::{DeliveryState, RunStatus};
use support::{HOST, HOSTILE, Kind, Setting, TOKEN, connector, now, request};

const COOKIE: &str = "vulnrelay_token=a-token-of-this-test";

/// Read units that one answer takes.
async fn units(setting: &Setting, address: &str) -> f64 {
    let before = setting.store.capacity().total().read_units;
    let answer = setting.get(address).await;
    assert_eq!(answer.status, 200, "{address}: {}", answer.text);
    setting.store.capacity().total().read_units - before
}

#[tokio::test]
async fn an_empty_system_says_what_to_do() {
    let setting = Setting::with_config("connectors: []\n").await;
    for (page, words) in [
        ("/", "No scanner is configured"),
        ("/vulnerabilities", "Nothing is known yet"),
        ("/assets", "No asset is known yet"),
        ("/runs", "No scanner is configured"),
        ("/deliveries", "Nobody is to be told"),
    ] {
        let answer = setting.get(page).await;
        assert_eq!(answer.status, 200, "{page}");
        assert!(answer.text.contains(words), "{page}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("text/html"));
    }
}

#[tokio::test]
async fn the_overview_shows_what_is_urgent() {
    let setting = Setting::new().await;
    setting.knowledge().await;
    setting.asset("web-1", "payments", &[Kind::log4shell(), Kind::plain("1")]).await;
    setting.store.put_note("feed-kev", r#"{"as_of":"2026-11-22T06:00:00Z","count":1400}"#).await.unwrap();
    setting.run(false).await;

    let data = setting.json("/api/overview").await;
    assert_eq!(
        (&data["open"]["critical"], &data["open"]["medium"], &data["open"]["overdue"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((&data["exploited"]["count"], &data["exploited"]["at_least"]), (&json!(1), &json!(false)));
    assert_eq!(data["top"][0]["asset_name"], "web-1.example");
    assert_eq!(data["top"][0]["reasons"][0]["words"], "listed as known exploited");
    assert_eq!(data["overdue"].as_array().unwrap().len(), 1);
    assert_eq!(data["owners"][0]["owner"], "payments");
    assert_eq!(data["days"].as_array().unwrap().len(), 14);
    assert_eq!(data["days"][13]["opened"], 2);
    assert_eq!(
        (&data["connectors"][0]["run"]["units_done"], &data["connectors"][0]["run"]["units"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(data["feeds"][0]["count"], 1400);

    let page = setting.get("/").await;
    for fact in
        ["Apache Log4j Remote Code Execution", "Exploited", "Overdue", "payments", "0 of 2 units", "6 h ago"]
    {
        assert!(page.text.contains(fact), "{fact}");
    }
    assert!(page.text.contains(r#"http-equiv="refresh" content="2""#), "a running pull is followed");
    assert!(!setting.get("/?live=off").await.text.contains("http-equiv=\"refresh\""));
}

#[tokio::test]
async fn one_vulnerability_is_explained() {
    let setting = Setting::new().await;
    setting.knowledge().await;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let address = format!("/vulnerabilities/{asset}/{}", ids[0]);

    let data = setting.json(&format!("/api{address}")).await;
    let parts = data["scoring"]["parts"].as_array().unwrap();
    let sum: u64 = parts.iter().map(|part| part["points"].as_u64().unwrap()).sum();
    assert_eq!((parts.len(), sum), (8, data["score"].as_u64().unwrap()));
    assert_eq!(
        (&data["scoring"]["policy_version"], &data["scoring"]["current_version"]),
        (&json!(5), &json!(7))
    );
    assert_eq!(data["deadline"]["state"], "overdue");
    assert!(!data["deadline"]["arithmetic"].as_array().unwrap().is_empty());
    assert_eq!(data["statements"][0]["source_state"], "Active");
    assert_eq!(data["statements"][0]["finding_key"], "376157");
    assert_eq!(data["rules"][0]["solution"], "Update to 2.17.1 <b>now</b>");
    assert_eq!(data["intel"][0]["kev"]["due"], "2021-12-24");
    assert_eq!(data["on"]["sightings"][0]["rule"], "fqdn");
    let origins = |factor: &str| -> Vec<String> {
        let part = parts.iter().find(|part| part["factor"] == factor).unwrap();
        let texts = part["origins"].as_array().unwrap().iter();
        texts.map(|o| format!("{}: {}", o["by"].as_str().unwrap(), o["says"].as_str().unwrap())).collect()
    };
    assert_eq!(origins("exploit")[0], "CISA KEV: CVE-2021-44228, due 2021-12-24, used by ransomware");
    assert_eq!(
        origins("threat"),
        ["MISP of CVE-2021-44228: exploited: event 7: a campaign (57c4445b)"],
        "Mandiant is not wanted"
    );
    let threat = parts.iter().find(|part| part["factor"] == "threat").unwrap();
    assert_eq!(threat["origins"][0]["tlp"], "TLP:AMBER");
    assert_eq!(origins("epss"), ["FIRST EPSS: CVE-2021-44228: 94.00 %, model v2025"]);
    let what_if = data["scoring"]["what_if"].as_array().unwrap();
    let unlisted = what_if.iter().find(|w| w["change"] == "CISA takes it off the list").unwrap();
    assert!(unlisted["score"].as_u64() < data["score"].as_u64());

    let page = setting.get(&address).await.text;
    for fact in [
        "add up to",
        "7 days for critical",
        "8080/tcp http",
        "Active",
        "ransomware",
        "fqdn",
        "90 %",
        "assumed",
        "FIRST EPSS",
        "If CISA takes it off the list",
    ] {
        assert!(page.contains(fact), "{fact}");
    }
    assert!(page.contains("version 5 of the policies; the current one is 7"));
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let setting = Setting::new().await;
    setting.knowledge().await;
    let hostile = Kind { title: HOSTILE, ..Kind::log4shell() };
    let (asset, ids) = setting.asset("web-1", "<i>team</i>", &[hostile]).await;
    let addresses = [
        "/".to_owned(),
        "/vulnerabilities".to_owned(),
        "/vulnerabilities?q=%22%3E%3Cscript%3E".to_owned(),
        format!("/vulnerabilities/{asset}/{}", ids[0]),
        format!("/assets/{asset}"),
        "/assets".to_owned(),
    ];
    for address in addresses {
        let answer = setting.get(&address).await;
        assert_eq!(answer.status, 200);
        for tag in ["<script", "<img", "<i>", "<b>"] {
            assert!(!answer.text.contains(tag), "{address} has {tag}");
        }
    }
    assert!(setting.get("/").await.text.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn lists_page_without_loss_or_repetition() {
    let setting = Setting::new().await;
    let mut all = BTreeSet::new();
    for host in 0..6 {
        let keys: Vec<String> = (0..12).map(|i| format!("{host}-{i}")).collect();
        let kinds: Vec<Kind<'_>> = keys.iter().map(|key| Kind::plain(key)).collect();
        let owner = if host % 2 == 0 { "payments" } else { "platform" };
        let (_, ids) = setting.asset(&format!("web-{host}"), owner, &kinds).await;
        all.extend(ids.iter().map(ToString::to_string));
    }
    let mut seen = Vec::new();
    let mut address = "/api/vulnerabilities".to_owned();
    let mut pages = 0;
    loop {
        let data = setting.json(&address).await;
        seen.extend(
            data["vulnerabilities"].as_array().unwrap().iter().map(|v| v["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(next) = data["next"].as_str() else { break };
        address = format!("/api/vulnerabilities?after={}", next.replace('#', "%23"));
    }
    assert_eq!(pages, 3);
    assert_eq!(seen.len(), all.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
    // The page links to the same place.
    let page = setting.get("/vulnerabilities?severity=medium").await.text;
    assert!(page.contains("severity=medium&amp;after="), "the filter goes with the link");
}

#[tokio::test]
async fn filters_restrict_and_wrong_ones_are_told() {
    let setting = Setting::new().await;
    let accepted = Kind { status: Status::RiskAccepted, ..Kind::plain("2") };
    let low = Kind { severity: Severity::Low, title: "A weak cipher", ..Kind::plain("3") };
    setting.asset("web-1", "payments", &[Kind::log4shell(), Kind::plain("1"), accepted]).await;
    setting.asset("web-2", "platform", &[low]).await;
    for (query, count) in [
        ("", 3),
        ("owner=platform", 1),
        ("owner=nobody", 0),
        ("severity=critical&severity=low", 2),
        ("severity=", 3),
        ("status=risk_accepted", 1),
        ("q=log4j", 1),
        ("q=cve-2021-44228", 1),
        ("overdue=1", 1),
        ("exploited=1&owner=payments", 1),
        ("exploited=1&owner=platform", 0),
    ] {
        let data = setting.json(&format!("/api/vulnerabilities?{query}")).await;
        assert_eq!(data["vulnerabilities"].as_array().unwrap().len(), count, "{query}");
    }
    for wrong in ["severity=huge", "status=fixed", "overdue=maybe"] {
        assert_eq!(setting.get(&format!("/api/vulnerabilities?{wrong}")).await.status, 400, "{wrong}");
        assert_eq!(setting.get(&format!("/vulnerabilities?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn assets_list_their_vulnerabilities_worst_first() {
    let setting = Setting::new().await;
    let keys: Vec<String> = (0..24).map(|i| i.to_string()).collect();
    let mut kinds: Vec<Kind<'_>> = keys.iter().map(|key| Kind::plain(key)).collect();
    kinds.push(Kind { status: Status::Fixed, severity: Severity::Critical, ..Kind::plain("fixed") });
    kinds.push(Kind::log4shell());
    let (asset, ids) = setting.asset("web-1", "payments", &kinds).await;

    let first = setting.json(&format!("/api/assets/{asset}")).await;
    let second =
        setting.json(&format!("/api/assets/{asset}?after={}", first["next"].as_str().unwrap())).await;
    let rows: Vec<&Value> =
        [&first, &second].iter().flat_map(|d| d["vulnerabilities"].as_array().unwrap()).collect();
    assert_eq!(rows[0]["severity"], "critical");
    assert_eq!(rows.last().unwrap()["status"], "fixed", "closed ones come last");
    let seen: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!((seen.len(), rows.len(), second["next"].is_null()), (ids.len(), ids.len(), true));

    let list = setting.json("/api/assets?owner=payments").await;
    assert_eq!(
        (&list["assets"][0]["name"], &list["assets"][0]["open"]["medium"]),
        (&json!("web-1.example"), &json!(24))
    );
    assert!(setting.get(&format!("/assets/{asset}")).await.text.contains("Why this is one machine"));
}

#[tokio::test]
async fn an_asset_shows_its_network_its_ports_and_its_software() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[]).await;
    let bare = setting.get(&format!("/assets/{asset}")).await.text;
    assert!(!bare.contains("What is on it"), "nobody tells of it");
    let details: domain::Details = serde_json::from_value(json!({
        "network": {"name": "Default", "interfaces": [{"name": "eth0", "ips": ["10.0.0.1"]}]},
        "open_ports": [{"port": 22, "protocol": "tcp", "service": "ssh"}],
        "software": [{"name": "openssh", "version": "8.0", "publisher": "openbsd"}, {"name": "<b>odd</b>"}],
        "left_out": 7,
    }))
    .unwrap();
    let sighting = domain::SightingId::new(connector("qualys-prod"), "web-1");
    setting.store.put_details(&sighting, &details).await.unwrap();

    let host = &setting.json(&format!("/api/assets/{asset}")).await["host"];
    assert_eq!(host["open_ports"], json!([{"port": 22, "protocol": "tcp", "service": "ssh"}]));
    assert_eq!((&host["software"][1]["name"], &host["details_left_out"]), (&json!("openssh"), &json!(7)));
    assert_eq!(host["network"]["interfaces"][0]["ips"], json!(["10.0.0.1"]));
    let page = setting.get(&format!("/assets/{asset}")).await.text;
    for shown in
        ["Card eth0", "22/tcp (ssh)", "2 pieces of software", "openbsd", "7 more entries", "&lt;b&gt;odd"]
    {
        assert!(page.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_token() {
    let setting = Setting::new().await;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    // Pages that have to be reached before anybody is known show nothing either; here they let nobody in.
    for route in ROUTES.iter().filter(|route| route.path != "/healthz") {
        let path = route.path.replace("{asset}", asset.as_str()).replace("{vulnerability}", ids[0].as_str());
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        for headers in
            [vec![], vec![("authorization", "Bearer wrong")], vec![("cookie", "vulnrelay_token=wrong")]]
        {
            let answer = setting.send(request(method.clone(), &path, &headers, "")).await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(!answer.text.contains("Log4j") && !answer.text.contains("payments"), "{path}");
        }
    }
    assert_eq!(setting.send(request(Method::GET, "/nothing", &[], "")).await.status, 401);
    let health = setting.send(request(Method::GET, "/healthz", &[], "")).await;
    assert_eq!((health.status, health.text.as_str()), (200, "ok"));
    assert!(setting.send(request(Method::GET, "/", &[], "")).await.text.contains("/login?token="));
}

#[tokio::test]
async fn a_token_in_the_address_becomes_a_cookie() {
    let setting = Setting::new().await;
    let answer = setting.send(request(Method::GET, &format!("/login?token={TOKEN}"), &[], "")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    let cookie = &answer.whole.cookies[0];
    assert!(
        cookie.starts_with(COOKIE) && cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "this machine has no TLS");
    assert_eq!(setting.send(request(Method::GET, "/", &[("cookie", COOKIE)], "")).await.status, 200);

    let address = format!("/login?token={TOKEN}");
    let public = setting.send(request(Method::GET, &address, &[("host", "vulnrelay.example")], "")).await;
    assert!(public.whole.cookies[0].contains("; Secure"));
    for wrong in ["/login", "/login?token=wrong", "/login?token=a%3Bb", "/login?token=a%0d%0ab"] {
        let answer = setting.send(request(Method::GET, wrong, &[], "")).await;
        assert_eq!((answer.status, answer.whole.cookies.len()), (401, 0), "{wrong}");
    }
}

#[tokio::test]
async fn pages_may_fetch_nothing_and_run_nothing() {
    let setting = Setting::new().await;
    for address in ["/", "/api/overview", "/nothing"] {
        let answer = setting.get(address).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert!(
            !answer.text.contains("http://") && !answer.text.contains("https://"),
            "{address} names another host"
        );
        assert!(!answer.text.contains(" style="), "the policy would drop it");
    }
    let sheet = setting.get("/style.css").await;
    assert!(sheet.header("content-type").starts_with("text/css") && !sheet.text.contains("url("));
    assert!(setting.get("/api/openapi.json").await.text.contains("\"openapi\""));
    assert!(setting.get("/icon.svg").await.text.starts_with("<svg"));
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let nowhere = "a-0123456789abcdef";
    let nothing = "v-0123456789abcdef";
    for path in [
        format!("/vulnerabilities/{nowhere}/{nothing}"),
        format!("/vulnerabilities/{asset}/{nothing}"),
        format!("/vulnerabilities/{asset}/x"),
        format!("/assets/{nowhere}"),
        "/assets/x".to_owned(),
        "/runs?connector=nobody".to_owned(),
        "/nothing".to_owned(),
    ] {
        assert_eq!(setting.get(&path).await.status, 404, "{path}");
        assert_eq!(setting.get(&format!("/api{path}")).await.status, 404, "{path}");
    }
    for path in [
        format!("/api/vulnerabilities/{asset}/{nothing}/decision"),
        "/api/runs/nobody/20261122T120000Z-0001/approve".to_owned(),
        "/api/runs/qualys-prod/20261122T120000Z-0001/approve".to_owned(),
        "/api/connectors/nobody/sync".to_owned(),
    ] {
        assert_eq!(setting.post(&path, &json!({})).await.status, 404, "{path}");
    }
    let wrong = setting.post("/api/overview", &json!({})).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, "GET"));
}

#[tokio::test]
async fn a_decision_is_kept_and_passed_on() {
    let setting = Setting::new().await;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let address = format!("/api/vulnerabilities/{asset}/{}/decision", ids[0]);
    let stored = async || setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap().value.decision;

    let wish = json!({ "status": "risk_accepted", "reason": "isolated segment", "until": "2026-12-31" });
    assert_eq!(setting.post(&address, &wish).await.status, 202);
    let decision = stored().await.unwrap();
    assert_eq!(
        (decision.status, decision.by.as_str(), decision.reason.as_str()),
        (Status::RiskAccepted, "ada", "isolated segment")
    );
    assert_eq!(setting.queues.sent(), [("score".to_owned(), json!({ "assets": [asset.as_str()] }))]);
    assert!(
        setting.get(&format!("/vulnerabilities/{asset}/{}", ids[0])).await.text.contains("isolated segment")
    );
    let page = async || setting.get(&format!("/vulnerabilities/{asset}/{}", ids[0])).await.text;
    assert!(!page().await.contains("counts no longer"));
    let on = setting.store.asset(&asset).await.unwrap().unwrap().value;
    let mut known = setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap();
    assert_eq!(decision.about.unwrap().cves, known.value.cves.iter().cloned().collect());
    known.value.cves.push("CVE-2099-0001".parse().unwrap());
    setting.store.put_vulnerability(&on, &known.value, known.rev, 0).await.unwrap();
    assert!(page().await.contains("counts no longer: nobody decided on CVE-2099-0001"));

    for wrong in [
        json!({ "status": "risk_accepted", "reason": "x" }),
        json!({ "status": "risk_accepted", "reason": "x", "until": "2026-11-01" }),
        json!({ "status": "false_positive", "reason": "x", "until": "2026-12-31" }),
        json!({ "status": "false_positive" }),
        json!({ "status": "fixed", "reason": "x" }),
        json!({ "state": "in_progress" }),
    ] {
        assert_eq!(setting.post(&address, &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(setting.post(&address, &json!({ "status": null })).await.status, 202);
    assert_eq!(stored().await, None);

    // Kept but not passed on: the caller repeats it.
    setting.queues.fail.store(true, Ordering::SeqCst);
    assert_eq!(setting.post(&address, &json!({ "status": "in_progress" })).await.status, 503);
    setting.queues.fail.store(false, Ordering::SeqCst);
    assert_eq!(setting.post(&address, &json!({ "status": "in_progress" })).await.status, 202);
    assert_eq!(stored().await.unwrap().status, Status::InProgress);
}

#[tokio::test]
async fn forms_do_the_same_from_the_same_origin_only() {
    let setting = Setting::new().await;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let page = format!("/vulnerabilities/{asset}/{}", ids[0]);
    let address = format!("/api{page}/decision");
    let own = format!("http://{HOST}");
    let form = |extra: &[(&'static str, &str)]| {
        let mut headers = vec![("cookie", COOKIE), ("content-type", "application/x-www-form-urlencoded")];
        headers.extend(extra.iter().copied());
        request(Method::POST, &address, &headers, "status=false_positive&reason=not+a+bug&until=")
    };
    for foreign in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://evil.example/127.0.0.1:9000")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", own.as_str())],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
        &[("authorization", "Bearer a-token-of-this-test"), ("origin", "https://evil.example")],
    ] {
        assert_eq!(setting.send(form(foreign)).await.status, 403, "{foreign:?}");
    }
    assert!(setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap().value.decision.is_none());
    assert!(setting.queues.sent().is_empty());

    for same in
        [&[("sec-fetch-site", "same-origin"), ("origin", own.as_str())][..], &[("origin", own.as_str())]]
    {
        let answer = setting.send(form(same)).await;
        assert_eq!((answer.status, answer.header("location")), (303, page.as_str()));
    }
    let decision =
        setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap().value.decision.unwrap();
    assert_eq!((decision.status, decision.reason.as_str()), (Status::FalsePositive, "not a bug"));
}

#[tokio::test]
async fn a_held_run_goes_on_once_it_is_approved() {
    let setting = Setting::new().await;
    let run = setting.run(true).await;
    let page = setting.get("/").await.text;
    assert!(page.contains("Approve 400 closings") && page.contains("it would close 80 % of what is open"));
    assert!(!page.contains("http-equiv=\"refresh\""), "it waits for a person");

    let address = format!("/api/runs/qualys-prod/{run}/approve");
    setting.queues.fail.store(true, Ordering::SeqCst);
    assert_eq!(setting.post(&address, &json!({})).await.status, 503);
    setting.queues.fail.store(false, Ordering::SeqCst);
    assert_eq!(
        setting.post(&address, &json!({})).await.status,
        202,
        "the approval stands, the message is repeated"
    );
    let expected = json!({ "connector": "qualys-prod", "run": run.as_str() });
    assert_eq!(setting.queues.sent(), [("sync-qualys".to_owned(), expected)]);
    let (record, _) = setting.store.run(&connector("qualys-prod"), &run).await.unwrap().unwrap();
    assert_eq!((record.status, record.approved_by.as_deref()), (RunStatus::Running, Some("ada")));
    assert!(setting.get("/runs?connector=qualys-prod").await.text.contains("approved by ada"));
}

#[tokio::test]
async fn only_a_held_run_can_be_approved() {
    let setting = Setting::new().await;
    let run = setting.run(false).await;
    assert_eq!(setting.post(&format!("/api/runs/qualys-prod/{run}/approve"), &json!({})).await.status, 409);
    assert!(setting.queues.sent().is_empty());
}

#[tokio::test]
async fn sync_now_asks_for_everything() {
    let setting = Setting::new().await;
    assert_eq!(setting.post("/api/connectors/tenable-prod/sync", &json!({})).await.status, 202);
    let request = format!("ada at {}", now());
    let expected = json!({ "connector": "tenable-prod", "start": "full", "request": request });
    assert_eq!(setting.queues.sent(), [("sync-tenable".to_owned(), expected)]);
}

#[tokio::test]
async fn what_trying_a_connector_out_has_found_is_shown() {
    let setting = Setting::new().await;
    assert_eq!(setting.post("/api/connectors/tenable-prod/check", &json!({})).await.status, 202);
    let expected = json!({ "connector": "tenable-prod", "check": true });
    assert_eq!(setting.queues.sent(), [("sync-tenable".to_owned(), expected)]);
    let bad = CheckLine::new("assets", Outcome::Bad, HOSTILE);
    let check = Check { at: now(), lines: vec![CheckLine::new("address", Outcome::Good, "yours"), bad] };
    setting.store.put_check(&connector("tenable-prod"), &check).await.unwrap();
    let shown = setting.json("/api/runs?connector=tenable-prod").await;
    assert_eq!(shown["connectors"][0]["check"]["lines"][1]["outcome"], "bad");
    let page = setting.get("/runs?connector=tenable-prod").await.text;
    assert!(page.contains("Does not work") && !page.contains(HOSTILE), "{page}");
}

#[tokio::test]
async fn coverage_names_the_hosts_that_are_not_scanned() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[]).await;
    let never = |n: usize| (format!("{HOSTILE}{n}"), LastScan::default());
    let scanned = LastScan { at: Some(now()), credentialed: Some(true), ..LastScan::default() };
    let hosts = (0..40).map(never).chain([("web-1".to_owned(), scanned)]);
    let day = jiff::SignedDuration::from_hours(24);
    let coverage = Coverage::of(RunId::stored("r"), hosts, day, now());
    setting.store.put_coverage(&connector("qualys-prod"), coverage.as_ref()).await.unwrap();

    let first = setting.json("/api/coverage").await;
    assert_eq!((&first["assets"], &first["chosen"]), (&json!(1), &json!("qualys-prod")));
    let row = &first["connectors"][0];
    assert_eq!((&row["unknown_assets"], &row["hosts"]["known"]), (&json!(0), &json!(41)));
    assert_eq!(row["hosts"]["by_coverage"], json!({ "never": 40, "well": 1 }));
    assert_eq!(first["connectors"][1]["unknown_assets"], 1, "nothing but qualys-prod has seen it");
    let mut listed = first["gaps"].as_array().unwrap().len();
    let mut next = first["next"].as_str().map(str::to_owned);
    while let Some(after) = next {
        let page = setting.json(&format!("/api/coverage?connector=qualys-prod&after={after}")).await;
        listed += page["gaps"].as_array().unwrap().len();
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(listed, 40);
    let page = setting.get("/coverage").await.text;
    assert!(page.contains("Never scanned") && !page.contains(HOSTILE), "{page}");
    assert_eq!((&first["scans"], page.contains("Last run")), (&json!([]), false), "not told");
    let job = |id: usize, outcome| ScanJob {
        id: id.to_string(),
        name: format!("{HOSTILE}{id}"),
        outcome,
        at: Some(now()),
        scheduled: Some(true),
    };
    let fine = (0..30).map(|id| job(id, ScanOutcome::Completed));
    let jobs = ScanJobs::of(fine.chain([job(99, ScanOutcome::Unfinished)]).collect(), now());
    setting.store.put_scan_jobs(&connector("qualys-prod"), &jobs).await.unwrap();
    let told = setting.json("/api/coverage").await;
    let scans = told["scans"].as_array().unwrap();
    assert_eq!((scans.len(), &told["scans_unlisted"]), (20, &json!(11)));
    assert_eq!((&scans[0]["id"], &scans[0]["amiss"]), (&json!("99"), &json!(true)));
    assert!(scans[1..].iter().all(|scan| scan["amiss"] == false && scan["outcome"] == "completed"));
    let page = setting.get("/coverage").await.text;
    assert!(page.contains("Not finished") && page.contains("11 more") && !page.contains(HOSTILE), "{page}");
    assert_eq!(setting.get("/coverage?connector=nobody").await.status, 404);
    assert_eq!(setting.get("/coverage?after=x").await.status, 400);

    let missing = setting.json("/api/assets?owner=payments&missing=tenable-prod").await;
    assert_eq!(missing["assets"][0]["id"], asset.as_str());
    let known = setting.json("/api/assets?owner=payments&missing=qualys-prod").await;
    assert_eq!((&known["assets"], &known["next"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn deliveries_are_listed_to_the_last_one() {
    let setting = Setting::new().await;
    let receiver = connector("jira");
    for i in 0..60 {
        let at = now() - jiff::SignedDuration::from_secs(i);
        let lease = jiff::SignedDuration::from_mins(1);
        setting.store.reserve_delivery(&receiver, &format!("k{i}"), "a ticket", at, lease, 55).await.unwrap();
    }
    let first = setting.json("/api/deliveries").await;
    let next = first["next"].as_str().unwrap().replace('#', "%23");
    let second = setting.json(&format!("/api/deliveries?after={next}")).await;
    let keys: Vec<&str> = [&first, &second]
        .iter()
        .flat_map(|d| d["deliveries"].as_array().unwrap())
        .map(|d| d["key"].as_str().unwrap())
        .collect();
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (60, 60));
    assert_eq!(setting.json("/api/overview").await["deliveries"]["newest"], 20);
    assert!(setting.get("/deliveries").await.text.contains("a ticket"));
    assert_eq!(setting.get("/deliveries?day=yesterday").await.status, 400);
}

async fn replays(setting: &Setting) -> Vec<Value> {
    let audit = setting.json("/api/audit").await;
    let lines = audit["lines"].as_array().unwrap().iter();
    lines.filter(|line| line["action"] == "replayed_delivery").cloned().collect()
}

#[tokio::test]
async fn a_delivery_that_failed_is_tried_anew() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[]).await;
    setting.ended("n-1", DeliveryState::Failed, &asset).await;
    let address = "/api/deliveries/chat/n-1/replay";
    setting.queues.fail.store(true, Ordering::SeqCst);
    assert_eq!(setting.post(address, &json!({})).await.status, 503);
    setting.queues.fail.store(false, Ordering::SeqCst);
    assert_eq!(setting.post(address, &json!({})).await.status, 202, "the message is repeated");
    let message = json!({ "of": "asset", "asset": asset.as_str(), "intent": "n-1" });
    assert_eq!(setting.queues.sent(), [("notify".to_owned(), message)]);
    assert!(setting.store.asset(&asset).await.unwrap().unwrap().value.intents.contains_key("n-1"));
    let lines = replays(&setting).await;
    assert_eq!(
        (lines.len(), &lines[0]["by"], &lines[0]["target"]),
        (1, &json!("ada"), &json!("delivery n-1 to chat"))
    );
    assert_eq!(lines[0]["detail"], "News of n-1");
    assert!(setting.get("/audit").await.text.contains("had a delivery tried anew"));
    let listed = &setting.json("/api/deliveries").await["deliveries"][0];
    assert_eq!((&listed["state"], &listed["restarts"]), (&json!("held"), &json!(1)));
}

#[tokio::test]
async fn a_delivery_that_is_done_or_under_way_is_not_tried_anew() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[]).await;
    for (state, told) in [
        (DeliveryState::Sent, "it was delivered"),
        (DeliveryState::Sending, "still under way"),
        (DeliveryState::Held, "still under way"),
    ] {
        let key = format!("n-{}", state.as_str());
        setting.ended(&key, state, &asset).await;
        let answer = setting.post(&format!("/api/deliveries/chat/{key}/replay"), &json!({})).await;
        assert!(answer.status == 409 && answer.text.contains(told), "{}", answer.text);
    }
    let nobody = AssetId::derive("nobody");
    setting.ended("n-gone", DeliveryState::Failed, &nobody).await;
    assert_eq!(setting.post("/api/deliveries/chat/n-gone/replay", &json!({})).await.status, 409);
    for unknown in ["chat/n-none", "other/n-gone", "Not-a-name/n-gone"] {
        assert_eq!(setting.post(&format!("/api/deliveries/{unknown}/replay"), &json!({})).await.status, 404);
    }
    assert!(setting.queues.sent().is_empty() && replays(&setting).await.is_empty());
}

#[tokio::test]
async fn the_button_of_a_delivery_works_from_its_own_page_only() {
    let setting = Setting::new().await;
    let (asset, _) = setting.asset("web-1", "payments", &[]).await;
    setting.ended("n-failed", DeliveryState::Failed, &asset).await;
    setting.ended("n-sent", DeliveryState::Sent, &asset).await;
    let page = setting.get("/deliveries").await.text;
    assert!(page.contains("action=\"/api/deliveries/chat/n-failed/replay\""), "{page}");
    assert!(!page.contains("n-sent/replay") && !page.contains("may arrive twice"), "{page}");
    setting.ended("n-lost", DeliveryState::Unconfirmed, &asset).await;
    let page = setting.get("/deliveries").await.text;
    assert!(page.contains("n-lost/replay") && page.contains("may arrive twice"), "{page}");

    let own = format!("http://{HOST}");
    let form = |origin: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [("cookie", COOKIE), kind, ("origin", origin)];
        request(Method::POST, "/api/deliveries/chat/n-failed/replay", &headers, "")
    };
    assert_eq!(setting.send(form("https://evil.example")).await.status, 403);
    assert!(setting.queues.sent().is_empty() && replays(&setting).await.is_empty());
    let answer = setting.send(form(&own)).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/deliveries?day=2026-11-22"));
    assert_eq!((setting.queues.sent().len(), replays(&setting).await.len()), (1, 1));
    assert!(!setting.get("/deliveries").await.text.contains("n-failed/replay"));
}

/// G11: what one answer reads does not depend on how much there is.
#[tokio::test]
async fn no_page_reads_more_than_its_share() {
    let setting = Setting::new().await;
    setting.knowledge().await;
    let mut one = None;
    for host in 0..24 {
        let keys: Vec<String> = (0..40).map(|i| format!("{host}-{i}")).collect();
        let mut kinds: Vec<Kind<'_>> = keys.iter().map(|key| Kind::plain(key)).collect();
        kinds.push(Kind::log4shell());
        one = Some(setting.asset(&format!("web-{host}"), &format!("team-{}", host % 8), &kinds).await);
    }
    setting.run(false).await;
    let stale = LastScan { at: Some(now() - jiff::SignedDuration::from_hours(1)), ..LastScan::default() };
    let stale = (0..24).map(|host| (format!("web-{host}"), stale));
    let coverage = Coverage::of(RunId::stored("r"), stale, jiff::SignedDuration::ZERO, now());
    setting.store.put_coverage(&connector("qualys-prod"), coverage.as_ref()).await.unwrap();
    let (asset, ids) = one.unwrap();
    for address in [
        "/".to_owned(),
        "/vulnerabilities".to_owned(),
        "/vulnerabilities?owner=team-1".to_owned(),
        "/vulnerabilities?owner=team-1&q=nothing-matches-this".to_owned(),
        "/vulnerabilities?q=nothing-matches-this".to_owned(),
        format!("/vulnerabilities/{asset}/{}", ids[40]),
        "/assets".to_owned(),
        "/assets?missing=qualys-prod".to_owned(),
        format!("/assets/{asset}"),
        "/impact/CVE-2021-44228".to_owned(),
        "/runs".to_owned(),
        "/coverage".to_owned(),
        "/deliveries".to_owned(),
    ] {
        let units = units(&setting, &address).await;
        println!("{address}: {units} read units");
        assert!(units <= 25.0, "{address} takes {units} read units");
    }
}

#[tokio::test]
async fn a_list_that_matches_nothing_is_searched_to_its_end() {
    let setting = Setting::new().await;
    for host in 0..8 {
        let keys: Vec<String> = (0..40).map(|i| format!("{host}-{i}")).collect();
        let mut kinds: Vec<Kind<'_>> = keys.iter().map(|key| Kind::plain(key)).collect();
        if host == 5 {
            kinds.push(Kind { severity: Severity::Low, title: "A needle", ..Kind::plain("needle") });
        }
        setting.asset(&format!("web-{host}"), "payments", &kinds).await;
    }
    let mut found = 0;
    let mut address = "/api/vulnerabilities?q=needle".to_owned();
    for _ in 0..30 {
        let data = setting.json(&address).await;
        found += data["vulnerabilities"].as_array().unwrap().len();
        let Some(next) = data["next"].as_str() else { break };
        address = format!("/api/vulnerabilities?q=needle&after={}", next.replace('#', "%23"));
    }
    assert_eq!(found, 1);
}
