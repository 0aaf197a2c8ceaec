"""A D-Bus client of one VM's control socket that keeps its connection, and its descriptors: what
holds keys down, looks at the screen, or ends without a word. Specification: D-Bus 0.41."""
import array
import os
import select
import socket
import struct
import time

OBJECT = "/org/lodge/VM"
TIMEOUT = 60
FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d",
         "h": "I"}
ALIGN = {"y": 1, "n": 2, "q": 2, "g": 1, "v": 1, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}


class Error(Exception):
    """An org.lodge.Error; name without what comes before the last dot."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name.rpartition(".")[2], text


def one_type(sig):
    """The first complete type of a signature."""
    if sig[0] == "a":
        return "a" + one_type(sig[1:])
    if sig[0] not in "({":
        return sig[0]
    depth = 0
    for i, ch in enumerate(sig):
        depth += (ch in "({") - (ch in ")}")
        if depth == 0:
            return sig[:i + 1]
    raise ValueError(sig)


def types(sig):
    while sig:
        t = one_type(sig)
        yield t
        sig = sig[len(t):]


def pad(n, to):
    return -n % to


class Writer:
    def __init__(self):
        self.b = bytearray()

    def put(self, sig, *values):
        for t, v in zip(types(sig), values, strict=True):
            self.put_one(t, v)

    def put_one(self, t, v):
        self.b += bytes(pad(len(self.b), ALIGN.get(t[0], 4)))
        if t in FIXED:
            self.b += struct.pack("<" + FIXED[t], v)
        elif t in "so":
            self.put_one("u", len(v.encode()))
            self.b += v.encode() + b"\0"
        elif t == "g":
            self.b += bytes([len(v)]) + v.encode() + b"\0"
        elif t == "v":
            self.put("g", v[0])
            self.put(v[0], v[1])
        elif t[0] == "a":
            self.put_array(t[1:], v.items() if isinstance(v, dict) else v)
        elif t[0] in "({":
            self.put(t[1:-1], *v)
        else:
            raise ValueError(t)

    def put_array(self, t, values):
        self.put_one("u", 0)
        at = len(self.b)
        self.b += bytes(pad(at, ALIGN.get(t[0], 4)))
        start = len(self.b)
        for v in values:
            self.put_one(t, v)
        self.b[at - 4:at] = struct.pack("<I", len(self.b) - start)


class Reader:
    def __init__(self, b):
        self.b, self.at = b, 0

    def take(self, n):
        self.at += n
        return self.b[self.at - n:self.at]

    def get(self, sig):
        return [self.get_one(t) for t in types(sig)]

    def get_one(self, t):
        self.at += pad(self.at, ALIGN.get(t[0], 4))
        if t in FIXED:
            return struct.unpack("<" + FIXED[t], self.take(struct.calcsize(FIXED[t])))[0]
        if t in "so":
            return self.take(self.get_one("u") + 1)[:-1].decode()
        if t == "g":
            return self.take(self.take(1)[0] + 1)[:-1].decode()
        if t == "v":
            return self.get_one(self.get_one("g"))
        if t[0] == "a":
            n = self.get_one("u")
            self.at += pad(self.at, ALIGN.get(t[1], 4))
            end, out = self.at + n, []
            while self.at < end:
                out.append(self.get_one(t[1:]))
            return dict(out) if t[1] == "{" else out
        return tuple(self.get(t[1:-1]))


def encode(kind, serial, fields, sig="", values=(), n_fds=0, flags=0):
    """The bytes of a message; kind: 1 call, 2 answer, 3 error, 4 signal; fields: (number, (type, value)) of its
    header but signature and number of descriptors."""
    body, head = Writer(), Writer()
    body.put(sig, *values)
    fields = fields + [(8, ("g", sig))] * bool(sig) + [(9, ("u", n_fds))] * bool(n_fds)
    head.put("yyyyuua(yv)", ord("l"), kind, flags, 1, len(body.b), serial, fields)
    return bytes(head.b) + bytes(pad(len(head.b), 8)) + bytes(body.b)


class Peer:
    """path: of the control socket. Signals that come are kept in `signals`: (name, values)."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(TIMEOUT)
        self.s.connect(path)
        self.serial, self.signals, self.rest, self.fds = 0, [], b"", []
        uid = str(os.getuid()).encode().hex().encode()
        for line in (b"\0AUTH EXTERNAL " + uid, b"NEGOTIATE_UNIX_FD"):
            self.s.sendall(line + b"\r\n")
            while not self.rest.endswith(b"\r\n"):
                self.rest += self.s.recv(4096)
            if not self.rest.startswith((b"OK", b"AGREE")):
                raise Error("Auth", self.rest.decode())
            self.rest = b""
        self.s.sendall(b"BEGIN\r\n")

    def close(self):
        self.s.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- messages ----

    def send(self, iface, method, sig="", *args, reply=True, fds=()):
        """A call; what it returns is to be had by answer()."""
        self.serial += 1
        fields = [(1, ("o", OBJECT)), (2, ("s", iface)), (3, ("s", method))]
        self.send_raw(encode(1, self.serial, fields, sig, args, len(fds), flags=0 if reply else 1), fds)
        return self.serial

    def send_raw(self, data, fds=()):
        n = socket.send_fds(self.s, [data], fds) if fds else 0
        self.s.sendall(data[n:])

    def fill(self, n):
        while len(self.rest) < n:
            data, anc, _, _ = self.s.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
            if not data:
                raise Error("Closed", "the VM has hung up")
            self.rest += data
            for level, kind, fds in anc:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self.fds += array.array("i", fds)

    def message(self):
        """The next message: kind, fields of its header, values."""
        self.fill(16)
        kind, n_body, n_fields = self.rest[1], *struct.unpack("<I4xI", self.rest[4:16])
        n_head = 16 + n_fields + pad(n_fields, 8)
        self.fill(n_head + n_body)
        r = Reader(self.rest[:n_head])
        r.at = 12
        fields = dict(r.get_one("a(yv)"))
        values = Reader(self.rest[n_head:n_head + n_body]).get(fields.get(8, ""))
        self.rest = self.rest[n_head + n_body:]
        return kind, fields, values

    def answer(self, serial):
        while True:
            kind, fields, values = self.message()
            if kind == 4:
                self.signals.append((fields[3], values))
            elif fields.get(5) == serial and kind == 3:
                raise Error(fields[4], values[0])
            elif fields.get(5) == serial:
                return values

    # ---- what tests want ----

    def call(self, iface, method, sig="", *args):
        """The values that org.lodge.IFACE.METHOD returns; Error."""
        return self.answer(self.send(f"org.lodge.{iface}", method, sig, *args))

    def tell(self, iface, method, sig="", *args):
        """Without an answer."""
        self.send(f"org.lodge.{iface}", method, sig, *args, reply=False)

    def prop(self, iface, name):
        return self.answer(self.send("org.freedesktop.DBus.Properties", "Get", "ss",
                                     f"org.lodge.{iface}", name))[0]

    def take_fds(self):
        """What came with the answers so far; the caller closes them."""
        fds, self.fds = self.fds, []
        return fds

    def wait_signal(self, name):
        """The values of the next signal of that name."""
        end = time.monotonic() + TIMEOUT
        while True:
            for i, (got, values) in enumerate(self.signals):
                if got == name:
                    del self.signals[i]
                    return values
            if not self.rest:
                select.select([self.s], [], [], max(0, end - time.monotonic()))
            kind, fields, values = self.message()
            if kind == 4:
                self.signals.append((fields[3], values))
