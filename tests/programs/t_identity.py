"""What makes a VM the one that it is: its generation ID, which its guest sees and is told of; folders that were moved
and copied by others, disks that they changed."""
import os
import shutil
import struct
import subprocess
import uuid

from lib import LODGE, build, check, until
from t_kept import create, ini, library, one_line, pid, start, state, write_ini
from t_room import mount
from t_state import read


def lines(env, out):
    return read(env, out).split("\n")[:-1] if os.path.exists(env.path(out)) else []


def seen(env, out, n=1):
    """The last of n lines of the guest: the ID that it saw, and whether an event waited that tells of it."""
    until(lambda: len(lines(env, out)) >= n, f"the guest says only {lines(env, out)}")
    *numbers, event = lines(env, out)[-1].split()
    return str(uuid.UUID(bytes_le=struct.pack("<4I", *(int(x, 16) for x in numbers)))), event == "00000001"


def generation(env, name="a"):
    return env.lodge("get", name, "vm.generation").out.strip()


def looker(env, name="a"):
    """A VM whose guest looks at its generation ID."""
    env.write("image", bytes(1 << 20))
    env.lodge("create", name, "--disk", "image", "--memory", "16M", "--engine", "soft", "--set",
              f"boot.kernel={build(env, 'generation')}")


def test_identity_generation_stays(env):
    """From start to start, through pause, reset, suspension and a crash: one ID, and no event."""
    looker(env)
    first = generation(env)
    check(uuid.UUID(first).version == 4, first)
    start(env, "out")
    check(seen(env, "out") == (first, False), lines(env, "out"))
    env.lodge("pause", "a")
    env.lodge("resume", "a")
    env.lodge("reset", "a")
    check(seen(env, "out", 2) == (first, False), lines(env, "out"))
    env.lodge("suspend", "a")
    start(env, "on")
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("reset", "a")
    check(seen(env, "on") == (first, False), lines(env, "on"))
    env.lodge("kill", "a")
    start(env, "again")
    check(seen(env, "again") == (first, False), lines(env, "again"))
    os.kill(pid(env), 9)
    until(lambda: state(env) == "crashed", "it has crashed")
    start(env, "after")
    check(seen(env, "after") == (first, False) and generation(env) == first, lines(env, "after"))


def test_identity_generation_changes(env):
    """Restored, forked, tried, imported, cloned: an ID of its own each, and what goes on from a state gets an event."""
    looker(env)
    ids = [generation(env)]

    def another(name, got):
        check(got[0] == generation(env, name) and got[0] not in ids, f"{name}: {got}, had {ids}")
        ids.append(got[0])

    env.lodge("snapshot", "take", "a", "stopped")
    start(env, "out")
    check(seen(env, "out") == (ids[0], False), lines(env, "out"))
    env.lodge("snapshot", "take", "a", "s")
    for i in range(2):
        env.lodge("kill", "a")
        env.lodge("snapshot", "restore", "a", "s", "--yes")
        start(env, f"back{i}")
        got = seen(env, f"back{i}")
        check(got[1], "it is told")
        another("a", got)
    env.lodge("fork", "a@s", "f", "--count", "2", "--stopped")
    for name in ("f-1", "f-2"):
        start(env, name, name)
        got = seen(env, name)
        check(got[1], "a fork is told")
        another(name, got)
    env.lodge("run", "a@s", "--headless", "--serial", "tried", "--timeout", "2s", rc=124)
    check(seen(env, "tried")[1] and seen(env, "tried")[0] not in ids, lines(env, "tried"))
    env.lodge("snapshot", "export", "a", "s", "file")
    for name in ("i", "j"):
        env.lodge("create", name, "--import", "file")
        check(start(env, name, name).err == "", "nothing to say")
        got = seen(env, name)
        check(got[1], "what was imported is told")
        another(name, got)
    env.lodge("suspend", "f-1")
    env.lodge("clone", "f-1", "c")
    start(env, "c", "c")
    got = seen(env, "c")
    check(got[1], "a clone of a suspended VM is told")
    another("c", got)
    env.lodge("kill", "a")
    env.lodge("snapshot", "restore", "a", "stopped", "--yes")
    start(env, "stopped")
    got = seen(env, "stopped")
    check(not got[1], "it starts from power-on")
    another("a", got)


