//! The requests, and what their answers mean.

use domain::{ScanJob, ScanOutcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sync::SyncError;
use sync::http::{HeaderName, HttpClient, HttpResponse, Method};

use crate::normalize::lenient::{List, Scalar};

/// Answers other than chunks are small; a status names every chunk of an export.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// The list of scans has some 600 bytes of each.
const SCANS_LIMIT: usize = 16 * 1024 * 1024;

/// The exports that we use. All are started, watched and downloaded in the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Export {
    /// `/assets/export`
    Assets,
    /// `/vulns/export`
    #[default]
    Vulns,
    /// `/compliance/export`
    Compliance,
}

impl Export {
    /// As in paths and unit ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assets => "assets",
            Self::Vulns => "vulns",
            Self::Compliance => "compliance",
        }
    }
}

/// Version of the asset export: the second one has other fields, and is watched and downloaded like the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AssetsVersion {
    /// `/assets/export`
    #[default]
    V1,
    /// `/assets/v2/export`
    V2,
}

/// The answer to the wish for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It runs under this id, newly started or adopted.
    Running(String),
    /// An identical one runs, and Tenable does not say which.
    Conflict,
}

/// The answer to the wish for a chunk.
pub enum Chunk {
    /// Here it comes.
    Body(HttpResponse),
    /// Not yet.
    NotReady,
    /// Not any more: chunks are kept for 24 hours.
    Expired,
}

/// A client of Tenable's export API.
pub struct Client {
    http: HttpClient,
    assets: AssetsVersion,
}

/// An HTTP client with Tenable's pair of keys in its header.
pub fn with_keys(http: HttpClient, access_key: &str, secret_key: &str) -> Result<HttpClient, SyncError> {
    let keys = format!("accessKey={access_key};secretKey={secret_key}");
    http.with_secret_header(HeaderName::from_static("x-apikeys"), &keys)
}

impl Client {
    /// A client over an HTTP client that has the keys ([`with_keys`]).
    pub fn new(http: HttpClient, assets: AssetsVersion) -> Self {
        Self { http, assets }
    }

