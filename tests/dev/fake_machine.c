/* See fake_machine.h. */
#include "fake_machine.h"
#include <string.h>

static void set_intr(void *cpu, bool level)
{
	((struct fake_cpu *)cpu)->intr = level;
}

static void nmi(void *cpu)
{
	((struct fake_cpu *)cpu)->n_nmi++;
}

static void init(void *cpu)
{
	((struct fake_cpu *)cpu)->n_init++;
}

static void sipi(void *cpu, uint8_t vector)
{
	((struct fake_cpu *)cpu)->n_sipi++;
	((struct fake_cpu *)cpu)->sipi_vector = vector;
}

static uint64_t tsc_to_ns(void *cpu, uint64_t tsc)
{
	(void)cpu;
	return hv_muldiv64(tsc, HV_NS_PER_SEC, FAKE_TSC_HZ);
}

static const struct lapic_cpu_ops cpu_ops = { set_intr, nmi, init, sipi, tsc_to_ns };

static size_t dma_move(struct dev *d, uint8_t *to, const uint8_t *from, size_t len, bool *ret_tc)
{
	struct fake_machine *m = HV_CONTAINER_OF(d, struct fake_machine, dma.dev);
	struct fake_dma *dma = &m->dma;
	size_t n = 0;

	*ret_tc = false;
	for (; n < len && dma->limit > 0 && !*ret_tc; n++) {
		uint8_t *ram = &m->f.ram[dma->at++ % FAKE_RAM_BYTES];
		*(to != NULL ? to + n : ram) = from != NULL ? from[n] : *ram;
		*ret_tc = --dma->left == 0;
	}
	if (*ret_tc)
		dma->left = dma->limit;
	return n;
}

static size_t dma_read(struct dev *d, unsigned channel, void *buf, size_t len, bool *ret_tc)
{
	(void)channel;
	return dma_move(d, buf, NULL, len, ret_tc);
}

static size_t dma_write(struct dev *d, unsigned channel, const void *buf, size_t len, bool *ret_tc)
{
	(void)channel;
	return dma_move(d, NULL, buf, len, ret_tc);
}

static void dma_request(struct dev *d, unsigned channel, bool level)
{
	struct fake_dma *dma = &HV_CONTAINER_OF(d, struct fake_machine, dma.dev)->dma;

	(void)channel;
	dma->requests += level && !dma->request;
	dma->request = level;
}

/* ---- the display adapter's ---- */

static void window(void *ctx, uint64_t gpa, uint32_t bytes, uint32_t off)
{
	struct fake_vga *v = &((struct fake_machine *)ctx)->vga;

	assert(gpa % VGA_DIRTY_PAGE == 0 && off % VGA_DIRTY_PAGE == 0 &&
	       bytes % VGA_DIRTY_PAGE == 0 && off <= FAKE_VRAM_BYTES &&
	       bytes <= FAKE_VRAM_BYTES - off && gpa >= VGA_WINDOW_GPA &&
	       gpa - VGA_WINDOW_GPA <= VGA_WINDOW_BYTES - bytes);
	v->gpa = bytes > 0 ? gpa : 0;
	v->bytes = bytes;
	v->off = bytes > 0 ? off : 0;
}

void fake_vga_wrote(struct fake_machine *m, uint32_t off, uint32_t len)
{
	struct fake_vga *v = &m->vga;

	assert(len > 0 && off < FAKE_VRAM_BYTES && len <= FAKE_VRAM_BYTES - off);
	v->used = true;
	for (uint32_t page = off / VGA_DIRTY_PAGE; page <= (off + len - 1) / VGA_DIRTY_PAGE; page++)
		if (v->logging)
			v->dirty[page / 64] |= 1ull << page % 64;
}

static void written(void *ctx, uint32_t off, uint32_t len)
{
	fake_vga_wrote(ctx, off, len);
}

static void changed(void *ctx)
{
	((struct fake_machine *)ctx)->vga.changes++;
}

static int dirty_start(void *ctx)
{
	((struct fake_machine *)ctx)->vga.logging = true;
	return 0;
}

static void dirty_stop(void *ctx)
{
	((struct fake_machine *)ctx)->vga.logging = false;
}

static uint64_t dirty_take(void *ctx, uint32_t first_word, uint32_t words, uint64_t *ret_bits)
{
	struct fake_vga *v = &((struct fake_machine *)ctx)->vga;
	uint64_t n = 0;

	for (uint32_t i = 0; i < words; i++) {
		const uint32_t w = first_word + i;
		ret_bits[i] = w < FAKE_VRAM_WORDS ? v->dirty[w] : 0;
		n += (unsigned)__builtin_popcountll(ret_bits[i]);
		if (w < FAKE_VRAM_WORDS)
			v->dirty[w] = 0;
	}
	return n;
}

