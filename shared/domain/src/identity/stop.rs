//! Values that are given to many machines at once, and so identify none of them.

use std::net::{IpAddr, Ipv4Addr};

/// Words that stand for "no value", in any field.
const VOID: [&str; 14] = [
    "",
    "none",
    "null",
    "nil",
    "n/a",
    "na",
    "unknown",
    "undefined",
    "not specified",
    "not applicable",
    "not available",
    "unavailable",
    "empty",
    "-",
];

/// Whether a lower-case text says that there is no value.
pub(super) fn is_void(text: &str) -> bool {
    VOID.contains(&text)
}

/// Whether a lower-case serial number is a maker's placeholder.
pub(super) fn is_placeholder_serial(serial: &str) -> bool {
    const PLACEHOLDERS: [&str; 12] = [
        "to be filled by o.e.m.",
        "to be filled by oem",
        "default string",
        "system serial number",
        "chassis serial number",
        "base board serial number",
        "serial number",
        "oem",
        "invalid",
        "no serial number",
        "123456789",
        "ssn12345678901234567",
    ];
    let mut bytes = serial.bytes().filter(u8::is_ascii_alphanumeric);
    let first = bytes.next();
    is_void(serial)
        || PLACEHOLDERS.contains(&serial)
        || serial.len() < 4
        || bytes.all(|b| Some(b) == first)
        || "01234567890123456789".contains(serial)
}

/// Whether a BIOS UUID, as 32 hexadecimal digits, is a maker's placeholder.
pub(super) fn is_placeholder_uuid(hex: &str) -> bool {
    const PLACEHOLDERS: [&str; 7] = [
        "03000200040005000006000700080009", // AMI sample
        "00020003000400050006000700080009", // the same with its first fields swapped
        "12345678123456781234567812345678",
        "0123456789abcdef0123456789abcdef",
        "00112233445566778899aabbccddeeff",
        "11111111222233334444555555555555",
        "4c4c454400202010802080c04f202020", // Dell without a service tag
    ];
    let repeats = |width: usize| hex.as_bytes().windows(width + 1).all(|bytes| bytes[0] == bytes[width]);
    repeats(1) || repeats(2) || PLACEHOLDERS.contains(&hex)
}

/// Whether a hardware address, as 12 lower-case hexadecimal digits, is shared by design.
pub(super) fn is_shared_mac(mac: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "0000000000", // none
        "00005e0001", // VRRP, CARP
        "00005e0002", // VRRP for IPv6
        "00000c07ac", // HSRP
        "00000c9ff",  // HSRP version 2
        "000573a0",   // HSRP for IPv6
        "0007b4",     // GLBP
        "0242",       // docker: derived from the container's address
        "44455354",   // Windows dial-up adapter
    ];
    const WHOLE: [&str; 9] = [
        "00059a3c7a00", // Cisco AnyConnect's adapter
        "005056c00001", // VMware Workstation, host-only network
        "005056c00008", // VMware Workstation, NAT network
        "00090ffe0001", // FortiClient's adapter
        "02004c4f4f50", // Microsoft loopback adapter
        "0a0027000000", // VirtualBox, host-only network
        "204153594eff", // Windows RAS adapter
        "505054503030", // Windows PPTP adapter
        "eeeeeeeeeeee", // Calico
    ];
    let multicast = mac.as_bytes().get(1).is_some_and(|b| b"13579bdf".contains(b));
    multicast || WHOLE.contains(&mac) || PREFIXES.iter().any(|prefix| mac.starts_with(prefix))
}

/// Whether the first label of a name, in lower case, is what a system is called before anybody names it, or merely
/// spells its address.
pub(super) fn is_default_name(label: &str) -> bool {
    const NAMES: [&str; 34] = [
        "localhost",
        "localhost4",
        "localhost6",
        "localdomain",
        "ubuntu",
        "debian",
        "centos",
        "fedora",
        "kali",
        "linux",
        "raspberrypi",
        "openwrt",
        "router",
        "gateway",
        "host",
        "hostname",
        "server",
        "computer",
        "pc",
        "my-pc",
        "user-pc",
        "admin-pc",
        "owner-pc",
        "windows",
        "workgroup",
        "default",
        "template",
        "vm",
        "macbook",
        "macbook-pro",
        "macbook-air",
        "imac",
        "mac-mini",
        "new-host",
    ];
    let windows_setup =
        |prefix: &str, length: usize| label.strip_prefix(prefix).is_some_and(|rest| rest.len() == length);
    is_void(label)
        || NAMES.contains(&label)
        || ["android", "iphone", "ipad"].iter().any(|device| label.starts_with(device))
        || windows_setup("win-", 11)
        || windows_setup("minint-", 7)
        || label.bytes().all(|b| b.is_ascii_digit())
        || spells_an_address(label)
}

/// `ip-10-0-0-5`, `ec2-52-1-2-3`, `dhcp-10-1-2-3-lan`, `ip-0a000005`: the name moves with the address.
fn spells_an_address(label: &str) -> bool {
    let parts: Vec<&str> = label.split(['-', '_']).collect();
    let octets = |window: &[&str]| window.iter().all(|part| part.len() <= 3 && part.parse::<u8>().is_ok());
    let hexadecimal = label
        .strip_prefix("ip-")
        .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || parts.windows(4).any(octets)
}

/// A domain of home networks and unconfigured systems: a name in it is no more than the bare host name.
pub(super) fn is_no_domain(domain: &str) -> bool {
    const DOMAINS: [&str; 10] = [
        "local",
        "localdomain",
        "localnet",
        "lan",
        "home",
        "internal",
        "workgroup",
        "home.arpa",
        "fritz.box",
        "invalid",
    ];
    DOMAINS.contains(&domain)
}

/// An address that many machines have at once, or none has.
pub(super) fn is_shared_address(address: IpAddr) -> bool {
    // What container engines and hypervisors give to the host itself.
    const WITHIN_A_HOST: [Ipv4Addr; 3] =
        [Ipv4Addr::new(172, 17, 0, 1), Ipv4Addr::new(192, 168, 122, 1), Ipv4Addr::new(10, 0, 2, 15)];
    let everywhere = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    everywhere
        || match address {
            IpAddr::V4(v4) => {
                v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0 || WITHIN_A_HOST.contains(&v4)
            }
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

/// Whether an address is one that a cloud moves between instances.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let carrier_grade_nat = first == 100 && second & 0xc0 == 64;
            !v4.is_private() && !carrier_grade_nat
        }
        IpAddr::V6(_) => false,
    }
}
