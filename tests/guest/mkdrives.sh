#!/bin/bash
# mkdrives.sh: the amd64 guest of mkguest.sh with drivers for SATA, IDE, disks, discs and ISO 9660, which
# `drives` in the guest loads, and with drivetool; prints its folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/more.sh"
more_files() {
	ln -s busybox "$1/bin/blkdiscard"
	drivetool "$1"
}
more_guest drives "ahci ata_piix sd_mod sr_mod isofs" "$here/drivetool.c" \
	drivers/{ata,scsi,cdrom} fs/isofs lib crypto arch block
