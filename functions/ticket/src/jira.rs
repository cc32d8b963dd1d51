//! The part of Jira Cloud's REST API v3 that a ticket needs: create, find by label, read the status, comment, move.
//!
//! Whose token has expired is nobody to Jira, and nobody is told so: no issue exists for him, and a search finds
//! nothing. The same holds for an account that may no longer browse the project. That an issue is not there is therefore
//! believed only of a project that the account may browse, by a site that knows who asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::policy::{Auth, Tracker};
use jiff::{SignedDuration, Timestamp};
use platform::{SecretError, Secrets};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use sync::SyncError;
use sync::http::{HttpClient, HttpOptions, HttpRequest, Method, shorten};

/// Wait that is assumed where Jira asks for one and does not say how long.
const WAIT: i64 = 60;
/// Longest wait that Jira can ask for, in seconds.
const LONGEST_WAIT: i64 = 86_400;
/// No answer that we ask for is longer.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// Issues asked for at once, and the most pages of them.
const PAGE: usize = 50;
const PAGES: usize = 10;
/// Newest comments that are looked through.
const COMMENTS: u32 = 100;
/// Where Jira says what became of the credentials, and what it says of refused ones.
const LOGIN_REASON: &str = "x-seraph-loginreason";
const NO_LOGIN: [&str; 2] = ["AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED"];

/// Why Jira did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JiraError {
    /// It asks for a pause; nothing was done.
    #[error("asks to wait until {0}")]
    Throttled(Timestamp),
    /// The credentials are wrong, lack a right, or cannot be read; nothing was done.
    #[error("refused the credentials: {0}")]
    Unauthorized(String),
    /// It will never take this; nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It knows who asks, shows the project, and does not know the issue or does not show it.
    #[error("{0}")]
    NotFound(String),
    /// It could not be reached; nothing was done.
    #[error("{0}")]
    Unreachable(String),
    /// The answer was lost or no answer at all: it may have been done.
    #[error("{0}")]
    Unsure(String),
}

impl From<SecretError> for JiraError {
    fn from(error: SecretError) -> Self {
        Self::Unauthorized(error.to_string())
    }
}

/// An issue as search shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its number; the oldest issue has the lowest.
    pub id: u64,
    /// `SEC-12`.
    pub key: String,
    /// Whether its status counts as done, as of the lagging index.
    pub done: bool,
}

/// A client of one project.
pub struct Jira {
    client: HttpClient,
    project: String,
    /// The site knows who asks, and shows the project.
    seen: AtomicBool,
    now: Timestamp,
    limit: Duration,
}

/// Longest time of one call, given the longest time without a byte.
pub fn call_limit(timeout: Duration) -> Duration {
    timeout * 2
}

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "accountId")]
    _id: String,
}

#[derive(Deserialize)]
struct Permissions {
    permissions: Granted,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "BROWSE_PROJECTS")]
    browse: Permission,
}

#[derive(Deserialize)]
struct Permission {
    #[serde(rename = "havePermission")]
    granted: bool,
}

#[derive(Deserialize)]
struct Created {
    key: String,
}

#[derive(Deserialize)]
struct Found {
    issues: Vec<FoundIssue>,
    #[serde(default, rename = "nextPageToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct FoundIssue {
    id: String,
    key: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    name: String,
    #[serde(rename = "statusCategory")]
    category: Category,
}

#[derive(Deserialize)]
struct Category {
    key: String,
}

impl Status {
    fn is_done(&self) -> bool {
        self.category.key == "done"
    }
}

#[derive(Deserialize)]
struct Read {
    fields: Fields,
}

#[derive(Deserialize)]
struct Transitions {
    transitions: Vec<Transition>,
}

#[derive(Deserialize)]
struct Transition {
    id: String,
    to: Status,
}

