//! What the outside systems received: tickets, messages, and the requests they refused.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

/// The memory of all simulated systems.
#[derive(Debug, Default)]
pub struct Received {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tickets: Vec<Value>,
    messages: Vec<Value>,
    refused: Vec<String>,
    requests: BTreeMap<String, u64>,
}

impl Received {
    /// Keeps a new ticket, after all earlier ones.
    pub fn record_ticket(&self, ticket: Value) {
        self.lock().tickets.push(ticket);
    }

    /// Changes the first ticket that `matches`; false if there is none.
    pub fn update_ticket(&self, matches: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value)) -> bool {
        let mut inner = self.lock();
        let found = inner.tickets.iter_mut().find(|ticket| matches(ticket));
        found.map(change).is_some()
    }

    /// Forgets every ticket that `matches`; says how many there were.
    pub fn remove_tickets(&self, matches: impl Fn(&Value) -> bool) -> usize {
        let mut inner = self.lock();
        let before = inner.tickets.len();
        inner.tickets.retain(|ticket| !matches(ticket));
        before - inner.tickets.len()
    }

    /// All tickets in the order of their creation.
    pub fn tickets(&self) -> Vec<Value> {
        self.lock().tickets.clone()
    }

    /// Reads the tickets in place, for searches over many of them.
    pub fn with_tickets<T>(&self, read: impl FnOnce(&[Value]) -> T) -> T {
        read(&self.lock().tickets)
    }

    /// Keeps a message that was posted to a channel.
    pub fn record_message(&self, message: Value) {
        self.lock().messages.push(message);
    }

    /// All messages in the order of their arrival.
    pub fn messages(&self) -> Vec<Value> {
        self.lock().messages.clone()
    }

    /// Keeps the reason why a system refused a request.
    pub fn refuse(&self, reason: impl Into<String>) {
        self.lock().refused.push(reason.into());
    }

    /// The reasons of all refusals.
    pub fn refused(&self) -> Vec<String> {
        self.lock().refused.clone()
    }

    /// Counts one request to a system.
    pub fn count_request(&self, system: &str) {
        *self.lock().requests.entry(system.to_owned()).or_default() += 1;
    }

    /// Requests per system.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.lock().requests.clone()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = Inner::default();
    }

    /// What `GET /received` answers.
    pub fn summary(&self) -> Value {
        let inner = self.lock();
        json!({
            "tickets": inner.tickets,
            "messages": inner.messages,
            "refused": inner.refused,
            "requests": inner.requests.values().sum::<u64>(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