    /// The client underneath.
    #[cfg(test)]
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Begins an export, or adopts the identical one that is running.
    pub async fn start(&self, export: Export, wish: &Value, now: Timestamp) -> Result<Started, SyncError> {
        let path = match (export, self.assets) {
            (Export::Assets, AssetsVersion::V2) => "assets/v2/export".to_owned(),
            _ => format!("{}/export", export.as_str()),
        };
        let answer = self.http.request(Method::POST, &path).json(wish).send().await?;
        let status = answer.status().as_u16();
        if !matches!(status, 200 | 409) {
            return Err(answer.into_error(now).await);
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Answer {
            export_uuid: Scalar,
            active_job_id: Scalar,
        }
        let what = answer.what().to_owned();
        if status == 409 {
            let running = answer.json::<Answer>(ANSWER_LIMIT).await.unwrap_or_default().active_job_id.text();
            return running
                .map_or(Ok(Started::Conflict), |uuid| self.checked(&what, uuid).map(Started::Running));
        }
        match answer.json::<Answer>(ANSWER_LIMIT).await?.export_uuid.text() {
            Some(uuid) => self.checked(&what, uuid).map(Started::Running),
            None => Err(self.http.malformed(&what, 0, "there is no export_uuid in it")),
        }
    }

    /// How far an export is.
    pub async fn status(&self, export: Export, uuid: &str, now: Timestamp) -> Result<Status, SyncError> {
        let answer = self
            .http
            .request(Method::GET, &format!("{}/export/{uuid}/status", export.as_str()))
            .send()
            .await?;
        if answer.status() != 200 {
            return Err(answer.into_error(now).await);
        }
        let what = answer.what().to_owned();
        let status: Status = answer.json(ANSWER_LIMIT).await?;
        match status.status {
            Scalar::Absent => Err(self.http.malformed(&what, 0, "there is no status in it")),
            _ => Ok(status),
        }
    }

    /// Begins to download a chunk.
    pub async fn chunk(
        &self,
        export: Export,
        uuid: &str,
        id: u64,
        now: Timestamp,
    ) -> Result<Chunk, SyncError> {
        let path = format!("{}/export/{uuid}/chunks/{id}", export.as_str());
        let answer =
            self.http.request(Method::GET, &path).header("accept", "application/octet-stream").send().await?;
        match answer.status().as_u16() {
            200 => Ok(Chunk::Body(answer)),
            400 => Ok(Chunk::NotReady),
            404 => Ok(Chunk::Expired),
            _ => Err(answer.into_error(now).await),
        }
    }

    /// Gives an export up, so that it does not stand in the way of the next one. A failure to do so does no harm.
    pub async fn cancel(&self, export: Export, uuid: &str) {
        let path = format!("{}/export/{uuid}/cancel", export.as_str());
        if let Err(error) = self.http.request(Method::POST, &path).repeatable().send().await {
            tracing::debug!(%error, uuid, "the export could not be cancelled");
        }
    }

    /// Asks for the list of recent exports, which wants the same right as an export and starts none.
    pub async fn exports(&self, export: Export, now: Timestamp) -> Result<(), SyncError> {
        let path = format!("{}/export/status", export.as_str());
        let answer = self.http.request(Method::GET, &path).send().await?;
        if answer.status() == 200 { Ok(()) } else { Err(answer.into_error(now).await) }
    }

    /// All scans that the user may see, with how they last went: one answer, without pages.
    pub async fn scans(&self, now: Timestamp) -> Result<Vec<ScanJob>, SyncError> {
        let answer = self.http.request(Method::GET, "scans").send().await?;
        if answer.status() != 200 {
            return Err(answer.into_error(now).await);
        }
        Ok(answer.json::<Scans>(SCANS_LIMIT).await?.jobs())
    }

    /// Who the keys belong to.
    pub async fn session(&self, now: Timestamp) -> Result<Session, SyncError> {
        let answer = self.http.request(Method::GET, "session").send().await?;
        if answer.status() != 200 {
            return Err(answer.into_error(now).await);
        }
        answer.json(ANSWER_LIMIT).await
    }

    /// An error about an answer.
    pub fn malformed(&self, what: &str, offset: u64, detail: &str) -> SyncError {
        self.http.malformed(what, offset, detail)
    }

    /// An id that can stand in a path.
    fn checked(&self, what: &str, uuid: String) -> Result<String, SyncError> {
        let fits =
            (1..=64).contains(&uuid.len()) && uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits {
            Ok(uuid)
        } else {
            Err(self.http.malformed(what, 0, &format!("{uuid:?} is not the id of an export")))
        }
    }
}

/// `GET /scans`
#[derive(Default, Deserialize)]
#[serde(default)]
struct Scans {
    folders: Option<Vec<Value>>,
    /// `null` where there is none. Each is read alone: an odd one costs no other.
    scans: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Folder {
    id: Scalar,
    #[serde(rename = "type")]
    kind: Scalar,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scan {
    id: Scalar,
    folder_id: Scalar,
    name: Scalar,
    status: Scalar,
    last_modification_date: Scalar,
    enabled: Scalar,
}

impl Scans {
    /// Without what is in the trash, and what has no id.
    fn jobs(self) -> Vec<ScanJob> {
        let folders = self.folders.unwrap_or_default().into_iter().filter_map(read::<Folder>);
        let trash = folders.filter(|folder| folder.kind.clone().text().as_deref() == Some("trash"));
        let trash: Vec<String> = trash.filter_map(|folder| folder.id.text()).collect();
        let job = |scan: Scan| {
            let id = scan.id.text()?;
            let outcome = ScanOutcome::of(&scan.status.text().unwrap_or_default());
            Some(ScanJob {
                name: scan.name.text().unwrap_or_else(|| format!("scan {id}")),
                // What never ran was changed all the same.
                at: scan.last_modification_date.time().filter(|_| outcome != ScanOutcome::Never),
                scheduled: scan.enabled.truth(),
                id,
                outcome,
            })
        };
        let kept = |scan: &Scan| scan.folder_id.clone().text().is_none_or(|folder| !trash.contains(&folder));
        let scans = self.scans.unwrap_or_default().into_iter().filter_map(read);
        scans.filter(kept).filter_map(job).collect()
    }
}

/// An element of a list, if it is what it should be.
fn read<T: for<'de> Deserialize<'de>>(element: Value) -> Option<T> {
    serde_json::from_value(element).ok()
}

/// `GET /session`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Session {
    username: Scalar,
    email: Scalar,
    permissions: Scalar,
}

impl Session {
    /// One line for a person: who this is, and what that means for the exports.
    pub fn describe(self) -> String {
        let user =
            self.username.text().or(self.email.text()).unwrap_or_else(|| "a user without a name".into());
        let rights = match self.permissions.number() {
            None => "permissions not told".to_owned(),
            Some(level) => {
                let role = match level {
                    l if l >= 64.0 => "Administrator",
                    l if l >= 40.0 => "Scan Manager",
                    l if l >= 32.0 => "Standard",
                    l if l >= 24.0 => "Scan Operator",
                    l if l >= 16.0 => "Basic",
                    _ => "less than Basic: exports will be refused",
                };
                let deleted =
                    if level < 64.0 { "; deleted assets are shown to administrators only" } else { "" };
                format!("permissions {level} ({role}){deleted}")
            }
        };
        format!("signed in as {user}, {rights}")
    }
}

/// `GET /{assets,vulns}/export/{uuid}/status`. Asset exports tell only the status and the available chunks.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Status {
    status: Scalar,
    chunks_available: List<Scalar>,
    chunks_failed: List<Scalar>,
    chunks_cancelled: List<Scalar>,
    total_chunks: Scalar,
    empty_chunks_count: Scalar,
    reason: Scalar,
}

/// Whether to go on asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Yes.
    Going,
    /// No: nothing will be added to the available chunks. `missing` tells what is not among them.
    Ended {
        /// Why the export is not whole.
        missing: Option<String>,
    },
}

