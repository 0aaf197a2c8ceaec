"""What a person types: completion in shells, help on what was meant, names that want quotes."""
import datetime
import os
import shutil
import subprocess

from lib import LODGE, Skip, check
from t_kept import create, library, one_line, start, state


def words(env, line):
    return [row.split("\t")[0] for row in env.lodge("completion", "words", "--", line).out.splitlines()]


def vms(env):
    for name in ("work", "my vm", "Übung"):
        create(env, name)
    env.lodge("snapshot", "take", "work", "clean two", "-m", "all is well")
    env.lodge("snapshot", "take", "work", "broken")


def test_typed_completion(env):
    """What may stand where a line ends: commands, verbs, options, VMs, snapshots, settings and their values."""
    vms(env)
    for line, want in [
            ("lodge sn", ["snapshot"]), ("sudo lodge sta", ["start", "stats"]), ("", []), ("lodge nonsense ", []),
            ("lodge snapshot re", ["restore", "rename"]), ("lodge media ", ["insert", "eject", "list"]),
            ("lodge start w", ["work"]), ("lodge start work m", ["my vm"]), ("lodge start -- Ü", ["Übung"]),
            ("lodge snapshot restore work ", ["clean two", "broken"]), ("lodge snapshot export work 'cl", ["clean two"]),
            ("lodge snapshot restore my\\ vm ", []), ("lodge snapshot take work ", []),
            ("lodge run work@", ["work@clean two", "work@broken"]), ("lodge fork work@clean\\ t", ["work@clean two"]),
            ("lodge run ima", []),  # a file begins so
            ("lodge list --st", ["--state"]), ("lodge list --state su", ["suspended"]),
            ("lodge create x --engine s", ["soft"]), ("lodge create x --engine=s", ["--engine=soft"]),
            ("lodge create x --set vm.cl", ["vm.clock="]), ("lodge create x --set=vm.clock=l", ["--set=vm.clock=local"]),
            ("lodge set work vm.clock=", ["vm.clock=utc", "vm.clock=local"]), ("lodge get work cpu.c", ["cpu.count"]),
            ("lodge set work disk.root.ke", ["disk.root.keep="]), ("lodge set work boot.menu=", ["boot.menu=yes",
                                                                                              "boot.menu=no"]),
            ("lodge set work floppy.0.k", ["floppy.0.keep="]), ("lodge wait work s", ["stopped", "serial="]),
            ("lodge help sna", ["snapshot"]), ("lodge completion f", ["fish"]), ("lodge disk re", ["repair", "resize",
                                                                                                 "rebase"]),
            ("lodge disk create x --back", ["--backing", "--backing-format"]), ("lodge run --display n", ["none"])]:
        check(words(env, line) == want, (line, words(env, line)))
    check("\tall is well\n" in env.lodge("completion", "words", "--", "lodge snapshot restore work c").out, "about it")


BASH = """. {script}
try() {{ COMP_LINE=$1 COMP_POINT=${{#1}}; _lodge; printf '%s|' "${{COMPREPLY[@]}}"; echo; }}
try 'lodge run --mem'; try 'lodge start m'; try 'lodge run work@'; try 'lodge fork work@clean\\ t'
try 'lodge set work vm.clock=l'; try 'lodge create x --dis'
"""


def test_typed_bash(env):
    """Bash takes what is behind = and @ for a word of its own."""
    vms(env)
    env.write("completion", env.lodge("completion", "bash").out.encode())
    env.write("try", BASH.format(script=env.path("completion")).encode())
    path = os.path.dirname(LODGE) + ":" + os.environ["PATH"]
    r = subprocess.run(["bash", env.path("try")], capture_output=True, text=True, env=dict(env.env, PATH=path),
                       cwd=env.work, check=True)
    check(r.stdout.splitlines() == ["--memory|", "my vm|", "clean two|broken|", "clean two|", "local|",
                                    "--disk|--display|--disk-size|"] and r.stderr == "", r.stdout + r.stderr)


def test_typed_fish(env):
    if not shutil.which("fish"):
        raise Skip("fish is not installed")
    vms(env)
    script = env.lodge("completion", "fish").out + "\ncomplete -C 'lodge fork work@cl'; complete -C 'lodge start m'\n"
    home = dict(env.env, PATH=os.path.dirname(LODGE) + ":" + os.environ["PATH"], HOME=env.dir)
    r = subprocess.run(["fish", "--no-config"], input=script, capture_output=True, text=True, env=home, cwd=env.work,
                       check=True)
    check(r.stdout == "work@clean\\ two\tall is well\nmy\\ vm\n" or r.stdout == "work@clean two\tall is well\nmy vm\n",
          r.stdout + r.stderr)


