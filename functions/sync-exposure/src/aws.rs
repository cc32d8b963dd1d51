//! Reads the network of one account and region through the SDK.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::IpAddr;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_ec2::config::{Region, SharedCredentialsProvider};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{InstanceStateName, IpPermission, NetworkInterface, PrefixListEntry, Reservation};
use aws_sdk_elasticloadbalancingv2::types::{
    IpAddressType, Listener as ElbListener, LoadBalancer as Elb, LoadBalancerSchemeEnum,
    LoadBalancerTypeEnum, TargetGroup as ElbTargetGroup, TargetHealthDescription,
};
use domain::exposure::aws::{
    BalancerKind, Ingress, Interface, Listener, LoadBalancer, SecurityGroup, Snapshot, Source, Target,
    TargetGroup,
};
use domain::exposure::{Ports, Protocol};
use domain::policy::{AwsAccount, Network};

/// Name of the sessions, as the account's CloudTrail shows it.
const SESSION: &str = "vulnrelay-exposure";
/// Items of a page: the most that EC2 gives, the most of a prefix list, the most that load balancing gives.
const PAGE: i32 = 1_000;
const PREFIX_LIST_PAGE: i32 = 100;
const BALANCING_PAGE: i32 = 400;
/// Characters of what AWS says that are kept: its refusals can carry a kilobyte of ciphertext.
const CAUSE: usize = 500;

/// Why the network of an account cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A call failed.
    #[error("{call} failed: {cause}")]
    Call {
        /// The call.
        call: &'static str,
        /// What AWS calls the problem, where it answered.
        code: Option<String>,
        /// What it says.
        cause: String,
    },
    /// Somebody else's network would be taken for this account's.
    #[error("what can be read is account {0}: give this one a role_arn, or correct its number")]
    OtherAccount(String),
}

impl ReadError {
    /// Whether what was asked for does not exist, or not for this account.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Call { code: Some(code), .. } if code.ends_with(".NotFound"))
    }
}

/// The error of a call: what AWS said, or what kept it from saying anything. Never what was sent or received, which can
/// hold keys.
fn failed<E>(call: &'static str) -> impl Fn(SdkError<E>) -> ReadError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    move |error| {
        let answer = error.as_service_error();
        let code = answer.and_then(ProvideErrorMetadata::code);
        let cause = match (code, answer.and_then(ProvideErrorMetadata::message)) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            _ => chain(&error),
        };
        ReadError::Call { call, code: code.map(str::to_owned), cause: cause.chars().take(CAUSE).collect() }
    }
}

/// An error with its causes, in their own words.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    words
}

/// Every item of every page of a call. Each is cut down to what counts at once: an instance in the SDK's types takes
/// kilobytes.
macro_rules! every {
    ($call:literal, $operation:expr, $keep:expr) => {{
        let mut pages = $operation.into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = pages.next().await {
            all.extend($keep(&item.map_err(failed($call))?));
        }
        all
    }};
}

/// Everything that is asked of one account and region.
pub(crate) struct Reader {
    ec2: aws_sdk_ec2::Client,
    balancers: aws_sdk_elasticloadbalancingv2::Client,
}

