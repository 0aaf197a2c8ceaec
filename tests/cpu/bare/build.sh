#!/bin/sh
# build.sh OUT [NAME...]: assembles the bare-metal programs into OUT/NAME.elf; only what is older.
set -eu
cd "$(dirname "$0")"
out=$1
shift
mkdir -p "$out"
[ $# -gt 0 ] || set -- $(ls *.asm | sed 's/\.asm$//')
for n; do
	newest=$(ls -t "$n.asm" rt.inc print.inc link.ld "$out/$n.elf" 2>/dev/null | head -n 1)
	[ "$newest" = "$out/$n.elf" ] && continue
	nasm -f elf32 -w-zext-reloc -D "NAME='$n'" -o "$out/$n.o" "$n.asm"
	ld -m elf_i386 -z max-page-size=4096 --no-warn-rwx-segments -T link.ld \
		-o "$out/$n.elf" "$out/$n.o"
	rm "$out/$n.o"
done
