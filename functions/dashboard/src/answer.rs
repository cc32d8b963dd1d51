//! Answers, each with the headers that keep a browser from doing anything but showing them.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::Markup;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// The documentation of the API.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");
const SHEET: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// The style sheet, with the digests under which pages may use it.
pub(crate) struct Style {
    /// Address of the sheet; changes with its content.
    pub address: String,
    /// For the one page that has to carry it inside.
    pub inline: &'static str,
    digest: String,
}

impl Style {
    pub(crate) fn new() -> Self {
        let digest = STANDARD.encode(Sha256::digest(SHEET));
        let short: String = digest.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        Self { address: format!("/style.css?v={short}"), inline: SHEET, digest }
    }

    pub(crate) fn answer(&self) -> ApiGatewayV2httpResponse {
        let mut answer = respond(200, "text/css; charset=utf-8", SHEET.to_owned(), "default-src 'none'");
        // Nothing in it is anybody's data, and its address changes with it.
        answer.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=86400"));
        answer
    }
}

/// A page.
pub(crate) fn page(status: i64, page: Markup) -> ApiGatewayV2httpResponse {
    let policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; \
                  frame-ancestors 'none'";
    respond(status, "text/html; charset=utf-8", page.into_string(), policy)
}

/// A page that carries its style inside, for who may not fetch anything.
pub(crate) fn page_with_style(status: i64, style: &Style, page: Markup) -> ApiGatewayV2httpResponse {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        style.digest
    );
    let mut answer = respond(status, "text/html; charset=utf-8", page.into_string(), &policy);
    if status == 401 {
        answer.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// Data.
pub(crate) fn json(status: i64, data: &impl Serialize) -> ApiGatewayV2httpResponse {
    match serde_json::to_string(data) {
        Ok(text) => respond(status, "application/json", text, "default-src 'none'; frame-ancestors 'none'"),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            json_problem(&Problem::Internal)
        }
    }
}

/// Why there is no data.
pub(crate) fn json_problem(problem: &Problem) -> ApiGatewayV2httpResponse {
    let text = serde_json::json!({ "error": problem.to_string() }).to_string();
    let mut answer =
        respond(problem.status(), "application/json", text, "default-src 'none'; frame-ancestors 'none'");
    if *problem == Problem::Unknown {
        answer.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    with_allow(answer, problem)
}

/// Says which method works, where another was used.
pub(crate) fn with_allow(
    mut answer: ApiGatewayV2httpResponse,
    problem: &Problem,
) -> ApiGatewayV2httpResponse {
    if let Problem::Method(allowed) = problem {
        answer.headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    answer
}

/// Plain text.
pub(crate) fn text(text: &str) -> ApiGatewayV2httpResponse {
    respond(200, "text/plain; charset=utf-8", text.to_owned(), "default-src 'none'; frame-ancestors 'none'")
}

pub(crate) fn openapi() -> ApiGatewayV2httpResponse {
    respond(200, "application/json", OPENAPI.to_owned(), "default-src 'none'; frame-ancestors 'none'")
}

pub(crate) fn icon() -> ApiGatewayV2httpResponse {
    respond(200, "image/svg+xml", ICON.to_owned(), "default-src 'none'; frame-ancestors 'none'")
}

/// Goes to another page, with GET.
pub(crate) fn see(address: &str) -> ApiGatewayV2httpResponse {
    let mut answer = text("");
    answer.status_code = 303;
    // Addresses are constants, or were made of parsed ids and URLs.
    answer
        .headers
        .insert(header::LOCATION, HeaderValue::from_str(address).unwrap_or(HeaderValue::from_static("/")));
    answer
}

/// Keeps cookies and goes to another page.
pub(crate) fn see_with(address: &str, cookies: Vec<String>) -> ApiGatewayV2httpResponse {
    let mut answer = see(address);
    answer.cookies = cookies;
    answer
}

fn respond(status: i64, kind: &'static str, body: String, policy: &str) -> ApiGatewayV2httpResponse {
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = status;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: forms would then be sent with the origin `null`.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in headers {
        answer.headers.insert(name, HeaderValue::from_static(value));
    }
    answer.headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    answer.headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if let Ok(policy) = HeaderValue::from_str(policy) {
        answer.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer.body = Some(Body::Text(body));
    answer
}
