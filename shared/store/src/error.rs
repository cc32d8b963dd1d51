//! What can go wrong at the table, by meaning.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Why an operation on the table failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed the item since it was read. Read again and decide again.
    #[error("{what} was changed by somebody else")]
    Conflict {
        /// The item.
        what: String,
    },
    /// DynamoDB asks for a pause. Trying later helps.
    #[error("the table is throttled during {operation}")]
    Throttled {
        /// The operation.
        operation: &'static str,
    },
    /// An item that this version cannot read.
    #[error("item {pk} / {sk} cannot be read: {problem}")]
    Malformed {
        /// Partition key.
        pk: String,
        /// Sort key.
        sk: String,
        /// What is wrong.
        problem: String,
    },
    /// DynamoDB does not take what it was given, an item that is too large for example. Trying again does not help.
    #[error("the table does not take what {operation} writes: {cause}")]
    Refused {
        /// The operation.
        operation: &'static str,
        /// The whole chain of causes.
        cause: String,
    },
    /// Anything else that DynamoDB said.
    #[error("{operation} failed: {cause}")]
    Aws {
        /// The operation.
        operation: &'static str,
        /// The whole chain of causes.
        cause: String,
    },
}

impl StoreError {
    /// The item was changed by somebody else.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// What was to be written is no good, whoever writes it.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    pub(crate) fn from_sdk<E, R>(operation: &'static str, what: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
        match code {
            "ValidationException" => {
                Self::Refused { operation, cause: DisplayErrorContext(error).to_string() }
            }
            "ConditionalCheckFailedException"
            | "TransactionCanceledException"
            | "TransactionConflictException" => Self::Conflict { what: what.to_owned() },
            "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded" => {
                Self::Throttled { operation }
            }
            _ => Self::Aws { operation, cause: DisplayErrorContext(error).to_string() },
        }
    }
}
