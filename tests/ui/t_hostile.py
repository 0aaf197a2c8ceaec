"""The console of a VM that is hostile: it ends, or goes on; nothing else."""
import signal
import subprocess
import time

from hostile import HostileVm
from lib_ui import CONSOLE, check

ROUNDS = 12


def test_hostile_console(env):
    opened = 0
    for seed in range(ROUNDS):
        vm = HostileVm(env.env["XDG_RUNTIME_DIR"], seed, fitting=12)
        vm.start()
        p = subprocess.Popen([CONSOLE, "vm"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                             text=True, env=env.env)
        end = time.monotonic() + 2
        while p.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        p.send_signal(signal.SIGTERM)
        said = p.communicate(timeout=60)[1]
        check(0 <= p.returncode <= 6, f"seed {seed}: status {p.returncode}: {said}")
        check("\x1b" not in said, f"seed {seed}: {said!r}")
        opened += vm.asked.count("GetAll") > 1  # the frame was taken for one
        vm.end()
    check(opened > 2, f"only {opened} frames were looked at")
