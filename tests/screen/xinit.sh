#!/bin/sh
# The first process of the guest with an X server: server, a terminal that hands what is typed on to the
# serial port, and xev, which writes there what keyboard and pointer do in its window.
export PATH=/bin:/sbin HOME=/root TERM=linux DISPLAY=:0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
exec </dev/null >/dev/ttyS0 2>&1
while read -r m; do
	insmod "/lib/modules/$m" || echo "init: cannot load $m"
done </lib/modules/order
sleep 1
# event device of the input device whose name has that word
event() { sed -n "/Name=.*$1/,/^\$/s/^H: .*\(event[0-9]*\).*/\1/p" /proc/bus/input/devices; }
cat >/etc/X11/xorg.conf <<END
Section "ServerFlags"
	Option "AutoAddDevices" "false"
	Option "AutoAddGPU" "false"
EndSection
Section "Device"
	Identifier "screen"
	Driver "fbdev"
EndSection
Section "InputDevice"
	Identifier "keyboard"
	Driver "evdev"
	Option "Device" "/dev/input/$(event keyboard)"
EndSection
Section "InputDevice"
	Identifier "mouse"
	Driver "evdev"
	Option "Device" "/dev/input/$(event Mouse)"
EndSection
Section "ServerLayout"
	Identifier "all"
	InputDevice "keyboard" "CoreKeyboard"
	InputDevice "mouse" "CorePointer"
EndSection
END
/usr/lib/xorg/Xorg :0 vt1 -config /etc/X11/xorg.conf -logfile /var/log/x -nolisten tcp -noreset -retro \
	-extension GLX &
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	xset q >/dev/null 2>&1 && break
	sleep 1
done
xset s off -dpms m 1/1 0 || { cat /var/log/x; poweroff -f; }
xterm -geometry 60x12+40+40 -bg black -fg white -cr white -e /bin/sh -c \
	'stty -F /dev/ttyS0 raw; while read -r line; do echo "typed: $line" >/dev/ttyS0; done' &
xev -geometry 300x200+500+400 -event mouse >/dev/ttyS0 &
sleep 2
echo "LODGE-X-UP"
while :; do sleep 60; done
