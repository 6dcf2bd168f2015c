#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure and rewrite the tables of doc/BENCHMARKS.md and the chart beside it.

usage: update-benchmarks.py [--build DIR] [--repeat N] [--stat median|min] [--from JSON...]

It runs `metaphrase nanobench`, the same with --bits 32, and `metaphrase bench` of the build tree (default:
build), which takes about ten minutes on a quiet machine.  With --from nothing is run: the documents
(--json of those commands) are taken, and the tables of the others stay."""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
PAGE = TOP / "doc" / "BENCHMARKS.md"


def number(v):
    if v is None:
        return ""
    return f"{v:.2f}" if v < 9.95 else f"{v:.1f}" if v < 999.5 else f"{v:,.0f}"


def cell(values, column, stat):
    got = values.get(column, {})
    if stat in got:
        return number(got[stat])
    return got.get("reason", "").split(":")[0]


def ratio(values, a, b, stat):
    x, y = (values.get(c, {}).get(stat) for c in (a, b))
    return f"{x / y:.2f}" if x is not None and y else ""


def table(document, stat):
    """The Markdown of one document: values, then each engine against natively and the peers."""
    columns = document["columns"]
    names = [c["name"] for c in columns]
    published = list(document["rows"][0].get("published", {})) if "nanobench" in document["tool"] else []
    engines = [c["name"] for c in columns if c["kind"] == "engine"]
    others = [c["name"] for c in columns if c["kind"] != "engine"]
    pairs = [] if published else [(a, b) for a in engines if a != "interpret" for b in others]
    published = ["native'06", "BT'06", "VT'06"] if published else []
    head = ["", *names, *published, *(f"{a} / {b}" for a, b in pairs)]
    what = {"median": "medians", "min": "least values"}[stat]
    lines = [f"{document['date']}, {document['host']}; {what}; {document['options']}.", "",
             "| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in document["rows"]:
        label = row["name"] + (f" ({row['unit']})" if "unit" in row else "")
        cells = [cell(row["values"], n, stat) for n in names]
        cells += [number(row.get("published", {}).get(p)) for p in published]
        cells += [ratio(row["values"], a, b, stat) for a, b in pairs]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    for c in columns:
        for key in ("failed", "note"):
            if key in c:
                lines += ["", f"{c['name']}: {key}: {c[key]}"]
    return "\n".join(lines)


def kind_of(document):
    """Which table of the page it is."""
    if "bench" in document["tool"].split()[-1:]:
        return "bench"
    return "nanobench32" if "bits=32" in document["options"] else "nanobench64"


def put(page, document, stat):
    kind = kind_of(document)
    block = re.compile(rf"(<!-- {kind} -->\n).*?(<!-- end -->)", re.S)
    if not block.search(page):
        sys.exit(f"{PAGE} has no place for {kind}")
    return block.sub(lambda m: m.group(1) + table(document, stat) + "\n" + m.group(2), page)


def measure(build, repeat):
    program = str(pathlib.Path(build).resolve() / "metaphrase")
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch, "out.json")
        for command in (["nanobench", "--plot", str(TOP / "doc" / "nanobench.svg")], ["nanobench", "--bits", "32"],
                        ["bench"]):
            # Status 1: something failed, which the table says.
            subprocess.run([program, *command, "--repeat", str(repeat), "--json", str(out)], check=False)
            yield json.loads(out.read_text(encoding="utf-8"))
            out.unlink()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=TOP / "build")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stat", choices=["median", "min"], default="median")  # min: for a busy machine
    parser.add_argument("--from", nargs="+", dest="files", default=[])
    args = parser.parse_args()
    documents = ([json.loads(pathlib.Path(f).read_text(encoding="utf-8")) for f in args.files] if args.files
                 else measure(args.build, args.repeat))
    for document in documents:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), document, args.stat), encoding="utf-8")


main()
