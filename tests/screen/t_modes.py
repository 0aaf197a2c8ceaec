"""Each VGA mode as the window shows it, against an image made here from the mode's definition."""
import functools
import os
import struct
import subprocess

from lib_screen import HERE, check
from xdisplay import Pixels

ROM = "/usr/share/seabios/vgabios-stdvga.bin"
GLYPH_A = {16: "00001038 6cc6c6fe c6c6c6c6 00000000", 8: "3078cccc fccccc00",
           14: "00001038 6cc6c6fe c6c6c600 0000"}


# What modes.asm puts at each offset of the four planes:
# offset * 7 + (offset >> 8) * 13 + (offset >> 16) * 5 + plane * 29. What adds up in 256 bytes is 0.
BLOCKS = [bytes((low * 7 + first) & 255 for low in range(256)) for first in range(256)]
MEMORY = [b"".join(BLOCKS[(high * 13 + (high >> 8) * 5 + plane * 29) & 255] for high in range(3 << 12))
          for plane in range(4)]


def byte(offset, plane=0):
    return MEMORY[plane][offset]


def six_bits(*rgb):
    """A DAC entry as the monitor shows it."""
    return bytes(v << 2 | v >> 4 for v in rgb)


# IBM's sixteen colours.
EGA = [six_bits(*rgb) for rgb in (
    (0, 0, 0), (0, 0, 42), (0, 42, 0), (0, 42, 42), (42, 0, 0), (42, 0, 42), (42, 21, 0),
    (42, 42, 42), (21, 21, 21), (21, 21, 63), (21, 63, 21), (21, 63, 63), (63, 21, 21),
    (63, 21, 63), (63, 63, 21), (63, 63, 63))]
DAC256 = [six_bits(i & 63, i * 3 & 63, i >> 2) for i in range(256)]


def font(height):
    rom = open(ROM, "rb").read()
    base = rom.index(bytes.fromhex(GLYPH_A[height])) - ord("A") * height
    return [rom[base + c * height:base + (c + 1) * height] for c in range(256)]


def image(width, height, colour):
    return Pixels(width, height, b"".join(colour(x, y) for y in range(height)
                                          for x in range(width)))


