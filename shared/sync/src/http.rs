//! The one place that builds HTTP clients for outside systems.
//!
//! A [`HttpClient`] talks to one configured host and never to another: it follows no redirect, and a vendor-given
//! address is used for its query only ([`HttpClient::same_host`]). Credentials are set once and sent to that host.

mod address;
mod elements;
mod remote;
mod retry_after;
mod tls;

pub use elements::Elements;
pub use remote::RemoteFile;
pub use retry_after::{RetryAfter, http_date};

use std::sync::Arc;
use std::time::Duration;

pub use address::Names;
use address::{Resolver, SystemNames, is_private};
use bytes::Bytes;
use domain::policy::Tls;
pub use reqwest::header::HeaderName;
use reqwest::header::{HeaderMap, HeaderValue};
pub use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::error::SyncError;

/// A client of one outside system.
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    base: Url,
    system: Arc<str>,
    headers: HeaderMap,
    requests: Arc<std::sync::atomic::AtomicU64>,
    told_time: Arc<std::sync::atomic::AtomicI64>,
    options: HttpOptions,
}

/// How long a request may stay without any byte of an answer. Qualys' first byte can take minutes.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries of one request that is safe to repeat, within one invocation; longer waits go through the queue.
const TRIES: u32 = 3;
/// For so long a system is left alone that was asked too often and does not say for how long.
const UNTOLD_WAIT: RetryAfter = RetryAfter::Seconds(60);
/// Of an error body, this much is worth showing.
const DETAIL_LIMIT: usize = 300;

/// Settings of a client that differ between systems.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Loopback, private and link-local addresses are refused unless set, also when a name resolves to one.
    pub allow_private_address: bool,
    /// Whom to trust: the public certificate authorities, or what a connector names instead.
    pub tls: Tls,
    /// How names are looked up; the operating system's way where nothing else is given.
    pub names: Option<Arc<dyn Names>>,
    /// Longest time without a byte.
    pub read_timeout: Duration,
    /// First pause before a request is repeated; doubles with each try.
    pub retry_pause: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            allow_private_address: false,
            tls: Tls::default(),
            names: None,
            read_timeout: READ_TIMEOUT,
            retry_pause: Duration::from_millis(200),
        }
    }
}

impl HttpClient {
    /// A client for `base_url` of the system called `system` in errors (usually the connector's name).
    pub fn new(system: &str, base_url: &str, options: &HttpOptions) -> Result<Self, SyncError> {
        let config = |problem: String| SyncError::Config { field: format!("{system}.base_url"), problem };
        let mut base =
            Url::parse(base_url).map_err(|e| config(format!("{base_url:?} is not an address: {e}")))?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        if !options.allow_private_address && is_private(&base) {
            return Err(config(format!(
                "{base_url} is a private address: set allow_private_address for this system if that is meant"
            )));
        }
        let tls = tls::client_config(&options.tls)
            .map_err(|(field, problem)| SyncError::Config { field: format!("{system}.{field}"), problem })?;
        let names = options.names.clone().unwrap_or_else(|| Arc::new(SystemNames));
        let resolver = Resolver { names, allow_private: options.allow_private_address };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names in our place, and may be where nobody may go; plain HTTP would tell it credentials.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(options.read_timeout)
            .user_agent(concat!(
                "Integration/1.0 (vulnrelay; vulnrelay; Build/",
                env!("CARGO_PKG_VERSION"),
                ")"
            ))
            .build()
            .map_err(|e| config(format!("the HTTP client cannot start: {e}")))?;
        Ok(Self {
            client,
            base,
            system: system.into(),
            headers: HeaderMap::new(),
            requests: Arc::default(),
            told_time: Arc::default(),
            options: options.clone(),
        })
    }

    /// A client for another configured host of the same system, with the same limits and nobody's credentials. Its
    /// requests are counted together with this client's.
    pub fn beside(&self, base_url: &str) -> Result<Self, SyncError> {
        let other = Self::new(&self.system, base_url, &self.options)?;
        Ok(Self { requests: self.requests.clone(), ..other })
    }

