"""How a console lives with its VM, and without."""
import os
import signal
import subprocess
import time

from lib_ui import CONSOLE, LODGE, RETURN, check, pattern, until

PAUSE = 33                          # the keycode of P


def test_life_title(env):
    vm, c = env.both()
    for state, word in (("paused user", "[paused]"), ("paused guest-sleep", "[asleep]"),
                        ("stopping user", "[shutting down]")):
        vm.do(f"state {state}")
        c.title(word)
    vm.do("state running user")
    until(lambda: "[" not in c.window.title(), "nothing about one that just runs")


def test_life_asleep(env):
    """Host+P wakes it."""
    vm, c = env.both()
    vm.do("state paused guest-sleep")
    c.title("[asleep]")
    env.desktop.host(PAUSE)
    vm.expect("call Resume")


def test_life_first_state(env):
    """A console that comes later knows the state, too."""
    vm = env.vm()
    vm.do("state paused user")
    p = subprocess.Popen([CONSOLE, "test"], env=env.env, stdin=subprocess.DEVNULL)
    try:
        until(lambda: any("[paused]" in t for _, t in env.desktop.windows()), "the title")
    finally:
        p.terminate()
        p.wait()


def test_life_vm_ends(env):
    """The last picture stays for a moment with a message, then the window goes."""
    vm, c = env.both()
    vm.do("end stopped guest 0")
    c.title("[ended]")
    shown = c.window.wait(lambda p: p.different(pattern(640, 480)) > 0, "a message")
    check(shown.part(0, 0, 640, 200).different(pattern(640, 480).part(0, 0, 640, 200)) == 0,
          "the last picture")
    env.picture("ended")
    check(c.wait() == 0 and c.err() == "", c.err())


def test_life_vm_ends_keep_open(env):
    vm, c = env.both("--keep-open")
    vm.do("end stopped guest 0")
    c.title("[ended]")
    time.sleep(3)
    check(c.p.poll() is None, "the window is open")
    c.close()
    check(c.wait() == 0, "closed at once")


def test_life_vm_crashes(env):
    """Stays, says why; closing it asks nothing."""
    vm, c = env.both()
    vm.do("end crashed guest 126 the guest crashed: triple fault")
    c.title("[crashed]")
    time.sleep(3)
    check(c.p.poll() is None, "the window is open")
    env.picture("crashed")
    c.close()
    check(c.wait() == 1, f"status {c.p.returncode}")
    check(c.err() == 'lodge: VM "test" has crashed: the guest crashed: triple fault\n', c.err())


def test_life_vm_killed(env):
    """One line, a status."""
    vm, c = env.both()
    vm.p.kill()
    c.title("[ended]")
    env.picture("killed")
    check(c.wait() == 1, f"status {c.p.returncode}")
    check(c.err() == 'lodge: VM "test" ended suddenly\n', c.err())


def test_life_vm_hangs(env):
    """The window lives though its VM does not; when that goes on, it has missed no release."""
    d = env.desktop
    vm, c = env.both()
    c.grab()
    d.key(38, True)
    vm.expect("key 30 1")
    vm.p.send_signal(signal.SIGSTOP)
    for i in range(2000):
        d.move(1 if i % 2 else 2, 1)
    d.key(38, False)
    d.host(43)
    c.panel()
    d.key(9)
    c.no_panel()
    c.resize(1280, 960)
    c.shows(pattern(640, 480).enlarged(2, 2), "the picture in another size")
    vm.p.send_signal(signal.SIGCONT)
    vm.expect("key 30 0")
    c.focus()
    got = vm.told() if c.vm else []
    check(len(got) < 200, f"{len(got)} messages")


def test_life_vm_hangs_at_the_end(env):
    """A console can be left though the VM does not answer."""
    vm, c = env.both()
    env.desktop.key(38, True)
    vm.expect("key 30 1")
    vm.p.send_signal(signal.SIGSTOP)
    c.close()
    c.panel()
    env.desktop.key(RETURN)
    check(c.wait() == 0, f"status {c.p.returncode}")
    vm.p.send_signal(signal.SIGCONT)
    vm.expect("closed")
    env.desktop.key(38, False)


