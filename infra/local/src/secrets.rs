//! Secrets on one machine: `${NAME}` is a variable of the environment, or a key of a secrets file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::policy::{Config, Feeds};

use crate::aws::SecretSource;

/// Names that begin like this belong to the simulated systems, whose credentials are public.
const SIMULATED: &str = "SIMULATED_";

/// A secret that is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalSecretError {
    /// The secrets file cannot be read.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Neither the environment nor the file has it.
    #[error(
        "{file}:{line}: ${{{name}}} of {owner} is not set: export {name}, or put it into a file given with --secrets"
    )]
    Missing {
        /// The configuration.
        file: String,
        /// The line that names it.
        line: usize,
        /// The name inside `${…}`.
        name: String,
        /// The connector, channel, tracker or webhook source.
        owner: String,
    },
}

/// The secrets that a configuration names, by their owner's name in Secrets Manager.
pub struct LocalSecrets {
    secrets: BTreeMap<String, String>,
}

impl LocalSecrets {
    /// Collects every `${NAME}` of `config` from the environment, then from the secrets file (YAML or JSON, names and
    /// texts), then from the public credentials of the simulated systems. `text` is the document called `file`.
    pub fn collect(
        config: &Config,
        (file, text): (&str, &str),
        secrets_file: Option<&Path>,
        prefix: &str,
    ) -> Result<Self, LocalSecretError> {
        let from_file = match secrets_file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        let mut secrets = BTreeMap::new();
        for (owner, names) in named_by_owner(config) {
            let mut values = BTreeMap::new();
            for name in names {
                let value = std::env::var(&name)
                    .ok()
                    .or_else(|| from_file.get(&name).cloned())
                    .or_else(|| simulated(&name))
                    .ok_or_else(|| LocalSecretError::Missing {
                        file: file.to_owned(),
                        line: text.lines().position(|l| l.contains(&format!("${{{name}}}"))).unwrap_or(0) + 1,
                        name: name.clone(),
                        owner: owner.clone(),
                    })?;
                values.insert(name, value);
            }
            let json = serde_json::to_string(&values).unwrap_or_default();
            secrets.insert(format!("{prefix}{owner}"), json);
        }
        Ok(Self { secrets })
    }
}

impl SecretSource for LocalSecrets {
    fn get(&self, name: &str) -> Option<String> {
        self.secrets.get(name).cloned()
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, LocalSecretError> {
    let fail = |problem: String| LocalSecretError::File { file: path.display().to_string(), problem };
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    // The parser's own message could quote a value.
    serde_saphyr::from_str(&text).map_err(|e| {
        let line = e.location().map_or(1, |at| at.line());
        fail(format!("line {line} is not a list of names and texts (NAME: text)"))
    })
}

/// Every name inside `${…}`, by the owner whose secret holds it.
fn named_by_owner(config: &Config) -> BTreeMap<String, BTreeSet<String>> {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |owner: &str, text: &str| {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("${") {
            let Some((name, tail)) = after.split_once('}') else { break };
            named.entry(owner.to_owned()).or_default().insert(name.to_owned());
            rest = tail;
        }
    };
    config.feeds.texts().into_iter().for_each(|text| add(Feeds::SECRET, text));
    for connector in &config.connectors {
        connector.auth.texts().into_iter().for_each(|text| add(connector.name.as_str(), text));
    }
    for tracker in &config.trackers {
        tracker.auth.texts().into_iter().for_each(|text| add(tracker.name.as_str(), text));
    }
    for channel in &config.channels {
        add(channel.name.as_str(), &channel.webhook_url);
    }
    for source in &config.webhooks {
        for secret in &source.secrets {
            add(source.name.as_str(), secret);
        }
    }
    named
}

/// The public credentials of the simulated systems. The channel's address holds the simulator's port, so that one is
/// told by the name: `SIMULATED_SLACK_URL_9200`.
fn simulated(name: &str) -> Option<String> {
    let name = name.strip_prefix(SIMULATED)?;
    if let Some(port) = name.strip_prefix("SLACK_URL_") {
        let port: u16 = port.parse().ok()?;
        return Some(format!("http://127.0.0.1:{port}/slack{}", simulators::slack::webhook_path()));
    }
    let value = match name {
        "TENABLE_ACCESS_KEY" => simulators::tenable::ACCESS_KEY,
        "TENABLE_SECRET_KEY" => simulators::tenable::SECRET_KEY,
        "INSIGHTVM_KEY" => simulators::insightvm::API_KEY,
        "QUALYS_USER" => simulators::qualys::USER,
        "QUALYS_PASSWORD" => simulators::qualys::PASSWORD,
        "INSIGHTVM_CONSOLE_USER" => simulators::insightvm_console::USER,
        "INSIGHTVM_CONSOLE_PASSWORD" => simulators::insightvm_console::PASSWORD,
        "NESSUS_ACCESS_KEY" => simulators::nessus::ACCESS_KEY,
        "NESSUS_SECRET_KEY" => simulators::nessus::SECRET_KEY,
        "NESSUS_USER" => simulators::nessus::USER,
        "NESSUS_PASSWORD" => simulators::nessus::PASSWORD,
        "JIRA_EMAIL" => simulators::jira::EMAIL,
        "JIRA_TOKEN" => simulators::jira::TOKEN,
        "THREAT_USER" => simulators::feeds::threat::USER,
        "THREAT_KEY" => simulators::feeds::threat::KEY,
        "WEBHOOK_SECRET" => "simulated-webhook-secret",
        _ => return None,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_names_its_place_and_remedy() {
        let text = "channels:\n  - name: chat\n    type: slack\n    webhook_url: ${NO_SUCH_NAME_HERE}\n";
        let config = platform::parse_config("c.yaml", text).unwrap();
        let error =
            LocalSecrets::collect(&config, ("c.yaml", text), None, "vulnrelay/").err().unwrap().to_string();
        assert!(error.starts_with("c.yaml:4:"), "{error}");
        assert!(error.contains("export NO_SUCH_NAME_HERE"), "{error}");
    }

    #[test]
    fn simulated_credentials_are_known() {
        assert_eq!(simulated("SIMULATED_QUALYS_USER").as_deref(), Some(simulators::qualys::USER));
        assert!(
            simulated("SIMULATED_SLACK_URL_9200")
                .unwrap()
                .starts_with("http://127.0.0.1:9200/slack/services/")
        );
        assert!(simulated("QUALYS_USER").is_none());
    }
}
