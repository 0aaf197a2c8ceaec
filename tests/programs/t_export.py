"""Snapshots as files: out, in, into a new VM; damage, hostile files, full disks, kills; whether they are whole."""
import concurrent.futures
import contextlib
import glob
import hashlib
import json
import os
import pty
import random
import shutil
import signal
import struct
import subprocess
import time

from killing import kill_all, processes
from lib import LODGE, LODGE_VM, check, until
from lodgevm import FULL
from t_forks import stopped_at
from t_kept import contents, create, ini, library, mark, one_line, snapshots, start, state, write_ini
from t_room import mount
from t_state import bad_targets, numbers, read, wait_lines


def everything(env):
    """All files of the library but locks and logs, and what is in them."""
    found = {}
    for folder, _, files in os.walk(library(env)):
        for name in files:
            if name not in (".lock", "vm.log"):
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    found[os.path.relpath(path, library(env))] = hashlib.sha256(f.read()).hexdigest()
    return found


def disk(env, vm, snapshot, name="root"):
    """What a snapshot's disk reads as."""
    folder = library(env, vm, "snapshots", snapshots(env, vm)[snapshot]["id"])
    file = json.loads(env.lodge("get", folder, "--json").out)[f"disk.{name}.file"]
    env.lodge("disk", "convert", os.path.join(library(env, vm), file), "raw", "--to", "raw", "--force", "--quiet")
    with open(env.path("raw"), "rb") as f:
        return f.read()


def state_of(env, vm, snapshot):
    with open(library(env, vm, "snapshots", snapshots(env, vm)[snapshot]["id"], "state"), "rb") as f:
        return f.read()


def taken(env, *more):
    """A VM with the snapshot "s", which counted when it was taken, in the file s.lodge; its disk has something."""
    create(env, "a", *more)
    with open(library(env, "a/disks/root.img"), "r+b") as f:
        f.write(random.Random(1).randbytes(200000))
    start(env, "out")
    wait_lines(env, "out", 5)
    env.lodge("snapshot", "take", "a", "s", "-m", "five")
    env.lodge("snapshot", "export", "a", "s", "s.lodge")
    last = numbers(read(env, "out"))[-1]
    env.lodge("kill", "a")
    return range(5, last + 2)


def goes_on(env, vm, out, moment):
    start(env, out, vm)
    wait_lines(env, out, 3)
    check(numbers(read(env, out))[0] in moment, f"{out}: {read(env, out)}, not from {moment}")
    env.lodge("kill", vm)


def test_export_round_trip(env):
    """Bit for bit, into the same VM, another and a new one; each is a snapshot like any other."""
    moment = taken(env)
    check(os.stat(env.path("s.lodge")).st_mode & 0o777 == 0o600, "it has the guest's memory")
    env.lodge("create", "b", "--disk-size", "1M", "--engine", "soft")
    check("another name" in one_line(env.lodge("snapshot", "import", "a", "s.lodge", rc=4)), "the name is taken")
    made = env.lodge_json("snapshot", "import", "a", "s.lodge", "t")
    check(made["name"] == "t" and made["id"] == snapshots(env)["t"]["id"], made)
    env.lodge("snapshot", "import", "b", "s.lodge")
    env.lodge("create", "c", "--import", "s.lodge")
    s = snapshots(env, "b")["s"]
    check((s["parent"], s["message"], s["state"], s["current"]) == ("", "five", True, False), s)
    check(s["time"] == snapshots(env)["s"]["time"], "when it was taken")
    for vm, name in (("a", "t"), ("b", "s"), ("c", "s")):
        check(disk(env, vm, name) == disk(env, "a", "s"), f"{vm}: disk")
        check(state_of(env, vm, name) == state_of(env, "a", "s"), f"{vm}: state")
    check([state(env, vm) for vm in "abc"] == ["stopped", "stopped", "suspended"], "only the new VM goes on from it")
    check(len({env.lodge("get", vm, "vm.id").out for vm in "abc"}) == 3, "identities")
    goes_on(env, "c", "c", moment)
    env.lodge("snapshot", "restore", "b", "s", "--yes")
    goes_on(env, "b", "b", moment)
    env.lodge("fork", "a@t", "d", "--stopped")
    goes_on(env, "d", "d", moment)
    env.lodge("delete", "d", "--yes")
    env.lodge("snapshot", "export", "c", "s", "again.lodge")
    env.lodge("create", "e", "--import", "again.lodge", "--set", "memory.size=32M")
    check(state_of(env, "e", "s") == state_of(env, "a", "s"), "twice")
    before = sorted(os.listdir(library(env, "a/disks")))
    env.lodge("snapshot", "delete", "a", "t", "--yes")
    check(len(os.listdir(library(env, "a/disks"))) == len(before) - 1, "its disk goes with it")
    env.lodge("snapshot", "verify", "c")


