#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count the results in a meson testlog.json; print "N passed, N failed, N skipped"."""
import json
import sys

counts = {"passed": 0, "failed": 0, "skipped": 0}
failures = []
try:
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            result = test["result"]
            if result in ("OK", "EXPECTEDFAIL"):
                counts["passed"] += 1
            elif result in ("SKIP", "IGNORED"):
                counts["skipped"] += 1
            else:
                counts["failed"] += 1
                failures.append(f"{test['name']}: {result}")
except OSError as e:
    print(f"count-tests: no test ran: {e}", file=sys.stderr)
    counts["failed"] += 1
for name in failures:
    print(f"failed: {name}")
print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
sys.exit(counts["failed"] != 0 or counts["passed"] == 0)
