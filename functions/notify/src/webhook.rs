//! Posting to an incoming webhook. Its address is a secret: neither an error nor a log line may hold any of it, so
//! that the HTTP client's own errors, which name path and host, are never shown, and neither is an answer that repeats
//! some of it.

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
/// A shorter part of an address' path or query gives nothing away.
const SECRET_LENGTH: usize = 8;
/// In place of an answer that holds some of the address.
const NOT_SHOWN: &str = "(the answer repeats the channel's address and is not shown)";
/// What the HTTP client says first of a lost connection; names may follow.
const KINDS: [&str; 3] = ["timed out", "connection lost", "cannot connect"];

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// The receiver has it.
    Done(String),
    /// The receiver will never take it.
    Refused(String),
    /// The receiver may have it, and cannot be asked.
    Lost(String),
    /// The receiver does not have it, and it has to wait: until when, and why.
    Wait(Timestamp, &'static str),
    /// The receiver does not have it; it may work later.
    Again(String),
}

/// Whether two addresses are the same.
pub fn same(a: &SecretString, b: &SecretString) -> bool {
    a.expose_secret() == b.expose_secret()
}

/// Longest time of a whole post, given the longest time without a byte.
pub fn post_limit(timeout: Duration) -> Duration {
    timeout * 2
}

/// Posts once. `timeout` is the longest time without a byte; the whole post takes [`post_limit`] at most.
pub async fn post(
    channel: &Channel,
    address: &SecretString,
    body: &Value,
    timeout: Duration,
    now: Timestamp,
) -> Posted {
    let receiver = match Receiver::new(channel, address, timeout) {
        Ok(receiver) => receiver,
        Err(problem) => return Posted::Refused(problem.to_owned()),
    };
    // A client of its own for each message: a connection kept from an earlier one could turn out to be dead only
    // after the post was written to it, and the outcome would be unknown.
    let exchange = async {
        let mut answer = receiver.client.request(Method::POST, &receiver.path).json(body).send().await?;
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
        Ok((status, wait, String::from_utf8_lossy(&words).into_owned()))
    };
    match tokio::time::timeout(post_limit(timeout), exchange).await {
        Ok(Ok((status, wait, words))) => judge(status, wait, &words, &receiver.secrets, now),
        Ok(Err(SyncError::Unreachable { detail, sent: false, .. })) => Posted::Again(kind(&detail).into()),
        Ok(Err(SyncError::Unreachable { detail, .. })) => {
            Posted::Lost(format!("the answer was lost: {}", kind(&detail)))
        }
        Ok(Err(_)) => Posted::Refused("its address cannot be used".into()),
        Err(_) => Posted::Lost("the answer was lost: timed out".into()),
    }
}

fn judge(status: u16, wait: Option<i64>, words: &str, secrets: &SecretParts, now: Timestamp) -> Posted {
    let is_page = words.trim_start().starts_with('<');
    let words = if secrets.are_in(words) { NOT_SHOWN.to_owned() } else { shorten(words) };
    let said = if words.is_empty() { status.to_string() } else { format!("{status} {words}") };
    match status {
        // A page instead of a word comes from something in between, and so do these: the receiver behind it may have
        // the message. With 502 it hardly has, and an alarm twice is better than none.
        200..=299 if is_page => Posted::Lost(format!("answered with a page: {words}")),
        504 | 524 => Posted::Lost(format!("a gateway answered {said}")),
        200..=299 => Posted::Done(words),
        429 => {
            let wait = wait.unwrap_or(WAIT).clamp(1, LONGEST_WAIT);
            Posted::Wait(now + SignedDuration::from_secs(wait), "the receiver asks to wait")
        }
        408 | 425 | 500.. => Posted::Again(format!("answered {said}")),
        _ => Posted::Refused(format!("answered {said}")),
    }
}

/// Why no answer came, without the names that the cause may hold.
fn kind(detail: &str) -> &'static str {
    KINDS.into_iter().find(|kind| detail.starts_with(kind)).unwrap_or("no answer")
}

/// What is behind an address.
struct Receiver {
    /// A client for its host.
    client: HttpClient,
    /// The secret rest of the address.
    path: String,
    secrets: SecretParts,
}

