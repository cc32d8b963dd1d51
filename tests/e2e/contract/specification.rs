//! Checks exchanges against a published specification: Swagger 2.0 or OpenAPI 3.
//!
//! Of a request: its path and method, its query parameters and their types, those that are required, its JSON body. Of an
//! answer: its status, its JSON body. Of a schema: `$ref`, `type`, `nullable`, `properties`, `required`, `items`, `enum`,
//! `allOf`, `oneOf`, `anyOf`. What a schema does not name is allowed, as JSON Schema has it, and told on request.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub body: Option<Value>,
    /// Of the answer.
    pub status: u16,
    /// The answer's body, if it is JSON.
    pub answer: Option<Value>,
}

/// A published specification.
pub struct Specification {
    document: Value,
}

impl Specification {
    /// Reads one.
    pub fn read(path: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        Self { document: serde_json::from_str(&text).unwrap() }
    }

    /// What is wrong with an exchange, each with its place.
    pub fn problems(&self, exchange: &Exchange) -> Vec<String> {
        let mut problems = Vec::new();
        let Some((template, shared, operation)) = self.operation(&exchange.method, &exchange.path) else {
            return vec![format!(
                "{} {}: the specification has no such operation",
                exchange.method, exchange.path
            )];
        };
        let at = format!("{} {template}", exchange.method);
        let mut tell = |place: &str, problem: String| problems.push(format!("{at} {place}: {problem}"));
        let lists = [&operation["parameters"], &shared["parameters"]];
        let parameters: Vec<&Value> =
            lists.into_iter().filter_map(Value::as_array).flatten().map(|p| self.resolve(p)).collect();
        let of = |place: &'static str| parameters.iter().filter(move |parameter| parameter["in"] == place);
        for (name, value) in &exchange.query {
            match of("query").find(|parameter| parameter["name"] == name.as_str()) {
                None => tell("query", format!("{name} is no parameter")),
                Some(parameter) => {
                    let schema =
                        if parameter["schema"].is_object() { &parameter["schema"] } else { *parameter };
                    if let Some(problem) = self.text_problem(schema, value) {
                        tell("query", format!("{name}: {problem}"));
                    }
                }
            }
        }
        for parameter in of("query").filter(|parameter| parameter["required"] == true) {
            if !exchange.query.iter().any(|(name, _)| parameter["name"] == name.as_str()) {
                tell("query", format!("{} is missing", parameter["name"]));
            }
        }
        let in_request = self.resolve(&operation["requestBody"]);
        let body = of("body").next().map(|parameter| (&parameter["schema"], parameter["required"] == true));
        let body = body.or_else(|| Some((json_schema(in_request)?, in_request["required"] == true)));
        match (body, &exchange.body) {
            (Some((schema, _)), Some(body)) => self.check(schema, body, "body", &mut tell),
            (Some((_, true)), None) => tell("body", "it is missing".into()),
            (None, Some(_)) => tell("body", "there is none in the specification".into()),
            _ => {}
        }
        let answer = self.resolve(&operation["responses"][exchange.status.to_string()]);
        if answer.is_null() {
            tell("answer", format!("status {} is not in the specification", exchange.status));
        }
        let schema = if answer["schema"].is_object() { Some(&answer["schema"]) } else { json_schema(answer) };
        if let (Some(schema), Some(body)) = (schema, &exchange.answer) {
            self.check(schema, body, "answer", &mut tell);
        }
        problems
    }

