//! Which identifier leads to which assets, and every change of who is one machine.
//!
//! All of a change is one transaction against the revisions that were read: the assets, what leads to them, the links of
//! the sightings, and a line of history. Of two functions that decide on the same identifier at once, one loses and
//! decides again.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::identity::{HOLDERS, Identifier, IdentityChange};
use domain::inventory::{Inventory, InventoryRow};
use domain::{Asset, AssetId, SightingId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::audit::AuditLine;
use crate::codec::{self, Item, document, n, number, s, text};
use crate::counters::{CounterDelta, addition};
use crate::decisions::{Versioned, asset_item, read_asset};
use crate::error::StoreError;
use crate::keys;
use crate::statements::link_item;
use crate::table::{Condition, Range, Store};

/// Most items of one transaction.
const TRANSACTION: usize = 100;

/// Where an identifier leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lead {
    /// Assets that were seen with it, the latest last. Some may have turned out to be others since.
    pub holders: Vec<AssetId>,
    /// Several machines share it: it leads nowhere.
    pub shared: Option<Shared>,
    /// A person said that it is not shared, whatever it looks like.
    pub never_shared: bool,
    /// What people know of the machine that has it, imported.
    pub inventory: Option<Inventory>,
    rev: Option<u64>,
}

/// How it is known that a value is shared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// How.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

impl Lead {
    /// Adds an asset that was seen with it. `false`: it is known.
    pub fn hold(&mut self, asset: &AssetId) -> bool {
        if self.shared.is_some() || self.holders.contains(asset) {
            return false;
        }
        self.holders.push(asset.clone());
        if self.holders.len() > HOLDERS {
            self.holders.remove(0);
        }
        true
    }

    /// Says that it is shared. `false`: that is known, or it never is.
    pub fn share(&mut self, reason: &str, at: Timestamp) -> bool {
        if self.never_shared || self.shared.is_some() {
            return false;
        }
        self.holders.clear();
        self.shared = Some(Shared { reason: reason.to_owned(), at });
        true
    }
}

/// What became of a row of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is this asset, which has to be decided on.
    By(AssetId),
    /// No scanner has seen the machine yet: it is kept until one does.
    Waits,
    /// Its strongest identifier leads to several assets: nothing was taken over.
    Several(Vec<AssetId>),
}

/// A sighting that goes from one asset to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relink {
    /// The sighting.
    pub sighting: SightingId,
    /// Where it is; `None`: nowhere yet.
    pub from: Option<AssetId>,
    /// Where it is to be.
    pub to: AssetId,
}

/// A sighting that several assets have the same right to. It has an asset of its own until a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The asset of its own.
    pub asset: AssetId,
    /// The sighting.
    pub sighting: SightingId,
    /// The assets that it could be.
    pub candidates: Vec<AssetId>,
    /// What it shows.
    pub identifiers: Vec<Identifier>,
    /// Since when.
    pub at: Timestamp,
}

/// A change of who is one machine.
#[derive(Debug, Clone, Default)]
pub struct Regroup {
    /// Assets as they are to be, each against the revision it was read at.
    pub assets: Vec<Versioned<Asset>>,
    /// What leads to them. Where there are too many for one transaction, the strongest are written.
    pub leads: Vec<(Identifier, Lead)>,
    /// Sightings that join or move.
    pub links: Vec<Relink>,
    /// What happened, for the assets' history.
    pub history: Vec<(AssetId, IdentityChange)>,
    /// What a person has to look at.
    pub review: Option<Review>,
    /// The assets whose review is settled.
    pub reviewed: Vec<AssetId>,
    /// What moves in the counters.
    pub counters: CounterDelta,
    /// Who did it, where that was a person.
    pub audit: Option<AuditLine>,
}

