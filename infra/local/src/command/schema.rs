//! `vulnrelay schema`: the JSON schema of connectors.yaml, made from the types that read it.

use std::io::Write;

use super::Failure;

/// Prints the schema.
pub fn print() -> Result<(), Failure> {
    std::io::stdout().write_all(text().as_bytes()).map_err(Failure::failed)
}

fn text() -> String {
    format!("{:#}\n", domain::schema::config())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_of_the_deployment_is_the_one_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../connectors.schema.json");
        let stored = std::fs::read_to_string(path).unwrap();
        assert!(
            stored == super::text(),
            "infra/connectors.schema.json is old: cargo run -- schema > infra/connectors.schema.json"
        );
    }
}
