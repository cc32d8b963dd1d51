//! Takes over firewall rules.

use domain::exposure::firewall::RuleList;
use queue::{AssetWalk, ExposureMessage, QueueName};
use serde::Deserialize;
use serde_json::Value;
use store::AuditAction;

use crate::Dashboard;
use crate::data::{FirewallImport, RefusedRow};
use crate::door::Caller;
use crate::problem::Problem;

/// Firewall rules of a network scope.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirewallRows {
    #[serde(default = "default_scope")]
    scope: String,
    rows: Vec<Value>,
    /// Whether they come beside those that are there, and not in their place.
    #[serde(default)]
    add: bool,
}

fn default_scope() -> String {
    "default".to_owned()
}

impl Dashboard {
    /// Makes these rows the firewall rules of their scope; what is wrong with a row concerns that row alone.
    pub(super) async fn import_firewall(
        &self,
        wanted: FirewallRows,
        caller: &Caller,
    ) -> Result<FirewallImport, Problem> {
        let scope = wanted.scope;
        self.config.check_scope(&scope).map_err(Problem::Invalid)?;
        let count = wanted.rows.len();
        let rows = (0..).zip(wanted.rows.into_iter().map(Ok)).collect();
        let invalid = |error: domain::exposure::firewall::TooMany| Problem::Invalid(error.to_string());
        let (mut rules, refused) = RuleList::read(rows).map_err(invalid)?;
        let refused: Vec<RefusedRow> = refused
            .into_iter()
            .map(|(row, problem)| RefusedRow { row: usize::try_from(row).unwrap_or(usize::MAX), problem })
            .collect();
        if rules.rules.is_empty() && (wanted.add || !refused.is_empty()) {
            return Ok(FirewallImport { refused, ..FirewallImport::default() });
        }
        if wanted.add
            && let Some((known, _)) = self.store.firewall_rules(&scope).await?
        {
            rules = known.with(rules).map_err(invalid)?;
        }
        let detail = format!("{count} rows for the scope {scope}");
        let line = self.line(caller, AuditAction::ImportedFirewall, "firewall rules".to_owned(), detail);
        self.store.put_audit(&line).await?;
        let kept = self.store.put_firewall_rules(&scope, &rules, &caller.name, self.now()).await?;
        self.tell(QueueName::Exposure, &ExposureMessage::firewall(AssetWalk::default())).await?;
        Ok(FirewallImport { rules: rules.rules.len(), version: Some(kept.version), refused })
    }
}
