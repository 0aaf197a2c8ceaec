"""Drives for guests without virtio drivers: the BIOS boots from disk and disc on each bus."""
import os
import shutil
import subprocess

from lib import HERE, Skip, boot_disk, check

BUSES = ["ahci", "ide"]


def boot_disc(env, name, label="LODGETEST"):
    """An ISO 9660 image that starts cdboot.asm (El Torito, no emulation)."""
    for tool in ("nasm", "xorriso"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")
    tree = env.path(f"{name}.tree")
    os.mkdir(tree)
    subprocess.run(["nasm", "-f", "bin", "-I", HERE + "/", "-o", os.path.join(tree, "boot.img"),
                    os.path.join(HERE, "cdboot.asm")], check=True)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-b", "boot.img",
                    "-no-emul-boot", "-o", env.path(name), tree], check=True,
                   stderr=subprocess.DEVNULL)
    return name


def start(env, *args, **more):
    return env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", *args,
                  stdin=subprocess.PIPE, **more)


def say(vm, byte):
    vm.p.stdin.write(byte)
    vm.p.stdin.flush()


def test_drives_boot_disk(env):
    """The boot sector reads and writes by INT 13h, on each bus; a reset boots it again."""
    for bus in BUSES:
        boot_disk(env, bus, "bootsector", bus.encode())
        vm = start(env, "--disk", bus, "--set", f"disk.0.bus={bus}")
        for boots in range(1, 4):
            line = vm.line()
            check(line == f"80 {bus}  ! {boots:02x}", line)
            say(vm, b"r" if boots < 3 else b"q")
        check(vm.wait() == 7, "status")
        with open(env.path(bus), "rb") as f:
            f.seek(1024)
            check(f.read(1) == b"\0", "without --write the image is as it was")


def test_drives_boot_disc(env):
    """El Torito: the boot image of a disc starts and reads the disc."""
    boot_disc(env, "cd.iso")
    for bus in BUSES:
        vm = start(env, "--iso", "cd.iso", "--set", f"cdrom.0.bus={bus}")
        for byte in b"rq":
            line = vm.line()
            check(line.startswith("e0 CD001 LODGETES"), line)
            say(vm, bytes([byte]))
        check(vm.wait() == 7, "status")


def test_drives_state(env):
    """A saved state keeps what was written; drives must be attached as they were."""
    for bus in BUSES:
        disk = boot_disk(env, f"disk-{bus}", "bootsector", b"hello")
        args = ("--disk", disk, "--set", f"disk.0.bus={bus}")
        vm = start(env, *args)
        check(vm.line() == "80 hello  ! 01", "first boot")
        env.lodge("save", "test", f"state-{bus}", "--stop")
        vm.wait()
        r = env.lodge("run", "--headless", "--state", f"state-{bus}", "--disk", disk, rc=None)
        check(r.rc != 0 and "attached otherwise" in r.err, r)
        vm = env.vm("--state", f"state-{bus}", *args, stdin=subprocess.PIPE, name="two")
        say(vm, b"r")
        check(vm.line() == "80 hello  ! 02", "booted again, with the changes of before")
        say(vm, b"q")
        check(vm.wait() == 7, "status")


def test_bad_input_drives(env):
    env.write("disk", bytes(1 << 20))
    run = ("run", "--engine", "null", "--headless")
    for args, words in (
            (["disk.a.file=disk", "disk.a.bus=scsi"], "virtio, ahci, ide"),
            (["cdrom.0.bus=virtio"], "ahci, ide"),
            (["cdrom.9.file=disk"], "CD drives 0 to 7"),
            (["cdrom.0.file=none-such"], "cdrom.0.file"),
            ([f"cdrom.{i}.bus=ahci" for i in range(7)], "at most 6")):
        sets = [x for a in args for x in ("--set", a)]
        r = env.lodge(*run, *sets, rc=None)
        check(r.rc in (2, 3) and words in r.err and r.err.count("\n") == 1, r)
