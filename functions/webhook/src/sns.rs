//! Amazon SNS: messages signed with a certificate that SNS publishes.
//!
//! Nothing in a message decides whom we ask: the host comes from the configured topic, and the addresses that the message
//! names are refused unless they are on it.

mod certificate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::policy::{TopicArn, WebhookSource};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sync::http::Method;
use sync::{HttpClient, HttpOptions, SyncError};
use url::Url;

use certificate::Certificate;

/// A certificate has some 2 KB, an answer to a confirmation less.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How long a certificate is used before it is fetched again.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Certificates that are kept; SNS has one per region and changes it about once a year.
const KEPT_AT_MOST: usize = 16;

/// How SNS is reached.
#[derive(Debug, Clone)]
pub struct SnsOptions {
    /// Where every host of SNS is looked for instead of at its own address, as for an emulator.
    pub endpoint: Option<String>,
    /// Limits of the client.
    pub http: HttpOptions,
}

impl Default for SnsOptions {
    fn default() -> Self {
        // The sender waits for 15 seconds, the function has 10.
        let http = HttpOptions { read_timeout: Duration::from_secs(2), ..HttpOptions::default() };
        Self { endpoint: None, http }
    }
}

/// Verifies messages of SNS and confirms subscriptions.
pub(crate) struct Sns {
    options: SnsOptions,
    certificates: Mutex<BTreeMap<String, (Timestamp, Arc<Certificate>)>>,
}

/// A message as SNS posts it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    r#type: String,
    message: String,
    message_id: String,
    #[serde(default)]
    subject: Option<String>,
    timestamp: String,
    topic_arn: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(rename = "SubscribeURL", default)]
    subscribe_url: Option<String>,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
}

/// What a verified message wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Something happened.
    Notified {
        /// Tells it from every other message.
        id: String,
        /// When it was signed.
        at: Timestamp,
    },
    /// A subscription, which has been confirmed.
    Confirmed,
    /// A subscription has ended.
    Unsubscribed,
}

/// Why a message is not taken.
#[derive(Debug)]
pub(crate) enum SnsError {
    /// It is not from one of the topics, or nobody can tell. What exactly is for our log alone.
    NotVerified(&'static str),
    /// SNS could not be asked.
    Unreachable(SyncError),
}

impl Sns {
    pub fn new(options: SnsOptions) -> Self {
        Self { options, certificates: Mutex::default() }
    }

    /// Verifies a message, and confirms the subscription if it asks for that.
    pub async fn verify(
        &self,
        source: &WebhookSource,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Wanted, SnsError> {
        use SnsError::NotVerified;
        let message: Message = serde_json::from_slice(body).map_err(|_| NotVerified("no message of SNS"))?;
        let topic = source.topics.iter().find(|topic| topic.as_str() == message.topic_arn);
        let topic = topic.ok_or(NotVerified("another topic"))?;
        let at: Timestamp = message.timestamp.parse().map_err(|_| NotVerified("no time of signing"))?;
        if now.duration_since(at).abs() > source.tolerance().duration() {
            return Err(NotVerified("too old, or of the future"));
        }
        let signed = message.signed().ok_or(NotVerified("unknown type or missing fields"))?;
        let signature = STANDARD.decode(&message.signature).map_err(|_| NotVerified("no signature"))?;
        let version = message.signature_version.as_str();
        if !matches!(version, "1" | "2") {
            return Err(NotVerified("unknown version of the signature"));
        }
        let certificate = self.certificate(topic, &message.signing_cert_url, now).await?;
        if !certificate.is_valid_at(now) {
            return Err(NotVerified("the certificate has expired or is not valid yet"));
        }
        if !certificate.verifies(version, signed.as_bytes(), &signature) {
            return Err(NotVerified("wrong signature"));
        }
        match message.r#type.as_str() {
            "Notification" => {
                Ok(Wanted::Notified { id: format!("{} {}", message.topic_arn, message.message_id), at })
            }
            "SubscriptionConfirmation" => {
                let address = message.subscribe_url.as_deref().unwrap_or_default();
                self.confirm(topic, address, now).await?;
                Ok(Wanted::Confirmed)
            }
            _ => Ok(Wanted::Unsubscribed),
        }
    }

    async fn certificate(
        &self,
        topic: &TopicArn,
        address: &str,
        now: Timestamp,
    ) -> Result<Arc<Certificate>, SnsError> {
        let url =
            on_host(topic, address).ok_or(SnsError::NotVerified("its certificate is on another host"))?;
        let name = url.path().strip_prefix('/').and_then(|path| path.strip_suffix(".pem"));
        // SimpleNotificationService-<hexadecimal digits>.pem
        if url.query().is_some()
            || !name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            return Err(SnsError::NotVerified("its certificate has an address like no certificate"));
        }
        if let Ok(kept) = self.certificates.lock()
            && let Some((at, certificate)) = kept.get(address)
            && now.duration_since(*at).abs() < KEPT
        {
            return Ok(certificate.clone());
        }
        let pem = self.get(topic, &url, now).await?;
        let certificate =
            Certificate::read(&pem).ok_or(SnsError::NotVerified("its certificate cannot be read"))?;
        let certificate = Arc::new(certificate);
        if let Ok(mut kept) = self.certificates.lock() {
            if kept.len() >= KEPT_AT_MOST {
                kept.clear();
            }
            kept.insert(address.to_owned(), (now, certificate.clone()));
        }
        Ok(certificate)
    }

