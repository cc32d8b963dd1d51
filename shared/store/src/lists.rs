//! Lists: bounded pages out of sparse indexes, so that no list slows down as the table grows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::decide::UNOWNED;
use domain::policy::Config;
use domain::{Asset, AssetId, Severity, Status, VulnId, Vulnerability};

use crate::codec::{Item, text};
use crate::decisions::{ASSET_NAME, read_asset, read_vulnerability};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Range, Store};

/// A row of a list with the place after which the list goes on.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The row.
    pub value: T,
    /// Its place.
    pub place: String,
    /// Whose list it stands in.
    pub owner: String,
    /// What people call the asset, as of the row's last change.
    pub asset_name: String,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<Listed<T>>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// What a list of vulnerabilities is restricted to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VulnerabilityFilter {
    /// Only these severities; empty means all.
    pub severities: Vec<Severity>,
    /// Only these statuses; empty means open ones.
    pub statuses: Vec<Status>,
    /// Only what contains this text in title, CVE or id.
    pub text: Option<String>,
    /// Only what was due at that time.
    pub overdue_at: Option<jiff::Timestamp>,
    /// Only what is listed as exploited in the wild.
    pub exploited: bool,
}

impl VulnerabilityFilter {
    /// Whether a vulnerability is wanted.
    pub fn matches(&self, v: &Vulnerability) -> bool {
        let status =
            if self.statuses.is_empty() { v.status.is_open() } else { self.statuses.contains(&v.status) };
        let text = self.text.as_ref().is_none_or(|wanted| {
            let wanted = wanted.to_lowercase();
            v.title.to_lowercase().contains(&wanted)
                || v.id.as_str().contains(&wanted)
                || v.cves.iter().any(|cve| cve.as_str().to_lowercase().contains(&wanted))
        });
        status
            && text
            && (self.severities.is_empty() || self.severities.contains(&v.severity))
            && self.overdue_at.is_none_or(|now| v.is_overdue(now))
            && (!self.exploited || v.factors.kev == Some(true))
    }
}

/// What one page of a list may cost, in half read units (4 KB read eventually consistently). A filter that matches
/// little ends early and says where to go on, rather than reading everything.
const BUDGET: usize = 28;
/// Most rows read from one partition at a time; about 8 half units.
const READ: usize = 25;