impl Status {
    /// Tenable's word, upper case.
    pub fn word(&self) -> String {
        self.status.clone().text().unwrap_or_default().trim().to_ascii_uppercase()
    }

    /// Chunks that can be downloaded, in Tenable's order, which is no order.
    pub fn available(&self) -> Vec<u64> {
        chunk_ids(&self.chunks_available)
    }

    /// Whether an available chunk may hold nothing.
    pub fn has_empty_chunks(&self) -> bool {
        whole(&self.empty_chunks_count).is_some_and(|count| count > 0)
    }

    /// Changes whenever the export has moved on.
    pub fn mark(&self) -> String {
        let (failed, cancelled) = (self.chunks_failed.0.len(), self.chunks_cancelled.0.len());
        format!("{} {}/{failed}/{cancelled}", self.word(), self.available().len())
    }

    /// Whether to go on asking. FINISHED may have failed chunks, ERROR may have good ones.
    pub fn progress(&self) -> Progress {
        let available = self.available().len() as u64;
        let (failed, cancelled) = (chunk_ids(&self.chunks_failed), chunk_ids(&self.chunks_cancelled));
        let total = whole(&self.total_chunks);
        let word = self.word();
        let mut missing = Vec::new();
        match word.as_str() {
            "FINISHED" => {}
            "CANCELLED" | "CANCELED" => {
                missing.push("the export was cancelled by an administrator".to_owned())
            }
            "ERROR" => missing.push(match self.reason.clone().text() {
                Some(reason) => format!("the export ended with ERROR ({})", sync::http::shorten(&reason)),
                None => "the export ended with ERROR".to_owned(),
            }),
            _ => return Progress::Going,
        }
        for (chunks, what) in [(&failed, "failed"), (&cancelled, "were cancelled")] {
            if !chunks.is_empty() {
                let first: Vec<String> = chunks.iter().take(5).map(u64::to_string).collect();
                let more = if chunks.len() > 5 { ", …" } else { "" };
                missing.push(format!("{} chunks {what} ({}{more})", chunks.len(), first.join(", ")));
            }
        }
        let lists = [&self.chunks_available, &self.chunks_failed, &self.chunks_cancelled];
        let named: usize = lists.iter().map(|list| list.0.len()).sum();
        let unread = named - self.available().len() - failed.len() - cancelled.len();
        if unread > 0 {
            missing.push(format!("{unread} chunks have no number"));
        }
        let told = available
            + failed.len() as u64
            + cancelled.len() as u64
            + whole(&self.empty_chunks_count).unwrap_or(0);
        if let Some(total) = total.filter(|total| *total > told) {
            missing.push(format!("{} of {total} chunks were never offered", total - told));
        }
        let missing =
            (!missing.is_empty()).then(|| format!("{}; {available} chunks were usable", missing.join("; ")));
        Progress::Ended { missing }
    }
}

