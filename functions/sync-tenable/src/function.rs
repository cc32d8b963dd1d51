//! The function: the sync engine over this scanner.

use domain::policy::{AuthMethod, Connector};
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
    let Credentials::ApiKeys { access_key, secret_key } = credentials else {
        return Err(Credentials::unfit(&http, &[AuthMethod::ApiKeys]));
    };
    let http = crate::with_keys(http, access_key.expose_secret(), secret_key.expose_secret())?;
    Ok(Built::new(TenableScanner::new(connector, http.clone()), http))
}
