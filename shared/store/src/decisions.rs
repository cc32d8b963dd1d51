//! What we make of the statements: one partition per asset.
//!
//! Vulnerabilities are written first, each against its own revision; the asset with the counters follows in one
//! transaction against the asset's revision. A function that dies in between leaves vulnerabilities that are right and
//! counters that are late: the next decision finds the difference in [`domain::Asset::counted`] and counts it, once.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use domain::vulnerability::{Decision, EffectTarget, Intent, TicketRef};
use domain::{Asset, AssetId, ConnectorName, CveId, RunId, SightingId, Status, VulnId, Vulnerability};
use jiff::Timestamp;

use crate::audit::AuditLine;
use crate::codec::{self, Item, document, n, number, s, text};
use crate::counters::{CounterDelta, addition};
use crate::deliveries::Delivery;
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Range, Store, sort_key};

/// Attribute with what people call the asset, so that a list can name it without reading it.
pub(crate) const ASSET_NAME: &str = "an";
/// Tries of a confirmation: others write what it is about, and an id leads on as often as it was merged.
const CONFIRM_TRIES: usize = 16;

/// A value with the revision it was read at; `None`: it does not exist yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// The revision.
    pub rev: Option<u64>,
    /// The value.
    pub value: T,
}

/// An asset with all its vulnerabilities.
#[derive(Debug, Clone)]
pub struct AssetState {
    /// The asset.
    pub asset: Versioned<Asset>,
    /// Its vulnerabilities.
    pub vulnerabilities: BTreeMap<VulnId, Versioned<Vulnerability>>,
    /// Ids that were merged into others, or whose vulnerability went to another asset.
    pub aliases: BTreeMap<VulnId, Alias>,
    /// What stands under another timer than the one that follows from it, and has to be written once more.
    pub mistimed: Mistimed,
}

/// What stands under another timer than the one that follows from it: `sla` would come for it again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mistimed {
    /// The asset itself.
    pub asset: bool,
    /// These of its vulnerabilities.
    pub vulnerabilities: BTreeSet<VulnId>,
}

/// Where an id leads under which no vulnerability stands any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The asset.
    pub asset: AssetId,
    /// The vulnerability on it.
    pub id: VulnId,
    /// The revision of the pointer.
    pub rev: Option<u64>,
}

impl Store {
    /// Notes that a sighting was decided on as of `seq`.
    pub async fn mark_scored(
        &self,
        sighting: &SightingId,
        asset: &AssetId,
        seq: u64,
    ) -> Result<(), StoreError> {
        let values = vec![(":a", s(asset.as_str())), (":q", n(seq))];
        let done = self
            .update(&keys::link(sighting), "SET scored = :q", Some("asset = :a AND scored < :q"), &[], values)
            .await;
        match done {
            // A later decision was quicker.
            Err(error) if error.is_conflict() => Ok(()),
            other => other,
        }
    }

    /// An asset with all its vulnerabilities.
    pub async fn asset_state(
        &self,
        id: &AssetId,
        consistent: bool,
    ) -> Result<Option<AssetState>, StoreError> {
        let pk = keys::asset_partition(id);
        let mut range = Range::all(&pk);
        range.consistent = consistent;
        let mut asset = None;
        let mut vulnerabilities = BTreeMap::new();
        let mut aliases = BTreeMap::new();
        let mut mistimed = Mistimed::default();
        for item in self.query_all(range).await? {
            if sort_key(&item) == keys::ASSET {
                let value = read_asset(&item)?;
                mistimed.asset = Timer::stored(&item) != Timer::of_asset(&value);
                asset = Some(Versioned { rev: number(&item, "rev"), value });
            } else if let Some((there, target)) = followed(&item, id)? {
                let key = sort_key(&item).trim_start_matches("V#");
                let alias = Alias { asset: there, id: target, rev: number(&item, "rev") };
                aliases.insert(key.parse().map_err(|e| codec::malformed(&item, e))?, alias);
            } else if sort_key(&item).starts_with("V#") {
                let value = read_vulnerability(&item)?;
                if Timer::stored(&item) != Timer::of_vulnerability(&value) {
                    mistimed.vulnerabilities.insert(value.id.clone());
                }
                vulnerabilities.insert(value.id.clone(), Versioned { rev: number(&item, "rev"), value });
            }
        }
        Ok(asset.map(|asset| AssetState { asset, vulnerabilities, aliases, mistimed }))
    }

