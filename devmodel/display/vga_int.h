/* What the files of the VGA adapter share: its registers, and the view that is drawn from. */
#ifndef DEVMODEL_DISPLAY_VGA_INT_H
#define DEVMODEL_DISPLAY_VGA_INT_H
#include "devmodel/display/vga.h"

/* Register counts and those registers that more than one file speaks of. */
enum { VGA_N_SEQ = 5, VGA_N_CRTC = 25, VGA_N_GFX = 9, VGA_N_ATTR = 21 };
enum { SEQ_CLOCK = 1, SEQ_MAP_MASK, SEQ_FONTS, SEQ_MEMORY };
enum { SEQ_CLOCK_8DOT = 1, SEQ_CLOCK_HALF = 8, SEQ_CLOCK_OFF = 0x20 };
enum { SEQ_MEMORY_SEQUENTIAL = 4, SEQ_MEMORY_CHAIN4 = 8 };
enum { GFX_SET_RESET, GFX_ENABLE_SR, GFX_COMPARE, GFX_ROTATE, GFX_READ_MAP, GFX_MODE };
enum { GFX_MISC = 6, GFX_CARE, GFX_BIT_MASK };
enum { GFX_MODE_READ1 = 8, GFX_MODE_ODD_EVEN = 0x10, GFX_MODE_CGA = 0x20, GFX_MODE_256 = 0x40 };
enum { GFX_MISC_GRAPHICS = 1, GFX_MISC_ODD_EVEN = 2 };
enum {
	CRTC_HTOTAL = 0x00,
	CRTC_HDISP = 0x01,
	CRTC_VTOTAL = 0x06,
	CRTC_OVERFLOW = 0x07,
	CRTC_PRESET_ROW = 0x08,
	CRTC_MAX_SCAN = 0x09,
	CRTC_CURSOR_START = 0x0a,
	CRTC_CURSOR_END = 0x0b,
	CRTC_START_HIGH = 0x0c,
	CRTC_START_LOW = 0x0d,
	CRTC_CURSOR_HIGH = 0x0e,
	CRTC_CURSOR_LOW = 0x0f,
	CRTC_VSYNC_START = 0x10,
	CRTC_VSYNC_END = 0x11,
	CRTC_VDISP = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_UNDERLINE = 0x14,
	CRTC_MODE = 0x17,
	CRTC_LINE_COMPARE = 0x18,
};
enum { CRTC_MODE_ROW0 = 1, CRTC_MODE_ROW1 = 2, CRTC_MODE_SLDIV = 4, CRTC_MODE_COUNT2 = 8 };
enum { CRTC_MODE_WRAP = 0x20, CRTC_MODE_BYTE = 0x40, CRTC_MODE_SYNC = 0x80 };
enum { CRTC_UNDERLINE_COUNT4 = 0x20, CRTC_UNDERLINE_DWORD = 0x40 };
enum { ATTR_MODE = 0x10, ATTR_OVERSCAN, ATTR_PLANES, ATTR_PANNING, ATTR_COLOUR_SELECT };
enum { ATTR_MODE_LINE_GRAPHICS = 4, ATTR_MODE_BLINK = 8, ATTR_MODE_PAN_TOP = 0x20 };
enum { ATTR_MODE_8BIT = 0x40, ATTR_MODE_P54 = 0x80 };
enum { ATTR_INDEX_ON = 0x20 };
enum { MISC_COLOUR = 1, MISC_RAM = 2 };

/* The Bochs display interface's registers, by index. */
enum {
	DISPI_ID,
	DISPI_XRES,
	DISPI_YRES,
	DISPI_BPP,
	DISPI_ENABLE,
	DISPI_BANK,
	DISPI_VIRT_WIDTH,
	DISPI_VIRT_HEIGHT,
	DISPI_X_OFFSET,
	DISPI_Y_OFFSET,
	DISPI_MEMORY_64K,
	DISPI_N
};
enum { DISPI_ON = 1, DISPI_CAPS = 2, DISPI_DAC8 = 0x20, DISPI_LFB = 0x40, DISPI_KEEP = 0x80 };
enum { DISPI_ID_FIRST = 0xb0c0, DISPI_ID_LAST = 0xb0c5 };
#define VGA_LITTLE_ENDIAN 0x1e1e1e1eu
#define VGA_BIG_ENDIAN 0xbebebebeu

