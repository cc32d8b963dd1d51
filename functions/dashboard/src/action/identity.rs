//! What a person can say of who is one machine. Each is one transaction; the vulnerabilities follow when `score` decides
//! on the assets.

use std::collections::BTreeSet;

use domain::decide::SWEEP_AFTER;
use domain::identity::{self, Happened, Identifier, IdentityChange, Parted};
use domain::{Asset, AssetId, SightingId};
use queue::{QueueName, ScoreMessage};
use serde::Deserialize;
use store::{AuditAction, AuditLine, Regroup, Store, StoreError, Versioned};

use super::MAX_REASON;
use crate::Dashboard;
use crate::door::Caller;
use crate::problem::Problem;

/// Sightings that are named in the history.
const NAMED: usize = 50;
/// What is told when somebody else was quicker.
const QUICKER: &str = "the asset was changed at the same time: look again and repeat it";

/// Two assets, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WithOther {
    other: AssetId,
    #[serde(default)]
    reason: Option<String>,
}

/// Sightings that are another machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sightings {
    sightings: OneOrMore,
    #[serde(default)]
    reason: Option<String>,
}

/// A list of JSON, or the one value of a form.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    Many(Vec<SightingId>),
    One(SightingId),
}

/// Why, and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    #[serde(default)]
    reason: Option<String>,
}

/// An identifier and what is true of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judgement {
    identifier: Identifier,
    /// `never`: it is one machine's, whatever it looks like. `learn`: that is left to what is seen.
    shared: Sharing,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sharing {
    Never,
    Learn,
}

impl Dashboard {
    /// Two assets are one machine.
    pub(super) async fn merge_assets(
        &self,
        asset: &str,
        wanted: WithOther,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let reason = worded(wanted.reason)?;
        let one = present(&self.store, &parsed(asset)?).await?;
        let other = present(&self.store, &wanted.other).await?;
        if one.value.id == other.value.id {
            return Err(Problem::Conflict("these two are one asset already".into()));
        }
        let united = identity::unite(&one.value, &other.value, Some(&caller.name));
        let (kept, gone) = (united.kept.id.clone(), united.gone.id.clone());
        let rev = |asset: &Asset| if asset.id == one.value.id { one.rev } else { other.rev };
        let mut change = Regroup::default();
        change.counters.add_union(&united.kept, &united.gone, 1);
        let happened = IdentityChange {
            sightings: united.gone.sightings.keys().take(NAMED).cloned().collect(),
            ..self.happened(Happened::Absorbed, &gone, &reason, caller)
        };
        change.history = happened.on_both(kept.clone()).into();
        change.reviewed = vec![kept.clone(), gone.clone()];
        change.assets =
            [united.kept, united.gone].map(|asset| Versioned { rev: rev(&asset), value: asset }).into();
        let detail = format!("{gone} into {kept}{}", because(&reason));
        change.audit = Some(self.line(caller, AuditAction::MergedAssets, format!("asset {kept}"), detail));
        self.regroup(change, [kept.clone(), gone]).await?;
        Ok(format!("/assets/{kept}"))
    }

    /// A merge was none: the asset that was gone is itself again.
    pub(super) async fn undo_merge(&self, gone: &str, why: Why, caller: &Caller) -> Result<String, Problem> {
        let reason = worded(why.reason)?;
        let gone = self.store.asset(&parsed(gone)?).await?.ok_or(Problem::NotFound)?;
        let Some(into) = &gone.value.merged_into else {
            return Err(Problem::Conflict("this asset is not part of another one".into()));
        };
        let from = present(&self.store, into).await?;
        if from.value.id != *into {
            let problem = format!("{into} has become part of {}: undo that first", from.value.id);
            return Err(Problem::Conflict(problem));
        }
        let parted = identity::part(&from.value, &gone.value, &caller.name);
        let mut change = Regroup::default();
        change.counters.add_union(&parted.from, &parted.own, -1);
        let target = format!("asset {}", parted.own.id);
        let detail = format!("no longer part of {into}{}", because(&reason));
        change.audit = Some(self.line(caller, AuditAction::PartedAssets, target, detail));
        self.parted(change, parted, (from.rev, gone.rev), &reason, caller).await
    }

    /// Some sightings of an asset are another machine.
    pub(super) async fn split_asset(
        &self,
        asset: &str,
        wanted: Sightings,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let reason = worded(wanted.reason)?;
        let from = present(&self.store, &parsed(asset)?).await?;
        let sightings: BTreeSet<SightingId> = match wanted.sightings {
            OneOrMore::Many(all) => all.into_iter().collect(),
            OneOrMore::One(one) => [one].into(),
        };
        let has = &from.value.sightings;
        if let Some(other) = sightings.iter().find(|sighting| !has.contains_key(sighting)) {
            return Err(Problem::Invalid(format!("{other} is not a sighting of this asset")));
        }
        if sightings.is_empty() || sightings.len() == has.len() {
            return Err(Problem::Invalid("name some of the sightings, and leave at least one".into()));
        }
        let named: Vec<String> = sightings.iter().map(ToString::to_string).collect();
        let now = self.now();
        let id = AssetId::derive(&format!("split|{}|{}|{now}", from.value.id, named.join("|")));
        let mut parted = identity::split(&from.value, id.clone(), &sightings, &caller.name);
        parted.own.founded_at = Some(now);
        let target = format!("asset {}", from.value.id);
        let detail = format!("{} to {id}{}", named.join(", "), because(&reason));
        let line = self.line(caller, AuditAction::SplitAsset, target, detail);
        let change = Regroup { audit: Some(line), ..Regroup::default() };
        self.parted(change, parted, (from.rev, None), &reason, caller).await
    }

