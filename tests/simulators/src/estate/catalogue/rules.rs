//! The weaknesses without a CVE: settings, expired support, and plain information.

use super::{Covers, Kind, Weakness};
use crate::estate::products::Product::{self, IcmpStack, LinuxSettings, Snmp, Tls, WindowsSettings};

const fn rule(
    id: u16,
    product: Product,
    name: &'static str,
    cvss: f64,
    vector: &'static str,
    severities: (u8, u8),
    ports: &'static [u16],
) -> Weakness {
    let (tenable_severity, qualys_severity) = severities;
    let kind = if tenable_severity == 0 { Kind::Information } else { Kind::Setting };
    Weakness {
        id,
        product,
        cves: &[],
        kind,
        name,
        cvss,
        vector,
        epss: 0.0,
        exploited: false,
        tenable_severity,
        qualys_severity,
        covers: Covers::Both,
        ports,
    }
}

#[rustfmt::skip]
pub static RULES: &[Weakness] = &[
    rule(401, Tls, "TLS 1.0 is offered", 6.5, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:L/A:N", (2, 3), &[443, 8443]),
    rule(402, Tls, "TLS 1.1 is offered", 6.5, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:L/A:N", (2, 2), &[443, 8443]),
    rule(403, Tls, "Certificate is self-signed", 6.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", (2, 2), &[443, 8443]),
    rule(404, Tls, "Certificate is not trusted", 6.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", (2, 2), &[443]),
    rule(405, Tls, "Certificate has expired", 5.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:N", (2, 3), &[8443]),
    rule(406, Tls, "Cipher suites of medium strength are offered", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", (3, 3), &[443]),
    rule(407, Snmp, "Default community string is accepted", 7.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:L", (3, 5), &[161]),
    rule(408, LinuxSettings, "SSH server offers weak key exchange methods", 3.7, "AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N", (1, 2), &[22]),
    rule(409, WindowsSettings, "SMB signing is not required", 5.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:L/A:N", (2, 3), &[445]),
    rule(410, WindowsSettings, "Remote desktop does not demand network level authentication", 4.0, "AV:N/AC:H/PR:N/UI:N/S:C/C:N/I:L/A:N", (2, 3), &[3389]),
    rule(411, LinuxSettings, "Operating system release is out of support", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", (4, 5), &[]),
    rule(412, IcmpStack, "ICMP timestamp requests are answered", 0.0, "", (1, 1), &[0]),
    rule(420, Tls, "Supported cipher suites", 0.0, "", (0, 1), &[443]),
    rule(421, LinuxSettings, "Installed packages", 0.0, "", (0, 1), &[]),
    rule(422, LinuxSettings, "SSH server version", 0.0, "", (0, 1), &[22]),
    rule(423, WindowsSettings, "Installed software", 0.0, "", (0, 1), &[]),
    rule(424, WindowsSettings, "SMB shares", 0.0, "", (0, 1), &[445]),
];
