//! Taking a feed in: judge it, write what changed, tell whom it concerns, remember it. In this order.

use std::collections::{BTreeMap, BTreeSet};

use domain::intel::Feed;
use futures::stream::{self, StreamExt, TryStreamExt};
use store::{CveBlock, FeedHead, IntelPage};

use crate::fetch::fetch;
use crate::parse::{Parsed, Source};
use crate::{FeedNote, IntelError, SyncIntel};

/// A move of the EPSS factor (0 to 1000) that is worth deciding again: five points of a score.
pub const EPSS_MOVE: u16 = 25;
/// A feed that has fewer than this share of its last CVEs is not believed, in per cent.
const SHRUNK_PERCENT: usize = 80;
/// Version of the parsers: another one reads a feed again although it did not change.
pub(crate) const FORMAT: u32 = 1;
/// Blocks compared at a time.
const CHUNK: usize = 100;
/// Writes under way at a time.
pub(crate) const PARALLEL: usize = 8;
/// Changed CVEs from which on every asset is told: asking for the users of each costs more than all assets do.
const MANY: usize = 2_000;

/// Blocks with marks: their revision and the marked places.
pub(crate) type Marked = BTreeMap<CveBlock, (Option<u64>, BTreeSet<u8>)>;

impl SyncIntel {
    /// Takes one feed in, unless it did not change.
    pub(crate) async fn take_in<P: Source>(&self, force: bool) -> Result<(), IntelError> {
        let feed = P::FEED;
        let feeds = &self.config.feeds;
        let (address, now) = (feeds.address(feed), self.clock.now());
        let (known, rev) = self.store.feed_head(feed).await?;
        let current = known.source == address && known.format == FORMAT && !force;
        let etag = known.etag.as_deref().filter(|_| current);
        let answer = match feed {
            Feed::RecordedFuture => self.ask_risk_list(etag).await?,
            _ => fetch(feed.as_str(), address, etag, feeds.allow_private_address, now).await?,
        };
        let Some(body) = answer else {
            return self.write_note(feed, &known, None).await;
        };
        let (etag, modified) = (body.etag.clone(), body.modified);
        let parsed = body.parse(P::parse).await?.map_err(|cause| IntelError::Malformed { feed, cause })?;
        let head = FeedHead {
            source: address.to_owned(),
            etag,
            format: FORMAT,
            count: parsed.count(),
            // A file without its comment is no switch of models.
            model: if parsed.model.is_empty() { known.model.clone() } else { parsed.model.clone() },
            as_of: parsed.as_of.or(modified).or(Some(now)),
            complete: true,
            whole_at: None,
            window: None,
        };
        judge(&parsed, &head, &known, force).map_err(|problem| *problem)?;
        if parsed.dirty + parsed.unreadable > 0 {
            let (dirty, unreadable) = (parsed.dirty, parsed.unreadable);
            tracing::warn!(%feed, dirty, unreadable, "parts of the feed cannot be read");
        }
        self.apply(parsed, Run { known, head, rev, claimed: false }).await
    }

    async fn apply<P: Source>(&self, mut parsed: Parsed<P>, mut run: Run) -> Result<(), IntelError> {
        let feed = P::FEED;
        // Whoever decides from now on is told by the table; who decided before is told by us, all of them at once.
        let everyone = !run.known.complete || run.known.model != run.head.model;
        let hold = parsed.unreadable > 0;
        let dirty = parsed.dirty;

        let before = self.store.feed_blocks(feed).await?;
        let new: BTreeSet<_> = parsed.rows.keys().filter(|block| !before.contains(block)).copied().collect();
        if !new.is_empty() {
            self.claim(feed, &mut run).await?;
            self.store.add_feed_blocks(feed, &new).await?;
        }
        let blocks: Vec<_> = before.union(&new).copied().collect();
        let mut marked = Marked::new();
        for chunk in blocks.chunks(CHUNK) {
            let pages = self.store.intel_pages::<P>(chunk).await?;
            let changed = compare(chunk, pages, &mut parsed.rows, &mut marked, |page, rows| {
                settle(page, rows, &run.head.model, hold, everyone)
            });
            if !changed.is_empty() {
                self.claim(feed, &mut run).await?;
                marked.extend(self.write(changed).await?);
            }
        }
        if everyone {
            self.store.note_intel_change(Some(feed)).await?;
            self.tell_everyone(false).await?;
        }
        self.tell_marked(feed, &marked).await?;
        self.write_note(feed, &run.head, Some(dirty)).await?;
        if run.claimed || run.head != run.known {
            self.store.put_feed_head(feed, &run.head, run.rev).await?;
        }
        Ok(())
    }

