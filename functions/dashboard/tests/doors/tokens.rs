//! API tokens, and the audit of everything that is changed.

use aws_lambda_events::http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Site, person};
use crate::support::{Answer, HOST, Kind, Setting, request};

async fn create(setting: &Setting, role: &str, days: u32) -> Value {
    let wish = json!({ "name": "export job", "role": role, "expires_in_days": days });
    let answer = setting.post("/api/tokens", &wish).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

async fn ask(setting: &Setting, method: Method, address: &str, token: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    setting.send(request(method, address, &headers, body)).await
}

#[tokio::test]
async fn a_token_opens_what_its_role_opens_until_it_expires() {
    let setting = Setting::new().await;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let decide = format!("/api/vulnerabilities/{asset}/{}/decision", ids[0]);
    let wish = r#"{"status":"in_progress"}"#;
    let (viewer, analyst) = (create(&setting, "viewer", 1).await, create(&setting, "analyst", 366).await);
    let (viewer, analyst) = (viewer["token"].as_str().unwrap(), analyst["token"].as_str().unwrap());
    assert!(viewer.starts_with("vrt_") && viewer.len() == 47 && viewer != analyst);

    assert_eq!(ask(&setting, Method::GET, "/api/overview", viewer, "").await.status, 200);
    assert_eq!(ask(&setting, Method::GET, "/", viewer, "").await.status, 200);
    assert_eq!(ask(&setting, Method::POST, &decide, viewer, wish).await.status, 403);
    assert_eq!(ask(&setting, Method::GET, "/api/tokens", analyst, "").await.status, 403);
    assert_eq!(ask(&setting, Method::POST, &decide, analyst, wish).await.status, 202);
    let decision =
        setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap().value.decision.unwrap();
    assert_eq!(decision.by, "token \"export job\"");

    let mut other = viewer.to_owned();
    other.pop();
    for wrong in [&other, &format!("{viewer}A"), "vrt_", &viewer.replace("vrt_", "vrt-")] {
        assert_eq!(ask(&setting, Method::GET, "/api/overview", wrong, "").await.status, 401, "{wrong}");
    }
    let as_cookie = [("cookie", format!("vulnrelay_token={viewer}"))];
    let as_cookie: Vec<_> = as_cookie.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(setting.send(request(Method::GET, "/", &as_cookie, "")).await.status, 401);
    assert_eq!(
        setting.send(request(Method::GET, &format!("/login?token={viewer}"), &[], "")).await.status,
        401
    );

    setting.clock.advance(SignedDuration::from_secs(24 * 3_600 - 1));
    assert_eq!(ask(&setting, Method::GET, "/api/overview", viewer, "").await.status, 200);
    setting.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(ask(&setting, Method::GET, "/api/overview", viewer, "").await.status, 401);
    assert_eq!(ask(&setting, Method::GET, "/api/overview", analyst, "").await.status, 200);
    assert!(setting.get("/tokens").await.text.contains("expired"));
}

#[tokio::test]
async fn a_token_is_shown_once_kept_as_a_digest_and_revoked_at_once() {
    let setting = Setting::new().await;
    let created = create(&setting, "viewer", 90).await;
    let (id, secret) = (created["id"].as_str().unwrap(), created["token"].as_str().unwrap());
    let list = setting.get("/api/tokens").await.text;
    let page = setting.get("/tokens").await.text;
    assert!(list.contains(id) && page.contains(id) && page.contains("export job"));
    assert!(!list.contains(secret) && !page.contains(secret));
    let (kept, digest) = setting.store.token(id).await.unwrap().unwrap();
    assert!(digest.starts_with(id) && digest.len() == 64 && !format!("{kept:?}").contains(secret));
    assert!(!list.contains(&digest) && !page.contains(&digest));
    let audit = setting.get("/api/audit").await.text;
    assert!(audit.contains("created_token") && !audit.contains(secret) && !audit.contains(&digest));

    let revoke = format!("/api/tokens/{id}/revoke");
    for _ in 0..2 {
        assert_eq!(setting.post(&revoke, &json!({})).await.status, 202);
        assert_eq!(ask(&setting, Method::GET, "/api/overview", secret, "").await.status, 401);
    }
    assert_eq!(setting.json("/api/tokens").await["tokens"][0]["state"], "revoked");
    for unknown in ["/api/tokens/0123456789abcdef/revoke", "/api/tokens/x/revoke"] {
        assert_eq!(setting.post(unknown, &json!({})).await.status, 404);
    }
}

#[tokio::test]
async fn what_can_be_no_token_is_said() {
    let setting = Setting::new().await;
    for wrong in [
        json!({ "role": "viewer" }),
        json!({ "name": " ", "role": "viewer" }),
        json!({ "name": "x".repeat(101), "role": "viewer" }),
        json!({ "name": "a\nb", "role": "viewer" }),
        json!({ "name": "x", "role": "root" }),
        json!({ "name": "x", "role": "viewer", "expires_in_days": 0 }),
        json!({ "name": "x", "role": "viewer", "expires_in_days": 367 }),
        json!({ "name": "x", "role": "viewer", "expires_in_days": "soon" }),
        json!({ "name": "x", "role": "viewer", "days": 3 }),
    ] {
        assert_eq!(setting.post("/api/tokens", &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(setting.json("/api/tokens").await["tokens"], json!([]));
}

#[tokio::test]
async fn the_page_creates_and_revokes_with_forms() {
    let site = Site::new().await;
    let session = site.sign_in(person(&["admin"])).await;
    let own = format!("http://{HOST}");
    let form = |address: &str, body: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [("cookie", session.as_str()), ("origin", own.as_str()), kind];
        request(Method::POST, address, &headers, body)
    };
    let body = "name=night+job&role=analyst&expires_in_days=30";
    let made = site.setting.send(form("/api/tokens", body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let secret = made.text.split("vrt_").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!((secret.len(), made.header("cache-control")), (43, "no-store"));
    let seen = site.with_bearer(Method::GET, "/api/overview", &format!("vrt_{secret}")).await;
    assert_eq!(seen.status, 200);
    let token = site.setting.store.tokens_page(None, 5).await.unwrap().0.remove(0);
    assert_eq!((token.name.as_str(), token.created_by.as_str()), ("night job", "ana@example.com"));
    let foreign = request(
        Method::POST,
        "/api/tokens",
        &[("cookie", &session), ("origin", "https://evil.example")],
        body,
    );
    assert_eq!(site.setting.send(foreign).await.status, 403);
    let revoked = site.setting.send(form(&format!("/api/tokens/{}/revoke", token.id), "")).await;
    assert_eq!((revoked.status, revoked.header("location")), (303, "/tokens"));
}

#[tokio::test]
async fn every_change_leaves_a_line() {
    let site = Site::new().await;
    let setting = &site.setting;
    let (asset, ids) = setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let run = setting.run(true).await;
    let admin = site.token(&person(&["admin"]));
    let post = async |address: &str, body: &str| {
        setting.clock.advance(SignedDuration::from_secs(1));
        ask(setting, Method::POST, address, &admin, body).await.status
    };
    let decide = format!("/api/vulnerabilities/{asset}/{}/decision", ids[0]);
    let wish = r#"{"status":"false_positive","reason":"not <b>ours</b>"}"#;
    assert_eq!(post(&decide, wish).await, 202);
    assert_eq!(post(&decide, r#"{"status":null}"#).await, 202);
    assert_eq!(post("/api/connectors/qualys-prod/sync", "").await, 202);
    assert_eq!(post(&format!("/api/runs/qualys-prod/{run}/approve"), "").await, 202);
    assert_eq!(post("/api/tokens", r#"{"name":"n","role":"viewer"}"#).await, 201);
    let token = setting.store.tokens_page(None, 5).await.unwrap().0.remove(0);
    assert_eq!(post(&format!("/api/tokens/{}/revoke", token.id), "").await, 202);
    // What was refused changed nothing and leaves nothing.
    assert_eq!(post(&decide, r#"{"status":"fixed"}"#).await, 400);

    let bearer = format!("Bearer {admin}");
    let audit = setting.send(request(Method::GET, "/api/audit", &[("authorization", &bearer)], "")).await;
    let audit: Value = serde_json::from_str(&audit.text).unwrap();
    let lines = audit["lines"].as_array().unwrap();
    let actions: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
    let expected =
        ["revoked_token", "created_token", "approved_run", "asked_for_sync", "took_back_decision", "decided"];
    assert_eq!(actions, expected);
    for line in lines {
        assert_eq!(
            (&line["by"], &line["subject"]),
            (&json!("ana@example.com"), &json!("sub-ana@example.com"))
        );
    }
    assert_eq!(lines[5]["detail"], "false_positive: not <b>ours</b>");
    assert!(lines[2]["target"].as_str().unwrap().contains(run.as_str()));

    let page = setting.send(request(Method::GET, "/audit", &[("authorization", &bearer)], "")).await;
    assert!(page.text.contains("approved the closings of a run") && !page.text.contains("<b>ours</b>"));
    let wrong =
        setting.send(request(Method::GET, "/audit?day=today", &[("authorization", &bearer)], "")).await;
    assert_eq!(wrong.status, 400);
}
