//! What can go wrong between us and a scanner, by meaning.

use jiff::Timestamp;

/// Why a pull, a plan or a check failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The scanner asks us to wait. Not a failure: the unit goes back to the queue until then.
    #[error("{system} asks to wait until {until}")]
    Throttled {
        /// Who asks.
        system: String,
        /// Until when.
        until: Timestamp,
    },
    /// The credentials are wrong, expired, or lack a right. Trying again does not help.
    #[error(
        "{system} refused the credentials ({detail}): check the secret of this connector and the rights of its user"
    )]
    Unauthorized {
        /// Who refused.
        system: String,
        /// What it said, without anything that we sent.
        detail: String,
    },
    /// The scanner does not know what we asked for, for example an export that has expired.
    #[error("{system} does not know {what} any more")]
    NotFound {
        /// Who was asked.
        system: String,
        /// What we asked for.
        what: String,
    },
    /// The answer is not what the API promises: HTML instead of data, broken syntax, a wrong root element.
    #[error("{system} answered {what} with something else at byte {offset}: {detail}")]
    Malformed {
        /// Who answered.
        system: String,
        /// What we had asked for.
        what: String,
        /// Where in the body.
        offset: u64,
        /// What was seen, shortened.
        detail: String,
    },
    /// The scanner answered with an error status or an error document.
    #[error("{system} answered {what} with {status}: {detail}")]
    Refused {
        /// Who answered.
        system: String,
        /// What we had asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// What it said, shortened.
        detail: String,
    },
    /// No whole answer: connection refused, cut off, or timed out.
    #[error("no answer from {system} for {what}: {detail}")]
    Unreachable {
        /// Who was asked.
        system: String,
        /// What we asked for.
        what: String,
        /// Cause.
        detail: String,
        /// The request may have been carried out: it was sent, and the answer was lost.
        sent: bool,
    },
    /// This invocation is out of time. What was done is kept; the unit goes on in the next one.
    #[error("out of time")]
    OutOfTime,
    /// The configuration cannot work.
    #[error("{field}: {problem}")]
    Config {
        /// The field.
        field: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The table failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
}

impl SyncError {
    /// Whether the same request may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Throttled { .. } | Self::Unreachable { .. } | Self::OutOfTime | Self::Malformed { .. } => {
                true
            }
            Self::Refused { status, .. } => *status >= 500 || *status == 408 || *status == 409,
            Self::Unauthorized { .. } | Self::NotFound { .. } | Self::Config { .. } => false,
            Self::Store(_) | Self::Queue(_) => true,
        }
    }

    /// Whether the table does not take what it was given, whoever gives it and how often.
    pub fn is_refused_by_table(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_refused())
    }

    /// Whether the credentials were refused, and not a right that they lack: another try counts towards a lock of the account.
    pub fn is_refused_password(&self) -> bool {
        matches!(self, Self::Unauthorized { detail, .. } if detail.starts_with("401"))
    }

    /// Whether it is about what was asked for, a right that is missing or an answer that is none, and not about the scanner as
    /// a whole.
    pub fn is_of_one_answer(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Malformed { .. }
            | Self::Refused { .. }
            | Self::Unreachable { sent: true, .. } => true,
            Self::Unauthorized { .. } => !self.is_refused_password(),
            _ => false,
        }
    }
}
