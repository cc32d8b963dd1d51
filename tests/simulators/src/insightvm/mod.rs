//! InsightVM's cloud, simulated: the integration API v4, and the Bulk Export with its Parquet files.
//!
//! [`API_KEY`] is an organisation's key and opens everything; [`USER_KEY`] is that of a user who is no Platform Admin, for
//! whom there is no Bulk Export. Files of an export are at addresses that are signed for 15 minutes; a request for one
//! that brings a key along is refused, as the real storage service does.
//!
//! | endpoint for faults | key | extra faults |
//! | --- | --- | --- |
//! | `assets` | number of the page | |
//! | `vulnerabilities` | the query | |
//! | `export` | `vulnerabilities` or `remediation` | |
//! | `status` | `vulnerabilities` or `remediation` | `export-error`: ends as `FAILED` |
//! | `file` | name of the file | `expired`: the address is not valid any more |

mod assets;
mod definitions;
mod export;
pub mod table;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::World;
use crate::faults::{Mode, apply_with};
use export::Exports;

/// A key with every right.
pub const API_KEY: &str = "sim-insightvm-key";
/// A key without the right to export.
pub const USER_KEY: &str = "sim-insightvm-user-key";

/// The world and its exports.
pub(crate) struct Insightvm {
    pub world: Arc<World>,
    pub exports: Exports,
}

type Shared = State<Arc<Insightvm>>;
type Params = Query<std::collections::BTreeMap<String, String>>;

/// The routes of this system.
pub fn router(world: Arc<World>) -> Router {
    let insightvm = Arc::new(Insightvm { exports: Exports::default(), world });
    let with_key = Router::new()
        .route("/vm/v4/integration/assets", post(list_assets))
        .route("/vm/v4/integration/assets/{id}", get(one_asset))
        .route("/vm/v4/integration/vulnerabilities", post(list_vulnerabilities))
        .route("/export/graphql", post(graphql))
        .layer(from_fn_with_state(insightvm.clone(), authenticate));
    Router::new()
        .route("/files/{export}/{name}", get(file))
        .merge(with_key)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "Not Found") })
        .with_state(insightvm)
}

/// The gateway's answer to one request too many.
pub fn rate_limited() -> Response {
    let body = json!({ "message": "API rate limit exceeded" });
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3")], Json(body)).into_response()
}

impl Insightvm {
    /// An error answer that is remembered as refused.
    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        self.world.received.refuse(format!("insightvm: {} {message}", status.as_u16()));
        problem(status, message)
    }
}

fn problem(status: StatusCode, message: &str) -> Response {
    let body = json!({ "status": status.as_u16(), "localized_message": null, "message": message });
    (status, Json(body)).into_response()
}

fn key(headers: &HeaderMap) -> &str {
    headers.get("x-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn authenticate(State(insightvm): Shared, request: Request, next: Next) -> Response {
    if ![API_KEY, USER_KEY].contains(&key(request.headers())) {
        insightvm.world.received.refuse("insightvm: 401 Unauthorized");
        return (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Unauthorized" }))).into_response();
    }
    next.run(request).await
}

async fn list_assets(State(insightvm): Shared, Query(params): Params, body: Bytes) -> Response {
    let wish = match assets::Wish::parse(&insightvm.world, &params, &body) {
        Ok(wish) => wish,
        Err(reason) => return insightvm.refuse(StatusCode::BAD_REQUEST, &reason),
    };
    let world = insightvm.world.clone();
    apply_with(&world, "insightvm", "assets", &wish.number().to_string(), |mode| {
        Json(assets::page(&world, &wish, mode == Mode::Empty)).into_response()
    })
    .await
}

async fn one_asset(State(insightvm): Shared, Path(id): Path<String>, Query(params): Params) -> Response {
    match assets::Wish::parse(&insightvm.world, &params, b"{}") {
        Ok(wish) => match assets::one(&insightvm.world, &wish, &id) {
            Some(asset) => Json(asset).into_response(),
            None => problem(StatusCode::NOT_FOUND, "The resource does not exist or access is prohibited."),
        },
        Err(reason) => insightvm.refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

async fn list_vulnerabilities(State(insightvm): Shared, Query(params): Params, body: Bytes) -> Response {
    let wish = match definitions::Wish::parse(&params, &body) {
        Ok(wish) => wish,
        Err(reason) => return insightvm.refuse(StatusCode::BAD_REQUEST, &reason),
    };
    let world = insightvm.world.clone();
    apply_with(&world, "insightvm", "vulnerabilities", &wish.key(), |mode| {
        Json(definitions::page(&wish, mode == Mode::Empty)).into_response()
    })
    .await
}

async fn graphql(State(insightvm): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let question: Value = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(_) => return insightvm.refuse(StatusCode::BAD_REQUEST, "the body is no JSON"),
    };
    if key(&headers) != API_KEY {
        insightvm.world.received.refuse("insightvm: the key has no right to export");
        return Json(export::error("PERMISSION_DENIED", "Access denied")).into_response();
    }
    let world = insightvm.world.clone();
    match export::Ask::parse(&question) {
        Err(reason) => {
            world.received.refuse(format!("insightvm: {reason}"));
            Json(export::error("BAD_REQUEST", &reason)).into_response()
        }
        Ok(ask) => {
            let (endpoint, key) = insightvm.exports.place(&ask);
            apply_with(&world, "insightvm", endpoint, key, |mode| {
                let broken = mode == Mode::Named("export-error".to_owned());
                Json(insightvm.exports.answer(&world, &ask, broken)).into_response()
            })
            .await
        }
    }
}

async fn file(
    State(insightvm): Shared,
    Path((export, name)): Path<(String, String)>,
    Query(params): Params,
    headers: HeaderMap,
) -> Response {
    let denied = |reason: &str| {
        insightvm.world.received.refuse(format!("insightvm: file: {reason}"));
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>{reason}</Message></Error>"
        );
        (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
    };
    if headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION) {
        return denied("Only one auth mechanism allowed");
    }
    if !export::is_valid(&insightvm.world, &export, &name, &params) {
        return denied("Request has expired");
    }
    let world = insightvm.world.clone();
    apply_with(&world, "insightvm", "file", &name, |mode| {
        if let Mode::Named(_) = mode {
            return denied("Request has expired");
        }
        let Some(body) = insightvm.exports.file(&world, &export, &name) else {
            return (StatusCode::NOT_FOUND, "no such file").into_response();
        };
        part(&headers, &body)
    })
    .await
}

/// The part of a file that was asked for.
fn part(headers: &HeaderMap, body: &Bytes) -> Response {
    let total = body.len();
    let range = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    let (first, last) = match range {
        None => return (StatusCode::OK, body.clone()).into_response(),
        Some(("", suffix)) => match suffix.parse::<usize>() {
            Ok(length) => (total - length.min(total), total),
            Err(_) => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        },
        Some((first, last)) => match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first < total && first <= last => (first, (last + 1).min(total)),
            _ => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        },
    };
    let told = format!("bytes {first}-{}/{total}", last.saturating_sub(1));
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, told)], body.slice(first..last)).into_response()
}
