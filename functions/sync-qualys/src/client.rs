//! The Qualys API: which requests there are, and what their answers mean.

use jiff::{SignedDuration, Timestamp};
use sync::http::{HttpRequest, HttpResponse, Method, shorten};
use sync::split::xml::SplitError;
use sync::{HttpClient, SyncError};

use crate::document::{Around, Document, Item, Kind, SimpleReturn};

// Each endpoint has its own version, and an old one goes away a year after the next has come. 2.0 is on that clock.
const HOST_LIST: &str = "api/5.0/fo/asset/host/";
const DETECTIONS: &str = "api/5.0/fo/asset/host/vm/detection/";
const KNOWLEDGE_BASE: &str = "api/4.0/fo/knowledge_base/vuln/";
const ABOUT: &str = "msp/about.php";

/// An answer in words is a few lines.
const WORDS_LIMIT: usize = 64 * 1024;
/// A running call of the customer's other tools takes its time; Qualys says how many must end, not when.
const CONCURRENCY_WAIT: i64 = 60;
/// A limit without a time: the windows are one hour, and an early try costs one refused call.
const RATE_WAIT: i64 = 300;
const LONGEST_WAIT: i64 = 86_400;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The subscription or the user may not do this, although the credentials are right.
    NotPermitted(String),
    /// Anything else.
    Sync(SyncError),
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        Self::Sync(error)
    }
}

/// Requests to one Qualys account.
pub(crate) struct Client {
    http: HttpClient,
}