impl Receiver {
    fn new(channel: &Channel, address: &SecretString, timeout: Duration) -> Result<Self, &'static str> {
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
        Ok(Self { client, path, secrets: SecretParts::of(&url) })
    }
}

/// The parts of an address that nobody may see, in small letters.
struct SecretParts(Vec<String>);

impl SecretParts {
    /// Host and query, and each part of path and query that is long enough to be a secret, as it is written and as it is
    /// meant.
    fn of(url: &Url) -> Self {
        let segments = url.path().split('/').flat_map(|part| [part.to_owned(), decoded(part)]);
        let values = url.query_pairs().map(|(_, value)| value.into_owned());
        let long = segments.chain(values).filter(|part| part.chars().count() >= SECRET_LENGTH);
        let whole = [url.host_str(), url.query()].into_iter().flatten().map(str::to_owned);
        Self(whole.chain(long).filter(|part| !part.is_empty()).map(|part| part.to_lowercase()).collect())
    }

    fn are_in(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        self.0.iter().any(|part| words.contains(part))
    }
}

/// A part of a path without its percent signs. Only a form's `+` and `&` mean something else there.
fn decoded(part: &str) -> String {
    let form = format!("={}", part.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

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
        let secrets = SecretParts::of(&Url::parse("https://hooks.example.com/services/T0").unwrap());
        let judge = |status, wait, words: &str| judge(status, wait, words, &secrets, now());
        let wait =
            |seconds| Posted::Wait(now() + SignedDuration::from_secs(seconds), "the receiver asks to wait");
        assert_eq!(judge(200, None, "ok"), Posted::Done("ok".into()));
        assert_eq!(judge(404, None, "no_service"), Posted::Refused("answered 404 no_service".into()));
        assert_eq!(judge(302, None, ""), Posted::Refused("answered 302".into()));
        assert_eq!(judge(429, Some(7), ""), wait(7));
        assert_eq!(judge(429, None, ""), wait(60));
        for status in [408, 425, 500, 502, 503] {
            assert!(matches!(judge(status, None, ""), Posted::Again(_)), "{status}");
        }
    }

    #[test]
    fn what_something_in_between_answers_leaves_open_whether_the_message_came() {
        let secrets = SecretParts::of(&Url::parse("https://hooks.example.com/services/T0").unwrap());
        for (status, words) in
            [(524, ""), (504, "timeout"), (200, "<html>"), (200, "\n <html>hooks.example.com")]
        {
            let posted = judge(status, None, words, &secrets, now());
            assert!(matches!(posted, Posted::Lost(_)), "{status} {words}: {posted:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_repeats_the_address_is_not_shown() {
        for (answer, shown) in [
            ("no_service", true),
            ("no such path: /services/T0/hidden%20token/HiddenToken", false),
            ("no such hook: hiddentoken", false),
            ("no such hook: hidden token", false),
            ("127.0.0.1 does not know it", false),
            ("no key k=a%2Bhidden&v=1", false),
            ("wrong signature A+HIDDEN", false),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = format!(
                "http://{}/services/T0/hidden%20token/HiddenToken?k=a%2Bhidden&v=1",
                listener.local_addr().unwrap()
            );
            let router = axum::Router::new().fallback(async move || (StatusCode::NOT_FOUND, answer));
            tokio::spawn(async move { axum::serve(listener, router).await });
            let (address, body) = (SecretString::from(address), serde_json::json!({}));
            let posted = post(&channel(true), &address, &body, Duration::from_secs(1), now()).await;
            let words = if shown { answer } else { NOT_SHOWN };
            assert_eq!(posted, Posted::Refused(format!("answered 404 {words}")), "{answer}");
        }
    }

    #[test]
    fn a_lost_connection_is_told_without_names() {
        let told = [
            "cannot connect (hooks.hidden.example is 10.0.0.1, a private address)",
            "timed out",
            "connection lost (hidden)",
            "hidden",
        ];
        assert_eq!(told.map(kind), ["cannot connect", "timed out", "connection lost", "no answer"]);
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
