"""The control socket against hostile callers: it answers afterwards."""
import os
import random
import socket
import subprocess
import time

from lib import BUILD, TIMEOUT, build, check, peer, until
from peer import OBJECT, Error, Peer, encode

STORM = os.path.join(BUILD, "tests/programs/bus_storm")


def control(env):
    return os.path.join(env.runtime, "lodge/run-1/control")


def test_bus_storm(env):
    vm = env.vm()
    rounds = "2000" if os.environ.get("LODGE_TEST_FULL") else "150"
    r = subprocess.run([STORM, "test", rounds, "12345", "nmi"], env=env.env, capture_output=True,
                       text=True, timeout=300, check=False)
    check(r.returncode == 0, r.stdout + r.stderr)
    print(r.stdout, end="")
    env.lodge("resume", "test")
    check(vm.show()["state"] == "running", "runs on")


def test_bus_storm_on_a_guest(env):
    """Pauses, resets and looks into devices come over a guest on two CPUs that prints."""
    vm = env.vm(build(env, "count"), "--memory", "16M", "--serial", "out", "--cpus", "2")
    r = subprocess.run([STORM, "test", "40", "777"], env=env.env, capture_output=True, text=True,
                       timeout=300, check=False)
    check(r.returncode == 0, r.stdout + r.stderr + vm.err())
    env.lodge("resume", "test")
    env.lodge("reset", "test")
    size = os.path.getsize(env.path("out"))
    end = time.monotonic() + 30
    while os.path.getsize(env.path("out")) < size + 50:
        check(time.monotonic() < end, "the guest is silent")
        time.sleep(0.05)


