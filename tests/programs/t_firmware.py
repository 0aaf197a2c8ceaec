"""The BIOS: a VM with a disk and no kernel starts from its boot sector."""
import os
import shutil
import subprocess
import time

from lib import BIOS, Skip, boot_disk, check, until


def start(env, *args, **more):
    return env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", *args,
                  stdin=subprocess.PIPE, **more)


def say(vm, byte):
    vm.p.stdin.write(byte)
    vm.p.stdin.flush()


def test_firmware_boots_disk(env):
    """The boot sector reads and writes by INT 13h; a reset boots it again; changes stay till then."""
    boot_disk(env, "disk", "bootsector", b"hello")
    vm = start(env, "--disk", "disk", "--set", "debugcon.output=bios")
    for boots in range(1, 11):
        line = vm.line()
        check(line == f"80 hello  ! {boots:02x}", line)
        say(vm, b"r" if boots < 10 else b"q")
    check(vm.wait() == 7, "status")
    with open(env.path("bios"), encoding="ascii", errors="replace") as f:
        check(f.read().count("enter handle_19") == 10, "the BIOS says so at each start")
    with open(env.path("disk"), "rb") as f:
        f.seek(1024)
        check(f.read(1) == b"\0", "without --write the image is as it was")


def test_firmware_boot_order(env):
    """Disks are the BIOS' drives in the order in which they are given."""
    boot_disk(env, "a", "bootsector", b"first")
    boot_disk(env, "b", "bootsector", b"second")
    for order in (("a", "b"), ("b", "a")):
        vm = start(env, "--disk", order[0], "--disk", order[1])
        line = vm.line()
        text = {"a": "first", "b": "second"}
        check(line == f"80 {text[order[0]]}  {text[order[1]]} 01", line)
        say(vm, b"q")
        check(vm.wait() == 7, "status")


def test_firmware_state(env):
    """A saved state brings its BIOS along: after a reset it boots again, whatever the file is now."""
    boot_disk(env, "disk", "bootsector", b"hello")
    shutil.copy(BIOS, env.path("bios.bin"))
    vm = start(env, "--disk", "disk", "--set", "firmware.bios=bios.bin")
    check(vm.line() == "80 hello  ! 01", "first boot")
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    os.unlink(env.path("bios.bin"))
    vm = env.vm("--state", "state", "--disk", "disk", stdin=subprocess.PIPE, name="two")
    say(vm, b"r")
    check(vm.line() == "80 hello  ! 02", "booted again, with the changes of before")
    say(vm, b"q")
    check(vm.wait() == 7, "status")


def test_firmware_without_disk(env):
    """vm.firmware=bios starts it with nothing to boot; it says so on the debug console."""
    if not os.path.exists(BIOS):
        raise Skip("no package seabios")
    vm = start(env, "--firmware", "bios", "--set", "debugcon.output=bios", name="test")

    def log():
        with open(env.path("bios"), encoding="ascii", errors="replace") as f:
            return f.read()
    until(lambda: "No bootable device" in log(), "not said")
    time.sleep(0.1)
    check(vm.show()["state"] == "running", "it waits")
    env.lodge("kill", "test")
    vm.wait()


def test_bad_input_firmware(env):
    env.write("disk", bytes(1 << 20))
    env.write("short", bytes(65535))
    env.write("odd", bytes(65536 + 512))
    with open(env.write("large", b""), "wb") as f:
        f.truncate((16 << 20) + 4096)
    run = ("run", "--engine", "soft", "--headless", "--disk", "disk")
    for args, rc, words in (
            (("firmware.bios=none-such",), 3, "seabios"),
            (("firmware.bios=short",), 2, "65535 bytes"),
            (("firmware.bios=odd",), 2, "whole pages"),
            (("firmware.bios=large",), 2, "16 MiB"),
            (("firmware.bios=.",), 2, "not a file"),
            (("vm.firmware=uefi2",), 2, "auto, bios, none"),
            (("vm.firmware=none",), 2, "nothing to run"),
            (("vm.firmware=bios", "boot.kernel=disk"), 2, "without the BIOS")):
        sets = [x for a in args for x in ("--set", a)]
        r = env.lodge(*run, *sets, rc=rc)
        check(words in r.err and r.err.count("\n") == 1, r)
