//! What each role may do, route by route.

use aws_lambda_events::http::Method;
use dashboard::ROUTES;
use serde_json::json;
use simulators::oidc::Signing;
use store::DeliveryState;

use super::{Site, odd, person};
use crate::support::Kind;

/// Groups, the weakest first. The first gives no role.
const GROUPS: [&str; 4] = ["staff", "viewer", "analyst", "admin"];

/// The weakest of [`GROUPS`] that may use a route. Written down once more here, so that neither a new route without
/// a decision nor a changed role passes unseen.
fn weakest(method: &str, path: &str) -> usize {
    match (method, path) {
        ("GET", "/style.css" | "/icon.svg") | ("POST", "/logout") => 0,
        (
            "GET",
            "/"
            | "/vulnerabilities"
            | "/vulnerabilities/{asset}/{vulnerability}"
            | "/assets"
            | "/assets/{asset}"
            | "/coverage"
            | "/identity"
            | "/impact/{cve}"
            | "/runs"
            | "/deliveries"
            | "/audit"
            | "/api/openapi.json"
            | "/api/overview"
            | "/api/vulnerabilities"
            | "/api/vulnerabilities/{asset}/{vulnerability}"
            | "/api/assets"
            | "/api/assets/{asset}"
            | "/api/coverage"
            | "/api/identity"
            | "/api/impact/{cve}"
            | "/api/runs"
            | "/api/deliveries"
            | "/api/audit",
        ) => 1,
        (
            "POST",
            "/api/vulnerabilities/{asset}/{vulnerability}/decision"
            | "/api/assets/{asset}/merge"
            | "/api/assets/{asset}/undo-merge"
            | "/api/assets/{asset}/split"
            | "/api/assets/{asset}/apart"
            | "/api/identity/identifiers"
            | "/api/inventory"
            | "/api/exposure/firewall"
            | "/api/connectors/{connector}/sync"
            | "/api/connectors/{connector}/check"
            | "/api/deliveries/{receiver}/{key}/replay",
        ) => 2,
        ("GET", "/tokens" | "/api/tokens")
        | ("POST", "/api/runs/{connector}/{run}/approve" | "/api/tokens" | "/api/tokens/{token}/revoke") => 3,
        other => panic!("nobody has decided who may use {other:?}"),
    }
}

#[tokio::test]
async fn every_route_is_for_its_role_and_the_stronger_ones() {
    let site = Site::new().await;
    let (asset, ids) = site.setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    let run = site.setting.run(true).await;
    let open = ["/login", "/auth/callback", "/healthz"];
    for route in ROUTES.iter().filter(|route| !open.contains(&route.path)) {
        let weakest = weakest(route.method, route.path);
        let address = route
            .path
            .replace("{asset}", asset.as_str())
            .replace("{vulnerability}", ids[0].as_str())
            .replace("{connector}", "qualys-prod")
            .replace("{cve}", "CVE-2021-44228")
            .replace("{run}", run.as_str())
            .replace("{receiver}", "chat")
            .replace("{key}", "n-0123456789abcdef")
            .replace("{token}", "0123456789abcdef");
        let method = Method::from_bytes(route.method.as_bytes()).unwrap();
        for (strength, group) in GROUPS.iter().enumerate() {
            let token = site.token(&person(&["unknown", group]));
            let status = site.with_bearer(method.clone(), &address, &token).await.status;
            if strength < weakest {
                assert_eq!(status, 403, "{group} at {} {address}", route.method);
            } else {
                // Empty bodies and unknown names get their own answers.
                assert!(
                    matches!(status, 200 | 202 | 400 | 404),
                    "{group} at {} {address}: {status}",
                    route.method
                );
            }
        }
    }
    let nothing_changed =
        site.setting.store.vulnerability(&asset, &ids[0]).await.unwrap().unwrap().value.decision;
    assert_eq!(nothing_changed, None);
}

#[tokio::test]
async fn who_has_no_role_is_told_what_is_missing() {
    let site = Site::new().await;
    let session = site.sign_in(person(&["staff"])).await;
    let page = site.get("/", &[("cookie", &session)]).await;
    assert_eq!(page.status, 403);
    for fact in ["ana@example.com", "viewer, analyst, admin", "Sign out"] {
        assert!(page.text.contains(fact), "{fact}: {}", page.text);
    }
    let data = site.get("/api/overview", &[("cookie", &session)]).await;
    assert!(data.status == 403 && data.text.contains("none of your groups"), "{}", data.text);

    let session = site.sign_in(person(&["viewer"])).await;
    let page = site.get("/tokens", &[("cookie", &session)]).await;
    assert!(
        page.status == 403 && page.text.contains("needs the role admin, yours is viewer"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn pages_offer_what_the_role_allows() {
    let site = Site::new().await;
    let (asset, ids) = site.setting.asset("web-1", "payments", &[Kind::log4shell()]).await;
    site.setting.run(true).await;
    site.setting.ended("n-1", DeliveryState::Failed, &asset).await;
    let one = format!("/vulnerabilities/{asset}/{}", ids[0]);
    for (group, sync, approve, decide, tokens) in [
        ("viewer", false, false, false, false),
        ("analyst", true, false, true, false),
        ("admin", true, true, true, true),
    ] {
        let session = site.sign_in(person(&[group])).await;
        let runs = site.get("/runs", &[("cookie", &session)]).await.text;
        let detail = site.get(&one, &[("cookie", &session)]).await.text;
        let deliveries = site.get("/deliveries", &[("cookie", &session)]).await.text;
        assert_eq!(deliveries.contains("/n-1/replay\""), decide, "{group}");
        assert_eq!(
            (
                runs.contains("Sync now<"),
                runs.contains("/approve\""),
                detail.contains("/decision\""),
                runs.contains("href=\"/tokens\"")
            ),
            (sync, approve, decide, tokens),
            "{group}"
        );
    }
}

#[tokio::test]
async fn groups_may_come_as_text_and_odd_ones_give_nothing() {
    let site = Site::new().await;
    for (groups, expected) in [
        (json!("staff viewer"), 200),
        (json!(["Admin"]), 403),
        (json!({ "admin": true }), 403),
        (json!(null), 403),
        (json!([["admin"]]), 403),
    ] {
        let token = site.token(&odd(Signing::Rsa1, json!({ "cognito:groups": groups })));
        let status = site.with_bearer(Method::GET, "/api/overview", &token).await.status;
        assert_eq!(status, expected, "{groups}");
    }
}