def test_life_two_consoles(env):
    """Both show the VM, each its own keys; one leaves, the other stays."""
    vm, c = env.both()
    other = env.console(vm)
    vm.do("pattern 7")
    for x in (c, other):
        x.focus()
        x.shows(pattern(640, 480, 7), "the pattern")
    vm.log.lines.clear()
    env.desktop.key(38)
    check(vm.told() == ["key 30 1", "key 30 0"], vm.taken)
    other.p.kill()
    other.p.wait()
    vm.expect("closed")
    c.focus()
    vm.do("pattern 8")
    c.shows(pattern(640, 480, 8), "the next pattern")


def test_life_console_killed(env):
    vm, c = env.both()
    env.desktop.key(38, True)
    vm.expect("key 30 1")
    c.p.kill()
    vm.expect("closed")
    env.desktop.key(38, False)
    again = env.console(vm)
    again.shows(pattern(640, 480), "another console")


def test_life_signal(env):
    """Asked to end by a signal: no question."""
    vm, c = env.both()
    c.p.send_signal(signal.SIGINT)
    check(c.wait() == 0 and c.err() == "", c.err())
    vm.expect("closed")


def switches(pid):
    """How often its threads have woken up."""
    n = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            n += next(int(x.split()[1]) for x in f if x.startswith("voluntary_ctxt"))
    return n


def test_life_idle(env):
    """Nothing happens: it sleeps."""
    _, c = env.both()
    time.sleep(1)
    before = switches(c.p.pid)
    time.sleep(3)
    n = switches(c.p.pid) - before
    print(f"# {n} wake-ups in 3 s")
    check(n < 30, f"{n} wake-ups in 3 s")


def test_life_hidden(env):
    """The VM need not draw for a window that nobody sees."""
    vm, c = env.both()
    env.desktop.tell_wm(c.window.w, "WM_CHANGE_STATE", 3)
    vm.expect("rate 0")
    env.desktop.tell_wm(c.window.w, "_NET_ACTIVE_WINDOW", 2)
    until(lambda: any(x.startswith("rate ") and x != "rate 0" for x in vm.log.read()), "a rate")
    vm.do("pattern 4")
    c.shows(pattern(640, 480, 4), "the picture")


def test_life_geometry(env):
    """The next console of that VM is where and as large as this one was; of another VM it is not."""
    vm, c = env.both()
    c.resize(801, 603)
    x, y, _, _ = c.window.geometry()
    c.p.terminate()
    c.wait()
    c = env.console(vm)
    c.size(801, 603)
    until(lambda: abs(c.window.geometry()[0] - x) <= 8 and abs(c.window.geometry()[1] - y) <= 40,
          lambda: f"{c.window.geometry()}, not {x, y}")
    env.console(env.vm("other")).size(640, 480)


def test_life_name(env):
    """Any name of a VM is shown as it is."""
    vm = env.vm("\u6d4b\u8bd5 \u0416 %s")
    c = env.console(vm)
    check(c.window.title().startswith(vm.name), c.window.title())
    c.close()
    c.panel()
    env.picture("name")


def run(env, *args, program=(LODGE, "console"), **more):
    r = subprocess.run([*program, *args], env={**env.env, **more}, capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=60)
    check(r.returncode == 0 or (r.stderr.startswith("lodge: ") and r.stderr.count("\n") == 1),
          f"{r.returncode} {r.stderr}")
    return r.returncode, r.stderr


def test_life_refusals(env):
    """Each with one line and its status."""
    env.vm()
    code, text = run(env, "tset")
    check(code == 3 and "test" in text, f"no such VM: {code} {text}")
    code, text = run(env, "test", DISPLAY=":987")
    check(code == 5 and "display" in text, f"no display: {code} {text}")
    code, text = run(env)
    check(code == 2, f"no name: {code} {text}")
    code, text = run(env, "test", "--nonsense", program=(CONSOLE,))
    check(code == 2, f"no such option: {code} {text}")
    for text, word in (("host-key=right-crtl\n", "right-ctrl"), ("scaling=intger\n", "integer"),
                       ("scaling", "console.ini")):
        env.ini(text)
        code, said = run(env, "test")
        check(code == 2 and word in said and "console.ini" in said, f"{text}: {code} {said}")


def test_life_lodge_console(env):
    """The command of lodge is the program."""
    vm = env.vm()
    c = env.console(vm, program=(LODGE, "console"))
    c.shows(pattern(640, 480), "the picture")
    vm.do("end stopped guest 0")
    check(c.wait() == 0, c.err())
