//! Pushes that prove where they come from in other ways than ours: GitHub's, a secret in a header, Amazon SNS.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue, Method};
use platform::Services;
use serde_json::{Value, json};
use sync::HttpOptions;
use webhook::{GITHUB_HEADER, SIGNATURE_HEADER, SnsOptions, Webhook, sign_body};

use crate::sns::{CERTIFICATE, Sns, TOPIC, about_subscription, certificate, notification, signed};
use crate::support::{self, Doubles, HandClock};

const NOW: i64 = 1_795_350_000; // 2026-11-22T12:20:00Z
const BODY: &[u8] = br#"{"action":"completed"}"#;
const CONFIG: &str = r#"
connectors:
  - name: qualys-prod
    type: qualys
    base_url: https://qualysapi.qualys.com
    auth: { method: basic, username: "${USER}", password: "${PASS}" }
webhooks:
  - name: repository
    connector: qualys-prod
    verify: github
    secrets: ["${NEW}", "${OLD}"]
    remember: 2h
  - name: relay
    connector: qualys-prod
    verify: static_header
    header: X-Scanner-Token
    secrets: ["${NEW}", "${OLD}"]
  - name: topic
    connector: qualys-prod
    verify: sns
    topics: ["arn:aws:sns:eu-central-1:123456789012:scans"]
"#;

struct Setting {
    webhook: Webhook,
    doubles: Arc<Doubles>,
    clock: Arc<HandClock>,
    sns: Arc<Sns>,
}

impl Setting {
    async fn new() -> Self {
        let clock = Arc::new(HandClock(NOW.into()));
        let (doubles, queue, secrets) = Doubles::start(clock.clone()).await;
        let secret = json!({ "NEW": "fresh", "OLD": "stale" });
        for source in ["repository", "relay"] {
            doubles.secrets.lock().unwrap().insert(format!("vulnrelay/{source}"), secret.clone());
        }
        let config = Arc::new(platform::parse_config("connectors.yaml", CONFIG).unwrap());
        let store = support::table().await;
        let metrics = platform::Metrics::new(Arc::new(platform::telemetry::Log), clock.clone());
        let services =
            Services { store, queue, secrets, clock: clock.clone(), metrics, config, config_version: 1 };
        let (sns, address) = Sns::start().await;
        let retry_pause = std::time::Duration::from_millis(1);
        let http = HttpOptions { allow_private_address: true, retry_pause, ..HttpOptions::default() };
        let webhook = Webhook::with_sns(&services, SnsOptions { endpoint: Some(address), http });
        Self { webhook, doubles, clock, sns }
    }

    async fn status(&self, request: ApiGatewayV2httpRequest) -> i64 {
        self.webhook.handle(request).await.status_code
    }

    fn starts(&self) -> usize {
        self.doubles.sent().len()
    }

    fn now(&self, at: i64) {
        self.clock.0.store(at, Ordering::SeqCst);
    }
}

fn request(source: &str, header: Option<(&str, &str)>, body: &[u8]) -> ApiGatewayV2httpRequest {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let mut request = ApiGatewayV2httpRequest::default();
    request.raw_path = Some(format!("/webhooks/{source}"));
    request.request_context.http.method = Method::POST;
    request.headers = headers;
    request.body = Some(String::from_utf8(body.to_vec()).unwrap());
    request
}

fn github(secret: &str, body: &[u8]) -> ApiGatewayV2httpRequest {
    request("repository", Some((GITHUB_HEADER, &sign_body(secret, body))), body)
}

fn relay(secret: &str, body: &[u8]) -> ApiGatewayV2httpRequest {
    request("relay", Some(("x-scanner-token", secret)), body)
}

fn sns(message: &Value) -> ApiGatewayV2httpRequest {
    request("topic", Some(("x-amz-sns-message-type", "Notification")), message.to_string().as_bytes())
}

#[tokio::test]
async fn a_push_of_github_starts_a_pull_once() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(github("fresh", BODY)).await, 202);
    assert_eq!(setting.doubles.sent()[0].0, "sync-qualys");
    assert_eq!(setting.status(github("fresh", BODY)).await, 202, "a replay looks the same from outside");
    assert_eq!(
        setting.status(github("stale", BODY)).await,
        202,
        "the other secret of a rotation, the same push"
    );
    assert_eq!(setting.starts(), 1);
    assert_eq!(setting.status(github("fresh", b"{}")).await, 202);
    assert_eq!(setting.starts(), 2);
    setting.now(NOW + 7_199);
    assert_eq!(setting.status(github("fresh", BODY)).await, 202);
    assert_eq!(setting.starts(), 2, "remembered for as long as configured");
    setting.now(NOW + 7_200);
    assert_eq!(setting.status(github("fresh", BODY)).await, 202);
    assert_eq!(setting.starts(), 3, "and not longer, although the item is still there");
    let sent = setting.doubles.sent();
    assert_ne!(sent[0].1["request"], sent[2].1["request"], "it is another wish");
}

