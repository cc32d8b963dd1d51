//! Products that run on the hosts.

/// What the scanners say about a product.
#[derive(Debug)]
pub struct ProductInfo {
    /// Name for people.
    pub name: &'static str,
    /// Vendor as in CPE names.
    pub vendor: &'static str,
    /// Product as in CPE names.
    pub cpe: &'static str,
    /// Plugin family and category.
    pub family: &'static str,
    /// Port it is found on; 0 for what is found on the host itself.
    pub port: u16,
    /// `TCP`, `UDP` or `ICMP`.
    pub protocol: &'static str,
    /// Service on the port, empty for none.
    pub service: &'static str,
}

macro_rules! products {
    ($($product:ident: $name:literal, $vendor:literal, $cpe:literal, $family:literal, $port:literal, $protocol:literal, $service:literal;)*) => {
        /// A product that a host can run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum Product { $($product,)* }

        static INFO: &[ProductInfo] = &[$(ProductInfo {
            name: $name, vendor: $vendor, cpe: $cpe, family: $family,
            port: $port, protocol: $protocol, service: $service,
        },)*];
    };
}

products! {
    Kernel: "Linux kernel", "linux", "linux_kernel", "Ubuntu Local Security Checks", 0, "TCP", "";
    Glibc: "GNU C library", "gnu", "glibc", "Ubuntu Local Security Checks", 0, "TCP", "";
    OpenSsl: "OpenSSL", "openssl", "openssl", "Ubuntu Local Security Checks", 0, "TCP", "";
    OpenSsh: "OpenSSH", "openbsd", "openssh", "Misc.", 22, "TCP", "ssh";
    Sudo: "sudo", "sudo_project", "sudo", "Ubuntu Local Security Checks", 0, "TCP", "";
    Polkit: "polkit", "polkit_project", "polkit", "Ubuntu Local Security Checks", 0, "TCP", "";
    Curl: "curl", "haxx", "curl", "Ubuntu Local Security Checks", 0, "TCP", "";
    Systemd: "systemd", "systemd_project", "systemd", "Ubuntu Local Security Checks", 0, "TCP", "";
    Vim: "Vim", "vim", "vim", "Ubuntu Local Security Checks", 0, "TCP", "";
    Python: "Python", "python", "python", "Ubuntu Local Security Checks", 0, "TCP", "";
    Git: "Git", "git-scm", "git", "Ubuntu Local Security Checks", 0, "TCP", "";
    Libraries: "System libraries", "canonical", "ubuntu_linux", "Ubuntu Local Security Checks", 0, "TCP", "";
    Bash: "GNU Bash", "gnu", "bash", "Ubuntu Local Security Checks", 0, "TCP", "";
    Bind: "BIND", "isc", "bind", "DNS", 53, "UDP", "dns";
    Apache: "Apache HTTP Server", "apache", "http_server", "Web Servers", 443, "TCP", "www";
    Nginx: "nginx", "f5", "nginx", "Web Servers", 443, "TCP", "www";
    Php: "PHP", "php", "php", "CGI abuses", 443, "TCP", "www";
    Node: "Node.js", "nodejs", "node.js", "Misc.", 0, "TCP", "";
    Log4j: "Apache Log4j", "apache", "log4j", "Misc.", 0, "TCP", "";
    Spring: "Spring", "vmware", "spring_framework", "Misc.", 8080, "TCP", "www";
    Java: "Java runtime and libraries", "oracle", "jdk", "Misc.", 0, "TCP", "";
    Tomcat: "Apache Tomcat", "apache", "tomcat", "Web Servers", 8080, "TCP", "www";
    ActiveMq: "Apache ActiveMQ", "apache", "activemq", "Misc.", 61616, "TCP", "activemq";
    Jenkins: "Jenkins", "jenkins", "jenkins", "CGI abuses", 8080, "TCP", "www";
    GitLab: "GitLab", "gitlab", "gitlab", "CGI abuses", 443, "TCP", "www";
    Confluence: "Atlassian Confluence", "atlassian", "confluence_server", "CGI abuses", 8090, "TCP", "www";
    Containers: "Container runtime", "linuxfoundation", "runc", "Misc.", 0, "TCP", "";
    Grafana: "Grafana", "grafana", "grafana", "CGI abuses", 3000, "TCP", "www";
    Postgres: "PostgreSQL", "postgresql", "postgresql", "Databases", 5432, "TCP", "postgresql";
    MySql: "MySQL", "oracle", "mysql", "Databases", 3306, "TCP", "mysql";
    Redis: "Redis", "redis", "redis", "Databases", 6379, "TCP", "redis";
    Elasticsearch: "Elasticsearch", "elastic", "elasticsearch", "Databases", 9200, "TCP", "elasticsearch";
    Samba: "Samba", "samba", "samba", "Misc.", 445, "TCP", "cifs";
    OpenLdap: "OpenLDAP", "openldap", "openldap", "Misc.", 389, "TCP", "ldap";
    Exim: "Exim", "exim", "exim", "SMTP problems", 25, "TCP", "smtp";
    Windows: "Microsoft Windows", "microsoft", "windows", "Windows : Microsoft Bulletins", 445, "TCP", "cifs";
    WindowsNetwork: "Windows network services", "microsoft", "windows_server", "Windows", 445, "TCP", "cifs";
    DomainController: "Active Directory", "microsoft", "windows_server", "Windows", 389, "TCP", "ldap";
    DotNet: "Microsoft .NET", "microsoft", ".net_framework", "Windows : Microsoft Bulletins", 445, "TCP", "cifs";
    Exchange: "Microsoft Exchange Server", "microsoft", "exchange_server", "Windows : Microsoft Bulletins", 443, "TCP", "www";
    SharePoint: "Microsoft SharePoint", "microsoft", "sharepoint_server", "Windows : Microsoft Bulletins", 443, "TCP", "www";
    Office: "Microsoft Office", "microsoft", "office", "Windows : Microsoft Bulletins", 445, "TCP", "cifs";
    Chrome: "Google Chrome", "google", "chrome", "Windows", 445, "TCP", "cifs";
    Firefox: "Mozilla Firefox", "mozilla", "firefox", "Windows", 445, "TCP", "cifs";
    SevenZip: "7-Zip", "7-zip", "7-zip", "Windows", 445, "TCP", "cifs";
    WinRar: "WinRAR", "rarlab", "winrar", "Windows", 445, "TCP", "cifs";
    Reader: "Adobe Acrobat Reader", "adobe", "acrobat_reader", "Windows", 445, "TCP", "cifs";
    Zoom: "Zoom client", "zoom", "zoom", "Windows", 445, "TCP", "cifs";
    MacOs: "Apple macOS", "apple", "macos", "MacOS X Local Security Checks", 0, "TCP", "";
    VmwareTools: "VMware Tools", "vmware", "tools", "Misc.", 0, "TCP", "";
    Vcenter: "VMware vCenter and ESXi", "vmware", "vcenter_server", "VMware ESX Local Security Checks", 443, "TCP", "www";
    NetScaler: "NetScaler Gateway", "citrix", "netscaler_gateway", "CGI abuses", 443, "TCP", "www";
    PanOs: "PAN-OS", "paloaltonetworks", "pan-os", "Palo Alto Local Security Checks", 443, "TCP", "www";
    FortiOs: "FortiOS", "fortinet", "fortios", "Firewalls", 443, "TCP", "www";
    IosXe: "Cisco IOS and IOS XE", "cisco", "ios_xe", "CISCO", 443, "TCP", "www";
    BigIp: "F5 BIG-IP", "f5", "big-ip", "F5 Networks Local Security Checks", 443, "TCP", "www";
    MoveIt: "MOVEit Transfer", "progress", "moveit_transfer", "Windows", 443, "TCP", "www";
    Veeam: "Veeam Backup", "veeam", "backup_and_replication", "Windows", 9401, "TCP", "veeam";
    Tls: "TLS service", "ietf", "tls", "Service detection", 443, "TCP", "www";
    Snmp: "SNMP agent", "ietf", "snmp", "SNMP", 161, "UDP", "snmp";
    LinuxSettings: "Linux settings", "linux", "linux", "General", 0, "TCP", "";
    WindowsSettings: "Windows settings", "microsoft", "windows", "Windows", 445, "TCP", "cifs";
    IcmpStack: "ICMP", "ietf", "icmp", "General", 0, "ICMP", "";
}

impl Product {
    /// How many products there are.
    pub const COUNT: usize = INFO.len();

    /// What the scanners say about it.
    pub fn info(self) -> &'static ProductInfo {
        &INFO[self as usize]
    }
}
