//! What load balancers let through to the machines behind them.

use std::net::IpAddr;

use super::reach::{Addressed, Opening, Rules};
use super::{BalancerKind, Interface, Listener, LoadBalancer, Source, Target, TargetGroup};
use crate::exposure::origin::is_private;
use crate::exposure::{PortReach, Ports, Protocol};
use crate::policy::Network;
use crate::vulnerability::Exposure;

/// What stands behind a load balancer that keeps the sender's address is sent to as if it were public.
const AS_IF_PUBLIC: Addressed = Addressed { private_v4: true, public_v4: true, v6: true };

/// Somebody who reaches a listener.
struct Front<'a> {
    balancer: &'a LoadBalancer,
    listener: &'a Listener,
    transport: Protocol,
    exposure: Exposure,
    /// `internet -> load balancer web (internet-facing) listener 443`
    path: String,
}

/// Everyone who reaches a listener of a load balancer.
pub(super) struct Fronts<'a> {
    rules: &'a Rules<'a>,
    all: Vec<Front<'a>>,
}

impl<'a> Fronts<'a> {
    pub fn new(rules: &'a Rules<'a>) -> Self {
        let mut fronts = Self { rules, all: Vec::new() };
        for balancer in &rules.snapshot.load_balancers {
            let openings = fronts.openings(balancer);
            let reached =
                balancer.listeners.iter().flat_map(|listener| reached(balancer, listener, &openings));
            fronts.all.extend(reached);
        }
        let chained = fronts.chained();
        fronts.all.extend(chained);
        fronts
    }

    /// Who reaches a load balancer.
    fn openings(&self, balancer: &LoadBalancer) -> Vec<Opening> {
        let addressed =
            Addressed { private_v4: true, public_v4: balancer.internet_facing, v6: balancer.has_v6 };
        match balancer.groups.as_slice() {
            [] => self.rules.unguarded(addressed),
            groups => self.rules.openings(groups, addressed, ""),
        }
    }

    /// Application load balancers behind network ones.
    fn chained(&self) -> Vec<Front<'a>> {
        let snapshot = self.rules.snapshot;
        let mut all = Vec::new();
        for group in &snapshot.target_groups {
            for target in &group.targets {
                let behind = snapshot.load_balancers.iter().find(|balancer| balancer.arn == target.id);
                let (Some(balancer), Some(port)) = (behind, target.port.or(group.port)) else { continue };
                let Some(listener) = balancer.listeners.iter().find(|l| l.port == port) else { continue };
                for front in self.leading_to(group) {
                    let ports = Ports::one(front.transport, port);
                    let passed = match balancer.groups.as_slice() {
                        [] => Some(front.exposure),
                        groups => self.passes(front, groups, ports).map(|(exposure, _)| exposure),
                    };
                    all.extend(passed.map(|exposure| Front {
                        balancer,
                        listener,
                        transport: front.transport,
                        exposure,
                        path: format!("{} -> {} listener {port}", front.path, balancer.words()),
                    }));
                }
            }
        }
        all
    }

    /// What reaches an interface of an instance through load balancers.
    pub fn behind(&self, interface: &Interface, instance: &str) -> Vec<PortReach> {
        let mut all = Vec::new();
        for group in &self.rules.snapshot.target_groups {
            for target in group.targets.iter().filter(|target| is_at(target, interface, instance)) {
                let Some(port) = target.port.or(group.port) else { continue };
                for front in self.leading_to(group) {
                    let ports = Ports::one(front.transport, port);
                    let Some((exposure, rule)) = self.passes(front, &interface.groups, ports) else {
                        continue;
                    };
                    let path = format!(
                        "{} -> target group {} -> {instance} port {port}; {rule}",
                        front.path, group.name
                    );
                    all.push(PortReach { ports, exposure, path });
                }
            }
        }
        all
    }

    /// Listeners that forward to a target group. One of its rules may, which are not known, where its default action does
    /// nothing of the kind, or where no other listener's does.
    fn leading_to<'s>(&'s self, group: &'s TargetGroup) -> impl Iterator<Item = &'s Front<'a>> + 's {
        self.all.iter().filter(move |front| {
            let forwards = |listener: &Listener| listener.forwards.contains(&group.arn);
            let by_another = front.balancer.listeners.iter().any(forwards);
            let may = forwards(front.listener) || !by_another || front.listener.forwards.is_empty();
            may && group.load_balancers.contains(&front.balancer.arn)
        })
    }

    /// Whether something with these security groups lets in at these ports what the load balancer passes on: from how
    /// far, and by which rule.
    fn passes(&self, front: &Front<'_>, groups: &[String], ports: Ports) -> Option<(Exposure, String)> {
        if let Some(rule) = self.lets_in(front.balancer, groups, ports) {
            return Some((front.exposure, rule));
        }
        if front.balancer.kind == BalancerKind::Application {
            return None;
        }
        // The sender's address stays: it is the sender that has to be let in.
        let openings = self.rules.openings(groups, AS_IF_PUBLIC, "");
        let opening = farthest(&openings, ports)?;
        Some((opening.exposure.min(front.exposure), opening.rule.clone()))
    }

    /// The rule by which the load balancer itself is let in.
    fn lets_in(&self, balancer: &LoadBalancer, groups: &[String], ports: Ports) -> Option<String> {
        let interfaces = self.rules.snapshot.interfaces.iter().filter(|interface| balancer.has(interface));
        let addresses: Vec<IpAddr> =
            interfaces.flat_map(|interface| interface.private.iter().chain(&interface.v6).copied()).collect();
        // Of one whose interfaces are not shown, the addresses may be any private ones.
        let has = |network: &&Network| match addresses.as_slice() {
            [] => network.is_everything() || is_private(network),
            addresses => addresses.iter().any(|address| network.contains(*address)),
        };
        for (id, group) in self.rules.named(groups) {
            for rule in group.ingress.iter().filter(|rule| rule.ports.covers(&ports)) {
                let from = rule.sources.iter().find_map(|source| match source {
                    Source::Group(from) => balancer.groups.contains(from).then(|| from.clone()),
                    source => self.rules.networks_of(source).iter().find(has).map(ToString::to_string),
                });
                if let Some(from) = from {
                    return Some(format!("security group {id} allows {} from {from}", rule.ports));
                }
            }
        }
        None
    }
}

/// Who reaches a listener, the farthest for each of its transports.
fn reached<'a>(balancer: &'a LoadBalancer, listener: &'a Listener, openings: &[Opening]) -> Vec<Front<'a>> {
    let front = |transport: &Protocol| {
        let opening = farthest(openings, Ports::one(*transport, listener.port))?;
        Some(Front {
            balancer,
            listener,
            transport: *transport,
            exposure: opening.exposure,
            path: format!("{} -> {} listener {}", opening.who, balancer.words(), listener.port),
        })
    };
    listener.transports().iter().filter_map(front).collect()
}

/// Whether a target is this interface of this instance.
fn is_at(target: &Target, interface: &Interface, instance: &str) -> bool {
    let mut addresses = interface.private.iter().chain(&interface.v6);
    target.id == instance
        || target.id.parse::<IpAddr>().is_ok_and(|wanted| addresses.any(|address| *address == wanted))
}

fn farthest(openings: &[Opening], ports: Ports) -> Option<&Opening> {
    openings.iter().filter(|opening| opening.ports.covers(&ports)).max_by_key(|opening| opening.exposure)
}
