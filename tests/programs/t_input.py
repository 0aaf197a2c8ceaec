"""lodge keys and type: what is pressed arrives at the guest, through the BIOS."""
from lib import boot_disk, check


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
