//! Issues: what is accepted, how it is kept, how it is shown.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{Done, ISSUE_TYPES, Jira, PROJECTS, Refusal, adf, lock};

const MAX_SUMMARY: usize = 255;
const MAX_PROPERTY_KEY: usize = 255;
const MAX_PROPERTY_VALUE: usize = 32_768;
const PRIORITIES: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];
const WORKFLOW: [Step; 3] = [
    Step { id: "10000", name: "To Do", transition: "11", category: (2, "new") },
    Step { id: "10001", name: "In Progress", transition: "21", category: (4, "indeterminate") },
    Step { id: "10002", name: "Done", transition: "31", category: (3, "done") },
];

/// A status, the transition that leads to it, and id and key of its category, which has the name of the status.
struct Step {
    id: &'static str,
    name: &'static str,
    transition: &'static str,
    category: (u8, &'static str),
}

impl Jira {
    /// `POST /issue`.
    pub(super) fn create(&self, body: &Value) -> Done {
        let fields = body["fields"].as_object().cloned().unwrap_or_default();
        let mut errors = Map::new();
        let project = find_in(&PROJECTS, &fields, "project", "key", "id");
        if project.is_none() {
            errors.insert("project".to_owned(), json!("Specify a valid project ID or key"));
        }
        let kinds = ISSUE_TYPES.map(|(id, name)| (name, id));
        let kind = find_in(&kinds, &fields, "issuetype", "name", "id");
        if kind.is_none() {
            errors.insert("issuetype".to_owned(), json!("Specify a valid issue type"));
        }
        if !fields.contains_key("summary") {
            errors.insert("summary".to_owned(), json!("You must specify a summary of the issue."));
        }
        check_fields(&fields, &mut errors)?;
        let (Some(project), Some(kind), true) = (project, kind, errors.is_empty()) else {
            return Err(Refusal::fields(errors));
        };
        let properties = read_properties(body)?;
        let (id, key) = self.next_key(PROJECTS[project].0);
        let mut ticket = json!({
            "id": id,
            "key": key,
            "project": PROJECTS[project].0,
            "issuetype": ISSUE_TYPES[kind].1,
            "summary": "",
            "labels": [],
            "description": "",
            "status": WORKFLOW[0].name,
            "status_category": WORKFLOW[0].category.1,
            "comments": [],
            "properties": properties,
            "created": self.now(),
            "updated": self.now(),
            "fields": {},
        });
        write_fields(&mut ticket, &fields);
        self.world.received.record_ticket(ticket.clone());
        self.index(ticket);
        let this = self.url(&format!("issue/{id}"));
        Ok((StatusCode::CREATED, Json(json!({ "id": id, "key": key, "self": this }))).into_response())
    }

    fn next_key(&self, project: &str) -> (String, String) {
        let mut numbers = lock(&self.numbers);
        numbers.issue += 1;
        let id = 10_000 + numbers.issue;
        let number = numbers.keys.entry(project.to_owned()).or_default();
        *number += 1;
        (id.to_string(), format!("{project}-{number}"))
    }

