//! How people sign in, from the environment of the dashboard.

use crate::aws::MissingVariable;

/// The claim with the groups of a Cognito user pool.
const COGNITO_GROUPS: &str = "cognito:groups";

/// An OpenID Connect issuer and this deployment as its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInSettings {
    /// The issuer, exactly as it names itself.
    pub issuer: String,
    /// The name that it gave this deployment.
    pub client_id: String,
    /// The address under which people reach the pages, without a slash at its end.
    pub public_url: String,
    /// The claim that names the groups of a person.
    pub roles_claim: String,
}

/// Why people could not sign in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInSettingsError {
    /// One variable is there and another is not.
    #[error(transparent)]
    Variable(#[from] MissingVariable),
    /// An address over which credentials could be read.
    #[error("{name} is {address:?}: it has to begin with https://")]
    NotTls {
        /// The variable.
        name: &'static str,
        /// What it says.
        address: String,
    },
}

impl SignInSettings {
    /// From `OIDC_ISSUER`, `OIDC_CLIENT_ID`, `PUBLIC_URL` and, where groups are not Cognito's, `OIDC_ROLES_CLAIM`.
    /// `None`: no issuer is named, so nobody signs in.
    pub fn from_environment() -> Result<Option<Self>, SignInSettingsError> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SignInSettingsError> {
        let Some(issuer) = variable("OIDC_ISSUER") else { return Ok(None) };
        let required = |name: &str| variable(name).ok_or_else(|| MissingVariable(name.to_owned()));
        let settings = Self {
            issuer,
            client_id: required("OIDC_CLIENT_ID")?,
            public_url: required("PUBLIC_URL")?.trim_end_matches('/').to_owned(),
            roles_claim: variable("OIDC_ROLES_CLAIM").unwrap_or_else(|| COGNITO_GROUPS.to_owned()),
        };
        for (name, address) in [("OIDC_ISSUER", &settings.issuer), ("PUBLIC_URL", &settings.public_url)] {
            if !address.starts_with("https://") {
                return Err(SignInSettingsError::NotTls { name, address: address.clone() });
            }
        }
        Ok(Some(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<SignInSettings>, SignInSettingsError> {
        SignInSettings::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_issuer_needs_the_rest() {
        assert_eq!(read(&[("PUBLIC_URL", "https://pages")]), Ok(None));
        let issuer = ("OIDC_ISSUER", "https://issuer/pool");
        let client = ("OIDC_CLIENT_ID", "client");
        assert_eq!(
            read(&[issuer, client]).unwrap_err().to_string(),
            "PUBLIC_URL is not set: the deployment of this function is incomplete"
        );
        assert!(read(&[issuer, ("PUBLIC_URL", "https://pages")]).is_err());
        let whole = read(&[issuer, client, ("PUBLIC_URL", "https://pages/")]).unwrap().unwrap();
        assert_eq!(
            (whole.public_url.as_str(), whole.roles_claim.as_str(), whole.issuer.as_str()),
            ("https://pages", "cognito:groups", "https://issuer/pool")
        );
        let other = read(&[issuer, client, ("PUBLIC_URL", "https://pages"), ("OIDC_ROLES_CLAIM", "groups")]);
        assert_eq!(other.unwrap().unwrap().roles_claim, "groups");
    }

    #[test]
    fn nothing_goes_without_tls() {
        let client = ("OIDC_CLIENT_ID", "client");
        for (issuer, pages) in [("http://issuer", "https://pages"), ("https://issuer", "http://pages")] {
            let settings = read(&[("OIDC_ISSUER", issuer), client, ("PUBLIC_URL", pages)]);
            assert!(matches!(settings, Err(SignInSettingsError::NotTls { .. })), "{issuer} {pages}");
        }
    }
}