def text(columns, lines, cell_width, cell_height, colours=lambda attr: (attr & 15, attr >> 4)):
    glyphs = font(cell_height)

    def dot(x, y):
        at = (y // cell_height * columns + x // cell_width) * 2
        char, attr, i = byte(at), byte(at + 1), x % cell_width
        row = glyphs[char][y % cell_height]
        if i == 8:  # the ninth dot is the eighth's of line drawing characters, else background
            i = 7 if 0xc0 <= char <= 0xdf else 8
        on = i < 8 and row >> (7 - i) & 1
        fg, bg = colours(attr)
        return EGA[fg if on else bg]
    return image(columns * cell_width, lines * cell_height, dot)


def mono(columns, lines):
    """MDA attributes: dark, reverse, normal, bright; 1 on a dark background is underlined, in the
    line that the VGA BIOS sets."""
    glyphs = font(16)

    def dot(x, y):
        at = (y // 16 * columns + x // 9) * 2
        char, attr, i = byte(at), byte(at + 1), x % 9
        if i == 8:
            i = 7 if 0xc0 <= char <= 0xdf else 8
        on = i < 8 and glyphs[char][y % 16] >> (7 - i) & 1
        if attr & 0x77 == 1 and y % 16 == 15:
            on = True
        index = attr & 15 if on else attr >> 4
        return MONO[index]
    return image(columns * 9, lines * 16, dot)


# Mode 7's palette: index 0 dark, 1 to 7 normal, 9 to 15 bright; 8 is normal, as the VGA BIOS loads
# the DAC (IBM's is dark).
MONO = [six_bits(0, 0, 0)] + [six_bits(42, 42, 42)] * 8 + [six_bits(63, 63, 63)] * 7


def cga4(x, y):
    pixel = byte((y & 1) * 0x2000 + (y >> 1) * 80 + x // 4) >> (6 - x % 4 * 2) & 3
    return EGA[(0, 11, 13, 15)[pixel]]


def cga2(x, y):
    return EGA[byte((y & 1) * 0x2000 + (y >> 1) * 80 + x // 8) >> (7 - x % 8) & 1 and 15]


def planar(pitch, start=lambda y: 0):
    def dot(x, y):
        at, bit = start(y) + y * pitch + x // 8, 7 - x % 8
        return EGA[sum((byte(at, p) >> bit & 1) << p for p in range(4))]
    return dot


def unchained(pitch):
    return lambda x, y: DAC256[byte(y * pitch + x // 4, x % 4)]


def split(x, y):
    at = (8000 + y * 80 if y < 240 else (y - 240) * 80) + x // 8
    return EGA[sum((byte(at, p) >> (7 - x % 8) & 1) << p for p in range(4))]


def panned(x, y):
    at, bit = 4000 + y * 40 + (x + 3) // 8, 7 - (x + 3) % 8
    return EGA[sum((byte(at, p) >> bit & 1) << p for p in range(4))]


def linear(width, height, code, decode):
    """A picture from the memory's start; code: of a pixel there, as struct has it."""
    values = memoryview(MEMORY[0])[:width * height * struct.calcsize(code)].cast(code)
    return Pixels(width, height, b"".join(map(functools.cache(decode), values)))


def true_colour(width, height, pixel_bytes):
    """Blue, green and red of each pixel, from the memory's start."""
    rgb = bytearray(width * height * 3)
    for i in range(3):
        rgb[2 - i::3] = MEMORY[0][i:width * height * pixel_bytes:pixel_bytes]
    return Pixels(width, height, rgb)


def wide(v, bits):
    return v << (8 - bits) | v >> (2 * bits - 8)


def rgb565(v):
    return bytes((wide(v >> 11, 5), wide(v >> 5 & 63, 6), wide(v & 31, 5)))


def rgb555(v):
    return bytes((wide(v >> 10 & 31, 5), wide(v >> 5 & 31, 5), wide(v & 31, 5)))


# name, number in modes.asm, how the window enlarges it, the image
MODES = [
    ("text-40", 0, 2, lambda: text(40, 25, 9, 16)),
    ("text-80", 1, 2, lambda: text(80, 25, 9, 16)),
    ("text-8-dots", 2, 2, lambda: text(80, 25, 8, 16)),
    ("text-50-lines", 3, 2, lambda: text(80, 50, 9, 8)),
    ("text-mono", 4, 2, lambda: mono(80, 25)),
    ("cga-320x200x4", 5, 2, lambda: image(320, 200, cga4)),
    ("cga-640x200x2", 6, 2, lambda: image(640, 200, cga2)),
    ("planar-320x200", 7, 2, lambda: image(320, 200, planar(40))),
    ("planar-640x200", 8, 2, lambda: image(640, 200, planar(80))),
    ("planar-640x350", 9, 2, lambda: image(640, 350, planar(80))),
    ("planar-640x480", 10, 1, lambda: image(640, 480, planar(80))),
    ("planar-640x480x2", 11, 1,
     lambda: image(640, 480, lambda x, y: EGA[byte(y * 80 + x // 8) >> (7 - x % 8) & 1 and 15])),
    ("320x200x256", 12, 2, lambda: image(320, 200, lambda x, y: DAC256[byte(y * 320 + x)])),
    ("unchained-320x200", 13, 2, lambda: image(320, 200, unchained(80))),
    ("mode-x-320x240", 14, 2, lambda: image(320, 240, unchained(80))),
    ("unchained-360x480", 15, 2, lambda: image(360, 480, unchained(90))),
    ("split", 16, 1, lambda: image(640, 480, split)),
    ("panned", 17, 2, lambda: image(320, 200, panned)),
    ("vbe-640x480x8", 18, 1, lambda: linear(640, 480, "B", DAC256.__getitem__)),
    ("vbe-640x480x16", 19, 1, lambda: linear(640, 480, "H", rgb565)),
    ("vbe-800x600x15", 20, 1, lambda: linear(800, 600, "H", rgb555)),
    ("vbe-800x600x24", 21, 1, lambda: true_colour(800, 600, 3)),
    ("vbe-1024x768x32", 22, 1, lambda: true_colour(1024, 768, 4)),
]


def shows(window, picture):
    """The picture in the middle of the window, each pixel a block of the same size."""
    for fx in range(1, window.width // picture.width + 1):
        for fy in range(1, window.height // picture.height + 1):
            left = (window.width - picture.width * fx) // 2
            top = (window.height - picture.height * fy) // 2
            part = window.part(left, top, picture.width * fx, picture.height * fy)
            if part.data == picture.enlarged(fx, fy).data:
                return True
    return False


def start(env):
    subprocess.run(["nasm", "-f", "bin", "-I", os.path.join(HERE, "../programs/"), "-o",
                    env.path("disk"), os.path.join(HERE, "modes.asm")], check=True)
    with open(env.path("disk"), "ab") as f:
        f.truncate(1 << 20)
    return env.seen("--memory", "32M", "--disk", "disk", stdin=subprocess.PIPE)


@functools.cache
def picture_of(make):
    return make()


def set_mode(s, number):
    """Returns when the pattern is there."""
    s.vm.p.stdin.write(bytes([number]))
    s.vm.p.stdin.flush()
    got = read_until(s, b".!?")
    check(got.endswith(b"."), f"the VGA BIOS refuses mode {number}")


def compare(s, enlarge, make):
    picture = picture_of(make)
    # At least as high as a monitor makes it, or it would be scaled down.
    s.resize(picture.width * enlarge, max(picture.height, picture.width * 3 // 4) * enlarge)
    s.wait(lambda p: shows(p, picture), "the mode's picture", timeout=10)


def read_until(s, ends):
    got = b""
    while not got or got[-1] not in ends:
        c = os.read(s.vm.p.stdout.fileno(), 1)
        check(c, f"the VM ended: {got!r} {s.vm.err()}")
        got += c
    return got


def _test(number, enlarge, make):
    def test(env):
        s = start(env)
        read_until(s, b">")
        set_mode(s, number)
        compare(s, enlarge, make)
    return test


def test_vga_mode_saved(env):
    """Every mode is the same picture in a VM that goes on from a saved state; that sets the next one."""
    s = start(env)
    read_until(s, b">")
    for name, number, enlarge, make in MODES:
        set_mode(s, number)
        read_until(s, b">")
        env.save(s.vm, name)
        s = env.seen("--state", name, "--disk", "disk", stdin=subprocess.PIPE, name=f"after-{name}")
        os.unlink(env.path(name))
        compare(s, enlarge, make)


for _name, *_how in MODES:
    globals()["test_vga_mode_" + _name.replace("-", "_")] = _test(*_how)
