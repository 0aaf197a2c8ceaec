/* The loaders of kernels (bzImage, multiboot, ELF): an input is the kernel file. */
#include <stdlib.h>
#include "base/util.h"
#include "devmodel/machine/boot.h"
#include "fuzz.h"

#define RAM_BYTES HV_MIB(32)
#define TABLES_BYTES HV_KIB(128)

static struct hv_mem *mem;
static struct hv_map_range all;
static struct e820_map e820;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void make_world(void)
{
	struct hv_ram *ram;

	must(hv_mem_create(&mem, NULL) == 0);
	must(hv_ram_create(mem, "ram", HV_RAM_ANON, RAM_BYTES, -1, 0, &ram, NULL) == 0);
	all = (struct hv_map_range){
		.name = "ram", .kind = HV_MAP_RAM, .bytes = RAM_BYTES, .ram = ram
	};
	hv_mem_map(mem, &all);
	e820_make(&e820, RAM_BYTES, 0, TABLES_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct boot_files f = { .kernel = { data, size },
				      .initrd = { data, size < 64 ? size : 64 },
				      .cmdline = "console=ttyS0" };
	struct x86_state s;
	struct err e = { 0 };

	if (mem == NULL)
		make_world();
	const struct boot_target t = {
		.mem = mem, .ram_end = RAM_BYTES - TABLES_BYTES, .e820 = &e820, .rsdp = 0xf0000
	};
	if (boot_load(&f, &t, &s, &e) == 0)
		must(s.rip >= HV_MIB(1) && s.rip < t.ram_end);
	else
		must(e.code < 0 && e.msg[0] != '\0');
	return 0;
}
