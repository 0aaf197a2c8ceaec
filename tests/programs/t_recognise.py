"""lodge run FILE: what a file is is seen from its contents, told where there is a doubt, and put where it
belongs."""
import os
import subprocess

from lib import HERE, boot_disk, boot_sector, build, check, until
from t_floppy import floppy

RUN = ("run", "--engine", "soft", "--memory", "64M", "--debug-exit", "0xf4")


def media(name):
    """The folder with the files of a guest."""
    script = os.path.join(HERE, "../screen/media.sh")
    r = subprocess.run([script, name], stdout=subprocess.PIPE, text=True, check=True)
    return r.stdout.strip()


def seen(env, vm, text):
    """The screen, once text is on it."""
    def screen():
        got = env.lodge("screenshot", vm.name, "--text", rc=None).out
        return got if text in got else None
    return until(screen, f"'{text}' is not seen")


def drives(vm):
    return [(d["name"], d["bus"]) for d in vm.show()["disks"]]


def test_recognise_floppy(env):
    floppy(env, "disk", 1440)
    r = env.lodge(*RUN, "disk", rc=7)
    check(r.out.strip() == "00 00 end of 1440" and r.err == "", r)
    # cut off: it may be a disk's
    with open(env.path("disk"), "r+b") as f:
        f.truncate(100 * 512)
    r = env.lodge(*RUN, "disk", rc=7)
    check(r.out.startswith("00 ") and "--disk" in r.err and r.err.count("\n") == 1, r)
    r = env.lodge(*RUN, "--floppy", "disk", rc=7)
    check(r.out.startswith("00 ") and r.err == "", r)
    check(env.lodge(*RUN, "-q", "disk", rc=7).err == "", "-q says nothing")


def test_recognise_floppy_writes(env):
    floppy(env, "disk", 1440, "WRITE=1")
    for args, want in (((), b"end"), (("--write",), b"END")):
        r = env.lodge(*RUN, "disk", *args, rc=7)
        check(r.out.strip() == "00 00 00 00 END", r)
        with open(env.path("disk"), "rb") as f:
            f.seek(-512, 2)
            check(f.read(3) == want, args)


def test_recognise_disk(env):
    """By AHCI: guests of any age know it or what it is compatible with."""
    boot_disk(env, "disk", "bootsector", b"hello")
    with open(env.path("disk"), "r+b") as f:
        f.truncate(8 << 20)
    vm = env.vm(*RUN[1:], "disk", "--disk", "disk", stdin=subprocess.PIPE)
    line = vm.line()
    check(line.startswith("80 hello  hello"), line)
    check(drives(vm) == [("disk.0", "virtio"), ("disk.root", "ahci")], drives(vm))
    check("ahci" in vm.err().lower() and vm.err().count("\n") == 1, vm.err())
    vm.p.stdin.write(b"q")
    vm.p.stdin.flush()
    check(vm.wait() == 7, "status")


def test_recognise_kernel(env):
    build(env, "halt")
    vm = env.vm(*RUN[1:], "halt.elf")
    check(vm.err() == "" and drives(vm) == [], vm.err())
    r = env.lodge(*RUN, "halt.elf", "--kernel", "halt.elf", rc=2)
    check("twice" in r.err, r)


def test_recognise_grub(env):
    """A real CD, which is a disk as well: it starts from both, and from a floppy drive."""
    folder = media("rescue")
    image = os.path.join(folder, "grub-rescue-floppy.img")
    for args, want in (((image,), ("cdrom.0", "ahci")), (("--disk", image), ("disk.0", "virtio")),
                       (("--floppy", image), ("floppy.0", "floppy"))):
        vm = env.vm(*RUN[1:], *args, name=want[1])
        seen(env, vm, "GNU GRUB")
        check(drives(vm) == [want], drives(vm))
        check((args[0] != image) == (vm.err() == ""), vm.err())
        env.lodge("kill", want[1])
        vm.wait()


