"""lodge disk: every command, with qemu-img as the judge; errors, exit codes, nothing half-written."""
import json
import os
import random
import signal
import subprocess
import time

from lib import BUILD, check, until
from t_qcow2 import qemu_img

MIB = 1 << 20


def disk(env, *args, rc=0):
    return env.lodge("disk", *args, rc=rc)


def contents(env, name, seed=1, size=5 * MIB + 512):
    """A raw image: data, zeroes, text."""
    r = random.Random(seed)
    data = bytearray(size)
    data[MIB:2 * MIB] = r.randbytes(MIB)
    data[3 * MIB + 5000:4 * MIB] = (b"lodge" * MIB)[:MIB - 5000]
    data[-512:] = r.randbytes(512)
    env.write(name, bytes(data))
    return name


def same(env, a, b):
    qemu_img(env, "compare", a, b)  # its status is 1 where they differ


def good(env, name):
    qemu_img(env, "check", name)
    check("is good" in disk(env, "check", name).out, "check")


def test_disk_create(env):
    for i, args in enumerate(([], ["--cluster-size", "512"], ["--cluster-size", "2M"], ["--qcow2-version", "2"],
                              ["--lazy-refcounts"], ["--compress", "zstd"])):
        name = f"{i}.qcow2"
        disk(env, "create", name, "1.5G", *args)
        good(env, name)
        info = json.loads(disk(env, "info", "--json", name).out)
        theirs = json.loads(qemu_img(env, "info", "--output=json", name))
        check(info["disk-bytes"] == theirs["virtual-size"] == 3 << 29, info)
        check(info["cluster-bytes"] == theirs["cluster-size"], info)
        check(info["compression"] == theirs["format-specific"]["data"].get("compression-type", "zlib"), info)
    disk(env, "create", "raw", "3M", "--to", "raw")
    check(os.stat(env.path("raw")).st_size == 3 * MIB, "raw")
    r = disk(env, "create", "raw", "3M", rc=4)
    check("exists" in r.err and r.err.count("\n") == 1, r)
    disk(env, "create", "raw", "3M", "--force")
    os.mkdir(env.path("sub"))
    disk(env, "create", "sub/over", "--backing", "../raw", "--backing-format", "qcow2")
    good(env, "sub/over")
    chain = json.loads(disk(env, "info", "--json", "--chain", "sub/over").out)
    check([c["disk-bytes"] for c in chain] == [3 * MIB] * 2 and chain[0]["backing-file"] == "../raw", chain)
    # One without an end.
    disk(env, "create", "first", "1M", "--backing", "second", "--backing-format", "qcow2")
    disk(env, "create", "second", "--backing", "first", "--backing-format", "qcow2")
    r = disk(env, "info", "--chain", "first", rc=2)
    check("based on itself" in r.err and r.err.count("\n") == 1 and r.out.count("qcow2 ") == 2, r)


def test_disk_convert(env):
    contents(env, "a")
    n = 0
    for args in (["--to", "raw"], ["--to", "qcow2"], ["--compress", "zlib"], ["--compress", "zstd"],
                 ["--cluster-size", "512", "--threads", "1"], ["--qcow2-version", "2", "--compress", "zlib"],
                 ["--cluster-size", "2M", "--compress", "zstd"], ["--lazy-refcounts"], ["--direct"]):
        n += 1
        disk(env, "convert", "a", f"b{n}", *args)
        same(env, "a", f"b{n}")
        if "raw" not in args:
            good(env, f"b{n}")
            disk(env, "convert", f"b{n}", f"c{n}", "--to", "raw")
            same(env, "a", f"c{n}")
    for options in ("compat=0.10", "extended_l2=on", "compression_type=zstd", "cluster_size=4k,refcount_bits=64"):
        n += 1
        packed = [] if "l2" in options else ["-c"]
        qemu_img(env, "convert", *packed, "-O", "qcow2", "-o", options, "a", f"q{n}")
        disk(env, "convert", f"q{n}", f"d{n}")
        same(env, "a", f"d{n}")
        good(env, f"d{n}")
    check(os.stat(env.path("b2")).st_blocks < os.stat(env.path("a")).st_size / 512 * .6, "zeroes are skipped")
    r = disk(env, "convert", "a", "b1", rc=4)
    check("--force" in r.err, r)
    disk(env, "convert", "a", "b1", "--force")


