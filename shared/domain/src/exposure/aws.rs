//! What AWS shows of the network of one account and region.
//!
//! An instance can be reached by itself, through a security group that lets somebody in, or through a load balancer that
//! passes on what somebody sends to it. A group that is open to the world opens nothing to the world while the instance
//! has no public address.
//!
//! Not looked at, and so taken for open: routes, network ACLs, rules of a listener beyond its default action. Not looked
//! at either, though they let somebody in: Classic Load Balancers, CloudFront, Global Accelerator, addresses translated by
//! an appliance.

mod front;
mod reach;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ports::{Ports, Protocol};
use crate::identity::{Identifier, IdentifierKind};
use crate::policy::Network;

pub use reach::reach;

/// What leads to the asset of an instance, the surest first.
pub fn identifiers(account: &str, instance: &str) -> [Identifier; 2] {
    [account, ""].map(|scope| Identifier::new(IdentifierKind::Cloud, scope, format!("aws:{instance}")))
}

/// One account and region, as it was at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The account's number.
    pub account: String,
    /// The region.
    pub region: String,
    /// Ids of the instances that are there, running or stopped.
    pub instances: Vec<String>,
    /// Network interfaces, those of load balancers and other services too.
    pub interfaces: Vec<Interface>,
    /// Security groups by id.
    pub groups: BTreeMap<String, SecurityGroup>,
    /// Prefix lists that rules name, by id.
    pub prefix_lists: BTreeMap<String, Vec<Network>>,
    /// Load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// Target groups.
    pub target_groups: Vec<TargetGroup>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its id.
    pub id: String,
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// What whoever made it says of it; a load balancer's names the load balancer.
    pub description: String,
    /// Private addresses of IPv4.
    pub private: Vec<IpAddr>,
    /// Public addresses of IPv4 that lead to them.
    pub public: Vec<IpAddr>,
    /// Addresses of IPv6.
    pub v6: Vec<IpAddr>,
    /// Ids of its security groups.
    pub groups: Vec<String>,
}

/// A security group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityGroup {
    /// What people call it.
    pub name: String,
    /// Who is let in.
    pub ingress: Vec<Ingress>,
}

/// A rule that lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// At which ports.
    pub ports: Ports,
    /// Who.
    pub sources: Vec<Source>,
}

/// Who is let in by a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Everyone in a network.
    Network(Network),
    /// Everyone in the networks of a prefix list.
    PrefixList(String),
    /// Everyone with a security group.
    Group(String),
}

/// Kinds of load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalancerKind {
    /// Ends connections and opens its own to the targets.
    Application,
    /// Passes connections on.
    Network,
}

/// A load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// What people call it.
    pub name: String,
    /// Its kind. Gateway load balancers pass on what others let in already, and are left out.
    pub kind: BalancerKind,
    /// Whether it has public addresses.
    pub internet_facing: bool,
    /// Whether it has addresses of IPv6.
    pub has_v6: bool,
    /// Ids of its security groups. Without any, everyone is let in.
    pub groups: Vec<String>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
}

/// Where a load balancer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The protocol in the words of AWS: `HTTPS`, `TCP_UDP`.
    pub protocol: String,
    /// ARNs of the target groups that its default action forwards to.
    pub forwards: Vec<String>,
}

/// Machines behind load balancers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// What people call it.
    pub name: String,
    /// The port of targets that name none.
    pub port: Option<u16>,
    /// ARNs of the load balancers that use it.
    pub load_balancers: Vec<String>,
    /// The targets.
    pub targets: Vec<Target>,
}

/// A machine, or a load balancer, behind a load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The id of an instance, an address, or the ARN of a load balancer.
    pub id: String,
    /// The port.
    pub port: Option<u16>,
}

impl Listener {
    /// What it speaks below its own protocol.
    fn transports(&self) -> &'static [Protocol] {
        match self.protocol.as_str() {
            "UDP" | "QUIC" => &[Protocol::Udp],
            "TCP_UDP" | "TCP_QUIC" => &[Protocol::Tcp, Protocol::Udp],
            _ => &[Protocol::Tcp],
        }
    }
}

impl LoadBalancer {
    /// Whether the interface is one of its own.
    fn has(&self, interface: &Interface) -> bool {
        // "ELB app/web/50dc6c495c0c9188"
        let name = interface.description.strip_prefix("ELB ");
        name.is_some_and(|name| self.arn.ends_with(&format!("/{name}")))
    }

    /// It in words.
    fn words(&self) -> String {
        let scheme = if self.internet_facing { "internet-facing" } else { "internal" };
        format!("load balancer {} ({scheme})", self.name)
    }
}

#[cfg(test)]
mod tests;