    /// An asset alone.
    pub async fn asset(&self, id: &AssetId) -> Result<Option<Versioned<Asset>>, StoreError> {
        let item = self.get(&keys::asset(id), true).await?;
        item.map(|item| Ok(Versioned { rev: number(&item, "rev"), value: read_asset(&item)? })).transpose()
    }

    /// A vulnerability alone; an alias leads to the one it was merged into, and one whose asset turned out to be another
    /// is found there.
    pub async fn vulnerability(
        &self,
        asset: &AssetId,
        id: &VulnId,
    ) -> Result<Option<Versioned<Vulnerability>>, StoreError> {
        let (mut asset, mut id) = (asset.clone(), id.clone());
        let mut on_its_way = None;
        // A chain of aliases is as long as the number of merges, which is small; the bound guards against a circle.
        for _ in 0..16 {
            let Some(item) = self.get(&keys::vulnerability(&asset, &id), true).await? else { break };
            let read = |item| Ok(Versioned { rev: number(item, "rev"), value: read_vulnerability(item)? });
            match followed(&item, &asset)? {
                Some(there) => {
                    if item.contains_key(codec::DOCUMENT) {
                        on_its_way = Some(read(&item)?);
                    }
                    (asset, id) = there;
                }
                None => return Ok(Some(read(&item)?)),
            }
        }
        Ok(on_its_way)
    }

    /// Writes a vulnerability against the revision it was read at. `high`: from this score on it is in the list of
    /// high scores.
    pub async fn put_vulnerability(
        &self,
        asset: &Asset,
        vulnerability: &Vulnerability,
        rev: Option<u64>,
        high: u16,
    ) -> Result<(), StoreError> {
        let item = vulnerability_item(asset, vulnerability, rev, high);
        self.put(&keys::vulnerability(&asset.id, &vulnerability.id), item, Some(Condition::revision(rev)))
            .await
    }

    /// Replaces a vulnerability that was merged into `target` by a pointer.
    pub async fn put_alias(
        &self,
        asset: &AssetId,
        id: &VulnId,
        target: &VulnId,
        rev: Option<u64>,
    ) -> Result<(), StoreError> {
        let item =
            Item::from([("alias".to_owned(), s(target.as_str())), ("rev".into(), n(rev.unwrap_or(0) + 1))]);
        self.put(&keys::vulnerability(asset, id), item, Some(Condition::revision(rev))).await
    }

    /// Says which CVEs a vulnerability uses, and which no longer. Repeating it has the same result.
    pub async fn write_cve_uses(
        &self,
        asset: &AssetId,
        used: &[(CveId, VulnId)],
        unused: &[(CveId, VulnId)],
    ) -> Result<(), StoreError> {
        if used.is_empty() && unused.is_empty() {
            return Ok(());
        }
        let puts = used.iter().map(|(cve, v)| (keys::cve_use(cve, asset, v), Item::new())).collect();
        let deletes = unused.iter().map(|(cve, v)| keys::cve_use(cve, asset, v)).collect();
        self.batch_write(puts, deletes).await
    }

