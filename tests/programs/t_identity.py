"""What makes a VM the one that it is: its generation ID, which its guest sees and is told of."""
import os
import struct
import uuid

from lib import build, check, until
from t_kept import ini, one_line, pid, start, state, write_ini
from t_state import read


def lines(env, out):
    return read(env, out).split("\n")[:-1] if os.path.exists(env.path(out)) else []


def seen(env, out, n=1):
    """The last of n lines of the guest: the ID that it saw, and whether an event waited that tells of it."""
    until(lambda: len(lines(env, out)) >= n, f"the guest says only {lines(env, out)}")
    *numbers, event = lines(env, out)[-1].split()
    return str(uuid.UUID(bytes_le=struct.pack("<4I", *(int(x, 16) for x in numbers)))), event == "00000001"


def generation(env, name="a"):
    return env.lodge("get", name, "vm.generation").out.strip()


def looker(env, name="a"):
    """A VM whose guest looks at its generation ID."""
    env.write("image", bytes(1 << 20))
    env.lodge("create", name, "--disk", "image", "--memory", "16M", "--engine", "soft", "--set",
              f"boot.kernel={build(env, 'generation')}")


def test_identity_generation_stays(env):
    """From start to start, through pause, reset, suspension and a crash: one ID, and no event."""
    looker(env)
    first = generation(env)
    check(uuid.UUID(first).version == 4, first)
    start(env, "out")
    check(seen(env, "out") == (first, False), lines(env, "out"))
    env.lodge("pause", "a")
    env.lodge("resume", "a")
    env.lodge("reset", "a")
    check(seen(env, "out", 2) == (first, False), lines(env, "out"))
    env.lodge("suspend", "a")
    start(env, "on")
    env.lodge("snapshot", "take", "a", "s")
    env.lodge("reset", "a")
    check(seen(env, "on") == (first, False), lines(env, "on"))
    env.lodge("kill", "a")
    start(env, "again")
    check(seen(env, "again") == (first, False), lines(env, "again"))
    os.kill(pid(env), 9)
    until(lambda: state(env) == "crashed", "it has crashed")
    start(env, "after")
    check(seen(env, "after") == (first, False) and generation(env) == first, lines(env, "after"))


def test_identity_generation_changes(env):
    """Restored, forked, tried, cloned: an ID of its own each, and what goes on from a state gets an event."""
    looker(env)
    ids = [generation(env)]

    def another(name, got):
        check(got[0] == generation(env, name) and got[0] not in ids, f"{name}: {got}, had {ids}")
        ids.append(got[0])

    env.lodge("snapshot", "take", "a", "stopped")
    start(env, "out")
    check(seen(env, "out") == (ids[0], False), lines(env, "out"))
    env.lodge("snapshot", "take", "a", "s")
    for i in range(2):
        env.lodge("kill", "a")
        env.lodge("snapshot", "restore", "a", "s", "--yes")
        start(env, f"back{i}")
        got = seen(env, f"back{i}")
        check(got[1], "it is told")
        another("a", got)
    env.lodge("fork", "a@s", "f", "--count", "2", "--stopped")
    for name in ("f-1", "f-2"):
        start(env, name, name)
        got = seen(env, name)
        check(got[1], "a fork is told")
        another(name, got)
    env.lodge("run", "a@s", "--headless", "--serial", "tried", "--timeout", "2s", rc=124)
    check(seen(env, "tried")[1] and seen(env, "tried")[0] not in ids, lines(env, "tried"))
    env.lodge("suspend", "f-1")
    env.lodge("clone", "f-1", "c")
    start(env, "c", "c")
    got = seen(env, "c")
    check(got[1], "a clone of a suspended VM is told")
    another("c", got)
    env.lodge("kill", "a")
    env.lodge("snapshot", "restore", "a", "stopped", "--yes")
    start(env, "stopped")
    got = seen(env, "stopped")
    check(not got[1], "it starts from power-on")
    another("a", got)


def test_identity_generation_of_a_saved_state(env):
    """`run --state`: each is another one that goes on; a deterministic run has the same one always."""
    elf = build(env, "generation")
    vm = env.vm(elf, "--memory", "16M", "--serial", "out")
    first = seen(env, "out")[0]
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    ids = [first]
    for i in range(2):
        vm = env.vm("--state", "state", "--serial", f"out{i}", name=f"t{i}")
        got, told = seen(env, f"out{i}")
        check(told and got not in ids, f"{got}, had {ids}")
        ids.append(got)
    for i in range(2):
        env.vm(elf, "--memory", "16M", "--deterministic", "--serial", f"same{i}", name=f"s{i}")
    check(seen(env, "same0") == seen(env, "same1"), lines(env, "same1"))


def test_identity_generation_missing_or_bad(env):
    """A VM from before there were any gets one; what is no UUID is named."""
    looker(env)
    write_ini(env, ini(env).replace(f"generation={generation(env)}\n", "").encode())
    check(generation(env) == "", ini(env))
    start(env, "out")
    check(seen(env, "out")[0] == generation(env), ini(env))
    env.lodge("kill", "a")
    text, first = ini(env), generation(env)
    for bad in ("x", "1234", first + "0", first.replace("-", "0")):
        write_ini(env, text.replace(first, bad).encode())
        check("vm.generation" in one_line(start(env, "out", rc=2)), bad)
    write_ini(env, text.replace(first, str(uuid.uuid4())).encode())
    start(env, "good")
    check(seen(env, "good")[0] == generation(env), lines(env, "good"))
