"""VMs that are kept on a stick: exFAT (by FUSE, which keeps names of files that are removed while they are open, as NFS
does) and media that cannot be written to."""
import contextlib
import os
import shutil
import subprocess

from lib import Skip, build, check, until
from t_kept import one_line, pid, state
from t_state import numbers, read, wait_lines

MIB = 1 << 20


def sh(*words):
    r = subprocess.run(words, capture_output=True, text=True, check=False)
    check(r.returncode == 0, f"{' '.join(words)}: {r.stdout}{r.stderr}")
    return r.stdout.strip()


@contextlib.contextmanager
def mounted(env, device, *options):
    """An exFAT file system, in the folder `stick`."""
    place = env.path("stick")
    os.makedirs(place, exist_ok=True)
    r = subprocess.run(["mount.exfat-fuse", *options, device, place], capture_output=True, text=True, check=False)
    if r.returncode != 0:
        raise Skip(f"this host does not mount exFAT: {r.stderr.strip()}")
    try:
        yield place
    finally:
        env.end_kept()
        sh("umount", place)


@contextlib.contextmanager
def stick(env):
    """A device with an empty one."""
    for tool in ("mkfs.exfat", "mount.exfat-fuse", "losetup"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(f"{tool} is not installed")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        raise Skip("only root mounts file systems, with /dev/fuse")
    with open(env.path("device"), "wb") as f:
        f.truncate(300 * MIB)
    sh("mkfs.exfat", env.path("device"))
    try:
        device = sh("losetup", "-f", "--show", env.path("device"))
    except AssertionError as e:
        raise Skip(f"this host has no loop devices: {e}") from e
    try:
        yield device
    finally:
        sh("losetup", "-d", device)


def create(env, vm):
    env.write("image", bytes(MIB))
    env.lodge("create", vm, "--disk", "image", "--memory", "16M", "--engine", "soft", "--set",
              f"boot.kernel={build(env, 'count')}")


def start(env, vm, out):
    env.lodge("start", vm, "--headless", "--set", f"serial.0.output={env.path(out)}")
    wait_lines(env, out, 3)


def test_stick_life(env):
    """A VM by its folder: everything that is done to one, and nothing of it is left."""
    with stick(env) as device, mounted(env, device) as place:
        vm = "stick/vm"
        create(env, vm)
        start(env, vm, "out")
        env.lodge("snapshot", "take", vm, "one")
        env.lodge("suspend", vm)
        check(state(env, vm) == "suspended", "suspended")
        start(env, vm, "out2")
        numbers(read(env, "out") + read(env, "out2"))
        env.lodge("snapshot", "take", vm, "two")
        env.lodge("snapshot", "delete", vm, "one", "--yes")
        env.lodge("snapshot", "restore", vm, "two", "--yes")
        check(state(env, vm) == "running", "it goes on from the snapshot")
        env.lodge("fork", f"{vm}@two", "stick/fork", "--headless")
        env.lodge("kill", "stick/fork")
        env.lodge("delete", "stick/fork", "--yes")
        os.kill(pid(env, vm), 9)
        until(lambda: state(env, vm) == "crashed", "it has crashed")
        start(env, vm, "out3")
        env.lodge("kill", vm)
        env.lodge("snapshot", "verify", vm)
        env.lodge("clone", vm, "stick/clone")
        env.lodge("rename", "stick/clone", "other")
        start(env, "stick/other", "out4")
        env.lodge("kill", "stick/other")
        env.lodge("snapshot", "delete", vm, "two", "--yes")
        for name in (vm, "stick/other"):
            env.lodge("delete", name, "--yes")
        check(os.listdir(place) == [], os.listdir(place))


def test_stick_read_only(env):
    """It runs, and forgets what it does; what would have to be written is refused."""
    with stick(env) as device:
        with mounted(env, device):
            create(env, "stick/vm")
        with mounted(env, device, "-o", "ro"):
            start(env, "stick/vm", "out")
            for words in (("snapshot", "take", "stick/vm", "one"), ("set", "stick/vm", "cpu.count=2"),
                          ("suspend", "stick/vm"), ("rename", "stick/vm", "other")):
                r = env.lodge(*words, rc=None)
                check(r.rc != 0, r)
                one_line(r)
            check(state(env, "stick/vm") == "running", "it runs on")
            env.lodge("kill", "stick/vm")
            start(env, "stick/vm", "out2")
            env.lodge("kill", "stick/vm")
            check("Read-only" in one_line(env.lodge("delete", "stick/vm", "--yes", rc=5)), "deleted")
