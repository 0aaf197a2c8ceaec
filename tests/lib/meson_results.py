#!/usr/bin/env python3
"""meson_results.py BUILD [--suite S | --no-suite S]: runs meson's tests, prints verdict lines.

Meson's own summary is for people; the lines here are those of tests/run.sh. A test that exits
with 77 is a skip, and the last line that it printed is the reason.
"""
import argparse
import json
import os
import subprocess
import sys

p = argparse.ArgumentParser()
p.add_argument("build")
p.add_argument("--suite", action="append", default=[])
p.add_argument("--not-suite", action="append", default=[])
a = p.parse_args()

base = "results-" + "-".join(a.suite or ["not"] + a.not_suite)
cmd = ["meson", "test", "-C", a.build, "--no-rebuild", "--logbase", base, "--num-processes", "2"]
for s in a.suite:
    cmd += ["--suite", s]
for s in a.not_suite:
    cmd += ["--no-suite", s]
if not os.environ.get("LODGE_TEST_FULL"):
    cmd += ["--no-suite", "full", "--no-suite", "bench"]
log = os.path.join(a.build, "meson-logs", base + ".json")
if os.path.exists(log):
    os.remove(log)
r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
if not os.path.exists(log):
    print(r.stdout)
    if "No tests defined" in r.stdout or "No suitable tests" in r.stdout:
        print("SKIP meson: not built: no tests in", ",".join(a.suite) or "any suite")
        sys.exit(0)
    sys.exit(1)
failed = False
with open(log) as f:
    for line in f:
        t = json.loads(line)
        name = t["name"].split(" / ")[-1].replace(" ", "-")
        out = [x for x in (t.get("stdout", "") + t.get("stderr", "")).splitlines() if x.strip()]
        if t["result"] in ("OK", "EXPECTEDFAIL"):
            print(f"PASS {name}")
        elif t["result"] == "SKIP":
            print(f"SKIP {name}: {out[-1] if out else 'no reason given'}")
        else:
            failed = True
            print("\n".join("    " + x for x in out[-60:]))
            why = next((x for x in reversed(out) if "rror" in x or "FAIL" in x), "see the log")
            print(f"FAIL {name}: {t['result'].lower()}: {why.strip()[:200]}")
sys.exit(1 if failed else 0)
