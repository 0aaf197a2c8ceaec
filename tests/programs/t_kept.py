"""VMs that are kept: folders, settings, states, snapshots, forks; what a crash leaves."""
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import killing
from lib import LODGE, boot_disk, build, check, until
from t_media import iso
from lodgevm import FULL
from t_state import children, numbers, read, wait_lines


def library(env, *parts):
    return os.path.join(env.dir, "data", "lodge", *parts)


def create(env, name="a", *more):
    """A VM whose guest counts on its serial port, with a disk that it does not touch."""
    env.write("image", bytes(1 << 20))
    env.lodge("create", name, "--disk", "image", "--memory", "16M", "--engine", "soft", "--set",
              f"boot.kernel={build(env, 'count')}", *more)


def start(env, out, name="a", rc=0):
    """Its numbers go to the file `out`."""
    return env.lodge("start", name, "--headless", "--set", f"serial.0.output={env.path(out)}", rc=rc)


def state(env, name="a"):
    return env.lodge_json("show", name)["state"]


def pid(env, name="a"):
    return env.lodge_json("show", name)["pid"]


def ini(env, name="a"):
    with open(library(env, name, "vm.ini"), encoding="utf-8") as f:
        return f.read()


def write_ini(env, text, name="a"):
    with open(library(env, name, "vm.ini"), "wb") as f:
        f.write(text)


def one_line(r):
    check(r.err.count("\n") == 1 and r.err.startswith("lodge: "), r)
    return r.err


def test_kept_life(env):
    """From its making to its end; each state, and what is refused in it."""
    create(env)
    check(state(env) == "stopped" and sorted(os.listdir(library(env, "a"))) == ["disks", "seen", "vm.ini"],
          os.listdir(library(env, "a")))
    check("there is a" in one_line(env.lodge("create", "a", rc=4)), "twice")
    start(env, "out")
    wait_lines(env, "out", 3)
    check(state(env) == "running", state(env))
    check("runs already" in one_line(start(env, "out2", rc=4)), "started twice")
    check("in use" in one_line(env.lodge("delete", "a", "--yes", rc=4)), "deleted while it runs")
    check("in use" in one_line(env.lodge("rename", "a", "b", rc=4)), "renamed while it runs")
    env.lodge("pause", "a")
    check(state(env) == "paused", state(env))
    env.lodge("resume", "a")
    env.lodge("kill", "a")
    check(state(env) == "stopped", state(env))
    for verb in ("kill", "pause", "stop", "suspend"):
        check("not running" in one_line(env.lodge(verb, "a", rc=4)), verb)
    check("it was killed" in env.lodge("log", "a").out, "the log")
    check("nearest name is a" in one_line(env.lodge("start", "aa", rc=3)), "no such VM")
    check("--yes" in one_line(env.lodge("delete", "a", rc=2)), "deleting asks")
    env.lodge("delete", "a", "--yes")
    check(os.listdir(library(env)) == [], os.listdir(library(env)))


def test_kept_disks(env):
    """Made of a raw image, of a qcow2 image that is based on another one, and new."""
    data = random.Random(3).randbytes(1 << 20)
    env.write("raw.img", data)
    env.lodge("disk", "create", "over.qcow2", "--backing", "raw.img", "--backing-format", "raw")
    env.lodge("create", "a", "--disk", "raw.img", "--disk", "over.qcow2", "--engine", "soft", "--os", "none")
    env.lodge("create", "b", "--disk-size", "3M")
    os.unlink(env.path("raw.img"))
    got = env.lodge_json("get", "a")
    check((got["disk.root.format"], got["disk.1.format"], got["vm.os"]) == ("raw", "qcow2", "none"), got)
    for name in ("root", "1"):
        env.lodge("disk", "convert", library(env, "a", got[f"disk.{name}.file"]), "copy", "--to", "raw", "--force")
        with open(env.path("copy"), "rb") as f:
            check(f.read() == data, name)
    new = library(env, "b", env.lodge("get", "b", "disk.root.file").out.strip())
    check(json.loads(env.lodge("disk", "info", new, "--json").out)["disk-bytes"] == 3 << 20, "of that size")
    for size in ("x", "0", "100"):
        one_line(env.lodge("create", "c", "--disk-size", size, rc=2))
    one_line(env.lodge("create", "c", "--disk", "raw.img", rc=3))
    check(sorted(os.listdir(library(env))) == ["a", "b"], os.listdir(library(env)))


def test_kept_by_path(env):
    """A VM in a folder anywhere, called by its path; its relative paths begin there."""
    create(env, "./sub/vm")
    folder = env.path("sub/vm")
    check(os.path.isfile(folder + "/disks/root.img"), os.listdir(folder))
    start(env, "out", "./sub/vm")
    wait_lines(env, "out", 2)
    check(env.lodge_json("show", folder)["state"] == "running", "by its absolute path")
    check([vm["name"] for vm in env.lodge_json("list")] == ["vm"], env.lodge("list"))
    env.lodge("kill", folder)
    os.rename(folder, env.path("moved"))
    start(env, "out2", "./moved")
    wait_lines(env, "out2", 2)
    env.lodge("kill", "./moved")