    /// The template of a path, what all its operations share, and the operation.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value, &Value)> {
        let paths = self.document["paths"].as_object()?;
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &&String| {
            let wanted: Vec<&str> = template.split('/').collect();
            let same = |(wanted, part): (&&str, &&str)| {
                wanted == part || (wanted.starts_with('{') && !part.is_empty())
            };
            wanted.len() == parts.len() && wanted.iter().zip(&parts).all(same)
        };
        // Of two that fit, the one with fewer holes is meant.
        let template = paths.keys().filter(fits).min_by_key(|template| template.matches('{').count())?;
        let shared = &paths[template];
        let operation = &shared[method.to_ascii_lowercase()];
        operation.is_object().then_some((template.as_str(), shared, operation))
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.resolve(self.document.pointer(pointer).unwrap_or(&Value::Null)),
            None => value,
        }
    }

    fn text_problem(&self, schema: &Value, text: &str) -> Option<String> {
        let schema = self.resolve(schema);
        let fits = match schema["type"].as_str() {
            Some("integer") => text.parse::<i64>().is_ok(),
            Some("number") => text.parse::<f64>().is_ok(),
            Some("boolean") => matches!(text, "true" | "false"),
            _ => true,
        };
        (!fits).then(|| format!("{text:?} is no {}", schema["type"]))
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, tell: &mut dyn FnMut(&str, String)) {
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.check(part, value, place, tell);
        }
        for choice in ["oneOf", "anyOf"] {
            let Some(choices) = schema[choice].as_array() else { continue };
            let fits = choices.iter().any(|one| {
                let mut wrong = false;
                self.check(one, value, place, &mut |_, _| wrong = true);
                !wrong
            });
            if !fits {
                tell(place, format!("it is none of the {choice}"));
            }
        }
        if value.is_null() && (schema["nullable"] == true || schema["x-nullable"] == true) {
            return;
        }
        // Swagger made out of Java writes "object" for any value.
        let any = schema["type"] == "object" && !schema["properties"].is_object();
        if let Some(wanted) = schema["type"].as_str()
            && !any
            && !is(wanted, value)
        {
            return tell(place, format!("{} is no {wanted}", short(value)));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            tell(place, format!("{} is none of {}", short(value), short(&schema["enum"])));
        }
        if let Some(fields) = value.as_object() {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !fields.contains_key(name) {
                    tell(place, format!("{name} is missing"));
                }
            }
            let required = |name: &str| {
                schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
            };
            // Whether an absent value is left out or null, no vendor's specification says.
            for (name, field) in fields.iter().filter(|(name, field)| !field.is_null() || required(name)) {
                if let Some(of_field) = schema["properties"].get(name) {
                    self.check(of_field, field, &format!("{place}.{name}"), tell);
                }
            }
        }
        for element in value.as_array().into_iter().flatten() {
            if schema["items"].is_object() {
                self.check(&schema["items"], element, &format!("{place}[]"), tell);
            }
        }
    }

    /// Fields of answers that the specification does not name.
    pub fn unnamed(&self, exchange: &Exchange) -> BTreeSet<String> {
        let mut unnamed = BTreeSet::new();
        let Some((template, _, operation)) = self.operation(&exchange.method, &exchange.path) else {
            return unnamed;
        };
        let answer = self.resolve(&operation["responses"][exchange.status.to_string()]);
        let schema = if answer["schema"].is_object() { Some(&answer["schema"]) } else { json_schema(answer) };
        if let (Some(schema), Some(body)) = (schema, &exchange.answer) {
            self.find_unnamed(schema, body, template, &mut unnamed);
        }
        unnamed
    }

    fn find_unnamed(&self, schema: &Value, value: &Value, place: &str, into: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        for (name, field) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            match properties.get(name) {
                Some(of_field) => self.find_unnamed(of_field, field, &place, into),
                None if properties.is_empty() => {}
                None => {
                    into.insert(place);
                }
            }
        }
        for element in value.as_array().into_iter().flatten() {
            self.find_unnamed(&schema["items"], element, &format!("{place}[]"), into);
        }
    }
}

/// The schema of a JSON body in OpenAPI 3. Tenable's chunks are JSON under another name.
fn json_schema(holder: &Value) -> Option<&Value> {
    let content = holder["content"].as_object()?;
    let json = content.iter().find(|(kind, _)| kind.contains("json")).map(|(_, of)| of);
    let octets = || content.get("application/octet-stream").filter(|of| of["schema"]["type"] == "array");
    json.or_else(octets).map(|of| &of["schema"]).filter(|schema| schema.is_object())
}

