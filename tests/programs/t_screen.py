"""The screen: frames for viewers, lodge screenshot, run --screenshot."""
import mmap
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import time
import zlib

from lib import HERE, LODGE, boot_disk, check, peer, until
from peer import Error
from xdisplay import load_png

FRAME_BYTES, PIXELS = 16384 + 4096 * 2160 * 4, 16384
LOW = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"


def cp437(code):
    """By Python's table; control codes as their glyphs."""
    if code < 32:
        return LOW[code]
    return {127: "⌂", 255: " "}.get(code) or bytes([code]).decode("cp437")


class Guest:
    """The boot sector screen.asm."""

    def __init__(self, env, *args, name="test"):
        boot_disk(env, "disk", "screen")
        self.env, self.name = env, name
        self.vm = env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", "--disk",
                         "disk", *args, name=name)
        check(self.vm.line() == "r", "the guest starts")

    def does(self, key):
        self.env.lodge("keys", self.name, key, rc=None)
        if key != "shift-q":
            check(self.vm.line() == key, f"the guest does {key}")

    def end(self):
        self.does("shift-q")
        check(self.vm.wait() == 7, "status")

    def text(self):
        return self.env.lodge("screenshot", self.name, "--text").out.splitlines()

    def stats(self):
        s = self.env.lodge_json("stats", self.name)
        return s["display-draws"], s["display-frames"]


class View:
    """A viewer by hand."""

    def __init__(self, p):
        self.peer = p
        self.id = p.call("Display1", "Open", "u", 0)[2]
        frame, self.wake = p.take_fds()
        self.map = mmap.mmap(frame, FRAME_BYTES, mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(frame)

    def head(self):
        """magic, sequence, width, height, stride, aspect x, y, flags, mode changes."""
        return struct.unpack("<QQIIIIIIQ", self.map[:48])

    def picture(self):
        """Flags, width, height, pixels of one moment."""
        while True:
            h = self.head()
            pixels = self.map[PIXELS:PIXELS + h[4] * h[3]]
            if h[1] % 2 == 0 and self.head()[1] == h[1]:
                return h[7], h[2], h[3], pixels

    def rate(self, rate):
        self.peer.call("Display1", "SetRate", "uu", self.id, rate)

    def close(self):
        os.close(self.wake)
        self.map.close()


def png(path):
    """Its pixels and how high a pixel is for its width; every chunk's checksum is right."""
    data, at, kinds, aspect = open(path, "rb").read(), 8, [], None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        check(zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0],
              f"the checksum of {kind}")
        kinds.append(kind)
        if kind == b"pHYs":
            x, y, unit = struct.unpack(">IIB", body)
            aspect = x / y
            check(unit == 0, "no unit")
        at += 12 + size
    check(kinds[0] == b"IHDR" and kinds[-1] == b"IEND", kinds)
    return load_png(path), aspect


def same(image, view):
    """Is the image what the viewer sees?"""
    _, width, height, pixels = view
    rgb = bytearray(width * height * 3)
    for c in range(3):
        rgb[c::3] = pixels[2 - c::4]
    return (image.width, image.height, image.data) == (width, height, bytes(rgb))


# ---- what the guest shows ----

def test_screen_text(env):
    g = Guest(env)
    g.does("1")
    lines = g.text()
    check(len(lines) == 25, lines)
    want = ["", ""] + ["".join(map(cp437, range(i, i + 32))).rstrip() for i in range(0, 256, 32)]
    check(lines[:10] == want and not any(lines[10:]), "\n".join(lines))
    r = env.lodge_json("screenshot", "test", "--text")
    check(r == {"lines": lines, "columns": 80, "cursor": {"column": 7, "line": 12}}, r)
    g.does("h")
    check(env.lodge_json("screenshot", "test", "--text")["cursor"] is None, "hidden")
    env.lodge("screenshot", "test", "text", "--text")
    check(open(env.path("text"), encoding="utf-8").read().splitlines() == lines, "into a file")
    g.does("2")
    r = env.lodge("screenshot", "test", "--text", rc=4)
    check("no text" in r.err and r.err.count("\n") == 1 and not r.out, r)
    g.end()