def test_disk_change(env):
    contents(env, "a", 1)
    contents(env, "b", 2)
    disk(env, "convert", "a", "base")
    disk(env, "create", "over", "7M", "--backing", "base", "--backing-format", "qcow2")
    qemu_img(env, "convert", "-O", "raw", "over", "want")
    # rebase: the contents stay
    disk(env, "rebase", "over", "--backing", "b", "--backing-format", "raw")
    same(env, "over", "want")
    good(env, "over")
    disk(env, "rebase", "over", "--backing", "")
    same(env, "over", "want")
    good(env, "over")
    check(json.loads(disk(env, "info", "--json", "over").out)["backing-file"] is None, "no backing file")
    disk(env, "rebase", "over", "--backing", "base", "--backing-format", "qcow2", "--unsafe")
    same(env, "over", "want")
    # commit: into the image below, which grows
    disk(env, "commit", "over")
    same(env, "base", "want")
    same(env, "over", "want")
    good(env, "base")
    good(env, "over")
    # resize
    disk(env, "resize", "base", "+2M")
    r = disk(env, "resize", "base", "6M", rc=2)
    check("--yes" in r.err, r)
    disk(env, "resize", "base", "6M", "--yes")
    good(env, "base")
    disk(env, "resize", "want", "6M", "--yes")
    same(env, "base", "want")
    # compact: zeroes go, also from compressed and overlaid images
    disk(env, "create", "fat", "6M", "--backing", "base", "--backing-format", "qcow2")
    r = disk(env, "bench", "fat", "--pattern", "write", "--time", "1", rc=2)
    check("overwritten" in r.err, r)
    disk(env, "bench", "fat", "--pattern", "randwrite", "--time", "1", "--yes", "--block", "64K")
    qemu_img(env, "convert", "-O", "raw", "fat", "want")
    disk(env, "compact", "fat")
    good(env, "fat")
    same(env, "fat", "want")
    check(json.loads(disk(env, "info", "--json", "fat").out)["backing-file"] == "base", "still based on it")
    disk(env, "convert", "a", "packed", "--compress", "zstd")
    size = os.stat(env.path("packed")).st_size
    disk(env, "compact", "packed")
    same(env, "packed", "a")
    check(os.stat(env.path("packed")).st_size < size + 4 * 65536, "what is compressed stays so")
    disk(env, "compact", "a")
    same(env, "packed", "a")


def test_disk_map(env):
    contents(env, "a")
    disk(env, "convert", "a", "base")
    disk(env, "create", "over", "--backing", "base", "--backing-format", "qcow2")
    for name, depth in (("base", 0), ("over", 1)):
        places = json.loads(disk(env, "map", "--json", name).out)
        check(sum(p["bytes"] for p in places) == 5 * MIB + 512, places)
        theirs = [(p["start"], p["length"]) for p in json.loads(qemu_img(env, "map", "--output=json", name))
                  if p["data"]]
        ours = [(p["start"], p["bytes"]) for p in places if p["kind"] == "data"]

        def joined(parts):
            out = []
            for start, n in parts:
                if out and sum(out[-1]) == start:
                    out[-1] = (out[-1][0], out[-1][1] + n)
                else:
                    out.append((start, n))
            return out
        check(joined(ours) == joined(theirs), (ours, theirs))
        check(all(p["depth"] == depth for p in places if p["kind"] == "data"), places)


def test_disk_repair(env):
    """Lost clusters and wrong counts; qemu-img agrees before and after."""
    contents(env, "a")
    disk(env, "convert", "a", "b")
    with open(env.path("b"), "r+b") as f:
        f.seek(2 * 65536 + 8)  # in the block of counts
        f.write(b"\0\0\0\3")
    r = disk(env, "check", "b", rc=1)
    check("errors" in r.out and "cluster 4" in r.out, r)
    check(json.loads(disk(env, "check", "b", "--json", rc=1).out)["errors"] > 0, "JSON")
    r = disk(env, "repair", "b")
    check("repaired" in r.out, r)
    good(env, "b")
    same(env, "a", "b")
    r = disk(env, "check", "a", rc=2)
    check("raw" in r.err, r)


def test_disk_in_use(env):
    """The VM that has it is named; readers may share."""
    disk(env, "create", "a", "4M")
    vm = env.vm("--disk", "a", "--write")
    for args in (("info", "a"), ("check", "a"), ("resize", "a", "8M"), ("convert", "a", "b"), ("compact", "a")):
        r = disk(env, *args, rc=4)
        check('VM "test" (lodge stop test)' in r.err and r.err.count("\n") == 1, r)
    r = env.lodge("run", "--engine", "null", "--headless", "--disk", "a", rc=4)
    check("in use" in r.err, r)
    vm.end()
    env.vm("--disk", "a", name="reader")
    disk(env, "info", "a")
    r = disk(env, "resize", "a", "8M", rc=4)
    check('VM "reader"' in r.err, r)