def test_typed_help(env):
    """On a verb, on a setting as vm.ini has it, on a group of settings."""
    r = env.lodge("help", "snapshot")
    check("\n  restore VM [SNAPSHOT]" in r.out and "tidy VM" in r.out, r)
    check(env.lodge("help", "snapshot", "take").out == r.out == env.lodge("snapshot", "take", "--help").out, r)
    check(env.lodge("help", "disk").out == env.lodge("disk", "help").out, "help disk")
    check(env.lodge("help", "disk", "create").out == env.lodge("disk", "create", "--help").out, "help disk create")
    check(env.lodge("help", "disk.root.file").out == env.lodge("help", "disk.*.file").out, "a key with a name")
    out = env.lodge("help", "cpu").out
    check([row.split()[0] for row in out.splitlines()] == ["cpu.count", "cpu.model"], out)
    for args, want in [(["snapshot", "list"], "lodge snapshot list VM"), (["snapshot", "export", "x", "y"], "FILE"),
                       (["snapshot", "create", "x"], "lodge help snapshot"), (["snapshot", "lst", "x"], "is list"),
                       (["media", "eject"], "lodge media eject VM [DRIVE]"), (["snapshot"], "VERB")]:
        check(want in one_line(env.lodge(*args, rc=2)), (args, want))


def test_typed_wait(env):
    """For the end of a VM that has ended already: it is over."""
    create(env)
    env.lodge("wait", "a", "stopped", "--timeout", "10s")
    start(env, "out")
    env.lodge("kill", "a")
    env.lodge("wait", "a", "stopped", "--timeout", "10s")
    check("not running" in one_line(env.lodge("wait", "a", "running", rc=4)), "for ever")
    one_line(env.lodge("wait", "b", "stopped", rc=3))


def test_typed_lists(env):
    """Columns stand below each other whatever the names are; times are those of the wall."""
    create(env, "Übungsgerät")
    create(env, "plain")
    rows = env.lodge("list").out.splitlines()
    check({row.index("stopped") for row in rows[1:]} == {rows[0].index("STATE")}, rows)
    for name in ("größer", "plain"):
        env.lodge("snapshot", "take", "plain", name)
    rows = env.lodge("snapshot", "list", "plain").out.splitlines()
    check(len({row.index("  disks") for row in rows}) == 1, rows)
    taken = datetime.datetime.fromisoformat(env.lodge_json("snapshot", "list", "plain")[0]["time"][:19])
    east = env.lodge("snapshot", "list", "plain", env=dict(env.env, TZ="UTC-7")).out
    check(f"{taken + datetime.timedelta(hours=7):%Y-%m-%d %H:%M}" in east, east)


def test_typed_protected(env):
    create(env)
    env.lodge("snapshot", "take", "a", "s")
    check("--yes" in one_line(env.lodge("snapshot", "delete", "a", "s", rc=2)), "deleting asks")
    check(len(env.lodge_json("snapshot", "list", "a")) == 1, "it is there")
    env.lodge("snapshot", "protect", "a", "s")
    check("protect --off" in one_line(env.lodge("snapshot", "delete", "a", "s", "--yes", rc=4)), "how")


def test_typed_elsewhere(env):
    """A VM that runs under another runtime folder, as of another login: it is seen, and not said to be stopped."""
    create(env)
    start(env, "out")
    other = env.path("other")
    os.mkdir(other, 0o700)
    there = dict(env.env, XDG_RUNTIME_DIR=other)
    rows = env.lodge("list", env=there).out.splitlines()
    check(len(rows) == 2 and rows[1].split() == ["a", "running"], rows)
    for args in (["pause", "a"], ["wait", "a", "stopped"]):
        check("XDG_RUNTIME_DIR" in one_line(env.lodge(*args, env=there, rc=4)), args)
    env.lodge("kill", "a")
    check(state(env) == "stopped" and len(env.lodge_json("list")) == 1, "once")


def test_typed_hints(env):
    """What a message says to type can be typed: with a blank or a dash in the name."""
    create(env, "my vm")
    check("(lodge start 'my vm')" in one_line(env.lodge("pause", "my vm", rc=4)), "quoted")
    said = one_line(env.lodge("create", "--memory", "16M", "--", "-x"))
    check("(lodge start -- -x)" in said, said)


def test_typed_run_vm(env):
    """What is to be run is a VM, and no file: how that is done."""
    create(env, "my vm")
    for word in ("my vm", library(env, "my vm")):
        check("lodge start" in one_line(env.lodge("run", word, "--engine", "null", rc=2)), word)


