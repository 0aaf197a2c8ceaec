#!/bin/bash
# mkfloppy.sh: the amd64 guest of mkguest.sh with the driver of floppy drives, which `floppy` in the guest
# loads, and with drivetool; prints its folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/more.sh"
more_files() { drivetool "$1"; }
more_guest floppy floppy "$here/drivetool.c" drivers/block
