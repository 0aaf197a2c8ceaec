"""lodge-json(7) says what --json prints, of every command, and nothing else; the other manual pages."""
import json
import os
import re
import shutil
import signal
import subprocess

from lib import LODGE, Skip, build, check, until
from t_kept import create, pid, start
from t_media import iso
from t_screen import Guest
from t_state import wait_lines
from t_stats import TRANSLATE, halted, json_at_end

TYPES = {"string": str, "number": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}

# What these runs do not bring about, and why.
UNSEEN = {
    ("stats VM", "fallbacks-by-instruction.*"): "wants a host that can translate",
    ("run --stats", "stats.fallbacks-by-instruction.*"): "has no guest here",
}
UNSEEN_WORDS = {
    ("states", "starting"): "lasts a moment",
    ("reasons", "guest"): "is told as the VM ends, or when it wakes up by itself",
    ("reasons", "disk-full"): "wants a full file system: t_room",
    ("reasons", "suspended"): "is told as the VM ends",
    ("reasons", "replaced"): "is told as the VM ends",
    ("reasons", "error"): "is told as the VM ends",
}


def join(path, name):
    return f"{path}.{name}" if path else name


class Table:
    """The table, and what of it has occurred."""

    def __init__(self, env):
        self.env = env
        self.all = env.lodge_json("help", "json")
        self.rows = {}
        for r in self.all["keys"]:
            rows = self.rows.setdefault(r["command"], {})
            check(r["key"] not in rows, f"twice: {r}")
            rows[r["key"]] = r
        self.seen, self.words = set(), set()

    def look(self, command, value, path=""):
        """The value is what the table says, with all below it."""
        rows, where = self.rows[command], f"{command}: {path}: {value!r:.300}"
        row = rows.get(path)
        if row:
            self.seen.add((command, path))
            if row["type"] == "any":
                return
            check(type(value) in [TYPES[t] for t in row["type"].split("|")], f"type of {where}")
        else:
            check(type(value) in (dict, list) and any(k.startswith(path) for k in rows), f"not in the table: {where}")
        kind = re.fullmatch(r"(\[\]\.)?(state|reason)", path)
        if kind and row["type"] == "string" and value:
            self.words.add((kind[2] + "s", value))
        if isinstance(value, list):
            for v in value:
                self.look(command, v, path + "[]")
        if isinstance(value, dict):
            for name, v in value.items():
                p = join(path, name)
                self.look(command, v, p if p in rows else join(path, "*"))
            below = {k[len(join(path, "")):] for k, r in rows.items() if k.startswith(join(path, "")) and not r["optional"]}
            missing = {k for k in below if not re.search(r"[.\[*]", k)} - set(value)
            check(not missing, f"missing: {missing} in {where}")

    def run(self, command, *args, rc=0):
        """A command by its name in the table, run with these words."""
        value = json.loads(self.env.lodge(*args, "--json", rc=rc).out)
        self.look(command, value)
        return value

    def error(self, *args, rc=None):
        e = json.loads(self.env.lodge(*args, "--json", rc=rc).err)
        self.look("COMMAND that fails", e)
        return e["error"]

    def silent(self, *args):
        r = self.env.lodge(*args, "--json")
        check(r.out == "", r)


