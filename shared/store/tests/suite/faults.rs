//! What no local implementation does: collisions of transactions, throttling, batches that are taken in part.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use store::{CounterDelta, Store, StoreError};

use crate::support::*;

/// An endpoint that gives these answers in turn, then empty ones, and keeps what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Script {
    async fn store(answers: impl IntoIterator<Item = (u16, Value)>) -> (Store, Self) {
        let script = Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Store::new(client(&endpoint), "table"), script)
    }

    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let operation = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    script.asked.lock().unwrap().push((operation, serde_json::from_str(&body).unwrap()));
    let (status, body) = script.answers.lock().unwrap().pop_front().unwrap_or((200, json!({})));
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

fn refusal(code: &str) -> (u16, Value) {
    (400, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no"}))
}

fn cancelled(reasons: &[&str]) -> (u16, Value) {
    let (status, mut body) = refusal("TransactionCanceledException");
    body["CancellationReasons"] = reasons.iter().map(|code| json!({"Code": code})).collect();
    (status, body)
}

async fn commit(answers: Vec<(u16, Value)>) -> (Result<(), StoreError>, usize) {
    let (store, script) = Script::store(answers).await;
    let mut delta = CounterDelta::default();
    delta.add_open("core", "high", 1);
    let outcome = store.commit_asset(&asset("one"), Some(1), &delta).await;
    (outcome, script.asked().len())
}

#[tokio::test]
async fn a_transaction_that_collides_with_another_is_tried_again() {
    let (outcome, asked) =
        commit(vec![cancelled(&["None", "TransactionConflict"]), cancelled(&["ThrottlingError", "None"])])
            .await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(asked, 3);
    let (outcome, asked) = commit(vec![cancelled(&["None", "TransactionConflict"]); 50]).await;
    assert_conflict(outcome);
    assert_eq!(asked, 6, "not for ever");
}

#[tokio::test]
async fn a_failed_condition_is_told_at_once() {
    let (outcome, asked) = commit(vec![cancelled(&["ConditionalCheckFailed", "TransactionConflict"])]).await;
    assert_conflict(outcome);
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn what_is_no_conflict_is_not_called_one() {
    let (outcome, _) = commit(vec![cancelled(&["None", "ProvisionedThroughputExceeded"]); 50]).await;
    assert!(matches!(outcome, Err(StoreError::Throttled { .. })), "{outcome:?}");
    let (outcome, asked) = commit(vec![cancelled(&["ValidationError", "None"])]).await;
    assert!(outcome.is_err_and(|error| error.is_refused()));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_single_write_that_meets_a_transaction_is_tried_again() {
    let conflict = || refusal("TransactionConflictException");
    let (store, script) = Script::store([conflict(), conflict()]).await;
    assert!(
        store.first_time(&connector(), "abc", noon(), noon()).await.unwrap(),
        "its condition did not fail"
    );
    assert_eq!(script.asked().len(), 3);
    let (store, script) = Script::store([conflict()]).await;
    store.confirm_run_intent(&connector(), &run_id(0), "n-1").await.unwrap();
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test]
async fn what_a_batch_leaves_is_written_by_the_next() {
    let put = json!({"PutRequest": {"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}});
    let left = json!({"UnprocessedItems": {"table": [put.clone()]}});
    let (store, script) = Script::store([(200, left.clone()), (200, left)]).await;
    let statements: Vec<_> = (0..30).map(|i| statement(&i.to_string())).collect();
    store.write_statements(&sighting("1"), &statements).await.unwrap();
    let sizes: Vec<_> = script
        .asked()
        .iter()
        .map(|(_, body)| body["RequestItems"]["table"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [25, 1, 1, 5]);
    assert_eq!(script.asked()[1].1["RequestItems"]["table"], json!([put]));
}

#[tokio::test]
async fn what_a_batch_did_not_read_is_read_by_the_next() {
    let key = json!({"pk": {"S": "a"}, "sk": {"S": "b"}});
    let left = json!({"UnprocessedKeys": {"table": {"Keys": [key.clone()]}}});
    let (store, script) = Script::store([(200, left)]).await;
    store
        .vulnerabilities_of(&asset("one").id, &[domain::VulnId::derive(&asset("one").id, "1")])
        .await
        .unwrap();
    let asked = script.asked();
    assert_eq!((asked.len(), &asked[1].1["RequestItems"]["table"]["Keys"]), (2, &json!([key])));
}

#[tokio::test]
async fn throttling_is_told_as_such() {
    let (store, _) = Script::store(vec![refusal("ThrottlingException"); 20]).await;
    let outcome = store.asset(&asset("one").id).await;
    assert!(matches!(outcome, Err(StoreError::Throttled { operation: "GetItem" })), "{outcome:?}");
}
