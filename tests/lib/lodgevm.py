"""lodgevm: drives `lodge run` for tests, as a person at the terminal would.

A VM is a `lodge run` process whose first serial port is its standard input and output. `expect`
waits for text, `command` types a line into the guest's shell and returns what it printed and its
status. Every wait has a limit; a VM that is left is killed.
"""
import hashlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("LODGE_BUILD", os.path.join(ROOT, "build"))
LODGE = os.path.join(BUILD, "ui", "cli", "lodge")
PROMPT = "guest# "
UP = "LODGE-GUEST-UP"
TIER = os.environ.get("LODGE_TIER", "")  # of the soft engine; empty: the default
FULL = bool(os.environ.get("LODGE_TEST_FULL"))
# A host that is busy with other things may be slow; nothing here measures time.
PATIENCE = float(os.environ.get("LODGE_TEST_PATIENCE", "1"))

# Control sockets of our own: VMs that others run on this host are not ours to save or stop.
_runtime = tempfile.TemporaryDirectory(prefix="lodge-test-")
os.environ["XDG_RUNTIME_DIR"] = _runtime.name


class Failed(Exception):
    pass


def guest(kind):
    """The folder with vmlinuz and initrd.cpio of a Debian kernel."""
    r = subprocess.run([os.path.join(ROOT, "tests/guest/mkguest.sh"), kind],
                       stdout=subprocess.PIPE, text=True, check=True)
    return r.stdout.strip()


def lodge(*args, timeout=60, check=True):
    r = subprocess.run([LODGE, *args], capture_output=True, text=True,
                       timeout=timeout * PATIENCE, stdin=subprocess.DEVNULL)
    if check and r.returncode != 0:
        raise Failed(f"lodge {' '.join(args)}: status {r.returncode}: {r.stderr.strip()}")
    return r


