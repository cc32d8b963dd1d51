"""The community's Qualys client against a Qualys address: pulls everything that we pull, prints counts.

    python qualysdk_pull.py http://127.0.0.1:8099/qualys http://127.0.0.1:8099/qualys-gateway [user] [password]
"""

import collections
import contextlib
import json
import sys

from qualysdk import BasicAuth, TokenAuth
from qualysdk.gav import get_all_assets
from qualysdk.vmdr import get_ag_list, get_hld, get_host_list, query_kb


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    urls = {"api_url": sys.argv[1], "gateway_url": sys.argv[2], "qualysguard_url": sys.argv[1]}
    user, password = sys.argv[3:5] if len(sys.argv) > 4 else ("sim-user", "sim-pass")
    with contextlib.redirect_stdout(sys.stderr):
        auth = BasicAuth(user, password, override_platform=urls)
        hosts = get_host_list(auth, threads=1, details="All", show_tags=True, truncation_limit=7)
        detected = get_hld(auth, threads=1, status="New,Active,Re-Opened,Fixed", truncation_limit=7)
        qids = sorted({detection.QID for host in detected for detection in host.DETECTION_LIST})
        definitions = query_kb(auth, ids=",".join(str(qid) for qid in qids[:50]), details="All")
        groups = get_ag_list(auth)
        token = TokenAuth(user, password, override_platform=urls)
        assets = get_all_assets(token, pageSize=10)
    states = collections.Counter(d.STATUS for host in detected for d in host.DETECTION_LIST if d.STATUS)
    print(
        json.dumps(
            {
                "hosts": len({host.ID for host in hosts}),
                "detections": dict(sorted(states.items())),
                "asked": len(qids[:50]),
                "definitions": len(definitions),
                "groups": sorted(group.TITLE for group in groups),
                "assets": len({asset.hostId for asset in assets}),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
