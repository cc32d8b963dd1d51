//! Faults that the simulated systems commit on request, the same ones for the same seed.
//!
//! A specification is a comma separated list of
//!
//! ```text
//! SYSTEM[.ENDPOINT]:KIND[=ARG][@SHARE][~TRIES]
//! ```
//!
//! | part | meaning |
//! | --- | --- |
//! | `SYSTEM` | `tenable`, `qualys`, `nessus`, `insightvm`, `insightvm-console`, `jira`, `slack`, `feeds`, or `*` for all |
//! | `ENDPOINT` | one endpoint of the system; without it, all of them. Each system's module lists its names |
//! | `@SHARE` | the share (0 to 1, default 1) of *keys* (a page, a chunk, a unit of work) that are hit. A key that is hit stays hit on every try |
//! | `~TRIES` | a key heals after this many tries; without it, it fails until the faults are changed |
//!
//! | kind | what happens |
//! | --- | --- |
//! | `error=STATUS` | that status with a short text, nothing is done |
//! | `timeout[=SECONDS]` | the work is done, the answer comes only after 30 or `SECONDS` seconds |
//! | `drop` | the work is done, the connection is closed without an answer |
//! | `truncate` | the work is done, half of the body comes, then the connection ends |
//! | `garbage` | an HTML page with status 200, nothing is done |
//! | `slow=MS` | the answer comes late |
//! | `ratelimit` | the system's own answer to too many requests, nothing is done |
//! | `empty` | a valid answer without records |
//! | [`NAMED`] | a fault that only one system knows, described in its module |
//!
//! Examples: `qualys.detection:error=500@0.5`, `tenable.chunk:truncate@0.2~1`, `jira.create:timeout@0.1`,
//! `slack:error=429,feeds.kev:garbage`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::{World, dice};

const SYSTEMS: [&str; 9] =
    ["tenable", "qualys", "nessus", "insightvm", "insightvm-console", "jira", "slack", "feeds", "*"];

/// Kinds that a single system gives a meaning of its own.
pub const NAMED: &[&str] = &[
    "export-error",
    "chunk-failed",
    "expired",
    "concurrency",
    "account-expired",
    "control-chars",
    "login-failed",
];

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error status, nothing done.
    Error(u16),
    /// Work done, answer after this time.
    Timeout(Duration),
    /// Work done, connection closed.
    Drop,
    /// Work done, half of the body.
    Truncate,
    /// HTML with status 200.
    Garbage,
    /// A late answer.
    Slow(Duration),
    /// The system's own rate limit answer.
    RateLimit,
    /// A valid answer without records.
    Empty,
    /// A fault that only its system knows, one of [`NAMED`].
    Named(String),
}

/// How an answer is to be produced; most faults leave it [`Mode::Normal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// As it is.
    Normal,
    /// Valid and without records.
    Empty,
    /// With the named fault of this system.
    Named(String),
}

#[derive(Debug, Clone)]
struct Rule {
    system: String,
    endpoint: Option<String>,
    fault: Fault,
    share: f64,
    tries: Option<u32>,
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spec: String,
    rules: Vec<Rule>,
    hits: HashMap<(usize, String), u32>,
}

impl Faults {
    /// No faults.
    pub fn new(seed: u64) -> Self {
        Self { seed, state: Mutex::default() }
    }