def test_export_of_disks(env):
    """Of a VM that did not run: each disk as it was then, whatever layers and formats it is made of."""
    env.write("raw.img", random.Random(2).randbytes(1 << 20) + bytes(1 << 20))
    env.lodge("disk", "create", "over.qcow2", "--backing", "raw.img", "--backing-format", "raw")
    env.lodge("create", "a", "--disk", "raw.img", "--disk", "over.qcow2", "--engine", "soft")
    env.lodge("set", "a", "disk.fixed.file=raw.img", "disk.fixed.read-only=yes", "cdrom.0.file=raw.img")
    for i in range(3):
        env.lodge("snapshot", "take", "a", f"s{i}")
        head = library(env, "a", env.lodge("get", "a", "disk.root.file").out.strip())
        env.lodge("disk", "convert", head, "raw", "--to", "raw", "--force")
        with open(env.path("raw"), "r+b") as f:
            f.seek(i * 100000)
            f.write(bytes([i]) * 150000)
        below = json.loads(env.lodge("disk", "info", head, "--json").out)["backing-file"]
        env.lodge("disk", "convert", "raw", head, "--force")
        env.lodge("disk", "rebase", head, "--unsafe", "--backing", below, "--backing-format",
                  "qcow2" if below.endswith("qcow2") else "raw")
    for i in range(3):
        env.lodge("snapshot", "export", "a", f"s{i}", "file")
        r = env.lodge("create", f"n{i}", "--import", "file")
        check("cdrom.0.file=" in r.err and r.err.count("\n") == 2, r)
        for name in ("root", "1", "fixed"):
            check(disk(env, f"n{i}", f"s{i}", name) == disk(env, "a", f"s{i}", name), f"{i}: {name}")
        got = env.lodge_json("get", f"n{i}")
        check(state(env, f"n{i}") == "stopped" and got["disk.fixed.read-only"] == "yes", got)
        check(got["cdrom.0.file"] == "", "the drive is there, and empty")
    check(os.path.getsize(env.path("file")) < 3 << 20, "zeroes cost nothing")
    env.lodge("create", "p", "--import", "file", "--with-paths")
    check(env.lodge("get", "p", "cdrom.0.file").out.strip() == env.path("raw.img"), "with paths")


def test_export_while_it_runs(env):
    """Nothing of the VM is stopped for it, out or in; what came in is there at once."""
    moment = taken(env)
    start(env, "out2")
    env.lodge("snapshot", "export", "a", "s", "s.lodge")
    env.lodge("snapshot", "verify", "a", "s")
    check("another name" in one_line(env.lodge("snapshot", "import", "a", "s.lodge", rc=4)), "the name is taken")
    env.lodge("snapshot", "import", "a", "s.lodge", "t")
    env.lodge("create", "b", "--import", "s.lodge")
    check(state(env) == "running" and state(env, "b") == "suspended", "both")
    check(disk(env, "a", "t") == disk(env, "a", "s") and state_of(env, "a", "t") == state_of(env, "a", "s"), "whole")
    env.lodge("snapshot", "take", "a", "u")
    env.lodge("snapshot", "delete", "a", "s", "--yes")
    env.lodge("snapshot", "verify", "a")
    env.lodge("snapshot", "restore", "a", "t", "--yes")
    check(state(env) == "running", "and goes on from it")
    env.lodge("kill", "a")
    env.lodge("snapshot", "restore", "a", "t", "--yes")
    goes_on(env, "a", "after", moment)


