//! The Atlassian Document Format: what is a valid document, and its text.

use serde_json::Value;

const LIMIT: usize = 32_767;
const NODES: &[&str] = &[
    "blockquote",
    "bulletList",
    "codeBlock",
    "date",
    "decisionItem",
    "decisionList",
    "emoji",
    "expand",
    "hardBreak",
    "heading",
    "inlineCard",
    "listItem",
    "mention",
    "nestedExpand",
    "orderedList",
    "panel",
    "paragraph",
    "rule",
    "status",
    "table",
    "tableCell",
    "tableHeader",
    "tableRow",
    "taskItem",
    "taskList",
    "text",
];
const TOP: &[&str] = &[
    "blockquote",
    "bulletList",
    "codeBlock",
    "decisionList",
    "expand",
    "heading",
    "orderedList",
    "panel",
    "paragraph",
    "rule",
    "table",
    "taskList",
];
const MARKS: &[&str] =
    &["backgroundColor", "code", "em", "link", "strike", "strong", "subsup", "textColor", "underline"];

/// Why a value is no document.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Not a document at all, for example a string.
    NoDocument,
    /// A document with a node that is not allowed.
    Invalid,
    /// More text than Jira takes.
    TooLong,
}

/// Checks a document against the rules that its writers break most.
pub fn check(document: &Value) -> Result<(), Flaw> {
    let Some(content) = document["content"].as_array() else { return Err(Flaw::NoDocument) };
    if document["type"] != "doc" || document["version"] != 1 {
        return Err(Flaw::NoDocument);
    }
    let valid = content.iter().all(|node| kind_in(node, TOP) && node_is_valid(node));
    if !valid {
        return Err(Flaw::Invalid);
    }
    if text(document).chars().count() > LIMIT { Err(Flaw::TooLong) } else { Ok(()) }
}

fn kind_in(node: &Value, kinds: &[&str]) -> bool {
    node["type"].as_str().is_some_and(|kind| kinds.contains(&kind))
}

fn node_is_valid(node: &Value) -> bool {
    let marks = match &node["marks"] {
        Value::Null => true,
        Value::Array(marks) => marks.iter().all(mark_is_valid),
        _ => false,
    };
    let content = match &node["content"] {
        Value::Null => true,
        Value::Array(content) => content.iter().all(|child| kind_in(child, NODES) && node_is_valid(child)),
        _ => false,
    };
    marks && content && shape_is_valid(node)
}

fn mark_is_valid(mark: &Value) -> bool {
    kind_in(mark, MARKS) && (mark["type"] != "link" || mark["attrs"]["href"].is_string())
}

fn shape_is_valid(node: &Value) -> bool {
    let children = |kinds: &[&str]| {
        node["content"]
            .as_array()
            .is_some_and(|content| !content.is_empty() && content.iter().all(|child| kind_in(child, kinds)))
    };
    match node["type"].as_str() {
        // An empty text node is the classic reason of a refused document.
        Some("text") => node["text"].as_str().is_some_and(|text| !text.is_empty()),
        Some("heading") => node["attrs"]["level"].as_u64().is_some_and(|level| (1..=6).contains(&level)),
        Some("bulletList" | "orderedList") => children(&["listItem"]),
        Some("listItem") => children(&["paragraph", "bulletList", "orderedList", "codeBlock"]),
        Some("codeBlock") => {
            node["content"].is_null() || node["content"] == Value::Array(Vec::new()) || children(&["text"])
        }
        Some("table") => children(&["tableRow"]),
        Some("tableRow") => children(&["tableHeader", "tableCell"]),
        Some("tableHeader" | "tableCell" | "blockquote" | "panel") => node["content"].is_array(),
        Some("inlineCard") => node["attrs"]["url"].is_string(),
        _ => true,
    }
}

/// The text of a document: its leaves, one line for each block. Link targets are kept in angle brackets.
pub fn text(document: &Value) -> String {
    let mut lines = String::new();
    collect(document, &mut lines);
    lines.trim_end().to_owned()
}

fn collect(node: &Value, into: &mut String) {
    match node["type"].as_str() {
        Some("text") => {
            into.push_str(node["text"].as_str().unwrap_or_default());
            for mark in node["marks"].as_array().into_iter().flatten() {
                if let Some(target) = mark["attrs"]["href"].as_str() {
                    into.push_str(&format!(" <{target}>"));
                }
            }
        }
        Some("hardBreak") => into.push('\n'),
        Some("inlineCard") => into.push_str(node["attrs"]["url"].as_str().unwrap_or_default()),
        Some("mention" | "status" | "emoji") => {
            into.push_str(node["attrs"]["text"].as_str().unwrap_or_default())
        }
        _ => {}
    }
    for child in node["content"].as_array().into_iter().flatten() {
        collect(child, into);
    }
    let block = kind_in(node, &["paragraph", "heading", "codeBlock", "rule", "taskItem", "decisionItem"]);
    if block && !into.is_empty() && !into.ends_with('\n') {
        into.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn doc(content: Value) -> Value {
        json!({ "type": "doc", "version": 1, "content": content })
    }

    fn words(text: &str) -> Value {
        json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] })
    }

    #[test]
    fn a_document_is_checked_and_read() {
        let document = doc(json!([
            { "type": "heading", "attrs": { "level": 2 }, "content": [{ "type": "text", "text": "Why" }] },
            { "type": "bulletList", "content": [{ "type": "listItem", "content": [words("one")] },
                                                { "type": "listItem", "content": [words("two")] }] },
            { "type": "paragraph", "content": [
                { "type": "text", "text": "see", "marks": [{ "type": "link", "attrs": { "href": "https://e.com" } }] }
            ]},
        ]));
        assert_eq!(check(&document), Ok(()));
        assert_eq!(text(&document), "Why\none\ntwo\nsee <https://e.com>");
        assert_eq!(check(&doc(json!([]))), Ok(()));
    }

    #[test]
    fn flaws_are_found() {
        assert_eq!(check(&json!("plain")), Err(Flaw::NoDocument));
        assert_eq!(check(&json!({ "type": "doc", "version": 2, "content": [] })), Err(Flaw::NoDocument));
        assert_eq!(check(&doc(json!([words("")]))), Err(Flaw::Invalid));
        assert_eq!(check(&doc(json!([{ "type": "text", "text": "loose" }]))), Err(Flaw::Invalid));
        assert_eq!(check(&doc(json!([{ "type": "heading", "content": [] }]))), Err(Flaw::Invalid));
        assert_eq!(
            check(&doc(json!([{ "type": "bulletList", "content": [words("x")] }]))),
            Err(Flaw::Invalid)
        );
        assert_eq!(check(&doc(json!([words(&"x".repeat(32_767))]))), Ok(()));
        assert_eq!(check(&doc(json!([words(&"x".repeat(32_768))]))), Err(Flaw::TooLong));
    }
}
