//! The Qualys API: which requests there are, and what their answers mean.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sync::http::{HttpRequest, HttpResponse, Method, RetryAfter, shorten};
use sync::split::xml::SplitError;
use sync::{HttpClient, SyncError};

use crate::document::{Around, Document, Item, Kind, SimpleReturn};
use crate::gateway::Gateway;
use crate::work::Api;

// Each endpoint has its own version, and an old one goes away a year after the next has come. 2.0 is on that clock.
const VERSIONED: [(Api, &str, &str, &str); 6] = [
    (Api::HostList, "host_list", "5.0", "asset/host/"),
    (Api::HostDetections, "host_detections", "5.0", "asset/host/vm/detection/"),
    (Api::KnowledgeBase, "knowledge_base", "4.0", "knowledge_base/vuln/"),
    (Api::AssetGroups, "asset_groups", "2.0", "asset/group/"),
    (Api::CompliancePolicy, "compliance_policy", "5.0", "compliance/policy/"),
    (Api::CompliancePosture, "compliance_posture", "3.0", "compliance/posture/info/"),
];
const ABOUT: &str = "msp/about.php";
/// A definition that is as old as Qualys: the DNS name of a host.
const A_QID: &str = "6";
/// The last id there can be: who may search is told so, and gets nothing.
const NOTHING_BEHIND: u64 = i64::MAX as u64;
const HOST_ASSETS: &str = "qps/rest/2.0/search/am/hostasset";
const TAGS: &str = "qps/rest/2.0/search/am/tag";

/// Ids of hosts in one answer: an id is a few bytes, a range of many as well.
pub(crate) const IDS_PER_PAGE: u32 = 50_000;
/// Assets in one answer of a search. With all their software they are long.
const ASSETS_PER_PAGE: u32 = 100;
const TAGS_PER_PAGE: u32 = 1_000;
/// Records of a posture in one answer. They are kept until the glossary at its end was read.
const POSTURES_PER_PAGE: u32 = 5_000;

/// An answer in words is a few lines.
const WORDS_LIMIT: usize = 64 * 1024;
/// A running call of the customer's other tools takes its time; Qualys says how many must end, not when.
const CONCURRENCY_WAIT: i64 = 60;
/// A refused call without a time: somebody else may have used the window up long ago.
const RATE_WAIT: i64 = 300;
/// The window of a limit, where nobody tells its length.
const WINDOW: i64 = 3_600;
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
    versions: BTreeMap<String, String>,
    /// Where the platform has one and the connector can log in there.
    pub gateway: Option<Gateway>,
}

impl Client {
    /// `versions` names APIs whose version is not the usual one.
    pub fn new(http: HttpClient, versions: &BTreeMap<String, String>, gateway: Option<Gateway>) -> Self {
        let whole = |version: &String| {
            if version.contains('.') { version.clone() } else { format!("{version}.0") }
        };
        let versions = versions.iter().map(|(api, version)| (api.clone(), whole(version))).collect();
        Self { http, versions, gateway }
    }

    fn path(&self, api: Api) -> String {
        let row = VERSIONED.iter().find(|(of, ..)| *of == api).unwrap_or(&VERSIONED[0]);
        let (_, name, usual, path) = row;
        format!("api/{}/fo/{path}", self.versions.get(*name).map_or(*usual, String::as_str))
    }

    /// The host list, from an id on; with the ids of asset groups on demand.
    pub async fn hosts(&self, page: &Page, groups: bool, now: Timestamp) -> Result<Answer, Failure> {
        let mut form = vec![
            ("action", "list".to_owned()),
            ("details", if groups { "All/AGs" } else { "All" }.to_owned()),
            ("show_asset_id", "1".to_owned()),
            ("show_tags", "1".to_owned()),
            ("show_cloud_tags", "1".to_owned()),
            ("host_metadata", "all".to_owned()),
        ];
        page.add_to(&mut form);
        self.open(Api::HostList, &form, Kind::HostList, now).await
    }

    /// The ids of the hosts of a page.
    pub async fn host_ids(&self, page: &Page, now: Timestamp) -> Result<Answer, Failure> {
        let mut form = vec![("action", "list".to_owned()), ("details", "None".to_owned())];
        page.add_to(&mut form);
        self.open(Api::HostList, &form, Kind::HostList, now).await
    }