def test_identity_generation_of_a_saved_state(env):
    """`run --state`: each is another one that goes on; a deterministic run has the same one always."""
    elf = build(env, "generation")
    vm = env.vm(elf, "--memory", "16M", "--serial", "out")
    first = seen(env, "out")[0]
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    ids = [first]
    for i in range(2):
        vm = env.vm("--state", "state", "--serial", f"out{i}", name=f"t{i}")
        got, told = seen(env, f"out{i}")
        check(told and got not in ids, f"{got}, had {ids}")
        ids.append(got)
    for i in range(2):
        env.vm(elf, "--memory", "16M", "--deterministic", "--serial", f"same{i}", name=f"s{i}")
    check(seen(env, "same0") == seen(env, "same1"), lines(env, "same1"))


def test_identity_generation_missing_or_bad(env):
    """A VM from before there were any gets one; what is no UUID is named."""
    looker(env)
    write_ini(env, ini(env).replace(f"generation={generation(env)}\n", "").encode())
    check(generation(env) == "", ini(env))
    start(env, "out")
    check(seen(env, "out")[0] == generation(env), ini(env))
    env.lodge("kill", "a")
    text, first = ini(env), generation(env)
    for bad in ("x", "1234", first + "0", first.replace("-", "0")):
        write_ini(env, text.replace(first, bad).encode())
        check("vm.generation" in one_line(start(env, "out", rc=2)), bad)
    write_ini(env, text.replace(first, str(uuid.uuid4())).encode())
    start(env, "good")
    check(seen(env, "good")[0] == generation(env), lines(env, "good"))


# ---- folders that others moved and copied, disks that they changed

def identity(env, name="a"):
    got = env.lodge_json("get", name)
    return got["vm.id"], got["vm.generation"]


def once(env, name, *more, rc=0):
    """Started and ended again; what was said."""
    err = env.lodge("start", name, "--headless", *more, rc=rc).err
    if rc == 0:
        env.lodge("kill", name)
    return err


def said(err, *words):
    check(err.count("\n") == 1 and all(w in err for w in words), f"{words}: {err!r}")


def test_identity_own_commands(env):
    """What Lodge does to a folder itself is no news to it."""
    create(env)
    for name in ("a", "a"):
        check(once(env, name) == "", "nothing to say")
    env.lodge("clone", "a", "b")
    env.lodge("rename", "b", "c")
    env.lodge("snapshot", "take", "c", "s")
    env.lodge("fork", "c@s", "d", "--stopped")
    env.lodge("create", "./sub/e", "--disk", "image", "--engine", "null")
    for name in ("c", "d", "./sub/e", "c", "d"):
        check(once(env, name) == "", name)
    start(env, "out", "c")
    env.lodge("snapshot", "take", "c", "live")
    env.lodge("snapshot", "take", "c", "more")
    env.lodge("snapshot", "delete", "c", "more", "--yes")
    env.lodge("suspend", "c")
    check(once(env, "c") == "", "suspended")
    env.lodge("snapshot", "delete", "c", "live", "--yes")
    env.lodge("snapshot", "tidy", "c")
    check(once(env, "c") == "", "tidied")
    env.lodge("snapshot", "restore", "c", "s", "--yes")
    check(once(env, "c") == "", "restored")
    start(env, "out", "c")
    os.kill(pid(env, "c"), 9)
    until(lambda: state(env, "c") == "crashed", "it has crashed")
    err = once(env, "c")
    check("changed" not in err and "crashed" in err, err)


def test_identity_renamed(env):
    """By hand, on its file system: a line once, and nothing changes. An older Lodge's VM has nothing to compare."""
    create(env)
    before = identity(env)
    os.rename(library(env, "a"), library(env, "b"))
    said(once(env, "b"), '"b" was moved here from', library(env, "a"))
    check(once(env, "b") == "" and identity(env, "b") == before, "as it was")
    os.unlink(library(env, "b", "seen"))
    os.rename(library(env, "b"), library(env, "c"))
    check(once(env, "c") == "" and identity(env, "c") == before, "nothing to compare")
    os.rename(library(env, "c"), library(env, "d"))
    said(once(env, "d"), '"d" was moved here from')


