/*
 * Every device of the registry, through everything that a guest, a wire, a back-end or a state file
 * can do to it. An input is the class and a list of operations:
 *
 *	input := u8 class, op...
 *	op    := u8 kind, arguments by kind                     (little endian; see run_op())
 *
 * Beyond the sanitizers it is checked that a device loads what it saved, and that quiesce and
 * resume succeed at any time.
 *
 * LODGE_FUZZ_CLASS in the environment names the one class that is fuzzed then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "devmodel/chipset/i8237.h"
#include "devmodel/chipset/i8259.h"
#include "devmodel/chipset/ioapic.h"
#include "devmodel/chipset/lapic.h"
#include "devmodel/chipset/pm.h"
#include "devmodel/storage/ctrl/ahci.h"
#include "devmodel/storage/ctrl/fdc/fdc.h"
#include "devmodel/storage/ctrl/ide.h"
#include "fake_machine.h"
#include "fuzz.h"

#define MAX_OPS 400u

/* Whose inputs are run; NULL: all. */
static const struct dev_class *only;

struct input {
	const uint8_t *p;
	size_t left;
};

struct run {
	struct input in;
	struct fake_machine *m;
	struct dev *d;
	struct state_out saved;
};

/* A fuzz target's own failures end it at once. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* The next n bytes as a number; zero past the end. */
static uint64_t take(struct input *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n && in->left > 0; i++, in->left--)
		v |= (uint64_t)*in->p++ << 8 * i;
	return v;
}

static void access(struct run *r, bool write)
{
	const unsigned how = (unsigned)take(&r->in, 1), size = 1u << (how >> 4 & 3);
	const uint64_t off = take(&r->in, how & 0x40 ? 8 : 2);

	if (write)
		dev_write(r->d, how & 15, off, size, take(&r->in, size));
	else
		(void)dev_read(r->d, how & 15, off, size);
}

static void pass_time(struct run *r)
{
	const unsigned shift = (unsigned)take(&r->in, 1) & 31;
	const uint64_t ns = take(&r->in, 2) << shift;

	if (r->m->f.now_ns < INT64_MAX / 4) /* the clock does not live longer */
		fake_env_advance(&r->m->f, r->d, ns);
}

static void move_wire(struct run *r)
{
	const unsigned v = (unsigned)take(&r->in, 1);

	if (r->d->cls->n_irq_in > 0)
		r->d->cls->irq_in(r->d, (v >> 1) % r->d->cls->n_irq_in, v & 1);
}

static void stop_and_save(struct run *r)
{
	const struct dev_class *c = r->d->cls;
	struct err e;

	for (int i = 0; i < 2; i++)
		must(c->quiesce == NULL || c->quiesce(r->d, &e) == 0);
	r->saved.len = 0;
	must(c->state == NULL || dev_save(r->d, &r->saved, &e) == 0);
	if (c->resume != NULL)
		c->resume(r->d);
}

/* As a forger would: length and checksum are right. */
static void reseal(uint8_t *p, size_t n)
{
	const uint32_t crc = state_crc32c(p, n - STATE_TAIL_BYTES);

	memcpy(p + n - STATE_TAIL_BYTES, &crc, sizeof(crc));
}

static void load(struct run *r)
{
	const struct dev_class *c = r->d->cls;
	const unsigned edits = (unsigned)take(&r->in, 1) & 7;
	struct err e;

	if (r->saved.len == 0)
		return;
	for (unsigned i = 0; i < edits; i++)
		r->saved.p[STATE_HEAD_BYTES +
			   take(&r->in, 2) % (r->saved.len - STATE_HEAD_BYTES)] ^=
			(uint8_t)take(&r->in, 1);
	if (edits > 0)
		reseal(r->saved.p, r->saved.len);
	must(c->quiesce == NULL || c->quiesce(r->d, &e) == 0);
	const int got = dev_load(r->d, &(struct state_in){ r->saved.p, r->saved.len }, &e);
	must(edits > 0 || got == 0);
	if (c->resume != NULL)
		c->resume(r->d);
	r->saved.len = 0; /* an edited one may be refused for good */
}

static void feed(struct run *r)
{
	const unsigned v = (unsigned)take(&r->in, 1);
	const uint64_t bytes = take(&r->in, v & 7);

	if (v & 0x80)
		fake_chr_make_room(&r->m->f, v & 0x40 ? SIZE_MAX : v & 0x3f);
	else if (r->m->f.chr.n_in < 1000)
		fake_chr_input(&r->m->f, &bytes, v & 7);
}

static void poke_ram(struct run *r)
{
	const uint64_t gpa = take(&r->in, 2) % (FAKE_RAM_BYTES - 8), n = take(&r->in, 1) & 15;
	const uint64_t v = take(&r->in, n < 8 ? (unsigned)n : 8);

	memcpy(r->m->f.ram + gpa, &v, n < 8 ? n : 8);
}

