//! Ports of a protocol, as rules name them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A protocol with ports, or what stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// One without ports, such as GRE.
    Other,
}

impl Protocol {
    /// From its name or its number. `None`: ICMP, which opens no port, so that it does not count.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_lowercase().as_str() {
            "icmp" | "icmpv6" | "1" | "58" => None,
            "" | "any" | "all" | "-1" | "*" | "ip" => Some(Self::Any),
            "tcp" | "6" => Some(Self::Tcp),
            "udp" | "17" => Some(Self::Udp),
            _ => Some(Self::Other),
        }
    }

    fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// A range of ports of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ports {
    /// The protocol.
    pub protocol: Protocol,
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

impl Ports {
    /// All of a protocol.
    pub fn all(protocol: Protocol) -> Self {
        Self { protocol, from: 0, to: u16::MAX }
    }

    /// One of them.
    pub fn one(protocol: Protocol, port: u16) -> Self {
        Self { protocol, from: port, to: port }
    }

    /// Whether it is every port.
    pub fn is_all(&self) -> bool {
        self.from == 0 && self.to == u16::MAX
    }

    /// Whether every port of the other is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        self.protocol.covers(other.protocol) && self.from <= other.from && other.to <= self.to
    }

    /// What is left of them without the others. Of every protocol, a single one cannot be taken away.
    pub fn without(self, others: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut left = vec![self];
        for other in others {
            left = left.into_iter().flat_map(|ports| ports.minus(other)).collect();
        }
        left
    }

    fn minus(self, other: Self) -> Vec<Self> {
        if !other.protocol.covers(self.protocol) || other.to < self.from || self.to < other.from {
            return vec![self];
        }
        let below = other.from.checked_sub(1).filter(|to| self.from <= *to);
        let above = other.to.checked_add(1).filter(|from| *from <= self.to);
        let below = below.map(|to| Self { to, ..self });
        let above = above.map(|from| Self { from, ..self });
        below.into_iter().chain(above).collect()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Any => f.write_str("every protocol")?,
            Protocol::Tcp => f.write_str("tcp")?,
            Protocol::Udp => f.write_str("udp")?,
            Protocol::Other => return f.write_str("a protocol without ports"),
        }
        match (self.from, self.to) {
            (0, u16::MAX) if self.protocol == Protocol::Any => Ok(()),
            (0, u16::MAX) => f.write_str(" every port"),
            (from, to) if from == to => write!(f, " {from}"),
            (from, to) => write!(f, " {from}-{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_away_from_ports() {
        let tcp = |from, to| Ports { protocol: Protocol::Tcp, from, to };
        assert_eq!(tcp(1, 100).without([tcp(22, 22), tcp(90, 200)]), [tcp(1, 21), tcp(23, 89)]);
        assert_eq!(tcp(22, 22).without([Ports::all(Protocol::Any)]), []);
        assert_eq!(tcp(22, 22).without([Ports::all(Protocol::Udp)]), [tcp(22, 22)]);
        let any = Ports::all(Protocol::Any);
        assert_eq!(any.without([Ports::all(Protocol::Tcp)]), [any], "the others are still open");
        assert_eq!(Ports::all(Protocol::Tcp).without([tcp(0, 21), tcp(23, u16::MAX)]), [tcp(22, 22)]);
    }

    #[test]
    fn they_are_told_in_words() {
        let words = |ports: Ports| ports.to_string();
        assert_eq!(words(Ports::one(Protocol::Tcp, 22)), "tcp 22");
        assert_eq!(words(Ports { protocol: Protocol::Udp, from: 1, to: 9 }), "udp 1-9");
        assert_eq!(words(Ports::all(Protocol::Tcp)), "tcp every port");
        assert_eq!(words(Ports::all(Protocol::Any)), "every protocol");
        assert_eq!((Protocol::parse("ICMP"), Protocol::parse("47")), (None, Some(Protocol::Other)));
    }
}
