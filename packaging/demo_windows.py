#!/usr/bin/env python3
"""The part of the demo with windows; called by demo.sh: a game and Debian side by side, both alive.

With --auto on an X server of its own, seen by the windows' pixels and steered by key presses; their
pictures and an index.html are in FOLDER afterwards. Without: on the user's screen, where the windows
stay open.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "tests", x) for x in ("lib", "programs", "screen")]
RUNTIME = os.environ.get("XDG_RUNTIME_DIR")     # lodgevm puts one of its own in its place
import lodgevm  # noqa: E402
from lib_screen import Seen, media  # noqa: E402
from lodgevm import LODGE, Failed, lodge  # noqa: E402
from xdisplay import Screen  # noqa: E402

p = argparse.ArgumentParser()
p.add_argument("--first-step", type=int, required=True)
p.add_argument("--folder", required=True)
p.add_argument("--auto", action="store_true")
a = p.parse_args()
number = a.first_step
GAME, DEBIAN = "invaders", "debian"


def step(text, since):
    global number
    print(f"== {number}. {text:<58} {time.monotonic() - since:6.1f} s", flush=True)
    number += 1


class Vm:
    """A `lodge run` that opens its window by itself."""

    def __init__(self, name, env, *args):
        self.name = name
        self.log = tempfile.TemporaryFile("w+")
        self.p = subprocess.Popen(
            [LODGE, "run", "--set", f"vm.name={name}", "--serial", "none", *args],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env,
            start_new_session=True)

    def err(self):
        self.log.seek(0)
        return self.log.read()

    def wait_up(self):
        end = time.monotonic() + 30
        while lodge("show", self.name, check=False).returncode != 0:
            if self.p.poll() is not None or time.monotonic() > end:
                raise Failed(f"the VM '{self.name}' does not start: {self.err()}")
            time.sleep(0.1)


def start(env, vms):
    """Fills vms, as far as it comes."""
    for name in (GAME, DEBIAN):     # of a demo before
        if lodge("show", name, check=False).returncode == 0:
            raise Failed(f"a VM called '{name}' is running already (lodge kill {name})")
    guest = lodgevm.guest("amd64")
    vms.append(Vm(GAME, env, media("invaders") + "/invaders.exec", "--memory", "16M"))
    vms.append(Vm(DEBIAN, env, guest + "/vmlinuz", "--initrd", guest + "/initrd.cpio", "--memory",
                  "256M", "--append", "vga=normal console=tty0 quiet panic=-1"))
    for vm in vms:
        vm.wait_up()


def end(vms):
    for vm in vms:
        lodge("kill", vm.name, check=False)
        vm.p.wait(20)


def until(fn, seconds, what):
    end = time.monotonic() + seconds
    while not fn():
        if time.monotonic() > end:
            raise Failed(f"not seen within {seconds} s: {what}")
        time.sleep(0.2)


def invaders(text):
    return text.count("-*-")


def print_screen(title, text):
    print(f"   +-- {title} " + "-" * 40)
    for line in text.rstrip("\n").split("\n"):
        print(f"   | {line}".rstrip())


def play(text, shoot, type_, since):
    """text(vm), shoot(), type_(line): how they are seen and steered. Both guests by turns."""
    until(lambda: invaders(text(GAME)) > 20, 30, "the invaders")
    until(lambda: "guest#" in text(DEBIAN), 240, "Debian's shell")
    step("two windows: a game, and Debian with a shell on its screen", since)

    since = time.monotonic()
    left = invaders(text(GAME))
    until(lambda: shoot() or invaders(text(GAME)) <= left - 5, 90, "five invaders shot down")
    step("five invaders shot down by key presses", since)

    since = time.monotonic()
    before = text(GAME)
    type_(f"expr {os.getpid()} - 1\n")
    until(lambda: f"\n{os.getpid() - 1}\n" in text(DEBIAN), 30, "Debian's answer")
    until(lambda: text(GAME) != before, 30, "that the game goes on meanwhile")
    step("arithmetic typed into Debian, answered; the game goes on", since)


def page(pictures):
    with open(os.path.join(a.folder, "index.html"), "w") as f:
        f.write("<!DOCTYPE html>\n<meta charset=utf-8>\n<title>Lodge: the demo's screens</title>\n"
                "<h1>The demo's screens</h1>\n" +
                "".join(f"<h2>{title}</h2>\n<img src={name} alt='{title}'>\n"
                        for name, title in pictures))
    print(f"== the screens: {os.path.join(a.folder, 'index.html')}")


def on_own_screen():
    with Screen(1500, 560) as screen, tempfile.TemporaryDirectory() as home:
        os.makedirs(os.path.join(home, "lodge"))
        with open(os.path.join(home, "lodge", "console.ini"), "w") as f:
            f.write("[console]\nscaling=integer\n")
        env = dict(screen.env(), XDG_CONFIG_HOME=home, XDG_STATE_HOME=home)
        vms = []
        try:
            start(env, vms)
            seen = {vm.name: Seen(screen, vm) for vm in vms}
            for i, s in enumerate(seen.values()):
                s.window.place(10 + i * 745, 10, 735, 540)
            play(lambda name: seen[name].text(), lambda: seen[GAME].press("space", pause=0.2),
                 seen[DEBIAN].type, time.monotonic())
            for name, s in seen.items():
                s.window.pixels().save(os.path.join(a.folder, f"{name}.png"))
            screen.whole().pixels().save(os.path.join(a.folder, "both.png"))
            print_screen("Debian's screen", lodge("screenshot", DEBIAN, "--text").stdout)
        finally:
            end(vms)
    page([("both.png", "Two guests side by side"), (f"{GAME}.png", "grub-invaders"),
          (f"{DEBIAN}.png", "Debian 12")])


def on_the_users_screen():
    if RUNTIME:
        os.environ["XDG_RUNTIME_DIR"] = RUNTIME     # the VMs stay: the user's own commands find them
    else:
        del os.environ["XDG_RUNTIME_DIR"]

    def shoot():
        lodge("keys", GAME, "space")
        time.sleep(0.3)

    vms = []
    try:
        start(dict(os.environ), vms)
        play(lambda name: lodge("screenshot", name, "--text").stdout, shoot,
             lambda line: lodge("type", DEBIAN, line), time.monotonic())
    except BaseException:
        end(vms)
        raise
    for name in (GAME, DEBIAN):
        lodge("screenshot", name, os.path.join(a.folder, f"{name}.png"))
    print_screen("Debian's screen", lodge("screenshot", DEBIAN, "--text").stdout)
    page([(f"{GAME}.png", "grub-invaders"), (f"{DEBIAN}.png", "Debian 12")])
    print(f"== the windows are yours: Right Ctrl frees the pointer, `lodge kill {GAME}` ends a VM")


try:
    os.makedirs(a.folder, exist_ok=True)
    on_own_screen() if a.auto else on_the_users_screen()
except Failed as e:
    print(f"demo: {e}", file=sys.stderr)
    sys.exit(1)