def test_identity_copied(env):
    """While the original is there it is another VM, and both run at once; its forks are not the copy's."""
    create(env, "a", "--set", "vm.name=mine")
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    before = identity(env)
    shutil.copytree(library(env, "a"), library(env, "b"))
    said(once(env, "b"), '"b" is a copy of the one in', library(env, "a"), "--moved")
    check(once(env, "b") == "", "told once")
    after = identity(env, "b")
    check(after[0] != before[0] and after[1] != before[1], after)
    check("vm.name" not in env.lodge_json("get", "b") and env.lodge_json("get", "a")["vm.name"] == "mine", ini(env, "b"))
    check(once(env, "a") == "" and identity(env) == before, "the original")
    for args in (("delete", "a", "--yes"), ("start", "a", "--headless", "--copied")):
        check("based on" in one_line(env.lodge(*args, rc=4)), "its fork needs the original")
    env.lodge("delete", "b", "--yes")
    shutil.copytree(library(env, "f"), library(env, "g"))
    said(once(env, "g"), "is a copy")
    env.lodge("delete", "f", "--yes")
    check("based on" in one_line(env.lodge("delete", "a", "--yes", rc=4)), "the fork's copy needs it as well")
    shutil.copytree(library(env, "a"), library(env, "c"))
    check(once(env, "c", "--moved") == "", "the user says so")
    check(identity(env, "c")[0] == before[0] and identity(env, "c")[1] != before[1], "but there are two")
    check("based on" in one_line(env.lodge("start", "c", "--copied", rc=4)), "it is the one that forks need now")
    check("one of them" in one_line(env.lodge("start", "c", "--copied", "--moved", rc=2)), "both")


def elsewhere(env, name):
    """As if a stick had brought it: a's folder under another name, and the original is not to be seen."""
    shutil.copytree(library(env, "a"), library(env, name), copy_function=shutil.copyfile)
    hidden = env.path(f"hidden-{name}")
    os.rename(library(env, "a"), hidden)
    return hidden


def test_identity_from_elsewhere(env):
    """Moved or copied, who knows: without a terminal it stays the same VM, of another generation."""
    create(env)
    before = identity(env)
    for name, options, same, lines_said in (("b", (), True, 1), ("c", ("--copied",), False, 0),
                                            ("d", ("--moved",), True, 0), ("e", ("--yes",), True, 1)):
        hidden = elsewhere(env, name)
        err = once(env, name, *options)
        check(err.count("\n") == lines_said and (not err or "--copied" in err), f"{name}: {err}")
        after = identity(env, name)
        check((after[0] == before[0]) == same and after[1] != before[1], f"{name}: {after}")
        check(once(env, name) == "" and identity(env, name) == after, f"{name}: told once")
        check(once(env, name, "--copied") == "" and identity(env, name)[0] != after[0], "the user says so later")
        os.rename(hidden, library(env, "a"))
    check(once(env, "a") == "" and identity(env) == before, "the original is where it was")


def at_terminal(env, answer, *args):
    """lodge with a terminal as its standard input: its status, and what it said."""
    ours, its = os.openpty()
    p = subprocess.Popen([LODGE, *args], stdin=its, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env.env,
                         cwd=env.work)
    os.close(its)
    os.write(ours, answer)
    err = p.communicate(timeout=60)[1].decode()
    os.close(ours)
    return p.returncode, err


def test_identity_asked(env):
    """On a terminal it is asked; an end of the input is no answer."""
    create(env)
    before = identity(env)
    for name, answer, rc, same in (("b", b"\n", 0, False), ("c", b"moved\n", 0, True), ("d", b"c\n", 0, False),
                                   ("e", b"\x04", 1, True)):
        hidden = elsewhere(env, name)
        got, err = at_terminal(env, answer, "start", name, "--headless")
        check(got == rc and "copied or moved? [C/m]" in err and library(env, "a") in err, err)
        check((identity(env, name)[0] == before[0]) == same, f"{name}: {identity(env, name)}")
        check((identity(env, name)[1] == before[1]) == (rc != 0), "another generation unless nothing was done")
        if rc == 0:
            env.lodge("kill", name)
            check(at_terminal(env, b"", "start", name, "--headless") == (0, ""), "asked once")
            env.lodge("kill", name)
        os.rename(hidden, library(env, "a"))


