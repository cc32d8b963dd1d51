//! Deciding on one asset.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::{Decided, Facts, SWEEP_AFTER, Said, decide};
use domain::identity::{self, Identifier, Observation};
use domain::vulnerability::{Effect, Intent};
use domain::{
    Asset, AssetId, ConnectorName, CveId, FindingKey, Intel, RuleId, Scanner, SightingId, VulnId,
    Vulnerability,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use queue::{EffectMessage, EffectTarget, Outgoing, QueueName};
use store::{AssetState, ConnectorState, CounterDelta, FeedsRead, StoreError};

use crate::counting::delta;
use crate::lookup::{Lookup, RuleKey, Rules};
use crate::{Score, ScoreError};

/// Vulnerabilities that are written at the same time.
const PARALLEL_WRITES: usize = 8;
/// What is found so soon after a first sync still belongs to it: its sightings wait in the queue.
const FIRST_SYNC_TAIL: SignedDuration = SignedDuration::from_hours(1);
/// A connector that has had no complete run for so long does not keep what it finds quiet any longer.
const FIRST_SYNC_AT_MOST: SignedDuration = SignedDuration::from_hours(24 * 7);

/// What was read to decide.
struct Read {
    state: AssetState,
    said: BTreeMap<SightingId, Said>,
    /// The `seq` of the sightings that await this decision.
    seqs: BTreeMap<SightingId, u64>,
    /// What each sighting identifies it by now.
    observed: BTreeMap<SightingId, Observation>,
    /// Sightings that show something else than when they were joined.
    different: Vec<SightingId>,
}

impl Score {
    /// Reads everything about an asset, decides, writes the difference, sends the effects. Returns the assets that have
    /// to be decided on after that.
    pub(crate) async fn decide(
        &self,
        id: &AssetId,
        lookup: &Lookup<'_>,
        settle: bool,
    ) -> Result<BTreeSet<AssetId>, ScoreError> {
        let decided = self.try_decide(id, lookup, settle).await;
        if decided.is_err() {
            lookup.forget();
        }
        decided
    }

    async fn try_decide(
        &self,
        id: &AssetId,
        lookup: &Lookup<'_>,
        settle: bool,
    ) -> Result<BTreeSet<AssetId>, ScoreError> {
        let Some(mut read) = self.read(id).await? else {
            tracing::warn!(asset = %id, "no such asset, message dropped");
            return Ok(BTreeSet::new());
        };
        let mut asset = read.state.asset.value.clone();
        if let Some(into) = asset.merged_into {
            return Ok([into].into());
        }
        if let Some(from) = asset.awaits {
            // First what is its own has to come from there.
            return Ok([from].into());
        }
        if !asset.doubted.is_empty() && asset.absorbing.is_empty() && asset.releasing.is_empty() {
            return self.reconsider(&read.state.asset, &read.observed).await;
        }
        if asset.is_settled() && !read.different.is_empty() {
            let mut touched = BTreeSet::from([id.clone()]);
            for sighting in &read.different {
                touched.extend(self.correlate(sighting).await?);
            }
            return Ok(touched);
        }
        let mut then = BTreeSet::new();
        if !asset.releasing.is_empty() {
            then.clone_from(&asset.releasing);
            then.insert(id.clone());
            self.release(&mut asset).await?;
            let shown: BTreeSet<&Identifier> = read
                .observed
                .iter()
                .filter(|(sighting, _)| asset.sightings.contains_key(*sighting))
                .flat_map(|(_, observation)| &observation.identifiers)
                .collect();
            asset.identifiers.retain(|identifier| shown.contains(identifier));
            asset.seen.retain(|identifier, _| shown.contains(identifier));
            // What was handed over is no longer here.
            let Some(state) = self.store.asset_state(id, true).await? else { return Ok(then) };
            read.state.vulnerabilities = state.vulnerabilities;
            read.state.aliases = state.aliases;
            read.state.mistimed.vulnerabilities = state.mistimed.vulnerabilities;
        }
        let arriving = self.arriving(&read.state).await?;
        if !asset.absorbing.is_empty() {
            asset.absorbing.clear();
            then.insert(id.clone());
        }
        let own: BTreeMap<VulnId, Vulnerability> =
            read.state.vulnerabilities.iter().map(|(id, v)| (id.clone(), v.value.clone())).collect();
        let known: BTreeMap<VulnId, Vulnerability> = own
            .iter()
            .map(|(id, v)| (id.clone(), v.clone()))
            .chain(arriving.values().map(|(_, v)| (v.id.clone(), v.clone())))
            .collect();
        let Rules { defined: rules, unsettled } = lookup.rules(&rules_of(&read.said)).await?;
        let connectors = self.connectors_of(&read.state.asset.value).await?;
        hold_back(&mut read, &unsettled, &connectors);
        let cves: BTreeSet<CveId> = rules.values().flat_map(|rule| rule.cves.iter().cloned()).collect();
        let FeedsRead { feeds, told } = self.store.feeds_read().await?;
        let intel = lookup.intel(&cves, told).await?;
        let now = self.clock.now();
        let mut decided = decide(&Facts {
            asset: &asset,
            known: &known,
            sightings: &read.said,
            rules: &rules,
            intel: &intel,
            feeds,
            config: &self.config,
            policy_version: self.config_version,
            introducing: &introducing(&connectors, now),
            settle,
            now,
        });
        if !then.is_empty() {
            // Should nobody come to what is left.
            decided.asset.look_at = Some(now + SWEEP_AFTER);
        }
        self.take_over(&read.state, &arriving, &mut decided).await?;
        self.use_cves(&read.state, &own, &decided, &intel).await?;
        self.write(&read.state, &decided, now).await?;
        self.send(&decided, now).await?;
        tracing::debug!(asset = %id, known = known.len(), changed = decided.changed.len(), "asset decided on");
        for (sighting, seq) in &read.seqs {
            self.store.mark_scored(sighting, id, *seq).await?;
        }
        Ok(then)
    }

    async fn read(&self, id: &AssetId) -> Result<Option<Read>, ScoreError> {
        let Some(state) = self.store.asset_state(id, true).await? else { return Ok(None) };
        let (said, seqs, observed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut read = Read { state, said, seqs, observed, different: Vec::new() };
        for (sighting, join) in &read.state.asset.value.sightings {
            let Some(connector) = self.config.connector(&sighting.connector) else { continue };
            let is_replaced = read.state.asset.value.superseded_by.is_some();
            if let Some(stated) = self.store.statements(sighting).await? {
                let host = stated.sighting.host();
                let observation = identity::observe(&host, &connector.scope, connector.scanner);
                if observation.digest(&self.config.identity, is_replaced) != join.observed {
                    read.different.push(sighting.clone());
                }
                read.observed.insert(sighting.clone(), observation);
                if stated.scored < stated.seq {
                    read.seqs.insert(sighting.clone(), stated.seq);
                }
                let (scanner, statements) = (connector.scanner, stated.statements);
                let said = Said { scanner, sighting: stated.sighting, statements };
                read.said.insert(sighting.clone(), said);
            }
        }
        Ok(Some(read))
    }

    /// The states of the connectors that see an asset.
    async fn connectors_of(
        &self,
        asset: &Asset,
    ) -> Result<BTreeMap<ConnectorName, ConnectorState>, ScoreError> {
        let mut states = BTreeMap::new();
        for sighting in asset.sightings.keys() {
            if !states.contains_key(&sighting.connector) {
                let (state, _) = self.store.connector_state(&sighting.connector).await?;
                states.insert(sighting.connector.clone(), state);
            }
        }
        Ok(states)
    }

    /// Says which CVEs the asset uses before it is written. `sync-intel` writes what it learns and then asks for the
    /// users: whoever became a user only now may have read too early, and decides again.
    async fn use_cves(
        &self,
        state: &AssetState,
        known: &BTreeMap<VulnId, Vulnerability>,
        decided: &Decided,
        intel: &BTreeMap<CveId, Intel>,
    ) -> Result<(), ScoreError> {
        let (used, unused) = cve_uses(known, &decided.changed);
        let asset = &state.asset.value.id;
        self.store.write_cve_uses(asset, &used, &unused).await?;
        let new: BTreeSet<CveId> = used.into_iter().map(|(cve, _)| cve).collect();
        if new.is_empty() {
            return Ok(());
        }
        let now = self.store.intel(&new).await?;
        if new.iter().all(|cve| now.get(cve) == intel.get(cve)) {
            Ok(())
        } else {
            Err(StoreError::Conflict { what: format!("intelligence on {asset}") }.into())
        }
    }

    /// Order of effects: notifications are stored before the vulnerabilities that remember them, vulnerabilities
    /// before the counters that count them. Whatever is missing after a crash is found by the next decision.
    async fn write<'d>(
        &'d self,
        state: &AssetState,
        decided: &'d Decided,
        now: Timestamp,
    ) -> Result<(), ScoreError> {
        let before = &state.asset.value;
        let mut rev = state.asset.rev;
        let announces = decided.asset.intents.keys().any(|key| !before.intents.contains_key(key));
        if announces {
            let early = Asset { intents: decided.asset.intents.clone(), ..before.clone() };
            self.store.commit_asset(&early, rev, &CounterDelta::default()).await?;
            rev = rev.map(|rev| rev + 1);
        }
        let high = self.config.policies.score.bands.high;
        let put = |vulnerability: &'d Vulnerability| {
            let rev = revision(state, &vulnerability.id);
            self.store.put_vulnerability(&decided.asset, vulnerability, rev, high)
        };
        let puts: Vec<_> = decided.changed.iter().map(put).collect();
        stream::iter(puts).buffer_unordered(PARALLEL_WRITES).try_collect::<()>().await?;
        for (absorbed, target) in &decided.merged {
            self.store.put_alias(&before.id, absorbed, target, revision(state, absorbed)).await?;
        }
        self.rewrite_keys(state, decided, high).await?;
        let first = before.owner == domain::decide::UNOWNED && before.host == domain::Host::default();
        let changed = *before != decided.asset || !decided.transitions.is_empty();
        if changed {
            let delta = delta((!first).then_some(before), &decided.asset, &decided.transitions, now);
            self.store.commit_asset(&decided.asset, rev, &delta).await?;
        } else if state.mistimed.asset {
            self.store.commit_asset(&decided.asset, rev, &CounterDelta::default()).await?;
        }
        Ok(())
    }

    /// Writes what stays as it is but stands in a wrong place of an index: the owner is in the key of every open
    /// vulnerability's list entry, and a timer that nothing follows from would bring it here again and again.
    async fn rewrite_keys(&self, state: &AssetState, decided: &Decided, high: u16) -> Result<(), ScoreError> {
        let written: BTreeSet<&VulnId> =
            decided.changed.iter().map(|v| &v.id).chain(decided.merged.keys()).collect();
        let all = state.asset.value.owner != decided.asset.owner;
        let wrong =
            |id: &VulnId| !written.contains(id) && (all || state.mistimed.vulnerabilities.contains(id));
        for (id, known) in state.vulnerabilities.iter().filter(|(id, _)| wrong(id)) {
            tracing::debug!(vulnerability = %id, owner = decided.asset.owner, "owner or timer changed");
            self.store.put_vulnerability(&decided.asset, &known.value, known.rev, high).await?;
        }
        Ok(())
    }

    /// Sends what is wanted since now: new effects, and those that nobody confirmed in time.
    async fn send(&self, decided: &Decided, now: Timestamp) -> Result<(), ScoreError> {
        let asset = &decided.asset.id;
        let asked = |intent: &&Intent| intent.is_asked(now);
        let mut tickets = Vec::new();
        let mut notifications = Vec::new();
        for vulnerability in &decided.changed {
            for intent in vulnerability.intents.values().filter(asked) {
                let target = EffectTarget::Vulnerability {
                    asset: asset.clone(),
                    vulnerability: vulnerability.id.clone(),
                };
                tickets.push(Outgoing::now(&EffectMessage { target, intent: intent.key.clone() })?);
            }
        }
        for intent in decided.asset.intents.values().filter(asked) {
            debug_assert!(matches!(intent.effect, Effect::Notify { .. }));
            let target = EffectTarget::Asset { asset: asset.clone() };
            notifications.push(Outgoing::now(&EffectMessage { target, intent: intent.key.clone() })?);
        }
        self.queue.send_all(QueueName::Ticket, tickets).await?;
        self.queue.send_all(QueueName::Notify, notifications).await?;
        Ok(())
    }
}

