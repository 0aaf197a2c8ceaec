"""What the tests of screens share: an X server, a VM in a console window, its pixels, text on them."""
import os
import subprocess
import sys
import time

import lib
from lib import LODGE, Skip, check  # noqa: F401
from lodgevm import PATIENCE
from xdisplay import Screen
import screen_text

HERE = os.path.dirname(os.path.abspath(__file__))
SCREENS = os.environ.get("LODGE_SCREENS", "")
# What X calls the keys of characters, and which key's upper half a character is.
NAMES = {" ": "space", "\n": "Return", "-": "minus", "=": "equal", "/": "slash", ".": "period",
         ",": "comma", ";": "semicolon", "'": "apostrophe", "`": "grave", "[": "bracketleft",
         "]": "bracketright", "\\": "backslash"}
SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./"))


def media(name):
    """The folder with the files of a guest."""
    r = subprocess.run([os.path.join(HERE, "media.sh"), name], stdout=subprocess.PIPE, text=True)
    check(r.returncode == 0, f"media.sh {name}: status {r.returncode}")
    return r.stdout.strip()


class Env(lib.Env):
    """As of tests/programs, with an X server and a home folder of its own."""

    def __enter__(self):
        super().__enter__()
        self.screen = Screen(1640, 1240).__enter__()
        self.windows = []
        home = os.path.join(self.dir, "home")
        os.makedirs(os.path.join(home, "lodge"))
        with open(os.path.join(home, "lodge", "console.ini"), "w") as f:
            f.write("[console]\nscaling=integer\n")
        self.env.update(self.screen.env(), XDG_RUNTIME_DIR=self.runtime, XDG_CONFIG_HOME=home,
                        XDG_STATE_HOME=home)
        return self

    def __exit__(self, *exc):
        if exc[0] is not None or SCREENS:
            self.keep_picture(exc[0] is not None)
        self.close_windows()
        super().__exit__(*exc)
        self.screen.__exit__()

    def close_windows(self):
        while self.windows:
            w = self.windows.pop()
            if w.poll() is None:
                w.terminate()
            w.wait(15)

    def keep_picture(self, failed):
        """The whole screen as it is at the end."""
        folder = SCREENS or "/tmp"
        path = os.path.join(folder, f"{self.name}{'-failed' if failed else ''}.png")
        self.screen.whole().pixels().save(path)
        print(f"# the screen at the end: {path}", file=sys.stderr)

    def seen(self, *args, name="test", **more):
        """A VM in a window."""
        vm = self.vm("--headless", "--engine", "soft", *args, name=name, **more)
        return self.look_at(vm)

    def save(self, vm, name):
        """Saves it to that file, and ends it and all windows."""
        self.lodge("save", vm.name, name)
        self.close_windows()
        vm.end()

    def look_at(self, vm):
        """A console window on it."""
        self.windows.append(subprocess.Popen([LODGE, "console", vm.name], stdin=subprocess.DEVNULL,
                                             env=self.env, cwd=self.work))
        return Seen(self.screen, vm)


class Seen:
    """A console window on a VM. Its pictures are crisp: whole factors, centred on black."""

    def __init__(self, screen, vm):
        self.screen, self.vm = screen, vm
        self.window = screen.window(vm.name)
        self.window.focus()
        self.layout()

    def resize(self, width, height):
        x, y, w, h = self.window.geometry()
        if (w, h) != (width, height):
            self.window.place(0, 0, width, height)
            self.wait(lambda p: (p.width, p.height) == (width, height), "the window's new size")

    def wait(self, good, what, timeout=20):
        return self.window.wait(good, what, timeout)

    # ---- text screens

    def layout(self, width=720, height=400, columns=80, font=None):
        """What the guest shows from now on: a picture of that size, with lines of 16 dots."""
        self.size, self.columns = (width, height), columns
        self.font = font or screen_text.bios_font()

    def picture(self, pixels=None):
        """The guest's picture, a pixel each, in the window of whatever size; None: it is too small."""
        p = pixels or self.window.pixels()
        width, height = self.size
        fx, fy = max(p.width // width, 1), max(p.height // height, 1)
        left, top = (p.width - width * fx) // 2, (p.height - height * fy) // 2
        if left < 0 or top < 0:
            return None
        return p.part(left, top, width * fx, height * fy).thinned(fx, fy)

    def cells(self, picture=None):
        """Lines of screen_text.Cell."""
        p = picture or self.picture()
        return screen_text.look(p, self.columns, self.size[1] // 16, self.font) if p else []

    def lines(self, picture=None):
        return ["".join(c.char for c in line).rstrip() for line in self.cells(picture)]

    def text(self):
        return "\n".join(self.lines())

    def expect(self, part, timeout=60):
        """Waits until that text is on the screen; the lines."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            text = self.text()
            if part in text:
                return text.split("\n")
            check(self.vm.p.poll() is None, f"the VM ended before '{part}': {self.vm.err()[-200:]}")
            check(time.monotonic() < end, f"'{part}' is not on the screen: {shown(text)}")
            time.sleep(0.1)

    def take_pointer(self):
        """By a click; returns once the guest has it."""
        x, y, w, h = self.window.geometry()
        self.window.focus()
        self.screen.point(x + w // 3, y + h // 3)
        self.screen.button()
        end = time.monotonic() + 20 * PATIENCE
        while "frees the pointer" not in self.window.title():
            check(time.monotonic() < end, f"a click takes the pointer: {self.window.title()}")
            time.sleep(0.02)

    def press(self, *keys, pause=0.05):
        self.window.focus()
        self.screen.keys(*keys, pause=pause)

    def type(self, text, pause=0.05):
        """As on a US keyboard."""
        self.window.focus()
        for c in text:
            plain = SHIFTED.get(c, c.lower())
            key = NAMES.get(plain, plain)
            self.screen.chord(*(("Shift_L", key) if plain != c else (key,)))
            time.sleep(pause)


def shown(text):
    return " | ".join(x.strip() for x in text.split("\n") if x.strip())[-400:]
