"""qcow2 images as disks of VMs: the BIOS boots from them, changes are kept or forgotten, backing files show."""
import os
import shutil
import subprocess

from lib import Skip, boot_disk, check
from t_drives import say, start


def qemu_img(env, *args):
    if not shutil.which("qemu-img"):
        raise Skip("qemu-img is not installed")
    r = subprocess.run(["qemu-img", *args], cwd=env.work, capture_output=True, text=True, check=True)
    return r.stdout


def boots(env, n, *args, byte=b"q", bus="ahci"):
    vm = start(env, *args, "--set", f"disk.0.bus={bus}")
    line = vm.line()
    check(line == f"80 hello  ! {n:02x}", line)
    say(vm, byte)
    if byte == b"r":
        check(vm.line() == f"80 hello  ! {n + 1:02x}", "booted again")
        say(vm, b"q")
    check(vm.wait() == 7, "status")


def test_qcow2_boot(env):
    boot_disk(env, "disk", "bootsector", b"hello")
    for i, options in enumerate(("compat=1.1", "compat=0.10,cluster_size=512", "compression_type=zstd",
                                 "lazy_refcounts=on")):
        name = f"d{i}.qcow2"
        packed = ["-c"] if "zstd" in options else []
        qemu_img(env, "convert", *packed, "-O", "qcow2", "-o", options, "disk", name)
        boots(env, 1, "--disk", name, byte=b"r")
        boots(env, 1, "--disk", name, "--write", bus="ide")
        boots(env, 2, "--disk", name, "--write", byte=b"r")
        boots(env, 4, "--disk", name, "--set", "disk.0.format=qcow2")
        qemu_img(env, "check", name)
        r = env.lodge("run", "--headless", "--disk", name, "--set", "disk.0.format=raw", "--set",
                      "boot.fail-wait=1", "--engine", "null", "--timeout", "1s", rc=None)
        check("qcow2" not in r.err, "as raw, its contents do not matter")


def test_qcow2_direct(env):
    """Around the page cache, raw and qcow2, in the sandbox."""
    boot_disk(env, "disk", "bootsector", b"hello")
    qemu_img(env, "convert", "-O", "qcow2", "disk", "q")
    for name in ("disk", "q"):
        for cache in ("safe", "host", "unsafe"):
            settings = ("--set", "disk.0.direct=yes", "--set", f"disk.0.cache={cache}")
            boots(env, 1, "--disk", name, *settings, byte=b"r")
    boots(env, 1, "--disk", "q", "--write", "--set", "disk.0.direct=yes", byte=b"r")
    boots(env, 3, "--disk", "q", "--set", "disk.0.cache=unsafe")


def test_qcow2_chain(env):
    boot_disk(env, "disk", "bootsector", b"hello")
    os.mkdir(env.path("sub"))
    qemu_img(env, "create", "-q", "-f", "qcow2", "-b", "../disk", "-F", "raw", "sub/one.qcow2")
    qemu_img(env, "create", "-q", "-f", "qcow2", "-b", "sub/one.qcow2", "-F", "qcow2", "two.qcow2")
    boots(env, 1, "--disk", "two.qcow2", "--write")
    boots(env, 2, "--disk", "two.qcow2", "--write")
    boots(env, 1, "--disk", "sub/one.qcow2")
    boots(env, 1, "--disk", "disk")
    # FILE without an option, and a saved state with the changes
    vm = env.vm("two.qcow2", "--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4",
                stdin=subprocess.PIPE)
    check(vm.line() == "80 hello  ! 03", "recognised")
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    vm = env.vm("--state", "state", "--set", "disk.root.file=two.qcow2", "--set",
                "disk.root.bus=ahci", "--engine", "soft", stdin=subprocess.PIPE, name="two")
    say(vm, b"r")
    check(vm.line() == "80 hello  ! 04", "booted again, with the changes of before")
    say(vm, b"q")
    check(vm.wait() == 7, "status")


def test_qcow2_bad(env):
    """One line each; nothing starts."""
    qemu_img(env, "create", "-q", "-f", "qcow2", "good.qcow2", "1M")
    with open(env.path("good.qcow2"), "rb") as f:
        good = f.read()

    def bad(at, value):
        env.write("bad.qcow2", good[:at] + value + good[at + len(value):])

    for at, value, words in ((4, b"\0\0\0\7", "version 7"), (20, b"\0\0\0\x40", "2^64"),
                             (32, b"\0\0\0\2", "encrypted"), (72, b"\x80", "feature number 63"),
                             (40, b"\xff", "L1 table")):
        bad(at, value)
        r = env.lodge("run", "--headless", "--engine", "null", "--disk", "bad.qcow2", rc=None)
        check(r.rc in (1, 2) and words in r.err and r.err.count("\n") == 1, r)
    for option in ("--iso", "--floppy"):
        r = env.lodge("run", "--headless", "--engine", "null", option, "good.qcow2", rc=2)
        check("qcow2" in r.err and "--disk" in r.err and r.err.count("\n") == 1, r)
    qemu_img(env, "create", "-q", "-u", "-f", "qcow2", "-b", "none", "-F", "raw", "lost.qcow2", "1M")
    r = env.lodge("run", "--headless", "--engine", "null", "--disk", "lost.qcow2", rc=None)
    check(r.rc == 3 and "'none'" in r.err and r.err.count("\n") == 1, r)
