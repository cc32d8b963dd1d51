//! The requests, and what their answers mean.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sync::SyncError;
use sync::http::{Elements, HttpClient, HttpRequest, HttpResponse, Method, segment};
use sync::lenient::Scalar;
use sync::split::json::{JsonMember, ReadElement, pass_over};

use crate::normalize::RECORD_LIMIT;
use crate::query::DATA_MODEL;

/// Definitions of one page.
pub const DEFINITIONS: u64 = 500;
/// Answers other than pages and reports are small.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;
/// How long to leave a console alone that is starting or being maintained, where it does not say.
const AWAY: SignedDuration = SignedDuration::from_secs(120);

/// A client of one console.
#[derive(Clone)]
pub struct Client {
    http: HttpClient,
}

/// Which assets a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assets {
    /// All that the user may see.
    All,
    /// Those scanned on this day or after. The console knows no finer filter.
    ScannedSince(jiff::civil::Date),
}

/// How far the generation of a report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generation {
    /// It goes on.
    Running,
    /// The output can be read.
    Complete,
    /// There will be none.
    Failed(String),
    /// The console does not know it any more.
    Gone,
}

impl Client {
    /// A client over an HTTP client that has the credentials.
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }

    fn get(&self, path: &str) -> HttpRequest<'_> {
        self.http.request(Method::GET, &format!("api/3/{path}")).header("accept", "application/json")
    }

    fn post(&self, path: &str, body: &Value) -> HttpRequest<'_> {
        let request = self.http.request(Method::POST, &format!("api/3/{path}"));
        request.header("accept", "application/json").json(body)
    }

    /// One page of the assets, in the order of their numbers: any other order shifts while scans are integrated.
    pub async fn assets(
        &self,
        which: Assets,
        page: u64,
        size: u32,
        now: Timestamp,
    ) -> Result<Page, SyncError> {
        let request = match which {
            Assets::All => self.get("assets"),
            Assets::ScannedSince(day) => {
                let filter = json!({ "field": "last-scan-date", "operator": "is-on-or-after", "value": day.to_string() });
                self.post("assets/search", &json!({ "match": "all", "filters": [filter] })).repeatable()
            }
        };
        let paged = request.query("page", page).query("size", size).query("sort", "id,ASC");
        Ok(resources(allowed(paged.send().await?, now).await?))
    }

    /// One page of what is found on an asset; `None` if the console does not know the asset, or does not show it.
    pub async fn findings(&self, asset: &str, page: u64, now: Timestamp) -> Result<Option<Page>, SyncError> {
        let request = self.get(&format!("assets/{}/vulnerabilities", segment(asset)));
        let answer = request.query("page", page).query("size", 500).query("sort", "id,ASC").send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            _ => Ok(Some(resources(allowed(answer, now).await?))),
        }
    }

    /// All of a list that is short (`tags`, `sites`, `reports`), page after page, in the order of their numbers. What `read`
    /// makes nothing of, or cannot read, is left out.
    pub async fn all<T>(
        &self,
        list: &str,
        now: Timestamp,
        read: &mut ReadElement<'_, Option<T>>,
    ) -> Result<Vec<T>, SyncError> {
        let (mut all, mut number, mut seen) = (Vec::new(), 0_u64, 0);
        loop {
            let request = self.get(list).query("page", number).query("size", 500).query("sort", "id,ASC");
            let mut page = resources(allowed(request.send().await?, now).await?);
            let before = seen;
            while let Some(element) = page.next(read).await? {
                seen += 1;
                all.extend(element.ok().flatten());
            }
            number += 1;
            if seen == before || total(&page).is_none_or(|total| seen >= total) {
                return Ok(all);
            }
        }
    }

    /// A page of all definitions, those that were changed last first.
    pub async fn newest_definitions(&self, page: u64, now: Timestamp) -> Result<Page, SyncError> {
        let request = self.get("vulnerabilities").query("page", page).query("size", DEFINITIONS);
        Ok(resources(allowed(request.query("sort", "modified,DESC").send().await?, now).await?))
    }

    /// The tags of an asset; `None` if the asset is gone.
    pub async fn tags_of(&self, asset: &str, now: Timestamp) -> Result<Option<Page>, SyncError> {
        let answer = self.get(&format!("assets/{}/tags", segment(asset))).send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            _ => Ok(Some(resources(allowed(answer, now).await?))),
        }
    }

    /// The numbers of the assets that have a tag; `None` if the tag is gone.
    pub async fn tagged(&self, tag: u64, now: Timestamp) -> Result<Option<Page>, SyncError> {
        let answer = self.get(&format!("tags/{tag}/assets")).send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            _ => Ok(Some(resources(allowed(answer, now).await?))),
        }
    }

    /// Whether there is such an asset, for this user.
    pub async fn has_asset(&self, asset: &str, now: Timestamp) -> Result<bool, SyncError> {
        let answer = self.get(&format!("assets/{}", segment(asset))).send().await?;
        match answer.status().as_u16() {
            404 => answer.denied().await.map(|()| false),
            _ => allowed(answer, now).await.map(|_| true),
        }
    }

    /// A small document; `None` if there is none.
    pub async fn document(&self, path: &str, now: Timestamp) -> Result<Option<Vec<u8>>, SyncError> {
        let answer = self.get(path).send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            _ => Ok(Some(allowed(answer, now).await?.bytes(ANSWER_LIMIT).await?)),
        }
    }

    /// Creates a report. Not repeatable: a lost answer leaves one behind, which the next full run finds by its name.
    pub async fn create_report(
        &self,
        name: &str,
        query: &str,
        assets: Option<&[u64]>,
        now: Timestamp,
    ) -> Result<u64, SyncError> {
        let mut report = json!({
            "name": name, "format": "sql-query", "version": DATA_MODEL, "query": query,
            "language": "en-US", "timezone": "UTC",
        });
        if let Some(assets) = assets {
            report["scope"] = json!({ "assets": assets });
        }
        self.created(self.post("reports", &report), now).await
    }

    /// Begins to generate a report, and answers the number of this generation.
    pub async fn generate(&self, report: u64, now: Timestamp) -> Result<u64, SyncError> {
        let request = self.http.request(Method::POST, &format!("api/3/reports/{report}/generate"));
        self.created(request.header("accept", "application/json"), now).await
    }

    async fn created(&self, request: HttpRequest<'_>, now: Timestamp) -> Result<u64, SyncError> {
        let answer = request.send().await?;
        if !matches!(answer.status().as_u16(), 200 | 201) {
            return Err(refusal(answer, now).await);
        }
        let what = answer.what().to_owned();
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Created {
            id: Scalar,
        }
        let created: Created = answer.json(ANSWER_LIMIT).await?;
        let id = created.id.text().and_then(|id| id.parse().ok());
        id.ok_or_else(|| self.http.malformed(&what, 0, "there is no id in it"))
    }

    /// How far a generation is.
    pub async fn generation(
        &self,
        report: u64,
        instance: u64,
        now: Timestamp,
    ) -> Result<Generation, SyncError> {
        let answer = self.get(&format!("reports/{report}/history/{instance}")).send().await?;
        if answer.status() == 404 {
            return Ok(Generation::Gone);
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Instance {
            status: Scalar,
        }
        let answer = allowed(answer, now).await?;
        let what = answer.what().to_owned();
        let word = answer.json::<Instance>(ANSWER_LIMIT).await?.status.text();
        let word = word.ok_or_else(|| self.http.malformed(&what, 0, "there is no status in it"))?;
        Ok(match word.to_ascii_lowercase().as_str() {
            "complete" => Generation::Complete,
            "failed" | "aborted" => Generation::Failed(word),
            _ => Generation::Running,
        })
    }

    /// The output of a generation; `None` if it is gone.
    pub async fn output(
        &self,
        report: u64,
        instance: u64,
        now: Timestamp,
    ) -> Result<Option<HttpResponse>, SyncError> {
        let path = format!("api/3/reports/{report}/history/{instance}/output");
        let answer = self.http.request(Method::GET, &path).send().await?;
        match answer.status().as_u16() {
            404 => Ok(None),
            _ => allowed(answer, now).await.map(Some),
        }
    }

    /// Removes a report with everything that was generated. Removing it twice is no error.
    pub async fn delete_report(&self, report: u64, now: Timestamp) -> Result<(), SyncError> {
        let request = self.http.request(Method::DELETE, &format!("api/3/reports/{report}")).repeatable();
        let answer = request.header("accept", "application/json").send().await?;
        match answer.status().as_u16() {
            200 | 204 | 404 => Ok(()),
            _ => Err(refusal(answer, now).await),
        }
    }

    /// The newest scans of all sites: those that run, or those that have ended.
    pub async fn newest_scans(&self, active: bool, now: Timestamp) -> Result<Page, SyncError> {
        let sort = if active { "startTime,DESC" } else { "endTime,DESC" };
        let request = self.get("scans").query("active", active).query("size", 500).query("sort", sort);
        Ok(resources(allowed(request.send().await?, now).await?))
    }

    /// How many resources a list has: the right to it, at the price of one.
    pub async fn count(&self, list: &str, now: Timestamp) -> Result<u64, SyncError> {
        let answer = self.get(list).query("page", 0).query("size", 1).send().await?;
        let mut page = resources(allowed(answer, now).await?);
        while page.next(&mut pass_over).await?.is_some() {}
        Ok(total(&page).unwrap_or(0))
    }

    /// An error about an answer.
    pub fn malformed(&self, what: &str, offset: u64, detail: &str) -> SyncError {
        self.http.malformed(what, offset, detail)
    }
}

