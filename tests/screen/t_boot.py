"""What boots from floppies and discs: GRUB's rescue media, iPXE, Xen with Debian as its dom0."""
import os
import subprocess

import lodgevm
from lib_screen import HERE, media
from suite import full_only


def mkiso(env, loader, config, *files):
    subprocess.run([os.path.join(HERE, "mkiso.sh"), loader, env.path("disc.iso"), *files],
                   input=config.encode(), check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return "disc.iso"


def grub_shell(s):
    """A command at GRUB's prompt, by its keyboard, is answered on the screen."""
    s.press("c")
    s.expect("grub>", 20)
    s.type("echo lodge types\n")
    lines = s.expect("\nlodge types", 20)
    s.type("ls\n")
    return lines


def test_rescue_cd(env):
    s = env.seen("--memory", "64M", "--iso", media("rescue") + "/grub-rescue-cdrom.iso")
    s.expect("GNU GRUB", 30)
    grub_shell(s)
    s.expect("(cd", 20)


def test_rescue_floppy(env):
    s = env.seen("--memory", "64M", "--floppy", media("rescue") + "/grub-rescue-floppy.img")
    s.expect("GNU GRUB", 60)
    grub_shell(s)
    s.expect("(fd0", 20)


def test_ipxe(env):
    """Its ISO by ISOLINUX: Ctrl-B for its shell, a command there."""
    s = env.seen("--memory", "64M", "--iso", media("ipxe") + "/ipxe.iso")
    s.expect("Ctrl-B", 40)
    s.window.focus()
    env.screen.chord("Control_L", "b")
    s.expect("iPXE>", 20)
    s.type("echo lodge\n")
    s.expect("\nlodge", 20)


XEN = """set timeout=0
set gfxpayload=text
menuentry Xen {
	multiboot2 /xen.gz placeholder console=vga loglvl=warning
	module2 /vmlinuz placeholder console=tty0 quiet panic=-1
	module2 /initrd.cpio
}
"""


def xen(env, cpus):
    guest = lodgevm.guest("amd64")
    disc = mkiso(env, "grub", XEN, media("xen") + "/xen-4.17-amd64.gz=xen.gz", guest + "/vmlinuz",
                 guest + "/initrd.cpio")
    s = env.seen("--memory", "768M", "--cpus", str(cpus), "--iso", disc)
    s.expect("LODGE-GUEST-UP", 120)
    s.type("cat /sys/hypervisor/type\n")
    s.expect("\nxen", 20)
    s.type("nproc\n")
    s.expect(f"nproc\n{cpus}\n", 20)


@full_only
def test_xen_1cpu(env):
    xen(env, 1)


def test_xen_2cpus(env):
    xen(env, 2)