    /// Adds a header to every request. The value is marked sensitive: it never shows in a debug print.
    pub fn with_secret_header(mut self, name: HeaderName, value: &str) -> Result<Self, SyncError> {
        let mut value = HeaderValue::from_str(value).map_err(|_| SyncError::Config {
            field: format!("{}.auth", self.system),
            problem:
                "a secret holds characters that no HTTP header can carry: check for a line break at its end"
                    .into(),
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Adds HTTP Basic credentials to every request.
    pub fn with_basic(self, username: &str, password: &str) -> Result<Self, SyncError> {
        use base64::Engine;
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        self.with_secret_header(reqwest::header::AUTHORIZATION, &format!("Basic {token}"))
    }

    /// The system's name, for errors.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Requests sent so far, by this client and its clones.
    pub fn requests(&self) -> u64 {
        self.requests.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The time that the system told with its last answer, to the second.
    pub fn told_time(&self) -> Option<jiff::Timestamp> {
        let second = self.told_time.load(std::sync::atomic::Ordering::Relaxed);
        (second != 0).then(|| jiff::Timestamp::from_second(second).ok()).flatten()
    }

    fn note_time(&self, answer: &reqwest::Response) {
        let date = answer.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(told) = date.and_then(http_date) {
            self.told_time.store(told.as_second(), std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// The query of a vendor-given address if it points to the configured host, otherwise an error.
    pub fn same_host(&self, address: &str) -> Result<Url, SyncError> {
        let url =
            self.base.join(address).map_err(|e| self.malformed("a link", 0, &format!("{address:?}: {e}")))?;
        if url.origin() == self.base.origin() {
            Ok(url)
        } else {
            Err(self.malformed(
                "a link",
                0,
                &format!("it points to another host: {}", url.host_str().unwrap_or("?")),
            ))
        }
    }

    /// Begins a request to `path`, relative to the base address.
    pub fn request(&self, method: Method, path: &str) -> HttpRequest<'_> {
        let repeatable = method == Method::GET;
        HttpRequest {
            client: self,
            method,
            path: path.trim_start_matches('/').to_owned(),
            query: Vec::new(),
            signed_query: None,
            body: None,
            headers: self.headers.clone(),
            repeatable,
        }
    }

    /// An error about an answer of this system.
    pub fn malformed(&self, what: &str, offset: u64, detail: &str) -> SyncError {
        SyncError::Malformed {
            system: self.system.to_string(),
            what: what.to_owned(),
            offset,
            detail: shorten(detail),
        }
    }
}

/// A request being built.
pub struct HttpRequest<'a> {
    client: &'a HttpClient,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    signed_query: Option<String>,
    body: Option<(&'static str, Bytes)>,
    headers: HeaderMap,
    repeatable: bool,
}

impl HttpRequest<'_> {
    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a header that is no secret.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sends this token. The value is marked sensitive: it never shows in a debug print.
    pub fn bearer(mut self, token: &SecretString) -> Result<Self, SyncError> {
        let text = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            self.client.malformed("a token", 0, "it holds characters that no HTTP header can carry")
        })?;
        value.set_sensitive(true);
        self.headers.insert(reqwest::header::AUTHORIZATION, value);
        Ok(self)
    }

    /// Sends a JSON document.
    #[must_use]
    pub fn json(mut self, document: &serde_json::Value) -> Self {
        self.body = Some(("application/json", document.to_string().into()));
        self
    }

    /// Sends bytes of this type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.body = Some((content_type, bytes.into()));
        self
    }

    /// Sends an HTML form.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, String)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body = Some(("application/x-www-form-urlencoded", form.into()));
        self
    }

    /// Says that repeating the request has no further effect, although it is not a GET.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sends it. Any status is an answer; only a lost connection is an error. Requests that are safe to repeat are
    /// tried again after a lost connection or a 502, 503 or 504, with a growing, jittered pause, but not where that took
    /// long: the function's time would be over before the last of them, and nobody would know why. Nor where a 503 says
    /// when to come back.
    pub async fn send(self) -> Result<HttpResponse, SyncError> {
        let client = self.client;
        let what = format!("{} {}", self.method, self.path);
        // Below the base whatever it looks like: a path that begins like an address would lead to another host.
        let below = format!("./{}", self.path);
        let mut url = client.base.join(&below).map_err(|e| client.malformed("a path", 0, &e.to_string()))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        if self.signed_query.is_some() {
            url.set_query(self.signed_query.as_deref());
        }
        let tries = if self.repeatable { TRIES } else { 1 };
        let began = tokio::time::Instant::now();
        let mut attempt = 1;
        loop {
            let mut request =
                client.client.request(self.method.clone(), url.clone()).headers(self.headers.clone());
            if let Some((content_type, body)) = &self.body {
                request = request.header(reqwest::header::CONTENT_TYPE, *content_type).body(body.clone());
            }
            client.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let outcome = request.send().await;
            if let Ok(answer) = &outcome {
                client.note_time(answer);
            }
            let again = attempt < tries
                && began.elapsed() < client.options.read_timeout / 2
                && match &outcome {
                    Ok(answer) => match answer.status().as_u16() {
                        503 => retry_after(answer.headers()).is_none(),
                        status => matches!(status, 502 | 504),
                    },
                    Err(_) => true,
                };
            if again {
                let pause = client.options.retry_pause * 2_u32.pow(attempt - 1);
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                attempt += 1;
                continue;
            }
            return match outcome {
                Ok(answer) => Ok(HttpResponse { inner: answer, system: client.system.clone(), what }),
                Err(error) => Err(unreachable(&client.system, &what, &error)),
            };
        }
    }
}

/// An answer whose body has not been read yet.
pub struct HttpResponse {
    inner: reqwest::Response,
    system: Arc<str>,
    what: String,
}

impl HttpResponse {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// What it says of when to ask again.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        retry_after(self.inner.headers())
    }

