"""Rapid7's own client against an InsightVM console: reads assets, findings, definitions, tags and an SQL report.

    python console_client.py http://127.0.0.1:8099/insightvm-console [user] [password]
"""

import base64
import csv
import gzip
import io
import json
import sys

import rapid7vmconsole
from rapid7vmconsole.configuration import Configuration

QUERY = """
SELECT da.asset_id AS asset_id, dv.nexpose_id AS vulnerability, i.port AS port
FROM dim_asset da
JOIN fact_asset_vulnerability_instance i ON i.asset_id = da.asset_id
JOIN dim_vulnerability dv ON dv.vulnerability_id = i.vulnerability_id
"""


def pages(call, *args):
    """Every resource of a list."""
    page = 0
    while True:
        answer = call(*args, page=page, size=3, sort=["id,ASC"])
        yield from answer.resources
        page += 1
        if page >= answer.page.total_pages:
            return


def report(api, name):
    """The rows of an SQL report, which is removed afterwards."""
    wish = rapid7vmconsole.Report(name=name, format="sql-query", query=QUERY, version="2.3.0")
    created = api.create_report(report=wish)
    try:
        instance = api.generate_report(created.id)
        for _ in range(10):
            status = api.get_report_instance(created.id, instance.id).status
            if status == "complete":
                break
        else:
            raise RuntimeError(f"the report stays {status}")
        output = api.download_report(created.id, instance.id, _preload_content=False).data
        if output[:2] == b"\x1f\x8b":
            output = gzip.decompress(output)
        return [row for row in csv.DictReader(io.StringIO(output.decode())) if row["vulnerability"]]
    finally:
        api.delete_report(created.id)


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    user, password = sys.argv[2:4] if len(sys.argv) > 3 else ("sim-console", "sim-pass")
    # A model of the API has taken this class's name in the package.
    config = Configuration()
    config.host = sys.argv[1]
    config.username, config.password = user, password
    client = rapid7vmconsole.ApiClient(configuration=config)
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    client.default_headers["Authorization"] = f"Basic {token}"

    assets = list(pages(rapid7vmconsole.AssetApi(client).get_assets))
    findings = rapid7vmconsole.VulnerabilityResultApi(client)
    results = []
    definitions = set()
    for asset in assets:
        for finding in pages(findings.get_asset_vulnerabilities, asset.id):
            definitions.add(finding.id)
            results.extend((asset.id, finding.id, result.port, result.status) for result in finding.results)
    definition = rapid7vmconsole.VulnerabilityApi(client).get_vulnerability(sorted(definitions)[0])
    tags = list(pages(rapid7vmconsole.TagApi(client).get_tags))
    tagged = rapid7vmconsole.TagApi(client).get_tagged_assets(tags[0].id)
    rows = report(rapid7vmconsole.ReportApi(client), "rapid7 client")

    print(
        json.dumps(
            {
                "assets": len(assets),
                "instances": len(results),
                "exceptions": sum(status.endswith("-with-exception-applied") for *_, status in results),
                "rows": len(rows),
                "tags": len(tags),
            }
        )
    )
    ok = definition.severity in ("Critical", "Severe", "Moderate") and tagged.resources is not None
    unknown = {row["asset_id"] for row in rows} - {str(asset.id) for asset in assets}
    if not ok or unknown or len(set(results)) != len(results):
        print(f"{definition.severity}, {len(unknown)} unknown assets, {len(results)} results", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
