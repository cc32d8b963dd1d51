//! What makes a message come back.

use crate::jira::JiraError;

/// Why a message could not be worked. What a tracker answers to a reserved delivery is kept in the delivery.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// The delivery could not be reserved or come back to.
    #[error(transparent)]
    Effect(#[from] platform::EffectError),
    /// An effect that was done before could not be looked at.
    #[error("the tracker failed: {0}")]
    Tracker(#[from] JiraError),
    /// The intent names a tracker that cannot be one.
    #[error("an intent names an impossible tracker: {0}")]
    Name(#[from] domain::InvalidId),
    /// An intent that is about no ticket came to this queue.
    #[error("intent {intent} is about no ticket: it belongs to another queue")]
    NotOurs {
        /// The intent's key.
        intent: String,
    },
}
