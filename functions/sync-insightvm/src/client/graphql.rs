//! The Bulk Export: a GraphQL question that begins an export, and one that asks how far it is.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync::SyncError;
use sync::http::{Method, shorten};
use sync::lenient::{List, Scalar};

use super::{ANSWER_LIMIT, Client};
use crate::normalize::bulk::Table;

const PATH: &str = "export/graphql";
/// What Rapid7 says when there is an export of this kind already, before the id of that.
const RUNNING: &str = "exportId:";

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Export {
    /// Assets and their vulnerabilities, as of today's data.
    Vulnerabilities,
    /// What was remediated in a span of days.
    Remediation {
        /// First day.
        from: Date,
        /// Day behind the last one.
        to: Date,
    },
}

impl Export {
    /// The question that begins it, and the name of its answer.
    fn mutation(&self) -> (Value, &'static str) {
        match self {
            Self::Vulnerabilities => {
                let query =
                    "mutation CreateVulnerabilityExport { createVulnerabilityExport(input: {}) { id } }";
                (json!({ "query": query }), "createVulnerabilityExport")
            }
            Self::Remediation { from, to } => {
                let query = "mutation CreateVulnerabilityRemediationExport(\
                    $input: VulnerabilityRemediationExportConfiguration!) \
                    { createVulnerabilityRemediationExport(input: $input) { id } }";
                let input = json!({ "startDate": from.to_string(), "endDate": to.to_string() });
                let variables = json!({ "input": input });
                (json!({ "query": query, "variables": variables }), "createVulnerabilityRemediationExport")
            }
        }
    }
}

/// Where an export stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is being prepared.
    Going(String),
    /// Its files can be read.
    Complete(Vec<Files>),
    /// It ended without them.
    Failed(String),
}

/// Files of an export, at addresses that are good for some minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// What is in them.
    pub prefix: String,
    /// Where they are.
    pub urls: Vec<String>,
}

