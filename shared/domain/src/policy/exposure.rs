//! From what it is told who can reach an asset.

use serde::{Deserialize, Serialize};

use super::{Network, Seconds};
use crate::exposure::Networks;

/// Where to look at the network, and whose its parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ExposureSources {
    /// Networks of partners. Public addresses that are in none of the two lists are the internet's.
    pub partner_networks: Vec<Network>,
    /// The organisation's own public addresses, such as those of its offices. Private networks are its own anyway.
    pub internal_networks: Vec<Network>,
    /// Accounts of AWS whose security groups and load balancers are read. None: none is.
    pub accounts: Vec<AwsAccount>,
    /// Time between two readings.
    pub interval: Seconds,
}

impl Default for ExposureSources {
    fn default() -> Self {
        Self {
            partner_networks: Vec::new(),
            internal_networks: Vec::new(),
            accounts: Vec::new(),
            interval: Seconds::hour(),
        }
    }
}

/// An account of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AwsAccount {
    /// Its number.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[0-9]{12}$")))]
    pub account: String,
    /// The regions to look at.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub regions: Vec<String>,
    /// The role to assume there. Without one, it is the account that vulnrelay runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(regex(pattern = "^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$"))
    )]
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for beside it. No secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl ExposureSources {
    /// Whose the networks are.
    pub fn networks(&self) -> Networks<'_> {
        Networks { partner: &self.partner_networks, internal: &self.internal_networks }
    }

    /// The account of this number.
    pub fn account(&self, number: &str) -> Option<&AwsAccount> {
        self.accounts.iter().find(|account| account.account == number)
    }

    /// Which field is wrong, and what is.
    pub(super) fn check(&self) -> Result<(), (String, &'static str)> {
        for (at, account) in self.accounts.iter().enumerate() {
            let wrong = |field: &str, problem| Err((format!("accounts[{at}].{field}"), problem));
            let number = &account.account;
            if number.len() != 12 || !number.bytes().all(|b| b.is_ascii_digit()) {
                return wrong("account", "write its twelve digits, in quotes");
            }
            if self.accounts[..at].iter().any(|other| other.account == *number) {
                return wrong("account", "it is in the list already: put its regions together");
            }
            let is_region = |region: &String| {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                region.contains('-') && region.bytes().all(plain)
            };
            if account.regions.is_empty() || !account.regions.iter().all(is_region) {
                return wrong("regions", "name regions: eu-west-1");
            }
            if let Some(role) = &account.role_arn {
                let fields: Vec<&str> = role.splitn(6, ':').collect();
                // The permission to assume it names it: an asterisk would allow any.
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b);
                let is_role = matches!(fields[..], ["arn", _, "iam", "", of, resource]
                    if of == number && resource.starts_with("role/") && resource.bytes().all(plain));
                if !is_role {
                    return wrong(
                        "role_arn",
                        "name a role of this account: arn:aws:iam::123456789012:role/name",
                    );
                }
            } else if account.external_id.is_some() {
                return wrong("external_id", "it goes with a role_arn: add one, or leave it out");
            } else if self.accounts[..at].iter().any(|other| other.role_arn.is_none()) {
                return wrong(
                    "role_arn",
                    "only the account that vulnrelay runs in needs none: name the role",
                );
            }
        }
        Ok(())
    }
}
