//! The configuration document, read strictly.

use domain::policy::Config;

/// A document that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not the YAML that we expect: syntax, an unknown field, a wrong type.
    #[error("{file}:{line}:{column}: {problem}")]
    Syntax {
        /// The document's name.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong.
        problem: String,
    },
    /// Well-formed, but it cannot be.
    #[error("{file}:{line}: {field}: {problem}")]
    Invalid {
        /// The document's name.
        file: String,
        /// Line of the field, as far as it can be told.
        line: u64,
        /// Path of the field.
        field: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Reads and checks a document called `file`.
pub fn parse_config(file: &str, text: &str) -> Result<Config, ConfigError> {
    let config: Config = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let whole = error.without_snippet().to_string();
        let problem = whole.lines().next().unwrap_or("cannot be read").to_owned();
        ConfigError::Syntax { file: file.to_owned(), line, column, problem }
    })?;
    config.validate().map_err(|invalid| ConfigError::Invalid {
        file: file.to_owned(),
        line: line_of(text, &invalid.field),
        field: invalid.field,
        problem: invalid.problem,
    })?;
    Ok(config)
}

/// The compiled form of a configuration: what [`read_compiled`] reads several times as fast as the text.
pub fn compile(config: &Config) -> Option<String> {
    serde_json::to_string(config).ok()
}

/// Reads the compiled form. `None` where another version of the product made it, and this one cannot read it: the text
/// tells what is wrong.
pub fn read_compiled(text: &str) -> Option<Config> {
    serde_json::from_str(text).ok().filter(|config: &Config| config.validate().is_ok())
}

/// The line of a field path such as `connectors[1].auth.password`: each part is looked for after the part before.
/// List items are told apart by counting the dashes at the list's indentation.
fn line_of(text: &str, path: &str) -> u64 {
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    for part in path.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let key = format!("{name}:");
        let found = lines[at..].iter().position(|line| {
            let line = line.trim_start().trim_start_matches("- ").trim_start_matches(['{', ' ']);
            line.starts_with(&key) || (name != part && line.contains(&key))
        });
        let inline = lines.get(at).is_some_and(|line| line.contains(&key));
        match found {
            Some(_) if inline => {}
            Some(offset) => at += offset,
            None => break,
        }
        if let Some(index) = index {
            let items: Vec<usize> =
                (at + 1..lines.len()).filter(|&i| lines[i].trim_start().starts_with("- ")).collect();
            let indent = |i: usize| lines[i].len() - lines[i].trim_start().len();
            if let Some(&first) = items.first()
                && let Some(&item) = items.iter().filter(|&&i| indent(i) == indent(first)).nth(index)
            {
                at = item;
            }
        }
    }
    at as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "connectors:\n  - name: qualys-prod\n    type: qualys\n    base_url: https://qualysapi.qualys.com\n    auth: { method: basic, username: \"${QUALYS_USER}\", password: \"${QUALYS_PASS}\" }\n    data_streams: [host_detections]\n    sync_interval: 3600s\n";

    #[test]
    fn the_documented_example_is_read() {
        let config = parse_config("connectors.yaml", GOOD).unwrap();
        assert_eq!(config.connectors[0].name.as_str(), "qualys-prod");
    }

    #[test]
    fn the_compiled_form_says_the_same() {
        let example = include_str!("../../../infra/connectors.example.yaml");
        for text in [GOOD, example] {
            let config = parse_config("connectors.yaml", text).unwrap();
            assert_eq!(read_compiled(&compile(&config).unwrap()), Some(config));
        }
        assert_eq!(read_compiled(r#"{"connectors":[{"name":"a"}]}"#), None, "made by another version");
    }

    #[test]
    fn errors_name_file_line_and_field() {
        let unknown_scanner =
            parse_config("c.yaml", &GOOD.replace("type: qualys", "type: nexpose")).unwrap_err();
        assert!(unknown_scanner.to_string().starts_with("c.yaml:3:"), "{unknown_scanner}");
        assert!(unknown_scanner.to_string().contains("nexpose"), "{unknown_scanner}");

        let misspelt = parse_config("c.yaml", &GOOD.replace("sync_interval", "sync_intervall")).unwrap_err();
        assert!(misspelt.to_string().contains("sync_intervall"), "{misspelt}");

        let clear =
            parse_config("c.yaml", &GOOD.replace("${QUALYS_PASS}", "hunter2")).unwrap_err().to_string();
        assert!(clear.starts_with("c.yaml:5: connectors[0].auth.password:"), "{clear}");
        assert!(!clear.contains("hunter2"));

        let stream =
            parse_config("c.yaml", &GOOD.replace("[host_detections]", "[nothing]")).unwrap_err().to_string();
        assert!(stream.starts_with("c.yaml:6:"), "{stream}");
    }
}
