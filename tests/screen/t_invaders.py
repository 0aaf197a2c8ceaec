"""grub-invaders, a game in text mode: played by real key presses until some of them are shot down.

It keeps no score; how many are gone is what counts here."""
import time

from lib_screen import check, media
from lodgevm import PATIENCE

ALL = 40


def invaders(s):
    return s.text().count("-*-")


def ship(s):
    return s.lines()[23].find("_")


def play(s, goal, seconds=60):
    """Shoots until that many are gone; how many are left."""
    end = time.monotonic() + seconds * PATIENCE
    left = ALL
    while left > ALL - goal:
        check(time.monotonic() < end, f"{left} are left")
        s.press("space", pause=0.2)
        left = invaders(s)
        check(left > 0 or "YOU" in s.text(), "the game goes on")
    return left


def test_invaders(env):
    s = env.seen("--memory", "16M", media("invaders") + "/invaders.exec")
    s.wait(lambda p: invaders(s) >= ALL - 6, "the invaders", 20)    # those that overlap are not read
    before = ship(s)
    s.screen.key("Left", True)
    s.wait(lambda p: 0 <= ship(s) < before - 3, "the ship moves while its key is down", 10)
    s.screen.key("Left", False)
    s.screen.key("Right", True)
    s.wait(lambda p: ship(s) >= before - 3, "and back", 10)
    s.screen.key("Right", False)
    play(s, 12)
