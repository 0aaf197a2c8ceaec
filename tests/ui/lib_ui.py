"""What the tests of the console share: an X server with a window manager, VMs that are none (fake_vm.c),
and consoles on them."""
import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from ctypes import byref, c_int, c_long, c_ulong, c_void_p

import xdisplay
from lodgevm import PATIENCE
from xdisplay import Pixels, Screen

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("LODGE_BUILD") or os.path.join(HERE, "../../build")
CONSOLE = os.path.join(BUILD, "ui/sdl/lodge-console")
LODGE = os.path.join(BUILD, "ui/cli/lodge")
FAKE_VM = os.path.join(BUILD, "tests/ui/fake_vm")
SCREENS = os.environ.get("LODGE_SCREENS", "")
TIMEOUT = 20
# X's keycodes of a PC keyboard. F13, and a key for bookmarks, which no test presses itself.
MARKER, KNOCK = 191, 164
ESC, TAB, RETURN, HOST, LEFT_ALT, UP, DOWN = 9, 23, 36, 105, 64, 111, 116


# One shortcut, and clicks on windows, are what these tests want of a desktop.
OPENBOX = """<?xml version="1.0"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
<keyboard><keybind key="A-Tab"><action name="NextWindow"><finalactions><action name="Focus"/>
<action name="Raise"/></finalactions></action></keybind></keyboard>
<mouse><context name="Client"><mousebind button="Left" action="Press"><action name="Focus"/>
<action name="Raise"/></mousebind></context></mouse>
</openbox_config>
"""


class Skip(Exception):
    pass


def check(cond, text):
    if not cond:
        raise AssertionError(text)


def until(fn, text):
    """What fn returns as soon as that is true."""
    end = time.monotonic() + TIMEOUT * PATIENCE
    while not (r := fn()):
        check(time.monotonic() < end, text() if callable(text) else text)
        time.sleep(0.02)
    return r


def pattern(width, height, seed=0):
    """What fake_vm.c paints."""
    red = bytes((x * 7 + seed * 50) & 255 for x in range(width))
    rows = []
    for y in range(height):
        row = bytearray(width * 3)
        row[0::3] = red
        row[1::3] = bytes([y * 5 & 255]) * width
        row[2::3] = bytes((x ^ y) * 3 & 255 for x in range(width))
        rows.append(bytes(row))
    return Pixels(width, height, b"".join(rows))


def on_black(width, height, x, y, p):
    """The picture p at x, y of a black one."""
    black = bytes(width * 3)
    side = bytes(x * 3), bytes((width - x - p.width) * 3)
    rows = [black] * y + [side[0] + p.row(i) + side[1] for i in range(p.height)]
    return Pixels(width, height, b"".join(rows + [black] * (height - y - p.height)))


class _ClientMessage(ctypes.Structure):
    _fields_ = [("type", c_int), ("serial", c_ulong), ("send_event", c_int), ("display", c_void_p),
                ("window", c_ulong), ("message_type", c_ulong), ("format", c_int),
                ("data", c_long * 5), ("pad", c_long * 24)]


