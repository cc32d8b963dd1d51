//! One account and region: read it, judge it, keep what is new.

use std::collections::BTreeMap;

use domain::exposure::{Reach, aws};
use domain::identity::Identifier;
use domain::{Asset, AssetId};
use queue::AwsRegion;
use serde::{Deserialize, Serialize};

use crate::aws::Reader;
use crate::{ExposureError, Shown, SyncExposure};

/// Instances whose assets are looked for at a time.
const INSTANCES: usize = 40;

/// The note `exposure-<account>-<region>`: how it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionNote {
    /// When it was last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<jiff::Timestamp>,
    /// Instances then.
    pub instances: usize,
    /// Of these, so many are no assets: no scanner has seen them.
    pub unseen: usize,
    /// And so many lead to several assets, so that nothing is said of any.
    pub ambiguous: usize,
    /// Why it could not be read since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl RegionNote {
    /// The name of the note.
    pub fn name(unit: &AwsRegion) -> String {
        format!("exposure-{}-{}", unit.account, unit.region)
    }
}

impl SyncExposure {
    /// Reads one account and region. What cannot be read changes no asset: it is said in the note and in the log.
    pub(crate) async fn pull(&self, unit: &AwsRegion) -> Result<(), ExposureError> {
        let AwsRegion { account, region } = unit;
        let configured = self.config.exposure.account(account).filter(|known| known.regions.contains(region));
        let Some(known) = configured else {
            tracing::info!("not configured any more");
            return Ok(());
        };
        let snapshot = match Reader::new(&self.aws, known, region).await.read(account, region).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(%error, "the network was not read, what was known is kept");
                self.note(unit, |note| note.problem = Some(error.to_string())).await?;
                return Err(error.into());
            }
        };
        let now = self.clock.now();
        let reaches = aws::reach(&snapshot, self.config.exposure.networks(), now);
        drop(snapshot);
        let reaches: Vec<(String, Reach)> = reaches.into_iter().collect();
        let mut told = RegionNote { as_of: Some(now), instances: reaches.len(), ..RegionNote::default() };
        let shown = self.assets_of(account, &reaches, &mut told).await?;
        let changed = self.keep(shown).await?;
        tracing::info!(instances = told.instances, unseen = told.unseen, changed, "the network was read");
        self.note(unit, |note| *note = told.clone()).await
    }

    /// The assets of instances, with what is shown of them where that is something new.
    async fn assets_of(
        &self,
        account: &str,
        reaches: &[(String, Reach)],
        told: &mut RegionNote,
    ) -> Result<Vec<Shown>, ExposureError> {
        // Of several instances that are one asset the most exposed counts, whichever is read first.
        let mut shown: BTreeMap<AssetId, (&Reach, bool)> = BTreeMap::new();
        for some in reaches.chunks(INSTANCES) {
            let named = some.iter().flat_map(|(instance, _)| aws::identifiers(account, instance));
            let found = self.store.assets_of(&named.collect()).await?;
            for (instance, reach) in some {
                match assets(&found, account, instance).as_slice() {
                    [] => told.unseen += 1,
                    [asset] => {
                        let is_new = !asset.reach.iter().any(|known| known.says_the_same(reach));
                        let farther = |(other, _): &(&Reach, bool)| {
                            (reach.exposure, &reach.path) > (other.exposure, &other.path)
                        };
                        if shown.get(&asset.id).is_none_or(farther) {
                            shown.insert(asset.id.clone(), (reach, is_new));
                        }
                    }
                    several => {
                        told.ambiguous += 1;
                        let several: Vec<&str> = several.iter().map(|asset| asset.id.as_str()).collect();
                        let assets = several.join(" ");
                        tracing::warn!(instance, assets, "an instance leads to several assets");
                    }
                }
            }
        }
        let new = shown.into_iter().filter(|(_, (_, is_new))| *is_new).map(|(asset, (reach, _))| Shown {
            asset,
            source: reach.source.clone(),
            reach: Some(reach.clone()),
        });
        Ok(new.collect())
    }

    async fn note(&self, unit: &AwsRegion, change: impl Fn(&mut RegionNote)) -> Result<(), ExposureError> {
        let changed = |old: Option<&str>| {
            let mut note: RegionNote =
                old.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            change(&mut note);
            // A plain structure always becomes JSON.
            serde_json::to_string(&note).unwrap_or_default()
        };
        Ok(self.store.change_note(&RegionNote::name(unit), changed).await?)
    }
}

/// The assets that an instance leads to: by its account, where a scanner told that, or else by its id alone.
fn assets<'a>(found: &'a BTreeMap<Identifier, Vec<Asset>>, account: &str, instance: &str) -> Vec<&'a Asset> {
    let by = |id: Identifier| -> Vec<&Asset> {
        found.get(&id).into_iter().flatten().filter(|asset| asset.superseded_by.is_none()).collect()
    };
    aws::identifiers(account, instance)
        .into_iter()
        .map(by)
        .find(|assets| !assets.is_empty())
        .unwrap_or_default()
}
