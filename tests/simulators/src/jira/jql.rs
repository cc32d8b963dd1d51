//! The part of the Jira query language that ticket writers and their tests use: clauses joined by `AND`, `OR`, `NOT`
//! and parentheses, then `ORDER BY`.

use std::cmp::Ordering;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::PROJECTS;

const FIELDS: &[&str] = &[
    "created",
    "description",
    "id",
    "issue",
    "issuekey",
    "issuetype",
    "key",
    "labels",
    "project",
    "resolution",
    "status",
    "statuscategory",
    "summary",
    "text",
    "type",
    "updated",
];
const WORDS: [&str; 6] = ["and", "or", "not", "in", "is", "order"];

/// A parsed query.
#[derive(Debug)]
pub struct Query {
    condition: Condition,
    order: Vec<(String, bool)>,
}

#[derive(Debug)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Clause { field: String, test: Test },
}

#[derive(Debug)]
enum Test {
    In(Vec<String>),
    Contains(String),
    Empty,
    Before { instant: Timestamp, equal: bool },
    After { instant: Timestamp, equal: bool },
}

/// Parses a query; the error is what Jira says of it.
pub fn parse(jql: &str, now: Timestamp) -> Result<Query, String> {
    let tokens = tokenize(jql)?;
    let mut parser = Parser { tokens, at: 0, now };
    if parser.done() || parser.is_word("order") {
        return Err(
            "Unbounded JQL queries are not allowed here. Please add a search restriction to your query."
                .to_owned(),
        );
    }
    let condition = parser.any()?;
    let order = parser.order()?;
    if !parser.done() {
        return Err(parser.unexpected());
    }
    Ok(Query { condition, order })
}

impl Query {
    /// Whether an issue is meant.
    pub fn matches(&self, ticket: &Value) -> bool {
        self.condition.matches(ticket)
    }

    /// Brings hits into the asked order, by default the newest first.
    pub fn sort(&self, tickets: &mut [Value]) {
        tickets.sort_by(|a, b| {
            let asked = self.order.iter().map(|(field, descending)| {
                let order = compare(a, b, field);
                if *descending { order.reverse() } else { order }
            });
            asked.fold(Ordering::Equal, Ordering::then).then_with(|| number(b).cmp(&number(a)))
        });
    }
}

fn number(ticket: &Value) -> u64 {
    ticket["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0)
}

fn compare(a: &Value, b: &Value, field: &str) -> Ordering {
    match field {
        "created" | "updated" | "summary" | "status" | "project" => a[field].as_str().cmp(&b[field].as_str()),
        _ => number(a).cmp(&number(b)),
    }
}

impl Condition {
    fn matches(&self, ticket: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(ticket)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(ticket)),
            Self::Not(part) => !part.matches(ticket),
            Self::Clause { field, test } => test.matches(field, ticket),
        }
    }
}

impl Test {
    fn matches(&self, field: &str, ticket: &Value) -> bool {
        let own = values(ticket, field);
        match self {
            // Labels are the one field whose values are compared to the letter.
            Self::In(wanted) if field == "labels" => wanted.iter().any(|value| own.contains(value)),
            Self::In(wanted) => {
                wanted.iter().any(|value| own.iter().any(|own| own.eq_ignore_ascii_case(value)))
            }
            Self::Contains(words) => {
                let text = own.join(" ").to_lowercase();
                words
                    .to_lowercase()
                    .split_whitespace()
                    .all(|word| text.contains(word.trim_matches(['"', '*'])))
            }
            Self::Empty => own.iter().all(String::is_empty),
            Self::Before { instant, equal } => {
                moment(ticket, field).is_some_and(|own| own < *instant || (*equal && own == *instant))
            }
            Self::After { instant, equal } => {
                moment(ticket, field).is_some_and(|own| own > *instant || (*equal && own == *instant))
            }
        }
    }
}

fn values(ticket: &Value, field: &str) -> Vec<String> {
    let text = |name: &str| ticket[name].as_str().unwrap_or_default().to_owned();
    match field {
        "labels" => {
            let labels = ticket["labels"].as_array().into_iter().flatten();
            labels.filter_map(Value::as_str).map(str::to_owned).collect()
        }
        "key" | "issuekey" | "issue" | "id" => vec![text("key"), text("id")],
        "issuetype" | "type" => vec![text("issuetype")],
        "statuscategory" => {
            let key = text("status_category");
            let name = match key.as_str() {
                "new" => "To Do",
                "indeterminate" => "In Progress",
                _ => "Done",
            };
            vec![key, name.to_owned()]
        }
        "resolution" => {
            let name = ticket["fields"]["resolution"]["name"].as_str().unwrap_or_default();
            vec![name.to_owned()]
        }
        "text" => {
            let comments = ticket["comments"].as_array().into_iter().flatten();
            let comments = comments.filter_map(|comment| comment["text"].as_str()).map(str::to_owned);
            [text("summary"), text("description")].into_iter().chain(comments).collect()
        }
        other => vec![text(other)],
    }
}