    /// Writes the asset and counts what changed, in one transaction against the asset's revision.
    pub async fn commit_asset(
        &self,
        asset: &Asset,
        rev: Option<u64>,
        delta: &CounterDelta,
    ) -> Result<(), StoreError> {
        let mut items = vec![self.transact_put(
            &keys::asset(&asset.id),
            asset_item(asset, rev),
            Condition::revision(rev),
        )?];
        for (key, changes) in delta.updates(&asset.id) {
            let add = addition(&changes);
            let names: Vec<_> = add.names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let values = add.values.iter().map(|(a, b)| (a.as_str(), b.clone())).collect();
            items.push(self.transact_update_named(&key, &add.expression, "", &names, values)?);
        }
        self.transact(&format!("asset {}", asset.id), items).await
    }

    /// A ticket effect is done: the ticket is kept as it is now, and the intent is gone. Saying so again changes nothing.
    /// What was done although it is no longer wanted is kept too, and the answer is no: the next decision brings the ticket
    /// where it belongs. If the vulnerability was merged into another one meanwhile, that one gets the ticket; while it is
    /// on its way there, this is a conflict.
    pub async fn confirm_ticket(
        &self,
        asset: &AssetId,
        vulnerability: &VulnId,
        intent: &str,
        ticket: &TicketRef,
    ) -> Result<bool, StoreError> {
        let (mut asset, mut id) = (asset.clone(), vulnerability.clone());
        let mut on_its_way = false;
        for _ in 0..CONFIRM_TRIES {
            let key = keys::vulnerability(&asset, &id);
            let Some(item) = self.get(&key, true).await? else {
                let what = format!("vulnerability {id}, on its way to {asset}");
                return if on_its_way { Err(StoreError::Conflict { what }) } else { Ok(true) };
            };
            if let Some(there) = followed(&item, &asset)? {
                on_its_way = there.0 != asset;
                (asset, id) = there;
                continue;
            }
            let mut vulnerability = read_vulnerability(&item)?;
            let wanted = vulnerability.intents.remove(intent).is_some();
            let known = vulnerability.ticket.as_ref();
            let is_news = known.is_none_or(|known| {
                (&known.tracker, &known.key) == (&ticket.tracker, &ticket.key) && known.state != ticket.state
            });
            if !wanted && !is_news {
                // Said before, or it has another one.
                return Ok(true);
            }
            let timer = if vulnerability.other_tickets.is_empty() {
                Timer::of_vulnerability(&vulnerability)
            } else {
                // The sweep brings the decision that the tickets beside this one wait for.
                Timer::stored(&item)
            };
            match self.take_intent(&key, &item, intent, timer, Some(ticket)).await {
                Err(error) if error.is_conflict() => {}
                other => return other.map(|()| wanted),
            }
        }
        Err(StoreError::Conflict { what: format!("ticket of vulnerability {id}") })
    }

    /// A notification about an asset's vulnerabilities is done. Saying so again changes nothing.
    pub async fn confirm_notification(&self, asset: &AssetId, intent: &str) -> Result<(), StoreError> {
        let key = keys::asset(asset);
        for _ in 0..CONFIRM_TRIES {
            let Some(item) = self.get(&key, true).await? else { return Ok(()) };
            let mut value = read_asset(&item)?;
            if value.intents.remove(intent).is_none() {
                return Ok(());
            }
            match self.take_intent(&key, &item, intent, Timer::of_asset(&value), None).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict { what: format!("notification {intent} of asset {asset}") })
    }

    /// Takes an intent from an item that still is as it was read, and leaves it under this timer: the sweep of the
    /// intent would bring decisions for ever that change nothing.
    async fn take_intent(
        &self,
        key: &keys::Key,
        item: &Item,
        intent: &str,
        timer: Option<Timer>,
        ticket: Option<&TicketRef>,
    ) -> Result<(), StoreError> {
        let (mut set, mut remove) = (Vec::new(), "intents.#k");
        let mut values = vec![(":one", n(1)), (":rev", n(number::<u64>(item, "rev").unwrap_or(0)))];
        if let Some(ticket) = ticket {
            set.push("ticket = :t");
            values.push((":t", s(serde_json::to_string(ticket).unwrap_or_default())));
        }
        match timer {
            Some(timer) => {
                set.push("w = :w, ws = :ws");
                values.extend([(":w", s(timer.partition)), (":ws", s(timer.sort))]);
            }
            None => remove = "intents.#k, w, ws",
        }
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        let update = format!("{set}ADD rev :one REMOVE {remove}");
        self.update(key, &update, Some("rev = :rev"), &[("#k", intent)], values).await
    }

