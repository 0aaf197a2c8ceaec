"""killing: kill -9 of everything that works on a folder of VMs, and what of a snapshot must outlive that."""
import hashlib
import json
import os
import signal
import time


def processes(mark):
    """Those that have `mark`, NAME=VALUE, in the environment that they were started with, but this one."""
    found = []
    for p in os.listdir("/proc"):
        try:
            with open(f"/proc/{p}/environ", "rb") as f:
                if mark.encode() in f.read().split(b"\0") and int(p) != os.getpid():
                    found.append(int(p))
        except (OSError, ValueError):
            pass
    return found


def _gone(p):
    """A process on its way out has no environment any more, but still its files and their locks."""
    try:
        with open(f"/proc/{p}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill_all(mark):
    """Also those that they have started meanwhile; until they are gone. One that is just being executed has no
    environment for a moment: more than one look says that there is none."""
    quiet = 0
    while quiet < 3:
        found = processes(mark)
        quiet = 0 if found else quiet + 1
        for p in found:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        while not all(map(_gone, found)):
            time.sleep(0.001)
        time.sleep(0.02)


def kill_with(mark, worker):
    """All of them, until none is left and the thread that starts them has noticed."""
    end = time.monotonic() + 60
    while worker.is_alive() or processes(mark):
        if time.monotonic() > end:
            raise AssertionError(f"processes are left: {processes(mark)}")
        kill_all(mark)
        time.sleep(0.01)
    worker.join()


def raw_disk(ask, vm, folder, to):
    """The disk as the settings in `folder` name it, of the VM that lies in the folder `vm`."""
    disk = json.loads(ask("get", folder, "--json"))["disk.root.file"]
    ask("disk", "convert", os.path.join(vm, disk), to, "--to", "raw", "--force", "--quiet")


def snapshot_sum(ask, vm, number, spare):
    """Of what must not change in a snapshot: its machine, and its disk as it reads. ask(WORD...): what lodge
    prints; spare: a file to work with."""
    folder = os.path.join(vm, "snapshots", number)
    raw_disk(ask, vm, folder, spare)
    digest = hashlib.sha256()
    for path in (spare, os.path.join(folder, "state")):
        if os.path.exists(path):
            with open(path, "rb") as f:
                while block := f.read(1 << 20):
                    digest.update(block)
    os.unlink(spare)
    return digest.hexdigest()