fn moment(ticket: &Value, field: &str) -> Option<Timestamp> {
    Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", ticket[field].as_str()?).ok()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

fn tokenize(jql: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 11] = ["!=", "!~", ">=", "<=", "=", "~", ">", "<", "(", ")", ","];
    let mut tokens = Vec::new();
    let mut rest = jql.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if first == '"' || first == '\'' {
            let (text, length) = quoted(&rest[1..], first).ok_or_else(|| {
                format!("Error in the JQL Query: The quoted string '{rest}' has not been completed.")
            })?;
            tokens.push(Token::Quoted(text));
            rest = &rest[1 + length..];
        } else {
            let end =
                rest.find(|c: char| c.is_whitespace() || "!=~<>(),\"'".contains(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!(
                    "Error in the JQL Query: The character '{first}' is a reserved JQL character."
                ));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// The text up to the closing quote, and the bytes used with it. A backslash keeps the next character.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.push(characters.next()?.1),
            c if c == quote => return Some((text, at + c.len_utf8())),
            c => text.push(c),
        }
    }
    None
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    now: Timestamp,
}

impl Parser {
    fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(own)) if own.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(own)) if *own == sign);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self) -> String {
        match self.tokens.get(self.at) {
            Some(Token::Word(text) | Token::Quoted(text)) => {
                format!("Error in the JQL Query: Expecting operator or field but got '{text}'.")
            }
            Some(Token::Sign(sign)) => format!("Error in the JQL Query: '{sign}' is not expected here."),
            None => "Error in the JQL Query: Unexpected end of the query.".to_owned(),
        }
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.take_word("or") {
            parts.push(self.all()?);
        }
        Ok(Condition::Any(parts))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.single()?];
        while self.take_word("and") {
            parts.push(self.single()?);
        }
        Ok(Condition::All(parts))
    }

    fn single(&mut self) -> Result<Condition, String> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        if self.take_sign("(") {
            let inner = self.any()?;
            return if self.take_sign(")") { Ok(inner) } else { Err(self.unexpected()) };
        }
        self.clause()
    }

    fn clause(&mut self) -> Result<Condition, String> {
        let name = self.value()?;
        let field = name.to_lowercase();
        if !FIELDS.contains(&field.as_str()) {
            return Err(format!("Field '{name}' does not exist or you do not have permission to view it."));
        }
        let (test, negated) = self.test(&field)?;
        let values = if let Test::In(values) = &test { values.as_slice() } else { &[] };
        if let Some(value) = values.iter().find(|value| field == "project" && !is_project(value)) {
            return Err(format!("The value '{value}' does not exist for the field 'project'."));
        }
        let clause = Condition::Clause { field, test };
        Ok(if negated { Condition::Not(Box::new(clause)) } else { clause })
    }

    fn test(&mut self, field: &str) -> Result<(Test, bool), String> {
        if self.take_word("is") {
            let negated = self.take_word("not");
            let empty = self.take_word("empty") || self.take_word("null");
            return if empty { Ok((Test::Empty, negated)) } else { Err(self.unexpected()) };
        }
        let negated = self.take_word("not");
        if self.take_word("in") {
            return Ok((Test::In(self.list()?), negated));
        }
        if negated {
            return Err(self.unexpected());
        }
        for (sign, negated) in [("=", false), ("!=", true)] {
            if self.take_sign(sign) {
                let value = self.value()?;
                let empty = value.eq_ignore_ascii_case("empty");
                return Ok((if empty { Test::Empty } else { Test::In(vec![value]) }, negated));
            }
        }
        for (sign, negated) in [("~", false), ("!~", true)] {
            if self.take_sign(sign) {
                return Ok((Test::Contains(self.value()?), negated));
            }
        }
        for (sign, equal) in [("<=", true), ("<", false)] {
            if self.take_sign(sign) {
                return Ok((Test::Before { instant: self.instant(field)?, equal }, false));
            }
        }
        for (sign, equal) in [(">=", true), (">", false)] {
            if self.take_sign(sign) {
                return Ok((Test::After { instant: self.instant(field)?, equal }, false));
            }
        }
        Err(self.unexpected())
    }

    fn value(&mut self) -> Result<String, String> {
        let value = match self.tokens.get(self.at) {
            Some(Token::Quoted(text)) => text.clone(),
            Some(Token::Word(text)) if !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) => {
                text.clone()
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        if !self.take_sign("(") {
            return Err(self.unexpected());
        }
        let mut values = vec![self.value()?];
        while self.take_sign(",") {
            values.push(self.value()?);
        }
        if self.take_sign(")") { Ok(values) } else { Err(self.unexpected()) }
    }

    /// `2026-09-01`, `2026-09-01 12:30` or a distance from now: `-30m`, `-4h`, `-1d`, `-2w`.
    fn instant(&mut self, field: &str) -> Result<Timestamp, String> {
        let text = self.value()?;
        let wrong = || format!("Date value '{text}' for field '{field}' is invalid.");
        if !["created", "updated"].contains(&field) {
            return Err(format!("The operator is not supported by the field '{field}'."));
        }
        if let Some(unit) = text.chars().last().filter(|unit| "mhdw".contains(*unit)) {
            let minutes = match unit {
                'm' => 1,
                'h' => 60,
                'd' => 1440,
                _ => 10_080,
            };
            let count: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
            let distance = SignedDuration::from_mins(count.checked_mul(minutes).ok_or_else(wrong)?);
            return self.now.checked_add(distance).map_err(|_| wrong());
        }
        let time = DateTime::strptime("%Y-%m-%d %H:%M", &text)
            .or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0)))
            .map_err(|_| wrong())?;
        Ok(time.to_zoned(TimeZone::UTC).map_err(|_| wrong())?.timestamp())
    }

    fn order(&mut self) -> Result<Vec<(String, bool)>, String> {
        let mut order = Vec::new();
        if !self.take_word("order") {
            return Ok(order);
        }
        if !self.take_word("by") {
            return Err(self.unexpected());
        }
        loop {
            let field = self.value()?.to_lowercase();
            let descending = self.take_word("desc");
            if !descending {
                self.take_word("asc");
            }
            order.push((field, descending));
            if !self.take_sign(",") {
                return Ok(order);
            }
        }
    }
}

