//! Feeds that come in pages: everything once, from then on what changed in a span of time.
//!
//! A message takes in one page and sends the next one off, so that no function waits and whoever dies goes on where the
//! feed's head says. A page says what is true of the CVEs on it and nothing of others. A feed that asks to wait gets its
//! next message then, and the same page is asked for again.

use jiff::{SignedDuration, Timestamp};
use queue::{IntelMessage, Outgoing, QueueName};
use store::{FeedHead, Window};
use sync::SyncError;

use crate::apply::{FORMAT, Marked};
use crate::parse::{Follow, Parsed, Source};
use crate::{IntelError, SyncIntel};

/// Pages that have rested so long have nobody who reads them.
const ABANDONED: SignedDuration = SignedDuration::from_mins(20);

/// How a feed is read page by page.
pub struct Paging {
    /// Records of a page.
    pub records: usize,
    /// Who was away longer, or read everything so long ago, reads everything.
    pub everything: SignedDuration,
    /// What changed while the last span was read is read again.
    pub overlap: SignedDuration,
    /// How far back everything goes; `None`: to the beginning.
    pub reach: Option<SignedDuration>,
    /// The longest span that is asked for at once; `None`: any.
    pub span: Option<SignedDuration>,
    /// Whether it may have nothing at all.
    pub may_be_empty: bool,
}

/// A feed that comes in pages.
pub trait Paged: Source {
    /// How it is read.
    const PAGING: Paging;
}

impl SyncIntel {
    /// Takes one page in. `page`: the number that the page before named; `None`: a new start.
    pub(crate) async fn take_page<P: Paged>(
        &self,
        page: Option<usize>,
        force: bool,
    ) -> Result<(), IntelError> {
        let feed = P::FEED;
        let (address, now) = (self.config.feeds.address(feed), self.clock.now());
        let (mut head, rev) = self.store.feed_head(feed).await?;
        if head.source != address || head.format != FORMAT || force {
            head = FeedHead { source: address.to_owned(), format: FORMAT, ..FeedHead::default() };
        }
        let window = match (head.window.clone(), page) {
            (Some(window), Some(page)) if window.page == page => window,
            // Somebody else has gone on from there.
            (_, Some(_)) => return Ok(()),
            (Some(window), None) if now.duration_since(window.at) < ABANDONED => return Ok(()),
            // A place that the feed itself has named may be forgotten by now.
            (Some(window), None) if window.cursor.is_none() => window,
            (_, None) => begun::<P>(&head, now),
        };
        // A message is delayed by no more than 15 minutes; who asks to wait may want more.
        if now < window.at {
            return self.send_page::<P>(&window, window.at.duration_since(now)).await;
        }
        let answer = self.ask_page(feed, P::PAGING.records, &window).await;
        if let Err(IntelError::Fetch(SyncError::Throttled { until, .. })) = answer {
            tracing::warn!(%feed, %until, page = window.page, "the feed asks to wait");
            let window = Window { at: until.max(now), ..window };
            self.send_page::<P>(&window, window.at.duration_since(now)).await?;
            self.store.put_feed_head(feed, &FeedHead { window: Some(window), ..head }, rev).await?;
            return Ok(());
        }
        let parsed = answer?.parse(P::parse).await?.and_then(Parsed::legible);
        let parsed = parsed.map_err(|cause| IntelError::Malformed { feed, cause })?;
        let (records, dirty) = (parsed.records, parsed.dirty + parsed.unreadable);
        let (next, read) = (window.next + records, window.read + records);
        let (goes_on, cursor) = match &parsed.follow {
            Follow::Upto(total) => (next < *total, None),
            Follow::WhileFull => (records >= P::PAGING.records, None),
            Follow::Cursor(cursor) => (cursor.is_some(), cursor.clone()),
        };
        if records == 0 && goes_on {
            return Err(IntelError::malformed(
                feed,
                format!("after {read} records came none, and more to come"),
            ));
        }
        if read == 0 && !goes_on && window.whole && !P::PAGING.may_be_empty {
            return Err(IntelError::malformed(feed, "it has no CVE at all"));
        }
        if dirty > 0 {
            tracing::warn!(%feed, dirty, "parts of the feed cannot be read");
        }
        let first = !head.complete;
        let marked = self.merge_page(parsed, !first).await?;
        let window = Window { next, read, cursor, page: window.page + 1, at: now, ..window };
        if goes_on {
            head.window = Some(window);
        } else if window.until < window.goal {
            let until = until::<P>(window.until, window.goal);
            head.window = Some(Window { from: Some(window.until), until, next: 0, ..window });
        } else {
            head = self.come_to_the_end::<P>(head, &window).await?;
        }
        self.finish_page::<P>(head, rev, &marked, dirty).await
    }

    /// The first time everyone is told at once, when all of it is known.
    async fn come_to_the_end<P: Paged>(
        &self,
        head: FeedHead,
        window: &Window,
    ) -> Result<FeedHead, IntelError> {
        if !head.complete {
            self.store.note_intel_change(Some(P::FEED)).await?;
            self.tell_everyone(false).await?;
        }
        let Window { whole, goal, read, .. } = *window;
        Ok(FeedHead {
            window: None,
            complete: true,
            as_of: Some(goal),
            count: if whole { read } else { head.count },
            whole_at: if whole { Some(goal) } else { head.whole_at },
            ..head
        })
    }

    async fn finish_page<P: Paged>(
        &self,
        head: FeedHead,
        rev: Option<u64>,
        marked: &Marked,
        dirty: usize,
    ) -> Result<(), IntelError> {
        self.tell_marked(P::FEED, marked).await?;
        self.write_note(P::FEED, &head, Some(dirty)).await?;
        // Before the head says so: whoever dies in between repeats this page, and of two messages for the next one the
        // second finds it read.
        if let Some(window) = &head.window {
            self.send_page::<P>(window, self.pause(P::FEED)).await?;
        }
        self.store.put_feed_head(P::FEED, &head, rev).await?;
        Ok(())
    }

    /// Has a page asked for, at the earliest after this time.
    async fn send_page<P: Paged>(&self, window: &Window, after: SignedDuration) -> Result<(), IntelError> {
        let message = IntelMessage { page: Some(window.page), ..IntelMessage::feed(P::FEED) };
        Ok(self.queue.send(QueueName::Intel, Outgoing::after(&message, after)?).await?)
    }
}

/// What is to be read now: what changed, or everything.
fn begun<P: Paged>(head: &FeedHead, now: Timestamp) -> Window {
    let Paging { everything, overlap, reach, .. } = P::PAGING;
    let recent = |at: &Timestamp| now.duration_since(*at) < everything;
    let known =
        head.as_of.filter(|at| head.complete && recent(at) && head.whole_at.as_ref().is_none_or(recent));
    let from = known.map(|at| at - overlap).or(reach.map(|reach| now - reach));
    Window {
        from,
        until: from.map_or(now, |from| until::<P>(from, now)),
        goal: now,
        whole: known.is_none(),
        next: 0,
        read: 0,
        page: 0,
        cursor: None,
        at: now,
    }
}

/// The end of a span.
fn until<P: Paged>(from: Timestamp, goal: Timestamp) -> Timestamp {
    P::PAGING.span.map_or(goal, |span| (from + span).min(goal))
}
