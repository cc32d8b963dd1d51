"""How fast the usual Python libraries read the files that are named: seconds for each, best of two, as JSON.

    python normalize_bench.py FILE.json|FILE.xml|FILE.nessus|FILE.csv...

`json.loads`, `xmltodict.parse`, `csv.DictReader`, and for .nessus the reader of pyTenable. Nothing is made of what was read.
"""

import csv
import json
import sys
import time

import xmltodict
from tenable.reports import NessusReportv2


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.loads(file.read())


def read_xml(path):
    with open(path, "rb") as file:
        return xmltodict.parse(file)


def read_csv(path):
    csv.field_size_limit(sys.maxsize)
    with open(path, encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def read_nessus(path):
    with open(path, "rb") as file:
        return sum(1 for _ in NessusReportv2(file))


def best(path):
    read = {"json": read_json, "xml": read_xml, "csv": read_csv, "nessus": read_nessus}[path.rsplit(".", 1)[1]]
    times = []
    for _ in range(2):
        began = time.perf_counter()
        read(path)
        times.append(time.perf_counter() - began)
    return min(times)


print(json.dumps([best(path) for path in sys.argv[1:]]))
