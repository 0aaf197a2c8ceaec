"""Serial ports: the escape keys on a real terminal (a pty), streams, files."""
import os
import pty
import re
import select
import subprocess
import termios
import time

from lib import LODGE, check


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, env, *args):
        self.master, slave = pty.openpty()
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.p = subprocess.Popen([LODGE, *args], stdin=slave, stdout=slave, stderr=slave,
                                  env=env.env, cwd=env.work, start_new_session=True,
                                  preexec_fn=lambda: self.control(slave))
        self.text = b""

    @staticmethod
    def control(slave):
        import fcntl
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    def expect(self, pattern, timeout=20):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            check(left > 0, f"no {pattern!r} in {self.text!r}")
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.text += os.read(self.master, 4096)
                except OSError:
                    check(False, f"no {pattern!r} in {self.text!r} before the end")

    def type(self, keys):
        os.write(self.master, keys)

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        os.close(self.master)
        os.close(self.slave)


def test_serial_escape_quit(env):
    t = Terminal(env, "run", "--engine", "null")
    try:
        t.expect(rb"Ctrl-\] q ends it")
        check(t.is_raw(), "not raw")
        t.type(b"\x03")  # Ctrl-C is the guest's
        t.type(b"\x1d?")
        t.expect(rb"Ctrl-\] p +press its power button")
        t.type(b"\x1dx")
        t.expect(rb"do nothing")
        t.type(b"\x1dz")
        env.lodge("wait", "run-1", "paused", "--timeout", "10s")
        t.type(b"\x1dz")
        env.lodge("wait", "run-1", "running", "--timeout", "10s")
        t.type(b"\x1dq")
        check(t.p.wait(20) == 0, "Ctrl-] q: status 0")
        check(termios.tcgetattr(t.slave) == t.before, "the terminal is not as it was")
    finally:
        t.close()


def test_serial_terminal_after_a_crash(env):
    """A VM process that dies does not leave the terminal in raw mode."""
    t = Terminal(env, "run", "--engine", "null")
    try:
        t.expect(rb"Ctrl-\] q ends it")
        os.kill(env.lodge_json("show", "run-1")["pid"], 9)
        check(t.p.wait(20) == 125, "status 125")
        check(termios.tcgetattr(t.slave) == t.before, "the terminal is not as it was")
    finally:
        t.close()
    env.vm()  # clears the dead one's place


def test_serial_leave(env):
    vm = env.vm("--serial", "none")
    t = Terminal(env, "serial", "test")
    try:
        t.expect(rb"Ctrl-\] q leaves")
        check(t.is_raw(), "not raw")
        t.type(b"\x1dq")
        check(t.p.wait(20) == 0, "status 0")
        check(termios.tcgetattr(t.slave) == t.before, "the terminal is not as it was")
        check(vm.show()["state"] == "running", "the VM runs on")
    finally:
        t.close()


def test_serial_ends_with_vm(env):
    env.vm("--serial", "none")
    p = subprocess.Popen([LODGE, "serial", "test", "2"], env=env.env, stdin=subprocess.DEVNULL)
    time.sleep(0.3)
    check(p.poll() is None, "still connected")
    env.lodge("kill", "test")
    check(p.wait(10) == 0, "status 0")


def test_serial_timeout(env):
    env.vm("--serial", "none")
    env.lodge("serial", "test", "--timeout", "200ms", rc=6)
    r = env.lodge("serial", "test", "7", rc=2)
    check(r.err.count("\n") == 1, r)


def test_serial_viewer_limit(env):
    """More viewers than a port has room for: the rest are told so, nothing breaks."""
    vm = env.vm("--serial", "none")
    many = [subprocess.Popen([LODGE, "serial", "test"], env=env.env, stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(36)]
    try:
        end = time.monotonic() + 30
        while sum(p.poll() == 4 for p in many) < 4:
            check(time.monotonic() < end, [p.poll() for p in many])
            time.sleep(0.1)
        check(vm.show()["state"] == "running", "runs on")
    finally:
        for p in many:
            p.kill()
            p.wait()
            p.stdin.close()
