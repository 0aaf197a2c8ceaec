# shellcheck shell=bash
# more.sh: the amd64 guest of mkguest.sh with more kernel modules, which a command in the guest loads:
# boots of other tests stay as they are. Sourced by bash, with `set -euo pipefail`.
#
# more_guest NAME "MODULE..." SOURCE PATTERN... prints the folder guest-NAME: vmlinuz, and initrd.cpio,
# which is mkguest.sh's and one more archive after it. NAME is the command, too. PATTERN: folders of the
# kernel's package below lib/modules/*/kernel where the modules and what they need lie. The caller's
# function more_files ROOT adds files; SOURCE is one that it makes them of (or /dev/null).

more_guest() {
	local name=$1 modules=$2 source=$3 here cache base out sum
	shift 3
	here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
	cache=${LODGE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lodge-tests}
	base=$("$here/mkguest.sh" amd64)
	out=$cache/guest-$name
	exec 9>"$cache/lock-$name"
	flock 9
	sum=$(cat "${BASH_SOURCE[0]}" "$0" "$source" "$base/version" "$base/initrd.sum" |
		sha256sum | cut -c1-16)
	if [ "$(cat "$out/sum" 2>/dev/null)" != "$sum" ]; then
		more_work=$(mktemp -d "$cache/work.XXXXXX")
		trap 'rm -rf "$more_work"' EXIT
		. "$here/../lib/packages.sh"
		packages_for amd64 "$cache" "$more_work" linux-image-amd64
		mkdir -p "$more_work/root/bin" "$more_work/root/lib/$name" "$more_work/out"
		more_modules "$name" "$modules" "$base" "$@"
		more_files "$more_work/root"
		(cd "$more_work/root" && find . | sort |
			cpio -o -H newc -R 0:0 --reproducible --quiet) >"$more_work/more.cpio"
		# An archive begins at a multiple of four bytes, which its end is, too.
		cat "$base/initrd.cpio" "$more_work/more.cpio" >"$more_work/out/initrd.cpio"
		cp "$base/vmlinuz" "$more_work/out/vmlinuz"
		echo "$sum" >"$more_work/out/sum"
		rm -rf "$out"
		mv "$more_work/out" "$out"
	fi
	echo "$out"
}

drivetool() { # drivetool ROOT: for more_files
	gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o "$1/bin/drivetool" "$here/drivetool.c"
	strip "$1/bin/drivetool"
}

more_modules() { # more_modules NAME "MODULE..." BASE PATTERN...: without those that BASE has loaded
	local name=$1 modules=$2 base=$3 release m ko
	local to=$more_work/root/lib/$1
	shift 3
	release=$(cat "$base/version")
	fetch "linux-image-$release" "$more_work/kernel" './lib/modules/*/modules.*' \
		"${@/#/./lib/modules/*/kernel/}"
	/sbin/depmod -b "$more_work/kernel" "$release"
	for m in $modules; do
		/sbin/modprobe -d "$more_work/kernel" -S "$release" --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$more_work/order"
	while read -r ko; do
		[ -e "$base/modules/$(basename "$ko")" ] && continue
		cp "$ko" "$to/"
		basename "$ko"
	done <"$more_work/order" >"$more_work/names"
	mv "$more_work/names" "$to/order"
	cat >"$more_work/root/bin/$name" <<-END
		#!/bin/sh
		while read -r m; do insmod "/lib/$name/\$m" || exit 1; done </lib/$name/order
	END
	chmod 755 "$more_work/root/bin/$name"
}
