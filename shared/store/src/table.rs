//! The few ways in which the rest of this crate talks to DynamoDB: each asks for the consumed units and counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, TransactWriteItem,
    WriteRequest,
};

use crate::capacity::Capacity;
use crate::codec::{Item, s, text};
use crate::error::StoreError;
use crate::keys::Key;

/// Most items of one batch write.
const WRITE_BATCH: usize = 25;
/// Most keys of one batch read.
const READ_BATCH: usize = 100;
/// Tries of what a batch left unprocessed.
const BATCH_TRIES: u32 = 8;
/// First pause before that; doubles.
const BATCH_PAUSE: Duration = Duration::from_millis(25);
/// Tries of a write that meets somebody else's transaction on one of its items.
const COLLISION_TRIES: u32 = 6;
/// Longest first pause before that; doubles.
const COLLISION_PAUSE: Duration = Duration::from_millis(20);

/// The table.
#[derive(Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) table: Arc<str>,
    capacity: Arc<Capacity>,
}

/// One condition and what it refers to.
pub(crate) struct Condition {
    pub expression: String,
    pub values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    /// The item does not exist yet.
    pub fn absent() -> Self {
        Self { expression: "attribute_not_exists(pk)".into(), values: vec![] }
    }

    /// The item is at this revision; `None`: it does not exist.
    pub fn revision(rev: Option<u64>) -> Self {
        match rev {
            None => Self::absent(),
            Some(rev) => Self {
                expression: "rev = :rev".into(),
                values: vec![(":rev", AttributeValue::N(rev.to_string()))],
            },
        }
    }
}

/// What a query asks for within one partition.
pub(crate) struct Range<'a> {
    pub index: Option<&'static str>,
    pub pk: &'a str,
    /// Lowest and highest sort key, both included.
    pub between: Option<(&'a str, &'a str)>,
    pub prefix: Option<&'a str>,
    /// Only sort keys after this one.
    pub after: Option<&'a str>,
    pub limit: Option<i32>,
    pub descending: bool,
    pub consistent: bool,
}

impl<'a> Range<'a> {
    pub fn all(pk: &'a str) -> Self {
        Self {
            index: None,
            pk,
            between: None,
            prefix: None,
            after: None,
            limit: None,
            descending: false,
            consistent: false,
        }
    }
}

impl Store {
    /// The table `table`, reached through `client`.
    pub fn new(client: Client, table: &str) -> Self {
        Self { client, table: table.into(), capacity: Arc::default() }
    }