impl Store {
    /// Where these identifiers lead. Each is in the answer.
    pub async fn leads(
        &self,
        identifiers: &BTreeSet<Identifier>,
    ) -> Result<BTreeMap<Identifier, Lead>, StoreError> {
        let by_key: BTreeMap<_, _> = identifiers.iter().map(|id| (keys::identifier(id).pk, id)).collect();
        let mut leads: BTreeMap<Identifier, Lead> =
            identifiers.iter().map(|id| (id.clone(), Lead::default())).collect();
        let keys: Vec<_> = identifiers.iter().map(keys::identifier).collect();
        for item in self.batch_get(&keys, true).await? {
            if let Some(identifier) = text(&item, "pk").and_then(|pk| by_key.get(pk)) {
                leads.insert((*identifier).clone(), read_lead(&item)?);
            }
        }
        Ok(leads)
    }

    /// Changes who is one machine: all of it or nothing. A conflict means that somebody else was quicker: read and
    /// decide again.
    pub async fn regroup(&self, change: &Regroup) -> Result<(), StoreError> {
        let Some(first) = change.assets.first() else { return Ok(()) };
        let what = format!("asset {}", first.value.id);
        let mut items = Vec::new();
        for asset in &change.assets {
            items.push(self.transact_put(
                &keys::asset(&asset.value.id),
                asset_item(&asset.value, asset.rev),
                Condition::revision(asset.rev),
            )?);
        }
        for link in &change.links {
            items.push(match &link.from {
                None => {
                    let item: Item = link_item(&link.to, 0).into_iter().collect();
                    self.transact_put(&keys::link(&link.sighting), item, Condition::absent())?
                }
                Some(from) => self.transact_update(
                    &keys::link(&link.sighting),
                    "SET asset = :to, scored = :none",
                    "asset = :from",
                    vec![(":to", s(link.to.as_str())), (":from", s(from.as_str())), (":none", n(0))],
                )?,
            });
        }
        for (asset, happened) in &change.history {
            items.push(self.transact_put(&history_key(asset, happened), history_item(happened), None)?);
        }
        if let Some(review) = &change.review {
            items.push(self.transact_put(&keys::review(&review.asset), review_item(review), None)?);
        }
        for asset in &change.reviewed {
            items.push(self.transact_delete(&keys::review(asset))?);
        }
        for (key, changes) in change.counters.updates(&first.value.id) {
            let add = addition(&changes);
            let names: Vec<_> = add.names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let values = add.values.iter().map(|(a, b)| (a.as_str(), b.clone())).collect();
            items.push(self.transact_update_named(&key, &add.expression, "", &names, values)?);
        }
        if let Some(line) = &change.audit {
            items.push(self.transact_audit(line)?);
        }
        for (identifier, lead) in change.leads.iter().take(TRANSACTION.saturating_sub(items.len())) {
            items.push(self.transact_put(
                &keys::identifier(identifier),
                lead_item(identifier, lead),
                lead_unchanged(lead),
            )?);
        }
        self.transact(&what, items).await
    }

    /// Takes over what people know of one machine: for the asset that its strongest identifier leads to, and, where it
    /// was not seen yet, for the one that will show it. Repeating it has the same result.
    pub async fn put_inventory(&self, row: &InventoryRow) -> Result<Taken, StoreError> {
        let mut leads = self.leads(&row.identifiers).await?;
        let mut found = None;
        // Each kind in turn: two assets with the same full name are no answer, and neither is a weaker kind then.
        for id in &row.identifiers {
            let lead = &leads[id];
            let mut assets = BTreeMap::new();
            for holder in &lead.holders {
                if let Some(asset) = self.resolved_asset(holder).await? {
                    assets.insert(asset.value.id.clone(), asset);
                }
            }
            if assets.len() > 1 {
                return Ok(Taken::Several(assets.into_keys().collect()));
            }
            if let Some((_, asset)) = assets.pop_first() {
                found = Some(asset);
                break;
            }
        }
        let known = Some(row.known.clone());
        leads.retain(|_, lead| lead.inventory != known && lead.shared.is_none());
        leads.values_mut().for_each(|lead| lead.inventory.clone_from(&known));
        let leads: Vec<_> = leads.into_iter().collect();
        match found {
            None => {
                for (identifier, lead) in &leads {
                    let key = keys::identifier(identifier);
                    self.put(&key, lead_item(identifier, lead), Some(lead_unchanged(lead))).await?;
                }
                Ok(Taken::Waits)
            }
            Some(mut asset) => {
                let id = asset.value.id.clone();
                if asset.value.inventory != known || !leads.is_empty() {
                    asset.value.inventory = known;
                    self.regroup(&Regroup { assets: vec![asset], leads, ..Regroup::default() }).await?;
                }
                Ok(Taken::By(id))
            }
        }
    }