def test_recognise_order(env):
    """vm.boot names drives in their order; without it the file that is run comes first."""
    floppy(env, "a", 1440)
    boot_disk(env, "disk", "bootsector", b"disk")
    r = env.lodge(*RUN, "--floppy", "a", "--disk", "disk", rc=7)
    check(r.out.startswith("00 00 end"), r)
    vm = env.vm(*RUN[1:], "--floppy", "a", "--disk", "disk", "--set", "vm.boot=disk.0, floppy.0",
                stdin=subprocess.PIPE)
    check(vm.line().startswith("80 disk"), "the disk")
    vm.end()
    with open(env.path("disk"), "r+b") as f:
        f.truncate(8 << 20)
    vm = env.vm(*RUN[1:], "disk", "--floppy", "a", "--set", "vm.boot=disk.root",
                stdin=subprocess.PIPE, name="two")
    check(vm.line().startswith("80 disk"), "the disk")
    vm.end()
    vm = env.vm(*RUN[1:], "disk", "--floppy", "a", stdin=subprocess.PIPE, name="three")
    check(vm.line().startswith("80 disk"), "what is run comes first")
    vm.end()
    r = env.lodge(*RUN, "--floppy", "a", "--set", "vm.boot=cdrom.0", rc=2)
    check("cdrom.0" in r.err and "floppy.0" in r.err, r)


def test_recognise_empty_drive(env):
    """It is there, and the next one is tried."""
    boot_sector(env, "b", "floppysector", "CYLINDER=0", "HEAD=0", "SECTOR=1")
    with open(env.path("b"), "r+b") as f:
        f.truncate(8 << 20)
    r = env.lodge(*RUN, "--set", "floppy.0.drive=1.44M", "--disk", "b", rc=7)
    check(r.out.startswith("80 00"), r)


def test_recognise_menu(env):
    """SeaBIOS offers its menu and heeds it."""
    floppy(env, "a", 1440)
    boot_disk(env, "disk", "bootsector", b"disk")
    vm = env.vm(*RUN[1:], "--floppy", "a", "--disk", "disk", "--set", "boot.menu=yes",
                "--set", "boot.menu-wait=60000", stdin=subprocess.PIPE)
    seen(env, vm, "ESC for boot menu")
    env.lodge("keys", "test", "esc")
    text = seen(env, vm, "Select boot device")
    number = next(line for line in text.split("\n") if "irtio" in line).strip()[0]
    env.lodge("keys", "test", number)
    check(vm.line().startswith("80 disk"), "the disk")


def test_recognise_option_rom(env):
    """The BIOS runs it before it boots."""
    floppy(env, "a", 1440)
    boot_sector(env, "rom", "optionrom")
    with open(env.path("rom"), "r+b") as f:
        rom = f.read()
        f.seek(511)
        f.write(bytes([-sum(rom) & 255]))
    r = env.lodge(*RUN, "a", "--set", "firmware.option-rom=rom", rc=7)
    check(r.out == "option ROM\n00 00 end of 1440\n", r)
    for name, data in (("short", b"\x55\xaa"), ("other", bytes(512)),
                       ("long", b"\x55\xaa" + bytes(131072))):
        env.write(name, data)
        r = env.lodge(*RUN, "a", "--set", f"firmware.option-rom={name}", rc=2)
        check("no option ROM" in r.err and r.err.count("\n") == 1, r)


def test_bad_input_recognise(env):
    env.write("text", b"hello\n" * 512)
    env.write("image", b"KDMV" + bytes(1048572))
    env.write("gz", b"\x1f\x8b\x08" + bytes(9999))
    env.write("what", bytes(5 << 20))
    env.write("elf", b"\x7fELF" + bytes(9999))
    env.write("empty", b"")
    os.mkdir(env.path("folder"))
    for name, rc, words in (("text", 2, "a text"), ("image", 2, "qemu-img convert"),
                            ("gz", 2, "unpack it first"), ("what", 2, "--floppy"),
                            ("elf", 2, "multiboot"), ("empty", 2, "empty"),
                            ("none", 3, "none"), ("folder", 2, "not a file")):
        r = env.lodge(*RUN, name, rc=rc)
        check(words in r.err and r.err.count("\n") == 1, r)
    for option in ("--disk", "--iso", "--floppy"):
        r = env.lodge(*RUN, option, "image", rc=2)
        check("VMDK" in r.err and r.err.count("\n") == 1, r)
    r = env.lodge(*RUN, "--iso", "text", rc=2)
    check("not a CD" in r.err, r)
