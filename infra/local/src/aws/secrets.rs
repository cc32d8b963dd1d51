//! Secrets Manager on one machine: `GetSecretValue` over whatever holds the secrets. Values are never logged.

use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::http::{ApiError, Protocol, parse, respond};
use super::{ACCOUNT, REGION};

/// Where the values of secrets come from.
pub trait SecretSource: Send + Sync {
    /// The value of the secret with this name.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> SecretSource for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// No secrets at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl SecretSource for NoSecrets {
    fn get(&self, _name: &str) -> Option<String> {
        None
    }
}

/// The one version each secret has.
const VERSION_ID: &str = "00000000-0000-4000-8000-000000000001";
const CURRENT: &str = "AWSCURRENT";
/// AWS ends the ARN of a secret with a hyphen and six random characters.
const ARN_SUFFIX: &str = "-local0";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSecretValue {
    secret_id: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
}

/// Answers one Secrets Manager request.
pub(super) fn handle(source: &dyn SecretSource, operation: &str, body: &[u8]) -> Result<Response, ApiError> {
    if operation != "GetSecretValue" {
        return Err(ApiError::unknown_operation(operation));
    }
    let request: GetSecretValue = parse(body)?;
    let id = request.secret_id.filter(|id| !id.is_empty()).ok_or_else(|| {
        ApiError::bad_request(
            "InvalidParameterException",
            "You must provide a value for the SecretId parameter.",
        )
    })?;
    let name = name_of(&id);
    let other_version = request.version_id.is_some_and(|version| version != VERSION_ID)
        || request.version_stage.is_some_and(|stage| stage != CURRENT);
    let value = if other_version { None } else { source.get(name) };
    let Some(value) = value else {
        return Err(ApiError::bad_request(
            "ResourceNotFoundException",
            "Secrets Manager can't find the specified secret.",
        ));
    };
    let answer = json!({
        "ARN": format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}{ARN_SUFFIX}"),
        "Name": name,
        "SecretString": value,
        "VersionId": VERSION_ID,
        "VersionStages": [CURRENT],
    });
    Ok(respond(Protocol::Json11, &answer))
}

/// A secret is asked for by name or by ARN, the latter with or without its random end.
fn name_of(id: &str) -> &str {
    if !id.starts_with("arn:") {
        return id;
    }
    let name = id.splitn(7, ':').nth(6).unwrap_or(id);
    name.strip_suffix(ARN_SUFFIX).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_secret_is_found_by_name_and_by_arn() {
        assert_eq!(name_of("vulnrelay/tenable"), "vulnrelay/tenable");
        assert_eq!(
            name_of("arn:aws:secretsmanager:us-east-1:000000000000:secret:vulnrelay/tenable"),
            "vulnrelay/tenable"
        );
        assert_eq!(name_of("arn:aws:secretsmanager:us-east-1:000000000000:secret:a-local0"), "a");
    }
}
