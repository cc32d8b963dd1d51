//! What scanners say: one partition per sighting.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::vulnerability::{Closing, Depth, Evidence, Sighting, Statement};
use domain::{AssetId, Details, RuleId, RunId, SightingId};
use serde::{Deserialize, Serialize};

use crate::codec::{self, Item, bytes, document, n, number, s, text};
use crate::error::StoreError;
use crate::keys;
use crate::manifest::Manifest;
use crate::table::{Condition, Range, Store, sort_key};

/// Evidence longer than this is cut, and says so.
const EVIDENCE_LIMIT: usize = 2_000;
/// What is put where evidence was cut.
const CUT_MARK: &str = "… [cut]";

/// A sighting with what is needed to compare a report against it.
#[derive(Debug, Clone, Default)]
pub struct SightingState {
    /// Revision for conditional writes; `None`: never seen.
    pub rev: Option<u64>,
    /// Rises when something changed that `score` has to look at.
    pub seq: u64,
    /// The sighting.
    pub sighting: Sighting,
    /// Digests of its findings.
    pub manifest: Manifest,
    /// Revision of the manifest; `None`: none yet.
    pub manifest_rev: Option<u64>,
    /// What the unit that last wrote the manifest has counted.
    pub tally: Option<Tally>,
    /// Its asset, once `score` has found it.
    pub link: Option<Link>,
}

impl SightingState {
    /// Whether `score` has not seen the latest changes, perhaps because its message was lost.
    pub fn is_unscored(&self) -> bool {
        self.rev.is_some() && self.link.as_ref().is_none_or(|link| link.scored < self.seq)
    }
}

/// What a unit has counted on one host, in all its attempts: an attempt that died has written, and the next one finds
/// that unchanged. Kept with the manifest, so that it is true whenever the manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The run.
    pub run: RunId,
    /// The unit of it.
    pub unit: String,
    /// Findings written.
    pub written: u64,
    /// Findings seen open for the first time.
    pub opened: u64,
    /// Of those, critical ones.
    pub critical: u64,
    /// Of those, high ones.
    pub high: u64,
    /// Findings seen again.
    pub reopened: u64,
}

/// The asset that a sighting belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The asset.
    pub asset: AssetId,
    /// The sighting's `seq` that was last decided on.
    pub scored: u64,
}

/// Everything said of one host.
#[derive(Debug, Clone)]
pub struct Stated {
    /// The host.
    pub sighting: Sighting,
    /// Rises when something changed that `score` has to look at.
    pub seq: u64,
    /// The `seq` that was last decided on.
    pub scored: u64,
    /// Its findings.
    pub statements: Vec<Statement>,
}

/// A stored sighting's document: the descriptions, and how deep the last scan looked that counted.
#[derive(Serialize, Deserialize)]
struct Described {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<domain::Host>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scan: Option<domain::Host>,
    #[serde(default, skip_serializing_if = "Depth::is_unknown")]
    depth: Depth,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unlisted: BTreeSet<RuleId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supplement: Option<domain::Host>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<u64>,
}

/// What a sighting is called, and whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SightingBrief {
    /// What people call the host.
    pub name: Option<String>,
    /// The asset that it belongs to.
    pub asset: Option<AssetId>,
}

impl Store {
    /// What these sightings are called, and the assets that they belong to; what does not exist is left out.
    pub async fn sighting_briefs(
        &self,
        ids: &[SightingId],
    ) -> Result<BTreeMap<SightingId, SightingBrief>, StoreError> {
        let wanted: Vec<_> = ids.iter().flat_map(|id| [keys::sighting(id), keys::link(id)]).collect();
        let mut briefs: BTreeMap<SightingId, SightingBrief> = BTreeMap::new();
        for item in self.batch_get(&wanted, false).await? {
            let Some(id) = text(&item, "pk").and_then(keys::sighting_of) else { continue };
            let brief = briefs.entry(id).or_default();
            if sort_key(&item) == keys::LINK {
                brief.asset = Some(read_link(&item)?.asset);
            } else {
                brief.name = Some(read_sighting(&item)?.host().display_name().to_owned());
            }
        }
        Ok(briefs)
    }

    /// Sightings by id; what does not exist is left out.
    pub async fn sightings(&self, ids: &[SightingId]) -> Result<BTreeMap<SightingId, Sighting>, StoreError> {
        let wanted: Vec<_> = ids.iter().map(keys::sighting).collect();
        let mut sightings = BTreeMap::new();
        for item in self.batch_get(&wanted, true).await? {
            if let Some(id) = text(&item, "pk").and_then(keys::sighting_of) {
                sightings.insert(id, read_sighting(&item)?);
            }
        }
        Ok(sightings)
    }

