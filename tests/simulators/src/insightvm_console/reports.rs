//! SQL reports: created, generated, looked at, read, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::model::{self, Asked};
use super::{Console, assets, findings, rules};
use crate::World;
use crate::estate::{HostKind, Known, Weakness, iso};

/// What an output has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Everything.
    All,
    /// What the last scans would have found if no login had worked: some of it on what has no agent.
    FromOutside,
    /// No row.
    Nothing,
}

#[derive(Default)]
pub(super) struct Reports {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    reports: BTreeMap<u64, Report>,
}

struct Report {
    wish: Value,
    asked: Result<Asked, String>,
    /// Looks at each generation.
    looks: Vec<u32>,
}

impl Reports {
    fn with<T>(&self, id: &str, work: impl FnOnce(&mut Report) -> Option<T>) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(state.reports.get_mut(&id.parse().ok()?)?)
    }

    /// Every report as the API shows it.
    pub fn list(&self) -> Vec<Value> {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let shown = state.reports.iter().map(|(id, report)| {
            let mut shown = report.wish.clone();
            shown["id"] = json!(id);
            shown["owner"] = json!(1);
            shown
        });
        shown.collect()
    }

    pub fn create(&self, body: &[u8]) -> Result<u64, String> {
        let wish: Value = serde_json::from_slice(body).map_err(|_| "the body is no JSON".to_owned())?;
        let text = |name: &str| wish[name].as_str().filter(|text| !text.is_empty());
        text("name").ok_or("a report needs a name")?;
        if text("format") != Some("sql-query") {
            return Err("only the format sql-query is simulated".into());
        }
        if text("version") != Some("2.3.0") {
            return Err("only version 2.3.0 of the data model is simulated".into());
        }
        let query = text("query").ok_or("an SQL report needs a query")?;
        if wish.get("scope").is_some_and(|scope| !scope["assets"].is_array()) {
            return Err("only a scope of assets is simulated".into());
        }
        let asked = model::read(query);
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.reports.values().any(|report| report.wish["name"] == wish["name"]) {
            return Err("there is a report of that name already".into());
        }
        state.last += 1;
        let id = state.last;
        state.reports.insert(id, Report { wish, asked, looks: Vec::new() });
        Ok(id)
    }

    pub fn generate(&self, id: &str) -> Option<u64> {
        self.with(id, |report| {
            report.looks.push(0);
            Some(report.looks.len() as u64)
        })
    }

    pub fn look(&self, world: &World, id: &str, instance: &str, broken: bool) -> Option<Value> {
        let number: usize = instance.parse().ok()?;
        self.with(id, |report| {
            let looks = report.looks.get_mut(number.checked_sub(1)?)?;
            *looks += 1;
            let status = match (&report.asked, *looks) {
                (Err(_), _) => "failed",
                _ if broken => "failed",
                (Ok(_), 1) => "running",
                (Ok(_), _) => "complete",
            };
            let generated = iso(world.clock.now().as_second());
            let size = json!({ "bytes": 1000, "formatted": "1 KB" });
            Some(json!({ "id": number, "status": status, "generated": generated, "size": size, "links": [] }))
        })
    }

    pub fn delete(&self, id: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        id.parse().ok().and_then(|id: u64| state.reports.remove(&id)).is_some()
    }

    /// The output of a generation that is complete.
    pub fn output(&self, console: &Console, id: &str, instance: &str, shown: Shown) -> Option<Vec<u8>> {
        let number: usize = instance.parse().ok()?;
        let (asked, scope) = self.with(id, |report| {
            let complete = report.looks.get(number.checked_sub(1)?).is_some_and(|looks| *looks > 1);
            let scope: Option<BTreeSet<u64>> = report.wish["scope"]["assets"]
                .as_array()
                .map(|ids| ids.iter().filter_map(Value::as_u64).collect());
            report.asked.clone().ok().filter(|_| complete).map(|asked| (asked, scope))
        })?;
        let in_scope =
            |known: &Known| scope.as_ref().is_none_or(|ids| ids.contains(&(u64::from(known.host.index) + 1)));
        let mut text = line(asked.columns.iter().map(|(_, name)| Some(name.clone())));
        if shown != Shown::Nothing {
            let assets: Vec<Known> = console.assets().into_iter().filter(in_scope).collect();
            rows(console, &asked, &assets, shown == Shown::All, &mut text);
        }
        let packed = id.parse::<u64>().is_ok_and(|id| id % 2 == 0);
        if !packed {
            return Some(text.into_bytes());
        }
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).ok()?;
        packer.finish().ok()
    }
}