fn whole(value: &Scalar) -> Option<u64> {
    match value {
        Scalar::Whole(number) => u64::try_from(*number).ok(),
        Scalar::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn chunk_ids(list: &List<Scalar>) -> Vec<u64> {
    list.0.iter().filter_map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Status {
        serde_json::from_str(json).unwrap()
    }

    fn missing(json: &str) -> Option<String> {
        match status(json).progress() {
            Progress::Ended { missing } => missing,
            Progress::Going => panic!("it goes on"),
        }
    }

    #[test]
    fn an_export_goes_on_until_it_says_otherwise() {
        for word in ["QUEUED", "PROCESSING", "processing", "SOMETHING_NEW"] {
            assert_eq!(
                status(&format!(r#"{{"status":"{word}","chunks_available":[]}}"#)).progress(),
                Progress::Going
            );
        }
        assert_eq!(missing(r#"{"status":"FINISHED","chunks_available":[2,1]}"#), None);
        assert_eq!(missing(r#"{"status":"FINISHED"}"#), None, "an estate without a finding");
    }

    #[test]
    fn pitfall_05_finished_is_not_whole_when_chunks_failed() {
        let text =
            missing(r#"{"status":"FINISHED","chunks_available":[1],"chunks_failed":[2,3],"total_chunks":3}"#)
                .unwrap();
        assert_eq!(text, "2 chunks failed (2, 3); 1 chunks were usable");
        let never = missing(
            r#"{"status":"FINISHED","chunks_available":[1],"total_chunks":4,"empty_chunks_count":1}"#,
        );
        assert_eq!(never.unwrap(), "2 of 4 chunks were never offered; 1 chunks were usable");
        let empty =
            r#"{"status":"FINISHED","chunks_available":[1,2],"total_chunks":3,"empty_chunks_count":1}"#;
        assert_eq!(missing(empty), None, "an empty chunk misses nothing");
        let odd = missing(r#"{"status":"FINISHED","chunks_available":[1,"two",{},-3]}"#);
        assert_eq!(odd.unwrap(), "3 chunks have no number; 1 chunks were usable");
    }

    #[test]
    fn an_error_keeps_its_usable_chunks_and_its_reason() {
        let cancelled: Vec<String> = (3..=20).map(|id| id.to_string()).collect();
        let json = format!(
            r#"{{"status":"ERROR","reason":"The export request timed out.","chunks_available":[1,2],"chunks_cancelled":[{}],"total_chunks":20}}"#,
            cancelled.join(",")
        );
        assert_eq!(status(&json).available(), [1, 2]);
        let text = missing(&json).unwrap();
        assert!(
            text.contains("timed out") && text.contains("18 chunks were cancelled (3, 4, 5, 6, 7, …)"),
            "{text}"
        );
        assert!(missing(r#"{"status":"CANCELLED"}"#).unwrap().contains("administrator"));
    }

    #[test]
    fn pitfall_07_a_session_tells_who_is_shown_deleted_assets() {
        let session = |json: &str| serde_json::from_str::<Session>(json).unwrap().describe();
        assert_eq!(
            session(r#"{"username":"api@example.com","permissions":64}"#),
            "signed in as api@example.com, permissions 64 (Administrator)"
        );
        assert!(session(r#"{"username":"a","permissions":"16"}"#).contains("16 (Basic); deleted assets"));
        assert!(session(r#"{"permissions":8}"#).contains("exports will be refused"));
    }
}