impl Client {
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }

    /// The host list, from an id on.
    pub async fn hosts(&self, page: &Page, now: Timestamp) -> Result<Answer, Failure> {
        let mut form = vec![
            ("action", "list".to_owned()),
            ("details", "All".to_owned()),
            ("show_asset_id", "1".to_owned()),
            ("show_tags", "1".to_owned()),
            ("show_cloud_tags", "1".to_owned()),
            ("host_metadata", "all".to_owned()),
        ];
        page.add_to(&mut form);
        self.open(HOST_LIST, &form, Kind::HostList, now).await
    }

    /// Hosts with all their detections, from an id on.
    pub async fn detections(&self, page: &Page, now: Timestamp) -> Result<Answer, Failure> {
        let mut form = vec![
            ("action", "list".to_owned()),
            ("output_format", "XML".to_owned()),
            // Fixed ones come only if they are asked for.
            ("status", "New,Active,Re-Opened,Fixed".to_owned()),
            ("show_asset_id", "1".to_owned()),
            ("show_tags", "1".to_owned()),
            ("show_cloud_tags", "1".to_owned()),
            ("host_metadata", "all".to_owned()),
            ("show_results", "1".to_owned()),
            ("show_reopened_info", "1".to_owned()),
            ("show_qds", "1".to_owned()),
            ("show_qds_factors", "1".to_owned()),
            ("show_igs", "0".to_owned()),
            // Left out by default, they would look as if they were gone.
            ("include_ignored", "1".to_owned()),
            ("include_disabled", "1".to_owned()),
        ];
        page.add_to(&mut form);
        self.open(DETECTIONS, &form, Kind::Detections, now).await
    }

    /// Definitions of these QIDs.
    pub async fn definitions(&self, qids: &[String], now: Timestamp) -> Result<Answer, Failure> {
        let form = [("action", "list".to_owned()), ("details", "All".to_owned()), ("ids", qids.join(","))];
        self.open(KNOWLEDGE_BASE, &form, Kind::KnowledgeBase, now).await
    }

    /// Definitions that changed since a time.
    pub async fn changed_definitions(&self, since: Timestamp, now: Timestamp) -> Result<Answer, Failure> {
        let form = [
            ("action", "list".to_owned()),
            ("details", "All".to_owned()),
            ("last_modified_after", qualys_time(since)),
        ];
        self.open(KNOWLEDGE_BASE, &form, Kind::KnowledgeBase, now).await
    }

    /// Which release answers. The cheapest call that needs valid credentials; no limit counts it.
    pub async fn about(&self, now: Timestamp) -> Result<String, SyncError> {
        let answer = self.with_headers(self.http.request(Method::GET, ABOUT)).send().await?;
        let what = answer.what().to_owned();
        if answer.status().as_u16() != 200 {
            return Err(self.unwanted(answer, now).await.into_sync(&self.http));
        }
        let limits = Limits::of(&answer);
        let body = answer.bytes(WORDS_LIMIT).await?;
        if let Some(words) = SimpleReturn::parse(&body) {
            return Err(self.meaning(&words, 200, &what, &limits, now).into_sync(&self.http));
        }
        let text = crate::xml::clean(&body);
        let root = text.find("<ABOUT").map(|at| &text[at..]);
        let mut version = String::new();
        let read = root.map(|about| {
            crate::xml::walk(about.trim_end(), |path, element| {
                if path == "WEB-VERSION" {
                    element.text.clone_into(&mut version);
                }
            })
        });
        match read {
            Some(Ok(())) => Ok(version),
            _ => Err(self.http.malformed(&what, 0, &format!("it begins with {:?}", shorten(&text)))),
        }
    }

    /// Where the next page begins: only `id_min` of the address is used, and only if it leads on.
    pub fn next_page(&self, address: &str, current: u64) -> Result<u64, SyncError> {
        let what = "the address of the next page";
        if address.is_empty() {
            return Err(self.http.malformed(
                what,
                0,
                "the warning 1980 says that there is more, but not where",
            ));
        }
        let url = self.http.same_host(address)?;
        let id_min =
            url.query_pairs().find(|(key, _)| key == "id_min").and_then(|(_, id)| id.parse::<u64>().ok());
        match id_min {
            Some(next) if next > current => Ok(next),
            Some(next) => {
                Err(self.http.malformed(what, 0, &format!("id_min {next} does not lead on from {current}")))
            }
            None => Err(self.http.malformed(what, 0, "it has no id_min")),
        }
    }

    pub fn system(&self) -> &str {
        self.http.system()
    }

    pub fn sync_error(&self, failure: Failure) -> SyncError {
        failure.into_sync(&self.http)
    }

    /// The mandatory header: without it Qualys refuses every call.
    fn with_headers<'a>(&self, request: HttpRequest<'a>) -> HttpRequest<'a> {
        request.header("x-requested-with", "vulnrelay")
    }

    async fn open(
        &self,
        path: &str,
        form: &[(&str, String)],
        kind: Kind,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        // POST, because a long list of ids does not fit in an address; these calls only read.
        let request = self.with_headers(self.http.request(Method::POST, path)).form(form).repeatable();
        let response = request.send().await?;
        if response.status().as_u16() != 200 {
            return Err(self.unwanted(response, now).await);
        }
        let limits = Limits::of(&response);
        let what = response.what().to_owned();
        Ok(Answer { response, document: Document::new(), kind, limits, what, now })
    }

    /// What a status other than 200 means.
    async fn unwanted(&self, response: HttpResponse, now: Timestamp) -> Failure {
        let status = response.status().as_u16();
        if matches!(status, 401 | 429) {
            return Failure::Sync(response.into_error(now).await);
        }
        let limits = Limits::of(&response);
        let what = response.what().to_owned();
        let body = match response.bytes(WORDS_LIMIT).await {
            Ok(body) => body,
            Err(error) => return Failure::Sync(error),
        };
        if let Some(words) = SimpleReturn::parse(&body) {
            return self.meaning(&words, status, &what, &limits, now);
        }
        let detail = shorten(&crate::xml::clean(&body));
        let system = self.system().to_owned();
        Failure::Sync(match status {
            403 => SyncError::Unauthorized { system, detail: format!("403 {detail}") },
            404 => SyncError::NotFound { system, what },
            409 => SyncError::Throttled { system, until: limits.until(now, RATE_WAIT) },
            _ => SyncError::Refused { system, what, status, detail },
        })
    }

    /// What an answer in words means, by Qualys' codes.
    fn meaning(
        &self,
        words: &SimpleReturn,
        status: u16,
        what: &str,
        limits: &Limits,
        now: Timestamp,
    ) -> Failure {
        let system = self.system().to_owned();
        let detail = shorten(&words.to_string());
        let code = words.code.unwrap_or(0);
        Failure::Sync(match code {
            1920 | 1960 => SyncError::Throttled { system, until: limits.until(now, CONCURRENCY_WAIT) },
            1965 => {
                let seconds = words.number("SECONDS_TO_WAIT").filter(|s| *s > 0);
                let until = seconds.map_or_else(|| limits.until(now, RATE_WAIT), |s| after(now, s));
                SyncError::Throttled { system, until }
            }
            // Wrong password, expired, inactive, not registered to the end: some of them come with status 200.
            2000..=2009 => SyncError::Unauthorized { system, detail },
            2010..=2012 => return Failure::NotPermitted(detail),
            _ if is_about_rights(&words.text) || status == 403 => return Failure::NotPermitted(detail),
            _ if status == 401 => SyncError::Unauthorized { system, detail },
            // Internal error and maintenance pass, whatever status they come with.
            999 | 1999 if status < 500 => {
                SyncError::Refused { system, what: what.to_owned(), status: 503, detail }
            }
            _ => SyncError::Refused { system, what: what.to_owned(), status, detail },
        })
    }
}

