//! Secrets: read from Secrets Manager once, kept in memory for a few minutes, never printed.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use aws_sdk_secretsmanager::Client;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;

/// A rotated secret is noticed after this time, or at once when a system refuses the old one.
const KEPT: SignedDuration = SignedDuration::from_mins(5);

/// Answers of Secrets Manager that stay the same until a person changes something.
const REFUSALS: [&str; 4] =
    ["AccessDeniedException", "DecryptionFailure", "InvalidParameterException", "InvalidRequestException"];

/// A secret that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager does not have it or does not give it.
    #[error("secret {secret}: {problem}")]
    Unavailable {
        /// Name in Secrets Manager.
        secret: String,
        /// What it said.
        problem: String,
    },
    /// Secrets Manager was out of reach or too busy: the same request may work later.
    #[error("secret {secret} cannot be read now: {problem}")]
    Unreachable {
        /// Name in Secrets Manager.
        secret: String,
        /// What happened.
        problem: String,
    },
    /// The secret has no such key.
    #[error("secret {secret} has no key {key}: it is a JSON object, add \"{key}\" to it")]
    NoKey {
        /// Name in Secrets Manager.
        secret: String,
        /// Name inside `${…}`.
        key: String,
    },
    /// The secret is not a JSON object of texts.
    #[error("secret {secret} is not a JSON object of names and texts")]
    NotAnObject {
        /// Name in Secrets Manager.
        secret: String,
    },
}

type Values = Arc<BTreeMap<String, SecretString>>;

/// Reads secrets.
#[derive(Clone)]
pub struct Secrets {
    client: Arc<LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>>,
    prefix: Arc<str>,
    clock: Arc<dyn Clock>,
    kept: Arc<Mutex<BTreeMap<String, (Timestamp, Values)>>>,
}

impl Secrets {
    /// Secrets whose names begin with `prefix` (`vulnrelay/`).
    pub fn new(client: Client, prefix: &str, clock: Arc<dyn Clock>) -> Self {
        Self::with(|| client, prefix, clock)
    }

    /// The same with a client that is made when a secret is first read.
    pub fn with(make: impl FnOnce() -> Client + Send + 'static, prefix: &str, clock: Arc<dyn Clock>) -> Self {
        let client = Arc::new(LazyLock::new(Box::new(make) as _));
        Self { client, prefix: prefix.into(), clock, kept: Arc::default() }
    }

    /// `text` with every `${NAME}` replaced by that key of the secret of `owner` (a connector, channel or tracker).
    /// Text without a `${NAME}` asks nobody.
    pub async fn resolve(&self, owner: &str, text: &str) -> Result<SecretString, SecretError> {
        if !text.contains("${") {
            return Ok(SecretString::from(text.to_owned()));
        }
        let values = self.values(owner).await?;
        let mut resolved = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (key, tail) = after.split_once('}').unwrap_or((after, ""));
            let value = values.get(key).ok_or_else(|| SecretError::NoKey {
                secret: format!("{}{owner}", self.prefix),
                key: key.to_owned(),
            })?;
            resolved.push_str(before);
            resolved.push_str(value.expose_secret());
            rest = tail;
        }
        resolved.push_str(rest);
        Ok(SecretString::from(resolved))
    }

    /// Forgets the secret of `owner`, so that the next use reads it again. Called when a system refused it.
    pub fn forget(&self, owner: &str) {
        if let Ok(mut kept) = self.kept.lock() {
            kept.remove(owner);
        }
    }

    async fn values(&self, owner: &str) -> Result<Values, SecretError> {
        let now = self.clock.now();
        if let Ok(kept) = self.kept.lock()
            && let Some((at, values)) = kept.get(owner)
            && now.duration_since(*at).abs() < KEPT
        {
            return Ok(values.clone());
        }
        let secret = format!("{}{owner}", self.prefix);
        let answer = self.client.get_secret_value().secret_id(&secret).send().await.map_err(|error| {
            let secret = secret.clone();
            match error.as_service_error() {
                Some(e) if e.is_resource_not_found_exception() => {
                    SecretError::Unavailable { secret, problem: "it does not exist: create it".to_owned() }
                }
                Some(e) if REFUSALS.contains(&e.meta().code().unwrap_or_default()) => {
                    SecretError::Unavailable { secret, problem: e.to_string() }
                }
                _ => {
                    let problem = aws_sdk_secretsmanager::error::DisplayErrorContext(&error).to_string();
                    SecretError::Unreachable { secret, problem }
                }
            }
        })?;
        let object: BTreeMap<String, String> =
            serde_json::from_str(answer.secret_string().unwrap_or_default())
                .map_err(|_| SecretError::NotAnObject { secret: secret.clone() })?;
        let values: Values = Arc::new(object.into_iter().map(|(k, v)| (k, SecretString::from(v))).collect());
        if let Ok(mut kept) = self.kept.lock() {
            kept.insert(owner.to_owned(), (now, values.clone()));
        }
        Ok(values)
    }
}