    /// `PUT /issue/{key}`.
    pub(super) fn edit(&self, name: &str, body: &Value) -> Done {
        let ticket = self.find(name)?;
        let mut fields = body["fields"].as_object().cloned().unwrap_or_default();
        let mut errors = Map::new();
        for fixed in ["project", "status", "comment", "created", "updated"] {
            if fields.contains_key(fixed) {
                errors.insert(fixed.to_owned(), json!(unknown(fixed)));
            }
        }
        let kinds = ISSUE_TYPES.map(|(id, name)| (name, id));
        let kind = find_in(&kinds, &fields, "issuetype", "name", "id");
        if fields.contains_key("issuetype") && kind.is_none() {
            errors.insert("issuetype".to_owned(), json!("Specify a valid issue type"));
        }
        let updates = body["update"].as_object().cloned().unwrap_or_default();
        if let Some(both) = updates.keys().find(|key| fields.contains_key(*key)) {
            let words = format!("Field '{both}' cannot appear in both 'fields' and 'update'");
            errors.insert(both.clone(), json!(words));
        }
        if let Some(labels) = updates.get("labels") {
            fields.insert("labels".to_owned(), updated_labels(&ticket["labels"], labels)?);
        }
        check_fields(&fields, &mut errors)?;
        if !errors.is_empty() {
            return Err(Refusal::fields(errors));
        }
        let properties = read_properties(body)?;
        let comments = self.new_comments(&updates)?;
        self.change(name, |ticket| {
            write_fields(ticket, &fields);
            if let Some(kind) = kind {
                ticket["issuetype"] = json!(ISSUE_TYPES[kind].1);
            }
            for (key, value) in properties {
                ticket["properties"][key] = value;
            }
            comments.into_iter().for_each(|comment| push_comment(ticket, comment));
        })?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// `POST /issue/{key}/transitions`.
    pub(super) fn transition(&self, name: &str, body: &Value) -> Done {
        self.find(name)?;
        let id = match &body["transition"]["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return Err(Refusal::bad("Missing 'transition' identifier")),
        };
        let step = WORKFLOW.iter().find(|step| step.transition == id);
        let step =
            step.ok_or_else(|| Refusal::bad(format!("Transition id '{id}' is not valid for this issue.")))?;
        let updates = body["update"].as_object().cloned().unwrap_or_default();
        let comments = self.new_comments(&updates)?;
        let resolution = body["fields"]["resolution"]["name"].as_str().unwrap_or("Done").to_owned();
        let now = self.now();
        self.change(name, |ticket| {
            ticket["status"] = json!(step.name);
            ticket["status_category"] = json!(step.category.1);
            let done = step.category.1 == "done";
            ticket["fields"]["resolution"] = if done { json!({ "name": resolution }) } else { Value::Null };
            ticket["fields"]["resolutiondate"] = if done { json!(now) } else { Value::Null };
            comments.into_iter().for_each(|comment| push_comment(ticket, comment));
        })?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// `GET /issue/{key}/transitions`.
    pub(super) fn transitions(&self) -> Value {
        let steps = WORKFLOW.iter().map(|step| {
            json!({
                "id": step.transition,
                "name": step.name,
                "to": self.status(step.name),
                "hasScreen": false,
                "isGlobal": true,
                "isInitial": false,
                "isAvailable": true,
                "isConditional": false,
                "isLooped": false,
            })
        });
        json!({ "expand": "transitions", "transitions": steps.collect::<Vec<_>>() })
    }

    fn status(&self, name: &str) -> Value {
        let Step { id, name, category: (category, key), .. } =
            WORKFLOW.iter().find(|step| step.name == name).unwrap_or(&WORKFLOW[0]);
        json!({
            "self": self.url(&format!("status/{id}")),
            "id": id,
            "name": name,
            "statusCategory": {
                "self": self.url(&format!("statuscategory/{category}")),
                "id": category,
                "key": key,
                "name": name,
            },
        })
    }

    pub(super) fn project(&self, index: usize) -> Value {
        let (key, name) = PROJECTS[index];
        let id = project_id(index);
        json!({
            "self": self.url(&format!("project/{id}")),
            "id": id,
            "key": key,
            "name": name,
            "projectTypeKey": "software",
            "simplified": false,
        })
    }

    pub(super) fn issue_type(&self, (id, name): (&str, &str)) -> Value {
        json!({ "self": self.url(&format!("issuetype/{id}")), "id": id, "name": name, "subtask": false })
    }

    /// A comment as it is kept.
    pub(super) fn new_comment(&self, body: &Value) -> Result<Value, Refusal> {
        adf::check(body).map_err(|flaw| flaw_of("comment", flaw))?;
        let now = self.now();
        Ok(
            json!({ "id": self.next_comment().to_string(), "body": body, "text": adf::text(body), "created": now }),
        )
    }

    fn new_comments(&self, updates: &Map<String, Value>) -> Result<Vec<Value>, Refusal> {
        let added = updates.get("comment").and_then(Value::as_array).into_iter().flatten();
        added.map(|operation| self.new_comment(&operation["add"]["body"])).collect()
    }

    pub(super) fn render_comment(&self, ticket: &Value, comment: &Value) -> Value {
        let (issue, id) =
            (ticket["id"].as_str().unwrap_or_default(), comment["id"].as_str().unwrap_or_default());
        json!({
            "self": self.url(&format!("issue/{issue}/comment/{id}")),
            "id": id,
            "author": self.user(),
            "updateAuthor": self.user(),
            "body": comment["body"],
            "created": comment["created"],
            "updated": comment["created"],
            "jsdPublic": true,
        })
    }

    pub(super) fn comment_page(&self, ticket: &Value) -> Value {
        let comments: Vec<Value> = ticket["comments"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|comment| self.render_comment(ticket, comment))
            .collect();
        let total = comments.len();
        json!({ "comments": comments, "startAt": 0, "maxResults": total.max(50), "total": total })
    }

    /// The issue as Jira shows it, with the fields asked for: names, `*all`, `*navigable`, `-name`.
    pub(super) fn render(&self, ticket: &Value, asked: &[String], properties: &[String]) -> Value {
        let id = ticket["id"].as_str().unwrap_or_default();
        let mut shown = json!({
            "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
            "id": id,
            "self": self.url(&format!("issue/{id}")),
            "key": ticket["key"],
        });
        let every = asked.iter().any(|name| name == "*all" || name == "*navigable")
            || asked.iter().all(|name| name.starts_with('-'));
        let wanted = |name: &str| {
            (every || asked.iter().any(|asked| asked == name))
                && !asked.iter().any(|asked| asked.strip_prefix('-') == Some(name))
        };
        let fields: Map<String, Value> =
            self.fields(ticket).into_iter().filter(|(name, _)| wanted(name)).collect();
        if !fields.is_empty() {
            shown["fields"] = Value::Object(fields);
        }
        if !properties.is_empty() {
            let all = properties.iter().any(|name| name == "*all");
            let kept = ticket["properties"].as_object().cloned().unwrap_or_default();
            let kept = kept.into_iter().filter(|(key, _)| all || properties.contains(key));
            shown["properties"] = Value::Object(kept.collect());
        }
        shown
    }

    fn fields(&self, ticket: &Value) -> Map<String, Value> {
        let mut fields = ticket["fields"].as_object().cloned().unwrap_or_default();
        let project = PROJECTS.iter().position(|(key, _)| ticket["project"] == *key).unwrap_or(0);
        let kind =
            ISSUE_TYPES.iter().find(|(_, name)| ticket["issuetype"] == *name).unwrap_or(&ISSUE_TYPES[0]);
        let status = self.status(ticket["status"].as_str().unwrap_or_default());
        for absent in ["description", "assignee", "duedate", "resolution", "resolutiondate"] {
            fields.entry(absent).or_insert(Value::Null);
        }
        fields.entry("priority").or_insert_with(|| json!({ "name": "Medium" }));
        let own = [
            ("summary", ticket["summary"].clone()),
            ("labels", ticket["labels"].clone()),
            ("project", self.project(project)),
            ("issuetype", self.issue_type(*kind)),
            ("statusCategory", status["statusCategory"].clone()),
            ("status", status),
            ("created", ticket["created"].clone()),
            ("updated", ticket["updated"].clone()),
            ("creator", self.user()),
            ("reporter", self.user()),
            ("comment", self.comment_page(ticket)),
        ];
        fields.extend(own.map(|(name, value)| (name.to_owned(), value)));
        fields
    }
}

/// Adds a comment to a kept issue.
pub(super) fn push_comment(ticket: &mut Value, comment: Value) {
    if let Some(comments) = ticket["comments"].as_array_mut() {
        comments.push(comment);
    }
}

/// Checks the key and the value of an entity property.
pub(super) fn check_property(key: &str, value: &Value) -> Result<(), Refusal> {
    if key.is_empty() || key.chars().count() > MAX_PROPERTY_KEY {
        return Err(Refusal::bad("The length of the property key can't be longer than 255 characters."));
    }
    if value.is_null() {
        return Err(Refusal::bad("The property value has to be a non-empty, valid JSON."));
    }
    if value.to_string().len() > MAX_PROPERTY_VALUE {
        return Err(Refusal::bad("The property value can't be longer than 32768 characters."));
    }
    Ok(())
}

fn read_properties(body: &Value) -> Result<Map<String, Value>, Refusal> {
    let mut properties = Map::new();
    for property in body["properties"].as_array().into_iter().flatten() {
        let key = property["key"].as_str().unwrap_or_default();
        check_property(key, &property["value"])?;
        properties.insert(key.to_owned(), property["value"].clone());
    }
    Ok(properties)
}

fn project_id(index: usize) -> String {
    (10_000 + index).to_string()
}

/// The place in `known` of what a field names by `name` or by id. Projects have their id by their place.
fn find_in(
    known: &[(&str, &str)],
    fields: &Map<String, Value>,
    field: &str,
    name: &str,
    id: &str,
) -> Option<usize> {
    let value = fields.get(field)?;
    let by_id = |index: usize, own: &str| {
        value[id]
            .as_str()
            .is_some_and(|asked| asked == own || (field == "project" && asked == project_id(index)))
    };
    let found = |index: usize, (own_name, own): &(&str, &str)| {
        value[name].as_str() == Some(*own_name) || by_id(index, own)
    };
    known.iter().enumerate().position(|(index, pair)| found(index, pair))
}

fn unknown(field: &str) -> String {
    format!("Field '{field}' cannot be set. It is not on the appropriate screen, or unknown.")
}

/// Checks the fields that were sent, whichever they are.
fn check_fields(fields: &Map<String, Value>, errors: &mut Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in fields {
        let error = match name.as_str() {
            "project" | "issuetype" => continue,
            "summary" => summary_error(value),
            "labels" => labels_error(value),
            "description" => match adf::check(value) {
                Err(adf::Flaw::NoDocument) if !value.is_null() => Some(
                    "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
                        .to_owned(),
                ),
                Err(flaw) if !value.is_null() => return Err(flaw_of("description", flaw)),
                _ => None,
            },
            "priority" => {
                let known = value["name"].as_str().is_some_and(|name| PRIORITIES.contains(&name));
                let by_id = value["id"].as_str().is_some_and(|id| ["1", "2", "3", "4", "5"].contains(&id));
                (!known && !by_id).then(|| "The priority selected is invalid.".to_owned())
            }
            "duedate" => {
                let date = value.as_str().map(|text| text.parse::<Date>().is_ok());
                (date == Some(false) || (date.is_none() && !value.is_null()))
                    .then(|| format!("Error parsing date string: {}", value.as_str().unwrap_or_default()))
            }
            "assignee" | "reporter" | "components" | "parent" | "environment" => None,
            custom if custom.starts_with("customfield_") => None,
            _ if errors.contains_key(name) => continue,
            other => Some(unknown(other)),
        };
        if let Some(error) = error {
            errors.insert(name.clone(), json!(error));
        }
    }
    Ok(())
}

fn summary_error(value: &Value) -> Option<String> {
    let words = match value.as_str() {
        None | Some("") => "You must specify a summary of the issue.",
        Some(text) if text.trim().is_empty() => "You must specify a summary of the issue.",
        Some(text) if text.contains(['\n', '\r']) => {
            "The summary is invalid because it contains newline characters."
        }
        Some(text) if text.encode_utf16().count() > MAX_SUMMARY => {
            "Summary must be less than 255 characters."
        }
        Some(_) => return None,
    };
    Some(words.to_owned())
}

fn labels_error(value: &Value) -> Option<String> {
    let Some(labels) = value.as_array() else { return Some("data was not an array".to_owned()) };
    labels.iter().find_map(|label| match label.as_str() {
        None | Some("") => Some("string expected at index 0".to_owned()),
        Some(label) if label.contains(char::is_whitespace) => {
            Some(format!("The label '{label}' contains spaces which is invalid."))
        }
        Some(label) if label.chars().count() > 255 => Some(format!(
            "The label '{label}' exceeds the maximum length for a single label of 255 characters."
        )),
        Some(_) => None,
    })
}

/// Labels after the operations `add`, `remove` and `set`.
fn updated_labels(before: &Value, operations: &Value) -> Result<Value, Refusal> {
    let mut labels = before.as_array().cloned().unwrap_or_default();
    for operation in operations.as_array().into_iter().flatten() {
        match operation.as_object().and_then(|operation| operation.iter().next()) {
            Some((verb, label)) if verb == "add" && !labels.contains(label) => labels.push(label.clone()),
            Some((verb, _)) if verb == "add" => {}
            Some((verb, label)) if verb == "remove" => labels.retain(|kept| kept != label),
            Some((verb, Value::Array(set))) if verb == "set" => labels = set.clone(),
            _ => return Err(Refusal::bad("Can not deserialize the field operation.")),
        }
    }
    Ok(Value::Array(labels))
}

fn flaw_of(field: &str, flaw: adf::Flaw) -> Refusal {
    match flaw {
        adf::Flaw::NoDocument => {
            let words = if field == "comment" { "Comment body is not valid!" } else { "INVALID_INPUT" };
            Refusal::fields(Map::from_iter([(field.to_owned(), json!(words))]))
        }
        adf::Flaw::Invalid => Refusal::bad("INVALID_INPUT"),
        adf::Flaw::TooLong => Refusal::bad("CONTENT_LIMIT_EXCEEDED"),
    }
}

/// Writes checked fields into a kept issue.
fn write_fields(ticket: &mut Value, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match name.as_str() {
            "project" | "issuetype" => continue,
            "summary" | "labels" => ticket[name] = value.clone(),
            "description" => {
                ticket["description"] = json!(adf::text(value));
                ticket["fields"]["description"] = value.clone();
            }
            _ => ticket["fields"][name] = value.clone(),
        }
    }
}
