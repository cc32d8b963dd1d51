//! Versioned documents: every version is kept, one pointer names the current one.

use domain::decide::Feeds;
use domain::intel::Feed;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Item, document, n, number, s};
use crate::error::StoreError;
use crate::keys;
use crate::table::{Condition, Store};

/// Sort key of the pointer.
const CURRENT: &str = "CURRENT";

/// Tries of a change that meets others.
const NOTE_TRIES: usize = 8;

/// Name of the note about what has been read of feeds.
const FEEDS_NOTE: &str = "feeds";

/// What has been read of feeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedsRead {
    /// Those that were read at least once.
    #[serde(flatten)]
    pub feeds: Feeds,
    /// How often somebody was about to be told of a change. Whoever keeps intelligence in mind compares it.
    #[serde(default)]
    pub told: u64,
}

/// One version of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// From 1.
    pub version: u64,
    /// The text.
    pub text: String,
    /// The same, in a form that is quick to read: made when the text was stored, by the version that stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiled: Option<String>,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

fn item_of(current: &Document) -> Item {
    Item::from([(codec::DOCUMENT.to_owned(), document(current)), ("rev".into(), n(current.version))])
}

impl Store {
    /// The current version of a document of this kind.
    pub async fn current_document(&self, kind: &str) -> Result<Option<Document>, StoreError> {
        self.get(&keys::document(kind, CURRENT), true).await?.as_ref().map(codec::parse).transpose()
    }

    /// Makes `text` the current version, unless it is already. Returns the current version.
    pub async fn put_document(
        &self,
        kind: &str,
        text: &str,
        author: &str,
        at: Timestamp,
    ) -> Result<Document, StoreError> {
        self.put_compiled_document(kind, text, None, author, at).await
    }

    /// The same with the text's compiled form. A text that is current already stays the version that it is; only the
    /// form is exchanged, if another version of the product makes another one.
    pub async fn put_compiled_document(
        &self,
        kind: &str,
        text: &str,
        compiled: Option<String>,
        author: &str,
        at: Timestamp,
    ) -> Result<Document, StoreError> {
        let key = keys::document(kind, CURRENT);
        let item = self.get(&key, true).await?;
        let rev = item.as_ref().and_then(|i| number::<u64>(i, "rev"));
        if let Some(current) = item.as_ref().map(codec::parse::<Document>).transpose()?
            && current.text == text
        {
            if current.compiled == compiled {
                return Ok(current);
            }
            let current = Document { compiled, ..current };
            self.put(&key, item_of(&current), Some(Condition::revision(rev))).await?;
            return Ok(current);
        }
        let version = rev.unwrap_or(0) + 1;
        let new = Document { version, text: text.to_owned(), compiled, author: author.to_owned(), at };
        let item = || item_of(&new);
        let items = vec![
            self.transact_put(&key, item(), Condition::revision(rev))?,
            self.transact_put(&keys::document(kind, &format!("{version:010}")), item(), Condition::absent())?,
        ];
        self.transact(&format!("{kind} document"), items).await?;
        Ok(new)
    }

    /// Which feeds have been read, and how often a change of what they say was told.
    pub async fn feeds_read(&self) -> Result<FeedsRead, StoreError> {
        let note = self.note(FEEDS_NOTE).await?;
        Ok(note.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    /// Notes, before anybody is told that intelligence changed, that this is about to happen; and that a feed has been
    /// read, where that is new.
    pub async fn note_intel_change(&self, read: Option<Feed>) -> Result<(), StoreError> {
        self.change_note(FEEDS_NOTE, |old| {
            let old: FeedsRead = old.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
            let feeds = read.map_or(old.feeds, |feed| old.feeds.with(feed));
            serde_json::to_string(&FeedsRead { feeds, told: old.told + 1 }).unwrap_or_default()
        })
        .await
    }

    /// A small note that a function leaves for its next invocation.
    pub async fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        let item = self.get(&keys::document("note", name), true).await?;
        Ok(item.as_ref().and_then(|i| codec::text(i, "text")).map(str::to_owned))
    }

    /// Changes such a note: `change` is told what it says and answers what it is to say. It may be asked again, when
    /// somebody else changed the note in between. A note that already says so is not written.
    pub async fn change_note(
        &self,
        name: &str,
        change: impl Fn(Option<&str>) -> String,
    ) -> Result<(), StoreError> {
        let key = keys::document("note", name);
        for _ in 0..NOTE_TRIES {
            let old = self.note(name).await?;
            let new = change(old.as_deref());
            if old.as_deref() == Some(new.as_str()) {
                return Ok(());
            }
            let mut values = vec![(":new", s(new))];
            let condition = match old {
                Some(old) => {
                    values.push((":old", s(old)));
                    "#t = :old"
                }
                None => "attribute_not_exists(#t)",
            };
            match self.update(&key, "SET #t = :new", Some(condition), &[("#t", "text")], values).await {
                Err(error) if error.is_conflict() => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict { what: format!("note {name}") })
    }

    /// Leaves such a note.
    pub async fn put_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let item = Item::from([("text".to_owned(), s(text))]);
        self.put(&keys::document("note", name), item, None).await
    }
}
