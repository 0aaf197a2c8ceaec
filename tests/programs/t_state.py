"""save and run --state: the guest goes on where it was, in a new process; bad states are refused."""
import os
import signal
import stat
import time

from lib import build, check, peer
from peer import Error


def numbers(text):
    """All whole lines as numbers; they count without a gap."""
    n = [int(line, 16) for line in text.split("\n")[:-1]]
    check(len(n) > 1, f"only {n}")
    for a, b in zip(n, n[1:]):
        check(b == a + 1, f"{b:#x} follows {a:#x}")
    return n


def read(env, name):
    with open(env.path(name), encoding="ascii") as f:
        return f.read()


def wait_lines(env, name, n):
    end = time.monotonic() + 30
    while read(env, name).count("\n") < n:
        check(time.monotonic() < end, f"the guest is silent: {read(env, name)[-100:]!r}")
        time.sleep(0.02)


def test_state_goes_on(env):
    """Three generations; the output of all of them together has no gap."""
    vm = env.vm(build(env, "count"), "--memory", "32M", "--serial", "out0", "--cpus", "2")
    all_text = ""
    for i in range(3):
        wait_lines(env, f"out{i}", 5)
        env.lodge("save", "test", "state", "--stop", timeout=60)
        vm.wait()
        all_text += read(env, f"out{i}")
        check(not [n for n in os.listdir(env.work) if "tmp" in n], os.listdir(env.work))
        vm = env.vm("--state", "state", "--serial", f"out{i + 1}")
        s = vm.show()
        check(s["cpu-count"] == 2 and s["memory-bytes"] == 32 << 20, s)
    wait_lines(env, "out3", 5)
    env.lodge("kill", "test")
    vm.wait()
    numbers(all_text + read(env, "out3"))


def test_state_saver_goes_on(env):
    """Without --stop the saved VM runs on, and the state is one moment of it."""
    vm = env.vm(build(env, "count"), "--memory", "16M", "--serial", "out")
    for i in range(3):
        env.lodge("save", "test", "state")
        check(vm.show()["state"] == "running", "runs on")
    n = read(env, "out").count("\n")
    wait_lines(env, "out", n + 3)
    env.lodge("pause", "test")
    env.lodge("save", "test", "state")
    check(vm.show()["state"] == "paused", "stays paused")
    two = env.vm("--state", "state", "--serial", "out2", name="two")
    wait_lines(env, "out2", 3)
    env.lodge("kill", "test", "two")
    vm.wait()
    two.wait()
    numbers(read(env, "out"))
    numbers(read(env, "out") + read(env, "out2"))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def machine_of(vm):
    """The process that has the machine."""
    return children(vm.p.pid)[0]


def writer_of(vm):
    """The process that writes the state of that VM, stopped as soon as it is there."""
    end = time.monotonic() + 30
    while not (writer := children(machine_of(vm))):
        check(time.monotonic() < end, "no process writes the state")
    time.sleep(0.02)                # it has a gigabyte to look at; its first step is done by then
    os.kill(writer[0], signal.SIGSTOP)
    return writer[0]


def begin_save(env, vm, name):
    """A save that has begun, and does not come to its end before its writer goes on."""
    saver = env.start("save", "test", name)
    return saver, writer_of(vm)


def test_state_written_while_running(env):
    """The guest goes on while its state is written; the state is that of the beginning."""
    vm = env.vm(build(env, "count"), "--memory", "1G", "--serial", "out")
    wait_lines(env, "out", 3)
    saver, writer = begin_save(env, vm, "state")
    n = read(env, "out").count("\n")
    wait_lines(env, "out", n + 20)
    check(vm.show()["activity"].startswith("saving "), vm.show()["activity"])
    r = env.lodge("save", "test", "second", rc=4)
    check("being saved" in r.err and r.err.count("\n") == 1, r)
    check(not os.path.exists(env.path("second")), "it left a file")
    env.lodge("pause", "test")
    env.lodge("resume", "test")
    os.kill(writer, signal.SIGCONT)
    check(saver.wait(60) == 0, "saved")
    check(vm.show()["activity"] == "", vm.show()["activity"])
    env.lodge("kill", "test")
    vm.wait()
    env.vm("--state", "state", "--serial", "out2")
    wait_lines(env, "out2", 3)
    first = numbers(read(env, "out2"))[0]
    check(first <= numbers(read(env, "out"))[n + 2], f"{first} is a moment after the save began")


def test_state_writer_killed(env):
    """Its end is a save that failed: one line, no file, and the VM goes on; so does a save after it."""
    vm = env.vm(build(env, "count"), "--memory", "1G", "--serial", "out")
    saver, writer = begin_save(env, vm, "state")
    os.kill(writer, signal.SIGKILL)
    check(saver.wait(30) == 1, "the save fails")
    said = saver.stderr.read()
    check(said.count(b"\n") == 1 and b"was ended" in said, said)
    check(not os.path.exists(env.path("state")), os.listdir(env.work))
    wait_lines(env, "out", read(env, "out").count("\n") + 3)
    env.lodge("save", "test", "state")


def test_state_writer_outlived(env):
    """A VM that is killed takes the writer along."""
    vm = env.vm(build(env, "count"), "--memory", "1G", "--serial", "out")
    saver, writer = begin_save(env, vm, "state")
    os.kill(machine_of(vm), signal.SIGKILL)
    check(saver.wait(30) != 0, "the save fails")
    end = time.monotonic() + 10
    while os.path.exists(f"/proc/{writer}"):
        check(time.monotonic() < end, "the writer lives on")
        time.sleep(0.02)
    check(env.lodge_json("list") == [], "a dead VM is listed")
    vm.wait()
    env.vm()                        # its place in the runtime folder is tidied up
    check(not os.path.exists(env.path("state")), os.listdir(env.work))


