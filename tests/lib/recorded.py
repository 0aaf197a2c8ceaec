"""recorded: what tests/state/recorder.c wrote down, and how files may be after a power cut at any moment of it.

The model: what was flushed is there. Names change in order, as a journal keeps them, and an unknown number of the last
changes is lost, but none before one whose folder was flushed. Of a file's data that were not flushed any part is there,
by sectors; its length may be any that it had since.
"""
import json
import os
import shutil
import struct

HEADER = struct.Struct("<4I3Q")
SECTOR = 512
PIECE = 4096            # of long writes: more than enough ways to be torn


class Record:
    def __init__(self, fields, blob):
        kind, names, to, data, self.inode, self.off, self.bytes = fields
        self.kind = chr(kind)
        self.name = os.path.normpath(blob[:names].decode()) if names else None
        self.to = os.path.normpath(blob[names:names + to].decode()) if to else None
        self.data = blob[names + to:names + to + data]


class File:
    """All that happened to one inode: records of changes with their numbers, and of flushes: (begun, done)."""

    def __init__(self, folder=False):
        self.folder, self.changes, self.flushes = folder, [], []

    def flushed(self, cut):
        """Changes before this number are on the disk."""
        return max((begun for begun, done in self.flushes if done <= cut), default=0)

    def contents(self, cut, rng):
        """rng None: all that was written."""
        buf = bytearray()
        flushed = self.flushed(cut)
        for number, r in self.changes:
            if number >= cut:
                break
            change(buf, r, None if number < flushed else rng)
        return bytes(buf)


def put(buf, off, data):
    buf.extend(bytes(max(0, off + len(data) - len(buf))))
    buf[off:off + len(data)] = data


def change(buf, r, rng):
    """rng: any part of it."""
    if r.kind == "T":
        if rng is None or rng.random() < 0.5:
            del buf[r.off:]
            buf.extend(bytes(r.off - len(buf)))
        return
    data = r.data if r.kind == "W" else bytes(max(0, min(r.bytes, len(buf) - r.off)))
    if rng is None:
        put(buf, r.off, data)
        return
    step = SECTOR if len(data) <= 64 * SECTOR else PIECE
    for at in range(0, len(data), step):
        if rng.random() < 0.5:
            put(buf, r.off + at, data[at:at + step])


def renamed(names, a, b):
    """A file or a folder with all that is in it."""
    for name in [n for n in names if n == a or n.startswith(a + "/")]:
        names[b + name[len(a):]] = names.pop(name)


def change_name(names, r, what):
    if r.kind == "R":
        renamed(names, r.name, r.to)
    elif r.kind == "U":
        names.pop(r.name, None)
    else:
        names[r.name] = what


class Recording:
    """root: the folder that is recorded, empty at first; log: the file to record to."""

    def __init__(self, root, log):
        self.root, self.log = os.path.realpath(root), log
        self._root_inode = os.stat(root).st_ino
        with open(log, "wb"):
            pass

    def env(self, module):
        return {"LD_PRELOAD": module, "LODGE_RECORD": self.log, "LODGE_RECORD_ROOT": self.root}

    def note(self, **what):
        """Something to know of this moment."""
        data = json.dumps(what).encode()
        with open(self.log, "ab", buffering=0) as f:
            f.write(HEADER.pack(ord("N"), 0, 0, len(data), 0, 0, 0) + data)

    def load(self):
        self.notes, self.names, self.count = [], [], 0
        self._inodes, self._begun = {self._root_inode: File(True)}, {}
        self._now = {self.root: self._inodes[self._root_inode]}
        with open(self.log, "rb") as f:
            while head := f.read(HEADER.size):
                fields = HEADER.unpack(head)
                self._add(self.count, Record(fields, f.read(sum(fields[1:4]))))
                self.count += 1

    def _add(self, number, r):
        if r.kind == "N":
            self.notes.append((number, json.loads(r.data)))
        elif r.kind in "BS":
            self._flush(number, r)
        elif r.kind in "CMRLU":
            self._name(number, r)
        elif r.kind == "A":
            self._inodes[r.inode] = File()
        elif r.inode in self._inodes:
            self._inodes[r.inode].changes.append((number, r))

    def _flush(self, number, r):
        key = r.inode, r.bytes
        if r.kind == "B":
            self._begun[key] = number
        elif r.inode in self._inodes:
            self._inodes[r.inode].flushes.append((self._begun[key], number))

    def _name(self, number, r):
        if not any(n and (n + "/").startswith(self.root + "/") for n in (r.name, r.to)):
            return
        if r.kind in "CM":
            self._inodes[r.inode] = File(r.kind == "M")
        what = self._inodes[r.inode] if r.kind == "L" else self._inodes.get(r.inode)
        parent = self._now.get(os.path.dirname(r.to or r.name))
        change_name(self._now, r, what)
        self.names.append((number, r, what, parent))

    def _lost_from(self, cut, rng):
        """The first change of names that is lost."""
        kept = max((number for number, _, _, parent in self.names
                    if parent and number < min(cut, parent.flushed(cut))), default=-1)
        later = [number for number, *_ in self.names if kept < number < cut]
        return rng.choice([*later, cut]) if rng else cut

    def after_cut(self, cut, rng):
        """Puts the folder there as it may be when the power is cut before record `cut`; rng None: nothing is lost."""
        names = {}
        lost_from = self._lost_from(cut, rng)
        for number, r, what, _ in self.names:
            if number < lost_from:
                change_name(names, r, what)
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        for name in sorted(names):
            if names[name].folder:
                os.makedirs(name, exist_ok=True)
            else:
                with open(name, "wb") as f:
                    f.write(names[name].contents(cut, rng))