    /// Has the sweep ask for a ticket's intent at `at` and not before. Saying so again changes nothing.
    pub async fn put_off_ticket(
        &self,
        asset: &AssetId,
        vulnerability: &VulnId,
        intent: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let what = format!("ticket of vulnerability {vulnerability}");
        for _ in 0..CONFIRM_TRIES {
            let Some(Versioned { rev, value: mut found }) = self.vulnerability(asset, vulnerability).await?
            else {
                return Ok(());
            };
            let Some(known) = found.intents.get_mut(intent).filter(|known| known.again_at != Some(at)) else {
                return Ok(());
            };
            known.again_at = Some(at);
            match self.transact(&what, vec![self.transact_ticket_intent(&found, intent, rev)?]).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict { what })
    }

    /// Has the wish of a delivery asked for again: where it stands by now, and the write that puts it there. A ticket that
    /// is no longer wanted has none: it is settled. `None`: what it was about is gone.
    pub(crate) async fn wish_again(
        &self,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Option<(EffectTarget, Option<TransactWriteItem>)>, StoreError> {
        let key = &delivery.key;
        let (target, write) = match &delivery.target {
            None => return Ok(None),
            Some(target @ EffectTarget::Vulnerability { asset, vulnerability }) => {
                let Some(mut read) = self.vulnerability(asset, vulnerability).await? else { return Ok(None) };
                let write = match read.value.intents.get_mut(key) {
                    Some(intent) => {
                        intent.ask(now);
                        Some(self.transact_ticket_intent(&read.value, key, read.rev)?)
                    }
                    None => None,
                };
                (target.clone(), write)
            }
            Some(EffectTarget::Asset { asset }) => {
                let (Some(mut read), Some(effect)) = (self.living_asset(asset).await?, &delivery.effect)
                else {
                    return Ok(None);
                };
                let (id, intent) = (read.value.id.clone(), Intent::new(key, effect.clone(), now));
                read.value.intents.insert(key.clone(), intent.clone());
                let timer = Timer::of_asset(&read.value);
                let write = self.transact_intent(&keys::asset(&id), &intent, timer, read.rev)?;
                (EffectTarget::Asset { asset: id }, Some(write))
            }
            Some(target @ EffectTarget::Run { connector, run }) => {
                if self.run(connector, run).await?.is_none() {
                    return Ok(None);
                }
                let write = self.transact_run_intent(connector, run, key, &delivery.receiver, now)?;
                (target.clone(), Some(write))
            }
        };
        Ok(Some((target, write)))
    }

    /// An asset, or the one that it turned out to be.
    async fn living_asset(&self, id: &AssetId) -> Result<Option<Versioned<Asset>>, StoreError> {
        let mut found = self.asset(id).await?;
        for _ in 0..CONFIRM_TRIES {
            let Some(into) = found.as_ref().and_then(|read| read.value.merged_into.clone()) else { break };
            found = self.asset(&into).await?;
        }
        Ok(found)
    }

    fn transact_ticket_intent(
        &self,
        vulnerability: &Vulnerability,
        intent: &str,
        rev: Option<u64>,
    ) -> Result<TransactWriteItem, StoreError> {
        let key = keys::vulnerability(&vulnerability.asset, &vulnerability.id);
        let timer = Timer::of_vulnerability(vulnerability);
        self.transact_intent(&key, &vulnerability.intents[intent], timer, rev)
    }

    /// Puts an intent on an item that still is as it was read, and the item under this timer.
    fn transact_intent(
        &self,
        key: &keys::Key,
        intent: &Intent,
        timer: Option<Timer>,
        rev: Option<u64>,
    ) -> Result<TransactWriteItem, StoreError> {
        let json = serde_json::to_string(intent).unwrap_or_default();
        let mut update = "SET intents.#k = :i".to_owned();
        let mut values = vec![(":i", s(json)), (":one", n(1)), (":rev", n(rev.unwrap_or(0)))];
        if let Some(timer) = timer {
            update.push_str(", w = :w, ws = :ws");
            values.extend([(":w", s(timer.partition)), (":ws", s(timer.sort))]);
        }
        update.push_str(" ADD rev :one");
        // What is on its way to another asset is taken along as it was read.
        let unmoved = "rev = :rev AND attribute_not_exists(alias)";
        self.transact_update_named(key, &update, unmoved, &[("#k", &intent.key)], values)
    }

    /// A person decided. `None` takes the decision back. The audit's line is written with it.
    pub async fn put_decision(
        &self,
        asset: &AssetId,
        vulnerability: &VulnId,
        decision: Option<&Decision>,
        line: &AuditLine,
    ) -> Result<(), StoreError> {
        let key = keys::vulnerability(asset, vulnerability);
        let exists = "attribute_exists(pk) AND attribute_not_exists(alias)";
        let (update, mut values) = match decision {
            Some(decision) => {
                let json = serde_json::to_string(decision).unwrap_or_default();
                ("SET decision = :d ADD rev :one", vec![(":d", s(json))])
            }
            None => ("REMOVE decision ADD rev :one", vec![]),
        };
        values.push((":one", n(1)));
        let items = vec![self.transact_update(&key, update, exists, values)?, self.transact_audit(line)?];
        self.transact(&format!("decision on {vulnerability}"), items).await
    }

    /// Assets with a vulnerability that uses this CVE.
    pub async fn cve_users(&self, cve: &CveId) -> Result<BTreeSet<AssetId>, StoreError> {
        let mut assets = BTreeSet::new();
        for shard in 0..keys::CVE_SHARDS {
            let pk = keys::cve_users_partition(cve, shard);
            // Who is not in this answer is not told: it must not be an old one.
            let mut range = Range::all(&pk);
            range.consistent = true;
            for item in self.query_all(range).await? {
                let asset = sort_key(&item).split('#').nth(1).and_then(|id| id.parse().ok());
                assets.extend(asset);
            }
        }
        Ok(assets)
    }

    /// Some of the vulnerabilities that use this CVE, each with its asset, after a place; with the place where the list
    /// goes on.
    pub async fn cve_users_page(
        &self,
        cve: &CveId,
        after: Option<&str>,
        limit: i32,
    ) -> Result<(Vec<(AssetId, VulnId)>, Option<String>), StoreError> {
        let begin = after.and_then(|after| after.split_once('/'));
        let first = begin.and_then(|(shard, _)| shard.parse().ok()).unwrap_or(0);
        let mut users = Vec::new();
        for shard in first..keys::CVE_SHARDS {
            let pk = keys::cve_users_partition(cve, shard);
            let mut range = Range::all(&pk);
            range.after = begin.filter(|_| shard == first).map(|(_, key)| key);
            range.limit = Some(limit - i32::try_from(users.len()).unwrap_or(limit));
            let (items, next) = self.query_page(&range, None).await?;
            users.extend(items.iter().filter_map(|item| keys::cve_user(sort_key(item))));
            let place = items.last().map(|item| format!("{shard}/{}", sort_key(item)));
            if next.is_some() || users.len() >= usize::try_from(limit).unwrap_or_default() {
                return Ok((users, place));
            }
        }
        Ok((users, None))
    }

    /// These vulnerabilities, in no order; what does not exist or has gone elsewhere is left out.
    pub async fn vulnerabilities_by_id(
        &self,
        ids: &[(AssetId, VulnId)],
    ) -> Result<Vec<Vulnerability>, StoreError> {
        let wanted: Vec<_> = ids.iter().map(|(asset, id)| keys::vulnerability(asset, id)).collect();
        let items = self.batch_get(&wanted, false).await?;
        items.iter().filter(|item| !item.contains_key("alias")).map(read_vulnerability).collect()
    }

    /// Where there is something to do on `day` at or before `now`.
    pub async fn due(&self, day: jiff::civil::Date, now: Timestamp) -> Result<Due, StoreError> {
        let mut due = Due::default();
        let high = format!("{}~", now.strftime("%Y-%m-%dT%H:%M:%SZ"));
        for shard in 0..keys::TIMER_SHARDS {
            let pk = keys::timer_partition(day, shard);
            let mut range = Range::all(&pk);
            range.index = Some(keys::TIMERS);
            range.between = Some(("0", &high));
            for item in self.query_all(range).await? {
                let pk = text(&item, "pk").unwrap_or_default();
                due.assets.extend(pk.strip_prefix("A#").and_then(|id| id.parse().ok()));
                let connector = pk.strip_prefix("U#").and_then(|name| name.parse().ok());
                let run = sort_key(&item).strip_prefix("RUN#").map(RunId::stored);
                due.runs.extend(connector.zip(run));
            }
        }
        Ok(due)
    }
}

/// Where there is something to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Assets to decide on again.
    pub assets: BTreeSet<AssetId>,
    /// Runs whose notifications nobody has confirmed.
    pub runs: BTreeSet<(ConnectorName, RunId)>,
}

