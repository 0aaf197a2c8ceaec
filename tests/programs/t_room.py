"""A host without room for what a guest writes: the VM waits, and the guest learns nothing of it."""
import os
import subprocess
import time

from lib import Skip, boot_sector, check, until

CHUNKS = 128
CHUNK_BYTES = 32768
START = 64 * 512


def mount(env, size):
    """A small file system of its own; gone when the test's folder is removed."""
    where = env.path("small")
    os.mkdir(where)
    r = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "lodge-test", where],
                       capture_output=True, check=False)
    if r.returncode != 0:
        raise Skip("nothing can be mounted here: not root")
    return where


def resize(where, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", where], check=True)


def show(env, vm):
    return env.lodge_json("show", vm)


def reason(env, vm):
    s = show(env, vm)
    return s["state"], s["reason"]


def output(env):
    with open(env.path("out"), "rb") as f:
        return f.read().decode("ascii", "replace")


def start(env, vm, *more):
    env.lodge("start", vm, "--headless", "--set", f"serial.0.output={env.path('out')}", *more)


def expect_full(env, vm):
    until(lambda: reason(env, vm) == ("paused", "disk-full"), "it does not wait")
    dots = output(env).count(".")
    check(0 < dots < CHUNKS and "E" not in output(env), output(env))
    time.sleep(0.1)
    check(output(env).count(".") == dots, "it goes on")


def expect_done(env, vm):
    until(lambda: "\n" in output(env), "it does not go on")
    check(output(env).strip() == "." * CHUNKS, output(env))
    check(show(env, vm)["state"] == "running", show(env, vm))


def check_contents(image):
    with open(image, "rb") as f:
        f.seek(START)
        for i in range(1, CHUNKS + 1):
            check(f.read(CHUNK_BYTES) == i.to_bytes(2, "little") * (CHUNK_BYTES // 2), f"piece {i}")


def one_disk(env, where, *more):
    """A VM on the small file system, which it fills."""
    boot_sector(env, "disk.img", "fill16", f"CHUNKS={CHUNKS}", "TARGET=0x80")
    with open(env.path("disk.img"), "ab") as f:
        f.truncate(8 << 20)
    vm = os.path.join(where, "vm")
    env.lodge("create", vm, "--disk", "disk.img", "--memory", "16M", "--engine", "soft", *more)
    return vm


def waits(env, bus):
    where = mount(env, "2M")
    try:
        vm = one_disk(env, where, "--set", f"disk.root.bus={bus}")
        start(env, vm)
        expect_full(env, vm)
        r = env.lodge("resume", vm, rc=5)
        check("waits for room" in r.err and r.err.count("\n") == 1, r)
        for words in (("save", vm, "state"), ("snapshot", "take", vm), ("suspend", vm), ("show", vm, "rtc")):
            r = env.lodge(*words, rc=None)
            check(r.rc != 0 and r.err.count("\n") == 1, r)
            check(reason(env, vm) == ("paused", "disk-full"), reason(env, vm))
        env.lodge("pause", vm)
        resize(where, "16M")
        until(lambda: reason(env, vm) == ("paused", "user"), "it does not stay paused")
        env.lodge("resume", vm)
        expect_done(env, vm)
        env.lodge("kill", vm)
        check_contents(os.path.join(vm, "disks/root.img"))
    finally:
        env.end_kept()
        subprocess.run(["umount", "-l", where], check=True)


def test_room_virtio(env):
    waits(env, "virtio")


def test_room_ahci(env):
    waits(env, "ahci")


def test_room_ide(env):
    waits(env, "ide")


def test_room_comes_by_itself(env):
    """Twice full; then reset and killed while it waits."""
    where = mount(env, "2M")
    try:
        vm = one_disk(env, where)
        start(env, vm)
        expect_full(env, vm)
        before = output(env)
        resize(where, "3M")
        until(lambda: len(output(env)) > len(before), "it does not go on")
        expect_full(env, vm)
        env.lodge("reset", vm)
        until(lambda: output(env).count(".") > CHUNKS or reason(env, vm) == ("paused", "disk-full"), "reset")
        resize(where, "16M")
        until(lambda: output(env).endswith("\n"), "it does not go on after a reset")
        check("E" not in output(env), output(env))
        env.lodge("kill", vm)
        check_contents(os.path.join(vm, "disks/root.img"))
        os.unlink(os.path.join(vm, "disks/root.img"))
        with open(os.path.join(vm, "disks/root.img"), "wb") as f, open(env.path("disk.img"), "rb") as g:
            f.write(g.read(512))
            f.truncate(8 << 20)
        resize(where, "2M")
        start(env, vm)
        expect_full(env, vm)
        env.lodge("kill", vm)
        check(env.lodge_json("show", vm)["state"] == "stopped", "killed while it waits")
    finally:
        env.end_kept()
        subprocess.run(["umount", "-l", where], check=True)


def test_room_qcow2(env):
    """The metadata, too; the image is whole afterwards."""
    where = mount(env, "2M")
    try:
        boot_sector(env, "disk.img", "fill16", f"CHUNKS={CHUNKS}", "TARGET=0x81")
        with open(env.path("disk.img"), "ab") as f:
            f.truncate(1 << 20)
        data, vm = os.path.join(where, "data.qcow2"), env.path("vm")
        env.lodge("disk", "create", data, "64M")
        env.lodge("create", vm, "--disk", "disk.img", "--memory", "16M", "--engine", "soft", "--set",
                  "vm.boot=disk.root")
        env.lodge("set", vm, f"disk.data.file={data}", "disk.data.format=qcow2")
        start(env, vm)
        expect_full(env, vm)
        resize(where, "16M")
        expect_done(env, vm)
        env.lodge("kill", vm)
        env.lodge("disk", "check", data)
        env.lodge("disk", "convert", data, "data.img", "--to", "raw")
        check_contents(env.path("data.img"))
    finally:
        env.end_kept()
        subprocess.run(["umount", "-l", where], check=True)
