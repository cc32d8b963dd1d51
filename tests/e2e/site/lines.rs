//! What the outside received as lines that can be compared, and how two lists of lines differ.

use serde_json::{Value, json};

/// Tickets as sorted lines, without the ids that the tracker gave and without times. The description tells what was
/// known when the ticket was created, which is later when the first try was lost.
pub fn tickets(tickets: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = tickets
        .iter()
        .map(|ticket| {
            let comments: Vec<&str> = ticket["comments"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|c| c["text"].as_str())
                .collect();
            let line = json!({
                "summary": ticket["summary"], "labels": ticket["labels"], "status": ticket["status"],
                "project": ticket["project"], "issuetype": ticket["issuetype"],
                "properties": ticket["properties"], "comments": comments,
            });
            dates(&line.to_string())
        })
        .collect();
    lines.sort();
    lines
}

/// Messages as sorted lines.
pub fn messages(messages: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = messages.iter().map(message).collect();
    lines.sort();
    lines
}

/// The reference of a message to Slack.
pub fn reference(message: &Value) -> String {
    let blocks = message["body"]["blocks"].as_array();
    let last = blocks.and_then(|blocks| blocks.last()).unwrap_or(&Value::Null);
    let text = last["elements"][0]["text"].as_str().unwrap_or_default();
    text.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// A message without times.
fn message(message: &Value) -> String {
    let text = message["text"].as_str().unwrap_or_default();
    // The key of a first run's summary names the run, and with it the time it began.
    let reference = if text.starts_with("First sync") { String::new() } else { reference(message) };
    dates(&format!("{reference} {text}"))
}

/// The text with every time of day cut from its date.
fn dates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('T') {
        let time = rest.as_bytes()[at + 1..]
            .iter()
            .take_while(|b| b.is_ascii_digit() || **b == b':' || **b == b'.')
            .count();
        let after_date = rest[..at].bytes().next_back().is_some_and(|b| b.is_ascii_digit());
        if after_date && time >= 5 && rest.as_bytes().get(at + 1 + time) == Some(&b'Z') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 2 + time..];
        } else {
            out.push_str(&rest[..=at]);
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

/// Lines that only one side has, a few of them, cut to where they differ.
pub fn difference(name: &str, mine: &[String], theirs: &[String]) -> Option<String> {
    if mine == theirs {
        return None;
    }
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        let mut left = b.to_vec();
        a.iter()
            .filter(|line| match left.iter().position(|other| other == *line) {
                Some(found) => {
                    left.swap_remove(found);
                    false
                }
                None => true,
            })
            .cloned()
            .collect()
    };
    let (clean, other) = (only(mine, theirs), only(theirs, mine));
    let mut text = format!("\n{name}: {} lines only clean, {} only with the fault", clean.len(), other.len());
    for (mark, lines) in [("-", &clean), ("+", &other)] {
        let against = if mark == "-" { &other } else { &clean };
        for line in lines.iter().take(4) {
            let same = against
                .iter()
                .map(|o| line.bytes().zip(o.bytes()).take_while(|(a, b)| a == b).count())
                .max()
                .unwrap_or(0);
            let from = (0..=same.saturating_sub(120)).rev().find(|i| line.is_char_boundary(*i)).unwrap_or(0);
            let shown: String = line[from..].chars().take(420).collect();
            let head: String = line.chars().take(if from > 0 { 90 } else { 0 }).collect();
            text.push_str(&format!("\n  {mark} {head}…{shown}"));
        }
    }
    Some(text)
}
