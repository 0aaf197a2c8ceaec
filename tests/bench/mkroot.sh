#!/bin/bash
# mkroot.sh: makes a folder with Debian's own programs and their input ready, and prints it.
#
# What tests/bench/programs.list runs: packages of Debian 12, downloaded as a user and unpacked, with the
# libraries they need, and without what no program reads. Used as the root of the guest's initial RAM
# disk and, by chroot, of the host's run, so that both run the same files. It lies in $LODGE_TEST_CACHE
# (default: ~/.cache/lodge-tests); what is there is used again.
set -euo pipefail

packages="dash coreutils xz-utils gzip bzip2 zstd openssl perl-base python3.11-minimal lua5.4 sqlite3
	cpp-12 tar libgcc-s1"
here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
out=$cache/bench-root
sum=$(cat "$0" "$here/mkdata.py" "$here/engine-programs.c" | sha256sum | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/lock-bench"
flock 9
if [ "$(cat "$out/.sum" 2>/dev/null)" = "$sum" ]; then
	echo "$out"
	exit 0
fi
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$here/../lib/packages.sh"
# shellcheck disable=SC2086 # a list of words
packages_for amd64 "$cache" "$work" $packages
root=$work/root
# shellcheck disable=SC2086
fetch_with_needs "$root" $packages
rm -rf "$root"/usr/share "$root"/var "$root"/usr/include "$root"/etc/* "$root"/usr/sbin/*
find "$root/usr/lib" \( -name 'libasan*' -o -name 'gconv' -o -name '*.a' -o -name '*.o' \) \
	-prune -exec rm -rf {} +
mkdir -p "$root"/{dev,proc,sys,tmp,data}
python3 "$here/mkdata.py" "$root/data"
gcc -E -D_GNU_SOURCE "$here/engine-programs.c" >"$root/data/program.i"
tar -C "$root/usr/lib" -cf "$root/data/tree.tar" --sort=name --mtime=@0 python3.11
echo "$sum" >"$root/.sum"
rm -rf "$out"
mv "$root" "$out"
echo "$out"