static void vga_init(struct fake_machine *m)
{
	struct fake_vga *v = &m->vga;

	if (v->used)
		memset(v->vram, 0, sizeof(v->vram));
	v->used = v->logging = false;
	v->gpa = v->bytes = v->off = 0;
	memset(v->dirty, 0, sizeof(v->dirty));
	v->ops = (struct vga_machine){ .vram = v->vram,
				       .vram_bytes = FAKE_VRAM_BYTES,
				       .rom = v->rom,
				       .window = window,
				       .written = written,
				       .changed = changed,
				       .dirty_start = dirty_start,
				       .dirty_stop = dirty_stop,
				       .dirty_take = dirty_take,
				       .ctx = m };
	fake_env_provide(&m->f, "vga", &v->ops);
}

/* ---- all ---- */

void fake_machine_init(struct fake_machine *m, uint64_t now_ns)
{
	fake_env_init(&m->f, now_ns);
	hv_domain_init(&m->irqchip, "irqchip");
	lapic_bus_init(&m->bus, &m->irqchip);
	memset(m->cpu, 0, sizeof(m->cpu));
	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		m->bus.cpu[i].ops = &cpu_ops;
		m->bus.cpu[i].cpu = &m->cpu[i];
	}
	fake_env_provide(&m->f, "lapic-bus", &m->bus);
	m->dma = (struct fake_dma){ .isa = { dma_read, dma_write, dma_request, &m->dma.dev },
				    .left = 1500,
				    .limit = 1500 };
	fake_env_provide(&m->f, "isa-dma", &m->dma.isa);
	vga_init(m);
}

void fake_machine_copy_world(struct fake_machine *to, const struct fake_machine *from)
{
	fake_env_copy_world(&to->f, &from->f);
	memcpy(to->cpu, from->cpu, sizeof(to->cpu));
	to->dma.at = from->dma.at;
	to->dma.left = from->dma.left;
	to->dma.limit = from->dma.limit;
	if (to->vga.used || from->vga.used)
		memcpy(to->vga.vram, from->vga.vram, sizeof(to->vga.vram));
	to->vga.used = from->vga.used;
}

/* Controllers that have drives attached. */
static const struct {
	const char *cls;
	const char *args[4];
} class_args[] = {
	{ "ahci", { "port0=disk 0", "port1=disk 1", "port2=cdrom 2", NULL } },
	{ "ide", { "drive0=disk 0", "drive2=disk 1", "drive3=cdrom 2", NULL } },
};

int fake_machine_create(struct fake_machine *m, const struct dev_class *c, const char *id,
			struct dev **ret_dev, struct err *e)
{
	const char *const *args = NULL;

	for (size_t i = 0; i < HV_ARRAY_LEN(class_args); i++)
		if (strcmp(class_args[i].cls, c->name) == 0)
			args = class_args[i].args;
	return dev_create(c, id, &m->f.env, NULL, args, ret_dev, e);
}

bool fake_machine_same(const struct fake_machine *a, const struct fake_machine *b)
{
	const struct fake_env *x = &a->f, *y = &b->f;

	for (unsigned i = 0; i < FAKE_CPUS; i++)
		if (a->cpu[i].intr != b->cpu[i].intr || a->cpu[i].n_nmi != b->cpu[i].n_nmi ||
		    a->cpu[i].n_init != b->cpu[i].n_init || a->cpu[i].n_sipi != b->cpu[i].n_sipi ||
		    a->cpu[i].sipi_vector != b->cpu[i].sipi_vector)
			return false;
	if (a->vga.gpa != b->vga.gpa || a->vga.bytes != b->vga.bytes || a->vga.off != b->vga.off ||
	    a->vga.used != b->vga.used ||
	    (a->vga.used && memcmp(a->vga.vram, b->vga.vram, sizeof(a->vga.vram)) != 0))
		return false;
	return memcmp(x->irq, y->irq, sizeof(x->irq)) == 0 && x->n_msi == y->n_msi &&
	       memcmp(x->msi, y->msi, sizeof(x->msi)) == 0 && x->n_req == y->n_req &&
	       memcmp(x->req, y->req, sizeof(x->req)) == 0 && x->chr.n_out == y->chr.n_out &&
	       memcmp(x->chr.out, y->chr.out, sizeof(x->chr.out)) == 0 &&
	       x->chr.n_in == y->chr.n_in && memcmp(x->ram, y->ram, sizeof(x->ram)) == 0 &&
	       a->dma.at == b->dma.at && a->dma.request == b->dma.request &&
	       memcmp(x->floppy.data, y->floppy.data, sizeof(x->floppy.data)) == 0 &&
	       memcmp(x->blk.data, y->blk.data, sizeof(x->blk.data)) == 0;
}