    /// Changes where an identifier leads, with the audit's line of who says so.
    pub async fn put_lead(
        &self,
        identifier: &Identifier,
        lead: &Lead,
        line: &AuditLine,
    ) -> Result<(), StoreError> {
        let key = keys::identifier(identifier);
        let put = self.transact_put(&key, lead_item(identifier, lead), lead_unchanged(lead))?;
        self.transact(&format!("identifier {identifier}"), vec![put, self.transact_audit(line)?]).await
    }

    /// Identifiers that lead nowhere because several machines share them, the latest first, after a place; with the
    /// place where the list goes on.
    pub async fn shared_identifiers(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<(Identifier, Shared)>, Option<String>), StoreError> {
        let partitions: Vec<_> = (0..keys::SHARED_SHARDS).map(keys::shared_partition).collect();
        let (items, next) = self.newest(Some(keys::BY_OWNER), "os", &partitions, after, limit).await?;
        let mut all = Vec::with_capacity(items.len());
        for item in &items {
            let id = text(item, "pk")
                .and_then(keys::identifier_of)
                .ok_or_else(|| codec::malformed(item, "the key is no identifier's"))?;
            all.extend(read_lead(item)?.shared.map(|shared| (id, shared)));
        }
        Ok((all, next))
    }

    /// Sightings that a person has to look at, the latest first, after a place; with the place where the list goes on.
    pub async fn reviews(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Review>, Option<String>), StoreError> {
        let partitions: Vec<_> = (0..keys::SHARED_SHARDS).map(keys::reviews_partition).collect();
        let (items, next) = self.newest(Some(keys::BY_OWNER), "os", &partitions, after, limit).await?;
        Ok((items.iter().map(codec::parse).collect::<Result<_, _>>()?, next))
    }

    /// What happened to an asset's identity, the latest first.
    pub async fn identity_history(
        &self,
        asset: &AssetId,
        limit: i32,
    ) -> Result<Vec<IdentityChange>, StoreError> {
        let pk = keys::history_partition(asset);
        let mut range = Range::all(&pk);
        range.between = Some(("0", ":"));
        range.descending = true;
        range.limit = Some(limit);
        let (items, _) = self.query_page(&range, None).await?;
        items.iter().map(codec::parse).collect()
    }

    /// What a person has to look at about an asset.
    pub async fn review(&self, asset: &AssetId) -> Result<Option<Review>, StoreError> {
        self.get(&keys::review(asset), false).await?.as_ref().map(codec::parse).transpose()
    }

    /// What people call these assets; what does not exist is left out.
    pub async fn asset_names(&self, ids: &[AssetId]) -> Result<BTreeMap<AssetId, String>, StoreError> {
        let assets = self.assets_by_id(ids).await?.into_iter();
        Ok(assets.map(|asset| (asset.id.clone(), asset.host.display_name().to_owned())).collect())
    }

    /// These assets, in no order; what does not exist is left out.
    pub async fn assets_by_id(&self, ids: &[AssetId]) -> Result<Vec<Asset>, StoreError> {
        let wanted: Vec<_> = ids.iter().map(keys::asset).collect();
        self.batch_get(&wanted, false).await?.iter().map(read_asset).collect()
    }

    /// The asset that this one is now, itself if it is still there.
    pub async fn resolved_asset(&self, id: &AssetId) -> Result<Option<Versioned<Asset>>, StoreError> {
        let mut id = id.clone();
        // A chain is as long as the number of merges, which is small; the bound guards against a circle.
        for _ in 0..16 {
            let Some(asset) = self.asset(&id).await? else { return Ok(None) };
            match &asset.value.merged_into {
                Some(into) => id = into.clone(),
                None => return Ok(Some(asset)),
            }
        }
        Ok(None)
    }

