//! Reading everything, page by page.

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use domain::{Asset, Vulnerability};

use crate::codec::{self, Item, text};
use crate::decisions::{read_asset, read_vulnerability};
use crate::deliveries::Delivery;
use crate::error::StoreError;
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
        let mut items = Vec::new();
        for item in answer.items.unwrap_or_default() {
            let pk = text(&item, "pk").unwrap_or_default();
            let found = if pk.starts_with("A#") && sort_key(&item) == crate::keys::ASSET {
                ExportItem::Asset(Box::new(read_asset(&item)?))
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
        Ok(ExportPage { items, next: answer.last_evaluated_key })
    }
}
