//! Messages between functions: their types, sending in batches, and handling a batch with partial failures.

mod batch;
mod message;
mod send;

pub use batch::{Message, Outcome, handle_batch};
pub use domain::vulnerability::EffectTarget;
pub use message::{
    AssetWalk, AwsRegion, EffectMessage, ExposureMessage, IntelMessage, ScoreMessage, SyncMessage, Trigger,
};
pub use send::{MAX_DELAY, Outgoing, Queue, QueueError, QueueName};
