//! What one message has looked up: hosts of one message have much in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{CveId, Intel, Rule, RuleId, Scanner};
use store::{Store, StoreError};

pub(crate) type RuleKey = (Scanner, RuleId);

/// Definitions, and rules of which nobody knows yet whether they have one: the run that brought their findings is
/// still asking.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) defined: BTreeMap<RuleKey, Rule>,
    pub(crate) unsettled: BTreeSet<RuleKey>,
}

/// Reads definitions and intelligence once for all assets of a message. It lives no longer than the message, and
/// intelligence no longer than until another change of it is told: who was told may have decided already, and what was
/// read before must not undo that.
pub(crate) struct Lookup<'s> {
    store: &'s Store,
    seen: Mutex<Seen>,
}

/// `None`: there was nothing.
#[derive(Default)]
struct Seen {
    rules: BTreeMap<RuleKey, Option<Rule>>,
    unsettled: BTreeSet<RuleKey>,
    intel: BTreeMap<CveId, Option<Intel>>,
    /// How often changes of intelligence had been told before it was read.
    told: u64,
}

impl<'s> Lookup<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store, seen: Mutex::default() }
    }

    /// Definitions of rules.
    pub(crate) async fn rules(&self, wanted: &BTreeSet<RuleKey>) -> Result<Rules, StoreError> {
        let new = unseen(&self.lock().rules, wanted);
        let mut found = BTreeMap::new();
        let mut unsettled = BTreeSet::new();
        if !new.is_empty() {
            found = self.store.rules(&new).await?;
            let missing: BTreeSet<_> = new.iter().filter(|key| !found.contains_key(key)).cloned().collect();
            if !missing.is_empty() {
                let more;
                (more, unsettled) = self.store.look_again_for_rules(&missing).await?;
                found.extend(more);
            }
        }
        let mut seen = self.lock();
        seen.unsettled.extend(unsettled);
        let defined = take(&mut seen.rules, new, found, wanted);
        Ok(Rules { defined, unsettled: wanted.intersection(&seen.unsettled).cloned().collect() })
    }

    /// What is known of CVEs, now that changes have been told so often; unknown ones are not in the answer.
    pub(crate) async fn intel(
        &self,
        wanted: &BTreeSet<CveId>,
        told: u64,
    ) -> Result<BTreeMap<CveId, Intel>, StoreError> {
        let new = {
            let mut seen = self.lock();
            if seen.told != told {
                seen.intel.clear();
                seen.told = told;
            }
            unseen(&seen.intel, wanted)
        };
        let found = if new.is_empty() { BTreeMap::new() } else { self.store.intel(&new).await? };
        Ok(take(&mut self.lock().intel, new, found, wanted))
    }

    /// Forgets everything: it may be what a decision met a conflict over.
    pub(crate) fn forget(&self) {
        *self.lock() = Seen::default();
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unseen<K: Ord + Clone, V>(seen: &BTreeMap<K, Option<V>>, wanted: &BTreeSet<K>) -> BTreeSet<K> {
    wanted.iter().filter(|key| !seen.contains_key(key)).cloned().collect()
}

fn take<K: Ord + Clone, V: Clone>(
    seen: &mut BTreeMap<K, Option<V>>,
    asked: BTreeSet<K>,
    mut found: BTreeMap<K, V>,
    wanted: &BTreeSet<K>,
) -> BTreeMap<K, V> {
    for key in asked {
        let value = found.remove(&key);
        seen.insert(key, value);
    }
    wanted.iter().filter_map(|key| Some((key.clone(), seen.get(key)?.clone()?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // helpers of tests panic like tests
mod tests {
    use domain::intel::{Feed, Kev};
    use simulators::aws_client;
    use store::{CveBlock, IntelPage};

    use super::*;

    #[tokio::test]
    async fn intelligence_is_read_again_once_a_change_is_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let database = dynoxide::Database::memory().unwrap();
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let table = aws_client!(aws_sdk_dynamodb, &address);
        store::create_table(&table, "test").await.unwrap();
        let store = Store::new(table, "test");
        let lookup = Lookup::new(&store);
        let cve: CveId = "CVE-2021-44228".parse().unwrap();
        let wanted = BTreeSet::from([cve.clone()]);
        let told = store.feeds_read().await.unwrap().told;
        assert!(lookup.intel(&wanted, told).await.unwrap().is_empty());

        let date = "2021-12-10".parse().unwrap();
        let kev = Kev { added: date, due: date, ransomware: false, name: String::new() };
        let (block, place) = CveBlock::of(&cve).unwrap();
        let mut page = IntelPage { rows: BTreeMap::from([(place, kev)]), ..IntelPage::default() };
        store.put_intel_page(&block, &mut page).await.unwrap();
        assert!(lookup.intel(&wanted, told).await.unwrap().is_empty(), "read once for a message");
        store.note_intel_change(Some(Feed::Kev)).await.unwrap();
        let told = store.feeds_read().await.unwrap().told;
        assert!(lookup.intel(&wanted, told).await.unwrap()[&cve].kev.is_some());
    }
}