def look_at_kept(env, t):
    """A VM in all states of its life."""
    create(env)
    t.run("create NAME", "create", "empty", "--disk-size", "1M")
    t.run("show VM", "show", "a")
    start(env, "out")
    wait_lines(env, "out", 3)
    t.run("list", "list")
    check("memory.size" in t.run("get VM [KEY]", "get", "a"), "get")
    check(t.run("get VM [KEY]", "get", "a", "cpu.count") == {"cpu.count": "1"}, "get of a default")
    t.run("save VM FILE", "save", "a", "saved")
    t.run("snapshot take VM [NAME]", "snapshot", "take", "a", "one", "-m", "text")
    t.silent("snapshot", "export", "a", "one", "one.lodge")
    t.silent("pause", "a")
    t.run("list", "list")
    t.silent("resume", "a")
    env.lodge("stop", "a", "--timeout", "100ms", rc=6)
    t.run("show VM", "show", "a")
    stop = env.start("stop", "a")
    until(lambda: t.run("show VM", "show", "a")["state"] == "stopping", "the button is not pressed")
    stop.kill()
    stop.communicate()
    t.silent("suspend", "a")
    t.run("list", "list")
    t.silent("start", "a", "--headless")
    os.kill(pid(env), signal.SIGKILL)
    until(lambda: t.run("show VM", "show", "a")["state"] == "crashed", "it does not crash")
    t.silent("start", "a", "--headless")
    t.silent("kill", "a")
    t.run("clone VM NEW", "clone", "a", "b")
    check(len(t.run("fork VM[@SNAPSHOT] NEW", "fork", "a@one", "f", "--count", "2", "--stopped")) == 2, "two forks")
    for line in env.lodge("log", "a", "--json").out.splitlines():
        t.look("log VM", json.loads(line))
    for name in ("f-1", "f-2"):
        t.silent("delete", name, "--yes")
    for args in (("rename", "b", "c"), ("set", "a", "cpu.count=2"), ("check", "a"),
                 ("snapshot", "rename", "a", "one", "two"), ("snapshot", "protect", "a", "two")):
        t.silent(*args)
    t.run("snapshot import VM FILE [NAME]", "snapshot", "import", "a", "one.lodge", "three")
    t.run("snapshot list VM", "snapshot", "list", "a")
    t.run("snapshot verify VM [NAME]", "snapshot", "verify", "a")


def look_at_running(env, t):
    """VMs without a guest, and what runs in the foreground."""
    iso(env, "disc")
    vm = env.vm("--iso", "disc", name="test")
    t.run("show VM", "show", "test")
    for d in t.run("show VM", "show", "test", "--devices")["devices"]:
        r = env.lodge("show", "test", d["id"], "--json", rc=None)
        if r.rc == 0:
            t.look("show VM DEVICE", json.loads(r.out))
        else:
            check("no state" in t.error("show", "test", d["id"])["message"], r)
    t.run("media list VM", "media", "list", "test")
    t.run("screenshot VM [FILE]", "screenshot", "test", "x.png")
    t.run("screenshot VM [FILE]", "screenshot", "test")
    t.run("stats VM", "stats", "test")
    vm.end()
    g = Guest(env, name="screen")
    for key in "1h":
        g.does(key)
        t.run("screenshot VM --text", "screenshot", "screen", "--text")
    g.end()
    t.look("run --stats", {"stats": json_at_end(env.lodge(
        "run", "--json", "--stats", "--engine", "null", "--timeout", "100ms", rc=124).err)})
    env.vm("--gdb", "gdb.sock", name="held")
    t.run("show VM", "show", "held")
    env.vm(build(env, "sleep"), "--memory", "64M", name="asleep")
    env.lodge("wait", "asleep", "paused", "--timeout", "60s")
    t.run("show VM", "show", "asleep")
    halted(env, *TRANSLATE)
    t.run("stats VM", "stats", "test")


def look_at_images(env, t):
    env.write("base", b"x" * 65536 + bytes(1 << 20))
    t.silent("disk", "create", "over", "--backing", "base", "--backing-format", "raw")
    t.silent("disk", "resize", "over", "+1M")
    for name in ("base", "over"):
        t.run("disk info FILE", "disk", "info", name)
        t.run("disk map FILE", "disk", "map", name)
    check(len(t.run("disk info --chain FILE", "disk", "info", "--chain", "over")) == 2, "the chain")
    t.run("disk check FILE", "disk", "check", "over")
    t.run("disk repair FILE", "disk", "repair", "over")
    t.run("disk bench FILE", "disk", "bench", "over", "--time", "1")
    t.silent("disk", "convert", "over", "whole", "--compress", "zlib")
    t.silent("disk", "compact", "whole")
    t.run("disk info FILE", "disk", "info", "whole")


