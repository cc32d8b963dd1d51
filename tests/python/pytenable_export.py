"""Tenable's own client against a Tenable address: exports everything, prints counts, fails if anything is off.

    python pytenable_export.py http://127.0.0.1:8099/tenable [access key] [secret key]
"""

import collections
import json
import sys

from tenable.io import TenableIO


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    url = sys.argv[1]
    access, secret = sys.argv[2:4] if len(sys.argv) > 3 else ("sim-access", "sim-secret")
    client = TenableIO(url=url, access_key=access, secret_key=secret, vendor="vulnrelay", product="test", build="1")

    states: collections.Counter[str] = collections.Counter()
    keys = set()
    for finding in client.exports.vulns(num_assets=50, since=1_600_000_000, state=["open", "reopened", "fixed"]):
        states[finding["state"]] += 1
        port = finding["port"]
        keys.add((finding["asset"]["uuid"], finding["plugin"]["id"], port["port"], port["protocol"]))
    assets = {asset["id"] for asset in client.exports.assets(chunk_size=100)}

    second = {asset["id"] for asset in client.exports.assets_v2(chunk_size=100)}
    results = collections.Counter(check["status"] for check in client.exports.compliance(num_findings=200))

    print(
        json.dumps(
            {
                "vulns": dict(sorted(states.items())),
                "assets": len(assets),
                "assets_v2": len(second & assets),
                "compliance": dict(sorted(results.items())),
            }
        )
    )
    unknown = {asset for asset, *_ in keys} - assets
    if not keys or not assets or len(keys) != sum(states.values()) or unknown:
        print(f"{sum(states.values()) - len(keys)} repeated findings, {len(unknown)} unknown assets", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
