#!/bin/bash
# demo.sh [--auto] [--cold]: Lodge from nothing, shown on a fresh clone: packages, build, Debian to
# a shell in the terminal, the engine's speed (boot, and a program against the host itself), a sum, a
# save, something broken, and everything whole again from the saved state; a developer's day with a VM that
# is kept: a snapshot, broken, restored, three forks at once, suspended; then two windows side by side, a game
# and Debian, both alive. One line a step with its measured time; between them what the guest
# prints. The windows' pictures and an index.html are in build/demo of the clone.
#
# On a terminal it leaves you with the two windows (`lodge kill` ends them), or, without a screen, in the
# guest's shell (Ctrl-] leaves); --auto does not.
# The clone and the downloads are kept in ~/.cache and used again; --cold throws the clone away.
# Status 0 only if every step was seen to work.
set -euo pipefail

auto=
cold=
for arg; do
	case $arg in
	--auto) auto=1 ;;
	--cold) cold=1 ;;
	*)
		sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	esac
done
[ -t 0 ] && [ -t 1 ] || auto=1

origin=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lodge-demo
clone=$cache/lodge
log=$cache/log
mkdir -p "$cache"
n=0
t0=0
start=$(date +%s.%N)
begin() { t0=$(date +%s.%N); }
seen() { # seen TEXT: the step that began last is done
	n=$((n + 1))
	awk -v n=$n -v t="$1" -v a="$t0" -v b="$(date +%s.%N)" \
		'BEGIN { printf "== %d. %-58s %6.1f s\n", n, t, b - a }'
}
quietly() {
	"$@" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		echo "demo: '$*' failed; see $log" >&2
		exit 1
	}
}

begin
[ -z "$cold" ] || rm -rf "$clone"
command -v git >/dev/null || quietly "$origin/packaging/deps.sh"
if [ -d "$clone/.git" ] && git -C "$clone" remote get-url origin | grep -qxF "$origin"; then
	quietly git -C "$clone" fetch -q origin HEAD
	quietly git -C "$clone" reset -q --hard FETCH_HEAD
	what="clone brought up to date"
else
	rm -rf "$clone"
	quietly git clone -q "$origin" "$clone"
	what="fresh clone"
fi
seen "$what: $(git -C "$clone" log -1 --format=%h)"
cd "$clone"

begin
quietly packaging/deps.sh
seen "packages installed"

begin
# The download needs the network, the build the CPUs.
tests/guest/mkguest.sh amd64 >"$cache/guest" 2>"$cache/guest.log" &
guest_pid=$!
[ -f build/build.ninja ] || quietly meson setup build
quietly ninja -C build
seen "built"

begin
wait $guest_pid || {
	cat "$cache/guest.log" >&2
	exit 1
}
guest=$(cat "$cache/guest")
seen "Debian's kernel $(cat "$guest/version") and a busybox initramfs ready"

state=$cache/saved.state
rm -f "$state"
# A person with a screen gets the windows, one without the guest's shell.
display=${DISPLAY:-${WAYLAND_DISPLAY:-}}
shell= poweroff=--poweroff
if [ -z "$auto$display" ]; then
	shell=1 poweroff=
fi
python3 packaging/demo_guest.py --first-step $((n + 1)) --next "$cache/next" --state "$state" \
	--native "$guest/sieve" $poweroff
python3 packaging/demo_kept.py --first-step "$(cat "$cache/next")" --next "$cache/next" --guest "$guest"
own= # an X server of the demo's own
[ -z "$auto" ] && [ -n "$display" ] || own=--auto
python3 packaging/demo_windows.py --first-step "$(cat "$cache/next")" --folder "$clone/build/demo" $own
awk -v a="$start" -v b="$(date +%s.%N)" \
	'BEGIN { printf "== everything was seen to work in %.1f s\n", b - a }'
if [ -n "$shell" ]; then
	echo "== you are in the guest's shell now: Enter shows its prompt; Ctrl-] and q leaves"
	exec build/ui/cli/lodge run --state "$state" --headless
fi
rm -f "$state"
