//! An estate whose sightings are labelled: which machine each of them is of is known. It is made of groups of machines
//! that are easily taken for one another, and of machines that hardly look like themselves, seen by scanners that each
//! tell another part.
//!
//! Same seed, same lines. The label is a field of the line (`machine`) that nothing but a judge reads.

use serde_json::{Map, Value, json};

use crate::dice::{below, hash_numbers, share, uuid};

/// Days that the estate is watched.
const DAYS: u64 = 14;
/// The first second: 2026-11-01.
const START: i64 = 1_793_491_200;
const SITES: [&str; 4] = ["paris", "london", "lab", "default"];

/// Whom a group is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Ordinary servers: own hardware, a fixed address, seen by every scanner.
    Server,
    /// Virtual machines of one hypervisor.
    Virtual,
    /// Laptops whose addresses change every day, with adapters of their own.
    Laptop,
    /// Laptops that share one dock.
    Dock,
    /// A laptop that is installed anew: other name, other agent, same serial number.
    Reimage,
    /// An agent that is installed again on the same server.
    Reinstall,
    /// Instances that replace each other under one name and address.
    Replacement,
    /// Instances of two accounts under one instance id.
    Accounts,
    /// A public address that moves from one instance to another.
    Elastic,
    /// Copies of a virtual machine: one UUID, one serial number.
    Clone,
    /// An agent that is part of an image.
    GoldenAgent,
    /// A pair of routers with one virtual hardware address.
    Vrrp,
    /// Two nodes and the name that fails over between them.
    Failover,
    /// Hosts of containers, and containers.
    Docker,
    /// The same address, name and hypervisor's hardware address at two sites.
    Sites,
    /// Full names that NetBIOS cuts to one.
    Netbios,
    /// One host name in two domains.
    Domains,
    /// Many machines that nobody named.
    Localhost,
    /// Phones that hide their hardware address.
    Phone,
    /// One name for a whole network of addresses.
    Wildcard,
    /// Addresses that a machine changes for its privacy.
    Privacy,
    /// An address with many machines behind it.
    Balancer,
    /// A scanner that knows the address, one that knows the name, one that knows both.
    Bridge,
    /// A device that answers on every address in the same way.
    Firewall,
    /// A device of which nobody knows more than the address.
    AddressOnly,
    /// Two laptops, one after the other at one address.
    Dhcp,
    /// Machines with what their maker left in the firmware.
    Junk,
}

impl Trouble {
    /// Every kind with its share of a hundred groups.
    pub const ALL: [(Self, u64); 27] = [
        (Self::Server, 18),
        (Self::Virtual, 14),
        (Self::Laptop, 12),
        (Self::Dock, 3),
        (Self::Reimage, 3),
        (Self::Reinstall, 3),
        (Self::Replacement, 5),
        (Self::Accounts, 2),
        (Self::Elastic, 2),
        (Self::Clone, 4),
        (Self::GoldenAgent, 1),
        (Self::Vrrp, 2),
        (Self::Failover, 2),
        (Self::Docker, 3),
        (Self::Sites, 3),
        (Self::Netbios, 2),
        (Self::Domains, 3),
        (Self::Localhost, 2),
        (Self::Phone, 2),
        (Self::Wildcard, 1),
        (Self::Privacy, 2),
        (Self::Balancer, 1),
        (Self::Bridge, 2),
        (Self::Firewall, 1),
        (Self::AddressOnly, 3),
        (Self::Dhcp, 3),
        (Self::Junk, 1),
    ];
}

/// A sighting with the machine that it is of.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// The kind of group.
    pub trouble: Trouble,
    /// The machine.
    pub machine: String,
    /// The line.
    pub line: String,
}

/// The sightings of so many groups, group by group. A group has one to six machines and about thirty sightings each.
pub fn estate(seed: u64, groups: u64) -> impl Iterator<Item = Labelled> {
    (0..groups).flat_map(move |group| {
        let mut made = Group { seed, group, trouble: Trouble::Server, out: Vec::new(), rolls: 0 };
        let mut roll = below(hash_numbers(seed, &[group]), 100);
        for (trouble, share) in Trouble::ALL {
            if roll < share {
                made.trouble = trouble;
                break;
            }
            roll -= share;
        }
        made.make();
        made.out
    })
}

