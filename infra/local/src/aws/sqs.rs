//! SQS on one machine: the AWS JSON protocol over [`Queues`], with the limits and the errors of AWS.
//!
//! Standard queues only. Message attributes are refused rather than dropped; trace headers and group ids of fair
//! queues are accepted and have no effect.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{ApiError, Endpoint, Protocol, parse, respond};
use super::messages::millis;
use super::queues::{Message, NewMessage, QueueError, Queues};
use super::{ACCOUNT, REGION, stop_requested};

/// Largest message and largest batch.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_ENTRIES: usize = 10;
const MAX_DELAY_SECONDS: i64 = 900;
const MAX_VISIBILITY_SECONDS: i64 = 43_200;
const MAX_WAIT_SECONDS: i64 = 20;

/// URL of a queue below an endpoint.
pub(super) fn queue_url(base_url: &str, queue: &str) -> String {
    format!("{base_url}/{ACCOUNT}/{queue}")
}

/// ARN of a queue.
pub(super) fn queue_arn(queue: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")
}

/// Lower-case hexadecimal MD5, by which clients check what arrived.
pub(super) fn md5_of(body: &str) -> String {
    format!("{:x}", md5::compute(body))
}

/// Answers one SQS request.
pub(super) async fn handle(endpoint: &Endpoint, operation: &str, body: &[u8]) -> Result<Response, ApiError> {
    let queues = endpoint.queues.as_ref();
    let answer = match operation {
        "SendMessage" => send_message(queues, parse(body)?)?,
        "SendMessageBatch" => send_message_batch(queues, parse(body)?)?,
        "ReceiveMessage" => receive_message(endpoint, parse(body)?).await?,
        "DeleteMessage" => delete_message(queues, &parse(body)?)?,
        "DeleteMessageBatch" => delete_message_batch(queues, &parse(body)?)?,
        "ChangeMessageVisibility" => change_visibility(queues, &parse(body)?)?,
        "PurgeQueue" => {
            let queue = queue_of(queues, &parse::<OfQueue>(body)?.queue_url)?;
            queues.purge(&queue)?;
            json!({})
        }
        "GetQueueUrl" => {
            let name = required(parse::<GetQueueUrl>(body)?.queue_name, "QueueName")?;
            queues.config(&name)?;
            json!({ "QueueUrl": queue_url(&endpoint.base_url, &name) })
        }
        "ListQueues" => {
            let prefix = parse::<ListQueues>(body)?.queue_name_prefix.unwrap_or_default();
            let urls = queues.names().filter(|name| name.starts_with(&prefix));
            json!({ "QueueUrls": urls.map(|name| queue_url(&endpoint.base_url, name)).collect::<Vec<_>>() })
        }
        "GetQueueAttributes" => queue_attributes(queues, &parse(body)?)?,
        _ => return Err(ApiError::unknown_operation(operation)),
    };
    Ok(respond(Protocol::Json10, &answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfQueue {
    queue_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListQueues {
    queue_name_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
}

/// A message, alone or as an entry of a batch.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outgoing {
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: Option<String>,
    #[serde(flatten)]
    message: Outgoing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<SendEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEntry {
    id: String,
    #[serde(flatten)]
    message: Outgoing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: Option<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WithReceipt {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteMessageBatch {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<DeleteEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteEntry {
    id: String,
    receipt_handle: Option<String>,
}

fn send_message(queues: &Queues, request: SendMessage) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    let message = request.message.check()?;
    if message.body.len() > MAX_BYTES {
        return Err(invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {MAX_BYTES} bytes."
        )));
    }
    let md5 = md5_of(&message.body);
    let ids = queues.send_all(&queue, &[message])?;
    Ok(json!({ "MessageId": ids.first(), "MD5OfMessageBody": md5 }))
}

fn send_message_batch(queues: &Queues, request: SendMessageBatch) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    check_entries(request.entries.iter().map(|entry| entry.id.as_str()))?;
    let bytes: usize =
        request.entries.iter().filter_map(|entry| entry.message.message_body.as_deref()).map(str::len).sum();
    if bytes > MAX_BYTES {
        return Err(ApiError::sqs(
            "com.amazonaws.sqs#BatchRequestTooLong",
            "AWS.SimpleQueueService.BatchRequestTooLong",
            format!("Batch requests cannot be longer than {MAX_BYTES} bytes. You have sent {bytes} bytes."),
        ));
    }
    let (mut accepted, mut messages, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for SendEntry { id, message } in request.entries {
        match message.check() {
            Ok(message) => {
                accepted.push((id, md5_of(&message.body)));
                messages.push(message);
            }
            Err(error) => failed.push(failed_entry(&id, error)),
        }
    }
    let ids = queues.send_all(&queue, &messages)?;
    let successful: Vec<Value> = accepted
        .into_iter()
        .zip(ids)
        .map(|((entry, md5), id)| json!({ "Id": entry, "MessageId": id, "MD5OfMessageBody": md5 }))
        .collect();
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

async fn receive_message(endpoint: &Endpoint, request: ReceiveMessage) -> Result<Value, ApiError> {
    let queues = endpoint.queues.as_ref();
    let queue = queue_of(queues, &request.queue_url)?;
    let max =
        in_range("MaxNumberOfMessages", request.max_number_of_messages.unwrap_or(1), 1, MAX_ENTRIES as i64)?;
    let wait = in_range("WaitTimeSeconds", request.wait_time_seconds.unwrap_or(0), 0, MAX_WAIT_SECONDS)?;
    let visibility = request
        .visibility_timeout
        .map(|seconds| in_range("VisibilityTimeout", seconds, 0, MAX_VISIBILITY_SECONDS))
        .transpose()?;
    let receiving = queues.receive_wait(
        &queue,
        usize::try_from(max).unwrap_or(MAX_ENTRIES),
        MAX_BYTES,
        visibility.map(Duration::from_secs),
        Some(Duration::from_secs(wait)),
    );
    let received = tokio::select! {
        received = receiving => received?,
        // A long poll must not hold up a shutdown.
        () = stop_requested(endpoint.stopped.clone()) => return Ok(json!({})),
    };
    let wanted: BTreeSet<String> =
        request.attribute_names.into_iter().chain(request.message_system_attribute_names).collect();
    let messages: Vec<Value> = received
        .messages
        .iter()
        .map(|message| {
            let mut answer = json!({
                "MessageId": message.id,
                "ReceiptHandle": message.receipt,
                "Body": message.body,
                "MD5OfBody": md5_of(&message.body),
            });
            let mut attributes = message_attributes(message);
            attributes.retain(|name, _| wanted.contains("All") || wanted.contains(*name));
            if !attributes.is_empty() {
                answer["Attributes"] = json!(attributes);
            }
            answer
        })
        .collect();
    Ok(if messages.is_empty() { json!({}) } else { json!({ "Messages": messages }) })
}

fn delete_message(queues: &Queues, request: &WithReceipt) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    queues.delete(&queue, &[receipt_of(request.receipt_handle.as_deref())?])?;
    Ok(json!({}))
}

fn delete_message_batch(queues: &Queues, request: &DeleteMessageBatch) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    check_entries(request.entries.iter().map(|entry| entry.id.as_str()))?;
    let (mut successful, mut receipts, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &request.entries {
        match receipt_of(entry.receipt_handle.as_deref()) {
            Ok(receipt) => {
                receipts.push(receipt);
                successful.push(json!({ "Id": entry.id }));
            }
            Err(error) => failed.push(failed_entry(&entry.id, error)),
        }
    }
    queues.delete(&queue, &receipts)?;
    Ok(json!({ "Successful": successful, "Failed": failed }))
}

fn change_visibility(queues: &Queues, request: &WithReceipt) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    let receipt = receipt_of(request.receipt_handle.as_deref())?;
    let seconds = request.visibility_timeout.ok_or_else(|| missing("VisibilityTimeout"))?;
    let seconds = in_range("VisibilityTimeout", seconds, 0, MAX_VISIBILITY_SECONDS)?;
    queues.change_visibility(&queue, receipt, Duration::from_secs(seconds))?;
    Ok(json!({}))
}

fn queue_attributes(queues: &Queues, request: &GetQueueAttributes) -> Result<Value, ApiError> {
    let queue = queue_of(queues, &request.queue_url)?;
    let config = queues.config(&queue)?;
    let stats = queues.stats(&queue)?;
    let mut attributes = BTreeMap::from([
        ("ApproximateNumberOfMessages", stats.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", stats.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", stats.delayed.to_string()),
        ("DelaySeconds", "0".to_owned()),
        ("MaximumMessageSize", MAX_BYTES.to_string()),
        ("QueueArn", queue_arn(&queue)),
        ("ReceiveMessageWaitTimeSeconds", "0".to_owned()),
        ("VisibilityTimeout", config.visibility_timeout.as_secs().to_string()),
    ]);
    if let Some((target, most)) = &config.dead_letters {
        let policy = json!({ "deadLetterTargetArn": queue_arn(target), "maxReceiveCount": most });
        attributes.insert("RedrivePolicy", policy.to_string());
    }
    let wanted = &request.attribute_names;
    attributes.retain(|name, _| wanted.iter().any(|wanted| wanted == "All" || wanted == name));
    Ok(json!({ "Attributes": attributes }))
}

/// What SQS tells about a message besides its body.
pub(super) fn message_attributes(message: &Message) -> BTreeMap<&'static str, String> {
    let mut attributes = BTreeMap::from([
        ("ApproximateFirstReceiveTimestamp", millis(message.first_received_at).to_string()),
        ("ApproximateReceiveCount", message.receive_count.to_string()),
        ("SenderId", ACCOUNT.to_owned()),
        ("SentTimestamp", millis(message.sent_at).to_string()),
    ]);
    if let Some(origin) = &message.origin {
        attributes.insert("DeadLetterQueueSourceArn", queue_arn(origin));
    }
    attributes
}

impl Outgoing {
    fn check(self) -> Result<NewMessage, ApiError> {
        let body = required(self.message_body, "MessageBody")?;
        if let Some(forbidden) = body.chars().find(|&c| !allowed(c)) {
            return Err(ApiError::sqs(
                "com.amazonaws.sqs#InvalidMessageContents",
                "InvalidMessageContents",
                format!("Invalid character #x{:X} was found in the message body.", u32::from(forbidden)),
            ));
        }
        if self.message_attributes.is_some_and(|attributes| !attributes.is_empty()) {
            return Err(ApiError::sqs(
                "com.amazonaws.sqs#UnsupportedOperation",
                "AWS.SimpleQueueService.UnsupportedOperation",
                "Message attributes are not provided here; put them into the body.",
            ));
        }
        let delay = in_range("DelaySeconds", self.delay_seconds.unwrap_or(0), 0, MAX_DELAY_SECONDS)?;
        Ok(NewMessage { body, delay: Duration::from_secs(delay) })
    }
}

/// The characters of XML 1.0, which are all that SQS takes.
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The rules for the entries of any batch.
fn check_entries<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let ids: Vec<&str> = ids.collect();
    let valid = |id: &str| {
        !id.is_empty()
            && id.len() <= 80
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if ids.is_empty() {
        Err(ApiError::sqs(
            "com.amazonaws.sqs#EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "There should be at least one entry in the request.",
        ))
    } else if ids.len() > MAX_ENTRIES {
        Err(ApiError::sqs(
            "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
            "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
            format!("Maximum number of entries per request are {MAX_ENTRIES}. You have sent {}.", ids.len()),
        ))
    } else if !ids.iter().all(|id| valid(id)) {
        Err(ApiError::sqs(
            "com.amazonaws.sqs#InvalidBatchEntryId",
            "AWS.SimpleQueueService.InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
             It can be at most 80 letters long.",
        ))
    } else if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        Err(ApiError::sqs(
            "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            "Two or more batch entries in the request have the same Id.",
        ))
    } else {
        Ok(())
    }
}

fn failed_entry(id: &str, error: ApiError) -> Value {
    let (code, message) = error.code_and_message();
    json!({ "Id": id, "SenderFault": true, "Code": code, "Message": message })
}

/// A queue is named by the last part of its URL. Host and port are ignored: they may change from run to run.
fn queue_of(queues: &Queues, url: &Option<String>) -> Result<String, ApiError> {
    let url = url.as_deref().filter(|url| !url.is_empty()).ok_or_else(|| missing("QueueUrl"))?;
    let name = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    queues.config(name)?;
    Ok(name.to_owned())
}

/// A receipt handle that could be one of ours; whether it still is, is another question.
fn receipt_of(handle: Option<&str>) -> Result<&str, ApiError> {
    let handle = handle.filter(|handle| !handle.is_empty()).ok_or_else(|| missing("ReceiptHandle"))?;
    if handle.len() == 36 && handle.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Ok(handle);
    }
    Err(ApiError::sqs(
        "com.amazonaws.sqs#ReceiptHandleIsInvalid",
        "ReceiptHandleIsInvalid",
        "The input receipt handle is invalid.",
    ))
}

fn in_range(name: &str, value: i64, least: i64, most: i64) -> Result<u64, ApiError> {
    u64::try_from(value).ok().filter(|_| (least..=most).contains(&value)).ok_or_else(|| {
        invalid(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {least} and {most}, if provided."
        ))
    })
}

fn invalid(message: String) -> ApiError {
    ApiError::sqs("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", message)
}

fn required(value: Option<String>, name: &str) -> Result<String, ApiError> {
    value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> ApiError {
    ApiError::sqs(
        "com.amazon.coral.service#MissingRequiredParameterException",
        "MissingParameter",
        format!("The request must contain the parameter {name}."),
    )
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::UnknownQueue(_) => Self::sqs(
                "com.amazonaws.sqs#QueueDoesNotExist",
                "AWS.SimpleQueueService.NonExistentQueue",
                "The specified queue does not exist.",
            ),
            QueueError::NotInFlight => Self::sqs(
                "com.amazonaws.sqs#MessageNotInflight",
                "AWS.SimpleQueueService.MessageNotInflight",
                "The message referred to is not in flight.",
            ),
            QueueError::NewerFile(_) | QueueError::Storage(_) => {
                tracing::error!(%error, "a queue request failed");
                Self::internal()
            }
        }
    }
}
