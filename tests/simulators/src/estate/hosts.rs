//! Hosts: who they are, what they run, when they come and go. Host number `i` is a function of seed and `i`.

use super::products::Product::{self, *};
use crate::dice::{below, hash_numbers, share, uuid};

/// What a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKind {
    /// A Linux instance at AWS.
    CloudLinux,
    /// A Linux server in a data centre.
    Linux,
    /// A Windows server in a data centre.
    WindowsServer,
    /// A Windows laptop.
    WindowsLaptop,
    /// A macOS laptop.
    MacLaptop,
    /// A network appliance, known by its name alone.
    Appliance,
}

/// Where a cloud instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// Instance id.
    pub instance: String,
    /// Account number.
    pub account: &'static str,
    /// Region.
    pub region: &'static str,
    /// Availability zone.
    pub zone: String,
    /// Instance type.
    pub size: &'static str,
}

/// How a host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Deleted or purged by an administrator.
    Deleted,
    /// The cloud instance was terminated.
    Terminated,
}

/// One host, as it is on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Number in the estate.
    pub index: u32,
    /// What it is.
    pub kind: HostKind,
    /// Short name; one host in fifty is renamed some day.
    pub hostname: String,
    /// Full name, if it has one.
    pub fqdn: Option<String>,
    /// Windows name, if it has one.
    pub netbios: Option<String>,
    /// Private address; those of laptops change every week and are given to others later.
    pub ip: String,
    /// Public address of what faces the internet.
    pub public_ip: Option<String>,
    /// Network address of the card; appliances show none.
    pub mac: Option<String>,
    /// Firmware UUID of physical and virtual machines that we own.
    pub bios_uuid: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Agent id, the same for both scanners' agents except for its form.
    pub agent: Option<String>,
    /// Cloud identity.
    pub cloud: Option<Cloud>,
    /// Operating system with version.
    pub os: &'static str,
    /// `prod`, `staging` or `dev`.
    pub environment: &'static str,
    /// Owning team.
    pub team: &'static str,
    /// `internet` or `internal`.
    pub exposure: &'static str,
    /// 1 (unimportant) to 5 (vital).
    pub criticality: u8,
    /// Known to Tenable.
    pub in_tenable: bool,
    /// Known to Qualys.
    pub in_qualys: bool,
    /// First day.
    pub born: i64,
    /// Last day and how it ended; some never do.
    pub end: Option<(i64, End)>,
    /// Day after which it is no longer scanned although nobody removed it.
    pub silent_from: Option<i64>,
    /// What runs on it.
    pub products: Vec<Product>,
}

const ACCOUNTS: &[&str] = &["210987654321", "345678901234", "876543210987"];
const REGIONS: &[&str] = &["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"];
const SIZES: &[&str] = &["t3.medium", "m6i.large", "m6i.2xlarge", "c7g.xlarge", "r6i.4xlarge"];
const TEAMS: &[&str] = &["payments", "platform", "identity", "data", "web"];
const LINUX_BASE: &[Product] = &[
    Kernel,
    Glibc,
    OpenSsl,
    OpenSsh,
    Sudo,
    Polkit,
    Curl,
    Systemd,
    Vim,
    Python,
    Git,
    Libraries,
    Bash,
    LinuxSettings,
    IcmpStack,
];
const WINDOWS_BASE: &[Product] = &[Windows, WindowsSettings, DotNet, IcmpStack];
const LAPTOP_SOFTWARE: &[Product] = &[Office, Chrome, Firefox, Zoom];

/// The hosts that exist or will exist at the end of `day`: `size` at first, then some new ones every few days.
pub fn known_until(size: usize, day: i64) -> u32 {
    let size = size as i64;
    let newcomers = day.max(0) * size.max(100) / 500;
    (size + if size == 0 { 0 } else { newcomers }) as u32
}

