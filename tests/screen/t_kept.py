"""A window on a VM that is kept stays through the restoring of a snapshot, in another process of the VM's."""
import subprocess

import lodgevm
from lib_screen import LODGE, Seen, check
from t_linux import PROMPT, up_on_text


class Kept:
    """As far as Seen needs a VM."""

    def __init__(self, env, name):
        self.env, self.name, self.p = env, name, self

    def poll(self):
        return None

    def err(self):
        return self.env.lodge("log", self.name).out


def test_kept_restored_in_its_window(env):
    folder = lodgevm.guest("amd64")
    env.lodge("create", "kept", "--memory", "256M", "--engine", "soft", "--set", f"boot.kernel={folder}/vmlinuz",
              "--set", f"boot.initrd={folder}/initrd.cpio", "--set",
              "boot.append=vga=normal console=tty0 quiet panic=-1")
    env.lodge("start", "kept", "--headless")
    console = subprocess.Popen([LODGE, "console", "kept"], env=env.env, cwd=env.work, stdin=subprocess.DEVNULL)
    env.windows.append(console)
    s = up_on_text(Seen(env.screen, Kept(env, "kept")))
    s.type("echo before\n")
    s.expect("\nbefore", 30)
    env.lodge("snapshot", "take", "kept", "s")
    s.type("clear; echo later\n")
    s.expect("later\n" + PROMPT.rstrip(), 30)
    check("before" not in s.text(), "cleared")
    env.lodge("snapshot", "restore", "kept", "s", "--yes")
    s.window = env.screen.window("kept")
    s.expect("\nbefore", 30)
    check(console.poll() is None, f"the console ended: {console.poll()}")
    check("later" not in s.text(), f"not the moment of the snapshot: {s.text()}")
    s.type("echo again\n")
    s.expect("\nagain", 30)
