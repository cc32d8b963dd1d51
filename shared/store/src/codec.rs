//! Items and their parts: documents are stored as deflated JSON, which halves what is billed by the kilobyte.

use std::collections::HashMap;
use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// An item as DynamoDB has it.
pub type Item = HashMap<String, AttributeValue>;

/// Attribute that holds the deflated JSON.
pub const DOCUMENT: &str = "d";
/// No stored document is larger than this once inflated; more is a sign of damage.
const INFLATED_LIMIT: u64 = 32 * 1024 * 1024;

pub fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub fn n(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub fn bytes(data: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(data))
}

/// Deflated bytes.
pub fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(data);
    encoder.finish().unwrap_or_default()
}

/// The bytes that were deflated.
pub fn inflate(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    DeflateDecoder::new(data).take(INFLATED_LIMIT).read_to_end(&mut out)?;
    Ok(out)
}

/// A value as deflated JSON.
pub fn document(value: &impl Serialize) -> AttributeValue {
    // Our types have text keys only, so they always become JSON.
    bytes(deflate(&serde_json::to_vec(value).unwrap_or_default()))
}

pub fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|v| v.as_s().ok()).map(String::as_str)
}

pub fn number<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub fn malformed(item: &Item, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Malformed {
        pk: text(item, "pk").unwrap_or("?").to_owned(),
        sk: text(item, "sk").unwrap_or("?").to_owned(),
        problem: problem.to_string(),
    }
}

/// The document of an item.
pub fn parse<T: DeserializeOwned>(item: &Item) -> Result<T, StoreError> {
    let blob =
        item.get(DOCUMENT).and_then(|v| v.as_b().ok()).ok_or_else(|| malformed(item, "no document"))?;
    let json = inflate(blob.as_ref()).map_err(|e| malformed(item, e))?;
    serde_json::from_slice(&json).map_err(|e| malformed(item, e))
}

/// A required text attribute.
pub fn required<'a>(item: &'a Item, name: &str) -> Result<&'a str, StoreError> {
    text(item, name).ok_or_else(|| malformed(item, format_args!("no {name}")))
}
