"""screen_text: reads a text screen off its pixels, by the font of the VGA BIOS.

What the guest's memory holds does not matter here: a cell is the character whose glyph its pixels
are, whatever the colours; a cell that is no glyph (the cursor's, for one) is read as U+FFFD.
"""
BIOS = "/usr/share/seabios/vgabios-stdvga.bin"
_A16 = bytes([0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc6, 0, 0, 0, 0])
_fonts = {}


def font16():
    """Glyphs of code page 437 by their 16 rows; of equal ones the lowest code."""
    if 16 not in _fonts:
        rom = open(BIOS, "rb").read()
        base = rom.index(_A16) - ord("A") * 16
        glyphs = {}
        for c in range(255, -1, -1):
            glyphs[rom[base + c * 16:base + c * 16 + 16]] = c
        glyphs[bytes(16)] = 32
        _fonts[16] = glyphs
    return _fonts[16]


def _cell(pixels, x, y, width):
    """The 16 rows of eight pixels as bits, or None: more than two colours."""
    colours, rows = [], []
    for j in range(16):
        at = ((y + j) * pixels.width + x) * 3
        line = pixels.data[at:at + width * 3]
        bits = 0
        for i in range(8):
            c = line[i * 3:i * 3 + 3]
            if c not in colours:
                colours.append(c)
                if len(colours) > 2:
                    return None
            bits = bits << 1 | colours.index(c)
        rows.append(bits)
    return bytes(rows)


def _char(rows):
    if rows is None:
        return "\ufffd"
    for r in (rows, bytes(b ^ 255 for b in rows)):     # the first pixel's colour may be either
        c = font16().get(r)
        if c is not None:
            return bytes([c]).decode("cp437") if c >= 32 else "\ufffd"
    return "\ufffd"


def read(pixels, columns=80, lines=25, left=0, top=0):
    """The lines of a picture in which a cell is as wide as the width has room for, 16 high."""
    width = pixels.width // columns
    return ["".join(_char(_cell(pixels, left + c * width, top + r * 16, width))
                    for c in range(columns)).rstrip() for r in range(lines)]