    /// The sighting, its manifest and its link, in one query that does not touch findings. A conflict means that the
    /// manifest was written meanwhile: read again.
    pub async fn sighting_state(
        &self,
        id: &SightingId,
        consistent: bool,
    ) -> Result<SightingState, StoreError> {
        let pk = keys::sighting_partition(id);
        let mut range = Range::all(&pk);
        range.between = Some((keys::LINK, keys::SIGHTING));
        range.consistent = consistent;
        let mut state = SightingState::default();
        let mut pieces = Vec::new();
        for item in self.query_all(range).await? {
            match sort_key(&item) {
                keys::LINK => state.link = Some(read_link(&item)?),
                keys::SIGHTING => {
                    state.rev = number(&item, "rev");
                    state.seq = number(&item, "seq").unwrap_or(0);
                    state.sighting = read_sighting(&item)?;
                }
                _ => pieces.push(item),
            }
        }
        let first = keys::manifest(id, 0).sk;
        if let Some(head) = pieces.iter().find(|item| sort_key(item) == first) {
            state.manifest_rev = number(head, "rev");
            state.tally = text(head, "tally").and_then(|json| serde_json::from_str(json).ok());
            let count = number(head, "pieces").unwrap_or(1);
            for piece in 0..count {
                let sk = keys::manifest(id, piece).sk;
                // A query may see one transaction's first piece and another one's second.
                let item = pieces
                    .iter()
                    .find(|item| sort_key(item) == sk && number(item, "rev") == state.manifest_rev)
                    .ok_or_else(|| StoreError::Conflict { what: format!("manifest of {id}") })?;
                item.get("m")
                    .and_then(|v| v.as_b().ok())
                    .and_then(|packed| state.manifest.unpack(packed.as_ref()))
                    .ok_or_else(|| codec::malformed(item, "the manifest is damaged"))?;
            }
        }
        Ok(state)
    }

    /// Writes what changed of a host's findings. Repeating it has the same result.
    pub async fn write_statements(
        &self,
        id: &SightingId,
        statements: &[Statement],
    ) -> Result<(), StoreError> {
        let puts = statements
            .iter()
            .map(|statement| (keys::finding(id, statement.finding.key.hash()), finding_item(statement)))
            .collect();
        self.batch_write(puts, vec![]).await
    }

    /// Statements by the hashes of their findings' keys; what is not stored is left out.
    pub async fn statements_of(&self, id: &SightingId, hashes: &[u64]) -> Result<Vec<Statement>, StoreError> {
        let keys: Vec<_> = hashes.iter().map(|hash| keys::finding(id, *hash)).collect();
        self.batch_get(&keys, true).await?.iter().map(codec::parse).collect()
    }

    /// Gives statements that are stored already the date at which they were first found, where that was earlier.
    pub async fn keep_first_found(
        &self,
        id: &SightingId,
        statements: &mut [Statement],
    ) -> Result<(), StoreError> {
        let mut by_hash: BTreeMap<u64, &mut Statement> =
            statements.iter_mut().map(|statement| (statement.finding.key.hash(), statement)).collect();
        let keys: Vec<_> = by_hash.keys().map(|hash| keys::finding(id, *hash)).collect();
        for item in &self.batch_get(&keys, true).await? {
            let stored: Statement = codec::parse(item)?;
            if let Some(statement) = by_hash.get_mut(&stored.finding.key.hash()) {
                let first = [statement.finding.first_found, stored.finding.first_found];
                statement.finding.first_found = first.into_iter().flatten().min();
            }
        }
        Ok(())
    }

    /// Notes evidence against findings that a whole report no longer contains. What is not stored is left alone.
    pub async fn close_statements(
        &self,
        id: &SightingId,
        hashes: &[u64],
        closing: &Closing,
    ) -> Result<(), StoreError> {
        let mut statements = self.statements_of(id, hashes).await?;
        for statement in &mut statements {
            // The first evidence stands: a finding is not fixed anew by each report that lacks it.
            statement.closing.get_or_insert_with(|| closing.clone());
        }
        self.write_statements(id, &statements).await
    }

    /// Takes back that statements were absent from a report. What its scanner calls fixed stays so.
    pub async fn reopen_statements(&self, id: &SightingId, hashes: &[u64]) -> Result<(), StoreError> {
        let mut statements = self.statements_of(id, hashes).await?;
        statements.retain_mut(|statement| {
            statement.closing.take_if(|c| c.evidence == Evidence::AbsentFromReport).is_some()
        });
        self.write_statements(id, &statements).await
    }

