//! The listener of SQS and Secrets Manager: both speak AWS JSON and name the operation in `X-Amz-Target`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::messages::random_id;
use super::queues::Queues;
use super::secrets::{self, SecretSource};
use super::{sqs, stop_requested};

/// Escaped JSON may take several times the 1 MiB that a request may hold.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// What every request needs.
pub(super) struct Endpoint {
    pub queues: Arc<Queues>,
    pub secrets: Arc<dyn SecretSource>,
    pub base_url: String,
    pub access_key_id: Option<String>,
    pub stopped: watch::Receiver<bool>,
}

/// Serves until `stopped` says so.
pub(super) async fn serve(listener: TcpListener, endpoint: Endpoint, stopped: watch::Receiver<bool>) {
    let app = Router::new()
        .fallback(dispatch)
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(Arc::new(endpoint));
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop_requested(stopped)).await {
        tracing::error!(%error, "the queue endpoint stopped");
    }
}

async fn dispatch(
    State(endpoint): State<Arc<Endpoint>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if !addressed(&headers, &endpoint.base_url) {
        return StatusCode::MISDIRECTED_REQUEST.into_response();
    }
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (service, operation) = target.split_once('.').unwrap_or((target, ""));
    let protocol = if service == "AmazonSQS" { Protocol::Json10 } else { Protocol::Json11 };
    if !authorized(&headers, endpoint.access_key_id.as_deref()) {
        let refused = ApiError::bad_request(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        );
        return refused.respond(protocol);
    }
    let answer = match service {
        "AmazonSQS" => sqs::handle(&endpoint, operation, &body).await,
        "secretsmanager" => secrets::handle(endpoint.secrets.as_ref(), operation, &body),
        _ => Err(ApiError::unknown_operation(target)),
    };
    answer.unwrap_or_else(|error| error.respond(protocol))
}

/// A web page whose name was made to resolve to loopback sends that name as the host: it gets no answer.
fn addressed(headers: &HeaderMap, base_url: &str) -> bool {
    let ours = base_url.trim_start_matches("http://");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    host == ours || host.strip_prefix("localhost:").is_some_and(|port| ours.ends_with(&format!(":{port}")))
}

/// The access key id stands in the clear in a request's signature: `Credential=<id>/<date>/...`.
fn authorized(headers: &HeaderMap, access_key_id: Option<&str>) -> bool {
    let Some(wanted) = access_key_id else { return true };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once("Credential="))
        .and_then(|(_, credential)| credential.split('/').next());
    given == Some(wanted)
}

/// Version of the AWS JSON protocol.
#[derive(Clone, Copy)]
pub(super) enum Protocol {
    Json10,
    Json11,
}

impl Protocol {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
        })
    }
}

/// An error as AWS words it.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    /// Shape name, sent as `__type`.
    shape: &'static str,
    /// Code of the older query protocol, which SQS clients still go by.
    query_code: Option<&'static str>,
    message: String,
}

impl ApiError {
    /// The caller is at fault.
    pub fn bad_request(shape: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, shape, query_code: None, message: message.into() }
    }

    /// The caller of SQS is at fault.
    pub fn sqs(shape: &'static str, query_code: &'static str, message: impl Into<String>) -> Self {
        Self { query_code: Some(query_code), ..Self::bad_request(shape, message) }
    }

    /// We are at fault; clients try again.
    pub fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            shape: "InternalFailure",
            query_code: None,
            message: "The request could not be stored.".to_owned(),
        }
    }

    /// Nothing here answers to this name.
    pub fn unknown_operation(name: &str) -> Self {
        Self::bad_request("UnknownOperationException", format!("The operation {name} is not provided here."))
    }

    /// Code and message, for an entry of a batch that fails alone.
    pub fn code_and_message(self) -> (&'static str, String) {
        (self.query_code.unwrap_or(self.shape), self.message)
    }

    fn respond(self, protocol: Protocol) -> Response {
        let mut response = respond(protocol, &json!({ "__type": self.shape, "message": self.message }));
        *response.status_mut() = self.status;
        if let Some(code) = self.query_code {
            // Codes are constants of this crate, all of them ASCII.
            if let Ok(value) = HeaderValue::try_from(format!("{code};Sender")) {
                response.headers_mut().insert("x-amzn-query-error", value);
            }
        }
        response
    }
}

/// A successful answer.
pub(super) fn respond(protocol: Protocol, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, protocol.content_type());
    if let Ok(id) = HeaderValue::try_from(random_id()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// Reads a request; an empty body counts as an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    // The error's position is told, never the text around it: a body may hold a secret.
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The request is not valid: line {}, column {}.", error.line(), error.column());
        ApiError::bad_request("SerializationException", message)
    })
}
