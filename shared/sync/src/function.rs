//! A `sync-*` function: the engine with the scanner of one kind, built with the connector's secrets.

use std::pin::Pin;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::policy::{Auth, AuthMethod, Connector};
use platform::{SecretError, Secrets, Services};
use queue::{SyncMessage, handle_batch};
use secrecy::{ExposeSecret, SecretString};

use crate::engine::{Built, Engine, EngineOptions};
use crate::error::SyncError;
use crate::files::{File, FileScanner, Normalize};
use crate::http::{HeaderName, HttpClient, HttpOptions};
use crate::scanner::Scanner;

/// What a connector logs in with, read from its secret.
pub enum Credentials {
    /// HTTP Basic.
    Basic {
        /// User name.
        username: SecretString,
        /// Password or token.
        password: SecretString,
        /// The second factor.
        token: Option<SecretString>,
    },
    /// A pair of API keys.
    ApiKeys {
        /// Access key.
        access_key: SecretString,
        /// Secret key.
        secret_key: SecretString,
    },
    /// One API key.
    ApiKey {
        /// The key.
        key: SecretString,
    },
}

impl Credentials {
    /// Reads what `auth` names from the secret of `owner`.
    pub async fn read(secrets: &Secrets, owner: &str, auth: &Auth) -> Result<Self, SyncError> {
        let secret = async |text: &str| {
            secrets.resolve(owner, text).await.map_err(|error| match error {
                SecretError::Unreachable { secret, problem } => SyncError::Unreachable {
                    system: owner.to_owned(),
                    what: format!("secret {secret}"),
                    detail: problem,
                    sent: false,
                },
                error => SyncError::Config { field: format!("{owner}.auth"), problem: error.to_string() },
            })
        };
        Ok(match auth {
            Auth::None => {
                let problem = "nobody can log in with it".to_owned();
                return Err(SyncError::Config { field: format!("{owner}.auth.method"), problem });
            }
            Auth::Basic { username, password, token } => Self::Basic {
                username: secret(username).await?,
                password: secret(password).await?,
                token: match token {
                    Some(token) => Some(secret(token).await?),
                    None => None,
                },
            },
            Auth::ApiKey { key } => Self::ApiKey { key: secret(key).await? },
            Auth::ApiKeys { access_key, secret_key } => {
                Self::ApiKeys { access_key: secret(access_key).await?, secret_key: secret(secret_key).await? }
            }
        })
    }

    /// A client that logs in with HTTP Basic; other credentials are an error of the configuration.
    pub fn basic(&self, http: HttpClient) -> Result<HttpClient, SyncError> {
        match self {
            Self::Basic { username, password, .. } => {
                http.with_basic(username.expose_secret(), password.expose_secret())
            }
            _ => Err(Self::unfit(&http, &[AuthMethod::Basic])),
        }
    }

    /// A client that sends the one API key in this header; other credentials are an error of the configuration.
    pub fn api_key(&self, http: HttpClient, header: HeaderName) -> Result<HttpClient, SyncError> {
        match self {
            Self::ApiKey { key } => http.with_secret_header(header, key.expose_secret()),
            _ => Err(Self::unfit(&http, &[AuthMethod::ApiKey])),
        }
    }

    /// The error of credentials that a system does not take.
    pub fn unfit(http: &HttpClient, takes: &[AuthMethod]) -> SyncError {
        let takes: Vec<_> = takes.iter().map(|method| method.as_str()).collect();
        SyncError::Config {
            field: format!("{}.auth.method", http.system()),
            problem: format!("use {}", takes.join(" or ")),
        }
    }
}

/// Makes the scanner of a connector from a client and its credentials; gives back the client that it uses.
pub type Build = fn(&Connector, HttpClient, &Credentials) -> Result<Built, SyncError>;

/// The function.
pub struct SyncFunction {
    engine: Engine,
}

impl SyncFunction {
    /// The function for scanners of `kind`.
    pub fn new(
        services: &Services,
        kind: domain::Scanner,
        options: EngineOptions,
        http: HttpOptions,
        build: Build,
    ) -> Self {
        let secrets = services.secrets.clone();
        let make = move |connector: Connector| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let (secrets, http) = (secrets.clone(), http.clone());
            Box::pin(async move {
                let credentials =
                    Credentials::read(&secrets, connector.name.as_str(), &connector.auth).await?;
                let allow = connector.allow_private_address;
                let tls = connector.tls.clone();
                let options = HttpOptions { allow_private_address: allow, tls, ..http };
                let client = HttpClient::new(connector.name.as_str(), &connector.base_url, &options)?;
                build(&connector, client, &credentials)
            })
        };
        let engine = Engine::new(services, options, kind, Box::new(make));
        Self { engine }
    }

    /// The function that takes over files of a scanner of `kind` instead of asking it.
    pub fn of_files(
        services: &Services,
        kind: domain::Scanner,
        options: EngineOptions,
        normalize: Normalize,
        files: Vec<File>,
    ) -> Self {
        let make = move |_: Connector| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let scanner = FileScanner::new(kind, normalize, files.clone());
            Box::pin(async move { Ok(Built { scanner: Box::new(scanner), http: None }) })
        };
        Self { engine: Engine::new(services, options, kind, Box::new(make)) }
    }

    /// Works a batch of messages.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        handle_batch(event, |message: SyncMessage| self.engine.handle(message)).await
    }

    /// Tries a connector out: address, credentials, clock, and the right to each stream.
    pub async fn check(&self, connector: &Connector) -> domain::Check {
        self.engine.check(connector).await
    }
}

impl Built {
    /// A scanner together with the client that it uses.
    pub fn new(scanner: impl Scanner + 'static, http: HttpClient) -> Self {
        Self { scanner: Box::new(scanner), http: Some(http) }
    }
}
