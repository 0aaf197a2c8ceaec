"""Debian's installer: as text, steered by the arrow keys, and with its GTK front-end, by the mouse; booted
directly and from discs, through each kind of drive."""
import os
import time

from lib_screen import check, media
from suite import full_only
from t_boot import mkiso

TEXT = "vga=normal nomodeset fb=false --- quiet"
GTK = "vga=normal --- quiet"
GRUB = """set timeout=0
set gfxpayload=text
menuentry Install {
	linux /linux %s
	initrd /initrd.gz
}
"""
ISOLINUX = """default install
prompt 0
label install
 kernel /linux
 append initrd=/initrd.gz %s
"""


def files(kind, arch):
    at = os.path.join(media(f"installer-{arch}"), kind, "debian-installer", arch)
    return at + "/linux", at + "/initrd.gz"


def disc(env, loader, kind, arch, append):
    return mkiso(env, loader, (GRUB if loader == "grub" else ISOLINUX) % append, *files(kind, arch))


def text_installer(s):
    """Its first screen is the language list; two down and up again, then on to the second."""
    s.expect("Select a language", 150)
    lines = s.expect("English", 20)
    at = next(i for i, x in enumerate(lines) if "English" in x)
    check("French" not in lines[at], "a list")
    s.press("Down", "Down", "Up", "Up", pause=0.2)
    s.press("Return")
    s.expect("Select your location", 60)
    s.expect("United Kingdom", 20)


def selection(p):
    """The row in the middle of the highlighted entry of the GTK list, by its colour."""
    rows = [y for y in range(150, p.height - 80)
            if sum(r < 60 and 110 < g < 150 and 100 < b < 140
                   for r, g, b in (p.at(x, y) for x in range(400, 600, 20))) > 8]
    return sum(rows) // len(rows) if 10 < len(rows) < 40 else None


def gtk_installer(s):
    """The list is there, and does not move any more; a click on another language selects that one."""
    s.resize(1280, 800)
    places = []

    def settled(p):
        places.append(selection(p))
        return places[-1] is not None and places[-10:] == places[-1:] * 10
    s.wait(settled, "the list of languages", 240)
    s.take_pointer()
    for _ in range(60):
        s.screen.move(0, 2)             # from the middle, where the guest has it; slowly: it
        time.sleep(0.02)                    # accelerates what is fast
    s.screen.button()
    check(abs(places[-1] - 520) > 40, f"the pointer is not at {places[-1]} yet")
    s.wait(lambda p: abs((selection(p) or 0) - 520) < 40, "the language under the pointer", 30)


@full_only
def test_installer_text_direct(env):
    kernel, initrd = files("text", "amd64")
    text_installer(env.seen("--memory", "1G", "--kernel", kernel, "--initrd", initrd, "--append",
                            TEXT))


def test_installer_text_isolinux_ahci(env):
    text_installer(env.seen("--memory", "1G", "--iso", disc(env, "isolinux", "text", "i386", TEXT)))


def test_installer_text_grub_ide(env):
    text_installer(env.seen("--memory", "1G", "--iso", disc(env, "grub", "text", "amd64", TEXT),
                            "--set", "cdrom.0.bus=ide"))


def test_installer_text_virtio(env):
    text_installer(env.seen("--memory", "1G", "--disk",
                            disc(env, "isolinux", "text", "amd64", TEXT)))


def test_installer_gtk_direct(env):
    kernel, initrd = files("gtk", "amd64")
    gtk_installer(env.seen("--memory", "1G", "--kernel", kernel, "--initrd", initrd, "--append",
                           GTK))


@full_only
def test_installer_gtk_grub_ahci(env):
    gtk_installer(env.seen("--memory", "1G", "--iso", disc(env, "grub", "gtk", "i386", GTK)))