def test_export_import_meets_what_the_vm_does(env):
    """An import into a VM that runs is stopped at any of its steps, while the VM ends, starts, and is tidied: that has
    nothing of what is being made, and the snapshot is whole."""
    taken(env)
    want = disk(env, "a", "s"), state_of(env, "a", "s")

    def day():
        start(env, "day")
        env.lodge("kill", "a")
        env.lodge("snapshot", "tidy", "a")
    p = stopped_at(env, 1, "import", library(env, "a"), env.path("s.lodge"), "t0")
    check("takes a snapshot in" in one_line(start(env, "day", rc=4)), "a VM that does not run is held meanwhile")
    p.kill()
    p.wait()
    steps = 0
    last = False
    while not last:
        steps += 1
        name = f"t{steps}"
        start(env, "day")
        p = stopped_at(env, steps, "import", library(env, "a"), env.path("s.lodge"), name)
        last = p.poll() is not None
        env.lodge("kill", "a")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            done = pool.submit(day)
            with contextlib.suppress(concurrent.futures.TimeoutError):
                done.result(1)          # or it waits for the import
            if not last:
                p.send_signal(signal.SIGCONT)
            check(p.wait(60) == 0, f"step {steps}")
            done.result(60)
        check((disk(env, "a", name), state_of(env, "a", name)) == want, f"{name}: another one")
        env.lodge("snapshot", "verify", "a")
        env.lodge("snapshot", "delete", "a", name, "--yes")
    check(steps > 3, "there were steps to stop at")
    check(not glob.glob(library(env, "a", "*", ".*")), "nothing is left")


def test_export_usage(env):
    taken(env)
    for words, rc in ((("export", "a"), 2), (("export", "a", "s"), 2), (("export", "a", "x", "f"), 3),
                      (("export", "a", "s", "."), 2), (("export", "a", "s", "none/f"), 3), (("import", "a"), 2),
                      (("import", "a", "none"), 3), (("import", "a", "."), 2), (("import", "a", "image"), 2),
                      (("import", "a", "s.lodge", "a/b"), 2), (("verify", "a", "x"), 3)):
        one_line(env.lodge("snapshot", *words, rc=rc))
    one_line(env.lodge("create", "b", "--import", "none", rc=3))
    os.mkfifo(env.path("fifo"))
    one_line(env.lodge("snapshot", "import", "a", "fifo", rc=2))
    check("an exported snapshot" in env.lodge("run", "s.lodge", "--headless", rc=2).err, "it says what the file is")
    check(sorted(os.listdir(library(env))) == ["a"] and list(snapshots(env)) == ["s"], os.listdir(library(env)))


def test_export_bad_targets(env):
    """What lodge-vm is to write to has something in it, such as the snapshot's own state, or cannot take it."""
    taken(env)
    own = library(env, "a", "snapshots", snapshots(env)["s"]["id"])
    before = everything(env)
    for path, fd in bad_targets(env, own + "/state", env.path("s.lodge")).items():
        p = subprocess.run([LODGE_VM, "--snapshot", "export", library(env, "a"), os.path.basename(own), str(fd)],
                           pass_fds=(fd,), capture_output=True, env=env.env, timeout=60, check=False)
        check(p.returncode == 2 and p.stderr.count(b"\n") == 1, f"{path}: {p}")
        os.close(fd)
    check(everything(env) == before, "nothing is changed")
    env.lodge("create", "b", "--import", "s.lodge")
    r = env.lodge("snapshot", "export", "a", "s", "fifo", rc=2)
    check("not an ordinary file" in one_line(r), r)


