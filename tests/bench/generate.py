"""Writes an answer of a scanner of so many megabytes to stdout; the same size gives the same bytes.

    python generate.py nessus 500 > big.nessus

Texts, fields and their order are like those of real answers; values are invented.
"""

import json
import random
import sys

WORDS = "the remote host runs a version of this service that is affected by several weaknesses and should be updated".split()
V3 = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"
RULES = 2000


def text(dice, words):
    return " ".join(dice.choice(WORDS) for _ in range(words))


def ip(host):
    return f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}"


def day(number):
    return f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:07Z"


def uuid(number):
    return f"{number * 2654435761 % 2**32:08x}-{number % 65536:04x}-4000-8000-{number * 40503 % 2**48:012x}"


class Dice(random.Random):
    """Chance, and the texts of rules: made once, like a vendor's."""

    def __init__(self):
        super().__init__(7)
        self.long = [text(self, 60) for _ in range(RULES)]
        self.short = [text(self, 12) for _ in range(RULES)]


def results(dice, item, host, often=50):
    """What a check saw: some lines, now and then a megabyte."""
    return text(dice, 20) * (7_500 if item == 0 and host % often == often - 1 else 2)


# XML


def nessus(dice, size):
    yield '<?xml version="1.0" ?>\n<NessusClientData_v2>\n<Policy><policyName>large</policyName>\n<Preferences><ServerPreferences>'
    yield "<preference><name>plugin_set</name>\n<value>" + "".join(f"{n};" for n in range(10_000, 10_000 + size // 2_000)) + "</value>\n</preference>\n"
    yield "</ServerPreferences>\n<PluginsPreferences>"
    for _ in range(size // 5_000):
        yield f"<item><pluginName>{text(dice, 5)}</pluginName>\n<preferenceValues>{text(dice, 30)}</preferenceValues>\n</item>\n"
    yield '</PluginsPreferences></Preferences></Policy>\n<Report name="large" xmlns:cm="http://www.nessus.org/cm">\n'
    for host in range(1 << 24):
        yield (
            f'<ReportHost name="{ip(host)}"><HostProperties>\n<tag name="HOST_END_TIMESTAMP">{1_700_000_000 + host}</tag>\n'
            f'<tag name="host-ip">{ip(host)}</tag>\n<tag name="Credentialed_Scan">true</tag>\n</HostProperties>\n'
        )
        for item in range(100):
            n = dice.randrange(RULES)
            yield (
                f'<ReportItem port="{item}" svc_name="www" protocol="tcp" severity="{n % 5}" pluginID="{10_000 + n}" pluginName="Plugin {n}" pluginFamily="General">\n'
                f"<cve>CVE-2024-{10_000 + n}</cve>\n<cvss3_base_score>7.5</cvss3_base_score>\n<cvss3_vector>CVSS:3.0/{V3}</cvss3_vector>\n"
                f"<description>{dice.long[n]}</description>\n<fname>plugin_{n}.nasl</fname>\n<plugin_modification_date>2024/10/07</plugin_modification_date>\n"
                f"<plugin_name>Plugin {n}</plugin_name>\n<plugin_publication_date>2024/01/07</plugin_publication_date>\n<plugin_type>remote</plugin_type>\n"
                f"<risk_factor>High</risk_factor>\n<script_version>1.{n % 40}</script_version>\n<solution>{dice.short[n]}</solution>\n"
                f"<synopsis>{dice.short[n]}</synopsis>\n<plugin_output>{results(dice, item, host)}</plugin_output>\n</ReportItem>\n"
            )
            if (yield None):
                break
        yield "</ReportHost>\n"
        if (yield None):
            break
    yield "</Report>\n</NessusClientData_v2>\n"


def qualys_head(root):
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE {root} SYSTEM "https://qualysapi.example.com/{root.lower()}.dtd">\n<{root}>\n  <RESPONSE>\n    <DATETIME>2026-11-22T00:00:00Z</DATETIME>\n'


def qualys_host(host):
    return (
        f"      <HOST>\n        <ID>{40_000_001 + host}</ID>\n        <ASSET_ID>{50_000_001 + host}</ASSET_ID>\n        <IP>{ip(host)}</IP>\n"
        f"        <TRACKING_METHOD>AGENT</TRACKING_METHOD>\n        <OS><![CDATA[Ubuntu Linux 22.04]]></OS>\n        <DNS><![CDATA[web{host}.example.com]]></DNS>\n"
        f"        <DNS_DATA>\n          <HOSTNAME><![CDATA[web{host}]]></HOSTNAME>\n          <DOMAIN><![CDATA[example.com]]></DOMAIN>\n          <FQDN><![CDATA[web{host}.example.com]]></FQDN>\n        </DNS_DATA>\n"
        f"        <QG_HOSTID><![CDATA[{uuid(host)}]]></QG_HOSTID>\n        <LAST_SCAN_DATETIME>{day(host)}</LAST_SCAN_DATETIME>\n        <LAST_VM_SCANNED_DATE>{day(host)}</LAST_VM_SCANNED_DATE>\n"
        f"        <TAGS>\n          <TAG>\n            <TAG_ID><![CDATA[{host % 90}]]></TAG_ID>\n            <NAME><![CDATA[team=payments]]></NAME>\n          </TAG>\n        </TAGS>\n"
    )


def qualys_host_detections(dice, size):
    yield qualys_head("HOST_LIST_VM_DETECTION_OUTPUT") + "    <HOST_LIST>\n"
    for host in range(1 << 24):
        yield qualys_host(host) + "        <DETECTION_LIST>\n"
        for item in range(40):
            n = dice.randrange(RULES)
            yield (
                f"          <DETECTION>\n            <UNIQUE_VULN_ID>{host * 1000 + item}</UNIQUE_VULN_ID>\n            <QID>{38_000 + n}</QID>\n            <TYPE>Confirmed</TYPE>\n"
                f"            <SEVERITY>{n % 5 + 1}</SEVERITY>\n            <PORT>{item}</PORT>\n            <PROTOCOL>tcp</PROTOCOL>\n            <SSL>0</SSL>\n"
                f"            <RESULTS><![CDATA[{results(dice, item, host)}]]></RESULTS>\n            <STATUS>Active</STATUS>\n"
                f"            <FIRST_FOUND_DATETIME>{day(n)}</FIRST_FOUND_DATETIME>\n            <LAST_FOUND_DATETIME>{day(host)}</LAST_FOUND_DATETIME>\n"
                f'            <QDS severity="HIGH">{n % 100 + 1}</QDS>\n            <QDS_FACTORS>\n              <QDS_FACTOR name="CVSS"><![CDATA[7.5]]></QDS_FACTOR>\n'
                f'              <QDS_FACTOR name="CVSS_version"><![CDATA[v3.x]]></QDS_FACTOR>\n              <QDS_FACTOR name="CVSS_vector"><![CDATA[{V3}]]></QDS_FACTOR>\n'
                f'              <QDS_FACTOR name="epss"><![CDATA[0.{n:05}]]></QDS_FACTOR>\n            </QDS_FACTORS>\n            <TIMES_FOUND>{n % 90 + 1}</TIMES_FOUND>\n'
                f"            <LAST_TEST_DATETIME>{day(host)}</LAST_TEST_DATETIME>\n            <LAST_UPDATE_DATETIME>{day(host)}</LAST_UPDATE_DATETIME>\n"
                f"            <IS_IGNORED>0</IS_IGNORED>\n            <IS_DISABLED>0</IS_DISABLED>\n            <LAST_PROCESSED_DATETIME>{day(host)}</LAST_PROCESSED_DATETIME>\n          </DETECTION>\n"
            )
            if (yield None):
                break
        yield "        </DETECTION_LIST>\n      </HOST>\n"
        if (yield None):
            break
    yield "    </HOST_LIST>\n  </RESPONSE>\n</HOST_LIST_VM_DETECTION_OUTPUT>\n"


def qualys_asset_inventory(dice, size):
    yield qualys_head("HOST_LIST_OUTPUT") + "    <HOST_LIST>\n"
    for host in range(1 << 24):
        yield (
            qualys_host(host)
            + f"        <CLOUD_PROVIDER>AWS</CLOUD_PROVIDER>\n        <EC2_INSTANCE_ID><![CDATA[i-{host:017x}]]></EC2_INSTANCE_ID>\n        <ASSET_CRITICALITY_SCORE>{host % 5 + 1}</ASSET_CRITICALITY_SCORE>\n      </HOST>\n"
        )
        if (yield None):
            break
    yield "    </HOST_LIST>\n  </RESPONSE>\n</HOST_LIST_OUTPUT>\n"


def qualys_knowledge_base(dice, size):
    yield qualys_head("KNOWLEDGE_BASE_VULN_LIST_OUTPUT") + "    <VULN_LIST>\n"
    for rule in range(1 << 24):
        n = rule % RULES
        yield (
            f"      <VULN>\n        <QID>{38_000 + rule}</QID>\n        <VULN_TYPE>Vulnerability</VULN_TYPE>\n        <SEVERITY_LEVEL>{n % 5 + 1}</SEVERITY_LEVEL>\n        <TITLE><![CDATA[Rule {rule}]]></TITLE>\n"
            f"        <CATEGORY>General</CATEGORY>\n        <LAST_SERVICE_MODIFICATION_DATETIME>{day(n)}</LAST_SERVICE_MODIFICATION_DATETIME>\n        <PUBLISHED_DATETIME>{day(n)}</PUBLISHED_DATETIME>\n        <PATCHABLE>1</PATCHABLE>\n"
            f"        <CVE_LIST>\n          <CVE>\n            <ID><![CDATA[CVE-2024-{10_000 + n}]]></ID>\n            <URL><![CDATA[https://example.com/CVE-2024-{10_000 + n}]]></URL>\n          </CVE>\n        </CVE_LIST>\n"
            f"        <DIAGNOSIS><![CDATA[<P>{dice.long[n]}<BR>{dice.long[n - 1]}]]></DIAGNOSIS>\n        <CONSEQUENCE><![CDATA[{dice.short[n]}]]></CONSEQUENCE>\n        <SOLUTION><![CDATA[{dice.long[n]}<P>{dice.short[n]}]]></SOLUTION>\n"
            f'        <CVSS_V3>\n          <BASE>7.5</BASE>\n          <TEMPORAL>6.5</TEMPORAL>\n          <VECTOR_STRING>CVSS:3.1/{V3}</VECTOR_STRING>\n        </CVSS_V3>\n        <PCI_FLAG>1</PCI_FLAG>\n      </VULN>\n'
        )
        if (yield None):
            break
    yield "    </VULN_LIST>\n  </RESPONSE>\n</KNOWLEDGE_BASE_VULN_LIST_OUTPUT>\n"


def qualys_compliance_posture(dice, size):
    yield qualys_head("POSTURE_INFO_LIST_OUTPUT") + "    <POLICY>\n      <ID>7</ID>\n      <DATETIME>2026-11-22T00:00:00Z</DATETIME>\n      <INFO_LIST>\n"
    hosts = 0
    for host in range(1 << 24):
        hosts += 1
        for item in range(100):
            n = dice.randrange(RULES)
            status = "Failed" if n % 3 == 0 else "Passed"
            yield (
                f"        <INFO>\n          <ID>{host * 100 + item}</ID>\n          <HOST_ID>{40_000_001 + host}</HOST_ID>\n          <CONTROL_ID>{1_000 + n}</CONTROL_ID>\n          <TECHNOLOGY_ID>11</TECHNOLOGY_ID>\n"
                f"          <INSTANCE><![CDATA[os]]></INSTANCE>\n          <STATUS>{status}</STATUS>\n          <POSTURE_MODIFIED_DATE>{day(n)}</POSTURE_MODIFIED_DATE>\n          <EVALUATION_DATE>{day(host)}</EVALUATION_DATE>\n"
                f"          <FIRST_FAIL_DATE>{day(n)}</FIRST_FAIL_DATE>\n          <LAST_FAIL_DATE>{day(host)}</LAST_FAIL_DATE>\n          <EVIDENCE>\n            <BOOLEAN_EXPR><![CDATA[(:dp_{n} ge $tp_{n})]]></BOOLEAN_EXPR>\n"
                f"            <DPV_LIST>\n              <DPV lastUpdated=\"{day(host)}\">\n                <LABEL>:dp_{n}</LABEL>\n                <V><![CDATA[{dice.short[n]}]]></V>\n              </DPV>\n            </DPV_LIST>\n          </EVIDENCE>\n        </INFO>\n"
            )
            if (yield None):
                break
        if (yield None):
            break
    yield "      </INFO_LIST>\n    </POLICY>\n    <GLOSSARY>\n      <HOST_LIST>\n"
    for host in range(hosts):
        yield f"        <HOST>\n          <ID>{40_000_001 + host}</ID>\n          <IP>{ip(host)}</IP>\n          <TRACKING_METHOD>AGENT</TRACKING_METHOD>\n        </HOST>\n"
    yield "      </HOST_LIST>\n      <CONTROL_LIST>\n"
    for n in range(RULES):
        yield (
            f"        <CONTROL>\n          <ID>{1_000 + n}</ID>\n          <STATEMENT><![CDATA[{dice.short[n]}]]></STATEMENT>\n          <CRITICALITY>\n            <LABEL>URGENT</LABEL>\n            <VALUE>5</VALUE>\n          </CRITICALITY>\n"
            f"          <RATIONALE_LIST>\n            <RATIONALE>\n              <TECHNOLOGY_ID>11</TECHNOLOGY_ID>\n              <TEXT><![CDATA[{dice.long[n]}]]></TEXT>\n            </RATIONALE>\n          </RATIONALE_LIST>\n        </CONTROL>\n"
        )
    yield "      </CONTROL_LIST>\n    </GLOSSARY>\n  </RESPONSE>\n</POSTURE_INFO_LIST_OUTPUT>\n"


def console_xml(dice, size):
    yield '<NexposeReport version="2.0">\n<scans>\n<scan id="1" name="weekly" startTime="20261121T230000000" endTime="20261122T000000000" status="finished"/>\n</scans>\n<nodes>\n'
    for host in range(1 << 24):
        yield (
            f'<node address="{ip(host)}" status="alive" device-id="{host + 1}" risk-score="700.5">\n<names>\n<name>web{host}.example.com</name>\n</names>\n'
            f'<fingerprints>\n<os certainty="1.00" vendor="Ubuntu" family="Linux" product="Linux" version="22.04"/>\n</fingerprints>\n<tests>\n</tests>\n<endpoints>\n'
        )
        for item in range(10):
            yield f'<endpoint protocol="tcp" port="{item + 1}" status="open">\n<services>\n<service name="HTTP">\n<tests>\n'
            for check in range(4):
                n = dice.randrange(RULES)
                yield (
                    f'<test id="rule-{n}" key="{check}" status="vulnerable-version" scan-id="1" vulnerable-since="20261101T000000000" pci-compliance-status="fail">\n'
                    f'<Paragraph><UnorderedList><ListItem>{results(dice, item, host)}</ListItem></UnorderedList></Paragraph>\n</test>\n'
                )
            yield "</tests>\n</service>\n</services>\n</endpoint>\n"
            if (yield None):
                break
        yield "</endpoints>\n</node>\n"
        if (yield None):
            break
    yield "</nodes>\n<VulnerabilityDefinitions>\n"
    for n in range(min(RULES, size // 4_000 + 1)):
        yield (
            f'<vulnerability id="rule-{n}" title="Rule {n}" severity="{n % 10 + 1}" pciSeverity="3" cvssScore="7.5" cvssVector="(AV:N/AC:L/Au:N/C:P/I:P/A:P)" modified="20241007T000000000">\n'
            f'<description><ContainerBlockElement><Paragraph>{dice.long[n]}</Paragraph></ContainerBlockElement></description>\n<references>\n<reference source="CVE">CVE-2024-{10_000 + n}</reference>\n</references>\n'
            f"<solution><ContainerBlockElement><Paragraph>{dice.short[n]}</Paragraph></ContainerBlockElement></solution>\n</vulnerability>\n"
        )
    yield "</VulnerabilityDefinitions>\n</NexposeReport>\n"


# JSON


def listed(head, tail, element):
    """Elements of an array, until it is enough."""
    yield head
    for number in range(1 << 24):
        yield ("," if number else "") + json.dumps(element(number), separators=(",", ":"))
        if (yield None):
            break
    yield tail


def tenable_assets(dice, size):
    return listed("[", "]", lambda n: {
        "id": uuid(n), "has_agent": True, "has_plugin_results": True, "created_at": day(n), "terminated_at": None, "deleted_at": None, "updated_at": day(n),
        "first_seen": day(n), "last_seen": day(n), "last_scan_time": day(n), "last_authenticated_scan_date": day(n), "last_licensed_scan_date": day(n),
        "aws_ec2_instance_id": f"i-{n:017x}", "aws_owner_id": "000000000000", "aws_region": "us-east-1", "azure_vm_id": None, "azure_resource_id": None,
        "gcp_project_id": None, "gcp_zone": None, "gcp_instance_id": None, "agent_uuid": uuid(n + 1), "bios_uuid": uuid(n + 2), "network_name": "Default",
        "ipv4s": [ip(n)], "ipv6s": [], "fqdns": [f"web{n}.example.com"], "mac_addresses": [f"00:50:56:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"],
        "netbios_names": [f"WEB{n}"], "operating_systems": ["Linux Kernel 5.15 on Ubuntu 22.04"], "system_types": ["general-purpose"], "hostnames": [f"web{n}"],
        "installed_software": [f"cpe:/a:example:product:{v}" for v in range(12)], "tags": [{"uuid": uuid(3), "key": "team", "value": "payments", "added_by": uuid(4), "added_at": day(5)}],
        "network_interfaces": [{"name": "eth0", "mac_addresses": [], "ipv4s": [ip(n)], "ipv6s": [], "fqdns": []}], "acr_score": "7", "exposure_score": "721",
    })


def tenable_vulnerabilities(dice, size):
    def finding(number):
        n, host = dice.randrange(RULES), number // 100
        return {
            "asset": {"agent_uuid": uuid(host + 1), "bios_uuid": uuid(host + 2), "device_type": "general-purpose", "fqdn": f"web{host}.example.com", "hostname": f"web{host}", "uuid": uuid(host),
                      "ipv4": ip(host), "mac_address": "00:50:56:00:00:01", "operating_system": ["Linux Kernel 5.15 on Ubuntu 22.04"], "network_id": uuid(0), "tracked": True,
                      "last_authenticated_results": day(host), "last_unauthenticated_results": day(host)},
            "output": results(dice, number % 100, host),
            "plugin": {"bid": [n], "checks_for_default_account": False, "cpe": ["cpe:/a:example:product"], "cve": [f"CVE-2024-{10_000 + n}"], "cvss3_base_score": 7.5, "cvss3_temporal_score": 6.5,
                       "cvss3_vector": {"access_complexity": "Low", "access_vector": "Network", "availability_impact": "None", "raw": V3}, "cvss_base_score": 5.0,
                       "cvss_vector": {"access_complexity": "Low", "access_vector": "Network", "raw": "AV:N/AC:L/Au:N/C:P/I:N/A:N"}, "description": dice.long[n], "exploit_available": n % 3 == 0,
                       "family": "General", "family_id": 30, "has_patch": True, "id": 10_000 + n, "in_the_news": False, "modification_date": "2024-10-07T00:00:00Z", "name": f"Plugin {n}",
                       "patch_publication_date": "2024-01-07T00:00:00Z", "publication_date": "2024-01-07T00:00:00Z", "risk_factor": "high", "see_also": ["https://example.com/a", "https://example.com/b"],
                       "solution": dice.short[n], "synopsis": dice.short[n], "type": "remote", "version": "1.9", "vuln_publication_date": "2024-01-07T00:00:00Z",
                       "vpr": {"score": 6.7, "drivers": {"age_of_vuln": {"lower_bound": 366, "upper_bound": 730}, "exploit_code_maturity": "PROOF_OF_CONCEPT", "cvss3_impact_score": 3.6}, "updated": day(n)}},
            "port": {"port": number % 100, "protocol": "TCP", "service": "www"},
            "scan": {"completed_at": day(host), "schedule_uuid": f"template-{uuid(9)}", "started_at": day(host), "uuid": uuid(host + 5)},
            "severity": "high", "severity_id": 3, "severity_default_id": 3, "severity_modification_type": "NONE", "first_found": day(n), "last_found": day(host), "state": "OPEN",
            "indexed": day(host), "source": "NESSUS", "finding_id": uuid(number),
        }

    return listed("[", "]", finding)


def tenable_compliance(dice, size):
    def check(number):
        n, host = dice.randrange(RULES), number // 100
        return {
            "asset_uuid": uuid(host), "first_seen": day(n), "last_seen": day(host), "last_fixed": None, "audit_file": "CIS_Ubuntu_22.04_L1_Server.audit", "check_id": f"{n:064x}", "check_name": f"{n}.1 Ensure that the setting is so",
            "check_info": dice.long[n], "expected_value": dice.short[n], "actual_value": dice.short[n - 1], "status": ["FAILED", "PASSED", "WARNING"][n % 3], "plugin_id": 21_157, "state": "OPEN", "description": dice.long[n],
            "solution": dice.short[n], "see_also": "https://example.com/benchmark", "synopsis": "Compliance checks for Unix", "reference": [{"framework": "800-53r5", "control": "CM-6"}, {"framework": "CSCv8", "control": "4.1"}, {"framework": "LEVEL", "control": "1A"}],
            "compliance_benchmark_name": "CIS Ubuntu", "compliance_benchmark_version": "1.0", "compliance_control_id": f"{n * 7919:064x}", "compliance_full_id": f"{n * 104729:064x}", "compliance_functional_id": f"{n:010x}", "compliance_informational_id": f"{n + 1:064x}",
            "last_observed": day(host), "metadata_id": uuid(n), "uname_output": "Linux web 5.15.0", "indexed_at": day(host), "plugin_name": "Unix Compliance Checks",
            "asset": {"id": uuid(host), "ipv4_addresses": [ip(host)], "ipv6_addresses": [], "fqdns": [f"web{host}.example.com"], "name": f"web{host}.example.com", "agent_name": f"web{host}", "agent_uuid": uuid(host + 1), "netbios_name": "",
                      "mac_addresses": ["00:50:56:00:00:01"], "operating_systems": ["Linux Kernel 5.15 on Ubuntu 22.04"], "system_type": "general-purpose", "network_id": uuid(0), "tags": []},
        }

    return listed("[", "]", check)


def insightvm_assets(dice, size):
    def asset(number):
        def finding(item):
            n = dice.randrange(RULES)
            return {"vulnerability_id": f"rule-{n}", "check_id": f"check-{n}", "key": str(item), "nic": None, "port": item, "protocol": "TCP", "proof": f"<p><p>{results(dice, item, number)}</p></p>",
                    "status": "VULNERABLE_VERS", "first_found": day(n), "last_found": day(number), "reintroduced": None, "solution_id": f"fix-{n}", "solution_summary": dice.short[n],
                    "solution_fix": f"<p>{dice.short[n]}</p>", "solution_type": "PATCH"}

        return {"id": f"{uuid(0)}-default-asset-{number}", "host_name": f"web{number}.example.com", "ip": ip(number), "mac": "01:01:01:A0:1A:11", "os_description": "Ubuntu Linux 22.04", "os_family": "Linux",
                "assessed_for_vulnerabilities": True, "last_assessed_for_vulnerabilities": day(number), "last_scan_end": day(number), "last_scan_start": day(number), "risk_score": 7210.5, "critical_vulnerabilities": 3,
                "severe_vulnerabilities": 10, "moderate_vulnerabilities": 7, "total_vulnerabilities": 20, "tags": [{"name": "Head office", "type": "SITE"}, {"name": "env=prod", "type": "CUSTOM"}],
                "unique_identifiers": [{"id": uuid(number), "source": "R7 Agent"}, {"id": f"i-{number:017x}", "source": "AWS"}], "credential_assessments": [],
                "new": [], "remediated": [], "same": [finding(item) for item in range(20)]}

    return listed('{"data":[', '],"metadata":{"number":0,"size":50,"totalResources":1,"totalPages":1,"cursor":null},"links":[]}', asset)


def insightvm_vulnerabilities(dice, size):
    return listed('{"data":[', '],"metadata":{"number":0,"size":500},"links":[]}', lambda number: {
        "id": f"rule-{number}", "title": f"Rule {number}", "added": "2024-01-07T00:00:00Z", "categories": "Web", "cves": f"CVE-2024-{10_000 + number % RULES}", "cvss_v2_score": 5.0, "cvss_v2_vector": "AV:N/AC:L/Au:N/C:P/I:N/A:N",
        "cvss_v3_score": 7.5, "cvss_v3_vector": f"CVSS:3.0/{V3}", "cvss_v3_attack_vector": "Network", "denial_of_service": False, "description": dice.long[number % RULES], "exploits": [], "links": [{"id": "u", "href": "https://example.com/a"}],
        "malware_kits": [], "modified": "2024-10-07T00:00:00Z", "pci_status": "Fail", "published": "2024-01-07T00:00:00Z", "references": f"url:https://example.com/{number}", "risk_score": 421.5, "severity": "severe", "severity_score": 7,
    })


def console_assets(dice, size):
    return listed('{"resources":[', '],"page":{"number":0,"size":500,"totalResources":1,"totalPages":1},"links":[]}', lambda n: {
        "id": n + 1, "ip": ip(n), "mac": "00:50:56:A6:22:93", "hostName": f"web{n}.example.com", "hostNames": [{"name": f"web{n}.example.com", "source": "dns"}, {"name": f"WEB{n}", "source": "netbios"}],
        "addresses": [{"ip": ip(n), "mac": "00:50:56:A6:22:93"}], "ids": [{"id": uuid(n), "source": "dmidecode"}, {"id": uuid(n).replace("-", ""), "source": "R7 Agent"}], "os": "Ubuntu Linux 22.04",
        "osFingerprint": {"description": "Ubuntu Linux 22.04", "family": "Linux", "product": "Linux", "vendor": "Ubuntu", "version": "22.04"}, "assessedForPolicies": False, "assessedForVulnerabilities": True,
        "history": [{"date": day(n + h), "scanId": h, "type": "SCAN", "version": h} for h in range(6)], "riskScore": 7210.5, "rawRiskScore": 7210.5,
        "services": [{"name": "HTTP", "port": port, "protocol": "tcp", "product": "Apache", "links": [{"href": f"https://console.example.com/api/3/assets/{n + 1}/services/tcp/{port}", "rel": "self"}]} for port in (80, 443, 8080)],
        "software": [{"id": s, "description": f"Example Product {s}.0", "product": "Product", "vendor": "Example", "version": f"{s}.0"} for s in range(10)],
        "vulnerabilities": {"critical": 3, "exploits": 0, "malwareKits": 0, "moderate": 7, "severe": 10, "total": 20}, "links": [{"href": f"https://console.example.com/api/3/assets/{n + 1}", "rel": "self"}],
    })


def console_vulnerabilities(dice, size):
    return listed('{"resources":[', '],"page":{"number":0,"size":500,"totalResources":1,"totalPages":1},"links":[]}', lambda n: {
        "id": f"rule-{n}", "instances": 1, "status": "vulnerable", "since": day(n),
        "results": [{"port": 443, "protocol": "tcp", "proof": f"<p>{results(dice, 1, 0)}</p>", "since": day(n), "status": "vulnerable-version", "checkId": f"check-{n}"}, {"key": "/etc/x", "status": "vulnerable-with-exception-applied", "exceptions": [4]}],
        "links": [{"href": f"https://console.example.com/api/3/assets/41/vulnerabilities/rule-{n}", "rel": "self"}],
    })


def console_definitions(dice, size):
    return listed('{"resources":[', '],"page":{"number":0,"size":500,"totalResources":1,"totalPages":1},"links":[]}', lambda n: {
        "id": f"rule-{n}", "title": f"Rule {n}", "added": "2024-01-07", "modified": "2024-10-07", "published": "2024-01-07", "categories": ["Web"], "cves": [f"CVE-2024-{10_000 + n % RULES}"],
        "cvss": {"v2": {"score": 5.0, "vector": "AV:N/AC:L/Au:N/C:P/I:N/A:N"}, "v3": {"score": 7.5, "vector": f"CVSS:3.0/{V3}", "attackVector": "N"}}, "denialOfService": False,
        "description": {"html": f"<p>{dice.long[n % RULES]}</p>", "text": dice.long[n % RULES]}, "exploits": 0, "malwareKits": 0, "riskScore": 421.5, "severity": "Severe", "severityScore": 7, "links": [{"href": f"https://console.example.com/api/3/vulnerabilities/rule-{n}", "rel": "self"}],
    })


def aws_inspector(dice, size):
    return listed('{"findings":[', "]}", lambda n: {
        "awsAccountId": "000000000000", "description": dice.long[n % RULES], "epss": {"score": 0.0042}, "exploitAvailable": "NO", "findingArn": f"arn:aws:inspector2:us-east-1:000000000000:finding/{n:032x}", "firstObservedAt": day(n), "fixAvailable": "YES",
        "inspectorScore": 8.1, "lastObservedAt": day(n + 1), "packageVulnerabilityDetails": {"cvss": [{"baseScore": 8.1, "scoringVector": f"CVSS:3.1/{V3}", "source": "NVD", "version": "3.1"}], "referenceUrls": ["https://example.com/a"], "relatedVulnerabilities": [], "source": "NVD",
        "vulnerabilityId": f"CVE-2024-{10_000 + n % RULES}", "vulnerablePackages": [{"arch": "X86_64", "epoch": 0, "fixedInVersion": "0:1.2.4-1", "name": "libsample", "packageManager": "OS", "release": "1", "remediation": "yum update libsample", "version": "1.2.3"}]},
        "remediation": {"recommendation": {"text": "None Provided"}}, "resources": [{"details": {"awsEc2Instance": {"ipV4Addresses": [ip(n // 20)], "platform": "AMAZON_LINUX_2"}}, "id": f"i-{n // 20:017x}", "partition": "aws", "region": "us-east-1", "tags": {"team": "platform"}, "type": "AWS_EC2_INSTANCE"}],
        "severity": "HIGH", "status": "ACTIVE", "title": f"CVE-2024-{10_000 + n % RULES} - libsample", "type": "PACKAGE_VULNERABILITY", "updatedAt": day(n + 1),
    })


def qualys_global_assets(dice, size):
    return listed('{"responseMessage":"Valid API Access","count":300,"responseCode":"SUCCESS","lastSeenAssetId":1,"hasMore":0,"assetListData":{"asset":[', "]}}", lambda n: {
        "assetId": n + 1, "hostId": n + 1, "assetUUID": f"00000000-0000-4000-8000-{n:012x}", "agentId": f"00000000-0000-4000-9000-{n:012x}", "createdDate": day(n), "lastModifiedDate": day(n + 1), "address": ip(n), "dnsName": f"host-{n}.corp.example", "assetName": f"host-{n}", "netbiosName": f"HOST-{n}", "biosSerialNumber": f"S{n}",
        "hwUUID": f"00000000-0000-4000-a000-{n:012x}", "criticality": {"score": 1 + n % 5, "isDefault": False, "lastUpdated": day(n)}, "operatingSystem": {"osName": "Ubuntu Linux 22.04", "fullName": "Canonical Ubuntu Linux 22.04 LTS", "category": "Linux / Server", "publisher": "Canonical"},
        "networkInterfaceListData": {"networkInterface": [{"interfaceName": "eth0", "macAddress": f"00:50:56:00:{n >> 8 & 255:02x}:{n & 255:02x}", "addressIpV4": ip(n), "addressIpV6": None, "dnsAddress": "10.0.0.1"}]},
        "openPortListData": {"openPort": [{"port": port, "protocol": "TCP", "detectedService": "http", "firstFound": day(n), "lastUpdated": day(n + 1)} for port in (22, 80, 443)]},
        "softwareListData": {"software": [{"id": item, "fullName": f"Example Library {item} 1.{n % RULES}", "productName": f"Example Library {item}", "version": f"1.{n % RULES}", "publisher": "Example", "category": "Application Development / Libraries", "installDate": day(n), "isIgnored": False} for item in range(40)]},
        "tagList": {"tag": [{"tagId": 1, "tagName": "env=prod"}, {"tagId": 2, "tagName": "team=platform"}]}, "cloudProvider": {"aws": {"ec2": {"accountId": "000000000000", "region": "eu-central-1", "instanceId": f"i-{n:017x}", "instanceState": "RUNNING"}}},
    })


def aws_security_hub(dice, size):
    return listed('{"Findings":[', "]}", lambda n: {
        "SchemaVersion": "2018-10-08", "Id": f"sample/{n}", "ProductArn": "arn:aws:securityhub:us-east-1::product/sample/sample", "ProductName": "Sample", "CompanyName": "Sample", "Region": "us-east-1", "GeneratorId": f"CVE-2024-{10_000 + n % RULES}", "AwsAccountId": "000000000000",
        "Types": ["Software and Configuration Checks/Vulnerabilities/CVE"], "FirstObservedAt": day(n), "LastObservedAt": day(n + 1), "CreatedAt": day(n), "UpdatedAt": day(n + 1), "Severity": {"Label": "HIGH", "Normalized": 70}, "Title": f"CVE-2024-{10_000 + n % RULES} - libsample",
        "Description": dice.long[n % RULES], "Remediation": {"Recommendation": {"Text": dice.short[n % RULES]}}, "Resources": [{"Type": "AwsEc2Instance", "Id": f"arn:aws:ec2:us-east-1:000000000000:instance/i-{n // 20:017x}", "Partition": "aws", "Region": "us-east-1", "Tags": {"team": "platform"},
        "Details": {"AwsEc2Instance": {"IpV4Addresses": [ip(n // 20)]}}}], "Vulnerabilities": [{"Id": f"CVE-2024-{10_000 + n % RULES}", "VulnerablePackages": [{"Name": "libsample", "Version": "1.2.3", "FixedInVersion": "1.2.4"}], "Cvss": [{"Version": "3.1", "BaseScore": 8.1, "BaseVector": f"CVSS:3.1/{V3}"}]}],
        "WorkflowState": "NEW", "Workflow": {"Status": "NEW"}, "RecordState": "ACTIVE",
    })


# CSV


def quoted(cells):
    return ",".join('"' + cell.replace('"', '""') + '"' if set(cell) & set('",\n') else cell for cell in map(str, cells)) + "\n"


def console_report(dice, size):
    yield "asset_id,last_assessed,announced,tags,vulnerability,status,excepted,port,protocol,key,proof,first_found,last_found,reopened_at,severity,severity_score,cvss_v3_score\n"
    for host in range(1 << 24):
        for item in range(20):
            n = dice.randrange(RULES)
            proof = f'<p><ul><li>Vulnerable "version" of Product, found: {results(dice, item, host)}</li></ul></p>'
            yield quoted([host + 1, "2026-11-22 00:00:00.000", 20, "CUSTOM:env=prod\nSITE:Head office", f"rule-{n}", "Vulnerable Version", 0, item, "TCP", "", proof, "2026-11-01 00:00:00.000", "2026-11-22 00:00:00.000", "", "Severe", 7, 7.5])
            if (yield None):
                return


def console_report_rules(dice, size):
    yield "vulnerability,title,description,severity,severity_score,cvss_v2_score,cvss_v2_vector,cvss_v3_score,cvss_v3_vector,modified,cves,summary,fix,solution_type\n"
    for rule in range(1 << 24):
        n = rule % RULES
        yield quoted([f"rule-{rule}", f'Rule "{rule}", again', f"<p>{dice.long[n]}</p>", "Severe", 7, 5.0, "AV:N/AC:L/Au:N/C:P/I:N/A:N", 7.5, f"CVSS:3.0/{V3}", "2024-10-07 00:00:00.000", f"CVE-2024-{10_000 + n}", dice.short[n], f"<p>{dice.short[n]}</p>", "PATCH"])
        if (yield None):
            return


FORMATS = [
    nessus, qualys_host_detections, qualys_asset_inventory, qualys_knowledge_base, qualys_compliance_posture, qualys_global_assets, console_xml, tenable_assets, tenable_vulnerabilities, tenable_compliance, insightvm_assets, insightvm_vulnerabilities,
    console_assets, console_vulnerabilities, console_definitions, aws_inspector, aws_security_hub, console_report, console_report_rules,
]


def write(pieces, size, out):
    """Takes pieces until it is enough; at each `None` the format asks whether it is."""
    written, enough = 0, False
    while True:
        try:
            piece = pieces.send(enough) if written else next(pieces)
        except StopIteration:
            return
        if piece is None:
            continue
        written += len(piece)
        enough = written >= size
        out.write(piece)


def main() -> int:
    formats = {make.__name__.replace("_", "-"): make for make in FORMATS}
    if len(sys.argv) != 3 or sys.argv[1] not in formats:
        print(__doc__, "formats:", ", ".join(formats), file=sys.stderr)
        return 2
    size = int(float(sys.argv[2]) * 1_000_000)
    try:
        write(formats[sys.argv[1]](Dice(), size), size, sys.stdout)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
