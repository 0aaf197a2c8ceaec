#!/usr/bin/env python3
"""crossing: what either engine does with a machine that the other one saved.

crossing ENGINE STATE: goes on with it under that engine, and saves it again.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from lodgevm import VM, Failed, guest, lodge  # noqa: E402

WORK = ("i=0; while :; do i=$((i+1)); head -c 65536 /dev/urandom >/tmp/a; cp /tmp/a /tmp/b; "
        "cmp -s /tmp/a /tmp/b || echo $i >>/tmp/bad; echo $i >/tmp/count; done &\n")


def counted(vm):
    """How far the work is; the file is empty for a moment whenever it is written."""
    return int(vm.ask("until c=$(cat /tmp/count); [ -n \"$c\" ]; do :; done; echo $c", 60))


def check(vm):
    """The guest works, its clock goes, and nothing was damaged on the way."""
    before, up = counted(vm), float(vm.ask("cut -d' ' -f1 /proc/uptime"))
    vm.ask("sleep 2", 60)
    after, now = counted(vm), float(vm.ask("cut -d' ' -f1 /proc/uptime"))
    if after <= before or not up + 2 <= now < up + 60:
        raise Failed(f"the work stands at {after} after {before}, the clock at {now} after {up}")
    if bad := vm.ask("cat /tmp/bad 2>/dev/null; dmesg | grep -iE 'soft lockup|rcu.*stall|BUG:|Oops|general "
                     "protection|clocksource.*unstable' || true"):
        raise Failed(bad[-400:])
    return after


def begin(engine, to):
    """A guest with work on both of its CPUs, saved. Its kernel is patient: where the lab's host is busy, too, a CPU
    that has to wait for the other one waits long."""
    d = guest("amd64")
    with VM("--kernel", f"{d}/vmlinuz", "--initrd", f"{d}/initrd.cpio", "--append",
            "console=ttyS0 quiet panic=-1 lodge.noecho", "--serial", "-", "--headless", "--engine", engine,
            "--cpus", "2", "--memory", "256M", "--set", "cpu.model=x86-64-v2") as vm:
        vm.up()
        vm.ask("echo 120 >/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout")
        vm.send(WORK)
        vm.send("while :; do :; done &\n")
        vm.ask("sleep 1")
        print(f"    {engine}: {check(vm)}", flush=True)
        lodge("save", vm.name(), to, timeout=120)


def go_on(engine, state):
    to = state + ".new"
    with VM("--state", state, "--serial", "-", "--headless", "--engine", engine) as vm:
        vm.command("true", 90)
        print(f"    {engine}: {check(vm)}", flush=True)
        lodge("save", vm.name(), to, timeout=120)
    os.replace(to, state)


if __name__ == "__main__":
    try:
        go_on(*sys.argv[1:])
    except Failed as e:
        sys.exit(str(e))
