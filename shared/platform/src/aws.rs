//! The one way to reach AWS: the SDK, with one TLS stack. On one machine only the endpoint differs.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls;

/// The SDK's configuration from the environment: region, credentials, and `AWS_ENDPOINT_URL*` where set.
pub async fn sdk_config() -> SdkConfig {
    let https = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await
}

/// A variable of the function's environment that has to be there.
pub fn required_variable(name: &str) -> Result<String, MissingVariable> {
    std::env::var(name).map_err(|_| MissingVariable(name.to_owned()))
}

/// A variable that the deployment did not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not set: the deployment of this function is incomplete")]
pub struct MissingVariable(pub String);