# ---- damage ----


def refused(env, before, what, *name):
    """As a snapshot and as a VM: one line, and all is as before."""
    for words in (("snapshot", "import", "a", "bad", *name), ("create", "b", "--import", "bad")):
        r = env.lodge(*words, rc=None)
        check(r.rc in (1, 2, 5) and r.err.count("\n") == 1 and r.err.startswith("lodge: '"), f"{what}: {r}")
    check(everything(env) == before, f"{what}: something was changed")
    return r


def test_export_damaged(env):
    """A bit anywhere, the end missing anywhere."""
    taken(env)
    with open(env.path("s.lodge"), "rb") as f:
        good = f.read()
    before = everything(env)
    rng = random.Random(4)
    n = 200 if FULL else 6
    ends = {64, len(good) - 1, len(good) - 24, *(rng.randrange(len(good)) for _ in range(n))}
    index, = struct.unpack("<Q", good[24:32])
    places = {0, 8, 12, 63, 64, index - 1, index, len(good) - 1, *(rng.randrange(len(good)) for _ in range(n))}
    for at in sorted(places):
        env.write("bad", good[:at] + bytes([good[at] ^ 1 << rng.randrange(8)]) + good[at + 1:])
        refused(env, before, f"a bit at {at}", "t")
    for end in sorted(ends):
        env.write("bad", good[:end])
        refused(env, before, f"only {end} bytes", "t")
    env.write("bad", good + b"\0")
    refused(env, before, "one more byte", "t")
    env.write("bad", b"")
    refused(env, before, "empty", "t")
    env.write("bad", good)
    env.lodge("snapshot", "import", "a", "bad", "t")


# ---- hostile files, made here ----

TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ (0x82f63b78 if _i & 1 else 0)
    TABLE.append(_i)


def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc = crc >> 8 ^ TABLE[(crc ^ b) & 255]
    return crc ^ 0xffffffff


def frame(data):
    """A zstd frame with the data as it is."""
    out = b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(data))
    pieces = [data[i:i + 65536] for i in range(0, len(data), 65536)] or [b""]
    for i, piece in enumerate(pieces):
        out += struct.pack("<I", (i == len(pieces) - 1) | len(piece) << 3)[:3] + piece
    return out


def packed(items, fmt=1):
    """docs/formats/exported-snapshot.md, of [(name, bytes)] with chunks for all."""
    body, entries, chunks = b"", b"", b""
    for name, data in items:
        pieces = [data[i:i + (1 << 20)] for i in range(0, len(data), 1 << 20)]
        entries += struct.pack("<64sQII", name.encode(), len(data), len(pieces), 0)
        for i, piece in enumerate(pieces):
            f = frame(piece)
            chunks += struct.pack("<QIIII", 64 + len(body), len(f), crc32c(f), i, 0)
            body += f
    index = struct.pack("<II", len(items), 0) + entries + chunks
    head = struct.pack("<8sIIQQQ20x", b"LodgeSn\x1a", fmt, crc32c(index), 64 + len(body) + len(index), 64 + len(body),
                       len(index))
    return head + struct.pack("<I", crc32c(head)) + body + index


MANIFEST = b"[snapshot]\nformat=1\nname=s\nparent=\ntext=\ntime=2026-01-01T00:00:00.0Z\nprotected=false\n"
SETTINGS = b"[vm]\nmachine=pc-1\nengine=soft\n[memory]\nsize=16M\n[disk.root]\nfile=disks/root.img\n"
SECTOR = b"x" * 512


