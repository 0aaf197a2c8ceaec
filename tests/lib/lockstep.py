"""lockstep: runs two deterministic VMs side by side and finds the instruction at which they part.

Both write digests (hv-core/cpu/digest.h) at the same numbers of instructions. Where two of them differ,
the VMs are run again and again with digests closer together, up to the first differing one; the trace of
the reference says which instructions lie before it, both traces what the registers were after it.
"""
import os
import subprocess
import tempfile
import time

from lodgevm import LODGE, PATIENCE, Failed

REGISTERS = ["flags", "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
             "r12", "r13", "r14", "r15", "cr3"]
WINDOW = 2000           # instructions between two digests that are looked at one by one
LISTED = 12             # instructions of a report


class Run:
    """One VM under way; lines of its digests as they come. Killed at the end of `with`."""

    def __init__(self, folder, name, args, settings):
        self.digest = os.path.join(folder, name + ".digest")
        self.trace = os.path.join(folder, name + ".trace")
        self.err = os.path.join(folder, name + ".err")
        for path in (self.digest, self.trace):
            if os.path.exists(path):
                os.unlink(path)
        argv = [LODGE, "run", "--headless", "--engine", "soft", "--deterministic", *args]
        for s in (f"debug.digest={self.digest}", *settings):
            argv += ["--set", s]
        with open(self.err, "w") as err:
            self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        self.file, self.rest = None, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()
        if self.file:
            self.file.close()

    def lines(self):
        """What has been added since the last call."""
        if self.file is None:
            if not os.path.exists(self.digest):
                return []
            self.file = open(self.digest)
        parts = (self.rest + self.file.read()).split("\n")
        self.rest = parts.pop()
        return parts

    def ended(self):
        return self.p.poll() is not None


def count(line):
    return int(line.split()[0])


def trace_flags(settings, begin, every):
    return [*settings, f"debug.digest-from={begin}", f"debug.digest-every={every}",
            "debug.digest-memory=0"]


class Pair:
    """args: of `lodge run`, for both; a, b: (name, settings) of the reference and of the other."""

    def __init__(self, args, a, b, limit=600):
        self.args, self.sides, self.limit = args, (a, b), limit
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-lockstep-")

    def start(self, side, settings, trace=False):
        name, own = self.sides[side]
        more = [f"debug.trace={os.path.join(self.folder.name, name + '.trace')}"] if trace else []
        return Run(self.folder.name, name, self.args, [*own, *settings, *more])

    def compare(self, settings, until=None):
        """(lines that were equal, first that differs or None, its rival). Ends both after `until`."""
        seen = ([], [])
        end = time.monotonic() + self.limit * PATIENCE
        equal = 0
        with self.start(0, settings) as a, self.start(1, settings) as b:
            while True:
                done = a.ended() and b.ended()
                for r, lines in zip((a, b), seen):
                    lines += r.lines()
                while equal < min(map(len, seen)):
                    if seen[0][equal] != seen[1][equal]:
                        return seen[0][:equal], seen[0][equal], seen[1][equal]
                    equal += 1
                    if until is not None and count(seen[0][equal - 1]) >= until:
                        return seen[0][:equal], None, None
                if done:
                    break
                if time.monotonic() > end:
                    raise Failed(f"not at its end after {self.limit} s and {equal} digests")
                time.sleep(0.05)
            if len(seen[0]) != len(seen[1]):
                longer = max(seen, key=len)
                return longer[:equal], longer[equal], "(at its end)"
            if a.p.returncode != b.p.returncode or not seen[0]:
                raise Failed(f"status {a.p.returncode} and {b.p.returncode}, {equal} digests: "
                             f"{open(a.err).read()[-300:]} {open(b.err).read()[-300:]}")
        return seen[0], None, None

    def lines_until(self, side, begin, every, until, trace=False):
        """Digests of one side by count, and its trace if wanted."""
        with self.start(side, trace_flags([], begin, every), trace) as r:
            end = time.monotonic() + self.limit * PATIENCE
            lines = []
            while not r.ended() and not (lines and count(lines[-1]) >= until):
                time.sleep(0.02)
                lines += r.lines()
                if time.monotonic() > end:
                    raise Failed("does not come to the place again")
            lines += r.lines()
        rows = open(r.trace).read().split("\n")[:-1] if trace else []
        return {count(x): x for x in lines}, rows

    def narrow(self, lo, hi):
        """Digests closer and closer together. A stop has the rest of a block interpreted, so what
        only whole traces do may vanish: then it is the last interval that shows it."""
        while hi - lo > WINDOW:
            every = max((hi - lo) // 100, WINDOW)
            equal, bad, _ = self.compare(trace_flags([], lo + every, every), until=hi)
            if bad is None:
                return lo, hi
            lo, hi = count(equal[-1]) if equal else lo, count(bad)
        return lo, hi

    def bisect(self, lo, hi):
        """One stop a run: the first count after which the other side differs."""
        want, _ = self.lines_until(0, lo + 1, 1, hi)
        while hi - lo > 1:
            mid = (lo + hi) // 2
            got, _ = self.lines_until(1, mid, 1 << 50, mid)
            if got.get(mid) == want.get(mid):
                lo = mid
            else:
                hi = mid
        return lo, hi

    def report(self, lo, hi):
        first = max(lo - LISTED, 1)
        _, before = self.lines_until(0, first, 1, hi + 1, trace=True)
        _, other = self.lines_until(1, hi, 1, hi + 1, trace=True)
        rows = {int(r.split()[1]): r.split() for r in before}
        after = {int(r.split()[1]): r.split() for r in other}
        out = [f"the same up to {lo} instructions, different after {hi}:"]
        for n in range(max(first, hi - LISTED), hi):
            if n in rows:
                out.append(f"  {'>' if n >= lo else ' '} {n} {rows[n][2]}  {disassemble(rows[n])}")
        if hi in rows and hi in after:
            a, b = rows[hi], after[hi]
            if a[2] != b[2]:
                out.append(f"    next: {a[2]} instead of {b[2]}")
            for k, name in enumerate(REGISTERS):
                if a[3 + k] != b[3 + k]:
                    out.append(f"    {name}: {a[3 + k]} and {b[3 + k]}")
            if len(out) and a[2:-1] == b[2:-1]:
                out.append("    in none of the general registers")
        return "\n".join(out)

    def run(self, settings=()):
        """None if both did the same, else where they part. Also how many digests were equal."""
        equal, bad, rival = self.compare(list(settings))
        if bad is None:
            return None, equal
        lo = count(equal[-1]) if equal else 0
        hi = min(count(x) for x in (bad, rival) if x[0].isdigit())
        if hi <= lo:
            return f"different at {lo} instructions, in memory only: {bad} and {rival}", equal
        lo, hi = self.narrow(lo, hi)
        if hi - lo <= WINDOW:
            lo, hi = self.bisect(lo, hi)
        # The lines too: a difference that does not come again is told by them alone.
        return f"{self.report(lo, hi)}\n    {bad}\n    {rival}", equal


def disassemble(row):
    mode = "i386:x86-64" if int(row[2].split(":")[1], 16) >> 32 else "i386"
    with tempfile.NamedTemporaryFile() as f:
        f.write(bytes.fromhex(row[-1]))
        f.flush()
        r = subprocess.run(["objdump", "-D", "-b", "binary", "-m", mode, "-M", "intel",
                            "--adjust-vma=0x" + row[2].split(":")[1], f.name],
                           capture_output=True, text=True)
    lines = [x.split("\t") for x in r.stdout.split("\n") if x.count("\t") == 2]
    return " ".join(lines[0][2].split()) if lines else row[-1]
