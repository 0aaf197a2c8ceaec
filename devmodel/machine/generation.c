/*
 * The VM generation ID: 16 bytes in a page of its own that the guest cannot write to, which ACPI
 * tells it to look at (dsdt.asl, device VGEN). The page is a RAM block, so a saved state has the ID
 * that was: if the machine goes on under another one, the guest gets an event.
 *
 * Specification: Microsoft, Virtual Machine Generation ID, August 2012. The page is neither RAM nor
 * ACPI memory in the memory map, and no register lies in it, so that nobody maps it uncached.
 */
#include "base/util.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/machine/machine_int.h"
#include "state/container.h"

#define BLOCK "generation"

/* The guest of a state from before there was a page is not told: its tables do not speak of it. */
static int make_block(struct machine *m, const struct state_file *f, struct hv_ram **ret_ram,
		      struct err *e)
{
	if (f != NULL && state_file_ram(f, BLOCK) != NULL)
		return saved_ram(f, m->config.state_fd, m->mem, BLOCK, HV_PAGE_SIZE, ret_ram, e);
	return hv_ram_create(m->mem, BLOCK, HV_RAM_ANON, HV_PAGE_SIZE, -1, 0, ret_ram, e);
}

int generation_load(struct machine *m, const struct state_file *f, struct err *e)
{
	struct hv_ram *ram;
	const int r = make_block(m, f, &ram, e);

	if (r < 0)
		return r;
	m->new_generation = f != NULL && state_file_ram(f, BLOCK) != NULL &&
			    memcmp(hv_ram_host(ram), m->config.generation,
				   MACHINE_GENERATION_BYTES) != 0;
	memcpy(hv_ram_host(ram), m->config.generation, MACHINE_GENERATION_BYTES);
	m->generation = (struct hv_map_range){ .name = BLOCK,
					       .kind = HV_MAP_ROM,
					       .prio = HV_PRIO_CHIPSET,
					       .gpa = MEMMAP_GENERATION,
					       .bytes = HV_PAGE_SIZE,
					       .ram = ram };
	hv_mem_map(m->mem, &m->generation);
	return 0;
}

void generation_tell(struct machine *m)
{
	hv_domain_lock(m->pm->domain);
	dm_pm_gpe(m->pm->dev, MACHINE_GPE_GENERATION);
	hv_domain_unlock(m->pm->domain);
}

bool generation_waits(struct machine *m)
{
	hv_domain_lock(m->pm->domain);
	const bool waits = dm_pm_gpe_waits(m->pm->dev, MACHINE_GPE_GENERATION);
	hv_domain_unlock(m->pm->domain);
	return waits;
}