/// Where an item under a vulnerability's id leads, if it is no more than a pointer.
fn followed(item: &Item, asset: &AssetId) -> Result<Option<(AssetId, VulnId)>, StoreError> {
    let Some(alias) = text(item, "alias") else { return Ok(None) };
    let bad = |e: domain::InvalidId| codec::malformed(item, e);
    let there = text(item, "moved").map_or(Ok(asset.clone()), str::parse).map_err(bad)?;
    Ok(Some((there, alias.parse().map_err(bad)?)))
}

fn intents_value(intents: &BTreeMap<String, Intent>) -> AttributeValue {
    let map =
        intents.iter().map(|(k, v)| (k.clone(), s(serde_json::to_string(v).unwrap_or_default()))).collect();
    AttributeValue::M(map)
}

fn read_intents(item: &Item) -> Result<BTreeMap<String, Intent>, StoreError> {
    let Some(map) = item.get("intents").and_then(|v| v.as_m().ok()) else { return Ok(BTreeMap::new()) };
    map.iter()
        .map(|(key, value)| {
            let json = value.as_s().map_err(|_| codec::malformed(item, "an intent is no text"))?;
            Ok((key.clone(), serde_json::from_str(json).map_err(|e| codec::malformed(item, e))?))
        })
        .collect()
}

