//! A page of Global AssetView, read while it arrives: an object with the assets in a list somewhere inside.

use std::io::Read;

use domain::Host;
use serde::Deserialize;
use sync::http::HttpResponse;
use sync::split::json::{Cutter, JsonArray};
use sync::{BadRecord, NormalizeError, Normalized, Summary, pieces};

use crate::normalize::global_asset;

/// One asset with all its software.
const RECORD_LIMIT: usize = 8 * 1024 * 1024;
/// What stands around the assets is a few words.
const FRAME_LIMIT: usize = 64 * 1024;

/// What stands around the assets of a page that was read to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Whether there are more, behind which asset.
    pub next: Option<u64>,
    /// Gateway answers may say that they failed with status 200.
    pub failed: Option<String>,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    /// An asset; `None` if the host list cannot know it.
    Asset(Box<Option<Host>>),
    /// One that could not be read.
    Refused(BadRecord),
}

/// The reader of one page.
pub(crate) struct Page {
    splitter: JsonArray,
    /// What came before the list and behind it.
    frame: Vec<u8>,
    /// Where the list begins in the body, once it has.
    list_at: Option<u64>,
    /// The list has ended: what follows belongs to the frame.
    ended: bool,
}

impl Page {
    /// A page of which nothing was read yet.
    pub fn new() -> Self {
        Self { splitter: JsonArray::nested(RECORD_LIMIT), frame: Vec::new(), list_at: None, ended: false }
    }

    /// The next asset of an answer, or what stands around all of them. Errors name the place.
    pub async fn next(
        &mut self,
        answer: &mut HttpResponse,
    ) -> Result<Result<Record, Frame>, Result<(u64, String), sync::SyncError>> {
        loop {
            if let Some(read) = self.next_read() {
                return Ok(Ok(read));
            }
            match answer.chunk().await.map_err(Err)? {
                Some(chunk) => self.feed(&chunk).map_err(Ok)?,
                None => return self.finish().map(Err).map_err(Ok),
            }
        }
    }

    fn next_read(&mut self) -> Option<Record> {
        let base = self.list_at?;
        let Some(read) = self.splitter.read_next(&mut global_asset) else {
            if self.splitter.has_ended() && !self.ended {
                self.ended = true;
                self.frame.extend_from_slice(b"[]");
                self.frame.extend_from_slice(self.splitter.rest());
            }
            return None;
        };
        Some(match read {
            Ok(host) => Record::Asset(Box::new(host)),
            Err(bad) => Record::Refused(BadRecord { offset: base + bad.offset, ..bad }),
        })
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), (u64, String)> {
        if self.list_at.is_some() && !self.ended {
            self.splitter.feed(chunk);
            return Ok(());
        }
        self.frame.extend_from_slice(chunk);
        if let Some(at) = list_begins(&self.frame).filter(|_| !self.ended) {
            let list = self.frame.split_off(at);
            self.list_at = Some(at as u64);
            self.splitter.feed(&list);
        } else if self.frame.len() > FRAME_LIMIT {
            return Err((0, "there is too much around its list of assets".to_owned()));
        }
        Ok(())
    }

    fn finish(&self) -> Result<Frame, (u64, String)> {
        match (self.list_at, self.ended) {
            (None, _) | (_, true) => frame(&self.frame),
            (Some(base), false) => match self.splitter.finish() {
                Err(error) => Err((base + error.offset(), error.to_string())),
                Ok(()) => Err((base, "it ends with its list of assets".to_owned())),
            },
        }
    }
}

/// Emits the assets of one page, as far as the host list can know them.
pub(crate) fn normalize(
    reader: impl Read,
    emit: &mut dyn FnMut(Normalized),
) -> Result<Summary, NormalizeError> {
    const REMEDY: &str = "fetch the page again, and give it as Qualys sent it";
    let malformed = |(offset, problem)| NormalizeError::Malformed { offset, problem, remedy: REMEDY };
    let mut page = Page::new();
    let mut summary = Summary::default();
    pieces(reader, |bytes| {
        page.feed(bytes).map_err(malformed)?;
        while let Some(record) = page.next_read() {
            let statement = match record {
                Record::Asset(host) => match *host {
                    Some(host) => Normalized::Host(host),
                    None => continue,
                },
                Record::Refused(bad) => Normalized::Refused(bad),
            };
            summary.count(&statement);
            emit(statement);
        }
        Ok::<_, NormalizeError>(())
    })?;
    match page.finish().map_err(malformed)?.failed {
        Some(words) => Err(malformed((0, format!("Qualys answered with {words}")))),
        None => Ok(summary),
    }
}

