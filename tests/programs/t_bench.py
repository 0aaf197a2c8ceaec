"""That tests/bench/snapshot and tests/bench/disk themselves work: short; times are not judged."""
import os
import re
import shutil
import subprocess

from lib import HERE, Skip, check

FIGURE = r"[\d.e+]+"


def bench(env, name, *words):
    r = subprocess.run([os.path.join(HERE, "../bench", name), "--rounds", "1", "--anyway", *words], capture_output=True,
                       text=True, timeout=600, env={**env.env, "TMPDIR": env.dir}, check=False)
    check(not r.stderr, r.stderr)
    return r


def test_bench_snapshot(env):
    r = bench(env, "snapshot", "--sizes", "32", "--without-qemu")
    check(r.returncode == 0, r.stdout)
    check(re.search(rf"^Lodge, 32 MiB: pause {FIGURE} ms, total {FIGURE} s, {FIGURE} MiB on the disk, running after "
                    rf"{FIGURE} ms, answer after {FIGURE} ms$", r.stdout, re.M), r.stdout)
    check(re.search(rf"^ten forks in {FIGURE} s with {FIGURE} of a guest's memory$", r.stdout, re.M), r.stdout)


def test_bench_disk(env):
    """Both kinds of rows; what is converted is compared."""
    if not shutil.which("qemu-img"):
        raise Skip("qemu-utils is not installed")
    names = ("raw sequential write 1024 KiB cached", "convert qcow2 to raw", "convert raw to zstd")
    r = bench(env, "disk", "--size", "16", "--match", "|".join(names))
    check(r.returncode in (0, 1), r.stdout)         # 1: something was slower than wanted
    for name in names:
        check(re.search(rf"^{name} +{FIGURE} +{FIGURE} (1/)?s .*CPU", r.stdout, re.M), f"{name}: {r.stdout}")
    check(len(r.stdout.splitlines()) == 1 + len(names), r.stdout)
