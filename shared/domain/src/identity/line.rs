//! One line of a file of sightings.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;

use super::{Observation, observe_agents_of};
use crate::host::{CloudId, Host};
use crate::scanner::KINDS;

/// A sighting as a line of JSON. Fields that are not named here are passed over; a field that is `null` is absent.
#[derive(Debug, Clone)]
pub struct SightingLine {
    /// What the answer calls it.
    pub id: String,
    /// When the scanner saw it.
    pub observed_at: Timestamp,
    /// The network in which addresses and names are unique.
    pub scope: String,
    /// The scanner's account.
    pub connector: String,
    /// The host as described.
    pub host: Host,
}

/// A line that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not JSON.
    #[error("not a JSON object: {0}")]
    Json(serde_json::Error),
    /// A field is missing.
    #[error("{0}: missing: every sighting needs it")]
    Missing(&'static str),
    /// A field has the wrong form.
    #[error("{field}: {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}

type Object = serde_json::Map<String, Value>;

impl SightingLine {
    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut object: Object = serde_json::from_str(text).map_err(LineError::Json)?;
        let fields = &mut object;
        let id = field(fields, "id")?.and_then(Text::own).ok_or(LineError::Missing("id"))?;
        let host = Host {
            native: text_of(fields, "asset_key")?.unwrap_or_default(),
            hostnames: texts(fields, "hostnames")?,
            fqdns: texts(fields, "fqdns")?,
            netbios: texts(fields, "netbios")?,
            ips: texts(fields, "ips")?,
            macs: texts(fields, "macs")?,
            cloud: field::<OneOrMore<Cloud>>(fields, "cloud")?
                .map(|all| all.0.into_iter().map(|cloud| cloud.0).collect())
                .unwrap_or_default(),
            agent_ids: texts(fields, "agent_ids")?,
            bios_uuid: text_of(fields, "bios_uuid")?,
            serial: text_of(fields, "serial")?,
            os: text_of(fields, "os")?,
            ..Host::default()
        };
        Ok(Self {
            id,
            observed_at: field(fields, "observed_at")?.ok_or(LineError::Missing("observed_at"))?,
            scope: text_of(fields, "scope")?.unwrap_or_else(|| "default".to_owned()),
            connector: text_of(fields, "connector")?.unwrap_or_default(),
            host,
        })
    }

    /// Under which id the scanner knows the host. Without one, the line stands for itself.
    pub fn sighting(&self) -> String {
        match self.host.native.as_str() {
            "" => format!("line/{}", self.id),
            native => format!("{}/{}/{native}", self.connector, self.scope),
        }
    }

    /// What identifies the host.
    pub fn observation(&self) -> Observation {
        let observation = observe_agents_of(&self.host, &self.scope, &vendor(&self.connector));
        Observation { observed_at: Some(self.observed_at), ..observation }
    }
}

/// Whose agents' ids a connector tells: the kind of scanner that its name begins with, else it stands for itself.
fn vendor(connector: &str) -> String {
    let name = connector.to_lowercase();
    let kind = KINDS.iter().filter(|kind| name.starts_with(kind.name)).max_by_key(|kind| kind.name.len());
    kind.map_or(name.clone(), |kind| kind.agents.to_owned())
}

/// A text, or a number that stands for one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(serde_json::Number),
}

impl Text {
    fn own(self) -> Option<String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        };
        (!text.trim().is_empty()).then_some(text)
    }
}

/// A list, or its only element.
struct OneOrMore<T>(Vec<T>);

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(deserializer)? {
            Value::Array(values) => values,
            value => vec![value],
        };
        let read = |value| serde_json::from_value(value).map_err(D::Error::custom);
        values.into_iter().filter(|value| !value.is_null()).map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// An instance as an object, an ARN, `provider:account:region:id`, or just its id.
struct Cloud(CloudId);

impl<'de> Deserialize<'de> for Cloud {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(cloud_of(text.trim()))),
            value @ Value::Object(_) => serde_json::from_value(value).map(Self).map_err(D::Error::custom),
            other => {
                Err(D::Error::custom(format!("{other} is neither an object nor the text of an instance id")))
            }
        }
    }
}