/// Where the list of assets begins: behind `"asset":`.
fn list_begins(text: &[u8]) -> Option<usize> {
    const KEY: &[u8] = b"\"asset\"";
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let mut from = 0;
    while let Some(at) = text[from..].windows(KEY.len()).position(|window| window == KEY) {
        let behind = from + at + KEY.len();
        let colon = behind + text[behind..].iter().position(|byte| !blank(byte))?;
        if text[colon] == b':' {
            let list = colon + 1 + text[colon + 1..].iter().position(|byte| !blank(byte))?;
            if text[list] == b'[' {
                return Some(list);
            }
        }
        from = behind;
    }
    None
}

fn frame(bytes: &[u8]) -> Result<Frame, (u64, String)> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Wire {
        response_code: Option<String>,
        response_message: Option<String>,
        has_more: serde_json::Value,
        last_seen_asset_id: serde_json::Value,
    }
    let wire: Wire = serde_json::from_slice(bytes).map_err(|error| {
        let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        (error.column() as u64, format!("{error}; it begins with {begin:?}"))
    })?;
    let number = |value: &serde_json::Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let has_more =
        wire.has_more.as_bool() == Some(true) || number(&wire.has_more).is_some_and(|more| more > 0);
    let failed = wire.response_code.filter(|code| !code.eq_ignore_ascii_case("SUCCESS"));
    Ok(Frame {
        next: if has_more { number(&wire.last_seen_asset_id) } else { None },
        failed: failed.map(|code| format!("{code} {}", wire.response_message.unwrap_or_default())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, size: usize) -> (Vec<Record>, Result<Frame, (u64, String)>) {
        let mut page = Page::new();
        let mut all = Vec::new();
        for chunk in body.as_bytes().chunks(size) {
            if let Err(error) = page.feed(chunk) {
                return (all, Err(error));
            }
            all.extend(std::iter::from_fn(|| page.next_read()));
        }
        let frame = page.finish();
        (all, frame)
    }

    #[test]
    fn assets_and_what_stands_around_them_are_read_however_they_arrive() {
        let body = r#"{"responseMessage":"Valid API Access","count":2,"responseCode":"SUCCESS","assetListData": { "asset" : [
            {"assetId":1,"hostId":42,"dnsName":"]}"},{"assetId":2,"hostId":null}, {"hostId":nul} ]},"lastSeenAssetId":2,"hasMore":1}"#;
        for size in [1, 7, 64, 4096] {
            let (all, frame) = read(body, size);
            assert!(
                matches!(&all[0], Record::Asset(host) if host.as_ref().as_ref().unwrap().native == "42"),
                "{size}"
            );
            assert_eq!(all[1], Record::Asset(Box::new(None)));
            assert!(
                matches!(&all[2], Record::Refused(bad) if body[bad.offset as usize..].starts_with("{\"hostId\":nul}"))
            );
            assert_eq!(frame, Ok(Frame { next: Some(2), failed: None }), "{size}");
        }
    }

    #[test]
    fn an_end_a_failure_and_something_else() {
        let end =
            r#"{"responseCode":"SUCCESS","assetListData":{"asset":[]},"hasMore":0,"lastSeenAssetId":"7"}"#;
        assert_eq!(read(end, 9).1, Ok(Frame::default()));
        let none = r#"{"responseCode":"SUCCESS","count":0,"hasMore":0}"#;
        assert_eq!(read(none, 9).1, Ok(Frame::default()));
        let failed = r#"{"responseCode":"FAILED","responseMessage":"Invalid filter","count":0}"#;
        assert_eq!(read(failed, 9).1.unwrap().failed.as_deref(), Some("FAILED Invalid filter"));
        // An element that is cut off ends the list with it: what follows makes no sense any more.
        let cut = r#"{"responseCode":"SUCCESS","assetListData":{"asset":[{"hostId":]}]},"hasMore":0}"#;
        for broken in [cut, "", "<html>", r#"{"assetListData":{"asset":[{"hostId":1}"#, r#"{"asset":[]"#] {
            assert!(read(broken, 5).1.is_err(), "{broken}");
        }
    }
}
