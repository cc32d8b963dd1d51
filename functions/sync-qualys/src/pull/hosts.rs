//! The host list: who the hosts are, how they are marked, and which ones exist.

use std::collections::HashMap;

use domain::{Host, Tag};
use jiff::Timestamp;
use sync::{BadRecord, Next, Proof, Run, Sink};

use super::{note, noted, soft, then};
use crate::QualysScanner;
use crate::client::{Answer, Failure, IDS_PER_PAGE, Page};
use crate::document::{Around, Item, Marks, Named};
use crate::normalize::MOST_IDS;
use crate::work::{Api, UsedUp, Work};

/// Ids that are handed on at once; a range may hold millions.
const IDS_AT_ONCE: usize = 10_000;

const NO_TAGS: &str = "tags and asset groups are not open to this user: give it the right to read them, or leave tags \
    out of data_streams";

/// The names of asset groups and the criticality of tags.
#[derive(Default)]
struct Directory {
    groups: HashMap<u64, String>,
    criticality: HashMap<u64, u8>,
}

impl Directory {
    /// A host with what its marks say. Where Qualys rates the host itself, that counts.
    fn completed(&self, mut host: Host, marks: &Marks) -> Host {
        let named = marks.groups.iter().filter_map(|id| self.groups.get(id));
        host.tags.extend(named.map(|name| Tag { key: "asset_group".into(), value: name.clone() }));
        let highest = marks.tags.iter().filter_map(|id| self.criticality.get(id)).max();
        host.criticality = host.criticality.or(highest.copied());
        host
    }
}

impl QualysScanner {
    pub(super) async fn hosts(
        &self,
        run: &Run,
        id_min: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let (mut used_up, mut missing) = (used_up.clone(), None);
        let mut directory = Directory::default();
        if self.tags {
            // One may be open without the other.
            let groups = soft(self.groups(&mut directory, &mut used_up, sink.now()).await)?;
            let criticality = soft(self.criticality(&mut directory, &mut used_up, sink.now()).await)?;
            let why: Vec<String> = [groups, criticality].into_iter().filter_map(Result::err).collect();
            let lacks = self.tags_named && !why.is_empty();
            missing = lacks.then(|| format!("{NO_TAGS} ({})", why.join("; ")));
        }
        let with_groups = !directory.groups.is_empty();
        let mut answer = self.client.hosts(&self.page(run, id_min), with_groups, sink.now()).await?;
        let mut received = 0;
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Host(item)) => {
                    received += 1;
                    sink.inventory(directory.completed(item.host, &item.marks)).await?;
                }
                Ok(Item::Refused(bad)) => {
                    received += 1;
                    sink.refuse(bad);
                }
                Ok(_) => {}
                Err(around) => break around,
            }
        };
        let used_up = noted(&used_up, Api::HostList, &answer, sink);
        let units = match self.next_page(&around, id_min)? {
            Some(id_min) => vec![Work::Hosts { id_min }.unit(&used_up)],
            None => self.after_hosts(run, &used_up),
        };
        Ok(then(units, Proof { received, missing, ..Proof::default() }))
    }

    /// Read anew for each page: they are few, and a page is worked by whoever is free.
    async fn groups(
        &self,
        directory: &mut Directory,
        used_up: &mut UsedUp,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut answer = self.client.asset_groups(now).await?;
        note(used_up, Api::AssetGroups, &answer, now);
        self.each(&mut answer, |item| {
            if let Item::Group(Named { id, name }) = item {
                directory.groups.insert(id, name);
            }
        })
        .await?;
        Ok(())
    }

    async fn criticality(
        &self,
        directory: &mut Directory,
        used_up: &mut UsedUp,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            let mut answer = self.client.tags(after, now).await?;
            note(used_up, Api::Tags, &answer, now);
            let mut last = after;
            let around = self
                .each(&mut answer, |item| {
                    if let Item::Tag { id, criticality } = item {
                        last = last.max(id);
                        if let Some(criticality) = criticality {
                            directory.criticality.insert(id, criticality);
                        }
                    }
                })
                .await?;
            let last = around.last_id.unwrap_or(last);
            if !around.has_more || last <= after {
                return Ok(());
            }
            after = last;
        }
    }

    async fn each(&self, answer: &mut Answer, mut take: impl FnMut(Item) + Send) -> Result<Around, Failure> {
        loop {
            match answer.next(&self.client).await? {
                Ok(item) => take(item),
                Err(around) => return Ok(around),
            }
        }
    }

    /// Which hosts Qualys has at all: those that it lacks were purged.
    pub(super) async fn host_ids(
        &self,
        id_min: u64,
        used_up: &UsedUp,
        sink: &mut dyn Sink,
    ) -> Result<Next, Failure> {
        let page = Page { id_min, size: IDS_PER_PAGE, since: None };
        let mut answer = self.client.host_ids(&page, sink.now()).await?;
        let mut received = 0;
        let around = loop {
            match answer.next(&self.client).await? {
                Ok(Item::Ids(ids)) => {
                    let mut some = Vec::new();
                    for id in ids {
                        received += 1;
                        if received > MOST_IDS {
                            let problem =
                                format!("it has more than {MOST_IDS} ids, {IDS_PER_PAGE} were asked for");
                            let bad = BadRecord { offset: 0, problem };
                            return Err(Failure::Sync(answer.refused(&self.client, &bad)));
                        }
                        some.push(id.to_string());
                        if some.len() >= IDS_AT_ONCE {
                            sink.exist(std::mem::take(&mut some)).await?;
                        }
                    }
                    sink.exist(some).await?;
                }
                Ok(Item::Refused(bad)) => {
                    // A host that cannot be told from a purged one would be taken for it.
                    return Err(Failure::Sync(answer.refused(&self.client, &bad)));
                }
                Ok(_) => {}
                Err(around) => break around,
            }
        };
        let used_up = noted(used_up, Api::HostList, &answer, sink);
        let next = self.next_page(&around, id_min)?.map(|id_min| Work::HostIds { id_min }.unit(&used_up));
        Ok(then(next.into_iter().collect(), Proof { received, ..Proof::default() }))
    }
}
