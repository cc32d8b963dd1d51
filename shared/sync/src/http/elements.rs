//! The elements of a JSON answer, as they arrive.

use super::HttpResponse;
use crate::error::SyncError;
use crate::scanner::BadRecord;
use crate::split::json::{Cutter, ReadElement};

/// An answer of which one element after the other is read, so that its size does not matter.
pub struct Elements<C> {
    body: HttpResponse,
    cutter: C,
    ended: bool,
}

impl<C: Cutter> Elements<C> {
    /// The elements that `cutter` finds in a body of which nothing has been read.
    pub fn new(body: HttpResponse, cutter: C) -> Self {
        Self { body, cutter, ended: false }
    }

    /// What was asked: method and path.
    pub fn what(&self) -> &str {
        self.body.what()
    }

    /// What is known of the rest of the answer.
    pub fn cutter(&self) -> &C {
        &self.cutter
    }

    /// The next element as `read` understands it, or `None` behind the last one of an answer that was whole.
    ///
    /// # Errors
    /// The connection was lost, or the answer as a whole is not what it should be. An element that is not is one of the
    /// answer's elements.
    pub async fn next<T>(
        &mut self,
        read: &mut ReadElement<'_, T>,
    ) -> Result<Option<Result<T, BadRecord>>, SyncError> {
        loop {
            if let Some(element) = self.cutter.read_next(read) {
                return Ok(Some(element));
            }
            if self.ended || self.cutter.error().is_some() {
                return self.cutter.finish().map(|()| None).map_err(|error| SyncError::Malformed {
                    system: self.body.system().to_owned(),
                    what: self.body.what().to_owned(),
                    offset: C::offset(&error),
                    detail: error.to_string(),
                });
            }
            match self.body.chunk().await? {
                Some(bytes) => self.cutter.feed(&bytes),
                None => self.ended = true,
            }
        }
    }
}
