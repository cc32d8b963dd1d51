//! Telling `score` which assets are concerned.

use std::collections::HashSet;

use domain::{AssetId, CveId};
use futures::stream::{self, StreamExt, TryStreamExt};
use queue::{Outgoing, QueueName, ScoreMessage};

use crate::apply::{Marked, PARALLEL};
use crate::{IntelError, SyncIntel};

/// Assets in one message.
const ASSETS: usize = 25;
/// Assets gathered before messages are sent: ten messages are one call.
const GATHERED: usize = 10 * ASSETS;
/// CVEs whose users are asked for before the next ones.
const CVES: usize = 64;
/// Assets of an owner that are read at a time.
const PAGE: i32 = 200;

/// Assets on their way into messages, each once.
#[derive(Default)]
struct Gathered {
    told: HashSet<u64>,
    waiting: Vec<AssetId>,
    /// Whether small moves of scores are written too.
    settle: bool,
}

impl Gathered {
    fn add(&mut self, asset: AssetId) {
        // 64 bits stand for an asset: a million assets take a few megabytes.
        if self.told.insert(domain::digest(asset.as_str().as_bytes())) {
            self.waiting.push(asset);
        }
    }
}

impl SyncIntel {
    /// Tells the users of the marked CVEs, each once.
    pub(crate) async fn tell_users(&self, marked: &Marked) -> Result<(), IntelError> {
        let cves: Vec<CveId> = marked
            .iter()
            .flat_map(|(block, (_, places))| places.iter().filter_map(|place| block.cve(*place)))
            .collect();
        let mut gathered = Gathered::default();
        for cves in cves.chunks(CVES) {
            let asked: Vec<_> = cves.iter().map(|cve| self.store.cve_users(cve)).collect();
            let users = stream::iter(asked).buffer_unordered(PARALLEL).try_collect::<Vec<_>>().await?;
            users.into_iter().flatten().for_each(|asset| gathered.add(asset));
            self.send(&mut gathered, GATHERED).await?;
        }
        self.send(&mut gathered, 1).await
    }

    /// Tells every asset; with `settle`, small moves of scores are written too.
    pub(crate) async fn tell_everyone(&self, settle: bool) -> Result<(), IntelError> {
        let mut gathered = Gathered { settle, ..Gathered::default() };
        for owner in self.store.owners(&self.config).await? {
            let mut after = None;
            loop {
                let page = self.store.assets(&owner, after.as_deref(), PAGE).await?;
                page.rows.into_iter().for_each(|row| gathered.add(row.value.id));
                self.send(&mut gathered, GATHERED).await?;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        self.send(&mut gathered, 1).await
    }

    /// Sends what waits, if there is as much as `enough`.
    async fn send(&self, gathered: &mut Gathered, enough: usize) -> Result<(), IntelError> {
        if gathered.waiting.len() < enough {
            return Ok(());
        }
        let message = |assets: &[AssetId]| ScoreMessage {
            assets: assets.to_vec(),
            settle: gathered.settle,
            ..ScoreMessage::default()
        };
        let messages = gathered
            .waiting
            .chunks(ASSETS)
            .map(|assets| Outgoing::now(&message(assets)))
            .collect::<Result<_, _>>()?;
        self.queue.send_all(QueueName::Score, messages).await?;
        gathered.waiting.clear();
        Ok(())
    }
}
