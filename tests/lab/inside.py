"""inside: what the lab's Python tests share; runs in the lab."""
import subprocess
import time

PATIENCE_S = 20


def check(cond, text):
    if not cond:
        raise SystemExit(text)


def until(fn, text):
    """What fn returns as soon as that is true; not for ever."""
    end = time.monotonic() + PATIENCE_S
    while not (r := fn()):
        check(time.monotonic() < end, text)
        time.sleep(0.05)
    return r


def host(*words):
    """Asks the world outside the laptop: Laptop.ask() in laptop.py has what there is."""
    r = subprocess.run(["lab-host", *words], pass_fds=[3], stderr=subprocess.PIPE, text=True)
    check(r.returncode == 0, r.stderr.strip())


def read(path):
    with open(path) as f:
        return f.read().strip()
