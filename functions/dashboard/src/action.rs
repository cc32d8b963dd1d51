//! What a person can change from here.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use domain::vulnerability::Decision;
use domain::{AssetId, ConnectorName, RunId, Status, VulnId};
use jiff::Timestamp;
use jiff::civil::{Date, time};
use jiff::tz::TimeZone;
use queue::{Outgoing, QueueName, ScoreMessage, SyncMessage, Trigger};
use serde::{Deserialize, Serialize};
use store::RunStatus;

use crate::door::Caller;
use crate::problem::Problem;
use crate::request::Request;
use crate::routes::Route;
use crate::{Dashboard, answer};

/// Longest reason.
const MAX_REASON: usize = 1_000;
/// What is told when the table took a change and the queue did not.
const NOT_TOLD: &str = "your wish is kept but could not be passed on: send it again";

/// What a person wants a vulnerability to be. Without a status, the decision is taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    reason: Option<String>,
    /// A time, or a date that counts to its end, UTC.
    #[serde(default)]
    until: Option<String>,
}

#[derive(Serialize)]
struct Accepted {
    accepted: bool,
}

impl Dashboard {
    pub(crate) async fn act(
        &self,
        route: Route,
        names: &[String],
        request: &Request,
        caller: &Caller,
    ) -> Result<ApiGatewayV2httpResponse, Problem> {
        if !request.is_same_origin() {
            return Err(Problem::OtherOrigin);
        }
        let name = |i: usize| names.get(i).map(String::as_str).unwrap_or_default();
        let page = match route {
            Route::Decide => self.decide(name(0), name(1), request.body()?, caller).await?,
            Route::Approve => self.approve(name(0), name(1), caller).await?,
            Route::Sync => self.sync(name(0), caller).await?,
            _ => return Err(Problem::NotFound),
        };
        Ok(if request.is_form() {
            answer::see(&page)
        } else {
            answer::json(202, &Accepted { accepted: true })
        })
    }

    /// Keeps the decision, then has the asset decided anew. Repeating it has the same result.
    async fn decide(
        &self,
        asset: &str,
        id: &str,
        wanted: Wanted,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let asset: AssetId = asset.parse().map_err(|_| Problem::NotFound)?;
        let id: VulnId = id.parse().map_err(|_| Problem::NotFound)?;
        let decision = decision(wanted, &caller.name, self.now())?;
        let known = self.store.vulnerability(&asset, &id).await?.ok_or(Problem::NotFound)?.value;
        self.store.put_decision(&asset, &known.id, decision.as_ref()).await?;
        tracing::info!(
            asset = %asset, vulnerability = %known.id, by = %caller.name,
            status = decision.as_ref().map_or("none", |d| d.status.as_str()), "a person decided"
        );
        let message = ScoreMessage { assets: vec![asset.clone()], ..ScoreMessage::default() };
        self.tell(QueueName::Score, &message).await?;
        Ok(format!("/vulnerabilities/{asset}/{}", known.id))
    }

    /// Releases a held run. Approving twice finishes it once: the second time only repeats the message.
    async fn approve(&self, connector: &str, run: &str, caller: &Caller) -> Result<String, Problem> {
        let (connector, queue) = self.known_connector(connector)?;
        if run.is_empty() || !run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Problem::NotFound);
        }
        let run = RunId::stored(run);
        let (record, _) = self.store.run(&connector, &run).await?.ok_or(Problem::NotFound)?;
        let approved_before = record.approved_by.is_some() && record.status == RunStatus::Running;
        if record.status == RunStatus::Held {
            match self.store.approve_run(&connector, &run, &caller.name).await {
                // Somebody else was quicker.
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
            tracing::info!(%connector, %run, by = %caller.name, "a held run was approved");
        } else if !approved_before {
            return Err(Problem::Conflict("this run does not wait for an approval".into()));
        }
        self.tell(queue, &SyncMessage::finish(connector.clone(), run)).await?;
        Ok(format!("/runs?connector={connector}"))
    }

    async fn sync(&self, connector: &str, caller: &Caller) -> Result<String, Problem> {
        let (connector, queue) = self.known_connector(connector)?;
        // Two wishes of one person are at different times.
        let request = format!("{} at {}", caller.name, self.now());
        self.tell(queue, &SyncMessage::start(connector.clone(), Trigger::Full, request)).await?;
        Ok(format!("/runs?connector={connector}"))
    }

    fn known_connector(&self, name: &str) -> Result<(ConnectorName, QueueName), Problem> {
        let found =
            self.config.connectors.iter().find(|c| c.name.as_str() == name).ok_or(Problem::NotFound)?;
        Ok((found.name.clone(), QueueName::Sync(found.scanner)))
    }

    async fn tell(&self, queue: QueueName, message: &impl Serialize) -> Result<(), Problem> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, queue = queue.as_str(), "cannot pass on what a person wants");
            Problem::TryAgain(NOT_TOLD)
        };
        let message = Outgoing::now(message).map_err(|e| failed(&e))?;
        self.queue.send(queue, message).await.map_err(|e| failed(&e))
    }
}

