/*
 * The display adapter's place in the machine: video memory and ROM as blocks, and what the adapter
 * shows of them in the memory map. The ROM is the file of the VGA BIOS, which the BIOS finds in
 * the adapter's expansion ROM and runs.
 */
#include <errno.h>
#include <sys/stat.h>
#include "devmodel/machine/machine_int.h"
#include "state/container.h"

#define VRAM "vram"
#define ROM "vga-rom"

/* ---- the blocks ---- */

static int load_rom(const struct machine_config *c, struct hv_ram *rom, struct err *e)
{
	struct stat st;

	if (c->vga_bios == NULL)
		return 0;
	if (fstat(c->vga_bios_fd, &st) < 0)
		return err_set(e, -errno, "cannot read '%.150s': %s", c->vga_bios, strerror(errno));
	if (st.st_size <= 0 || st.st_size > (off_t)VGA_ROM_BYTES)
		return err_set(e, -EINVAL, "%s has %lld bytes: a VGA BIOS has at most 64 KiB",
			       c->vga_bios, (long long)st.st_size);
	return boot_read_all(c->vga_bios_fd, c->vga_bios, hv_ram_host(rom), (uint64_t)st.st_size,
			     e);
}

static int make_blocks(struct machine *m, struct machine_vga *v, struct err *e)
{
	int r;

	if (m->config.display == MACHINE_DISPLAY_NONE)
		return 0;
	r = hv_ram_create(m->mem, VRAM, HV_RAM_ANON, VGA_VRAM_BYTES, -1, 0, &v->vram, e);
	if (r == 0)
		r = hv_ram_create(m->mem, ROM, HV_RAM_ANON, VGA_ROM_BYTES, -1, 0, &v->rom, e);
	return r == 0 ? load_rom(&m->config, v->rom, e) : r;
}

/* A machine that was saved without a display has none, whatever the configuration says. */
static int saved_blocks(struct machine *m, const struct state_file *f, struct machine_vga *v,
			struct err *e)
{
	const int fd = m->config.state_fd;
	int r;

	m->config.display = MACHINE_DISPLAY_NONE;
	if (state_file_ram(f, VRAM) == NULL)
		return 0;
	m->config.display = MACHINE_DISPLAY_VGA;
	r = saved_ram(f, fd, m->mem, VRAM, VGA_VRAM_BYTES, &v->vram, e);
	return r == 0 ? saved_ram(f, fd, m->mem, ROM, VGA_ROM_BYTES, &v->rom, e) : r;
}

/* ---- for the adapter ---- */

static void window(void *ctx, uint64_t gpa, uint32_t bytes, uint32_t off)
{
	struct machine *m = ctx;
	struct hv_map_range *r = &m->vga.window;

	hv_mem_batch_begin(m->mem);
	if (r->mapped)
		hv_mem_unmap(m->mem, r);
	if (bytes > 0) {
		*r = (struct hv_map_range){ .name = "vga-window",
					    .kind = HV_MAP_RAM,
					    .prio = HV_PRIO_DEVICE + 1,
					    .gpa = gpa,
					    .bytes = bytes,
					    .ram = m->vga.vram,
					    .ram_off = off };
		hv_mem_map(m->mem, r);
	}
	hv_mem_batch_end(m->mem);
}

static void written(void *ctx, uint32_t off, uint32_t len)
{
	hv_ram_written(((struct machine *)ctx)->vga.vram, off, len);
}

/* Any thread. Pairs with machine_draw(): what is written after its look is told. */
static void changed(void *ctx)
{
	struct machine_vga *v = &((struct machine *)ctx)->vga;

	if (atomic_load(&v->waits) && atomic_exchange(&v->waits, false))
		v->watch(v->watch_ctx);
}

void machine_watch_screen(struct machine *m, void (*fn)(void *ctx), void *ctx)
{
	struct machine_vga *v = &m->vga;

	if (v->vram == NULL || !hv_ram_dirty_watch(v->vram, changed, m))
		return;
	v->watch_ctx = ctx;
	v->watch = fn;
}

bool machine_draw(struct machine *m, struct disp_picture *p, bool all)
{
	if (m->display == NULL)
		return false;
	atomic_store(&m->vga.waits, m->vga.watch != NULL);
	m->display_ops->draw(m->display->dev, p, all);
	p->told = p->told && m->vga.watch != NULL;
	return true;
}

static int dirty_start(void *ctx)
{
	return hv_ram_dirty_start(((struct machine *)ctx)->vga.vram, NULL);
}

static void dirty_stop(void *ctx)
{
	hv_ram_dirty_stop(((struct machine *)ctx)->vga.vram);
}

static uint64_t dirty_take(void *ctx, uint32_t first_word, uint32_t words, uint64_t *ret_bits)
{
	return hv_ram_dirty_take(((struct machine *)ctx)->vga.vram, first_word, words, ret_bits);
}

int display_load(struct machine *m, const struct state_file *f, struct err *e)
{
	struct machine_vga *v = &m->vga;
	const int r = f != NULL ? saved_blocks(m, f, v, e) : make_blocks(m, v, e);

	if (r < 0 || v->vram == NULL)
		return r;
	v->ops = (struct vga_machine){ .vram = hv_ram_host(v->vram),
				       .vram_bytes = VGA_VRAM_BYTES,
				       .rom = hv_ram_host(v->rom),
				       .domain = &m->domain[DOM_DISPLAY],
				       .window = window,
				       .written = written,
				       .changed = changed,
				       .dirty_start = dirty_start,
				       .dirty_stop = dirty_stop,
				       .dirty_take = dirty_take,
				       .ctx = m };
	return 0;
}