def test_bus_garbage(env):
    """Bytes that are no D-Bus, at every stage of the handshake and after it."""
    vm = env.vm()
    rnd = random.Random(1)
    uid = str(os.getuid()).encode().hex().encode()
    starts = [b"", b"\0", b"\0AUTH\r\n", b"\0AUTH ANONYMOUS\r\nBEGIN\r\n",
              b"\0AUTH DBUS_COOKIE_SHA1 " + uid + b"\r\n",
              b"\0AUTH EXTERNAL 39393939\r\nBEGIN\r\n",
              b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
              b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\nl\1\0\1\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\xff"]
    for i in range(200):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(control(env))
            try:
                s.sendall(starts[i % len(starts)] + rnd.randbytes(rnd.randrange(300)))
                if i % 3 == 0:
                    s.shutdown(socket.SHUT_WR)
                    s.recv(1000)
            except OSError:
                pass
    check(vm.show()["state"] == "running", "runs on")


def test_bus_only_external(env):
    """No other proof of identity than the kernel's word is taken."""
    env.vm()
    for line in (b"AUTH ANONYMOUS", b"AUTH ANONYMOUS 78", b"AUTH DBUS_COOKIE_SHA1 30",
                 b"AUTH EXTERNAL 3939393939"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(control(env))
            s.sendall(b"\0" + line + b"\r\n")
            answer = s.recv(1000)
            check(answer.startswith(b"REJECTED") or answer == b"", (line, answer))


def test_bus_names_cut_in_a_character(env):
    """An error that cites a long name is text, wherever the name is cut; GLib has nothing to complain about."""
    vm = env.vm()
    with peer(env) as p:
        for n in range(60, 66):
            try:
                p.call("Devices1", "State", "s", "x" * n + "\u20ac" * 100)
                raise AssertionError("there is such a device")
            except Error as e:
                check(e.name == "NotFound" and "no device 'xxx" in e.text, e)
    check(vm.err() == "", vm.err())


def test_bus_malformed_in_one_line(env):
    """What GLib says of a message that is none goes to the log as anything else, without all its bytes."""
    vm = env.vm()
    with peer(env) as p:
        p.send_raw(encode(1, 1, [(3, ("s", "x" * 100000))]))
        check(p.s.recv(1) == b"", "hung up on")
    until(vm.err, "something is said")
    check(vm.err().count("\n") == 1 and "D-Bus message" in vm.err() and len(vm.err()) < 300, vm.err()[:1000])
    check(vm.show()["state"] == "running", "runs on")


def flood(p, data):
    """Sends it over and over, reading nothing, until the VM hangs up."""
    end = time.monotonic() + TIMEOUT
    try:
        while time.monotonic() < end:
            p.send_raw(data)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_bus_asks_and_never_reads(env):
    """Who does not take his answers is hung up on before they fill the host's memory; others are answered."""
    vm = env.vm()
    pid = vm.show()["pid"]
    for method, flags in (("Get", 0), ("Get", 1)):          # without and with "no answer, please"
        with peer(env) as p:
            data = encode(1, 7, [(1, ("o", OBJECT)), (2, ("s", "org.lodge.Stats1")), (3, ("s", method))], flags=flags)
            check(flood(p, data * 500), "it is listened to for ever")
        check(vm.show()["state"] == "running", "others are answered")
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        most = int(f.read().split("VmHWM:")[1].split()[0])
    check(most < 512 << 10, f"{most >> 10} MiB at most")
    check(vm.err().count("\n") == 2 and vm.err().count("hung up on") == 2, vm.err())


def test_bus_wrong_headers(env):
    """Fields of a message's header that have other types, and kinds of messages that nobody waits for."""
    vm = env.vm()
    for kind in range(1, 5):
        for wrong in range(1, 10):
            for bad in (("u", 7), ("s", "x"), ("g", ""), ("v", ("s", "x"))):
                fields = [(1, ("o", OBJECT)), (2, ("s", "org.lodge.VM1")), (3, ("s", "Resume")), (5, ("u", 1)),
                          (4, ("s", "a.b"))]
                with peer(env) as p:
                    p.send_raw(encode(kind, 1, [f for f in fields if f[0] != wrong] + [(wrong, bad)]))
    check(vm.show()["state"] == "running", "runs on")


def test_bus_serial_zero(env):
    """A call that cannot be answered is not heard, and GLib has nothing to say."""
    vm = env.vm()
    with peer(env) as p:
        p.send_raw(encode(1, 0, [(1, ("o", OBJECT)), (2, ("s", "org.lodge.None1")), (3, ("s", "None"))]))
        check(p.prop("VM1", "State") == "running", "goes on")
    check(vm.err() == "", vm.err())


def test_bus_gone_at_once(env):
    """Clients that leave when they have just been let in are forgotten, all of them."""
    vm = env.vm()
    folder = f"/proc/{vm.show()['pid']}/fd"
    before = len(os.listdir(folder))
    uid = str(os.getuid()).encode().hex().encode()
    for _ in range(3000):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(control(env))
            s.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
    until(lambda: len(os.listdir(folder)) <= before, "connections stay open")
    check(vm.show()["state"] == "running", "runs on")


def test_bus_asks_and_leaves(env):
    """What a client has opened does not stay, however quickly it went."""
    vm = env.vm()
    folder = f"/proc/{vm.show()['pid']}/fd"
    before = len(os.listdir(folder))
    for _ in range(300):
        with Peer(control(env)) as p:
            for _ in range(8):
                p.tell("Devices1", "List")
            p.tell("Display1", "Open", "u", 0)
    until(lambda: len(os.listdir(folder)) <= before, "a screen stays open")


def test_bus_connection_limit(env):
    """More connections than the server takes: the VM goes on, and answers when they are gone."""
    vm = env.vm()
    uid = str(os.getuid()).encode().hex().encode()
    many = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.connect(control(env))
        s.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nBEGIN\r\n")
        many.append(s)
    time.sleep(0.3)
    for s in many:
        s.close()
    end = time.monotonic() + 20
    while env.lodge("show", "test", rc=None).rc != 0:
        check(time.monotonic() < end, "does not answer any more")
        time.sleep(0.1)
    check(vm.show()["state"] == "running", "runs on")


def test_bus_stuck_client(env):
    """A client that asks and never reads does not hold up the VM or its end."""
    env.vm()
    p = subprocess.Popen([STORM, "test", "1000000", "7"], env=env.env, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    p.send_signal(19)  # SIGSTOP, in the middle of a flood
    start = time.monotonic()
    env.lodge("kill", "test", timeout=30)
    check(time.monotonic() - start < 15, "the end was held up")
    p.kill()
    p.wait()


def test_bus_stopped_vm(env):
    """A VM whose process is stopped is told about, and holds no command up for ever."""
    import signal
    vm = env.vm()
    pid = vm.show()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        r = env.lodge("show", "run-1", rc=6, timeout=40)
        check("does not answer" in r.err and r.err.count("\n") == 1, r)
        check(env.lodge_json("list") == [], "list goes on without it")
    finally:
        os.kill(pid, signal.SIGCONT)
    check(vm.show()["state"] == "running", "and answers again")
