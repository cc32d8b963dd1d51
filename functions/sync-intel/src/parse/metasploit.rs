//! Metasploit's `modules_metadata_base.json`: a map of 20 MB, read module by module.

use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use store::MetasploitPart;

use super::{Malformed, Parsed, Source};

#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    fullname: Option<String>,
    #[serde(default)]
    rank: Option<u16>,
    #[serde(default)]
    references: Vec<String>,
}

impl Source for MetasploitPart {
    fn parse(body: impl Read) -> Result<Parsed<Self>, Malformed> {
        let mut json = serde_json::Deserializer::from_reader(BufReader::new(body));
        let parsed = json.deserialize_map(Modules).map_err(Malformed::new)?;
        json.end().map_err(Malformed::new)?;
        parsed.checked()
    }
}

/// Takes the modules as they come.
struct Modules;

impl<'de> Visitor<'de> for Modules {
    type Value = Parsed<MetasploitPart>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of modules")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut parsed = Parsed::default();
        while let Some((name, module)) = map.next_entry::<String, Box<RawValue>>()? {
            parsed.records += 1;
            match serde_json::from_str::<Module>(module.get()) {
                Ok(module) => take(&mut parsed, name, module),
                Err(_) => parsed.unreadable += 1,
            }
        }
        Ok(parsed)
    }
}

fn take(parsed: &mut Parsed<MetasploitPart>, key: String, module: Module) {
    let name = module.fullname.unwrap_or(key);
    for reference in module.references.iter().filter(|reference| reference.starts_with("CVE-")) {
        let Some((block, place)) = parsed.place(reference) else { continue };
        let part = parsed.rows.entry(block).or_default().entry(place).or_default();
        part.rank = part.rank.max(module.rank);
        if let Err(at) = part.modules.binary_search(&name) {
            part.modules.insert(at, name.clone());
        }
    }
}
