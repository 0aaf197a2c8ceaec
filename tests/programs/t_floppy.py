"""Floppy disks of every size, in a drive that fits, through the BIOS."""
from lib import boot_sector, check

# KiB: cylinders, heads, sectors
FORMATS = {160: (40, 1, 8), 180: (40, 1, 9), 320: (40, 2, 8), 360: (40, 2, 9), 720: (80, 2, 9),
           800: (80, 2, 10), 1200: (80, 2, 15), 1440: (80, 2, 18), 1680: (80, 2, 21),
           1722: (82, 2, 21), 1920: (80, 2, 24), 2880: (80, 2, 36)}


def floppy(env, name, kib, *defines):
    """An image of that size; its boot sector reads the last sector that the BIOS lets it: the BIOS knows 80
    cylinders."""
    cylinders, heads, sectors = FORMATS[kib]
    cylinder = min(cylinders, 80) - 1
    boot_sector(env, name, "floppysector", f"CYLINDER={cylinder}", f"HEAD={heads - 1}",
                f"SECTOR={sectors}", *defines)
    with open(env.path(name), "r+b") as f:
        f.truncate(kib * 1024)
        f.seek((cylinder + 1) * heads * sectors * 512 - 512)
        f.write(f"end of {kib}\0".encode())
    return name


def run(env, *settings):
    """What the boot sector says."""
    sets = [x for s in settings for x in ("--set", s)]
    r = env.lodge("run", "--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", *sets, rc=7)
    return r.out.strip()


def test_floppy_formats(env):
    for kib in FORMATS:
        line = run(env, f"floppy.0.file={floppy(env, f'f{kib}', kib)}")
        check(line == f"00 00 end of {kib}", f"{kib}K: {line}")


def test_floppy_writes(env):
    """Changes are forgotten, kept, or refused by the drive."""
    floppy(env, "disk", 1440, "WRITE=1")
    for setting, want, kept in (("keep=no", "00 00 00 00 END", False),
                                ("read-only=yes", "00 00 03 00 end", False),
                                ("keep=yes", "00 00 00 00 END", True)):
        line = run(env, "floppy.0.file=disk", f"floppy.0.{setting}")
        check(line.startswith(want), f"{setting}: {line!r}")
        with open(env.path("disk"), "rb") as f:
            f.seek(-512, 2)
            check(f.read(3) == (b"END" if kept else b"end"), f"{setting}: the image")


def test_floppy_controller(env):
    """It is there only with a drive; one without a disk is enough."""
    for name, args, there in (("no", (), False), ("yes", ("--set", "floppy.1.drive=2.88M"), True)):
        vm = env.vm(*args, name=name)
        devices = [d["class"] for d in env.lodge_json("show", name, "--devices")["devices"]]
        check(("fdc" in devices) == there, devices)
        check([(d["name"], d["file"], d["bus"]) for d in vm.show()["disks"]] ==
              ([("floppy.1", "", "floppy")] if there else []), vm.show())


def test_bad_input_floppy(env):
    env.write("odd", bytes(3000 * 1024))
    env.write("dd", bytes(720 * 1024))
    run_args = ("run", "--engine", "soft", "--headless")
    for args, rc, words in ((("floppy.0.file=odd",), 2, "no floppy disk has"),
                            (("floppy.0.file=none",), 3, "none"),
                            (("floppy.2.file=dd",), 2, "0 and 1"),
                            (("floppy.0.drive=1.2M", "floppy.0.file=dd"), 2, "does not fit"),
                            (("floppy.0.drive=8inch",), 2, "360K")):
        sets = [x for a in args for x in ("--set", a)]
        r = env.lodge(*run_args, *sets, rc=rc)
        check(words in r.err and r.err.count("\n") == 1, r)
