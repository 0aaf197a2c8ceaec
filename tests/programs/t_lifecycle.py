"""A running VM's life as the commands drive it; no guest: the null engine."""
import os
import re
import signal
import time

from lib import LODGE, Skip, build, check


def test_life_names(env):
    a, b = env.vm(name="a"), env.vm(name="b")
    rows = env.lodge_json("list")
    check([r["name"] for r in rows] == ["a", "b"], rows)
    check(os.listdir(os.path.join(env.runtime, "lodge")) != [], "no runtime folder")
    check(env.lodge_json("show", "run-1")["name"] == "a", "by folder name")
    env.lodge("kill", "a")
    check(a.wait() == 125, "killed: 125")
    check("killed" in a.err(), a.err())
    c = env.vm(name="c")  # takes run-1, which is free again
    check(env.lodge_json("show", "run-1")["name"] == "c", "run-1 is used again")
    env.lodge("kill", "b", "c")
    check(b.wait() == 125 and c.wait() == 125, "killed: 125")


def test_life_pause(env):
    vm = env.vm()
    check(vm.show()["state"] == "running", "running")
    env.lodge("pause", "test")
    s = vm.show()
    check(s["state"] == "paused" and s["reason"] == "user", s)
    time.sleep(0.1)
    check(vm.show()["uptime-ns"] == s["uptime-ns"], "the clock stands still")
    env.lodge("pause", "test")
    env.lodge("wait", "test", "paused")
    check([r["name"] for r in env.lodge_json("list", "--state", "paused")] == ["test"], "list")
    check(env.lodge_json("list", "--state", "running") == [], "list")
    env.lodge("stop", "test", rc=4)
    env.lodge("resume", "test")
    env.lodge("resume", "test")
    env.lodge("wait", "test", "running", "--timeout", "5s")
    time.sleep(0.1)
    check(vm.show()["uptime-ns"] > s["uptime-ns"], "the clock goes on")


def test_life_reset_nmi(env):
    vm = env.vm()
    env.lodge("reset", "test")
    env.lodge("nmi", "test")
    check(vm.show()["state"] == "running", "runs on")


def test_life_stop_many(env):
    """All buttons are pressed before one VM is waited for; one that is not there keeps none from it."""
    vms = [env.vm(name=name) for name in ("a", "b", "c")]
    r = env.lodge("stop", "a", "nobody", "b", "c", "--timeout", "2s", "--kill", rc=3)
    check("nobody" in r.err and r.err.count("\n") == 1, r)
    check([vm.wait() for vm in vms] == [125] * 3, "all are ended")


def test_life_wait(env):
    vm = env.vm()
    start = time.monotonic()
    env.lodge("wait", "test", "stopped", "--timeout", "300ms", rc=6)
    env.lodge("wait", "test", "serial=x", "--timeout", "300ms", rc=6)
    env.lodge("stop", "test", "--timeout", "300ms", rc=6)
    check(0.9 < time.monotonic() - start < 20, "the time was waited for")
    s = vm.show()  # the guest ignored its button
    check(s["state"] == "running" and s["reason"] == "stop-ignored", s)
    env.lodge("stop", "test", "--timeout", "300ms", "--kill")
    check(vm.wait() == 125, "ended")