def test_typed_others_folder(env):
    """What keeps a VM from starting is said where there can be no log, as in another user's folder."""
    if os.geteuid() != 0:
        raise Skip("only root can be somebody else")
    os.chmod(env.dir, 0o755)
    create(env, env.path("vm"))
    env.lodge("set", env.path("vm"), "boot.kernel=nowhere")
    os.mkdir(env.path("theirs"), 0o700)
    os.chown(env.path("theirs"), 65534, 65534)
    theirs = dict(env.env, XDG_RUNTIME_DIR=env.path("theirs"), XDG_DATA_HOME=env.path("theirs"))
    r = env.lodge("start", env.path("vm"), rc=3, env=theirs, user=65534, group=65534, extra_groups=())
    check("nowhere" in one_line(r), r)


def test_typed_disk(env):
    """lodge disk names the VM that has an image as it is called, and the option that there is not."""
    create(env)
    start(env, "out")
    root = library(env, "a", "disks", "root.img")
    check('VM "a" (lodge stop a)' in env.lodge("disk", "resize", root, "+1M", rc=4).err, "by name")
    check("'-1M'" in env.lodge("disk", "resize", root, "-1M", rc=2).err, "shorter")
    check("'--nonsense'" in env.lodge("disk", "resize", root, "--nonsense", rc=2).err, "no option")


def test_typed_no_such_file(env):
    """A VM is not made of what is not there."""
    for args in (["--iso", "no.iso"], ["--floppy", "no.img"], ["--set", "boot.kernel=no"], ["--disk", "no.img"]):
        said = one_line(env.lodge("create", "a", *args, rc=3))
        check(args[1].split("=")[-1] in said, said)
    check(os.listdir(library(env)) == [], os.listdir(library(env)))
    env.lodge("create", "a", "--set", "cdrom.0.file=")


def test_typed_unset_output(env):
    """KEY= unsets also what names a file that is written."""
    create(env)
    env.lodge("set", "a", "serial.0.output=out")
    check(env.lodge("get", "a", "serial.0.output").out.strip() == env.path("out"), "absolute")
    env.lodge("set", "a", "serial.0.output=")
    check(env.lodge("get", "a", "serial.0.output").out.strip() == "none", env.lodge("get", "a"))


def test_typed_delete_many(env):
    """As many as start, kill and fork --count take; the first that cannot go ends it."""
    for name in ("a", "b", "c", "d"):
        create(env, name)
    env.lodge("delete", "a", "b", "--yes")
    check("no VM" in one_line(env.lodge("delete", "c", "x", "d", "--yes", rc=3)), "x")
    check(os.listdir(library(env)) == ["d"], os.listdir(library(env)))


def test_typed_at(env):
    """What stands behind @ is a snapshot: no name has one."""
    create(env)
    for args in (["create", "a@b", "--disk-size", "1M"], ["rename", "a", "b@c"], ["clone", "a", "b@c"],
                 ["snapshot", "take", "a", "s@t"], ["fork", "a", "b@c", "--stopped"]):
        check("@" in one_line(env.lodge(*args, rc=2)), args)
    check("snapshot-1" in env.lodge("fork", "a", "b", "--stopped").err, "a fork of what it is now is one of a snapshot")


def test_typed_raw(env):
    """A file that is called raw is raw."""
    for name, format in (("a.raw", "raw"), ("a.img", "raw"), ("a.qcow2", "qcow2"), ("a", "qcow2")):
        env.lodge("disk", "create", name, "1M")
        env.lodge("disk", "convert", name, "copy-" + name)
        for file in (name, "copy-" + name):
            check(env.lodge_json("disk", "info", file)["format"] == format, file)
    env.lodge("disk", "create", "b.img", "1M", "--to", "qcow2")
    env.lodge("disk", "create", "c.img", "--backing", "a.raw", "--backing-format", "raw")
    check([env.lodge_json("disk", "info", name)["format"] for name in ("b.img", "c.img")] == ["qcow2"] * 2, "as is said")


def test_typed_list(env):
    """All VMs by their names, whether they run or not, and where each lies."""
    for name in ("try-10", "try-2", "b"):
        create(env, name)
    start(env, "out", "try-2")
    env.vm(name="a")
    rows = env.lodge_json("list")
    check([(r["name"], r["state"], r["folder"]) for r in rows] == [
        ("a", "running", ""), ("b", "stopped", library(env, "b")), ("try-2", "running", library(env, "try-2")),
        ("try-10", "stopped", library(env, "try-10"))], rows)
    check([line.split()[0] for line in env.lodge("list").out.splitlines()[1:]] == ["a", "b", "try-2", "try-10"], "text")
