//! What the world knows of CVEs.
//!
//! **256 consecutive CVE numbers share one item**, with one packed attribute for each feed. An item for each CVE would
//! cost 360,000 write units for the first import of EPSS and nearly as many on every following day, because every
//! percentile moves a little when any score moves; 2,000 blocks of 2 to 3 KB cost a hundredth of that. Reading gains
//! as well: the CVEs of one host lie close together, and one read unit has all that all feeds say of a block.
//!
//! **Feeds run side by side and share blocks.** A feed updates its own attributes and nothing else, so that it cannot
//! overwrite another one's news, and only at the revision that it compared with, so that two runs of one feed cannot
//! overwrite each other's.
//!
//! **What changed is marked where it changed** ([`IntelPage::pending`]) until `score` has been told: a run that dies
//! between the two finds the marks when it is repeated.

mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::intel::{Feed, Kev, Nvd, Record};
use domain::{CveId, Intel};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Item, bytes, document, n, number, text};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Store};

pub use part::{
    EpssPart, ExploitdbPart, FeedPart, MandiantPart, MetasploitPart, MispPart, NucleiPart,
    RecordedFuturePart, VulncheckPart,
};

/// CVE numbers in a block: a place in it fits a byte, and a full block with all feeds stays below 4 KB, one read unit.
const BLOCK: u64 = 256;

/// 256 consecutive CVE numbers of one year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CveBlock {
    year: u16,
    block: u64,
}

impl CveBlock {
    /// The block of a CVE and its place there. `None` for an id with needless zeros (`CVE-2021-004444`), which no
    /// authority assigns.
    pub fn of(cve: &CveId) -> Option<(Self, u8)> {
        let (year, digits) = cve.as_str().strip_prefix("CVE-")?.split_once('-')?;
        if digits.len() > 4 && digits.starts_with('0') {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        Some((Self { year: year.parse().ok()?, block: number / BLOCK }, (number % BLOCK) as u8))
    }

    /// The CVE at a place of this block.
    pub fn cve(&self, place: u8) -> Option<CveId> {
        let number = self.block.checked_mul(BLOCK)?.checked_add(u64::from(place))?;
        format!("CVE-{:04}-{number:04}", self.year).parse().ok()
    }
}

impl fmt::Display for CveBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{}", self.year, self.block)
    }
}

impl FromStr for CveBlock {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (year, block) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { year: year.parse()?, block: block.parse()? })
    }
}

/// What one feed says of one block.
#[derive(Debug, Clone, PartialEq)]
pub struct IntelPage<P> {
    /// The facts by place.
    pub rows: BTreeMap<u8, P>,
    /// The model that they come from, where the feed has one.
    pub model: String,
    /// Places whose change `score` has not been told of yet.
    pub pending: BTreeSet<u8>,
    /// The revision; `None`: this feed has said nothing of this block so far.
    pub rev: Option<u64>,
}

impl<P> Default for IntelPage<P> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), model: String::new(), pending: BTreeSet::new(), rev: None }
    }
}

/// How a feed was last taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedHead {
    /// Where it came from.
    pub source: String,
    /// Its entity tag, for that address; absent while a run is under way, so that one that dies is repeated in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version of the reader.
    pub format: u32,
    /// CVEs in it.
    pub count: usize,
    /// The model, where the feed has one.
    pub model: String,
    /// The feed's own date, or when it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// It has been taken in completely at least once.
    pub complete: bool,
    /// When everything was last read, where the feed comes in pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_at: Option<Timestamp>,
    /// The pages that are being read, where the feed comes in pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// A span of time whose changes are read page by page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From when on; `None`: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Timestamp,
    /// Until when there is more to read, in further spans.
    pub goal: Timestamp,
    /// Everything is read, not what changed.
    pub whole: bool,
    /// Records of this span that have been read.
    pub next: usize,
    /// Records of all spans that have been read.
    pub read: usize,
    /// Pages that they came in.
    pub page: usize,
    /// The feed's own name for the place where the next page begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// When the last of them were read, or until when the feed asks to wait.
    pub at: Timestamp,
}

/// Names of the attributes of one feed.
struct Names {
    data: String,
    pending: String,
    rev: String,
}

impl Names {
    fn of(feed: Feed) -> Self {
        Self { data: feed.as_str().to_owned(), pending: format!("{feed}_due"), rev: format!("{feed}_rev") }
    }

    fn refs(&self) -> [(&str, &str); 3] {
        [("#d", &self.data), ("#p", &self.pending), ("#r", &self.rev)]
    }
}

fn blob<'a>(item: &'a Item, name: &str) -> Option<&'a [u8]> {
    item.get(name).and_then(|v| v.as_b().ok()).map(AsRef::as_ref)
}

