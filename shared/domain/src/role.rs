//! Who may do what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody may do. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees everything.
    Viewer,
    /// Decides on vulnerabilities, starts pulls.
    Analyst,
    /// Approves held runs, applies policies, manages API tokens.
    Admin,
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: choose viewer, analyst or admin")]
pub struct InvalidRole(String);

impl Role {
    /// Every role, the weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Analyst, Self::Admin];

    /// The word used in groups of people and in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }

    /// The strongest role among the groups that somebody is in; none if no group is a role.
    pub fn of_groups<'a>(groups: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        groups.into_iter().filter_map(|group| group.parse().ok()).max()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| InvalidRole(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_group_counts_and_others_give_nothing() {
        assert_eq!(Role::of_groups(["staff", "viewer", "admin", "analyst"]), Some(Role::Admin));
        assert_eq!(Role::of_groups(["viewer"]), Some(Role::Viewer));
        assert_eq!(Role::of_groups(["Admin", "administrators", " admin", ""]), None);
        assert_eq!(Role::of_groups([]), None);
        assert!(Role::Viewer < Role::Analyst && Role::Analyst < Role::Admin);
    }
}
