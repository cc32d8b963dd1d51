//! The function: the sync engine over this scanner.

use domain::policy::Connector;
use platform::Services;
use secrecy::ExposeSecret;
use sync::{Built, Credentials, EngineOptions, HttpClient, HttpOptions, SyncError, SyncFunction};

use crate::TenableScanner;

/// The function as it runs on AWS.
pub fn function(services: &Services) -> SyncFunction {
    function_with(services, EngineOptions::default(), HttpOptions::default())
}

/// The function with other limits.
pub fn function_with(services: &Services, engine: EngineOptions, http: HttpOptions) -> SyncFunction {
    SyncFunction::new(services, domain::Scanner::Tenable, engine, http, build)
}

fn build(connector: &Connector, http: HttpClient, credentials: &Credentials) -> Result<Built, SyncError> {
    let http = match credentials {
        Credentials::ApiKeys { access_key, secret_key } => {
            crate::with_keys(http, access_key.expose_secret(), secret_key.expose_secret())?
        }
        Credentials::Basic { .. } => {
            let field = format!("{}.auth.method", connector.name);
            return Err(SyncError::Config { field, problem: "use api_keys".into() });
        }
    };
    Ok(Built::new(TenableScanner::new(connector, http.clone()), http))
}