/// The connectors whose first sync is under way.
fn introducing(
    connectors: &BTreeMap<ConnectorName, ConnectorState>,
    now: Timestamp,
) -> BTreeSet<ConnectorName> {
    let is_introduced = |state: &ConnectorState| match (state.introduced_at, state.first_run_at) {
        (Some(at), _) => now >= at + FIRST_SYNC_TAIL,
        (None, begun) => begun.is_some_and(|begun| now >= begun + FIRST_SYNC_AT_MOST),
    };
    connectors.iter().filter(|(_, state)| !is_introduced(state)).map(|(name, _)| name.clone()).collect()
}

/// Leaves out new findings whose definition the run under way is still asking for: without its CVEs a finding would
/// become a vulnerability of its own, and be news once more when they arrive. Its sighting stays marked as not scored;
/// the definition, or the end of the run, brings it again.
fn hold_back(
    read: &mut Read,
    unsettled: &BTreeSet<RuleKey>,
    connectors: &BTreeMap<ConnectorName, ConnectorState>,
) {
    if unsettled.is_empty() {
        return;
    }
    let known: BTreeSet<(SightingId, FindingKey)> = read
        .state
        .vulnerabilities
        .values()
        .flat_map(|v| v.value.findings.iter().map(|f| (f.sighting.clone(), f.finding.clone())))
        .collect();
    for (sighting, said) in &mut read.said {
        if connectors.get(&sighting.connector).is_none_or(|state| state.active.is_none()) {
            continue;
        }
        let before = said.statements.len();
        let scanner = said.scanner;
        said.statements.retain(|statement| {
            let finding = &statement.finding;
            !unsettled.contains(&(scanner, finding.rule.clone()))
                || known.contains(&(sighting.clone(), finding.key.clone()))
        });
        if said.statements.len() < before {
            read.seqs.remove(sighting);
        }
    }
}

