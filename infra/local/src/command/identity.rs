//! `vulnrelay identity preview`: what another list of known identifiers would merge and split, before it applies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use domain::identity::{self, Observation, Regrouped};
use domain::policy::Config;
use domain::{AssetId, SightingId, VulnId};
use serde::Serialize;
use store::Store;

use super::{Failure, PreviewArgs, files};
use crate::terminal;

/// One change, with what it concerns.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    change: &'a Regrouped,
    /// Assets as they are now.
    now: BTreeSet<AssetId>,
    /// Their open vulnerabilities: a merge makes one of those that share a CVE, a split two.
    open: BTreeSet<VulnId>,
}

/// Prints the changes.
pub async fn preview(args: PreviewArgs) -> Result<(), Failure> {
    let name = args.config.display().to_string();
    let text = std::fs::read_to_string(&args.config)
        .map_err(|e| Failure::Input(format!("{name}: {e}: name a configuration that exists")))?;
    let wanted = platform::parse_config(&name, &text).map_err(Failure::input)?;
    let (aws, store) = files::state_in(&args.data).await?;
    let document = store.current_document(platform::CONFIG_DOCUMENT).await.map_err(Failure::failed)?;
    let document =
        document.ok_or_else(|| Failure::Input("there is no configuration yet: run a sync first".into()))?;
    let current =
        platform::parse_config("the configuration in use", &document.text).map_err(Failure::failed)?;
    let sightings = observations(&store, &current).await?;
    let changes = identity::preview(&sightings, &current.identity, &wanted.identity);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for change in &changes {
        let (Regrouped::Merge { assets } | Regrouped::Split { assets }) = change;
        let (mut now, mut open) = (BTreeSet::new(), BTreeSet::new());
        for sighting in assets.iter().flatten() {
            let Some(link) = store.link(sighting).await.map_err(Failure::failed)? else { continue };
            let asset = store.resolved_asset(&link.asset).await.map_err(Failure::failed)?;
            let Some(asset) = asset.map(|asset| asset.value).filter(|asset| now.insert(asset.id.clone()))
            else {
                continue;
            };
            let counted = asset.counted.into_iter().filter(|(_, counted)| counted.status.is_open());
            open.extend(counted.map(|(id, _)| id));
        }
        serde_json::to_writer(&mut out, &Line { change, now, open }).map_err(Failure::failed)?;
        out.write_all(b"\n").map_err(Failure::failed)?;
    }
    out.flush().map_err(Failure::failed)?;
    terminal::done(&format!("{} sightings, {} changes", sightings.len(), changes.len()));
    aws.shutdown().await;
    Ok(())
}

/// What identifies every host that a configured connector has seen.
async fn observations(store: &Store, config: &Config) -> Result<BTreeMap<SightingId, Observation>, Failure> {
    let (mut all, mut start) = (BTreeMap::new(), None);
    loop {
        let (sightings, next) = store.sightings_page(start).await.map_err(Failure::failed)?;
        for (id, sighting) in sightings {
            let Some(connector) = config.connector(&id.connector) else { continue };
            let observation = identity::observe(&sighting.host(), &connector.scope, connector.scanner);
            all.insert(id, observation);
        }
        start = next;
        if start.is_none() {
            return Ok(all);
        }
    }
}
