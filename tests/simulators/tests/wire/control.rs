//! The levers, and faults as they look from outside.

use serde_json::json;

use crate::client::{TENABLE, options, serve};

#[tokio::test]
async fn received_has_its_four_parts_and_can_be_forgotten() {
    let served = serve(options(3)).await;
    served.get("", "/tenable/session").await;
    let received = served.get("", "/received").await.json();
    assert_eq!((&received["tickets"], &received["messages"]), (&json!([]), &json!([])));
    assert_eq!(received["requests"], 1);
    assert_eq!(received["refused"].as_array().unwrap().len(), 1);
    assert_eq!(served.get("", "/control/requests").await.json(), json!({ "tenable": 1 }));
    assert_eq!(served.post("", "/control/reset", "").await.status, 204);
    assert_eq!(served.get("", "/received").await.json()["requests"], 0);
}

#[tokio::test]
async fn the_clock_moves_when_told() {
    let served = serve(options(3)).await;
    assert_eq!(served.post("", "/control/day?day=3", "").await.json()["now"], "2026-01-08T00:00:00Z");
    assert_eq!(
        served.post("", "/control/advance?seconds=60", "").await.json()["now"],
        "2026-01-08T00:01:00Z"
    );
    assert_eq!(served.get("", "/control/day").await.json()["day"], 3);
}

#[tokio::test]
async fn faults_look_like_the_real_thing() {
    let served = serve(options(3)).await;
    let session = "/tenable/session";
    let set = async |spec: &str| {
        assert_eq!(served.post("", "/control/faults", spec).await.status, 200);
    };
    set("tenable.session:error=503").await;
    assert_eq!(served.get(TENABLE, session).await.status, 503);
    set("tenable:garbage").await;
    let page = served.get(TENABLE, session).await;
    assert!(page.status == 200 && page.body.contains("<html>"));
    set("tenable:ratelimit").await;
    let limited = served.get(TENABLE, session).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("2")));
    assert!(limited.body.contains("<html>"));
    set("tenable:drop~1").await;
    assert!(served.send("GET", TENABLE, session, "").await.is_none());
    assert_eq!(served.get(TENABLE, session).await.status, 200);
    set("tenable:truncate").await;
    let half = served.get(TENABLE, session).await;
    assert!(!half.whole && half.body.starts_with('{') && !half.body.ends_with('}'));
    set("").await;
    assert!(served.get(TENABLE, session).await.json()["username"].is_string());
    assert_eq!(served.post("", "/control/faults", "nonsense").await.status, 400);
}
