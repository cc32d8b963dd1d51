//! Reads one small piece of XML.

pub(crate) use sync::xml::{Element, Xml, clean};