    /// Tells the users of what is marked, or everyone where that is less, and takes the marks off.
    pub(crate) async fn tell_marked(&self, feed: Feed, marked: &Marked) -> Result<(), IntelError> {
        if marked.is_empty() {
            return Ok(());
        }
        self.store.note_intel_change(None).await?;
        let changes: usize = marked.values().map(|(_, places)| places.len()).sum();
        if changes > MANY {
            self.tell_everyone(false).await?;
        } else {
            self.tell_users(marked).await?;
        }
        let cleared: Vec<_> =
            marked.iter().map(|(block, (rev, _))| self.store.clear_pending(feed, block, *rev)).collect();
        stream::iter(cleared).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        Ok(())
    }

    /// Writes what a page says of the CVEs on it. With `mark`, what changes is marked until its users are told.
    pub(crate) async fn merge_page<P: Source>(
        &self,
        mut parsed: Parsed<P>,
        mark: bool,
    ) -> Result<Marked, IntelError> {
        let before = self.store.feed_blocks(P::FEED).await?;
        // A block of which nothing is known and nothing is said is not begun.
        parsed
            .rows
            .retain(|block, rows| before.contains(block) || rows.values().any(|row| !row.says_nothing()));
        let blocks: Vec<CveBlock> = parsed.rows.keys().copied().collect();
        let new = blocks.iter().filter(|block| !before.contains(block)).copied().collect();
        self.store.add_feed_blocks(P::FEED, &new).await?;
        let mut marked = Marked::new();
        for chunk in blocks.chunks(CHUNK) {
            let pages = self.store.intel_pages::<P>(chunk).await?;
            let changed =
                compare(chunk, pages, &mut parsed.rows, &mut marked, |page, rows| merge(page, rows, mark));
            marked.extend(self.write(changed).await?);
        }
        Ok(marked)
    }

    /// Takes the entity tag away before the first write. Fails when another run has claimed the feed since this one
    /// asked for it: then the other one's answer is at least as new.
    async fn claim(&self, feed: Feed, run: &mut Run) -> Result<(), IntelError> {
        if !run.claimed {
            let head = FeedHead { etag: None, ..run.known.clone() };
            run.rev = self.store.put_feed_head(feed, &head, run.rev).await?;
            run.claimed = true;
        }
        Ok(())
    }

    /// Writes blocks and says which of them have marks.
    async fn write<P: Source>(&self, changed: Vec<(CveBlock, IntelPage<P>)>) -> Result<Marked, IntelError> {
        let put = |(block, mut page): (CveBlock, IntelPage<P>)| async move {
            self.store.put_intel_page(&block, &mut page).await.map(|()| (block, (page.rev, page.pending)))
        };
        let puts: Vec<_> = changed.into_iter().map(put).collect();
        let written = stream::iter(puts).buffer_unordered(PARALLEL).try_collect::<Vec<_>>().await?;
        Ok(written.into_iter().filter(|(_, (_, pending))| !pending.is_empty()).collect())
    }

