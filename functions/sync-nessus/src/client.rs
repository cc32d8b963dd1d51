//! The Nessus API: which requests there are, and what their answers mean.

use domain::{ScanJob, ScanOutcome};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sync::http::{HeaderName, HttpResponse, Method};
use sync::{HttpClient, SyncError};

/// A scan's details name each of its hosts and plugins, of which we read none: some megabytes for ten thousand hosts.
const ANSWER_LIMIT: usize = 32 * 1024 * 1024;
/// While plugins are compiled, or while it does the same for somebody else, Nessus asks to come back without saying when.
const BUSY_WAIT: SignedDuration = SignedDuration::from_secs(60);

/// Requests to one Nessus.
pub struct Client {
    http: HttpClient,
    login: Option<Login>,
}

/// A user name and a password, and what they were exchanged for.
struct Login {
    username: SecretString,
    password: SecretString,
    session: tokio::sync::Mutex<Option<HttpClient>>,
}

/// An HTTP client with a pair of API keys in its header.
pub fn with_keys(http: HttpClient, access_key: &str, secret_key: &str) -> Result<HttpClient, SyncError> {
    let keys = format!("accessKey={access_key};secretKey={secret_key}");
    http.with_secret_header(HeaderName::from_static("x-apikeys"), &keys)
}

impl Client {
    /// A client over an HTTP client that has the keys ([`with_keys`]).
    pub fn new(http: HttpClient) -> Self {
        Self { http, login: None }
    }

    /// A client that signs in when it is first asked for something.
    pub fn with_session(http: HttpClient, username: SecretString, password: SecretString) -> Self {
        Self { http, login: Some(Login { username, password, session: tokio::sync::Mutex::new(None) }) }
    }

    /// All scans that this user may see.
    pub async fn scans(&self, now: Timestamp) -> Result<Scans, SyncError> {
        self.json(Method::GET, "scans", None, now).await
    }

    /// A scan with its histories.
    pub async fn details(&self, scan: u64, now: Timestamp) -> Result<Details, SyncError> {
        self.json(Method::GET, &format!("scans/{scan}"), None, now).await
    }

    /// Asks for a history, or for all that the scan has, as a `.nessus` file, and for no other format: HTML, PDF and CSV
    /// say less, and take Nessus longer. Answers the file's id.
    pub async fn export(&self, scan: u64, history: Option<u64>, now: Timestamp) -> Result<u64, SyncError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, deserialize_with = "lenient")]
            file: Option<u64>,
        }
        let path = format!("scans/{scan}/export");
        let wish = json!({ "format": "nessus" });
        let answer = self.ask(Method::POST, &path, history, Some(&wish), now).await?;
        let what = answer.what().to_owned();
        let answer: Answer = self.object(answer).await?;
        answer.file.ok_or_else(|| self.malformed(&what, 0, "there is no file in it"))
    }

    /// Whether a file can be downloaded.
    pub async fn status(&self, scan: u64, file: u64, now: Timestamp) -> Result<FileStatus, SyncError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            status: String,
        }
        let path = format!("scans/{scan}/export/{file}/status");
        let answer: Answer = self.json(Method::GET, &path, None, now).await?;
        Ok(match answer.status.as_str() {
            "ready" => FileStatus::Ready,
            "error" => FileStatus::Failed,
            _ => FileStatus::Loading,
        })
    }

    /// Begins to download a file.
    pub async fn download(&self, scan: u64, file: u64, now: Timestamp) -> Result<HttpResponse, SyncError> {
        let path = format!("scans/{scan}/export/{file}/download");
        self.ask(Method::GET, &path, None, None, now).await
    }

    /// Who answers.
    pub async fn properties(&self, now: Timestamp) -> Result<Properties, SyncError> {
        self.json(Method::GET, "server/properties", None, now).await
    }

    /// Ends the session, if there is one. A failure to do so does no harm: it ends by itself.
    pub async fn sign_out(&self) {
        let Some(login) = &self.login else { return };
        if let Some(http) = login.session.lock().await.take()
            && let Err(error) = http.request(Method::DELETE, "session").send().await
        {
            tracing::debug!(%error, "the session could not be ended");
        }
    }

    /// An error about an answer.
    pub fn malformed(&self, what: &str, offset: u64, detail: &str) -> SyncError {
        self.http.malformed(what, offset, detail)
    }

    /// The name of this Nessus in errors.
    pub fn system(&self) -> &str {
        self.http.system()
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        history: Option<u64>,
        now: Timestamp,
    ) -> Result<T, SyncError> {
        let answer = self.ask(method, path, history, None, now).await?;
        self.object(answer).await
    }

    /// The answer as a JSON object; lists and everything else are something else.
    async fn object<T: serde::de::DeserializeOwned>(&self, answer: HttpResponse) -> Result<T, SyncError> {
        let what = answer.what().to_owned();
        let body = answer.bytes(ANSWER_LIMIT).await?;
        let begin = || String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(self.malformed(
                &what,
                0,
                &format!("an object is expected, it begins with {:?}", begin()),
            ));
        }
        serde_json::from_slice(&body).map_err(|error| {
            let detail = format!("{error}; it begins with {:?}", begin());
            self.malformed(&what, error.column() as u64, &detail)
        })
    }

    /// Sends a request with the keys, or within the session. A session that has ended is begun anew, once.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        history: Option<u64>,
        body: Option<&Value>,
        now: Timestamp,
    ) -> Result<HttpResponse, SyncError> {
        let mut again = self.login.is_some();
        loop {
            let http = self.signed_in(now).await?;
            let mut request = http.request(method.clone(), path);
            if let Some(history) = history {
                request = request.query("history_id", history);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await?;
            match answer.status().as_u16() {
                200 => return Ok(answer),
                401 if again => {
                    again = false;
                    if let Some(login) = &self.login {
                        login.session.lock().await.take();
                    }
                }
                _ => return Err(unwanted(answer, now).await),
            }
        }
    }

    async fn signed_in(&self, now: Timestamp) -> Result<HttpClient, SyncError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            token: Option<String>,
        }
        let Some(login) = &self.login else { return Ok(self.http.clone()) };
        let mut session = login.session.lock().await;
        if let Some(http) = &*session {
            return Ok(http.clone());
        }
        let wish = json!({
            "username": login.username.expose_secret(),
            "password": login.password.expose_secret(),
        });
        let answer = self.http.request(Method::POST, "session").json(&wish).send().await?;
        if answer.status().as_u16() != 200 {
            return Err(unwanted(answer, now).await);
        }
        let what = answer.what().to_owned();
        // Nothing of the answer is shown, whatever is wrong with it.
        let body = answer.bytes(ANSWER_LIMIT).await?;
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let answer = is_object.then(|| serde_json::from_slice::<Answer>(&body).ok()).flatten();
        let token = answer.and_then(|answer| answer.token);
        let token = token.ok_or_else(|| self.malformed(&what, 0, "there is no token in it"))?;
        let cookie = format!("token={token}");
        let http = self.http.clone().with_secret_header(HeaderName::from_static("x-cookie"), &cookie)?;
        *session = Some(http.clone());
        Ok(http)
    }
}

