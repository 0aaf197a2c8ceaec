"""Forks and what they are based on: never one without the other, whatever meets whatever."""
import contextlib
import json
import os
import shutil
import signal
import subprocess

from lib import LODGE_VM, check, peer, until
from peer import Error
from t_kept import create, library, one_line, snapshots, start, state
from t_state import numbers, read, wait_lines


def stopped(p):
    """Has it stopped itself? False as well: it has ended."""
    with open(f"/proc/{p.pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def stopped_at(env, renames, *words):
    """lodge-vm --snapshot with these words, stopped when it has renamed that many files; or it had fewer, and has
    ended."""
    p = subprocess.Popen([LODGE_VM, "--snapshot", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         cwd=env.work, env=dict(env.preloaded("stop_at_rename"), STOP_AT_RENAME=str(renames)))
    until(lambda: p.poll() is not None or stopped(p), f"{words}: it does not end")
    return p


def test_forks_meet_what_takes_their_base_away(env):
    """A fork is stopped at any step of its making, while a command takes away what it is based on: one of both fails,
    and what is there then starts."""
    verbs = [("snapshot", "delete", "a", "s", "--yes"), ("delete", "a", "--yes"), ("rename", "a", "z")]
    for words in verbs:
        renames = 0
        while True:
            renames += 1
            create(env)
            env.lodge("snapshot", "take", "a", "s")
            fork = stopped_at(env, renames, "fork", library(env, "a"), snapshots(env)["s"]["id"], library(env, "f"))
            last = fork.poll() is not None
            taker = env.start(*words)
            with contextlib.suppress(subprocess.TimeoutExpired):
                taker.wait(0.5)     # or it waits for the fork
            if not last:
                fork.send_signal(signal.SIGCONT)
            made, taken = fork.wait(60) == 0, taker.wait(60) == 0
            err = taker.stderr.read().decode()
            taker.stderr.close()
            check(made != taken, f"{words} at step {renames}: the fork is{'' if made else ' not'} made, and {err!r}")
            check(os.path.isdir(library(env, "f")) == made, os.listdir(library(env)))
            if made:
                check("based on" in err, err)
                start(env, "out", "f")
                wait_lines(env, "out", 1)
                env.lodge("kill", "f")
            shutil.rmtree(library(env))
            if last:
                break
        check(renames > 3, "there were steps to stop at")


def test_forks_of_a_vm_that_runs(env):
    """Its process cannot see other VMs' folders, and keeps what they are based on all the same; no longer than they
    are there."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 1)
    env.lodge("snapshot", "take", "a", "s")
    for name in ("f", "g"):
        env.lodge("fork", "a@s", name, "--stopped")
    number = snapshots(env)["s"]["id"]
    for name in ("f", "g"):
        check("based on" in one_line(env.lodge("snapshot", "delete", "a", "s", "--yes", rc=4)), "it is needed")
        with contextlib.suppress(Error), peer(env, "a") as p:
            p.call("Snapshots1", "Delete", "s", number)
            check(False, "a client that does not ask first")
        env.lodge("delete", name, "--yes")
    env.lodge("snapshot", "delete", "a", "s", "--yes")
    check(snapshots(env) == {} and state(env) == "running", "nothing keeps it")


def test_forks_on_a_disk_that_is_unplugged(env):
    """They are not gone, unless somebody says so."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    os.mkdir(env.path("stick"))
    env.lodge("fork", "a@s", "./stick/f", "--stopped")
    os.rename(env.path("stick"), env.path("unplugged"))
    for args in (["snapshot", "delete", "a", "s", "--yes"], ["delete", "a", "--yes"], ["rename", "a", "b"]):
        check("plug in" in one_line(env.lodge(*args, rc=4)), args)
    start(env, "out")
    check("plug in" in one_line(env.lodge("snapshot", "delete", "a", "s", "--yes", rc=4)), "also when it runs")
    env.lodge("kill", "a")
    os.rename(env.path("unplugged"), env.path("stick"))
    start(env, "f", "./stick/f")
    wait_lines(env, "f", 1)
    env.lodge("kill", "./stick/f")
    shutil.rmtree(env.path("stick"))
    os.mkdir(env.path("stick"))
    env.lodge("snapshot", "delete", "a", "s", "--yes")


def test_forks_of_a_moved_vm(env):
    """Renamed by hand, its forks find it again when they start: their disks, and the state that one waits to go on
    from; not a copy, nor another VM, in its place."""
    create(env)
    start(env, "out")
    wait_lines(env, "out", 3)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("kill", "a")
    for name in ("f", "g"):
        env.lodge("fork", "a@s", name, "--stopped")
    shutil.copytree(library(env, "a"), library(env, "copy"))
    os.rename(library(env, "a"), env.path("away"))
    create(env)
    disks = {name: os.listdir(library(env, name, "disks")) for name in ("f", "g")}
    r = start(env, "f", "f", rc=3)
    check(library(env, "a") in one_line(r) and "based on" in r.err, r)
    env.lodge("delete", "a", "--yes")
    check("based on" in one_line(start(env, "f", "f", rc=3)), "it is not the copy's")
    os.rename(env.path("away"), library(env, "z"))
    create(env)     # with a disk of the name that they were on
    env.lodge("snapshot", "take", "g", "before")
    for name in ("f", "g"):
        check(start(env, name, name).err == "", "nothing to say")
        wait_lines(env, name, 2)
        env.lodge("kill", name)
        check(numbers(read(env, name))[0] >= 3, "on from the snapshot")
        check(set(disks[name]) <= set(os.listdir(library(env, name, "disks"))), "the same layers")
        info = json.loads(env.lodge("disk", "info", library(env, name, "disks", disks[name][0]), "--json").out)
        check(info["backing-file"] == library(env, "z", "disks/root.img"), info)
        check(start(env, "again", name).err == "", "its disk")
        env.lodge("kill", name)
    check("based on" in one_line(env.lodge("snapshot", "delete", "z", "s", "--yes", rc=4)), "as before")
    env.lodge("snapshot", "take", "f", "own")
    env.lodge("snapshot", "verify", "f")


def test_forks_of_unreadable_snapshots(env):
    """Whose manifest is damaged is the base of its forks all the same."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    with open(library(env, "a/snapshots", snapshots(env)["s"]["id"], "manifest"), "wb") as f:
        f.write(b"[snapshot]\n")
    for words in (("delete", "a", "--yes"), ("rename", "a", "z")):
        r = env.lodge(*words, rc=4)
        check("based on" in r.err and r.err.count("\n") == 1, r)


def refused(env, folder="a", snapshot="s"):
    """Nothing takes away what a fork is based on."""
    for words in (("snapshot", "delete", folder, snapshot), ("delete", folder, "--yes")):
        r = env.lodge(*words, rc=None)
        check(r.rc != 0 and r.err.count("\n") == 1, r)


def test_forks_moved_far_away(env):
    """To where nobody looks; since it was started there, its base knows."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    os.mkdir(env.path("far"))
    shutil.move(library(env, "f"), env.path("far/f"))
    env.lodge("start", "./far/f", "--headless", "--moved")
    env.lodge("kill", "./far/f")
    refused(env)


def test_forks_cloned_far_away(env):
    """The clone is based on what its original is, which nobody would look for where the clone is."""
    create(env, "./sub/a")
    env.lodge("snapshot", "take", "./sub/a", "s")
    env.lodge("fork", "./sub/a@s", "./sub/f", "--stopped")
    env.lodge("clone", "./sub/f", "g")
    env.lodge("delete", "./sub/f", "--yes")
    refused(env, "./sub/a")


def test_forks_that_cannot_be_read(env):
    """Whose settings have a mistake in them is a fork all the same; so it is if the list of forks is damaged."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    with open(library(env, "f/vm.ini"), "r+b") as f:
        good = f.read()
        f.seek(0)
        f.write(b"[disk.root\n")
    refused(env)
    with open(library(env, "f/vm.ini"), "wb") as f:
        f.write(good)
    path = library(env, "a/snapshots", snapshots(env)["s"]["id"], "forks")
    with open(path, "rb") as f:
        good = f.read()
    with open(path, "wb") as f:
        f.write(b"\xff" + good)
    refused(env)
    one_line(env.lodge("fork", "a@s", "g", "--stopped", rc=None))
    check(sorted(os.listdir(library(env))) == ["a", "f"], os.listdir(library(env)))


def test_forks_at_paths_of_bytes(env):
    """The list of forks stays one that can be read."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    for name in (b"caf\xe9", b"two\nlines"):
        os.mkdir(os.path.join(os.fsencode(env.work), name))
        one_line(env.lodge("fork", "a@s", b"./" + name + b"/g", "--stopped", rc=2))
        check(os.listdir(os.path.join(os.fsencode(env.work), name)) == [], "nothing is left")
    refused(env)


def test_forks_that_are_gone(env):
    """However many came and went: the others stay noted."""
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("fork", "a@s", "f", "--stopped")
    path = library(env, "a/snapshots", snapshots(env)["s"]["id"], "forks")
    os.mkdir(env.path("gone"))
    with open(path, "a", encoding="utf-8") as f:
        while (left := (1 << 20) - 50 - f.tell()) > 0:
            f.write(f"{f.tell():036} {env.path('gone')}/".ljust(min(left, 280) - 1, "x") + "\n")
    env.lodge("fork", "a@s", "g", "--stopped")
    env.lodge("delete", "g", "--yes")
    refused(env)
    check(os.path.getsize(path) < 1000, f"{os.path.getsize(path)} bytes")
