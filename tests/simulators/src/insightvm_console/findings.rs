//! What is found on an asset.

use serde_json::{Value, json};

use super::{Console, rules};
use crate::World;
use crate::dice::hash_numbers;
use crate::estate::{Known, Sighting, State, Weakness, iso};

/// One instance on an asset that the console knows now.
pub struct Instance {
    /// What it is.
    pub weakness: &'static Weakness,
    /// Port; 0 for the host as a whole.
    pub port: u16,
    /// Somebody has accepted it at the console.
    pub excepted: bool,
    /// First and last time seen, and when it came back.
    pub first: i64,
    /// See there.
    pub last: i64,
    /// See there.
    pub back: Option<i64>,
    host: String,
}

impl Instance {
    /// `tcp` or `udp`, on a service only.
    pub fn protocol(&self) -> Option<String> {
        (self.port > 0).then(|| self.weakness.product.info().protocol.to_ascii_lowercase())
    }

    /// The console's word for the result, without exceptions.
    pub fn status(&self) -> &'static str {
        match (self.weakness.id % 9, self.weakness.cves.is_empty()) {
            (0, _) => "vulnerable-potential",
            (_, true) => "vulnerable",
            (_, false) => "vulnerable-version",
        }
    }

    /// What tells it from others on the same service: settings have one.
    pub fn key(&self) -> Option<String> {
        self.weakness.cves.is_empty().then(|| format!("/{}", self.weakness.product.info().cpe))
    }

    /// What was seen, as HTML.
    pub fn proof(&self) -> String {
        let product = self.weakness.product.info().name;
        format!("<p><ul><li>Vulnerable version of {product} found on {}</li></ul></p>", self.host)
    }

    /// `Critical`, `Severe` or `Moderate`.
    pub fn severity_word(&self) -> &'static str {
        rules::severity(self.weakness).0
    }
}

/// What the console knows to be on an asset, in the order of the definitions' ids.
pub fn of(world: &World, known: &Known) -> Vec<Instance> {
    let seen = |sighting: &Sighting| sighting.state != State::Fixed && !sighting.weakness.is_information();
    let mut all: Vec<Instance> = known
        .sightings()
        .into_iter()
        .filter(seen)
        .map(|sighting| {
            let parts = [31, u64::from(known.host.index), u64::from(sighting.weakness.id)];
            Instance {
                weakness: sighting.weakness,
                port: if sighting.weakness.product.info().protocol == "ICMP" { 0 } else { sighting.port },
                excepted: hash_numbers(world.options.seed, &parts).is_multiple_of(40),
                first: sighting.first_found,
                last: sighting.last_found,
                back: sighting.resurfaced,
                host: known.host.hostname.clone(),
            }
        })
        .collect();
    all.sort_by_key(|instance| (rules::id(instance.weakness), instance.port));
    all
}

/// Instances of one definition together.
pub fn grouped(all: &[Instance]) -> Vec<&[Instance]> {
    all.chunk_by(|a, b| a.weakness.id == b.weakness.id).collect()
}

/// The instances of one definition as the API shows them.
pub fn resource(console: &Console, asset: &str, group: &[Instance]) -> Value {
    let id = rules::id(group[0].weakness);
    let since = |instance: &Instance| iso(instance.back.unwrap_or(instance.first));
    let results: Vec<Value> = group
        .iter()
        .map(|instance| {
            let exception = if instance.excepted { "-with-exception-applied" } else { "" };
            let mut result = json!({
                "status": format!("{}{exception}", instance.status()),
                "proof": instance.proof(),
                "since": since(instance),
                "checkId": format!("{id}-check"),
            });
            if instance.port > 0 {
                result["port"] = json!(instance.port);
                result["protocol"] = json!(instance.protocol());
            }
            if let Some(key) = instance.key() {
                result["key"] = json!(key);
            }
            if instance.excepted {
                result["exceptions"] = json!([1]);
            }
            result
        })
        .collect();
    json!({
        "id": id,
        "instances": group.iter().filter(|instance| !instance.excepted).count(),
        "status": "vulnerable",
        "since": since(&group[0]),
        "results": results,
        "links": [
            console.link(&format!("assets/{asset}/vulnerabilities/{id}"), "self"),
            console.link(&format!("vulnerabilities/{id}"), "Vulnerability"),
        ],
    })
}