def test_identity_changed_disk(env):
    """One line, once, and the guest is another generation. What a file system rounds is no change."""
    create(env)
    once(env, "a")
    disk = library(env, "a", "disks", "root.img")
    was = os.stat(disk).st_mtime_ns
    os.utime(disk, ns=(was, was - 1_500_000_000))
    before = identity(env)
    check(once(env, "a") == "" and identity(env) == before, "rounded")
    was = os.stat(disk).st_mtime_ns
    for change in (lambda: os.utime(disk, ns=(was, was + 1)), lambda: os.utime(disk, ns=(was, was - 10**10)),
                   lambda: os.truncate(disk, 2 << 20)):
        change()
        said(once(env, "a"), "'disks/root.img' was changed since")
        check(identity(env)[0] == before[0] and identity(env)[1] != before[1], identity(env))
        before = identity(env)
        check(once(env, "a") == "" and identity(env) == before, "told once")
    env.write("other", bytes(1 << 20))
    env.lodge("set", "a", "disk.other.file=other")
    once(env, "a")
    os.truncate(env.path("other"), 3 << 20)
    os.truncate(disk, 1 << 20)
    err = once(env, "a")
    said(err, "'disks/root.img'", f"'{env.path('other')}'")


def test_identity_changed_while_suspended(env):
    """The guest would go on with what it remembers of the disk: only if the user says so."""
    create(env)
    start(env, "out")
    env.lodge("suspend", "a")
    disk = library(env, "a", "disks", "root.img")
    os.utime(disk, ns=(0, 10**18))
    check("was changed since" in one_line(env.lodge("start", "a", "--headless", rc=2)), "refused")
    check(state(env) == "suspended", state(env))
    check(at_terminal(env, b"n\n", "start", "a", "--headless")[0] == 1 and state(env) == "suspended", "asked")
    check(once(env, "a", "--yes") == "", "wanted")
    check(once(env, "a") == "", "told once")


def test_identity_read_only(env):
    """On media that cannot be written to nothing is asked, said or noted; each start is another generation."""
    looker(env)
    where = mount(env, "8M")
    try:
        shutil.copytree(library(env, "a"), os.path.join(where, "b"))
        env.lodge("snapshot", "take", "a", "s")     # a is still there, and changed
        subprocess.run(["mount", "-o", "remount,ro", where], check=True)
        ids = set()
        for i in range(2):
            check(start(env, f"out{i}", where + "/b").err == "", "nothing to say")
            ids.add(seen(env, f"out{i}")[0])
            env.lodge("kill", where + "/b")
        check(len(ids) == 2 and generation(env) not in ids, ids)
    finally:
        env.end_kept()
        subprocess.run(["umount", "-l", where], check=True)


def test_identity_hostile_notes(env):
    """Whatever is in the file `seen`: the VM starts, with a line at most."""
    create(env)
    here = library(env, "a")
    notes = [b"", b"\0", b"folder", b"folder 1 2", b"folder 1 2 ", b"folder x y /", b"folder -1 99999999999999999999999 /a\n",
             b"folder 1 2 " + b"/x" * 5000, b"folder 1 2 /dev/zero\n", b"folder 1 2 /\x1b[2J", b"folder 1 2 /a\rb\n",
             b"file 1 2 /dev/zero\n" * 1000, b"file 1 2 disks\n", b"file\nfolder 0 0 \n", b"x" * (2 << 20),
             f"folder 1 2 {here}\nfile 1 2 ../../../../etc/passwd\n".encode()]
    for note in notes:
        with open(os.path.join(here, "seen"), "wb") as f:
            f.write(note)
        err = once(env, "a", "--yes")
        check(err.count("\n") <= 1 and "\x1b" not in err and "\r" not in err, f"{note[:40]}: {err!r}")
    os.unlink(os.path.join(here, "seen"))
    os.mkfifo(os.path.join(here, "seen"))
    check(once(env, "a") == "", "a pipe is not waited for")
