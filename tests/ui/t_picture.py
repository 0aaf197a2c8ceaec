"""What the window shows of the guest's screen, pixel by pixel."""
import time

from lib_ui import check, on_black, pattern, until
from xdisplay import Pixels

F, S = 41, 39                       # keycodes
SOFTWARE = {"SDL_RENDER_DRIVER": "software"}


def crisp(env, **more):
    """One to one, then twice as large: each pixel a block."""
    _, c = env.both(**more)
    want = pattern(640, 480)
    c.size(640, 480)
    c.shows(want, "the picture")
    c.resize(1280, 960)
    c.shows(want.enlarged(2, 2), "the picture, twice as large")


def test_picture_crisp(env):
    crisp(env)


def test_picture_crisp_by_renderer(env):
    """SDL's renderer, here the one of software: what a GPU would do."""
    crisp(env, **SOFTWARE)


def test_picture_aspect(env):
    """Pixels that are higher than wide; a window of that size shows them crisply, too."""
    vm, c = env.both()
    vm.do("mode 320 200 5 6")
    c.resize(1600, 1200)
    c.shows(pattern(320, 200).enlarged(5, 6), "320x200 on 4:3")
    vm.do("mode 720 400 20 27")
    c.shows_middles(720, 400)


def test_picture_aspect_by_renderer(env):
    vm, c = env.both(**SOFTWARE)
    vm.do("mode 320 200 5 6")
    c.resize(1600, 1200)
    c.shows(pattern(320, 200).enlarged(5, 6), "320x200 on 4:3")


def changes(env, **more):
    """Only what was drawn is shown anew, wherever it lies; and what is scaled is not torn at its edges."""
    vm, c = env.both(**more)
    want = pattern(640, 480)
    c.shows(want, "the picture")
    for i, (x, y, w, h) in enumerate(((0, 0, 1, 1), (639, 479, 1, 1), (100, 50, 33, 7),
                                      (0, 200, 640, 1), (320, 0, 1, 480))):
        colour = bytes((40 * i + 30, 250 - 30 * i, 17))
        vm.do(f"fill {x} {y} {w} {h} {colour.hex()}")
        data = bytearray(want.data)
        for j in range(y, y + h):
            data[(j * 640 + x) * 3:(j * 640 + x + w) * 3] = colour * w
        want = Pixels(640, 480, data)
        c.shows(want, f"rectangle {i}")
    c.resize(1280, 960)
    c.shows(want.enlarged(2, 2), "twice as large")
    vm.do("fill 5 5 3 3 ffffff")
    big = c.window.wait(lambda p: p.at(10, 10) == (255, 255, 255), "a rectangle, twice as large")
    check(big.part(10, 10, 6, 6).colours() == {b"\xff\xff\xff": 36}, "its block")
    check(big.at(9, 9) == want.at(4, 4) and big.at(16, 16) == want.at(8, 8), "what is beside it")


def test_picture_changes(env):
    changes(env)


def test_picture_changes_by_renderer(env):
    changes(env, **SOFTWARE)


def test_picture_changes_scaled(env):
    """A part that is drawn anew at a factor that is no whole number looks as if all were."""
    vm, c = env.both()
    c.resize(901, 677)
    vm.do("pattern 3")
    c.window.wait(lambda p: p.at(2, 2)[0] > 100, "another pattern")
    for x, y, w, h in ((17, 33, 40, 9), (300, 2, 7, 300), (633, 470, 7, 10)):
        vm.do(f"fill {x} {y} {w} {h} 8040c0")
    middle = round(636 * 901 / 640), round(475 * 676 / 480)
    part = c.window.wait(lambda p: p.at(*middle) == (128, 64, 192), "the last rectangle")
    env.desktop.host(43)            # a panel, and its end, draw everything anew
    c.panel()
    env.desktop.key(9)
    c.shows(part, "all of it drawn anew")


