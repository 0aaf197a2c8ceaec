"""An X server in the guest (mkx.sh): its picture, typing, the pointer, and all of it from a saved state."""
import os
import re
import select
import subprocess
import time

from lib_screen import HERE, check
from lodgevm import PATIENCE

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
MIDDLE = (512, 384)             # where the pointer is at first
TERM = (40, 40, 366, 162)       # xterm: 60 by 12 cells of 6 by 13, 2 free around, a border of 1
XEV = (500, 400, 304, 204)      # a border of 2
CELL = (6, 13)


class Serial:
    """What the guest writes on its serial port, in lines."""

    def __init__(self, vm):
        self.vm, self.got = vm, ""

    def expect(self, pattern, timeout=30):
        """The match of what came since the last one; what came before it is dropped."""
        end = time.monotonic() + timeout * PATIENCE
        while not (m := re.search(pattern, self.got)):
            left = end - time.monotonic()
            check(left > 0, f"no /{pattern}/ on serial: {self.got[-300:]!r}")
            if select.select([self.vm.p.stdout], [], [], min(left, 1))[0]:
                data = os.read(self.vm.p.stdout.fileno(), 65536)
                check(data, f"the VM ended before /{pattern}/: {self.vm.err()[-200:]}")
                self.got += data.decode("utf-8", "replace").replace("\r", "")
        self.got = self.got[m.end():]
        return m

    def motion(self, x, y):
        """xev's reports up to the pointer at that place of the screen: places, each with its state."""
        places = []
        while not places or places[-1][:2] != (x, y):
            m = self.expect(r"MotionNotify [^\n]*\n[^\n]*root:\((\d+),(\d+)\),\n +state (\w+)")
            places.append((int(m[1]), int(m[2]), int(m[3], 16)))
            check(places[-1][0] <= x and places[-1][1] <= y, f"beyond {x, y}: {places}")
        check(places == sorted(places) and len(places) > 1, f"growing: {places}")
        return places

    def button(self, kind, number):
        m = self.expect(rf"Button{kind} [^\n]*\n[^\n]*\n[^\n]*button (\d)")
        check(int(m[1]) == number, f"button {m[1]} instead of {number}")


def start(env):
    r = subprocess.run([os.path.join(HERE, "mkx.sh")], stdout=subprocess.PIPE, text=True,
                       check=True)
    at = r.stdout.strip()
    s = env.seen("--memory", "512M", "--kernel", at + "/vmlinuz", "--initrd", at + "/initrd.cpio",
                 "--append", "console=ttyS0 quiet panic=-1")
    s.layout(1024, 768)
    s.serial = Serial(s.vm)
    s.serial.expect("LODGE-X-UP", 120)
    s.at = MIDDLE
    return s


def inside(rect, x, y):
    left, top, w, h = rect
    return left <= x < left + w and top <= y < top + h


def weave(x, y):
    """The server's own background: one dot of four is white."""
    return WHITE if x % 4 == (3, 1, 2, 0)[y % 4] else BLACK


def ground(x, y):
    """The picture without pointer and text."""
    if inside(XEV, x, y):
        left, top = x - XEV[0], y - XEV[1]
        box = inside((12, 12, 58, 58), left, top) and not inside((16, 16, 50, 50), left, top)
        border = not inside((2, 2, 300, 200), left, top)
        return BLACK if box or border else WHITE
    return BLACK if inside(TERM, x, y) else weave(x, y)


def differs(p, but):
    """Where the picture is not ground(), outside the rectangles `but`."""
    return [(x, y) for y in range(p.height) for x in range(p.width)
            if p.at(x, y) != ground(x, y) and not any(inside(r, x, y) for r in but)]


def around(x, y, far=12):
    """Where the pointer's picture can be."""
    return (x - far, y - far, 2 * far, 2 * far)


def pointer(p, x, y):
    """Its dots that the ground does not have, from the place that it points to."""
    left, top, w, h = around(x, y)
    return {(i - x, j - y): p.at(i, j) for j in range(top, top + h) for i in range(left, left + w)
            if p.at(i, j) != ground(i, j)}


def points_to(s, x, y, shape):
    """Waits until its picture is there."""
    def there(p):
        return all(p.at(x + i, y + j) == c for (i, j), c in shape.items())
    return s.wait(there, f"the pointer at {x, y}")


def move(s, x, y, steps):
    """The guest's pointer to that place."""
    for i in range(steps):
        dx, dy = ((to - at) * (i + 1) // steps - (to - at) * i // steps
                  for to, at in zip((x, y), s.at))
        s.screen.move(dx, dy)
        time.sleep(0.02)            # SDL takes two equal ones of one millisecond for one
    s.at = (x, y)