/// Where an item stands in the index of what is to do next.
#[derive(Debug, PartialEq, Eq)]
struct Timer {
    partition: String,
    sort: String,
}

impl Timer {
    fn new(at: Timestamp, id: &str) -> Self {
        Self { partition: keys::timer_of(at, id), sort: keys::timer_sort(at, id) }
    }

    /// The one that follows from an asset.
    fn of_asset(asset: &Asset) -> Option<Self> {
        let next = [asset.look_at, sweep_at(&asset.intents)].into_iter().flatten().min();
        next.map(|at| Self::new(at, asset.id.as_str()))
    }

    /// The one that follows from a vulnerability.
    fn of_vulnerability(vulnerability: &Vulnerability) -> Option<Self> {
        let next = [vulnerability.next_at, sweep_at(&vulnerability.intents)].into_iter().flatten().min();
        next.map(|at| Self::new(at, vulnerability.id.as_str()))
    }

    /// The one that an item is under.
    fn stored(item: &Item) -> Option<Self> {
        let (partition, sort) = text(item, "w").zip(text(item, "ws"))?;
        Some(Self { partition: partition.to_owned(), sort: sort.to_owned() })
    }

    fn write(this: Option<Self>, item: &mut Item) {
        if let Some(timer) = this {
            item.insert("w".into(), s(timer.partition));
            item.insert("ws".into(), s(timer.sort));
        }
    }
}

