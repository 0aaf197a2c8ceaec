"""lodge media: disks come and go while the guest runs, and it sees that."""
import os
import subprocess

from lib import boot_disk, check, until


def image(env, name, kib, text):
    data = bytearray(kib * 1024)
    data[0x100:0x100 + len(text)] = text.encode()
    env.write(name, data)
    return name


def iso(env, name, size=1 << 20):
    data = bytearray(size)
    data[0x8000:0x8006] = b"\1CD001"
    env.write(name, data)
    return name


def start(env, *args, name="test"):
    boot_disk(env, "boot", "mediaguest")
    vm = env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", "--disk", "boot", *args,
                "--set", "vm.boot=disk.0", stdin=subprocess.PIPE, name=name)
    check(vm.line() == ">", "the guest starts")
    return vm


def ask(vm, byte):
    vm.p.stdin.write(byte)
    vm.p.stdin.flush()
    return vm.line()


def media(env):
    return {d["name"]: (d["file"], d["changes"]) for d in env.lodge_json("media", "list", "test")}


def test_media_floppy(env):
    """Inserted, read, changed, ejected; an empty drive reads nothing; the change line says so."""
    for name, kib in (("a", 1440), ("b", 720), ("c", 1440)):
        image(env, name, kib, f"disk {name}")
    vm = start(env, "--floppy", "a")
    check(ask(vm, b"r") == "00disk a", "as it starts")
    env.lodge("media", "eject", "test")
    check(media(env) == {"floppy.0": ("", "")}, media(env))
    check(ask(vm, b"d")[0] in "89abcdef", "the change line")
    check(ask(vm, b"r")[:2] != "00", "it is empty")
    env.lodge("media", "insert", "test", "b")
    check(media(env) == {"floppy.0": ("b", "discard")}, media(env))
    check(ask(vm, b"d")[0] in "89abcdef", "the change line")
    check(ask(vm, b"r") == "00disk b", "another format")
    env.lodge("media", "insert", "test", "c", "floppy.0")
    check(ask(vm, b"r") == "00disk c", "without an eject")
    check("floppy.0" in env.lodge("media", "list", "test").out, "list")
    check(vm.show()["disks"][1]["file"] == "c", vm.show())
    env.lodge("media", "eject", "test", "floppy.0")
    env.lodge("media", "eject", "test")  # nothing to take out is no error
    ask_end(vm)


def ask_end(vm):
    vm.p.stdin.write(b"q")
    vm.p.stdin.flush()
    check(vm.wait() == 7, "status")


def test_media_writes(env):
    """Forgotten, kept or refused."""
    image(env, "a", 1440, "disk a")
    vm = start(env, "--set", "floppy.0.drive=1.44M")
    for args, status, now, kept in (((), "00", "00*isk a", b"d"),
                                    (("--read-only",), "03", "00disk a", b"d"),
                                    (("--write",), "00", "00*isk a", b"*")):
        env.lodge("media", "insert", "test", "a", *args)
        check(ask(vm, b"r") == "00disk a", args)
        check(ask(vm, b"w") == status, args)
        check(ask(vm, b"r") == now, args)
        env.lodge("media", "eject", "test")
        with open(env.path("a"), "rb") as f:
            f.seek(0x100)
            check(f.read(1) == kept, args)
    ask_end(vm)


def test_media_cmos(env):
    """Firmware and old systems learn of the drives from the CMOS: kinds, equipment."""
    for n, (args, want) in enumerate((((), "0000"), (("floppy.0.drive=1.2M",), "2001"),
                                      (("floppy.1.drive=2.88M",), "0501"),
                                      (("floppy.0.drive=auto", "floppy.1.drive=360K"), "4141"))):
        vm = start(env, *(x for a in args for x in ("--set", a)), name=f"vm-{n}")
        check(ask(vm, b"e") == want, args)
        ask_end(vm)


def test_media_cd(env):
    """By its kind it finds its drive."""
    image(env, "a", 1440, "disk a")
    vm = start(env, "--iso", iso(env, "cd"), "--floppy", "a")
    env.lodge("media", "insert", "test", iso(env, "other", 2 << 20))
    check(media(env)["cdrom.0"] == ("other", "read-only"), media(env))
    image(env, "b", 720, "disk b")
    env.lodge("media", "insert", "test", "b")
    check(media(env)["floppy.0"][0] == "b", media(env))
    r = env.lodge("media", "eject", "test", rc=2)
    check("several" in r.err and r.err.count("\n") == 1, r)
    env.lodge("media", "eject", "test", "cdrom.0")
    check(media(env)["cdrom.0"][0] == "", media(env))
    check(ask(vm, b"r") == "00disk b", "the floppy")
    ask_end(vm)