def test_life_wait_for_end(env):
    import subprocess
    vm = env.vm()
    w = subprocess.Popen([LODGE, "wait", "test", "stopped"], env=env.env)
    p = subprocess.Popen([LODGE, "wait", "test", "paused"], env=env.env, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    check(w.poll() is None and p.poll() is None, "still waiting")
    env.lodge("kill", "test")
    check(w.wait(10) == 0, "wait stopped: 0")
    check(p.wait(10) == 4, "wait paused: cannot come any more, 4")
    vm.wait()


def test_life_timeout(env):
    r = env.lodge("run", "--engine", "null", "--timeout", "300ms", rc=124)
    check("within the time" in r.err, r)


def test_life_signals(env):
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        vm = env.vm(name=f"sig{sig}")
        vm.p.send_signal(sig)
        check(vm.wait() == 125, f"signal {sig}")


def test_life_lodge_run_dies(env):
    """Without `lodge run` its VM ends, too."""
    vm = env.vm()
    pid = vm.show()["pid"]
    vm.p.kill()
    vm.p.wait()
    for _ in range(200):
        if not os.path.exists(f"/proc/{pid}"):
            return
        time.sleep(0.05)
    check(False, "lodge-vm goes on alone")


def test_life_lodge_vm_dies(env):
    """A VM that is killed without warning is noticed, and its place is cleaned up and used again."""
    vm = env.vm()
    os.kill(vm.show()["pid"], signal.SIGKILL)
    check(vm.wait() == 125 and "signal 9" in vm.err(), vm.err())
    check(os.path.exists(os.path.join(env.runtime, "lodge/run-1/control")), "nothing was left?")
    check(env.lodge_json("list") == [], "a dead VM is listed")
    env.lodge("show", "run-1", rc=3)
    again = env.vm()
    check(env.lodge_json("show", "run-1")["state"] == "running", "run-1 again")
    env.lodge("kill", "test")
    again.wait()


def test_life_many_at_once(env):
    vms = [env.vm(name=f"m{i}") for i in range(8)]
    check(len(env.lodge_json("list")) == 8, "eight VMs")
    env.lodge("kill", *[vm.name for vm in vms])
    for vm in vms:
        vm.wait()
    check(env.lodge_json("list") == [], "all gone")


def test_life_stats(env):
    env.vm()
    s = env.lodge_json("stats", "test")
    check(s["engine"] == "null" and s["process-resident-bytes"] > 0 and len(s["vcpus"]) == 1, s)
    check("instructions" in env.lodge("stats", "test").out, "as text")
    r = env.lodge("run", "--engine", "null", "--stats", "--timeout", "200ms", rc=124)
    check(re.search(r"^engine +null$", r.err, re.M) and '"' not in r.err.split("\n", 1)[1], r)


def test_life_devices(env):
    env.vm()
    devices = env.lodge_json("show", "test", "--devices")["devices"]
    check(len(devices) > 10, devices)
    for d in devices:
        env.lodge("show", "test", d["id"], rc=None)
    check("cmos" in env.lodge_json("show", "test", "rtc"), "fields of the clock chip")
    r = env.lodge("show", "test", "nothing", rc=3)
    check(r.err.count("\n") == 1, r)
    check(env.lodge_json("show", "test")["state"] == "running", "runs on")


def test_life_settings(env):
    env.write("disk", bytes(1 << 20))
    vm = env.vm("--cpus", "3", "--memory", "64M", "--disk", "disk", "--disk", "disk",
                "--set", "disk.extra.file=disk", "--set", "disk.extra.read-only=yes",
                "--serial", "out", "--set", "cpu.model=x86-64-v2")
    s = vm.show()
    check(s["cpu-count"] == 3 and s["memory-bytes"] == 64 << 20 and s["cpu-model"] == "x86-64-v2", s)
    check([(d["name"], d["changes"]) for d in s["disks"]] ==
          [("disk.0", "discard"), ("disk.1", "discard"), ("disk.extra", "read-only")], s)
    check(s["serial-ports"][0]["output"] == "out", s)


def test_life_write(env):
    """--write keeps changes of every disk that is named, however; not of one whose setting says otherwise."""
    for name in ("a", "b", "c"):
        env.write(name, bytes(1 << 20))
    vm = env.vm("--set", "disk.named.file=a", "--disk", "b", "--write", "--set", "disk.not.file=c", "--set",
                "disk.not.keep=no")
    check({d["name"]: d["changes"] for d in vm.show()["disks"]} ==
          {"disk.named": "keep", "disk.0": "keep", "disk.not": "discard"}, vm.show()["disks"])


def test_life_ctrl_folder_modes(env):
    env.vm()
    root = os.path.join(env.runtime, "lodge")
    for path in (root, os.path.join(root, "run-1")):
        check(os.stat(path).st_mode & 0o777 == 0o700, path)


def test_life_disk_in_use(env):
    env.write("disk", bytes(1 << 20))
    env.vm("--disk", "disk", "--write")
    r = env.lodge("run", "--engine", "null", "--disk", "disk", "--write", rc=4)
    check("disk" in r.err and r.err.count("\n") == 1, r)


def test_life_sandbox(env):
    """Every thread of a VM is inside its sandbox."""
    env.write("disk", bytes(1 << 20))
    vm = env.vm(build(env, "loop"), "--memory", "16M", "--disk", "disk")
    tasks = f"/proc/{vm.show()['pid']}/task"
    names = []
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/status", encoding="ascii") as f:
            status = f.read()
        if "Seccomp:" not in status:
            raise Skip("the host's kernel shows no seccomp state")
        names.append(status.split()[1])
        check("Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, status)
    # Landlock itself does not show; lodge-vm does not start where a thread would be outside it.
    check("io" in names and any(n.startswith("vcpu") for n in names), names)


def test_life_sleep(env):
    """A guest in S3 is paused; what wakes it up is seen in the state."""
    elf = build(env, "sleep")
    for name, how in [("s1", ["stop", "s1", "--timeout", "1s"]), ("s2", ["reset", "s2"])]:
        vm = env.vm(elf, "--memory", "64M", name=name)
        env.lodge("wait", name, "paused", "--timeout", "20s")
        check(vm.show()["reason"] == "guest-sleep", vm.show())
        env.lodge("pause", name)  # it is already
        env.lodge(*how, rc=None)
        check(vm.show()["state"] == "running", vm.show())
        env.lodge("kill", name)
