"""The command line without a VM: usage, help, near misses, JSON errors."""
import json
import os
import shutil
import subprocess

from lib import check

COMMANDS = ["run", "save", "list", "show", "pause", "resume", "stop", "kill", "reset", "wait",
            "serial", "stats", "doctor", "help", "version"]


def test_cli_version(env):
    r = env.lodge("version")
    check(r.out.startswith("lodge ") and r.out.count("\n") == 1 and r.err == "", r)
    check(json.loads(env.lodge("version", "--json").out)["version"] == r.out.split()[1], r)
    check(env.lodge("--version").out == r.out, "--version differs")


def test_cli_help(env):
    text = env.lodge("help").out
    for name in COMMANDS:
        check(f"\n  {name} " in text, f"help does not list {name}")
        check(env.lodge("help", name).out.startswith(f"lodge {name}"), f"no help on {name}")
        check(env.lodge(name, "--help").out == env.lodge("help", name).out, f"{name} --help")
    check("memory.size" in env.lodge("help", "settings").out, "settings")
    check("memory.size" in env.lodge("help", "memory.size").out, "one setting")
    check("memory.size" in env.lodge("help", "memory.sise", rc=2).err, "near miss of a setting")


def test_cli_bare(env):
    r = env.lodge()
    check("lodge doctor" in r.out and r.err == "", r)


def test_cli_near_misses(env):
    for args, want in [(["lst"], "list"), (["serail"], "serial"), (["runn"], "run"),
                       (["run", "--memry", "1G"], "--memory"), (["run", "--cpu", "1"], "--cpus"),
                       (["help", "puase"], "pause"),
                       (["run", "--set", "memory.sze=1G"], "memory.size")]:
        r = env.lodge(*args, rc=2)
        check(want in r.err and r.err.count("\n") == 1 and r.out == "", r)


def test_cli_usage(env):
    for args in [["show"], ["save", "x"], ["list", "x"], ["wait", "x"], ["kill"],
                 ["run", "a", "b"], ["list", "--timeout"], ["list", "--timeout", "x"],
                 ["list", "--timeout", "0"], ["list", "--json=1"], ["completion", "csh"],
                 ["run", "--set"], ["wait", "x", "y"],
                 ["wait", "x", "serial="], ["list", "--state", "runing"],
                 ["serial", "x", "9"], ["list", b"\xff\xfe"]]:
        r = env.lodge(*args, rc=2)
        check(r.err.startswith("lodge: ") and r.err.count("\n") == 1 and r.out == "", r)


def test_cli_no_such_vm(env):
    for args in [["show", "x"], ["kill", "run-1"], ["pause", "no/such/folder"], ["stats", ".."],
                 ["wait", "x", "stopped"], ["serial", "x"], ["save", "x", "f"], ["stop", ""]]:
        r = env.lodge(*args, rc=3)
        check(r.err.count("\n") == 1 and r.out == "", r)
        j = json.loads(env.lodge(*args, "--json", rc=3).err)["error"]
        check(j["code"] == "NotFound" and j["message"] and "hint" in j, j)
    check(not os.path.exists(env.path("f")), "save left its file")


def test_cli_list_nothing(env):
    check(env.lodge("list").out == "", "list without VMs")
    check(env.lodge_json("list") == [], "list --json without VMs")


def test_cli_completions(env):
    """For each shell that is there, the script is one."""
    for shell in ("bash", "zsh", "fish"):
        path = env.write(shell, env.lodge("completion", shell).out.encode())
        if shutil.which(shell):
            r = subprocess.run([shell, "-n", path], capture_output=True, check=False)
            check(r.returncode == 0, f"{shell}: {r.stderr}")


def test_cli_doctor(env):
    r = env.lodge("doctor", rc=None)
    check(r.rc in (0, 5) and "runtime folder" in r.out, r)
    rows = json.loads(env.lodge("doctor", "--json", rc=r.rc).out)
    check(all(row["verdict"] in ("ok", "bad", "note") for row in rows), rows)


def test_cli_bad_runtime_folder(env):
    os.mkdir(os.path.join(env.runtime, "lodge"), 0o755)
    r = env.lodge("list", rc=5)
    check("0700" in r.err and r.err.count("\n") == 1, r)
    env.lodge("run", "--engine", "null", rc=5)
    os.rmdir(os.path.join(env.runtime, "lodge"))


def test_cli_without_lodge_vm(env):
    env.env["LODGE_VM"] = "/nonexistent/lodge-vm"
    r = env.lodge("run", "--engine", "null", rc=5)
    check("/nonexistent/lodge-vm" in r.err and r.err.count("\n") == 1, r)


def test_cli_json_errors(env):
    """One form of error, whoever finds it: the parser, lodge-vm, a running VM."""
    env.vm()
    for args, code, name in [(["run", "--cpus", "0"], 2, "BadArgument"),
                             (["run", "--nonsense"], 2, "BadArgument"),
                             (["run", "missing"], 3, "NotFound"),
                             (["run", "--engine", "driver", "--kernel", "x"], 5, "HostLimit"),
                             (["show", "test", "nothing"], 3, "NotFound"),
                             (["run", "--engine", "null", "--timeout", "100ms"], 124, "Timeout"),
                             (["list", "x"], 2, "BadArgument")]:
        for words in ([*args[:1], "--json", *args[1:]], [*args, "--json"]):
            e = json.loads(env.lodge(*words, rc=code).err)["error"]
            check(e["code"] == name and e["message"], (args, e))


def test_cli_json_keys(env):
    """The keys are an interface: they may grow, and never change."""
    env.write("disk", bytes(1 << 20))
    env.vm("--disk", "disk")
    s = env.lodge_json("show", "test", "--devices")
    check(sorted(s) == ["activity", "cpu-count", "cpu-model", "devices", "disks", "engine",
                        "engine-reason", "exit-info", "folder", "machine", "memory-bytes", "name", "pid",
                        "reason", "serial-ports", "state", "uptime-ns"], sorted(s))
    check(sorted(s["disks"][0]) == ["bus", "changes", "file", "name"], s["disks"])
    check(sorted(s["serial-ports"][0]) == ["output", "port"], s["serial-ports"])
    check(sorted(s["devices"][0]) == ["class", "id", "summary"], s["devices"])
    check(sorted(s["exit-info"]) == ["status", "text"], s["exit-info"])
    counters = {"blocks-decoded", "blocks-translated", "cache-drops", "code-bytes", "code-entries",
                "code-invalidations", "decode-ns", "exceptions", "fallbacks", "flush-requests",
                "halted-ns", "hlt", "instructions", "interpreted", "interrupts", "kicks", "lapic",
                "mmio", "msr", "pio", "slow-accesses", "stepped", "tlb-flushes", "tlb-misses",
                "translate-ns", "translated", "untranslatable", "yields"}
    want = counters | {"display-draws", "display-frames", "elapsed-ns", "engine",
                       "fallbacks-by-instruction", "process-resident-bytes",
                       "process-resident-max-bytes", "process-system-ns", "process-user-ns",
                       "uptime-ns", "vcpus"}
    stats = env.lodge_json("stats", "test")
    check(set(stats) == want and set(stats["vcpus"][0]) == counters, stats)
