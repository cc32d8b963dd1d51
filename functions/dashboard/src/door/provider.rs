//! The issuer over the network: where its endpoints are, its keys, and exchanging a code.
//!
//! All requests go through the one HTTP client, which follows no redirect. The code and the client's secret go to the
//! token endpoint alone, which the issuer names in its own document; only the issuer's own host is asked for that.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use sync::http::{HttpRequest, Method};
use sync::{HttpClient, HttpOptions};
use tokio::sync::Mutex;
use url::Url;

use super::jwt::{Keys, Unverified};

/// Endpoints and keys are read again after this time.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// A key that we do not know, or an issuer that does not answer, is asked for no more often than this.
const ASKED_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// No document of an issuer is larger.
const LIMIT: usize = 256 * 1024;
/// What errors call the issuer.
const NAME: &str = "sign-in";

/// Why the issuer is of no help now. Nothing that was sent is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    #[error("the issuer cannot be used: {0}")]
    Unusable(String),
    #[error("the issuer did not answer a moment ago; it is asked again after a minute")]
    Resting,
    #[error("the issuer refused the code: {0}")]
    Code(String),
    #[error(transparent)]
    Http(#[from] sync::SyncError),
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    #[serde(deserialize_with = "address")]
    pub(super) authorization_endpoint: Url,
    #[serde(deserialize_with = "address")]
    pub(super) token_endpoint: Url,
    #[serde(deserialize_with = "address")]
    jwks_uri: Url,
    #[serde(default, deserialize_with = "maybe_address")]
    pub(super) end_session_endpoint: Option<Url>,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    Url::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Of an address that is no address, nothing is made: signing out there is a courtesy.
fn maybe_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| Url::parse(&text).ok()))
}

#[derive(Clone)]
pub(super) struct Known {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) keys: Arc<Keys>,
}

#[derive(Default)]
struct Memory {
    known: Option<(Timestamp, Known)>,
    /// When it was last asked, with or without success.
    asked: Option<Timestamp>,
}

pub(super) struct Provider {
    issuer: String,
    client_id: String,
    client_secret: Option<SecretString>,
    http: HttpOptions,
    memory: Mutex<Memory>,
}

impl Provider {
    pub(super) fn new(
        issuer: &str,
        client_id: &str,
        client_secret: Option<SecretString>,
        http: HttpOptions,
    ) -> Self {
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        Self { issuer, client_id, client_secret, http, memory: Mutex::default() }
    }

    /// Endpoints and keys, as of an hour ago at most.
    pub(super) async fn known(&self, now: Timestamp) -> Result<Known, ProviderError> {
        self.fitting(now, |_| true).await
    }

    /// The same with the key of a token, if the issuer has it.
    pub(super) async fn for_token(
        &self,
        token: &Unverified<'_>,
        now: Timestamp,
    ) -> Result<Known, ProviderError> {
        self.fitting(now, |known| known.keys.know(token)).await
    }

    /// What is known, asked for anew if it is old or does not fit. What does not fit although it was asked for within
    /// the minute is given as it is.
    async fn fitting(&self, now: Timestamp, fits: impl Fn(&Known) -> bool) -> Result<Known, ProviderError> {
        let mut memory = self.memory.lock().await;
        let fresh = memory.known.as_ref().filter(|(at, _)| now.duration_since(*at) < KEPT);
        let rests = memory.asked.is_some_and(|at| now.duration_since(at) < ASKED_EVERY);
        match fresh {
            Some((_, known)) if rests || fits(known) => return Ok(known.clone()),
            None if rests => return Err(ProviderError::Resting),
            _ => {}
        }
        memory.asked = Some(now);
        let known = self.ask().await?;
        memory.known = Some((now, known.clone()));
        Ok(known)
    }

    async fn ask(&self) -> Result<Known, ProviderError> {
        let unusable = |problem: &str| ProviderError::Unusable(problem.to_owned());
        let document = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document = Url::parse(&document).map_err(|_| unusable("OIDC_ISSUER is no address"))?;
        let endpoints: Endpoints = self.document(&document).await?;
        if endpoints.issuer != self.issuer {
            return Err(unusable("its own document names another issuer: set OIDC_ISSUER to that name"));
        }
        let weaker = |endpoint: &Url| endpoint.scheme() != "https" && endpoint.scheme() != document.scheme();
        let Endpoints { authorization_endpoint, token_endpoint, jwks_uri, .. } = &endpoints;
        if [authorization_endpoint, token_endpoint, jwks_uri].into_iter().any(weaker) {
            return Err(unusable("it names an endpoint without TLS"));
        }
        let keys = self.get(&endpoints.jwks_uri).await?;
        let keys = Keys::read(&keys).map_err(|_| unusable("its keys cannot be read"))?;
        Ok(Known { endpoints: Arc::new(endpoints), keys: Arc::new(keys) })
    }

    /// Exchanges the code of a sign-in for its ID token.
    pub(super) async fn redeem(
        &self,
        endpoint: &Url,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<String, ProviderError> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: String,
        }
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let mut client = self.client(endpoint)?;
        if let Some(secret) = &self.client_secret {
            let encode =
                |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            client = client.with_basic(&encode(&self.client_id), &encode(secret.expose_secret()))?;
        }
        let fields = [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect_uri.to_owned()),
            ("client_id", self.client_id.clone()),
            ("code_verifier", verifier.to_owned()),
        ];
        // A code counts once, so this is not repeated.
        let request = at(&client, Method::POST, endpoint).form(&fields).header("accept", "application/json");
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes(LIMIT).await?;
        if !status.is_success() {
            // The error's name is from a short list; its description may repeat what was sent.
            let name = serde_json::from_slice(&body).map(|refusal: Refusal| refusal.error);
            let name = name.unwrap_or_else(|_| status.to_string());
            return Err(ProviderError::Code(sync::http::shorten(&name)));
        }
        // What cannot be read may still hold a token: nothing of it is shown.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| ProviderError::Unusable("it answered a code without an ID token".to_owned()))?;
        Ok(answer.id_token)
    }

    async fn document<T: DeserializeOwned>(&self, address: &Url) -> Result<T, ProviderError> {
        let document = self.get(address).await?;
        serde_json::from_slice(&document).map_err(|error| {
            ProviderError::Unusable(format!("the document at {} cannot be read: {error}", address.path()))
        })
    }

    async fn get(&self, address: &Url) -> Result<Vec<u8>, ProviderError> {
        let client = self.client(address)?;
        let answer = at(&client, Method::GET, address).header("accept", "application/json").send().await?;
        if !answer.status().is_success() {
            let problem = format!("it answered {} with {}", address.path(), answer.status().as_u16());
            return Err(ProviderError::Unusable(problem));
        }
        Ok(answer.bytes(LIMIT).await?)
    }

    /// A client of the host of an endpoint.
    fn client(&self, endpoint: &Url) -> Result<HttpClient, ProviderError> {
        Ok(HttpClient::new(NAME, &endpoint.origin().ascii_serialization(), &self.http)?)
    }
}

fn at<'a>(client: &'a HttpClient, method: Method, endpoint: &Url) -> HttpRequest<'a> {
    let request = client.request(method, endpoint.path());
    endpoint.query_pairs().fold(request, |request, (name, value)| request.query(&name, value))
}
