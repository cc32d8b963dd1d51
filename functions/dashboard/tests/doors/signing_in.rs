//! Signing in with an issuer, in a browser and with its tokens.

use aws_lambda_events::http::Method;
use jiff::SignedDuration;
use serde_json::json;
use simulators::oidc::Signing;

use super::{OPERATOR, Site, cookie, odd, person};
use crate::support::{HOST, now};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[tokio::test]
async fn a_person_signs_in_and_comes_back_to_the_page_they_wanted() {
    let site = Site::new().await;
    let locked = site.get("/vulnerabilities?owner=payments", &[]).await;
    assert_eq!(locked.status, 401);
    let link = "/login?to=%2Fvulnerabilities%3Fowner%3Dpayments";
    assert!(locked.text.contains(link), "{}", locked.text);

    site.world.people.next(person(&["viewer", "staff"]));
    let begun = site.get(link, &[]).await;
    let address = url::Url::parse(begun.header("location")).unwrap();
    let parameters: std::collections::BTreeMap<_, _> = address.query_pairs().into_owned().collect();
    assert_eq!(
        (parameters["response_type"].as_str(), parameters["code_challenge_method"].as_str()),
        ("code", "S256")
    );
    assert_eq!(parameters["redirect_uri"], "http://127.0.0.1:9000/auth/callback");
    assert!(parameters["state"].len() >= 43 && parameters["nonce"].len() >= 43);
    let kept = &begun.whole.cookies[0];
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/;", "Max-Age=600"] {
        assert!(kept.contains(flag), "{kept}");
    }

    let back = site.at_issuer(address.as_str()).await;
    let flow = cookie(&begun, 0);
    let signed_in = site.get(&back, &[("cookie", &flow)]).await;
    assert_eq!((signed_in.status, signed_in.header("location")), (303, "/vulnerabilities?owner=payments"));
    let kept = &signed_in.whole.cookies[0];
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/;", "Max-Age=3600"] {
        assert!(kept.contains(flag), "{kept}");
    }
    assert!(signed_in.whole.cookies[1].starts_with("vulnrelay_flow=; Path=/; Max-Age=0"));

    let session = cookie(&signed_in, 0);
    let page = site.get("/vulnerabilities?owner=payments", &[("cookie", &session)]).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("ana@example.com · viewer") && page.text.contains("Sign out"));
    assert_eq!(site.get("/api/overview", &[("cookie", &session)]).await.status, 200);

    let again = site.get(&back, &[("cookie", &flow)]).await;
    assert_eq!((again.status, again.whole.cookies.len()), (401, 0), "a code counts once");
    site.setting.clock.advance(SignedDuration::from_secs(3_599));
    assert_eq!(site.get("/", &[("cookie", &session)]).await.status, 200);
    site.setting.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(site.get("/", &[("cookie", &session)]).await.status, 401, "it ends with the ID token");
}

#[tokio::test]
async fn with_tls_cookies_belong_to_this_host_alone() {
    let site = Site::at("https://pages.example", "").await;
    let (back, flow) = site.begin(person(&["admin"])).await;
    assert!(flow.starts_with("__Host-vulnrelay_flow="));
    let answer = site.get(&back, &[("cookie", &flow)]).await;
    for set in &answer.whole.cookies {
        assert!(set.starts_with("__Host-") && set.ends_with("; Secure") && !set.contains("Domain"), "{set}");
    }
    let session = cookie(&answer, 0);
    assert_eq!(site.get("/", &[("cookie", &session)]).await.status, 200);
    let bare = session.strip_prefix("__Host-").unwrap();
    assert_eq!(site.get("/", &[("cookie", bare)]).await.status, 401);
}