STATE_LAYOUT_BEGIN
struct vga_regs {
	uint8_t dac[768]; /* as written: six or eight bits */
	uint8_t seq[VGA_N_SEQ], crtc[VGA_N_CRTC], gfx[VGA_N_GFX], attr[VGA_N_ATTR];
	uint8_t seq_index, crtc_index, gfx_index, attr_index;
	uint8_t attr_data; /* 1: the next write to 0x3c0 is data */
	uint8_t misc, feature, enable, pel_mask;
	uint8_t dac_read, dac_write, dac_part; /* the colours at hand, and which third of it */
	uint8_t dac_reading;
	uint8_t dac_hold[2]; /* written thirds of a colour, until it is whole */
	uint8_t pad_[1];
	uint32_t latch;		 /* a byte a plane */
	uint16_t dispi[DISPI_N]; /* what is not computed */
	uint16_t dispi_index;
	uint32_t endian;
};
struct vga_state {
	struct pci_state pci;
	struct vga_regs r;
};
STATE_LAYOUT_END

/* How pixels lie in memory. */
enum vga_kind {
	VGA_TEXT,
	VGA_PLANES,  /* a bit of each plane */
	VGA_CGA,     /* two bits, planes 0 and 1 in turn; the upper two bits from 2 and 3 */
	VGA_NIBBLES, /* four bits, planes in turn */
	VGA_BYTES,   /* a byte, planes in turn */
	VGA_LINEAR8, /* of the Bochs interface: rows of pixels */
	VGA_LINEAR15,
	VGA_LINEAR16,
	VGA_LINEAR24,
	VGA_LINEAR32,
};

/*
 * What is on the screen, computed from the registers: all that drawing needs besides video memory.
 * Zeroed before it is filled, so that views compare by memcmp().
 */
struct vga_view {
	uint32_t palette[256]; /* XRGB8888 of a pixel's or attribute's value */
	enum vga_kind kind;
	uint32_t width, height; /* of the picture */
	uint32_t aspect_x, aspect_y;
	bool blank;
	uint8_t pan;	/* pixels to the left */
	bool pan_below; /* below the split, too */
	bool swap;	/* 16 and 32 bits: big-endian */
	/* Linear: byte addresses. */
	uint32_t start, stride;
	/* Else: in the CRTC's units. */
	uint32_t offset;     /* from row to row */
	uint32_t chars;	     /* characters (of 8 dots) a line */
	uint32_t split;	     /* the first line that shows memory from 0 on */
	uint32_t repeat;     /* scan lines to a line of the picture */
	uint32_t scan_shift; /* double scan: row scans count every second line */
	uint32_t rows;	     /* scans a row of characters */
	uint32_t preset;     /* the first row's first scan */
	uint32_t plane_mask; /* memory addresses: 64 Ki - 1, or more in 4 bits a pixel of VBE */
	uint8_t count_shift; /* the counter moves every 1, 2, 4 characters */
	uint8_t address;     /* CRTC_MODE's bits for addresses; CRTC_UNDERLINE_DWORD goes with it */
	bool dword;
	/* Text. */
	uint8_t dots;	   /* 8 or 9 */
	uint8_t underline; /* the scan */
	bool blinks, line_graphics;
	uint32_t font[2];		   /* plane addresses; [1]: of attribute bit 3 */
	uint32_t cursor;		   /* address in the CRTC's units */
	uint8_t cursor_first, cursor_last; /* scans; first > last: none */
	uint64_t frame_ns;
};

struct vga {
	struct pci_dev pci;
	struct vga_state s;
	const struct vga_machine *m;		     /* borrowed */
	uint32_t shown_base, shown_bytes, shown_off; /* what m->window() was told */
	bool logging;				     /* the dirty log is on, since somebody draws */
	bool drawn;				     /* since the timer looked last */
	/* loop thread: what the viewer's picture holds */
	bool known;
	bool text_blinks; /* something in it does */
	bool cursor_on, blink_on;
	struct vga_view view;
	uint64_t fonts;			 /* sums of what text was drawn from */
	uint64_t cells[DISP_MAX_HEIGHT]; /* of each line's row of characters */
};

struct vga *vga_from_dev(struct dev *d);

/* A plane's address as an index of 32-bit words of video memory, each a byte of each plane. All of
 * the 64 Ki addresses are permuted, so that what chain 4 shows at addresses of the CPU is linear:
 * there the low address bits are the high ones once more, as the CRTC's doubleword mode has it. */
static inline uint32_t vga_word(uint32_t addr)
{
	return (addr & ~0xffffu) | (addr >> 2 & 0x3fff) | ((addr ^ addr >> 14) & 3) << 14;
}

/* ---- vga_mem.c: the CPU's view of video memory; domain held ---- */

uint64_t vga_window_read(struct vga *v, uint32_t off, unsigned size);
void vga_window_write(struct vga *v, uint32_t off, unsigned size, uint64_t value);
/* Registers that decide it have changed: what is memory there is shown as memory. */
void vga_window_follow(struct vga *v);