    /// Puts a specification in force, in place of the one before. An empty one clears all faults.
    pub fn set(&self, spec: &str) -> Result<(), String> {
        let rules = spec
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse)
            .collect::<Result<Vec<_>, _>>()?;
        *self.lock() = State { spec: spec.trim().to_owned(), rules, hits: HashMap::new() };
        Ok(())
    }

    /// The specification in force.
    pub fn spec(&self) -> String {
        self.lock().spec.clone()
    }

    /// The fault that this try of this key meets, if any. The first rule that hits wins.
    pub fn next(&self, system: &str, endpoint: &str, key: &str) -> Option<Fault> {
        self.pick(system, endpoint, key, true)
    }

    /// As [`Self::next`], without counting a try.
    pub fn peek(&self, system: &str, endpoint: &str, key: &str) -> Option<Fault> {
        self.pick(system, endpoint, key, false)
    }

    fn pick(&self, system: &str, endpoint: &str, key: &str, count: bool) -> Option<Fault> {
        let mut state = self.lock();
        for index in 0..state.rules.len() {
            let rule = state.rules[index].clone();
            let meant = (rule.system == system || rule.system == "*")
                && rule.endpoint.as_deref().is_none_or(|name| name == endpoint);
            if !meant || dice::share(dice::hash(self.seed, &[system, endpoint, key])) >= rule.share {
                continue;
            }
            if let Some(tries) = rule.tries {
                let hits = state.hits.entry((index, format!("{system}.{endpoint} {key}"))).or_default();
                if *hits >= tries {
                    continue;
                }
                *hits += u32::from(count);
            }
            return Some(rule.fault);
        }
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn parse(part: &str) -> Result<Rule, String> {
    let wrong = |what: &str| format!("fault `{part}`: {what}");
    let (target, rest) =
        part.split_once(':').ok_or_else(|| wrong("expected SYSTEM[.ENDPOINT]:KIND[=ARG][@SHARE][~TRIES]"))?;
    let (system, endpoint) = match target.split_once('.') {
        Some((system, endpoint)) => (system, Some(endpoint.to_owned())),
        None => (target, None),
    };
    if !SYSTEMS.contains(&system) {
        return Err(wrong(&format!("the system is one of {}", SYSTEMS.join(", "))));
    }
    let (rest, tries) = match rest.split_once('~') {
        Some((rest, tries)) => (rest, Some(tries.parse().map_err(|_| wrong("TRIES is a whole number"))?)),
        None => (rest, None),
    };
    let (rest, share) = match rest.split_once('@') {
        Some((rest, share)) => {
            let share: f64 = share.parse().map_err(|_| wrong("SHARE is a number from 0 to 1"))?;
            (rest, share)
        }
        None => (rest, 1.0),
    };
    if !(0.0..=1.0).contains(&share) {
        return Err(wrong("SHARE is a number from 0 to 1"));
    }
    let (kind, argument) = match rest.split_once('=') {
        Some((kind, argument)) => {
            (kind, Some(argument.parse::<u64>().map_err(|_| wrong("ARG is a whole number"))?))
        }
        None => (rest, None),
    };
    let fault = match (kind, argument) {
        ("error", Some(status @ 400..=599)) => Fault::Error(status as u16),
        ("error", _) => return Err(wrong("error needs a status from 400 to 599")),
        ("timeout", seconds) => Fault::Timeout(Duration::from_secs(seconds.unwrap_or(30))),
        ("slow", Some(millis)) => Fault::Slow(Duration::from_millis(millis)),
        ("slow", None) => return Err(wrong("slow needs milliseconds")),
        ("drop", None) => Fault::Drop,
        ("truncate", None) => Fault::Truncate,
        ("garbage", None) => Fault::Garbage,
        ("ratelimit", None) => Fault::RateLimit,
        ("empty", None) => Fault::Empty,
        (name, None) if NAMED.contains(&name) => Fault::Named(name.to_owned()),
        _ => return Err(wrong("unknown kind, or one that takes no argument")),
    };
    Ok(Rule { system: system.to_owned(), endpoint, fault, share, tries })
}

/// Answers a request whose handler knows neither an `empty` answer nor faults of its own.
pub async fn apply(
    world: &World,
    system: &str,
    endpoint: &str,
    key: &str,
    produce: impl FnOnce() -> Response,
) -> Response {
    apply_with(world, system, endpoint, key, |mode| match mode {
        Mode::Empty => (StatusCode::OK, axum::Json(serde_json::json!({}))).into_response(),
        Mode::Normal | Mode::Named(_) => produce(),
    })
    .await
}

/// Answers a request, with the fault that its key meets.
pub async fn apply_with(
    world: &World,
    system: &str,
    endpoint: &str,
    key: &str,
    produce: impl FnOnce(Mode) -> Response,
) -> Response {
    let Some(fault) = world.faults.next(system, endpoint, key) else { return produce(Mode::Normal) };
    match fault {
        Fault::Error(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, "text/plain")], format!("simulated fault: {status}"))
                .into_response()
        }
        Fault::Timeout(time) => {
            let answer = produce(Mode::Normal);
            tokio::time::sleep(time).await;
            answer
        }
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            produce(Mode::Normal)
        }
        Fault::Drop => {
            drop(produce(Mode::Normal));
            // Ends the task of this connection, and with it the connection, without a word to the panic hook.
            std::panic::resume_unwind(Box::new("connection dropped by a simulated fault"))
        }
        Fault::Truncate => truncated(produce(Mode::Normal)).await,
        Fault::Garbage => garbage(),
        Fault::RateLimit => {
            world.received.refuse(format!("{system}.{endpoint} {key}: rate limit (simulated fault)"));
            rate_limited(world, system)
        }
        Fault::Empty => produce(Mode::Empty),
        Fault::Named(name) => produce(Mode::Named(name)),
    }
}

