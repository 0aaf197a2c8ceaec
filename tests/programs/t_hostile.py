"""A process that calls itself a VM and answers nonsense: each command ends, with a status and a line, and does not
crash."""
import fcntl
import os
import random
import socket
import threading
import xml.etree.ElementTree

from lib import HERE, check
from peer import FIXED, Error, Peer, encode, types

COMMANDS = [["list"], ["list", "--json"], ["show", "vm"], ["show", "vm", "--json"], ["show", "vm", "--devices"],
            ["show", "vm", "rtc"], ["show", "vm", "rtc", "--json"], ["stats", "vm"], ["stats", "vm", "--json"],
            ["serial", "vm", "--timeout", "1s"], ["screenshot", "vm", "shot.png"], ["screenshot", "vm", "--text"],
            ["screenshot", "vm", "--text", "--json"], ["keys", "vm", "ctrl-alt-del"], ["type", "vm", "ab"],
            ["media", "list", "vm"], ["media", "list", "vm", "--json"], ["media", "insert", "vm", "file"],
            ["media", "eject", "vm"], ["pause", "vm"], ["resume", "vm"], ["reset", "vm"], ["save", "vm", "state"],
            ["stop", "vm", "--timeout", "1s"], ["kill", "vm"], ["wait", "vm", "running", "--timeout", "1s"],
            ["wait", "vm", "serial=x", "--timeout", "1s"]]
PROPS = "org.freedesktop.DBus.Properties"
NAMES = ["State", "Name", "Pid", "ExitInfo", "Disks", "SerialPorts", "MemoryBytes", "vcpus", "engine"]
TEXTS = ["", "running", "stopped", "\x1b[2J", "a\nb", "x" * 100000, "%s%n"]


def answers():
    """What a method returns, as the protocol has it."""
    tree = xml.etree.ElementTree.parse(os.path.join(HERE, "../../ui/protocol/org.lodge.xml"))
    out = {(i.get("name"), m.get("name")): [a.get("type") for a in m.iter("arg") if a.get("direction") == "out"]
           for i in tree.iter("interface") for m in i.iter("method")}
    return out | {(PROPS, "GetAll"): ["a{sv}"], (PROPS, "Get"): ["v"]}


class HostileVm(threading.Thread):
    """Listens where the control socket of a VM named vm would be."""

    def __init__(self, env, seed):
        super().__init__(daemon=True)
        self.rng = random.Random(seed)
        folder = os.path.join(env.runtime, "lodge", "vm")
        os.mkdir(os.path.dirname(folder), 0o700)
        os.mkdir(folder, 0o700)
        self.answers, self.out = 0, answers()
        self.lock = open(os.path.join(folder, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(folder, "control"))
        self.listener.listen(8)

    def run(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            with Asked(s) as asked:
                for serial in asked.calls():
                    self.answer(asked, serial)
        except (OSError, ValueError, Error):
            pass

    def value(self, t, depth=0):
        r = self.rng
        if t in FIXED:
            return r.choice([0, 1, 2]) if t in "bh" else r.choice([0, 1, 80, 0x7f])
        if t == "s":
            return r.choice(TEXTS)
        if t == "v":
            inner = r.choice(["s", "u", "b", "h", "t", "(is)", "as", "a(ssss)", "a{sv}", "aa{sv}", "v"][:11 if depth < 3 else 5])
            return inner, self.value(inner, depth + 1)
        if t == "a{sv}":
            return {name: self.value("v", depth + 1) for name in r.sample(NAMES, 5)}
        if t[0] == "a":
            return [self.value(t[1:], depth + 1)] * r.choice([0, 1, 3, 300 if depth == 0 else 2])
        return tuple(self.value(x, depth + 1) for x in types(t[1:-1]))

    def answer(self, asked, serial):
        self.answers += 1
        wanted = self.out.get((asked.asked.get(2), asked.asked.get(3)), [])
        sig = "".join(wanted if self.rng.randrange(3) else self.rng.choice([[], ["s"], ["a{sv}"], ["v", "h"], ["a(ssss)"]]))
        body = [self.value(t) for t in types(sig)]
        fds = [os.open(self.rng.choice(["/dev/null", "/", "/dev/zero"]), os.O_RDONLY) for _ in range(self.rng.randrange(4))]
        kind, fields = 2, [(5, ("u", serial))]
        if self.rng.randrange(4) == 0:
            kind, fields = 3, fields + [(4, ("s", self.rng.choice(["org.lodge.Error.Failed", "a.b", "org.lodge.Error.None"])))]
        try:
            if self.rng.randrange(12) == 0:
                asked.s.close()
            else:
                asked.send_raw(encode(kind, 7, fields, sig, body, len(fds)), fds)
        finally:
            for fd in fds:
                os.close(fd)


class Asked(Peer):
    """The server's side of a connection."""

    def __init__(self, s):     # pylint: disable=super-init-not-called
        self.s, self.serial, self.signals, self.rest, self.fds = s, 0, [], b"", []
        self.s.settimeout(20)
        line = b""
        while not line.startswith(b"BEGIN"):
            line = self.line().lstrip(b"\0")
            if line == b"AUTH":
                self.s.sendall(b"REJECTED EXTERNAL\r\n")
            elif line.startswith(b"AUTH"):
                self.s.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            elif line.startswith(b"NEGOTIATE"):
                self.s.sendall(b"AGREE_UNIX_FD\r\n")

    def line(self):
        while b"\r\n" not in self.rest:
            self.fill(len(self.rest) + 1)
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def calls(self):
        """The serial numbers of what is asked."""
        while True:
            self.fill(12)
            serial = int.from_bytes(self.rest[8:12], "little")
            _, self.asked, _ = self.message()
            yield serial


def test_hostile_vm(env):
    env.write("file", bytes(1474560))
    vm = HostileVm(env, 1)
    vm.start()
    for _ in range(3):
        for words in COMMANDS:
            r = env.lodge(*words, rc=None)
            check(0 <= r.rc <= 6, r)
            check("\x1b" not in r.out + r.err and r.err.count("\n") <= 1, r)
            check(r.rc == 0 or r.err.startswith("lodge: ") or "--json" in words, r)
    check(vm.answers > 2 * len(COMMANDS), f"{vm.answers} answers: they did not listen")
    vm.listener.close()
    vm.lock.close()
    os.unlink(os.path.join(env.runtime, "lodge/vm/control"))
    os.unlink(os.path.join(env.runtime, "lodge/vm/lock"))
    os.rmdir(os.path.join(env.runtime, "lodge/vm"))
