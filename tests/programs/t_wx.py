"""No memory of the VM's process is writable and executable at once."""
from lib import Skip, build, check, until

LOOKS = 200


def mappings(pid):
    with open(f"/proc/{pid}/maps") as f:
        return [line.split() for line in f]


def look(pid):
    rows = mappings(pid)
    bad = [" ".join(r) for r in rows if "w" in r[1] and "x" in r[1]]
    check(not bad, bad)
    return rows


def watch(env, tier):
    """At the start, and again and again while blocks are made and thrown away."""
    vm = env.vm(build(env, "loop"), "--stats", "--memory", "64M", "--cpus", "2", "--engine", "soft",
                "--set", f"soft.tier={tier}", "--set", "soft.translate-after=0")
    pid = vm.show()["pid"]
    for _ in range(LOOKS):
        rows = look(pid)
    until(lambda: env.lodge_json("stats", "test")["instructions"] > 1000, "does not run")
    env.lodge("pause", "test")
    look(pid)
    env.lodge("resume", "test")
    rows = look(pid)
    return rows, env.lodge_json("stats", "test")


def test_wx_interp(env):
    watch(env, "interp")


def test_wx_translate(env):
    rows, stats = watch(env, "translate")
    if stats["blocks-translated"] == 0:
        raise Skip("this host cannot translate")
    # What was looked at is where the code lies.
    code = [r for r in rows if r[1].startswith("r-x") and r[5:6] == ["/dev/zero"]]
    check(code, rows)
