//! The front door on one machine: HTTP on 127.0.0.1, handed to `dashboard` and `webhook` as the events that API
//! Gateway would send.

use std::sync::Arc;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use dashboard::Dashboard;
use webhook::Webhook;

/// API Gateway takes no larger body.
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// The functions behind API Gateway.
pub struct Front {
    /// Pages and their JSON.
    pub dashboard: Dashboard,
    /// Pushes.
    pub webhook: Webhook,
}

/// Serves the front door until dropped. Only to requests that name this machine: another name that resolves to
/// 127.0.0.1 (DNS rebinding) is refused.
pub async fn serve(front: Arc<Front>, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    let app = Router::new().fallback(handle).with_state(front);
    axum::serve(listener, app).await
}

async fn handle(State(front): State<Arc<Front>>, request: Request) -> Response {
    let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost") {
        return (StatusCode::MISDIRECTED_REQUEST, "open this page as http://127.0.0.1\n").into_response();
    }
    let event = match event(request).await {
        Ok(event) => event,
        Err(status) => return status.into_response(),
    };
    let push = event.raw_path.as_deref().is_some_and(|path| path.starts_with("/webhooks/"));
    let answer = if push { front.webhook.handle(event).await } else { front.dashboard.handle(event).await };
    response(answer)
}

async fn event(request: Request) -> Result<ApiGatewayV2httpRequest, StatusCode> {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, BODY_LIMIT).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let mut event = ApiGatewayV2httpRequest::default();
    event.version = Some("2.0".into());
    event.raw_path = Some(parts.uri.path().to_owned());
    event.raw_query_string = parts.uri.query().map(str::to_owned);
    event.request_context.http.method = parts.method.clone();
    event.request_context.http.path = Some(parts.uri.path().to_owned());
    event.request_context.http.source_ip = Some("127.0.0.1".into());
    let cookies: Vec<String> = parts
        .headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';').map(|cookie| cookie.trim().to_owned()))
        .collect();
    event.cookies = (!cookies.is_empty()).then_some(cookies);
    event.headers = parts.headers;
    event.headers.remove("cookie");
    if !body.is_empty() {
        // Always as API Gateway does with binary bodies: the raw bytes arrive whatever they are.
        event.body = Some(base64::engine::general_purpose::STANDARD.encode(&body));
        event.is_base64_encoded = true;
    }
    Ok(event)
}

fn response(answer: ApiGatewayV2httpResponse) -> Response {
    let body = match answer.body {
        Some(Body::Text(text)) if answer.is_base64_encoded => {
            base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
        }
        Some(Body::Text(text)) => text.into_bytes(),
        Some(Body::Binary(bytes)) => bytes,
        _ => Vec::new(),
    };
    let status = u16::try_from(answer.status_code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response();
    // What the function says about its body counts, not what axum would guess.
    response.headers_mut().remove("content-type");
    response.headers_mut().extend(answer.headers);
    for cookie in answer.cookies {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(HeaderName::from_static("set-cookie"), value);
        }
    }
    response
}
