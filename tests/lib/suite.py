"""suite: runs the functions test_* of modules t_NAME beside a `run` script, each with an environment of
its own; prints PASS, FAIL and SKIP lines."""
import importlib
import sys
import time
import traceback


def _run_one(name, fn, environment, skip):
    start = time.monotonic()
    try:
        with environment() as env:
            env.name = name
            fn(env)
            env.check_nothing_left()
    except skip as e:
        print(f"SKIP {name}: {e}", flush=True)
        return True
    except Exception as e:  # a failed test must not end the others
        text = str(e).strip().split("\n")[0] or type(e).__name__
        traceback.print_exc()
        print(f"FAIL {name}: {text}", flush=True)
        return False
    print(f"PASS {name} ({time.monotonic() - start:.1f} s)", flush=True)
    return True


def run(modules, environment, skip):
    """The arguments of the command: only tests whose name contains one of them. An exit status."""
    good = True
    for module in modules:
        loaded = importlib.import_module(f"t_{module}")
        for key, fn in list(vars(loaded).items()):
            name = key[len("test_"):].replace("_", "-")
            if key.startswith("test_") and (not sys.argv[1:] or
                                            any(a in name for a in sys.argv[1:])):
                good &= _run_one(name, fn, environment, skip)
    return 0 if good else 1
