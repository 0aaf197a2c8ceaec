#!/bin/bash
# mkiso.sh isolinux|grub OUT [FILE[=NAME]...]: a disc that boots by that loader; FILEs lie in its root.
#
# What is booted, on standard input: for grub a grub.cfg, for isolinux an isolinux.cfg. Both images are
# hybrid: they boot as a disk, too.
set -euo pipefail

loader=${1:?usage: mkiso.sh isolinux|grub OUT [FILE[=NAME]...]}
out=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/disc"
for f; do
	ln -s "$(realpath "${f%%=*}")" "$work/disc/$(basename "${f#*=}")"
done
case $loader in
grub)
	mkdir -p "$work/disc/boot/grub"
	cat >"$work/disc/boot/grub/grub.cfg"
	mods=/usr/lib/grub/i386-pc
	mkdir "$work/disc/boot/grub/i386-pc"
	cp $mods/*.mod $mods/*.lst "$work/disc/boot/grub/i386-pc"
	grub-mkimage -O i386-pc-eltorito -p /boot/grub -o "$work/disc/boot/grub/eltorito.img" \
		biosdisk iso9660
	set -- -b boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table \
		--grub2-boot-info --grub2-mbr $mods/boot_hybrid.img
	;;
isolinux)
	mkdir "$work/disc/isolinux"
	cat >"$work/disc/isolinux/isolinux.cfg"
	cp /usr/lib/ISOLINUX/isolinux.bin "$work/disc/isolinux"
	cp /usr/lib/syslinux/modules/bios/{ldlinux,libcom32,libutil,menu,vesamenu}.c32 \
		"$work/disc/isolinux"
	set -- -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
		-boot-info-table -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin
	;;
*)
	echo "mkiso.sh: there are the loaders isolinux and grub" >&2
	exit 2
	;;
esac
xorriso -as mkisofs -quiet -r -f -V LODGE-TEST -o "$out" "$@" "$work/disc"