fn read_page<P: FeedPart>(item: &Item) -> Result<IntelPage<P>, StoreError> {
    let names = Names::of(P::FEED);
    let (rows, model) = match blob(item, &names.data) {
        Some(data) => P::unpack(data).map_err(|problem| codec::malformed(item, problem))?,
        None => Default::default(),
    };
    let pending = blob(item, &names.pending).unwrap_or_default().iter().copied().collect();
    Ok(IntelPage { rows, model, pending, rev: number(item, &names.rev) })
}

/// Adds what one feed says of a block to those CVEs of it that are wanted.
fn tell<P: FeedPart>(
    item: &Item,
    wanted: &[(u8, &CveId)],
    found: &mut BTreeMap<CveId, Intel>,
) -> Result<(), StoreError> {
    let page = read_page::<P>(item)?;
    for (place, cve) in wanted {
        if let Some(row) = page.rows.get(place) {
            row.tell(&page.model, found.entry((*cve).clone()).or_default());
        }
    }
    Ok(())
}

impl Store {
    /// What is known of these CVEs; unknown ones are not in the answer. Read consistently: who is told that something
    /// changed must not read what was before.
    pub async fn intel(&self, cves: &BTreeSet<CveId>) -> Result<BTreeMap<CveId, Intel>, StoreError> {
        let mut blocks: BTreeMap<CveBlock, Vec<(u8, &CveId)>> = BTreeMap::new();
        for cve in cves {
            if let Some((block, place)) = CveBlock::of(cve) {
                blocks.entry(block).or_default().push((place, cve));
            }
        }
        let keys: Vec<_> = blocks.keys().map(keys::intel).collect();
        let mut found = BTreeMap::new();
        for item in self.batch_get(&keys, true).await? {
            let block = text(&item, "pk").and_then(keys::block_of);
            if let Some(wanted) = block.and_then(|block| blocks.get(&block)) {
                tell::<Kev>(&item, wanted, &mut found)?;
                tell::<EpssPart>(&item, wanted, &mut found)?;
                tell::<ExploitdbPart>(&item, wanted, &mut found)?;
                tell::<MetasploitPart>(&item, wanted, &mut found)?;
                tell::<NucleiPart>(&item, wanted, &mut found)?;
                tell::<Record>(&item, wanted, &mut found)?;
                tell::<Nvd>(&item, wanted, &mut found)?;
                tell::<VulncheckPart>(&item, wanted, &mut found)?;
                tell::<MispPart>(&item, wanted, &mut found)?;
                tell::<MandiantPart>(&item, wanted, &mut found)?;
                tell::<RecordedFuturePart>(&item, wanted, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Replaces what is known of CVEs, all parts of it, without telling anybody. Feeds write pages instead.
    pub async fn write_intel(&self, intel: &BTreeMap<CveId, Intel>) -> Result<(), StoreError> {
        self.write_part::<Kev>(intel).await?;
        self.write_part::<EpssPart>(intel).await?;
        self.write_part::<ExploitdbPart>(intel).await?;
        self.write_part::<MetasploitPart>(intel).await?;
        self.write_part::<NucleiPart>(intel).await?;
        self.write_part::<Record>(intel).await?;
        self.write_part::<Nvd>(intel).await?;
        self.write_part::<VulncheckPart>(intel).await?;
        self.write_part::<MispPart>(intel).await?;
        self.write_part::<MandiantPart>(intel).await?;
        self.write_part::<RecordedFuturePart>(intel).await
    }

    async fn write_part<P: FeedPart>(&self, intel: &BTreeMap<CveId, Intel>) -> Result<(), StoreError> {
        let mut blocks: BTreeMap<CveBlock, Vec<(u8, &Intel)>> = BTreeMap::new();
        for (cve, intel) in intel {
            if let Some((block, place)) = CveBlock::of(cve) {
                blocks.entry(block).or_default().push((place, intel));
            }
        }
        let wanted: Vec<_> = blocks.keys().copied().collect();
        self.add_feed_blocks(P::FEED, &blocks.keys().copied().collect()).await?;
        let mut pages = self.intel_pages::<P>(&wanted).await?;
        for (block, changes) in blocks {
            let mut page = pages.remove(&block).unwrap_or_default();
            let before = page.clone();
            for (place, intel) in changes {
                if let Some(epss) = &intel.epss {
                    page.model.clone_from(&epss.model);
                }
                match P::part_of(intel) {
                    Some(row) => page.rows.insert(place, row),
                    None => page.rows.remove(&place),
                };
            }
            if page.rows != before.rows {
                self.put_intel_page(&block, &mut page).await?;
            }
        }
        Ok(())
    }

    /// What one feed has said of these blocks so far.
    pub async fn intel_pages<P: FeedPart>(
        &self,
        blocks: &[CveBlock],
    ) -> Result<BTreeMap<CveBlock, IntelPage<P>>, StoreError> {
        let keys: Vec<_> = blocks.iter().map(keys::intel).collect();
        let mut pages = BTreeMap::new();
        for item in self.batch_get(&keys, true).await? {
            let block = text(&item, "pk").and_then(keys::block_of);
            let block = block.ok_or_else(|| codec::malformed(&item, "not a block of CVEs"))?;
            pages.insert(block, read_page(&item)?);
        }
        Ok(pages)
    }

    /// Writes what one feed says of a block, if it still is at the revision of `page`, and counts that on.
    pub async fn put_intel_page<P: FeedPart>(
        &self,
        block: &CveBlock,
        page: &mut IntelPage<P>,
    ) -> Result<(), StoreError> {
        let names = Names::of(P::FEED);
        let next = page.rev.unwrap_or(0) + 1;
        let mut values = vec![(":d", bytes(P::pack(&page.rows, &page.model))), (":next", n(next))];
        let mut update = "SET #d = :d, #r = :next".to_owned();
        if page.pending.is_empty() {
            update.push_str(" REMOVE #p");
        } else {
            update.push_str(", #p = :p");
            values.push((":p", bytes(page.pending.iter().copied().collect())));
        }
        let condition = revision(page.rev, &mut values);
        self.update(&keys::intel(block), &update, Some(condition), &names.refs(), values).await?;
        page.rev = Some(next);
        Ok(())
    }

    /// Removes the marks of a block, if it still is at revision `rev`: `score` has been told.
    pub async fn clear_pending(
        &self,
        feed: Feed,
        block: &CveBlock,
        rev: Option<u64>,
    ) -> Result<(), StoreError> {
        let names = Names::of(feed);
        let [_, pending, revision_name] = names.refs();
        let mut values = Vec::new();
        let condition = revision(rev, &mut values);
        let used = [pending, revision_name];
        self.update(&keys::intel(block), "REMOVE #p", Some(condition), &used, values).await
    }

    /// The blocks that a feed has ever had facts about.
    pub async fn feed_blocks(&self, feed: Feed) -> Result<BTreeSet<CveBlock>, StoreError> {
        let Some(item) = self.get(&keys::feed_blocks(feed), true).await? else { return Ok(BTreeSet::new()) };
        let names = item.get("blocks").and_then(|v| v.as_ss().ok()).map(Vec::as_slice).unwrap_or_default();
        names.iter().map(|name| name.parse().map_err(|e| codec::malformed(&item, e))).collect()
    }

    /// Adds to these blocks. To be done before the first page of a block is written.
    pub async fn add_feed_blocks(&self, feed: Feed, blocks: &BTreeSet<CveBlock>) -> Result<(), StoreError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let names = AttributeValue::Ss(blocks.iter().map(ToString::to_string).collect());
        let key = keys::feed_blocks(feed);
        self.update(&key, "ADD #b :b", None, &[("#b", "blocks")], vec![(":b", names)]).await
    }

    /// How a feed was last taken in, with its revision; `None`: never.
    pub async fn feed_head(&self, feed: Feed) -> Result<(FeedHead, Option<u64>), StoreError> {
        let Some(item) = self.get(&keys::feed_head(feed), true).await? else {
            return Ok((FeedHead::default(), None));
        };
        Ok((codec::parse(&item)?, number(&item, "rev")))
    }

    /// Replaces that, if it still is at revision `rev`. Returns the new revision.
    pub async fn put_feed_head(
        &self,
        feed: Feed,
        head: &FeedHead,
        rev: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        let next = rev.unwrap_or(0) + 1;
        let item = Item::from([(codec::DOCUMENT.to_owned(), document(head)), ("rev".into(), n(next))]);
        self.put(&keys::feed_head(feed), item, Some(Condition::revision(rev))).await?;
        Ok(Some(next))
    }
}

/// The condition that a page is at this revision.
fn revision(rev: Option<u64>, values: &mut Vec<(&str, AttributeValue)>) -> &'static str {
    match rev {
        Some(rev) => {
            values.push((":rev", n(rev)));
            "#r = :rev"
        }
        None => "attribute_not_exists(#r)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cve_has_one_place_and_comes_back_from_it() {
        for id in ["CVE-1999-0001", "CVE-2021-44228", "CVE-2026-103096", "CVE-2024-9999999999999999999"] {
            let cve: CveId = id.parse().unwrap();
            let (block, place) = CveBlock::of(&cve).unwrap();
            assert_eq!(block.cve(place), Some(cve));
            assert_eq!(block.to_string().parse(), Ok(block));
        }
        assert_eq!(CveBlock::of(&"CVE-2021-00044".parse().unwrap()), None);
        assert_eq!(keys::block_of("C#CVE-2021-44228#3"), None);
    }
}
