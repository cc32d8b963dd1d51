"""Tenable's own client and report reader against a Nessus address: exports the newest history of every scan, prints
counts, fails if anything is off.

    python pytenable_nessus.py http://127.0.0.1:8099/nessus [access key] [secret key]
"""

import collections
import json
import sys

from tenable.nessus import Nessus
from tenable.reports import NessusReportv2

CHECK = "{http://www.nessus.org/cm}compliance-check-name"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    url = sys.argv[1]
    access, secret = sys.argv[2:4] if len(sys.argv) > 3 else ("sim-access", "sim-secret")
    client = Nessus(url=url, access_key=access, secret_key=secret, vendor="vulnrelay", product="test", build="1")

    listed = client.scans.list()
    trash = {folder["id"] for folder in listed["folders"] if folder["type"] == "trash"}
    items: collections.Counter[str] = collections.Counter()
    hosts = set()
    seen = set()
    repeated = 0
    for scan in listed["scans"] or []:
        if scan["status"] == "empty" or scan["folder_id"] in trash:
            continue
        histories = client.scans.details(scan["id"])["history"]
        newest = max(
            (history for history in histories if history["status"] == "completed"),
            key=lambda history: history["last_modification_date"],
        )
        for item in NessusReportv2(client.scans.export_scan(scan["id"], history_id=newest["history_id"])):
            items[str(scan["id"])] += 1
            hosts.add((scan["id"], item["host-report-name"]))
            key = (scan["id"], item["host-report-name"], item["pluginID"], item["port"], item.get(CHECK))
            repeated += key in seen
            seen.add(key)

    print(json.dumps({"items": dict(sorted(items.items())), "hosts": len(hosts)}))
    if not hosts or repeated:
        print(f"{len(hosts)} hosts, {repeated} repeated items", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