/// What a status other than 200 means.
async fn unwanted(answer: HttpResponse, now: Timestamp) -> SyncError {
    match (answer.status().as_u16(), answer.into_error(now).await) {
        (409 | 503, SyncError::Refused { system, .. }) => {
            SyncError::Throttled { system, until: now + BUSY_WAIT }
        }
        (412, SyncError::Refused { system, what, status, detail }) => {
            let detail = format!("{detail}: the licence of this Nessus does not include its API");
            SyncError::Refused { system, what, status, detail }
        }
        (_, error) => error,
    }
}

/// `GET /scans`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Scans {
    /// The server's time.
    #[serde(default, deserialize_with = "lenient")]
    pub timestamp: Option<u64>,
    #[serde(default, deserialize_with = "list")]
    folders: Vec<Folder>,
    /// The scans; `null` where there are none.
    #[serde(deserialize_with = "list")]
    scans: Vec<Scan>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Folder {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<u64>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// One scan of the list.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Scan {
    /// Its id; never given twice.
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    folder_id: Option<u64>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    enabled: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    last_modification_date: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    user_permissions: Option<u64>,
}

/// Less than this may not view results.
const MAY_VIEW: u64 = 16;

impl Scans {
    /// Scans with results that can be read: not those in the trash, not those that never ran. Of the others, those that
    /// have changed since a time of the server's clock.
    pub fn with_results(&self, since: Option<Timestamp>) -> Vec<u64> {
        let mut ids: Vec<u64> = self
            .scans
            .iter()
            .filter(|scan| !self.is_trash(scan.folder_id))
            .filter(|scan| !matches!(scan.status.as_deref(), None | Some("" | "empty")))
            .filter(|scan| scan.may_be_viewed())
            .filter(|scan| {
                // A scan without a date may have changed.
                let at = scan.last_modification_date.and_then(seconds);
                since.is_none_or(|since| at.is_none_or(|at| at >= since))
            })
            .filter_map(|scan| scan.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn is_trash(&self, folder: Option<u64>) -> bool {
        folder.is_some() && self.folders.iter().any(|f| f.id == folder && f.kind.as_deref() == Some("trash"))
    }

    /// How each scan that is not in the trash last went.
    pub fn jobs(&self) -> Vec<ScanJob> {
        let job = |scan: &Scan| {
            let id = scan.id?.to_string();
            let outcome = ScanOutcome::of(scan.status.as_deref().unwrap_or_default());
            Some(ScanJob {
                name: scan.name.clone().unwrap_or_else(|| format!("scan {id}")),
                // What never ran was changed all the same.
                at: scan.last_modification_date.and_then(seconds).filter(|_| outcome != ScanOutcome::Never),
                scheduled: scan.enabled.as_ref().and_then(Value::as_bool),
                id,
                outcome,
            })
        };
        self.scans.iter().filter(|scan| !self.is_trash(scan.folder_id)).filter_map(job).collect()
    }

    /// Scans in the list.
    pub fn count(&self) -> usize {
        self.scans.len()
    }

    /// Scans whose results this user may not see.
    pub fn closed(&self) -> usize {
        self.scans.iter().filter(|scan| !scan.may_be_viewed()).count()
    }

    /// How far the server's clock is ahead of ours.
    pub fn ahead(&self, now: Timestamp) -> SignedDuration {
        self.timestamp.and_then(seconds).map_or(SignedDuration::ZERO, |server| server.duration_since(now))
    }
}

impl Scan {
    fn may_be_viewed(&self) -> bool {
        self.user_permissions.is_none_or(|permissions| permissions >= MAY_VIEW)
    }
}

/// `GET /scans/{id}`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Details {
    info: Info,
    #[serde(default, deserialize_with = "list")]
    history: Vec<History>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Info {
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    scan_start: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    scan_end: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    hostcount: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct History {
    #[serde(default, deserialize_with = "lenient")]
    history_id: Option<u64>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    creation_date: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    last_modification_date: Option<u64>,
    /// Its results are no longer kept.
    #[serde(default)]
    is_archived: Option<bool>,
}

/// A history whose results can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The history; `None` where the scan has no list of them.
    pub history: Option<u64>,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it was completed.
    pub ended: Option<Timestamp>,
    /// It was scanned here and to its end: what is not in it was not found. An imported file may be a part of a scan.
    pub proves_absence: bool,
    /// Nessus says that hosts are in it, where it says.
    pub has_hosts: bool,
}

impl Details {
    /// The newest history that ran to its end. One that was stopped, aborted, or still runs proves nothing, and stands
    /// in nobody's way.
    pub fn newest(&self) -> Option<Report> {
        let info = &self.info;
        if self.history.is_empty() {
            let proves_absence = ended(info.status.as_deref())?;
            return Some(Report {
                history: None,
                began: info.scan_start.and_then(seconds),
                ended: info.scan_end.and_then(seconds),
                proves_absence,
                has_hosts: info.hostcount.is_some_and(|count| count > 0),
            });
        }
        // What `info` tells is about the newest history, whatever its status.
        let newest = self.history.iter().filter_map(|h| Some((h.at()?, h.history_id?))).max();
        self.history
            .iter()
            .filter(|history| history.is_archived != Some(true))
            .filter_map(|history| Some((history, ended(history.status.as_deref())?, history.history_id?)))
            .max_by_key(|(history, _, id)| (history.at(), *id))
            .map(|(history, proves_absence, id)| Report {
                history: Some(id),
                began: history.creation_date.and_then(seconds),
                ended: history.last_modification_date.and_then(seconds),
                proves_absence,
                has_hosts: newest.is_some_and(|(_, newest)| newest == id)
                    && info.hostcount.is_some_and(|count| count > 0),
            })
    }
}

impl History {
    fn at(&self) -> Option<u64> {
        self.last_modification_date.or(self.creation_date)
    }
}

/// Whether a scan of this status is whole: `completed` proves absence, `imported` does not; of the others nothing is read.
fn ended(status: Option<&str>) -> Option<bool> {
    match status?.trim().to_ascii_lowercase().as_str() {
        "completed" => Some(true),
        "imported" => Some(false),
        _ => None,
    }
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// Not yet. Words that nobody knows mean this too.
    Loading,
    /// It can be downloaded.
    Ready,
    /// It never will.
    Failed,
}

/// `GET /server/properties`
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Properties {
    #[serde(default)]
    nessus_type: Option<String>,
    #[serde(default)]
    server_version: Option<String>,
    #[serde(default)]
    nessus_ui_version: Option<String>,
}

impl Properties {
    /// Product and version, for a person.
    pub fn describe(&self) -> String {
        let product = self.nessus_type.as_deref().unwrap_or("Nessus");
        let version = self.server_version.as_deref().or(self.nessus_ui_version.as_deref());
        version.map_or_else(|| product.to_owned(), |version| format!("{product} {version}"))
    }
}

fn seconds(seconds: u64) -> Option<Timestamp> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    Timestamp::from_second(seconds).ok()
}

/// Numbers that are texts at times, and nothing at others.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(match value {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    })
}

