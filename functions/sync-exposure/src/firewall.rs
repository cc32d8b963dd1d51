//! Assets in the imported firewall rules.

use std::collections::{BTreeMap, BTreeSet};

use domain::Asset;
use domain::exposure::firewall::RuleList;
use domain::exposure::{Reach, ReachSource, replace};
use domain::identity::IdentifierKind;
use jiff::Timestamp;
use queue::{AssetWalk, ExposureMessage, Outgoing, QueueName};

use crate::{ExposureError, Shown, SyncExposure};

/// Assets that are read at a time.
const PAGE: i32 = 200;
/// Pages of one message: it takes less than a minute.
const PAGES: usize = 20;

/// The rules of each network scope that has some.
pub(crate) type Firewalls = BTreeMap<String, RuleList>;

impl SyncExposure {
    /// The imported rules of every network scope that a connector has.
    pub(crate) async fn firewalls(&self) -> Result<Firewalls, ExposureError> {
        let scopes: BTreeSet<&String> =
            self.config.connectors.iter().map(|connector| &connector.scope).collect();
        let mut all = Firewalls::new();
        for scope in scopes {
            all.extend(self.store.firewall_rules(scope).await?.map(|(rules, _)| (scope.clone(), rules)));
        }
        Ok(all)
    }

    /// Looks assets up: those of one owner, a part at a time; of all owners, each owner's by a message of its own.
    pub(crate) async fn look_up(&self, walk: AssetWalk) -> Result<(), ExposureError> {
        let Some(owner) = walk.owner else {
            let of = |owner| ExposureMessage::firewall(AssetWalk { owner: Some(owner), after: None });
            let owners = self.store.owners(&self.config).await?.into_iter();
            let messages = owners.map(|owner| Outgoing::now(&of(owner))).collect::<Result<_, _>>()?;
            return Ok(self.queue.send_all(QueueName::Exposure, messages).await?);
        };
        let firewalls = self.firewalls().await?;
        let mut after = walk.after;
        let mut changed = 0;
        for _ in 0..PAGES {
            let page = self.store.assets(&owner, after.as_deref(), PAGE).await?;
            let now = self.clock.now();
            let shown = page.rows.iter().filter_map(|row| self.changed(&row.value, &firewalls, now));
            changed += self.keep(shown.collect()).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        tracing::info!(changed, "assets were looked up in the firewall rules");
        if after.is_some() {
            let rest = ExposureMessage::firewall(AssetWalk { owner: Some(owner), after });
            self.queue.send(QueueName::Exposure, Outgoing::now(&rest)?).await?;
        }
        Ok(())
    }

    /// What the rules show of an asset, if that is something new. Of several scopes, the one with the most exposure.
    fn changed(&self, asset: &Asset, firewalls: &Firewalls, now: Timestamp) -> Option<Shown> {
        let networks = self.config.exposure.networks();
        let reaches = firewalls.iter().filter_map(|(scope, rules)| {
            let ids =
                asset.identifiers.iter().filter(|id| id.kind == IdentifierKind::Ip && id.scope == *scope);
            rules.reach(scope, ids.filter_map(|id| id.value.parse().ok()), networks, now)
        });
        let reach: Option<Reach> = reaches.max_by_key(|reach| reach.exposure);
        let source = match &reach {
            Some(reach) => reach.source.clone(),
            None => ReachSource::Firewall { scope: String::new() },
        };
        let is_new = replace(&mut asset.reach.clone(), &source, reach.clone());
        is_new.then(|| Shown { asset: asset.id.clone(), source, reach })
    }
}
