"""The map by which perf names translated code."""
import os
import re
import stat

from lib import Skip, build, check, until

ARGS = ["--stats", "--memory", "64M", "--engine", "soft", "--set", "soft.tier=translate", "--set",
        "soft.translate-after=0", "--set", "soft.perf-map=yes"]


def code_mappings(pid):
    """Address ranges of the process that are executable and no file's."""
    with open(f"/proc/{pid}/maps") as f:
        rows = [line.split() for line in f]
    return [tuple(int(x, 16) for x in row[0].split("-")) for row in rows
            if row[1].startswith("r-x") and row[5:6] == ["/dev/zero"]]


def test_perf_map(env):
    vm = env.vm(build(env, "loop"), *ARGS)
    pid = vm.show()["pid"]
    path = f"/tmp/perf-{pid}.map"
    try:
        st = os.lstat(path)
        check(stat.S_ISREG(st.st_mode) and st.st_mode & 0o777 == 0o600, oct(st.st_mode))
        check(st.st_uid == os.geteuid(), st)
        until(lambda: env.lodge_json("stats", "test")["instructions"] > 1000, "does not run")
        s = env.lodge_json("stats", "test")
        with open(path) as f:
            lines = f.read().splitlines()
        if not lines and s["blocks-translated"] == 0:
            raise Skip("this host cannot translate")
        rows = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (\S+)", line) for line in lines]
        check(all(rows), lines)
        pieces = sorted((int(m[1], 16), int(m[2], 16), m[3]) for m in rows)
        names = [name for _, _, name in pieces]
        hot = [n for n in names if "-cold" not in n and "-exact" not in n]
        check(len(hot) == s["blocks-translated"] + 1 and hot[0] == "lodge-glue:vcpu0", names)
        # The program lies from 1 MiB on, and runs in ring 0.
        check(all(re.fullmatch(r"guest-kernel:0x100[0-9a-f]{3}(-exact)?(-cold)?", n) for n in names[1:]), names)
        check(len(set(names)) == len(names), names)
        for (a, size, _), (b, _, _) in zip(pieces, pieces[1:]):
            check(size > 0 and a + size <= b, lines)
        spaces = code_mappings(pid)
        for a, size, name in pieces:
            check(any(lo <= a and a + size <= hi for lo, hi in spaces), (name, spaces))
    finally:
        vm.end()
        os.unlink(path)


def test_perf_map_off(env):
    """Nothing is written that was not asked for, and nothing is left if the start fails."""
    before = set(os.listdir("/tmp"))
    vm = env.vm(build(env, "loop"), *ARGS[:-1], "soft.perf-map=no")
    check(not os.path.exists(f"/tmp/perf-{vm.show()['pid']}.map"), "a map")
    env.lodge("run", "--engine", "driver", "--kernel", "loop.elf", *ARGS[-2:], "--set",
              "soft.tier=translate", rc=5)
    r = env.lodge("run", "loop.elf", "--state", "loop.elf", *ARGS, rc=2)
    check(r.err.count("\n") == 1, r)
    env.lodge("run", "loop.elf", *ARGS, "--set", "cpu.model=none", rc=2)
    left = [n for n in set(os.listdir("/tmp")) - before
            if n.startswith("perf-") and not os.path.exists(f"/proc/{n[5:-4]}")]
    check(not left, left)
