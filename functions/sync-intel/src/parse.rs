//! The feeds' formats. Each parser reads once from front to back and keeps only what it needs.

mod epss;
mod exploitdb;
mod kev;
mod mandiant;
mod metasploit;
mod misp;
mod nuclei;
mod nvd;
mod recordedfuture;
mod vulncheck;
mod vulnrichment;

use std::collections::BTreeMap;
use std::io::Read;

use domain::CveId;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use store::{CveBlock, FeedPart};

/// How a packed body begins.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Blocks that a feed may touch; EPSS, the largest, has 2,000. A feed of ids strewn at random is no feed.
const MAX_BLOCKS: usize = 20_000;

/// A body that is not the feed it is meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    /// With what is wrong.
    pub fn new(problem: impl std::fmt::Display) -> Self {
        Self(sync::http::shorten(&problem.to_string()))
    }
}

/// How a page says whether another one follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Follow {
    /// There are so many records in all.
    Upto(usize),
    /// Another one follows as long as they are full.
    #[default]
    WhileFull,
    /// The next one has this name, or there is none.
    Cursor(Option<String>),
}

/// A feed that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<P> {
    /// The facts.
    pub rows: BTreeMap<CveBlock, BTreeMap<u8, P>>,
    /// The feed's own date.
    pub as_of: Option<Timestamp>,
    /// The model that the facts come from.
    pub model: String,
    /// Records in it, readable or not.
    pub records: usize,
    /// What follows, where the feed comes in pages.
    pub follow: Follow,
    /// Malformed CVE ids that were passed over.
    pub dirty: usize,
    /// Records that could not be read: what is missing may stand in one of them.
    pub unreadable: usize,
}

impl<P> Default for Parsed<P> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            as_of: None,
            model: String::new(),
            records: 0,
            follow: Follow::default(),
            dirty: 0,
            unreadable: 0,
        }
    }
}

impl<P> Parsed<P> {
    /// CVEs in it.
    pub fn count(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// The facts on one CVE.
    pub fn get(&self, cve: &CveId) -> Option<&P> {
        let (block, place) = CveBlock::of(cve)?;
        self.rows.get(&block)?.get(&place)
    }

    /// The place of the facts on the CVE that is written as `id`; an id that no authority could have assigned is
    /// counted and has none.
    fn place(&mut self, id: &str) -> Option<(CveBlock, u8)> {
        let place = id.parse().ok().as_ref().and_then(CveBlock::of);
        if place.is_none() {
            self.dirty += 1;
        }
        place
    }

    /// Reads the records of a page one by one. One that cannot be read is counted, and is alone in that.
    fn each<T: DeserializeOwned>(&mut self, records: Vec<Box<RawValue>>, mut take: impl FnMut(&mut Self, T)) {
        self.records = records.len();
        for record in records {
            match serde_json::from_str(record.get()) {
                Ok(record) => take(self, record),
                Err(_) => self.unreadable += 1,
            }
        }
    }

    /// Some bad records are borne, and not more: then it has another format.
    fn bear(&self, bad: usize) -> Result<(), Malformed> {
        if bad > 10 && bad * 10 > self.records {
            return Err(Malformed::new(format!("{bad} of {} records cannot be read", self.records)));
        }
        Ok(())
    }

    /// The check of one page of several: what is no CVE may fill it, what cannot be read may not.
    pub(crate) fn legible(self) -> Result<Self, Malformed> {
        self.bear(self.unreadable)?;
        Ok(self)
    }

    /// The last check: enough of it could be read.
    fn checked(self) -> Result<Self, Malformed> {
        let bad = self.unreadable + self.dirty;
        if self.rows.is_empty() {
            return Err(Malformed::new(format!("it has no CVE among {} records", self.records)));
        }
        self.bear(bad)?;
        if self.rows.len() > MAX_BLOCKS {
            return Err(Malformed::new("its CVE ids are strewn over all numbers"));
        }
        Ok(self)
    }
}

/// A feed with its format and its idea of news.
pub trait Source: FeedPart {
    /// Reads the feed to its end.
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed>;

    /// What to keep of `new` where `old` is known, and whether the difference matters to a score.
    fn settle(new: Self, old: Option<&Self>) -> (Self, bool) {
        let matters = old != Some(&new);
        (new, matters)
    }
}
