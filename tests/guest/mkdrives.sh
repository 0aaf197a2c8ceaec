#!/bin/bash
# mkdrives.sh: the amd64 guest of mkguest.sh with drivers for SATA, IDE, disks, discs and ISO 9660;
# prints its folder. `drives` in the guest loads them: boots of other tests stay as they are.
#
# The folder holds initrd.cpio, which is mkguest.sh's and one more archive after it, and vmlinuz.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
base=$("$here/mkguest.sh" amd64)
out=$cache/guest-drives
modules="ahci ata_piix sd_mod sr_mod isofs"

exec 9>"$cache/lock-drives"
flock 9
sum=$(cat "$here/mkdrives.sh" "$here/drivetool.c" "$base/version" "$base/initrd.sum" | sha256sum | cut -c1-16)
if [ "$(cat "$out/sum" 2>/dev/null)" != "$sum" ]; then
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	. "$here/../lib/packages.sh"
	packages_for amd64 "$cache" "$work" linux-image-amd64
	release=$(cat "$base/version")
	fetch "linux-image-$release" "$work/kernel" './lib/modules/*/modules.*' \
		'./lib/modules/*/kernel/drivers/ata' './lib/modules/*/kernel/drivers/scsi' \
		'./lib/modules/*/kernel/drivers/cdrom' './lib/modules/*/kernel/fs/isofs' \
		'./lib/modules/*/kernel/lib' './lib/modules/*/kernel/crypto' \
		'./lib/modules/*/kernel/arch' './lib/modules/*/kernel/block'
	/sbin/depmod -b "$work/kernel" "$release"
	r=$work/root
	mkdir -p "$r/bin" "$r/lib/drives" "$work/out"
	for m in $modules; do
		/sbin/modprobe -d "$work/kernel" -S "$release" --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/order"
	while read -r ko; do
		[ -e "$base/modules/$(basename "$ko")" ] && continue
		cp "$ko" "$r/lib/drives/"
		basename "$ko"
	done <"$work/order" >"$work/names"
	mv "$work/names" "$r/lib/drives/order"
	cat >"$r/bin/drives" <<-'END'
		#!/bin/sh
		while read -r m; do insmod "/lib/drives/$m" || exit 1; done </lib/drives/order
	END
	chmod 755 "$r/bin/drives"
	ln -s busybox "$r/bin/blkdiscard"
	gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o "$r/bin/drivetool" "$here/drivetool.c"
	strip "$r/bin/drivetool"
	(cd "$r" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$work/more.cpio"
	# An archive begins at a multiple of four bytes, which its end is, too.
	cat "$base/initrd.cpio" "$work/more.cpio" >"$work/out/initrd.cpio"
	cp "$base/vmlinuz" "$work/out/vmlinuz"
	echo "$sum" >"$work/out/sum"
	rm -rf "$out"
	mv "$work/out" "$out"
fi
echo "$out"
