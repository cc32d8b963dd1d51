//! What can be asked for. `openapi.json` documents every line of it; a test compares the two.

use aws_lambda_events::http::Method;
use domain::Role;

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
    Coverage,
    Deliveries,
    Audit,
    Identity,
    Impact,
    Tokens,
    Approve,
    Decide,
    Sync,
    Check,
    Replay,
    CreateToken,
    RevokeToken,
    MergeAssets,
    UndoMerge,
    SplitAsset,
    KeepApart,
    JudgeIdentifier,
    ImportInventory,
    ImportFirewall,
    OpenApi,
    Style,
    Icon,
    Login,
    Callback,
    Logout,
    Health,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: what has to be reached before we know who calls.
    Anybody,
    /// Whoever we know, also without a role.
    Known,
    /// Whoever has at least this role.
    AtLeast(Role),
}

impl Access {
    /// The word that `openapi.json` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::Known => "known",
            Self::AtLeast(role) => role.as_str(),
        }
    }
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
    /// Who may call it.
    pub access: Access,
}

const fn get(path: &'static str, route: Route, access: Access) -> Entry {
    Entry { method: "GET", path, route, access }
}

const fn post(path: &'static str, route: Route, access: Access) -> Entry {
    Entry { method: "POST", path, route, access }
}

const VIEWER: Access = Access::AtLeast(Role::Viewer);
const ANALYST: Access = Access::AtLeast(Role::Analyst);
const ADMIN: Access = Access::AtLeast(Role::Admin);

/// Every route, each with who may call it.
pub const ROUTES: [Entry; 45] = [
    get("/", Route::Overview, VIEWER),
    get("/vulnerabilities", Route::Vulnerabilities, VIEWER),
    get("/vulnerabilities/{asset}/{vulnerability}", Route::Vulnerability, VIEWER),
    get("/assets", Route::Assets, VIEWER),
    get("/assets/{asset}", Route::Asset, VIEWER),
    get("/identity", Route::Identity, VIEWER),
    get("/impact/{cve}", Route::Impact, VIEWER),
    get("/runs", Route::Runs, VIEWER),
    get("/coverage", Route::Coverage, VIEWER),
    get("/deliveries", Route::Deliveries, VIEWER),
    get("/audit", Route::Audit, VIEWER),
    get("/tokens", Route::Tokens, ADMIN),
    get("/style.css", Route::Style, Access::Known),
    get("/icon.svg", Route::Icon, Access::Known),
    get("/login", Route::Login, Access::Anybody),
    get("/auth/callback", Route::Callback, Access::Anybody),
    post("/logout", Route::Logout, Access::Known),
    get("/healthz", Route::Health, Access::Anybody),
    get("/api/openapi.json", Route::OpenApi, VIEWER),
    get("/api/overview", Route::Overview, VIEWER),
    get("/api/vulnerabilities", Route::Vulnerabilities, VIEWER),
    get("/api/vulnerabilities/{asset}/{vulnerability}", Route::Vulnerability, VIEWER),
    get("/api/assets", Route::Assets, VIEWER),
    get("/api/assets/{asset}", Route::Asset, VIEWER),
    get("/api/identity", Route::Identity, VIEWER),
    get("/api/impact/{cve}", Route::Impact, VIEWER),
    get("/api/runs", Route::Runs, VIEWER),
    get("/api/coverage", Route::Coverage, VIEWER),
    get("/api/deliveries", Route::Deliveries, VIEWER),
    get("/api/audit", Route::Audit, VIEWER),
    get("/api/tokens", Route::Tokens, ADMIN),
    post("/api/vulnerabilities/{asset}/{vulnerability}/decision", Route::Decide, ANALYST),
    post("/api/assets/{asset}/merge", Route::MergeAssets, ANALYST),
    post("/api/assets/{asset}/undo-merge", Route::UndoMerge, ANALYST),
    post("/api/assets/{asset}/split", Route::SplitAsset, ANALYST),
    post("/api/assets/{asset}/apart", Route::KeepApart, ANALYST),
    post("/api/identity/identifiers", Route::JudgeIdentifier, ANALYST),
    post("/api/inventory", Route::ImportInventory, ANALYST),
    post("/api/exposure/firewall", Route::ImportFirewall, ANALYST),
    post("/api/connectors/{connector}/sync", Route::Sync, ANALYST),
    post("/api/connectors/{connector}/check", Route::Check, ANALYST),
    post("/api/deliveries/{receiver}/{key}/replay", Route::Replay, ANALYST),
    post("/api/runs/{connector}/{run}/approve", Route::Approve, ADMIN),
    post("/api/tokens", Route::CreateToken, ADMIN),
    post("/api/tokens/{token}/revoke", Route::RevokeToken, ADMIN),
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
        other =
            Some(if other.is_some_and(|method| method != entry.method) { "GET, POST" } else { entry.method });
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
        let mut documented: Vec<(String, String, String)> = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let role = operation["x-role"].as_str().unwrap_or_default().to_owned();
                documented.push((method.to_uppercase(), path.clone(), role));
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let in_path: Vec<_> = parameters.iter().filter(|p| p["in"] == "path").collect();
                assert_eq!(in_path.len(), path.matches('{').count(), "{path}");
                assert!(operation["responses"].as_object().is_some_and(|r| !r.is_empty()), "{path}");
            }
        }
        let line = |r: &Entry| (r.method.to_owned(), r.path.to_owned(), r.access.as_str().to_owned());
        let mut routes: Vec<_> = ROUTES.iter().map(line).collect();
        routes.sort();
        documented.sort();
        assert_eq!(documented, routes);
    }
}