    /// Writes the sighting. `changed`: `score` has to look at it. Returns the new revision and `seq`.
    pub async fn put_sighting(
        &self,
        id: &SightingId,
        state: &SightingState,
        changed: bool,
    ) -> Result<(u64, u64), StoreError> {
        let (item, rev, seq) = sighting_item(state, changed);
        self.put(&keys::sighting(id), item, Some(Condition::revision(state.rev))).await?;
        Ok((rev, seq))
    }

    /// Writes the manifest, all pieces of it, unless somebody else wrote it since it was read.
    pub async fn put_manifest(&self, id: &SightingId, state: &SightingState) -> Result<(), StoreError> {
        let rev = state.manifest_rev.unwrap_or(0) + 1;
        let pieces = state.manifest.pack();
        let count = pieces.len();
        let item = |packed| Item::from([("m".to_owned(), bytes(packed)), ("rev".into(), n(rev))]);
        let mut rest = pieces.into_iter();
        let mut first = item(rest.next().unwrap_or_default());
        if let Some(tally) = &state.tally {
            first.insert("tally".into(), s(serde_json::to_string(tally).unwrap_or_default()));
        }
        let condition = Condition::revision(state.manifest_rev);
        if count == 1 {
            return self.put(&keys::manifest(id, 0), first, Some(condition)).await;
        }
        // More findings than fit one item are rare, so that the double price of a transaction does not matter.
        first.insert("pieces".into(), n(count));
        let mut items = vec![self.transact_put(&keys::manifest(id, 0), first, condition)?];
        for (piece, packed) in (1..).zip(rest) {
            items.push(self.transact_put(&keys::manifest(id, piece), item(packed), None)?);
        }
        self.transact(&format!("manifest of {id}"), items).await
    }

    /// Marks a sighting as covered by a run that is proven complete. `false` if there is no such sighting.
    pub async fn prove_sighting(&self, id: &SightingId, run: &RunId) -> Result<bool, StoreError> {
        self.mark_sighting(
            id,
            "proven_run",
            run,
            "attribute_exists(pk) AND (attribute_not_exists(#f) OR #f < :r)",
        )
        .await
    }

    /// Marks a sighting as purged from the scanner, which says that it has no such host. `false` if it is marked already.
    pub async fn purge_sighting(&self, id: &SightingId, at: jiff::Timestamp) -> Result<bool, StoreError> {
        let condition = "attribute_exists(pk) AND attribute_not_exists(#f)";
        self.set_on_sighting(id, "purged_at", s(at.to_string()), condition).await
    }

    /// Marks a sighting as missing from a complete full run. `false` if it is marked already.
    pub async fn miss_sighting(&self, id: &SightingId, run: &RunId) -> Result<bool, StoreError> {
        self.mark_sighting(id, "missing_since", run, "attribute_exists(pk) AND attribute_not_exists(#f)")
            .await
    }

    async fn mark_sighting(
        &self,
        id: &SightingId,
        field: &str,
        run: &RunId,
        condition: &str,
    ) -> Result<bool, StoreError> {
        self.set_on_sighting(id, field, s(run.as_str()), condition).await
    }