/// When unconfirmed effects have to be looked at.
fn sweep_at(intents: &BTreeMap<String, Intent>) -> Option<Timestamp> {
    intents.values().map(Intent::sweep_at).min()
}

pub(crate) fn asset_item(asset: &Asset, rev: Option<u64>) -> Item {
    let mut stored = asset.clone();
    let intents = std::mem::take(&mut stored.intents);
    let mut item = Item::from([
        (codec::DOCUMENT.to_owned(), document(&stored)),
        ("rev".into(), n(rev.unwrap_or(0) + 1)),
    ]);
    Timer::write(Timer::of_asset(asset), &mut item);
    item.insert("intents".into(), intents_value(&intents));
    // What turned out to be another asset is in no list.
    if asset.merged_into.is_none() {
        item.insert("o".into(), s(keys::owner_assets_partition(&asset.owner)));
        item.insert("os".into(), s(asset.id.as_str()));
    }
    item
}

pub(crate) fn read_asset(item: &Item) -> Result<Asset, StoreError> {
    let mut asset: Asset = codec::parse(item)?;
    asset.intents = read_intents(item)?;
    Ok(asset)
}

/// What is kept of a vulnerability, without the keys of lists.
pub(crate) fn stored_vulnerability(vulnerability: &Vulnerability) -> Item {
    let mut stored = vulnerability.clone();
    let intents = std::mem::take(&mut stored.intents);
    let (ticket, decision) = (stored.ticket.take(), stored.decision.take());
    let mut item = Item::from([
        (codec::DOCUMENT.to_owned(), document(&stored)),
        ("intents".into(), intents_value(&intents)),
    ]);
    if let Some(ticket) = ticket {
        item.insert("ticket".into(), s(serde_json::to_string(&ticket).unwrap_or_default()));
    }
    if let Some(decision) = decision {
        item.insert("decision".into(), s(serde_json::to_string(&decision).unwrap_or_default()));
    }
    item
}

fn vulnerability_item(asset: &Asset, vulnerability: &Vulnerability, rev: Option<u64>, high: u16) -> Item {
    let id = vulnerability.id.as_str();
    let mut item = stored_vulnerability(vulnerability);
    item.insert("rev".into(), n(rev.unwrap_or(0) + 1));
    item.insert(ASSET_NAME.into(), s(asset.host.display_name()));
    let score = vulnerability.score.value;
    if !matches!(vulnerability.status, Status::Fixed | Status::Gone) {
        item.insert("o".into(), s(keys::owner_partition(&asset.owner, keys::owner_shard(&vulnerability.id))));
        item.insert("os".into(), s(keys::falling(score, id)));
    }
    if vulnerability.status.is_open() && score >= high {
        item.insert("t".into(), s(keys::top_partition(keys::top_shard(&vulnerability.id))));
        item.insert("ts".into(), s(keys::falling(score, id)));
    }
    Timer::write(Timer::of_vulnerability(vulnerability), &mut item);
    item
}

pub(crate) fn read_vulnerability(item: &Item) -> Result<Vulnerability, StoreError> {
    let mut vulnerability: Vulnerability = codec::parse(item)?;
    vulnerability.intents = read_intents(item)?;
    let json = |name: &str| text(item, name);
    vulnerability.ticket =
        json("ticket").map(serde_json::from_str).transpose().map_err(|e| codec::malformed(item, e))?;
    vulnerability.decision =
        json("decision").map(serde_json::from_str).transpose().map_err(|e| codec::malformed(item, e))?;
    Ok(vulnerability)
}
