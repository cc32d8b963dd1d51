//! The provider of the CloudFormation resource that holds the configuration.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use configure::{Configure, Request};
use platform::services::CONFIG_DOCUMENT;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::site::{Setup, Site};

/// Takes answers as S3 does: only where the signature is whole and the request has no content type.
type Answers = Arc<Mutex<Vec<Value>>>;

async fn bucket() -> (String, Answers) {
    let answers = Answers::default();
    let take = async |State(answers): State<Answers>, uri: Uri, headers: HeaderMap, body: Bytes| {
        let signed =
            uri.path() == "/arn%3Aaws%3Acloudformation/1" && uri.query() == Some("X-Amz-Signature=a%2Fb");
        if !signed || headers.get("content-type").is_some_and(|kind| !kind.is_empty()) {
            return StatusCode::FORBIDDEN;
        }
        answers.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        StatusCode::OK
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "http://{}/arn%3Aaws%3Acloudformation/1?X-Amz-Signature=a%2Fb",
        listener.local_addr().unwrap()
    );
    let routes = Router::new().fallback(take).with_state(answers.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, answers)
}

fn request(kind: &str, address: &str, document: &str) -> Request {
    serde_json::from_value(json!({
        "RequestType": kind, "ResponseURL": address, "StackId": "stack", "RequestId": "request",
        "LogicalResourceId": "Configuration", "ResourceType": "Custom::Configuration",
        "ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:configure",
        "ResourceProperties": { "ServiceToken": "…", "Name": "connectors.yaml", "Document": document },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_deployment_stores_its_document_once_and_a_broken_one_is_refused() {
    let site = Site::start(Setup::new(1)).await;
    let services = site.stack.services();
    let (address, answers) = bucket().await;
    let function = Configure::new(services.store.clone(), services.clock.clone());
    let good = "connectors:\n  - name: q\n    type: qualys\n    base_url: https://qualysapi.qualys.com\n    auth: { method: basic, username: u, password: \"${P}\" }\n";
    let before = services.store.current_document(CONFIG_DOCUMENT).await.unwrap().unwrap();
    for kind in ["Create", "Create", "Update"] {
        function.handle(request(kind, &address, good)).await.unwrap();
    }
    let stored = services.store.current_document(CONFIG_DOCUMENT).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.text.as_str()), (before.version + 1, good));
    assert_eq!(stored.author, "deployment of connectors.yaml");

    function.handle(request("Update", &address, &good.replace("qualys\n", "nexpose\n"))).await.unwrap();
    function.handle(request("Delete", &address, good)).await.unwrap();
    let after = services.store.current_document(CONFIG_DOCUMENT).await.unwrap().unwrap();
    assert_eq!(after, stored, "what is refused or deleted changes nothing");

    let answers = answers.lock().unwrap();
    let status: Vec<_> = answers.iter().map(|answer| answer["Status"].as_str().unwrap()).collect();
    assert_eq!(status, ["SUCCESS", "SUCCESS", "SUCCESS", "FAILED", "SUCCESS"]);
    assert!(answers[3]["Reason"].as_str().unwrap().starts_with("connectors.yaml:3:"), "{}", answers[3]);
    for answer in answers.iter() {
        assert_eq!(
            (
                &answer["StackId"],
                &answer["RequestId"],
                &answer["LogicalResourceId"],
                &answer["PhysicalResourceId"]
            ),
            (&json!("stack"), &json!("request"), &json!("Configuration"), &json!("vulnrelay-configuration"))
        );
    }
}

#[tokio::test]
async fn an_answer_that_nobody_took_makes_the_request_come_back() {
    let site = Site::start(Setup::new(1)).await;
    let services = site.stack.services();
    let function = Configure::new(services.store.clone(), services.clock.clone());
    let (address, _) = bucket().await;
    let refused = address.replace("a%2Fb", "other");
    let error = function.handle(request("Delete", &refused, "")).await.unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("Signature"), "{error}");
    let error = function.handle(request("Delete", "nowhere", "")).await.unwrap_err().to_string();
    assert!(error.contains("no address"), "{error}");
}
