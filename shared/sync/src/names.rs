//! Names and addresses, sorted to where they belong.

use std::net::IpAddr;

use domain::Host;

/// Puts addresses and names where they belong in `host`: a "host name" may hold an address, an "FQDN" may have no dot.
/// A name with dots stands among the FQDNs too, wherever the scanner put it, as other scanners will.
pub fn sort_into(host: &mut Host, addresses: Vec<String>, hostnames: Vec<String>, fqdns: Vec<String>) {
    for address in addresses {
        add_address(host, &address);
    }
    for name in hostnames {
        if !add_address(host, &name) {
            if is_qualified(&name) {
                add(&mut host.fqdns, &name);
            }
            add(&mut host.hostnames, &name);
        }
    }
    let mut qualified = Vec::with_capacity(fqdns.len());
    for name in fqdns {
        if add_address(host, &name) {
            continue;
        }
        if is_qualified(&name) {
            add(&mut qualified, &name);
        } else {
            add(&mut host.hostnames, &name);
        }
    }
    // What the scanner itself calls an FQDN comes first.
    for name in std::mem::take(&mut host.fqdns) {
        add(&mut qualified, &name);
    }
    host.fqdns = qualified;
}

/// Hardware addresses out of texts that may hold several; what is none (redacted, cut off) is left out.
pub fn macs(texts: Vec<String>) -> Vec<String> {
    let mut macs = Vec::with_capacity(texts.len());
    for text in &texts {
        for mac in text.split([',', ';', '\n', ' ']).map(str::trim) {
            let digits = mac.bytes().filter(u8::is_ascii_hexdigit).count();
            let others =
                mac.bytes().filter(|b| !b.is_ascii_hexdigit() && !matches!(b, b':' | b'-' | b'.')).count();
            if digits == 12 && others == 0 {
                add(&mut macs, mac);
            }
        }
    }
    macs
}

/// Takes the text if it is an address, also with a prefix length or a zone behind it.
fn add_address(host: &mut Host, text: &str) -> bool {
    let address = text.trim().split(['/', '%']).next().unwrap_or_default();
    let is_address = address.parse::<IpAddr>().is_ok();
    if is_address {
        add(&mut host.ips, address);
    }
    is_address
}

fn is_qualified(name: &str) -> bool {
    name.trim_end_matches('.').contains('.')
}

/// Adds a name that is not there yet in any case, unless it was redacted.
fn add(names: &mut Vec<String>, name: &str) {
    let name = name.trim();
    let redacted = name.starts_with('[') && name.ends_with(']');
    if !name.is_empty() && !redacted && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        names.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(addresses: &[&str], hostnames: &[&str], fqdns: &[&str]) -> Host {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let mut host = Host::default();
        sort_into(&mut host, owned(addresses), owned(hostnames), owned(fqdns));
        host
    }

    #[test]
    fn a_host_name_that_is_an_address_is_an_address() {
        let host = sorted(&["192.168.16.147"], &["192.168.16.147"], &["pfsense"]);
        assert_eq!(
            (host.ips, host.hostnames, host.fqdns),
            (vec!["192.168.16.147".into()], vec!["pfsense".into()], vec![])
        );
    }

    #[test]
    fn a_name_with_dots_is_also_an_fqdn() {
        let host = sorted(&[], &["VCSA8.example.com", "vcsa8"], &["vcsa8.example.com", "other.example.com"]);
        assert_eq!(host.hostnames, ["VCSA8.example.com", "vcsa8"]);
        assert_eq!(host.fqdns, ["vcsa8.example.com", "other.example.com"]);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        let host = sorted(
            &["[REDACTED]", "2001:DB8:1::1/32", "fe80::1%eth0", "2001:DB8:1234:1234/32", "300.1.1.1"],
            &[],
            &[],
        );
        assert_eq!(host.ips, ["2001:DB8:1::1", "fe80::1"]);
        assert!(sorted(&[], &["[REDACTED]"], &["[REDACTED]"]).hostnames.is_empty());
    }

    #[test]
    fn hardware_addresses_may_come_in_one_text() {
        let macs = |texts: &[&str]| macs(texts.iter().map(ToString::to_string).collect());
        assert_eq!(
            macs(&["00:50:56:A6:55:8C\n00-50-56-a6-55-8d"]),
            ["00:50:56:A6:55:8C", "00-50-56-a6-55-8d"]
        );
        assert_eq!(macs(&["0050.56a6.558c", "[REDACTED]", "00:50", ""]), ["0050.56a6.558c"]);
    }
}