#[tokio::test]
async fn a_forged_push_of_github_is_refused() {
    let setting = Setting::new().await;
    let good = sign_body("fresh", BODY);
    let ours = webhook::sign("fresh", NOW, BODY);
    for (what, header) in [
        ("forged", Some((GITHUB_HEADER, sign_body("guessed", BODY)))),
        ("of another body", Some((GITHUB_HEADER, sign_body("fresh", b"{}")))),
        ("an empty secret", Some((GITHUB_HEADER, sign_body("", BODY)))),
        ("with a time", Some((GITHUB_HEADER, ours.clone()))),
        ("SHA-1", Some((GITHUB_HEADER, format!("sha1={}", "0".repeat(40))))),
        ("another header", Some((SIGNATURE_HEADER, good))),
        ("nothing", None),
    ] {
        let header = header.as_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(setting.status(request("repository", header, BODY)).await, 401, "{what}");
    }
    assert_eq!(setting.starts(), 0);
}

#[tokio::test]
async fn a_secret_in_a_header_starts_a_pull() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(relay("fresh", BODY)).await, 202);
    assert_eq!(setting.status(relay("stale", b"other")).await, 202);
    assert_eq!(setting.starts(), 2);
    assert_eq!(setting.status(relay("stale", BODY)).await, 202);
    assert_eq!(setting.starts(), 2, "delivered twice");
    setting.now(NOW + 60);
    assert_eq!(setting.status(relay("fresh", BODY)).await, 202);
    assert_eq!(setting.starts(), 3, "a minute later the same words are another push");
    for wrong in ["", "fres", "fresh ", "freshfresh", "Fresh"] {
        assert_eq!(setting.status(relay(wrong, BODY)).await, 401, "{wrong:?}");
    }
    assert_eq!(setting.status(request("relay", None, BODY)).await, 401);
    assert_eq!(setting.status(request("relay", Some(("authorization", "fresh")), BODY)).await, 401);
    // The old secret is taken away when the rotation is over.
    setting.doubles.secrets.lock().unwrap().insert("vulnrelay/relay".into(), json!({ "NEW": "fresh" }));
    setting.now(NOW + 600);
    assert_eq!(setting.status(relay("stale", b"late")).await, 401);
    assert_eq!(setting.status(relay("fresh", b"late")).await, 202);
}

#[tokio::test]
async fn a_message_of_sns_starts_a_pull_once_in_either_version() {
    let setting = Setting::new().await;
    for (id, version) in [("1", "1"), ("2", "2")] {
        let mut message = notification(id, NOW);
        message["SignatureVersion"] = json!(version);
        let message = signed(message, true);
        assert_eq!(setting.status(sns(&message)).await, 202, "version {version}");
        assert_eq!(setting.status(sns(&message)).await, 202, "delivered twice");
    }
    assert_eq!(setting.starts(), 2);
    assert_eq!(setting.sns.asked(".pem"), 1, "the certificate is kept");
    let mut plain = notification("3", NOW);
    plain.as_object_mut().unwrap().remove("Subject");
    assert_eq!(setting.status(sns(&signed(plain, true))).await, 202, "a message without a subject");
    assert_eq!(setting.starts(), 3);
}

#[tokio::test]
async fn what_sns_did_not_sign_is_refused_and_asks_nobody_else() {
    let setting = Setting::new().await;
    let with = |field: &str, value: &str| {
        let mut message = notification("1", NOW);
        message[field] = json!(value);
        signed(message, true)
    };
    let altered = |field: &str, value: &str| {
        let mut message = signed(notification("1", NOW), true);
        message[field] = json!(value);
        message
    };
    let mut without_token = about_subscription("SubscriptionConfirmation", NOW);
    without_token.as_object_mut().unwrap().remove("Token");
    let refused = [
        ("signed by somebody else", signed(notification("1", NOW), false)),
        ("changed after it was signed", altered("Message", "other")),
        ("a subject added", altered("Subject", "other")),
        ("another id", altered("MessageId", "2")),
        ("signed as version 2, sent as version 1", altered("SignatureVersion", "1")),
        ("no known version", altered("SignatureVersion", "3")),
        ("no signature", altered("Signature", "")),
        ("another topic", with("TopicArn", &TOPIC.replace("scans", "other"))),
        ("a topic of another account", with("TopicArn", &TOPIC.replace("123456789012", "999999999999"))),
        (
            "a certificate of another region",
            with("SigningCertURL", &CERTIFICATE.replace("eu-central-1", "us-east-1")),
        ),
        (
            "a certificate of somebody else",
            with(
                "SigningCertURL",
                "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-0a1b2c.pem",
            ),
        ),
        ("a certificate in the clear", with("SigningCertURL", &CERTIFICATE.replace("https", "http"))),
        (
            "something else than a certificate",
            with("SigningCertURL", "https://sns.eu-central-1.amazonaws.com/?Action=Subscribe"),
        ),
        ("a certificate that does not exist", with("SigningCertURL", &CERTIFICATE.replace("0a1b2c", "ffff"))),
        ("too old", signed(notification("1", NOW - 7_201), true)),
        ("of the future", signed(notification("1", NOW + 7_205), true)),
        ("an unknown type", with("Type", "Other")),
        ("a confirmation without its token", signed(without_token, true)),
    ];
    for (what, message) in refused {
        assert_eq!(setting.status(sns(&message)).await, 401, "{what}");
    }
    assert_eq!(setting.status(request("topic", None, b"raw delivery")).await, 401);
    assert_eq!(setting.starts(), 0);
    let asked = setting.sns.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.ends_with(".pem")), "{asked:?}");
    assert_eq!(asked.len(), 2, "the one that exists and the one that does not: {asked:?}");
}