/// What a machine has. A scanner tells a part of it.
#[derive(Clone, Default)]
struct Machine {
    label: String,
    site: &'static str,
    name: String,
    domain: Option<&'static str>,
    macs: Vec<String>,
    bios: Option<String>,
    serial: Option<String>,
    ip: String,
    os: &'static str,
    cloud: Option<Value>,
    agent: Option<String>,
}

/// A scanner's view.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// Everything that runs on the machine.
    Agent,
    /// A scan with credentials: one hardware address, names, UUID.
    Login,
    /// A scan from the same network: address, hardware address, NetBIOS name.
    Near,
    /// A scan from afar: address and what the name service says.
    Far,
    /// An address alone.
    Bare,
    /// The cloud's own inventory.
    Cloud,
}

impl View {
    fn connector(self) -> &'static str {
        match self {
            Self::Agent => "tenable-agents",
            Self::Login => "qualys-prod",
            Self::Near => "insightvm-office",
            Self::Far => "nessus-site",
            Self::Bare => "discovery",
            Self::Cloud => "aws-inspector",
        }
    }
}

struct Group {
    seed: u64,
    group: u64,
    trouble: Trouble,
    out: Vec<Labelled>,
    rolls: u64,
}

impl Group {
    fn roll(&mut self, limit: u64) -> u64 {
        self.rolls += 1;
        below(hash_numbers(self.seed, &[self.group, self.rolls]), limit)
    }

    fn chance(&mut self, odds: f64) -> bool {
        self.rolls += 1;
        share(hash_numbers(self.seed, &[self.group, self.rolls])) < odds
    }

    fn address(&self, n: u64) -> String {
        let host = self.group * 8 + n;
        format!("10.{}.{}.{}", host / 64_516 % 250, host / 254 % 254, host % 254 + 1)
    }

    fn mac(&self, range: &str, n: u64) -> String {
        let own = format!("{range}{:06x}", (self.group * 16 + n) & 0xff_ffff);
        own.as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(":")
    }

    fn uuid(&self, n: u64) -> String {
        uuid(self.seed, &[self.group, n, 77])
    }

    fn physical(&mut self, n: u64) -> Machine {
        let group = self.group;
        let windows = self.chance(0.5);
        Machine {
            label: format!("{group}-{n}"),
            site: SITES[self.roll(4) as usize],
            name: format!("{}{group:05}-{n}", ["srv", "app", "db", "lt"][self.roll(4) as usize]),
            domain: Some(["corp.example.com", "prod.example.com"][self.roll(2) as usize]),
            macs: vec![self.mac("a4bb6d", n * 2), self.mac("3c5282", n * 2 + 1)],
            bios: Some(self.uuid(n)),
            serial: Some(format!("5CG{:07X}", group * 8 + n)),
            ip: self.address(n),
            os: if windows { "Windows Server 2022" } else { "Ubuntu Linux 22.04" },
            cloud: None,
            agent: Some(self.uuid(n + 100)),
        }
    }

    fn virtual_machine(&mut self, n: u64) -> Machine {
        let mut machine = self.physical(n);
        machine.macs = vec![self.mac("005056", n)];
        machine.serial = machine.bios.as_ref().map(|uuid| format!("VMware-{}", uuid.replace('-', " ")));
        machine
    }

    fn instance(&mut self, n: u64) -> Machine {
        let mut machine = self.physical(n);
        machine.macs = vec![self.mac("0a1b2c", n)];
        machine.serial = None;
        machine.site = "default";
        machine.domain = None;
        machine.os = "Amazon Linux 2023";
        machine.cloud = Some(json!({
            "provider": "aws", "account": "111122223333", "region": "eu-west-1",
            "id": format!("i-{:017x}", hash_numbers(self.seed, &[self.group, n, 5])),
        }));
        machine
    }