def test_screen_pixels(env):
    """Each pixel is the colour that the guest gave it, at 4:3."""
    g = Guest(env)
    g.does("2")
    env.lodge("screenshot", "test", "a.png")
    image, aspect = png(env.path("a.png"))
    fx, fy = image.width // 320, image.height // 200
    check((image.width, image.height) == (320 * fx, 200 * fy) and fx and fy, "size")
    check(abs(image.width / image.height / aspect - 4 / 3) < 0.01, f"aspect {aspect}")

    def wide(v):
        return v << 2 | v >> 4
    colour = [bytes((wide(i >> 2), wide(63 - (i >> 2)), wide((i & 15) << 2))) for i in range(256)]
    want = b"".join(b"".join(colour[(x // fx ^ y // fy) & 255] for x in range(image.width))
                    for y in range(image.height))
    check(image.data == want, "a pixel differs")
    g.end()


def test_screen_off(env):
    """Without a picture it is black, and says so; then it is as before."""
    g = Guest(env)
    g.does("1")
    with peer(env) as p:
        v = View(p)
        before = v.picture()
        check(before[0] == 0 and any(before[3]), "a picture")
        g.does("3")
        until(lambda: v.picture()[0] == 1, "off")
        check(not any(v.picture()[3]), "black")
        env.lodge("screenshot", "test", "off.png")
        check(set(png(env.path("off.png"))[0].data) == {0}, "black as PNG")
        check("no text" in env.lodge("screenshot", "test", "--text", rc=4).err, "no text either")
        g.does("h")
        g.does("4")
        until(lambda: v.picture()[0] == 0 and any(v.picture()[3]), "on")
        env.lodge("screenshot", "test", "on.png")
        check(same(png(env.path("on.png"))[0], v.picture()), "the picture and the viewer's")
        check(v.picture()[1:3] == before[1:3], "size")
        v.close()
    g.end()


def test_screen_modes(env):
    """Modes to and fro under a viewer; a reset, too."""
    g = Guest(env)
    with peer(env) as p:
        v = View(p)
        changes = v.head()[8]
        for _ in range(3):
            g.does("2")
            until(lambda: v.picture()[2] in (200, 400) and v.picture()[1] in (320, 640), "graphics")
            g.does("1")
            until(lambda: v.picture()[1] == 720, "text")
        check(v.head()[8] >= changes + 6, "each change is counted")
        env.lodge("reset", "test")
        check(g.vm.line() == "r", "started again")
        g.does("2")
        until(lambda: v.picture()[1] in (320, 640), "graphics after the reset")
        v.close()
    g.end()


# ---- files ----

def test_screenshot_files(env):
    g = Guest(env)
    g.does("2")
    r = env.lodge("screenshot", "test")
    name = r.out.strip()
    check(re.fullmatch(r"test-\d{8}-\d{6}\.png", name) and os.path.exists(env.path(name)), r)
    second = env.lodge("screenshot", "test").out.strip()
    check(second != name and os.path.exists(env.path(second)), "another name")
    whole = open(env.path(name), "rb").read()
    env.write("a.png", b"old")
    check(env.lodge("screenshot", "test", "a.png").out == "", "nothing to say")
    check(open(env.path("a.png"), "rb").read() == whole, "replaced")
    check(stat.S_IMODE(os.stat(env.path("a.png")).st_mode) & 0o700 == 0o600, "mode")
    out = subprocess.run([LODGE, "screenshot", "test", "-"], env=env.env, capture_output=True,
                         check=True).stdout
    check(out == whole, "standard output")
    r = env.lodge_json("screenshot", "test", "b.png")
    image, aspect = png(env.path("b.png"))
    check(r["file"] == "b.png" and (r["width"], r["height"]) == (image.width, image.height) and
          abs(r["pixel-aspect"][1] / r["pixel-aspect"][0] - aspect) < 1e-9, r)
    left = set(os.listdir(env.work)) - {name, second, "a.png", "b.png", "disk"}
    check(not left, left)
    g.end()


def test_bad_screenshot(env):
    """Nothing is made where a screenshot fails."""
    g = Guest(env)
    os.mkdir(env.path("folder"))
    for args, rc, word in ((("none", "x.png"), 3, "none"), (("test", "folder"), 2, "folder"),
                           (("test", "nofolder/x.png"), 3, "nofolder"), (("test", ""), 2, "file"),
                           (("test", "x/"), 2, "file"), ((), 2, "missing"),
                           (("test", "a", "b"), 2, "many"), (("test", "--txt"), 2, "--text")):
        r = env.lodge("screenshot", *args, rc=rc)
        check(word in r.err and r.err.count("\n") == 1 and not r.out, r)
    with open("/dev/full", "wb") as full:
        p = subprocess.run([LODGE, "screenshot", "test", "-"], env=env.env, stdout=full,
                           stderr=subprocess.PIPE, check=False)
    check(p.returncode == 5 and p.stderr.count(b"\n") == 1, p)
    check(set(os.listdir(env.work)) == {"disk", "folder"}, os.listdir(env.work))
    g.end()


def test_screen_none(env):
    """A machine without a display says so."""
    env.vm("--set", "display.adapter=none")
    for args in (("x.png",), ("--text",)):
        r = env.lodge("screenshot", "test", *args, rc=4)
        check(r.err.count("\n") == 1 and not os.path.exists(env.path("x.png")), r)
    check("no display" in env.lodge("screenshot", "test", rc=4).err, "why")


def test_run_screenshot(env):
    """Taken once the VM has run for that long, in any order, and not of what ends before."""
    boot_disk(env, "disk", "screen")
    vm = env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", "--disk", "disk",
                "--screenshot", "b.png@1500ms", "--screenshot", "a.png@0", "--screenshot",
                "never.png@1h", "--screenshot", "nofolder/c.png@1s")
    check(vm.line() == "r", "the guest starts")
    until(lambda: os.path.exists(env.path("b.png")), "the later one")
    check(vm.show()["uptime-ns"] >= 1500000000, "not before its time")
    for name in ("a.png", "b.png"):
        image, _ = png(env.path(name))
        check(image.width > 0, name)
    until(lambda: "nofolder/c.png" in vm.err(), "says that it cannot")
    env.lodge("keys", "test", "shift-q", rc=None)
    check(vm.wait() == 7, "the guest's status")
    check("never.png" in vm.err() and not os.path.exists(env.path("never.png")), vm.err())
    check("a.png" not in vm.err() and "b.png" not in vm.err(), vm.err())


def test_run_screenshot_waits_for_the_vm(env):
    """A VM that is paused does not run."""
    boot_disk(env, "disk", "screen")
    vm = env.vm("--engine", "soft", "--memory", "32M", "--disk", "disk", "--screenshot", "a.png@2s")
    env.lodge("pause", "test")
    check(vm.show()["uptime-ns"] < 2000000000, "paused in time")
    time.sleep(2.2)
    check(not os.path.exists(env.path("a.png")), "while it is paused")
    env.lodge("resume", "test")
    until(lambda: os.path.exists(env.path("a.png")), "when it has run")
    check(vm.show()["uptime-ns"] >= 2000000000, "not before its time")


def test_bad_run_screenshot(env):
    for value in ("a.png", "a.png@", "a.png@soon", "@1s", "a.png@-1s", "/@1s"):
        r = env.lodge("run", "--engine", "null", "--screenshot", value, rc=2)
        check(r.err.count("\n") == 1 and "screenshot" in r.err, r)
    check(os.listdir(env.work) == [], "nothing is made")


# ---- viewers ----

def test_screen_many_viewers(env):
    """Twenty see the same; one that never reads, one that is stopped, one that is killed."""
    g = Guest(env)
    g.does("1")
    peers = [peer(env) for _ in range(10)]
    views = [View(peers[i % 10]) for i in range(20)]
    other = viewer_process(env)
    stopped = viewer_process(env)
    os.kill(stopped.pid, signal.SIGSTOP)
    g.does("h")
    g.does("2")
    until(lambda: all(v.picture()[1] in (320, 640) for v in views), "all see the change")
    other.kill()
    other.wait()
    g.does("5")
    _, frames = g.stats()
    until(lambda: g.stats()[1] > frames + 20, "frames go on")
    check(views[0].map[:8] == b"LDGFRM1\0", "the frame")
    g.does("5")
    until(lambda: len({v.picture() for v in views}) == 1, "all see the same")
    for p in peers:
        p.close()
    stopped.kill()
    stopped.wait()
    for v in views:
        v.close()
    g.end()


def viewer_process(env):
    """Opens the screen and sleeps; up once it has."""
    code = ("import sys, time\nsys.path[:0] = sys.argv[2:]\nfrom peer import Peer\n"
            "p = Peer(sys.argv[1])\np.call('Display1', 'Open', 'u', 0)\nprint('open', flush=True)\n"
            "time.sleep(600)\n")
    with peer(env) as p:
        path = p.s.getpeername()
    q = subprocess.Popen([sys.executable, "-c", code, path, os.path.join(HERE, "../lib")],
                         stdout=subprocess.PIPE)
    check(q.stdout.readline() == b"open\n", "a viewer")
    q.stdout.close()
    return q


def test_screen_nobody_looks(env):
    """No draw without a viewer, with a hidden one, with a closed one, with a killed one."""
    g = Guest(env)
    g.does("2")
    g.does("5")  # the guest draws on and on

    def quiet(text):
        draws = g.stats()
        time.sleep(0.3)
        check(g.stats() == draws, text)
    quiet("nobody has looked yet")
    with peer(env) as p:
        v = View(p)
        draws, frames = g.stats()
        until(lambda: g.stats()[1] > frames + 10, "drawn for a viewer")
        v.rate(0)
        quiet("hidden")
        seen = v.picture()
        v.rate(30)
        until(lambda: v.picture() != seen, "shown again")
        with peer(env) as q:
            w = View(q)
            v.rate(0)
            seen = v.picture()
            until(lambda: v.picture() != seen, "the other's draws are in the same frame")
            w.close()
        until(lambda: [g.stats(), time.sleep(0.2)][0] == g.stats(), "the other is gone")
        v.rate(60)
        p.call("Display1", "Close", "u", v.id)
        quiet("closed")
        check(os.read(v.wake, 1 << 20) is not None and until(lambda: os.read(v.wake, 1 << 20) == b"",
                                                           "the stream ends"), "end")
        v.close()
    q = viewer_process(env)
    _, frames = g.stats()
    until(lambda: g.stats()[1] > frames + 3, "drawn for a process")
    q.kill()
    q.wait()
    until(lambda: [g.stats(), time.sleep(0.2)][0] == g.stats(), "that is gone")
    g.does("5")
    g.end()


def test_screen_while_paused(env):
    """Whoever looks at a paused VM sees how it stands; so does who looked before."""
    g = Guest(env)
    g.does("2")
    with peer(env) as p:
        v = View(p)
        g.does("5")
        env.lodge("pause", "test")
        seen = v.picture()
        env.lodge("screenshot", "test", "a.png")
        env.lodge("screenshot", "test", "b.png")
        check(same(png(env.path("a.png"))[0], seen), "the picture when it was paused")
        check(same(png(env.path("b.png"))[0], v.picture()), "and later")
        draws = g.stats()
        time.sleep(0.3)
        check(g.stats()[0] <= draws[0] + 1, "nothing to draw")
        env.lodge("resume", "test")
        until(lambda: v.picture() != seen, "it goes on")
        v.close()
    g.does("5")
    g.end()


def test_screen_last_picture(env):
    """What the guest showed at its end is in the frame after it."""
    g = Guest(env)
    with peer(env) as p:
        v = View(p)
        g.does("2")
        g.end()
        check(v.picture()[1] in (320, 640), "graphics")
        v.close()


def test_screen_in_a_saved_state(env):
    g = Guest(env)
    g.does("2")
    env.lodge("screenshot", "test", "a.png")
    env.lodge("save", "test", "state", "--stop")
    g.vm.wait()
    env.vm("--state", "state", "--disk", "disk", "--engine", "soft", name="again")
    env.lodge("screenshot", "again", "b.png")
    check(open(env.path("a.png"), "rb").read() == open(env.path("b.png"), "rb").read(), "the same")


def test_bad_screen_calls(env):
    """Each refused with the right error and one line; the frame stays as it is."""
    g = Guest(env)
    g.does("2")
    with peer(env) as p, peer(env) as q:
        v, w = View(p), View(q)
        for who, method, sig, args, name in (
                (p, "Open", "u", (1,), "BadArgument"), (p, "Open", "u", (0xffffffff,), "BadArgument"),
                (p, "Text", "u", (1,), "BadArgument"),
                (p, "SetRate", "uu", (v.id, 241), "BadArgument"),
                (p, "SetRate", "uu", (v.id, 0xffffffff), "BadArgument"),
                (p, "SetRate", "uu", (w.id, 10), "NotFound"), (p, "Close", "u", (w.id,), "NotFound"),
                (q, "Close", "u", (0,), "NotFound"), (q, "Close", "u", (0xffffffff,), "NotFound")):
            try:
                who.call("Display1", method, sig, *args)
                check(False, (method, args))
            except Error as e:
                check(e.name == name and e.text and "\n" not in e.text, f"{method} {args}: {e}")
        opened = 0
        try:
            while opened < 1000:
                q.call("Display1", "Open", "u", 0)
                opened += 1
        except Error as e:
            check(e.name == "HostLimit" and opened == 62, f"{opened}: {e}")
        check(same(screenshot_after(env, q), v.picture()), "the viewer sees on")
        v.close()
        w.close()
    g.end()


def screenshot_after(env, q):
    q.close()
    until(lambda: env.lodge("screenshot", "test", "a.png", rc=None).rc == 0, "room again")
    return png(env.path("a.png"))[0]
