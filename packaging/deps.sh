#!/bin/sh
# deps.sh [--list | --check] [PURPOSE...]: installs the Debian 12 packages that Lodge needs.
#
# Installs only what is missing, so a second run changes nothing and takes no time. The package
# lists are updated only if they do not know a package. Works as root or with sudo.
# PURPOSE: build, test, bench, dev; without one: build and test.
set -eu

# purpose  package            reason
packages='
build      gcc                the compiler of the project
build      libc6-dev          C library headers
build      meson              build system
build      ninja-build        runs what meson plans
build      pkg-config         finds the libraries below
build      libzydis-dev       x86 instruction decoder of the soft engine
build      libglib2.0-dev     GDBus and GKeyFile of lodge-vm and lodge
build      libpng-dev         screenshots of lodge
build      libseccomp-dev     system call filter of lodge-vm
build      zlib1g-dev         compressed clusters of disk images (qcow2)
build      libzstd-dev        the same, newer; exported snapshots
build      liburing-dev       direct I/O on disk images without a thread a request
build      acpica-tools       iasl compiles the ACPI tables, acpiexec tests them
build      seabios            BIOS that a VM without a kernel starts with, VGA BIOS
build      libsdl2-dev        the window of lodge-console
build      libsdl2-ttf-dev    text in it
build      fonts-dejavu-core  the font of that text
test       ccache             makes a second build quick
test       libcmocka-dev      unit tests
test       nasm               assembles the bare-metal CPU programs
test       man-db             judges the manual pages
test       python3            drives guests, lint
test       cpio               packs the initramfs of guest tests
test       xorriso            makes the discs of drive tests
test       isolinux           boots such discs
test       syslinux-common    its modules
test       grub-common        grub-mkimage
test       grub-pc-bin        GRUB for a BIOS
test       xz-utils           unpacks packages of guest tests
test       e2fsprogs          makes and judges the file system of a guest
test       kmod               orders the kernel modules of guest tests
test       gdb                attaches to the debug stub
test       clang-format       style check
test       git                the demo clones the repository
test       xvfb               windows without a monitor
test       libxtst6           keys and pointer as a person gives them
test       openbox            a window manager, for windows as on a desktop
test       qemu-system-x86    the laptop of tests/lab: a PC with SVM, USB and a battery
test       strace             counts the calls of a vCPU thread under KVM (tests/lab)
test       qemu-utils         qemu-img judges the disk images that are written
test       exfat-fuse         file system of sticks, for VMs that are kept on one
test       exfatprogs         makes it
test       x11-xkb-utils      keyboard layouts of other countries
test       fish               completion as its users have it
test       zsh                completion: is it a script of that shell?
bench      qemu-system-x86    the rival that tests/bench/engine measures
bench      qemu-system-gui    its SDL window, for tests/bench/display
dev        clang              libFuzzer targets (meson setup -Dfuzz=true)
'

mode=install
purposes=
for arg; do
	case $arg in
	--list) mode=list ;;
	--check) mode=check ;;
	build | test | bench | dev) purposes="$purposes $arg" ;;
	*)
		echo "usage: deps.sh [--list | --check] [build] [test] [dev]" >&2
		exit 2
		;;
	esac
done
: "${purposes:=build test}"

if [ "$mode" = list ]; then
	printf '%s' "$packages" | sed '/^$/d'
	exit 0
fi

wanted=$(printf '%s' "$packages" | awk -v p=" $purposes " 'NF && index(p, " " $1 " ") { print $2 }')
# shellcheck disable=SC2086 # a list of words
have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null |
	awk '$1 == "ii" { print $2 }' || true)
missing=$(printf '%s\n' "$wanted" | grep -vxF "${have:-none}" || true)
if [ -z "$missing" ]; then
	exit 0
fi
missing=$(echo "$missing" | tr '\n' ' ')
if [ "$mode" = check ]; then
	echo "missing packages: $missing" >&2
	exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps.sh: run as root: apt-get install --no-install-recommends $missing" >&2
		exit 1
	fi
	as_root="sudo"
fi
install() {
	# shellcheck disable=SC2086 # lists of words
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends $missing
}
echo "installing: $missing" >&2
# Lists that are missing or stale show as a failed install: update once and try again.
if ! install >/dev/null 2>&1; then
	$as_root apt-get update -q >&2
	install >&2
fi
