//! The integration API: requests, and what their answers mean.

pub mod graphql;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sync::SyncError;
use sync::http::{Elements, HttpClient, HttpResponse, Method, RemoteFile};
use sync::lenient::Scalar;
use sync::split::json::{JsonMember, pass_over};

use crate::normalize::{RECORD_LIMIT, RECORDS};
use crate::work::Page;

const ASSETS: &str = "vm/v4/integration/assets";
const VULNERABILITIES: &str = "vm/v4/integration/vulnerabilities";
/// Definitions on a page.
const DEFINITIONS_PER_PAGE: usize = 500;
/// Answers that are no pages are small.
const ANSWER_LIMIT: usize = 4 << 20;
/// Where the files of an export may be. The storage service is Amazon's; a name of Rapid7's own may stand before it.
const FILE_HOSTS: &[&str] = &[".amazonaws.com", ".rapid7.com"];

/// A client of one InsightVM account.
pub struct Client {
    http: HttpClient,
}

/// What to ask of assets.
#[derive(Debug, Clone, Copy)]
pub struct AssetsWish {
    /// Assets a page.
    pub size: u32,
    /// Whether findings are wanted.
    pub findings: bool,
    /// What changed since then; everything if not given.
    pub since: Option<Timestamp>,
    /// Until when; the next run goes on from there.
    pub until: Timestamp,
}

impl Client {
    /// A client over an HTTP client that has the key.
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }

    /// The connector's name.
    pub fn system(&self) -> &str {
        self.http.system()
    }

    /// A page of assets.
    pub async fn assets(&self, wish: &AssetsWish, page: &Page, now: Timestamp) -> Result<Records, SyncError> {
        /// Results arrive at the platform some time after their scan has ended.
        const LATE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
        let mut request = self
            .http
            .request(Method::POST, ASSETS)
            .query("size", wish.size)
            .query("includeUniqueIdentifiers", true);
        if let Some(cursor) = &page.cursor {
            request = request.query("cursor", cursor);
        }
        let mut body = json!({});
        match wish.since {
            None if wish.findings => request = request.query("includeSame", true),
            None => {}
            Some(since) => {
                let scanned = since.saturating_sub(LATE).unwrap_or(Timestamp::UNIX_EPOCH);
                body = json!({ "asset": format!("last_scan_end > {}", seconds(scanned)) });
                if wish.findings {
                    request = request
                        .query("comparisonTime", seconds(since))
                        .query("currentTime", seconds(wish.until));
                }
            }
        }
        let answer = request.header("accept", "application/json").json(&body).repeatable().send().await?;
        self.records(answer, now).await
    }

    /// Whether there is such an asset, for this key.
    pub async fn has_asset(&self, asset: &str, now: Timestamp) -> Result<bool, SyncError> {
        let path = format!("{ASSETS}/{}", sync::http::segment(asset));
        let answer =
            self.http.request(Method::GET, &path).header("accept", "application/json").send().await?;
        match answer.status().as_u16() {
            200 => Ok(true),
            404 => answer.denied().await.map(|()| false),
            _ => Err(answer.into_error(now).await),
        }
    }

    /// The definitions of these vulnerabilities. Without ids it would be the whole catalogue.
    pub async fn definitions(&self, ids: &[&str], now: Timestamp) -> Result<Records, SyncError> {
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        self.vulnerabilities(&format!("id IN [{}]", list.join(", ")), None, now).await
    }

    /// A page of the definitions that were changed since a time.
    pub async fn changed_definitions(
        &self,
        since: Timestamp,
        page: &Page,
        now: Timestamp,
    ) -> Result<Records, SyncError> {
        let query = format!("modified > {}", seconds(since));
        self.vulnerabilities(&query, page.cursor.as_deref(), now).await
    }

    async fn vulnerabilities(
        &self,
        query: &str,
        cursor: Option<&str>,
        now: Timestamp,
    ) -> Result<Records, SyncError> {
        let mut request =
            self.http.request(Method::POST, VULNERABILITIES).query("size", DEFINITIONS_PER_PAGE);
        if let Some(cursor) = cursor {
            request = request.query("cursor", cursor);
        }
        let body = json!({ "vulnerability": query });
        let answer = request.header("accept", "application/json").json(&body).repeatable().send().await?;
        self.records(answer, now).await
    }

    async fn records(&self, answer: HttpResponse, now: Timestamp) -> Result<Records, SyncError> {
        if answer.status() != 200 {
            return Err(answer.into_error(now).await);
        }
        Ok(Elements::new(answer, JsonMember::new(RECORDS, RECORD_LIMIT)))
    }

    /// What a page that was read tells about itself.
    pub fn metadata(&self, records: &Records) -> Result<Metadata, SyncError> {
        let what = records.what();
        let Some(bytes) = records.cutter().other("metadata") else {
            return Err(self.http.malformed(
                what,
                0,
                "it has no metadata, so there is no telling what follows",
            ));
        };
        serde_json::from_slice(bytes)
            .map_err(|error| self.http.malformed(what, 0, &format!("its metadata cannot be read: {error}")))
    }

    /// How many assets there are: the cheapest question that needs the key.
    pub async fn count_assets(&self, now: Timestamp) -> Result<Option<u64>, SyncError> {
        let request =
            self.http.request(Method::POST, ASSETS).query("size", 1).header("accept", "application/json");
        let mut records = self.records(request.json(&json!({})).repeatable().send().await?, now).await?;
        while records.next(&mut pass_over).await?.is_some() {}
        Ok(self.metadata(&records)?.total())
    }

    /// A file of an export.
    pub fn file(&self, address: &str) -> Result<RemoteFile, SyncError> {
        self.http.remote_file(address, FILE_HOSTS)
    }

    /// An error about an answer.
    pub fn malformed(&self, what: &str, detail: &str) -> SyncError {
        self.http.malformed(what, 0, detail)
    }
}

/// InsightVM takes times without fractions.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// The records of a page, as they arrive.
pub type Records = Elements<JsonMember>;

/// `metadata` of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    cursor: Scalar,
    #[serde(rename = "totalResources")]
    total_resources: Scalar,
}

impl Metadata {
    /// Where the next page begins; behind the last record there is none.
    pub fn cursor(&self) -> Option<String> {
        self.cursor.clone().text()
    }

    /// Number of records on all pages.
    pub fn total(&self) -> Option<u64> {
        match &self.total_resources {
            Scalar::Whole(total) => u64::try_from(*total).ok(),
            Scalar::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}
