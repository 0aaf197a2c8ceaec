#!/bin/bash
# media.sh NAME: makes the files of a guest with a screen ready and prints their folder.
#
# NAME: invaders, memtest, rescue (GRUB), ipxe, xen, installer-amd64, installer-i386: what the Debian
# package of the table below holds. They lie in $LODGE_TEST_CACHE (default: ~/.cache/lodge-tests) and
# are used again.
set -euo pipefail

name=${1:?usage: media.sh NAME}
arch=amd64
case $name in
invaders) package=grub-invaders files=('./boot/*') ;;
memtest) package=memtest86+ files=('./boot/*.bin' './usr/lib/*.iso') ;;
rescue) package=grub-rescue-pc files=('./usr/lib/*') ;;
ipxe) package=ipxe files=('./boot/*.lkrn' './usr/lib/*') ;;
xen) package=xen-hypervisor-4.17-amd64 files=('./boot/*.gz') ;;
installer-amd64) package=debian-installer-12-netboot-amd64 files=('./usr/lib/*') ;;
installer-i386) package=debian-installer-12-netboot-i386 files=('./usr/lib/*') ;;
*)
	sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
here=$(cd "$(dirname "$0")" && pwd)
cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
out=$cache/media-$name
mkdir -p "$cache"
exec 9>"$cache/lock-media-$name"
flock 9
if [ ! -e "$out/complete" ]; then
	work=$(mktemp -d "$cache/work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	. "$here/../lib/packages.sh"
	packages_for $arch "$cache" "$work" $package
	fetch $package "$work/tree" "${files[@]}"
	mkdir "$work/out"
	# Installers come as trees with links; the others are a few files.
	case $name in
	installer-*) cp -a "$work/tree/usr/lib/debian-installer/images/12/${name#*-}"/* "$work/out" ;;
	*) find "$work/tree" -type f -exec cp {} "$work/out" \; ;;
	esac
	touch "$work/out/complete"
	rm -rf "$out"
	mv "$work/out" "$out"
fi
echo "$out"
