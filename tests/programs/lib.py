"""What the tests of the programs share: a private runtime folder, lodge with its output, VMs."""
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

import multiboot
from peer import Peer

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("LODGE_BUILD") or os.path.join(HERE, "../../build")
LODGE = os.path.join(BUILD, "ui/cli/lodge")
LODGE_VM = os.path.join(BUILD, "devmodel/vm/lodge-vm")
TIMEOUT = 60


class Skip(Exception):
    pass


def check(cond, text):
    if not cond:
        raise AssertionError(text)


def until(fn, text):
    """What fn returns as soon as that is true; not for ever."""
    end = time.monotonic() + TIMEOUT
    while not (r := fn()):
        check(time.monotonic() < end, text)
        time.sleep(0.01)
    return r


def build(env, name):
    """The multiboot program NAME.asm as an ELF file."""
    for tool in ("nasm", "ld"):
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")
    return multiboot.assemble(os.path.join(HERE, f"{name}.asm"), env.path(f"{name}.elf"))


BIOS = "/usr/share/seabios/bios-256k.bin"


def boot_sector(env, name, program, *defines):
    """The boot sector PROGRAM.asm in a file; defines: NAME=VALUE."""
    if not os.path.exists(BIOS):
        raise Skip("no package seabios")
    if not shutil.which("nasm"):
        raise Skip("nasm is not installed")
    subprocess.run(["nasm", "-f", "bin", "-I", HERE + "/", *(f"-D{d}" for d in defines), "-o",
                    env.path(name), os.path.join(HERE, f"{program}.asm")], check=True)


def boot_disk(env, name, program, text=b""):
    """A raw image of 1 MiB: the boot sector PROGRAM.asm, and text in the next sector."""
    boot_sector(env, name, program)
    with open(env.path(name), "ab") as f:
        f.write(text.ljust(512, b"\0"))
        f.truncate(1 << 20)
    return name


def peer(env, name="test"):
    """A connection to the VM that has this name."""
    root = os.path.join(env.runtime, "lodge")
    for run in os.listdir(root):
        if run.startswith("engine-"):
            continue
        p = Peer(os.path.join(root, run, "control"))
        if p.prop("VM1", "Name") == name:
            return p
        p.close()
    raise AssertionError(f"no VM {name}")


class Result:
    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.out, self.err = args, rc, out, err

    def __str__(self):
        return f"lodge {' '.join(map(repr, self.args))}: status {self.rc}\n{self.out}{self.err}"


class Env:
    """A folder to work in, a runtime folder of its own, and everything that was started."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="lodge-test-")
        self.runtime = os.path.join(self.dir, "runtime")
        os.mkdir(self.runtime, 0o700)
        self.work = os.path.join(self.dir, "work")
        os.mkdir(self.work)
        # No windows, wherever the tests run.
        windowless = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.env = dict(windowless, XDG_RUNTIME_DIR=self.runtime, LC_ALL="C.UTF-8",
                        XDG_DATA_HOME=os.path.join(self.dir, "data"),
                        # the leak checker needs what lodge-vm's sandbox refuses
                        ASAN_OPTIONS="detect_leaks=0:abort_on_error=1",
                        UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1")
        self.vms = []
        return self

    def __exit__(self, *exc):
        for vm in self.vms:
            vm.end()
        self.end_kept()
        shutil.rmtree(self.dir)

    def lodge(self, *args, rc=0, stdin=b"", timeout=TIMEOUT, env=None, **more):
        """Runs lodge; rc None: any status."""
        p = subprocess.run([LODGE, *args], input=stdin, capture_output=True, timeout=timeout,
                           env=env or self.env, cwd=self.work, check=False, **more)
        r = Result(args, p.returncode, p.stdout.decode("utf-8", "replace"),
                   p.stderr.decode("utf-8", "replace"))
        check(rc is None or r.rc == rc, f"expected status {rc}: {r}")
        return r

    def start(self, *args):
        """Runs lodge, and does not wait for it."""
        return subprocess.Popen([LODGE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, env=self.env, cwd=self.work)

    def preloaded(self, name):
        """The environment of a program under one of this folder's modules."""
        return dict(self.env, LD_PRELOAD=os.path.join(BUILD, f"tests/programs/lib{name}.so"),
                    ASAN_OPTIONS=self.env["ASAN_OPTIONS"] + ":verify_asan_link_order=0")

    def lodge_json(self, *args):
        return json.loads(self.lodge(*args, "--json").out)

    def vm(self, *args, **more):
        """A VM under `lodge run`, without a guest unless args bring one."""
        if not any("kernel" in a or "state" in a or a.endswith(".elf") for a in args):
            args = ("--engine", "null", "--memory", "16M") + args
        vm = Vm(self, args, **more)
        self.vms.append(vm)
        return vm

    def path(self, name):
        return os.path.join(self.work, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def end_kept(self):
        """VMs that are kept run by themselves."""
        root = os.path.join(self.runtime, "lodge")
        for run in os.listdir(root) if os.path.isdir(root) else []:
            if not run.startswith(("engine-", "run-")):
                self.lodge("kill", run, rc=None)

    def check_nothing_left(self):
        """No VM, and no file of one; what was found out about engines stays."""
        for vm in self.vms:
            vm.end()
        self.end_kept()
        check(self.running() == [], f"left in the runtime folder: {self.running()}")

    def running(self):
        """The folders of VMs that run, or have left theirs behind."""
        root = os.path.join(self.runtime, "lodge")
        names = os.listdir(root) if os.path.isdir(root) else []
        return [name for name in names if not name.startswith("engine-")]


class Vm:
    def __init__(self, env, args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, name="test"):
        self.env, self.name, self.rest = env, name, b""
        self.log = open(os.path.join(env.dir, f"stderr-{name}"), "w+b")
        self.p = subprocess.Popen([LODGE, "run", "--set", f"vm.name={name}", *args], stdin=stdin,
                                  stdout=stdout, stderr=self.log, env=env.env, cwd=env.work)
        self.wait_up()

    def wait_up(self):
        end = time.monotonic() + 20
        while self.env.lodge("show", self.name, rc=None).rc != 0:
            if self.p.poll() is not None:
                raise AssertionError(f"lodge run ended: {self.p.returncode}\n{self.err()}")
            check(time.monotonic() < end, f"VM {self.name} does not come up")
            time.sleep(0.02)

    def err(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def line(self):
        """The next line of the first serial port, without its end; not for ever."""
        end = time.monotonic() + TIMEOUT
        while b"\n" not in self.rest:
            left = max(0, end - time.monotonic())
            check(select.select([self.p.stdout], [], [], left)[0], f"no line: {self.rest!r}")
            got = os.read(self.p.stdout.fileno(), 65536)
            check(got, f"the output ends: {self.rest!r}")
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode("ascii", "replace").strip("\r")

    def show(self):
        return self.env.lodge_json("show", self.name)

    def wait(self, timeout=TIMEOUT):
        """The status that lodge run ends with."""
        return self.p.wait(timeout)

    def end(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(15)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
        if self.p.stdout:
            self.p.stdout.close()
        self.log.close()
        self.p.stdout = None
