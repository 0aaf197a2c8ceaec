"""That tests/bench/display itself works: each of its parts, short, Lodge alone; times are not judged."""
import os
import re
import subprocess

from lib_screen import HERE, check

SECONDS = 2
MADE = r"Lodge ([\d.]+) pictures a second shown \((\d+) (?:lines|made)\), display path ([\d.]+)%"


def test_display_bench(env):
    r = subprocess.run([os.path.join(HERE, "../bench/display"), "--without-qemu", "--seconds",
                        str(SECONDS)], stdout=subprocess.PIPE, text=True, timeout=600)
    check(r.returncode == 0, f"status {r.returncode}: {r.stdout[-200:]}")
    for screen in ("text screen", "1920x1080"):
        check(re.search(rf"^idle, {screen}: Lodge [\d.]+% of a CPU; Lodge without a console [\d.]+%",
                        r.stdout, re.M), f"idle, {screen}: {r.stdout}")
    for part in ("text console", "console on 1920x1080", "film of 1920x1080"):
        m = re.search(rf"^{part}: {MADE}", r.stdout, re.M)
        check(m, f"{part}: {r.stdout}")
        check(float(m[1]) > 0 and int(m[2]) > 0 and float(m[3]) > 0, f"{part}: {m[0]}")
