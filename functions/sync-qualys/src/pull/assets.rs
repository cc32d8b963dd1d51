//! What the asset management knows beyond the host list: cloud identity, cards, open ports, software, tags.
//!
//! Global AssetView has the most of it, and not every subscription has Global AssetView: the asset search is asked
//! instead then. Both know assets that were never scanned, which are left alone.

use domain::Host;
use jiff::Timestamp;
use sync::http::HttpResponse;
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

const NO_ASSETS: &str = "neither Global AssetView nor the asset search is open to this user, so hosts stay without software, \
    open ports, network cards and further cloud details: give the user \"API Access\" and the permission \"Read Asset\" of \
    Asset Management, or have Global AssetView enabled for the subscription";

/// Without what changes with every scan, which the host list tells as well: it would cost a write each time.
fn steady(host: Host) -> Host {
    Host { last_scanned_at: None, credentialed: None, ..host }
}

impl QualysScanner {
    /// Why nobody tells the details of hosts to this user, if that is so; asks for as little as there is.
    pub(crate) async fn missing_details(&self, now: Timestamp) -> Result<Option<String>, Failure> {
        let Err(search) = soft(self.client.ask_host_assets(now).await)? else { return Ok(None) };
        let global = match &self.client.gateway {
            None => "no gateway is known, gateway_url names it".to_owned(),
            Some(gateway) => match ask_global_assets(gateway, now).await {
                Ok(()) => return Ok(None),
                Err(failure) => closed(failure)?,
            },
        };
        Ok(Some(format!("{NO_ASSETS} (asset search: {search}; Global AssetView: {global})")))
    }

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
            Err(failure) if after == 0 => {
                let why = closed(failure)?;
                tracing::info!(why, "no assets from the gateway, the asset search is asked");
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
        let next = loop {
            match next_asset(gateway, &mut page, &mut answer).await? {
                Ok(Record::Asset(host)) => {
                    received += 1;
                    if let Some(host) = *host {
                        sink.supplement(steady(host)).await?;
                    }
                }
                Ok(Record::Refused(bad)) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Err(next) => break next,
            }
        };
        let next = self.behind(next.is_some(), next, after)?;
        let units = next.map(|after| Work::GlobalAssets { after }.unit(&used_up));
        Ok(then(units.into_iter().collect(), Proof { received, ..Proof::default() }))
    }
}

/// The next asset of a page of Global AssetView; at its end, behind which asset there are more.
async fn next_asset(
    gateway: &Gateway,
    page: &mut Page,
    answer: &mut HttpResponse,
) -> Result<Result<Record, Option<u64>>, Failure> {
    match page.next(answer).await {
        Ok(Ok(record)) => Ok(Ok(record)),
        Ok(Err(Frame { failed: Some(words), .. })) => Err(Failure::NotPermitted(words)),
        Ok(Err(Frame { next, .. })) => Ok(Err(next)),
        Err(Ok((offset, detail))) => Err(Failure::Sync(gateway.malformed(answer.what(), offset, &detail))),
        Err(Err(error)) => Err(Failure::Sync(error)),
    }
}

/// Asks Global AssetView for one asset, to see whether it may be asked.
async fn ask_global_assets(gateway: &Gateway, now: Timestamp) -> Result<(), Failure> {
    let mut answer = gateway.post(GLOBAL_ASSETS, &[("pageSize", "1".to_owned())], now).await?;
    match answer.status().as_u16() {
        200 => next_asset(gateway, &mut Page::new(), &mut answer).await.map(|_| ()),
        204 => Ok(()),
        _ => Err(gateway.unwanted(answer, now).await),
    }
}

/// Why Global AssetView is not there for this user, so that the asset search is asked instead. Any other failure is one.
fn closed(failure: Failure) -> Result<String, Failure> {
    match failure {
        Failure::NotPermitted(detail) => Ok(format!("Qualys says {detail}")),
        // The gateway may lack a user that the API knows; the API decides about the credentials.
        Failure::Sync(SyncError::Unauthorized { detail, .. }) => {
            Ok(format!("the gateway refuses the user ({detail})"))
        }
        // Nor does a gateway that cannot be reached keep back what the API tells.
        Failure::Sync(error @ SyncError::Unreachable { .. }) => Ok(error.to_string()),
        failure => Err(failure),
    }
}
