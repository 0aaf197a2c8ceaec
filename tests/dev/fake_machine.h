/*
 * What the machine provides to devices (DEV_BACKEND_MACHINE), for tests of one device: everything
 * that a class of the registry asks for in its realize is here, so that the generic laws and the
 * fuzzer can create every class.
 */
#ifndef TESTS_DEV_FAKE_MACHINE_H
#define TESTS_DEV_FAKE_MACHINE_H
#include "devmodel/chipset/isa_dma.h"
#include "devmodel/chipset/lapic.h"
#include "devmodel/display/vga.h"
#include "fake_env.h"

#define FAKE_CPUS 4
#define FAKE_TSC_HZ 2000000000u

/* What its local APIC told it. */
struct fake_cpu {
	bool intr;
	unsigned n_nmi, n_init, n_sipi;
	uint8_t sipi_vector;
};

/* A DMA channel that moves what is wanted, from and to the fake RAM; it counts limit bytes down and
 * starts again. */
struct fake_dma {
	struct isa_dma isa;
	struct dev dev;
	uint32_t at, left, limit; /* limit 0: masked */
	bool request;
	unsigned requests;
};

#define FAKE_VRAM_BYTES (2 * VGA_VRAM_MIN)
#define FAKE_VRAM_WORDS (FAKE_VRAM_BYTES / VGA_DIRTY_PAGE / 64)

/* Video memory with a dirty log, and what the adapter shows of it. */
struct fake_vga {
	struct vga_machine ops;
	uint64_t gpa;
	uint32_t bytes, off;
	bool logging;
	uint64_t dirty[FAKE_VRAM_WORDS];
	unsigned changes; /* calls of changed() */
	bool used;	  /* something was written */
	_Alignas(8) uint8_t vram[FAKE_VRAM_BYTES];
	uint8_t rom[VGA_ROM_BYTES];
};

struct fake_machine {
	struct fake_env f;
	struct hv_domain irqchip;
	struct lapic_bus bus;
	struct fake_cpu cpu[FAKE_CPUS];
	struct fake_dma dma;
	struct fake_vga vga;
};

/* Zeroed storage, or used before. The domain needs no finish: it holds no resource. */
void fake_machine_init(struct fake_machine *m, uint64_t now_ns);
void fake_machine_copy_world(struct fake_machine *to, const struct fake_machine *from);
/* Written by the guest through memory, as it can where the adapter shows it. */
void fake_vga_wrote(struct fake_machine *m, uint32_t off, uint32_t len);
/* dev_create() in m's environment, with the arguments that the class cannot do without. */
HV_MUST_CHECK int fake_machine_create(struct fake_machine *m, const struct dev_class *c,
				      const char *id, struct dev **ret_dev, struct err *e);
/* What can be seen of the two devices from outside is the same. */
bool fake_machine_same(const struct fake_machine *a, const struct fake_machine *b);
#endif