/// Lists that are `null` where there is nothing in them.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scans(json: Value) -> Scans {
        serde_json::from_value(json).unwrap()
    }

    fn details(json: Value) -> Details {
        serde_json::from_value(json).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn no_scans_are_null() {
        let none = scans(json!({ "folders": null, "scans": null, "timestamp": 1_700_000_000 }));
        assert!(none.with_results(None).is_empty());
        assert_eq!(none.ahead(at(1_700_000_000 - 90)), SignedDuration::from_secs(90));
        assert!(serde_json::from_value::<Scans>(json!({ "error": "x" })).is_err(), "and do not go missing");
    }

    #[test]
    fn scans_in_the_trash_without_results_or_rights_are_left_out() {
        let list = scans(json!({
            "folders": [{ "id": 2, "type": "trash" }, { "id": 3, "type": "main" }],
            "scans": [
                { "id": 9, "folder_id": 3, "status": "completed", "uuid": "a", "last_modification_date": 2000 },
                { "id": "4", "folder_id": 3, "status": "running", "last_modification_date": "1000" },
                { "id": 5, "folder_id": 2, "status": "completed", "last_modification_date": 2000 },
                { "id": 6, "folder_id": 3, "status": "empty", "uuid": null, "last_modification_date": 0 },
                { "id": 7, "status": "aborted", "user_permissions": 0, "last_modification_date": 2000 },
                { "id": 8, "status": null },
                { "id": 3, "status": "canceled", "user_permissions": 128 },
            ],
        }));
        assert_eq!(list.with_results(None), [3, 4, 9]);
        assert_eq!(list.with_results(Some(at(1500))), [3, 9], "without a date it may have changed");
        assert_eq!((list.count(), list.closed()), (7, 1));
        let jobs: Vec<_> = list.jobs().into_iter().map(|job| (job.id, job.outcome, job.at)).collect();
        let job = |id: &str, outcome, second: Option<i64>| (id.to_owned(), outcome, second.map(at));
        use ScanOutcome::{Completed, Never, Running, Unfinished};
        assert_eq!(
            jobs,
            [
                job("9", Completed, Some(2000)),
                job("4", Running, Some(1000)),
                job("6", Never, None),
                job("7", Unfinished, Some(2000)),
                job("8", Never, None),
                job("3", Unfinished, None),
            ],
            "all but the one in the trash, whoever may read its results"
        );
    }

    #[test]
    fn the_newest_completed_history_counts() {
        let history = |id: u64, status: &str, at: u64| json!({ "history_id": id, "status": status, "creation_date": at - 60, "last_modification_date": at });
        let scan = details(json!({
            "info": { "status": "running", "hostcount": 3 },
            "history": [history(11, "completed", 1000), history(14, "completed", 3000), history(12, "stopped", 2000),
                history(15, "aborted", 4000), history(16, "running", 5000), history(17, "canceled", 6000)],
        }));
        let newest = scan.newest().unwrap();
        assert_eq!((newest.history, newest.began, newest.ended), (Some(14), Some(at(2940)), Some(at(3000))));
        assert!(newest.proves_absence && !newest.has_hosts, "the count is that of the running one");
        let done =
            details(json!({ "info": { "hostcount": "3" }, "history": [history(11, "completed", 1000)] }));
        assert!(done.newest().unwrap().has_hosts);
    }

    #[test]
    fn what_did_not_run_to_its_end_is_not_read() {
        for status in
            ["running", "paused", "stopped", "canceled", "aborted", "empty", "pending", "processing", "new"]
        {
            let scan = details(
                json!({ "info": {}, "history": [{ "history_id": 1, "status": status, "creation_date": 5 }] }),
            );
            assert_eq!(scan.newest(), None, "{status}");
            assert_eq!(
                details(json!({ "info": { "status": status }, "history": null })).newest(),
                None,
                "{status}"
            );
        }
        assert!(serde_json::from_value::<Details>(json!({ "error": "x" })).is_err());
    }

    #[test]
    fn an_imported_file_may_be_a_part() {
        let scan = details(json!({ "info": { "status": "imported", "scan_end": 900 }, "history": null }));
        let newest = scan.newest().unwrap();
        assert_eq!((newest.history, newest.ended, newest.proves_absence), (None, Some(at(900)), false));
        let archived = json!({ "history_id": 1, "status": "completed", "last_modification_date": 5, "is_archived": true });
        assert_eq!(details(json!({ "info": {}, "history": [archived] })).newest(), None);
    }
}
