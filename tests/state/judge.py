"""judge: reads what the guest's program busy (tests/guest/busy.c) prints, over all processes that print it."""
import re

from lodgevm import Failed

MASK = (1 << 64) - 1
LAG_LINES, LAG_S, LAG_TICKS = 20, 5, 15
STALL_TICKS = 300       # for so long a thread of the guest may get no time on a busy host
LINE = re.compile(r"^BUSY seq=(\d+) sum=([0-9a-f]{16}) ticks=(\d+) mono=([\d.]+) skew=(-?[\d.]+) "
                  r"ram=(\d+)/(\d+) disk=(\d+)/(\d+)$")


def mix(x):
    """One step of the guest's chain; linear over bits."""
    x ^= x << 13 & MASK
    x ^= x >> 7
    return (x ^ x << 17) & MASK


class Chain:
    """A million steps at once: the matrix of one step raised to that power."""

    def __init__(self, steps=1000000):
        power = [mix(1 << b) for b in range(64)]
        self.rows = [1 << b for b in range(64)]
        while steps:
            if steps & 1:
                self.rows = [self.apply(power, r) for r in self.rows]
            power = [self.apply(power, r) for r in power]
            steps >>= 1

    @staticmethod
    def apply(matrix, x):
        r = 0
        b = 0
        while x:
            if x & 1:
                r ^= matrix[b]
            x >>= 1
            b += 1
        return r

    def next(self, x):
        return self.apply(self.rows, x)


class Judge:
    """Reads the guest's lines, over all the processes that print them."""

    def __init__(self):
        self.chain = Chain()
        self.seq, self.sum, self.mono = 0, 1, None
        self.ram = self.disk = 0
        self.gap = 0.5          # the longest time between two lines so far
        self.rest = ""
        self.lags = []          # (when, ticks that were missing) of the last lines

    def feed(self, text, restored=False):
        """Judges what was printed since; the first new line after a restore may come late."""
        lines = (self.rest + text).split("\n")
        self.rest = lines.pop()
        n = 0
        for line in lines:
            if not line.strip():
                continue
            m = LINE.match(line)
            if not m:
                raise Failed(f"not a line of the guest's program: {line[:120]!r}")
            n += 1
            self.line(m, restored and n == 1)
        return n

    def line(self, m, restored):
        seq, ticks, mono, skew = int(m[1]), int(m[3]), float(m[4]), float(m[5])
        ram, ram_bad, disk, disk_bad = (int(m[k]) for k in (6, 7, 8, 9))
        self.seq += 1
        self.sum = self.chain.next(self.sum)
        if seq != self.seq:
            raise Failed(f"line {seq} where {self.seq} was due")
        if int(m[2], 16) != self.sum:
            raise Failed(f"checksum {m[2]} in line {seq}, not {self.sum:016x}")
        if ram_bad or disk_bad:
            raise Failed(f"{ram_bad} memory and {disk_bad} disk errors in line {seq}")
        if self.mono is not None:
            gap = mono - self.mono
            if gap < 0:
                raise Failed(f"the clock went back by {-gap} s in line {seq}")
            if restored and gap > 3 * self.gap + 1:
                raise Failed(f"the clock jumped by {gap:.3f} s over the save in line {seq}, "
                             f"usual is {self.gap:.3f} s")
            self.gap = max(self.gap, gap)
        # The guest reads the clock first; a busy host may let time pass until it reads the ticks.
        if not mono * 100 - 100 * self.gap - STALL_TICKS <= ticks <= mono * 100 + 2 + 100 * self.gap:
            raise Failed(f"{ticks} ticks of 10 ms in {mono} s in line {seq}")
        # A line may be printed before the ticks of a busy host were caught up; not all of some seconds.
        self.lags.append((mono, mono * 100 - ticks))
        while len(self.lags) > LAG_LINES and self.lags[1][0] <= mono - LAG_S:
            del self.lags[0]
        lost = min(lag for _, lag in self.lags)
        if len(self.lags) >= LAG_LINES and self.lags[0][0] <= mono - LAG_S and lost > LAG_TICKS:
            raise Failed(f"at least {lost:.0f} ticks lost by line {seq}")
        if abs(skew) > 0.1:
            raise Failed(f"wall clock and monotonic clock differ by {skew} s in line {seq}")
        self.mono, self.ram, self.disk = mono, ram, disk


def busy_for(vm, judge, lines, restored):
    """Lets the guest print that many lines and judges them."""
    done = 0
    while done < lines:
        vm.expect(r"\n", 60)
        new = vm.out[vm.judged:vm.pos]
        vm.judged = vm.pos
        done += judge.feed(new, restored and done == 0)
