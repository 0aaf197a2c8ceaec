#!/usr/bin/env python3
"""side_by_side COMMAND...: runs commands of the shell, two at a time; what each printed comes as a whole, when it
has ended. A status other than 0 if one of them had one.
"""
import concurrent.futures
import os
import subprocess
import sys

JOBS = min(2, len(os.sched_getaffinity(0)))


def _run_one(command):
    return subprocess.run(command, shell=isinstance(command, str), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def run(commands):
    """Each a line for the shell, or a list of words; those that take long come first. An exit status."""
    good = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for task in concurrent.futures.as_completed([pool.submit(_run_one, c) for c in commands]):
            r = task.result()
            sys.stdout.buffer.write(r.stdout)
            sys.stdout.flush()
            good &= r.returncode == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
