//! Calls per window and calls at once, per API, as the subscription allows them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::World;

/// What a subscription may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls per window and API.
    pub calls: u32,
    /// Length of the rolling window in seconds.
    pub window: u32,
    /// Calls at once per API.
    pub concurrency: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 300, window: 3_600, concurrency: 2 }
    }
}

/// Why a call is not let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Denied {
    /// Too many at once.
    Concurrency { to_finish: u32 },
    /// Too many in the window.
    Rate { seconds: u32 },
}

type Apis = HashMap<&'static str, Api>;

#[derive(Default)]
struct Api {
    running: u32,
    calls: VecDeque<i64>,
}

/// Counts the calls of every API.
pub struct Gate {
    limits: Limits,
    began: Instant,
    apis: Arc<Mutex<Apis>>,
}

/// What the headers of an answer say.
#[derive(Clone, Copy)]
pub struct Counters {
    limits: Limits,
    remaining: u32,
    running: u32,
}

/// A call that was let in, until it is dropped.
pub struct Permit {
    api: &'static str,
    counters: Counters,
    apis: Arc<Mutex<Apis>>,
}

impl Gate {
    /// Nothing called yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, began: Instant::now(), apis: Arc::default() }
    }

    /// Lets a call in, or says why not. Too many at once is told first.
    pub fn enter(&self, world: &World, api: &'static str) -> Result<Permit, Denied> {
        let simulated = world.clock.now().duration_since(world.clock.start()).as_secs();
        let now = simulated + self.began.elapsed().as_secs() as i64;
        let Limits { calls, window, concurrency } = self.limits;
        let mut apis = lock(&self.apis);
        let state = apis.entry(api).or_default();
        while state.calls.front().is_some_and(|call| *call + i64::from(window) <= now) {
            state.calls.pop_front();
        }
        if state.running >= concurrency {
            return Err(Denied::Concurrency { to_finish: state.running - concurrency + 1 });
        }
        if state.calls.len() >= calls as usize {
            let oldest = state.calls.front().copied().unwrap_or(now);
            return Err(Denied::Rate {
                seconds: u32::try_from(oldest + i64::from(window) - now).unwrap_or(1).max(1),
            });
        }
        state.calls.push_back(now);
        let counters = Counters {
            limits: self.limits,
            remaining: calls - state.calls.len() as u32,
            running: state.running,
        };
        state.running += 1;
        Ok(Permit { api, counters, apis: self.apis.clone() })
    }
}

impl Permit {
    /// The counters at the time of the call.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(state) = lock(&self.apis).get_mut(self.api) {
            state.running = state.running.saturating_sub(1);
        }
    }
}

impl Counters {
    /// Adds the headers unless the answer has its own.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if !headers.contains_key("x-ratelimit-limit") {
            add_headers(headers, self.limits, self.remaining, self.running, 0);
        }
    }
}

/// The headers that every answer of the APIs carries.
pub fn add_headers(headers: &mut HeaderMap, limits: Limits, remaining: u32, running: u32, wait: u32) {
    for (name, value) in [
        ("x-ratelimit-limit", limits.calls),
        ("x-ratelimit-window-sec", limits.window),
        ("x-ratelimit-remaining", remaining),
        ("x-ratelimit-towait-sec", wait),
        ("x-concurrency-limit-limit", limits.concurrency),
        ("x-concurrency-limit-running", running),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

fn lock(apis: &Mutex<Apis>) -> MutexGuard<'_, Apis> {
    apis.lock().unwrap_or_else(PoisonError::into_inner)
}
