//! The JSON schema of the configuration, made from the types that read it.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::identity::Identifier;
use crate::ids::ConnectorName;
use crate::policy::{Config, Network, Pin, Seconds, TopicArn};
use crate::scanner::{KINDS, Scanner};

/// The schema of the whole document, with the table of scanners as `x-scanners`.
pub fn config() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.untagged_enum_variant_titles = false;
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    let pushing: Vec<_> = Scanner::all().filter(|scanner| scanner.pushes()).collect();
    let connector = &mut schema["$defs"]["Connector"];
    // Who is pulled has an address and wants to know who asks; who pushes or brings files has neither.
    let pushes = json!({ "required": ["type"], "properties": { "type": { "enum": pushing } } });
    let brings_files = json!({ "required": ["via"], "properties": { "via": { "const": "files" } } });
    connector["if"] = json!({ "not": { "anyOf": [pushes, brings_files] } });
    connector["then"] = json!({ "required": ["base_url", "auth"] });
    schema["x-scanners"] = json!(KINDS);
    schema
}

/// A text of a certain form.
macro_rules! text_schema {
    ($type:ty, $name:literal, $description:literal, $pattern:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

text_schema!(
    ConnectorName,
    "Name",
    "1 to 40 lower-case letters, digits and dashes.",
    "^[a-z0-9][a-z0-9-]{0,39}$"
);
text_schema!(
    Identifier,
    "Identifier",
    "An identifier of a machine, as the page of its asset shows it: mac|head-office|005056a1b2c3.",
    r"^(cloud|agent|bios_uuid|serial|mac|fqdn|hostname|netbios|ip)\|[^|]*\|.+$"
);
text_schema!(Network, "Network", "Addresses that begin alike: 10.1.0.0/16.", r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$");
text_schema!(Seconds, "Seconds", "A length of time with its unit: 90s, 15m, 4h or 1d.", r"^[0-9]+\s*[smhd]$");
text_schema!(
    TopicArn,
    "TopicArn",
    "The name of an SNS topic: arn:aws:sns:<region>:<account>:<topic>.",
    "^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$"
);

text_schema!(
    Pin,
    "Pin",
    "sha256: and the fingerprint of a certificate, as openssl x509 -fingerprint -sha256 prints it.",
    "^sha256:([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$"
);

impl JsonSchema for Scanner {
    fn schema_name() -> Cow<'static, str> {
        "Scanner".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Self::all().map(Self::as_str).collect();
        json_schema!({ "type": "string", "description": "The kind of scanner.", "enum": names })
    }
}
