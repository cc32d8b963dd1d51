//! Request parameters, from the query string or from a form.

use jiff::Timestamp;

/// What is wrong with a request, by the vendor's code.
#[derive(Debug)]
pub struct Wrong {
    pub code: u32,
    pub text: String,
}

/// Checked parameters.
#[derive(Debug, Clone, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
    ids: Option<Vec<(u64, u64)>>,
}

const TIMES: &[&str] = &[
    "vm_processed_after",
    "vm_scan_since",
    "no_vm_scan_since",
    "detection_updated_since",
    "detection_processed_after",
    "last_modified_after",
    "last_modified_before",
    "last_modified_by_service_after",
    "published_after",
    "published_before",
    "status_changes_since",
];
const NUMBERS: &[&str] = &["id_min", "id_max", "truncation_limit"];

impl Params {
    /// Reads and checks the parameters of a request.
    pub fn parse(query: &str, form: &[u8], allowed: &[&str]) -> Result<Self, Wrong> {
        let wrong = |code, text: String| Wrong { code, text };
        let both = url::form_urlencoded::parse(query.as_bytes()).chain(url::form_urlencoded::parse(form));
        let pairs: Vec<(String, String)> =
            both.map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            return Err(wrong(1901, format!("Unrecognized parameter(s): {}", plain(name))));
        }
        let mut params = Self { pairs, ids: None };
        match params.text("action") {
            None => return Err(wrong(1903, "Missing required parameter(s): action".into())),
            Some("list") => {}
            Some(other) => {
                return Err(wrong(1905, format!("parameter action has invalid value: {}", plain(other))));
            }
        }
        let invalid = |name: &str, value: &str| {
            wrong(1905, format!("parameter {name} has invalid value: {}", plain(value)))
        };
        for (name, value) in &params.pairs {
            let right = match name.as_str() {
                name if TIMES.contains(&name) => time(value).is_some(),
                name if NUMBERS.contains(&name) => value.parse::<u64>().is_ok(),
                "status" => {
                    value.split(',').all(|one| ["New", "Active", "Re-Opened", "Fixed"].contains(&one))
                }
                "show_attributes" => true,
                name if name.starts_with("show_") || name.starts_with("include_i") => {
                    matches!(value.as_str(), "0" | "1")
                }
                _ => true,
            };
            if !right {
                return Err(invalid(name, value));
            }
        }
        if let Some(text) = params.text("ids") {
            let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
            params.ids = Some(ranges.ok_or_else(|| invalid("ids", text))?);
        }
        Ok(params)
    }

    /// A parameter as it came; empty is absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Seconds since 1970.
    pub fn time(&self, name: &str) -> Option<i64> {
        time(self.text(name)?)
    }

    /// A switch, off unless `1`.
    pub fn on(&self, name: &str) -> bool {
        self.text(name) == Some("1")
    }

    /// A comma separated list.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.text(name)?.split(',').collect())
    }

    /// Whether an id is asked for by `ids`, `id_min` and `id_max`.
    pub fn wants(&self, id: u64) -> bool {
        self.number("id_min").is_none_or(|least| id >= least)
            && self.number("id_max").is_none_or(|most| id <= most)
            && self
                .ids
                .as_ref()
                .is_none_or(|ranges| ranges.iter().any(|(from, to)| (*from..=*to).contains(&id)))
    }

    /// The query string of the same request with another `id_min`.
    pub fn next_page(&self, id_min: u64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(name, _)| name != "id_min"));
        query.append_pair("id_min", &id_min.to_string());
        query.finish()
    }
}

fn range(text: &str) -> Option<(u64, u64)> {
    match text.trim().split_once('-') {
        Some((from, to)) => Some((from.trim().parse().ok()?, to.trim().parse().ok()?)),
        None => text.trim().parse().ok().map(|id| (id, id)),
    }
}

fn time(text: &str) -> Option<i64> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    whole.parse::<Timestamp>().ok().map(|time| time.as_second())
}

/// Text that cannot break the XML around it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '<' | '>' | '&') && !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] =
        &["action", "ids", "id_min", "id_max", "vm_processed_after", "status", "show_tags"];

    #[test]
    fn query_and_form_are_read_together() {
        let params = Params::parse("action=list", b"ids=1,5-7&id_min=2", ALLOWED).unwrap();
        assert_eq!([1, 5, 7, 8].map(|id| params.wants(id)), [false, true, true, false]);
        assert_eq!(params.next_page(9), "action=list&ids=1%2C5-7&id_min=9");
    }

    #[test]
    fn wrong_requests_carry_the_vendors_code() {
        let code = |query: &str| Params::parse(query, b"", ALLOWED).unwrap_err().code;
        assert_eq!(code("ids=1"), 1903);
        assert_eq!(code("action=list&nonsense=1"), 1901);
        assert_eq!(code("action=list&ids=x"), 1905);
        assert_eq!(code("action=list&vm_processed_after=yesterday"), 1905);
        assert_eq!(code("action=list&status=Open"), 1905);
        assert_eq!(code("action=list&show_tags=yes"), 1905);
    }
}