fn rows(console: &Console, asked: &Asked, assets: &[Known], by_login: bool, text: &mut String) {
    if asked.rows_of == "dim_asset" {
        for known in assets {
            let mut found = findings::of(&console.world, known);
            let agent = known.host.agent.is_some();
            found.retain(|instance| by_login || agent || instance.weakness.id.is_multiple_of(2));
            let logins = match known.host.kind {
                _ if agent => "-1",
                HostKind::Appliance => "1",
                _ if by_login => "4",
                _ => "2",
            };
            let row = |instance: Option<&findings::Instance>| {
                let cells = asked.columns.iter().map(|(origin, _)| match origin.as_str() {
                    "fact_asset.aggregated_credential_status_id" => Some(logins.to_owned()),
                    _ => cell(origin, known, found.len(), instance),
                });
                line(cells)
            };
            if found.is_empty() {
                text.push_str(&row(None));
            }
            found.iter().for_each(|instance| text.push_str(&row(Some(instance))));
        }
        return;
    }
    let mut used: BTreeMap<String, findings::Instance> = BTreeMap::new();
    for known in assets {
        used.extend(findings::of(&console.world, known).into_iter().map(|i| (rules::id(i.weakness), i)));
    }
    for instance in used.values() {
        text.push_str(&line(asked.columns.iter().map(|(origin, _)| definition(origin, instance))));
    }
}

/// A value of a row about an instance on an asset. The names of auxiliary statements are those of the one who asks.
fn cell(origin: &str, known: &Known, count: usize, instance: Option<&findings::Instance>) -> Option<String> {
    let time = |seconds: i64| iso(seconds).replace('T', " ").trim_end_matches('Z').to_owned();
    let tags = || {
        let tags = assets::tags_of(&known.host);
        let sites = assets::sites_of(&known.host).map(|site| format!("SITE:{site}"));
        let named = tags.iter().map(|tag| format!("{}:{}", tag.kind.to_uppercase(), tag.name)).chain(sites);
        named.collect::<Vec<_>>().join("\n")
    };
    match origin {
        "dim_asset.asset_id" => return Some((known.host.index + 1).to_string()),
        "dim_asset.last_assessed_for_vulnerabilities" => return Some(time(known.last_scan())),
        "counts.announced" => return Some(count.to_string()),
        "labels.tags" => return Some(tags()),
        _ => {}
    }
    let instance = instance?;
    match origin {
        "instances.excepted" => Some(u8::from(instance.excepted).to_string()),
        "instances.port" => Some(if instance.port > 0 { instance.port.to_string() } else { "-1".into() }),
        "instances.key" => instance.key(),
        "instances.proof" => Some(instance.proof()),
        "dim_protocol.name" => {
            Some(instance.protocol().map_or_else(|| "ip".into(), |name| name.to_uppercase()))
        }
        "dim_vulnerability_status.description" => Some(
            match instance.status() {
                "vulnerable-version" => "Vulnerable Version",
                "vulnerable-potential" => "Potential",
                _ => "Vulnerable Exploited",
            }
            .to_owned(),
        ),
        "fact_asset_vulnerability_age.first_discovered" => Some(time(instance.first)),
        "fact_asset_vulnerability_age.most_recently_discovered" => Some(time(instance.last)),
        "fact_asset_vulnerability_age.reintroduced_date" => instance.back.map(time),
        other => definition(other, instance),
    }
}

fn definition(origin: &str, instance: &findings::Instance) -> Option<String> {
    let weakness = instance.weakness;
    let (word, score) = rules::severity(weakness);
    match origin {
        "dim_vulnerability.nexpose_id" => Some(rules::id(weakness)),
        "dim_vulnerability.title" => Some(weakness.title()),
        "dim_vulnerability.description" => Some(rules::description(weakness)),
        "dim_vulnerability.severity" => Some(word.to_owned()),
        "dim_vulnerability.severity_score" => Some(score.to_string()),
        "dim_vulnerability.cvss_v3_score" => Some(format!("{:.1}", weakness.cvss)),
        "dim_vulnerability.cvss_v3_vector" => rules::vector(weakness),
        "dim_vulnerability.date_modified" => Some(format!("{} 00:00:00", weakness.published())),
        "exploits.vulnerability_id" => weakness.exploited.then(|| "4711".to_owned()),
        "cves.cves" => Some(weakness.cves.join(",")),
        "dim_vulnerability.riskscore" => Some(rules::risk(weakness).to_string()),
        other => remedy(other.strip_prefix("remedies.")?, weakness),
    }
}

/// A column of one of the solutions, which stand in the order of their ids: `summary`, `fix` or `solution_type`, with `_2`
/// for those of the second, and so on.
fn remedy(column: &str, weakness: &Weakness) -> Option<String> {
    let (column, place) = match column.rsplit_once('_') {
        Some((column, place)) if place.bytes().all(|b| b.is_ascii_digit()) => (column, place.parse().ok()?),
        _ => (column, 1_usize),
    };
    let mut solutions = rules::solutions(weakness);
    solutions.sort_by(|a, b| a.id.cmp(&b.id));
    let solution = solutions.into_iter().nth(place.checked_sub(1)?)?;
    match column {
        "summary" => Some(solution.summary),
        "fix" => Some(solution.steps),
        // The data model has words of its own.
        "solution_type" => Some(
            match solution.kind {
                "rollup-patch" => "ROLLUP",
                "patch" => "PATCH",
                _ => "WORKAROUND",
            }
            .to_owned(),
        ),
        _ => None,
    }
}

fn line(cells: impl Iterator<Item = Option<String>>) -> String {
    let quoted = cells.map(|cell| {
        let cell = cell.unwrap_or_default();
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}
