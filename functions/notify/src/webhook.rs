//! Posting to an incoming webhook. Its address is a secret: neither an error nor a log line may hold any of it, so
//! that the HTTP client's own errors, which name path and host, are never shown.

use std::time::Duration;

use domain::policy::Channel;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sync::SyncError;
use sync::http::{HttpClient, HttpOptions, Method, shorten};
use url::Url;

/// Wait that is assumed where a receiver asks for one and does not say how long.
const WAIT: i64 = 60;
/// Longest wait that a receiver can ask for, in seconds.
const LONGEST_WAIT: i64 = 86_400;
/// Of an answer, this much is read.
const ANSWER_LIMIT: usize = 4 * 1024;

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// The receiver has it.
    Done(String),
    /// The receiver will never take it.
    Refused(String),
    /// The receiver may have it, and cannot be asked.
    Lost(String),
    /// The receiver does not have it, and asks for a pause.
    Wait(Timestamp),
    /// The receiver does not have it; it may work later.
    Again(String),
}

/// Whether two addresses are the same.
pub fn same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}

/// Posts once. `timeout` is the longest time without a byte; the whole post may take twice that.
pub async fn post(
    channel: &Channel,
    address: &SecretString,
    body: &Value,
    timeout: Duration,
    now: Timestamp,
) -> Posted {
    let (client, path) = match client(channel, address, timeout) {
        Ok(ready) => ready,
        Err(problem) => return Posted::Refused(problem.to_owned()),
    };
    // A client of its own for each message: a connection kept from an earlier one could turn out to be dead only
    // after the post was written to it, and the outcome would be unknown.
    let exchange = async {
        let mut answer = client.request(Method::POST, &path).json(body).send().await?;
        let status = answer.status().as_u16();
        let wait = answer.header("retry-after").and_then(|value| value.trim().parse().ok());
        let mut words = Vec::new();
        // The status is what counts; words that are cut off are still words.
        while let Ok(Some(chunk)) = answer.chunk().await {
            words.extend_from_slice(&chunk);
            if words.len() >= ANSWER_LIMIT {
                break;
            }
        }
        words.truncate(ANSWER_LIMIT);
        Ok((status, wait, shorten(&String::from_utf8_lossy(&words))))
    };
    match tokio::time::timeout(timeout * 2, exchange).await {
        Ok(Ok((status, wait, words))) => judge(status, wait, words, now),
        Ok(Err(SyncError::Unreachable { detail, sent: false, .. })) => Posted::Again(detail),
        Ok(Err(SyncError::Unreachable { detail, .. })) => {
            Posted::Lost(format!("the answer was lost: {detail}"))
        }
        Ok(Err(_)) => Posted::Refused("its address cannot be used".into()),
        Err(_) => Posted::Lost("the answer was lost: timed out".into()),
    }
}

fn judge(status: u16, wait: Option<i64>, words: String, now: Timestamp) -> Posted {
    let said = if words.is_empty() { status.to_string() } else { format!("{status} {words}") };
    match status {
        // A page instead of a word comes from something in between.
        200..=299 if words.starts_with('<') => Posted::Again(format!("answered with a page: {words}")),
        200..=299 => Posted::Done(words),
        429 => {
            let wait = wait.unwrap_or(WAIT).clamp(1, LONGEST_WAIT);
            Posted::Wait(now + SignedDuration::from_secs(wait))
        }
        408 | 425 | 500.. => Posted::Again(format!("answered {said}")),
        _ => Posted::Refused(format!("answered {said}")),
    }
}

/// A client for the address' host, and the secret rest of the address.
fn client(
    channel: &Channel,
    address: &SecretString,
    timeout: Duration,
) -> Result<(HttpClient, String), &'static str> {
    const NO_ADDRESS: &str = "the stored address is no http or https address";
    let url = Url::parse(address.expose_secret().trim()).map_err(|_| NO_ADDRESS)?;
    let allowed = match url.scheme() {
        "https" => true,
        "http" => channel.allow_private_address,
        _ => return Err(NO_ADDRESS),
    };
    if !allowed {
        return Err(
            "the stored address is plain http: use https, or set allow_private_address for an internal receiver",
        );
    }
    let options = HttpOptions {
        allow_private_address: channel.allow_private_address,
        read_timeout: timeout,
        ..HttpOptions::default()
    };
    let client = HttpClient::new(channel.name.as_str(), &url.origin().ascii_serialization(), &options)
        .map_err(|_| "the stored address is private: set allow_private_address if that is meant")?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Ok((client, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn channel(private: bool) -> Channel {
        serde_json::from_value(serde_json::json!({
            "name": "team", "type": "slack", "webhook_url": "${URL}", "allow_private_address": private,
        }))
        .unwrap()
    }

    #[test]
    fn each_status_has_its_meaning() {
        let judge = |status, wait, words: &str| judge(status, wait, words.to_owned(), now());
        assert_eq!(judge(200, None, "ok"), Posted::Done("ok".into()));
        assert_eq!(judge(404, None, "no_service"), Posted::Refused("answered 404 no_service".into()));
        assert_eq!(judge(302, None, ""), Posted::Refused("answered 302".into()));
        assert_eq!(judge(429, Some(7), ""), Posted::Wait(now() + SignedDuration::from_secs(7)));
        assert_eq!(judge(429, None, ""), Posted::Wait(now() + SignedDuration::from_secs(60)));
        assert!(matches!(judge(503, None, ""), Posted::Again(_)));
        assert!(matches!(judge(200, None, "<html>"), Posted::Again(_)));
    }

    #[tokio::test]
    async fn no_problem_with_an_address_tells_any_of_it() {
        for (private, address) in [
            (false, "https://10.1.2.3/services/hidden"),
            (false, "http://hooks.example.com/services/hidden"),
            (false, "hidden"),
            (true, "ftp://hidden/hidden"),
            (true, "http://127.0.0.1:1/services/hidden?token=hidden"),
        ] {
            let address = SecretString::from(address);
            let body = serde_json::json!({});
            let posted = post(&channel(private), &address, &body, Duration::from_secs(1), now()).await;
            let text = format!("{posted:?}");
            assert!(!text.contains("hidden") && !text.contains("10.1.2.3"), "{text}");
            assert!(!matches!(posted, Posted::Done(_) | Posted::Lost(_)), "{text}");
        }
    }
}
