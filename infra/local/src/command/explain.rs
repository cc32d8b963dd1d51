//! `vulnrelay explain`: why an asset is one machine, and why findings are one vulnerability.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use domain::identity::{Identifier, IdentityChange};
use domain::vulnerability::Join;
use domain::{Asset, AssetId, CveId, RuleId, Scanner, SightingId, VulnId, Vulnerability};
use serde::Serialize;
use store::{ExportItem, Store};

use super::{ExplainArgs, Failure, files};

/// Of what happened to an asset, the latest.
const HISTORY: i32 = 100;

#[derive(Serialize)]
struct Explained<'a> {
    asset: &'a AssetId,
    name: &'a str,
    identifiers: &'a BTreeSet<Identifier>,
    /// Why each sighting is here, and which other assets were refused.
    sightings: &'a BTreeMap<SightingId, Join>,
    history: &'a [IdentityChange],
    #[serde(skip_serializing_if = "Option::is_none")]
    superseded_by: Option<&'a AssetId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vulnerability: Option<Merged<'a>>,
}

#[derive(Serialize)]
struct Merged<'a> {
    id: &'a VulnId,
    title: &'a str,
    findings: Vec<Member<'a>>,
    /// Ids of vulnerabilities that became part of it.
    merged: &'a [VulnId],
}

#[derive(Serialize)]
struct Member<'a> {
    sighting: &'a SightingId,
    scanner: Scanner,
    rule: &'a RuleId,
    /// CVEs of its rule.
    cves: Vec<CveId>,
    /// Those that it shares with another of the findings; without any, the rule itself is what they share.
    shared: Vec<CveId>,
}

/// Prints why.
pub async fn print(args: ExplainArgs) -> Result<(), Failure> {
    let (aws, store) = files::state(&args.state).await?;
    let (asset, vulnerability) = find(&store, &args.id).await?;
    let history = store.identity_history(&asset.id, HISTORY).await.map_err(Failure::failed)?;
    let config = store.current_document(platform::CONFIG_DOCUMENT).await.map_err(Failure::failed)?;
    let scanners = config.map(|config| scanners(&config.text)).unwrap_or_default();
    let merged = match &vulnerability {
        None => None,
        Some(vulnerability) => Some(members(&store, vulnerability, &scanners).await?),
    };
    let explained = Explained {
        asset: &asset.id,
        name: asset.host.display_name(),
        identifiers: &asset.identifiers,
        sightings: &asset.sightings,
        history: &history,
        superseded_by: asset.superseded_by.as_ref(),
        vulnerability: merged,
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &explained).map_err(Failure::failed)?;
    out.write_all(b"\n").map_err(Failure::failed)?;
    aws.shutdown().await;
    Ok(())
}

/// Which scanner each connector is.
fn scanners(config: &str) -> BTreeMap<String, Scanner> {
    let config = platform::parse_config("the configuration", config).unwrap_or_default();
    config.connectors.into_iter().map(|c| (c.name.to_string(), c.scanner)).collect()
}

/// An asset by its id, or a vulnerability by its own with the asset that it is on.
async fn find(store: &Store, id: &str) -> Result<(Asset, Option<Vulnerability>), Failure> {
    let unknown = || Failure::Input(format!("{id}: there is no such asset or vulnerability"));
    if let Ok(asset) = id.parse::<AssetId>() {
        let found = store.resolved_asset(&asset).await.map_err(Failure::failed)?;
        return Ok((found.ok_or_else(unknown)?.value, None));
    }
    let wanted: VulnId = id.parse().map_err(|_| {
        Failure::Input(format!("{id}: write the id of an asset (a-…) or a vulnerability (v-…)"))
    })?;
    let mut start = None;
    loop {
        let page = store.export_page(start).await.map_err(Failure::failed)?;
        for item in page.items {
            let ExportItem::Vulnerability(v) = item else { continue };
            if v.id == wanted || v.aliases.contains(&wanted) {
                let asset = store.resolved_asset(&v.asset).await.map_err(Failure::failed)?;
                return Ok((asset.ok_or_else(unknown)?.value, Some(*v)));
            }
        }
        start = page.next;
        if start.is_none() {
            return Err(unknown());
        }
    }
}

async fn members<'a>(
    store: &Store,
    vulnerability: &'a Vulnerability,
    scanners: &BTreeMap<String, Scanner>,
) -> Result<Merged<'a>, Failure> {
    let scanner = |sighting: &SightingId| scanners.get(sighting.connector.as_str()).copied();
    let wanted = vulnerability.findings.iter().filter_map(|f| Some((scanner(&f.sighting)?, f.rule.clone())));
    let rules = store.rules(&wanted.collect()).await.map_err(Failure::failed)?;
    let of = |rule: (Scanner, RuleId)| rules.get(&rule).map(|rule| rule.cves.clone()).unwrap_or_default();
    let mut findings: Vec<Member<'_>> = vulnerability
        .findings
        .iter()
        .filter_map(|finding| {
            let scanner = scanner(&finding.sighting)?;
            let cves = of((scanner, finding.rule.clone()));
            Some(Member {
                sighting: &finding.sighting,
                scanner,
                rule: &finding.rule,
                cves,
                shared: Vec::new(),
            })
        })
        .collect();
    let mut users: BTreeMap<CveId, usize> = BTreeMap::new();
    for cve in findings.iter().flat_map(|member| &member.cves) {
        *users.entry(cve.clone()).or_default() += 1;
    }
    for member in &mut findings {
        member.shared = member.cves.iter().filter(|cve| users[cve] > 1).cloned().collect();
    }
    Ok(Merged {
        id: &vulnerability.id,
        title: &vulnerability.title,
        findings,
        merged: &vulnerability.aliases,
    })
}