/// Host number `index` on `day`.
pub fn generate(seed: u64, size: usize, index: u32, day: i64) -> Host {
    let roll = |what: u64| hash_numbers(seed, &[1, u64::from(index), what]);
    let pick = |what: u64, from: &'static [&'static str]| from[below(roll(what), from.len() as u64) as usize];
    let kind = kind_of(share(roll(1)));
    let laptop = matches!(kind, HostKind::WindowsLaptop | HostKind::MacLaptop);
    let team = pick(2, TEAMS);
    let environment = match (laptop, share(roll(3))) {
        (false, x) if x < 0.2 => "staging",
        (false, x) if x < 0.4 => "dev",
        _ => "prod",
    };
    let exposed = !laptop && (kind == HostKind::Appliance || share(roll(4)) < 0.15);
    let criticality = criticality(team, environment, laptop, exposed, roll(5));
    let hostname = name(kind, team, environment, index, roll(6), day);
    let address = if laptop { u64::from(index) + 13 * (day.max(0) as u64 / 7) } else { u64::from(index) };
    let net = if laptop { 200 } else { 40 };
    let ip = format!("10.{}", dotted(net, address));
    let cloud = (kind == HostKind::CloudLinux).then(|| {
        let region = pick(8, REGIONS);
        Cloud {
            instance: format!("i-0{:016x}", roll(9)),
            account: pick(10, ACCOUNTS),
            region,
            zone: format!("{region}{}", ["a", "b", "c"][below(roll(11), 3) as usize]),
            size: pick(12, SIZES),
        }
    });
    let owned = !matches!(kind, HostKind::CloudLinux | HostKind::Appliance);
    let born = born(size, index, roll(13));
    let known = share(roll(14));
    Host {
        index,
        kind,
        fqdn: match kind {
            HostKind::CloudLinux => Some(format!("{hostname}.aws.example.com")),
            HostKind::WindowsLaptop | HostKind::MacLaptop => None,
            _ => Some(format!("{hostname}.corp.example.com")),
        },
        netbios: matches!(kind, HostKind::WindowsServer | HostKind::WindowsLaptop)
            .then(|| hostname.to_uppercase().chars().take(15).collect()),
        ip,
        public_ip: exposed.then(|| format!("198.{}", dotted(18, u64::from(index)))),
        mac: (kind != HostKind::Appliance).then(|| mac(kind, roll(15))),
        bios_uuid: owned.then(|| uuid(seed, &[2, u64::from(index)]).to_uppercase()),
        serial: laptop.then(|| format!("C{:010X}", roll(16) >> 24)),
        agent: (laptop || (kind == HostKind::CloudLinux && share(roll(17)) < 0.6))
            .then(|| uuid(seed, &[3, u64::from(index)])),
        cloud,
        os: os(kind, roll(18)),
        environment,
        team,
        exposure: if exposed { "internet" } else { "internal" },
        criticality,
        in_tenable: known >= 0.08,
        in_qualys: known < 0.92,
        born,
        end: end(kind, index, born, roll(19)),
        silent_from: (share(roll(20)) < 0.015).then(|| 10 + below(roll(21), 50) as i64),
        products: products(kind, team, |what| share(roll(100 + what))),
        hostname,
    }
}

/// The last three parts of an address, without those that mean a whole net.
fn dotted(net: u64, number: u64) -> String {
    let (rest, last) = (number / 254, number % 254 + 1);
    format!("{}.{}.{last}", net + (rest >> 8), rest & 255)
}

fn kind_of(x: f64) -> HostKind {
    match x {
        x if x < 0.38 => HostKind::CloudLinux,
        x if x < 0.52 => HostKind::Linux,
        x if x < 0.70 => HostKind::WindowsServer,
        x if x < 0.88 => HostKind::WindowsLaptop,
        x if x < 0.95 => HostKind::MacLaptop,
        _ => HostKind::Appliance,
    }
}

fn criticality(team: &str, environment: &str, laptop: bool, exposed: bool, roll: u64) -> u8 {
    let base = match (environment, team) {
        _ if laptop => 2,
        ("prod", "payments" | "identity") => 4,
        ("prod", _) => 3,
        ("staging", _) => 2,
        _ => 1,
    };
    (base + u8::from(exposed) + u8::from(share(roll) < 0.15)).min(5)
}

fn name(kind: HostKind, team: &str, environment: &str, index: u32, roll: u64, day: i64) -> String {
    let renamed = index % 53 == 5 && day >= 5;
    let name = match kind {
        HostKind::WindowsLaptop => format!("lt-{:05}", index),
        HostKind::MacLaptop => format!("mac-{:05}", index),
        HostKind::Appliance => format!("edge-{}-{index}", ["gw", "fw", "lb", "sw"][below(roll, 4) as usize]),
        HostKind::WindowsServer => format!("{}{}w{index:05}", &team[..3], &environment[..1]),
        _ => {
            let role = ["api", "worker", "db", "cache", "batch"][below(roll, 5) as usize];
            format!("{team}-{environment}-{role}-{index}")
        }
    };
    if renamed { format!("{name}-new") } else { name }
}

fn mac(kind: HostKind, roll: u64) -> String {
    let vendor = match kind {
        HostKind::CloudLinux => "0a:1b:2c",
        HostKind::Linux | HostKind::WindowsServer => "00:50:56",
        HostKind::MacLaptop => "3c:22:fb",
        _ => "a4:bb:6d",
    };
    format!("{vendor}:{:02x}:{:02x}:{:02x}", roll & 255, (roll >> 8) & 255, (roll >> 16) & 255)
}

