//! Asking for a feed, and handing its body to a parser as it arrives.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use jiff::Timestamp;
use sync::http::{HttpResponse, Method, StatusCode, http_date};
use sync::{HttpClient, HttpOptions, SyncError};
use tokio::sync::mpsc;
use url::{Position, Url};

use crate::parse::Malformed;

/// Addresses that are followed one after the other: "current" files lead to dated ones.
const REDIRECTS: usize = 4;
/// Pieces of the body that wait for the parser.
const WAITING: usize = 4;

/// A feed whose body has not been read yet.
pub struct Body {
    /// Its entity tag.
    pub etag: Option<String>,
    /// When it last changed, as the server says.
    pub modified: Option<Timestamp>,
    response: HttpResponse,
}

/// Asks for the feed `system` at `address`; `None`: it still is what `etag` stands for.
///
/// Feeds are public and get no credentials, so that a redirect may lead to another host; to a private address or
/// away from TLS only where private addresses are allowed.
pub async fn fetch(
    system: &str,
    address: &str,
    etag: Option<&str>,
    allow_private_address: bool,
    now: Timestamp,
) -> Result<Option<Body>, SyncError> {
    let wrong = |problem: String| SyncError::Config { field: format!("feeds.{system}"), problem };
    let options = HttpOptions { allow_private_address, ..HttpOptions::default() };
    let mut url = Url::parse(address).map_err(|e| wrong(format!("{address:?} is not an address: {e}")))?;
    for _ in 0..REDIRECTS {
        let client = HttpClient::new(system, &url[..Position::BeforePath], &options)?;
        let mut request = client.request(Method::GET, url.path());
        for (name, value) in url.query_pairs() {
            request = request.query(&name, &value);
        }
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(None),
            StatusCode::OK => return Ok(Some(Body::of(response))),
            status if status.is_redirection() => {
                let location = response.header("location").unwrap_or_default();
                let next = url
                    .join(location)
                    .map_err(|e| client.malformed("a redirect", 0, &format!("{location:?}: {e}")))?;
                if url.scheme() == "https" && next.scheme() != "https" && !allow_private_address {
                    return Err(client.malformed("a redirect", 0, "it leads away from TLS"));
                }
                url = next;
            }
            _ => return Err(response.into_error(now).await),
        }
    }
    Err(wrong(format!("{address} leads in circles")))
}

impl Body {
    /// The body of a good answer.
    pub(crate) fn of(response: HttpResponse) -> Self {
        let etag = response.header("etag").map(str::to_owned);
        let modified = response.header("last-modified").and_then(http_date);
        Self { etag, modified, response }
    }

    /// Reads the body through `parse`, which runs on a thread of its own. A body that ends early is an error, whatever
    /// the parser made of its beginning.
    pub async fn parse<T: Send + 'static>(
        mut self,
        parse: impl FnOnce(Pieces) -> Result<T, Malformed> + Send + 'static,
    ) -> Result<Result<T, Malformed>, SyncError> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let parser = tokio::task::spawn_blocking(move || parse(Pieces { receiver, current: Bytes::new() }));
        let mut failure = None;
        loop {
            match self.response.chunk().await {
                // A parser that has seen enough takes no more.
                Ok(Some(piece)) => {
                    if sender.send(Ok(piece)).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
                    failure = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let parsed = parser.await;
        match (failure, parsed) {
            (Some(error), _) => Err(error),
            (None, Ok(parsed)) => Ok(parsed),
            (None, Err(panic)) => Ok(Err(Malformed::new(format!("its parser failed: {panic}")))),
        }
    }
}

/// The body as a reader.
pub struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(into.len());
        self.current.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