def test_kept_settings(env):
    """Comments survive; bad values and unknown keys are named, and nothing is changed."""
    create(env)
    text = ini(env).replace("[cpu]", "# mine\n[cpu]").replace("engine=soft", "engine = soft   ; or kvm")
    write_ini(env, (text + "\n[cpu]\ncount= ; of two\n").encode())
    env.lodge("set", "a", "cpu.count=2", "vm.engine=auto", "disk.data.file=image")
    check("count=2 ; of two" in ini(env) and env.lodge("get", "a", "cpu.count").out == "2\n", ini(env))
    after = ini(env)
    check("# mine" in after and "auto   ; or kvm" in after and "count=2" in after, after)
    check(env.lodge("get", "a", "disk.data.file").out.strip() == env.path("image"), "absolute")
    check(env.lodge("get", "a", "vm.engine").out == "auto\n", "without the comment")
    check(env.lodge("get", "a", "vm.clock").out == "utc\n", "a default")
    check(env.lodge_json("get", "a")["cpu.count"] == "2", "JSON")
    env.lodge("set", "a", "disk.data.file=", "vm.engine=soft")
    check("disk.data" not in env.lodge("get", "a").out, "unset")
    for bad in ("cpu.count=0", "cpu.cuont=1", "memory.size=3", "nonsense", "vm.engine=fast", "boot.append=a ; b",
                "vm.os=x\nengine=kvm", "vm.os= x", "vm.os=\x1b[2J"):
        before = ini(env)
        one_line(env.lodge("set", "a", "cpu.count=1", bad, rc=2))
        check(ini(env) == before, f"{bad} changed something")
    write_ini(env, ini(env).encode() + b"\n[cpu]\nlegs=4\n")
    for r in (env.lodge("check", "a", rc=2), start(env, "out", rc=2)):
        check("cpu.legs" in one_line(r), r)
    env.lodge("set", "a", "cpu.count=1")
    check("legs=4" in ini(env), "an unknown key is kept")
    start_text = ini(env).replace("legs=4", "")
    write_ini(env, start_text.strip().replace("\n", "\r\n").encode() + b"\r")
    check("\r" not in env.lodge("get", "a").out, "lines that end in another way")
    write_ini(env, start_text.encode())
    start(env, "out")
    check("next start" in env.lodge("set", "a", "memory.size=32M").err, "while it runs")


def test_kept_set_side_by_side(env):
    """Many who change settings at once: nothing of any of them is lost. Nor does an editor undo what was
    changed while it was open."""
    create(env)

    def work(key):
        for i in range(1, 9):
            env.lodge("set", "a", f"{key}={i}")

    keys = ["cpu.count", "boot.menu-wait", "boot.fail-wait", "debug.exit-port"]
    workers = [threading.Thread(target=work, args=(k,)) for k in keys]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    got = env.lodge_json("get", "a")
    check([got.get(k) for k in keys] == ["8"] * len(keys), got)
    check(sorted(os.listdir(library(env, "a"))) == ["disks", "seen", "vm.ini"], os.listdir(library(env, "a")))
    script = env.write("editor", b'#!/bin/sh\n"$LODGE" set a memory.size=32M && echo "# mine" >> "$1"\n')
    os.chmod(script, 0o755)
    env.env.update(EDITOR=script, LODGE=LODGE)
    env.env.pop("VISUAL", None)
    r = env.lodge("edit", "a", rc=4)
    check("changed meanwhile" in one_line(r), r)
    check(env.lodge("get", "a", "memory.size").out == "32M\n" and "# mine" not in ini(env), ini(env))
    shutil.rmtree(os.path.dirname(r.err.split(" kept in ")[1].split(": ")[0]))
    env.env["LODGE"] = "true"
    env.lodge("edit", "a")
    check("# mine" in ini(env), ini(env))


def test_kept_hostile_settings(env):
    """Whatever is in vm.ini: one line, and no crash."""
    create(env)
    good = ini(env).encode()
    cases = [b"", b"\0" * 100, b"[", b"key=1", b"[vm]\n=x", b"\xff\xfe" + good, good * 2, b"[a]" * 50000,
             good.replace(b"format=1", b"format=2"), good + b"\n[disk.root]\nfile=../../../etc/passwd\n",
             b"[vm]\nname=" + b"x" * 4000, b"#" * (2 << 20),
             good.replace(b"engine=soft", b"engine=\x1b[2J\x1b]0;mine\x07")]
    for case in cases:
        write_ini(env, case)
        for verb in ("check", "start", "show", "get"):
            r = env.lodge(verb, "a", *(["--headless"] if verb == "start" else []), rc=None)
            check(r.rc in (0, 1, 2, 3) and r.err.count("\n") <= 1, f"{case[:40]}: {r}")
            check("\x1b" not in r.out + r.err, f"what a terminal obeys: {r}")
            if r.rc == 0 and verb == "start":
                env.lodge("kill", "a")


def test_kept_hostile_links(env):
    """A folder from elsewhere may have links in it: what they name is not written to."""
    create(env)
    precious = env.write("precious", b"mine")
    for place in ("logs/vm.log", "state.new", "vm.ini.new", "suspended/state.new", "seen.new"):
        path = library(env, "a", place)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.path.lexists(path) and os.unlink(path)
        os.symlink(precious, path)
        env.lodge("set", "a", "cpu.count=1", rc=None)
        env.lodge("start", "a", "--headless", rc=None)
        env.lodge("suspend", "a", rc=None)
        env.lodge("kill", "a", rc=None)
        with open(precious, "rb") as f:
            check(f.read() == b"mine", place)
        os.path.lexists(path) and os.unlink(path)
    env.lodge("start", "a", "--headless")


def test_kept_rename_and_clone(env):
    create(env)
    env.lodge("clone", "a", "b")
    a, b = (env.lodge_json("get", x) for x in "ab")
    check(a["vm.id"] != b["vm.id"], "an identity of its own")
    own = ("vm.id", "vm.generation")
    check({k: v for k, v in a.items() if k not in own} == {k: v for k, v in b.items() if k not in own}, b)
    with open(library(env, "b/disks/root.img"), "wb") as f:
        f.write(b"x")
    check(os.path.getsize(library(env, "a/disks/root.img")) == 1 << 20, "a disk of its own")
    one_line(env.lodge("rename", "a", "b", rc=4))
    one_line(env.lodge("rename", "a", "b/c", rc=2))
    env.lodge("rename", "a", "with space")
    check([vm["name"] for vm in env.lodge_json("list")] == ["b", "with space"], env.lodge("list"))


def test_kept_suspended(env):
    """It goes on without a gap, as often as one likes."""
    create(env)
    text = ""
    for i in range(3):
        start(env, f"out{i}")
        wait_lines(env, f"out{i}", 3)
        env.lodge("suspend", "a")
        check(state(env) == "suspended", state(env))
        text += read(env, f"out{i}")
    start(env, "out")
    wait_lines(env, "out", 3)
    env.lodge("kill", "a")
    numbers(text + read(env, "out"))
    check(state(env) == "stopped", "the state that it went on from is used up")
    start(env, "again")
    wait_lines(env, "again", 2)
    check(numbers(read(env, "again"))[0] == 1, "from the beginning")


