//! The simulator's own endpoints: what was received, and the levers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::World;

type Shared = State<Arc<World>>;

#[derive(Deserialize)]
pub struct Day {
    day: u32,
}

#[derive(Deserialize)]
pub struct Advance {
    seconds: i64,
}

pub async fn received(State(world): Shared) -> Json<Value> {
    Json(world.received.summary())
}

pub async fn requests(State(world): Shared) -> Json<Value> {
    Json(json!(world.received.requests()))
}

pub async fn day(State(world): Shared) -> Json<Value> {
    Json(time(&world))
}

pub async fn set_day(State(world): Shared, Query(query): Query<Day>) -> Json<Value> {
    world.clock.set_day(query.day);
    Json(time(&world))
}

pub async fn advance(State(world): Shared, Query(query): Query<Advance>) -> Json<Value> {
    world.clock.advance(SignedDuration::from_secs(query.seconds));
    Json(time(&world))
}

pub async fn faults(State(world): Shared) -> String {
    world.faults.spec()
}

pub async fn set_faults(State(world): Shared, spec: String) -> Result<String, (StatusCode, String)> {
    world.faults.set(&spec).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
    Ok(world.faults.spec())
}

pub async fn reset(State(world): Shared) -> StatusCode {
    world.received.clear();
    StatusCode::NO_CONTENT
}

fn time(world: &World) -> Value {
    json!({ "day": world.clock.day(), "now": world.clock.now().to_string() })
}