def test_picture_letterbox(env):
    """The picture in the middle of black; and none of what was there before is left."""
    vm, c = env.both()
    c.resize(1000, 480)
    c.shows(on_black(1000, 480, 180, 0, pattern(640, 480)), "black at the sides")
    c.resize(640, 700)
    c.shows(on_black(640, 700, 0, 110, pattern(640, 480)), "black above and below")
    vm.do("mode 400 700 1 1")
    c.shows(on_black(640, 700, 120, 0, pattern(400, 700)), "black at the sides, in the same window")


def test_picture_follows_mode(env):
    """The window takes the size of each mode that lasts, until the user sizes it."""
    vm, c = env.both()
    for mode, size in (("800 600 1 1", (800, 600)), ("320 200 5 6", (640, 480)),
                       ("720 400 20 27", (720, 540)), ("1024 768 1 1", (1024, 768))):
        vm.do(f"mode {mode}")
        c.size(*size)
    c.shows(pattern(1024, 768), "the last mode")
    c.resize(900, 700)
    vm.do("mode 640 480 1 1")
    c.window.wait(lambda p: p.at(0, 350) == pattern(1, 480).at(0, 240), "the mode")
    time.sleep(0.6)                 # as long as a mode must last, and a bit
    check(c.window.geometry()[2:] == (900, 700), f"{c.window.geometry()}")


def test_picture_short_modes(env):
    """Modes that come and go at once, as at a reset, do not move the window; they are shown, though."""
    vm, c = env.both()
    sizes = set()
    for _ in range(5):
        for mode in ("720 400 20 27", "320 200 5 6", "640 480 1 1"):
            vm.do(f"mode {mode}")
            sizes.add(c.window.geometry()[2:])
    check(sizes == {(640, 480)}, f"sizes {sizes}")
    c.shows(pattern(640, 480), "the last mode")


def test_picture_full_screen(env):
    """All of the screen, whole factors in the middle; then back to the window as it was."""
    d = env.desktop
    _, c = env.both()
    d.host(F)
    c.size(1700, 1300)
    d.host(S)                       # whole factors
    want = on_black(1700, 1300, 210, 170, pattern(640, 480).enlarged(2, 2))

    def above(p):                   # there is a note at the bottom for a moment
        return p.part(0, 0, 1700, 900)
    c.window.wait(lambda p: above(p).different(above(want)) == 0, "full screen")
    c.shows(want, "full screen without the note")
    d.host(F)
    c.size(640, 480)
    c.shows(pattern(640, 480), "the window again")


def test_picture_full_screen_from_the_start(env):
    _, c = env.both("--fullscreen")
    c.size(1700, 1300)
    env.desktop.host(F)
    c.size(640, 480)
    c.shows(pattern(640, 480), "the window")


def test_picture_scalings(env):
    """Fit fills the window, whole factors do not; smooth mixes pixels even where it need not."""
    env.ini("scaling = fit\n")
    _, c = env.both()
    c.resize(900, 675)
    c.window.wait(lambda p: p.at(0, 674) != (0, 0, 0) and p.at(899, 674) != (0, 0, 0), "fit")
    env.desktop.host(S)
    want = on_black(900, 675, 130, 97, pattern(640, 480))
    c.shows(want, "whole factors")
    env.desktop.host(S)
    c.resize(1280, 960)
    c.window.wait(lambda p: 0.3 < p.different(pattern(640, 480).enlarged(2, 2)) < 1, "smooth")


def test_picture_covered(env):
    """What another window had covered is drawn again, though nothing has changed."""
    vm, c = env.both()
    c.shows(pattern(640, 480), "the picture")
    other = env.console(env.vm("other"))
    x, y, _, _ = c.window.geometry()
    env.desktop.tell_wm(other.window.w, "_NET_MOVERESIZE_WINDOW", 0xf0a, x + 50, y + 50, 300, 300)
    until(lambda: other.window.geometry()[2] == 300, "the other lies over it")
    other.end()
    c.shows(pattern(640, 480), "the picture again")
    check(vm.p.poll() is None, "the VM runs")


def test_picture_bad(env):
    """A frame whose numbers make no sense ends the console, with a line."""
    vm, c = env.both()
    vm.do("bad")
    check(c.wait() == 1, f"status {c.p.returncode}")
    check(c.err().count("\n") == 1 and "makes no sense" in c.err(), c.err())
