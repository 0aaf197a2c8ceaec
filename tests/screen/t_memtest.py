"""memtest86+: from its BIOS image and from its disc, on one CPU and two, and with a broken byte."""
import re
import time

from lib_screen import check, media, shown
from lodgevm import PATIENCE

FAULT = 0x1812340                       # where no code of memtest86+ lies


def start(env, *args):
    s = env.seen("--memory", "32M", *args)
    s.expect("Press <F1> to configure", 60)
    return s


def choose_tests(s, first, last):
    """By its menu: those tests only."""
    s.press("F1")
    s.expect("Test selection")
    s.press("F1")
    s.expect("Clear selection")
    s.press("F1")
    s.expect("...........")
    s.press("F4")
    s.expect("Enter first test")
    s.press(str(first), "Return")
    s.expect("Enter last test")
    s.press(str(last), "Return")
    s.expect("*" * (last - first + 1) + ".")
    s.press("F10", pause=0.5)
    s.press("F10")


def status(text):
    """(passes, errors) of the status area."""
    m = re.search(r"Pass:\s+(\d+)\s+Errors:\s+(\d+)", text)
    return (int(m[1]), int(m[2])) if m else (0, 0)


def first_pass(s):
    s.expect("Status: Testing", 20)
    end = time.monotonic() + 120 * PATIENCE
    while True:
        text = s.text()
        passes, errors = status(text)
        check(errors == 0, f"errors: {shown(text)}")
        if passes:
            return text
        check(time.monotonic() < end, f"no pass: {shown(text)}")
        time.sleep(0.2)


def test_memtest_disc(env):
    s = start(env, "--iso", media("memtest") + "/memtest86+x64.iso")
    choose_tests(s, 0, 6)
    check("Status: Pass" in first_pass(s), "it says so")


def test_memtest_image_32_bits(env):
    s = start(env, media("memtest") + "/memtest86+ia32.bin", "--append", "vga=normal")
    choose_tests(s, 0, 4)
    first_pass(s)


def test_memtest_two_cpus(env):
    s = start(env, media("memtest") + "/memtest86+x64.bin", "--append", "vga=normal",
              "--cpus", "2")
    choose_tests(s, 0, 4)
    text = first_pass(s)
    check("2 Cores" in text and "Disabled" not in text, f"both CPUs: {shown(text)}")


def test_memtest_broken_bit(env):
    """A bit that is always one is found at its address."""
    s = start(env, media("memtest") + "/memtest86+x64.bin", "--append", "vga=normal", "--set",
              f"debug.stuck-address={FAULT + 2}", "--set", "debug.stuck-bits=0x10")
    choose_tests(s, 3, 5)
    lines = s.expect(f"{FAULT:012x}", 60)
    row = next(x for x in lines if f"{FAULT:012x}" in x)
    expected, found = re.findall(r"\b[0-9a-f]{16}\b", row)[:2]
    check(int(expected, 16) ^ int(found, 16) == 0x10 << 16, f"which bit: {row}")
