//! `vulnrelay identity preview`: what another configuration would merge, split and close, before it applies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use domain::AssetId;
use domain::identity::{self, Consequences, Regrouped, Sightings};
use domain::policy::{Config, Connector};
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
    #[serde(flatten)]
    consequences: Consequences,
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
    let (before, after) = sightings(&store, &current, &wanted).await?;
    let changes = identity::preview((&before, &current.identity), (&after, &wanted.identity));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for change in &changes {
        let (Regrouped::Merge { assets } | Regrouped::Split { assets }) = change;
        let (mut now, mut open) = (BTreeSet::new(), BTreeMap::new());
        for sighting in assets.iter().flatten() {
            let Some(link) = store.link(sighting).await.map_err(Failure::failed)? else { continue };
            let asset = store.resolved_asset(&link.asset).await.map_err(Failure::failed)?;
            let Some(asset) = asset.map(|asset| asset.value.id).filter(|asset| now.insert(asset.clone()))
            else {
                continue;
            };
            let state = store.asset_state(&asset, false).await.map_err(Failure::failed)?;
            let all = state.into_iter().flat_map(|state| state.vulnerabilities.into_values());
            let all = all.map(|found| found.value).filter(|v| v.status.is_open());
            open.extend(all.map(|v| (v.id.clone(), v)));
        }
        let line = Line { change, now, consequences: change.consequences(&open) };
        serde_json::to_writer(&mut out, &line).map_err(Failure::failed)?;
        out.write_all(b"\n").map_err(Failure::failed)?;
    }
    out.flush().map_err(Failure::failed)?;
    terminal::done(&format!("{} sightings, {} changes", before.len(), changes.len()));
    aws.shutdown().await;
    Ok(())
}

/// What identifies every host that a configured connector has seen, now and under another configuration.
async fn sightings(store: &Store, now: &Config, wanted: &Config) -> Result<(Sightings, Sightings), Failure> {
    let (mut before, mut after, mut start) = (Sightings::new(), Sightings::new(), None);
    loop {
        let (page, next) = store.sightings_page(start).await.map_err(Failure::failed)?;
        for (id, sighting) in page {
            let Some(connector) = now.connector(&id.connector) else { continue };
            let host = sighting.host();
            let observed =
                |connector: &Connector| identity::observe(&host, &connector.scope, connector.scanner);
            // What a connector that is no longer wanted has seen stays.
            after.insert(id.clone(), observed(wanted.connector(&id.connector).unwrap_or(connector)));
            before.insert(id, observed(connector));
        }
        start = next;
        if start.is_none() {
            return Ok((before, after));
        }
    }
}