def picture(s):
    """The background and two windows; returns the pointer's dots."""
    p = s.wait(lambda p: (p.width, p.height) == (1024, 768) and p.at(700, 500) == WHITE,
               "the server's screen")
    cursor = (TERM[0] + 3, TERM[1] + 3, *CELL)
    wrong = differs(p, [cursor, around(*MIDDLE)])
    check(not wrong, f"{len(wrong)} dots, the first at {wrong[:3]}")
    shape = pointer(p, *MIDDLE)
    check(len(shape) > 20 and set(shape.values()) == {BLACK, WHITE}, f"the pointer: {shape}")
    return shape


def mouse(s, shape):
    """In xev's window: moves, buttons, the wheel, a drag; the pointer's picture goes along."""
    before = s.window.pixels()
    s.take_pointer()
    x, y = 600, 500
    move(s, x, y, 12)
    s.serial.motion(x, y)
    p = points_to(s, x, y, shape)
    check(not pointer(p, *MIDDLE) and pointer(before, *MIDDLE), "where it was, it is no more")
    for number in (1, 2, 3, 4, 4, 5):
        s.screen.button(number)
        s.serial.button("Press", number)
        s.serial.button("Release", number)
    s.screen.button(1, True)
    s.serial.button("Press", 1)
    move(s, x + 60, y + 40, 10)
    places = s.serial.motion(x + 60, y + 40)
    check(all(state == 0x100 for _, _, state in places), f"button 1 is held: {places}")
    s.screen.button(1, False)
    s.serial.button("Release", 1)
    points_to(s, x + 60, y + 40, shape)


def cell(p, column, line):
    return p.part(TERM[0] + 3 + column * CELL[0], TERM[1] + 3 + line * CELL[1], *CELL)


def typing(s, text, line):
    """In xterm, which has the keyboard while the pointer is over it, and hides the pointer then."""
    before = s.window.pixels()
    s.type(text)
    s.wait(lambda p: all((len(cell(p, i, line).colours()) > 1) == (c != " ")
                         for i, c in enumerate(text)), "what was typed")
    p = s.window.pixels()
    changed = {(i, j) for j in range(12) for i in range(60)
               if cell(p, i, j).data != cell(before, i, j).data}
    fine = {(i, line) for i in range(len(text) + 1)}    # the cursor is behind it
    fine |= {(i, j) for i in range(60) for j in range(12)
             if inside(around(*s.at, 24), TERM[0] + i * CELL[0], TERM[1] + j * CELL[1])}
    check(changed <= fine, f"changed, too: {changed - fine}")
    s.type("\n")
    s.serial.expect(f"typed: {re.escape(text)}\n")


def selecting(s, word, line):
    """A drag over the first word of the first line inverts it; the middle button types it there."""
    def inverted(p):
        return [i for i in range(60) if cell(p, i, 0).at(0, 0) == WHITE]
    y = TERM[1] + 3 + 6
    move(s, TERM[0] + 3 + 1, y, 20)
    s.screen.button(1, True)
    time.sleep(0.1)
    move(s, TERM[0] + 3 + len(word) * 6 + 1, y, 10)
    s.screen.button(1, False)
    to_terminal(s)
    s.wait(lambda p: inverted(p) == list(range(len(word))), "the selected word")
    s.screen.button(2)
    s.wait(lambda p: all(cell(p, i, line).data != cell(p, 40, line).data for i in range(len(word))),
           "the word, once more")
    s.type("\n")
    s.serial.expect(f"typed: {word}\n")


def to_terminal(s):
    """There it is a bar, as high as a letter."""
    x, y = 300, 150

    def there(p):
        dots = pointer(p, x, y)
        return dots and all(abs(min(d) + max(d)) <= 2 for d in zip(*dots))
    move(s, x, y, 20)
    s.wait(there, "the pointer in the terminal")


def test_linux_x(env):
    s = start(env)
    shape = picture(s)
    mouse(s, shape)
    to_terminal(s)
    typing(s, "Lodge types", 0)
    selecting(s, "Lodge", 1)


def test_linux_save_x(env):
    s = start(env)
    picture(s)
    s.take_pointer()
    to_terminal(s)
    typing(s, "before", 0)
    time.sleep(0.5)
    before = s.window.pixels()
    env.save(s.vm, "state")
    again = env.seen("--state", "state", name="again")
    again.layout(1024, 768)
    again.serial, again.at = Serial(again.vm), s.at
    again.wait(lambda p: p.data == before.data, "the picture that was saved")
    again.take_pointer()
    typing(again, "and after", 1)
    selecting(again, "before", 2)