    /// Follows the address of a confirmation. Doing it twice has the effect once.
    async fn confirm(&self, topic: &TopicArn, address: &str, now: Timestamp) -> Result<(), SnsError> {
        let url = on_host(topic, address).ok_or(SnsError::NotVerified("it is confirmed on another host"))?;
        let has = |name: &str, value: &str| url.query_pairs().any(|(n, v)| n == name && v == value);
        if !has("Action", "ConfirmSubscription") || !has("TopicArn", topic.as_str()) {
            return Err(SnsError::NotVerified("its address confirms something else"));
        }
        self.get(topic, &url, now).await.map(|_| ())
    }

    async fn get(&self, topic: &TopicArn, url: &Url, now: Timestamp) -> Result<Vec<u8>, SnsError> {
        let own = format!("https://{}", topic.host());
        let base = self.options.endpoint.as_deref().unwrap_or(&own);
        let client = HttpClient::new("sns", base, &self.options.http).map_err(SnsError::Unreachable)?;
        let mut request = client.request(Method::GET, url.path());
        for (name, value) in url.query_pairs() {
            request = request.query(&name, value);
        }
        let answer = request.send().await.map_err(SnsError::Unreachable)?;
        if answer.status().is_success() {
            return answer.bytes(ANSWER_LIMIT).await.map_err(SnsError::Unreachable);
        }
        match answer.into_error(now).await {
            error if error.is_transient() => Err(SnsError::Unreachable(error)),
            _ => Err(SnsError::NotVerified("SNS knows nothing of it")),
        }
    }
}

/// The address, if it is on the host that speaks for the topic.
fn on_host(topic: &TopicArn, address: &str) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.port().is_none()
        && url.host_str() == Some(topic.host().as_str());
    plain.then_some(url)
}

impl Message {
    /// What is signed: names and values, in the order of the names.
    fn signed(&self) -> Option<String> {
        let fields: Vec<(&str, Option<&str>)> = match self.r#type.as_str() {
            "Notification" => {
                let mut fields =
                    vec![("Message", Some(self.message.as_str())), ("MessageId", Some(&self.message_id))];
                fields.extend(self.subject.as_deref().map(|subject| ("Subject", Some(subject))));
                fields.extend([
                    ("Timestamp", Some(self.timestamp.as_str())),
                    ("TopicArn", Some(&self.topic_arn)),
                    ("Type", Some(&self.r#type)),
                ]);
                fields
            }
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => vec![
                ("Message", Some(&self.message)),
                ("MessageId", Some(&self.message_id)),
                ("SubscribeURL", self.subscribe_url.as_deref()),
                ("Timestamp", Some(&self.timestamp)),
                ("Token", self.token.as_deref()),
                ("TopicArn", Some(&self.topic_arn)),
                ("Type", Some(&self.r#type)),
            ],
            _ => return None,
        };
        fields.into_iter().map(|(name, value)| Some(format!("{name}\n{}\n", value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_topics_own_host_is_asked() {
        let topic = TopicArn::try_from("arn:aws:sns:eu-central-1:123456789012:scans".to_owned()).unwrap();
        assert!(
            on_host(&topic, "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0.pem")
                .is_some()
        );
        for other in [
            "http://sns.eu-central-1.amazonaws.com/a.pem",
            "https://sns.us-east-1.amazonaws.com/a.pem",
            "https://sns.eu-central-1.amazonaws.com.cn/a.pem",
            "https://sns.eu-central-1.amazonaws.com.evil.example/a.pem",
            "https://evil.example/sns.eu-central-1.amazonaws.com/a.pem",
            "https://sns.eu-central-1.amazonaws.com@evil.example/a.pem",
            "https://user@sns.eu-central-1.amazonaws.com/a.pem",
            "https://sns.eu-central-1.amazonaws.com:8443/a.pem",
            "https://bucket.s3.amazonaws.com/a.pem",
            "a.pem",
            "",
        ] {
            assert!(on_host(&topic, other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_subject_is_signed_only_where_there_is_one() {
        let message = |subject: &str| {
            let text = format!(
                r#"{{"Type":"Notification","MessageId":"1","Message":"a\nb",{subject}"Timestamp":"t","TopicArn":"a",
                "SignatureVersion":"1","Signature":"","SigningCertURL":"","UnsubscribeURL":"x"}}"#
            );
            serde_json::from_str::<Message>(&text).unwrap().signed().unwrap()
        };
        assert_eq!(
            message(""),
            "Message\na\nb\nMessageId\n1\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"
        );
        assert_eq!(
            message(r#""Subject":"s","#),
            "Message\na\nb\nMessageId\n1\nSubject\ns\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"
        );
    }
}