/* The CD drive that fake_machine.c attaches. */
static void change_medium(struct run *r, const struct media_ops *ops, unsigned unit, unsigned how)
{
	if (ops->locked(r->d, unit) && (how & 1))
		ops->asked(r->d, unit);
	else
		ops->change(r->d, unit, how & 2 ? &r->m->f.blk.blk : NULL);
}

/* What reaches the interrupt and DMA controllers by other ways than registers. */
static void special(struct run *r)
{
	const unsigned v = (unsigned)take(&r->in, 1);
	const struct dev_class *c = r->d->cls;
	uint8_t buf[64] = { 0 };
	uint64_t msr;
	bool tc;

	if (c == &dm_i8259) {
		(void)dm_pic_ack(r->d);
	} else if (c == &dm_ioapic) {
		dm_ioapic_eoi(r->d, (uint8_t)v);
	} else if (c == &dm_i8237) {
		(void)dm_dma_read(r->d, v & 7, buf, v & 63, &tc);
		(void)dm_dma_write(r->d, v & 7, buf, v & 63, &tc);
		dm_dma_set_request(r->d, v & 7, v & 8);
	} else if (c == &dm_fdc) {
		if (v & 1)
			dm_fdc_media.change(r->d, 0, v & 2 ? &r->m->f.floppy.blk : NULL);
		r->m->f.floppy.fail = v & 4 ? -EIO : 0;
		r->m->f.floppy.blk.read_only = v & 8;
		r->m->dma.limit = r->m->dma.left = (uint32_t)(v >> 4) * 300;
	} else if (c == &dm_pm) {
		dm_pm_gpe(r->d, v & 63);
		dm_pm_power_button(r->d);
	} else if (c == &dm_ahci.base || c == &dm_ide.base) {
		const bool ahci = c == &dm_ahci.base;
		change_medium(r, ahci ? &dm_ahci_media : &dm_ide_media, ahci ? 2 : 3, v);
	} else if (c == &dm_lapic) {
		switch (v & 7) {
		case 0:
			must(dm_lapic_ops.intr_ack(r->d) < 256);
			break;
		case 1:
			dm_lapic_ops.tpr_set(r->d, v >> 4);
			break;
		case 2:
			r->m->bus.msi.send(r->m->bus.msi.ctx, 0xfee00000 | take(&r->in, 2),
					   (uint32_t)take(&r->in, 2));
			break;
		case 3:
			dm_lapic_ops.init(r->d);
			break;
		case 4:
			(void)dm_lapic_ops.msr_write(r->d, 0x1b, take(&r->in, 8));
			break;
		case 5:
			(void)dm_lapic_ops.msr_write(r->d, 0x6e0, take(&r->in, 8));
			break;
		case 6:
			(void)dm_lapic_ops.msr_read(r->d, 0x800 + v / 8, &msr);
			break;
		default:
			(void)dm_lapic_ops.msr_write(r->d, 0x800 + (uint32_t)take(&r->in, 1),
						     take(&r->in, 8));
			break;
		}
	}
}

static void run_op(struct run *r)
{
	switch (take(&r->in, 1) & 15) {
	case 0 ... 4:
		access(r, true);
		break;
	case 5:
	case 6:
		access(r, false);
		break;
	case 7:
	case 8:
		pass_time(r);
		break;
	case 9:
		move_wire(r);
		break;
	case 10:
		stop_and_save(r);
		break;
	case 11:
		load(r);
		break;
	case 12:
		feed(r);
		break;
	case 13:
		poke_ram(r);
		break;
	case 14:
		special(r);
		break;
	default:
		if (take(&r->in, 1) & 1)
			r->d->cls->reset(r->d);
		else
			r->m->f.blk.fail = r->m->f.blk.fail != 0 ? 0 : -EIO;
		break;
	}
}

static unsigned n_classes(void)
{
	unsigned n = 0;

	while (dm_classes[n] != NULL)
		n++;
	return n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("LODGE_FUZZ_CLASS");

	(void)argc;
	(void)argv;
	if (name == NULL || *name == '\0')
		return 0;
	for (unsigned i = 0; i < n_classes() && only == NULL; i++)
		if (strcmp(dm_classes[i]->name, name) == 0)
			only = dm_classes[i];
	if (only == NULL) {
		fprintf(stderr, "LODGE_FUZZ_CLASS: there is no class of devices '%s'\n", name);
		exit(2);
	}
	return 0;
}

/* Inputs of other classes than the wanted one reach nothing, so that none of them is kept. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_machine m;
	struct run r = { .in = { data, size }, .m = &m };
	struct err e;

	const struct dev_class *c = dm_classes[take(&r.in, 1) % n_classes()];
	if (only != NULL && c != only)
		return 0;
	fake_machine_init(&m, 0);
	must(fake_machine_create(&m, c, c->name, &r.d, &e) == 0);
	for (unsigned i = 0; i < MAX_OPS && r.in.left > 0; i++)
		run_op(&r);
	stop_and_save(&r);
	dev_destroy(r.d);
	free(r.saved.p);
	return 0;
}
