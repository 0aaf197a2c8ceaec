"""suite: runs the functions test_* of modules t_NAME beside a `run` script, each with an environment of
its own; prints PASS, FAIL and SKIP lines."""
import concurrent.futures
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback


def full_only(test):
    """Runs with LODGE_TEST_FULL (tests/run.sh --full) or by its name only."""
    test.full_only = True
    return test


def _name(key):
    return key[len("test_"):].replace("_", "-")


def _run_one(module, key, environment, skip):
    name, start = _name(key), time.monotonic()
    try:
        with environment() as env:
            env.name = name
            getattr(importlib.import_module(module), key)(env)
            env.check_nothing_left()
    except skip as e:
        return f"SKIP {name}: {e}"
    except Exception as e:  # a failed test must not end the others
        text = str(e).strip().split("\n")[0] or type(e).__name__
        traceback.print_exc()
        return f"FAIL {name}: {text}"
    return f"PASS {name} ({time.monotonic() - start:.1f} s)"


def _tests(modules, wanted):
    """(module, function) of what the command asks for."""
    everything = bool(os.environ.get("LODGE_TEST_FULL"))
    for module in (f"t_{m}" for m in modules):
        for key, fn in list(vars(importlib.import_module(module)).items()):
            if key.startswith("test_") and (
                    any(a in _name(key) for a in wanted) or
                    not wanted and (everything or not getattr(fn, "full_only", False))):
                yield module, key


def run(modules, environment, skip, jobs=1):
    """The arguments of the command: only tests whose name contains one of them. jobs: so many at the
    same time, in processes. An exit status."""
    good = True
    signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell's job in the background ignores it
    with concurrent.futures.ProcessPoolExecutor(
            jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        tasks = {pool.submit(_run_one, m, k, environment, skip): k
                 for m, k in _tests(modules, sys.argv[1:])}
        for task in concurrent.futures.as_completed(tasks):
            if task.exception():    # its process was killed, and with it the pool
                verdict = f"FAIL {_name(tasks[task])}: {task.exception()}"
            else:
                verdict = task.result()
            print(verdict, flush=True)
            good &= not verdict.startswith("FAIL")
    return 0 if good else 1