/* ---- vga_dispi.c: the Bochs interface; domain held ---- */

uint16_t vga_dispi_read(const struct vga *v, unsigned index);
void vga_dispi_write(struct vga *v, unsigned index, uint16_t value);
uint64_t vga_mmio_read(struct vga *v, uint32_t off, unsigned size);
void vga_mmio_write(struct vga *v, uint32_t off, unsigned size, uint64_t value);
static inline bool vga_dispi_on(const struct vga_regs *r)
{
	return r->dispi[DISPI_ENABLE] & DISPI_ON;
}
/* The picture that it shows: bytes from row to row (in 4 bits a pixel: of a plane), the first byte
 * (there: of a plane), and (there) how many pixels of it are to the left. */
void vga_dispi_layout(const struct vga_regs *r, uint32_t vram_bytes, uint32_t *ret_stride,
		      uint32_t *ret_start, uint8_t *ret_pan);

/* For post_load: what a guest can have written. */
bool vga_dispi_possible(const struct vga_regs *r);

/* ---- vga_ports.c: ports 0x3b0 to 0x3df; domain held ---- */

uint8_t vga_port_read(struct vga *v, unsigned port);
void vga_port_write(struct vga *v, unsigned port, uint8_t value);
bool vga_ports_possible(const struct vga_regs *r);

/* ---- vga_edid.c ---- */

#define VGA_EDID_BYTES 128u
void vga_edid(uint8_t ret_edid[VGA_EDID_BYTES]);

/* ---- vga_view.c ---- */

void vga_view_make(const struct vga_regs *r, uint32_t vram_bytes, struct vga_view *ret_view);
/* How long a frame takes, and the lines in it; of any registers. */
uint64_t vga_frame_ns(const struct vga_regs *r, uint32_t *ret_lines, uint32_t *ret_visible);

/* Where a line of the picture is in memory; not for linear kinds. */
struct vga_row {
	uint32_t start; /* the first character's address, in the CRTC's units */
	uint32_t scan;	/* within the row of characters */
	uint8_t pan;
};
void vga_view_row(const struct vga_view *v, uint32_t y, struct vga_row *ret_row);

/* A character's address in its plane; i counts from the left. */
static inline uint32_t vga_view_addr(const struct vga_view *v, const struct vga_row *row,
				     uint32_t i)
{
	const uint32_t ma = row->start + (i >> v->count_shift);
	uint32_t a = ma;

	if (v->dword)
		a = ma << 2 | (ma >> 12 & 3);
	else if (!(v->address & CRTC_MODE_BYTE))
		a = ma << 1 | (v->address & CRTC_MODE_WRAP ? ma >> 15 & 1 : ma >> 13 & 1);
	if (!(v->address & CRTC_MODE_ROW0))
		a = (a & ~0x2000u) | (row->scan & 1) << 13;
	if (!(v->address & CRTC_MODE_ROW1))
		a = (a & ~0x4000u) | (row->scan & 2) << 13;
	return a & v->plane_mask;
}

/* ---- vga_draw.c ---- */

/* The timer's: nobody has drawn for a while, or somebody has. Domain held. */
void vga_draw_idle(struct vga *v);

/* ---- lines: pure; any view that vga_view_make() made, any y below its height ---- */

/* Video memory as drawing sees it: the guest may write it meanwhile. */
struct vga_memory {
	const uint8_t *p;
	uint32_t bytes; /* a power of two */
};
static inline uint32_t vga_planes(const struct vga_memory *m, uint32_t addr)
{
	uint32_t v;

	__builtin_memcpy(&v, m->p + ((uint64_t)vga_word(addr) * 4 & (m->bytes - 1)), 4);
	return v;
}
/* vga_text.c. Returns whether something in the line blinks. */
bool vga_text_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y, bool cursor_on,
		   bool blink_on, uint32_t *restrict to);
/* vga_graphics.c: all other kinds. */
void vga_graphics_line(const struct vga_view *v, const struct vga_memory *m, uint32_t y,
		       uint32_t *restrict to);
/* The line where it lies, if there is nothing to do to it; else NULL. It may change at any time. */
const uint32_t *vga_line_as_is(const struct vga_view *v, const struct vga_memory *m, uint32_t y);
/* Bytes of a line of a linear kind. */
uint32_t vga_linear_bytes(const struct vga_view *v);
/* Room for a line: they are drawn wider, to be shifted. */
#define VGA_LINE_PIXELS (DISP_MAX_WIDTH + 32)
#endif