/// The decision that is meant, if it can be one.
fn decision(wanted: Wanted, by: &str, now: Timestamp) -> Result<Option<Decision>, Problem> {
    let invalid = |problem: &str| Err(Problem::Invalid(problem.to_owned()));
    let Some(status) = wanted.status else { return Ok(None) };
    let reason = wanted.reason.unwrap_or_default().trim().to_owned();
    if reason.chars().count() > MAX_REASON {
        return invalid("the reason is longer than 1000 characters");
    }
    let until = wanted.until.as_deref().map(moment).transpose()?;
    if until.is_some_and(|until| until <= now) {
        return invalid("the date has passed: choose one in the future");
    }
    match status {
        Status::RiskAccepted if reason.is_empty() => return invalid("accepting a risk needs a reason"),
        Status::RiskAccepted if until.is_none() => {
            return invalid("accepting a risk needs a date on which it ends");
        }
        Status::FalsePositive if reason.is_empty() => return invalid("a false positive needs a reason"),
        Status::RiskAccepted | Status::FalsePositive | Status::InProgress | Status::AwaitingValidation => {}
        _ => {
            return invalid(
                "a person can decide in_progress, awaiting_validation, risk_accepted or false_positive; \
                 the rest follows from scans",
            );
        }
    }
    Ok(Some(Decision { status, by: by.to_owned(), reason, at: now, until }))
}

fn moment(text: &str) -> Result<Timestamp, Problem> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    text.parse::<Date>()
        .and_then(|date| date.to_datetime(time(23, 59, 59, 0)).to_zoned(TimeZone::UTC))
        .map(|zoned| zoned.timestamp())
        .map_err(|_| {
            Problem::Invalid("until is neither a date (2026-12-31) nor a time (2026-12-31T12:00:00Z)".into())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        status: Option<Status>,
        reason: &str,
        until: Option<&str>,
    ) -> Result<Option<Decision>, Problem> {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let wanted = Wanted { status, reason: Some(reason.to_owned()), until: until.map(str::to_owned) };
        decision(wanted, "ada", now)
    }

    #[test]
    fn accepting_needs_a_reason_and_a_future_date() {
        let accept = |reason, until| decide(Some(Status::RiskAccepted), reason, until);
        assert!(accept("", Some("2027-01-01")).is_err());
        assert!(accept("isolated", None).is_err());
        assert!(accept("isolated", Some("2026-11-21")).is_err());
        assert!(accept("isolated", Some("soon")).is_err());
        let accepted = accept(" isolated ", Some("2026-11-22")).unwrap().unwrap();
        assert_eq!(accepted.until, Some("2026-11-22T23:59:59Z".parse().unwrap()));
        assert_eq!((accepted.reason.as_str(), accepted.by.as_str()), ("isolated", "ada"));
    }

    #[test]
    fn scans_own_found_and_fixed() {
        for owned in [
            Status::Fixed,
            Status::Identified,
            Status::Created,
            Status::Stale,
            Status::Gone,
            Status::Suppressed,
        ] {
            assert!(decide(Some(owned), "because", None).is_err(), "{owned}");
        }
        assert!(decide(Some(Status::FalsePositive), " ", None).is_err());
        assert!(decide(Some(Status::InProgress), "", None).unwrap().is_some());
        assert_eq!(decide(None, "", None), Ok(None));
    }
}
