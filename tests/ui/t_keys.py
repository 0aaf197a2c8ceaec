"""Keys: what a person presses, with whatever layout, and which keys the VM is told of."""
import time

from lib_ui import ESC, HOST, LEFT_ALT, TAB, check, until

# linux/input-event-codes.h
A, LEFT_CTRL, ALT, DELETE = 30, 29, 56, 111
# Level 3 shifts that X's layouts put where PC keyboards have no key, or a Japanese one that is
# elsewhere in X's own Japanese layout.
TWINS = {84: 100, 85: 100}
# Keys that SDL 2.26 does not know under X11.
UNKNOWN = {95, 101, 112, 120, 126}


def press(env, keycode):
    env.desktop.key(keycode)


def pairs(lines):
    """Of `key N 1` and `key N 0`: N, where both are there."""
    down = [int(x.split()[1]) for x in lines if x.startswith("key") and x.endswith(" 1")]
    up = [int(x.split()[1]) for x in lines if x.startswith("key") and x.endswith(" 0")]
    check(sorted(down) == sorted(up), f"pressed {down}, released {up}")
    return down


def whole_keyboard(env, vm):
    """Each key of a PC keyboard arrives as itself."""
    wrong = {}
    for evdev in range(1, 128):
        if evdev + 8 == HOST or evdev in UNKNOWN:
            continue
        press(env, evdev + 8)
        got = pairs(vm.told())
        if got != [TWINS.get(evdev, evdev)]:
            wrong[evdev] = got
    check(wrong == {}, f"keys that arrive as others: {wrong}")


def test_keys_all(env):
    vm, _ = env.both()
    whole_keyboard(env, vm)


def test_keys_all_german(env):
    """By their place, not by what the host's layout makes of them; dead keys are keys."""
    env.desktop.layout("de")
    vm, _ = env.both()
    whole_keyboard(env, vm)


def test_keys_all_other_layouts(env):
    """A layout without Latin letters, and one with another order, chosen while the window is open."""
    vm, _ = env.both()
    for layout in (["ru"], ["us", "dvorak"], ["jp"]):
        env.desktop.layout(*layout)
        time.sleep(0.2)
        for evdev in (16, 21, 30, 39, 41, 43, 44, 51, 53, 86, 89, 100):
            press(env, evdev + 8)
            check(pairs(vm.told()) == [evdev], f"{layout} {evdev}: {vm.taken}")


def test_keys_altgr(env):
    """AltGr and a key, as a German types an at sign: no Ctrl is made up beside it."""
    env.desktop.layout("de")
    vm, _ = env.both()
    env.desktop.chord(108, 24)
    check(vm.told() == ["key 100 1", "key 16 1", "key 16 0", "key 100 0"], vm.taken)


def test_keys_no_repeat(env):
    """Held down: pressed once; the guest's keyboard repeats by itself."""
    vm, _ = env.both()
    env.desktop.key(38, True)
    time.sleep(1.2)                 # X repeats after 0.66 s
    env.desktop.key(38, False)
    check(vm.told() == ["key 30 1", "key 30 0"], vm.taken)


def test_keys_released_by_focus_loss(env):
    """What is down when another window gets the keyboard comes up; and later releases are nothing."""
    vm, c = env.both()
    other = env.console(env.vm("other"))
    c.focus()
    env.desktop.key(38, True)
    env.desktop.key(50, True)
    vm.expect("key 30 1", "key 42 1")
    other.focus()
    vm.expect("key 30 0", "key 42 0", "release-all")
    env.desktop.key(38, False)
    env.desktop.key(50, False)
    c.focus()
    check(vm.told() == [], vm.taken)


def test_keys_released_at_the_end(env):
    """What is down when the console is asked to end comes up."""
    vm, c = env.both()
    env.desktop.key(38, True)
    vm.expect("key 30 1")
    c.p.terminate()
    check(c.wait() == 0, f"status {c.p.returncode}")
    vm.expect("key 30 0", "release-all", "closed")
    env.desktop.key(38, False)


def test_keys_held_when_a_panel_opens(env):
    vm, c = env.both()
    env.desktop.key(38, True)
    vm.expect("key 30 1")
    env.desktop.host(43)
    vm.expect("key 30 0", "release-all")
    c.panel()
    press(env, 40)
    env.desktop.key(38, False)
    press(env, ESC)
    c.no_panel()
    check(vm.told() == [], vm.taken)