def test_state_overlay_disk(env):
    """A disk without --write does not keep a VM from being saved, and comes back the same way."""
    env.write("disk", bytes(range(256)) * 4096)
    vm = env.vm(build(env, "count"), "--memory", "16M", "--disk", "disk", "--serial", "out")
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    vm = env.vm("--state", "state", "--disk", "disk", "--serial", "out2")
    check([d["changes"] for d in vm.show()["disks"]] == ["discard"], vm.show())
    wait_lines(env, "out2", 3)
    env.lodge("kill", "test")
    vm.wait()


def test_state_replaced_while_used(env):
    """A VM that runs from a state file saves over that very file."""
    vm = env.vm(build(env, "count"), "--memory", "16M", "--serial", "out")
    wait_lines(env, "out", 2)
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    text = read(env, "out")
    for i in range(3):
        vm = env.vm("--state", "state", "--serial", "more")
        wait_lines(env, "more", 3)
        env.lodge("save", "test", "state", "--stop")
        vm.wait()
        text += read(env, "more")
    numbers(text)


def test_state_disks(env):
    """A state wants its disks back: as many, as large; read-only ones, too."""
    env.write("disk", bytes(1 << 20))
    env.write("other", bytes(2 << 20))
    env.vm("--disk", "disk", "--set", "disk.0.read-only=yes", name="b")
    env.lodge("save", "b", "state")
    for args in ([], ["--disk", "other"], ["--disk", "disk", "--disk", "disk"]):
        r = env.lodge("run", "--engine", "null", "--state", "state", *args, rc=2)
        check(r.err.count("\n") == 1, r)
    env.vm("--state", "state", "--engine", "null", "--disk", "disk", name="c")


def bad_targets(env, *others):
    """Descriptors of what nothing is to be saved to, by what they are of; others: files with something in them."""
    fifo = env.path("fifo")
    os.mkfifo(fifo)
    read_only, append = env.write("read-only", b""), env.write("append", b"")
    modes = [(fifo, os.O_RDWR), ("/dev/null", os.O_RDWR), (env.work, os.O_RDONLY), (read_only, os.O_RDONLY),
             (append, os.O_RDWR | os.O_APPEND), *((other, os.O_RDWR) for other in others)]
    return {path: os.open(path, mode) for path, mode in modes}


def test_state_bad_targets(env):
    """A descriptor that cannot take a state, or has something in it such as the VM's own memory: one line, nothing is
    written, and the VM runs on."""
    vm = env.vm(build(env, "count"), "--memory", "16M", "--serial", "out")
    env.lodge("save", "test", "state", "--stop")
    vm.wait()
    vm = env.vm("--state", "state", "--serial", "on")
    with open(env.path("state"), "rb") as f:
        memory = f.read()
    p = peer(env)
    for path, fd in bad_targets(env, env.path("state"), env.write("other", b"x")).items():
        try:
            p.answer(p.send("org.lodge.VM1", "Save", "ha{sv}", 0, {}, fds=(fd,)))
            check(False, f"saved to {path}")
        except Error as e:
            check(e.name == "BadArgument" and "\n" not in e.text, f"{path}: {e}")
        os.close(fd)
    with open(env.path("state"), "rb") as f:
        check(f.read() == memory, "its memory")
    check(os.path.getsize(env.path("other")) == 1 and vm.show()["state"] == "running", "nothing else happened")
    with open(env.path("new"), "wb") as f:
        bytes_, = p.answer(p.send("org.lodge.VM1", "Save", "ha{sv}", 0, {}, fds=(f.fileno(),)))
    check(os.path.getsize(env.path("new")) == bytes_, "an empty file takes it")
    os.symlink("fifo", env.path("link"))
    for name in ("fifo", "link"):
        r = env.lodge("save", "test", name, rc=2)
        check("not an ordinary file" in r.err and r.err.count("\n") == 1, r)
        check(stat.S_ISFIFO(os.stat(env.path(name)).st_mode), "it is what it was")


def test_bad_input_states(env):
    """Every way of cutting and bending a state: refused in one line, or it runs."""
    env.vm()
    env.lodge("save", "test", "state")
    env.lodge("kill", "test")
    with open(env.path("state"), "rb") as f:
        good = f.read()
    cases = [good[:n] for n in (1, 16, 100, 4095, 4096, len(good) // 2, len(good) - 1)]
    # Bits that mean something: sections come first, memory (which is checked on demand) is last.
    used = [i for i in range(24 << 10) if good[i] != 0]
    for i in range(60):
        at = used[i * len(used) // 60]
        cases.append(good[:at] + bytes([good[at] ^ (1 << i % 8)]) + good[at + 1:])
    cases += [good + b"x" * 4096, bytes(len(good)), good[4096:], os.urandom(65536)]
    ran = 0
    for i, data in enumerate(cases):
        env.write("bent", data)
        r = env.lodge("run", "--engine", "null", "--state", "bent", "--timeout", "10s", rc=None)
        ran += r.rc == 124
        check(r.rc == 124 or (r.rc == 2 and r.err.count("\n") == 1), f"case {i}: {r}")
        check("bent" in r.err or r.rc == 124, f"case {i}: the file is not named: {r}")
    check(ran <= 1, f"{ran} of {len(cases)} bent states run")  # one has only bytes added
