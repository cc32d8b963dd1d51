//! `/search/jql`: what is asked, what the lagging index answers.

use std::time::Instant;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Done, Jira, Refusal, jql, lock};
use crate::{Mode, dice};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 100;
/// Pages may be longer when nothing but ids and keys is asked for.
const MAX_PAGE_OF_IDS: usize = 5000;
const MAX_RECONCILED: usize = 50;

/// A search request.
#[derive(Debug, Default)]
pub struct Search {
    jql: String,
    page_token: Option<String>,
    max_results: Option<usize>,
    fields: Vec<String>,
    properties: Vec<String>,
    reconcile: Vec<String>,
}

impl Search {
    /// From the query of a `GET`.
    pub fn from_query(query: &str) -> Result<Self, Refusal> {
        let mut search = Self::default();
        (search.fields, search.properties) = asked(query);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "jql" => search.jql = value.into_owned(),
                "nextPageToken" if !value.is_empty() => search.page_token = Some(value.into_owned()),
                "maxResults" => {
                    let number = value.parse().map_err(|_| Refusal::bad("maxResults must be a number"))?;
                    search.max_results = Some(number);
                }
                "reconcileIssues" => search.reconcile.extend(value.split(',').map(|id| id.trim().to_owned())),
                _ => {}
            }
        }
        Ok(search)
    }

    /// From the body of a `POST`.
    pub fn from_body(body: &Value) -> Result<Self, Refusal> {
        const KNOWN: [&str; 8] = [
            "jql",
            "nextPageToken",
            "maxResults",
            "fields",
            "properties",
            "reconcileIssues",
            "expand",
            "fieldsByKeys",
        ];
        let unknown =
            body.as_object().into_iter().flatten().find(|(name, _)| !KNOWN.contains(&name.as_str()));
        if unknown.is_some() {
            return Err(Refusal::bad(
                "Invalid request payload. Refer to the REST API documentation and try again.",
            ));
        }
        let strings = |name: &str| -> Vec<String> {
            let values = body[name].as_array().into_iter().flatten();
            values.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect()
        };
        Ok(Self {
            jql: body["jql"].as_str().unwrap_or_default().to_owned(),
            page_token: body["nextPageToken"].as_str().map(str::to_owned),
            max_results: body["maxResults"].as_u64().map(|number| number as usize),
            fields: strings("fields"),
            properties: strings("properties"),
            reconcile: strings("reconcileIssues"),
        })
    }

    fn page_size(&self) -> usize {
        let small = self.fields.iter().all(|field| field == "id" || field == "key");
        self.max_results.unwrap_or(DEFAULT_PAGE).clamp(1, if small { MAX_PAGE_OF_IDS } else { MAX_PAGE })
    }

    /// The place a page token stands for; it belongs to one query.
    fn offset(&self) -> Result<usize, Refusal> {
        let Some(token) = &self.page_token else { return Ok(0) };
        let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .filter(|(query, _)| *query == self.mark())
            .and_then(|(_, offset)| offset.parse().ok())
            .ok_or_else(|| Refusal::bad("The nextPageToken is invalid or does not belong to this query."))
    }

    fn token(&self, offset: usize) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{offset}", self.mark()))
    }

    fn mark(&self) -> String {
        format!("{:016x}", dice::hash(0, &[&self.jql]))
    }
}

/// The `fields` and `properties` of a query, repeated or joined by commas.
pub fn asked(query: &str) -> (Vec<String>, Vec<String>) {
    let values = |wanted: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == wanted)
            .flat_map(|(_, value)| value.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>())
            .filter(|part| !part.is_empty())
            .collect()
    };
    (values("fields"), values("properties"))
}

impl Jira {
    pub(super) async fn answer_search(
        &self,
        headers: &HeaderMap,
        search: Result<Search, Refusal>,
    ) -> Response {
        let key = search.as_ref().map(|search| search.jql.clone()).unwrap_or_default();
        self.answer(headers, ("search", &key), |mode| {
            let search = search?;
            if mode == Mode::Empty {
                return Ok(Json(json!({ "issues": [], "isLast": true })).into_response());
            }
            self.search(&search)
        })
        .await
    }

    fn search(&self, search: &Search) -> Done {
        if search.reconcile.len() > MAX_RECONCILED {
            return Err(Refusal::bad("reconcileIssues can hold at most 50 issue ids."));
        }
        let query = jql::parse(&search.jql, self.world.clock.now()).map_err(Refusal::bad)?;
        let mut found: Vec<Value> =
            self.searchable(&search.reconcile).into_iter().filter(|ticket| query.matches(ticket)).collect();
        query.sort(&mut found);
        let offset = search.offset()?;
        let size = search.page_size();
        let issues: Vec<Value> =
            found.iter().skip(offset).take(size).map(|ticket| self.found(ticket, search)).collect();
        let next = offset + issues.len();
        let mut answer = json!({ "issues": issues, "isLast": next >= found.len() });
        if next < found.len() {
            answer["nextPageToken"] = json!(search.token(next));
        }
        Ok(Json(answer).into_response())
    }

    /// Without fields a hit is its id and nothing else.
    fn found(&self, ticket: &Value, search: &Search) -> Value {
        if search.fields.is_empty() && search.properties.is_empty() {
            return json!({ "id": ticket["id"] });
        }
        let fields = if search.fields.is_empty() { vec!["id".to_owned()] } else { search.fields.clone() };
        self.render(ticket, &fields, &search.properties)
    }

    /// Every issue as the index knows it, or as it is if its id is to be reconciled.
    fn searchable(&self, reconcile: &[String]) -> Vec<Value> {
        let now = Instant::now();
        let mut index = lock(&self.index);
        self.world.received.with_tickets(|tickets| {
            if tickets.is_empty() {
                index.clear();
            }
            let state = |ticket: &Value| {
                let id = ticket["id"].as_str().unwrap_or_default();
                if reconcile.iter().any(|wanted| wanted == id) {
                    return Some(ticket.clone());
                }
                let states = index.get(id)?;
                states.iter().rev().find(|(from, _)| *from <= now).map(|(_, state)| state.clone())
            };
            tickets.iter().filter_map(state).collect()
        })
    }
}
