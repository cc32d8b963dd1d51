//! The part of the reporting data model that is simulated, and a reader of queries that knows no more SQL than it needs:
//! which tables a query reads, which of their columns, and which columns its answer has.

/// Tables and their columns, as version 2.3.0 documents them.
const TABLES: &[(&str, &[&str])] = &[
    (
        "dim_asset",
        &[
            "asset_id",
            "mac_address",
            "ip_address",
            "host_name",
            "operating_system_id",
            "sites",
            "last_assessed_for_vulnerabilities",
        ],
    ),
    (
        "fact_asset",
        &[
            "asset_id",
            "last_scan_id",
            "scan_started",
            "scan_finished",
            "vulnerabilities",
            "vulnerability_instances",
            "riskscore",
            "aggregated_credential_status_id",
        ],
    ),
    (
        "dim_site",
        &[
            "site_id",
            "name",
            "description",
            "risk_factor",
            "importance",
            "dynamic_targets",
            "last_scan_id",
            "previous_scan_id",
        ],
    ),
    ("dim_site_asset", &["site_id", "asset_id"]),
    ("dim_tag", &["tag_id", "tag_name", "tag_type", "source", "created", "risk_modifier", "color"]),
    ("dim_tag_asset", &["tag_id", "asset_id", "association", "site_id", "group_id"]),
    (
        "dim_vulnerability",
        &[
            "vulnerability_id",
            "title",
            "description",
            "nexpose_id",
            "severity",
            "severity_score",
            "cvss_score",
            "cvss_vector",
            "cvss_v3_score",
            "cvss_v3_vector",
            "date_modified",
            "date_added",
            "date_published",
            "riskscore",
        ],
    ),
    (
        "dim_vulnerability_exploit",
        &["exploit_id", "vulnerability_id", "title", "description", "skill_level", "source_id", "source_key"],
    ),
    ("dim_vulnerability_malware_kit", &["vulnerability_id", "name", "popularity"]),
    ("dim_vulnerability_status", &["status_id", "description"]),
    ("dim_vulnerability_reference", &["vulnerability_id", "source", "reference"]),
    ("dim_vulnerability_solution", &["vulnerability_id", "solution_id"]),
    (
        "dim_solution",
        &["solution_id", "nexpose_id", "estimate", "url", "solution_type", "fix", "summary", "applies_to"],
    ),
    ("dim_protocol", &["protocol_id", "name", "description"]),
    (
        "fact_asset_vulnerability_instance",
        &[
            "asset_id",
            "scan_id",
            "vulnerability_id",
            "date",
            "status_id",
            "proof",
            "key",
            "service_id",
            "port",
            "protocol_id",
        ],
    ),
    (
        "fact_asset_vulnerability_instance_excluded",
        &[
            "asset_id",
            "scan_id",
            "vulnerability_id",
            "vulnerability_exception_id",
            "date",
            "status_id",
            "proof",
            "key",
            "service_id",
            "port",
            "protocol_id",
        ],
    ),
    (
        "fact_asset_vulnerability_age",
        &[
            "asset_id",
            "vulnerability_id",
            "age",
            "age_in_days",
            "first_discovered",
            "most_recently_discovered",
            "reintroduced_date",
        ],
    ),
];

const KEYWORDS: &[&str] = &[
    "on", "where", "group", "order", "left", "right", "inner", "join", "union", "select", "from", "as",
    "limit", "using",
];

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The first table of the last `SELECT`, which the rows are of; the name of an auxiliary statement stands for itself.
    pub rows_of: String,
    /// The columns of the answer: where each comes from (`table.column`), and its name.
    pub columns: Vec<(String, String)>,
}

