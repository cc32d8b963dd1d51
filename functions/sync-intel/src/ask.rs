//! Asking feeds that want to know who asks, or for what.
//!
//! Keys are sent to the configured address and never after a redirect.

use domain::intel::Feed;
use domain::policy::{Auth, Feeds};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use store::Window;
use sync::http::{HeaderName, HttpRequest, HttpResponse, Method, StatusCode};
use sync::{HttpClient, HttpOptions, SyncError};
use url::{Position, Url};

use crate::fetch::Body;
use crate::{IntelError, SyncIntel};

/// NVD asks who has no key for six seconds between two requests.
const NVD_PAUSE: SignedDuration = SignedDuration::from_secs(6);
/// Others, and NVD with a key, have limits a minute that are far above this.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// By which Mandiant tells apart who asks.
const APP_NAME: &str = "vulnrelay";
/// No answer with a token is as long.
const TOKEN_LIMIT: usize = 64 * 1024;

impl SyncIntel {
    /// The time between two pages.
    pub(crate) fn pause(&self, feed: Feed) -> SignedDuration {
        if feed == Feed::Nvd && self.config.feeds.nvd_key.is_none() { NVD_PAUSE } else { PAUSE }
    }

    /// Asks for the page of `records` records at which the window stands.
    pub(crate) async fn ask_page(
        &self,
        feed: Feed,
        records: usize,
        window: &Window,
    ) -> Result<Body, IntelError> {
        match feed {
            Feed::Nvd => self.ask_nvd(records, window).await,
            Feed::Vulncheck => self.ask_vulncheck(records, window).await,
            Feed::Misp => self.ask_misp(records, window).await,
            Feed::Mandiant => self.ask_mandiant(records, window).await,
            Feed::Kev
            | Feed::Epss
            | Feed::Exploitdb
            | Feed::Metasploit
            | Feed::Nuclei
            | Feed::Vulnrichment
            | Feed::RecordedFuture => Err(IntelError::malformed(feed, "it does not come in pages")),
        }
    }

    async fn ask_nvd(&self, records: usize, window: &Window) -> Result<Body, IntelError> {
        let Feeds { nvd, nvd_key, allow_private_address, .. } = &self.config.feeds;
        let url = Url::parse(nvd).map_err(|e| SyncError::Config {
            field: "feeds.nvd".into(),
            problem: format!("{nvd:?} is not an address: {e}"),
        })?;
        let options = HttpOptions { allow_private_address: *allow_private_address, ..HttpOptions::default() };
        let mut client = HttpClient::new(Feed::Nvd.as_str(), &url[..Position::BeforePath], &options)?;
        if let Some(key) = nvd_key {
            client = client.with_secret_header(
                HeaderName::from_static("apikey"),
                self.secret(key).await?.expose_secret(),
            )?;
        }
        let mut request = client.request(Method::GET, url.path());
        for (name, value) in url.query_pairs() {
            request = request.query(&name, &value);
        }
        request = request.query("resultsPerPage", records).query("startIndex", window.next);
        if let Some(from) = window.from {
            let time = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
            request =
                request.query("lastModStartDate", time(from)).query("lastModEndDate", time(window.until));
        }
        self.answer(request).await
    }

    async fn ask_vulncheck(&self, records: usize, window: &Window) -> Result<Body, IntelError> {
        let (client, key) = self.client(Feed::Vulncheck).await?;
        let mut request =
            client.request(Method::GET, "v3/index/vulncheck-kev").bearer(&key)?.query("limit", records);
        request = match &window.cursor {
            Some(cursor) => request.query("cursor", cursor),
            None => request.query("start_cursor", true),
        };
        if let Some(from) = window.from {
            request = request.query("lastModStartDate", from.strftime("%Y-%m-%d"));
        }
        self.answer(request).await
    }

    async fn ask_misp(&self, records: usize, window: &Window) -> Result<Body, IntelError> {
        let (client, key) = self.client(Feed::Misp).await?;
        let client =
            client.with_secret_header(HeaderName::from_static("authorization"), key.expose_secret())?;
        let mut wanted = json!({
            "returnFormat": "json", "type": "vulnerability", "published": true, "deleted": [0, 1],
            "includeContext": true, "includeEventTags": true, "includeSightings": true,
            "limit": records, "page": window.next / records + 1,
        });
        if let Some(from) = window.from {
            wanted["timestamp"] = json!(from.as_second());
        }
        let request = client.request(Method::POST, "attributes/restSearch").json(&wanted);
        self.answer(request.header("accept", "application/json").repeatable()).await
    }

