#!/bin/bash
# mkdiary.sh: the amd64 guest of mkguest.sh with the file system ext4, which `ext4` in the guest loads, and
# with the program diary; prints its folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/more.sh"
more_files() {
	gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o "$1/bin/diary" "$here/diary.c"
	strip "$1/bin/diary"
}
more_guest ext4 ext4 "$here/diary.c" fs/{ext4,jbd2} fs/mbcache.ko lib crypto arch
