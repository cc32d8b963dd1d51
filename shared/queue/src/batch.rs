//! Handling a batch: each message is parsed and worked inside its own future, so that one that cannot be read, fails
//! or panics comes back alone.

use std::panic::AssertUnwindSafe;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::FutureExt;
use serde::de::DeserializeOwned;
use tracing::{Instrument, Span};

/// What a queue carries.
pub trait Message: DeserializeOwned {
    /// What every line of the log is to name while the message is worked: its connector and run, its assets.
    fn span(&self) -> Span;
}

/// What became of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Worked; it is deleted.
    Done,
    /// Not worked; it comes back after the visibility timeout, and goes to the dead letters after too many tries.
    Again,
}

/// Works every message of a batch one after the other and names those that have to come back.
pub async fn handle_batch<T, F, W, E>(event: SqsEvent, work: F) -> SqsBatchResponse
where
    T: Message,
    F: Fn(T) -> W,
    W: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut response = SqsBatchResponse::default();
    for record in event.records {
        let id = record.message_id.unwrap_or_default();
        let body = record.body.unwrap_or_default();
        let one = async {
            match serde_json::from_str::<T>(&body) {
                Ok(message) => {
                    let span = message.span();
                    let worked = async {
                        match work(message).await {
                            Ok(()) => Outcome::Done,
                            Err(error) => {
                                tracing::warn!(message_id = %id, %error, "message failed, it comes back");
                                Outcome::Again
                            }
                        }
                    };
                    worked.instrument(span).await
                }
                Err(error) => {
                    tracing::error!(message_id = %id, %error, "message cannot be read, it goes to the dead letters");
                    Outcome::Again
                }
            }
        };
        let outcome = AssertUnwindSafe(one).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(message_id = %id, "message made its handler panic");
            Outcome::Again
        });
        if outcome == Outcome::Again {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::sqs::SqsMessage;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Number(u32);

    impl Message for Number {
        fn span(&self) -> Span {
            tracing::info_span!("number", number = self.0)
        }
    }

    fn event(bodies: &[&str]) -> SqsEvent {
        let mut event = SqsEvent::default();
        for (i, body) in bodies.iter().enumerate() {
            let mut message = SqsMessage::default();
            message.message_id = Some(i.to_string());
            message.body = Some((*body).to_owned());
            event.records.push(message);
        }
        event
    }

    #[tokio::test]
    async fn only_what_failed_comes_back() {
        let response = handle_batch(event(&["1", "not json", "2", "3", "4"]), |Number(n)| async move {
            match n {
                2 => Err("no"),
                3 => panic!("boom"),
                _ => Ok(()),
            }
        })
        .await;
        let failed: Vec<_> =
            response.batch_item_failures.iter().map(|f| f.item_identifier.as_str()).collect();
        assert_eq!(failed, ["1", "2", "3"]);
    }
}