def sha256_of(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


class VM:
    def __init__(self, *args, env=None):
        self.out = ""           # everything that it printed
        self.pos = 0            # what expect() has not looked at begins here
        self.n_commands = 0
        self.err = tempfile.TemporaryFile("w+")
        self.tag = os.urandom(2).hex()
        self.p = subprocess.Popen([LODGE, *self.verb(args)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.err, env=env,
                                  start_new_session=True)
        os.set_blocking(self.p.stdout.fileno(), False)

    @staticmethod
    def verb(args):
        return ["run", *args, *(["--set", f"soft.tier={TIER}"] if TIER else [])]

    @classmethod
    def debian(cls, kind="amd64", cpus=1, memory="256M", append="lodge.noecho", extra=(),
               engine="soft", settings=()):
        d = guest(kind)
        return cls("--kernel", f"{d}/vmlinuz", "--initrd", f"{d}/initrd.cpio",
                   "--append", f"console=ttyS0 quiet panic=-1 {append}".strip(), "--serial", "-",
                   "--headless", "--engine", engine, "--cpus", str(cpus), "--memory", memory,
                   *(word for s in settings for word in ("--set", s)), *extra)

    def name(self):
        """What `lodge list` calls it: a test program runs one VM at a time."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for line in lodge("list").stdout.splitlines():
                m = re.search(r"\brun-\d+\b", line)
                if m:
                    return m[0]
            time.sleep(0.1)
        raise Failed("lodge list does not show the VM")

    def talk(self):
        """What `lodge run` itself said on standard error."""
        self.err.seek(0)
        return self.err.read()

    def poll(self, seconds):
        """Reads what comes within that time; False when the output has ended."""
        r, _, _ = select.select([self.p.stdout], [], [], seconds)
        if not r:
            return True
        data = self.p.stdout.read(65536)
        if not data:
            return False
        self.out += data.decode("utf-8", "replace").replace("\r", "")
        return True

    def expect(self, pattern, timeout=60):
        """Waits for a regular expression in what came since the last one; returns the match."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            m = re.compile(pattern).search(self.out, self.pos)
            if m:
                self.pos = m.end()
                return m
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failed(f"no /{pattern}/ within {timeout} s; last output: "
                             f"{self.out[-300:]!r} {self.talk()[-300:]}")
            if not self.poll(min(left, 1.0)):
                self.p.wait(10)
                raise Failed(f"ended with status {self.p.returncode} before /{pattern}/; last "
                             f"output: {self.out[-300:]!r} {self.talk()[-300:]}")

    def send(self, text):
        try:
            self.p.stdin.write(text.encode())
            self.p.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"ended early: {self.talk()[-300:]}") from None

    def up(self, timeout=240):
        self.expect(UP, timeout)
        self.expect(PROMPT, 20)
        self.send("PS1=; PS2=; echo 'QUI''ET'\n")      # a prompt would get into the answers
        self.expect("QUIET", timeout)

    def command(self, line, timeout=30):
        """Types a line into the guest's shell: (status, what it printed)."""
        self.n_commands += 1
        tag = f"{self.tag}{self.n_commands:04d}"
        start = len(self.out)
        # The quotes keep an echo of the line from looking like its answer.
        self.send(f"{line}\necho 'E''ND'-{tag}-$?-\n")
        m = self.expect(rf"END-{tag}-(\d+)-", timeout)
        text = self.out[start:m.start()]
        if PROMPT in text:
            raise Failed(f"the guest's shell was started again: {self.kernel_said()}")
        return int(m[1]), text.strip("\n ")

    def kernel_said(self):
        self.send("dmesg | tail -n 5; echo 'SAI''D'\n")
        return self.expect(r"(?s)(.{,800})SAID")[1]

    def ask(self, line, timeout=30):
        status, text = self.command(line, timeout)
        if status != 0:
            raise Failed(f"'{line}' ended with status {status}: {text[-200:]}")
        return text

    def sleep_and_wake(self):
        """The guest goes into S3 by itself, and is woken."""
        name = self.name()
        self.send("echo mem >/sys/power/state; echo 'AWA''KE'-$?-\n")
        lodge("wait", name, "paused", "--timeout", f"{round(60 * PATIENCE)}s")
        if "guest-sleep" not in lodge("show", name).stdout:
            raise Failed("paused, but not asleep")
        lodge("resume", name)
        if self.expect(r"AWAKE-(\d+)-", 60)[1] != "0":
            raise Failed("the guest did not go to sleep")

    def wait(self, timeout=60):
        """Reads to the end; the exit status."""
        deadline = time.monotonic() + timeout * PATIENCE
        while self.poll(0.5):
            if time.monotonic() > deadline:
                raise Failed(f"still running after {timeout} s; last output: {self.out[-300:]!r}")
        return self.p.wait(20)

    def kill(self):
        if self.p.poll() is None:
            try:
                os.killpg(self.p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.p.wait()
        try:
            self.p.stdin.close()
        except BrokenPipeError:         # what was sent last was not taken
            pass
        self.p.stdout.close()
        self.err.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Serial(VM):
    """The first serial port of a VM that is kept; args: its name, what `lodge serial` takes."""

    @staticmethod
    def verb(args):
        return ["serial", *args]


class Report:
    """Prints verdict lines; a step that fails makes the later ones of its case skip over."""

    def __init__(self):
        self.failed = False

    def passed(self, name):
        print(f"PASS {name}", flush=True)

    def fail(self, name, why):
        self.failed = True
        print(f"FAIL {name}: {' '.join(str(why).split())[:600]}", flush=True)

    def skip(self, name, why):
        print(f"SKIP {name}: {why}", flush=True)

    def step(self, name, fn, *args):
        """Runs fn; True if it passed."""
        t0 = time.monotonic()
        try:
            fn(*args)
        except (Failed, ValueError, IndexError, OSError, subprocess.SubprocessError) as e:
            self.fail(name, f"{type(e).__name__}: {e}" if not isinstance(e, Failed) else e)
            return False
        print(f"    {name}: {time.monotonic() - t0:.1f} s")
        self.passed(name)
        return True

    def end(self):
        sys.exit(1 if self.failed else 0)


def need_lodge():
    """Ends the test with a skip where there is no program to test."""
    if not os.access(LODGE, os.X_OK):
        print(f"SKIP {os.path.basename(sys.argv[0])}: not built: no {LODGE}")
        sys.exit(0)