/// An answer that is one, or the error that it is. Where there must be something, 404 means that the user may not see it.
async fn allowed(answer: HttpResponse, now: Timestamp) -> Result<HttpResponse, SyncError> {
    if answer.status() == 200 { Ok(answer) } else { Err(refusal(answer, now).await) }
}

async fn refusal(answer: HttpResponse, now: Timestamp) -> SyncError {
    match answer.into_error(now).await {
        SyncError::NotFound { system, what } => SyncError::Unauthorized {
            system,
            detail: format!("404 for {what}, which is how a console answers a user without the right to it"),
        },
        SyncError::Refused { system, status: 503, .. } => {
            SyncError::Throttled { system, until: now.saturating_add(AWAY).unwrap_or(Timestamp::MAX) }
        }
        other => other,
    }
}

/// A page of resources, as it arrives.
pub type Page = Elements<JsonMember>;

fn resources(body: HttpResponse) -> Page {
    Elements::new(body, JsonMember::new("resources", RECORD_LIMIT))
}

/// Resources in all pages together, once the page was read.
pub fn total(page: &Page) -> Option<u64> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Info {
        total_resources: Scalar,
    }
    let info: Info = serde_json::from_slice(page.cutter().other("page")?).ok()?;
    info.total_resources.text()?.parse().ok()
}
