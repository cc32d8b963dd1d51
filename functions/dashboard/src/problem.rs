//! Why a request has no answer.

use store::StoreError;

/// What went wrong, by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("there is nothing here: the address may be mistyped, or what it names is gone")]
    NotFound,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Conflict(String),
    #[error("a token is needed: send Authorization: Bearer <token>")]
    Unknown,
    #[error("nobody is signed in: {0}")]
    SignIn(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("this came from a page of another origin: use the forms of these pages, or send a token")]
    OtherOrigin,
    #[error("only {0} works here")]
    Method(&'static str),
    #[error("the request is too large")]
    TooLarge,
    #[error("{0}")]
    TryAgain(&'static str),
    #[error("something failed inside; the log of the function has the cause")]
    Internal,
}

impl Problem {
    pub(crate) fn status(&self) -> i64 {
        match self {
            Self::NotFound => 404,
            Self::Invalid(_) => 400,
            Self::Conflict(_) => 409,
            Self::Unknown | Self::SignIn(_) => 401,
            Self::Forbidden(_) | Self::OtherOrigin => 403,
            Self::Method(_) => 405,
            Self::TooLarge => 413,
            Self::TryAgain(_) => 503,
            Self::Internal => 500,
        }
    }

    /// One word or two for a heading.
    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Invalid(_) => "Not understood",
            Self::Conflict(_) => "Not possible now",
            Self::Unknown => "Not let in",
            Self::SignIn(_) => "Not signed in",
            Self::Forbidden(_) => "Not allowed",
            Self::OtherOrigin => "Refused",
            Self::Method(_) => "Wrong method",
            Self::TooLarge => "Too large",
            Self::TryAgain(_) => "Try again",
            Self::Internal => "Failed",
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the table failed a request");
        match error {
            StoreError::Throttled { .. } => Self::TryAgain("the table is busy: try again in a moment"),
            _ => Self::Internal,
        }
    }
}