fn is(wanted: &str, value: &Value) -> bool {
    match wanted {
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn specification() -> Specification {
        let pet = json!({
            "type": "object", "required": ["id"],
            "properties": { "id": { "type": "integer" }, "kind": { "type": "string", "enum": ["cat"] }, "tags": { "type": "array", "items": { "type": "string" } }, "any": { "type": "object" } }
        });
        let get = json!({
            "parameters": [
                { "in": "query", "name": "page", "type": "integer" },
                { "in": "query", "name": "site", "type": "string", "required": true }
            ],
            "responses": { "200": { "schema": { "$ref": "#/definitions/Pet" } } }
        });
        let post = json!({
            "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": "#/definitions/Pet" } } } },
            "responses": { "201": {} }
        });
        let paths = json!({ "/pets/{id}": { "get": get, "post": post }, "/pets/new": { "get": { "responses": { "200": {} } } } });
        Specification { document: json!({ "paths": paths, "definitions": { "Pet": pet } }) }
    }

    fn exchange(method: &str, path: &str) -> Exchange {
        let (method, path) = (method.to_owned(), path.to_owned());
        let query = vec![("site".to_owned(), "a".to_owned())];
        Exchange { method, path, query, body: None, status: 200, answer: Some(json!({ "id": 1 })) }
    }

    #[test]
    fn what_fits_has_no_problem() {
        assert_eq!(specification().problems(&exchange("GET", "/pets/5")), Vec::<String>::new());
        let any = Exchange { answer: Some(json!({ "id": 1, "any": "text" })), ..exchange("GET", "/pets/5") };
        assert_eq!(specification().problems(&any), Vec::<String>::new());
        let plain = Exchange { query: vec![], ..exchange("GET", "/pets/new") };
        assert_eq!(specification().problems(&plain), Vec::<String>::new(), "the path without holes is meant");
    }

    #[test]
    fn everything_that_does_not_fit_is_told() {
        let told = |exchange: Exchange| specification().problems(&exchange).join("; ");
        let get = || exchange("GET", "/pets/5");
        assert!(told(exchange("GET", "/cats")).contains("no such operation"));
        assert!(told(exchange("PUT", "/pets/5")).contains("no such operation"));
        let query =
            |name: &str, value: &str| vec![("site".into(), "a".into()), (name.to_owned(), value.to_owned())];
        assert!(told(Exchange { query: query("size", "1"), ..get() }).contains("size is no parameter"));
        assert!(told(Exchange { query: query("page", "x"), ..get() }).contains("\"x\" is no"));
        assert!(told(Exchange { query: vec![], ..get() }).contains("\"site\" is missing"));
        assert!(told(Exchange { answer: Some(json!({ "kind": "dog" })), ..get() }).contains("id is missing"));
        assert!(
            told(Exchange { answer: Some(json!({ "id": 1, "kind": "dog" })), ..get() }).contains("none of")
        );
        assert!(
            told(Exchange { answer: Some(json!({ "id": "1" })), ..get() })
                .contains("answer.id: \"1\" is no integer")
        );
        assert!(
            told(Exchange { answer: Some(json!({ "id": 1, "tags": [1] })), ..get() })
                .contains("answer.tags[]")
        );
        assert!(
            told(Exchange { answer: Some(json!({ "id": null })), ..get() }).contains("null is no integer")
        );
        let null = Exchange { answer: Some(json!({ "id": 1, "kind": null })), ..get() };
        assert_eq!(told(null), "", "an optional field may be null");
        assert!(told(Exchange { status: 500, ..get() }).contains("status 500"));
        assert!(told(Exchange { body: Some(json!({})), ..get() }).contains("there is none"));
        let post = || Exchange { query: vec![], status: 201, ..exchange("POST", "/pets/5") };
        assert!(told(post()).contains("body: it is missing"));
        assert!(told(Exchange { body: Some(json!({})), ..post() }).contains("body: id is missing"));
        let unnamed =
            specification().unnamed(&Exchange { answer: Some(json!({ "id": 1, "age": 2 })), ..get() });
        assert_eq!(unnamed.into_iter().collect::<Vec<_>>(), ["/pets/{id}.age"]);
    }
}
