//! Rules: their definitions, and a book of digests per scanner that says which definitions are known.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Rule, RuleId, Scanner};
use jiff::Timestamp;

use crate::codec::{self, Item, bytes, document, n, number};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Store};

/// Below this it is no digest, but the day since 1970 on which a definition was looked for in vain.
const DAYS: u64 = 1_000_000;
/// So many days later it is looked for again: the right to it may have come meanwhile.
const LOOK_AGAIN_AFTER: u64 = 7;
/// Tries of a bucket that others write at the same time.
const TRIES: usize = 8;

/// Which rules of a scanner are known, by digest, read bucket by bucket as they are asked for.
#[derive(Debug)]
pub struct RuleBook {
    scanner: Scanner,
    /// Days since 1970.
    today: Option<u64>,
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    rev: Option<u64>,
    digests: BTreeMap<u64, u64>,
}

fn hash(rule: &RuleId) -> u64 {
    domain::digest(rule.as_str().as_bytes())
}

impl RuleBook {
    /// An unread book.
    pub fn new(scanner: Scanner) -> Self {
        Self { scanner, today: None, buckets: BTreeMap::new() }
    }

    /// An unread book in which what was looked for in vain long before `now` is unknown again.
    pub fn as_of(scanner: Scanner, now: Timestamp) -> Self {
        let today = u64::try_from(now.as_second() / 86_400).ok();
        Self { today, ..Self::new(scanner) }
    }

    async fn bucket(&mut self, store: &Store, hash: u64) -> Result<&mut Bucket, StoreError> {
        let index = hash % keys::RULE_BUCKETS;
        if !self.buckets.contains_key(&index) {
            let bucket = read_bucket(store, self.scanner, index).await?;
            self.buckets.insert(index, bucket);
        }
        Ok(self.buckets.entry(index).or_default())
    }

    /// Of `rules`, those without a definition that nobody has looked for in vain either, or not lately.
    pub async fn unknown(&mut self, store: &Store, rules: Vec<RuleId>) -> Result<Vec<RuleId>, StoreError> {
        let mut unknown = Vec::new();
        for rule in rules.into_iter().collect::<BTreeSet<_>>() {
            let hash = hash(&rule);
            let today = self.today.unwrap_or(0);
            let is_known = |digest: &u64| *digest >= DAYS || digest + LOOK_AGAIN_AFTER > today;
            if !self.bucket(store, hash).await?.digests.get(&hash).is_some_and(is_known) {
                unknown.push(rule);
            }
        }
        Ok(unknown)
    }

    /// Of `rules`, those whose definition is new or differs from the stored one.
    pub async fn changed(&mut self, store: &Store, rules: Vec<Rule>) -> Result<Vec<Rule>, StoreError> {
        let mut changed = Vec::new();
        for rule in rules {
            let hash = hash(&rule.id);
            if self.bucket(store, hash).await?.digests.get(&hash) != Some(&rule.digest()) {
                changed.push(rule);
            }
        }
        Ok(changed)
    }

    /// Stores definitions: first the rules, then the book, so that what the book names exists.
    pub async fn write(
        &mut self,
        store: &Store,
        rules: &[Rule],
        without: &[RuleId],
    ) -> Result<(), StoreError> {
        let puts = rules
            .iter()
            .map(|rule| {
                (keys::rule(rule.scanner, &rule.id), Item::from([(codec::DOCUMENT.into(), document(rule))]))
            })
            .collect();
        store.batch_write(puts, vec![]).await?;
        let digests = rules
            .iter()
            .map(|rule| (hash(&rule.id), rule.digest()))
            .chain(without.iter().map(|rule| (hash(rule), self.today.unwrap_or(0))));
        let mut by_bucket: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (hash, digest) in digests {
            by_bucket.entry(hash % keys::RULE_BUCKETS).or_default().push((hash, digest));
        }
        for (index, news) in by_bucket {
            self.write_bucket(store, index, &news).await?;
        }
        Ok(())
    }