    /// Units used so far by this store and its clones.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub(crate) async fn describe(
        &self,
    ) -> Result<Option<aws_sdk_dynamodb::types::TableDescription>, StoreError> {
        let answer = self.client.describe_table().table_name(&*self.table).send().await;
        Ok(answer.map_err(|e| StoreError::from_sdk("DescribeTable", &self.table, &e))?.table)
    }

    pub(crate) async fn get(&self, key: &Key, consistent: bool) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&*self.table)
            .key("pk", s(&key.pk))
            .key("sk", s(&key.sk))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| StoreError::from_sdk("GetItem", &key.pk, &e))?;
        self.capacity.read("GetItem", answer.consumed_capacity());
        Ok(answer.item)
    }

    pub(crate) async fn put(
        &self,
        key: &Key,
        mut item: Item,
        condition: Option<Condition>,
    ) -> Result<(), StoreError> {
        item.insert("pk".into(), s(&key.pk));
        item.insert("sk".into(), s(&key.sk));
        let mut request = self
            .client
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(item))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(condition) = condition {
            request = request.condition_expression(condition.expression);
            for (name, value) in condition.values {
                request = request.expression_attribute_values(name, value);
            }
        }
        let answer = past_collisions(|| request.clone().send(), met_transaction)
            .await
            .map_err(|e| StoreError::from_sdk("PutItem", &key.pk, &e))?;
        self.capacity.write("PutItem", answer.consumed_capacity());
        Ok(())
    }

    /// Updates one item. `names` and `values` are what the two expressions refer to.
    pub(crate) async fn update(
        &self,
        key: &Key,
        update: &str,
        condition: Option<&str>,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&*self.table)
            .key("pk", s(&key.pk))
            .key("sk", s(&key.sk))
            .update_expression(update)
            .set_condition_expression(condition.map(str::to_owned))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        for (name, real) in names {
            request = request.expression_attribute_names(*name, *real);
        }
        for (name, value) in values {
            request = request.expression_attribute_values(name, value);
        }
        let answer = past_collisions(|| request.clone().send(), met_transaction)
            .await
            .map_err(|e| StoreError::from_sdk("UpdateItem", &key.pk, &e))?;
        self.capacity.write("UpdateItem", answer.consumed_capacity());
        Ok(())
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&*self.table)
            .key("pk", s(&key.pk))
            .key("sk", s(&key.sk))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| StoreError::from_sdk("DeleteItem", &key.pk, &e))?;
        self.capacity.write("DeleteItem", answer.consumed_capacity());
        Ok(())
    }

    /// One page of a query: its items, and where the next page begins.
    pub(crate) async fn query_page(
        &self,
        range: &Range<'_>,
        start: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let (pk_name, sk_name) = crate::schema::INDEXES
            .iter()
            .find(|(name, ..)| Some(*name) == range.index)
            .map_or(("pk", "sk"), |(_, pk, sk)| (*pk, *sk));
        let mut request = self
            .client
            .query()
            .table_name(&*self.table)
            .set_index_name(range.index.map(str::to_owned))
            .expression_attribute_names("#p", pk_name)
            .expression_attribute_values(":p", s(range.pk))
            .scan_index_forward(!range.descending)
            .consistent_read(range.consistent)
            .set_limit(range.limit)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let mut condition = "#p = :p".to_owned();
        if range.between.is_some() || range.prefix.is_some() || range.after.is_some() {
            request = request.expression_attribute_names("#s", sk_name);
        }
        if let Some((low, high)) = range.between {
            condition.push_str(" AND #s BETWEEN :a AND :b");
            request =
                request.expression_attribute_values(":a", s(low)).expression_attribute_values(":b", s(high));
        } else if let Some(prefix) = range.prefix {
            condition.push_str(" AND begins_with(#s, :a)");
            request = request.expression_attribute_values(":a", s(prefix));
        } else if let Some(after) = range.after {
            condition.push_str(" AND #s > :a");
            request = request.expression_attribute_values(":a", s(after));
        }
        let answer = request
            .key_condition_expression(condition)
            .send()
            .await
            .map_err(|e| StoreError::from_sdk("Query", range.pk, &e))?;
        self.capacity.read("Query", answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    /// All items of a range. Only for ranges that are small by nature: one host, one asset, one run.
    pub(crate) async fn query_all(&self, range: Range<'_>) -> Result<Vec<Item>, StoreError> {
        let (mut items, mut next) = self.query_page(&range, None).await?;
        while let Some(start) = next {
            let (more, after) = self.query_page(&range, Some(start)).await?;
            items.extend(more);
            next = after;
        }
        Ok(items)
    }

    /// Reads items by key, each once; what does not exist is not in the answer.
    pub(crate) async fn batch_get(&self, keys: &[Key], consistent: bool) -> Result<Vec<Item>, StoreError> {
        // DynamoDB refuses a batch that names a key twice.
        let keys: Vec<_> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = Vec::new();
        for batch in keys.chunks(READ_BATCH) {
            let keys = batch.iter().map(|k| Item::from([("pk".into(), s(&k.pk)), ("sk".into(), s(&k.sk))]));
            let mut left: Vec<Item> = keys.collect();
            for attempt in 0.. {
                let wanted = KeysAndAttributes::builder()
                    .set_keys(Some(left))
                    .consistent_read(consistent)
                    .build()
                    .map_err(|e| StoreError::Aws { operation: "BatchGetItem", cause: e.to_string() })?;
                let answer = self
                    .client
                    .batch_get_item()
                    .request_items(&*self.table, wanted)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await
                    .map_err(|e| StoreError::from_sdk("BatchGetItem", "a batch", &e))?;
                for consumed in answer.consumed_capacity() {
                    self.capacity.read("BatchGetItem", Some(consumed));
                }
                if let Some(items) = answer.responses.and_then(|mut r| r.remove(&*self.table)) {
                    found.extend(items);
                }
                left = answer
                    .unprocessed_keys
                    .and_then(|mut u| u.remove(&*self.table))
                    .map(|u| u.keys)
                    .unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                pause(attempt, "BatchGetItem").await?;
            }
        }
        Ok(found)
    }

    /// Puts and deletes without conditions; of several on one key the last one counts, deletes after puts. Repeating it
    /// has the same result.
    pub(crate) async fn batch_write(
        &self,
        puts: Vec<(Key, Item)>,
        deletes: Vec<Key>,
    ) -> Result<(), StoreError> {
        let failed = |e: aws_sdk_dynamodb::error::BuildError| StoreError::Aws {
            operation: "BatchWriteItem",
            cause: e.to_string(),
        };
        // DynamoDB refuses a batch that names a key twice.
        let puts = puts.into_iter().map(|(key, item)| (key, Some(item)));
        let wanted: BTreeMap<_, _> = puts.chain(deletes.into_iter().map(|key| (key, None))).collect();
        let mut requests = Vec::with_capacity(wanted.len());
        for (key, item) in wanted {
            let request = WriteRequest::builder();
            requests.push(match item {
                Some(mut item) => {
                    item.insert("pk".into(), s(key.pk));
                    item.insert("sk".into(), s(key.sk));
                    request
                        .put_request(PutRequest::builder().set_item(Some(item)).build().map_err(failed)?)
                        .build()
                }
                None => {
                    let delete = DeleteRequest::builder().key("pk", s(key.pk)).key("sk", s(key.sk));
                    request.delete_request(delete.build().map_err(failed)?).build()
                }
            });
        }
        for batch in requests.chunks(WRITE_BATCH) {
            let mut left = batch.to_vec();
            for attempt in 0.. {
                let answer = self
                    .client
                    .batch_write_item()
                    .request_items(&*self.table, left)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await
                    .map_err(|e| StoreError::from_sdk("BatchWriteItem", "a batch", &e))?;
                for consumed in answer.consumed_capacity() {
                    self.capacity.write("BatchWriteItem", Some(consumed));
                }
                left = answer.unprocessed_items.and_then(|mut u| u.remove(&*self.table)).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
                pause(attempt, "BatchWriteItem").await?;
            }
        }
        Ok(())
    }

    /// All or nothing. A failed condition is a conflict; so is a collision with another transaction that does not end.
    pub(crate) async fn transact(&self, what: &str, items: Vec<TransactWriteItem>) -> Result<(), StoreError> {
        let request = self
            .client
            .transact_write_items()
            .set_transact_items(Some(items))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let answer = past_collisions(|| request.clone().send(), cancelled_in_passing)
            .await
            .map_err(|error| cancelled(what, &error))?;
        for consumed in answer.consumed_capacity() {
            self.capacity.write("TransactWriteItems", Some(consumed));
        }
        Ok(())
    }
}

/// Sends, and sends again while `collided` says that what went wrong passes by itself within moments.
async fn past_collisions<A, E, F>(send: impl Fn() -> F, collided: fn(&E) -> bool) -> Result<A, SdkError<E>>
where
    F: Future<Output = Result<A, SdkError<E>>>,
{
    let mut attempt = 1;
    loop {
        match send().await {
            Err(error) if attempt < COLLISION_TRIES && error.as_service_error().is_some_and(collided) => {
                // Those who collided must not come back together.
                let pause = COLLISION_PAUSE * 2_u32.pow(attempt);
                tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// A single write met a transaction on its item: nothing is said about its condition.
fn met_transaction(error: &impl ProvideErrorMetadata) -> bool {
    error.code() == Some("TransactionConflictException")
}

/// Why a transaction was cancelled, item by item.
fn reasons(error: &TransactWriteItemsError) -> Vec<&str> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return Vec::new() };
    cancelled
        .cancellation_reasons()
        .iter()
        .filter_map(|reason| reason.code())
        .filter(|code| *code != "None")
        .collect()
}

/// Whether nothing but collisions and throttling stood against a transaction.
fn cancelled_in_passing(error: &TransactWriteItemsError) -> bool {
    let reasons = reasons(error);
    let passes = |code: &&str| {
        matches!(*code, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
    };
    !reasons.is_empty() && reasons.iter().all(passes)
}

/// A cancelled transaction by meaning: only a failed condition or a collision is a conflict.
fn cancelled(what: &str, error: &SdkError<TransactWriteItemsError>) -> StoreError {
    let operation = "TransactWriteItems";
    let reasons = error.as_service_error().map(reasons).unwrap_or_default();
    let conflict = |code: &&str| matches!(*code, "ConditionalCheckFailed" | "TransactionConflict");
    let throttled = |code: &&str| matches!(*code, "ThrottlingError" | "ProvisionedThroughputExceeded");
    if reasons.is_empty() || reasons.iter().any(conflict) {
        StoreError::from_sdk(operation, what, error)
    } else if reasons.iter().all(throttled) {
        StoreError::Throttled { operation }
    } else if reasons.contains(&"ValidationError") {
        StoreError::Refused { operation, cause: DisplayErrorContext(error).to_string() }
    } else {
        StoreError::Aws { operation, cause: DisplayErrorContext(error).to_string() }
    }
}

async fn pause(attempt: u32, operation: &'static str) -> Result<(), StoreError> {
    if attempt >= BATCH_TRIES {
        return Err(StoreError::Throttled { operation });
    }
    tokio::time::sleep(BATCH_PAUSE * 2_u32.pow(attempt)).await;
    Ok(())
}

/// The sort key of an item.
pub(crate) fn sort_key(item: &Item) -> &str {
    text(item, "sk").unwrap_or_default()
}
