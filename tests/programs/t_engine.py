"""Which engine is taken, and what is said where one cannot be had: on hosts with KVM, without, and with
one that cannot run guests."""
import json
import os
import time

from lib import build, check


def kvm_row(env):
    """What doctor says of KVM."""
    r = env.lodge("doctor", "--json", rc=None)
    return next(row for row in json.loads(r.out) if row["check"] == "engine kvm")


def answer_file(env):
    return os.path.join(env.runtime, "lodge", "engine-kvm")


def test_engine_kvm(env):
    """engine=kvm runs, or fails with doctor's words, a way out, and status 5."""
    row = kvm_row(env)
    elf = build(env, "halt")
    if row["verdict"] == "ok":
        vm = env.vm("--kernel", elf, "--engine", "kvm")
        check(vm.show()["engine"] == "kvm", vm.show())
        env.lodge("kill", "test")
        return
    check("/dev/kvm" in row["text"] or "KVM" in row["text"], row)
    check("vm.engine=soft" in row["text"], row)
    r = env.lodge("run", "--kernel", elf, "--headless", "--engine", "kvm", rc=5)
    check(r.err == f"lodge: {row['text']}\n", (r.err, row))


def test_engine_auto(env):
    """auto takes KVM where it runs guests; else the soft engine, and says why."""
    row = kvm_row(env)
    vm = env.vm("--kernel", build(env, "halt"), "--engine", "auto")
    s = vm.show()
    if row["verdict"] == "ok":
        check(s["engine"] == "kvm", s)
    else:
        check(s["engine"] == "soft" and s["engine-reason"] == f"kvm: {row['text']}", (s, row))
    env.lodge("kill", "test")


def test_engine_at_once(env):
    """The verdict comes within seconds on a host that is busy, and the second time from the file."""
    start = time.monotonic()
    row = kvm_row(env)
    check(time.monotonic() - start < 20, "a guest that does not end is given up")
    if not os.path.exists(answer_file(env)):
        check(row["verdict"] != "ok", "no answer is kept of a device that is not there")
        return
    key, answer, rest = open(answer_file(env)).read().split("\n")
    check(rest == "" and (answer == "ok") == (row["verdict"] == "ok"), answer)
    with open(answer_file(env), "w") as f:
        f.write(f"{key}\nmade up by a test\n")
    check(kvm_row(env)["text"] == "made up by a test", "the file is used")


def test_engine_bad_answers(env):
    """An answer of another start of the host, or none at all, is not believed."""
    row = kvm_row(env)
    if not os.path.exists(answer_file(env)):
        return
    key = open(answer_file(env)).read().split("\n")[0]
    for text in (b"", b"\n\n", b"other host\nmade up\n", key.encode(), f"{key}\n\n".encode(),
                 f"{key}\nmade\nup\n".encode(), b"\xff\xfe\n\n", b"\0" * 100, b"x" * 100000):
        with open(answer_file(env), "wb") as f:
            f.write(text)
        check(kvm_row(env) == row, text[:40])
        check(open(answer_file(env)).read().startswith(key), "it is written anew")


def test_engine_for_soft_only(env):
    """What only the soft engine does is not a reason to fail under auto."""
    vm = env.vm("--kernel", build(env, "halt"), "--engine", "auto", "--set", "debug.deterministic=yes")
    s = vm.show()
    check(s["engine"] == "soft" and "debug.deterministic" in s["engine-reason"], s)
    env.lodge("kill", "test")