    /// One sighting at a time of a day.
    fn see(&mut self, machine: &Machine, view: View, day: u64, key: Option<&str>) {
        let second = day * 86_400 + self.roll(86_400);
        self.see_at(machine, view, second, key);
    }

    fn see_at(&mut self, machine: &Machine, view: View, second: u64, key: Option<&str>) {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| _ = line.insert(name.to_owned(), value);
        let id = format!("s-{}-{}", self.group, self.out.len());
        let at = jiff::Timestamp::from_second(START + second as i64).unwrap_or_default();
        put("id", json!(id));
        put("observed_at", json!(at.to_string()));
        put("scope", json!(machine.site));
        put("connector", json!(view.connector()));
        let native = format!("{}-{}", view.connector(), machine.label);
        put("asset_key", json!(key.unwrap_or(&native)));
        put("ips", json!([machine.ip]));
        let fqdn = machine.domain.map(|domain| format!("{}.{domain}", machine.name));
        let named = !machine.name.is_empty();
        match view {
            View::Agent => {
                put("agent_ids", json!(machine.agent.iter().collect::<Vec<_>>()));
                put("macs", json!(machine.macs));
                put("bios_uuid", json!(machine.bios));
                put("serial", json!(machine.serial));
                put("hostnames", json!([machine.name]));
                put("fqdns", json!(fqdn.iter().collect::<Vec<_>>()));
                put("os", json!(machine.os));
                put("cloud", json!(machine.cloud.iter().collect::<Vec<_>>()));
            }
            View::Login => {
                let which = self.roll(machine.macs.len().max(1) as u64) as usize;
                put(
                    "macs",
                    json!(
                        machine
                            .macs
                            .get(which)
                            .map(|mac| mac.replace(':', "-").to_uppercase())
                            .iter()
                            .collect::<Vec<_>>()
                    ),
                );
                if self.chance(0.7) {
                    put("bios_uuid", json!(machine.bios.as_ref().map(|uuid| uuid.to_uppercase())));
                }
                if self.chance(0.5) {
                    put("serial", json!(machine.serial));
                }
                put(
                    "fqdns",
                    json!(fqdn.iter().map(|name| format!("{name}.").to_uppercase()).collect::<Vec<_>>()),
                );
                put("hostnames", json!([machine.name]));
                put("os", json!(machine.os));
            }
            View::Near => {
                put("macs", json!(machine.macs.first().iter().collect::<Vec<_>>()));
                if named && machine.os.starts_with("Windows") {
                    put("netbios", json!([machine.name.chars().take(15).collect::<String>().to_uppercase()]));
                }
                put("os", json!(machine.os.split(' ').next()));
            }
            View::Far => {
                put("fqdns", json!(fqdn.iter().collect::<Vec<_>>()));
                if fqdn.is_none() && named {
                    put("hostnames", json!([machine.name]));
                }
                if self.chance(0.5) {
                    put("os", json!(machine.os));
                }
            }
            View::Bare => {}
            View::Cloud => {
                put("cloud", json!(machine.cloud.iter().collect::<Vec<_>>()));
                put("hostnames", json!([machine.name]));
            }
        }
        line.insert("machine".to_owned(), json!(machine.label));
        self.out.push(Labelled {
            trouble: self.trouble,
            machine: machine.label.clone(),
            line: Value::Object(line).to_string(),
        });
    }

    /// Two weeks of every scanner that sees such machines.
    fn watch(&mut self, machine: &Machine, views: &[View], days: std::ops::Range<u64>) {
        for day in days {
            for view in views {
                let daily = matches!(view, View::Agent | View::Cloud);
                if self.chance(if daily { 0.8 } else { 0.35 }) {
                    self.see(machine, *view, day, None);
                }
            }
        }
    }

    /// The same with another address every day.
    fn roam(&mut self, machine: &mut Machine, views: &[View], days: std::ops::Range<u64>) {
        for day in days {
            // A pool that the laptops of a site share.
            machine.ip = format!("10.200.{}.{}", self.group % 50, self.roll(250) + 1);
            let macs = machine.macs.clone();
            if self.chance(0.4) {
                machine.macs.rotate_left(1);
            }
            self.watch(machine, views, day..day + 1);
            machine.macs = macs;
        }
    }

