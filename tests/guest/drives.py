"""Cases drives-ahci and drives-ide of run: Debian's drivers (ahci, ata_piix, sd_mod, sr_mod, isofs) on
disks and discs; what they read and write is compared with the files, over S3, and a save and a restore."""
import json
import os
import random
import re
import shutil
import subprocess
import tempfile

import lodgevm
from lodgevm import VM, Failed, lodge

DISK_BYTES = 24 << 20
FILE_BYTES = 3 << 20
# What the kernel's log must not have beside run's list.
BAD_LOG = re.compile(r"ata\d.*(exception|failed|frozen|error|timeout|limiting|hard resetting|"
                     r"soft resetting|revalidation)|Sense Key|sr0.*[Ee]rror|I/O error")


def folder():
    r = subprocess.run([os.path.join(lodgevm.ROOT, "tests/guest/mkdrives.sh")],
                       stdout=subprocess.PIPE, text=True, check=True)
    return r.stdout.strip()


def make_disc(path, label, seed):
    """An ISO image with one file, `big`, that is random."""
    tree = path + ".tree"
    os.mkdir(tree)
    with open(os.path.join(tree, "big"), "wb") as f:
        f.write(random.Random(seed).randbytes(FILE_BYTES))
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-R", "-o", path, tree],
                   check=True, stderr=subprocess.DEVNULL)
    return lodgevm.sha256_of(os.path.join(tree, "big"))


def start(bus, tmp, cpus, state=None):
    """From power-on with a kernel, or from the state."""
    drives = ["--set", f"disk.a.file={tmp}/disk", "--set", f"disk.a.bus={bus}", "--set",
              f"cdrom.0.file={tmp}/one.iso", "--set", f"cdrom.0.bus={bus}", "--set",
              "disk.a.keep=yes"]
    if state:
        return VM("--state", state, "--serial", "-", "--headless", "--engine", "soft", *drives)
    d = folder()
    return VM("--kernel", f"{d}/vmlinuz", "--initrd", f"{d}/initrd.cpio", "--append",
              "console=ttyS0 quiet panic=-1 lodge.noecho", "--serial", "-", "--headless",
              "--engine", "soft", "--cpus", str(cpus), "--memory", "256M", *drives)


def check_found(vm, bus):
    """The drives are there, with the modes that they have."""
    vm.up()
    vm.ask("drives", 60)
    vm.ask("i=0; until [ -b /dev/sda ] && [ -b /dev/sr0 ]; do i=$((i + 1)); "
           "[ $i -lt 100 ] || break; sleep 0.1; done; [ -b /dev/sda ] && [ -b /dev/sr0 ]", 60)
    vm.ask("sleep 1")
    log = vm.ask("dmesg")
    for text in ("Lodge Hard Disk", "Lodge DVD-ROM", "49152 512-byte logical blocks",
                 "NCQ (depth 32)" if bus == "ahci" else "PATA max UDMA/33",
                 "Attached scsi CD-ROM sr0"):
        if text not in log:
            raise Failed(f"not in the log: {text}")
    modes = vm.ask("cat /sys/class/ata_device/*/dma_mode")
    if "XFER_UDMA" not in modes:
        raise Failed(f"no DMA: {modes!r}")


def same(vm, device, want):
    vm.ask("sync; echo 3 > /proc/sys/vm/drop_caches")
    got = vm.ask(f"sha256sum {device}", 90).split()[0]
    if got != want:
        raise Failed(f"{device} is {got} instead of {want}")


def check_disk(vm, tmp):
    same(vm, "/dev/sda", lodgevm.sha256_of(f"{tmp}/disk"))
    for seek, count in ((0, 1), (100, 40), (255, 16), (383, 1)):
        vm.ask(f"dd if=/dev/urandom of=/dev/sda bs=64k seek={seek} count={count} conv=fsync "
               "2>/dev/null", 60)
    vm.ask("dd if=/dev/urandom of=/dev/sda bs=512 seek=33333 count=777 conv=fsync 2>/dev/null", 60)
    vm.ask("for i in 1 2 3 4 5 6 7 8; do (dd if=/dev/urandom of=/dev/sda bs=4k seek=$((i * 500)) "
           "count=100 oflag=direct 2>/dev/null) & done; wait; sync", 90)
    same(vm, "/dev/sda", lodgevm.sha256_of(f"{tmp}/disk"))


def check_trim(vm, tmp):
    vm.ask("blkdiscard -o 4194304 -l 1048576 /dev/sda")
    vm.ask("dd if=/dev/sda bs=1M skip=4 count=1 2>/dev/null | cmp -n 1048576 - /dev/zero", 60)
    same(vm, "/dev/sda", lodgevm.sha256_of(f"{tmp}/disk"))


def check_disc(vm, want):
    vm.ask("mount -t iso9660 -o ro /dev/sr0 /mnt", 60)
    same(vm, "/mnt/big", want)
    vm.command("drivetool /dev/sr0 eject")  # the kernel does not tell that the drive refused
    if "asc=0x53" not in vm.ask("dmesg | tail -n 3"):
        raise Failed("a drive that is locked has not refused to open")
    same(vm, "/mnt/big", want)
    vm.ask("umount /mnt")


