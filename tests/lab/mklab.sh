#!/bin/bash
# mklab.sh: makes the laptop lab's kernel, initramfs and ACPI table ready and prints their folder.
#
# All of Debian: the kernel of tests/guest/mkguest.sh amd64 with its busybox, and the modules below with
# what they need. The folder holds vmlinux, initrd.cpio and laptop.aml; it lies in $LODGE_TEST_CACHE
# (default: ~/.cache/lodge-tests) and is used again until one of its sources changes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
out=$cache/lab
# init loads the first ones, to get at its root; agent.sh the others.
root_modules="virtio_pci 9pnet_virtio 9p overlay"
device_modules="kvm_amd xhci_pci usb_storage sd_mod usbhid hid_generic evdev ftdi_sio snd_usb_audio
	battery ac button thermal virtio_blk"

base=$("$here/../guest/mkguest.sh" amd64)
exec 9>"$cache/lock-lab"
flock 9
sum=$(cat "$here"/{mklab.sh,init,laptop.asl} "$base/version" | sha256sum | cut -c1-16)
if [ "$(cat "$out/sum" 2>/dev/null)" = "$sum" ]; then
	echo "$out"
	exit
fi
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$here/../lib/packages.sh"
release=$(cat "$base/version")
packages_for amd64 "$cache" "$work" linux-image-amd64
# All modules: what one needs is found only among those that are there.
fetch "linux-image-$release" "$work/kernel" './lib/modules/*'
/sbin/depmod -b "$work/kernel" "$release"

root=$work/root
to=$root/lib/modules/$release
mkdir -p "$root"/{bin,dev,proc,sys,run,lower,upper} "$to" "$work/out"
needs() { # needs MODULE...: the files, in the order in which insmod wants them
	for m; do
		/sbin/modprobe -d "$work/kernel" -S "$release" --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
# shellcheck disable=SC2086 # lists of words
{
	needs $root_modules >"$work/first"
	needs $root_modules $device_modules >"$work/all"
}
while read -r ko; do
	place=${ko#*/lib/modules/"$release"/}
	mkdir -p "$to/$(dirname "$place")"
	cp "$ko" "$to/$place"
done <"$work/all"
sed "s|.*\(/lib/modules/\)|\1|" "$work/first" >"$root/lib/modules/first"
echo "$device_modules" >"$root/lib/modules/devices"
cp "$work/kernel/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$to/"
/sbin/depmod -b "$root" "$release"

cp "$base/busybox" "$root/bin/busybox"
for a in sh mount mkdir insmod chroot cat ln poweroff sync cut; do ln -s busybox "$root/bin/$a"; done
cp "$here/init" "$root/init"
chmod 755 "$root/init"
(cd "$root" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$work/out/initrd.cpio"
iasl -p "$work/out/laptop" "$here/laptop.asl" >"$work/iasl.log" 2>&1 || {
	cat "$work/iasl.log" >&2
	exit 1
}
# Unpacked once here, not in each boot by the emulated processor; QEMU starts it by its PVH entry.
python3 - "$base/vmlinuz" "$work/out/vmlinux" <<'END'
import lzma, sys
with open(sys.argv[1], "rb") as kernel, open(sys.argv[2], "wb") as unpacked:
    data = kernel.read()
    unpacked.write(lzma.LZMADecompressor().decompress(data[data.index(b"\xfd7zXZ\0"):]))
END
echo "$sum" >"$work/out/sum"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