impl Reader {
    /// With the account's role, where it has one.
    pub async fn new(aws: &SdkConfig, account: &AwsAccount, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        let mut config = aws.to_builder().region(region.clone());
        if let Some(role) = &account.role_arn {
            let mut provider =
                AssumeRoleProvider::builder(role).configure(aws).region(region).session_name(SESSION);
            if let Some(id) = &account.external_id {
                provider = provider.external_id(id);
            }
            config = config.credentials_provider(SharedCredentialsProvider::new(provider.build().await));
        }
        let config = config.build();
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            balancers: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        }
    }

    /// Reads it. All of it, or nothing: a part would show less than there is.
    pub async fn read(&self, account: &str, region: &str) -> Result<Snapshot, ReadError> {
        let groups = self.groups().await?;
        let prefix_lists = self.prefix_lists(&groups).await?;
        Ok(Snapshot {
            account: account.to_owned(),
            region: region.to_owned(),
            instances: self.instances(account).await?,
            interfaces: self.interfaces().await?,
            groups,
            prefix_lists,
            load_balancers: self.load_balancers().await?,
            target_groups: self.target_groups().await?,
        })
    }

    async fn instances(&self, account: &str) -> Result<Vec<String>, ReadError> {
        let reservations =
            every!("DescribeInstances", self.ec2.describe_instances().max_results(PAGE), reservation);
        match reservations.iter().find(|(owner, _)| owner != account) {
            Some((owner, _)) => Err(ReadError::OtherAccount(owner.clone())),
            None => Ok(reservations.into_iter().flat_map(|(_, instances)| instances).collect()),
        }
    }

    async fn interfaces(&self) -> Result<Vec<Interface>, ReadError> {
        let interfaces = self.ec2.describe_network_interfaces().max_results(PAGE);
        Ok(every!("DescribeNetworkInterfaces", interfaces, |told| Some(interface(told))))
    }

    async fn groups(&self) -> Result<BTreeMap<String, SecurityGroup>, ReadError> {
        let groups = self.ec2.describe_security_groups().max_results(PAGE);
        let groups = every!("DescribeSecurityGroups", groups, security_group);
        Ok(groups.into_iter().collect())
    }

    /// The prefix lists that rules name. One that another account shares no longer is left out: its entries are not known.
    async fn prefix_lists(
        &self,
        groups: &BTreeMap<String, SecurityGroup>,
    ) -> Result<BTreeMap<String, Vec<Network>>, ReadError> {
        let sources = groups.values().flat_map(|group| &group.ingress).flat_map(|rule| &rule.sources);
        let named: BTreeSet<&String> = sources
            .filter_map(|source| match source {
                Source::PrefixList(id) => Some(id),
                _ => None,
            })
            .collect();
        let mut lists = BTreeMap::new();
        for id in named {
            match self.entries(id).await {
                Ok(entries) => drop(lists.insert(id.clone(), entries)),
                Err(error) if error.is_absence() => {
                    tracing::warn!(%error, id, "a prefix list is not there any more: it may have had every network")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(lists)
    }

    async fn entries(&self, prefix_list: &str) -> Result<Vec<Network>, ReadError> {
        let entries = self
            .ec2
            .get_managed_prefix_list_entries()
            .prefix_list_id(prefix_list)
            .max_results(PREFIX_LIST_PAGE);
        let entry = |entry: &PrefixListEntry| network(entry.cidr());
        Ok(every!("GetManagedPrefixListEntries", entries, entry))
    }

    async fn load_balancers(&self) -> Result<Vec<LoadBalancer>, ReadError> {
        let balancers = self.balancers.describe_load_balancers().page_size(BALANCING_PAGE);
        let mut balancers = every!("DescribeLoadBalancers", balancers, load_balancer);
        for balancer in &mut balancers {
            let listeners = self
                .balancers
                .describe_listeners()
                .load_balancer_arn(&balancer.arn)
                .page_size(BALANCING_PAGE);
            balancer.listeners = every!("DescribeListeners", listeners, listener);
        }
        Ok(balancers)
    }

    async fn target_groups(&self) -> Result<Vec<TargetGroup>, ReadError> {
        let groups = self.balancers.describe_target_groups().page_size(BALANCING_PAGE);
        let mut groups = every!("DescribeTargetGroups", groups, target_group);
        for group in &mut groups {
            let health = self.balancers.describe_target_health().target_group_arn(&group.arn).send().await;
            let health = health.map_err(failed("DescribeTargetHealth"))?;
            group.targets = health.target_health_descriptions().iter().filter_map(target).collect();
        }
        Ok(groups)
    }
}

fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok()
}

fn network(text: Option<&str>) -> Option<Network> {
    Network::try_from(text?.to_owned()).ok()
}

fn address(text: Option<&str>) -> Option<IpAddr> {
    text?.parse().ok()
}

/// Whose instances were started together, and which of them are there.
fn reservation(told: &Reservation) -> Option<(String, Vec<String>)> {
    let is_there = |state: &InstanceStateName| {
        !matches!(state, InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
    };
    let there = told
        .instances()
        .iter()
        .filter(|instance| instance.state().and_then(|state| state.name()).is_none_or(is_there));
    let ids = there.filter_map(|instance| instance.instance_id().map(str::to_owned)).collect();
    Some((told.owner_id()?.to_owned(), ids))
}

fn interface(told: &NetworkInterface) -> Interface {
    let addresses = told.private_ip_addresses();
    let public = addresses.iter().filter_map(|a| a.association()).chain(told.association());
    let public: BTreeSet<IpAddr> =
        public.filter_map(|association| address(association.public_ip())).collect();
    Interface {
        id: told.network_interface_id().unwrap_or_default().to_owned(),
        instance: told.attachment().and_then(|attachment| attachment.instance_id()).map(str::to_owned),
        description: told.description().unwrap_or_default().to_owned(),
        private: addresses.iter().filter_map(|a| address(a.private_ip_address())).collect(),
        public: public.into_iter().collect(),
        v6: told.ipv6_addresses().iter().filter_map(|a| address(a.ipv6_address())).collect(),
        groups: told.groups().iter().filter_map(|group| group.group_id().map(str::to_owned)).collect(),
    }
}

fn security_group(told: &aws_sdk_ec2::types::SecurityGroup) -> Option<(String, SecurityGroup)> {
    let name = told.group_name().unwrap_or_default().to_owned();
    let ingress = told.ip_permissions().iter().filter_map(ingress).collect();
    Some((told.group_id()?.to_owned(), SecurityGroup { name, ingress }))
}

/// A rule; `None` for ICMP, which opens no port.
fn ingress(rule: &IpPermission) -> Option<Ingress> {
    let protocol = Protocol::parse(rule.ip_protocol().unwrap_or("-1"))?;
    let ports = match (protocol, rule.from_port().and_then(port), rule.to_port().and_then(port)) {
        (Protocol::Tcp | Protocol::Udp, Some(from), Some(to)) => Ports { protocol, from, to },
        _ => Ports::all(protocol),
    };
    let v4 = rule.ip_ranges().iter().filter_map(|range| network(range.cidr_ip()));
    let v6 = rule.ipv6_ranges().iter().filter_map(|range| network(range.cidr_ipv6()));
    let lists = rule.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
    let groups = rule.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
    let sources = v4
        .chain(v6)
        .map(Source::Network)
        .chain(lists.map(|id| Source::PrefixList(id.to_owned())))
        .chain(groups.map(|id| Source::Group(id.to_owned())));
    Some(Ingress { ports, sources: sources.collect() })
}

/// A load balancer without its listeners; `None` for one of a kind that does not count.
fn load_balancer(told: &Elb) -> Option<LoadBalancer> {
    let kind = match told.r#type()? {
        LoadBalancerTypeEnum::Application => BalancerKind::Application,
        LoadBalancerTypeEnum::Network => BalancerKind::Network,
        _ => return None,
    };
    let v4_only = matches!(told.ip_address_type(), None | Some(IpAddressType::Ipv4));
    Some(LoadBalancer {
        arn: told.load_balancer_arn()?.to_owned(),
        name: told.load_balancer_name().unwrap_or_default().to_owned(),
        kind,
        internet_facing: told.scheme() == Some(&LoadBalancerSchemeEnum::InternetFacing),
        has_v6: !v4_only,
        groups: told.security_groups().to_vec(),
        listeners: Vec::new(),
    })
}

fn listener(told: &ElbListener) -> Option<Listener> {
    let forwards = told.default_actions().iter().flat_map(|action| {
        let several = action.forward_config().map(|config| config.target_groups()).unwrap_or_default();
        let several = several.iter().filter_map(|group| group.target_group_arn());
        action.target_group_arn().into_iter().chain(several)
    });
    let forwards: BTreeSet<String> = forwards.map(str::to_owned).collect();
    Some(Listener {
        port: told.port().and_then(port)?,
        protocol: told.protocol().map(|protocol| protocol.as_str().to_owned()).unwrap_or_default(),
        forwards: forwards.into_iter().collect(),
    })
}

/// A target group without its targets; `None` for one that no load balancer uses: it lets nobody in.
fn target_group(told: &ElbTargetGroup) -> Option<TargetGroup> {
    let load_balancers = told.load_balancer_arns().to_vec();
    (!load_balancers.is_empty()).then_some(TargetGroup {
        arn: told.target_group_arn()?.to_owned(),
        name: told.target_group_name().unwrap_or_default().to_owned(),
        port: told.port().and_then(port),
        load_balancers,
        targets: Vec::new(),
    })
}

fn target(told: &TargetHealthDescription) -> Option<Target> {
    let target = told.target()?;
    Some(Target { id: target.id()?.to_owned(), port: target.port().and_then(port) })
}