def check_tray(vm, tmp, want):
    """What the guest ejects is out, also when it closes the drive again; the user puts it back."""
    vm.ask("drivetool /dev/sr0 eject", 60)
    if vm.ask("drivetool /dev/sr0 status") != "tray open":
        raise Failed("the tray is not open")
    medium = json.loads(lodge("media", "list", vm.name(), "--json").stdout)[0]["file"]
    if medium:
        raise Failed(f"{medium} is still in the drive")
    vm.command("drivetool /dev/sr0 close; sleep 1", 60)
    if vm.ask("drivetool /dev/sr0 status") == "disc":
        raise Failed("the disc came back")
    lodge("media", "insert", vm.name(), f"{tmp}/one.iso")
    vm.ask("sleep 1")
    check_disc(vm, want)


def check_change(vm, tmp, want):
    """The user changes the disc: not while it is mounted, unless by force."""
    other = make_disc(f"{tmp}/two.iso", "TWO", 2)
    vm.ask("mount -t iso9660 -o ro /dev/sr0 /mnt", 60)
    r = lodge("media", "insert", vm.name(), f"{tmp}/two.iso", check=False)
    if r.returncode == 0 or "lock" not in r.stderr:
        raise Failed(f"not refused: {r.stderr}")
    same(vm, "/mnt/big", want)
    vm.ask("umount /mnt")
    lodge("media", "insert", vm.name(), f"{tmp}/two.iso")
    vm.ask("sleep 1")
    check_disc(vm, other)
    lodge("media", "eject", vm.name())
    if vm.ask("drivetool /dev/sr0 status") == "disc":
        raise Failed("there is still a disc")
    if vm.command("mount -t iso9660 -o ro /dev/sr0 /mnt", 60)[0] == 0:
        raise Failed("nothing was mounted")
    lodge("media", "insert", vm.name(), f"{tmp}/one.iso")
    vm.ask("sleep 1")
    check_disc(vm, want)


def check_tools(vm):
    """What hdparm and smartctl ask for."""
    if not vm.ask("drivetool /dev/sda identify").startswith("Lodge Hard Disk"):
        raise Failed("IDENTIFY DEVICE")
    if vm.ask("drivetool /dev/sda smart") != "passed":
        raise Failed("SMART")


def check_log(vm):
    bad = [x for x in vm.ask("dmesg", 60).splitlines() if BAD_LOG.search(x)]
    if bad:
        raise Failed(f"{len(bad)} lines, first: {bad[0]}")


def check_sleep(vm, tmp, want):
    vm.sleep_and_wake()
    check_disk(vm, tmp)
    check_disc(vm, want)
    check_log(vm)


def save_busy(vm, tmp):
    """While the guest copies disk and disc to and fro, again and again."""
    vm.ask("(while [ ! -e /tmp/stop ]; do dd if=/dev/sda of=/tmp/a bs=256k count=16 iflag=direct; "
           "dd if=/tmp/a of=/dev/sda bs=256k seek=32 count=16 oflag=direct; "
           "cmp -n 4194304 /tmp/a /dev/sda || echo DIFFER >/tmp/bad; done >/dev/null 2>&1) & "
           "(mount -t iso9660 -o ro /dev/sr0 /mnt; while [ ! -e /tmp/stop ]; do "
           "sha256sum /mnt/big; echo 3 >/proc/sys/vm/drop_caches; done >/tmp/sums 2>&1) & sleep 3",
           60)
    lodge("save", vm.name(), f"{tmp}/state", "--stop")
    vm.wait()


def check_restored(vm, tmp, want):
    vm.send("\n")
    vm.ask("sleep 2; touch /tmp/stop; wait; sleep 1", 120)
    if vm.command("[ -e /tmp/bad ]")[0] == 0:
        raise Failed("what was written is read otherwise")
    sums = set(vm.ask("cut -d' ' -f1 /tmp/sums | sort -u").split())
    if sums != {want}:
        raise Failed(f"the disc's file was read as {sums}")
    same(vm, "/dev/sda", lodgevm.sha256_of(f"{tmp}/disk"))


def case(report, name):
    bus, cpus = {"drives-ahci": ("ahci", 2), "drives-ide": ("ide", 1)}[name]
    if not shutil.which("xorriso"):
        report.skip(name, "xorriso is not installed")
        return
    with tempfile.TemporaryDirectory() as tmp:
        with open(f"{tmp}/disk", "wb") as f:
            f.write(random.Random(name).randbytes(DISK_BYTES))
        want = make_disc(f"{tmp}/one.iso", "ONE", 1)
        with start(bus, tmp, cpus) as vm:
            if not report.step(f"{name}-found", check_found, vm, bus):
                return
            report.step(f"{name}-disk", check_disk, vm, tmp)
            report.step(f"{name}-trim", check_trim, vm, tmp)
            report.step(f"{name}-disc", check_disc, vm, want)
            report.step(f"{name}-tools", check_tools, vm)
            report.step(f"{name}-log", check_log, vm)
            report.step(f"{name}-tray", check_tray, vm, tmp, want)
            report.step(f"{name}-change", check_change, vm, tmp, want)
            report.step(f"{name}-sleep", check_sleep, vm, tmp, want)
            if not report.step(f"{name}-save", save_busy, vm, tmp):
                return
        with start(bus, tmp, cpus, f"{tmp}/state") as vm:
            report.step(f"{name}-restored", check_restored, vm, tmp, want)
