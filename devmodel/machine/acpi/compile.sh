#!/bin/sh
# compile.sh IASL NAME.asl OUT.c: compiles ASL into the C array acpi_NAME. A warning is an error.
set -eu
base=${3%.c}
name=acpi_$(basename "$2" .asl)
if ! "$1" -we -tc -p "$base" "$2" >"$base.log" 2>&1 || ! grep -q ' 0 Remarks' "$base.log"; then
	cat "$base.log" >&2
	exit 1
fi
{
	echo '#include "devmodel/machine/acpi/acpi.h"'
	sed -n "s/^unsigned char .*\[\] =/const uint8_t $name[] =/p; /^{/,\$p" "$base.hex" |
		grep -v '^#endif'
	echo "const size_t ${name}_bytes = sizeof($name);"
} >"$3"