class Desktop(Screen):
    """With a window manager, as windows know it from a person's desktop."""

    def __init__(self, width=1700, height=1300):
        super().__init__(width, height)
        self.home = tempfile.mkdtemp(prefix="lodge-ui-")
        self.x11 = ctypes.CDLL("libX11.so.6")
        self.x11.XInternAtom.restype = c_ulong
        rc = os.path.join(self.home, "rc.xml")
        with open(rc, "w") as f:
            f.write(OPENBOX)
        self.wm = subprocess.Popen(
            ["openbox", "--config-file", rc], env={**self.env(), "HOME": self.home, "XDG_CONFIG_HOME": self.home,
                              "XDG_CACHE_HOME": self.home},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.property(self.root, "_NET_SUPPORTING_WM_CHECK"), "a window manager")

    def __exit__(self, *exc):
        self.wm.terminate()
        self.wm.wait()
        super().__exit__(*exc)
        shutil.rmtree(self.home, ignore_errors=True)

    def atom(self, name):
        return self.x11.XInternAtom(c_void_p(self.d), name.encode(), 0)

    def property(self, window, name):
        """A list of numbers; empty if there is none."""
        data = self._property(window, name)
        return list(struct.unpack(f"{len(data) // 8}Q", data))

    def tell_wm(self, window, message, *data):
        e = _ClientMessage(type=33, window=window, message_type=self.atom(message), format=32)
        e.data[:] = list(data) + [0] * (5 - len(data))
        self.x11.XSendEvent(c_void_p(self.d), c_ulong(self.root), 0, c_long(0x180000), byref(e))
        self._sync()

    def kill(self, window):
        """Cuts its program off."""
        self.x11.XKillClient(c_void_p(self.d), c_ulong(window))
        self._sync()

    def active(self):
        return (self.property(self.root, "_NET_ACTIVE_WINDOW") or [0])[0]

    def layout(self, *args):
        subprocess.run(["setxkbmap", "-display", self.name, *args], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def host(self, key):
        """The host key and another."""
        self.chord(HOST, key)


class Lines:
    """What a process prints, line by line."""

    def __init__(self, pipe):
        self.fd, self.rest, self.lines = pipe.fileno(), b"", []
        os.set_blocking(self.fd, False)

    def read(self):
        try:
            while data := os.read(self.fd, 65536):
                self.rest += data
        except BlockingIOError:
            pass
        *new, self.rest = self.rest.split(b"\n")
        self.lines += [x.decode() for x in new]
        return self.lines


class FakeVm:
    def __init__(self, env, name):
        self.env, self.name = env, name
        self.p = subprocess.Popen([FAKE_VM, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env=env.env)
        self.log = Lines(self.p.stdout)
        self.expect("ready")

    def expect(self, *lines):
        """Waits until these lines have come, in this order, whatever came between; drops all up to
        there."""
        def found():
            at = 0
            for want in lines:
                if want not in self.log.read()[at:]:
                    return 0
                at = self.log.lines.index(want, at) + 1
            return at
        n = until(found, lambda: f"the VM is not told {lines}, but {self.log.lines[-20:]}")
        got, self.log.lines[:] = self.log.lines[:n], self.log.lines[n:]
        return got

    def told(self, marker=True):
        """All that it was told of keys and pointer. That it is all shows a key that is pressed last;
        without the marker, because that would not arrive: a moment."""
        if marker:
            self.env.desktop.key(MARKER)
            self.taken = self.expect(f"key {MARKER - 8} 0")
        else:
            time.sleep(0.3)
            self.log.read()
            self.taken, self.log.lines[:] = list(self.log.lines), []
        return [x for x in self.taken if x.split()[0] in ("key", "button", "move") and
                x.split()[1] not in (str(MARKER - 8), str(KNOCK - 8))]

    def do(self, command):
        self.p.stdin.write(command.encode() + b"\n")
        self.p.stdin.flush()
        self.expect("ok")

    def end(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGCONT)
            self.p.kill()
        self.p.wait()


class Console:
    def __init__(self, env, vm, *args, program=(CONSOLE,), **more):
        self.env, self.vm = env, vm
        self.log = open(os.path.join(env.dir, f"stderr-{len(env.consoles)}"), "w+")
        before = {w for w, _ in env.desktop.windows()}
        self.p = subprocess.Popen([*program, *args, vm.name], stderr=self.log,
                                  stdin=subprocess.DEVNULL, env={**env.env, **more})
        w = until(lambda: self._new(before), lambda: f"no window: {self.err()}")
        self.window = xdisplay.Window(env.desktop, w)
        self.focus()

    def _new(self, before):
        check(self.p.poll() is None, f"the console ended: {self.p.returncode} {self.err()}")
        return next((w for w, t in self.env.desktop.windows()
                     if w not in before and re.match(rf"{self.vm.name}\b", t)), None)

    def err(self):
        """Its messages; a report of a sanitizer would be among them."""
        self.log.seek(0)
        return self.log.read()

    def title(self, part):
        until(lambda: part in self.window.title(), lambda: f"title '{self.window.title()}'")

    def shows(self, want, what):
        self.window.wait(lambda p: p.different(want) == 0, what)

    def shows_middles(self, width, height):
        """The pattern, so large that the middle of each of its pixels is that colour."""
        want = pattern(width, height)

        def good(p):
            xs = [int((x + 0.5) * p.width / width) for x in range(width)]
            for y in range(height):
                row, exact = p.row(int((y + 0.5) * p.height / height)), want.row(y)
                if b"".join(row[3 * x:3 * x + 3] for x in xs) != exact:
                    return False
            return True
        self.window.wait(good, f"each pixel of {width}x{height}")

    def size(self, width, height):
        until(lambda: self.window.geometry()[2:] == (width, height),
              lambda: f"size {self.window.geometry()[2:]}, not {(width, height)}")

    def resize(self, width, height):
        """As the user does."""
        self.env.desktop.tell_wm(self.window.w, "_NET_MOVERESIZE_WINDOW", 0xf0a, 20, 40, width, height)
        self.size(width, height)

    def close(self):
        """Its close button."""
        self.env.desktop.tell_wm(self.window.w, "_NET_CLOSE_WINDOW", 0, 2)

    def focus(self):
        d = self.env.desktop

        def active():
            if d.active() == self.window.w:
                return True
            d.tell_wm(self.window.w, "_NET_ACTIVE_WINDOW", 2)
            return False
        until(active, "the window has the focus")

        def heard():
            d.key(KNOCK)
            time.sleep(0.02)
            return f"key {KNOCK - 8} 0" in self.vm.log.read()
        until(heard, "the window has the keyboard")

    def point(self, x, y):
        left, top, _, _ = self.window.geometry()
        self.env.desktop.point(left + x, top + y)

    def grab(self):
        """Clicks into it."""
        _, _, w, h = self.window.geometry()
        self.point(w // 2, h // 2)
        self.env.desktop.button(1)
        self.title("frees the pointer")

    def panel(self):
        """Waits until a panel is open: the picture's corner is dimmed."""
        self.window.wait(lambda p: max(p.part(0, 0, p.width, 20).data) < 128, "a panel")

    def no_panel(self):
        self.window.wait(lambda p: max(p.part(0, 0, p.width, 60).data) > 200, "the picture")

    def wait(self):
        """The exit status."""
        until(lambda: self.p.poll() is not None, "the console ends")
        return self.p.returncode

    def end(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(TIMEOUT * PATIENCE)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        text = self.err()
        check("Sanitizer" not in text and "runtime error" not in text, text)


class Env:
    def __enter__(self):
        for program in ("Xvfb", "openbox", "setxkbmap"):
            if not shutil.which(program):
                raise Skip(f"{program} is not installed")
        self.dir = tempfile.mkdtemp(prefix="lodge-ui-")
        self.desktop = Desktop().__enter__()
        runtime = os.path.join(self.dir, "runtime")
        os.mkdir(runtime, 0o700)
        suppressions = os.path.join(self.dir, "suppressions")
        with open(suppressions, "w") as f:   # SDL 2.26 reads past the end of a key's text
            f.write("interceptor_via_lib:libSDL2\n")
        self.env = {**self.desktop.env(), "XDG_RUNTIME_DIR": runtime, "LC_ALL": "C.UTF-8",
                    "XDG_CONFIG_HOME": self.dir, "XDG_STATE_HOME": self.dir,
                    # what libraries of the desktop keep until the end is not ours
                    "ASAN_OPTIONS": f"detect_leaks=0:abort_on_error=1:suppressions={suppressions}",
                    "UBSAN_OPTIONS": "halt_on_error=1:abort_on_error=1"}
        self.vms, self.consoles = [], []
        return self

    def __exit__(self, *exc):
        if SCREENS or exc[0]:
            path = os.path.join(SCREENS or "/tmp", f"lodge-ui-{self.name}.png")
            self.desktop.whole().pixels().save(path)
        for c in self.consoles:
            if c.p.poll() is None:
                c.p.kill()
                c.p.wait()
        for vm in self.vms:
            vm.end()
        self.desktop.__exit__(*exc)
        shutil.rmtree(self.dir)

    def vm(self, name="test"):
        self.vms.append(FakeVm(self, name))
        return self.vms[-1]

    def console(self, vm, *args, **more):
        self.consoles.append(Console(self, vm, *args, **more))
        return self.consoles[-1]

    def both(self, *args, **more):
        vm = self.vm()
        return vm, self.console(vm, *args, **more)

    def picture(self, name):
        """The whole screen, for people."""
        if SCREENS:
            self.desktop.whole().pixels().save(os.path.join(SCREENS, f"{name}.png"))

    def ini(self, text):
        os.makedirs(os.path.join(self.dir, "lodge"), exist_ok=True)
        with open(os.path.join(self.dir, "lodge/console.ini"), "w") as f:
            f.write("[console]\n" + text)

    def check_nothing_left(self):
        for c in self.consoles:
            c.end()
