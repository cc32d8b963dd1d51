//! What a person can change from here.

mod exposure;
mod identity;
mod inventory;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::vulnerability::{DecidedOn, Decision};
use domain::{AssetId, ConnectorName, Role, RunId, Status, VulnId};
use jiff::civil::{Date, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use queue::{EffectMessage, EffectTarget, Outgoing, QueueName, ScoreMessage, SyncMessage, Trigger};
use serde::{Deserialize, Deserializer, Serialize};
use store::{ApiToken, AuditAction, AuditLine, DeliveryState, Replay, RunStatus};

use crate::data::TokenCreated;
use crate::door::Caller;
use crate::problem::Problem;
use crate::request::Request;
use crate::routes::Route;
use crate::{API_TOKEN_PREFIX, Dashboard, answer, digest, pages};

/// Longest reason.
const MAX_REASON: usize = 1_000;
/// Longest name of an API token.
pub(crate) const MAX_NAME: usize = 100;
/// Days after which an API token expires, unless told otherwise.
pub(crate) const DEFAULT_DAYS: u16 = 90;
/// Longest life of an API token, in days.
pub(crate) const MAX_DAYS: u16 = 366;
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

/// An API token that somebody wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedToken {
    name: String,
    role: Role,
    #[serde(default, deserialize_with = "number_or_text")]
    expires_in_days: Option<u16>,
}

