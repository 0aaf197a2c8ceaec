#!/bin/sh
# link-layers.sh ROOT NAME TARGET...: makes ROOT a folder that holds just the links NAME -> TARGET.
set -eu
root=$1
shift
rm -rf "$root"
while [ $# -ge 2 ]; do
	mkdir -p "$(dirname "$root/$1")"
	ln -s "$2" "$root/$1"
	shift 2
done
