//! The function: the sync engine over this scanner.

use domain::policy::Connector;
use platform::Services;
use sync::{Built, Credentials, EngineOptions, HttpClient, HttpOptions, SyncError, SyncFunction};

use crate::QualysScanner;

/// The function as it runs on AWS.
pub fn function(services: &Services) -> SyncFunction {
    function_with(services, EngineOptions::default(), HttpOptions::default())
}

/// The function with other limits.
pub fn function_with(services: &Services, engine: EngineOptions, http: HttpOptions) -> SyncFunction {
    SyncFunction::new(services, domain::Scanner::Qualys, engine, http, build)
}

fn build(connector: &Connector, http: HttpClient, credentials: &Credentials) -> Result<Built, SyncError> {
    let http = credentials.basic(http)?;
    Ok(Built::new(QualysScanner::new(connector, http.clone()), http))
}