async fn truncated(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    let half = whole.slice(..whole.len() / 2);
    let pieces = [Ok(half), Err(std::io::Error::other("simulated fault: truncated"))];
    // The error must not overtake the bytes before it, which hyper would otherwise still hold back.
    let body = Body::from_stream(stream::unfold(pieces.into_iter(), |mut rest| async {
        let piece: Result<Bytes, std::io::Error> = rest.next()?;
        if piece.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some((piece, rest))
    }));
    Response::from_parts(parts, body)
}

fn garbage() -> Response {
    const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Scheduled maintenance</title></head>\
        <body><h1>We will be back soon</h1></body></html>\n";
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

/// The answer of a system to one request too many.
pub fn rate_limited(world: &World, system: &str) -> Response {
    let retry = |name: &'static str, seconds: &'static str| [(HeaderName::from_static(name), seconds)];
    match system {
        "tenable" => crate::tenable::rate_limited(),
        "qualys" => crate::qualys::rate_limited(world),
        "insightvm-console" => crate::insightvm_console::rate_limited(),
        "nessus" => crate::nessus::rate_limited(),
        "insightvm" => crate::insightvm::rate_limited(),
        "jira" => (
            StatusCode::TOO_MANY_REQUESTS,
            retry("retry-after", "2"),
            axum::Json(serde_json::json!({ "errorMessages": ["Rate limit exceeded."], "errors": {} })),
        )
            .into_response(),
        "slack" => (
            StatusCode::TOO_MANY_REQUESTS,
            retry("retry-after", "1"),
            axum::Json(serde_json::json!({ "ok": false, "error": "ratelimited" })),
        )
            .into_response(),
        _ => (StatusCode::TOO_MANY_REQUESTS, retry("retry-after", "2"), "Too Many Requests").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(spec: &str) -> Faults {
        let faults = Faults::new(7);
        faults.set(spec).unwrap();
        faults
    }

    #[test]
    fn a_share_of_keys_is_hit_and_stays_hit() {
        let faults = faults("tenable.chunk:error=500@0.5");
        let hit: Vec<bool> =
            (0..1000).map(|k| faults.next("tenable", "chunk", &k.to_string()).is_some()).collect();
        let again: Vec<bool> =
            (0..1000).map(|k| faults.next("tenable", "chunk", &k.to_string()).is_some()).collect();
        assert_eq!(hit, again);
        let count = hit.iter().filter(|hit| **hit).count();
        assert!((420..580).contains(&count), "{count} of 1000");
        assert_eq!(faults.next("tenable", "status", "1"), None);
        assert_eq!(faults.next("qualys", "chunk", "1"), None);
    }

    #[test]
    fn a_fault_with_tries_heals() {
        let faults = faults("jira:drop~2");
        assert_eq!(faults.next("jira", "create", "a"), Some(Fault::Drop));
        assert_eq!(faults.peek("jira", "create", "a"), Some(Fault::Drop));
        assert_eq!(faults.next("jira", "create", "a"), Some(Fault::Drop));
        assert_eq!(faults.next("jira", "create", "a"), None);
        assert_eq!(faults.next("jira", "create", "b"), Some(Fault::Drop));
    }

    #[test]
    fn a_new_specification_replaces_the_old_one() {
        let faults = faults("slack:error=429, *:slow=5");
        assert_eq!(faults.next("slack", "post", ""), Some(Fault::Error(429)));
        assert_eq!(faults.next("feeds", "kev", ""), Some(Fault::Slow(Duration::from_millis(5))));
        faults.set("").unwrap();
        assert_eq!(faults.next("slack", "post", ""), None);
    }

    #[test]
    fn wrong_specifications_are_refused_with_a_reason() {
        for spec in
            ["x", "nobody:drop", "jira:error", "jira:error=200", "jira:drop=1", "jira:drop@2", "jira:~"]
        {
            assert!(Faults::new(1).set(spec).is_err(), "{spec}");
        }
    }
}
