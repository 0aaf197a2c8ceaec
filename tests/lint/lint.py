#!/usr/bin/env python3
"""lint.py --build DIR: the rules of docs/hacking.md that a program can check.

Headers compile alone, includes stay within the layer, no banned functions, files and functions
within their size, clang-format, scripts parse, each layer links without the ones above it.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

C_DIRS = ["hv-core", "devmodel", "ui", "power", "gl-passthrough", "tests"]
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|alloca|gets)\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# Libraries for programs only; hv-core and devmodel are plain C.
PROGRAM_HEADERS = re.compile(r"^(glib|gio|gobject|gtk|SDL|seccomp)")
MAX_FILE, MAX_FUNCTION = 1000, 100

p = argparse.ArgumentParser()
p.add_argument("--build", default="build")
args = p.parse_args()
failed = False


def verdict(name, problems):
    global failed
    for x in problems[:25]:
        print("   ", x)
    if problems:
        failed = True
        print(f"FAIL {name}: {len(problems)} problems, first: {problems[0]}")
    else:
        print(f"PASS {name}")


def tracked(*suffixes):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True,
                         text=True, check=True).stdout.split("\n")
    return [f for f in out if f.endswith(suffixes) and os.path.isfile(f)]


def strip(text):
    """Blanks comments and strings; keeps the lines."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m[0])
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


c_files = [f for f in tracked(".c", ".h") if f.split("/")[0] in C_DIRS]
text = {f: open(f, errors="replace").read() for f in c_files}
code = {f: strip(t) for f, t in text.items()}


def check_lines(pattern, source, what):
    return [f"{f}:{n}: {what} {m[0]}" for f in c_files
            for n, line in enumerate(source[f].split("\n"), 1) for m in [pattern.search(line)] if m]


def check_includes():
    bad = []
    for f in c_files:
        # A name that the build makes links to has the layer's place in it: "mem/mem.h".
        layer = f.split("/")[0]
        plain = layer == "hv-core" or (layer == "devmodel" and not f.startswith("devmodel/vm/"))
        incs = re.findall(r'^#include\s+([<"])([^>"]+)[>"]', text[f], flags=re.M)
        for _, inc in incs:
            if ".." in inc.split("/"):
                bad.append(f"{f}: includes '{inc}'")
            if plain and PROGRAM_HEADERS.match(inc):
                bad.append(f"{f}: '{inc}' belongs into programs only")
        own = os.path.basename(f)[:-2] + ".h"
        if f.endswith(".c") and os.path.join(os.path.dirname(f), own) in text and incs:
            names = [os.path.basename(i) for _, i in incs]
            if own in names and names[0] != own:
                bad.append(f"{f}: its own header is not the first include")
    return bad


def check_sizes():
    bad = []
    for f in c_files:
        lines = code[f].split("\n")
        if len(lines) > MAX_FILE:
            bad.append(f"{f}: {len(lines)} lines, more than {MAX_FILE}")
        start = None
        for n, line in enumerate(lines, 1):
            if line.startswith("{"):
                start = n
            elif line.startswith("}") and start:
                if n - start - 1 > MAX_FUNCTION:
                    bad.append(f"{f}:{start}: function of {n - start - 1} lines")
                start = None
    return bad


def check_headers():
    """Compiles each header alone, with the flags of a source file near it."""
    with open(os.path.join(args.build, "compile_commands.json")) as f:
        commands = json.load(f)
    flags = {}
    for c in commands:
        src = os.path.relpath(os.path.join(c["directory"], c["file"]))
        words = [w for w in shlex.split(c["command"])
                 if re.match(r"-(I|D|std|isystem|pthread)", w)]
        known = flags.setdefault(os.path.dirname(src), [])
        if (c["directory"], words) not in known:
            known.append((c["directory"], words))

    def one(h):
        d = os.path.dirname(h)
        while d and d not in flags:
            d = os.path.dirname(d)
        if not d:
            return None  # a folder without sources yet
        for cwd, words in flags[d]:  # the targets of a folder may have different ones
            r = subprocess.run(["gcc", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *words,
                                "-x", "c", "-"], cwd=cwd, text=True, capture_output=True,
                               input=f'#include "{os.path.abspath(h)}"\n')
            if r.returncode == 0:
                return None
        return f"{h}: {r.stderr.strip().splitlines()[-1]}"

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hs = [f for f in c_files if f.endswith(".h")]
        return [x for x in pool.map(one, hs) if x]


def check_format():
    r = subprocess.run(["clang-format", "--dry-run", *c_files], capture_output=True, text=True)
    bad = sorted({m[1] for m in re.finditer(r"^([^:\n]+):\d+:\d+: warning", r.stderr, re.M)})
    return [f"{f}: not as clang-format has it" for f in bad]


def check_scripts():
    bad = []
    for f in tracked(""):
        with open(f, "rb") as fh:
            first = fh.readline(80)
        if re.match(rb"#!.*\b(sh|bash)\b", first):
            r = subprocess.run(["bash", "-n", f], capture_output=True, text=True)
            bad += r.stderr.splitlines()[:1]
        elif f.endswith(".py"):
            try:
                compile(open(f).read(), f, "exec")
            except SyntaxError as e:
                bad.append(f"{f}:{e.lineno}: {e.msg}")
    return bad


def check_layers():
    """An upward call does not link: see tests/lint/meson.build."""
    r = subprocess.run(["ninja", "-C", args.build, "layers"], capture_output=True, text=True)
    if r.returncode == 0:
        return []
    return [x for x in r.stdout.splitlines() if "undefined reference" in x or "error" in x] or \
        ["cannot build the target 'layers'"]


verdict("banned-functions", check_lines(BANNED, code, "banned function"))
verdict("nothing-unfinished", check_lines(UNFINISHED, text, "unfinished work:"))
verdict("include-rules", check_includes())
verdict("sizes", check_sizes())
verdict("headers-alone", check_headers())
verdict("clang-format", check_format())
verdict("scripts-parse", check_scripts())
verdict("layers-link", check_layers())
sys.exit(1 if failed else 0)
