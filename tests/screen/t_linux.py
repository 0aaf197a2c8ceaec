"""Linux on the screen: its console as text, on the frame buffer and by its DRM driver; all of it again from a
saved state, and after S3. X: t_linux_x.py."""
import os
import subprocess
import time

import lodgevm
import screen_text
from lib_screen import HERE, check
from lodgevm import PATIENCE
from t_modes import EGA

UP = "LODGE-GUEST-UP"
PROMPT = "guest# "
# The colours of ECMA-48 by IBM's numbers; bright ones are eight higher.
COLOURS = [tuple(EGA[i]) for i in (0, 4, 2, 6, 1, 5, 3, 7)]
BRIGHT = [tuple(EGA[8 + i]) for i in (0, 4, 2, 6, 1, 5, 3, 7)]
GREY = COLOURS[7]
# Rows of a cell in which the kernel's underline cursor is: the VGA's (vgacon), its own (fbcon).
VGA_CURSOR, OWN_CURSOR = (13, 14), (14, 15)
GRUB = """set timeout=0
set timeout_style=hidden
insmod all_video
set gfxpayload={payload}
menuentry linux {{
	linux /vmlinuz console=tty0 quiet panic=-1
	initrd /initrd.cpio
}}
"""


def boot(env, folder, append):
    s = env.seen("--memory", "256M", "--kernel", folder + "/vmlinuz", "--initrd",
                 folder + "/initrd.cpio", "--append", f"{append} console=tty0 quiet panic=-1")
    s.kernel = folder + "/vmlinuz"
    return s


def text_console(env):
    return up_on_text(boot(env, lodgevm.guest("amd64"), "vga=normal"))


def up_on_text(s):
    s.cursor_rows = VGA_CURSOR
    return up(s)


def frame_buffer(env, folder):
    return up_on_frame_buffer(boot(env, folder, ""))


def up_on_frame_buffer(s):
    s.layout(1024, 768, 128, screen_text.kernel_font(s.kernel))
    s.cursor_rows = OWN_CURSOR
    return up(s)


def up(s):
    s.expect(UP, 90)
    s.expect("\n" + PROMPT.rstrip(), 30)
    return s


