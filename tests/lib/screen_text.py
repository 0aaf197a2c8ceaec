"""screen_text: reads a text screen off its pixels, by the font of the VGA BIOS or of a Linux kernel.

What the guest's memory holds does not matter here: a cell is the character whose glyph its pixels
are, whatever the colours; a cell that is no glyph (the cursor's, for one) is read as U+FFFD.
"""
import functools
import lzma
from collections import namedtuple

BIOS = "/usr/share/seabios/vgabios-stdvga.bin"
_A16 = bytes([0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0])

# char: a string of one. paper: the colour behind it, ink: its own, None of a blank; both None of no glyph.
Cell = namedtuple("Cell", "char ink paper")


class Font:
    """Glyphs of code page 437, eight dots wide and 16 rows high."""

    def __init__(self, data):
        """data holds a table of them somewhere, known by its letter A."""
        base = data.index(_A16) - ord("A") * 16
        glyphs = [bytes(data[base + c * 16:base + c * 16 + 16]) for c in range(256)]
        # Of equal ones the lowest code; what is below 32 is no text.
        self.codes = {rows: c for c, rows in reversed(list(enumerate(glyphs)))}
        self.codes[bytes(16)] = 32
        self.known = {}

    def cell(self, raw):
        """raw: RGB of 16 rows, the first eight dots of each are looked at."""
        if raw not in self.known:
            self.known[raw] = self._find(raw)
        return self.known[raw]

    def _find(self, raw):
        rows, colours = _bits(raw)
        if rows is not None:
            for paper in range(2):                  # the first dot's colour may be either
                c = self.codes.get(bytes(b ^ (255 * paper) for b in rows))
                if c is not None and c >= 32:
                    both = (*colours, None)
                    return Cell(bytes([c]).decode("cp437"), both[1 - paper], both[paper])
        return Cell("\ufffd", None, None)


@functools.cache
def bios_font():
    with open(BIOS, "rb") as f:
        return Font(f.read())


@functools.cache
def kernel_font(vmlinuz):
    """The one in a compressed kernel's data, which its console on a frame buffer uses."""
    with open(vmlinuz, "rb") as f:
        data = f.read()
    return Font(lzma.LZMADecompressor().decompress(data[data.index(b"\xfd7zXZ\0"):]))


def _bits(raw):
    """The rows' bits, and the colours that 0 and 1 of them are; None: more than two colours."""
    colours, rows, line = [], [], len(raw) // 16
    for j in range(0, len(raw), line):
        bits = 0
        for i in range(j, j + 24, 3):
            c = tuple(raw[i:i + 3])
            if c not in colours:
                colours.append(c)
                if len(colours) > 2:
                    return None, colours
            bits = bits << 1 | colours.index(c)
        rows.append(bits)
    return rows, colours


@functools.lru_cache(256)      # most lines are the same whenever they are looked at
def _line(raw, columns, font):
    pitch = len(raw) // 16
    width = pitch // 3 // columns * 3
    rows = [raw[at:at + pitch] for at in range(0, len(raw), pitch)]
    return [font.cell(b"".join(row[c:c + width] for row in rows)) for c in range(0, columns * width, width)]


def look(pixels, columns, lines, font):
    """The Cells, line after line; a cell is as wide as the width has room for, 16 high."""
    return [_line(pixels.part(0, r * 16, pixels.width, 16).data, columns, font) for r in range(lines)]