def stopped_writer(machine):
    """The process that writes the state of that VM, stopped."""
    end = time.monotonic() + 30
    while not (writer := children(machine)):
        check(time.monotonic() < end, "no process writes the state")
    time.sleep(0.02)                # it has a gigabyte to look at; its first step is done by then
    os.kill(writer[0], signal.SIGSTOP)
    return writer[0]


def test_kept_suspend_that_fails(env):
    """Its writer is killed: the VM is as it was, running or paused, and nothing is left. One at a time."""
    create(env, "a", "--set", "memory.size=1G")
    start(env, "out")
    wait_lines(env, "out", 2)
    machine = pid(env)
    for was in ("running", "paused"):
        if was == "paused":
            env.lodge("pause", "a")
        suspend = env.start("suspend", "a")
        os.kill(stopped_writer(machine), signal.SIGKILL)
        check(suspend.wait(30) == 1 and state(env) == was, f"{was}: {state(env)}")
        check(os.listdir(library(env, "a/suspended")) == [], os.listdir(library(env, "a/suspended")))
    env.lodge("resume", "a")
    suspend = env.start("suspend", "a")
    writer = stopped_writer(machine)
    check("being saved" in one_line(env.lodge("suspend", "a", rc=4)), "one at a time")
    check("being suspended" in one_line(env.lodge("resume", "a", rc=4)), "its disks belong to the state: it stands still")
    os.kill(writer, signal.SIGCONT)
    check(suspend.wait(60) == 0 and state(env) == "suspended", state(env))
    before = read(env, "out")
    start(env, "more")
    wait_lines(env, "more", 2)
    numbers(before + read(env, "more"))


def test_kept_suspended_with_its_disks(env):
    """A power cut after `suspend` takes nothing from the disks that the guest has written there."""
    create(env)
    notes = env.path("notes")
    env.lodge("start", "a", "--headless", env=dict(env.preloaded("note_syncs"), NOTE_SYNCS=notes))
    os.truncate(notes, 0)
    env.lodge("suspend", "a")
    with open(notes, encoding="utf-8") as f:
        lines = f.read().split("\n")
    disk = f"sync {os.stat(library(env, 'a/disks/root.img')).st_ino}"
    check(disk in lines[:lines.index("rename suspended/state")], lines)


def test_kept_other_disk_in_settings(env):
    """Settings that hold at the next start are not those that the VM's state belongs to."""
    create(env)
    start(env, "out")
    env.write("other", bytes(1 << 20))
    file = env.lodge("get", "a", "disk.root.file").out.strip()
    other = f"disk.root.file={env.path('other')}"
    for there, back in ((other, f"disk.root.file={library(env, 'a', file)}"),
                        (f"disk.1.file={env.path('other')}", "disk.1.file="), ("disk.root.file=", other)):
        env.lodge("set", "a", there)
        before = ini(env)
        for words in (("snapshot", "take", "a", "s"), ("suspend", "a")):
            check("another disk" in one_line(env.lodge(*words, rc=4)), words)
        check(ini(env) == before and snapshots(env) == {} and state(env) == "running", "nothing was done")
        env.lodge("set", "a", back)
        write_ini(env, ini(env).replace(library(env, "a/disks"), "disks").encode())
    env.lodge("set", "a", f"disk.root.file={library(env, 'a', file)}")
    write_ini(env, ini(env).replace(library(env, "a/disks"), "disks").encode())
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("suspend", "a")


def test_kept_media(env):
    """What is in the drives stays: at the next start, in what goes on from a suspension, in snapshots."""
    iso(env, "one.iso", 4 << 20)
    iso(env, "two.iso", 6 << 20)
    create(env, "a", "--set", f"cdrom.0.file={env.path('one.iso')}", "--set", "floppy.0.drive=1.44M")
    env.write("floppy.img", bytes(1474560))
    start(env, "out")
    env.lodge("media", "insert", "a", "two.iso", "cdrom.0")
    env.lodge("media", "insert", "a", "floppy.img")
    env.lodge("snapshot", "take", "a", "two")
    env.lodge("media", "eject", "a", "cdrom.0")
    env.lodge("media", "eject", "a", "floppy.0")
    env.lodge("suspend", "a")
    start(env, "again")
    check([d["file"] for d in env.lodge_json("media", "list", "a")] == ["", ""], env.lodge("media", "list", "a"))
    env.lodge("snapshot", "restore", "a", "two", "--yes")
    there = {d["name"]: d["file"] for d in env.lodge_json("media", "list", "a")}
    check(there == {"cdrom.0": env.path("two.iso"), "floppy.0": env.path("floppy.img")}, there)


def medium(env):
    return env.lodge_json("media", "list", "a")[0]["file"]


