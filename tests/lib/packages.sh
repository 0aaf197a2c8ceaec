# shellcheck shell=bash
# packages.sh: Debian packages for tests, downloaded as a user with package lists of our own, so that
# nothing is installed and no architecture is added to the host. Sourced by bash, with `set -e`.
#
# packages_for ARCH CACHE WORK first; WORK is the caller's scratch folder. Then fetch PACKAGE FOLDER
# PATTERN... unpacks files of it, package_of NAME says which package a metapackage stands for.

packages_for() { # packages_for ARCH CACHE WORK [PACKAGE...]: those whose lists the host may have
	pk_arch=$1 pk_work=$3 pk_dir=$2/apt-$1
	shift 3
	pk_opts=(-q -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)"
		-o APT::Architecture="$pk_arch" -o APT::Architectures="$pk_arch" -o Dir::State="$pk_dir"
		-o Dir::State::status="$pk_dir/status" -o Dir::Cache="$pk_dir/cache"
		-o Acquire::Languages=none -o Acquire::Retries=3)
	# The host's own lists serve, too, where they know the packages.
	if [ "$pk_arch" = "$(dpkg --print-architecture)" ] && apt-cache show "$@" >/dev/null 2>&1; then
		pk_opts=(-q -o APT::Sandbox::User="$(id -un)")
		mkdir -p "$pk_dir"
		: >"$pk_dir/log"
		touch "$pk_dir/fresh"
	fi
}
pk_lists() {
	[ -e "$pk_dir/fresh" ] && return
	mkdir -p "$pk_dir/lists/partial" "$pk_dir/cache/archives/partial"
	(
		flock 8 # others may be at it
		[ -e "$pk_dir/fresh" ] && exit
		: >"$pk_dir/status"
		# A repository that has nothing for this architecture is no failure of ours.
		apt-get "${pk_opts[@]}" update >"$pk_dir/log" 2>&1 || true
		touch "$pk_dir/fresh"
	) 8>"$pk_dir/lock"
}
pk_fail() { # pk_fail MESSAGE: the next run asks for the lists again
	rm -f "$pk_dir/fresh"
	cat "$pk_dir/log" >&2
	echo "$(basename "$0"): $1 ($pk_arch)" >&2
	exit 1
}
fetch() { # fetch PACKAGE FOLDER PATTERN...: downloads and unpacks those files
	local package=$1 folder=$2
	shift 2
	pk_lists
	(cd "$pk_work" && apt-get "${pk_opts[@]}" download "$package" >"$pk_work/log" 2>&1) || {
		cat "$pk_work/log" >&2
		pk_fail "cannot download the package $package"
	}
	mkdir -p "$folder"
	dpkg-deb --fsys-tarfile "$pk_work/$package"_*.deb | tar -x -C "$folder" --wildcards "$@"
	rm -f "$pk_work"/*.deb
}
package_of() { # package_of NAME: the first package that the metapackage NAME depends on
	local package
	pk_lists
	package=$(apt-cache "${pk_opts[@]}" depends "$1" |
		sed -n 's/^ *Depends: \([^ ]*\).*/\1/p' | head -n 1)
	[ -n "$package" ] || pk_fail "no package $1 in the lists"
	echo "$package"
}
fetch_with_needs() { # fetch_with_needs FOLDER PACKAGE...: unpacks them and all that they depend on
	local folder=$1 names deb
	shift
	pk_lists
	: >"$pk_work/status" # nothing is installed there: every package that is needed shows
	names=$(apt-get "${pk_opts[@]}" -o Dir::State::status="$pk_work/status" -s \
		install --no-install-recommends "$@" 2>"$pk_work/log" | awk '$1 == "Inst" { print $2 }')
	if [ -z "$names" ]; then
		cat "$pk_work/log" >&2
		pk_fail "the package lists do not know all of: $*"
	fi
	mkdir -p "$pk_work/debs"
	# shellcheck disable=SC2086 # a list of words
	(cd "$pk_work/debs" && apt-get "${pk_opts[@]}" download $names >"$pk_work/log" 2>&1) || {
		cat "$pk_work/log" >&2
		pk_fail "cannot download what these need: $*"
	}
	mkdir -p "$folder/usr/bin" "$folder/usr/sbin" "$folder/usr/lib" "$folder/usr/lib64"
	for d in bin sbin lib lib64; do ln -sfn usr/$d "$folder/$d"; done
	for deb in "$pk_work"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$folder" --keep-directory-symlink
	done
	rm -rf "$pk_work/debs"
}
