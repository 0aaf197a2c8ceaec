#!/bin/bash
# soak.sh NAME [SECONDS]: a long check, run before an issue is closed; notes what it did, on which
# commit, how long and with what result in docs/measurements.md.
#
#   fuzz-TARGET   libFuzzer on one target of tests/fuzz (20 minutes; fuzz-dev, all devices: an hour)
#   fuzz-control  tests/fuzz/control on a build with sanitizers (20 minutes)
#   fuzz-dev-CLASS  fuzz-dev on one class of devices, such as ide (15 minutes)
#   save-restore  50 rounds of tests/state/run
#   kept          100 rounds of tests/state/kept: snapshots of a busy guest
#   killed        200 rounds of tests/state/killed
#   powercut      1000 cuts of tests/state/powercut
#   engines       ten times from KVM (in the laptop lab) to the soft engine and back
#   oracle        the CPU oracle over every form with 1000 cases each, another seed each time
#   oracle-blocks 10 million random blocks in each tier, other seeds each time
#   bare          the bare-metal programs, 50 times
#   guests        every Debian kernel with every number of CPUs
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-}
seconds=${2:-}
seed=$(date +%s)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
start=$(date +%s)
result=

fuzz_build() {
	[ -f build-fuzz/build.ninja ] ||
		CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined \
			-Db_lundef=false
	ninja -C build-fuzz "tests/fuzz/$1"
}
case $name in
fuzz-control)
	[ -f build-asan/build.ninja ] ||
		meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false
	ninja -C build-asan
	LODGE_BUILD=$PWD/build-asan tests/fuzz/control --seconds "${seconds:-1200}" | tee "$log" || true
	result=$(tail -n 1 "$log")
	;;
fuzz-*)
	target=${name#fuzz-}
	case $target in
	dev) : "${seconds:=3600}" ;;
	dev-*)
		: "${seconds:=900}"
		export LODGE_FUZZ_CLASS=${target#dev-}
		target=dev
		;;
	*) : "${seconds:=1200}" ;;
	esac
	program=build-fuzz/tests/fuzz/fuzz-$target
	if ! { fuzz_build "fuzz-$target" && "$program" -runs=0; } >"$log" 2>&1; then
		tail "$log"
		exit 1
	fi
	grown=$(mktemp -d)
	"$program" -max_total_time="$seconds" -seed="$seed" -rss_limit_mb=4096 \
		"$grown" "tests/fuzz/corpus/$target" 2>&1 | tee "$log" | grep -E '#[0-9]+.*(NEW|pulse)|ERROR' || true
	result=$(grep -aE '^(Done|#[0-9]+.*DONE)' "$log" | tr '\n' ' ' || true)
	# the corpus that is replayed in each run stays small: only what reaches new code
	"$program" -merge=1 -use_counters=0 "tests/fuzz/corpus/$target" "$grown" >>"$log" 2>&1 || true
	rm -rf "$grown"
	if grep -aqE 'ERROR: |runtime error: ' "$log"; then
		result="FAILED: $(grep -aE 'ERROR: |runtime error: ' "$log" | head -n 1)"
	fi
	;;
save-restore | kept | killed | powercut)
	case $name in
	save-restore) rounds=50 program=run ;;
	kept) rounds=100 program=kept ;;
	killed) rounds=200 program=killed ;;
	powercut) rounds=1000 program=powercut ;;
	esac
	: "${seconds:=$rounds}"
	ROUNDS=$seconds CUTS=$seconds SEED=$seed "tests/state/$program" | tee "$log" || true
	result="$seconds rounds: $(grep -c ^PASS "$log") passed, $(grep -c ^FAIL "$log" || true) failed"
	;;
engines)
	ROUNDS=${seconds:-10} tests/lab/run kvm-cross | tee "$log" || true
	result="$(grep -c 'round .* of' "$log" || true) rounds; $(grep -E '^(PASS|FAIL|SKIP) kvm-cross' "$log")"
	;;
oracle)
	build/tests/cpu/oracle --cases 1000 --seed "$seed" | tee "$log" || true
	result=$(tail -n 1 "$log")
	;;
oracle-blocks)
	: "${seconds:=10000000}" # sequences
	for tier in interp translate; do
		[ $tier = interp ] || export LODGE_TEST_TRANSLATE=1
		if build/tests/cpu/oracle-blocks --count "$seconds" --seed "${seed}0000000"; then
			echo "$tier: clean"
		else
			echo "$tier: FAILED"
		fi
	done | tee "$log"
	result=$(grep -E 'sequences|clean|FAILED' "$log" | tr '\n' ' ')
	;;
bare)
	for _ in $(seq "${seconds:-50}"); do tests/cpu/bare/run; done | tee "$log" | grep ^FAIL || true
	result="$(grep -c ^PASS "$log") passed, $(grep -c ^FAIL "$log" || true) failed"
	;;
guests)
	LODGE_TEST_FULL=1 tests/guest/run | tee "$log" || true
	result="$(grep -c ^PASS "$log") passed, $(grep -c ^FAIL "$log" || true) failed"
	;;
*)
	sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
printf '| %s | %s | tests/soak.sh %s (seed %s) | %s s | %s |\n' "$(date +%F)" \
	"$(git log -1 --format=%h)" "$name" "$seed" "$(($(date +%s) - start))" "$result" |
	tee -a docs/measurements.md
case $result in
*FAILED* | *FAIL\ * | *[1-9]\ failed*) exit 1 ;;
esac
