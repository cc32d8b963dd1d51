//! What can be asked for. `openapi.json` documents every line of it; a test compares the two.

use aws_lambda_events::http::Method;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the paths in `ROUTES` say it
pub enum Route {
    Overview,
    Vulnerabilities,
    Vulnerability,
    Assets,
    Asset,
    Runs,
    Deliveries,
    Approve,
    Decide,
    Sync,
    OpenApi,
    Style,
    Icon,
    Login,
    Health,
}

/// One line of the table of routes.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path; `{…}` stands for one segment.
    pub path: &'static str,
    /// What it is for.
    pub route: Route,
}

const fn get(path: &'static str, route: Route) -> Entry {
    Entry { method: "GET", path, route }
}

const fn post(path: &'static str, route: Route) -> Entry {
    Entry { method: "POST", path, route }
}

/// Every route.
pub const ROUTES: [Entry; 22] = [
    get("/", Route::Overview),
    get("/vulnerabilities", Route::Vulnerabilities),
    get("/vulnerabilities/{asset}/{vulnerability}", Route::Vulnerability),
    get("/assets", Route::Assets),
    get("/assets/{asset}", Route::Asset),
    get("/runs", Route::Runs),
    get("/deliveries", Route::Deliveries),
    get("/style.css", Route::Style),
    get("/icon.svg", Route::Icon),
    get("/login", Route::Login),
    get("/healthz", Route::Health),
    get("/api/openapi.json", Route::OpenApi),
    get("/api/overview", Route::Overview),
    get("/api/vulnerabilities", Route::Vulnerabilities),
    get("/api/vulnerabilities/{asset}/{vulnerability}", Route::Vulnerability),
    get("/api/assets", Route::Assets),
    get("/api/assets/{asset}", Route::Asset),
    get("/api/runs", Route::Runs),
    get("/api/deliveries", Route::Deliveries),
    post("/api/vulnerabilities/{asset}/{vulnerability}/decision", Route::Decide),
    post("/api/runs/{connector}/{run}/approve", Route::Approve),
    post("/api/connectors/{connector}/sync", Route::Sync),
];

/// What a request has found.
pub(crate) enum Found {
    /// A route, with the segments that its path leaves open.
    Route(Entry, Vec<String>),
    /// The path exists with another method.
    OtherMethod(&'static str),
    Nothing,
}

pub(crate) fn find(method: &Method, path: &str) -> Found {
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let mut other = None;
    for entry in ROUTES {
        let Some(names) = captures(entry.path, path) else { continue };
        if entry.method == method {
            return Found::Route(entry, names);
        }
        other = Some(entry.method);
    }
    other.map_or(Found::Nothing, Found::OtherMethod)
}

fn captures(template: &str, path: &str) -> Option<Vec<String>> {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    let mut names = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(names),
            (Some(open), Some(name)) if open.starts_with('{') && !name.is_empty() => {
                names.push(name.to_owned())
            }
            (Some(fixed), Some(name)) if fixed == name => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_as_a_whole() {
        assert_eq!(captures("/assets/{asset}", "/assets/a-1"), Some(vec!["a-1".to_owned()]));
        assert_eq!(captures("/", "/"), Some(vec![]));
        for other in ["/assets", "/assets/", "/assets/a/b", "/assets/a/"] {
            assert_eq!(captures("/assets/{asset}", other), None, "{other}");
        }
    }

    #[test]
    fn every_route_is_documented_and_nothing_else() {
        let document: serde_json::Value = serde_json::from_str(crate::answer::OPENAPI).unwrap();
        let mut documented: Vec<(String, String)> = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                documented.push((method.to_uppercase(), path.clone()));
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let in_path: Vec<_> = parameters.iter().filter(|p| p["in"] == "path").collect();
                assert_eq!(in_path.len(), path.matches('{').count(), "{path}");
                assert!(operation["responses"].as_object().is_some_and(|r| !r.is_empty()), "{path}");
            }
        }
        let mut routes: Vec<_> = ROUTES.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
        routes.sort();
        documented.sort();
        assert_eq!(documented, routes);
    }
}
