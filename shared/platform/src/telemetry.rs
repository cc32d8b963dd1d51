//! Logs.

/// Starts logging as the function's environment says (`AWS_LAMBDA_LOG_FORMAT`, `AWS_LAMBDA_LOG_LEVEL`).
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}