/// Reads a query. Tables and columns that the data model does not have are errors.
pub fn read(query: &str) -> Result<Asked, String> {
    let words = words(query);
    let auxiliary: Vec<&str> = words
        .windows(3)
        .filter(|three| three[1].eq_ignore_ascii_case("as") && three[2] == "(")
        .map(|three| three[0].as_str())
        .collect();
    let mut sources: Vec<(String, String)> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if !matches!(word.to_ascii_lowercase().as_str(), "from" | "join") {
            continue;
        }
        let Some(table) = words.get(at + 1) else { return Err("a table is missing".into()) };
        let known = TABLES.iter().any(|(name, _)| name == table) || auxiliary.contains(&table.as_str());
        if !known {
            return Err(format!("relation {table:?} does not exist"));
        }
        let alias = words.get(at + 2).filter(|word| {
            word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !KEYWORDS.contains(&word.to_ascii_lowercase().as_str())
        });
        sources.push((alias.unwrap_or(table).clone(), table.clone()));
    }
    for word in &words {
        if let Some((alias, column)) = word.split_once('.')
            && alias.parse::<u64>().is_err()
        {
            resolve(&sources, alias, column)?;
        }
    }
    let (last, rows_of) = last_select(&words)?;
    let mut columns = Vec::new();
    for part in last {
        let (Some(name), true) =
            (part.last(), part.len() > 2 && part[part.len() - 2].eq_ignore_ascii_case("as"))
        else {
            return Err("a column of the answer has no name".into());
        };
        let origin = part.iter().find_map(|word| {
            let (alias, column) = word.split_once('.')?;
            resolve(&sources, alias, column).ok()
        });
        columns.push((origin.ok_or_else(|| format!("column {name:?} comes from no table"))?, name.clone()));
    }
    Ok(Asked { rows_of, columns })
}

fn resolve(sources: &[(String, String)], alias: &str, column: &str) -> Result<String, String> {
    let found = sources.iter().find(|(known, _)| known == alias);
    let (_, table) = found.ok_or_else(|| format!("missing FROM-clause entry for table {alias:?}"))?;
    match TABLES.iter().find(|(name, _)| name == table) {
        Some((_, columns)) if !columns.contains(&column) => {
            Err(format!("column {table}.{column} does not exist"))
        }
        _ => Ok(format!("{table}.{column}")),
    }
}

/// The columns of the last `SELECT` that is in no brackets, and the table after its `FROM`.
fn last_select(words: &[String]) -> Result<(Vec<Vec<String>>, String), String> {
    let (mut depth, mut begin) = (0, None);
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if depth == 0 && word.eq_ignore_ascii_case("select") => begin = Some(at + 1),
            _ => {}
        }
    }
    let mut parts = vec![Vec::new()];
    let begin = begin.ok_or("there is no SELECT")?;
    for (at, word) in words.iter().enumerate().skip(begin) {
        match word.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "," if depth == 0 => {
                parts.push(Vec::new());
                continue;
            }
            word if depth == 0 && word.eq_ignore_ascii_case("from") => {
                let table = words.get(at + 1).ok_or("a table is missing")?;
                return Ok((parts, table.clone()));
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(word.clone());
        }
    }
    Err("there is no FROM".into())
}

/// Names, numbers, texts, brackets and commas; everything else only separates.
fn words(query: &str) -> Vec<String> {
    let (mut words, mut word, mut text) = (Vec::new(), String::new(), false);
    for c in query.chars() {
        if c == '\'' {
            text = !text;
        }
        if !text && (c.is_alphanumeric() || matches!(c, '_' | '.')) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if !text && matches!(c, '(' | ')' | ',') {
            words.push(c.to_string());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_with_where_they_come_from() {
        let query = "WITH c AS (SELECT asset_id, count(*) AS n FROM dim_tag_asset GROUP BY asset_id) \
            SELECT da.asset_id AS id, coalesce(x.n, 0) AS n FROM dim_asset da LEFT JOIN c x ON x.asset_id = da.asset_id";
        let asked = read(query).unwrap();
        assert_eq!(asked.rows_of, "dim_asset");
        let columns = [("dim_asset.asset_id", "id"), ("c.n", "n")];
        assert_eq!(asked.columns, columns.map(|(origin, name)| (origin.to_owned(), name.to_owned())));
    }

    #[test]
    fn what_the_data_model_does_not_have_is_refused() {
        for (query, problem) in [
            ("SELECT a.asset_id AS id FROM dim_host a", "relation"),
            ("SELECT a.colour AS id FROM dim_asset a", "column dim_asset.colour"),
            ("SELECT b.asset_id AS id FROM dim_asset a", "FROM-clause"),
            ("SELECT a.asset_id FROM dim_asset a", "has no name"),
            ("DROP TABLE dim_asset", "no SELECT"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(problem), "{query}: {error}");
        }
    }
}
