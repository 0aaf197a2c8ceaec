"""recorded: what tests/state/recorder.c wrote down, and how files may be after a power cut at any moment of it.

The model: what was flushed is there. Of the changes of names an unknown number of the last ones is lost, but none
before one whose folder was flushed: of all together, as a journal keeps them in order, or of each folder by itself. Of
a file's data that were not flushed any part is there, by sectors; its length may be any that it had since.
"""
import json
import os
import shutil
import struct

HEADER = struct.Struct("<4I3Q")
SECTOR = 512
PAGE = 4096             # long writes are torn by pages: more than enough ways


class Record:
    def __init__(self, fields, blob):
        kind, names, to, data, self.inode, self.off, self.bytes = fields
        self.kind = chr(kind)
        self.name = os.path.normpath(blob[:names].decode()) if names else None
        self.to = os.path.normpath(blob[names:names + to].decode()) if to else None
        self.data = blob[names + to:names + to + data]


class Contents:
    """Of a file, by pages: a machine's memory is mostly zeroes, which have none."""

    def __init__(self):
        self.pages, self.bytes = {}, 0

    def put(self, off, data):
        for at in range(off - off % PAGE, off + len(data), PAGE):
            begin, end = max(at, off), min(at + PAGE, off + len(data))
            page = self.pages.setdefault(at, bytearray(PAGE))
            page[begin - at:end - at] = data[begin - off:end - off]
        self.bytes = max(self.bytes, off + len(data))

    def zero(self, off, count):
        """As far as the file reaches."""
        end = min(off + count, self.bytes)
        for at in [at for at in self.pages if off < at + PAGE and at < end]:
            self.put(max(at, off), bytes(min(at + PAGE, end) - max(at, off)))

    def resize(self, count):
        self.zero(count, self.bytes)
        self.bytes = count

    def change(self, r, rng):
        """rng: any part of it."""
        if r.kind == "T":
            if rng is None or rng.random() < 0.5:
                self.resize(r.off)
            return
        count = len(r.data) if r.kind == "W" else r.bytes
        step = count if rng is None else SECTOR if count <= 64 * SECTOR else PAGE
        for at in range(0, count, step):
            if rng is not None and rng.random() < 0.5:
                continue
            if r.kind == "W":
                self.put(r.off + at, r.data[at:at + step])
            else:
                self.zero(r.off + at, min(step, count - at))

    def write(self, path):
        with open(path, "wb") as f:
            for at, page in self.pages.items():
                if at < self.bytes:
                    f.seek(at)
                    f.write(page)
            f.truncate(self.bytes)


class File:
    """All that happened to one inode: records of changes with their numbers, and of flushes: (begun, done)."""

    def __init__(self):
        self.changes, self.flushes = [], []

    def flushed(self, cut):
        """Changes before this number are on the disk."""
        return max((begun for begun, done in self.flushes if done <= cut), default=0)

    def contents(self, cut, rng):
        """rng None: all that was written."""
        contents = Contents()
        flushed = self.flushed(cut)
        for number, r in self.changes:
            if number >= cut:
                break
            contents.change(r, None if number < flushed else rng)
        return contents


class Folder(File):
    """names: changes of them: number, name, what has it from then on (None: nothing), and the folder whose flush puts
    that on the disk, which is another one where something was moved."""

    def __init__(self):
        super().__init__()
        self.names, self.now = [], {}

    def set_name(self, number, name, what, by):
        self.names.append((number, name, what, by))
        self.now[name] = what

    def kept(self, cut):
        """The last change that cannot be lost."""
        return max((number for number, _, _, by in self.names if by is self and number < self.flushed(cut)), default=-1)

    def may_be_lost(self, cut):
        return [number for number, *_ in self.names if self.kept(cut) < number < cut]

    def entries(self, lost_from):
        """lost_from(folder): the first change that is lost."""
        found = {}
        for number, name, what, by in self.names:
            if number < lost_from(by):
                found[name] = what
        return {name: what for name, what in found.items() if what}


class Recording:
    """root: the folder that is recorded, empty at first; log: the file to record to."""

    def __init__(self, root, log):
        self.root, self.log = os.path.realpath(root), log
        self._root, self._inode = Folder(), os.stat(root).st_ino
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
        self.notes, self.count = [], 0
        self._folders, self._inodes, self._begun = [self._root], {self._inode: self._root}, {}
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

    def _inside(self, path):
        return path.startswith(self.root + "/")

    def _find(self, path):
        """The folder that a path lies in, and its name there."""
        *parts, name = path[len(self.root) + 1:].split("/")
        folder = self._root
        for part in parts:
            folder = folder.now[part]
        return folder, name

    def _name(self, number, r):
        if not self._inside(r.to or r.name):
            return
        folder, name = self._find(r.to or r.name)
        if r.kind == "U":
            what = None
        elif r.kind == "R":
            before, old = self._find(r.name)
            what = before.now[old]
            before.set_name(number, old, None, folder)
        else:
            what = self._known(r)
        folder.set_name(number, name, what, folder)

    def _known(self, r):
        """What has a new name."""
        if r.kind == "M":
            self._folders.append(Folder())
            self._inodes[r.inode] = self._folders[-1]
        elif r.kind == "C":
            self._inodes[r.inode] = File()
        return self._inodes[r.inode]

    def _losses(self, cut, rng):
        """A function that says of a folder which change of its names is the first that is lost."""
        if rng is None:
            return lambda folder: cut
        if rng.random() < 0.5:
            kept = max(folder.kept(cut) for folder in self._folders)
            later = sorted(n for folder in self._folders for n in folder.may_be_lost(cut) if n > kept)
            lost_from = rng.choice([*later, cut])
            return lambda folder: lost_from
        lost = {folder: rng.choice([*folder.may_be_lost(cut), cut]) for folder in self._folders}
        return lost.__getitem__

    def after_cut(self, cut, rng):
        """Puts the folder there as it may be when the power is cut before record `cut`; rng None: nothing is lost."""
        shutil.rmtree(self.root, ignore_errors=True)
        self._write(self.root, self._root, cut, rng, self._losses(cut, rng))

    def _write(self, path, what, cut, rng, losses):
        if isinstance(what, Folder):
            os.mkdir(path)
            for name, inner in what.entries(losses).items():
                self._write(os.path.join(path, name), inner, cut, rng, losses)
        else:
            what.contents(cut, rng).write(path)