def shows(s, want, cursor, timeout=20):
    """Waits until the screen is those lines and no more, but for the cursor's (column, line)."""
    want = [x.rstrip() for x in want] + [""] * (s.size[1] // 16 - len(want))

    def good():
        lines = s.lines()
        if not lines:
            return False
        x, y = cursor
        at = lines[y].ljust(s.columns)
        under = want[y].ljust(s.columns)[x]
        if at[x] not in (under, "\ufffd", "_"):     # a blank with the cursor can look like one
            return False
        lines[y] = (at[:x] + under + at[x + 1:]).rstrip()
        return lines == want
    end = time.monotonic() + timeout * PATIENCE
    while not good():
        check(time.monotonic() < end, f"not the screen that was wanted: {s.lines()} {want}")
        time.sleep(0.05)


def cell_of(picture, s, column, line):
    width = s.size[0] // s.columns
    return picture.part(column * width, line * 16, 8, 16)


def without(picture, s, column, line):
    """The picture with that cell black."""
    width, data = s.size[0] // s.columns, bytearray(picture.data)
    for y in range(line * 16, line * 16 + 16):
        i = (y * picture.width + column * width) * 3
        data[i:i + width * 3] = bytes(width * 3)
    return bytes(data)


def cursor_at(s, column, line, char=" "):
    """It blinks there, in its two rows, and nothing else changes."""
    seen, rest = {}, set()
    end = time.monotonic() + 10 * PATIENCE
    while len(seen) < 2:
        check(time.monotonic() < end, f"no blinking cursor at {column, line}: {seen.keys()}")
        p = s.picture()
        rest.add(without(p, s, column, line))
        c = cell_of(p, s, column, line)
        seen[c.data] = c
        time.sleep(0.02)
    check(len(rest) == 1, "something else blinks")
    plain = [c for c in seen.values() if s.font.cell(c.data).char == char]
    check(len(plain) == 1, f"with and without the cursor: {len(plain)}")
    other = next(c for c in seen.values() if c is not plain[0])
    changed = tuple(y for y in range(16) if other.row(y) != plain[0].row(y))
    check(changed == s.cursor_rows, f"rows of the cursor: {changed}")
    check(all(other.row(y) == bytes(GREY) * 8 for y in changed), "the cursor is grey")


def answers(s):
    """Typed commands and their answers; the line is edited."""
    s.type("clear\n")
    shows(s, [PROMPT], (7, 0))
    s.type("echo $((123*456))\n")
    lines = [PROMPT + "echo $((123*456))", "56088"]
    shows(s, lines + [PROMPT], (7, 2))
    cursor_at(s, 7, 2)
    s.type("echo abd")
    s.press("Left")
    cursor_at(s, 14, 2, "d")
    s.type("c\n")
    shows(s, lines + [PROMPT + "echo abcd", "abcd", PROMPT], (7, 4))


def colours(s):
    """Each colour as paper, as ink and as bright ink."""
    s.type('clear; for i in 0 1 2 3 4 5 6 7; do printf '
           '"\\033[0;4${i}m \\033[0;3${i}mA\\033[1mB"; done; printf "\\033[m\\n"\n', 0.02)
    want = "".join(" AB" if i else "  B" for i in range(8))     # black on black is nothing
    shows(s, [want, PROMPT], (7, 1))
    got = s.cells()[0]
    for i in range(8):
        paper, ink, bright = got[3 * i:3 * i + 3]
        check(paper.paper == COLOURS[i], f"paper {i}: {paper}")
        check(ink.ink == (COLOURS[i] if i else None) and ink.paper == COLOURS[0], f"ink {i}: {ink}")
        check(bright.ink == BRIGHT[i] and bright.paper == COLOURS[0], f"bright {i}: {bright}")
    check(s.cells()[1][0][1:] == (GREY, COLOURS[0]), "what comes then is as before")


def scrolling(s):
    """Further than the VGA's memory holds; back, and within a part of the screen."""
    n = s.size[1] // 16
    s.type("seq 500\n")
    lines = [str(i) for i in range(500 - (n - 2), 501)]
    shows(s, lines + [PROMPT], (7, n - 1))
    command = r"printf '\033[H\033M\033MX\033[2;9r\033[9;1H\n\033[r\033[12;1H'"
    s.type(command + "\n", 0.02)
    lines = lines[1:] + [PROMPT + command, ""]      # the line feed after it
    lines = ["X", ""] + lines[:-2]                  # two lines back
    lines[1:9] = lines[2:9] + [""]                  # lines 2 to 9 by one
    lines[11] = PROMPT + lines[11][7:]
    shows(s, lines, (7, 11))
    s.type("clear\n")


def works(s):
    answers(s)
    colours(s)
    scrolling(s)


def saved(env, s, cursor):
    """Saves it, ends it, goes on from the file: the same picture, all but the cursor's cell."""
    before = without(s.picture(), s, *cursor)
    check(len(set(before)) > 1, "a picture")
    env.save(s.vm, "state")
    again = env.seen("--state", "state", name="again")
    again.layout(*s.size, s.columns, s.font)
    again.cursor_rows = s.cursor_rows
    again.wait(lambda p: (q := again.picture(p)) and without(q, s, *cursor) == before,
               "the picture that was saved")
    return again


def sleeps(env, s):
    """Into S3 by a command, and again; asleep it shows what it did, and awake all works."""
    for i in range(2):
        s.type(f"clear; echo mem > /sys/power/state; echo awake {i} $?\n")
        env.lodge("wait", s.vm.name, "paused", "--timeout", f"{round(60 * PATIENCE)}s")
        check(s.vm.show()["reason"] == "guest-sleep", s.vm.show())
        env.lodge("resume", s.vm.name)
        s.expect(f"awake {i} 0\n" + PROMPT.rstrip(), 60)
    works(s)


def from_disc(env, payload):
    """Not started directly: firmware, GRUB, and its choice of a screen."""
    folder = lodgevm.guest("amd64")
    iso = os.path.join(env.work, "linux.iso")
    subprocess.run([os.path.join(HERE, "mkiso.sh"), "grub", iso, folder + "/vmlinuz",
                    folder + "/initrd.cpio"], input=GRUB.format(payload=payload).encode(),
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    s = env.seen("--memory", "256M", "--iso", iso)
    s.kernel = folder + "/vmlinuz"
    return s


def save_console(env, s):
    s.type("clear; ls --color /bin/a*; seq 5\n")
    s.expect("\n5\n" + PROMPT.rstrip())
    lines = s.lines()
    at = len("\n".join(lines).rstrip("\ufffd_ \n").split("\n")) - 1
    again = saved(env, s, (7, at))
    cursor_at(again, 7, at)
    again.type("echo on\n")
    shows(again, [*lines[:at], PROMPT + "echo on", "on", PROMPT], (7, at + 2))
    works(again)


def test_linux_vga_console(env):
    works(text_console(env))


def test_linux_frame_buffer(env):
    works(frame_buffer(env, lodgevm.guest("amd64")))


def test_linux_bochs_drm(env):
    """The driver is loaded at a prompt: another size, the text stays, the window follows."""
    r = subprocess.run([os.path.join(HERE, "../guest/mkbochs.sh")], stdout=subprocess.PIPE,
                       text=True, check=True)
    s = frame_buffer(env, r.stdout.strip())
    s.type("clear; seq 7\n")
    lines = [str(i) for i in range(1, 8)]
    shows(s, lines + [PROMPT], (7, 7))
    check(s.window.geometry()[2:] == (1024, 768), f"the window at first: {s.window.geometry()}")
    s.type("bochs\n")
    s.wait(lambda p: (p.width, p.height) == (1280, 800), "the window with the driver's size", 30)
    s.layout(1280, 800, 160, s.font)
    shows(s, [*lines, PROMPT + "bochs", PROMPT], (7, 8))
    s.type("cat /proc/fb\n")
    s.expect("0 bochs-drm", 20)
    works(s)


def test_linux_save_vga_console(env):
    save_console(env, text_console(env))


def test_linux_save_frame_buffer(env):
    save_console(env, frame_buffer(env, lodgevm.guest("amd64")))


def test_linux_sleep_vga_console(env):
    sleeps(env, text_console(env))


def test_linux_sleep_frame_buffer(env):
    sleeps(env, frame_buffer(env, lodgevm.guest("amd64")))


def test_linux_sleep_bios_vga_console(env):
    sleeps(env, up_on_text(from_disc(env, "text")))


def test_linux_sleep_bios_frame_buffer(env):
    sleeps(env, up_on_frame_buffer(from_disc(env, "1024x768x32")))