def test_keys_host(env):
    """The host key and its companions are not the guest's; Ctrl-Alt-Del on demand is."""
    vm, c = env.both()
    press(env, HOST)
    env.desktop.host(53)            # X: nothing
    env.desktop.host(119)           # Del
    got = vm.told()
    check(got == [f"key {k} {d}" for k, d in ((LEFT_CTRL, 1), (ALT, 1), (DELETE, 1), (DELETE, 0),
                                              (ALT, 0), (LEFT_CTRL, 0))], vm.taken)
    env.desktop.host(33)            # P
    vm.expect("call Pause")
    c.title("[paused]")
    press(env, 38)
    check(vm.told(marker=False) == [], f"while paused: {vm.taken}")
    env.desktop.key(HOST, True)     # held for so long that X repeats it: once
    env.desktop.key(33, True)
    time.sleep(1)
    env.desktop.key(33, False)
    env.desktop.key(HOST, False)
    vm.expect("call Resume")
    check(not any(x.startswith("call") for x in vm.log.read()), f"once: {vm.log.lines}")
    until(lambda: "[" not in c.window.title(), "running again")
    press(env, 38)
    check(pairs(vm.told()) == [A], vm.taken)


def test_keys_host_by_layout(env):
    """The letter that the user reads on the key: P lies elsewhere on a Dvorak keyboard."""
    env.desktop.layout("us", "dvorak")
    vm, _ = env.both()
    env.desktop.host(27)
    vm.expect("call Pause")
    env.desktop.layout("ru")
    time.sleep(0.2)
    env.desktop.host(33)            # no Latin letters: by its place
    vm.expect("call Resume")


def test_keys_host_configured(env):
    """Another host key, which the title names; the usual one is the guest's then."""
    env.ini("host-key = scroll-lock\n")
    vm, c = env.both()
    c.title("Scroll Lock+H")
    press(env, HOST)
    check(pairs(vm.told()) == [97], vm.taken)
    env.desktop.chord(78, 33)
    vm.expect("call Pause")


def test_keys_released_while_paused(env):
    """A key that comes up while the VM is paused is up."""
    vm, c = env.both()
    env.desktop.key(38, True)
    vm.expect("key 30 1")
    vm.do("state paused user")
    c.title("[paused]")
    env.desktop.key(38, False)
    vm.expect("key 30 0")


def alt_tab(env):
    """No faster than a person: window managers look for the keys that are still down."""
    for key, down in ((LEFT_ALT, True), (TAB, True), (TAB, False), (LEFT_ALT, False)):
        env.desktop.key(key, down)
        time.sleep(0.1)


def test_keys_desktop_shortcuts(env):
    """Alt-Tab is the window manager's, but the guest's while that has the pointer, and in full screen."""
    vm, c = env.both()
    other = env.console(env.vm("other"))
    c.focus()
    c.grab()
    alt_tab(env)
    vm.expect("key 56 1", "key 15 1", "key 15 0", "key 56 0")
    press(env, HOST)
    c.title("help")
    check(env.desktop.active() == c.window.w, "the window has the focus")
    alt_tab(env)
    until(lambda: env.desktop.active() == other.window.w, "Alt-Tab goes to the other window")
    env.desktop.host(41)
    other.size(1700, 1300)
    alt_tab(env)
    other.vm.expect("key 56 1", "key 15 1", "key 15 0", "key 56 0")
    press(env, HOST)
    time.sleep(0.2)
    alt_tab(env)
    until(lambda: env.desktop.active() == c.window.w, "Alt-Tab goes to the first window again")


def test_keys_locks(env):
    """Caps Lock switched elsewhere: the guest's follows, if it shows what its own is."""
    vm, c = env.both()
    other = env.console(env.vm("other"))
    press(env, 66)
    c.focus()
    check(pairs(vm.told()) == [], f"a guest without lights: {vm.taken}")
    vm.do("leds 4")
    other.focus()
    c.focus()
    check(pairs(vm.told()) == [], f"lights as the host's: {vm.taken}")
    other.focus()
    press(env, 66)                  # off
    vm.do("leds 4")
    c.focus()
    vm.expect("key 58 1", "key 58 0")
    check(pairs(vm.told()) == [], vm.taken)


def test_keys_many(env):
    """As fast as they come: all, in their order."""
    vm, _ = env.both()
    want = []
    for i in range(300):
        keycode = 10 + i % 40
        if keycode in (37, 50, 62, 64, 66, 77, 78):
            continue
        press(env, keycode)
        want += [f"key {keycode - 8} 1", f"key {keycode - 8} 0"]
        if i % 10 == 9:
            time.sleep(0.005)   # SDL takes a key that is down again within 2 ms for a repeat
    check(vm.told() == want, "their order")
