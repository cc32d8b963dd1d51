//! Reading everything, page by page.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::vulnerability::Sighting;
use domain::{Asset, SightingId, Vulnerability};

use crate::codec::{self, Item, text};
use crate::decisions::{read_asset, read_vulnerability};
use crate::deliveries::Delivery;
use crate::error::StoreError;
use crate::keys;
use crate::statements::read_sighting;
use crate::table::{Store, sort_key};

/// Something that an export shows.
#[derive(Debug, Clone)]
pub enum ExportItem {
    /// An asset.
    Asset(Box<Asset>),
    /// A vulnerability.
    Vulnerability(Box<Vulnerability>),
    /// A delivery.
    Delivery(Box<Delivery>),
}

/// A page of an export.
#[derive(Debug, Clone)]
pub struct ExportPage {
    /// What is on it.
    pub items: Vec<ExportItem>,
    /// What to ask for the next page with.
    pub next: Option<Item>,
}

impl Store {
    /// One page of everything, in the table's own order.
    pub async fn export_page(&self, start: Option<Item>) -> Result<ExportPage, StoreError> {
        let (found, next) = self.scan(start).await?;
        let mut items = Vec::new();
        for item in found {
            let pk = text(&item, "pk").unwrap_or_default();
            let found = if pk.starts_with("A#") && sort_key(&item) == keys::ASSET {
                let asset = read_asset(&item)?;
                // What turned out to be another asset is exported as that one.
                if asset.merged_into.is_some() {
                    continue;
                }
                ExportItem::Asset(Box::new(asset))
            } else if pk.starts_with("A#") && sort_key(&item).starts_with("V#") && !item.contains_key("alias")
            {
                ExportItem::Vulnerability(Box::new(read_vulnerability(&item)?))
            } else if pk.starts_with("D#") && item.contains_key(codec::DOCUMENT) {
                ExportItem::Delivery(Box::new(codec::parse(&item)?))
            } else {
                continue;
            };
            items.push(found);
        }
        Ok(ExportPage { items, next })
    }

    /// One page of every host that a scanner has told of, in the table's own order, and where the next page begins.
    pub async fn sightings_page(
        &self,
        start: Option<Item>,
    ) -> Result<(Vec<(SightingId, Sighting)>, Option<Item>), StoreError> {
        let (items, next) = self.scan(start).await?;
        let mut sightings = Vec::new();
        for item in items.iter().filter(|item| sort_key(item) == keys::SIGHTING) {
            if let Some(id) = text(item, "pk").and_then(keys::sighting_of) {
                sightings.push((id, read_sighting(item)?));
            }
        }
        Ok((sightings, next))
    }

    async fn scan(&self, start: Option<Item>) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let answer = self
            .client
            .scan()
            .table_name(&*self.table)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|e| StoreError::from_sdk("Scan", "the table", &e))?;
        self.capacity().read("Scan", answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}