    /// Says how the feed stands: well. `dirty` is kept where this run did not count it.
    pub(crate) async fn write_note(
        &self,
        feed: Feed,
        head: &FeedHead,
        dirty: Option<usize>,
    ) -> Result<(), IntelError> {
        let name = FeedNote::name(feed);
        self.store
            .change_note(&name, |old| {
                let dirty = dirty.unwrap_or_else(|| FeedNote::read(old).dirty);
                let (as_of, model) = (head.as_of, head.model.clone());
                FeedNote { as_of, count: head.count, model, dirty, problem: None }.write()
            })
            .await?;
        Ok(())
    }
}

/// What one run knows of the feed as a whole.
struct Run {
    /// How it was last taken in.
    known: FeedHead,
    /// How it will have been taken in.
    head: FeedHead,
    /// The revision of that record.
    rev: Option<u64>,
    /// This run has begun to write.
    claimed: bool,
}

/// Whether an answer is to be believed.
fn judge<P: Source>(
    parsed: &Parsed<P>,
    head: &FeedHead,
    known: &FeedHead,
    force: bool,
) -> Result<(), Box<IntelError>> {
    if force || !known.complete {
        return Ok(());
    }
    if head.count * 100 < known.count * SHRUNK_PERCENT {
        return Err(Box::new(IntelError::Shrunk { feed: P::FEED, before: known.count, now: head.count }));
    }
    match (known.as_of, parsed.as_of) {
        (Some(before), Some(now)) if now < before && known.source == head.source => {
            Err(Box::new(IntelError::Older { feed: P::FEED, before, now }))
        }
        _ => Ok(()),
    }
}

/// Makes the pages of blocks say what is new. Returns those that changed; the others join what is marked, where their
/// users have not been told yet.
fn compare<P: Source>(
    blocks: &[CveBlock],
    mut pages: BTreeMap<CveBlock, IntelPage<P>>,
    rows: &mut BTreeMap<CveBlock, BTreeMap<u8, P>>,
    marked: &mut Marked,
    change: impl Fn(&mut IntelPage<P>, BTreeMap<u8, P>) -> bool,
) -> Vec<(CveBlock, IntelPage<P>)> {
    let mut changed = Vec::new();
    for block in blocks {
        let mut page = pages.remove(block).unwrap_or_default();
        if change(&mut page, rows.remove(block).unwrap_or_default()) {
            changed.push((*block, page));
        } else if !page.pending.is_empty() {
            marked.insert(*block, (page.rev, page.pending));
        }
    }
    changed
}

/// Makes a page say what a part of the feed says, and nothing of what that does not name. Returns whether it changed.
fn merge<P: Source>(page: &mut IntelPage<P>, rows: BTreeMap<u8, P>, mark: bool) -> bool {
    let before = page.clone();
    for (place, new) in rows {
        let (new, _) = P::settle(new, page.rows.get(&place));
        let new = Some(new).filter(|row| !row.says_nothing());
        if page.rows.get(&place) == new.as_ref() {
            continue;
        }
        match new {
            Some(row) => page.rows.insert(place, row),
            None => page.rows.remove(&place),
        };
        if mark {
            page.pending.insert(place);
        }
    }
    *page != before
}

/// Makes a page say what the feed says and marks what matters. `hold` withholds removals; where
/// everyone is told anyway, nothing is marked. Returns whether the page changed.
fn settle<P: Source>(
    page: &mut IntelPage<P>,
    rows: BTreeMap<u8, P>,
    model: &str,
    hold: bool,
    everyone: bool,
) -> bool {
    let before = page.clone();
    let mut marks = BTreeSet::new();
    if !hold {
        marks.extend(page.rows.keys().filter(|place| !rows.contains_key(place)).copied());
        page.rows.retain(|place, _| rows.contains_key(place));
    }
    for (place, new) in rows {
        let (row, matters) = P::settle(new, page.rows.get(&place));
        if matters {
            marks.insert(place);
        }
        page.rows.insert(place, row);
    }
    if !page.rows.is_empty() || before.rev.is_some() {
        model.clone_into(&mut page.model);
    }
    if !everyone {
        page.pending.extend(marks);
    }
    *page != before
}
