//! nuclei's `cves.json`: a template a line, with its CVE as `ID`.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use store::NucleiPart;

use super::{Malformed, Parsed, Source};

/// No line of the index is as long: its longest has 4 kB.
const LINE_LIMIT: u64 = 256 * 1024;

#[derive(Deserialize)]
struct Template {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    file_path: String,
}

impl Source for NucleiPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let mut body = BufReader::new(body);
        let mut parsed = Parsed::<Self>::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let length =
                body.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(Malformed::new)?;
            if length == 0 {
                return parsed.checked();
            }
            if length as u64 == LINE_LIMIT {
                return Err(Malformed::new("a line of it has no end"));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            parsed.records += 1;
            let Ok(template) = serde_json::from_slice::<Template>(&line) else {
                parsed.unreadable += 1;
                continue;
            };
            let Some((block, place)) = parsed.place(&template.id) else { continue };
            let NucleiPart(paths) = parsed.rows.entry(block).or_default().entry(place).or_default();
            if let Err(at) = paths.binary_search(&template.file_path) {
                paths.insert(at, template.file_path);
            }
        }
    }
}