fn os(kind: HostKind, roll: u64) -> &'static str {
    let list: &[&str] = match kind {
        HostKind::CloudLinux => &["Amazon Linux 2", "Amazon Linux 2023", "Linux Kernel 5.15 on Ubuntu 22.04"],
        HostKind::Linux => &[
            "Linux Kernel 5.15 on Ubuntu 22.04",
            "Linux Kernel 5.4 on Ubuntu 20.04",
            "Red Hat Enterprise Linux 8.9",
            "Debian GNU/Linux 11",
        ],
        HostKind::WindowsServer => &[
            "Microsoft Windows Server 2019 Standard",
            "Microsoft Windows Server 2016 Standard",
            "Microsoft Windows Server 2022 Datacenter",
        ],
        HostKind::WindowsLaptop => &["Microsoft Windows 11 Enterprise", "Microsoft Windows 10 Enterprise"],
        HostKind::MacLaptop => &["macOS 14.5", "macOS 13.6"],
        HostKind::Appliance => &["Network appliance"],
    };
    list[below(roll, list.len() as u64) as usize]
}

/// The first hosts are older than the simulation; newcomers appear one by one.
fn born(size: usize, index: u32, roll: u64) -> i64 {
    if (index as usize) < size {
        return -40 - below(roll, 360) as i64;
    }
    let newcomer = i64::from(index) - size as i64;
    let per_500_days = (size as i64).max(100);
    (newcomer + 1) * 500 / per_500_days + i64::from((newcomer + 1) * 500 % per_500_days != 0)
}

/// Two of a hundred hosts are removed in the first weeks.
fn end(kind: HostKind, index: u32, born: i64, roll: u64) -> Option<(i64, End)> {
    let how = if kind == HostKind::CloudLinux { End::Terminated } else { End::Deleted };
    match index % 97 {
        3 => Some((born.max(0) + 4 + below(roll, 10) as i64, how)),
        11 => Some((born.max(0) + 6 + below(roll, 10) as i64, how)),
        _ => None,
    }
}

fn products(kind: HostKind, team: &str, chance: impl Fn(u64) -> f64) -> Vec<Product> {
    let mut all: Vec<Product> = Vec::with_capacity(24);
    let some = |all: &mut Vec<Product>, what: u64, p: f64, list: &[Product]| {
        if chance(what) < p {
            all.extend_from_slice(list);
        }
    };
    match kind {
        HostKind::CloudLinux | HostKind::Linux => {
            all.extend_from_slice(LINUX_BASE);
            let role: &[Product] = match team {
                "payments" => &[Log4j, Java, Spring, Tomcat, Postgres, Tls],
                "platform" => &[Containers, Grafana, Nginx, Tls],
                "identity" => &[OpenLdap, Java, Apache, Tls],
                "data" => &[Postgres, Redis, Elasticsearch, Java, MySql],
                _ => &[Nginx, Php, Node, Tls],
            };
            all.extend_from_slice(role);
            some(&mut all, 1, 0.35, &[Containers]);
            some(&mut all, 2, 0.08, &[Jenkins]);
            some(&mut all, 3, 0.04, &[GitLab]);
            some(&mut all, 4, 0.04, &[Confluence]);
            some(&mut all, 5, 0.05, &[ActiveMq]);
            some(&mut all, 6, 0.08, &[Bind]);
            some(&mut all, 7, 0.05, &[Samba]);
            some(&mut all, 8, 0.05, &[Exim]);
            some(&mut all, 9, 0.1, &[Snmp]);
            some(&mut all, 10, 0.2, &[Apache]);
            let mut seen = Vec::with_capacity(all.len());
            all.retain(|product| {
                !seen.contains(product) && {
                    seen.push(*product);
                    true
                }
            });
        }
        HostKind::WindowsServer => {
            all.extend_from_slice(WINDOWS_BASE);
            all.extend_from_slice(&[WindowsNetwork, VmwareTools, Chrome, Tls]);
            some(&mut all, 1, 0.15, &[DomainController]);
            some(&mut all, 2, 0.08, &[Exchange]);
            some(&mut all, 3, 0.08, &[SharePoint]);
            some(&mut all, 4, 0.04, &[MoveIt]);
            some(&mut all, 5, 0.08, &[Veeam]);
            some(&mut all, 6, 0.3, &[SevenZip]);
            some(&mut all, 7, 0.1, &[Snmp]);
        }
        HostKind::WindowsLaptop => {
            all.extend_from_slice(WINDOWS_BASE);
            all.extend_from_slice(LAPTOP_SOFTWARE);
            some(&mut all, 1, 0.6, &[SevenZip]);
            some(&mut all, 2, 0.4, &[WinRar]);
            some(&mut all, 3, 0.6, &[Reader]);
            some(&mut all, 4, 0.3, &[Git]);
        }
        HostKind::MacLaptop => {
            all.extend_from_slice(&[MacOs, IcmpStack]);
            all.extend_from_slice(LAPTOP_SOFTWARE);
            some(&mut all, 1, 0.7, &[Git, Python, Curl, Vim]);
        }
        HostKind::Appliance => {
            let models = [NetScaler, PanOs, FortiOs, IosXe, BigIp, Vcenter];
            all.push(models[(chance(1) * models.len() as f64) as usize % models.len()]);
            all.extend_from_slice(&[Tls, Snmp, IcmpStack, OpenSsh]);
        }
    }
    all
}
