//! Who changed what. A line is written together with the change that it tells of, where that is in the table.

use aws_sdk_dynamodb::types::TransactWriteItem;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Item, document, text};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Range, Store};

/// What somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditAction {
    /// Decided on a vulnerability.
    Decided,
    /// Took a decision back.
    TookBackDecision,
    /// Let a held run release its closings.
    ApprovedRun,
    /// Asked for a full pull.
    AskedForSync,
    /// Had a connector tried out.
    AskedForCheck,
    /// Created an API token.
    CreatedToken,
    /// Revoked an API token.
    RevokedToken,
    /// Said that two assets are one.
    MergedAssets,
    /// Undid a merge.
    PartedAssets,
    /// Took sightings out of an asset.
    SplitAsset,
    /// Said that two assets are never one.
    KeptApart,
    /// Said that an identifier is one machine's, or that it is not.
    JudgedIdentifier,
    /// Imported what is known of machines.
    ImportedInventory,
    /// Imported firewall rules.
    ImportedFirewall,
    /// Had a delivery tried anew.
    ReplayedDelivery,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    pub at: Timestamp,
    /// Who, by the name that people know.
    pub by: String,
    /// The same by the unchanging identifier of whoever vouches for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was done.
    pub action: AuditAction,
    /// To what.
    pub target: String,
    /// The rest, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Store {
    /// Writes a line about something that is not in the table.
    pub async fn put_audit(&self, line: &AuditLine) -> Result<(), StoreError> {
        let (key, item) = audit_item(line);
        self.put(&key, item, None).await
    }

    /// A line within the transaction of what it tells.
    pub(crate) fn transact_audit(&self, line: &AuditLine) -> Result<TransactWriteItem, StoreError> {
        let (key, item) = audit_item(line);
        self.transact_put(&key, item, None)
    }

    /// The lines of a day, newest first, after a place; with the place where the list goes on.
    pub async fn audit_page(
        &self,
        day: Date,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<AuditLine>, Option<String>), StoreError> {
        let partitions: Vec<_> =
            (0..keys::AUDIT_SHARDS).map(|shard| keys::audit_partition(day, shard)).collect();
        let (items, next) = self.newest(None, "sk", &partitions, after, limit).await?;
        Ok((items.iter().map(codec::parse).collect::<Result<_, _>>()?, next))
    }

    /// The items of some partitions by falling sort key, after a place; with the place where the list goes on.
    pub(crate) async fn newest(
        &self,
        index: Option<&'static str>,
        place: &str,
        partitions: &[String],
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        if after.is_some_and(|after| after < LOWEST) {
            return Ok((Vec::new(), None));
        }
        let reads = partitions.iter().map(|pk| async move {
            let mut range = Range::all(pk);
            range.index = index;
            range.descending = true;
            // Both ends are included, so that the item before the page comes again: room for it, and for one more
            // that tells whether the list goes on.
            range.limit = i32::try_from(limit + 2).ok();
            range.between = after.map(|after| (LOWEST, after));
            self.query_page(&range, None).await.map(|(items, _)| items)
        });
        let read = futures::future::try_join_all(reads).await?;
        let mut items: Vec<Item> = read.into_iter().flatten().collect();
        let at = |item: &Item| text(item, place).unwrap_or_default().to_owned();
        items.retain(|item| after != Some(at(item).as_str()));
        items.sort_by_cached_key(|item| std::cmp::Reverse(at(item)));
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().map(at).filter(|_| more);
        Ok((items, next))
    }
}

/// Sort keys of lists by time begin with a digit.
const LOWEST: &str = "0";

fn audit_item(line: &AuditLine) -> (keys::Key, Item) {
    // The same request at the same moment is the same line.
    let json = serde_json::to_vec(line).unwrap_or_default();
    let id = format!("{:016x}", domain::digest(&json));
    (keys::audit(line.at, &id), Item::from([(codec::DOCUMENT.to_owned(), document(line))]))
}
