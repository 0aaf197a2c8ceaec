#!/bin/bash
# mkx.sh: makes a Debian kernel and an initramfs with an X server ready and prints their folder.
#
# The server draws on the frame buffer that the kernel starts with (fbdev) and reads the PS/2 keyboard
# and mouse (evdev). xinit.sh is what runs then. Kernel and packages are Debian 12's, unpacked and not
# installed; they lie in $LODGE_TEST_CACHE (default: ~/.cache/lodge-tests) and are used again.
set -euo pipefail

packages="busybox-static xserver-xorg-core xserver-xorg-video-fbdev xserver-xorg-input-evdev xkb-data
	x11-xkb-utils xterm xfonts-base x11-utils x11-xserver-utils"
here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
out=$cache/guest-x
sum=$(cat "$0" "$here/xinit.sh" | sha256sum | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/lock-x"
flock 9
if [ "$(cat "$out/sum" 2>/dev/null)" = "$sum" ]; then
	echo "$out"
	exit 0
fi
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
. "$here/../lib/packages.sh"
# shellcheck disable=SC2086 # a list of words
packages_for amd64 "$cache" "$work" linux-image-amd64 $packages

root=$work/root
# shellcheck disable=SC2086
fetch_with_needs "$root" $packages
package=$(package_of linux-image-amd64)
fetch "$package" "$work/kernel" './boot/vmlinuz-*' './lib/modules/*/modules.*' \
	'./lib/modules/*/kernel/drivers/input'
release=$(basename "$work"/kernel/lib/modules/*)

# What the server does not read, so that the guest needs little memory.
rm -rf "$root"/usr/share/{doc,man,locale,bug,lintian,info,perl*} "$root"/usr/lib/x86_64-linux-gnu/{dri,gconv,perl*} \
	"$root"/var/cache "$root"/usr/share/fonts/{truetype,X11/100dpi,X11/75dpi} \
	"$root"/usr/{include,lib/gcc,lib/udev}
find "$root" \( -name '*.a' -o -name 'libLLVM*' -o -name 'libicu*' -o -name 'libz3*' -o -name 'libisl*' \
	-o -name '*.utf8' \) -delete
mkdir -p "$root"/{dev,proc,sys,tmp,root,etc/X11,var/log,var/lib/xkb,lib/modules}
/sbin/depmod -b "$work/kernel" "$release"
for m in psmouse evdev; do
	/sbin/modprobe -d "$work/kernel" -S "$release" --show-depends $m
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r ko; do
	cp "$ko" "$root/lib/modules/"
	basename "$ko"
done >"$root/lib/modules/order"
for a in sh mount insmod cat grep sleep poweroff ls sed awk stty mkdir echo; do
	[ -e "$root/bin/$a" ] || ln -s busybox "$root/bin/$a"
done
cp "$here/xinit.sh" "$root/init"
chmod 755 "$root/init"
mkdir "$work/out"
cp "$work/kernel/boot/vmlinuz-$release" "$work/out/vmlinuz"
(cd "$root" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$work/out/initrd.cpio"
echo "$sum" >"$work/out/sum"
rm -rf "$out"
mv "$work/out" "$out"
echo "$out"
