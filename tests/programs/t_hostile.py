"""A process that calls itself a VM and answers nonsense: each command ends, with a status and a line, and does not
crash."""
from hostile import HostileVm
from lib import check

COMMANDS = [["list"], ["list", "--json"], ["show", "vm"], ["show", "vm", "--json"], ["show", "vm", "--devices"],
            ["show", "vm", "rtc"], ["show", "vm", "rtc", "--json"], ["stats", "vm"], ["stats", "vm", "--json"],
            ["serial", "vm", "--timeout", "1s"], ["screenshot", "vm", "shot.png"], ["screenshot", "vm", "--text"],
            ["screenshot", "vm", "--text", "--json"], ["keys", "vm", "ctrl-alt-del"], ["type", "vm", "ab"],
            ["media", "list", "vm"], ["media", "list", "vm", "--json"], ["media", "insert", "vm", "file"],
            ["media", "eject", "vm"], ["pause", "vm"], ["resume", "vm"], ["reset", "vm"], ["save", "vm", "state"],
            ["stop", "vm", "--timeout", "1s"], ["kill", "vm"], ["wait", "vm", "running", "--timeout", "1s"],
            ["wait", "vm", "serial=x", "--timeout", "1s"]]


def test_hostile_vm(env):
    env.write("file", bytes(1474560))
    vm = HostileVm(env.runtime, 1)
    vm.start()
    for _ in range(3):
        for words in COMMANDS:
            r = env.lodge(*words, rc=None)
            check(0 <= r.rc <= 6, r)
            check("\x1b" not in r.out + r.err and r.err.count("\n") <= 1, r)
            check(r.rc == 0 or r.err.startswith("lodge: ") or "--json" in words, r)
    check(len(vm.asked) > 2 * len(COMMANDS), f"{len(vm.asked)} answers: they did not listen")
    vm.end()
