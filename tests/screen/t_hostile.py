"""A guest that writes to device registers at random: the VM and the window that watches it bear it."""
import json
import os
import signal
import time

import multiboot
from lib_screen import HERE, check
from lodgevm import PATIENCE, Failed

SECONDS = 20 if os.environ.get("LODGE_TEST_FULL") else 4
GUEST_CRASHED = 126


def program(env):
    return multiboot.assemble(os.path.join(HERE, "random_io.asm"), env.path("random.elf"))


def resident(pid):
    """MiB; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as f:
            return int((f.read() or "0 0").split()[1]) * 4 // 1024
    except OSError:
        return 0


def window_on(env, vm):
    """None if the guest was too quick."""
    try:
        return env.look_at(vm)
    except Failed:
        check(vm.p.poll() is not None, "a window")
        return None


def check_end(seed, vm):
    """By the guest itself, which is its affair, or by us."""
    if vm.p.poll() is None:
        check(vm.env.lodge("show", vm.name).rc == 0, "it answers")
        vm.env.lodge("kill", vm.name, rc=None)
        vm.wait(30 * PATIENCE)
    else:
        check(vm.p.returncode == GUEST_CRASHED,
              f"seed {seed}: status {vm.p.returncode}: {vm.err()[-200:]}")


def hostile(env, seed, *args):
    """For some seconds, or until the guest has put an end to itself."""
    try:
        vm = env.vm("--headless", "--engine", "soft", program(env), "--append", str(seed),
                    "--memory", "32M", *args, name=f"hostile-{seed}")
    except AssertionError as e:
        check(f"ended: {GUEST_CRASHED}\n" in str(e), e)     # at once: its own DMA, its own affair
        return
    shown = env.lodge("show", vm.name, "--json", rc=None)
    if shown.rc != 0:
        check(vm.wait(20) == GUEST_CRASHED, f"seed {seed}: {vm.err()[-200:]}")
        return
    pid = json.loads(shown.out)["pid"]
    s = window_on(env, vm)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and vm.p.poll() is None:
        env.lodge("screenshot", vm.name, "-", rc=None)
        check(resident(pid) < 500, f"seed {seed}: {resident(pid)} MiB")
        time.sleep(0.3)
    console = env.windows[-1]
    if s is not None and vm.p.poll() is None:
        check(vm.name in s.window.title() and console.poll() is None, "the window is there")
    check_end(seed, vm)
    console.terminate()
    status = console.wait(15)
    check(status >= 0 or -status == signal.SIGTERM, f"seed {seed}: the console ended: {status}")


def drives(env, bus):
    for name in ("disk", "disc"):
        with open(env.path(name), "wb") as f:
            f.truncate(4 << 20)
    with open(env.path("floppy"), "wb") as f:
        f.truncate(1440 << 10)
    return ("--set", "disk.it.file=disk", "--set", f"disk.it.bus={bus}", "--iso", "disc", "--set",
            f"cdrom.0.bus={bus}", "--floppy", "floppy")


def test_hostile_registers_ahci(env):
    for seed in range(101, 104):
        hostile(env, seed, *drives(env, "ahci"))


def test_hostile_registers_ide(env):
    for seed in range(201, 205):
        hostile(env, seed, *drives(env, "ide"))
