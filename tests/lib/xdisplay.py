"""xdisplay: an X server without a monitor, its windows' pixels, and a hand on its keyboard and mouse.

Pixels come as `Pixels`: rows of RGB. Keys and pointer are XTEST's, so programs cannot tell them from
a person's. libX11 and libXtst by ctypes: no Python package is needed.
"""
import ctypes
import os
import struct
import subprocess
import time
import zlib
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p

from lodgevm import PATIENCE, Failed


class _XImage(ctypes.Structure):
    _fields_ = [("width", c_int), ("height", c_int), ("xoffset", c_int), ("format", c_int),
                ("data", c_void_p), ("byte_order", c_int), ("bitmap_unit", c_int),
                ("bitmap_bit_order", c_int), ("bitmap_pad", c_int), ("depth", c_int),
                ("bytes_per_line", c_int), ("bits_per_pixel", c_int)]


class _Attributes(ctypes.Structure):
    """XWindowAttributes."""
    _fields_ = [("x", c_int), ("y", c_int), ("width", c_int), ("height", c_int),
                ("border_width", c_int), ("depth", c_int), ("visual", c_void_p),
                ("root", c_ulong), ("class_", c_int), ("bit_gravity", c_int),
                ("win_gravity", c_int), ("backing_store", c_int), ("backing_planes", c_ulong),
                ("backing_pixel", c_ulong), ("save_under", c_int), ("colormap", c_ulong),
                ("map_installed", c_int), ("map_state", c_int), ("all_event_masks", c_long),
                ("your_event_mask", c_long), ("do_not_propagate_mask", c_long),
                ("override_redirect", c_int), ("screen", c_void_p)]


class Pixels:
    """RGB, three bytes a pixel, row after row."""

    def __init__(self, width, height, data):
        self.width, self.height, self.data = width, height, bytes(data)

    def at(self, x, y):
        i = (y * self.width + x) * 3
        return tuple(self.data[i:i + 3])

    def row(self, y):
        return self.data[y * self.width * 3:(y + 1) * self.width * 3]

    def part(self, x, y, width, height):
        return Pixels(width, height, b"".join(
            self.data[((y + j) * self.width + x) * 3:((y + j) * self.width + x + width) * 3]
            for j in range(height)))

    def thinned(self, fx, fy):
        """One pixel of each block of fx by fy."""
        if (fx, fy) == (1, 1):
            return self
        w = self.width // fx
        rows = []
        for y in range(0, self.height // fy * fy, fy):
            row = self.row(y)
            thin = bytearray(w * 3)
            for c in range(3):
                thin[c::3] = row[c::3 * fx][:w]
            rows.append(bytes(thin))
        return Pixels(w, len(rows), b"".join(rows))

    def enlarged(self, fx, fy):
        """Each pixel as a block of fx by fy."""
        rows = []
        for y in range(self.height):
            row = self.row(y)
            big = bytearray(self.width * fx * 3)
            for c in range(3):
                for i in range(fx):
                    big[i * 3 + c::3 * fx] = row[c::3]
            rows += [bytes(big)] * fy
        return Pixels(self.width * fx, self.height * fy, b"".join(rows))

    def colours(self):
        """How often each colour is there."""
        n = {}
        for i in range(0, len(self.data), 3):
            c = self.data[i:i + 3]
            n[c] = n.get(c, 0) + 1
        return n

    def different(self, other):
        """Share of the pixels that differ; 1 if the sizes do."""
        if (self.width, self.height) != (other.width, other.height):
            return 1.0
        if self.data == other.data:
            return 0.0
        n = sum(self.data[i:i + 3] != other.data[i:i + 3] for i in range(0, len(self.data), 3))
        return n * 3 / len(self.data)

    def save(self, path):
        """As PNG."""
        def chunk(kind, data):
            return (struct.pack(">I", len(data)) + kind + data +
                    struct.pack(">I", zlib.crc32(kind + data)))
        rows = b"".join(b"\0" + self.row(y) for y in range(self.height))
        with open(path, "wb") as f:
            f.write(b"\x89PNG\r\n\x1a\n" +
                    chunk(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)) +
                    chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b""))


