"""lodge keys and type: what is pressed arrives at the guest, through the BIOS."""
from lib import boot_disk, check, peer, until
from peer import Error


def start(env):
    boot_disk(env, "disk", "keyboard")
    vm = env.vm("--engine", "soft", "--memory", "32M", "--debug-exit", "0xf4", "--disk", "disk")
    check(vm.line() == "ready", "the guest starts")
    return vm


def test_input_type(env):
    """Every character of the keyboard, in the order typed; more than the BIOS keeps at a time."""
    vm = start(env)
    text = "".join(map(chr, range(32, 127))).replace("Q", "") + "\n\tQ"
    env.lodge("type", "test", text, rc=None)  # the guest ends at the press of the last
    got = []
    for _ in text:
        got.append(chr(int(vm.line()[:2], 16)))
    check("".join(got) == text.replace("\n", "\r"), f"{''.join(got)!r}")
    check(vm.wait() == 7, "status")


def test_input_type_stdin(env):
    vm = start(env)
    env.lodge("type", "test", "-", stdin=b"ls -l Q", rc=None)
    check([vm.line()[:2] for _ in range(7)] == ["6c", "73", "20", "2d", "6c", "20", "51"], "text")
    check(vm.wait() == 7, "status")


def test_input_keys(env):
    """Characters, keys without one, chords; Ctrl-Alt-Del is the BIOS' reset."""
    vm = start(env)
    env.lodge("keys", "test", "a", "shift-a", "ctrl-c", "f1", "up", "esc", "enter", "-")
    want = ["611e", "411e", "032e", "003b", "0048", "1b01", "0d1c", "2d0c"]
    got = [vm.line() for _ in want]
    check(got == want, got)
    env.lodge("keys", "test", "ctrl-alt-del")
    check(vm.line() == "ready", "started again")
    env.lodge("keys", "test", "shift-q", rc=None)
    check(vm.line()[:2] == "51", "a key after the reset")
    check(vm.wait() == 7, "status")


def test_bad_input_keys(env):
    """Refused before anything is pressed; a VM that does not run, and one that is not there."""
    vm = start(env)
    for args, rc, word in ((("keys", "test", "a", "ctl-c"), 2, "ctrl"),
                           (("keys", "test", "-".join("abcdefghi")), 2, "1 to 8"),
                           (("keys", "test", ""), 2, "key"),
                           (("keys", "test", "a--b"), 2, "key"),
                           (("type", "test", "a\u20ac"), 2, "character 2"),
                           (("keys", "none", "a"), 3, "none"),
                           (("keys", "test"), 2, "keys")):
        r = env.lodge(*args, rc=rc)
        check(word in r.err and r.err.count("\n") == 1, r)
    env.lodge("pause", "test")
    check("does not run" in env.lodge("keys", "test", "a", rc=4).err, "paused")
    env.lodge("resume", "test")
    env.lodge("keys", "test", "b", "shift-q", rc=None)
    check([vm.line()[:2], vm.line()[:2]] == ["62", "51"], "nothing of the refused ones was pressed")
    check(vm.wait() == 7, "status")


A, SHIFT, CTRL, CAPS = 30, 42, 29, 58  # evdev codes


def chars(vm, n):
    return "".join(chr(int(vm.line()[:2], 16)) for _ in range(n))


def end(env, vm):
    env.lodge("keys", "test", "shift-q", rc=None)
    while vm.line()[:2] != "51":
        pass
    check(vm.wait() == 7, "status")


def test_input_ends_with_its_connection(env):
    """What a connection holds down comes up when it says so, and when it is gone."""
    vm = start(env)
    with peer(env) as p:
        check(p.call("Input1", "Key", "ub", SHIFT, True) == [1], "Shift is down")
        env.lodge("keys", "test", "a", "b")
        check(chars(vm, 2) == "AB", "others press with it")
        p.call("Input1", "ReleaseAll")
        env.lodge("keys", "test", "a")
        check(chars(vm, 1) == "a", "Shift is up")
        p.call("Input1", "Key", "ub", SHIFT, True)
        p.call("Input1", "PointerButton", "ub", 0, True)
    until(lambda: env.lodge("keys", "test", "a") and chars(vm, 1) == "a", "Shift stays down")
    end(env, vm)