#[tokio::test]
async fn a_sign_in_that_does_not_fit_lets_nobody_in() {
    let site = Site::new().await;
    let refused = async |address: &str, flow: &str, what: &str| {
        let answer = site.get(address, &[("cookie", flow)]).await;
        assert_eq!((answer.status, answer.whole.cookies.len()), (401, 0), "{what}: {}", answer.text);
        assert!(answer.text.contains("href=\"/login\""), "{what}");
    };
    let viewer = || person(&["viewer"]);
    let (back, flow) = site.begin(viewer()).await;
    refused(&back, "", "no flow").await;
    refused(&back, &format!("{flow}x"), "a changed flow").await;
    let (_, other) = site.begin(viewer()).await;
    refused(&back, &other, "the state of another sign-in").await;
    refused(&back.replace("state=", "state=x"), &flow, "another state").await;
    refused(&back.replace("state=", "status="), &flow, "no state").await;
    refused(&back.replace("iss=http", "iss=https"), &flow, "another issuer").await;
    refused(&back.replace("code=", "cod="), &flow, "no code").await;
    refused(&back.replace("code=code", "error=access_denied&code=code"), &flow, "refused").await;
    refused(&back.replace("code=code", "code=guessed"), &flow, "a guessed code").await;
    // The code of one browser does not fit the verifier of another.
    let (mine, _) = site.begin(viewer()).await;
    let (theirs, flow) = site.begin(viewer()).await;
    let code = |address: &str| address.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    refused(&theirs.replace(&code(&theirs), &code(&mine)), &flow, "a stolen code").await;

    let (back, flow) = site.begin(viewer()).await;
    site.setting.clock.advance(MINUTE * 10);
    site.world.clock.advance(MINUTE * 10);
    refused(&back, &flow, "after ten minutes").await;
    // A session is no flow, and a flow no session.
    let session = site.sign_in(viewer()).await;
    let (back, flow) = site.begin(viewer()).await;
    let (name, value) = (flow.split('=').next().unwrap(), session.split_once('=').unwrap().1);
    refused(&back, &format!("{name}={value}"), "a session for a flow").await;
    let as_session = format!("vulnrelay_session={}", flow.split_once('=').unwrap().1);
    assert_eq!(site.get("/", &[("cookie", &as_session)]).await.status, 401);
}

#[tokio::test]
async fn an_id_token_that_is_not_right_lets_nobody_in() {
    let site = Site::new().await;
    let at = |seconds: i64| now().as_second() + seconds;
    for (what, person) in [
        ("another nonce", odd(Signing::Rsa1, json!({ "nonce": "other" }))),
        ("no nonce", odd(Signing::Rsa1, json!({ "nonce": null }))),
        ("another audience", odd(Signing::Rsa1, json!({ "aud": "other" }))),
        ("another issuer", odd(Signing::Rsa1, json!({ "iss": "https://evil.example" }))),
        ("expired", odd(Signing::Rsa1, json!({ "exp": at(-61) }))),
        ("no end", odd(Signing::Rsa1, json!({ "exp": null }))),
        ("not yet", odd(Signing::Rsa1, json!({ "nbf": at(7_200) }))),
        ("an access token", odd(Signing::Rsa1, json!({ "token_use": "access" }))),
        ("nobody", odd(Signing::Rsa1, json!({ "sub": null, "email": null }))),
        ("alg none", odd(Signing::None, json!({}))),
        ("a broken signature", odd(Signing::Broken, json!({}))),
        ("an unknown key", odd(Signing::Rsa2, json!({}))),
    ] {
        let (back, flow) = site.begin(person).await;
        let answer = site.get(&back, &[("cookie", &flow)]).await;
        assert_eq!((answer.status, answer.whole.cookies.len()), (401, 0), "{what}");
        site.setting.clock.advance(MINUTE);
        site.world.clock.advance(MINUTE);
    }
    let session = site.sign_in(odd(Signing::Ec, json!({}))).await;
    assert_eq!(site.get("/", &[("cookie", &session)]).await.status, 200, "ES256 is fine");
}

#[tokio::test]
async fn keys_may_change_and_are_not_asked_for_too_often() {
    let site = Site::new().await;
    let (old, new) = (odd(Signing::Rsa1, json!({})), odd(Signing::Rsa2, json!({})));
    let status =
        async |person| site.with_bearer(Method::GET, "/api/overview", &site.token(person)).await.status;
    assert_eq!(status(&old).await, 200);
    for _ in 0..5 {
        assert_eq!(status(&new).await, 401);
    }
    assert_eq!(site.world.people.keys_read(), 1, "an unknown key is asked for once a minute");
    site.world.people.rotate();
    assert_eq!(status(&new).await, 401);
    site.setting.clock.advance(MINUTE);
    site.world.clock.advance(MINUTE);
    assert_eq!(status(&new).await, 200);
    assert_eq!((status(&old).await, site.world.people.keys_read()), (401, 2), "the old key is gone");
    site.setting.clock.advance(SignedDuration::from_mins(50));
    site.world.clock.advance(SignedDuration::from_mins(50));
    assert_eq!((status(&new).await, site.world.people.keys_read()), (200, 2), "kept for an hour");
}

