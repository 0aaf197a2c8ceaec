"""suite: runs the functions test_* of modules t_NAME beside a `run` script, each with an environment of
its own; prints PASS, FAIL and SKIP lines."""
import importlib
import multiprocessing
import os
import sys
import time
import traceback


def full_only(test):
    """Runs with LODGE_TEST_FULL (tests/run.sh --full) or by its name only."""
    test.full_only = True
    return test


def _run_one(name, fn, environment, skip):
    start = time.monotonic()
    try:
        with environment() as env:
            env.name = name
            fn(env)
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
    for module in modules:
        loaded = importlib.import_module(f"t_{module}")
        for key, fn in list(vars(loaded).items()):
            name = _name(key)
            if key.startswith("test_") and (
                    any(a in name for a in wanted) or
                    not wanted and (everything or not getattr(fn, "full_only", False))):
                yield module, key


def _name(key):
    return key[len("test_"):].replace("_", "-")


def _run_in_child(task):
    module, key, environment, skip = task
    fn = getattr(importlib.import_module(f"t_{module}"), key)
    return _run_one(_name(key), fn, environment, skip)


def run(modules, environment, skip, jobs=1):
    """The arguments of the command: only tests whose name contains one of them. jobs: so many at the
    same time, each in a process of its own. An exit status."""
    tasks = [(m, k, environment, skip) for m, k in _tests(modules, sys.argv[1:])]
    good = True
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        for verdict in pool.imap_unordered(_run_in_child, tasks, chunksize=1):
            print(verdict, flush=True)
            good &= not verdict.startswith("FAIL")
    return 0 if good else 1