    fn make(&mut self) {
        use View::{Agent, Bare, Cloud, Far, Login, Near};
        const OFFICE: [View; 4] = [Agent, Login, Near, Far];
        match self.trouble {
            Trouble::Server => {
                let machine = self.physical(0);
                self.watch(&machine, &[Agent, Login, Near, Far, Bare], 0..DAYS);
            }
            Trouble::Virtual => {
                for n in 0..3 {
                    let mut machine = self.virtual_machine(n);
                    machine.site = "paris";
                    let views: &[View] = if self.chance(0.6) { &OFFICE } else { &[Login, Far] };
                    self.watch(&machine, views, 0..DAYS);
                }
            }
            Trouble::Laptop => {
                for n in 0..2 {
                    let mut machine = self.physical(n);
                    machine.os = "Windows 11";
                    self.roam(&mut machine, &OFFICE, 0..DAYS);
                }
            }
            Trouble::Dock => {
                let dock = self.mac("00e04c", 15);
                for n in 0..3 {
                    let mut machine = self.physical(n);
                    machine.site = "london";
                    machine.macs.push(dock.clone());
                    self.roam(&mut machine, &OFFICE, 0..DAYS);
                }
            }
            Trouble::Reimage => {
                let mut machine = self.physical(0);
                machine.os = "Windows 11";
                self.roam(&mut machine, &OFFICE, 0..7);
                machine.name = format!("new{:05}", self.group);
                machine.agent = Some(self.uuid(300));
                self.roam(&mut machine, &OFFICE, 7..DAYS);
            }
            Trouble::Reinstall => {
                let mut machine = self.physical(0);
                self.watch(&machine, &OFFICE, 0..7);
                machine.agent = Some(self.uuid(300));
                self.watch(&machine, &OFFICE, 7..DAYS);
            }
            Trouble::Replacement => {
                let name = format!("asg{:05}", self.group);
                for n in 0..4 {
                    let mut machine = self.instance(n);
                    machine.name = name.clone();
                    machine.ip = self.address(n % 2);
                    if self.chance(0.5) {
                        machine.domain = Some("aws.example.com");
                    }
                    self.watch(&machine, &[Agent, Cloud, Far], n * 3..n * 3 + 3);
                }
            }
            Trouble::Accounts => {
                let twin = self.instance(0);
                for (n, account) in ["111122223333", "444455556666"].into_iter().enumerate() {
                    let mut machine = self.instance(n as u64);
                    machine.cloud = twin.cloud.clone();
                    machine.cloud.iter_mut().for_each(|cloud| cloud["account"] = json!(account));
                    self.watch(&machine, &[Agent, Cloud], 0..DAYS);
                }
            }
            Trouble::Elastic => {
                let public = format!("52.{}.{}.9", self.group % 200 + 1, self.group / 200 % 250);
                for n in 0..2 {
                    let mut machine = self.instance(n);
                    self.watch(&machine, &[Agent, Cloud], 0..DAYS);
                    machine.ip = public.clone();
                    machine.name = String::new();
                    self.watch(&machine, &[Bare], n * 7..n * 7 + 7);
                }
            }
            Trouble::Clone => {
                let origin = self.virtual_machine(0);
                for n in 0..4 {
                    let mut machine = self.virtual_machine(n);
                    machine.site = "paris";
                    (machine.bios, machine.serial) = (origin.bios.clone(), origin.serial.clone());
                    self.watch(&machine, &OFFICE, n..DAYS);
                }
            }
            Trouble::GoldenAgent => {
                let agent = self.uuid(400);
                for n in 0..4 {
                    let mut machine = self.virtual_machine(n);
                    machine.agent = Some(agent.clone());
                    machine.site = "lab";
                    let key = format!("agent-{}-{n}", self.group);
                    for day in n..DAYS {
                        self.see(&machine, Agent, day, Some(&key));
                    }
                    self.watch(&machine, &[Login, Far], n..DAYS);
                }
            }
            Trouble::Vrrp => {
                for n in 0..2 {
                    let mut machine = self.physical(n);
                    machine.site = "lab";
                    machine.os = "Cisco IOS XE";
                    machine.macs.push("00:00:5e:00:01:0a".to_owned());
                    self.watch(&machine, &[Login, Near, Far], 0..DAYS);
                    machine.macs.rotate_right(1);
                    self.watch(&machine, &[Near], 0..DAYS);
                }
            }
            Trouble::Failover => {
                for n in 0..2 {
                    let mut machine = self.physical(n);
                    machine.site = "paris";
                    self.watch(&machine, &OFFICE, 0..DAYS);
                    machine.name = format!("vip{:05}", self.group);
                    machine.domain = Some("corp.example.com");
                    machine.ip = self.address(7);
                    machine.bios = None;
                    machine.serial = None;
                    for day in (0..DAYS).filter(|day| day / 3 % 2 == n) {
                        let key = format!("vip-{}", self.group);
                        self.see(&machine, Near, day, Some(&key));
                    }
                }
            }
            Trouble::Docker => {
                for n in 0..3 {
                    let mut machine = self.physical(n);
                    machine.site = "lab";
                    machine.macs.push("02:42:ac:11:00:01".to_owned());
                    self.watch(&machine, &[Agent, Login], 0..DAYS);
                    let container = Machine {
                        label: format!("{}-container-{n}", self.group),
                        site: "lab",
                        name: self.uuid(n + 500).replace('-', "")[..12].to_owned(),
                        macs: vec!["02:42:ac:11:00:02".to_owned()],
                        ip: "172.17.0.2".to_owned(),
                        os: "Debian Linux 12",
                        ..Machine::default()
                    };
                    self.watch(&container, &[Login], 0..4);
                }
            }
            Trouble::Sites => {
                for (n, site) in ["paris", "london"].into_iter().enumerate() {
                    let mut machine = self.virtual_machine(0);
                    machine.label = format!("{}-{n}", self.group);
                    machine.site = site;
                    machine.name = format!("printsrv{:04}", self.group % 500);
                    machine.domain = None;
                    machine.bios = Some(self.uuid(n as u64));
                    machine.serial = None;
                    machine.agent = Some(self.uuid(600 + n as u64));
                    self.watch(&machine, &[Agent, Login, Near], 0..DAYS);
                }
            }
            Trouble::Netbios => {
                for n in 0..2 {
                    let mut machine = self.virtual_machine(n);
                    machine.site = "paris";
                    machine.os = "Windows Server 2022";
                    machine.name = format!("payments-{:06}-{n}", self.group);
                    self.watch(&machine, &OFFICE, 0..DAYS);
                }
            }
            Trouble::Domains => {
                for (n, domain) in ["corp.example.com", "lab.example.com"].into_iter().enumerate() {
                    let mut machine = self.physical(n as u64);
                    machine.site = "lab";
                    machine.name = format!("web{:05}", self.group);
                    machine.domain = Some(domain);
                    self.watch(&machine, &[Agent, Login, Far], 0..DAYS);
                    machine.domain = None;
                    self.watch(&machine, &[Near], 0..DAYS);
                }
            }
            Trouble::Localhost => {
                for n in 0..5 {
                    let mut machine = self.physical(n);
                    machine.site = "lab";
                    machine.name = "localhost".to_owned();
                    machine.domain = self.chance(0.5).then_some("localdomain");
                    self.watch(&machine, &[Login, Near], 0..DAYS);
                }
            }
            Trouble::Phone => {
                for n in 0..2 {
                    for day in 0..DAYS {
                        let machine = Machine {
                            label: format!("{}-{n}", self.group),
                            site: "paris",
                            name: if n == 0 { format!("pixel-{}", self.group) } else { "iphone".to_owned() },
                            macs: vec![format!("da:{:02x}:{:02x}:00:00:{n:02x}", self.group % 256, day / 3)],
                            ip: format!("10.201.{}.{}", self.group % 50, self.roll(250) + 1),
                            os: if n == 0 { "Android 15" } else { "iOS 19" },
                            ..Machine::default()
                        };
                        self.watch(&machine, &[Login], day..day + 1);
                    }
                }
            }
            Trouble::Wildcard => {
                for n in 0..6 {
                    let mut machine = self.physical(n);
                    machine.site = "default";
                    machine.name = format!("pool{:05}", self.group);
                    machine.domain = Some("dyn.example.com");
                    self.watch(&machine, &[Far], 0..DAYS);
                }
            }
            Trouble::Privacy => {
                for n in 0..2 {
                    let mut machine = self.physical(n);
                    for day in 0..DAYS {
                        let part = self.roll(1 << 16);
                        machine.ip = format!("2001:db8:{:x}:{n}::{part:x}", self.group);
                        self.watch(&machine, &[Agent, Far, Bare], day..day + 1);
                    }
                }
            }
            Trouble::Balancer => {
                for n in 0..4 {
                    let mut machine = self.physical(n);
                    machine.site = "paris";
                    self.watch(&machine, &OFFICE, 0..DAYS);
                    machine.ip = self.address(7);
                    machine.domain = None;
                    machine.macs = Vec::new();
                    for day in (n..DAYS).step_by(4) {
                        let key = machine.ip.clone();
                        self.see(&machine, Far, day, Some(&key));
                    }
                }
            }
            Trouble::Bridge => {
                let mut machine = self.physical(0);
                machine.macs = Vec::new();
                machine.bios = None;
                for day in 0..DAYS {
                    self.see_at(&machine, Bare, day * 86_400 + 3_600, None);
                    let name = Machine { ip: "0.0.0.0".to_owned(), ..machine.clone() };
                    self.see_at(&name, Far, day * 86_400 + 7_200, None);
                    if day % 3 == 0 {
                        self.see_at(&machine, Login, day * 86_400 + 10_800, None);
                    }
                }
            }
            Trouble::Firewall => {
                for n in 0..6 {
                    let machine = Machine {
                        label: format!("{}-{n}", self.group),
                        site: "london",
                        ip: self.address(n),
                        os: "FortiOS",
                        ..Machine::default()
                    };
                    for day in 0..3 {
                        let key = format!("{}-{n}-{day}", self.group);
                        self.see(&machine, Far, day, Some(&key));
                    }
                }
            }
            Trouble::AddressOnly => {
                let mut machine = self.physical(0);
                machine.site = "london";
                for day in 0..DAYS {
                    // A scanner that counts anew every day.
                    let key = format!("{}-{day}", self.group);
                    self.see_at(&machine, Bare, day * 86_400 + 3_600, Some(&key));
                }
            }
            Trouble::Dhcp => {
                let address = self.address(0);
                for n in 0..2 {
                    let mut machine = self.physical(n);
                    machine.site = "paris";
                    machine.ip = address.clone();
                    machine.macs.truncate(1);
                    self.watch(&machine, &[Agent, Far], n * 7..n * 7 + 7);
                    // A scanner that knows its hosts by their address.
                    for day in n * 7..n * 7 + 7 {
                        self.see(&machine, Login, day, Some(&address));
                        if day % 2 == 0 {
                            self.see(&machine, Bare, day, Some(&address));
                        }
                    }
                }
            }
            Trouble::Junk => {
                for n in 0..3 {
                    let mut machine = self.physical(n);
                    machine.bios = Some("03000200-0400-0500-0006-000700080009".to_owned());
                    machine.serial = Some("To Be Filled By O.E.M.".to_owned());
                    self.watch(&machine, &OFFICE, 0..DAYS);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_lines_and_every_kind_of_trouble() {
        let of = |seed| estate(seed, 600).map(|labelled| labelled.line).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let mut seen: Vec<Trouble> = estate(1, 600).map(|labelled| labelled.trouble).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), Trouble::ALL.len());
        assert_eq!(Trouble::ALL.iter().map(|(_, share)| share).sum::<u64>(), 100);
    }
}