#[tokio::test]
async fn a_certificate_has_to_be_sns_own_and_of_this_time() {
    for (what, pem) in [
        ("expired", certificate("sns.amazonaws.com", "20250101000000Z", "20261122121959Z")),
        ("not valid yet", certificate("sns.amazonaws.com", "20261122122001Z", "20270101000000Z")),
        ("issued to somebody else", certificate("s3.amazonaws.com", "20260101000000Z", "20270101000000Z")),
        ("not a certificate", "hello".into()),
    ] {
        let setting = Setting::new().await;
        setting.sns.serve(CERTIFICATE, pem);
        assert_eq!(setting.status(sns(&signed(notification("1", NOW), true))).await, 401, "{what}");
        assert_eq!(setting.starts(), 0);
    }
}

#[tokio::test]
async fn a_kept_certificate_expires_too() {
    let setting = Setting::new().await;
    setting.sns.serve(CERTIFICATE, certificate("sns.amazonaws.com", "20260101000000Z", "20261122130000Z"));
    assert_eq!(setting.status(sns(&signed(notification("1", NOW), true))).await, 202);
    let later = NOW + 3_600;
    setting.now(later);
    assert_eq!(setting.status(sns(&signed(notification("2", later), true))).await, 401);
    assert_eq!(setting.starts(), 1);
}

#[tokio::test]
async fn a_new_certificate_is_fetched() {
    let setting = Setting::new().await;
    assert_eq!(setting.status(sns(&signed(notification("1", NOW), true))).await, 202);
    let next = CERTIFICATE.replace("0a1b2c", "d3e4f5");
    setting
        .sns
        .serve(&next, certificate("sns.eu-central-1.amazonaws.com", "20261101000000Z", "20271101000000Z"));
    let mut message = notification("2", NOW);
    message["SigningCertURL"] = json!(next);
    assert_eq!(setting.status(sns(&signed(message, true))).await, 202);
    assert_eq!((setting.starts(), setting.sns.asked(".pem")), (2, 2));
}

#[tokio::test]
async fn a_subscription_is_confirmed_where_it_belongs() {
    let setting = Setting::new().await;
    let message = signed(about_subscription("SubscriptionConfirmation", NOW), true);
    assert_eq!(setting.status(sns(&message)).await, 202);
    assert_eq!(setting.sns.asked("Action=ConfirmSubscription"), 1);
    assert_eq!(setting.sns.asked("Token=2336412f37"), 1);
    assert_eq!(setting.starts(), 0, "nothing has happened yet");
    for elsewhere in [
        "https://evil.example/?Action=ConfirmSubscription".to_owned(),
        format!("https://sns.eu-central-1.amazonaws.com/?Action=DeleteTopic&TopicArn={TOPIC}"),
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=other&Token=1"
            .to_owned(),
    ] {
        let mut message = about_subscription("SubscriptionConfirmation", NOW);
        message["SubscribeURL"] = json!(elsewhere);
        assert_eq!(setting.status(sns(&signed(message, true))).await, 401, "{elsewhere}");
    }
    let mut foreign = about_subscription("SubscriptionConfirmation", NOW);
    foreign["TopicArn"] = json!(TOPIC.replace("scans", "other"));
    assert_eq!(setting.status(sns(&signed(foreign, true))).await, 401, "nobody signs us up to another topic");
    assert_eq!(setting.sns.asked("Action="), 1);
}

#[tokio::test]
async fn the_end_of_a_subscription_is_taken_note_of() {
    let setting = Setting::new().await;
    let message = signed(about_subscription("UnsubscribeConfirmation", NOW), true);
    assert_eq!(setting.status(sns(&message)).await, 202);
    assert_eq!((setting.starts(), setting.sns.asked("Action=")), (0, 0), "it is not undone");
}

#[tokio::test]
async fn while_sns_is_out_of_reach_the_sender_may_try_again() {
    let setting = Setting::new().await;
    *setting.sns.fails.lock().unwrap() = Some(503);
    let message = signed(notification("1", NOW), true);
    let response = setting.webhook.handle(sns(&message)).await;
    assert_eq!(response.status_code, 503);
    assert!(response.headers.contains_key("retry-after"));
    let confirmation = signed(about_subscription("SubscriptionConfirmation", NOW), true);
    assert_eq!(setting.status(sns(&confirmation)).await, 503);
    *setting.sns.fails.lock().unwrap() = None;
    assert_eq!(setting.status(sns(&message)).await, 202);
    assert_eq!(setting.status(sns(&confirmation)).await, 202);
    assert_eq!((setting.starts(), setting.sns.asked("Action=ConfirmSubscription")), (1, 1));
}
