#!/bin/bash
# run.sh [--full] [--build DIR] [SET...]: installs what is missing, builds, runs the test sets.
#
# Each set prints lines `PASS name`, `FAIL name: why` or `SKIP name: why`; the last line of all is
# `N passed, N failed` (and `, N skipped`). Without a set: all of them, under half an hour on two cores,
# which each set uses by itself; --full: the whole matrix, at most an hour. A skip must be in
# tests/skips.allow. Logs: DIR/results/SET.log
set -u
cd "$(dirname "$0")/.." || exit 1

all_sets="lint unit cpu bare mutants guest lockstep state programs img lab ui screen fuzz demo accept"
build=build
full=
sets=
while [ $# -gt 0 ]; do
	case $1 in
	--full) full=1 ;;
	--build)
		build=${2:?--build needs a folder}
		shift
		;;
	--list)
		echo "$all_sets"
		exit 0
		;;
	-*)
		sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	*)
		case " $all_sets " in
		*" $1 "*) sets="$sets $1" ;;
		*)
			echo "no test set '$1'; there are: $all_sets" >&2
			exit 2
			;;
		esac
		;;
	esac
	shift
done
: "${sets:=$all_sets}"
export LODGE_TEST_FULL=$full
export LODGE_BUILD=$PWD/$build
results=$LODGE_BUILD/results
# The demo builds the same files in a clone: what ccache keeps is not of one folder.
export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD

# ---- the sets: each prints verdict lines; what else it prints goes to its log

set_lint() { python3 tests/lint/lint.py --build "$build"; }
meson_suites() { python3 tests/lib/meson_results.py "$build" "$@"; }
set_unit() { meson_suites --not-suite cpu; }
set_cpu() { meson_suites --suite cpu; }
# Sets that live in a folder of their own are one executable each, `tests/NAME/run` or the like.
folder_set() {
	if [ -x "$1" ]; then
		"$@"
	else
		echo "SKIP $(basename "$(dirname "$1")"): not built: no $1"
	fi
}
side_by_side() { python3 tests/lib/side_by_side.py "$@"; }
set_bare() {
	tests/cpu/bare/build.sh "$LODGE_BUILD/bare" &&
		side_by_side "LODGE_TIER=interp tests/cpu/bare/run" "LODGE_TIER=translate tests/cpu/bare/run"
}
set_mutants() { folder_set tests/mutants/run; }
set_guest() { folder_set tests/guest/run; }
set_lockstep() { folder_set tests/lockstep/run; }
set_state() { side_by_side tests/state/killed tests/state/powercut tests/state/kept tests/state/run; }
set_programs() { folder_set tests/programs/run; }
set_img() { folder_set tests/img/run; }
set_lab() { folder_set tests/lab/run; }
set_ui() { folder_set tests/ui/run; }
set_screen() { folder_set tests/screen/run; }
set_fuzz() { folder_set tests/fuzz/replay; }
set_demo() { folder_set tests/demo/run; }
set_accept() { python3 tests/acceptance/accept.py "$results"; }

# ---- running them

n_pass=0 n_fail=0 n_skip=0
verdict() { # verdict LOG NAME SECONDS STATUS
	local p f s
	p=$(grep -c '^PASS ' "$1")
	f=$(grep -c '^FAIL ' "$1")
	s=$(grep -c '^SKIP ' "$1")
	grep '^FAIL ' "$1"
	while IFS= read -r line; do
		echo "$line"
		if ! allowed "$2" "$line"; then
			echo "FAIL $2: the skip above is not in tests/skips.allow"
			f=$((f + 1))
		fi
	done < <(grep '^SKIP ' "$1")
	if [ "$4" != 0 ] && [ "$f" = 0 ]; then
		tail -n 20 "$1" | sed 's/^/    /'
		echo "FAIL $2: ended with status $4"
		f=1
	elif [ $((p + f + s)) = 0 ]; then
		echo "FAIL $2: no results"
		f=1
	fi
	printf -- '---- %-9s %4d passed %3d failed %3d skipped  %5.1f s\n' "$2" "$p" "$f" "$s" "$3"
	n_pass=$((n_pass + p)) n_fail=$((n_fail + f)) n_skip=$((n_skip + s))
}
allowed() { # allowed SET "SKIP name: why": is there a line `SET GLOB` that matches `name: why`?
	local set glob
	while read -r set glob; do
		# shellcheck disable=SC2053 # the right side is a pattern
		[[ $set == "$1" && ${2#SKIP } == $glob ]] && return 0
	done < <(grep -v '^#' tests/skips.allow)
	return 1
}
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { print b - a }'; }
step() { # step NAME COMMAND...: something that must succeed before there can be tests
	local name=$1 t0 log=$results/$1.log
	shift
	t0=$(now)
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log"
		echo "FAIL $name: '$*' failed, see $log"
		echo "0 passed, 1 failed"
		exit 1
	fi
	printf -- '---- %-9s %5.1f s\n' "$name" "$(since "$t0")"
}
# shellcheck disable=SC2317 # called by step
configure() { [ -f "$build/build.ninja" ] || meson setup "$build"; }
# shellcheck disable=SC2317
no_warnings() { ninja -C "$build" && ! grep 'warning:' "$results/build.log"; }

mkdir -p "$results"
step packages packaging/deps.sh
step configure configure
step build no_warnings
for set in $sets; do
	log=$results/$set.log
	t0=$(now)
	"set_$set" </dev/null >"$log" 2>&1
	status=$?
	verdict "$log" "$set" "$(since "$t0")" $status
done
if [ "$n_skip" -gt 0 ]; then
	echo "$n_pass passed, $n_fail failed, $n_skip skipped"
else
	echo "$n_pass passed, $n_fail failed"
fi
[ "$n_fail" = 0 ]