def test_export_hostile(env):
    """What no export writes, with checksums that are right."""
    create(env, "a")
    before = everything(env)
    m, v, d = ("manifest", MANIFEST), ("vm.ini", SETTINGS), ("disk.root", SECTOR)
    cases = {
        "newer": packed([m, v, d], fmt=2),
        "nothing": packed([]),
        "no manifest": packed([v, d]),
        "no settings": packed([m, d]),
        "no disk": packed([m, v]),
        "another disk": packed([m, v, d, ("disk.other", SECTOR)]),
        "something else": packed([m, v, d, ("tpm", b"x")]),
        "twice": packed([m, v, d, d]),
        "a path": packed([m, v, d, ("../../x", b"x")]),
        "a disk's path": packed([m, ("vm.ini", SETTINGS.replace(b"root]", b"../x]")), ("disk.../x", SECTOR)]),
        "a long disk": packed([m, v, ("disk.root", SECTOR + b"x")]),
        "an empty disk": packed([m, v, ("disk.root", b"")]),
        "a lost state": packed([("manifest", MANIFEST + b"state=true\n"), v, d]),
        "no state": packed([m, v, d, ("state", b"not one" * 999)]),
        "an empty state": packed([m, v, d, ("state", b"")]),
        "newer manifest": packed([("manifest", MANIFEST.replace(b"format=1", b"format=9")), v, d]),
        "no format": packed([("manifest", b"[snapshot]\n"), v, d]),
        "bytes": packed([("manifest", b"\xff\xfe\0"), v, d]),
        "a name that is a path": packed([("manifest", MANIFEST.replace(b"=s", b"=../s")), v, d]),
        "an escape": packed([("manifest", MANIFEST.replace(b"=s", b"=\x1b[2J")), v, d]),
        "a line in the name": packed([("manifest", MANIFEST.replace(b"=s", b"=")), v, d]),
        "no time": packed([("manifest", MANIFEST.replace(b"2026-01", b"yesterday")), v, d]),
        "a long manifest": packed([("manifest", MANIFEST + b"#" * (1 << 20)), v, d]),
        "an unknown setting": packed([m, ("vm.ini", SETTINGS + b"[cpu]\nlegs=4\n"), d]),
        "a bad value": packed([m, ("vm.ini", SETTINGS + b"[cpu]\ncount=-1\n"), d]),
        "newer settings": packed([m, ("vm.ini", SETTINGS.replace(b"[vm]", b"[vm]\nformat=2")), d]),
        "no ini": packed([m, ("vm.ini", b"[["), d]),
    }
    for what, data in cases.items():
        env.write("bad", data)
        refused(env, before, what)
    env.write("bad", packed([m, v, d]))
    env.lodge("snapshot", "import", "a", "bad", "t")
    check(disk(env, "a", "t") == SECTOR, "what is good is taken")


def test_export_paths(env):
    """Whoever made the file does not say what of this host the VM reads or writes."""
    create(env, "a")
    settings = (SETTINGS + b"[serial.0]\noutput=/etc/owned\n[serial.1]\noutput=none\n[log]\nfile=/etc/owned\n"
                b"[debug]\ntrace=/x\ngdb=1234\n[floppy.0]\nfile=/etc/shadow\n[cdrom.0]\nfile=/etc/shadow\n"
                b"[boot]\nkernel=/etc/shadow\ninitrd=/etc/shadow\nfile=/etc/shadow\nstate=/etc/shadow\nmenu=yes\n"
                b"[firmware]\nbios=/etc/shadow\n[debugcon]\noutput=-\n").replace(
                    b"disks/root.img", b"/etc/shadow")
    env.write("bad", packed([("manifest", MANIFEST), ("vm.ini", settings), ("disk.root", SECTOR)]))
    env.lodge("snapshot", "import", "a", "bad")
    folder = library(env, "a", "snapshots", snapshots(env)["s"]["id"])
    got = json.loads(env.lodge("get", folder, "--json").out)
    check(not any("/etc" in v or v in ("/x", "1234", "-") for v in got.values()), got)
    check(got["boot.menu"] == "yes" and got["serial.1.output"] == "none", got)
    check(got["floppy.0.drive"] == "auto" and got["cdrom.0.file"] == "", "drives stay")
    env.lodge("create", "b", "--import", "bad", "--with-paths")
    got = env.lodge_json("get", "b")
    check(got["serial.0.output"] == "/etc/owned" and got["disk.root.file"].startswith("disks/"), got)


