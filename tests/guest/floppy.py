"""Case drives-floppy of run: Linux' floppy driver on two drives; what it reads, writes and formats is compared
with the files, over a change of disks, S3, and a save and a restore."""
import os
import random
import re
import subprocess
import tempfile

import lodgevm
from drives import same
from lodgevm import VM, Failed, lodge

HD, DD, WIDE = 1440, 720, 1200     # KiB
# What the kernel's log must not have beside run's list.
BAD_LOG = re.compile(r"floppy.*([Ee]rror|timeout|reset|unexpected|[Uu]nable)|fd\d.*([Ee]rror|timeout|probe failed)|"
                     r"I/O error|[Dd]isk absent|disk removed")


def folder():
    r = subprocess.run([os.path.join(lodgevm.ROOT, "tests/guest/mkfloppy.sh")], stdout=subprocess.PIPE,
                       text=True, check=True)
    return r.stdout.strip()


def make(path, kib, seed):
    with open(path, "wb") as f:
        f.write(random.Random(seed).randbytes(kib << 10))
    return path


def start(tmp, state=None):
    floppies = ["--set", f"floppy.0.file={tmp}/hd", "--set", "floppy.0.keep=yes", "--set",
                f"floppy.1.file={tmp}/wide", "--set", "floppy.1.keep=yes"]
    if state:
        return VM("--state", state, "--serial", "-", "--headless", "--engine", "soft", *floppies)
    d = folder()
    return VM("--kernel", f"{d}/vmlinuz", "--initrd", f"{d}/initrd.cpio", "--append",
              "console=ttyS0 quiet panic=-1 lodge.noecho", "--serial", "-", "--headless",
              "--engine", "soft", "--memory", "128M", *floppies)


def check_found(vm):
    vm.up()
    vm.ask("floppy", 60)
    vm.ask("i=0; until [ -b /dev/fd1 ]; do i=$((i + 1)); [ $i -lt 100 ] || break; sleep 0.1; done")
    log = vm.ask("dmesg")
    for text in ("fd0 is 1.44M", "fd1 is 1.2M", "FDC 0 is a"):
        if text not in log:
            raise Failed(f"not in the log: {text}")


def check_read(vm, tmp):
    same(vm, "/dev/fd0", lodgevm.sha256_of(f"{tmp}/hd"))
    same(vm, "/dev/fd1", lodgevm.sha256_of(f"{tmp}/wide"))


def check_write(vm, tmp):
    """Single sectors, parts of tracks, and both drives in turn."""
    for seek, count in ((0, 1), (17, 1), (18, 40), (1001, 77), (2399, 1)):
        for drive in ("fd0", "fd1"):
            vm.ask(f"dd if=/dev/urandom of=/dev/{drive} bs=512 seek={seek} count={count} conv=fsync "
                   "2>/dev/null", 60)
    vm.ask("dd if=/dev/urandom of=/dev/fd0 bs=512 seek=2879 count=1 conv=fsync 2>/dev/null", 60)
    check_read(vm, tmp)


def check_format(vm, tmp):
    """All is filler then, and takes data again."""
    if vm.ask("drivetool /dev/fd0 format", 120) != "80 2 18":
        raise Failed("the disk's format")
    with open(f"{tmp}/hd", "rb") as f:
        if f.read() != b"\xf6" * (HD << 10):
            raise Failed("the file is not as a formatted disk")
    same(vm, "/dev/fd0", lodgevm.sha256_of(f"{tmp}/hd"))
    check_write(vm, tmp)


def check_change(vm, tmp):
    """The user changes the disk, also for one of another format, and for none."""
    name = vm.name()
    dd = make(f"{tmp}/dd", DD, 3)
    lodge("media", "insert", name, dd, "floppy.0", "--write")
    same(vm, "/dev/fd0", lodgevm.sha256_of(dd))
    vm.ask("dd if=/dev/urandom of=/dev/fd0 bs=512 seek=100 count=9 conv=fsync 2>/dev/null", 60)
    same(vm, "/dev/fd0", lodgevm.sha256_of(dd))
    lodge("media", "eject", name, "floppy.0")
    if vm.command("dd if=/dev/fd0 of=/dev/null bs=512 count=1 2>/dev/null", 60)[0] == 0:
        raise Failed("something was read from an empty drive")
    lodge("media", "insert", name, dd, "floppy.0", "--read-only")
    same(vm, "/dev/fd0", lodgevm.sha256_of(dd))
    if vm.command("dd if=/dev/zero of=/dev/fd0 bs=512 count=1 conv=fsync 2>/dev/null", 60)[0] == 0:
        raise Failed("a protected disk was written to")
    lodge("media", "insert", name, f"{tmp}/hd", "floppy.0", "--write")
    check_read(vm, tmp)


def check_log(vm):
    bad = [x for x in vm.ask("dmesg", 60).splitlines() if BAD_LOG.search(x)]
    if bad:
        raise Failed(f"{len(bad)} lines, first: {bad[0]}")


def check_sleep(vm, tmp):
    vm.sleep_and_wake()
    check_write(vm, tmp)
    check_log(vm)


def save_busy(vm, tmp):
    """While the guest copies from one disk to the other, again and again."""
    vm.ask("(while [ ! -e /tmp/stop ]; do dd if=/dev/fd0 of=/tmp/a bs=9k count=20; "
           "dd if=/tmp/a of=/dev/fd1 bs=9k seek=3 conv=fsync; echo 3 >/proc/sys/vm/drop_caches; "
           "dd if=/dev/fd1 of=/tmp/b bs=9k skip=3 count=20; cmp /tmp/a /tmp/b || echo DIFFER >/tmp/bad; "
           "done >/dev/null 2>&1) & sleep 3", 60)
    lodge("save", vm.name(), f"{tmp}/state", "--stop")
    vm.wait()


def check_restored(vm, tmp):
    vm.send("\n")
    vm.ask("sleep 2; touch /tmp/stop; wait", 120)
    if vm.command("[ -e /tmp/bad ]")[0] == 0:
        raise Failed("what was written is read otherwise")
    check_write(vm, tmp)


def case(report, name):
    with tempfile.TemporaryDirectory() as tmp:
        make(f"{tmp}/hd", HD, 1)
        make(f"{tmp}/wide", WIDE, 2)
        with start(tmp) as vm:
            if not report.step(f"{name}-found", check_found, vm):
                return
            report.step(f"{name}-read", check_read, vm, tmp)
            report.step(f"{name}-write", check_write, vm, tmp)
            report.step(f"{name}-format", check_format, vm, tmp)
            report.step(f"{name}-log", check_log, vm)
            report.step(f"{name}-sleep", check_sleep, vm, tmp)
            report.step(f"{name}-change", check_change, vm, tmp)
            if not report.step(f"{name}-save", save_busy, vm, tmp):
                return
        with start(tmp, f"{tmp}/state") as vm:
            report.step(f"{name}-restored", check_restored, vm, tmp)
