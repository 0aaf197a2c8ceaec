"""What --stats and `lodge stats` say of the engine's work."""
import json
import re

from lib import build, check, until

INSTRUCTIONS = 600004  # of halt.asm
INTERPRET = ["--set", "soft.tier=interp"]
TRANSLATE = ["--set", "soft.tier=translate", "--set", "soft.translate-after=0"]


def halted(env, *args):
    """A VM whose program is done, and sleeps."""
    vm = env.vm(build(env, "halt"), "--memory", "64M", "--engine", "soft", *args)
    until(lambda: env.lodge_json("stats", "test")["halted-ns"] > 0, "does not halt")
    return vm


def end_of(env, vm):
    """Ends the VM: what it said."""
    env.lodge("kill", "test")
    vm.wait()
    return vm.err()


def json_at_end(text):
    return [json.loads(line)["stats"] for line in text.splitlines() if line.startswith('{"stats"')][0]


def check_sums(s):
    check(s["instructions"] == s["translated"] + s["interpreted"] + s["fallbacks"], s)
    check(s["untranslatable"] + s["stepped"] <= s["interpreted"], s)
    check(s["slow-accesses"] <= s["translated"], s)
    check(sum(s["fallbacks-by-instruction"].values()) == s["fallbacks"], s)
    for key in s["vcpus"][0]:
        check(sum(v[key] for v in s["vcpus"]) == s[key], f"{key}: {s}")


def test_stats_interpreted(env):
    """A program of known length: all of it counted, and the ports it went out by."""
    s = json_at_end(end_of(env, halted(env, "--stats", "--json", *INTERPRET)))
    check_sums(s)
    check(s["instructions"] == s["interpreted"] == INSTRUCTIONS, s)
    check(s["pio"] == 1 and s["hlt"] == 1 and s["decode-ns"] > 0, s)
    check(s["translated"] == s["blocks-translated"] == s["code-bytes"] == 0, s)
    check(s["fallbacks-by-instruction"] == {}, s)


def test_stats_translated(env):
    s = json_at_end(end_of(env, halted(env, "--stats", "--json", *TRANSLATE)))
    check_sums(s)
    check(s["instructions"] == INSTRUCTIONS and s["pio"] == 1 and s["hlt"] == 1, s)
    if s["blocks-translated"] == 0:
        return  # this host cannot translate
    check(s["translated"] > 0.999 * s["instructions"], s)
    check(s["fallbacks-by-instruction"]["out"] == 1, s)
    check(s["code-bytes"] > 0 and s["translate-ns"] > 0 and s["decode-ns"] > 0, s)


def test_stats_text(env):
    text = end_of(env, halted(env, "--stats", *INTERPRET))
    check(text.startswith('lodge: stats of VM "test"\n'), text)
    for line in [r"engine +soft", r"elapsed +\d+\.\d{3} s", rf"instructions +{INSTRUCTIONS}",
                 rf"interpreted +{INSTRUCTIONS} +100\.000 %", r"pio +1", r"code +0\.0 MiB"]:
        check(re.search(rf"^{line}$", text, re.M), f"no {line}: {text}")
    check(all(len(line) <= 80 for line in text.splitlines()), text)


def test_stats_while_running(env):
    """The counters of a guest that runs move."""
    env.vm(build(env, "loop"), "--memory", "64M", "--engine", "soft", "--stats", *TRANSLATE)
    def grows(key):
        was = env.lodge_json("stats", "test")[key]
        until(lambda: env.lodge_json("stats", "test")[key] > was, f"{key} stays")

    grows("instructions")
    s = env.lodge_json("stats", "test")
    check(s["halted-ns"] == 0, s)
    if s["blocks-translated"] > 0:
        grows("translated")  # also of code that does not come back to the run loop
    env.lodge("pause", "test")
    check_sums(env.lodge_json("stats", "test"))


def test_stats_halted(env):
    """HLT is time asleep, also while it lasts."""
    halted(env)
    s, later = env.lodge_json("stats", "test"), env.lodge_json("stats", "test")
    check(0 < s["halted-ns"] <= s["elapsed-ns"], s)
    check(later["halted-ns"] > s["halted-ns"] and later["hlt"] == 1, later)
    check(re.search(r"^halted +\d+\.\d{3} s +\d+\.\d{3} %$", env.lodge("stats", "test").out, re.M),
          "the share of the time")


def test_stats_null_engine(env):
    r = env.lodge("run", "--json", "--stats", "--engine", "null", "--timeout", "200ms", rc=124)
    s = json_at_end(r.err)
    check(s["engine"] == "null" and s["instructions"] == 0, s)
    check(s["fallbacks-by-instruction"] == {} and s["halted-ns"] > 0, s)
