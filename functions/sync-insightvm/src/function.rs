//! The function: the sync engine over this scanner.

use domain::policy::Connector;
use platform::Services;
use sync::http::HeaderName;
use sync::{Built, Credentials, EngineOptions, HttpClient, HttpOptions, SyncError, SyncFunction};

use crate::InsightvmScanner;

/// The header of the API key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The function as it runs on AWS.
pub fn function(services: &Services) -> SyncFunction {
    function_with(services, EngineOptions::default(), HttpOptions::default())
}

/// The function with other limits.
pub fn function_with(services: &Services, engine: EngineOptions, http: HttpOptions) -> SyncFunction {
    SyncFunction::new(services, domain::Scanner::Insightvm, engine, http, build)
}

fn build(connector: &Connector, http: HttpClient, credentials: &Credentials) -> Result<Built, SyncError> {
    let http = credentials.api_key(http, API_KEY)?;
    Ok(Built::new(InsightvmScanner::new(connector, http.clone()), http))
}
