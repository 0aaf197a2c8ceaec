"""A process that calls itself a VM and answers nonsense, for clients to be tested against."""
import fcntl
import os
import random
import socket
import struct
import threading
import time
import xml.etree.ElementTree

from peer import FIXED, Error, Peer, encode, types

FRAME_BYTES = 16384 + 4096 * 2160 * 4           # ui/protocol/frame.h
FRAME_MAGIC = 0x314d524647444c
FRAME_DRAWS, DRAW_BYTES, HEADER_BYTES = 16, 272, 48
NUMBERS = [0, 1, 2, 15, 16, 17, 80, 320, 2160, 2161, 4096, 4097, 1 << 31, (1 << 32) - 1]
SEALS = 2 | 4                                   # it neither shrinks nor grows
PROPS = "org.freedesktop.DBus.Properties"
NAMES = ["State", "Name", "Pid", "ExitInfo", "Disks", "SerialPorts", "MemoryBytes", "vcpus", "engine"]
TEXTS = ["", "running", "stopped", "\x1b[2J", "a\nb", "x" * 100000, "%s%n"]


class Frame(threading.Thread):
    """A picture in memory that is never what it says, and changes while it is looked at."""

    def __init__(self, seed, wakes):
        super().__init__(daemon=True)
        self.rng, self.wakes = random.Random(seed), wakes
        self.fd = os.memfd_create("frame", os.MFD_ALLOW_SEALING)
        self.mine = os.dup(self.fd)
        self.sealed = self.rng.random() < 0.7
        os.ftruncate(self.fd, FRAME_BYTES if self.rng.random() < 0.9 else self.rng.choice([0, 100, FRAME_BYTES - 1]))
        if self.sealed:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SEALS)
        self.write(0, struct.pack("<QQIIIIII", FRAME_MAGIC, 2, 320, 200, 1280, 1, 1, 0))
        self.write(HEADER_BYTES + DRAW_BYTES, struct.pack("<QIIIIII", 2, 1, 0, 0, 0, 320, 200))

    def write(self, at, data):
        """As far as the memory reaches."""
        try:
            os.pwrite(self.mine, data, at)
        except PermissionError:
            pass

    def run(self):
        time.sleep(0.5)                     # so that it is taken for one
        r, end = self.rng, time.monotonic() + 1
        while time.monotonic() < end:
            for _ in range(20):
                self.scribble()
            self.write(8, struct.pack("<Q", 2 * r.randrange(1, 1000)))
            for wake in self.wakes:
                try:
                    wake.send(b"x" * r.choice([1, 1, 5000]), socket.MSG_DONTWAIT)
                except OSError:
                    pass
            time.sleep(0.003)
        if not self.sealed:
            os.ftruncate(self.mine, 0)
        os.close(self.mine)

    def scribble(self):
        r = self.rng
        if r.random() < 0.5:
            at = 16 + 4 * r.randrange(8)        # size, stride, aspect, flags, changes of mode
        else:
            at = HEADER_BYTES + DRAW_BYTES * r.randrange(FRAME_DRAWS) + 4 * r.randrange(DRAW_BYTES // 4)
        self.write(at, struct.pack("<I", r.choice(NUMBERS)))


def answers():
    """What a method returns, as the protocol has it."""
    tree = xml.etree.ElementTree.parse(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../ui/protocol/org.lodge.xml"))
    out = {(i.get("name"), m.get("name")): [a.get("type") for a in m.iter("arg") if a.get("direction") == "out"]
           for i in tree.iter("interface") for m in i.iter("method")}
    return out | {(PROPS, "GetAll"): ["a{sv}"], (PROPS, "Get"): ["v"]}


class HostileVm(threading.Thread):
    """Listens where the control socket of a VM named vm would be. fitting: so many of that many and one answers are
    of the type that the protocol has."""

    def __init__(self, runtime, seed, fitting=2):
        super().__init__(daemon=True)
        self.rng, self.fitting = random.Random(seed), fitting
        self.folder = folder = os.path.join(runtime, "lodge", "vm")
        if not os.path.isdir(os.path.dirname(folder)):
            os.mkdir(os.path.dirname(folder), 0o700)
        os.mkdir(folder, 0o700)
        self.asked, self.wakes, self.out = [], [], answers()
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

    def end(self):
        self.listener.close()
        self.lock.close()
        for name in ("control", "lock"):
            os.unlink(os.path.join(self.folder, name))
        os.rmdir(self.folder)

    def descriptor(self):
        kind = self.rng.randrange(8)
        if kind < 3:
            return os.open(["/dev/null", "/", "/dev/zero"][kind], os.O_RDONLY)
        return self.wake() if kind < 5 else self.frame()

    def wake(self):
        mine, theirs = socket.socketpair()
        self.wakes.append(mine)
        return theirs.detach()

    def frame(self):
        frame = Frame(self.rng.random(), self.wakes)
        frame.start()
        return frame.fd

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
        self.asked.append(asked.asked.get(3))
        wanted = self.out.get((asked.asked.get(2), asked.asked.get(3)), [])
        sig = "".join(wanted if self.rng.randrange(self.fitting + 1) else self.rng.choice([[], ["s"], ["a{sv}"], ["v", "h"], ["a(ssss)"]]))
        body = [self.value(t) for t in types(sig)]
        fds = [self.descriptor() for _ in range(self.rng.randrange(4))]
        if wanted == ["h", "h", "u"] and sig == "hhu" and self.rng.random() < 0.8:
            body, fds = [0, 1, 1], [self.frame(), self.wake()]
        kind, fields = 2, [(5, ("u", serial))]
        if self.rng.randrange(2 * self.fitting) == 0:
            kind, fields = 3, fields + [(4, ("s", self.rng.choice(["org.lodge.Error.Failed", "a.b", "org.lodge.Error.None"])))]
        try:
            if self.rng.randrange(6 * self.fitting) == 0:
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
