//! The weaknesses that have CVEs. Scores and vectors are those of CVSS 3.1; the probabilities are EPSS values of
//! FIRST (2026-08-16), the exploited mark is membership in CISA's catalogue of 2025-08-25.

use super::Covers::{Both, Qualys, Tenable};
use super::Kind::{Bypass, Denial, Disclosure, Forgery, Privileges, Rce, Traversal};
use super::{Covers, Kind, Weakness};
use crate::estate::products::Product::{self, *};

#[expect(clippy::too_many_arguments, reason = "one row of a table")]
const fn cve(
    id: u16,
    product: Product,
    cves: &'static [&'static str],
    kind: Kind,
    name: &'static str,
    cvss: f64,
    vector: &'static str,
    epss: f64,
    exploited: bool,
    qualys_severity: u8,
    covers: Covers,
) -> Weakness {
    let tenable_severity = if cvss >= 9.0 {
        4
    } else if cvss >= 7.0 {
        3
    } else if cvss >= 4.0 {
        2
    } else {
        1
    };
    Weakness {
        id,
        product,
        cves,
        kind,
        name,
        cvss,
        vector,
        epss,
        exploited,
        tenable_severity,
        qualys_severity,
        covers,
        ports: &[],
    }
}

#[rustfmt::skip]
pub static CVES: &[Weakness] = &[
    // Kernel
    cve(1, Kernel, &["CVE-2024-1086"], Privileges, "netfilter", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.28058, true, 4, Both),
    cve(2, Kernel, &["CVE-2022-0847"], Privileges, "Dirty Pipe", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.88606, true, 4, Both),
    cve(3, Kernel, &["CVE-2021-22555"], Privileges, "netfilter heap overflow", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.78684, false, 4, Both),
    cve(4, Kernel, &["CVE-2023-0386"], Privileges, "overlayfs", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.07880, true, 4, Both),
    cve(5, Kernel, &["CVE-2023-32233"], Privileges, "nf_tables", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.12966, false, 4, Both),
    cve(6, Kernel, &["CVE-2022-34918"], Privileges, "nf_tables set type", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.05496, false, 4, Both),
    cve(7, Kernel, &["CVE-2023-3269"], Privileges, "StackRot", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.01304, false, 4, Both),
    cve(8, Kernel, &["CVE-2021-33909"], Privileges, "Sequoia", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.09729, false, 4, Both),
    cve(9, Kernel, &["CVE-2022-2588"], Privileges, "cls_route", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.05871, false, 4, Both),
    cve(10, Kernel, &["CVE-2023-31436"], Privileges, "sch_qfq", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00587, false, 4, Both),
    cve(11, Kernel, &["CVE-2023-35001"], Privileges, "nft_byteorder", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.01508, false, 4, Both),
    cve(12, Kernel, &["CVE-2023-4622"], Privileges, "unix sockets", 7.0, "AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00549, false, 4, Both),
    cve(13, Kernel, &["CVE-2023-4623"], Privileges, "sch_hfsc", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00290, false, 4, Both),
    cve(14, Kernel, &["CVE-2023-20593"], Disclosure, "Zenbleed", 5.5, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N", 0.05188, false, 2, Both),
    cve(15, Kernel, &["CVE-2022-40982"], Disclosure, "Downfall", 6.5, "AV:L/AC:L/PR:L/UI:N/S:C/C:H/I:N/A:N", 0.03022, false, 2, Both),
    cve(16, Kernel, &["CVE-2017-5753", "CVE-2017-5715"], Disclosure, "Spectre", 5.6, "AV:L/AC:H/PR:L/UI:N/S:C/C:H/I:N/A:N", 0.92621, false, 2, Both),
    cve(17, Kernel, &["CVE-2017-5754"], Disclosure, "Meltdown", 5.6, "AV:L/AC:H/PR:L/UI:N/S:C/C:H/I:N/A:N", 0.84172, false, 2, Both),
    cve(18, Kernel, &["CVE-2022-1015"], Privileges, "nf_tables bounds", 6.6, "AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:L/A:H", 0.01467, false, 3, Both),
    cve(19, Kernel, &["CVE-2022-0492"], Privileges, "cgroups release_agent", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.05528, false, 4, Both),
    cve(20, Kernel, &["CVE-2024-53104"], Privileges, "uvcvideo", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.03301, true, 4, Both),
    cve(21, Kernel, &["CVE-2021-4154"], Privileges, "cgroup1 parser", 8.8, "AV:L/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 0.01206, false, 4, Tenable),
    cve(22, Kernel, &["CVE-2022-29582"], Privileges, "io_uring timeouts", 7.0, "AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00773, false, 4, Both),
    cve(23, Kernel, &["CVE-2023-1829"], Privileges, "tcindex", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.01037, false, 4, Both),
    cve(24, Kernel, &["CVE-2016-5195"], Privileges, "Dirty COW", 7.0, "AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.83524, true, 4, Both),
    // Glibc
    cve(25, Glibc, &["CVE-2023-4911"], Privileges, "Looney Tunables", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.81422, true, 4, Both),
    cve(26, Glibc, &["CVE-2024-2961"], Rce, "iconv", 7.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:L", 0.88330, false, 4, Both),
    cve(27, Glibc, &["CVE-2023-6246"], Privileges, "syslog", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.04794, false, 4, Both),
    cve(28, Glibc, &["CVE-2021-35942"], Disclosure, "wordexp", 9.1, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:H", 0.02678, false, 5, Both),
    // OpenSsl
    cve(29, OpenSsl, &["CVE-2022-0778"], Denial, "BN_mod_sqrt", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.70561, false, 3, Both),
    cve(30, OpenSsl, &["CVE-2022-3602", "CVE-2022-3786"], Denial, "punycode", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.92488, false, 3, Both),
    cve(31, OpenSsl, &["CVE-2023-0286"], Disclosure, "X.400 address", 7.4, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:H", 0.59501, false, 4, Both),
    cve(32, OpenSsl, &["CVE-2023-0464"], Denial, "policy checks", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.03658, false, 3, Both),
    cve(33, OpenSsl, &["CVE-2021-3711"], Rce, "SM2 decryption", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.87816, false, 5, Both),
    cve(34, OpenSsl, &["CVE-2023-2650"], Denial, "object identifiers", 6.5, "AV:N/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H", 0.75116, false, 3, Both),
    cve(35, OpenSsl, &["CVE-2023-3446"], Denial, "DH check", 5.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", 0.06531, false, 3, Tenable),
    cve(36, OpenSsl, &["CVE-2024-0727"], Denial, "PKCS12", 5.5, "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H", 0.03187, false, 3, Both),
    cve(37, OpenSsl, &["CVE-2022-4304"], Disclosure, "RSA timing", 5.9, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.16195, false, 2, Both),
    cve(38, OpenSsl, &["CVE-2014-0160"], Disclosure, "Heartbleed", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.99999, true, 4, Both),
    // OpenSsh
    cve(39, OpenSsh, &["CVE-2024-6387"], Rce, "regreSSHion", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99506, false, 4, Qualys),
    cve(40, OpenSsh, &["CVE-2023-38408"], Rce, "agent forwarding", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.79700, false, 5, Both),
    cve(41, OpenSsh, &["CVE-2023-48795"], Bypass, "Terrapin", 5.9, "AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.93305, false, 3, Both),
    cve(42, OpenSsh, &["CVE-2021-41617"], Privileges, "AuthorizedKeysCommand", 7.0, "AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.02545, false, 4, Both),
    cve(43, OpenSsh, &["CVE-2023-51385"], Rce, "host name expansion", 6.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", 0.19753, false, 3, Both),
    cve(44, OpenSsh, &["CVE-2018-15473"], Disclosure, "user enumeration", 5.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N", 0.98631, false, 2, Both),
    // Sudo
    cve(45, Sudo, &["CVE-2021-3156"], Privileges, "Baron Samedit", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.99295, true, 4, Both),
    cve(46, Sudo, &["CVE-2023-22809"], Privileges, "sudoedit", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.55367, false, 4, Both),
    cve(47, Sudo, &["CVE-2019-14287"], Privileges, "user id -1", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.63764, false, 4, Both),
    // Polkit
    cve(48, Polkit, &["CVE-2021-4034"], Privileges, "PwnKit", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.94921, true, 4, Both),
    cve(49, Polkit, &["CVE-2021-3560"], Privileges, "D-Bus timing", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.22193, true, 4, Both),
    // Curl
    cve(50, Curl, &["CVE-2023-38545"], Rce, "SOCKS5 overflow", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.78483, false, 5, Both),
    cve(51, Curl, &["CVE-2023-38546"], Bypass, "cookie injection", 3.7, "AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:L/A:N", 0.06208, false, 2, Both),
    cve(52, Curl, &["CVE-2022-32221"], Disclosure, "POST after PUT", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.04325, false, 5, Both),
    cve(53, Curl, &["CVE-2023-23914"], Bypass, "HSTS", 9.1, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N", 0.00858, false, 3, Both),
    cve(54, Curl, &["CVE-2023-27533"], Rce, "telnet options", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01993, false, 4, Both),
    cve(55, Curl, &["CVE-2022-43551"], Bypass, "HSTS with IDN", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.16540, false, 3, Both),
    cve(56, Curl, &["CVE-2023-28321"], Bypass, "wildcard matching", 5.9, "AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.01810, false, 3, Both),
    // Systemd
    cve(57, Systemd, &["CVE-2021-33910"], Denial, "mount path", 5.5, "AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 0.08792, false, 3, Both),
    cve(58, Systemd, &["CVE-2022-2526"], Rce, "resolved", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01106, false, 5, Both),
    cve(59, Systemd, &["CVE-2023-26604"], Privileges, "pager", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.01051, false, 4, Tenable),
    // Vim
    cve(60, Vim, &["CVE-2022-0413"], Rce, "use after free", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01395, false, 4, Both),
    cve(61, Vim, &["CVE-2022-1621"], Rce, "spell check overflow", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.02381, false, 4, Both),
    cve(62, Vim, &["CVE-2022-0361"], Rce, "visual mode overflow", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01566, false, 4, Both),
    // Python
    cve(63, Python, &["CVE-2021-3177"], Rce, "ctypes", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.23293, false, 5, Both),
    cve(64, Python, &["CVE-2023-24329"], Bypass, "urllib blank prefix", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.20459, false, 3, Qualys),
    cve(65, Python, &["CVE-2022-45061"], Denial, "IDNA decoder", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.02433, false, 3, Both),
    cve(66, Python, &["CVE-2020-10735"], Denial, "int conversion", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.05768, false, 3, Both),
    // Git
    cve(67, Git, &["CVE-2022-24765"], Privileges, "safe directory", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00782, false, 4, Both),
    cve(68, Git, &["CVE-2024-32002"], Rce, "submodules", 9.0, "AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.29234, false, 5, Both),
    cve(69, Git, &["CVE-2023-25652"], Traversal, "apply --reject", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.51883, false, 4, Both),
    cve(70, Git, &["CVE-2022-23521"], Rce, "gitattributes", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.56334, false, 5, Tenable),
    cve(71, Git, &["CVE-2022-41903"], Rce, "archive format", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.44268, false, 5, Both),
    // Libraries
    cve(72, Libraries, &["CVE-2022-37434"], Rce, "zlib inflate", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.17852, false, 5, Both),
    cve(73, Libraries, &["CVE-2018-25032"], Denial, "zlib deflate", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.51733, false, 3, Both),
    cve(74, Libraries, &["CVE-2022-25235", "CVE-2022-25236"], Rce, "expat encoding", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.35867, false, 5, Both),
    cve(75, Libraries, &["CVE-2022-40674"], Rce, "expat doContent", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01760, false, 4, Both),
    cve(76, Libraries, &["CVE-2022-40303"], Denial, "libxml2 huge files", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.22791, false, 3, Both),
    cve(77, Libraries, &["CVE-2022-40304"], Rce, "libxml2 entities", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.06782, false, 4, Both),
    cve(78, Libraries, &["CVE-2022-35737"], Denial, "SQLite strings", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.21454, false, 3, Both),
    cve(79, Libraries, &["CVE-2023-0361"], Disclosure, "GnuTLS timing", 7.4, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N", 0.01403, false, 4, Both),
    cve(80, Libraries, &["CVE-2022-3515"], Rce, "libksba", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01635, false, 5, Both),
    cve(81, Libraries, &["CVE-2025-27363"], Rce, "FreeType variable fonts", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.27553, true, 5, Both),
    cve(82, Libraries, &["CVE-2022-29458"], Denial, "ncurses terminfo", 7.1, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:H", 0.01341, false, 3, Both),
    cve(83, Libraries, &["CVE-2022-42010"], Denial, "D-Bus signatures", 6.5, "AV:N/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 0.00887, false, 3, Qualys),
    cve(84, Libraries, &["CVE-2023-31484"], Bypass, "Perl CPAN TLS", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01548, false, 3, Both),
    cve(85, Libraries, &["CVE-2024-12084"], Rce, "rsync checksum", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.72059, false, 5, Both),
    // Bash
    cve(86, Bash, &["CVE-2014-6271", "CVE-2014-7169"], Rce, "Shellshock", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(87, Bash, &["CVE-2019-18276"], Privileges, "effective user id", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.02608, false, 4, Both),
    // Bind
    cve(88, Bind, &["CVE-2023-2828"], Denial, "cache size", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.03776, false, 3, Both),
    cve(89, Bind, &["CVE-2023-3341"], Denial, "control channel", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.02647, false, 3, Both),
    cve(90, Bind, &["CVE-2022-38177"], Denial, "ECDSA verification", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.02647, false, 3, Both),
    // Apache
    cve(91, Apache, &["CVE-2021-41773"], Traversal, "path normalisation", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.99992, true, 4, Both),
    cve(92, Apache, &["CVE-2021-42013"], Rce, "path normalisation again", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99964, true, 5, Both),
    cve(93, Apache, &["CVE-2021-40438"], Forgery, "mod_proxy", 9.0, "AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(94, Apache, &["CVE-2023-25690"], Forgery, "request smuggling", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.84508, false, 5, Both),
    cve(95, Apache, &["CVE-2022-31813"], Bypass, "hop-by-hop headers", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.03349, false, 3, Both),
    cve(96, Apache, &["CVE-2021-44790"], Rce, "mod_lua multipart", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.97108, false, 5, Tenable),
    cve(97, Apache, &["CVE-2023-31122"], Denial, "mod_macro", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.03003, false, 3, Both),
    // Nginx
    cve(98, Nginx, &["CVE-2023-44487"], Denial, "HTTP/2 rapid reset", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.99999, true, 3, Both),
    cve(99, Nginx, &["CVE-2021-23017"], Rce, "resolver", 7.7, "AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:H/A:H", 0.53461, false, 4, Tenable),
    cve(100, Nginx, &["CVE-2022-41741"], Privileges, "mp4 module", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00777, false, 4, Both),
    cve(101, Nginx, &["CVE-2022-41742"], Denial, "mp4 module memory", 7.1, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:H", 0.01119, false, 3, Both),
    // Php
    cve(102, Php, &["CVE-2024-4577"], Rce, "CGI argument injection", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99987, true, 5, Both),
    cve(103, Php, &["CVE-2019-11043"], Rce, "FPM path info", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99407, true, 5, Both),
    cve(104, Php, &["CVE-2022-31625"], Rce, "pgsql parameters", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.03666, false, 4, Both),
    cve(105, Php, &["CVE-2023-3824"], Rce, "phar", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.21132, false, 5, Both),
    cve(106, Php, &["CVE-2023-0568"], Bypass, "path length", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01242, false, 3, Both),
    // Node
    cve(107, Node, &["CVE-2023-30581"], Bypass, "policy with __proto__", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.01050, false, 3, Both),
    cve(108, Node, &["CVE-2023-32002"], Bypass, "module policy", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01610, false, 3, Both),
    cve(109, Node, &["CVE-2022-32213"], Forgery, "request smuggling", 6.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:N", 0.41954, false, 3, Both),
    // Log4j
    cve(110, Log4j, &["CVE-2021-44228"], Rce, "Log4Shell", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(111, Log4j, &["CVE-2021-45046"], Rce, "context lookups", 9.0, "AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99977, true, 5, Qualys),
    cve(112, Log4j, &["CVE-2021-45105"], Denial, "self-referential lookups", 5.9, "AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.99999, false, 3, Qualys),
    cve(113, Log4j, &["CVE-2021-44832"], Rce, "JDBC appender", 6.6, "AV:N/AC:H/PR:H/UI:N/S:U/C:H/I:H/A:H", 0.97906, false, 3, Both),
    // Spring
    cve(114, Spring, &["CVE-2022-22965"], Rce, "Spring4Shell", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99677, true, 5, Both),
    cve(115, Spring, &["CVE-2022-22963"], Rce, "Cloud Function", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99939, true, 5, Both),
    cve(116, Spring, &["CVE-2022-22947"], Rce, "Cloud Gateway", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.98253, true, 5, Both),
    cve(117, Spring, &["CVE-2022-22978"], Bypass, "authorization by regex", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.12351, false, 3, Both),
    cve(118, Spring, &["CVE-2023-20860"], Bypass, "mvcRequestMatcher", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.03514, false, 3, Tenable),
    // Java
    cve(119, Java, &["CVE-2022-21449"], Bypass, "psychic signatures", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.60336, false, 3, Both),
    cve(120, Java, &["CVE-2023-21930"], Disclosure, "TLS handshake", 7.4, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N", 0.01295, false, 4, Both),
    cve(121, Java, &["CVE-2022-42889"], Rce, "Text4Shell", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99931, false, 5, Both),
    cve(122, Java, &["CVE-2022-1471"], Rce, "SnakeYAML constructor", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99569, false, 5, Both),
    cve(123, Java, &["CVE-2022-25857"], Denial, "SnakeYAML depth", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.02202, false, 3, Both),
    cve(124, Java, &["CVE-2023-50164"], Traversal, "Struts upload", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.80819, false, 5, Both),
    // Tomcat
    cve(125, Tomcat, &["CVE-2025-24813"], Rce, "partial PUT", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99925, true, 5, Qualys),
    cve(126, Tomcat, &["CVE-2020-1938"], Disclosure, "Ghostcat", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99270, true, 5, Both),
    cve(127, Tomcat, &["CVE-2022-42252"], Forgery, "content length", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.01488, false, 4, Both),
    cve(128, Tomcat, &["CVE-2023-46589"], Forgery, "trailer headers", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", 0.02651, false, 4, Both),
    cve(129, Tomcat, &["CVE-2023-28709"], Denial, "file upload", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.49936, false, 3, Both),
    cve(130, Tomcat, &["CVE-2020-9484"], Rce, "session persistence", 7.0, "AV:L/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.56636, false, 4, Both),
    // ActiveMq
    cve(131, ActiveMq, &["CVE-2023-46604"], Rce, "OpenWire", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99723, true, 5, Both),
    // Jenkins
    cve(132, Jenkins, &["CVE-2024-23897"], Disclosure, "command line files", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(133, Jenkins, &["CVE-2024-23898"], Bypass, "WebSocket origin", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.67151, false, 3, Both),
    // GitLab
    cve(134, GitLab, &["CVE-2023-7028"], Bypass, "password reset", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:N", 0.94647, true, 5, Both),
    cve(135, GitLab, &["CVE-2021-22205"], Rce, "image upload", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99731, true, 5, Both),
    cve(136, GitLab, &["CVE-2022-2884"], Rce, "GitHub import", 9.9, "AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 0.75718, false, 5, Both),
    // Confluence
    cve(137, Confluence, &["CVE-2022-26134"], Rce, "OGNL injection", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(138, Confluence, &["CVE-2023-22515"], Privileges, "setup page", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99156, true, 5, Both),
    cve(139, Confluence, &["CVE-2023-22527"], Rce, "template injection", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99984, true, 5, Both),
    // Containers
    cve(140, Containers, &["CVE-2024-21626"], Privileges, "Leaky Vessels", 8.6, "AV:L/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H", 0.18087, false, 4, Both),
    cve(141, Containers, &["CVE-2019-5736"], Privileges, "runc overwrite", 8.6, "AV:L/AC:L/PR:N/UI:R/S:C/C:H/I:H/A:H", 0.97919, false, 4, Both),
    cve(142, Containers, &["CVE-2022-23648"], Disclosure, "containerd volumes", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.27392, false, 4, Both),
    cve(143, Containers, &["CVE-2024-41110"], Bypass, "Moby authorization", 9.9, "AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 0.16496, false, 3, Both),
    cve(144, Containers, &["CVE-2022-0811"], Privileges, "CRI-O sysctl", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.19046, false, 4, Both),
    cve(145, Containers, &["CVE-2020-15257"], Privileges, "containerd shim", 5.2, "AV:L/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 0.03236, false, 3, Both),
    cve(146, Containers, &["CVE-2023-2728"], Bypass, "service account policy", 6.5, "AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:N", 0.02157, false, 3, Both),
    cve(147, Containers, &["CVE-2024-23653"], Privileges, "BuildKit entitlements", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.02983, false, 5, Both),
    // Grafana
    cve(148, Grafana, &["CVE-2021-43798"], Traversal, "plugin assets", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.88849, false, 4, Both),
    cve(149, Grafana, &["CVE-2021-39226"], Bypass, "snapshots", 7.3, "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:L", 0.99933, true, 4, Both),
    cve(150, Grafana, &["CVE-2023-3128"], Bypass, "Azure AD accounts", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.03995, false, 3, Both),
    // Postgres
    cve(151, Postgres, &["CVE-2023-5869"], Rce, "array overflow", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.04322, false, 4, Both),
    cve(152, Postgres, &["CVE-2022-1552"], Privileges, "maintenance commands", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.12462, false, 4, Both),
    cve(153, Postgres, &["CVE-2024-10979"], Rce, "PL/Perl environment", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.04422, false, 4, Both),
    cve(154, Postgres, &["CVE-2023-2454"], Privileges, "schema elements", 7.2, "AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 0.01190, false, 4, Qualys),
    cve(155, Postgres, &["CVE-2025-1094"], Rce, "quoting functions", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.90030, false, 4, Both),
    // MySql
    cve(156, MySql, &["CVE-2023-21912"], Denial, "privileges component", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.01156, false, 3, Both),
    cve(157, MySql, &["CVE-2023-22084"], Denial, "InnoDB", 4.9, "AV:N/AC:L/PR:H/UI:N/S:U/C:N/I:N/A:H", 0.01782, false, 3, Both),
    cve(158, MySql, &["CVE-2023-21946"], Denial, "optimizer", 6.5, "AV:N/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 0.01501, false, 3, Both),
    // Redis
    cve(159, Redis, &["CVE-2022-0543"], Rce, "Lua sandbox", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99277, true, 5, Both),
    cve(160, Redis, &["CVE-2022-24736"], Denial, "Lua scripts", 5.5, "AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 0.01498, false, 3, Both),
    cve(161, Redis, &["CVE-2023-28425"], Denial, "MSETNX", 5.5, "AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:H", 0.54978, false, 3, Both),
    // Elasticsearch
    cve(162, Elasticsearch, &["CVE-2015-1427"], Rce, "Groovy sandbox", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99906, true, 5, Both),
    cve(163, Elasticsearch, &["CVE-2023-31419"], Denial, "search API", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.60679, false, 3, Both),
    // Samba
    cve(164, Samba, &["CVE-2017-7494"], Rce, "SambaCry", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99448, true, 5, Both),
    cve(165, Samba, &["CVE-2021-44142"], Rce, "vfs_fruit", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.73539, false, 4, Both),
    cve(166, Samba, &["CVE-2022-32744"], Privileges, "kpasswd", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00961, false, 4, Both),
    // OpenLdap
    cve(167, OpenLdap, &["CVE-2022-29155"], Rce, "SQL back end", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.64487, false, 5, Both),
    cve(168, OpenLdap, &["CVE-2023-2953"], Denial, "string duplication", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.01947, false, 3, Both),
    // Exim
    cve(169, Exim, &["CVE-2019-10149"], Rce, "WIZard", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99961, true, 5, Tenable),
    cve(170, Exim, &["CVE-2023-42115"], Rce, "AUTH overflow", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.09961, false, 5, Both),
    // Windows
    cve(171, Windows, &["CVE-2024-38063"], Rce, "IPv6", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.70564, false, 5, Both),
    cve(172, Windows, &["CVE-2022-26809"], Rce, "RPC runtime", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.90530, false, 5, Both),
    cve(173, Windows, &["CVE-2022-30190"], Rce, "Follina", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.99374, true, 5, Both),
    cve(174, Windows, &["CVE-2023-28252"], Privileges, "CLFS", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.48973, true, 4, Both),
    cve(175, Windows, &["CVE-2024-30051"], Privileges, "DWM", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.05687, true, 4, Both),
    cve(176, Windows, &["CVE-2024-21412"], Bypass, "internet shortcuts", 8.1, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:N", 0.95443, true, 4, Both),
    cve(177, Windows, &["CVE-2013-3900"], Bypass, "WinVerifyTrust", 5.5, "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:H/A:N", 0.44647, true, 3, Both),
    cve(178, Windows, &["CVE-2021-36934"], Privileges, "HiveNightmare", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.67252, true, 4, Both),
    cve(179, Windows, &["CVE-2024-49138"], Privileges, "CLFS again", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.25414, true, 4, Both),
    cve(180, Windows, &["CVE-2024-21338"], Privileges, "AppLocker", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.59810, true, 4, Both),
    cve(181, Windows, &["CVE-2023-35359"], Privileges, "kernel symbolic links", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.09888, false, 4, Both),
    cve(182, Windows, &["CVE-2023-21768"], Privileges, "ancillary function driver", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.65417, false, 4, Both),
    cve(183, Windows, &["CVE-2023-21817"], Privileges, "Kerberos", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00778, false, 4, Both),
    cve(184, Windows, &["CVE-2024-20698"], Privileges, "kernel integer overflow", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.08647, false, 4, Both),
    cve(185, Windows, &["CVE-2024-26211"], Privileges, "remote access manager", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.04119, false, 4, Both),
    cve(186, Windows, &["CVE-2024-26230"], Privileges, "telephony service", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.24294, false, 4, Both),
    cve(187, Windows, &["CVE-2024-26256"], Rce, "libarchive", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.87896, false, 4, Both),
    cve(188, Windows, &["CVE-2024-30078"], Rce, "Wi-Fi driver", 8.8, "AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.05158, false, 4, Both),
    cve(189, Windows, &["CVE-2024-30085"], Privileges, "cloud files driver", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.14320, false, 4, Both),
    cve(190, Windows, &["CVE-2024-38041"], Disclosure, "kernel memory", 5.5, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N", 0.02155, false, 2, Both),
    cve(191, Windows, &["CVE-2024-38100"], Privileges, "file explorer", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.04515, false, 4, Both),
    cve(192, Windows, &["CVE-2024-38196"], Privileges, "CLFS validation", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.05722, false, 4, Qualys),
    cve(193, Windows, &["CVE-2024-43583"], Privileges, "Winlogon", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.01341, false, 4, Both),
    cve(194, Windows, &["CVE-2024-21302"], Privileges, "secure kernel downgrade", 6.7, "AV:L/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 0.01559, false, 3, Both),
    cve(195, Windows, &["CVE-2023-24932"], Bypass, "Secure Boot", 6.7, "AV:L/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 0.10561, false, 3, Both),
    cve(196, Windows, &["CVE-2024-38202"], Privileges, "update stack", 7.3, "AV:L/AC:L/PR:L/UI:R/S:U/C:H/I:H/A:H", 0.01678, false, 4, Both),
    cve(197, Windows, &["CVE-2025-21298"], Rce, "OLE", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.80912, false, 5, Both),
    cve(198, Windows, &["CVE-2025-21308"], Forgery, "themes", 6.5, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:N", 0.02208, false, 3, Both),
    cve(199, Windows, &["CVE-2024-49113"], Denial, "LDAP client", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.82992, false, 3, Both),
    cve(200, Windows, &["CVE-2022-34718"], Rce, "IPv6 with IPsec", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.46365, false, 5, Both),
    cve(201, Windows, &["CVE-2022-34721"], Rce, "IKE", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.78550, false, 5, Both),
    cve(202, Windows, &["CVE-2017-8529"], Disclosure, "print handling in browsers", 6.5, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:N", 0.14265, false, 2, Both),
    cve(203, Windows, &["CVE-2023-21554"], Rce, "QueueJumper", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.95454, false, 5, Both),
    cve(204, Windows, &["CVE-2022-38023"], Privileges, "Netlogon sealing", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.02436, false, 4, Qualys),
    cve(205, Windows, &["CVE-2022-37966"], Privileges, "Kerberos RC4", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.02772, false, 4, Qualys),
    cve(206, Windows, &["CVE-2022-33679"], Privileges, "Kerberos downgrade", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.08550, false, 4, Both),
    // WindowsNetwork
    cve(207, WindowsNetwork, &["CVE-2019-0708"], Rce, "BlueKeep", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(208, WindowsNetwork, &["CVE-2017-0144", "CVE-2017-0143", "CVE-2017-0145"], Rce, "EternalBlue", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99230, true, 5, Both),
    cve(209, WindowsNetwork, &["CVE-2020-0796"], Rce, "SMBGhost", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99810, true, 5, Both),
    cve(210, WindowsNetwork, &["CVE-2021-34527"], Rce, "PrintNightmare", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.99792, true, 5, Both),
    cve(211, WindowsNetwork, &["CVE-2022-21907"], Rce, "HTTP stack trailers", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.92790, false, 5, Both),
    cve(212, WindowsNetwork, &["CVE-2021-31166"], Rce, "HTTP stack", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99657, true, 5, Both),
    cve(213, WindowsNetwork, &["CVE-2024-38077"], Rce, "MadLicense", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.75365, false, 5, Both),
    cve(214, WindowsNetwork, &["CVE-2023-24943"], Rce, "pragmatic multicast", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.04682, false, 5, Both),
    cve(215, WindowsNetwork, &["CVE-2023-28231"], Rce, "DHCP server", 8.8, "AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.36874, false, 4, Both),
    cve(216, WindowsNetwork, &["CVE-2023-24903"], Rce, "SSTP", 8.1, "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.00924, false, 4, Both),
    cve(217, WindowsNetwork, &["CVE-2023-21689"], Rce, "PEAP", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.26504, false, 5, Both),
    cve(218, WindowsNetwork, &["CVE-2022-30136"], Rce, "NFS", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.74677, false, 5, Both),
    cve(219, WindowsNetwork, &["CVE-2022-26937"], Rce, "NFS lock manager", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.76531, false, 5, Both),
    // DomainController
    cve(220, DomainController, &["CVE-2020-1472"], Privileges, "Zerologon", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99512, true, 5, Both),
    cve(221, DomainController, &["CVE-2021-42278", "CVE-2021-42287"], Privileges, "noPac", 7.5, "AV:N/AC:H/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.74265, true, 4, Both),
    cve(222, DomainController, &["CVE-2022-26923"], Privileges, "certificate services", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.82989, true, 4, Both),
    cve(223, DomainController, &["CVE-2022-34691"], Privileges, "certificate mapping", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.02037, false, 4, Both),
    cve(224, DomainController, &["CVE-2024-49112"], Rce, "LDAP service", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.70906, false, 5, Both),
    // DotNet
    cve(225, DotNet, &["CVE-2024-0056"], Bypass, "SqlClient TLS", 8.7, "AV:N/AC:H/PR:N/UI:N/S:C/C:H/I:H/A:N", 0.01170, false, 3, Both),
    cve(226, DotNet, &["CVE-2024-21409"], Rce, "use after free", 7.3, "AV:L/AC:L/PR:L/UI:R/S:U/C:H/I:H/A:H", 0.02513, false, 4, Both),
    cve(227, DotNet, &["CVE-2023-36794"], Rce, "symbol files", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01441, false, 4, Both),
    cve(228, DotNet, &["CVE-2023-36796"], Rce, "debug data", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01441, false, 4, Both),
    // Exchange
    cve(229, Exchange, &["CVE-2021-26855"], Rce, "ProxyLogon", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(230, Exchange, &["CVE-2022-41040"], Privileges, "ProxyNotShell", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.99956, true, 4, Both),
    cve(231, Exchange, &["CVE-2020-0688"], Rce, "validation key", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.99965, true, 5, Both),
    // SharePoint
    cve(232, SharePoint, &["CVE-2023-29357"], Privileges, "token forging", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99649, true, 5, Both),
    cve(233, SharePoint, &["CVE-2025-53770"], Rce, "ToolShell", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99982, true, 5, Both),
    // Office
    cve(234, Office, &["CVE-2017-11882"], Rce, "equation editor", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.99945, true, 5, Both),
    cve(235, Office, &["CVE-2024-21413"], Rce, "MonikerLink", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.94660, true, 5, Both),
    cve(236, Office, &["CVE-2023-23397"], Privileges, "reminder sound", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.97408, true, 5, Qualys),
    cve(237, Office, &["CVE-2023-21716"], Rce, "RTF fonts", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.82302, false, 5, Both),
    cve(238, Office, &["CVE-2024-30103"], Rce, "Outlook forms", 8.8, "AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.03446, false, 4, Both),
    cve(239, Office, &["CVE-2024-38021"], Rce, "image tags", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.03497, false, 4, Both),
    cve(240, Office, &["CVE-2023-33131"], Rce, "Outlook", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.05718, false, 4, Both),
    // Chrome
    cve(241, Chrome, &["CVE-2023-4863"], Rce, "WebP", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.99735, true, 5, Both),
    cve(242, Chrome, &["CVE-2023-5217"], Rce, "VP8", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.49013, true, 5, Both),
    cve(243, Chrome, &["CVE-2025-2783"], Privileges, "Mojo sandbox", 8.3, "AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:H/A:H", 0.08404, true, 4, Both),
    cve(244, Chrome, &["CVE-2024-0517"], Rce, "V8 bounds", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.21697, false, 4, Both),
    cve(245, Chrome, &["CVE-2024-2625"], Rce, "V8 lifecycle", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.18277, false, 4, Both),
    cve(246, Chrome, &["CVE-2023-5472"], Rce, "profiles", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01234, false, 4, Tenable),
    cve(247, Chrome, &["CVE-2023-4427"], Disclosure, "V8 reads", 8.1, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:N/A:H", 0.33980, false, 4, Both),
    // Firefox
    cve(248, Firefox, &["CVE-2024-9680"], Rce, "animation timelines", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.23184, true, 5, Tenable),
    cve(249, Firefox, &["CVE-2022-26485"], Rce, "XSLT", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.13797, true, 5, Both),
    cve(250, Firefox, &["CVE-2023-6856"], Rce, "WebGL", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.20472, false, 4, Qualys),
    cve(251, Firefox, &["CVE-2023-5728"], Denial, "garbage collection", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 0.01184, false, 3, Both),
    cve(252, Firefox, &["CVE-2024-0741"], Denial, "ANGLE", 6.5, "AV:N/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H", 0.02155, false, 3, Qualys),
    cve(253, Firefox, &["CVE-2023-4573"], Denial, "IPC canvas", 6.5, "AV:N/AC:L/PR:N/UI:R/S:U/C:N/I:N/A:H", 0.00621, false, 3, Both),
    cve(254, Firefox, &["CVE-2023-37201"], Rce, "WebRTC certificates", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.00755, false, 4, Qualys),
    // SevenZip
    cve(255, SevenZip, &["CVE-2025-0411"], Bypass, "mark of the web", 7.0, "AV:L/AC:H/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.67071, true, 4, Both),
    cve(256, SevenZip, &["CVE-2024-11477"], Rce, "Zstandard", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.21985, false, 4, Qualys),
    // WinRar
    cve(257, WinRar, &["CVE-2023-38831"], Rce, "file names", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.97811, true, 5, Both),
    cve(258, WinRar, &["CVE-2025-8088"], Traversal, "alternate streams", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.94551, true, 4, Both),
    cve(259, WinRar, &["CVE-2023-40477"], Rce, "recovery volumes", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.12283, false, 4, Both),
    // Reader
    cve(260, Reader, &["CVE-2023-26369"], Rce, "TrueType fonts", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.07036, true, 5, Both),
    cve(261, Reader, &["CVE-2024-41869"], Rce, "use after free", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.02344, false, 4, Both),
    cve(262, Reader, &["CVE-2024-20731"], Rce, "use after free in forms", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.02611, false, 4, Both),
    // Zoom
    cve(263, Zoom, &["CVE-2023-39213"], Privileges, "special elements", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01447, false, 5, Both),
    cve(264, Zoom, &["CVE-2024-24691"], Privileges, "input validation", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.01689, false, 5, Both),
    cve(265, Zoom, &["CVE-2022-22786"], Rce, "update downgrade", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.01505, false, 4, Both),
    // MacOs
    cve(266, MacOs, &["CVE-2023-41064"], Rce, "BLASTPASS", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.15263, true, 5, Qualys),
    cve(267, MacOs, &["CVE-2024-23222"], Rce, "WebKit types", 8.8, "AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.10593, true, 5, Both),
    cve(268, MacOs, &["CVE-2022-32894"], Privileges, "kernel bounds", 7.8, "AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 0.03286, true, 4, Both),
    cve(269, MacOs, &["CVE-2023-41991"], Bypass, "signature checks", 5.5, "AV:L/AC:L/PR:N/UI:R/S:U/C:N/I:H/A:N", 0.04547, true, 3, Tenable),
    // VmwareTools
    cve(270, VmwareTools, &["CVE-2022-31676"], Privileges, "guest privileges", 7.8, "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 0.00552, false, 4, Both),
    cve(271, VmwareTools, &["CVE-2023-20867"], Bypass, "guest authentication", 3.9, "AV:L/AC:H/PR:H/UI:N/S:C/C:L/I:L/A:N", 0.13530, true, 2, Both),
    // Vcenter
    cve(272, Vcenter, &["CVE-2021-21985"], Rce, "vSAN plugin", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(273, Vcenter, &["CVE-2023-34048"], Rce, "DCERPC", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99428, true, 5, Both),
    cve(274, Vcenter, &["CVE-2024-38812"], Rce, "DCERPC heap", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.54571, true, 5, Both),
    cve(275, Vcenter, &["CVE-2021-21974"], Rce, "OpenSLP", 8.8, "AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.45063, false, 4, Both),
    // NetScaler
    cve(276, NetScaler, &["CVE-2023-4966"], Disclosure, "Citrix Bleed", 9.4, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:L", 0.99999, true, 5, Both),
    cve(277, NetScaler, &["CVE-2023-3519"], Rce, "gateway stack overflow", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99749, true, 5, Tenable),
    // PanOs
    cve(278, PanOs, &["CVE-2024-3400"], Rce, "GlobalProtect", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99999, true, 5, Both),
    cve(279, PanOs, &["CVE-2025-0108"], Bypass, "management interface", 9.1, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:N", 0.98455, true, 5, Qualys),
    // FortiOs
    cve(280, FortiOs, &["CVE-2024-21762"], Rce, "SSL VPN", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.84285, true, 5, Both),
    cve(281, FortiOs, &["CVE-2022-40684"], Bypass, "administration interface", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99984, true, 5, Both),
    cve(282, FortiOs, &["CVE-2023-27997"], Rce, "XORtigate", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.85689, true, 5, Both),
    // IosXe
    cve(283, IosXe, &["CVE-2023-20198"], Privileges, "web interface", 10.0, "AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 0.99571, true, 5, Both),
    cve(284, IosXe, &["CVE-2018-0171"], Rce, "Smart Install", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99490, true, 5, Both),
    // BigIp
    cve(285, BigIp, &["CVE-2023-46747"], Rce, "request smuggling", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.96515, true, 5, Both),
    cve(286, BigIp, &["CVE-2022-1388"], Bypass, "iControl REST", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99958, true, 5, Both),
    // MoveIt
    cve(287, MoveIt, &["CVE-2023-34362"], Rce, "SQL injection", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.99934, true, 5, Both),
    // Veeam
    cve(288, Veeam, &["CVE-2023-27532"], Disclosure, "credentials", 7.5, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 0.77610, true, 4, Both),
    cve(289, Veeam, &["CVE-2024-40711"], Rce, "deserialization", 9.8, "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 0.90369, true, 5, Both),
];