    /// Leads the sightings of an asset that turned out to be another one there. Repeating it has the same result.
    pub async fn relink(
        &self,
        sightings: impl IntoIterator<Item = &SightingId>,
        from: &AssetId,
        to: &AssetId,
    ) -> Result<(), StoreError> {
        for sighting in sightings {
            let values = vec![(":to", s(to.as_str())), (":from", s(from.as_str())), (":none", n(0))];
            let update = "SET asset = :to, scored = :none";
            match self.update(&keys::link(sighting), update, Some("asset = :from"), &[], values).await {
                // It has moved on by itself.
                Err(error) if error.is_conflict() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn lead_item(identifier: &Identifier, lead: &Lead) -> Item {
    let mut item = Item::from([("rev".to_owned(), n(lead.rev.unwrap_or(0) + 1))]);
    if !lead.holders.is_empty() {
        let holders = lead.holders.iter().map(|asset| s(asset.as_str())).collect();
        item.insert("assets".into(), AttributeValue::L(holders));
    }
    // All that versions read which knew one holder only: whoever goes back to one loses no machine.
    if let Some(latest) = lead.holders.last() {
        item.insert("asset".into(), s(latest.as_str()));
    }
    if let Some(shared) = &lead.shared {
        item.insert("shared".into(), s(&shared.reason));
        item.insert("at".into(), s(shared.at.to_string()));
        let id = identifier.to_string();
        item.insert("o".into(), s(keys::shared_partition_of(&id)));
        item.insert("os".into(), s(keys::timer_sort(shared.at, &id)));
    }
    if let Some(inventory) = &lead.inventory {
        item.insert("inventory".into(), document(inventory));
    }
    if lead.never_shared {
        item.insert("never_shared".into(), AttributeValue::Bool(true));
    }
    item
}

/// That the item still is what was read. One without a revision is new, or of an earlier version.
fn lead_unchanged(lead: &Lead) -> Condition {
    match lead.rev {
        Some(_) => Condition::revision(lead.rev),
        None => Condition { expression: "attribute_not_exists(rev)".into(), values: Vec::new() },
    }
}

fn read_lead(item: &Item) -> Result<Lead, StoreError> {
    let holders = match item.get("assets").and_then(|value| value.as_l().ok()) {
        // As earlier versions wrote it.
        None => match text(item, "asset") {
            None => Vec::new(),
            Some(one) => vec![one.parse().map_err(|e| codec::malformed(item, e))?],
        },
        Some(all) => all
            .iter()
            .map(|value| {
                let id = value.as_s().map_err(|_| codec::malformed(item, "an asset is no text"))?;
                id.parse().map_err(|e| codec::malformed(item, e))
            })
            .collect::<Result<_, _>>()?,
    };
    let shared = match text(item, "shared") {
        None => None,
        Some(reason) => Some(Shared {
            reason: reason.to_owned(),
            at: codec::required(item, "at")?.parse().map_err(|e| codec::malformed(item, e))?,
        }),
    };
    let never_shared = item.get("never_shared").and_then(|value| value.as_bool().ok()) == Some(&true);
    let inventory = match item.get("inventory").and_then(|value| value.as_b().ok()) {
        None => None,
        Some(packed) => {
            let json = codec::inflate(packed.as_ref()).map_err(|e| codec::malformed(item, e))?;
            Some(serde_json::from_slice(&json).map_err(|e| codec::malformed(item, e))?)
        }
    };
    Ok(Lead { holders, shared, never_shared, inventory, rev: number(item, "rev") })
}

fn review_item(review: &Review) -> Item {
    let asset = review.asset.as_str();
    Item::from([
        (codec::DOCUMENT.to_owned(), document(review)),
        ("o".into(), s(keys::reviews_partition_of(&review.asset))),
        ("os".into(), s(keys::timer_sort(review.at, asset))),
    ])
}

fn history_key(asset: &AssetId, happened: &IdentityChange) -> keys::Key {
    let json = serde_json::to_vec(happened).unwrap_or_default();
    keys::history(asset, happened.at, domain::digest(&json))
}

fn history_item(happened: &IdentityChange) -> Item {
    Item::from([(codec::DOCUMENT.to_owned(), document(happened))])
}