impl Store {
    /// The vulnerabilities of these owners, highest score first, after `after`.
    pub async fn vulnerabilities(
        &self,
        owners: &[String],
        filter: &VulnerabilityFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Vulnerability>, StoreError> {
        let partitions: Vec<_> = owners
            .iter()
            .flat_map(|owner| (0..keys::OWNER_SHARDS).map(|shard| keys::owner_partition(owner, shard)))
            .collect();
        self.merged(keys::BY_OWNER, "os", &partitions, filter, after, limit).await
    }

    /// The highest scores of all.
    pub async fn top(
        &self,
        filter: &VulnerabilityFilter,
        limit: usize,
    ) -> Result<Page<Vulnerability>, StoreError> {
        self.top_after(filter, None, limit).await
    }

    /// The highest scores of all, after `after`.
    pub async fn top_after(
        &self,
        filter: &VulnerabilityFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Vulnerability>, StoreError> {
        let partitions: Vec<_> = (0..keys::TOP_SHARDS).map(keys::top_partition).collect();
        self.merged(keys::TOP, "ts", &partitions, filter, after, limit).await
    }

    /// Merges sorted partitions, reading on only where the merge has used up what was read. Everything before the last
    /// place that was looked at has been looked at in every partition, so that the next page can begin there.
    async fn merged(
        &self,
        index: &'static str,
        place: &str,
        partitions: &[String],
        filter: &VulnerabilityFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Vulnerability>, StoreError> {
        let first = (2 * limit / partitions.len().max(1)).clamp(4, READ);
        let reads = partitions.iter().map(|pk| async move {
            let mut source = Source { pk, read: VecDeque::new(), more: true, start: None };
            source.fill(self, index, after, first).await.map(|cost| (source, cost))
        });
        let (mut sources, costs): (Vec<_>, Vec<_>) =
            futures::future::try_join_all(reads).await?.into_iter().unzip();
        let mut spent: usize = costs.into_iter().sum();
        let mut rows = Vec::new();
        let mut seen: Option<String> = None;
        loop {
            for source in sources.iter_mut().filter(|source| source.read.is_empty() && source.more) {
                if spent >= BUDGET {
                    return Ok(Page { rows, next: seen });
                }
                spent += source.fill(self, index, after, READ).await?;
            }
            let heads =
                sources.iter().enumerate().filter_map(|(i, s)| Some((text(s.read.front()?, place)?, i)));
            let Some((_, next)) = heads.min() else { return Ok(Page { rows, next: None }) };
            if rows.len() == limit {
                return Ok(Page { rows, next: seen });
            }
            let Some(item) = sources[next].read.pop_front() else { continue };
            let at = text(&item, place).unwrap_or_default().to_owned();
            let value = read_vulnerability(&item)?;
            if filter.matches(&value) {
                rows.push(Listed {
                    value,
                    place: at.clone(),
                    owner: owner_of(&item),
                    asset_name: name_of(&item),
                });
            }
            seen = Some(at);
        }
    }

    /// Vulnerabilities of one asset by their ids, in that order; what does not exist is left out.
    pub async fn vulnerabilities_of(
        &self,
        asset: &AssetId,
        ids: &[VulnId],
    ) -> Result<Vec<Vulnerability>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| keys::vulnerability(asset, id)).collect();
        let mut found = BTreeMap::new();
        for item in self.batch_get(&keys, false).await? {
            if text(&item, "alias").is_none() {
                let value = read_vulnerability(&item)?;
                found.insert(value.id.clone(), value);
            }
        }
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// Everyone who may own an asset: who has open vulnerabilities, whom a rule names, and nobody.
    pub async fn owners(&self, config: &Config) -> Result<BTreeSet<String>, StoreError> {
        let mut owners: BTreeSet<String> = self.open_counts().await?.into_keys().collect();
        owners.insert(UNOWNED.to_owned());
        owners.extend(config.ownership.iter().map(|rule| rule.owner.clone()));
        Ok(owners)
    }

    /// The assets of an owner, after `after`.
    pub async fn assets(
        &self,
        owner: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<Page<Asset>, StoreError> {
        let pk = keys::owner_assets_partition(owner);
        let mut range = Range::all(&pk);
        range.index = Some(keys::BY_OWNER);
        range.after = after;
        range.limit = Some(limit);
        let (items, next) = self.query_page(&range, None).await?;
        let rows = items
            .iter()
            .map(|item| {
                let value = read_asset(item)?;
                let asset_name = value.host.display_name().to_owned();
                Ok(Listed { value, place: place_of(item), owner: owner_of(item), asset_name })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let next = next.and(rows.last().map(|row| row.place.clone()));
        Ok(Page { rows, next })
    }
}

/// One partition of a merge.
struct Source<'a> {
    pk: &'a str,
    read: VecDeque<Item>,
    more: bool,
    start: Option<Item>,
}

impl Source<'_> {
    /// Reads on; returns what it cost in half units.
    async fn fill(
        &mut self,
        store: &Store,
        index: &'static str,
        after: Option<&str>,
        rows: usize,
    ) -> Result<usize, StoreError> {
        let mut range = Range::all(self.pk);
        range.index = Some(index);
        range.after = after;
        range.limit = i32::try_from(rows).ok();
        let (items, next) = store.query_page(&range, self.start.take()).await?;
        self.more = next.is_some();
        self.start = next;
        let bytes: usize = items.iter().map(size).sum();
        self.read.extend(items);
        Ok(bytes.div_ceil(4_096).max(1))
    }
}

/// About the size that DynamoDB bills.
fn size(item: &Item) -> usize {
    let of = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(data) => data.as_ref().len(),
        AttributeValue::M(map) => map.iter().map(|(k, v)| k.len() + v.as_s().map_or(8, String::len)).sum(),
        _ => 8,
    };
    item.iter().map(|(name, value)| name.len() + of(value)).sum()
}

/// The owner in `O#<owner>#<shard>` or `OA#<owner>`.
fn owner_of(item: &Item) -> String {
    let partition = text(item, "o").unwrap_or_default();
    match partition.split_once('#') {
        Some(("O", rest)) => rest.rsplit_once('#').map_or(rest, |(owner, _)| owner).to_owned(),
        Some((_, owner)) => owner.to_owned(),
        None => String::new(),
    }
}

fn name_of(item: &Item) -> String {
    text(item, ASSET_NAME).unwrap_or_default().to_owned()
}

fn place_of(item: &Item) -> String {
    item.get("os").and_then(|v: &AttributeValue| v.as_s().ok()).cloned().unwrap_or_default()
}