    /// The window goes with each page, not with the first alone: without it, pages are those of everything.
    async fn ask_mandiant(&self, records: usize, window: &Window) -> Result<Body, IntelError> {
        let (client, key) = self.client(Feed::Mandiant).await?;
        let token = self.mandiant_token(&client, &key).await?;
        let mut request = client
            .request(Method::GET, "v4/vulnerability")
            .bearer(&token)?
            .header("accept", "application/json")
            .header("x-app-name", APP_NAME)
            .query("limit", records)
            .query("offset", window.next)
            .query("end_epoch", window.until.as_second());
        if let Some(from) = window.from {
            request = request.query("start_epoch", from.as_second());
        }
        self.answer(request).await
    }

    async fn mandiant_token(
        &self,
        client: &HttpClient,
        secret: &SecretString,
    ) -> Result<SecretString, IntelError> {
        #[derive(Deserialize)]
        struct Token {
            access_token: String,
        }
        let user = match self.config.feeds.source(Feed::Mandiant).map(|source| &source.auth) {
            Some(Auth::Basic { username, .. }) => self.secret(username).await?,
            _ => SecretString::default(),
        };
        let client = client.clone().with_basic(user.expose_secret(), secret.expose_secret())?;
        let request = client
            .request(Method::POST, "token")
            .header("accept", "application/json")
            .header("x-app-name", APP_NAME)
            .form(&[("grant_type", "client_credentials".to_owned())])
            .repeatable();
        let Token { access_token } =
            self.good(request).await?.json(TOKEN_LIMIT).await.map_err(|error| match error {
                // What is wrong with an answer is told with how it begins, and this one may begin with the token.
                SyncError::Malformed { system, what, offset, .. } => SyncError::Malformed {
                    system,
                    what,
                    offset,
                    detail: "it holds no access_token".to_owned(),
                },
                other => other,
            })?;
        Ok(SecretString::from(access_token))
    }

    /// The whole risk list; `None`: it still is what the entity tag stands for.
    pub(crate) async fn ask_risk_list(&self, etag: Option<&str>) -> Result<Option<Body>, IntelError> {
        let (client, key) = self.client(Feed::RecordedFuture).await?;
        let client = client.with_secret_header(HeaderName::from_static("x-rftoken"), key.expose_secret())?;
        let mut request = client
            .request(Method::GET, "v2/vulnerability/risklist")
            .query("format", "csv/splunk")
            .query("gzip", true);
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let response = request.send().await?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(None);
        }
        Ok(Some(Body::of(self.checked(response).await?)))
    }

    /// A client for a source of threat intelligence, and the secret by which it knows who asks.
    async fn client(&self, feed: Feed) -> Result<(HttpClient, SecretString), IntelError> {
        let source = self.config.feeds.source(feed).ok_or_else(|| SyncError::Config {
            field: format!("feeds.{feed}"),
            problem: "it is not there".to_owned(),
        })?;
        let options = HttpOptions {
            allow_private_address: source.allow_private_address,
            tls: source.tls.clone(),
            ..HttpOptions::default()
        };
        let client = HttpClient::new(feed.as_str(), self.config.feeds.address(feed), &options)?;
        let secret = source.auth.secrets().first().map_or("", |(_, secret)| secret);
        Ok((client, self.secret(secret).await?))
    }

    /// The value behind a `${NAME}` of a feed.
    async fn secret(&self, text: &str) -> Result<SecretString, IntelError> {
        Ok(self.secrets.resolve(Feeds::SECRET, text).await?)
    }

    /// Sends a request whose only good answer is 200. A key that is refused is read anew the next time.
    async fn answer(&self, request: HttpRequest<'_>) -> Result<Body, IntelError> {
        Ok(Body::of(self.good(request).await?))
    }

    async fn good(&self, request: HttpRequest<'_>) -> Result<HttpResponse, IntelError> {
        self.checked(request.send().await?).await
    }

    async fn checked(&self, response: HttpResponse) -> Result<HttpResponse, IntelError> {
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let error = response.into_error(self.clock.now()).await;
        if matches!(error, SyncError::Unauthorized { .. }) {
            self.secrets.forget(Feeds::SECRET);
        }
        Err(error.into())
    }
}
