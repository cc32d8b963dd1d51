//! Stores the configuration document when it is deployed: the provider of the CloudFormation resource
//! `Custom::Configuration`, whose properties are `Name` and `Document`.
//!
//! CloudFormation waits for an answer at the address that its request names. A document that cannot be used is refused
//! there, with file, line and field, and the deployment rolls back to the one before. Deleting the resource, and a
//! rollback, leave the versions where they are: storing the text that is current already changes nothing.

use std::sync::Arc;
use std::time::Duration;

use platform::{Clock, Settings, StartError, SystemClock, store_config};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use sync::SyncError;
use sync::http::{HttpClient, HttpOptions, Method};
use url::Url;

/// Longest reason that CloudFormation shows whole.
const REASON_LIMIT: usize = 1_000;
/// Longest wait for the answer to the answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What CloudFormation asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    /// What happens to the resource.
    pub request_type: RequestType,
    /// Where the answer is expected: a presigned address, good for this answer only.
    #[serde(rename = "ResponseURL")]
    pub response_url: String,
    /// The stack.
    pub stack_id: String,
    /// The request, which the answer names again.
    pub request_id: String,
    /// The resource's name in the template.
    pub logical_resource_id: String,
    /// The resource's own name, once it has one.
    #[serde(default)]
    pub physical_resource_id: Option<String>,
    /// What the template says.
    #[serde(default)]
    pub resource_properties: Properties,
}

/// What happens to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum RequestType {
    /// The stack is new, or the resource is.
    Create,
    /// The document, or its name, changed.
    Update,
    /// The stack goes, or a creation is rolled back.
    Delete,
}

/// The properties of the resource.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Properties {
    /// The document's name, for errors.
    pub name: String,
    /// Its text.
    pub document: String,
}

/// The answer to CloudFormation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// Why CloudFormation was not answered; Lambda repeats the request.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The address for the answer is none.
    #[error("CloudFormation gave no address to answer to")]
    NoAddress,
    /// The answer did not arrive.
    #[error("CloudFormation did not take the answer: {0}")]
    NotTaken(String),
}

/// The function.
pub struct Configure {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Configure {
    /// Starts the function on AWS. It needs the table alone: there may be no configuration yet.
    pub async fn start() -> Result<Self, StartError> {
        platform::telemetry::init();
        let settings = Settings::from_environment().await?;
        Ok(Self::new(Store::new(settings.dynamodb, &settings.table), Arc::new(SystemClock)))
    }

    /// The function on this table.
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Does what is asked, and answers.
    pub async fn handle(&self, request: Request) -> Result<(), ConfigureError> {
        let outcome = match request.request_type {
            RequestType::Create | RequestType::Update => self.put(&request).await,
            RequestType::Delete => Ok(()),
        };
        if let Err(reason) = &outcome {
            tracing::error!(reason, stack = request.stack_id, "the configuration was refused");
        }
        let reason = outcome.as_ref().err().map(|reason| reason.chars().take(REASON_LIMIT).collect());
        answer(
            &Answer {
                status: if outcome.is_ok() { "SUCCESS" } else { "FAILED" },
                reason,
                // One name for the life of the stack: another one would make CloudFormation delete the "old" resource.
                physical_resource_id: request
                    .physical_resource_id
                    .as_deref()
                    .unwrap_or("vulnrelay-configuration"),
                stack_id: &request.stack_id,
                request_id: &request.request_id,
                logical_resource_id: &request.logical_resource_id,
            },
            &request.response_url,
        )
        .await
    }

    async fn put(&self, request: &Request) -> Result<(), String> {
        let Properties { name, document } = &request.resource_properties;
        let author = format!("deployment of {name}");
        let put = || store_config(&self.store, (name, document), &author, self.clock.now());
        let stored = match put().await {
            // Somebody stored one at the same moment: the deployed one comes after it.
            Err(StartError::Store(StoreError::Conflict { .. })) => put().await,
            other => other,
        };
        let document = stored.map_err(|error| error.to_string())?;
        tracing::info!(version = document.version, name, "configuration stored");
        Ok(())
    }
}

/// Puts the answer where CloudFormation looks for it. The address is its own; no secret goes there.
async fn answer(answer: &Answer<'_>, address: &str) -> Result<(), ConfigureError> {
    let not_taken = |error: &dyn std::fmt::Display| ConfigureError::NotTaken(error.to_string());
    let url = Url::parse(address).map_err(|_| ConfigureError::NoAddress)?;
    let options =
        HttpOptions { allow_private_address: true, read_timeout: TIMEOUT, ..HttpOptions::default() };
    let client = HttpClient::new("cloudformation", &url.origin().ascii_serialization(), &options)
        .map_err(|error| not_taken(&error))?;
    let body = serde_json::to_vec(answer).map_err(|error| not_taken(&error))?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    // The address is signed for a request without a content type.
    let request = client.request(Method::PUT, &format!("./{}", path.trim_start_matches('/')));
    let sent = request.body("", body).repeatable().send().await;
    match sent {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(not_taken(&response.status())),
        // The path holds the signature.
        Err(SyncError::Unreachable { detail, .. }) => Err(not_taken(&detail)),
        Err(error) => Err(not_taken(&error)),
    }
}