def look_at_errors(env, t):
    """Each code, with its exit status."""
    status = {e["word"]: e["status"] for e in t.all["errors"]}
    create(env, "e")
    env.vm(name="stays")
    codes, hints = {"Failed"}, set()
    for name, args in (("BadArgument", ["nonsense"]), ("BadArgument", ["list", "--nonsense"]),
                       ("BadArgument", ["disk", "nonsense"]), ("NotFound", ["show", "nobody"]),
                       ("NotFound", ["disk", "info", "nothing"]), ("WrongState", ["pause", "e"]),
                       ("HostLimit", ["run", "--engine", "driver", "--kernel", "x"]),
                       ("Timeout", ["wait", "stays", "stopped", "--timeout", "100ms"])):
        e = t.error(*args, rc=status[name])
        check(e["code"] == name, (args, e))
        codes.add(name)
        hints.add(type(e["hint"]))
    check(hints == {str, type(None)}, "hints")
    # What ends a VM that ran is the error of `lodge run`.
    p = subprocess.Popen([LODGE, "run", "--json", "--engine", "null", "--set", "vm.name=killed"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env.env)
    until(lambda: env.lodge("kill", "killed", rc=None).rc == 0, "it does not start")
    e = json.loads(p.communicate()[1])
    t.look("COMMAND that fails", e)
    check(p.returncode == 125 and e["error"]["code"] == "Failed", e)
    check(codes == set(status), f"codes that did not occur: {set(status) - codes}")


def test_json_keys(env):
    """Each key that occurs is in the table with its type, and each in the table occurs."""
    t = Table(env)
    t.look("help json", t.all)
    t.run("version", "version")
    t.run("doctor", "doctor", rc=None)
    look_at_kept(env, t)
    look_at_running(env, t)
    look_at_images(env, t)
    look_at_errors(env, t)
    want = {(c, key) for c, rows in t.rows.items() for key in rows}
    check(want - t.seen - set(UNSEEN) == set(), f"in the table, and not seen: {sorted(want - t.seen - set(UNSEEN))}")
    words = {(kind, w["word"]) for kind in ("states", "reasons") for w in t.all[kind]}
    check(t.words <= words, f"not in the table: {t.words - words}")
    check(words - t.words <= set(UNSEEN_WORDS), f"words not seen: {words - t.words - set(UNSEEN_WORDS)}")


def test_json_any_bytes(env):
    """Names of files that are no UTF-8."""
    for name, shown in ((b"\xff", "\ufffd"), (b"a\xc3", "a\ufffd"), ("\u00e4\u20ac\U0001f4a9".encode(), "\u00e4\u20ac\U0001f4a9"),
                        (b"\xed\xa0\x80", "\ufffd" * 3), (b"\xf4\x90\x80\x80", "\ufffd" * 4), (b"\xc0\xaf", "\ufffd" * 2)):
        path = os.fsencode(env.work) + b"/" + name
        with open(path, "wb") as f:
            f.truncate(1 << 20)
        check(json.loads(env.lodge("disk", "info", path, "--json").out)["file"].endswith("/" + shown), shown)
        os.unlink(path)
        check(shown in json.loads(env.lodge("disk", "info", path, "--json", rc=3).err)["error"]["message"], shown)


def test_json_man_pages(env):
    """The three pages: every command, option and key is in them, and troff has nothing to say against them."""
    verbs = re.findall(r"^  (\w+) ", env.lodge("disk", "help").out, re.M)
    commands = re.findall(r"^  (\w+) ", env.lodge("help").out, re.M)
    keys = {r["key"].split(".")[-1].replace("-", r"\-") for r in env.lodge_json("help", "json")["keys"]}
    check(len(verbs) > 10 and len(commands) > 35 and len(keys) > 100, (verbs, commands))
    for args, words in ((["help", "man-page"], [f"\n.SS {c}" for c in commands]),
                        (["help", "json-man-page"], keys),
                        (["disk", "help", "man-page"], [f"\n.SS {v} " for v in verbs])):
        page = env.lodge(*args).out
        for word in words:
            check(word in page, f"{args}: {word!r}")
        path = env.write("page", page.encode())
        for tool in (["man", "--warnings", "-l", "-Tutf8"], ["groff", "-ww", "-man", "-z"]):
            if not shutil.which(tool[0]):
                raise Skip(f"{tool[0]} is not installed")
            r = subprocess.run([*tool, path], capture_output=True, check=False,
                               env=dict(env.env, MANPAGER="cat", MANWIDTH="80"))
            check(r.returncode == 0 and not r.stderr, (args, r.stderr))