# ---- full disks, kills ----


def test_export_full_disk(env):
    """One line, nothing half, no VM that is broken; with room it works."""
    taken(env)
    with open(library(env, "a/disks/root.img"), "r+b") as f:
        f.write(random.Random(5).randbytes(1 << 20))
    env.lodge("snapshot", "export", "a", "s", "s.lodge")
    where = mount(env, "600K")
    try:
        r = env.lodge("snapshot", "export", "a", "s", os.path.join(where, "f"), rc=5)
        check("No space" in one_line(r) and os.listdir(where) == [], os.listdir(where))
        one_line(env.lodge("create", os.path.join(where, "vm"), "--import", "s.lodge", rc=5))
        check(os.listdir(where) == [], os.listdir(where))
        env.lodge("create", os.path.join(where, "b"))
        before = sorted(glob.glob(where + "/b/*"))
        one_line(env.lodge("snapshot", "import", os.path.join(where, "b"), "s.lodge", rc=5))
        check(env.lodge_json("snapshot", "list", os.path.join(where, "b")) == [], "no snapshot")
        check(glob.glob(where + "/b/snapshots/.*") + glob.glob(where + "/b/disks/.*") == [], "nothing is left")
        check(set(before) <= set(glob.glob(where + "/b/*")), before)
        subprocess.run(["mount", "-o", "remount,size=64M", where], check=True)
        env.lodge("snapshot", "import", os.path.join(where, "b"), "s.lodge")
        env.lodge("snapshot", "export", os.path.join(where, "b"), "s", os.path.join(where, "f"))
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def test_export_killed(env):
    """kill -9 at random moments: no half file or snapshot; what is left goes with the next command."""
    taken(env, "--set", "memory.size=64M")
    with open(env.path("s.lodge"), "rb") as f:
        good = f.read()
    whole = contents(env, snapshots(env)["s"])
    rng = random.Random(6)
    done = 0
    for i in range(200 if FULL else 24):
        words = (("snapshot", "export", "a", "s", "new.lodge"), ("snapshot", "import", "a", "s.lodge", f"n{i}"),
                 ("create", "b", "--import", "s.lodge"))[i % 3]
        p = env.start(*words)
        time.sleep(rng.uniform(0, 0.25))
        if rng.random() < 0.5:
            p.kill()
        while p.poll() is None or processes(mark(env)):
            kill_all(mark(env))
            time.sleep(0.005)
        done += p.returncode == 0
        p.stderr.close()
        if os.path.exists(env.path("new.lodge")):
            with open(env.path("new.lodge"), "rb") as f:
                check(len(f.read()) >= len(good) // 2, "half a file")
            env.lodge("create", "c", "--import", "new.lodge")
            env.lodge("delete", "c", "--yes")
            os.unlink(env.path("new.lodge"))
        if os.path.isdir(library(env, "b")):
            env.lodge("snapshot", "verify", "b")
            env.lodge("delete", "b", "--yes")
        for name, s in snapshots(env).items():
            check(contents(env, s) == whole, f"{name} is not what it was")
    check(glob.glob(env.path("*.tmp")) == [], "nothing beside the exports")
    env.lodge("snapshot", "verify", "a")
    for name in list(snapshots(env)):
        if name != "s":
            env.lodge("snapshot", "delete", "a", name, "--yes")
    env.lodge("snapshot", "tidy", "a")
    check(glob.glob(library(env, "a/*/.*")) == [], glob.glob(library(env, "a/*/.*")))
    check(len(os.listdir(library(env, "a/disks"))) == 2, os.listdir(library(env, "a/disks")))
    check(set(os.listdir(library(env, "a/snapshots"))) == {"current", snapshots(env)["s"]["id"]}, "only the first one")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    start(env, "alive")
    wait_lines(env, "alive", 2)


# ---- verify ----


def damage(env, path, at, what=b"\xff"):
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(len(what))
        f.seek(at)
        f.write(what if what != old else bytes(len(what)))
    return path, at, old


def mend(path, at, old):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(old)


def damaged(env, *names):
    """Exactly these are named, each with a line."""
    r = env.lodge("snapshot", "verify", "a", rc=1 if names else 0)
    lines = r.out.splitlines()
    check({x.split('"')[1] for x in lines} == set(names), f"{names}: {r}")
    j = json.loads(env.lodge("snapshot", "verify", "a", "--json", rc=1 if names else 0).out)
    check({x["name"] or x["id"] for x in j if x["damage"]} == set(names), j)
    if names:
        one_line(r)
    return r.out


def test_export_verify(env):
    """Every kind of damage is found, in what is its own and in what it is based on."""
    create(env)
    env.lodge("disk", "create", "data.qcow2", "1M")
    env.lodge("set", "a", "disk.data.file=data.qcow2", "disk.data.format=qcow2")
    start(env, "out")
    for name in ("one", "two", "three"):
        env.lodge("snapshot", "take", "a", name)
    damaged(env)
    env.lodge("kill", "a")
    damaged(env)
    s = {name: library(env, "a", "snapshots", x["id"]) for name, x in snapshots(env).items()}
    size = os.path.getsize(s["two"] + "/state")
    for at in (0, 9, 4096 + 100, 1 << 20, size // 2, size - 1, size - 1000):
        undo = damage(env, s["two"] + "/state", at)
        check("state" in damaged(env, "two"), at)
        env.lodge("snapshot", "verify", "a", "one")
        env.lodge("snapshot", "verify", "a", "two", rc=1)
        mend(*undo)
    os.truncate(s["two"] + "/state", size - 1)
    damaged(env, "two")
    os.unlink(s["two"] + "/state")
    check("No such file" in damaged(env, "two"), "no state")
    shutil.copy(s["one"] + "/state", s["two"] + "/state")
    for at, what in ((0, b"\xff"), (40, b"\x7f" * 8), (65536, b"\x7f" * 8), (131072, bytes(8)), (196608, b"\x7f" * 8)):
        undo = damage(env, env.path("data.qcow2"), at, what)
        check("data.qcow2" in damaged(env, "one", "two", "three"), at)
        mend(*undo)
    layer = library(env, "a/disks", f"root-{snapshots(env)['one']['id']}.qcow2")
    os.rename(layer, layer + ".away")
    check("No such file" in damaged(env, "two", "three"), "a layer is missing")
    os.rename(layer + ".away", layer)
    good = ini(env, f"a/snapshots/{os.path.basename(s['three'])}").encode()
    write_ini(env, good + b"[cpu]\nlegs=4\n", f"a/snapshots/{os.path.basename(s['three'])}")
    check("cpu.legs" in damaged(env, "three"), "settings")
    write_ini(env, good, f"a/snapshots/{os.path.basename(s['three'])}")
    damaged(env)
    with open(s["three"] + "/manifest", "w", encoding="utf-8") as f:
        f.write("[snapshot]\nformat=2\n")
    check("format '2'" in damaged(env, os.path.basename(s["three"])), "manifest")


def test_export_verify_loop(env):
    """A layer that is based on itself."""
    create(env)
    for name in ("one", "two"):
        env.lodge("snapshot", "take", "a", name)
    layer = library(env, "a/disks", f"root-{snapshots(env)['one']['id']}.qcow2")
    with open(layer, "r+b") as f:
        at = f.read().index(b"root.img")
        f.seek(8)
        f.write(struct.pack(">QI", at, len(os.path.basename(layer))))
        f.seek(at)
        f.write(os.path.basename(layer).encode())
    check("two" in damaged(env, "two"), "it ends")


# ---- of a suspended VM ----


def test_export_of_suspended(env):
    """A snapshot of a suspended VM, which stays so; both go on from there."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 4)
    env.lodge("suspend", "a")
    last = numbers(read(env, "out"))[-1]
    env.lodge("snapshot", "take", "a", "s")
    check(state(env) == "suspended" and snapshots(env)["s"]["state"], "with its state")
    env.lodge("snapshot", "verify", "a")
    env.lodge("snapshot", "export", "a", "s", "s.lodge")
    env.lodge("fork", "a@s", "f", "--stopped")
    env.lodge("create", "b", "--import", "s.lodge")
    for vm in ("a", "f", "b"):
        goes_on(env, vm, vm, range(last + 1, last + 2))
    env.lodge("snapshot", "take", "f", "of a fork")     # whose disk is based on another VM's
    env.lodge("snapshot", "verify", "f")
    env.lodge("snapshot", "export", "f", "of a fork", "f.lodge")
    env.lodge("create", "g", "--import", "f.lodge")
    check(disk(env, "g", "of a fork") == disk(env, "a", "s"), "its disk")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    env.lodge("snapshot", "take", "a", "again")
    env.lodge("delete", "f", "--yes")
    env.lodge("snapshot", "delete", "a", "s", "--yes")
    check(state(env) == "suspended", "it waits, though what it waits to go on from is gone")
    goes_on(env, "a", "after", range(last + 1, last + 2))
    env.lodge("snapshot", "restore", "a", "again", "--yes")
    goes_on(env, "a", "again", range(last + 1, last + 2))


def test_export_of_suspended_without_links(env):
    """Where the snapshots are on another file system, the state is copied."""
    create(env)
    where = mount(env, "64M")
    try:
        os.symlink(where, library(env, "a/snapshots"))
        start(env, "out")
        wait_lines(env, "out", 4)
        env.lodge("suspend", "a")
        last = numbers(read(env, "out"))[-1]
        env.lodge("snapshot", "take", "a", "s")
        with open(library(env, "a/suspended/state"), "rb") as f:
            check(f.read() == state_of(env, "a", "s"), "the same")
        with open(os.path.join(where, "junk"), "wb", buffering=0) as f:
            while (left := os.statvfs(where).f_bavail * 4096) > 40 << 10:
                f.write(bytes(min(left - (40 << 10), 1 << 20)))
        one_line(env.lodge("snapshot", "take", "a", "t", rc=5))
        check(list(snapshots(env)) == ["s"] and state(env) == "suspended", "no room for another")
        env.lodge("snapshot", "restore", "a", "s", "--yes")
        env.lodge("snapshot", "delete", "a", "s", "--yes")
        goes_on(env, "a", "after", range(last + 1, last + 2))
    finally:
        subprocess.run(["umount", "-l", where], check=True)


# ---- a terminal ----


def test_export_progress(env):
    """How far it is, on a terminal only, and nothing of it is left there."""
    taken(env)
    for more, seen in (([], True), (["--quiet"], False), (["--json"], False)):
        master, slave = pty.openpty()
        p = subprocess.run([LODGE, "snapshot", "export", "a", "s", "new.lodge", *more], stderr=slave, env=env.env,
                           cwd=env.work, check=True, stdout=subprocess.PIPE)
        os.close(slave)
        text = b""
        try:
            while got := os.read(master, 4096):
                text += got
        except OSError:
            pass
        os.close(master)
        check((b"%" in text) == seen and p.stdout == b"", (more, text))
        check(not seen or b"\r     \rlodge: snapshot" in text, text)


def test_export_killed_parent(env):
    """The command is killed, what works for it goes on or not: the VM is whole, and nothing half is named."""
    taken(env, "--set", "memory.size=64M")
    p = env.start("snapshot", "import", "a", "s.lodge", "t")
    until(lambda: p.poll() is not None or set(processes(mark(env))) - {p.pid}, "it works")
    os.kill(p.pid, signal.SIGKILL)
    p.wait()
    p.stderr.close()
    until(lambda: not processes(mark(env)), "it ends by itself")
    env.lodge("snapshot", "verify", "a")
