#!/usr/bin/env python3
"""The part of the demo about VMs that are kept: a developer's day; called by demo.sh."""
import argparse
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
from lodgevm import Failed, Serial, lodge  # noqa: E402

p = argparse.ArgumentParser()
p.add_argument("--first-step", type=int, required=True)
p.add_argument("--next", required=True, help="file that gets the number after the last step")
p.add_argument("--guest", required=True, help="folder with vmlinuz and initrd.cpio")
a = p.parse_args()
step_number = a.first_step


def step(text, seconds):
    global step_number
    print(f"== {step_number}. {text:<58} {seconds:6.1f} s", flush=True)
    step_number += 1


def timed(*args):
    t = time.monotonic()
    lodge(*args, timeout=120)
    return time.monotonic() - t


def answer(name, line, want):
    """What the guest's shell says to that line; shown."""
    with Serial(name, "--no-history") as vm:
        vm.command("true", 60)
        said = vm.command(line)[1]
    print(f"   | {name}# {line}\n" + "".join(f"   | {x}\n" for x in said.split("\n") if x), end="", flush=True)
    if want not in said:
        raise Failed(f"{name} says {said!r} to '{line}', not {want!r}")


def morning(tmp):
    image = os.path.join(tmp, "disk.img")
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    t = timed("create", "dev", "--disk", image, "--memory", "256M", "--set", f"boot.kernel={a.guest}/vmlinuz", "--set",
              f"boot.initrd={a.guest}/initrd.cpio", "--set", "boot.append=console=ttyS0 quiet panic=-1 lodge.noecho")
    t += timed("start", "dev", "--headless")
    with Serial("dev") as vm:
        vm.up(240)
    step("VM \"dev\" made from a disk image and started", t)
    answer("dev", "echo my work >/root/work; echo my data | dd of=/dev/vda 2>/dev/null; sync; cat /root/work", "my work")
    step("snapshot \"clean\" taken while it runs", timed("snapshot", "take", "dev", "clean"))


def broken_and_whole():
    answer("dev", "echo ruined | dd of=/dev/vda 2>/dev/null; sync; rm -rf /bin /root; /bin/ls", "not found")
    t = timed("snapshot", "restore", "dev", "clean", "--yes")
    answer("dev", "ls /bin/busybox; cat /root/work; head -n 1 /dev/vda", "my data")
    step("broken by rm -rf /bin, restored, whole again: it took", t)


def three_at_once():
    t = timed("fork", "dev@clean", "try", "--count", "3", "--headless")
    for i, line in enumerate(("echo $((6 * 7))", "uname -r", "cat /root/work"), 1):
        answer(f"try-{i}", line, ("42", "amd64", "my work")[i - 1])
    step("forked into three that run, each with a command of its own", t)


def evening():
    t = timed("suspend", "dev") + timed("start", "dev", "--headless")
    answer("dev", "cat /root/work", "my work")
    step("suspended to the disk and started again", t)
    lodge("kill", "dev", "try-1", "try-2", "try-3")
    for name in ("try-1", "try-2", "try-3", "dev"):
        lodge("delete", name, "--yes")
    if left := lodge("list").stdout:
        raise Failed(f"something is left: {left}")


def main():
    with tempfile.TemporaryDirectory(prefix="lodge-demo-") as tmp:
        os.environ["XDG_DATA_HOME"] = os.path.join(tmp, "data")
        try:
            morning(tmp)
            broken_and_whole()
            three_at_once()
            evening()
        except Failed as e:
            print(f"demo: {e}", file=sys.stderr)
            sys.exit(1)
        finally:
            for name in ("dev", "try-1", "try-2", "try-3"):
                lodge("kill", name, check=False)
    with open(a.next, "w", encoding="ascii") as f:
        f.write(str(step_number))


main()
