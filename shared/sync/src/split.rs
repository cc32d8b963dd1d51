//! Cutting a streamed body into records, so that memory does not grow with the page and one bad record fails alone.

pub mod json;
pub mod xml;

/// A record cut out of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the body.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
