//! The one way to reach AWS: the SDK, with one TLS stack. On one machine only the endpoint differs.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore};

/// The roots of Amazon Trust Services (<https://www.amazontrust.com/repository/>), which every endpoint of AWS chains to:
/// Amazon Root CA 1 to 4, valid until 2038 and 2040, and Starfield Services Root G2, valid until 2037. Reading the
/// machine's whole store instead takes nine tenths of a function's start.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");
/// Names a file with further roots, as for the AWS command line: a proxy's, or those of private endpoints.
const MORE_ROOTS: &str = "AWS_CA_BUNDLE";

/// The SDK's configuration from the environment: region, credentials, and `AWS_ENDPOINT_URL*` where set.
pub async fn sdk_config() -> Result<SdkConfig, TlsError> {
    let mut roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    if let Ok(path) = std::env::var(MORE_ROOTS) {
        let pem = std::fs::read(&path).map_err(|cause| TlsError::Bundle { path, cause })?;
        roots = roots.with_pem_certificate(pem);
    }
    let context = TlsContext::builder()
        .with_trust_store(roots)
        .build()
        .map_err(|error| TlsError::Context(error.to_string()))?;
    let https = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .tls_context(context)
        .build_https();
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await)
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_roots_can_be_used() {
        let pem = String::from_utf8(AMAZON_ROOTS.to_vec()).unwrap();
        assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----").count(), 5);
        let config = sdk_config().await.unwrap();
        assert!(config.http_client().is_some());
    }
}
