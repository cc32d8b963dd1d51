//! The gateway, a host of its own: tokens for user and password, and Global AssetView for tokens.
//!
//! | endpoint for faults | path | key |
//! | --- | --- | --- |
//! | `auth` | `POST /auth` | `auth` |
//! | `global-assets` | `POST /am/v1/assets/host/list` | `lastSeenAssetId` |
//!
//! A token is valid for four hours of simulated time. `error=403` on `global-assets` is a subscription without the app.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::HashMap;

use super::hosts::{id as host_id, tag_id, tag_names};
use super::search::{FIRST_ASSET, ports, software};
use super::{PASSWORD, USER};
use crate::estate::{Known, Scanner};
use crate::faults::{Mode, apply_with};
use crate::{World, dice};

/// How long a token is valid, in seconds.
const LIFE: i64 = 4 * 3_600;

/// The routes of the gateway.
pub fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/auth", post(auth))
        .route("/am/v1/assets/host/list", post(assets))
        .route("/am/v1/assets/host/count", post(count))
        .with_state(world)
}

fn signature(world: &World, content: &str) -> String {
    format!("{:016x}", dice::hash(world.options.seed ^ 0x9a7e, &[content]))
}

/// A token that ends at this second.
fn token(world: &World, ends: i64) -> String {
    let encode = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let content =
        format!("{}.{}", encode(json!({ "alg": "RS256" })), encode(json!({ "sub": USER, "exp": ends })));
    format!("{content}.{}", signature(world, &content))
}

fn is_valid(world: &World, headers: &HeaderMap) -> bool {
    let read = || {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let (content, signed) = text.rsplit_once('.')?;
        let payload =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(content.split_once('.')?.1).ok()?;
        let ends = serde_json::from_slice::<Value>(&payload).ok()?["exp"].as_i64()?;
        Some(signed == signature(world, content) && ends > world.clock.now().as_second())
    };
    read() == Some(true)
}

async fn auth(State(world): State<Arc<World>>, body: Bytes) -> Response {
    apply_with(&world, "qualys", "auth", "auth", |_| {
        let form: HashMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
        let is = |name: &str, value: &str| form.get(name).map(String::as_str) == Some(value);
        if !is("username", USER) || !is("password", PASSWORD) || !is("token", "true") {
            world.received.refuse("qualys: 401 wrong user or password at the gateway");
            return (StatusCode::UNAUTHORIZED, "").into_response();
        }
        let token = token(&world, world.clock.now().as_second() + LIFE);
        (StatusCode::CREATED, [(header::CONTENT_TYPE, "text/plain")], token).into_response()
    })
    .await
}

fn refused(world: &World) -> Response {
    world.received.refuse("qualys: 401 no valid token");
    (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Unauthorized" }))).into_response()
}

async fn count(State(world): State<Arc<World>>, headers: HeaderMap) -> Response {
    if !is_valid(&world, &headers) {
        return refused(&world);
    }
    let count =
        world.estate.view(Scanner::Qualys, world.clock.now()).filter(|known| known.removed.is_none()).count();
    Json(json!({ "responseMessage": "Valid API Access", "count": count, "responseCode": "SUCCESS" }))
        .into_response()
}

async fn assets(
    State(world): State<Arc<World>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !is_valid(&world, &headers) {
        return refused(&world);
    }
    let number = |name: &str| query.get(name).map(|text| text.parse::<u64>());
    let (Ok(size), Ok(after)) =
        (number("pageSize").unwrap_or(Ok(100)), number("lastSeenAssetId").unwrap_or(Ok(0)))
    else {
        return failed("a parameter is no number");
    };
    if !(1..=300).contains(&size) {
        return failed("pageSize is 1 to 300");
    }
    let changed = match query.get("lastModifiedDate").map(|text| text.parse::<jiff::Timestamp>()) {
        None => None,
        Some(Ok(time)) => Some(time.as_second()),
        Some(Err(_)) => return failed("lastModifiedDate is no time"),
    };
    apply_with(&world, "qualys", "global-assets", &after.to_string(), |mode| {
        let mut rest = world
            .estate
            .view(Scanner::Qualys, world.clock.now())
            .filter(|known| known.removed.is_none() && mode != Mode::Empty)
            .filter(|known| FIRST_ASSET + u64::from(known.host.index) > after)
            .filter(|known| changed.is_none_or(|time| known.published() > time));
        let page: Vec<_> = rest.by_ref().take(size as usize).collect();
        let has_more = rest.next().is_some();
        let last = page.last().map_or(after, |known| FIRST_ASSET + u64::from(known.host.index));
        let assets: Vec<Value> = page.iter().map(asset).collect();
        let headers = [("x-ratelimit-limit", "300"), ("x-ratelimit-remaining", "290")];
        let body = json!({
            "responseMessage": "Valid API Access", "responseCode": "SUCCESS", "count": assets.len(),
            "assetListData": { "asset": assets }, "hasMore": u8::from(has_more), "lastSeenAssetId": last,
        });
        (headers, Json(body)).into_response()
    })
    .await
}

/// The gateway says that it failed with status 200.
fn failed(problem: &str) -> Response {
    Json(json!({ "responseMessage": problem, "responseCode": "FAILED", "count": 0 })).into_response()
}

fn asset(known: &Known) -> Value {
    let host = &known.host;
    let tags: Vec<Value> =
        tag_names(host).iter().map(|name| json!({ "tagId": tag_id(name), "tagName": name })).collect();
    let ports: Vec<Value> = ports(known)
        .iter()
        .map(|(port, protocol, service)| {
            json!({ "port": port, "protocol": protocol, "detectedService": service, "description": null })
        })
        .collect();
    let software: Vec<Value> = software(known)
        .iter()
        .map(|(name, version, vendor)| {
            json!({ "productName": name, "version": version, "publisher": vendor, "fullName": format!("{vendor} {name} {version}"),
                "softwareType": "Application", "isIgnored": false })
        })
        .collect();
    let mut asset = json!({
        "assetId": FIRST_ASSET + u64::from(host.index),
        "hostId": host_id(host),
        "assetType": "HOST",
        "assetName": host.hostname,
        "address": host.ip,
        "dnsName": host.fqdn.as_ref().unwrap_or(&host.hostname),
        "netbiosName": host.netbios,
        "agentId": host.agent,
        "hwUUID": host.bios_uuid,
        "biosSerialNumber": host.serial,
        "riskScore": 150 + u32::from(host.criticality) * 140,
        "criticality": { "score": host.criticality, "isDefault": false },
        "operatingSystem": { "osName": host.os, "fullName": host.os },
        "networkInterfaceListData": { "networkInterface": [
            { "interfaceName": "eth0", "addressIpV4": host.ip, "macAddress": host.mac } ] },
        "openPortListData": { "openPort": ports },
        "softwareListData": { "software": software },
        "tagList": { "tag": tags },
    });
    if let Some(cloud) = &host.cloud {
        asset["cloudProvider"] = json!({ "aws": { "ec2": {
            "accountId": cloud.account, "instanceId": cloud.instance, "region": cloud.region,
            "availabilityZone": cloud.zone, "instanceType": cloud.size, "instanceState": "RUNNING",
        } } });
    }
    asset
}