def load_png(path):
    """8 bits, RGB or RGBA, not interlaced: what Lodge and save() write."""
    data = open(path, "rb").read()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise Failed(f"{path} is no PNG file")
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, bits, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    n = {2: 3, 6: 4}.get(colour)
    if bits != 8 or n is None or interlace:
        raise Failed(f"{path}: a kind of PNG that Lodge does not write")
    return Pixels(width, height, _unfilter(zlib.decompress(packed), width, height, n))


def _unfilter(raw, width, height, n):
    line, out, above = width * n, bytearray(), bytearray(width * n)
    for y in range(height):
        kind = raw[y * (line + 1)]
        row = bytearray(raw[y * (line + 1) + 1:(y + 1) * (line + 1)])
        for i in range(line) if kind else ():
            a = row[i - n] if i >= n else 0
            b, c = above[i], above[i - n] if i >= n else 0
            row[i] = (row[i] + (a, b, (a + b) // 2, _paeth(a, b, c))[kind - 1]) & 255
        above = row
        out += row if n == 3 else b"".join(row[i:i + 3] for i in range(0, line, n))
    return out


def _paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def _library(name, functions):
    lib = ctypes.CDLL(name)
    for f, result, *args in functions:
        getattr(lib, f).restype, getattr(lib, f).argtypes = result, args
    return lib


_x11 = _library("libX11.so.6", [
    ("XOpenDisplay", c_void_p, c_char_p), ("XCloseDisplay", c_int, c_void_p),
    ("XDefaultRootWindow", c_ulong, c_void_p), ("XSync", c_int, c_void_p, c_int),
    ("XFree", c_int, c_void_p), ("XKeysymToKeycode", ctypes.c_ubyte, c_void_p, c_ulong),
    ("XStringToKeysym", c_ulong, c_char_p),
    ("XInternAtom", c_ulong, c_void_p, c_char_p, c_int),
    ("XGetWindowProperty", c_int, c_void_p, c_ulong, c_ulong, c_long, c_long, c_int, c_ulong,
     POINTER(c_ulong), POINTER(c_int), POINTER(c_ulong), POINTER(c_ulong), POINTER(c_void_p)),
    ("XQueryTree", c_int, c_void_p, c_ulong, POINTER(c_ulong), POINTER(c_ulong),
     POINTER(c_void_p), POINTER(c_uint)),
    ("XGetGeometry", c_int, c_void_p, c_ulong, POINTER(c_ulong), POINTER(c_int), POINTER(c_int),
     POINTER(c_uint), POINTER(c_uint), POINTER(c_uint), POINTER(c_uint)),
    ("XTranslateCoordinates", c_int, c_void_p, c_ulong, c_ulong, c_int, c_int, POINTER(c_int),
     POINTER(c_int), POINTER(c_ulong)),
    ("XGetImage", POINTER(_XImage), c_void_p, c_ulong, c_int, c_int, c_uint, c_uint, c_ulong,
     c_int),
    ("XGetWindowAttributes", c_int, c_void_p, c_ulong, POINTER(_Attributes)),
    ("XMoveResizeWindow", c_int, c_void_p, c_ulong, c_int, c_int, c_uint, c_uint),
    ("XSetInputFocus", c_int, c_void_p, c_ulong, c_int, c_ulong),
    ("XRaiseWindow", c_int, c_void_p, c_ulong),
    ("XQueryPointer", c_int, c_void_p, c_ulong, POINTER(c_ulong), POINTER(c_ulong),
     POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_int), POINTER(c_uint))])
_xtst = _library("libXtst.so.6", [
    ("XTestFakeKeyEvent", c_int, c_void_p, c_uint, c_int, c_ulong),
    ("XTestFakeButtonEvent", c_int, c_void_p, c_uint, c_int, c_ulong),
    ("XTestFakeMotionEvent", c_int, c_void_p, c_int, c_int, c_int, c_ulong),
    ("XTestFakeRelativeMotionEvent", c_int, c_void_p, c_int, c_int, c_ulong)])
_HANDLER = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
_ignore = _HANDLER(lambda display, event: 0)     # windows that go away while they are asked
_x11.XSetErrorHandler(_ignore)


class Screen:
    """An Xvfb of our own; programs reach it by env(). Ended at the end of `with`."""

    def __init__(self, width=1280, height=1024):
        r, w = os.pipe()
        self.p = subprocess.Popen(
            ["Xvfb", "-displayfd", str(w), "-screen", "0", f"{width}x{height}x24", "-nolisten",
             "tcp", "-noreset"], pass_fds=(w,), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(w)
        with os.fdopen(r) as f:
            number = f.readline().strip()
        if not number:
            raise Failed("Xvfb does not start")
        self.name = ":" + number
        self.d = _x11.XOpenDisplay(self.name.encode())
        if not self.d:
            raise Failed(f"cannot open the display {self.name}")
        self.root = _x11.XDefaultRootWindow(self.d)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _x11.XCloseDisplay(self.d)
        self.p.terminate()
        self.p.wait()

    def env(self):
        e = dict(os.environ, DISPLAY=self.name, SDL_VIDEODRIVER="x11")
        e.pop("WAYLAND_DISPLAY", None)
        return e

    # ---- windows

    def _children(self, w):
        root, parent, list_, n = c_ulong(), c_ulong(), c_void_p(), c_uint()
        if not _x11.XQueryTree(self.d, w, byref(root), byref(parent), byref(list_), byref(n)):
            return []
        found = [] if not list_ else list(ctypes.cast(list_, POINTER(c_ulong))[:n.value])
        if list_:
            _x11.XFree(list_)
        return found

    def _title(self, w):
        return self._property(w, "_NET_WM_NAME").decode("utf-8", "replace")

    def _property(self, w, name):
        """Its bytes; numbers of 32 bits are 8 bytes each, as Xlib has them. None is empty."""
        kind, bits, n, rest, data = c_ulong(), c_int(), c_ulong(), c_ulong(), c_void_p()
        _x11.XGetWindowProperty(self.d, w, _x11.XInternAtom(self.d, name.encode(), 0), 0, 1024, 0, 0,
                                byref(kind), byref(bits), byref(n), byref(rest), byref(data))
        if not data:
            return b""
        got = ctypes.string_at(data, n.value * {8: 1, 16: 2, 32: 8}.get(bits.value, 0))
        _x11.XFree(data)
        return got

    def windows(self):
        """(window, title) of all that have one."""
        todo, found = [self.root], []
        while todo:
            w = todo.pop()
            title = self._title(w)
            if title:
                found.append((w, title))
            todo += self._children(w)
        return found

    def window(self, part, timeout=20):
        """The window with that text in its title, once it is shown."""
        end = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < end:
            for w, title in self.windows():
                if part in title and Window(self, w).shown():
                    return Window(self, w)
            time.sleep(0.05)
        raise Failed(f"no window '{part}', but {[t for _, t in self.windows()]}")

    def whole(self):
        return Window(self, self.root)

    # ---- keyboard and mouse

    def _sync(self):
        _x11.XSync(self.d, 0)

    def keycode(self, key):
        """key: an X keycode, or a keysym's name: "a", "Return", "Left"."""
        if isinstance(key, int):
            return key
        code = _x11.XKeysymToKeycode(self.d, _x11.XStringToKeysym(key.encode()))
        if not code:
            raise Failed(f"the X keyboard has no key '{key}'")
        return code

    def key(self, key, down=None):
        """Presses (True), releases (False), or both."""
        code = self.keycode(key)
        for d in ((True, False) if down is None else (down,)):
            _xtst.XTestFakeKeyEvent(self.d, code, d, 0)
            self._sync()

    def keys(self, *keys, pause=0.05):
        for k in keys:
            self.key(k)
            time.sleep(pause)

    def chord(self, *keys):
        for k in keys:
            self.key(k, True)
        for k in reversed(keys):
            self.key(k, False)

    def point(self, x, y):
        _xtst.XTestFakeMotionEvent(self.d, -1, x, y, 0)
        self._sync()

    def move(self, dx, dy):
        _xtst.XTestFakeRelativeMotionEvent(self.d, dx, dy, 0)
        self._sync()

    def button(self, number=1, down=None):
        """As key(); 1 left, 2 middle, 3 right, 4 and 5 the wheel."""
        for d in ((True, False) if down is None else (down,)):
            _xtst.XTestFakeButtonEvent(self.d, number, d, 0)
            self._sync()

    def pointer(self):
        r, c = c_ulong(), c_ulong()
        x, y, wx, wy, mask = c_int(), c_int(), c_int(), c_int(), c_uint()
        _x11.XQueryPointer(self.d, self.root, byref(r), byref(c), byref(x), byref(y), byref(wx),
                           byref(wy), byref(mask))
        return x.value, y.value


class Window:
    def __init__(self, screen, w):
        self.screen, self.w = screen, w
        self.seen = None, None      # the last Pixels, and what they were made of

    def title(self):
        return self.screen._title(self.w)

    def geometry(self):
        """(x, y on the screen, width, height)"""
        s, d = self.screen, self.screen.d
        root, x, y, w, h, b, depth = (c_ulong(), c_int(), c_int(), c_uint(), c_uint(), c_uint(),
                                      c_uint())
        if not _x11.XGetGeometry(d, self.w, byref(root), byref(x), byref(y), byref(w), byref(h),
                                 byref(b), byref(depth)):
            raise Failed("the window is gone")
        child = c_ulong()
        _x11.XTranslateCoordinates(d, self.w, s.root, 0, 0, byref(x), byref(y), byref(child))
        return x.value, y.value, w.value, h.value

    def shown(self):
        a = _Attributes()
        return bool(_x11.XGetWindowAttributes(self.screen.d, self.w, byref(a))) and a.map_state == 2

    def place(self, x, y, width, height):
        _x11.XMoveResizeWindow(self.screen.d, self.w, x, y, width, height)
        self.screen._sync()

    def focus(self):
        _x11.XRaiseWindow(self.screen.d, self.w)
        _x11.XSetInputFocus(self.screen.d, self.w, 1, 0)    # RevertToPointerRoot
        self.screen._sync()

    def raw(self, x, y, width, height):
        """A part of it as the X server has it: blue, green, red and nothing of each pixel."""
        image = _x11.XGetImage(self.screen.d, self.w, x, y, width, height,
                               c_ulong(-1 & 0xffffffffffffffff), 2)     # ZPixmap
        if not image:
            raise Failed("the window's pixels cannot be had (it is gone, or hidden)")
        i = image.contents
        raw = ctypes.string_at(i.data, i.bytes_per_line * i.height)
        _x11.XFree(i.data)
        _x11.XFree(image)
        return raw

    def pixels(self):
        """What the window shows now, as far as it lies on the screen and nothing covers it."""
        _, _, w, h = self.geometry()
        try:
            raw = self.raw(0, 0, w, h)
        except Failed:
            if self.geometry()[2:] == (w, h):
                raise
            return self.pixels()            # it was made smaller in between
        if self.seen[1] != (w, h, raw):
            rgb = bytearray(w * h * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = raw[2::4], raw[1::4], raw[0::4]
            self.seen = Pixels(w, h, rgb), (w, h, raw)
        return self.seen[0]

    def wait(self, good, what, timeout=20):
        """The first pixels that good() is content with."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            p = self.pixels()
            if good(p):
                return p
            if time.monotonic() > end:
                path = os.path.join(os.environ.get("LODGE_SCREENS", "/tmp"), "lodge-last-screen.png")
                p.save(path)
                raise Failed(f"not seen within {timeout} s: {what} (the last picture is in {path})")
            time.sleep(0.1)