def test_input_held_by_two(env):
    vm = start(env)
    with peer(env) as one:
        with peer(env) as two:
            for p in (one, two):
                p.call("Input1", "Key", "ub", SHIFT, True)
            one.call("Input1", "Key", "ub", SHIFT, False)
            env.lodge("keys", "test", "a")
            check(chars(vm, 1) == "A", "the other holds it still")
            two.call("Input1", "Key", "ub", SHIFT, False)
        env.lodge("keys", "test", "a")
        check(chars(vm, 1) == "a", "nobody does")
    end(env, vm)


def test_input_held_over_a_pause(env):
    """A paused VM takes no presses, but a key that was down comes up."""
    vm = start(env)
    with peer(env) as p, peer(env) as q:
        p.call("Input1", "Key", "ub", SHIFT, True)
        q.call("Input1", "Key", "ub", CTRL, True)
        env.lodge("pause", "test")
        for method, sig, *args in (("Key", "ub", A, True), ("PointerButton", "ub", 0, True),
                                   ("PointerMove", "iii", 1, 1, 0)):
            check(refused(p, method, sig, *args) == "WrongState", method)
        check(p.call("Input1", "Key", "ub", SHIFT, False) == [1], "up while paused")
        q.close()
        env.lodge("resume", "test")
        until(lambda: env.lodge("keys", "test", "a") and chars(vm, 1) == "a", "a key sticks")
    end(env, vm)


def test_input_held_in_a_saved_state(env):
    """Whoever held a key when a state was saved is not there when it goes on."""
    vm = start(env)
    with peer(env) as p:
        p.call("Input1", "Key", "ub", SHIFT, True)
        env.lodge("keys", "test", "a")
        check(chars(vm, 1) == "A", "Shift is down")
        env.lodge("save", "test", "state", "--stop")
    vm.wait()
    vm = env.vm("--state", "state", "--disk", "disk", "--engine", "soft", name="again")
    env.lodge("keys", "again", "a")
    check(chars(vm, 1) == "a", "Shift is up")
    env.lodge("kill", "again")


def test_input_leds(env):
    """The guest's lights can be read, and a change is told; a reset puts them out."""
    vm = start(env)
    with peer(env) as p:
        before = p.prop("Input1", "Leds")
        env.lodge("keys", "test", "capslock", "a")
        check(chars(vm, 1) == "A", "Caps Lock")
        check(p.wait_signal("LedsChanged") == [before ^ 4], "the light of Caps Lock")
        check(p.prop("Input1", "Leds") == before ^ 4, "as a property, too")
        with peer(env) as late:
            check(late.prop("Input1", "Leds") == before ^ 4, "for one that comes later")
            env.lodge("keys", "test", "capslock", "a")
            for q in (p, late):
                check(q.wait_signal("LedsChanged") == [before], "out again")
        check(chars(vm, 1) == "a", "Caps Lock")
    end(env, vm)


def test_bad_input_calls(env):
    vm = start(env)
    with peer(env) as p:
        for method, sig, *args in (("Key", "ub", 0x300, True), ("Key", "ub", 0xffffffff, False),
                                   ("PointerButton", "ub", 5, True),
                                   ("PointerButton", "ub", 0xffffffff, False)):
            check(refused(p, method, sig, *args) == "BadArgument", (method, args))
        for _ in range(300):
            p.tell("Input1", "Key", "ub", A, True)
            p.tell("Input1", "PointerMove", "iii", 0x7fffffff, -0x80000000, 0x7fffffff)
        p.call("Input1", "ReleaseAll")
    end(env, vm)


def refused(p, method, sig, *args):
    try:
        p.call("Input1", method, sig, *args)
    except Error as e:
        return e.name
    return "taken"
