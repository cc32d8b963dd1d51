//! What the asset management knows beyond the host list: cloud identity, cards, open ports, software, tags.
//!
//! Global AssetView has the most of it, and not every subscription has Global AssetView: the asset search is asked
//! instead then. Both know assets that were never scanned, which are left alone.

use domain::Host;
use sync::{Next, Proof, Run, Sink, SyncError};

use super::{noted, since, soft, then};
use crate::QualysScanner;
use crate::client::{Failure, gateway_time};
use crate::document::Item;
use crate::gateway::Gateway;
use crate::global_assets::{Frame, Page, Record};
use crate::work::{Api, UsedUp, Work};

const GLOBAL_ASSETS: &str = "am/v1/assets/host/list";
/// The most that the gateway gives at once.
const GLOBAL_ASSETS_PER_PAGE: u32 = 300;

const NO_ASSETS: &str = "the asset search is not open to this user, so hosts stay without software and open ports: give \
    it API access to asset management";

/// Without what changes with every scan, which the host list tells as well: it would cost a write each time.
fn steady(host: Host) -> Host {
    Host { last_scanned_at: None, credentialed: None, ..host }
}

impl QualysScanner {
    pub(super) async fn host_assets(
        &self,
        run: &Run,
        after: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        match soft(self.host_assets_page(run, after, used_up, sink).await)? {
            Ok(next) => Ok(next),
            Err(why) => {
                // The host list has what a run is about: without details it is complete all the same.
                tracing::warn!(why, "{NO_ASSETS}");
                Ok(Next::Done(Proof::default()))
            }
        }
    }

    async fn host_assets_page(
        &self,
        run: &Run,
        after: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let mut answer = self.client.host_assets(after, since(run), sink.now()).await?;
        let (mut received, mut last) = (0, after);
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Host(item)) => {
                    received += 1;
                    last = last.max(item.marks.asset);
                    if item.marks.is_scanned {
                        sink.supplement(steady(item.host)).await?;
                    }
                }
                Ok(Item::Refused(bad)) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Ok(_) => {}
                Err(around) => break around,
            }
        };
        let used_up = noted(used_up, Api::HostAssets, &answer, sink);
        let next = self.behind(around.has_more, around.last_id.or(Some(last)), after)?;
        let units = next.map(|after| Work::HostAssets { after }.unit(&used_up));
        Ok(then(units.into_iter().collect(), Proof { received, ..Proof::default() }))
    }

    /// Where a search goes on.
    fn behind(&self, has_more: bool, last: Option<u64>, after: u64) -> Result<Option<u64>, Failure> {
        match last.filter(|_| has_more) {
            None if has_more => {
                Err(Failure::Sync(self.client.malformed("a search", "there is more, but nobody says where")))
            }
            Some(last) if last <= after => {
                let detail = format!("id {last} does not lead on from {after}");
                Err(Failure::Sync(self.client.malformed("a search", &detail)))
            }
            next => Ok(next),
        }
    }

    pub(super) async fn global_assets(
        &self,
        run: &Run,
        after: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        // A connector that has lost its gateway since the unit was planned.
        let Some(gateway) = &self.client.gateway else {
            return self.host_assets(run, 0, used_up, sink).await;
        };
        match self.global_assets_page(gateway, run, after, used_up, sink).await {
            Err(Failure::NotPermitted(detail)) if after == 0 => {
                tracing::info!(detail, "no Global AssetView here, the asset search is asked");
                Ok(Next::More(vec![Work::HostAssets { after: 0 }.unit(used_up)], Proof::default()))
            }
            // The gateway may lack a user that the API knows; the API decides about the credentials.
            Err(Failure::Sync(SyncError::Unauthorized { detail, .. })) if after == 0 => {
                tracing::info!(detail, "the gateway is not open to this user, the asset search is asked");
                Ok(Next::More(vec![Work::HostAssets { after: 0 }.unit(used_up)], Proof::default()))
            }
            // Nor does a gateway that cannot be reached keep back what the API tells.
            Err(Failure::Sync(error @ SyncError::Unreachable { .. })) if after == 0 => {
                tracing::warn!(%error, "the gateway is not reached, the asset search is asked");
                Ok(Next::More(vec![Work::HostAssets { after: 0 }.unit(used_up)], Proof::default()))
            }
            outcome => outcome,
        }
    }

    async fn global_assets_page(
        &self,
        gateway: &Gateway,
        run: &Run,
        after: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let mut query = vec![("pageSize", GLOBAL_ASSETS_PER_PAGE.to_string())];
        if after > 0 {
            query.push(("lastSeenAssetId", after.to_string()));
        }
        if let Some(since) = since(run) {
            query.push(("lastModifiedDate", gateway_time(since)));
        }
        let mut answer = gateway.post(GLOBAL_ASSETS, &query, sink.now()).await?;
        let mut used_up = used_up.clone();
        if let Some(until) = crate::client::Limits::of(&answer).not_before(sink.now()) {
            used_up.insert(Api::GlobalAssets, until);
        }
        match answer.status().as_u16() {
            200 => {}
            // Nothing has changed.
            204 => return Ok(Next::Done(Proof::default())),
            _ => return Err(gateway.unwanted(answer, sink.now()).await),
        }
        let mut page = Page::new();
        let mut received = 0;
        let frame = loop {
            match page.next(&mut answer).await {
                Ok(Ok(Record::Asset(host))) => {
                    received += 1;
                    if let Some(host) = *host {
                        sink.supplement(steady(host)).await?;
                    }
                }
                Ok(Ok(Record::Refused(bad))) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Ok(Err(frame)) => break frame,
                Err(Ok((offset, detail))) => {
                    return Err(Failure::Sync(gateway.malformed(answer.what(), offset, &detail)));
                }
                Err(Err(error)) => return Err(Failure::Sync(error)),
            }
        };
        let Frame { next, failed } = frame;
        if let Some(words) = failed {
            return Err(Failure::NotPermitted(words));
        }
        let next = self.behind(next.is_some(), next, after)?;
        let units = next.map(|after| Work::GlobalAssets { after }.unit(&used_up));
        Ok(then(units.into_iter().collect(), Proof { received, ..Proof::default() }))
    }
}