    async fn write_bucket(
        &mut self,
        store: &Store,
        index: u64,
        news: &[(u64, u64)],
    ) -> Result<(), StoreError> {
        let mut outcome = Ok(());
        for _ in 0..TRIES {
            let mut bucket = match self.buckets.remove(&index) {
                Some(bucket) => bucket,
                None => read_bucket(store, self.scanner, index).await?,
            };
            bucket.digests.extend(news.iter().copied());
            let packed = bucket
                .digests
                .iter()
                .flat_map(|(h, d)| [h.to_be_bytes(), d.to_be_bytes()].concat())
                .collect();
            let rev = bucket.rev.unwrap_or(0) + 1;
            let item = Item::from([("m".to_owned(), bytes(packed)), ("rev".into(), n(rev))]);
            let key = keys::rule_bucket(self.scanner, index);
            outcome = store.put(&key, item, Some(Condition::revision(bucket.rev))).await;
            match &outcome {
                Ok(()) => {
                    bucket.rev = Some(rev);
                    self.buckets.insert(index, bucket);
                    return Ok(());
                }
                // The bucket is forgotten by now and read anew.
                Err(error) if error.is_conflict() => {}
                Err(_) => return outcome,
            }
        }
        outcome
    }
}

async fn read_bucket(store: &Store, scanner: Scanner, index: u64) -> Result<Bucket, StoreError> {
    let Some(item) = store.get(&keys::rule_bucket(scanner, index), true).await? else {
        return Ok(Bucket::default());
    };
    let packed =
        item.get("m").and_then(|v| v.as_b().ok()).ok_or_else(|| codec::malformed(&item, "no digests"))?;
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
    let digests = packed.as_ref().chunks_exact(16).map(|pair| (word(&pair[..8]), word(&pair[8..]))).collect();
    Ok(Bucket { rev: number(&item, "rev"), digests })
}

impl Store {
    /// The definitions of rules; those without one are not in the answer, and what was stored a moment ago may not be.
    pub async fn rules(
        &self,
        rules: &BTreeSet<(Scanner, RuleId)>,
    ) -> Result<BTreeMap<(Scanner, RuleId), Rule>, StoreError> {
        self.read_rules(rules, false).await
    }

    /// Of rules without a definition in a first answer: the definitions that there are all the same, and the rules of
    /// which nobody knows yet whether they have one.
    pub async fn look_again_for_rules(
        &self,
        missing: &BTreeSet<(Scanner, RuleId)>,
    ) -> Result<(BTreeMap<(Scanner, RuleId), Rule>, BTreeSet<(Scanner, RuleId)>), StoreError> {
        let mut unsettled = BTreeSet::new();
        for scanner in Scanner::all() {
            let asked: Vec<RuleId> =
                missing.iter().filter(|(of, _)| *of == scanner).map(|(_, rule)| rule.clone()).collect();
            if !asked.is_empty() {
                let unknown = RuleBook::new(scanner).unknown(self, asked).await?;
                unsettled.extend(unknown.into_iter().map(|rule| (scanner, rule)));
            }
        }
        let found = self.read_rules(&missing.difference(&unsettled).cloned().collect(), true).await?;
        Ok((found, unsettled))
    }

    async fn read_rules(
        &self,
        rules: &BTreeSet<(Scanner, RuleId)>,
        consistent: bool,
    ) -> Result<BTreeMap<(Scanner, RuleId), Rule>, StoreError> {
        let keys: Vec<_> = rules.iter().map(|(scanner, rule)| keys::rule(*scanner, rule)).collect();
        let mut found = BTreeMap::new();
        for item in self.batch_get(&keys, consistent).await? {
            let rule: Rule = codec::parse(&item)?;
            found.insert((rule.scanner, rule.id.clone()), rule);
        }
        Ok(found)
    }
}
