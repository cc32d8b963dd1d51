//! What makes a message come back.

/// Why a message could not be worked. What a channel answers is not among it: that is kept in the delivery.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The delivery could not be reserved or come back to.
    #[error(transparent)]
    Effect(#[from] platform::EffectError),
    /// The intent names a channel that cannot be one.
    #[error("an intent names an impossible channel: {0}")]
    Channel(#[from] domain::InvalidId),
    /// An intent that is no notification came to this queue.
    #[error("intent {intent} is no notification: it belongs to another queue")]
    NotOurs {
        /// The intent's key.
        intent: String,
    },
}
