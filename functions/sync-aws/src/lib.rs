//! Amazon Inspector and AWS Security Hub: findings that arrive as events.
//!
//! An EventBridge rule puts the events into this function's queue. There is nothing to pull and no run: each event is
//! what the service says of one finding, and an event that does not come says nothing.
//!
//! | detail-type | source | stream | holds |
//! | --- | --- | --- | --- |
//! | `Inspector2 Finding` | `aws.inspector2` | `inspector` | one finding in Inspector's own words |
//! | `Security Hub Findings - Imported` | `aws.securityhub` | `security_hub` | `findings[]` in the AWS Security Finding Format |
//!
//! **A finding is its ARN**, on the resource that it names; Security Hub's copy of a finding of Inspector has the same
//! ARN and is the same finding. **The newest word counts**: the latest `updatedAt`, and of one `updatedAt` the latest
//! event, because Security Hub keeps the time when a person changes the workflow. Events may come twice and in any
//! order.
//!
//! **Closed** is the service's own word (`CLOSED`, `ARCHIVED`, `RESOLVED`, `PASSED`) and needs no run to prove it.
//! EventBridge takes no event over 256 KB, so that an event always fits into a message.

pub mod normalize;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use platform::Services;
use queue::{Message, handle_batch};
use serde::Deserialize;
use serde_json::Value;
use sync::{PushIntake, SyncError};
use tracing::Span;

pub use normalize::normalize;

use normalize::{Kind, Told};

/// A message of the queue: an event as EventBridge writes it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Event(Value);

impl Message for Event {
    fn span(&self) -> Span {
        let text = |name: &str| self.0.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        tracing::info_span!("event", event = text("id"), kind = text("detail-type"))
    }
}

/// Takes the events.
pub struct SyncAws {
    intake: PushIntake,
}

impl SyncAws {
    /// The function with what it works with.
    pub fn new(services: &Services) -> Self {
        Self { intake: PushIntake::new(services, domain::Scanner::Aws) }
    }

    /// Works a batch of events.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        handle_batch(event, |Event(message)| self.work(message)).await
    }

    /// Works one event. What cannot be read comes back and goes to the dead letters; what can be is written.
    pub async fn work(&self, message: Value) -> Result<(), SyncError> {
        let Some(connector) = self.intake.connector() else {
            tracing::warn!("no connector of type aws is configured, event dropped");
            return Ok(());
        };
        let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        if message.get("connector").is_some() && message.get("detail-type").is_none() {
            tracing::info!(connector = %connector.name, "somebody asks for a run, but findings arrive by themselves");
            return Ok(());
        }
        // Nobody but AWS can send events whose source begins with `aws.`.
        let stream = match (text("source"), text("detail-type")) {
            (normalize::INSPECTOR_SOURCE, normalize::INSPECTOR_EVENT) => "inspector",
            (normalize::SECURITY_HUB_SOURCE, normalize::SECURITY_HUB_EVENT) => "security_hub",
            (source, kind) => {
                tracing::warn!(connector = %connector.name, source, kind, "not an event of a finding, dropped: check the rule");
                return Ok(());
            }
        };
        if !connector.pulls(stream) {
            tracing::debug!(connector = %connector.name, stream, "this stream is not wanted");
            return Ok(());
        }
        let (told, bad) = read(&message);
        let pushes: Vec<_> = told.iter().map(|told| told.push.clone()).collect();
        let rules: Vec<_> = told.into_iter().map(|told| told.rule).collect();
        let taken = self.intake.take(&pushes, &rules).await?;
        tracing::info!(
            connector = %connector.name, stream, event = text("id"),
            changed = taken.changed, same = taken.same, older = taken.older, refused = bad.len(), "event taken"
        );
        match bad.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(SyncError::Malformed {
                system: connector.name.to_string(),
                what: format!("event {}", text("id")),
                offset: 0,
                detail: problem,
            }),
        }
    }
}

/// What an event tells, and what of it cannot be read.
fn read(message: &Value) -> (Vec<Told>, Vec<String>) {
    let (mut told, mut bad) = (Vec::new(), Vec::new());
    let sent = normalize::time(message.get("time"));
    for (kind, finding) in normalize::findings(message) {
        let read = match kind {
            Some(Kind::Inspector) => normalize::inspector::finding(finding, sent),
            Some(Kind::SecurityHub) => normalize::security_hub::finding(finding, sent),
            None => Err("neither a finding of Inspector nor one of Security Hub".into()),
        };
        match read {
            Ok(findings) => told.extend(findings),
            Err(problem) => bad.push(problem),
        }
    }
    if told.is_empty() && bad.is_empty() && normalize::findings(message).is_empty() {
        bad.push("it holds no finding".into());
    }
    (told, bad)
}
