#!/usr/bin/env python3
"""mkdata.py FOLDER: the input of the programs in programs.list, always the same bytes."""
import os
import random
import sys

PYTHON = """
import sys
def primes(n):
    found = []
    for k in range(2, n):
        if all(k % p for p in found if p * p <= k):
            found.append(k)
    return found
words = {}
for line in open("/data/text"):
    for w in line.split():
        words[w] = words.get(w, 0) + 1
top = sorted(words.items(), key=lambda x: (-x[1], x[0]))[:20]
print(len(primes(9000)), top, sum(len(w) * n for w, n in words.items()))
"""
PERL = """
my (%n, $bytes);
open(my $f, "<", "/data/text") or die;
while (<$f>) {
    $bytes += length;
    s/([aeiou])([a-z])/$2$1/g;
    $n{$_}++ for split;
}
print scalar(keys %n), " $bytes\\n";
print join(" ", map { "$_ $n{$_}" } (sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n)[0..20]), "\\n";
"""
LUA = """
local function queens(n)
    local count, cols, up, down = 0, {}, {}, {}
    local function put(row)
        if row > n then count = count + 1 return end
        for c = 1, n do
            if not cols[c] and not up[row + c] and not down[row - c + n] then
                cols[c], up[row + c], down[row - c + n] = true, true, true
                put(row + 1)
                cols[c], up[row + c], down[row - c + n] = nil, nil, nil
            end
        end
    end
    put(1)
    return count
end
local parts = {}
for i = 1, 200000 do parts[#parts + 1] = string.format("%d:%x", i, i * 7) end
print(queens(9), #table.concat(parts, ","))
"""
SQL = """
create table t (id integer primary key, name text, n integer);
with recursive c(x) as (select 1 union all select x + 1 from c where x < 120000)
insert into t select x, 'name' || (x * 7919 % 100003), x * 31 % 1009 from c;
create index by_name on t (name);
select count(*), sum(n) from t where name like 'name1%';
select n, count(*) k from t group by n order by k desc, n limit 5;
update t set n = n + 1 where id % 3 = 0;
select sum(a.n * b.n) from t a join t b on a.name = b.name;
"""


def text(r, size):
    """Words by a skewed distribution: compresses about as a language does."""
    words = ["".join(r.choice("etaoinshrdlucmfwypvbgk") for _ in range(r.randint(2, 9)))
             for _ in range(4000)]
    lines, n = [], 0
    while n < size:
        line = " ".join(words[min(int(r.expovariate(1 / 300)), 3999)] for _ in range(r.randint(5, 14)))
        lines.append(line)
        n += len(line) + 1
    return "\n".join(lines) + "\n"


def main():
    folder, r = sys.argv[1], random.Random(1)
    for name, content in (("text", text(r, 4 << 20)), ("count.py", PYTHON), ("count.pl", PERL),
                          ("queens.lua", LUA), ("tables.sql", SQL)):
        with open(os.path.join(folder, name), "w") as f:
            f.write(content)


main()