    /// Asset groups: ids and titles. There is one page, whatever their number.
    pub async fn asset_groups(&self, now: Timestamp) -> Result<Answer, Failure> {
        let form = [("action", "list".to_owned()), ("show_attributes", "TITLE".to_owned())];
        self.open(Api::AssetGroups, &form, Kind::AssetGroups, now).await
    }

    /// Tags behind an id.
    pub async fn tags(&self, after: u64, now: Timestamp) -> Result<Answer, Failure> {
        self.search(TAGS, TAGS_PER_PAGE, after, None, now).await
    }

    /// Assets behind an id.
    pub async fn host_assets(
        &self,
        after: u64,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        self.search(HOST_ASSETS, ASSETS_PER_PAGE, after, since, now).await
    }

    /// Policies of compliance, from an id on.
    pub async fn policies(&self, id_min: u64, now: Timestamp) -> Result<Answer, Failure> {
        let mut form = vec![("action", "list".to_owned()), ("details", "Basic".to_owned())];
        if id_min > 0 {
            form.push(("id_min", id_min.to_string()));
        }
        self.open(Api::CompliancePolicy, &form, Kind::Policies, now).await
    }

    /// How hosts comply with a policy, from a record on.
    pub async fn posture(
        &self,
        policy: u64,
        id_min: u64,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let mut form = vec![
            ("action", "list".to_owned()),
            ("output_format", "xml".to_owned()),
            ("policy_id", policy.to_string()),
            ("details", "All".to_owned()),
            ("truncation_limit", POSTURES_PER_PAGE.to_string()),
        ];
        if id_min > 0 {
            form.push(("id_min", id_min.to_string()));
        }
        if let Some(since) = since {
            form.push(("status_changes_since", qualys_time(since)));
        }
        self.open(Api::CompliancePosture, &form, Kind::Posture, now).await
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
        self.open(Api::HostDetections, &form, Kind::Detections, now).await
    }

    /// Definitions of these QIDs.
    pub async fn definitions(&self, qids: &[String], now: Timestamp) -> Result<Answer, Failure> {
        let form = [("action", "list".to_owned()), ("details", "All".to_owned()), ("ids", qids.join(","))];
        self.open(Api::KnowledgeBase, &form, Kind::KnowledgeBase, now).await
    }

    /// Definitions that changed since a time, and before another.
    pub async fn changed_definitions(
        &self,
        since: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let mut form = vec![
            ("action", "list".to_owned()),
            ("details", "All".to_owned()),
            ("last_modified_after", qualys_time(since)),
        ];
        form.extend(until.map(|until| ("last_modified_before", qualys_time(until))));
        self.open(Api::KnowledgeBase, &form, Kind::KnowledgeBase, now).await
    }

    /// Asks for the beginning of a stream, to see whether it may be read.
    pub async fn ask_a_little(&self, stream: &str, now: Timestamp) -> Result<(), Failure> {
        let one = Page { id_min: 0, size: 1, since: None };
        let answer = match stream {
            crate::INVENTORY => self.host_ids(&one, now).await?,
            crate::TAGS => {
                self.begins(self.asset_groups(now).await?).await?;
                self.tags(NOTHING_BEHIND, now).await?
            }
            crate::KNOWLEDGE_BASE => self.definitions(&[A_QID.to_owned()], now).await?,
            crate::DETECTIONS => self.detections(&one, now).await?,
            _ => self.policies(0, now).await?,
        };
        self.begins(answer).await
    }

    /// Asks the asset search for nothing, to see whether it may be asked.
    pub async fn ask_host_assets(&self, now: Timestamp) -> Result<(), Failure> {
        self.begins(self.host_assets(NOTHING_BEHIND, None, now).await?).await
    }

