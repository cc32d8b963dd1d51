//! One normalised name of a machine, and the key under which a table finds it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// What sort of name it is. Ordered from the strongest to the weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// A cloud's id of the instance.
    Cloud,
    /// A scanner agent's id of its installation.
    Agent,
    /// The SMBIOS system UUID.
    BiosUuid,
    /// The serial number of the machine.
    Serial,
    /// A hardware address.
    Mac,
    /// A fully qualified name.
    Fqdn,
    /// A host name in full length, without a domain.
    Hostname,
    /// A name cut at the 15 characters of NetBIOS.
    Netbios,
    /// An address.
    Ip,
}

impl IdentifierKind {
    /// Every kind, the strongest first.
    pub const ALL: [Self; 9] = [
        Self::Cloud,
        Self::Agent,
        Self::BiosUuid,
        Self::Serial,
        Self::Mac,
        Self::Fqdn,
        Self::Hostname,
        Self::Netbios,
        Self::Ip,
    ];

    /// 1 (decides by itself) to 6 (decides only where nothing else is known).
    pub fn tier(self) -> u8 {
        match self {
            Self::Cloud | Self::Agent => 1,
            Self::BiosUuid | Self::Serial => 2,
            Self::Mac => 3,
            Self::Fqdn => 4,
            Self::Hostname | Self::Netbios => 5,
            Self::Ip => 6,
        }
    }

    /// The word used in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Agent => "agent",
            Self::BiosUuid => "bios_uuid",
            Self::Serial => "serial",
            Self::Mac => "mac",
            Self::Fqdn => "fqdn",
            Self::Hostname => "hostname",
            Self::Netbios => "netbios",
            Self::Ip => "ip",
        }
    }

    /// Whether a rule joins by values of this kind, maybe with others: `bios-uuid`, `hostname+ip`.
    pub fn is_asked_for_by(self, rule: &str) -> bool {
        rule.split('+').any(|word| word.replace('-', "_").trim_end_matches("_id") == self.as_str())
    }
}

impl fmt::Display for IdentifierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One normalised name of a machine. Its text, `kind|scope|value`, is a key of the table; two scanners that mean the
/// same thing produce the same text.
///
/// The scope says where the value is unique: nothing for a cloud id and a BIOS UUID, the vendor for an agent id, the
/// network scope of the connector for everything else. A cloud id is known under several scopes at once: under none,
/// under its account, and under `@` and its region, as far as the scanner tells. A scanner that knows only the instance
/// id so finds the machine of one that knows more, and two that contradict each other can be told apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identifier {
    /// What sort of name it is.
    pub kind: IdentifierKind,
    /// Where it is unique.
    pub scope: String,
    /// The normalised value.
    pub value: String,
}

impl Identifier {
    /// An identifier from values that are normalised already; [`super::observe`] normalises.
    pub fn new(kind: IdentifierKind, scope: impl Into<String>, value: impl Into<String>) -> Self {
        Self { kind, scope: scope.into(), value: value.into() }
    }

    /// Whether it is what a hypervisor gives: a serial number of its own making, or a hardware address of its range.
    pub fn is_virtual(&self) -> bool {
        // VMware, Hyper-V, Xen, KVM, VirtualBox, Parallels, Nutanix
        const RANGES: [&str; 9] =
            ["005056", "000c29", "000569", "00155d", "00163e", "525400", "080027", "001c42", "506b8d"];
        match self.kind {
            IdentifierKind::Mac => RANGES.iter().any(|range| self.value.starts_with(range)),
            IdentifierKind::Serial => {
                ["vmware", "parallels", "virtualbox"].iter().any(|maker| self.value.starts_with(maker))
            }
            _ => false,
        }
    }

    /// Whether it can carry a match or a conflict. A locally administered hardware address cannot: it is made up by
    /// the operating system, a container engine or a phone that hides itself. It may only support a name.
    pub fn is_strong(&self) -> bool {
        self.kind != IdentifierKind::Mac || !self.value.as_bytes().get(1).is_some_and(|b| b"26ae".contains(b))
    }

    /// Whether it belongs to the machine itself, not to its place in a network.
    pub fn is_own(&self) -> bool {
        self.kind <= IdentifierKind::Mac && self.is_strong()
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = self.scope.replace('%', "%25").replace('|', "%7C");
        write!(f, "{}|{scope}|{}", self.kind, self.value)
    }
}

impl FromStr for Identifier {
    type Err = InvalidId;

    fn from_str(s: &str) -> Result<Self, InvalidId> {
        let mut parts = s.splitn(3, '|');
        let kind =
            parts.next().and_then(|word| IdentifierKind::ALL.into_iter().find(|kind| kind.as_str() == word));
        match (kind, parts.next(), parts.next()) {
            (Some(kind), Some(scope), Some(value)) if !value.is_empty() => {
                Ok(Self::new(kind, scope.replace("%7C", "|").replace("%25", "%"), value))
            }
            _ => Err(InvalidId {
                what: "an identifier",
                value: s.to_owned(),
                remedy: "it looks like mac|head-office|005056a1b2c3",
            }),
        }
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> Self {
        identifier.to_string()
    }
}

impl TryFrom<String> for Identifier {
    type Error = InvalidId;

    fn try_from(s: String) -> Result<Self, InvalidId> {
        s.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_from_its_key_whatever_its_scope_is_called() {
        for scope in ["", "head-office", "a|b", "100%", "%7C"] {
            let id = Identifier::new(IdentifierKind::Mac, scope, "005056a1b2c3");
            assert_eq!(id.to_string().parse::<Identifier>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<Identifier>(&json).unwrap(), id);
        }
        assert_eq!(Identifier::new(IdentifierKind::Cloud, "", "aws:i-0abc").to_string(), "cloud||aws:i-0abc");
        assert!("colour||red".parse::<Identifier>().is_err());
        assert!("mac|x".parse::<Identifier>().is_err());
    }

    #[test]
    fn kinds_sort_by_their_tier() {
        assert!(IdentifierKind::ALL.is_sorted());
        assert!(IdentifierKind::ALL.is_sorted_by_key(|kind| kind.tier()));
    }
}