fn is_project(value: &str) -> bool {
    PROJECTS.iter().enumerate().any(|(index, (key, name))| {
        value.eq_ignore_ascii_case(key)
            || value.eq_ignore_ascii_case(name)
            || value == (10_000 + index).to_string()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-09-02T12:00:00Z".parse().unwrap()
    }

    fn ticket() -> Value {
        json!({
            "id": "10007", "key": "SEC-7", "project": "SEC", "issuetype": "Bug", "summary": "OpenSSH on web-1",
            "labels": ["vulnrelay", "vh-0a1b"], "description": "upgrade it", "status": "In Progress",
            "status_category": "indeterminate", "comments": [{ "text": "seen again" }], "fields": {},
            "created": "2026-09-01T12:00:00.000+0000", "updated": "2026-09-02T11:30:00.000+0000",
        })
    }

    fn hit(jql: &str) -> bool {
        parse(jql, now()).unwrap_or_else(|error| panic!("{jql}: {error}")).matches(&ticket())
    }

    #[test]
    fn queries_that_find_the_ticket() {
        for jql in [
            r#"project = SEC AND labels = "vh-0a1b""#,
            "project=sec and labels in (other, vulnrelay) order by created DESC, key asc",
            "project in (SEC, OPS) AND statusCategory != Done",
            r#"statusCategory = "In Progress""#,
            "statusCategory = indeterminate AND status = 'in progress'",
            "key = SEC-7",
            "id in (10007, 10008)",
            r#"summary ~ "openssh web-1" AND text ~ upgrade AND text ~ 'seen'"#,
            "issuetype = Bug AND NOT labels = x AND labels not in (y, z)",
            "labels is not EMPTY and resolution = empty",
            "(project = OPS OR project = SEC) AND updated >= -1h",
            r#"created >= "2026-09-01" AND created < "2026-09-01 12:01" AND created <= -1d"#,
        ] {
            assert!(hit(jql), "{jql}");
        }
    }

    #[test]
    fn queries_that_do_not() {
        for jql in [
            r#"project = OPS AND labels = "vh-0a1b""#,
            "labels = VH-0A1B",
            "project = SEC AND labels = vh-0a1b AND statusCategory = done",
            "project = OPS OR key = SEC-70",
            "labels is empty",
            "updated < -1h",
            "summary !~ openssh",
        ] {
            assert!(!hit(jql), "{jql}");
        }
    }

    #[test]
    fn wrong_and_unbounded_queries_are_refused() {
        for jql in ["", "  ", "order by created", "ORDER BY key DESC"] {
            assert!(parse(jql, now()).unwrap_err().starts_with("Unbounded JQL"), "{jql}");
        }
        for jql in [
            "project",
            "project =",
            "project = SEC AND",
            "project = SEC labels = x",
            "(project = SEC",
            "project = \"SEC",
            "nofield = 1",
            "project = NOPE",
            "labels in ()",
            "created > soon",
            "summary > -1d",
            "project = SEC order created",
            "labels ! x",
        ] {
            assert!(parse(jql, now()).is_err(), "{jql}");
        }
    }

    #[test]
    fn the_order_is_as_asked_and_by_default_newest_first() {
        let with_id = |id: &str, summary: &str| json!({ "id": id, "summary": summary, "project": "SEC" });
        let sorted = |jql: &str| {
            let mut tickets = vec![with_id("9", "b"), with_id("10", "a"), with_id("8", "b")];
            parse(jql, now()).unwrap().sort(&mut tickets);
            tickets
                .iter()
                .map(|ticket| ticket["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(sorted("project = SEC"), "10 9 8");
        assert_eq!(sorted("project = SEC order by key"), "8 9 10");
        assert_eq!(sorted("project = SEC order by summary, key asc"), "10 8 9");
    }
}
