//! The function: the sync engine over this scanner.

use domain::policy::{AuthMethod, Connector};
use platform::Services;
use secrecy::ExposeSecret;
use sync::{Built, Credentials, EngineOptions, HttpClient, HttpOptions, SyncError, SyncFunction};

use crate::NessusScanner;
use crate::client::{Client, with_keys};

/// The function as it runs on AWS.
pub fn function(services: &Services) -> SyncFunction {
    function_with(services, EngineOptions::default(), HttpOptions::default())
}

/// The function with other limits.
pub fn function_with(services: &Services, engine: EngineOptions, http: HttpOptions) -> SyncFunction {
    SyncFunction::new(services, domain::Scanner::Nessus, engine, http, build)
}

fn build(connector: &Connector, http: HttpClient, credentials: &Credentials) -> Result<Built, SyncError> {
    let client = match credentials {
        Credentials::ApiKeys { access_key, secret_key } => {
            Client::new(with_keys(http.clone(), access_key.expose_secret(), secret_key.expose_secret())?)
        }
        Credentials::Basic { username, password, token: None } => {
            Client::with_session(http.clone(), username.clone(), password.clone())
        }
        _ => return Err(Credentials::unfit(&http, &[AuthMethod::ApiKeys, AuthMethod::Basic])),
    };
    Ok(Built::new(NessusScanner::new(connector, client), http))
}