/// The revision of what stands under a vulnerability's id, be it no more than a pointer.
fn revision(state: &AssetState, id: &VulnId) -> Option<u64> {
    let known = state.vulnerabilities.get(id).map(|known| known.rev);
    known.or_else(|| state.aliases.get(id).map(|alias| alias.rev)).flatten()
}

fn rules_of(said: &BTreeMap<SightingId, Said>) -> BTreeSet<(Scanner, RuleId)> {
    said.values()
        .flat_map(|said| said.statements.iter().map(|s| (said.scanner, s.finding.rule.clone())))
        .collect()
}

/// Uses of CVEs by vulnerabilities.
pub(crate) type Uses = Vec<(CveId, VulnId)>;

/// The CVEs that a vulnerability uses: none once it is over.
pub(crate) fn used_by(v: &Vulnerability) -> BTreeSet<CveId> {
    use domain::Status::{Fixed, Gone};
    if matches!(v.status, Fixed | Gone) { BTreeSet::new() } else { v.cves.iter().cloned().collect() }
}

/// Which CVEs open vulnerabilities use from now on, and which no longer.
fn cve_uses(known: &BTreeMap<VulnId, Vulnerability>, changed: &[Vulnerability]) -> (Uses, Uses) {
    let (mut used, mut unused) = (Vec::new(), Vec::new());
    for vulnerability in changed {
        let before = known.get(&vulnerability.id).map(used_by).unwrap_or_default();
        let after = used_by(vulnerability);
        used.extend(after.difference(&before).map(|cve| (cve.clone(), vulnerability.id.clone())));
        unused.extend(before.difference(&after).map(|cve| (cve.clone(), vulnerability.id.clone())));
    }
    (used, unused)
}