impl Failure {
    fn into_sync(self, http: &HttpClient) -> SyncError {
        match self {
            Self::Sync(error) => error,
            Self::NotPermitted(detail) => {
                SyncError::Unauthorized { system: http.system().to_owned(), detail }
            }
        }
    }
}

/// Qualys words it in several ways, and gives the codes to other things as well.
fn is_about_rights(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["permission", "not authorized", "not authorised", "not allowed", "not enabled", "access denied"]
        .iter()
        .any(|words| text.contains(words))
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now + SignedDuration::from_secs(seconds.clamp(1, LONGEST_WAIT))
}

/// Time as parameters take it: UTC, whole seconds.
fn qualys_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Which hosts to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub id_min: u64,
    pub size: u32,
    pub since: Option<Timestamp>,
}

impl Page {
    fn add_to(&self, form: &mut Vec<(&'static str, String)>) {
        form.push(("truncation_limit", self.size.to_string()));
        if self.id_min > 0 {
            form.push(("id_min", self.id_min.to_string()));
        }
        if let Some(since) = self.since {
            form.push(("vm_processed_after", qualys_time(since)));
        }
    }
}

/// What the headers tell about this API's limit, which the customer's other tools share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    remaining: Option<i64>,
    seconds_to_wait: Option<i64>,
}

impl Limits {
    fn of(response: &HttpResponse) -> Self {
        let number = |name: &str| response.header(name).and_then(|value| value.trim().parse().ok());
        Self { remaining: number("x-ratelimit-remaining"), seconds_to_wait: number("x-ratelimit-towait-sec") }
    }

    fn until(&self, now: Timestamp, default: i64) -> Timestamp {
        after(now, self.seconds_to_wait.filter(|s| *s > 0).unwrap_or(default))
    }

    /// When the next call of this API may be made, if not at once.
    pub fn not_before(&self, now: Timestamp) -> Option<Timestamp> {
        self.remaining.is_some_and(|remaining| remaining <= 0).then(|| self.until(now, RATE_WAIT))
    }
}

/// An answer with records, read while it arrives.
pub(crate) struct Answer {
    response: HttpResponse,
    document: Document,
    kind: Kind,
    pub limits: Limits,
    what: String,
    now: Timestamp,
}

impl Answer {
    /// The next record; `None` once the document has ended as it should, with what stands around the records.
    pub async fn next(&mut self, client: &Client) -> Result<Result<Item, Around>, Failure> {
        loop {
            if let Some(item) = self.document.next_item() {
                return Ok(Ok(item));
            }
            match self.response.chunk().await? {
                Some(chunk) => {
                    let fed = self.document.feed(&chunk);
                    self.check_root(client)?;
                    fed.map_err(|error| self.malformed(client, &error))?;
                }
                None => {
                    let around = self.document.finish().map_err(|error| self.malformed(client, &error))?;
                    return match around.simple {
                        Some(words) => Err(client.meaning(&words, 200, &self.what, &self.limits, self.now)),
                        None => Ok(Err(around)),
                    };
                }
            }
        }
    }

    fn check_root(&self, client: &Client) -> Result<(), SyncError> {
        match self.document.root() {
            Some(root) if root != self.kind.root() && root != "SIMPLE_RETURN" => {
                let seen = if root.eq_ignore_ascii_case("html") {
                    "an HTML page".to_owned()
                } else {
                    format!("<{root}>")
                };
                let detail = format!("{seen} where <{}> is expected", self.kind.root());
                Err(client.http.malformed(&self.what, 0, &detail))
            }
            _ => Ok(()),
        }
    }

    fn malformed(&self, client: &Client, error: &SplitError) -> SyncError {
        client.http.malformed(&self.what, error.offset, &error.problem)
    }
}
