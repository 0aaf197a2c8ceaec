"""laptop: an emulated PC with AMD's virtualization, USB devices, battery, AC adapter and lid, in which a
Debian kernel runs with the host's own files as its root (mklab.sh, init, agent.sh).

A Laptop is a QEMU process. It ends with the object, and with the process that made it. What goes wrong
with the laptop itself, not with what runs in it, is a Hang.
"""
import json
import mmap
import os
import select
import shlex
import shutil
import socket
import struct
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
BUILD = os.path.abspath(os.environ.get("LODGE_BUILD") or os.path.join(ROOT, "build"))
QEMU = "qemu-system-x86_64"
PATIENCE = float(os.environ.get("LODGE_TEST_PATIENCE", "1"))
BOOT_LIMIT = 240        # seconds until the agent answers
SILENCE_LIMIT = 60      # between two words of the agent's, which says every two seconds that it lives
STICK_BYTES = 8 << 20
# Where init mounts something of the lab's own: a checkout below it is shown again.
COVERED = ["/dev", "/proc", "/run", "/sys", "/tmp", "/lib/modules"]
# What the tests may know of the world outside.
PASSED_ON = ["LODGE_TEST_FULL", "ROUNDS", "HOME", "LANG"]
SLOWER = 4              # than the host


class Hang(Exception):
    """The lab itself does not go on."""


