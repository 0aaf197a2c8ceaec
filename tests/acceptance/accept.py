#!/usr/bin/env python3
"""accept.py RESULTS: judges the promises in `list` by the verdicts of the sets that have run.

A promise is kept if every pattern of it matches a passed test and no failed or skipped one.
What no test of this run speaks for is `SKIP ...: not built`: the count of those is the progress.
"""
import fnmatch
import os
import re
import sys

results = sys.argv[1]
verdicts = []
for log in sorted(os.listdir(results)):
    if not log.endswith(".log") or log == "accept.log":
        continue
    with open(os.path.join(results, log), errors="replace") as f:
        for line in f:
            m = re.match(r"(PASS|FAIL|SKIP) ([^ :]+):? ?(.*)$", line.rstrip())
            if m:
                verdicts.append((m[1], f"{log[:-4]}:{m[2]}", m[3] or ""))

here = os.path.dirname(os.path.abspath(__file__))
for line in open(os.path.join(here, "list")):
    if line.startswith("#") or not line.strip():
        continue
    point, name, patterns = (x.strip() for x in line.split("|"))
    name = f"{point}-{name}"
    why, missing = None, None
    for pattern in patterns.split():
        hits = [v for v in verdicts if fnmatch.fnmatch(v[1], pattern)]
        bad = [v for v in hits if v[0] == "FAIL"]
        skipped = [v for v in hits if v[0] == "SKIP"]
        if bad:
            why = f"{bad[0][1]}: {bad[0][2]}"
        elif skipped or not hits:
            missing = f"{skipped[0][1]}: {skipped[0][2]}" if skipped else f"no test {pattern}"
    if why:
        print(f"FAIL {name}: {why}")
    elif missing:
        print(f"SKIP {name}: not built: {missing}")
    else:
        print(f"PASS {name}")