impl Jira {
    /// A client of the tracker, with its credentials as they are stored now.
    pub async fn connect(
        tracker: &Tracker,
        secrets: &Secrets,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<Self, JiraError> {
        let Auth::Basic { username, password, .. } = &tracker.auth else {
            return Err(JiraError::Refused("auth.method must be basic: address and API token".into()));
        };
        let name = tracker.name.as_str();
        let username = secrets.resolve(name, username).await?;
        let password = secrets.resolve(name, password).await?;
        let options = HttpOptions {
            allow_private_address: tracker.allow_private_address,
            read_timeout: timeout,
            ..HttpOptions::default()
        };
        let client = HttpClient::new(name, &tracker.base_url, &options)
            .and_then(|client| client.with_basic(username.expose_secret(), password.expose_secret()))
            .map_err(|error| JiraError::Refused(error.to_string()))?;
        Ok(Self {
            client,
            project: tracker.project.clone(),
            seen: AtomicBool::new(false),
            now,
            limit: call_limit(timeout),
        })
    }

    /// Creates an issue and says its key. Only [`JiraError::Unsure`] leaves open whether it exists.
    pub async fn create(&self, body: &Value) -> Result<String, JiraError> {
        let request = self.client.request(Method::POST, "rest/api/3/issue").json(body);
        Ok(self.ask::<Created>(request).await?.key)
    }

    /// The issues with a label, oldest first. Search lags behind: what was created a moment ago is not in it. That it
    /// finds nothing says nothing before [`Self::check_view`].
    pub async fn find(&self, label: &str) -> Result<Vec<Issue>, JiraError> {
        let mut issues = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES {
            let mut body = json!({
                "jql": format!("labels = \"{label}\" ORDER BY created ASC"),
                "fields": ["status"],
                "maxResults": PAGE,
            });
            if let Some(token) = next {
                body["nextPageToken"] = json!(token);
            }
            let request = self.client.request(Method::POST, "rest/api/3/search/jql").json(&body).repeatable();
            let found: Found = self.ask(request).await?;
            for issue in found.issues {
                let id = issue
                    .id
                    .parse()
                    .map_err(|_| JiraError::Unsure(format!("an issue has the id {:?}", issue.id)))?;
                issues.push(Issue { id, key: issue.key, done: issue.fields.status.is_done() });
            }
            next = found.next;
            if next.is_none() {
                break;
            }
        }
        issues.sort_by_key(|issue| issue.id);
        Ok(issues)
    }

    /// Whether the site knows who asks, and shows the project to him. Asked once.
    pub async fn check_view(&self) -> Result<(), JiraError> {
        if self.seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        let myself = self.client.request(Method::GET, "rest/api/3/myself");
        match self.exchange(myself).await {
            Ok(body) => parse::<Account>(&body)?,
            Err(JiraError::NotFound(why) | JiraError::Refused(why)) => {
                return Err(JiraError::Unauthorized(why));
            }
            Err(error) => return Err(error),
        };
        let project = &self.project;
        let browse = self
            .client
            .request(Method::GET, "rest/api/3/mypermissions")
            .query("projectKey", project)
            .query("permissions", "BROWSE_PROJECTS");
        let granted: Permissions = match self.exchange(browse).await {
            Err(JiraError::NotFound(why)) => {
                let remedy = format!("correct the key {project}, or give the account Browse projects there");
                return Err(JiraError::Refused(format!("{why}: {remedy}")));
            }
            other => parse(&other?)?,
        };
        if granted.permissions.browse.granted {
            self.seen.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(JiraError::Unauthorized(format!(
            "the account may not browse {project}: give it Browse projects there"
        )))
    }

    /// Whether the issue's status counts as done.
    pub async fn is_done(&self, key: &str) -> Result<bool, JiraError> {
        let path = format!("rest/api/3/issue/{key}");
        let read: Read = self.ask(self.client.request(Method::GET, &path).query("fields", "status")).await?;
        Ok(read.fields.status.is_done())
    }

    /// Whether one of the newest comments holds `marker`.
    pub async fn has_comment(&self, key: &str, marker: &str) -> Result<bool, JiraError> {
        let path = format!("rest/api/3/issue/{key}/comment");
        let request = self
            .client
            .request(Method::GET, &path)
            .query("orderBy", "-created")
            .query("maxResults", COMMENTS);
        let comments: Value = self.ask(request).await?;
        Ok(comments["comments"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|comment| holds(&comment["body"], marker)))
    }

    /// Adds a comment, an ADF document.
    pub async fn comment(&self, key: &str, body: &Value) -> Result<(), JiraError> {
        let path = format!("rest/api/3/issue/{key}/comment");
        self.call(self.client.request(Method::POST, &path).json(&json!({ "body": body }))).await?;
        Ok(())
    }

    /// Moves the issue to a status that counts as done, or to one that does not. Ids of transitions differ between
    /// workflows, and so do names: the category of the target decides, then which of `preferred` its name holds.
    pub async fn transition(&self, key: &str, done: bool, preferred: &[&str]) -> Result<(), JiraError> {
        let path = format!("rest/api/3/issue/{key}/transitions");
        let Transitions { transitions } = self.ask(self.client.request(Method::GET, &path)).await?;
        let rank = |transition: &Transition| {
            let name = transition.to.name.to_lowercase();
            let named = preferred.iter().position(|wanted| name.contains(wanted)).unwrap_or(preferred.len());
            (transition.to.category.key != "new", named)
        };
        let target = transitions.iter().filter(|t| t.to.is_done() == done).min_by_key(|t| rank(t));
        let Some(target) = target else {
            let wanted = if done { "done" } else { "open" };
            return Err(JiraError::Refused(format!(
                "no transition of {key} leads to a status that counts as {wanted}: add one to the workflow"
            )));
        };
        let body = json!({ "transition": { "id": target.id } });
        self.call(self.client.request(Method::POST, &path).json(&body)).await?;
        Ok(())
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, request: HttpRequest<'_>) -> Result<T, JiraError> {
        parse(&self.call(request).await?)
    }

    /// The body of a good answer.
    async fn call(&self, request: HttpRequest<'_>) -> Result<Vec<u8>, JiraError> {
        match self.exchange(request).await {
            Err(missing @ JiraError::NotFound(_)) => {
                self.check_view().await?;
                Err(missing)
            }
            other => other,
        }
    }

    /// Asks and reads the answer. Its 404 may be what nobody is told.
    async fn exchange(&self, request: HttpRequest<'_>) -> Result<Vec<u8>, JiraError> {
        let exchange = async {
            let answer = request.send().await?;
            let status = answer.status().as_u16();
            let wait = answer.header("retry-after").and_then(|value| value.trim().parse().ok());
            let login = answer.header(LOGIN_REASON).unwrap_or_default();
            // "Nothing was done" is certain of what was read or refused, not of what was written (201, 204) or broke.
            let nobody =
                matches!(status, 200 | 400..=499) && NO_LOGIN.iter().any(|reason| login.contains(reason));
            match answer.bytes(ANSWER_LIMIT).await {
                Ok(body) => Ok((status, nobody, wait, body)),
                // A refusal whose words are cut off is a refusal.
                Err(_) if nobody || (300..500).contains(&status) => Ok((status, nobody, wait, Vec::new())),
                Err(error) => Err(error),
            }
        };
        let (status, nobody, wait, body) = match tokio::time::timeout(self.limit, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(meaning(&error)),
            Err(_) => return Err(JiraError::Unsure("the answer was lost: timed out".into())),
        };
        let words = || format!("answered {status}: {}", words_of(&body));
        match status {
            _ if nobody => Err(JiraError::Unauthorized(words())),
            200..=299 => Ok(body),
            401 | 403 => Err(JiraError::Unauthorized(words())),
            404 => Err(JiraError::NotFound(words())),
            429 => {
                let wait: i64 = wait.unwrap_or(WAIT);
                Err(JiraError::Throttled(self.now + SignedDuration::from_secs(wait.clamp(1, LONGEST_WAIT))))
            }
            408 | 409 | 425 | 500.. => Err(JiraError::Unsure(words())),
            _ => Err(JiraError::Refused(words())),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, JiraError> {
    serde_json::from_slice(body)
        .map_err(|error| JiraError::Unsure(format!("answered with something else: {error}")))
}

fn meaning(error: &SyncError) -> JiraError {
    match error {
        SyncError::Unreachable { sent: false, .. } => JiraError::Unreachable(error.to_string()),
        SyncError::Config { .. } => JiraError::Refused(error.to_string()),
        _ => JiraError::Unsure(error.to_string()),
    }
}

/// Jira's own words: its messages, and what it says of each field.
fn words_of(body: &[u8]) -> String {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let messages = parsed["errorMessages"].as_array().into_iter().flatten();
    let messages = messages.filter_map(|message| message.as_str().map(str::to_owned));
    let fields = parsed["errors"].as_object().into_iter().flatten();
    let fields = fields.filter_map(|(field, problem)| Some(format!("{field}: {}", problem.as_str()?)));
    let all: Vec<String> = messages.chain(fields).collect();
    if all.is_empty() { shorten(&String::from_utf8_lossy(body)) } else { shorten(&all.join("; ")) }
}

/// Whether any text of an ADF document holds `marker`.
fn holds(node: &Value, marker: &str) -> bool {
    node["text"].as_str().is_some_and(|text| text.contains(marker))
        || node["content"].as_array().into_iter().flatten().any(|child| holds(child, marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_field_by_field() {
        let body =
            json!({ "errorMessages": ["No."], "errors": { "summary": "too long", "labels": "no blanks" } });
        assert_eq!(words_of(body.to_string().as_bytes()), "No.; labels: no blanks; summary: too long");
        assert_eq!(words_of(b"<html>\nsorry"), "<html> sorry");
    }

    #[test]
    fn a_marker_is_found_however_deep() {
        let body = json!({ "type": "doc", "content": [{ "type": "panel", "content": [
            { "type": "paragraph", "content": [{ "type": "text", "text": "Reference: t-close-1" }] }] }] });
        assert!(holds(&body, "t-close-1"));
        assert!(!holds(&body, "t-close-2"));
    }
}