#[tokio::test]
async fn programs_bring_a_token_of_the_issuer_or_of_the_deployment() {
    let site = Site::new().await;
    let status = async |token: &str| site.with_bearer(Method::GET, "/api/overview", token).await.status;
    assert_eq!(status(&site.token(&person(&["viewer"]))).await, 200);
    let access =
        odd(Signing::Rsa1, json!({ "aud": null, "client_id": "vulnrelay-client", "token_use": "access" }));
    assert_eq!(status(&site.token(&access)).await, 200);
    for (what, claims) in [
        ("another client", json!({ "aud": null, "client_id": "other" })),
        ("another audience", json!({ "aud": ["other"] })),
        ("expired", json!({ "exp": now().as_second() - 61 })),
    ] {
        assert_eq!(status(&site.token(&odd(Signing::Rsa1, claims))).await, 401, "{what}");
    }
    for token in [
        &site.token(&odd(Signing::None, json!({}))),
        &site.token(&odd(Signing::Broken, json!({}))),
        "",
        "a.b.c",
    ] {
        assert_eq!(status(token).await, 401, "{token}");
    }
    assert_eq!(status(OPERATOR).await, 200);
    // The token of the deployment is for programs: it does not become a cookie, and does not stand in an address.
    let cookie = format!("vulnrelay_token={OPERATOR}");
    assert_eq!(site.get("/", &[("cookie", &cookie)]).await.status, 401);
    let sent = site.get(&format!("/login?token={OPERATOR}"), &[]).await;
    assert!(sent.status == 303 && sent.header("location").contains("/oidc/authorize?"));
    assert!(!sent.header("location").contains(OPERATOR) && !sent.whole.cookies[0].contains(OPERATOR));
    // Who brings a wrong token is not let in by a cookie.
    let session = site.sign_in(person(&["viewer"])).await;
    for wrong in ["Bearer wrong", "Basic eDp5"] {
        let answer = site.get("/", &[("cookie", &session), ("authorization", wrong)]).await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_told_and_spared() {
    let site = Site::new().await;
    site.world.people.down(true);
    let token = site.token(&person(&["viewer"]));
    assert_eq!(site.get("/login", &[]).await.status, 503);
    site.world.people.down(false);
    assert_eq!(site.get("/login", &[]).await.status, 503, "it is asked again after a minute");
    assert_eq!(site.with_bearer(Method::GET, "/api/overview", &token).await.status, 503);
    assert_eq!(site.with_bearer(Method::GET, "/api/overview", OPERATOR).await.status, 200);
    site.setting.clock.advance(MINUTE);
    let session = site.sign_in(person(&["viewer"])).await;
    site.world.people.down(true);
    site.setting.clock.advance(SignedDuration::from_mins(58));
    assert_eq!(site.get("/", &[("cookie", &session)]).await.status, 200, "a session needs no issuer");
    assert_eq!(site.get("/healthz", &[]).await.status, 200);

    let other = Site::at("http://127.0.0.1:9000", "/").await;
    assert_eq!(other.get("/login", &[]).await.status, 503, "the issuer has to have that very name");
}

#[tokio::test]
async fn signing_out_ends_the_session_here_and_points_to_the_issuer() {
    let site = Site::new().await;
    let session = site.sign_in(person(&["viewer"])).await;
    let foreign = [("cookie", session.as_str()), ("origin", "https://evil.example")];
    assert_eq!(site.ask(Method::POST, "/logout", &foreign).await.status, 403);
    let own = format!("http://{HOST}");
    let answer = site.ask(Method::POST, "/logout", &[("cookie", &session), ("origin", &own)]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.whole.cookies.iter().any(|c| c.starts_with("vulnrelay_session=; Path=/; Max-Age=0")));
    assert!(answer.text.contains("/oidc/logout?client_id=vulnrelay-client"), "{}", answer.text);
    assert_eq!(site.ask(Method::POST, "/logout", &[]).await.status, 401);
}

#[tokio::test]
async fn one_comes_back_to_our_pages_only() {
    let site = Site::new().await;
    site.world.people.next(person(&["viewer"]));
    for (to, expected) in [
        ("/runs?connector=qualys-prod", "/runs?connector=qualys-prod"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/%5Cevil.example", "/"),
        ("/%09/evil.example", "/"),
        ("/api/tokens", "/"),
        ("/logout", "/"),
        ("/healthz", "/"),
        ("/nothing", "/"),
    ] {
        let begun = site.get(&format!("/login?to={to}"), &[]).await;
        let back = site.at_issuer(begun.header("location")).await;
        let answer = site.get(&back, &[("cookie", &cookie(&begun, 0))]).await;
        assert_eq!((answer.status, answer.header("location")), (303, expected), "{to}");
    }
}
