#!/bin/sh
# compile.sh IASL SOURCE OUT.c: compiles ASL into the C array acpi_dsdt. A warning is an error.
set -eu
base=${3%.c}
if ! "$1" -we -tc -p "$base" "$2" >"$base.log" 2>&1 || ! grep -q ' 0 Remarks' "$base.log"; then
	cat "$base.log" >&2
	exit 1
fi
{
	echo '#include "devmodel/machine/acpi/acpi.h"'
	sed -n 's/^unsigned char .*\[\] =/const uint8_t acpi_dsdt[] =/p; /^{/,$p' "$base.hex" |
		grep -v '^#endif'
	echo 'const size_t acpi_dsdt_bytes = sizeof(acpi_dsdt);'
} >"$3"
