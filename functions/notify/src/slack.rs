//! The message as Slack, Mattermost and Rocket.Chat take it: blocks within their limits, and plain text for those
//! who show no blocks.

use serde_json::{Value, json};

use crate::note::{Line, Note};

/// Longest header.
const HEADER: usize = 150;
/// Longest text of a section.
const SECTION: usize = 3_000;
/// Longest title of a vulnerability; more of it does not help.
const TITLE: usize = 300;
/// CVEs shown of one vulnerability.
const CVES: usize = 5;

/// The JSON body of a post. Within the limits by construction: at most 14 blocks.
pub fn render(note: &Note) -> Value {
    let facts: Vec<String> =
        note.facts.iter().map(|(name, value)| format!("*{name}:* {}", escape(value, TITLE))).collect();
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": escape(&note.title, HEADER) } }),
        section(&facts.join("\n")),
    ];
    blocks.extend(note.lines.iter().map(|line| section(&block(line))));
    if note.more > 0 {
        blocks.push(section(&format!("and {} more", note.more)));
    }
    let reference = format!("vulnrelay · reference {}", escape(&note.reference, TITLE));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": reference }] }));
    json!({ "text": fallback(note), "blocks": blocks })
}

fn section(text: &str) -> Value {
    debug_assert!(text.chars().count() <= SECTION);
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// `*critical · 912* OpenSSH: …`, and below it what helps to act.
fn block(line: &Line) -> String {
    let mut text = format!("*{} · {}* {}", line.severity, line.score, escape(&line.title, TITLE));
    let details = details(line);
    if !details.is_empty() {
        text.push('\n');
        text.push_str(&details.join(" · "));
    }
    text
}

fn details(line: &Line) -> Vec<String> {
    let mut details = Vec::new();
    if !line.cves.is_empty() {
        let mut cves = line.cves[..line.cves.len().min(CVES)].join(", ");
        if line.cves.len() > CVES {
            cves.push_str(&format!(" and {} more", line.cves.len() - CVES));
        }
        details.push(cves);
    }
    if let Some(due) = line.due {
        details.push(format!("due {}", due.strftime("%Y-%m-%d")));
    }
    // It can have changed between the event and this message.
    if !line.status.is_open() {
        details.push(format!("now {}", line.status.as_str().replace('_', " ")));
    }
    details
}

/// What a notification or a screen reader shows.
fn fallback(note: &Note) -> String {
    let mut text = escape(&note.title, SECTION);
    for line in &note.lines {
        text.push_str(&format!("\n• {} {} {}", line.severity, line.score, escape(&line.title, TITLE)));
        for detail in details(line) {
            text.push_str(", ");
            text.push_str(&detail);
        }
    }
    if note.lines.is_empty() {
        for (name, value) in &note.facts {
            text.push_str(&format!("\n{name}: {}", escape(value, TITLE)));
        }
    }
    if note.more > 0 {
        text.push_str(&format!("\nand {} more", note.more));
    }
    text
}

/// Foreign text on one line, with the three characters that Slack gives a meaning written as entities, at most `max`
/// characters long. An entity is never cut.
fn escape(text: &str, max: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        let mut single = [0; 4];
        let written: &str = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            other => other.encode_utf8(&mut single),
        };
        let size = written.chars().count();
        // The mark of the cut needs a place, unless this is the end.
        let room = if rest.peek().is_some() { max - 1 } else { max };
        if length + size > room {
            out.push('…');
            break;
        }
        out.push_str(written);
        length += size;
    }
    out
}

#[cfg(test)]
mod tests {
    use domain::{Severity, Status};

    use super::*;

    fn line(title: &str) -> Line {
        Line {
            severity: Severity::Critical,
            score: 912,
            title: title.to_owned(),
            cves: (1..=7).map(|n| format!("CVE-2026-000{n}")).collect(),
            due: Some("2026-12-01T23:59:59Z".parse().unwrap()),
            status: Status::Identified,
        }
    }

    fn note(lines: Vec<Line>) -> Note {
        Note {
            title: "Overdue: 2 vulnerabilities on web-1".into(),
            facts: vec![("Asset", "web-1".into()), ("Owner", "payments & co".into())],
            lines,
            more: 3,
            reference: "n-0011223344556677".into(),
        }
    }

    #[test]
    fn a_message_reads_from_title_to_reference() {
        let body = render(&note(vec![line("OpenSSH <regreSSHion>")]));
        assert_eq!(body["blocks"][0]["text"]["text"], "Overdue: 2 vulnerabilities on web-1");
        assert_eq!(body["blocks"][1]["text"]["text"], "*Asset:* web-1\n*Owner:* payments &amp; co");
        assert_eq!(
            body["blocks"][2]["text"]["text"],
            "*critical · 912* OpenSSH &lt;regreSSHion&gt;\n\
             CVE-2026-0001, CVE-2026-0002, CVE-2026-0003, CVE-2026-0004, CVE-2026-0005 and 2 more · due 2026-12-01"
        );
        assert_eq!(body["blocks"][3]["text"]["text"], "and 3 more");
        assert!(body["blocks"][4]["elements"][0]["text"].as_str().unwrap().ends_with("n-0011223344556677"));
        assert!(
            body["text"].as_str().unwrap().starts_with("Overdue: 2 vulnerabilities on web-1\n• critical 912")
        );
    }

    #[test]
    fn nobody_is_called_by_a_foreign_title() {
        let body = render(&note(vec![line("<!channel> <@U1> <http://evil|x>\n\n*x*")]));
        assert!(!body.to_string().contains("<!channel>") && !body.to_string().contains("<http"));
    }

    #[test]
    fn the_longest_message_is_within_the_limits() {
        let long = "<&".repeat(5_000);
        let mut note = note((0..10).map(|_| line(&long)).collect());
        note.title.clone_from(&long);
        note.facts = vec![("Asset", long.clone()), ("Owner", long.clone()), ("Service", long)];
        let body = render(&note);
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            let limit = if block["type"] == "header" { HEADER } else { SECTION };
            assert!(text.chars().count() <= limit, "{}", text.chars().count());
            assert!(!text.ends_with("&am…") && !text.ends_with("&l…"), "an entity was cut");
        }
        assert_eq!(body, render(&note), "the same state gives the same text");
    }

    #[test]
    fn what_fits_exactly_is_not_cut() {
        assert_eq!(escape("abc", 3), "abc");
        assert_eq!(escape("abcd", 3), "ab…");
        assert_eq!(escape("a>", 5), "a&gt;");
        assert_eq!(escape("a>b", 5), "a…");
    }
}
