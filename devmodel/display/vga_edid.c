/*
 * What the monitor says of itself: it is digital, and 1280x800 is its size.
 *
 * Specification: VESA E-EDID, release A revision 2 (EDID 1.4), section 3; VESA DMT for the timing.
 */
#include "base/util.h"
#include "devmodel/display/vga_int.h"

/* "LDG", five bits a letter. */
#define MAKER (('L' - '@') << 10 | ('D' - '@') << 5 | ('G' - '@'))
#define WIDTH 1280u
#define HEIGHT 800u
#define WIDTH_MM 338u /* at 96 dots an inch */
#define HEIGHT_MM 212u

/* A timing with reduced blanking. */
static void put_timing(uint8_t *p)
{
	enum { CLOCK_10KHZ = 7100, H_BLANK = 160, H_FRONT = 48, H_SYNC = 32 };
	enum { V_BLANK = 23, V_FRONT = 3, V_SYNC = 6, DIGITAL_SEPARATE_H_POSITIVE = 0x1a };

	p[0] = CLOCK_10KHZ & 0xff;
	p[1] = CLOCK_10KHZ >> 8;
	p[2] = WIDTH & 0xff;
	p[3] = H_BLANK & 0xff;
	p[4] = (WIDTH >> 8) << 4 | H_BLANK >> 8;
	p[5] = HEIGHT & 0xff;
	p[6] = V_BLANK;
	p[7] = (HEIGHT >> 8) << 4;
	p[8] = H_FRONT;
	p[9] = H_SYNC;
	p[10] = V_FRONT << 4 | V_SYNC;
	p[12] = WIDTH_MM & 0xff;
	p[13] = HEIGHT_MM & 0xff;
	p[14] = (WIDTH_MM >> 8) << 4 | HEIGHT_MM >> 8;
	p[17] = DIGITAL_SEPARATE_H_POSITIVE;
}

/* 48 to 125 Hz, 30 to 160 kHz, up to 600 MHz; no formula for more timings. */
static void put_limits(uint8_t *p)
{
	static const uint8_t limits[18] = { 0,	0, 0,  0xfd, 0,	  48,  125, 30,	 160,
					    60, 1, 10, ' ',  ' ', ' ', ' ', ' ', ' ' };

	memcpy(p, limits, sizeof(limits));
}

static void put_name(uint8_t *p)
{
	static const uint8_t name[18] = { 0,   0,   0,	 0xfc, 0,   'L', 'o', 'd', 'g',
					  'e', ' ', 's', 'c',  'r', 'e', 'e', 'n', '\n' };

	memcpy(p, name, sizeof(name));
}

void vga_edid(uint8_t e[VGA_EDID_BYTES])
{
	/* Widths of standard timings, and their shape and 60 Hz. */
	static const uint8_t standard[16] = { 0x61, 0x40, 0x81, 0x00, 0x81, 0x80, 0x81, 0xc0,
					      0xb3, 0x00, 0xa9, 0x40, 0xd1, 0xc0, 0x01, 0x01 };
	uint8_t sum = 0;

	memset(e, 0, VGA_EDID_BYTES);
	memset(e + 1, 0xff, 6);
	e[8] = MAKER >> 8;
	e[9] = MAKER & 0xff;
	e[10] = 1; /* product */
	e[16] = 1; /* week and year (2026) made */
	e[17] = 2026 - 1990;
	e[18] = 1; /* EDID 1.4 */
	e[19] = 4;
	e[20] = 0xa5;	       /* digital, 8 bits a colour, DisplayPort */
	e[21] = WIDTH_MM / 10; /* in cm */
	e[22] = HEIGHT_MM / 10;
	e[23] = 120;  /* gamma 2.2 */
	e[24] = 0x06; /* sRGB, and the first timing is the monitor's own */
	/* sRGB's primaries and white. */
	memcpy(e + 25,
	       (const uint8_t[]){ 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 }, 10);
	e[35] = 0x21; /* 640x480, 800x600 at 60 Hz */
	e[36] = 0x08; /* 1024x768 at 60 Hz */
	memcpy(e + 38, standard, sizeof(standard));
	put_timing(e + 54);
	put_limits(e + 72);
	put_name(e + 90);
	e[111] = 0x10; /* the last descriptor: a dummy */
	for (unsigned i = 0; i < VGA_EDID_BYTES - 1; i++)
		sum = (uint8_t)(sum + e[i]);
	e[127] = (uint8_t)-sum;
}