    /// Two assets are never one machine, whatever they share.
    pub(super) async fn keep_apart(
        &self,
        asset: &str,
        wanted: WithOther,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let reason = worded(wanted.reason)?;
        let mut one = present(&self.store, &parsed(asset)?).await?;
        let mut other = present(&self.store, &wanted.other).await?;
        if one.value.id == other.value.id {
            return Err(Problem::Conflict("these two are one asset: split it first".into()));
        }
        one.value.apart.insert(other.value.id.clone());
        other.value.apart.insert(one.value.id.clone());
        let (id, there) = (one.value.id.clone(), other.value.id.clone());
        let happened = self.happened(Happened::Parted, &there, &reason, caller);
        // What it could be otherwise remains to be decided.
        let left = self.store.review(&id).await?;
        let settled =
            left.is_some_and(|review| review.candidates.iter().all(|c| one.value.apart.contains(c)));
        let detail = format!("never one with {there}{}", because(&reason));
        let change = Regroup {
            history: happened.on_both(id.clone()).into(),
            assets: vec![one, other],
            reviewed: if settled { vec![id.clone()] } else { Vec::new() },
            audit: Some(self.line(caller, AuditAction::KeptApart, format!("asset {id}"), detail)),
            ..Regroup::default()
        };
        self.store.regroup(&change).await.map_err(quicker)?;
        Ok("/identity".to_owned())
    }

    /// Whether a value may be learned to be shared by several machines.
    pub(super) async fn judge_identifier(
        &self,
        wanted: Judgement,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let reason = worded(wanted.reason)?;
        let id = wanted.identifier;
        let mut lead = self.store.leads(&[id.clone()].into()).await?.remove(&id).unwrap_or_default();
        lead.never_shared = wanted.shared == Sharing::Never;
        lead.shared = None;
        let verdict = if lead.never_shared { "is never shared" } else { "may be learned to be shared" };
        let detail = format!("{verdict}{}", because(&reason));
        let line: AuditLine =
            self.line(caller, AuditAction::JudgedIdentifier, format!("identifier {id}"), detail);
        self.store.put_lead(&id, &lead, &line).await.map_err(quicker)?;
        Ok("/identity".to_owned())
    }

    /// Writes two assets that were one.
    async fn parted(
        &self,
        mut change: Regroup,
        parted: Parted,
        (from_rev, own_rev): (Option<u64>, Option<u64>),
        reason: &str,
        caller: &Caller,
    ) -> Result<String, Problem> {
        let (from, own) = (parted.from.id.clone(), parted.own.id.clone());
        let happened = IdentityChange {
            sightings: parted.own.sightings.keys().take(NAMED).cloned().collect(),
            ..self.happened(Happened::Parted, &own, reason, caller)
        };
        change.history = happened.on_both(from.clone()).into();
        change.assets = vec![
            Versioned { rev: from_rev, value: parted.from },
            Versioned { rev: own_rev, value: parted.own },
        ];
        self.regroup(change, [from, own.clone()]).await?;
        Ok(format!("/assets/{own}"))
    }

    /// Carries a change out and has both assets decided on.
    async fn regroup(&self, mut change: Regroup, assets: [AssetId; 2]) -> Result<(), Problem> {
        for asset in change.assets.iter_mut().filter(|asset| asset.value.merged_into.is_none()) {
            // Should the message be lost.
            asset.value.look_at = Some(self.now() + SWEEP_AFTER);
        }
        self.store.regroup(&change).await.map_err(quicker)?;
        tracing::info!(one = %assets[0], other = %assets[1], "a person changed who is one machine");
        let message = ScoreMessage { assets: assets.into(), ..ScoreMessage::default() };
        self.tell(QueueName::Score, &message).await
    }

    fn happened(&self, what: Happened, other: &AssetId, reason: &str, caller: &Caller) -> IdentityChange {
        IdentityChange {
            at: self.now(),
            what,
            other: other.clone(),
            sightings: Vec::new(),
            reason: reason.to_owned(),
            identifiers: Vec::new(),
            by: Some(caller.name.clone()),
        }
    }
}

fn parsed(asset: &str) -> Result<AssetId, Problem> {
    asset.parse().map_err(|_| Problem::NotFound)
}

/// An asset that is itself, and of which nothing is under way.
async fn present(store: &Store, asset: &AssetId) -> Result<Versioned<Asset>, Problem> {
    let found = store.resolved_asset(asset).await?.ok_or(Problem::NotFound)?;
    if found.value.is_settled() {
        return Ok(found);
    }
    Err(Problem::TryAgain(
        "its vulnerabilities are still under way from the last change: try again in a moment",
    ))
}

fn worded(reason: Option<String>) -> Result<String, Problem> {
    let reason = reason.unwrap_or_default().trim().to_owned();
    if reason.chars().count() > MAX_REASON {
        return Err(Problem::Invalid(format!("reason has more than {MAX_REASON} characters")));
    }
    Ok(reason)
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn quicker(error: StoreError) -> Problem {
    if error.is_conflict() { Problem::TryAgain(QUICKER) } else { error.into() }
}
