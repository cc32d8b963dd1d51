//! `vulnrelay drill`: everything that a CVE touches here, as after the news that it is exploited.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use dashboard::data::{self, Touched, TouchedAsset};
use domain::policy::Policies;
use domain::{AssetId, CveId, Intel, VulnId};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{DrillArgs, Failure, files};

/// A line of the answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    /// What the world knows.
    Cve { cve: &'a CveId, known: &'a Intel },
    /// One asset that has it, for each of its services.
    Asset {
        owner: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        service: Option<&'a str>,
        #[serde(flatten)]
        asset: &'a TouchedAsset,
    },
    /// The sums of all lines before it.
    Summary(Sums),
}

/// How many of what are touched.
#[derive(Default, Serialize)]
struct Sums {
    #[serde(serialize_with = "number")]
    assets: BTreeSet<AssetId>,
    #[serde(serialize_with = "number")]
    open: BTreeSet<VulnId>,
    #[serde(serialize_with = "number")]
    overdue: BTreeSet<VulnId>,
    /// Assets of each owner.
    #[serde(serialize_with = "numbers")]
    owners: BTreeMap<String, BTreeSet<AssetId>>,
    services: BTreeSet<String>,
    #[serde(serialize_with = "number")]
    tickets: BTreeSet<String>,
    /// Assets by who can reach them.
    #[serde(serialize_with = "numbers")]
    exposure: BTreeMap<String, BTreeSet<AssetId>>,
    /// The first deadline of what is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_due: Option<Timestamp>,
}

fn number<T, S: Serializer>(all: &BTreeSet<T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(all.len() as u64)
}

fn numbers<T, S: Serializer>(all: &BTreeMap<String, BTreeSet<T>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(all.iter().map(|(name, of)| (name, of.len())))
}

/// Prints the lines.
pub async fn print(args: DrillArgs) -> Result<(), Failure> {
    let (aws, store) = files::state(&args.state).await?;
    let document = store.current_document(platform::CONFIG_DOCUMENT).await.map_err(Failure::failed)?;
    let policies = match document {
        None => Policies::default(),
        Some(document) => {
            let config = platform::parse_config("the configuration in use", &document.text);
            config.map_err(Failure::failed)?.policies
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut write = |line: &Line<'_>| -> Result<(), Failure> {
        serde_json::to_writer(&mut out, line).map_err(Failure::failed)?;
        out.write_all(b"\n").map_err(Failure::failed)
    };
    let (mut sums, mut after, now) = (Sums::default(), None::<String>, Timestamp::now());
    loop {
        let page = data::impact(&store, &policies, &args.cve, after.as_deref(), now).await;
        let page = page.map_err(Failure::failed)?;
        if after.is_none() {
            write(&Line::Cve { cve: &page.cve, known: &page.known })?;
        }
        for Touched { owner, service, assets } in &page.touched {
            for asset in assets {
                write(&Line::Asset { owner, service: service.as_deref(), asset })?;
                sums.add(owner, service.as_deref(), asset);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    write(&Line::Summary(sums))?;
    out.flush().map_err(Failure::failed)?;
    aws.shutdown().await;
    Ok(())
}

impl Sums {
    fn add(&mut self, owner: &str, service: Option<&str>, asset: &TouchedAsset) {
        self.assets.insert(asset.id.clone());
        self.owners.entry(owner.to_owned()).or_default().insert(asset.id.clone());
        self.services.extend(service.map(str::to_owned));
        let exposure = serde_json::to_value(asset.exposure).ok();
        let exposure = exposure.and_then(|word| word.as_str().map(str::to_owned));
        let exposure = exposure.unwrap_or_else(|| "unknown".to_owned());
        self.exposure.entry(exposure).or_default().insert(asset.id.clone());
        for v in asset.vulnerabilities.iter().map(|v| &v.row).filter(|row| row.status.is_open()) {
            self.open.insert(v.id.clone());
            if v.sla == domain::sla::State::Overdue {
                self.overdue.insert(v.id.clone());
            }
            self.first_due = [self.first_due, v.due].into_iter().flatten().min();
            self.tickets.extend(v.ticket.iter().chain(&v.other_tickets).map(|ticket| ticket.key.clone()));
        }
    }
}