/// A number of JSON, or the text of a form.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u16),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
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
        if !self.is_same_origin(request) {
            return Err(Problem::OtherOrigin);
        }
        let name = |i: usize| names.get(i).map(String::as_str).unwrap_or_default();
        let page = match route {
            Route::Decide => self.decide(name(0), name(1), request.body()?, caller).await?,
            Route::Approve => self.approve(name(0), name(1), caller).await?,
            Route::Sync => self.sync(name(0), caller).await?,
            Route::Check => self.check(name(0), caller).await?,
            Route::Replay => self.replay(name(0), name(1), caller).await?,
            Route::RevokeToken => self.revoke_token(name(0), caller).await?,
            Route::MergeAssets => self.merge_assets(name(0), request.body()?, caller).await?,
            Route::UndoMerge => self.undo_merge(name(0), request.body()?, caller).await?,
            Route::SplitAsset => self.split_asset(name(0), request.body()?, caller).await?,
            Route::KeepApart => self.keep_apart(name(0), request.body()?, caller).await?,
            Route::JudgeIdentifier => self.judge_identifier(request.body()?, caller).await?,
            Route::CreateToken => {
                let created = self.create_token(request.body()?, caller).await?;
                return Ok(if request.is_form() {
                    answer::page(201, pages::tokens::created(&created, &self.view(caller)))
                } else {
                    answer::json(201, &created)
                });
            }
            Route::ImportInventory => {
                let imported = self.import_inventory(request.body()?, caller).await?;
                return Ok(answer::json(200, &imported));
            }
            Route::ImportFirewall => {
                let imported = self.import_firewall(request.body()?, caller).await?;
                return Ok(answer::json(200, &imported));
            }
            _ => return Err(Problem::NotFound),
        };
        Ok(if request.is_form() {
            answer::see(&page)
        } else {
            answer::json(202, &Accepted { accepted: true })
        })
    }

    /// The audit's line for what a caller does now.
    fn line(&self, caller: &Caller, action: AuditAction, target: String, detail: String) -> AuditLine {
        let (by, subject) = (caller.name.clone(), caller.subject.clone());
        AuditLine { at: self.now(), by, subject, action, target, detail }
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
        let known = self.store.vulnerability(&asset, &id).await?.ok_or(Problem::NotFound)?.value;
        let decision = decision(wanted, DecidedOn::of(&known), &caller.name, self.now())?;
        let asset = known.asset.clone();
        let (action, detail) = match &decision {
            None => (AuditAction::TookBackDecision, String::new()),
            Some(Decision { status, reason, until, .. }) => {
                let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                (AuditAction::Decided, format!("{status}{until}{reason}"))
            }
        };
        let line = self.line(caller, action, format!("vulnerability {} of {asset}", known.id), detail);
        self.store.put_decision(&asset, &known.id, decision.as_ref(), &line).await?;
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
            let detail = format!("{} closings", record.counts.closed);
            let line =
                self.line(caller, AuditAction::ApprovedRun, format!("run {run} of {connector}"), detail);
            match self.store.approve_run(&connector, &run, &line).await {
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
        let (connector, queue) = self.pulled_connector(connector)?;
        let line =
            self.line(caller, AuditAction::AskedForSync, format!("connector {connector}"), String::new());
        self.store.put_audit(&line).await?;
        // Two wishes of one person are at different times.
        let request = format!("{} at {}", caller.name, self.now());
        self.tell(queue, &SyncMessage::start(connector.clone(), Trigger::Full, request)).await?;
        Ok(format!("/runs?connector={connector}"))
    }

    /// Has a connector tried out; what is found shows among its runs.
    async fn check(&self, connector: &str, caller: &Caller) -> Result<String, Problem> {
        let (connector, queue) = self.pulled_connector(connector)?;
        let target = format!("connector {connector}");
        self.store.put_audit(&self.line(caller, AuditAction::AskedForCheck, target, String::new())).await?;
        self.tell(queue, &SyncMessage::check(connector.clone())).await?;
        Ok(format!("/runs?connector={connector}"))
    }

    /// Has a delivery that failed, or that nobody confirmed, tried anew. Asking twice before it is tried only repeats the
    /// message.
    async fn replay(&self, receiver: &str, key: &str, caller: &Caller) -> Result<String, Problem> {
        let receiver: ConnectorName = receiver.parse().map_err(|_| Problem::NotFound)?;
        let delivery = self.store.delivery(&receiver, key).await?.ok_or(Problem::NotFound)?;
        let target = format!("delivery {key} to {receiver}");
        let line = self.line(caller, AuditAction::ReplayedDelivery, target, delivery.subject);
        let refused = |why: &str| Err(Problem::Conflict(why.to_owned()));
        let target = match self.store.replay_delivery(&receiver, key, self.now(), &line).await {
            Err(error) if error.is_conflict() => {
                return Err(Problem::TryAgain("the delivery was changed: try again"));
            }
            Ok(Replay::Refused(DeliveryState::Sent)) => return refused("it was delivered"),
            Ok(Replay::Refused(_)) => return refused("it is still under way: wait for its end"),
            Ok(Replay::Gone) => return refused("what it was about is not known any more"),
            Ok(Replay::Ready(target)) => target,
            Err(error) => return Err(error.into()),
        };
        tracing::info!(%receiver, intent = key, by = %caller.name, "a delivery is tried anew");
        let queue = match target {
            EffectTarget::Vulnerability { .. } => QueueName::Ticket,
            EffectTarget::Asset { .. } | EffectTarget::Run { .. } => QueueName::Notify,
        };
        self.tell(queue, &EffectMessage { target, intent: key.to_owned() }).await?;
        let day = delivery.first_at.to_zoned(TimeZone::UTC).date();
        Ok(format!("/deliveries?day={day}"))
    }

    /// Creates a token. Whoever repeats it gets another one, and sees both in the list.
    async fn create_token(&self, wanted: WantedToken, caller: &Caller) -> Result<TokenCreated, Problem> {
        let invalid = |problem: &str| Err(Problem::Invalid(problem.to_owned()));
        let name = wanted.name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return invalid("name says what the token is for, in 1 to 100 characters");
        }
        let days = wanted.expires_in_days.unwrap_or(DEFAULT_DAYS);
        if !(1..=MAX_DAYS).contains(&days) {
            return invalid("expires_in_days is a number from 1 to 366");
        }
        let random = self.random.secret().map_err(|error| {
            tracing::error!(%error, "no token can be made");
            Problem::Internal
        })?;
        let secret = format!("{API_TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let digest = digest(&secret);
        let now = self.now();
        let token = ApiToken {
            id: ApiToken::id_of(&digest).to_owned(),
            name: name.to_owned(),
            role: wanted.role,
            created_by: caller.name.clone(),
            created_at: now,
            expires_at: now + SignedDuration::from_hours(24 * i64::from(days)),
            revoked_at: None,
            revoked_by: None,
        };
        let detail = format!("{name:?}, {}, until {}", token.role, token.expires_at);
        let line = self.line(caller, AuditAction::CreatedToken, format!("token {}", token.id), detail);
        self.store.create_token(&token, &digest, &line).await?;
        tracing::info!(token = %token.id, by = %caller.name, role = %token.role, "an API token was created");
        Ok(TokenCreated::new(token, secret))
    }

    async fn revoke_token(&self, id: &str, caller: &Caller) -> Result<String, Problem> {
        if id.len() != ApiToken::ID_LENGTH || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Problem::NotFound);
        }
        let line = self.line(caller, AuditAction::RevokedToken, format!("token {id}"), String::new());
        match self.store.revoke_token(id, &line).await {
            // Somebody revoked it at the same moment.
            Err(error) if error.is_conflict() => Err(Problem::TryAgain("the token was changed: try again")),
            Ok(false) => Err(Problem::NotFound),
            other => {
                other?;
                tracing::info!(token = %id, by = %caller.name, "an API token was revoked");
                Ok("/tokens".to_owned())
            }
        }
    }

    fn pulled_connector(&self, name: &str) -> Result<(ConnectorName, QueueName), Problem> {
        let (connector, queue) = self.known_connector(name)?;
        if self.config.connector(&connector).is_some_and(|known| !known.is_pulled()) {
            return Err(Problem::Conflict(
                "its findings arrive as events or files: there is nothing to pull".into(),
            ));
        }
        Ok((connector, queue))
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
fn decision(wanted: Wanted, about: DecidedOn, by: &str, now: Timestamp) -> Result<Option<Decision>, Problem> {
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
        status if until.is_some() && status != Status::RiskAccepted => {
            return invalid("only an accepted risk ends on a date");
        }
        Status::RiskAccepted | Status::FalsePositive | Status::InProgress | Status::AwaitingValidation => {}
        _ => {
            return invalid(
                "a person can decide in_progress, awaiting_validation, risk_accepted or false_positive; \
                 the rest follows from scans",
            );
        }
    }
    Ok(Some(Decision { status, by: by.to_owned(), reason, at: now, until, about: Some(about) }))
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
        decision(wanted, DecidedOn::default(), "ada", now)
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
