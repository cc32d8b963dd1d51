//! Takes over what people know of machines.

use std::collections::BTreeSet;

use domain::AssetId;
use domain::inventory::InventoryRow;
use queue::{QueueName, ScoreMessage};
use serde::Deserialize;
use serde_json::Value;
use store::{AuditAction, Taken};

use crate::Dashboard;
use crate::data::{InventoryImport, RefusedRow};
use crate::door::Caller;
use crate::problem::Problem;

/// Most rows of one call: an answer has to be there within half a minute.
const MAX_ROWS: usize = 200;

/// A list of machines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    rows: Vec<Value>,
}

impl Dashboard {
    pub(super) async fn import_inventory(
        &self,
        wanted: Rows,
        caller: &Caller,
    ) -> Result<InventoryImport, Problem> {
        if wanted.rows.is_empty() || wanted.rows.len() > MAX_ROWS {
            return Err(Problem::Invalid(format!("rows are 1 to {MAX_ROWS}; send more in several calls")));
        }
        let detail = format!("{} rows", wanted.rows.len());
        let line = self.line(caller, AuditAction::ImportedInventory, "inventory".to_owned(), detail);
        self.store.put_audit(&line).await?;
        let mut result = InventoryImport::default();
        let mut assets: BTreeSet<AssetId> = BTreeSet::new();
        for (row, value) in wanted.rows.iter().enumerate() {
            let mut refuse = |problem: String| result.refused.push(RefusedRow { row, problem });
            let read = match InventoryRow::read(value) {
                Ok(read) => read,
                Err(error) => {
                    refuse(error.to_string());
                    continue;
                }
            };
            match self.store.put_inventory(&read).await {
                Ok(Taken::By(asset)) => _ = assets.insert(asset),
                Ok(Taken::Waits) => result.waiting += 1,
                Ok(Taken::Several(several)) => {
                    let several: Vec<_> = several.iter().map(AssetId::to_string).collect();
                    refuse(format!("leads to {}: name a stronger identifier", several.join(", ")));
                }
                Err(error) if error.is_conflict() => {
                    refuse("the asset was changed at the same time: send it again".to_owned());
                }
                Err(error) => return Err(error.into()),
            }
        }
        result.taken = assets.iter().cloned().collect();
        if !assets.is_empty() {
            let message = ScoreMessage { assets: result.taken.clone(), ..ScoreMessage::default() };
            self.tell(QueueName::Score, &message).await?;
        }
        Ok(result)
    }
}
