#!/bin/bash
# agent.sh: the laptop lab's first program in its own root. Does what the host says on the second serial
# port, line by line: `run NAME SECONDS` runs the test of that name and answers `done NAME STATUS`; `off`
# ends. What the test printed goes to NAME.log in the share. With LAB_SHELL there is a shell on the first
# serial port instead. Descriptor 3 is the port; a test asks the host for something by `lab-host`.
here=$(cd "$(dirname "$0")" && pwd)
export PATH=$here/bin:$PATH

stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
hostname laptop
ip link set lo up 2>/dev/null
# All drivers that the lab has. Their devices come in the meantime, those behind USB later.
xargs modprobe -aq </lib/modules/devices

echo up >&3
if [ -n "${LAB_SHELL:-}" ]; then
	setsid -cw bash -i <>/dev/ttyS0 >&0 2>&1
	exit 0
fi
# While the lab's kernel lives, it says so.
while sleep 2; do echo alive; done >&3 &
while read -r verb name seconds <&3; do
	case $verb in
	run)
		timeout -k 5 "$seconds" "$here/tests/$name" </dev/null >"$LAB_SHARE/$name.log" 2>&1 &
		wait $!
		status=$?
		kill -9 -- -$! 2>/dev/null # timeout's process group: what the test has left behind
		for comm in $(grep -lxE 'lodge|lodge-vm|qemu-system-x86' /proc/[0-9]*/comm 2>/dev/null); do
			kill -9 "$(echo "$comm" | cut -d/ -f3)" 2>/dev/null # and what went its own way
		done
		echo "done $name $status" >&3
		;;
	off) exit 0 ;;
	esac
done
