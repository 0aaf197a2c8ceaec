/*
 * Drawing under whatever registers and memory a guest, or a forged state, can come up with. An
 * input is a list of operations, see run_op(), little endian.
 *
 * Beyond the sanitizers it is checked that a picture's size and rects are possible, and that what
 * was drawn step by step is what one whole draw makes of it.
 */
#include <stdlib.h>
#include <string.h>
#include "devmodel/display/vga.h"
#include "fake_machine.h"
#include "fuzz.h"

#define MAX_OPS 300u
#define MAX_PIXELS 2000000u /* drawn by one input */

struct run {
	const uint8_t *p;
	size_t left;
	struct fake_machine *m;
	struct dev *d;
	struct disp_picture picture;
	uint32_t *copy;
	uint64_t drawn;
};

/* A fuzz target's own failures end it at once. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

/* The next n bytes as a number; zero past the end. */
static uint32_t take(struct run *r, unsigned n)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < n && r->left > 0; i++, r->left--)
		v |= (uint32_t)*r->p++ << 8 * i;
	return v;
}

static void port(struct run *r, unsigned port, unsigned v)
{
	dev_write(r->d, VGA_REGION_PORTS, port - 0x3b0, 1, v);
}

static void indexed(struct run *r)
{
	static const uint16_t ports[4] = { 0x3c4, 0x3ce, 0x3d4, 0x3c0 };
	const unsigned which = take(r, 1) & 3, index = take(r, 1), v = take(r, 1);

	(void)dev_read(r->d, VGA_REGION_PORTS, 0x3da - 0x3b0, 1);
	port(r, ports[which], index);
	port(r, which == 3 ? 0x3c0 : ports[which] + 1u, v);
}

static void dispi(struct run *r)
{
	const unsigned how = take(r, 1), v = take(r, 2);

	/* Large pictures take their time: not all of them are. */
	dev_write(r->d, VGA_REGION_INDEX, 0, 2, how & 15);
	dev_write(r->d, VGA_REGION_DATA, 0, 2, how & 0x80 ? v : v & 0x1ff);
}

static void window(struct run *r)
{
	const uint32_t off = take(r, 3) % VGA_WINDOW_BYTES, how = take(r, 1);
	const unsigned size = 1u << (how & 3);

	if (how & 4)
		(void)dev_read(r->d, VGA_REGION_WINDOW, off & ~(size - 1), size);
	else
		dev_write(r->d, VGA_REGION_WINDOW, off & ~(size - 1), size,
			  (uint64_t)take(r, 4) * 0x100000001ull);
}

/* As the guest writes what it sees as memory. */
static void memory(struct run *r)
{
	const uint32_t off = take(r, 3) % FAKE_VRAM_BYTES;

	r->m->vga.ops.vram[off] = (uint8_t)take(r, 1);
	fake_vga_wrote(r->m, off, 1);
}

static void check(const struct disp_picture *p)
{
	must(p->width >= 1 && p->width <= DISP_MAX_WIDTH && p->height >= 1 &&
	     p->height <= DISP_MAX_HEIGHT && p->n_rects <= DISP_MAX_RECTS && p->aspect_x >= 1 &&
	     p->aspect_y >= 1);
	for (unsigned i = 0; i < p->n_rects; i++) {
		const struct disp_rect *c = &p->rect[i];
		must(c->width >= 1 && c->height >= 1 && c->x < p->width && c->y < p->height &&
		     c->width <= p->width - c->x && c->height <= p->height - c->y);
	}
}

static void draw(struct run *r, unsigned how)
{
	struct disp_picture *p = &r->picture;

	if (r->drawn > MAX_PIXELS)
		return;
	dm_vga_display.draw(r->d, p, how & 1);
	check(p);
	r->drawn += (uint64_t)p->width * p->height;
	if (!(how & 2))
		return;
	const size_t bytes = (size_t)p->width * p->height * sizeof(*p->pixels);
	const struct disp_picture was = *p;
	memcpy(r->copy, p->pixels, bytes);
	dm_vga_display.draw(r->d, p, true);
	check(p);
	must(p->n_rects == 1 && p->width == was.width && p->height == was.height &&
	     p->blank == was.blank && memcmp(r->copy, p->pixels, bytes) == 0);
}

/* A state whose bytes were changed where its length and checksum are made right again. */
static void forge(struct run *r)
{
	auto_state_out struct state_out s = { 0 };
	struct err e;
	uint32_t crc;

	must(dev_save(r->d, &s, &e) == 0);
	for (unsigned n = take(r, 1) & 15; n > 0; n--) {
		const size_t at = take(r, 2) % (s.len - STATE_HEAD_BYTES - STATE_TAIL_BYTES);
		s.p[STATE_HEAD_BYTES + at] = (uint8_t)take(r, 1);
	}
	crc = state_crc32c(s.p, s.len - STATE_TAIL_BYTES);
	memcpy(s.p + s.len - STATE_TAIL_BYTES, &crc, sizeof(crc));
	if (dev_load(r->d, &(struct state_in){ s.p, s.len }, &e) == 0)
		r->d->cls->resume(r->d);
}

static void run_op(struct run *r)
{
	static struct disp_text text;

	switch (take(r, 1) & 15) {
	case 0:
		port(r, 0x3b0 + take(r, 1) % 48, take(r, 1));
		break;
	case 1 ... 5:
		indexed(r);
		break;
	case 6:
	case 7:
		dispi(r);
		break;
	case 8:
	case 9:
		window(r);
		break;
	case 10:
		memory(r);
		break;
	case 11:
		fake_env_advance(&r->m->f, r->d, (uint64_t)take(r, 3) << 8);
		break;
	case 12:
		if (dm_vga_display.text(r->d, &text))
			must(text.columns <= DISP_MAX_COLUMNS && text.lines <= DISP_MAX_LINES &&
			     (!text.cursor || (text.cursor_column < text.columns &&
					       text.cursor_line < text.lines)));
		break;
	case 13:
		forge(r);
		break;
	default:
		draw(r, take(r, 1));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_machine m;
	static uint32_t *pixels, *copy;
	struct run r = { .p = data, .left = size, .m = &m };
	uint8_t *vram = calloc(FAKE_VRAM_BYTES, 1); /* what is beyond it is nobody's */
	struct err e;

	if (pixels == NULL) {
		pixels = malloc(DISP_MAX_WIDTH * DISP_MAX_HEIGHT * sizeof(*pixels));
		copy = malloc(DISP_MAX_WIDTH * DISP_MAX_HEIGHT * sizeof(*copy));
	}
	must(vram != NULL && pixels != NULL && copy != NULL);
	fake_machine_init(&m, 0);
	m.vga.ops.vram = vram;
	r.picture.pixels = pixels;
	r.copy = copy;
	must(fake_machine_create(&m, &dm_vga.base, "vga", &r.d, &e) == 0);
	for (unsigned i = 0; i < MAX_OPS && r.left > 0; i++)
		run_op(&r);
	draw(&r, 2);
	dev_destroy(r.d);
	free(vram);
	return 0;
}