def test_media_locked(env):
    """A guest that has locked its drive keeps the CD, unless it is forced out."""
    vm = start(env, "--iso", iso(env, "cd"), "--set", "cdrom.0.bus=ide")
    iso(env, "other")
    check(ask(vm, b"l") == "50", "locked")
    for args in (("eject", "test"), ("insert", "test", "other")):
        r = env.lodge("media", *args, rc=4)
        check("locked" in r.err and "--force" in r.err and r.err.count("\n") == 1, r)
        check(media(env)["cdrom.0"][0] == "cd", "it is still there")
    env.lodge("media", "insert", "test", "other", "--force")
    check(media(env)["cdrom.0"][0] == "other", "forced")
    ask(vm, b"u")  # unit attention comes first
    check(ask(vm, b"u") == "50", "unlocked")
    env.lodge("media", "eject", "test")
    check(media(env)["cdrom.0"][0] == "", "out")
    ask_end(vm)


def test_media_ejected_by_guest(env):
    """The disc is out, not only the drive open: it does not come back when that is closed."""
    vm = start(env, "--iso", iso(env, "cd"), "--set", "cdrom.0.bus=ide")
    ask(vm, b"t")  # unit attention comes first
    check(ask(vm, b"t") == "50", "a disc is in")
    ask(vm, b"l")
    check(ask(vm, b"o") == "51" and media(env)["cdrom.0"][0] == "cd", "locked by itself")
    ask(vm, b"u")
    check(ask(vm, b"o") == "50", "opened")
    until(lambda: media(env)["cdrom.0"][0] == "", "it is out")
    check(ask(vm, b"c") == "50" and ask(vm, b"t") == "51", "closed, and empty")
    env.lodge("media", "insert", "test", "cd")
    ask(vm, b"t")
    check(ask(vm, b"t") == "50" and media(env)["cdrom.0"][0] == "cd", "in again")
    ask_end(vm)


def test_media_ejected_by_guest_deterministic(env):
    """At once, and it runs on."""
    vm = start(env, "--iso", iso(env, "cd"), "--set", "cdrom.0.bus=ide", "--deterministic")
    ask(vm, b"t")
    check(ask(vm, b"t") == "50" and ask(vm, b"o") == "50", "a disc is in, and goes")
    check(ask(vm, b"c") == "50" and ask(vm, b"t") == "51" and media(env)["cdrom.0"][0] == "", "out")
    ask_end(vm)


def test_media_paused_and_saved(env):
    """Also while the VM is paused; a state wants the medium that was in last."""
    image(env, "a", 1440, "disk a")
    image(env, "b", 720, "disk b")
    vm = start(env, "--floppy", "a")
    env.lodge("pause", "test")
    env.lodge("media", "insert", "test", "b")
    env.lodge("resume", "test")
    check(ask(vm, b"r") == "00disk b", "changed meanwhile")
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    run = ("run", "--engine", "soft", "--headless", "--state", "state", "--disk", "boot")
    r = env.lodge(*run, "--floppy", "a", rc=2)
    check("bytes" in r.err and r.err.count("\n") == 1, r)
    vm = env.vm("--engine", "soft", "--state", "state", "--disk", "boot", "--floppy", "b",
                stdin=subprocess.PIPE, name="two")
    check(ask(vm, b"r") == "00disk b", "goes on")
    env.lodge("media", "insert", "two", "a")  # a drive of the kind that it was
    check(ask(vm, b"r") == "00disk a", "its drive takes it")
    ask_end(vm)


def test_bad_input_media(env):
    image(env, "a", 1440, "disk a")
    env.write("text", b"hello\n" * 512)
    env.write("image", b"QFI\xfb" + bytes(1048572))
    env.write("large", bytes(3 << 20))
    env.write("empty", b"")
    env.write("dd", bytes(360 * 1024))
    iso(env, "cd")
    os.mkdir(env.path("folder"))
    os.mkfifo(env.path("fifo"))
    vm = start(env, "--floppy", "a", "--iso", "cd")
    before = media(env)
    for args, rc, words in ((("insert", "test", "none"), 3, "none"),
                            (("insert", "test", "folder", "floppy.0"), 2, "folder"),
                            (("insert", "test", "fifo", "floppy.0"), 2, "fifo"),
                            (("insert", "test", "empty", "floppy.0"), 2, "empty"),
                            (("insert", "test", "text", "cdrom.0"), 2, "not a CD"),
                            (("insert", "test", "image", "floppy.0"), 2, "qcow2"),
                            (("insert", "test", "image", "cdrom.0"), 2, "qcow2"),
                            (("insert", "test", "large", "floppy.0"), 2, "no floppy disk has"),
                            (("insert", "test", "dd", "floppy.0"), 2, "does not fit"),
                            (("insert", "test", "text"), 2, "several"),
                            (("insert", "test", "a", "disk.0"), 2, "cannot be changed"),
                            (("insert", "test", "a", "floppy.1"), 3, "floppy.1"),
                            (("eject", "test", "disk.0"), 2, "cannot be changed"),
                            (("ejct", "test"), 2, "eject"), (("insert", "test"), 2, "missing"),
                            (("list", "test", "x"), 2, "too many"), (("list", "other"), 3, "other")):
        r = env.lodge("media", *args, rc=rc)
        check(words in r.err and r.err.count("\n") == 1, r)
    check(media(env) == before, media(env))
    check(ask(vm, b"r") == "00disk a", "the guest has what it had")
    ask_end(vm)
