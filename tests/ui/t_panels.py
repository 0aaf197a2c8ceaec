"""Questions: what each answer does, by keyboard and by mouse."""
import time

from lib_ui import DOWN, ESC, RETURN, UP, check, pattern

PLUG = 64                           # lodge-console's status for `lodge run`
Q, R, H, K, S, T, C = 24, 27, 43, 45, 39, 28, 54


def ask(c):
    c.close()
    c.panel()


def calls(vm):
    vm.log.read()
    return [x for x in vm.log.lines if x.startswith("call")]


def test_panel_close_keep_running(env):
    """The first answer, and the one that Return gives: the VM knows nothing of it."""
    vm, c = env.both()
    ask(c)
    env.picture("close")
    env.desktop.key(RETURN)
    check(c.wait() == 0 and c.err() == "", c.err())
    vm.expect("closed")
    check(calls(vm) == [] and vm.p.poll() is None, "the VM runs on")


def test_panel_close_shut_down(env):
    """The power button; the window stays until the VM has ended."""
    vm, c = env.both()
    ask(c)
    env.desktop.keys(DOWN, RETURN)
    vm.expect("call Stop")
    c.title("[shutting down]")
    vm.do("end stopped guest 0")
    check(c.wait() == 0 and c.err() == "", c.err())


def test_panel_close_turn_off(env):
    vm, c = env.both()
    ask(c)
    env.desktop.keys(DOWN, DOWN, RETURN)
    vm.expect("call Kill")
    check(c.wait() == 0 and c.err() == "", c.err())


def test_panel_close_cancel(env):
    """By its entry, by Esc; then the keyboard is the guest's again."""
    vm, c = env.both()
    for keys in ((DOWN, DOWN, DOWN, RETURN), (UP, RETURN), (ESC,), (C,)):
        ask(c)
        env.desktop.keys(*keys)
        c.no_panel()
        env.desktop.key(38)
        check(vm.told() == ["key 30 1", "key 30 0"], vm.taken)
    check(calls(vm) == [], "calls")


def test_panel_close_by_letter(env):
    vm, c = env.both()
    env.desktop.host(Q)
    c.panel()
    env.desktop.key(S)
    vm.expect("call Stop")
    c.no_panel()
    ask(c)
    env.desktop.key(T)
    vm.expect("call Kill")


BLUE, GREY = (0x2f, 0x5f, 0xa8), (0x29, 0x31, 0x42)


def selected(p):
    return BLUE in (p.at(max(p.width // 2 - 172, 34), y) for y in range(p.height))


def entry(p, number):
    """The middle of an entry: the selected one is blue, the others are of another grey than the panel."""
    x = max(p.width // 2 - 172, 34)
    rows = [y for y in range(p.height) if p.at(x, y) in (BLUE, GREY)]
    if not rows:
        return None
    groups = [y for i, y in enumerate(rows) if i == 0 or rows[i - 1] != y - 1]
    return x, groups[number] + 10


def test_panel_close_by_mouse(env):
    """What the pointer is over is selected; a click takes it."""
    vm, c = env.both()
    ask(c)
    x, y = entry(c.window.pixels(), 2)
    check(c.window.pixels().at(x, y) == GREY, "not selected")
    c.point(x, y)
    c.window.wait(lambda p: p.at(x, y) == BLUE, "selected")
    c.point(5, 5)
    env.desktop.button(1)           # beside it: nothing
    check(calls(vm) == [], "calls")
    c.point(x, y)
    env.desktop.button(1)
    vm.expect("call Kill")


def test_panel_close_owned(env):
    """Of `lodge run`: the usual answer ends the VM, which `lodge run` does."""
    vm, c = env.both("--owned")
    ask(c)
    env.desktop.key(RETURN)
    check(c.wait() == PLUG, f"status {c.p.returncode}")
    check(calls(vm) == [], "calls")


def test_panel_close_paused(env):
    """A VM that is paused cannot see its power button."""
    vm, c = env.both()
    vm.do("state paused user")
    c.title("[paused]")
    ask(c)
    env.desktop.keys(DOWN, RETURN)
    vm.expect("call Kill")


def test_panel_close_twice(env):
    """Asked again while it is asked: one panel."""
    vm, c = env.both()
    ask(c)
    c.close()
    time.sleep(0.5)     # the request and the key come by two connections, in either order
    env.desktop.key(ESC)
    c.no_panel()
    check(calls(vm) == [] and c.p.poll() is None, "nothing has happened")


def test_panel_reset(env):
    """Asks first, and No is the usual answer."""
    vm, c = env.both()
    env.desktop.host(R)
    c.panel()
    env.desktop.key(RETURN)
    c.no_panel()
    check(calls(vm) == [], "calls")
    env.desktop.host(R)
    c.panel()
    env.picture("reset")
    env.desktop.keys(UP, RETURN)
    vm.expect("call Reset")


def test_panel_help(env):
    vm, c = env.both()
    env.desktop.host(H)
    c.panel()
    env.picture("help")
    env.desktop.key(ESC)
    c.no_panel()
    check(vm.told() == [], vm.taken)


def test_panel_in_a_small_window(env):
    """Cut off, but it works."""
    vm, c = env.both()
    c.resize(160, 120)
    c.close()
    c.window.wait(lambda p: entry(p, 0) is not None, "an entry")
    env.picture("small")
    env.desktop.keys(DOWN, DOWN)
    x, y = entry(c.window.wait(lambda p: selected(p), "the selected entry"), 0)
    check(0 <= y < 120, f"{x, y}")
    env.picture("small-scrolled")
    env.desktop.key(RETURN)
    vm.expect("call Kill")


def test_panel_refused(env):
    """What the VM says against it is shown, for a while."""
    vm, c = env.both()
    vm.do("refuse VM \"test\" is paused and cannot see its power button (lodge resume test, or lodge kill "
          "test)")
    ask(c)
    env.desktop.keys(DOWN, RETURN)
    c.no_panel()
    before = pattern(640, 480)
    c.window.wait(lambda p: p.different(before) > 0.05, "a note")
    env.picture("refused")
    c.shows(before, "it goes away")


def test_panel_picture_goes_on(env):
    """The guest's screen is live behind a panel."""
    vm, c = env.both()
    ask(c)
    vm.do("fill 0 0 640 20 c08040")
    c.window.wait(lambda p: p.at(3, 3) == (0x60, 0x40, 0x20), "the new picture, dimmed")