def test_disk_replaces(env):
    """Only files that nobody has; a link stays one."""
    contents(env, "a")
    disk(env, "create", "vm", "4M")
    vm = env.vm("--disk", "vm", "--write")
    for args in (("create", "vm", "1M", "--force"), ("convert", "a", "vm", "--force")):
        r = disk(env, *args, rc=4)
        check('VM "test" (lodge stop test)' in r.err and r.err.count("\n") == 1, r)
    vm.end()
    os.mkfifo(env.path("fifo"))
    os.mkdir(env.path("folder"))
    for name in ("fifo", "folder"):
        for args in (("create", name, "1M", "--force"), ("convert", "a", name, "--force")):
            r = disk(env, *args, rc=2)
            check("not an ordinary file" in r.err and r.err.count("\n") == 1, r)
    for args in (("create", "link", "4M", "--force"), ("convert", "a", "link", "--force"), ("compact", "link")):
        disk(env, "create", "folder/real", "1M", "--force")
        if not os.path.lexists(env.path("link")):
            os.symlink("folder/real", env.path("link"))
        before = os.stat(env.path("folder/real")).st_ino
        disk(env, *args)
        check(os.path.islink(env.path("link")), f"{args}: the link is gone")
        check(os.stat(env.path("folder/real")).st_ino != before, f"{args}: the file is the old one")
    disk(env, "convert", "a", "a", "--force")
    good(env, "a")


def test_disk_interrupted(env):
    """A convert that is ended leaves what was there, and nothing else."""
    contents(env, "a", size=128 * MIB)
    env.write("b", b"old")
    program = os.path.join(BUILD, "devmodel/storage/tool/lodge-disk")
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not ignored, as a shell has it for what is in the background.
        with subprocess.Popen([program, "convert", "a", "b", "--force", "--compress", "zstd", "--threads", "1"],
                              cwd=env.work, preexec_fn=lambda s=sig: signal.signal(s, signal.SIG_DFL)) as p:
            until(lambda: any(".new-" in f and os.stat(env.path(f)).st_size > MIB for f in os.listdir(env.work)),
                  "the new image")
            p.send_signal(sig)
            check(p.wait() == -sig, p.returncode)
        check(sorted(os.listdir(env.work)) == ["a", "b"], os.listdir(env.work))
        check(os.stat(env.path("b")).st_size == 3, "the old file stays")


def test_disk_killed(env):
    """A convert that dies leaves the old file, and the new one never in part."""
    contents(env, "a", size=64 * MIB)
    env.write("b", b"old")
    program = os.path.join(BUILD, "devmodel/storage/tool/lodge-disk")
    for _ in range(8):
        p = subprocess.Popen([program, "convert", "a", "b", "--force", "--compress", "zlib"], cwd=env.work,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.random() * .3)
        p.send_signal(signal.SIGKILL)
        p.wait()
        with open(env.path("b"), "rb") as f:
            if f.read(3) != b"old":
                break
    else:
        return
    same(env, "a", "b")


def test_bad_input_disk(env):
    contents(env, "a")
    disk(env, "create", "q", "4M")
    for args, rc, words in (
            (["none"], 2, "no command"), (["create", "x"], 2, "how large"), (["create", "x", "1Z"], 2, "20G"),
            (["create", "x", "1M", "--cluster-size", "5K"], 2, "power of two"),
            (["create", "x", "1M", "--cluster-size", "1"], 2, "512 to 2M"),
            (["create", "x", "1M", "--cluster-size", "4M"], 2, "512 bytes to 2 MiB"),
            (["create", "x", "64T", "--cluster-size", "512"], 2, "larger"),
            (["create", "x", "1M", "--qcow2-version", "2", "--compress", "zstd"], 2, "version 3"),
            (["create", "x", "1M", "--to", "raw", "--lazy-refcounts"], 2, "raw"),
            (["create", "x", "--backing", "a"], 2, "--backing-format"),
            (["create", "x", "--backing", "none", "--backing-format", "raw"], 3, "none"),
            (["info", "none"], 3, "none"), (["info", "a", "b"], 2, "too many"), (["info"], 2, "missing"),
            (["info", "--format", "vdi", "a"], 2, "qcow2"), (["info", "--lazy-refcounts", "a"], 2, "does not take"),
            (["info", "--frmat", "a"], 2, "no option"), (["info", "a", "--format", "qcow2"], 2, "mark"),
            (["convert", "none", "x"], 3, "none"), (["convert", "a", "no/x"], 3, "no/x"),
            (["rebase", "q"], 2, "--backing"), (["commit", "q"], 2, "overlay"), (["commit", "a"], 2, "mark"),
            (["bench", "q", "--block", "5"], 2, "512"), (["bench", "q", "--depth", "0"], 2, "1 to"),
            (["resize", "q", "x"], 2, "20G")):
        r = disk(env, *args, rc=rc)
        check(words in r.err and r.err.count("\n") == 1 and r.out == "", r)
        r = disk(env, "--json" if args[0] == "none" else args[0], *args[1:], "--json", rc=None)
        if args[0] != "none":
            check(words in json.loads(r.err)["error"]["message"] and r.rc == rc, r)
    check(sorted(os.listdir(env.work)) == ["a", "q"], os.listdir(env.work))
    for verb in ("create", "bench"):
        check("--help" not in disk(env, verb, "--help").err, "help")
