"""The pointer: taken by a click, scaled to the guest's pixels, and never without a visible way out."""
import time

from lib_ui import ESC, HOST, check, until


def moves(vm):
    """Sums of what the guest's mouse was moved, and its wheel."""
    total = [0, 0, 0]
    for line in vm.told():
        if line.startswith("move"):
            total = [a + int(b) for a, b in zip(total, line.split()[1:])]
    return tuple(total)


def move(env, dx, dy):
    env.desktop.move(dx, dy)
    time.sleep(0.01)                # SDL takes two equal ones of one millisecond for one


def test_pointer_grab_and_way_out(env):
    """Not the guest's before a click; then it is, and the title says how to get out; then not any more."""
    d = env.desktop
    vm, c = env.both()
    c.point(100, 100)
    move(env, 5, 5)
    d.button(4)
    d.button(3)
    check(vm.told() == [], f"without a click: {vm.taken}")
    c.grab()
    check(c.window.title() == "test - Right Ctrl frees the pointer", c.window.title())
    check(vm.told() == [], f"the click that takes it: {vm.taken}")
    move(env, 7, -3)
    check(moves(vm) == (7, -3, 0), vm.taken)
    d.key(HOST)
    c.title("Right Ctrl+H")
    move(env, 9, 9)
    check(vm.told() == [], f"after the host key: {vm.taken}")
    x, y = d.pointer()
    move(env, 40, 0)
    check(d.pointer() == (x + 40, y), "the desktop's pointer moves again")


def test_pointer_stays_in_the_window(env):
    """However far the guest's mouse goes, the desktop's pointer clicks on nothing else."""
    vm, c = env.both()
    c.grab()
    for _ in range(30):
        move(env, 150, 90)
    check(moves(vm) == (4500, 2700, 0), vm.taken)
    x, y, w, h = c.window.geometry()
    px, py = env.desktop.pointer()
    check(x <= px < x + w and y <= py < y + h, f"{px, py} in {x, y, w, h}")


def test_pointer_buttons(env):
    """Five buttons by their numbers, and the wheel both ways."""
    d = env.desktop
    vm, c = env.both()
    c.grab()
    for x_number, number in ((1, 0), (2, 2), (3, 1), (8, 3), (9, 4)):
        d.button(x_number)
        check(vm.told() == [f"button {number} 1", f"button {number} 0"], vm.taken)
    for _ in range(3):
        d.button(4)
    check(moves(vm) == (0, 0, 3), vm.taken)
    d.button(5)
    check(moves(vm) == (0, 0, -1), vm.taken)


def test_pointer_scaled(env):
    """In a window three times as large three steps are one; no step is lost between."""
    vm, c = env.both()
    vm.do("mode 320 240 1 1")
    c.resize(960, 720)
    c.grab()
    for _ in range(10):
        move(env, 1, 0)
        move(env, 0, 2)
    check(moves(vm) == (3, 6, 0), vm.taken)
    for _ in range(10):
        move(env, -1, 0)
        move(env, 0, -2)
    x, y, _ = moves(vm)
    check(abs(3 + x) < 2 and abs(6 + y) < 2, f"back where it was, nearly: {3 + x, 6 + y}")


def test_pointer_scaled_small(env):
    """A mode that is larger than its window: one step is several."""
    vm, c = env.both()
    vm.do("mode 1600 1200 1 1")
    c.resize(800, 600)
    c.grab()
    for _ in range(5):
        move(env, 1, 3)
    check(moves(vm) == (10, 30, 0), vm.taken)


def test_pointer_order(env):
    """Motion goes before the click that followed it."""
    d = env.desktop
    vm, c = env.both()
    c.grab()
    for _ in range(20):
        move(env, 3, 0)
        d.button(1)
        move(env, -3, 1)
        d.button(3)
    at, want, clicks = 0, 0, []
    for line in vm.told():
        kind, *numbers = line.split()
        if kind == "move":
            at += int(numbers[0])
        elif numbers[1] == "1":
            want = 3 if numbers[0] == "0" else 0
            check(at == want, f"button {numbers[0]} at {at}")
            clicks.append(numbers[0])
    check(clicks == ["0", "1"] * 20, clicks)


def test_pointer_freed_by_focus_loss(env):
    """And the button that was held comes up."""
    vm, c = env.both()
    other = env.console(env.vm("other"))
    c.focus()
    c.grab()
    env.desktop.button(1, True)
    vm.expect("button 0 1")
    other.focus()
    vm.expect("button 0 0")
    env.desktop.button(1, False)
    until(lambda: "frees" not in c.window.title(), "the title says that it is free")
    move(env, 5, 5)
    check(vm.told(marker=False) == [], vm.taken)


def test_pointer_freed_by_a_panel(env):
    """A question needs the pointer; the help does, too."""
    vm, c = env.both()
    c.grab()
    env.desktop.button(3, True)
    vm.expect("button 1 1")
    env.desktop.host(43)
    vm.expect("button 1 0")
    c.panel()
    check("frees" not in c.window.title(), c.window.title())
    x, y = env.desktop.pointer()
    move(env, 3, 3)
    check(env.desktop.pointer() == (x + 3, y + 3), "the desktop's pointer")
    env.desktop.button(3, False)
    env.desktop.key(ESC)
    c.no_panel()
    check([x for x in vm.told() if x.startswith("move")] == [], vm.taken)


def test_pointer_not_of_a_stopped_vm(env):
    """A click on a VM that does not run takes nothing; a pause frees nothing, but nothing is sent."""
    vm, c = env.both()
    vm.do("state paused user")
    c.title("[paused]")
    c.point(50, 50)
    env.desktop.button(1)
    time.sleep(0.2)
    check("frees" not in c.window.title(), c.window.title())
    vm.do("state running user")
    until(lambda: "[" not in c.window.title(), "running")
    c.grab()
    vm.do("state paused user")
    c.title("[paused]")
    move(env, 5, 5)
    env.desktop.button(1)
    check([x for x in vm.told(marker=False) if not x.endswith(" 0")] == [], vm.taken)