    async fn set_on_sighting(
        &self,
        id: &SightingId,
        field: &str,
        value: AttributeValue,
        condition: &str,
    ) -> Result<bool, StoreError> {
        let done = self
            .update(
                &keys::sighting(id),
                "SET #f = :r ADD rev :one, seq :one",
                Some(condition),
                &[("#f", field)],
                vec![(":r", value), (":one", n(1))],
            )
            .await;
        match done {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything said of a host: the sighting, up to where it awaits a decision, and its findings.
    pub async fn statements(&self, id: &SightingId) -> Result<Option<Stated>, StoreError> {
        let pk = keys::sighting_partition(id);
        let mut range = Range::all(&pk);
        range.between = Some((keys::FINDINGS, keys::SIGHTING));
        range.consistent = true;
        let mut sighting = None;
        let mut statements = Vec::new();
        let mut scored = 0;
        for item in self.query_all(range).await? {
            match sort_key(&item) {
                keys::LINK => scored = read_link(&item)?.scored,
                keys::SIGHTING => sighting = Some((read_sighting(&item)?, number(&item, "seq").unwrap_or(0))),
                sk if sk.starts_with("F#") => statements.push(codec::parse(&item)?),
                _ => {}
            }
        }
        Ok(sighting.map(|(sighting, seq)| Stated { sighting, seq, scored, statements }))
    }

    /// Writes what is long and decides nothing of a host. Repeating it has the same result.
    pub async fn put_details(&self, id: &SightingId, details: &Details) -> Result<(), StoreError> {
        let item = Item::from([(codec::DOCUMENT.to_owned(), document(details))]);
        self.put(&keys::details(id), item, None).await
    }

    /// The details of these sightings, as far as there are any.
    pub async fn details<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a SightingId>,
    ) -> Result<Vec<Details>, StoreError> {
        let keys: Vec<_> = ids.into_iter().map(keys::details).collect();
        self.batch_get(&keys, false).await?.iter().map(codec::parse).collect()
    }

    /// The asset of a sighting.
    pub async fn link(&self, id: &SightingId) -> Result<Option<Link>, StoreError> {
        self.get(&keys::link(id), true).await?.as_ref().map(read_link).transpose()
    }

    /// One statement of a sighting, by its finding's key.
    pub async fn statement(
        &self,
        id: &SightingId,
        finding: &domain::FindingKey,
    ) -> Result<Option<Statement>, StoreError> {
        let item = self.get(&keys::finding(id, finding.hash()), false).await?;
        item.as_ref().map(codec::parse).transpose()
    }
}

/// Whether stored evidence, which may have been cut, is what the scanner told in full.
pub fn is_evidence(stored: &str, told: &str) -> bool {
    match stored.strip_suffix(CUT_MARK) {
        Some(beginning) => told.starts_with(beginning),
        None => stored == told,
    }
}

/// A finding's item. Evidence is cut at the limit.
pub(crate) fn finding_item(statement: &Statement) -> Item {
    let mut statement = statement.clone();
    cut(&mut statement.finding);
    Item::from([(codec::DOCUMENT.into(), document(&statement))])
}

/// A sighting's item as it is to be written, with its new revision and `seq`.
pub(crate) fn sighting_item(state: &SightingState, changed: bool) -> (Item, u64, u64) {
    let rev = state.rev.unwrap_or(0) + 1;
    let seq = state.seq + u64::from(changed);
    let sighting = &state.sighting;
    let described = Described {
        inventory: sighting.inventory.clone(),
        scan: sighting.scan.clone(),
        depth: sighting.depth,
        unlisted: sighting.unlisted.clone(),
        supplement: sighting.supplement.clone(),
        details: sighting.details,
    };
    let mut item = Item::from([
        (codec::DOCUMENT.to_owned(), document(&described)),
        ("rev".into(), n(rev)),
        ("seq".into(), n(seq)),
    ]);
    let mut optional = |name: &str, run: &Option<RunId>| {
        if let Some(run) = run {
            item.insert(name.into(), s(run.as_str()));
        }
    };
    optional("closing_run", &sighting.closing_run);
    optional("proven_run", &sighting.proven_run);
    optional("missing_since", &sighting.missing_since);
    if let Some(at) = sighting.purged_at {
        item.insert("purged_at".into(), s(at.to_string()));
    }
    if sighting.pending_closings > 0 {
        item.insert("pending".into(), n(sighting.pending_closings));
    }
    (item, rev, seq)
}

pub(crate) fn read_sighting(item: &Item) -> Result<Sighting, StoreError> {
    let described: Described = codec::parse(item)?;
    let run = |name| text(item, name).map(RunId::stored);
    Ok(Sighting {
        inventory: described.inventory,
        scan: described.scan,
        closing_run: run("closing_run"),
        pending_closings: number(item, "pending").unwrap_or(0),
        proven_run: run("proven_run"),
        missing_since: run("missing_since"),
        depth: described.depth,
        unlisted: described.unlisted,
        supplement: described.supplement,
        details: described.details,
        purged_at: text(item, "purged_at").and_then(|at| at.parse().ok()),
    })
}

fn read_link(item: &Item) -> Result<Link, StoreError> {
    Ok(Link {
        asset: codec::required(item, "asset")?.parse().map_err(|e| codec::malformed(item, e))?,
        scored: number(item, "scored").unwrap_or(0),
    })
}

pub(crate) fn link_item(asset: &AssetId, scored: u64) -> Vec<(String, AttributeValue)> {
    vec![("asset".into(), s(asset.as_str())), ("scored".into(), n(scored))]
}

/// Cuts evidence at the limit, on a character, with a mark. What is cut already stays as it is.
pub(crate) fn cut(finding: &mut domain::Finding) {
    let Some(evidence) = &mut finding.evidence else { return };
    let is_cut = evidence.ends_with(CUT_MARK) && evidence.len() <= EVIDENCE_LIMIT + CUT_MARK.len();
    if evidence.len() > EVIDENCE_LIMIT && !is_cut {
        let mut end = EVIDENCE_LIMIT;
        while !evidence.is_char_boundary(end) {
            end -= 1;
        }
        evidence.truncate(end);
        evidence.push_str(CUT_MARK);
    }
}
