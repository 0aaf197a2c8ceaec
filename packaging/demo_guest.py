#!/usr/bin/env python3
"""The part of the demo that talks to the guest; called by demo.sh."""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "lib"))
from lodgevm import VM, Failed, lodge  # noqa: E402

p = argparse.ArgumentParser()
p.add_argument("--first-step", type=int, required=True)
p.add_argument("--next", required=True, help="file that gets the number after the last step")
p.add_argument("--state", required=True)
p.add_argument("--native", required=True, help="the guest's program sieve, for the host")
p.add_argument("--poweroff", action="store_true")
a = p.parse_args()
step_number = a.first_step


CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")     # the shell's line editor moves the cursor
PARTIAL = re.compile(r"(\x1b(\[[0-9;?]*)?)?$")


class Shown(VM):
    """A VM whose console text is shown as it comes."""

    shown = 0
    prefix = "   | "
    fresh = True

    def poll(self, seconds):
        alive = super().poll(seconds)
        text = self.out[self.shown:]
        text = text[:len(text) - len(PARTIAL.search(text)[0])]
        for c in CONTROL.sub("", text):
            if self.fresh:
                sys.stdout.write(self.prefix)
            sys.stdout.write(c)
            self.fresh = c == "\n"
        self.shown += len(text)
        sys.stdout.flush()
        return alive

    def line_end(self):
        if not self.fresh:
            print()
            self.fresh = True


def step(vm, text, since):
    global step_number
    vm.line_end()
    print(f"== {step_number}. {text:<58} {time.monotonic() - since:6.1f} s", flush=True)
    step_number += 1


def typed(vm, line, pattern, timeout=30):
    """Types a line, which the guest echoes, and waits for the answer and the next prompt."""
    if vm.fresh:
        sys.stdout.write(vm.prefix + "guest# ")     # where it was left
        vm.fresh = False
    vm.send(line + "\n")
    m = vm.expect(pattern, timeout)
    if "poweroff" not in line:
        vm.expect("guest# ", timeout)
    return m


SIEVE = r"sieve: begin\n", r"sieve: (\d+) primes\n"


def sieve_in_guest(vm):
    """(seconds between its two lines, what it found)"""
    if vm.fresh:
        sys.stdout.write(vm.prefix + "guest# ")
        vm.fresh = False
    vm.send("sieve\n")
    vm.expect(SIEVE[0], 30)
    t = time.monotonic()
    m = vm.expect(SIEVE[1], 300)
    seconds = time.monotonic() - t
    vm.expect("guest# ", 30)
    return seconds, m[1]


def sieve_on_host():
    """The same; the median of three."""
    times = []
    for _ in range(3):
        with subprocess.Popen([a.native], stdout=subprocess.PIPE, text=True) as host:
            begin = host.stdout.readline()
            t = time.monotonic()
            end = host.stdout.readline()
            times.append(time.monotonic() - t)
        m = re.fullmatch(SIEVE[1], end)
        if not re.fullmatch(SIEVE[0], begin) or not m:
            raise Failed(f"{a.native} says {begin!r} and {end!r}")
    return statistics.median(times), m[1]


def main():
    t = time.monotonic()
    vm = Shown.debian("amd64", 1, "192M", append="")
    try:
        vm.expect("LODGE-GUEST-UP", 240)
        vm.expect("guest# ", 30)
        boot = time.monotonic() - t
        step(vm, "Debian booted to a shell", t)

        t = time.monotonic()
        (guest_time, primes), (host_time, same) = sieve_in_guest(vm), sieve_on_host()
        if primes != same:
            raise Failed(f"the guest counts {primes} primes, the host {same}")
        step(vm, f"{primes} primes counted, in the guest and by the host itself", t)
        print(f"engine: boot {boot:.1f} s; sieve {guest_time / host_time:.1f} x native time")

        t = time.monotonic()
        x, y = os.getpid(), int(time.time()) % 100000
        typed(vm, f"echo the sum is $(({x} + {y}))", rf"the sum is {x + y}\n")
        step(vm, f"a sum typed in and answered: {x} + {y} = {x + y}", t)

        t = time.monotonic()
        typed(vm, "echo my work > /root/work; cat /root/work", r"my work\n")
        lodge("save", vm.name(), a.state, timeout=60)
        step(vm, f"saved: {os.path.getsize(a.state) >> 20} MiB", t)

        t = time.monotonic()
        typed(vm, "rm -rf /root /bin /lib /init; cat /root/work", r"No such file")
        vm.kill()
        step(vm, "broken beyond repair, and its process killed", t)

        t = time.monotonic()
        vm = Shown("--state", a.state, "--headless", "--serial", "-")
        typed(vm, "cat /root/work; ls /bin | wc -l", r"my work\n(\s*\d\d+)\n")
        step(vm, "whole again from the saved state, in a new process", t)

        t = time.monotonic()
        typed(vm, f"echo the sum is $(({x} * {y}))", rf"the sum is {x * y}\n")
        step(vm, f"and it still reckons: {x} * {y} = {x * y}", t)
        if a.poweroff:
            t = time.monotonic()
            typed(vm, "poweroff -f", r"Power down|\n|$")
            status = vm.wait(60)
            if status != 0:
                raise Failed(f"lodge run ended with status {status} after the guest's poweroff")
            step(vm, "powered off by the guest, status 0", t)
        else:
            lodge("save", vm.name(), a.state, "--stop", timeout=60)
    except Failed as e:
        vm.line_end()
        print(f"demo: {e}", file=sys.stderr)
        sys.exit(1)
    finally:
        vm.kill()
    with open(a.next, "w") as f:
        f.write(str(step_number))


main()
