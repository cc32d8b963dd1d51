//! Vulnerabilities that follow their asset when it turns out to be another one, and back.
//!
//! A record that leaves is frozen first: it stays where it was, with all it had, points to where it went and is in no
//! list any more. Only then is it written there. Whoever dies in between finds the frozen record again; whoever has
//! something to say of it meanwhile (a ticket, a decision) is told to come back.

use std::collections::BTreeMap;

use domain::{AssetId, VulnId, Vulnerability};

use crate::codec::{self, n, number, s, text};
use crate::decisions::{read_vulnerability, stored_vulnerability};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Range, Store, sort_key};

/// What stands under a vulnerability's id in one asset.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Revision.
    pub rev: Option<u64>,
    /// The vulnerability, unless nothing but a pointer is left.
    pub value: Option<Vulnerability>,
    /// Where it went, if it is no longer here: the asset, and its id there.
    pub gone_to: Option<(AssetId, VulnId)>,
}

impl Store {
    /// Everything that stands in an asset's partition under the ids of vulnerabilities.
    pub async fn kept_vulnerabilities(&self, asset: &AssetId) -> Result<BTreeMap<VulnId, Kept>, StoreError> {
        let pk = keys::asset_partition(asset);
        let mut range = Range::all(&pk);
        range.prefix = Some("V#");
        range.consistent = true;
        let mut all = BTreeMap::new();
        for item in self.query_all(range).await? {
            let bad = |e: domain::InvalidId| codec::malformed(&item, e);
            let id: VulnId = sort_key(&item).trim_start_matches("V#").parse().map_err(bad)?;
            let to = match text(&item, "alias") {
                None => None,
                Some(alias) => {
                    let there = text(&item, "moved").map_or(Ok(asset.clone()), str::parse).map_err(bad)?;
                    Some((there, alias.parse().map_err(bad)?))
                }
            };
            let value =
                if item.contains_key(codec::DOCUMENT) { Some(read_vulnerability(&item)?) } else { None };
            all.insert(id, Kept { rev: number(&item, "rev"), value, gone_to: to });
        }
        Ok(all)
    }

    /// Takes a vulnerability out of its asset: it stays as it is and leads to the same id in another asset.
    pub async fn freeze_vulnerability(
        &self,
        asset: &AssetId,
        id: &VulnId,
        rev: Option<u64>,
        to: &AssetId,
    ) -> Result<(), StoreError> {
        self.update(
            &keys::vulnerability(asset, id),
            "SET alias = :id, moved = :to ADD rev :one REMOVE o, os, t, ts, w, ws",
            Some("rev = :rev"),
            &[],
            vec![
                (":id", s(id.as_str())),
                (":to", s(to.as_str())),
                (":one", n(1)),
                (":rev", n(rev.unwrap_or(0))),
            ],
        )
        .await
    }

    /// Leads an id of one asset to another vulnerability, wherever that is; what stood there is not kept.
    pub async fn point_vulnerability(
        &self,
        asset: &AssetId,
        id: &VulnId,
        rev: Option<u64>,
        to: &Vulnerability,
    ) -> Result<(), StoreError> {
        let item = codec::Item::from([
            ("alias".to_owned(), s(to.id.as_str())),
            ("moved".into(), s(to.asset.as_str())),
            ("rev".into(), n(rev.unwrap_or(0) + 1)),
        ]);
        self.put(&keys::vulnerability(asset, id), item, Some(Condition::revision(rev))).await
    }

    /// Keeps a vulnerability as it is before it becomes one with one of `other`. The first time counts.
    pub async fn keep_image(&self, other: &AssetId, vulnerability: &Vulnerability) -> Result<(), StoreError> {
        let key = keys::image(&vulnerability.asset, other, &vulnerability.id);
        match self.put(&key, stored_vulnerability(vulnerability), Some(Condition::absent())).await {
            Err(error) if error.is_conflict() => Ok(()),
            other => other,
        }
    }

    /// The vulnerabilities of an asset as they were before they became one with those of `other`.
    pub async fn images(&self, asset: &AssetId, other: &AssetId) -> Result<Vec<Vulnerability>, StoreError> {
        let pk = keys::history_partition(asset);
        let prefix = keys::images_prefix(other);
        let mut range = Range::all(&pk);
        range.prefix = Some(&prefix);
        range.consistent = true;
        self.query_all(range).await?.iter().map(read_vulnerability).collect()
    }

    /// Forgets such an image.
    pub async fn drop_image(&self, image: &Vulnerability, other: &AssetId) -> Result<(), StoreError> {
        self.delete(&keys::image(&image.asset, other, &image.id)).await
    }
}
