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

/// Reads definitions and intelligence once for all assets of a message. It lives no longer than the message: what
/// changes afterwards is told by another one.
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

    /// What is known of CVEs; unknown ones are not in the answer.
    pub(crate) async fn intel(&self, wanted: &BTreeSet<CveId>) -> Result<BTreeMap<CveId, Intel>, StoreError> {
        let new = unseen(&self.lock().intel, wanted);
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