def cache():
    return os.environ.get("LODGE_TEST_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "lodge-tests")


def make():
    """The folder with the lab's kernel and what else it boots from; None with a word on standard error."""
    r = subprocess.run([os.path.join(HERE, "mklab.sh")], stdout=subprocess.PIPE, text=True)
    return r.stdout.strip() if r.returncode == 0 else None


class Acpi:
    """The page that laptop.asl reads."""
    WORDS = ["ac", "state", "rate", "left", "mv", "lid", "present", "change"]

    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as f:
            f.truncate(1 << 20)
            self.page = mmap.mmap(f.fileno(), 4096)
        self.set(ac=1, state=2, rate=10000, left=30000, mv=11400, lid=0, present=1)

    def set(self, **values):
        """lid: 1 is closed; state: 1 discharging, 2 charging; left in mWh, rate in mW."""
        change = struct.unpack_from("<I", self.page, 28)[0] + 1
        for word, value in (*values.items(), ("change", change)):
            struct.pack_into("<I", self.page, 4 * self.WORDS.index(word), value)


class Laptop:
    def __init__(self, lab, share, cpus=1, memory="2G", shell=False):
        """lab: what make() says. share: an empty folder, /run/lab inside. shell: one for a person, on our standard input."""
        self.share, self.shell = share, shell
        self.silence = BOOT_LIMIT
        self.console = os.path.join(share, "console.log")
        self.lines = b""        # what came from the agent and was no whole line yet
        self._fill_share()
        self.scratch = tempfile.TemporaryDirectory(prefix="lodge-lab-")
        self.acpi = Acpi(os.path.join(self.scratch.name, "acpi"))
        self.agent, agent = socket.socketpair()
        self.monitor, monitor = socket.socketpair()
        with agent, monitor:
            self.p = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", QEMU, *self._arguments(
                    lab, cpus, memory, agent.fileno(), monitor.fileno())],
                stdin=None if shell else subprocess.DEVNULL,
                stdout=None if shell else subprocess.DEVNULL,
                stderr=None if shell else open(os.path.join(share, "qemu.log"), "w"),
                pass_fds=[agent.fileno(), monitor.fileno()])
        self.answers = self.monitor.makefile("r")

    def _fill_share(self):
        def put(name, text):
            with open(os.path.join(self.share, name), "w") as f:
                f.write(text)

        with open(os.path.join(self.share, "stick.img"), "wb") as f:
            f.write(os.urandom(STICK_BYTES))
        folders = [ROOT, BUILD, cache()]
        put("hidden", "".join(f"{x}\n" for x in folders
                              if any(x.startswith(c + "/") for c in COVERED)))
        env = {x: os.environ[x] for x in PASSED_ON if x in os.environ}
        env |= {"LODGE_TEST_PATIENCE": str(PATIENCE * SLOWER), "LODGE_BUILD": BUILD,
                "LODGE_TEST_CACHE": cache(), "LAB_SHARE": "/run/lab",
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": f"{HERE}:{ROOT}/tests/lib", "LAB_SHELL": "1" if self.shell else ""}
        put("start", "".join(f"export {k}={shlex.quote(v)}\n" for k, v in env.items()) +
            f"cd {shlex.quote(ROOT)}\nexec bash {shlex.quote(HERE)}/agent.sh\n")

    def _arguments(self, lab, cpus, memory, agent, monitor):
        def inside(name):       # a file of the share, as QEMU's options want its name
            return os.path.join(self.share, name).replace(",", ",,")

        console = "stdio,id=tty,signal=off" if self.shell else f"file,id=tty,path={inside('console.log')}"
        p9 = "security_model=none,multidevs=remap"
        return [
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
            "-accel", "tcg,thread=multi", "-cpu", "max,+svm,+npt,la57=off", "-smp", str(cpus),
            "-m", memory, "-kernel", f"{lab}/vmlinux", "-initrd", f"{lab}/initrd.cpio",
            # Its test of the timer counts on ticks that a busy host may not give in time.
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check",
            "-chardev", console, "-serial", "chardev:tty",
            "-chardev", f"socket,id=agent,fd={agent}", "-serial", "chardev:agent",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
            "-virtfs", f"local,path=/,mount_tag=root,readonly=on,{p9}",
            "-virtfs", f"local,path={inside('')},mount_tag=share,{p9}",
            "-acpitable", f"file={lab}/laptop.aml",
            "-object", f"memory-backend-file,id=acpi,share=on,mem-path={self.acpi.path},size=1M",
            "-device", "ivshmem-plain,memdev=acpi,addr=0x10",
            "-device", "qemu-xhci,id=xhci,p2=8,p3=4",
            "-drive", f"if=none,id=stick,format=raw,file={inside('stick.img')}",
            "-device", "usb-storage,drive=stick,bus=xhci.0",
            "-device", "usb-kbd,bus=xhci.0", "-device", "usb-tablet,bus=xhci.0",
            "-chardev", f"file,id=ftdi,path={inside('usb-serial.out')}",
            "-device", "usb-serial,chardev=ftdi,bus=xhci.0",
            "-audiodev", f"wav,id=audio,path={inside('usb-audio.wav')}",
            "-device", "usb-audio,audiodev=audio,bus=xhci.0"]

    # ---- the agent

    def _line(self, deadline, what):
        """The agent's next line."""
        while b"\n" not in self.lines:
            left = min(deadline - time.monotonic(), self.silence * PATIENCE)
            if left <= 0 or not select.select([self.agent], [], [], left)[0]:
                raise Hang(f"{what}: no answer in time{self._last_words()}")
            data = self.agent.recv(4096)
            if not data:
                raise Hang(f"{what}: QEMU ended with status {self.p.wait(10)}{self._last_words()}")
            self.lines += data
        line, self.lines = self.lines.split(b"\n", 1)
        return line.decode("utf-8", "replace").strip()

    def _last_words(self):
        said = ""
        for name in ("qemu.log", "console.log"):
            path = os.path.join(self.share, name)
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    said += f.read()
        return f"; it said last: {' '.join(said.split())[-300:]}" if said else ""

    def _say(self, line):
        try:
            self.agent.sendall(line.encode() + b"\n")
        except OSError:
            raise Hang(f"QEMU ended with status {self.p.wait(10)}{self._last_words()}") from None

    def until(self, word, seconds, what):
        """Does what is asked for until the agent's line begins with that word; the line."""
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            line = self._line(deadline, what)
            if line.split(" ")[0] == "ask":
                self._say(self._answer(line.split(" ")[1:]))
            elif line.split(" ")[0] == word:
                return line

    def up(self):
        self.command("qmp_capabilities")
        self.until("up", BOOT_LIMIT, "boot")
        self.silence = 1e8 if self.shell else SILENCE_LIMIT

    def run(self, name, seconds):
        """A test of tests/; its status, 124 and 137 when it ran past its time."""
        self._say(f"run {name} {round(seconds * PATIENCE)}")
        return int(self.until("done", seconds + 30, name).split(" ")[2])

    # ---- the world outside

    def _answer(self, words):
        try:
            self.ask(*words)
            return "ok"
        except Exception as e:  # a test's mistake is the test's to know
            return f"error {type(e).__name__} {e}".replace("\n", " ")

    def ask(self, verb, *words):
        """What `lab-host` inside can ask for."""
        if verb == "acpi":      # acpi WORD=NUMBER...: see Acpi.set
            self.acpi.set(**{k: int(v) for k, v in (w.split("=") for w in words)})
        elif verb == "key":     # key NAME...: pressed together and released; QEMU's names
            self.command("send-key", keys=[{"type": "qcode", "data": k} for k in words])
        elif verb == "plug":    # plug ID DRIVER [OPTION=VALUE...]: a device into a USB port
            self.command("device_add", id=words[0], driver=words[1], bus="xhci.0",
                         **dict(w.split("=", 1) for w in words[2:]))
        elif verb == "unplug":  # unplug ID
            self.command("device_del", id=words[0])
        elif verb == "soft":    # soft FILE: the saved machine in the share goes on for a while under the soft engine
            r = subprocess.run([os.path.join(HERE, "crossing.py"), "soft", os.path.join(self.share, words[0])],
                               capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False)
            if r.returncode != 0:
                raise RuntimeError(r.stderr.strip()[-400:])
        else:
            raise ValueError(f"the lab's host cannot {verb}")

    def command(self, name, **arguments):
        """One of QEMU's monitor commands (QMP); what it returns."""
        self.monitor.settimeout(30 * PATIENCE)
        try:
            self.monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            for line in self.answers:
                answer = json.loads(line)   # or an event, or QEMU's greeting
                if "error" in answer:
                    raise RuntimeError(answer["error"]["desc"])
                if "return" in answer:
                    return answer["return"]
        except OSError:
            pass
        raise Hang(f"QEMU does not answer{self._last_words()}")

    # ---- the end

    def over(self):
        """Does what is asked for until it has powered off by itself."""
        try:
            self.until("over", 1e8, "the lab")
        except Hang:
            if self.p.wait(10) != 0:
                raise

    def off(self):
        """Powers off; the process is gone."""
        self._say("off")
        try:
            self.p.wait(20 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Hang(f"does not power off{self._last_words()}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()
        self.answers.close()
        self.monitor.close()
        self.agent.close()
        self.scratch.cleanup()


def missing():
    """The program that is not there, if one is."""
    return next((x for x in (QEMU, "iasl", "cpio", "setpriv") if not shutil.which(x)), None)
