"""Trace points: switched on by pattern, written to the log, and silent otherwise."""
from lib import build, check


def trace_of(env, name, *settings):
    log = env.path(f"{name}.log")
    vm = env.vm(build(env, "count"), "--memory", "16M", "--serial", "none", "--set",
                "log.file=" + log, *settings, name=name)
    env.lodge("pause", name)
    vm.end()
    with open(log, encoding="utf-8") as f:
        return f.read()


def test_trace_points(env):
    text = trace_of(env, "traced", "--set", "log.trace=[mv]*_*")
    check("trace: mem_map: " in text, f"no range was mapped: {text[:500]}")
    check("trace: vcpu_exit: vcpu0: reason " in text, f"the CPU never came back: {text[-500:]}")
    check("soft_event" not in text, "a point that the pattern does not name")
    check("trace: " not in trace_of(env, "plain"), "points are on without being asked for")


def test_trace_unknown(env):
    r = env.lodge("run", "--engine", "null", "--set", "log.trace=nosuch*", rc=2)
    check(r.err.count("\n") == 1 and "nosuch*" in r.err and "virtio_*" in r.err, r)