fn cloud_of(text: &str) -> CloudId {
    let bare = |provider: &str| CloudId {
        provider: provider.to_owned(),
        account: None,
        region: None,
        id: text.to_owned(),
    };
    let told = |text: &&str| !text.is_empty();
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    match parts[..] {
        ["arn", ..] => bare("aws"),
        [provider, account, region, id] => CloudId {
            provider: provider.to_owned(),
            account: Some(account).filter(told).map(str::to_owned),
            region: Some(region).filter(told).map(str::to_owned),
            id: id.to_owned(),
        },
        [provider, id] if !provider.is_empty() && !text.contains('/') => {
            CloudId { id: id.to_owned(), ..bare(provider) }
        }
        _ => bare(provider_of(text)),
    }
}

/// Whose instance ids look like this.
fn provider_of(id: &str) -> &'static str {
    let lower = id.to_lowercase();
    if lower.starts_with("i-") || lower.starts_with("mi-") {
        "aws"
    } else if lower.contains("projects/") || lower.bytes().all(|b| b.is_ascii_digit()) {
        "gcp"
    } else {
        "azure"
    }
}

fn field<T: serde::de::DeserializeOwned>(
    object: &mut Object,
    name: &'static str,
) -> Result<Option<T>, LineError> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value)
            .map(Some)
            .map_err(|error| LineError::Field { field: name, problem: wording(&error) }),
    }
}

/// What serde says, where it does not speak of our types.
fn wording(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.contains("untagged enum") { "a text is expected".to_owned() } else { text }
}

fn text_of(object: &mut Object, name: &'static str) -> Result<Option<String>, LineError> {
    Ok(field::<Text>(object, name)?.and_then(Text::own))
}

fn texts(object: &mut Object, name: &'static str) -> Result<Vec<String>, LineError> {
    let all = field::<OneOrMore<Text>>(object, name)?.map(|all| all.0).unwrap_or_default();
    Ok(all.into_iter().filter_map(Text::own).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(line: &str) -> Vec<String> {
        let line = SightingLine::parse(line).unwrap();
        line.observation().identifiers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cloud_id_may_be_an_object_or_a_text_in_any_usual_notation() {
        let of = |cloud: &str| {
            keys(&format!(r#"{{"id":"1","observed_at":"2026-11-22T12:00:00Z","cloud":{cloud}}}"#))
        };
        let whole = of(r#"[{"provider":"aws","account":"111122223333","region":"us-east-1","id":"i-0abc"}]"#);
        assert_eq!(whole.len(), 3);
        assert_eq!(of(r#"["arn:aws:ec2:us-east-1:111122223333:instance/i-0abc"]"#), whole);
        assert_eq!(of(r#""aws:111122223333:us-east-1:i-0abc""#), whole);
        assert_eq!(of(r#"["i-0abc"]"#), ["cloud||aws:i-0abc"]);
        assert_eq!(of(r#"["aws:i-0abc"]"#), ["cloud||aws:i-0abc"]);
        assert_eq!(of(r#"["//compute.googleapis.com/projects/p/zones/z/instances/42"]"#)[0], "cloud||gcp:42");
        assert!(of("[]").is_empty() && of("null").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_field() {
        let error = |line: &str| SightingLine::parse(line).unwrap_err().to_string();
        assert!(error(r#"{"observed_at":"2026-11-22T12:00:00Z"}"#).starts_with("id: missing"));
        assert!(error(r#"{"id":"1"}"#).starts_with("observed_at: missing"));
        assert!(error(r#"{"id":"1","observed_at":"yesterday"}"#).starts_with("observed_at: "));
        let at = r#""id":"1","observed_at":"2026-11-22T12:00:00Z""#;
        assert_eq!(error(&format!(r#"{{{at},"macs":[{{}}]}}"#)), "macs: a text is expected");
        assert!(error(&format!(r#"{{{at},"cloud":[7]}}"#)).starts_with("cloud: 7 is neither"));
        assert!(error(&format!(r#"{{{at},"cloud":[{{"id":"i-1"}}]}}"#)).starts_with("cloud: "));
        assert!(error("[1]").starts_with("not a JSON object"));
        SightingLine::parse(&format!(r#"{{{at},"colour":"red","os":null,"ips":"10.0.0.1"}}"#)).unwrap();
    }

    #[test]
    fn agents_are_those_of_the_scanner_that_the_connector_is_named_after() {
        assert_eq!(vendor("nessus-office"), "tenable");
        assert_eq!(vendor("insightvm-console-1"), "rapid7");
        assert_eq!(vendor("crowdstrike"), "crowdstrike");
    }
}