def guest_ejects(env):
    """The guest of t_media opens its CD drive, and says so."""
    p = subprocess.Popen([LODGE, "serial", "a"], env=env.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    p.stdin.write(b"o")
    p.stdin.flush()
    env.lodge("wait", "a", "serial=50", "--timeout", "30s")
    p.kill()
    p.communicate()


def test_kept_ejected_by_guest(env):
    """A disc that the guest ejects stays out, and a snapshot from before goes on with it."""
    disc = env.path(iso(env, "one.iso"))
    boot_disk(env, "boot", "mediaguest")
    env.lodge("create", "a", "--disk", "boot", "--memory", "1G", "--engine", "soft", "--set", f"cdrom.0.file={disc}",
              "--set", "cdrom.0.bus=ide", "--set", "vm.boot=disk.root")
    env.lodge("start", "a", "--headless")
    env.lodge("wait", "a", "serial=>", "--timeout", "30s")
    saver = env.start("snapshot", "take", "a", "in")
    writer = stopped_writer(pid(env))
    guest_ejects(env)
    check(medium(env) == disc, "not while a state is written")
    os.kill(writer, signal.SIGCONT)
    check(saver.wait(60) == 0, "taken")
    until(lambda: medium(env) == "", "the disc is out")
    check(env.lodge("get", "a", "cdrom.0.file").out == "\n", ini(env))
    env.lodge("snapshot", "take", "a", "out")
    env.lodge("suspend", "a")
    env.lodge("start", "a", "--headless")
    check(medium(env) == "", "gone on without it")
    env.lodge("kill", "a")
    env.lodge("start", "a", "--headless")
    check(medium(env) == "", "started without it")
    for name, there in (("in", disc), ("out", ""), ("in", disc)):
        env.lodge("snapshot", "restore", "a", name, "--yes")
        check(medium(env) == there and state(env) == "running", name)
    guest_ejects(env)
    until(lambda: medium(env) == "", "the disc is out")


def test_kept_media_while_suspended(env):
    """A VM that is being suspended goes on with what it has in its drives: nothing is changed there meanwhile."""
    disc = env.path(iso(env, "one.iso"))
    create(env, "a", "--set", "memory.size=1G", "--set", f"cdrom.0.file={disc}")
    start(env, "out")
    wait_lines(env, "out", 2)
    suspend = env.start("suspend", "a")
    writer = stopped_writer(pid(env))
    for words in (("eject", "a"), ("insert", "a", "one.iso")):
        check("being saved" in one_line(env.lodge("media", *words, rc=4)), words)
    os.kill(writer, signal.SIGCONT)
    check(suspend.wait(60) == 0, "suspended")
    start(env, "more")
    check(medium(env) == disc, "it is there")


def snapshots(env, name="a"):
    return {s["name"]: s for s in env.lodge_json("snapshot", "list", name)}


def test_kept_snapshots(env):
    """Taken while it runs, restored while it runs and not; a tree; deleting any of them."""
    create(env)
    start(env, "out")
    firsts = {}
    for name in ("one", "two", "three"):
        n = len(read(env, "out").split("\n"))
        wait_lines(env, "out", n + 2)
        before = numbers(read(env, "out"))[-1]
        env.lodge("snapshot", "take", "a", name, "-m", f"this is {name}")
        firsts[name] = range(before, numbers(read(env, "out"))[-1] + 3)
    check("already" in one_line(env.lodge("snapshot", "take", "a", "one", rc=4)), "a name twice")
    s = snapshots(env)
    check(s["two"]["parent"] == s["one"]["id"] and s["three"]["parent"] == s["two"]["id"], s)
    check(s["three"]["current"] and s["one"]["message"] == "this is one" and s["one"]["state"], s)
    for name in ("one", "three", "two"):
        env.lodge("snapshot", "restore", "a", name, "--yes")
        check(state(env) == "running", "a VM that ran goes on")
        check(snapshots(env)[name]["current"], "where it goes on from")
        env.lodge("kill", "a")
        env.lodge("snapshot", "restore", "a", name, "--yes")
        check(state(env) == "suspended", "one that did not waits")
        start(env, name)
        wait_lines(env, name, 2)
        check(numbers(read(env, name))[0] in firsts[name], f"{name} is not its moment")
    layers = len(os.listdir(library(env, "a/disks")))
    env.lodge("snapshot", "take", "a", "while it runs")
    env.lodge("snapshot", "delete", "a", "while it runs", "--yes")
    until(lambda: len(os.listdir(library(env, "a/disks"))) <= layers, "what was deleted is merged")
    tree = env.lodge("snapshot", "list", "a", "--tree").out.split("\n")
    check([len(x) - len(x.lstrip()) for x in tree[:3]] == [0, 2, 4], tree)
    env.lodge("kill", "a")
    env.lodge("snapshot", "tidy", "a")
    check(len(os.listdir(library(env, "a/disks"))) <= layers, "no layer came")
    env.lodge("snapshot", "protect", "a", "two")
    for yes in ([], ["--yes"]):
        check("protected" in one_line(env.lodge("snapshot", "delete", "a", "two", *yes, rc=4)), "protected")
    env.lodge("snapshot", "protect", "a", "two", "--off")
    env.lodge("snapshot", "delete", "a", "two", "--yes")
    s = snapshots(env)
    check(sorted(s) == ["one", "three"] and s["three"]["parent"] == s["one"]["id"], s)
    env.lodge("snapshot", "rename", "a", "three", "drei")
    env.lodge("snapshot", "restore", "a", "drei", "--yes")
    start(env, "drei")
    wait_lines(env, "drei", 2)
    env.lodge("kill", "a")
    for name in ("one", "drei"):
        env.lodge("snapshot", "delete", "a", name, "--yes")
    check(len(os.listdir(library(env, "a/disks"))) <= 2, os.listdir(library(env, "a/disks")))
    start(env, "end")
    wait_lines(env, "end", 2)


def test_kept_snapshots_of_disks(env):
    """Of a VM that does not run there is no machine to keep."""
    create(env)
    env.lodge("snapshot", "take", "a")
    check(list(snapshots(env)) == ["snapshot-1"] and not snapshots(env)["snapshot-1"]["state"], "disks alone")
    env.lodge("snapshot", "restore", "a", "--yes")
    check(state(env) == "stopped", state(env))
    one_line(env.lodge("snapshot", "restore", "a", "other", "--yes", rc=3))
    one_line(env.lodge("snapshot", "tkae", "a", rc=2))


def test_kept_hostile_manifests(env):
    """A snapshot that is not understood is refused before anything is touched."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    path = library(env, "a", "snapshots", snapshots(env)["s"]["id"], "manifest")
    with open(path, "rb") as f:
        good = f.read()
    before = ini(env)
    for bad in (b"", b"[snapshot]\n", good.replace(b"format=1", b"format=2"), b"\0" * 64, b"[" * 9999,
                good.replace(b"name=s", b"name=s\x1b[2J"), good + b"#" * (2 << 20)):
        with open(path, "wb") as f:
            f.write(bad)
        for args in (["list"], ["restore", "a", "s", "--yes"], ["delete", "a", "s"]):
            verb, *rest = args
            one_line(env.lodge("snapshot", verb, *(rest or ["a"]), rc=None))
    check(ini(env) == before, "something was touched")
    env.lodge("snapshot", "take", "a", "other")     # the others are as good as before
    r = env.lodge("snapshot", "list", "a", rc=1)
    check(r.out.startswith("other ") and r.out.count("\n") == 1 and "/manifest'" in one_line(r), r)
    env.lodge("snapshot", "rename", "a", "other", "another")
    check("/manifest'" in env.lodge("snapshot", "restore", "a", "another", "--yes").err, "nothing is merged")
    one_line(env.lodge("snapshot", "delete", "a", "another", "--yes", rc=1))
    os.unlink(path)
    os.mkfifo(path)
    one_line(env.lodge("snapshot", "list", "a", rc=None))
    os.unlink(path)
    with open(path, "wb") as f:
        f.write(good.replace(b"text=", b"text=two\\nlines"))
    check(env.lodge("snapshot", "list", "a").out.count("\n") == 2, "on one line")
    env.lodge("snapshot", "restore", "a", "s", "--yes")


def test_kept_text_that_no_file_can_hold(env):
    """It is refused before it makes a file that nobody can read any more."""
    create(env, "a", "--set", "cdrom.0.file=")
    for running in (False, True):
        for text in (b"a\x1b[2Jb", "\u0085", b"\xff", b"x" * (100 << 10)):
            r = env.lodge("snapshot", "take", "a", "s", "-m", text, rc=None)
            check(r.rc == (2 if len(text) < 99 else 0), r)
            if r.rc == 2:
                one_line(r)
        for value in ("/tmp/\u0085", b"/tmp/\xff"):
            one_line(env.lodge("set", "a", b"serial.1.output=" + os.fsencode(value), rc=2))
        check(list(snapshots(env)) == ["s"], snapshots(env))
        if not running:
            env.lodge("snapshot", "delete", "a", "s", "--yes")
            start(env, "out")
    iso(env, "cd\u0085.iso", 4 << 20)
    env.lodge("media", "insert", "a", env.path("cd\u0085.iso"), rc=None)
    env.lodge("get", "a")


def test_kept_called_as_another_is_numbered(env):
    """A snapshot's name may be the ID of another one, which is deleted all the same."""
    create(env)
    env.lodge("snapshot", "take", "a", "one")
    env.lodge("snapshot", "take", "a", snapshots(env)["one"]["id"])
    other = snapshots(env)[snapshots(env)["one"]["id"]]["id"]
    env.lodge("snapshot", "delete", "a", "one", "--yes")
    check([s["id"] for s in snapshots(env).values()] == [other], snapshots(env))


def test_kept_image_with_a_date(env):
    """A user's own image among the disks is not taken for a layer that nothing needs."""
    create(env)
    own = library(env, "a/disks/root-202611281200.qcow2")
    env.lodge("disk", "create", own, "1M")
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    env.lodge("snapshot", "tidy", "a")
    check(os.path.exists(own), os.listdir(library(env, "a/disks")))


def test_kept_disk_by_a_link(env):
    """What a VM's disk is on is not tidied away, whatever links lead there: to the library, to the disk."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    file = env.lodge("get", "a", "disk.root.file").out.strip()
    os.rename(library(env), env.path("big"))
    os.symlink(env.path("big"), library(env))
    os.symlink(os.path.basename(file), library(env, "a/disks/link.qcow2"))
    for name in (file, "disks/link.qcow2"):
        env.lodge("set", "a", f"disk.root.file={library(env, 'a', name)}")
        env.lodge("snapshot", "tidy", "a")
        check(os.path.exists(library(env, "a", file)), os.listdir(library(env, "a/disks")))


def test_kept_clone_is_whole(env):
    """Memory that others cannot read stays so, and a disk that is elsewhere is not left out in silence."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("suspend", "a")
    env.lodge("clone", "a", "b")
    check(os.stat(library(env, "b/suspended/state")).st_mode & 0o777 == 0o600, "its memory")
    os.rename(library(env, "a/disks/root.img"), env.path("root.img"))
    os.symlink(env.path("root.img"), library(env, "a/disks/root.img"))
    check("root.img'" in one_line(env.lodge("clone", "a", "c", rc=2)), "it says which")
    check(sorted(os.listdir(library(env))) == ["a", "b"], os.listdir(library(env)))


def test_kept_fifos(env):
    """Nobody waits for what a folder from elsewhere has in a file's place."""
    create(env)
    os.mkdir(library(env, "a/logs"))
    for place in (".lock", "state.new", "vm.ini.new", "seen.new", "logs/vm.log"):
        path = library(env, "a", place)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.path.lexists(path) and os.unlink(path)
        os.mkfifo(path)
        with open(library(env, "a/state"), "w", encoding="utf-8") as f:
            f.write("running\n")
        if place != "logs/vm.log":
            env.write(library(env, "a/logs/vm.log"), b"one\n\x1b[2Jtwo\n")
        env.lodge("list")
        env.lodge("set", "a", "cpu.count=1")
        r = env.lodge("start", "a", "--headless", rc=None)
        check("crashed" in r.err and "\x1b" not in r.err, r)
        env.lodge("kill", "a", rc=None)
        env.lodge("log", "a", rc=None)
        os.path.lexists(path) and os.unlink(path)


def test_kept_deleting_is_finished(env):
    """What a killed `delete` left goes with the next one; not what another is at, nor what only is called so."""
    create(env)
    create(env, "./c")
    for name in ("0123abcd", "00000000", "photos", "0123abcd.2026"):
        os.makedirs(library(env, f".deleted.{name}/disks"))
    os.makedirs(env.path(".deleted.0123abcd/disks"))
    with open(library(env, ".deleted.00000000/.lock"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        for name in ("a", "./c"):
            env.lodge("delete", name, "--yes")
    check(sorted(os.listdir(library(env))) == [".deleted.00000000", ".deleted.0123abcd.2026", ".deleted.photos"],
          os.listdir(library(env)))
    check(os.listdir(env.path(".deleted.0123abcd")) == ["disks"], "outside the library nothing but the VM goes")


def test_kept_state_that_is_not_known(env):
    """Where a suspended VM's state is cannot be read: it does not start without it, to go on from it later."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("kill", "a")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    path = library(env, "a/suspended/from")
    with open(path, "rb") as f:
        good = f.read()
    with open(path, "wb") as f:
        f.write(b"\xff" + good)
    check("suspended/from" in one_line(start(env, "more", rc=2)), "it says why")
    with open(path, "wb") as f:
        f.write(good)
    start(env, "more")
    wait_lines(env, "more", 2)
    check(numbers(read(env, "more"))[0] > 1, "on from there")


def test_kept_clock_steps_back(env):
    """The latest snapshot is the one that was taken last."""
    create(env)
    env.lodge("snapshot", "take", "a", "one")
    path = library(env, "a", "snapshots", snapshots(env)["one"]["id"], "manifest")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("time=20", "time=21"))
    env.lodge("snapshot", "take", "a", "two")
    env.lodge("snapshot", "restore", "a", "--yes")
    check(snapshots(env)["two"]["current"], snapshots(env))


def test_kept_restored_without_its_state(env):
    """A snapshot that has lost its memory does not take the place of what the VM is."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("suspend", "a")
    path = library(env, "a", "snapshots", snapshots(env)["s"]["id"], "state")
    before = ini(env)
    os.truncate(path, os.path.getsize(path) // 2)
    for _ in range(2):
        one_line(env.lodge("snapshot", "restore", "a", "s", "--yes", rc=None))
        one_line(env.lodge("fork", "a@s", "f", "--stopped", rc=None))
        check(ini(env) == before and state(env) == "suspended", "it is as it was")
        check(os.listdir(library(env)) == ["a"], os.listdir(library(env)))
        os.path.exists(path) and os.unlink(path)
    start(env, "more")
    wait_lines(env, "more", 2)
    numbers(read(env, "out") + read(env, "more"))


def test_kept_killed_is_gone(env):
    """`kill` returns when the process has left nothing behind, however long that takes it; by its name in either way."""
    create(env)
    env.lodge("start", "a", "--headless", env=env.preloaded("slow_rmdir"))
    env.lodge("kill", "a")
    check(env.running() == [], env.running())
    slow = subprocess.Popen([LODGE, "run", "--engine", "null", "--memory", "16M", "--set", "vm.name=b"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=env.preloaded("slow_rmdir"), cwd=env.work)
    until(lambda: env.lodge("show", "b", rc=None).rc == 0, "b does not run")
    env.lodge("kill", "b")
    check(env.running() == [], env.running())
    slow.wait(60)


def test_kept_merging_is_asked_for_meanwhile(env):
    """Another snapshot is deleted while layers are looked at, and that fails: they are looked at again."""
    create(env)
    env.lodge("start", "a", "--headless", env=env.preloaded("slow_merging"))
    for name in ("one", "two", "three"):
        env.lodge("snapshot", "take", "a", name)
    before = len(os.listdir(library(env, "a/disks")))
    env.write(library(env, "a/slow-merging"), b"")
    for name in ("three", "two"):
        env.lodge("snapshot", "delete", "a", name, "--yes")
    until(lambda: len(os.listdir(library(env, "a/disks"))) == before - 2, "what was deleted is merged")
    env.lodge("snapshot", "verify", "a")


def test_kept_forks(env):
    """Each goes on from the snapshot, by itself; it is kept while they are there."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 5)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--count", "3", "--headless")
    ids = {env.lodge_json("show", f"f-{i}")["pid"] for i in (1, 2, 3)}
    check(len(ids) == 3 and state(env) == "running", "all run")
    check(len({env.lodge("get", x, "vm.id").out for x in ("a", "f-1", "f-2", "f-3")}) == 4, "identities")
    env.lodge("kill", "f-1", "f-2", "f-3", "a")
    check("based on" in one_line(env.lodge("snapshot", "delete", "a", "s", "--yes", rc=4)), "it is needed")
    for args in (("delete", "a", "--yes"), ("rename", "a", "z")):
        check("based on" in one_line(env.lodge(*args, rc=4)), "the VM is needed")
    env.lodge("fork", "a@s", "g", "--stopped")
    check(state(env, "g") == "suspended", state(env, "g"))
    start(env, "g", "g")
    wait_lines(env, "g", 2)
    check(5 <= numbers(read(env, "g"))[0] <= numbers(read(env, "out"))[-1], "from the snapshot on")
    env.lodge("kill", "g")
    for x in ("f-1", "f-2", "f-3", "g"):
        env.lodge("delete", x, "--yes")
    env.lodge("snapshot", "delete", "a", "s", "--yes")
    start(env, "after")
    wait_lines(env, "after", 2)


def test_kept_forks_renamed_and_cloned(env):
    """What a fork is based on stays for it under any name, and for its copies."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    env.lodge("rename", "f", "g")
    for args in (("delete", "a", "--yes"), ("rename", "a", "z"), ("snapshot", "delete", "a", "s", "--yes")):
        check("based on" in one_line(env.lodge(*args, rc=4)), args)
    env.lodge("clone", "g", "h")
    env.lodge("delete", "g", "--yes")
    for args in (("delete", "a", "--yes"), ("rename", "a", "z"), ("snapshot", "delete", "a", "s", "--yes")):
        check("based on" in one_line(env.lodge(*args, rc=4)), args)
    start(env, "out", "h")
    wait_lines(env, "out", 2)
    env.lodge("kill", "h")
    env.lodge("clone", "a", "b")
    env.lodge("delete", "b", "--yes")
    env.lodge("delete", "h", "--yes")
    env.lodge("snapshot", "delete", "a", "s", "--yes")
    env.lodge("delete", "a", "--yes")


def test_kept_tried(env):
    """`run VM@SNAPSHOT`: in the foreground, and nothing is left of it."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 5)
    env.lodge("snapshot", "take", "a", "s")
    last = numbers(read(env, "out"))[-1]
    env.lodge("kill", "a")
    env.lodge("run", "a@s", "--headless", "--serial", "tried", "--timeout", "3s", rc=124)
    check(5 <= numbers(read(env, "tried"))[0] <= last + 2, "from the snapshot on")
    check(os.listdir(library(env)) == ["a"], os.listdir(library(env)))
    one_line(env.lodge("run", "a@t", "--headless", rc=3))
    one_line(env.lodge("run", "b@s", "--headless", rc=3))
    env.lodge("snapshot", "delete", "a", "s", "--yes")


def test_kept_crashed(env):
    """A process that is killed leaves a VM that says so, and starts."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("snapshot", "take", "a", "s")
    os.kill(pid(env), signal.SIGKILL)
    until(lambda: state(env) == "crashed", "it has crashed")
    check([vm["state"] for vm in env.lodge_json("list")] == ["crashed"], env.lodge("list"))
    r = start(env, "again")
    check("crashed" in r.err, r)
    wait_lines(env, "again", 2)
    check(list(snapshots(env)) == ["s"], "the snapshot is there")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    check(state(env) == "running", state(env))


def test_kept_killed_while_suspended(env):
    """Killed when its state was whole and it did not stop yet, or before it went on from there: it is suspended, and
    says so."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("suspend", "a")
    with open(library(env, "a/state"), "w", encoding="ascii") as f:
        f.write("running\n")
    check(state(env) == "suspended", state(env))
    r = start(env, "more")
    check(r.err == "", r)
    wait_lines(env, "more", 2)
    numbers(read(env, "out") + read(env, "more"))
    os.kill(pid(env), signal.SIGKILL)
    until(lambda: state(env) == "crashed", "it has crashed")
    env.lodge("delete", "a", "--yes")


def test_kept_crashed_and_gone(env):
    """What was killed leaves nothing behind when its VM is renamed or deleted."""
    left = os.path.join(env.runtime, "lodge")
    for words in (("rename", "a", "b"), ("delete", "a", "--yes")):
        create(env)
        start(env, "out")
        os.kill(pid(env), signal.SIGKILL)
        until(lambda: state(env) == "crashed", "it has crashed")
        env.lodge(*words)
        names = [name for name in os.listdir(left) if not name.startswith("engine-")]
        check(not names, f"after {words[0]}: {names}")


def test_kept_looked_at(env):
    """Whoever looks for running VMs takes the lock of one that was killed for a moment: it starts all the same."""
    create(env)
    start(env, "out")
    root = os.path.join(env.runtime, "lodge")
    lock = os.path.join(root, next(n for n in os.listdir(root) if not n.startswith("engine-")), "lock")
    stop = threading.Event()

    def look():
        while not stop.is_set():
            with contextlib.suppress(OSError), open(lock, "rb") as f:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
                time.sleep(0.002)
            time.sleep(0.0005)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(5):
            os.kill(pid(env), signal.SIGKILL)
            until(lambda: state(env) == "crashed", "it has crashed")
            env.lodge("start", "a", "--headless")
    finally:
        stop.set()
        looker.join()


def test_kept_killed_while_taking(env):
    """The process, or the one that writes the state, is killed: no snapshot, and the VM is whole."""
    create(env, "a", "--set", "memory.size=1G")
    for i, whole in enumerate((True, False)):
        start(env, f"out{i}")
        wait_lines(env, f"out{i}", 2)
        saver = env.start("snapshot", "take", "a", "s")
        machine = pid(env)
        end = time.monotonic() + 30
        while not (writer := children(machine)):
            check(time.monotonic() < end and saver.poll() is None, "no process writes the state")
        os.kill(machine if whole else writer[0], signal.SIGKILL)
        check(saver.wait(30) != 0, "the snapshot fails")
        check(snapshots(env) == {}, snapshots(env))
        if whole:
            start(env, "more")
            wait_lines(env, "more", 2)
        env.lodge("snapshot", "take", "a", "later")
        env.lodge("kill", "a")
        env.lodge("snapshot", "delete", "a", "later", "--yes")
    check([x for x in os.listdir(library(env, "a/snapshots")) if x != "current"] == [],
          os.listdir(library(env, "a/snapshots")))


def mark(env):
    """In the environment of all that this test starts."""
    return f"XDG_DATA_HOME={env.env['XDG_DATA_HOME']}"


def contents(env, snapshot):
    return killing.snapshot_sum(lambda *args: env.lodge(*args).out, library(env, "a"), snapshot["id"], env.path("raw"))


class Worker(threading.Thread):
    """Does to a VM what a developer does, until a command fails because something was killed."""

    def __init__(self, env, number, rng, done):
        super().__init__()
        self.env, self.number, self.rng, self.done, self.maybe = env, number, rng, done, set()

    def run(self):
        n = 0
        while True:
            n += 1
            name = f"s{self.number}-{n}"
            verb = self.rng.choice(["take", "take", "restore", "suspend", "delete", "fork"])
            have = self.rng.choice(sorted(self.done)) if self.done else None
            if verb == "suspend":
                good = self.ok("suspend", "a") and self.ok("start", "a", "--headless")
            elif verb == "take" or not have:
                good = self.ok("snapshot", "take", "a", name)
                if good:
                    self.done[name] = None
            elif verb == "restore":
                good = self.ok("snapshot", "restore", "a", have, "--yes")
            elif verb == "delete":
                self.maybe = {have}
                stop = self.rng.random() < 0.5      # else its layer is merged while the VM runs
                good = (not stop or self.ok("kill", "a")) and self.ok("snapshot", "delete", "a", have, "--yes")
                if good:
                    del self.done[have]
                    self.maybe = set()
                    good = not stop or self.ok("start", "a", "--headless")
            else:
                good = self.ok("fork", f"a@{have}", "f", "--headless") and self.ok("kill", "f")
                good = good and self.ok("delete", "f", "--yes")
            if not good:
                return

    def ok(self, *args):
        return self.env.lodge(*args, rc=None).rc == 0


def judge_killed(env, worker, sums):
    """Every snapshot that was reported is there and unchanged; the VM starts, from each of them, too."""
    there = snapshots(env)
    gone = [x for x in worker.done if x not in there and x not in worker.maybe]
    check(not gone, f"lost: {gone}")
    for name in set(worker.maybe) - set(there):
        del worker.done[name]
    for name in there:
        now = contents(env, there[name])
        check(sums.setdefault(name, now) == now, f"{name} is not what it was")
    for name in sorted(there)[:3]:
        env.lodge("snapshot", "restore", "a", name, "--yes")
        env.lodge("start", "a", "--headless")
        env.lodge("kill", "a")
    start(env, "alive")
    wait_lines(env, "alive", 2)


def test_kept_killed_anywhere(env):
    """kill -9 of everything at random moments of such work."""
    create(env)
    with open(library(env, "a/disks/root.img"), "wb") as f:
        f.write(random.Random(1).randbytes(1 << 20))
    env.lodge("start", "a", "--headless")
    done, sums = {}, {}
    for i in range(200 if FULL else 10):
        rng = random.Random(i)
        worker = Worker(env, i, rng, done)
        worker.start()
        time.sleep(rng.uniform(0.05, 1.2))
        killing.kill_with(mark(env), worker)
        if os.path.isdir(library(env, "f")):
            env.lodge("delete", "f", "--yes")
        judge_killed(env, worker, sums)
        done = {name: None for name in snapshots(env)}
    check(sums, "there were snapshots")


def test_kept_tree_of_300(env):
    """Listed at once; any node restores and goes."""
    create(env)
    env.lodge("snapshot", "take", "a", "s0")
    folder = library(env, "a", "snapshots")
    first = snapshots(env)["s0"]["id"]
    parent = first
    for i in range(1, 300):         # of a VM that does not run, as `snapshot take` makes them
        new = f"{i:012x}"
        subprocess.run(["cp", "-r", os.path.join(folder, first), os.path.join(folder, new)], check=True)
        with open(os.path.join(folder, new, "manifest"), "w", encoding="utf-8") as f:
            f.write(f"[snapshot]\nformat=1\nname=s{i}\nparent={parent}\ntext=\n"
                    f"time=2026-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}.0Z\nprotected=false\n")
        parent = new if i % 3 else first
    check(len(snapshots(env)) == 300, "all are listed")
    lines = env.lodge("snapshot", "list", "a", "--tree").out.split("\n")
    check(len(lines) == 301, f"{len(lines)} lines of a tree")
    for name in ("s150", "s1", "s299"):
        env.lodge("snapshot", "restore", "a", name, "--yes")
        env.lodge("snapshot", "delete", "a", name, "--yes")
    s = snapshots(env)
    check(len(s) == 297 and all(x["parent"] in {y["id"] for y in s.values()} | {""} for x in s.values()), "parents")


def test_kept_snapshot_that_fails(env):
    """vm.ini cannot be replaced: no snapshot, and the disk is as writable as before; the next one works."""
    create(env)
    start(env, "out")
    before = ini(env)
    os.mkdir(library(env, "a/vm.ini.new"))
    one_line(env.lodge("snapshot", "take", "a", "s", rc=None))
    check(snapshots(env) == {} and ini(env) == before, ini(env))
    check(sorted(os.listdir(library(env, "a/disks"))) == ["root.img"], os.listdir(library(env, "a/disks")))
    check([d["changes"] for d in env.lodge_json("show", "a")["disks"]] == ["keep"], "the disk")
    os.rmdir(library(env, "a/vm.ini.new"))
    os.mkdir(library(env, "a/snapshots/current.new"))
    one_line(env.lodge("snapshot", "take", "a", "s", rc=None))
    check(snapshots(env) == {}, snapshots(env))
    os.rmdir(library(env, "a/snapshots/current.new"))
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("kill", "a")
    env.lodge("snapshot", "restore", "a", "s", "--yes")
    start(env, "again")
    wait_lines(env, "again", 2)


def test_kept_unreadable_layer(env):
    """What cannot be read may be based on anything: nothing is tidied away."""
    create(env)
    for name in ("one", "two"):
        env.lodge("snapshot", "take", "a", name)
    head = library(env, "a", env.lodge("get", "a", "disk.root.file").out.strip())
    with open(head, "r+b") as f:
        good = f.read(4)
        f.seek(0)
        f.write(b"what")
    layers = sorted(os.listdir(library(env, "a/disks")))
    env.lodge("snapshot", "delete", "a", "two", "--yes", rc=None)
    check("cannot" in one_line(env.lodge("snapshot", "tidy", "a", rc=None)), "tidy says why")
    check(sorted(os.listdir(library(env, "a/disks"))) == layers, os.listdir(library(env, "a/disks")))
    with open(head, "r+b") as f:
        f.write(good)
    env.lodge("snapshot", "tidy", "a")
    check(len(os.listdir(library(env, "a/disks"))) < len(layers), "what is not needed goes")
    start(env, "out")
    wait_lines(env, "out", 2)


def test_kept_deep(env):
    """A hundred layers above each other: the VM starts, any of them restores, and goes."""
    create(env)
    with open(library(env, "a/disks/root.img"), "wb") as f:
        f.write(random.Random(2).randbytes(1 << 20))
    for i in range(100):
        env.lodge("snapshot", "take", "a", f"s{i}")
    start(env, "out")
    wait_lines(env, "out", 2)
    env.lodge("kill", "a")
    sums = {contents(env, snapshots(env)[name]) for name in ("s0", "s50", "s99")}
    check(len(sums) == 1, "what lies lowest is seen from each")
    for name in ("s0", "s50", "s98"):
        env.lodge("snapshot", "restore", "a", name, "--yes")
        env.lodge("snapshot", "delete", "a", name, "--yes")
    check({contents(env, snapshots(env)[name]) for name in ("s1", "s49", "s51", "s99")} == sums, "merged")


def test_kept_json_errors(env):
    j = json.loads(env.lodge("start", "nothing", "--json", rc=3).err)["error"]
    check(j["code"] == "NotFound" and j["message"], j)
