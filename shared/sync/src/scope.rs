//! What a scan looked for, where the scanner tells: of anything else, its silence says nothing.

use domain::{Finding, RuleId};

/// The rules that a scan had switched on, and the ports that it looked at. One for all hosts of a scan: a policy has up to
/// a quarter of a million rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    rules: Vec<u32>,
    ports: Option<Ports>,
}

impl Scope {
    /// A scope of these rules, in any order, and of these ports; of no rules if the scanner does not tell them.
    pub fn new(mut rules: Vec<u32>, ports: Option<Ports>) -> Self {
        rules.sort_unstable();
        rules.dedup();
        rules.shrink_to_fit();
        Self { rules, ports }
    }

    /// How many rules it has; 0 if they are not told.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// Nothing is told.
    pub fn is_untold(&self) -> bool {
        self.rules.is_empty() && self.ports.is_none()
    }

    /// Whether the rule was switched on. Of a rule that is one of several under a number (`21156-a1b2`), the number counts.
    pub fn has_rule(&self, rule: &RuleId) -> bool {
        let number = rule.as_str().split('-').next().and_then(|number| number.parse().ok());
        self.rules.is_empty() || number.is_some_and(|number| self.rules.binary_search(&number).is_ok())
    }

    /// Digest of the ports, to compare two scans by.
    pub fn port_range(&self) -> Option<u64> {
        self.ports.as_ref().map(Ports::digest)
    }

    /// Whether the port of a finding is among those that are told by number; so is what concerns the host as a whole.
    pub fn has_port(&self, finding: &Finding) -> bool {
        let Some(port) = finding.port else { return true };
        self.ports.as_ref().is_none_or(|ports| ports.has(port, finding.protocol.as_deref()))
    }
}

/// Ports as a policy names them: `1-1024,8080`, `T:1-1024,U:53`, `all`. Other words, such as `default`, stand for ports
/// that only the scanner knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// Protocol (both if empty), first and last port.
    spans: Vec<(&'static str, u16, u16)>,
    words: Vec<String>,
}

impl Ports {
    /// Reads the text of a policy; `None` if nothing is said.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut spans, mut words) = (Vec::new(), Vec::new());
        let mut protocol = "";
        for part in text.split([',', ';']) {
            let part: String = part.chars().filter(|c| !c.is_whitespace()).collect();
            let part = part.to_ascii_lowercase();
            // Whether a protocol is that of its part alone or of those behind it as well is not documented: the narrower
            // reading closes less.
            let numbers = match part.split_once(':') {
                Some(("t", rest)) => {
                    protocol = "tcp";
                    rest
                }
                Some(("u", rest)) => {
                    protocol = "udp";
                    rest
                }
                _ => part.as_str(),
            };
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => spans.push((protocol, first, last)),
                _ if numbers == "all" => spans.push((protocol, 0, u16::MAX)),
                _ if part.is_empty() => {}
                _ => words.push(part),
            }
        }
        spans.sort_unstable();
        spans.dedup();
        words.sort_unstable();
        words.dedup();
        (!spans.is_empty() || !words.is_empty()).then_some(Self { spans, words })
    }

    fn has(&self, port: u16, protocol: Option<&str>) -> bool {
        self.spans.iter().any(|(of, first, last)| {
            (of.is_empty() || protocol == Some(of)) && (*first..=*last).contains(&port)
        })
    }

    fn digest(&self) -> u64 {
        domain::digest(format!("{:?}{:?}", self.spans, self.words).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_looked_for_where_its_number_is_told() {
        let scope = Scope::new(vec![22, 1, 333, 22], None);
        assert_eq!(scope.rules(), 3);
        let has = |rule: &str| scope.has_rule(&RuleId::new(rule));
        assert!(has("1") && has("22") && has("333-00ff") && !has("2") && !has("33") && !has("x"));
        assert!(Scope::default().has_rule(&RuleId::new("2")), "nothing is told");
    }

    #[test]
    fn ports_are_read_as_policies_write_them() {
        let has =
            |text: &str, port: u16, protocol: &str| Ports::parse(text).unwrap().has(port, Some(protocol));
        for (text, port, protocol) in [
            ("1-1024,8080", 8080, "tcp"),
            (" 1 - 1024 ", 1024, "udp"),
            ("all", 65535, "udp"),
            ("T:1-1024,U:53", 53, "udp"),
            ("80,default", 80, "tcp"),
        ] {
            assert!(has(text, port, protocol), "{text}");
        }
        for (text, port, protocol) in [
            ("1-1024,8080", 8081, "tcp"),
            ("T:1-1024,U:53", 80, "udp"),
            ("U:53,80", 80, "tcp"),
            ("default", 80, "tcp"),
            ("70000", 4464, "tcp"),
        ] {
            assert!(!has(text, port, protocol), "{text}");
        }
        assert_eq!(Ports::parse(" , "), None);
        let digest = |text: &str| Ports::parse(text).unwrap().digest();
        assert_eq!(digest("1-1024, 8080"), digest("8080,1-1024"));
        assert_eq!(digest("Default"), digest("default "));
        assert_ne!(digest("default"), digest("1-65535"));
        assert_ne!(digest("T:80"), digest("U:80"));
    }
}
