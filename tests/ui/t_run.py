"""lodge run and its window."""
import subprocess
import time

import xdisplay
from lib_ui import LODGE, RETURN, check, until

ENDED = 125                         # the status of a VM that was killed


class Run:
    """A VM without a guest's code: its screen is there all the same."""

    def __init__(self, env, *args, **more):
        self.env = env
        self.p = subprocess.Popen([LODGE, "run", "--engine", "null", "--memory", "16M", "--set",
                                   "vm.name=real", *args], env={**env.env, **more},
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)

    def window(self):
        def found():
            check(self.p.poll() is None, f"ended: {self.p.returncode}")
            return next((w for w, t in self.env.desktop.windows() if t.startswith("real")), None)
        return xdisplay.Window(self.env.desktop, until(found, "a window"))

    def lodge(self, *args):
        return subprocess.run([LODGE, *args], env=self.env.env, capture_output=True, text=True,
                              timeout=30)

    def up(self):
        until(lambda: self.lodge("show", "real").returncode == 0, "the VM runs")

    def has_window(self):
        return any(t.startswith("real") for _, t in self.env.desktop.windows())

    def end(self):
        """(status, standard error) as soon as nobody holds that open any more."""
        try:
            _, err = self.p.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.p.kill()
            raise AssertionError("lodge run, or its output, does not end") from None
        return self.p.returncode, err.decode()


def test_run_window(env):
    """Opens one where there is a display; Return at the question ends both, as Ctrl-] q does."""
    r = Run(env)
    w = r.window()
    until(lambda: env.desktop.active() == w.w, "the focus")
    env.desktop.tell_wm(w.w, "_NET_CLOSE_WINDOW", 0, 2)
    time.sleep(0.5)
    env.desktop.key(RETURN)
    code, err = r.end()
    check(code == 0 and err == "", f"{code} {err}")
    until(lambda: not r.has_window(), "the window is gone")


def test_run_vm_killed(env):
    """The window goes after a moment, and lodge run has ended before."""
    r = Run(env)
    r.window()
    check(r.lodge("kill", "real").returncode == 0, "kill")
    code, err = r.end()
    check(code == ENDED and err.count("\n") <= 1 and "crash" not in err, f"{code} {err}")
    until(lambda: not r.has_window(), "the window is gone")


def test_run_console_killed(env):
    """The VM runs on, and gets another window."""
    r = Run(env)
    w = r.window()
    env.desktop.kill(w.w)
    until(lambda: not r.has_window(), "the window is gone")
    check(r.lodge("show", "real").returncode == 0, "the VM runs")
    c = subprocess.Popen([LODGE, "console", "real"], env=env.env, stdin=subprocess.DEVNULL)
    r.window()
    r.p.terminate()
    r.end()
    c.wait(30)


def test_run_without_window(env):
    """--headless, --display none, or no display."""
    for args, more in ((["--headless"], {}), (["--display", "none"], {}), ([], {"DISPLAY": ""})):
        r = Run(env, *args, **more)
        r.up()
        time.sleep(0.5)
        check(not r.has_window(), f"a window with {args} {more}")
        r.p.terminate()
        r.end()


def test_run_display_refused(env):
    for args, more, status, word in (
            (["--display", "window"], {"DISPLAY": ""}, 5, "DISPLAY"),
            (["--display", "sdl"], {}, 2, "window or none"),
            (["--display", "window", "--headless"], {}, 2, "--headless")):
        r = Run(env, *args, **more)
        code, err = r.end()
        check(code == status and word in err and err.count("\n") == 1, f"{code} {err}")


def test_run_no_such_display(env):
    """A display that cannot be reached is said; the VM runs all the same."""
    r = Run(env, DISPLAY=":987")
    r.up()
    time.sleep(0.5)
    r.p.terminate()
    _, err = r.end()
    check(err.count("\n") == 1 and "display" in err, err)
