#!/bin/bash
# mkguest.sh KIND: makes a Debian kernel and a busybox initramfs ready and prints their folder.
#
# KIND is amd64, 686 (without PAE) or 686-pae: the packages linux-image-KIND of Debian 12. They are
# downloaded as a user with package lists of our own, so nothing is installed and no architecture
# is added to the host. The folder holds vmlinuz, initrd.cpio, version and, for amd64, the initramfs'
# program sieve for a run on the host. It lies in $LODGE_TEST_CACHE (default: ~/.cache/lodge-tests);
# what is there is used again.
set -euo pipefail

kind=${1:?usage: mkguest.sh amd64|686|686-pae}
case $kind in
amd64) arch=amd64 ;;
686 | 686-pae) arch=i386 ;;
*)
	echo "mkguest.sh: no kernel kind '$kind'; there are: amd64 686 686-pae" >&2
	exit 2
	;;
esac
here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
out=$cache/guest-$kind
modules="virtio_pci virtio_blk virtio_rng button"
busybox_applets="sh [ ash awk base64 basename cat chmod chroot cksum clear cmp cp cttyhack cut date
	dd df dirname dmesg echo env expr false find free grep halt head hexdump hostname id init insmod
	kill ln ls lsmod md5sum mkdir mknod mount mv nproc od poweroff printf ps pwd reboot rm rmmod
	sed seq setsid sh sha256sum sleep sort stat stty sync tail tee test time timeout top touch tr
	true tty umount uname uniq uptime usleep vi wc which yes"

mkdir -p "$cache"
exec 9>"$cache/lock-$kind"
flock 9
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -e "$out/version" ]; then
	. "$here/../lib/packages.sh"
	packages_for $arch "$cache" "$work" "linux-image-$kind" busybox-static
	package=$(package_of "linux-image-$kind")
	fetch "$package" "$work/kernel" './boot/vmlinuz-*' './lib/modules/*/modules.*' \
		'./lib/modules/*/kernel/drivers/virtio' './lib/modules/*/kernel/drivers/block' \
		'./lib/modules/*/kernel/drivers/char' './lib/modules/*/kernel/drivers/acpi'
	fetch busybox-static "$work/busybox" ./bin/busybox
	mkdir -p "$work/out"
	release=$(basename "$work"/kernel/lib/modules/*)
	cp "$work/kernel/boot/vmlinuz-$release" "$work/out/vmlinuz"
	cp "$work/busybox/bin/busybox" "$work/out/busybox"
	# The modules and what they depend on, in the order in which insmod wants them.
	/sbin/depmod -b "$work/kernel" "$release"
	mkdir "$work/out/modules"
	for m in $modules; do
		/sbin/modprobe -d "$work/kernel" -S "$release" --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/order"
	while read -r ko; do
		cp "$ko" "$work/out/modules/"
		basename "$ko"
	done <"$work/order" >"$work/out/modules/order"
	echo "$release" >"$work/out/version"
	rm -rf "$out"
	mv "$work/out" "$out"
fi

# ---- the initramfs: made anew when one of its sources changes

sum=$(cat "$here"/{init,mkguest.sh,busy.c,sieve.c,tlb-stress.c} | sha256sum | cut -c1-16)
if [ "$(cat "$out/initrd.sum" 2>/dev/null)" != "$sum" ]; then
	r=$work/root
	mkdir -p "$r"/{bin,dev,proc,sys,tmp,run,mnt,root,etc,lib/modules}
	cp "$out/busybox" "$r/bin/busybox"
	for a in $busybox_applets; do ln -sf busybox "$r/bin/$a"; done
	cp "$out"/modules/* "$r/lib/modules/"
	if [ $arch = amd64 ]; then
		for p in busy sieve tlb-stress; do
			gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -pthread -o "$r/bin/$p" "$here/$p.c"
			strip "$r/bin/$p"
		done
		cp "$r/bin/sieve" "$work/sieve"
		mv "$work/sieve" "$out/sieve"
	fi
	cp "$here/init" "$r/init"
	chmod 755 "$r/init"
	# cpio cannot make device nodes as a user: init opens the console after mounting devtmpfs.
	(cd "$r" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) \
		>"$work/initrd.cpio"
	mv "$work/initrd.cpio" "$out/initrd.cpio"
	echo "$sum" >"$out/initrd.sum"
fi
echo "$out"
