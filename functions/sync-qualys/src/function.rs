//! The function: the sync engine over this scanner.

use domain::policy::{AuthMethod, Connector};
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
    let Credentials::Basic { username, password, .. } = credentials else {
        return Err(Credentials::unfit(&http, &[AuthMethod::Basic]));
    };
    let http = credentials.basic(http)?;
    let login = (username.clone(), password.clone());
    Ok(Built::new(QualysScanner::new(connector, http.clone(), Some(login))?, http))
}
