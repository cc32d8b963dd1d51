//! The function: the sync engine over this scanner.

use domain::policy::Connector;
use platform::Services;
use secrecy::ExposeSecret;
use sync::http::HeaderName;
use sync::{Built, Credentials, EngineOptions, HttpClient, HttpOptions, SyncError, SyncFunction};

use crate::ConsoleScanner;

/// The function as it runs on AWS.
pub fn function(services: &Services) -> SyncFunction {
    function_with(services, EngineOptions::default(), HttpOptions::default())
}

/// The function with other limits.
pub fn function_with(services: &Services, engine: EngineOptions, http: HttpOptions) -> SyncFunction {
    SyncFunction::new(services, domain::Scanner::InsightvmConsole, engine, http, build)
}

fn build(connector: &Connector, http: HttpClient, credentials: &Credentials) -> Result<Built, SyncError> {
    let mut http = credentials.basic(http)?;
    if let Credentials::Basic { token: Some(token), .. } = credentials {
        http = http.with_secret_header(HeaderName::from_static("token"), token.expose_secret())?;
    }
    Ok(Built::new(ConsoleScanner::new(connector, http.clone()), http))
}
