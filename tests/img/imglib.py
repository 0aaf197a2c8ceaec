"""What the tests of disk images share: a folder to work in, qemu-img, lodge-disk, scribble."""
import itertools
import os
import random
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("LODGE_BUILD") or os.path.join(HERE, "../../build"))
SEED = int(os.environ.get("SEED", "1"))


class Skip(Exception):
    pass


class Env:
    """A folder to work in."""

    def __enter__(self):
        if not shutil.which("qemu-img"):
            raise Skip("qemu-img is not installed")
        # In memory where that goes: nothing here depends on what a sync does.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.dir = tempfile.mkdtemp(prefix="lodge-img-", dir=memory)
        self.seeds = itertools.count(SEED * 1000)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir)

    def check_nothing_left(self):
        left = [f for f in os.listdir(self.dir) if ".new-" in f]
        if left:
            raise AssertionError(f"left: {left}")

    def run(self, *args):
        r = subprocess.run(args, cwd=self.dir, capture_output=True, text=True, timeout=300, check=False)
        if r.returncode != 0:
            raise AssertionError(f"{' '.join(args)}: status {r.returncode}: {r.stdout[-300:]}{r.stderr[-300:]}")
        return r.stdout

    def qemu(self, *args):
        return self.run("qemu-img", *args)

    def disk(self, *args):
        return self.run(os.path.join(BUILD, "devmodel/storage/tool/lodge-disk"), *args)

    def source(self, name, size=20 << 20):
        """A raw image: data, text, zeroes."""
        r = random.Random(SEED)
        parts = [r.randbytes(size // 4), (b"lodge\n" * (size // 6))[:size // 4], bytes(size // 4)]
        data = b"".join(parts)
        with open(os.path.join(self.dir, name), "wb") as f:
            f.write(data + r.randbytes(size - len(data)))

    def scribble(self, image, mirror, n=500, threads=4):
        self.run(os.path.join(BUILD, "tests/img/scribble"), image, mirror, str(next(self.seeds)), str(n), str(threads))
        self.judge(image, mirror)

    def judge(self, image, mirror):
        self.qemu("check", "-q", image)
        self.qemu("compare", "-q", "-F", "raw", image, mirror)
        self.disk("check", image)

    def empty(self, name):
        with open(os.path.join(self.dir, name), "wb"):
            pass