    /// Who answers.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// What was asked: method and path.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The next piece of the body, `None` at its end. A body that ends early is an error, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SyncError> {
        self.inner.chunk().await.map_err(|error| unreachable(&self.system, &self.what, &error))
    }

    /// The whole body, for answers known to be small. More than `limit` bytes is an error.
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, SyncError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > limit {
                return Err(SyncError::Malformed {
                    system: self.system.to_string(),
                    what: self.what.clone(),
                    offset: body.len() as u64,
                    detail: format!("the answer is longer than {limit} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The whole body as JSON, for answers known to be small.
    pub async fn json<T: serde::de::DeserializeOwned>(self, limit: usize) -> Result<T, SyncError> {
        let (system, what) = (self.system.to_string(), self.what.clone());
        let body = self.bytes(limit).await?;
        serde_json::from_slice(&body).map_err(|error| SyncError::Malformed {
            system,
            what,
            offset: error.column() as u64,
            detail: shorten(&format!(
                "{error}; it begins with {:?}",
                String::from_utf8_lossy(&body[..body.len().min(60)])
            )),
        })
    }

    /// Takes the word of an answer with 404 that something is not there. Whatever stands before an API may answer with 404
    /// too, gateways in JSON as well; they do not repeat the status in it, as both of Rapid7's APIs do.
    ///
    /// # Errors
    /// It is not the API that says so.
    pub async fn denied(self) -> Result<(), SyncError> {
        let (system, what, status) = (self.system.to_string(), self.what.clone(), self.status().as_u16());
        let body = self.bytes(64 * 1024).await?;
        #[derive(serde::Deserialize)]
        struct Denial {
            status: crate::lenient::Scalar,
        }
        match serde_json::from_slice::<Denial>(&body) {
            Ok(denial) if denial.status.number() == Some(404.0) => Ok(()),
            _ => {
                let detail = shorten(&String::from_utf8_lossy(&body));
                Err(SyncError::Refused { system, what, status, detail })
            }
        }
    }

    /// The error that an unwanted status means: 401 and 403 are about credentials, 404 about what was asked. 429 asks to
    /// wait as long as `Retry-After` says (60 seconds where it does not), and so does 503 with that header: maintenance
    /// that was announced. Without it, 503 is a failure like any other.
    pub async fn into_error(self, now: jiff::Timestamp) -> SyncError {
        let status = self.status().as_u16();
        let (system, what) = (self.system.to_string(), self.what.clone());
        let retry_after = self.retry_after();
        let body = self.bytes(64 * 1024).await.unwrap_or_default();
        let detail = shorten(&String::from_utf8_lossy(&body));
        match (status, retry_after) {
            (401 | 403, _) => SyncError::Unauthorized { system, detail: format!("{status} {detail}") },
            (404, _) => SyncError::NotFound { system, what },
            (429, told) => SyncError::Throttled { system, until: told.unwrap_or(UNTOLD_WAIT).until(now) },
            (503, Some(told)) => SyncError::Throttled { system, until: told.until(now) },
            _ => SyncError::Refused { system, what, status, detail },
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    RetryAfter::parse(headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?)
}

fn unreachable(system: &str, what: &str, error: &reqwest::Error) -> SyncError {
    let mut detail = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(next) = cause {
        detail = next.to_string();
        cause = next.source();
    }
    let sent = !error.is_connect() && !error.is_builder();
    let kind = if error.is_timeout() {
        "timed out"
    } else if sent {
        "connection lost"
    } else {
        "cannot connect"
    };
    SyncError::Unreachable {
        system: system.to_owned(),
        what: what.to_owned(),
        detail: if detail.is_empty() { kind.to_owned() } else { format!("{kind} ({detail})") },
        sent,
    }
}

/// An id as one segment of a path.
pub fn segment(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    if id.bytes().all(|b| b == b'.') {
        return id.replace('.', "%2E");
    }
    id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The first words of a foreign text, on one line.
pub fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DETAIL_LIMIT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests;
