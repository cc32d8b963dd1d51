//! API tokens: what is known of each, and the digest of its secret. The secret itself is nowhere.

use domain::Role;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::AuditLine;
use crate::codec::{self, Item, document, n, number, s, text};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Store};

/// An expired token stays listed for this long.
const LISTED_AFTER: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Attribute with the digest. Beside the document, so that nobody shows it by showing the token.
const DIGEST: &str = "digest";

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Public id: the beginning of the digest.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From then on it opens nothing.
    pub expires_at: Timestamp,
    /// Since then it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Who revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
}

impl ApiToken {
    /// Characters of an id.
    pub const ID_LENGTH: usize = 16;

    /// The id of the token whose secret has this digest (in hex).
    pub fn id_of(digest: &str) -> &str {
        digest.get(..Self::ID_LENGTH).unwrap_or(digest)
    }

    /// Whether it opens anything.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

impl Store {
    /// Keeps a new token with the digest of its secret. A conflict means that there is one with this id.
    pub async fn create_token(
        &self,
        token: &ApiToken,
        digest: &str,
        line: &AuditLine,
    ) -> Result<(), StoreError> {
        let items = vec![
            self.transact_put(&keys::token(&token.id), token_item(token, digest, 1), Condition::absent())?,
            self.transact_audit(line)?,
        ];
        self.transact(&format!("token {}", token.id), items).await
    }

    /// A token and its digest.
    pub async fn token(&self, id: &str) -> Result<Option<(ApiToken, String)>, StoreError> {
        let Some(item) = self.get(&keys::token(id), true).await? else { return Ok(None) };
        Ok(Some((codec::parse(&item)?, codec::required(&item, DIGEST)?.to_owned())))
    }

    /// Revokes a token for good. `false`: there is none. Repeating it changes nothing.
    pub async fn revoke_token(&self, id: &str, line: &AuditLine) -> Result<bool, StoreError> {
        let Some(item) = self.get(&keys::token(id), true).await? else { return Ok(false) };
        let mut token: ApiToken = codec::parse(&item)?;
        if token.revoked_at.is_some() {
            return Ok(true);
        }
        let rev = number::<u64>(&item, "rev");
        let digest = text(&item, DIGEST).unwrap_or_default();
        token.revoked_at = Some(line.at);
        token.revoked_by = Some(line.by.clone());
        let changed = token_item(&token, digest, rev.unwrap_or(0) + 1);
        let items = vec![
            self.transact_put(&keys::token(id), changed, Condition::revision(rev))?,
            self.transact_audit(line)?,
        ];
        self.transact(&format!("token {id}"), items).await?;
        Ok(true)
    }

    /// The tokens, newest first, after a place; with the place where the list goes on.
    pub async fn tokens_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<ApiToken>, Option<String>), StoreError> {
        let partitions: Vec<_> = (0..keys::TOKEN_SHARDS).map(keys::tokens_partition).collect();
        let (items, next) = self.newest(Some(keys::BY_OWNER), "os", &partitions, after, limit).await?;
        Ok((items.iter().map(codec::parse).collect::<Result<_, _>>()?, next))
    }
}

fn token_item(token: &ApiToken, digest: &str, rev: u64) -> Item {
    let created = token.created_at.strftime("%Y-%m-%dT%H:%M:%SZ");
    Item::from([
        (codec::DOCUMENT.to_owned(), document(token)),
        (DIGEST.to_owned(), s(digest)),
        ("rev".to_owned(), n(rev)),
        ("expires".to_owned(), n((token.expires_at + LISTED_AFTER).as_second())),
        ("o".to_owned(), s(keys::tokens_partition_of(&token.id))),
        ("os".to_owned(), s(format!("{created}#{}", token.id))),
    ])
}
