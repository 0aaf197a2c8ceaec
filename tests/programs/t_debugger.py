"""A real gdb attaches to the stub and works: registers, memory, break, step, watch, threads."""
import os
import re
import shutil
import socket
import subprocess
import time

from lib import Skip, build, check


def program(env):
    """The guest program, and the addresses of its symbols."""
    if not shutil.which("gdb"):
        raise Skip("gdb is not installed")
    elf = build(env, "loop")
    nm = subprocess.run(["nm", elf], capture_output=True, text=True, check=True).stdout
    return elf, {n: int(a, 16) for a, _, n in (line.split() for line in nm.splitlines())}


def gdb(env, where, *commands):
    args = ["gdb", "-nx", "-batch", "-ex", "set confirm off", "-ex", "set width 0",
            "-ex", f"target remote {where}"]
    for c in commands:
        args += ["-ex", c]
    p = subprocess.run(args, capture_output=True, text=True, timeout=60, cwd=env.work, check=False,
                       env=env.env)
    return p.stdout + p.stderr


def test_debugger_gdb(env):
    elf, sym = program(env)
    vm = env.vm(elf, "--memory", "16M", "--gdb", "gdb.sock", "--debug-exit", "0xf4",
                "--serial", "out")
    check(vm.show()["state"] == "paused", "waits for gdb")
    a = {k: f"{v:#x}" for k, v in sym.items()}
    text = gdb(env, "gdb.sock",
               f"break *{a['again']}", "continue", "printf \"A %x\\n\", $rip",
               "continue", f"printf \"B %x %d\\n\", $rip, *(int*){a['counter']}",
               "stepi", f"printf \"C %d\\n\", *(int*){a['counter']}",
               "delete", "stepi", "printf \"D %d\\n\", $ebx",
               f"watch *(int*){a['copy']}", "continue",
               f"printf \"E %x %d\\n\", $rip, *(int*){a['copy']}", "delete",
               f"rwatch *(int*){a['leave_']}", "continue", "printf \"F %x\\n\", $rip", "delete",
               f"hbreak *{a['func']}", "continue", "printf \"G %x\\n\", $rip", "delete",
               f"set *(int*){a['counter']} = 1000", "set $ecx = 7", "printf \"H %d\\n\", $ecx",
               f"break *{a['after']}", "continue", "printf \"I %d %x\\n\", $ebx, $ecx",
               "continue", "printf \"J %d\\n\", $ebx",
               "info threads", "info registers cr0 cs eflags", "x/2xb $rip", "monitor help",
               "delete", "detach")
    got = dict(re.findall(r"^([A-J]) (.*)$", text, re.M))
    n = int(got.get("B", "0 0").split()[1])
    want = {"A": f"{sym['again']:x}", "B": f"{sym['again']:x} 1", "C": "2", "D": "2"}
    for k, v in want.items():
        check(got.get(k) == v, f"{k}: {got.get(k)}, not {v}\n{text}")
    check(n == 1, text)
    check(got.get("E", "").endswith(" 2"), f"watch\n{text}")
    check(int(got.get("F", "0"), 16) in range(sym["after"], sym["func"]), f"rwatch\n{text}")
    check(got.get("G") == f"{sym['func']:x}", f"hbreak\n{text}")
    check(got.get("H") == "7", f"set register\n{text}")
    check(got.get("I", "").endswith(" 1234") and got.get("J") == "1001", f"set memory\n{text}")
    check("CPU 0, running" in text and "power-on state" in text, text)
    check(vm.show()["state"] == "running", "runs on after detach")
    text = gdb(env, "gdb.sock", f"set *(int*){a['leave_']} = 42", "detach")
    check(vm.wait() == 42, f"status {vm.p.returncode}\n{text}")
    check(not os.path.exists(env.path("gdb.sock")), "the socket is left")
    with open(env.path("out"), encoding="ascii") as f:
        check(f.read() == "loop starts\n", "the serial port")


def test_debugger_interrupt(env):
    """Ctrl-C stops a running guest; a gdb that dies lets it run on; kill ends it."""
    elf, sym = program(env)
    vm = env.vm(elf, "--memory", "16M", "--gdb", "gdb.sock", "--debug-exit", "0xf4", "--cpus", "2",
                "--set", "debug.wait=no")
    check(vm.show()["state"] == "running", "does not wait")
    p = subprocess.Popen(["gdb", "-nx", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, cwd=env.work, start_new_session=True)
    try:
        for c in ("set confirm off", "set pagination off", "target remote gdb.sock",
                  "break *%#x" % sym["func"], "continue"):
            p.stdin.write(c + "\n")
        p.stdin.flush()
        env.lodge("wait", "test", "paused", "--timeout", "20s")
        p.stdin.write("delete\ncontinue\n")       # not before: nobody might see it paused
        p.stdin.flush()
        env.lodge("wait", "test", "running", "--timeout", "20s")
        time.sleep(0.5)
        os.kill(p.pid, 2)
        env.lodge("wait", "test", "paused", "--timeout", "20s")
        env.lodge("resume", "test", rc=4)
        p.stdin.write("info threads\n")
        p.stdin.flush()
        time.sleep(0.3)
        os.kill(p.pid, 9)
        text = p.communicate()[0]
    finally:
        p.kill()
        p.wait()
    check("SIGINT" in text and "CPU 1" in text, text)
    env.lodge("wait", "test", "running", "--timeout", "20s")
    text = gdb(env, "gdb.sock", "kill")
    check(vm.wait() == 125 and "killed by the debugger" in vm.err(), text + vm.err())


def test_debugger_exit_seen(env):
    """gdb is told that the VM ended, and with what."""
    elf, sym = program(env)
    vm = env.vm(elf, "--memory", "16M", "--gdb", "gdb.sock", "--debug-exit", "0xf4")
    text = gdb(env, "gdb.sock", f"set *(int*){sym['leave_']:#x} = 5", "continue")
    check("exited with code 05" in text, text)
    check(vm.wait() == 5, vm.err())


def test_debugger_tcp(env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    vm = env.vm("--gdb", str(port))
    check(vm.show()["reason"] == "debugger", "waits")
    for data in (b"", b"\x03\x03", b"$g#00" * 100, b"$" + b"m" * 100000 + b"#00", os.urandom(5000)):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(data)
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(10)
        s.sendall(b"$qAttached#8f")
        got = b""
        while b"#" not in got:
            got += s.recv(100)
        check(got == b"+$1#31", got)
    check(vm.show()["state"] == "running", "goes on when gdb has left")
