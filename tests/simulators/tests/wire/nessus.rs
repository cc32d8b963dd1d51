//! Nessus: scans, histories, exports to the end, sessions, and what is not possible.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Served, options, serve};

const KEYS: &str = "x-apikeys: accessKey=sim-access;secretKey=sim-secret\r\n";

async fn get(served: &Served, path: &str) -> Value {
    let answer = served.get(KEYS, &format!("/nessus/{path}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn export(served: &Served, scan: u64, history: &Value) -> (u64, String) {
    let path = format!("/nessus/scans/{scan}/export?history_id={history}");
    let answer = served.post(KEYS, &path, "{\"format\":\"nessus\"}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.json()["file"].as_u64().unwrap(), answer.json()["token"].as_str().unwrap().to_owned())
}

async fn file(served: &Served, scan: u64, history: &Value) -> Answer {
    let (file, _) = export(served, scan, history).await;
    let path = format!("scans/{scan}/export/{file}");
    assert_eq!(get(served, &format!("{path}/status")).await, json!({ "status": "loading" }));
    assert_eq!(get(served, &format!("{path}/status")).await, json!({ "status": "ready" }));
    served.get(KEYS, &format!("/nessus/{path}/download")).await
}

/// Plugin and port of each item, by host.
fn items(file: &str) -> BTreeSet<String> {
    let attribute = |tag: &str, name: &str| {
        let from = tag.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
        tag[from..].split('"').next().unwrap().to_owned()
    };
    let mut host = String::new();
    let mut all = BTreeSet::new();
    for tag in file.split('<') {
        if tag.starts_with("ReportHost ") {
            host = attribute(tag, "name");
        } else if tag.starts_with("ReportItem ") && attribute(tag, "pluginID") != "21156" {
            let (plugin, port) = (attribute(tag, "pluginID"), attribute(tag, "port"));
            assert!(all.insert(format!("{host} {plugin} {port}")), "{host} {plugin} {port} twice");
        }
    }
    all
}

#[tokio::test]
async fn the_list_has_scans_that_never_ran_and_a_folder_of_trash() {
    let served = serve(options(40)).await;
    let list = get(&served, "scans").await;
    assert_eq!(list["timestamp"].as_i64(), Some(served.world.clock.now().as_second()));
    let scans = list["scans"].as_array().unwrap();
    let draft = scans.iter().find(|scan| scan["id"] == 20).unwrap();
    assert_eq!((&draft["status"], &draft["uuid"]), (&json!("empty"), &Value::Null));
    assert!(scans.iter().any(|scan| scan["folder_id"] == 2) && list["folders"][0]["type"] == "trash");
    let since = list["timestamp"].as_i64().unwrap();
    let none = get(&served, &format!("scans?last_modification_date={since}")).await;
    assert_eq!(none["scans"], Value::Null, "never an empty list");
}

#[tokio::test]
async fn a_history_is_exported_with_every_finding_of_its_night_once() {
    let served = serve(options(40)).await;
    served.world.clock.set_day(6);
    let details = get(&served, "scans/11").await;
    let history = details["history"].as_array().unwrap();
    assert_eq!(history.len(), 6, "{history:?}");
    let statuses: Vec<_> = history.iter().map(|night| night["status"].as_str().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "canceled").count(), 1, "{statuses:?}");
    let newest = history.last().unwrap();
    assert_eq!((&newest["status"], &newest["uuid"]), (&json!("completed"), &details["info"]["uuid"]));

    let answer = file(&served, 11, &newest["history_id"]).await;
    assert!(answer.whole && answer.body.ends_with("</NessusClientData_v2>\n"));
    let now = items(&answer.body);
    assert!(now.len() > 100, "{}", now.len());
    assert_eq!(details["hosts"].as_array().unwrap().len(), answer.body.matches("<ReportHost ").count());
    let before = items(&file(&served, 11, &history[1]["history_id"]).await.body);
    assert!(before.difference(&now).count() > 0 && now.difference(&before).count() > 0, "days differ");
    assert!(served.world.received.refused().is_empty());
}

#[tokio::test]
async fn a_scan_that_does_not_sign_in_sees_less() {
    let served = serve(options(60)).await;
    let blind = file(&served, 14, &get(&served, "scans/14").await["history"][0]["history_id"]).await.body;
    assert!(blind.contains("<tag name=\"Credentialed_Scan\">false</tag>") && !blind.contains("bios-uuid"));
    assert!(blind.contains(" port=\"443\"") && !blind.contains("HOST_END_TIMESTAMP"));
    let audited = file(&served, 17, &get(&served, "scans/17").await["history"][0]["history_id"]).await.body;
    for word in ["PASSED", "FAILED", "WARNING"] {
        assert!(audited.contains(&format!("<cm:compliance-result>{word}<")), "{word}");
    }
}

#[tokio::test]
async fn a_file_lives_for_an_hour_and_has_a_token() {
    let served = serve(options(10)).await;
    let history = get(&served, "scans/11").await["history"][0]["history_id"].clone();
    let (file, token) = export(&served, 11, &history).await;
    let early = served.get(KEYS, &format!("/nessus/tokens/{token}/download")).await;
    assert_eq!(early.status, 409);
    for status in ["loading", "ready"] {
        assert_eq!(get(&served, &format!("tokens/{token}/status")).await["status"], status);
    }
    assert_eq!(served.get(KEYS, &format!("/nessus/tokens/{token}/download")).await.status, 200);
    served.post("", "/control/advance?seconds=3600", "").await;
    let gone = served.get(KEYS, &format!("/nessus/scans/11/export/{file}/status")).await;
    assert_eq!((gone.status, gone.json()), (404, json!({ "error": "The requested file was not found." })));
    assert_eq!(served.get(KEYS, "/nessus/scans/12").await.status, 404);
}

#[tokio::test]
async fn sessions_begin_end_and_expire() {
    let served = serve(options(3)).await;
    let wrong = served.post("", "/nessus/session", "{\"username\":\"sim-user\",\"password\":\"x\"}").await;
    assert_eq!((wrong.status, wrong.json()), (401, json!({ "error": "Invalid Credentials" })));
    let sign_in = async || {
        let body = json!({ "username": "sim-user", "password": "sim-pass" }).to_string();
        let answer = served.post("", "/nessus/session", &body).await.json();
        format!("x-cookie: token={}\r\n", answer["token"].as_str().unwrap())
    };
    let cookie = sign_in().await;
    assert_eq!(served.get(&cookie, "/nessus/scans").await.status, 200);
    assert_eq!(served.send("DELETE", &cookie, "/nessus/session", "").await.unwrap().status, 200);
    assert_eq!(served.get(&cookie, "/nessus/scans").await.status, 401);
    let cookie = sign_in().await;
    served.post("", "/control/advance?seconds=1800", "").await;
    assert_eq!(served.get(&cookie, "/nessus/scans").await.status, 401);
    assert_eq!(served.get("", "/nessus/scans").await.status, 401);
    assert_eq!(served.get("", "/nessus/server/properties").await.status, 200, "asks for nothing");
}

#[tokio::test]
async fn pitfall_17_scans_cannot_be_started_and_other_formats_are_refused() {
    let served = serve(options(3)).await;
    for path in ["scans", "scans/11/launch", "scans/11/stop"] {
        let answer = served.post(KEYS, &format!("/nessus/{path}"), "{}").await;
        assert_eq!((answer.status, answer.json()), (412, json!({ "error": "API is not available" })));
    }
    let pdf = served.post(KEYS, "/nessus/scans/11/export", "{\"format\":\"pdf\"}").await;
    assert_eq!(pdf.status, 400);
}

#[tokio::test]
async fn a_scan_runs_in_the_night() {
    let served = serve(options(20)).await;
    served.post("", "/control/advance?seconds=61200", "").await;
    let details = get(&served, "scans/11").await;
    assert_eq!(details["info"]["status"], "running");
    assert_eq!(details["history"].as_array().unwrap().last().unwrap()["status"], "running");
}