    /// Whether this is the beginning of what was asked for.
    async fn begins(&self, mut answer: Answer) -> Result<(), Failure> {
        answer.next(self).await.map(|_| ())
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
            crate::xml::Xml::alone(about.trim_end()).walk(|path, element| {
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

    pub fn malformed(&self, what: &str, detail: &str) -> SyncError {
        self.http.malformed(what, 0, detail)
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
        api: Api,
        form: &[(&str, String)],
        kind: Kind,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        // POST, because a long list of ids does not fit in an address; these calls only read.
        let request = self.http.request(Method::POST, &self.path(api));
        self.answer(self.with_headers(request).form(form), kind, now).await
    }

    /// A page of a search of the asset management, behind an id.
    async fn search(
        &self,
        path: &str,
        size: u32,
        after: u64,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Answer, Failure> {
        let changed = since.map_or(String::new(), |since| {
            let time = qualys_time(since);
            format!("<Criteria field=\"updated\" operator=\"GREATER\">{time}</Criteria>")
        });
        let body = format!(
            "<ServiceRequest><preferences><limitResults>{size}</limitResults></preferences><filters>\
             <Criteria field=\"id\" operator=\"GREATER\">{after}</Criteria>{changed}</filters></ServiceRequest>"
        );
        let request = self.with_headers(self.http.request(Method::POST, path));
        self.answer(
            request.header("accept", "application/xml").body("text/xml", body),
            Kind::AssetSearch,
            now,
        )
        .await
    }

    async fn answer(&self, request: HttpRequest<'_>, kind: Kind, now: Timestamp) -> Result<Answer, Failure> {
        let response = request.repeatable().send().await?;
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
        let limits = Limits::of(&response);
        if let Some(until) = limits.wait(status, now) {
            return Failure::Sync(SyncError::Throttled { system: self.system().to_owned(), until });
        }
        if status == 401 {
            return Failure::Sync(response.into_error(now).await);
        }
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
            // Most often a version that the platform does not have (yet, or any more).
            404 => {
                let what = format!("{what} (another version can be chosen with api_versions)");
                SyncError::NotFound { system, what }
            }
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
    [
        "permission",
        "not authorized",
        "not authorised",
        "unauthorized",
        "not allowed",
        "not enabled",
        "not subscribed",
        "not available for your subscription",
        "operation_not_supported",
        "access denied",
    ]
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

/// Time as parameters of the gateway take it.
pub(crate) fn gateway_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
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
    window: Option<i64>,
    /// Of whatever stands before the API.
    retry_after: Option<RetryAfter>,
}

impl Limits {
    pub fn of(response: &HttpResponse) -> Self {
        let number = |name: &str| response.header(name).and_then(|value| value.trim().parse().ok());
        Self {
            remaining: number("x-ratelimit-remaining"),
            seconds_to_wait: number("x-ratelimit-towait-sec"),
            window: number("x-ratelimit-window-sec"),
            retry_after: response.retry_after(),
        }
    }

    /// When a refused call may be made again: some answers have all headers of the limit, some one, some none.
    pub fn until(&self, now: Timestamp, default: i64) -> Timestamp {
        let by_limit = self.seconds_to_wait.filter(|s| *s > 0).map(|seconds| after(now, seconds));
        let told = by_limit.max(self.retry_after.map(|told| told.until(now)));
        told.unwrap_or_else(|| after(now, default))
    }

    /// Until when an answer of this status asks to wait, if it does: one call too many, or announced maintenance.
    pub fn wait(&self, status: u16, now: Timestamp) -> Option<Timestamp> {
        let asks = status == 429 || (status == 503 && self.retry_after.is_some());
        asks.then(|| self.until(now, RATE_WAIT))
    }

    /// When the next call of this API may be made, if not at once. The answer to the last call that was allowed often
    /// tells no time: a window after it there is room again for certain.
    pub fn not_before(&self, now: Timestamp) -> Option<Timestamp> {
        let window = self.window.filter(|seconds| *seconds > 0).unwrap_or(WINDOW);
        self.remaining.is_some_and(|remaining| remaining <= 0).then(|| self.until(now, window))
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
            if let Some(error) = self.document.error() {
                return Err(self.malformed(client, error).into());
            }
            match self.response.chunk().await? {
                Some(chunk) => {
                    self.document.feed(&chunk);
                    self.check_root(client)?;
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

    /// The error of an answer in which no record may be wrong.
    pub fn refused(&self, client: &Client, bad: &sync::BadRecord) -> SyncError {
        client.http.malformed(&self.what, bad.offset, &bad.problem)
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