/// The addresses of a table's files, in an order that does not depend on their signatures.
pub fn files_of(files: &[Files], table: Table) -> Vec<String> {
    let of_table = |files: &&Files| files.prefix.split('/').next() == Some(table.prefix());
    let mut urls: Vec<String> = files.iter().filter(of_table).flat_map(|files| files.urls.clone()).collect();
    urls.sort_by(|a, b| a.split('?').next().cmp(&b.split('?').next()));
    urls
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    data: Option<Value>,
    errors: Vec<Complaint>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Complaint {
    message: Scalar,
    extensions: Option<Extensions>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extensions {
    code: Scalar,
    classification: Scalar,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    status: Scalar,
    result: List<ToldFiles>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToldFiles {
    prefix: Scalar,
    urls: List<Scalar>,
}

impl sync::lenient::FromScalar for ToldFiles {
    type Text = String;

    fn from_scalar(url: Scalar) -> Self {
        Self { prefix: Scalar::Absent, urls: List(vec![url]) }
    }
}

impl Client {
    /// Begins an export, or adopts the one of its kind that is being prepared. Repeating it is safe: of one day there is
    /// one set of data.
    pub async fn begin(&self, export: &Export, now: Timestamp) -> Result<String, SyncError> {
        let (question, name) = export.mutation();
        let answer = self.ask(&question, now).await?;
        if let Some(id) = answer.errors.iter().find_map(|error| running(&error.message.clone().text()?)) {
            return Ok(id);
        }
        let data = self.data(answer, now)?;
        let id = data.pointer(&format!("/{name}/id")).and_then(Value::as_str).unwrap_or_default();
        if is_id(id) {
            return Ok(id.to_owned());
        }
        Err(self.malformed(PATH, &format!("{:?} is not the id of an export", shorten(id))))
    }

    /// How far an export is.
    pub async fn standing(&self, id: &str, now: Timestamp) -> Result<Standing, SyncError> {
        let query = "query GetExport($id: String!) { export(id: $id) { id status dataset timestamp result { prefix urls } } }";
        let answer = self.ask(&json!({ "query": query, "variables": { "id": id } }), now).await?;
        let data = self.data(answer, now)?;
        let told = match data.get("export") {
            None | Some(Value::Null) => {
                return Err(SyncError::NotFound {
                    system: self.system().to_owned(),
                    what: format!("export {id}"),
                });
            }
            Some(export) => Told::deserialize(export)
                .map_err(|error| self.malformed(PATH, &format!("the export cannot be read: {error}")))?,
        };
        let word = told.status.text().unwrap_or_default().trim().to_ascii_uppercase();
        Ok(match word.as_str() {
            "COMPLETE" | "COMPLETED" | "SUCCEEDED" => Standing::Complete(
                told.result
                    .0
                    .into_iter()
                    .map(|files| Files {
                        prefix: files.prefix.text().unwrap_or_default(),
                        urls: files.urls.texts(),
                    })
                    .collect(),
            ),
            "FAILED" | "CANCELLED" | "EXPIRED" => Standing::Failed(word),
            "" => return Err(self.malformed(PATH, "the export has no status")),
            _ => Standing::Going(word),
        })
    }

    async fn ask(&self, question: &Value, now: Timestamp) -> Result<Answer, SyncError> {
        let request = self.http.request(Method::POST, PATH).header("accept", "application/json");
        let answer = request.json(question).repeatable().send().await?;
        match answer.status().as_u16() {
            200 => answer.json(ANSWER_LIMIT).await,
            403 => Err(match answer.into_error(now).await {
                SyncError::Unauthorized { detail, .. } => self.lacks_right(&detail),
                error => error,
            }),
            _ => Err(answer.into_error(now).await),
        }
    }

    /// The data of an answer without errors: HTTP says 200 to both.
    fn data(&self, answer: Answer, now: Timestamp) -> Result<Value, SyncError> {
        if let Some(error) = answer.errors.into_iter().next() {
            return Err(self.complaint(error, now));
        }
        answer.data.ok_or_else(|| self.malformed(PATH, "it has neither data nor errors"))
    }

    /// The error of a key that may not ask for exports.
    fn lacks_right(&self, says: &str) -> SyncError {
        let detail =
            format!("{says}; the Bulk Export needs the key of a Platform Admin, or of the organisation");
        SyncError::Unauthorized { system: self.system().to_owned(), detail }
    }

    fn complaint(&self, error: Complaint, now: Timestamp) -> SyncError {
        let system = self.system().to_owned();
        let message = shorten(&error.message.text().unwrap_or_default());
        let extensions = error.extensions.unwrap_or_default();
        let codes = [extensions.code.text(), extensions.classification.text()];
        let code = codes.into_iter().flatten().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
        let says = |words: &[&str]| words.iter().any(|word| code.contains(word));
        if says(&["UNAUTHENTICATED", "UNAUTHORIZED", "PERMISSION_DENIED", "FORBIDDEN"]) {
            return self.lacks_right(&message);
        }
        if says(&["NOT_FOUND"]) {
            return SyncError::NotFound { system, what: "the export".into() };
        }
        if says(&["RESOURCE_EXHAUSTED", "TOO_MANY"]) {
            return SyncError::Throttled { system, until: now + jiff::SignedDuration::from_secs(60) };
        }
        // A question that is refused stays refused; anything else may pass.
        let refused = says(&["BAD_REQUEST", "INVALID", "VALIDATION", "FAILED_PRECONDITION"]);
        let status = if refused { 400 } else { 500 };
        SyncError::Refused { system, what: PATH.to_owned(), status, detail: message }
    }
}

/// The id of the export that stands in the way of another one.
fn running(message: &str) -> Option<String> {
    let (_, rest) = message.split_once(RUNNING)?;
    let id: String = rest.trim_start().chars().take_while(|c| is_id_character(*c)).collect();
    is_id(&id).then_some(id)
}

fn is_id(id: &str) -> bool {
    (1..=256).contains(&id.len()) && id.chars().all(is_id_character)
}

/// Ids look like base64.
fn is_id_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_export_is_found_in_the_complaint() {
        let text = "FAILED_PRECONDITION: An export is already in-progress, exportId: Zm9vYmFy+/==. Try later";
        assert_eq!(running(text).as_deref(), Some("Zm9vYmFy+/=="));
        assert_eq!(running("something else"), None);
    }

    #[test]
    fn files_of_a_table_have_one_order_whatever_their_signatures() {
        let files = |prefix: &str, urls: &[&str]| Files {
            prefix: prefix.into(),
            urls: urls.iter().map(ToString::to_string).collect(),
        };
        let told = [
            files("asset", &["https://h/a?s=1"]),
            files("asset_vulnerability", &["https://h/2?s=1", "https://h/1?s=9"]),
            files("vulnerability_remediation/ivm", &["https://h/r?s=1"]),
        ];
        assert_eq!(files_of(&told, Table::Vulnerabilities), ["https://h/1?s=9", "https://h/2?s=1"]);
        assert_eq!(files_of(&told, Table::Remediation).len(), 1);
        assert_eq!(files_of(&told, Table::Assets), ["https://h/a?s=1"]);
    }
}
