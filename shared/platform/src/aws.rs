//! The one way to reach AWS: the SDK, over the HTTP and TLS stack that everything else uses too. On one machine only the
//! endpoint differs.
//!
//! **Why not the SDK's own stack.** It reads its roots as PEM and resolves credentials through a chain with a client of its
//! own, both each time a function starts; together that takes half of the start. Here the roots are those that
//! `webpki-roots` has ready, and on Lambda the credentials are in the environment.

use std::sync::Arc;
use std::time::Duration;

use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};

/// The roots of Amazon Trust Services (<https://www.amazontrust.com/repository/>), which every endpoint of AWS chains to:
/// Amazon Root CA 1 to 4, valid until 2038 and 2040, and Starfield Services Root G2, valid until 2037. Nobody else's
/// certificate is accepted.
const AMAZON_ROOTS: [&[u8]; 5] = [
    b"Amazon Root CA 1",
    b"Amazon Root CA 2",
    b"Amazon Root CA 3",
    b"Amazon Root CA 4",
    b"Starfield Services Root Certificate Authority - G2",
];
/// Names a file with further roots, as for the AWS command line: a proxy's, or those of private endpoints.
const MORE_ROOTS: &str = "AWS_CA_BUNDLE";
/// Set on Lambda, together with the rest of the credentials.
const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
/// Longest wait for a connection, as the SDK has it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// Longest wait for a byte of an answer. No call of ours takes longer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The SDK's configuration from the environment: region, credentials, and `AWS_ENDPOINT_URL*` where set.
pub async fn sdk_config() -> Result<SdkConfig, TlsError> {
    let more = match std::env::var(MORE_ROOTS) {
        Ok(path) => std::fs::read(&path).map_err(|cause| TlsError::Bundle { path, cause })?,
        Err(_) => Vec::new(),
    };
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client(&more)?);
    if std::env::var_os(ACCESS_KEY).is_some() {
        loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
    }
    Ok(loader.load().await)
}

/// A client that trusts Amazon's roots and those in `more`, as PEM.
fn http_client(more: &[u8]) -> Result<SharedHttpClient, TlsError> {
    let mut roots = RootCertStore { roots: amazon_roots().cloned().collect() };
    for certificate in CertificateDer::pem_slice_iter(more) {
        let certificate = certificate.map_err(|error| TlsError::Context(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Context(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Context(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    #[allow(clippy::disallowed_methods)] // the other place is for outside systems, this one for AWS
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // The SDK repeats, signs and checks what is sent and received, byte by byte.
        .retry(reqwest::retry::never())
        .no_gzip()
        .no_proxy()
        .http1_only()
        .build()
        .map_err(|error| TlsError::Context(error.to_string()))?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

fn amazon_roots() -> impl Iterator<Item = &'static TrustAnchor<'static>> {
    webpki_roots::TLS_SERVER_ROOTS.iter().filter(|root| {
        let subject = root.subject.as_ref();
        // The common name stands last in the subject.
        AMAZON_ROOTS.iter().any(|name| subject.ends_with(name))
    })
}

/// Carries the SDK's requests.
#[derive(Debug, Clone)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))
                .map_err(|error| ConnectorError::user(error.into()))?;
            let answer: http::Response<reqwest::Body> = client.execute(request).await.map_err(lost)?.into();
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What a request that got no answer means to the SDK, which repeats after a timeout and after a lost connection.
fn lost(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

/// Why no connection to AWS can be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with further roots.
    #[error("AWS_CA_BUNDLE names {path}, which cannot be read: {cause}")]
    Bundle {
        /// The file.
        path: String,
        /// Why not.
        cause: std::io::Error,
    },
    /// The roots cannot be used.
    #[error("TLS cannot start: {0}")]
    Context(String),
}

/// A variable of the function's environment that has to be there.
pub fn required_variable(name: &str) -> Result<String, MissingVariable> {
    std::env::var(name).map_err(|_| MissingVariable(name.to_owned()))
}

/// A variable that the deployment did not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not set: the deployment of this function is incomplete")]
pub struct MissingVariable(pub String);

#[cfg(test)]
mod tests;
