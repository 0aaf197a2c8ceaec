/* The machine's memory map, see memmap.h. */
#include "devmodel/machine/memmap.h"
#include "base/util.h"

#define BIOS_AREA 0xc0000ull
#define PAM_SEG_BYTES 0x4000ull
#define MODE_UNSET 0xff

/* Where segment i lies. */
static uint64_t seg_gpa(unsigned i)
{
	return i == 0 ? 0xf0000 : BIOS_AREA + (i - 1) * PAM_SEG_BYTES;
}

static uint64_t seg_bytes(unsigned i)
{
	return i == 0 ? 0x10000 : PAM_SEG_BYTES;
}

/* The firmware's last 128 KiB (256 KiB, if it is as large) end at 1 MiB, too. */
static bool rom_offset(const struct memmap *m, unsigned seg, uint64_t *ret_off)
{
	const uint64_t from_end = 0x100000 - seg_gpa(seg);

	if (m->rom == NULL || from_end > hv_ram_bytes(m->rom))
		return false;
	*ret_off = hv_ram_bytes(m->rom) - from_end;
	return true;
}

/* Firmware is seen, but writes go to the RAM below it (mode "write only"). */
static uint64_t shadow_read(void *ctx, uint64_t off, unsigned size)
{
	(void)ctx, (void)off, (void)size;
	return UINT64_MAX; /* without firmware there */
}

static void shadow_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	const struct memmap_pam *p = ctx;

	if (p->mode != MCH_PAM_WRITE)
		return;
	memcpy(hv_ram_host(p->map->ram) + p->range.gpa + off, &v, size);
	hv_ram_written(p->map->ram, p->range.gpa + off, size);
}

static const struct hv_io_ops shadow_ops = { shadow_read, shadow_write };

static void show(struct memmap_pam *p, unsigned seg, uint8_t mode)
{
	struct hv_map_range *r = &p->range;

	*r = (struct hv_map_range){ .name = "pam",
				    .prio = HV_PRIO_CHIPSET,
				    .gpa = seg_gpa(seg),
				    .bytes = seg_bytes(seg),
				    .io = &shadow_ops,
				    .io_ctx = p };
	if (mode & MCH_PAM_READ) {
		r->kind = mode & MCH_PAM_WRITE ? HV_MAP_RAM : HV_MAP_ROM;
		r->ram = p->map->ram;
		r->ram_off = r->gpa;
	} else if (rom_offset(p->map, seg, &r->ram_off)) {
		r->kind = HV_MAP_ROM;
		r->ram = p->map->rom;
	} else {
		r->kind = mode & MCH_PAM_WRITE ? HV_MAP_IO : HV_MAP_HOLE;
	}
	hv_mem_map(p->map->mem, r);
}

void memmap_pam(struct memmap *m, const uint8_t modes[MCH_PAM_SEGS])
{
	hv_mem_batch_begin(m->mem);
	for (unsigned i = 0; i < MCH_PAM_SEGS; i++) {
		struct memmap_pam *p = &m->pam[i];
		if (p->mode == modes[i])
			continue;
		if (p->range.mapped)
			hv_mem_unmap(m->mem, &p->range);
		p->mode = modes[i];
		show(p, i, modes[i]);
	}
	hv_mem_batch_end(m->mem);
}

static void place(struct memmap *m, struct hv_map_range *r, struct hv_map_range value)
{
	*r = value;
	hv_mem_map(m->mem, r);
}

void memmap_init(struct memmap *m, struct hv_mem *mem, struct hv_ram *ram, struct hv_ram *rom)
{
	static const uint8_t closed[MCH_PAM_SEGS];
	const uint64_t bytes = hv_ram_bytes(ram);

	*m = (struct memmap){ .mem = mem, .ram = ram, .rom = rom };
	m->low_bytes = hv_min_u64(bytes, MEMMAP_LOW_MAX);
	m->high_bytes = bytes - m->low_bytes;
	hv_mem_batch_begin(mem);
	place(m, &m->low,
	      (struct hv_map_range){
		      .name = "ram", .kind = HV_MAP_RAM, .bytes = m->low_bytes, .ram = ram });
	place(m, &m->video,
	      (struct hv_map_range){ .name = "video",
				     .kind = HV_MAP_HOLE,
				     .prio = HV_PRIO_DEVICE - 1,
				     .gpa = 0xa0000,
				     .bytes = 0x20000 });
	if (m->high_bytes > 0)
		place(m, &m->high,
		      (struct hv_map_range){ .name = "ram-high",
					     .kind = HV_MAP_RAM,
					     .gpa = HV_GIB(4),
					     .bytes = m->high_bytes,
					     .ram = ram,
					     .ram_off = m->low_bytes });
	if (rom != NULL)
		place(m, &m->rom_top,
		      (struct hv_map_range){ .name = "rom",
					     .kind = HV_MAP_ROM,
					     .prio = HV_PRIO_CHIPSET,
					     .gpa = HV_GIB(4) - hv_ram_bytes(rom),
					     .bytes = hv_ram_bytes(rom),
					     .ram = rom });
	for (unsigned i = 0; i < MCH_PAM_SEGS; i++) {
		m->pam[i].map = m;
		m->pam[i].mode = MODE_UNSET;
	}
	memmap_pam(m, closed);
	hv_mem_batch_end(mem);
}
