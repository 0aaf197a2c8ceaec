/*
 * The VGA and Bochs display adapter. Regions of the class, all for the machine or the PCI layer to
 * place:
 *
 *	VGA_REGION_VRAM    BAR 0: all of video memory; the machine backs it with memory
 *	VGA_REGION_MMIO    BAR 2: registers, see vga_dispi.c
 *	VGA_REGION_ROM     the expansion ROM; the machine backs it with memory
 *	VGA_REGION_PORTS   ports 0x3b0 to 0x3df
 *	VGA_REGION_INDEX   port 0x1ce, VGA_REGION_DATA: port 0x1cf, VGA_REGION_DATA2: port 0x1d0
 *	VGA_REGION_WINDOW  memory at 0xa0000, 128 KiB; hidden in part by vga_machine.window
 *
 * No interrupt, no input.
 */
#ifndef DEVMODEL_DISPLAY_VGA_H
#define DEVMODEL_DISPLAY_VGA_H
#include "base/thread.h"
#include "devmodel/display/display.h"
#include "devmodel/pci/pci.h"

#define VGA_VRAM_BYTES 0x4000000u /* 64 MiB: what BAR 0 decodes */
#define VGA_VRAM_MIN 0x40000u	  /* what IBM's adapter has, in four planes */
#define VGA_ROM_BYTES 0x10000u
#define VGA_WINDOW_GPA 0xa0000u
#define VGA_WINDOW_BYTES 0x20000u
#define VGA_DIRTY_PAGE 4096u

enum {
	VGA_REGION_VRAM = PCI_REGION_DEV,
	VGA_REGION_MMIO,
	VGA_REGION_ROM,
	VGA_REGION_PORTS,
	VGA_REGION_INDEX,
	VGA_REGION_DATA,
	VGA_REGION_DATA2,
	VGA_REGION_WINDOW,
};

/* DEV_BACKEND_MACHINE "vga": video memory, and the adapter's way to the memory map. */
struct vga_machine {
	uint8_t *vram;		  /* borrowed; may change at any time under a reader */
	uint32_t vram_bytes;	  /* a power of two, VGA_VRAM_MIN to VGA_VRAM_BYTES */
	const uint8_t *rom;	  /* borrowed, VGA_ROM_BYTES; NULL: none */
	struct hv_domain *domain; /* the adapter's own, for draw(); NULL: it is alone */
	/* Domain held, a vCPU's or the loop's thread. Shows bytes of video memory from off on at
	 * gpa as memory, in place of what was shown before; bytes 0: nothing. Page-aligned. */
	void (*window)(void *ctx, uint64_t gpa, uint32_t bytes, uint32_t off);
	/* Domain held, any thread: bytes of video memory were written by the adapter. */
	void (*written)(void *ctx, uint32_t off, uint32_t len);
	/* The same: the guest has written something, which may be a register. */
	void (*changed)(void *ctx);
	/* Logs which pages of VGA_DIRTY_PAGE are written; off at first. start, stop: domain held.
	 * start: 0 or -errno. take: loop thread, no domain; copies and clears words of 64 pages
	 * each, returns how many pages were set. */
	int (*dirty_start)(void *ctx);
	void (*dirty_stop)(void *ctx);
	uint64_t (*dirty_take)(void *ctx, uint32_t first_word, uint32_t words, uint64_t *ret_bits);
	void *ctx;
};

extern const struct pci_class dm_vga;
extern const struct disp_adapter_ops dm_vga_display;
#endif
