"""Bad input, driven by the table of settings: one line, the right exit code, nothing left behind."""
import json
import os
import socket
import subprocess

from lib import LODGE_VM, Skip, check

# What is given to a setting of each type, and the exit code it must have.
LONG = "x" * 5000
NUMBERS = ["", "-1", "x", "1x", " 1", "1 ", "0x", "1e3", "99999999999999999999999", "\x01"]
SIZES = NUMBERS + ["1Q", "1KB", "1.5G", "-1G", "18446744073709551615T", "1", "1048577"]
WORDS = ["", "perhaps", "YES", LONG, " yes"]


def settings():
    out = subprocess.run([LODGE_VM, "--describe"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["settings"]


def bad_values(env, s):
    """Pairs of value and expected exit code."""
    kind = s["type"]
    if kind == "number":
        yield from ((v, 2) for v in NUMBERS)
        yield str(s["max"] + 1), 2
        if s["min"] > 0:
            yield str(s["min"] - 1), 2
    elif kind == "size":
        yield from ((v, 2) for v in SIZES)
        yield str(s["max"] * 2), 2
    elif kind in ("bool", "choice"):
        yield from ((v, 2) for v in WORDS)
    elif kind == "text":
        if s["min"] > 0:
            yield "", 2
        yield "x" * (s["max"] + 1), 2
    elif kind == "file-in":
        yield "missing", 3
        yield "no-folder/missing", 3
        yield "file/under-a-file", 2
        yield "folder", 2
        yield "empty", 2
        yield "fifo", 2
        if s["min"] > 0:
            yield "", 2
        yield LONG, 2
    elif kind in ("file-out", "stream"):
        yield "no-folder/file", 3
        yield "file/under-a-file", 2
        yield "folder", 2
        yield "", 2
        yield LONG, 2
    elif kind == "socket":
        yield "0", 2
        yield "65536", 2
        yield "99999999999999999999", 2
        yield "no-folder/socket", 3
        yield "", 2
        yield LONG, 2


def prepare(env):
    env.write("file", b"x" * 4096)
    env.write("empty", b"")
    os.mkdir(env.path("folder"))
    os.mkfifo(env.path("fifo"))


def tree(env):
    return sorted((d[len(env.dir):], n, os.stat(os.path.join(d, n)).st_size)
                  for d, _, names in os.walk(env.dir) for n in names)


def run_bad(env, code, *args):
    """lodge run with these arguments ends with code, one line, and leaves nothing."""
    before = tree(env)
    r = env.lodge("run", *args, rc=None, timeout=20)
    shown = [a[:80] for a in args]
    check(r.rc == code, f"{shown}: status {r.rc}, not {code}: {r.err[:300]}")
    check(r.err.count("\n") == 1 and r.err.startswith("lodge: "), f"{shown}: {r.err[:600]}")
    check(r.out == "", f"{shown}: prints {r.out[:80]!r}")
    after = tree(env)
    check(before == after, f"{shown}: leaves {set(after) ^ set(before)}")


def base(key):
    """What makes a VM of the null engine complete around the key."""
    args = ["--engine", "null", "--memory", "16M"]
    if key in ("boot.initrd", "boot.append"):
        args += ["--kernel", "file"]
    if key.startswith("debug.digest"):
        args += ["--deterministic"]
    if key == "firmware.bios":
        args += ["--firmware", "bios"]
    return args


def test_bad_input_settings(env):
    prepare(env)
    n = 0
    for s in settings():
        key = s["key"].replace("*", "0")
        for value, code in bad_values(env, s):
            if "\0" in value:
                continue
            run_bad(env, code, *base(key), "--set", f"{key}={value}")
            n += 1
    check(n > 150, f"only {n} cases")


def test_bad_input_as_options(env):
    """The short options are the same settings."""
    prepare(env)
    for option, value, code in [
            ("--cpus", "0", 2), ("--cpus", "65", 2), ("--memory", "1", 2), ("--disk", "missing", 3),
            ("--disk", "folder", 2), ("--disk", "empty", 2), ("--kernel", "missing", 3),
            ("--serial", "no-folder/x", 3), ("--debug-exit", "65536", 2), ("--engine", "x", 2),
            ("--gdb", "70000", 2), ("--trace", "folder", 2), ("--state", "file", 2),
            ("--state", "missing", 3)]:
        run_bad(env, code, "--memory", "16M", "--engine", "null", option, value)


def test_bad_input_together(env):
    prepare(env)
    run_bad(env, 2)
    run_bad(env, 2, "--initrd", "file")
    run_bad(env, 2, "--append", "x")
    run_bad(env, 2, "--kernel", "file", "--state", "file")
    run_bad(env, 2, "--engine", "null", "--set", "disk.a.keep=yes")
    run_bad(env, 5, "--engine", "driver", "--kernel", "file")
    run_bad(env, 2, "--engine", "null", *sum([["--disk", "file"]] * 9, []))
    run_bad(env, 2, "--engine", "null", "--set", "soft.perf-map=yes", "--set", "soft.tier=interp")
    run_bad(env, 2, "--engine", "null", "--stats=json")
    run_bad(env, 2, "--engine", "null", "--deterministic", "--cpus", "2")
    run_bad(env, 2, "--engine", "kvm", "--deterministic", "--kernel", "file")
    run_bad(env, 2, "--deterministic", "--state", "file")
    run_bad(env, 2, "--engine", "null", "--set", "debug.digest=digest")
    run_bad(env, 2, "--engine", "null", "--set", "debug.digest-from=5")
    run_bad(env, 2, "--engine", "null", "--deterministic", "--set", "debug.digest=folder")
    run_bad(env, 2, "--engine", "null", "--deterministic", "--set", "debug.digest-every=0")
    run_bad(env, 2, "--engine", "null", "--set", "nonsense")
    run_bad(env, 2, "--engine", "null", "--set", "=")


def test_bad_input_kernels(env):
    """What is no kernel is refused by content; files made for the VM are removed again."""
    prepare(env)
    sector = bytearray(512)
    sector[510:] = b"\x55\xaa"
    iso = bytearray(0x9000)
    iso[0x8001:0x8006] = b"CD001"
    bzimage = bytearray(4096)
    bzimage[0x1f1] = 4
    bzimage[0x1fe:0x200] = b"\x55\xaa"
    bzimage[0x202:0x206] = b"HdrS"
    elf = b"\x7fELF" + bytes(4096)
    for name, data, word in [
            ("qcow2", b"QFI\xfb" + bytes(4096), "qcow2"), ("boot sector", bytes(sector), "--floppy"),
            ("iso", bytes(iso), "CD"), ("random", os.urandom(65536), ""),
            ("zero", bytes(65536), ""), ("byte", b"x", ""), ("elf", elf, ""),
            ("bzimage-cut", bytes(bzimage), ""), ("text", b"#!/bin/sh\n" * 1000, "")]:
        env.write("image", data)
        before = tree(env)
        r = env.lodge("run", "--kernel", "image", "--engine", "null", "--memory", "16M",
                      "--serial", "out", "--trace", "trace", "--gdb", "socket", "--set",
                      "log.file=log", rc=None)
        check(r.rc == 2 and r.err.count("\n") == 1, f"{name}: {r}")
        check(word in r.err, f"{name}: {r}")
        check(tree(env) == before, f"{name}: leaves {set(tree(env)) ^ set(before)}")


def test_bad_input_unreadable(env):
    """By a user who is not root, who reads everything."""
    prepare(env)
    os.chmod(env.path("file"), 0)
    more = {}
    if os.geteuid() == 0:
        for d, _, names in os.walk(env.dir):
            for path in [d] + [os.path.join(d, n) for n in names]:
                if path != env.path("file"):
                    os.chown(path, 65534, 65534)
        more = {"user": 65534, "group": 65534, "extra_groups": []}
    try:
        env.lodge("version", **more)
    except (OSError, AssertionError) as e:
        raise Skip("user nobody cannot run lodge from the build folder") from e
    for key in ("boot.kernel", "boot.state", "disk.0.file"):
        r = env.lodge("run", "--memory", "16M", "--engine", "null", "--set", f"{key}=file", rc=5,
                      **more)
        check(r.err.count("\n") == 1 and "Permission denied" in r.err, r)


def test_bad_input_port_in_use(env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        run_bad(env, 4, "--engine", "null", "--memory", "16M", "--gdb", str(s.getsockname()[1]))


def test_bad_input_save_targets(env):
    vm = env.vm()
    prepare(env)
    before = tree(env)
    for target, code in [("no-folder/state", 3), ("folder", None), ("", None),
                         ("file/under-a-file", 2), (LONG, 2)]:
        r = env.lodge("save", "test", target, rc=None)
        check(r.rc != 0 and (code is None or r.rc == code), f"{target[:40]!r}: {r.rc} {r.err}")
        check(r.err.count("\n") == 1, r.err)
    check(tree(env) == before, "save left something")
    check(vm.show()["state"] == "running", "runs on")
