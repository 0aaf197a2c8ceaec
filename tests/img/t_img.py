"""Random operations by scribble on an image and in memory, by several threads; qemu-img checks the image and
compares it. What lodge-disk makes is used by qemu-img, and the other way round."""
import os

from imglib import BUILD


def test_img_made_by_qemu(env):
    """Every shape of image that qemu-img makes is written."""
    sizes = {"512": "8M", "4096": "17M", "65536": "33000K", "2M": "50M"}
    for cluster, size in sizes.items():
        for more in ("compat=0.10", "refcount_bits=1", "refcount_bits=64", "lazy_refcounts=on",
                     "preallocation=metadata", "preallocation=falloc"):
            env.qemu("create", "-q", "-f", "qcow2", "-o", f"cluster_size={cluster},{more}", "a", size)
            env.empty("m")
            env.scribble("a", "m", 250)
            env.scribble("a", "m", 100, 1)


def test_img_made_by_lodge(env):
    """What lodge-disk makes is written by both in turn."""
    env.source("src", 6 << 20)
    for args in (["--cluster-size", "512"], ["--cluster-size", "4K", "--lazy-refcounts"], ["--qcow2-version", "2"],
                 ["--cluster-size", "2M"], ["--compress", "zstd"]):
        env.disk("create", "a", "9M", "--force", *args)
        env.empty("m")
        env.scribble("a", "m", 200)
        for name in ("a", "m"):  # the other one writes
            kind = "qcow2" if name == "a" else "raw"
            env.run("qemu-io", "-f", kind, "-c", "write -P 7 1000k 3M", "-c", "discard 5M 1M", "-c",
                    "write -z 5M 1M", "-c", "write -P 9 512 512", name)
        env.judge("a", "m")
        env.scribble("a", "m", 200)


def test_img_backing(env):
    env.source("src")
    for base in (["-O", "raw"], ["-O", "qcow2", "-c"], ["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
                 ["-O", "qcow2", "-o", "extended_l2=on"], ["-O", "qcow2", "-o", "cluster_size=2M"]):
        env.qemu("convert", *base, "src", "base")
        for over, size in (("compat=0.10", "25M"), ("cluster_size=512", "18M"), ("cluster_size=65536", "25M")):
            env.qemu("create", "-q", "-f", "qcow2", "-b", "base", "-F", base[1], "-o", over, "a", size)
            env.qemu("convert", "-O", "raw", "a", "m")
            env.scribble("a", "m", 300)
        env.qemu("compare", "-q", "base", "src")


def test_img_snapshots(env):
    """Internal snapshots keep what they had."""
    env.source("src", 8 << 20)
    for options in ("cluster_size=4096", "cluster_size=65536,refcount_bits=8"):
        env.qemu("convert", "-O", "qcow2", "-o", options, "src", "a")
        env.qemu("snapshot", "-c", "one", "a")
        env.qemu("convert", "-O", "raw", "src", "m")
        env.scribble("a", "m", 300)
        env.qemu("snapshot", "-c", "two", "a")
        env.qemu("convert", "-O", "raw", "a", "two")
        env.scribble("a", "m", 300)
        for name, want in (("one", "src"), ("two", "two")):
            env.qemu("convert", "-l", name, "-O", "raw", "a", "got")
            env.qemu("compare", "-q", "-f", "raw", "-F", "raw", "got", want)
        env.qemu("snapshot", "-d", "one", "a")
        env.judge("a", "m")
        env.scribble("a", "m", 100)


def test_img_bitmaps(env):
    """Persistent bitmaps are kept by reading, and invalid, not wrong, after writing."""
    env.qemu("create", "-q", "-f", "qcow2", "a", "8M")
    env.qemu("bitmap", "--add", "a", "changes")
    env.empty("m")
    env.disk("check", "a")
    if "changes" not in env.qemu("info", "a"):
        raise AssertionError("the bitmap is gone after reading")
    env.run(os.path.join(BUILD, "tests/img/scribble"), "a", "m", "1", "100", "4")
    env.qemu("compare", "-q", "-F", "raw", "a", "m")
    env.disk("repair", "a")
    env.judge("a", "m")
