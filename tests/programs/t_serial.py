"""Serial ports: the escape keys on a real terminal (a pty), streams, files."""
import os
import pty
import re
import select
import socket
import subprocess
import termios
import time

from lib import LODGE, build, check, peer


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


def test_serial_not_on_the_terminal(env):
    """A port that goes elsewhere leaves the terminal alone: Ctrl-C ends the VM."""
    t = Terminal(env, "run", "--engine", "null", "--serial", "none", "-v")
    try:
        t.expect(rb"runs, process")
        check(not t.is_raw(), "raw")
        t.type(b"\x03")
        check(t.p.wait(20) == 125, "status 125")
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


def test_serial_pipe_both_ways(env):
    """Through pipes nothing is lost or changed in either direction, and the guest's status comes."""
    data = bytes(i * 37 % 255 for i in range(6000))
    r = subprocess.run([LODGE, "run", build(env, "echo"), "--memory", "16M", "--debug-exit", "0xf4"],
                       input=data + b"\xff", capture_output=True, env=env.env, timeout=60,
                       check=False)
    check(r.returncode == 7, (r.returncode, r.stderr))
    check(r.stdout == b"ready\n" + data, f"{len(r.stdout)} bytes came back of {len(data)}")


def test_serial_typing(env):
    """On a terminal: every key but the escape reaches the guest as it is, Ctrl-C and Ctrl-] too."""
    t = Terminal(env, "run", build(env, "echo"), "--memory", "16M", "--debug-exit", "0xf4")
    try:
        t.expect(rb"ready")
        t.type(b"a\x03\x1d]b\x1a")
        t.expect(rb"a\x03\x1db\x1a")
        t.type(b"\x1dr")  # reset: it says ready again
        t.expect(rb"ready[^$]*ready")
        t.type(b"\xff")
        check(t.p.wait(20) == 7, "the guest's status")
    finally:
        t.close()


def test_serial_slow_reader(env):
    """A reader that pauses holds the guest back and loses nothing."""
    p = subprocess.Popen([LODGE, "run", build(env, "count"), "--memory", "16M"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env.env)
    try:
        time.sleep(1.5)
        text = b""
        while text.count(b"\n") < 100:
            text += p.stdout.read1(1000)
        n = [int(x, 16) for x in text.split(b"\n")[:-1]]
        check(n == list(range(1, len(n) + 1)), n)
    finally:
        p.terminate()
        p.wait()
        p.stdout.close()


def test_serial_two_viewers(env):
    """What viewers type reaches the guest; all of them and the file see its answer."""
    vm = env.vm(build(env, "echo"), "--memory", "16M", "--serial", "out")
    a, b = [subprocess.Popen([LODGE, "serial", "test"], env=env.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE) for _ in range(2)]
    try:
        env.lodge("wait", "test", "serial=ready", "--timeout", "20s")
        a.stdin.write(b"from a\n")
        a.stdin.flush()
        env.lodge("wait", "test", "serial=from a", "--timeout", "20s")
        b.stdin.write(b"from b\n")
        b.stdin.flush()
        env.lodge("wait", "test", "serial=from b", "--timeout", "20s")
        env.lodge("kill", "test")
        for p in (a, b):
            text = p.communicate(timeout=20)[0]
            check(text == b"ready\nfrom a\nfrom b\n", text)
        vm.wait()
        with open(env.path("out"), "rb") as f:
            check(f.read() == b"ready\nfrom a\nfrom b\n", "the file")
    finally:
        for p in (a, b):
            p.kill()
            p.wait()


def test_serial_input_that_nobody_reads(env):
    """Those who typed more than a guest takes, and left, do not keep others from the port."""
    env.vm()
    for i in range(40):
        with peer(env) as p:
            p.call("Serial1", "Open", "ub", 0, False)
            with socket.socket(fileno=p.take_fds()[0]) as s:
                s.sendall(bytes(5000))
    with peer(env) as p:
        p.call("Serial1", "Open", "ub", 0, False)
