/*
 * PS/2 keyboard with 101 keys and more: scan code sets 1 and 2, typematic repeat, LEDs.
 *
 * Specification: IBM PS/2 hardware interface technical reference, "Keyboard and auxiliary device
 * controller" and "Keyboards"; the codes of later keys as in Microsoft's scan code specification.
 *
 * A key is an evdev code. Most of these are the codes of set 1, which is what the table is in; set
 * 2 is what the controller's translation makes set 1 of, read backwards.
 *
 * Not modelled: set 3 (refused); what Print Screen and Pause send together with Ctrl, Alt or Shift;
 * the BAT code at power-on.
 */
#include <errno.h>
#include <string.h>
#include "devmodel/input/ps2.h"

enum {
	CMD_LEDS = 0xed,
	CMD_ECHO = 0xee,
	CMD_SET = 0xf0,
	CMD_ID = 0xf2,
	CMD_TYPEMATIC = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5,
	CMD_DEFAULTS = 0xf6,
	CMD_ALL_FIRST = 0xf7, /* kinds of all keys, for set 3: taken, without effect */
	CMD_ALL_LAST = 0xfa,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff
};
enum { TYPEMATIC_DEFAULT = 0x2b }; /* 10.9 a second after 500 ms */
enum { KEY_SYSRQ = 99, KEY_PAUSE = 119 };
/* Makes stop here, so that the breaks of all keys that are down find room: none may stick. */
enum { MAKE_LIMIT = 128, DOWN_MAX = 20 };

#define E0 0x100 /* an extended key's mark in the table */

/* Set 1 by evdev code, from 84 on; below that they are the same. 0: no such key. */
static const uint16_t set_1[256] = {
	[86] = 0x56,	   [87] = 0x57,	      [88] = 0x58,	 [89] = 0x73,
	[92] = 0x79,	   [93] = 0x70,	      [94] = 0x7b,	 [96] = E0 | 0x1c,
	[97] = E0 | 0x1d,  [98] = E0 | 0x35,  [100] = E0 | 0x38, [102] = E0 | 0x47,
	[103] = E0 | 0x48, [104] = E0 | 0x49, [105] = E0 | 0x4b, [106] = E0 | 0x4d,
	[107] = E0 | 0x4f, [108] = E0 | 0x50, [109] = E0 | 0x51, [110] = E0 | 0x52,
	[111] = E0 | 0x53, [113] = E0 | 0x20, [114] = E0 | 0x2e, [115] = E0 | 0x30,
	[116] = E0 | 0x5e, [117] = 0x59,      [121] = 0x7e,	 [124] = 0x7d,
	[125] = E0 | 0x5b, [126] = E0 | 0x5c, [127] = E0 | 0x5d, [140] = E0 | 0x21,
	[142] = E0 | 0x5f, [143] = E0 | 0x63, [155] = E0 | 0x6c, [163] = E0 | 0x19,
	[164] = E0 | 0x22, [165] = E0 | 0x10, [166] = E0 | 0x24, [172] = E0 | 0x32,
	[217] = E0 | 0x65,
};

/* The controller's translation of set 2; above 0x7f only two codes change. */
static const uint8_t translation[128] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29,
	0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11,
	0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14,
	0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24,
	0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35,
	0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36,
	0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c,
	0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45,
	0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};
enum { SET_2_F7 = 0x83, SET_1_F7 = 0x41, SET_2_SYSRQ = 0x84, SET_1_SYSRQ = 0x54 };

uint8_t ps2_translate(uint8_t byte)
{
	if (byte == SET_2_F7)
		return SET_1_F7;
	if (byte == SET_2_SYSRQ)
		return SET_1_SYSRQ;
	return byte < 128 ? translation[byte] : byte;
}

static uint8_t set_2_of(uint8_t code)
{
	if (code == SET_1_F7)
		return SET_2_F7;
	for (unsigned i = 0; i < 128; i++)
		if (translation[i] == code)
			return (uint8_t)i;
	return 0;
}

static uint16_t code_of(unsigned key)
{
	if (key == 0 || key > 255)
		return 0;
	return key <= 83 ? (uint16_t)key : set_1[key];
}

/* ---- what is sent ---- */

static void put_code(struct ps2_keyboard *k, uint16_t code, bool down)
{
	const uint8_t base = (uint8_t)code;

	if (code & E0)
		ps2_put(&k->q, 0xe0);
	if (k->set == 1) {
		ps2_put(&k->q, (uint8_t)(base | (down ? 0 : 0x80)));
		return;
	}
	if (!down)
		ps2_put(&k->q, 0xf0);
	ps2_put(&k->q, set_2_of(base));
}

/* As if Shift were held with it, so that programs of the first PCs took it for their own. */
static void put_print_screen(struct ps2_keyboard *k, bool down)
{
	put_code(k, E0 | (down ? 0x2a : 0x37), down);
	put_code(k, E0 | (down ? 0x37 : 0x2a), down);
}

/* Make and break at once. */
static void put_pause(struct ps2_keyboard *k)
{
	for (int down = 1; down >= 0; down--) {
		ps2_put(&k->q, 0xe1);
		put_code(k, 0x1d, down);
		put_code(k, 0x45, down);
	}
}

static void put_key(struct ps2_keyboard *k, unsigned key, bool down)
{
	if (key == KEY_SYSRQ)
		put_print_screen(k, down);
	else if (key != KEY_PAUSE)
		put_code(k, code_of(key), down);
	else if (down)
		put_pause(k);
}

/* ---- typematic ---- */

static uint64_t delay_ns(const struct ps2_keyboard *k)
{
	return ((uint64_t)(k->typematic >> 5 & 3) + 1) * 250000000;
}

static uint64_t period_ns(const struct ps2_keyboard *k)
{
	return ((8ull + (k->typematic & 7)) << (k->typematic >> 3 & 3)) * 4170000;
}

void ps2_keyboard_tick(struct ps2_keyboard *k, uint64_t now_ns)
{
	if (now_ns < k->repeat_ns)
		return;
	if (k->q.len == 0) /* else the guest is slower than the keyboard */
		put_key(k, k->repeat_key, true);
	k->repeat_ns = now_ns + period_ns(k);
}

/* ---- the user ---- */

static bool press(struct ps2_keyboard *k, unsigned key, uint64_t now_ns)
{
	if (k->q.len > MAKE_LIMIT || k->n_down >= DOWN_MAX)
		return false;
	k->down[key / 8] |= (uint8_t)(1 << key % 8);
	k->n_down++;
	put_key(k, key, true);
	k->repeat_key = (uint16_t)key;
	k->repeat_ns = key == KEY_PAUSE ? PS2_NEVER : now_ns + delay_ns(k);
	return true;
}

static void release(struct ps2_keyboard *k, unsigned key)
{
	k->down[key / 8] &= (uint8_t) ~(1 << key % 8);
	k->n_down--;
	if (k->scanning)
		put_key(k, key, false);
	if (k->repeat_key == key)
		k->repeat_ns = PS2_NEVER;
}

bool ps2_keyboard_key(struct ps2_keyboard *k, unsigned key, bool down, uint64_t now_ns)
{
	if (code_of(key) == 0 && key != KEY_SYSRQ && key != KEY_PAUSE)
		return true;
	const bool is_down = k->down[key / 8] >> key % 8 & 1;
	if (down && !is_down && k->scanning)
		return press(k, key, now_ns);
	if (!down && is_down)
		release(k, key);
	return true;
}

/* ---- the guest ---- */

static void defaults(struct ps2_keyboard *k)
{
	k->typematic = TYPEMATIC_DEFAULT;
	k->set = 2;
	k->repeat_ns = PS2_NEVER;
}

void ps2_keyboard_init(struct ps2_keyboard *k)
{
	memset(k, 0, sizeof(*k));
	defaults(k);
	k->scanning = true;
}

static void take_argument(struct ps2_keyboard *k, uint8_t byte)
{
	const uint8_t command = k->argument_of;

	k->argument_of = 0;
	ps2_answer(&k->q, PS2_ACK);
	if (command == CMD_LEDS)
		k->leds = byte & 7;
	else if (command == CMD_TYPEMATIC)
		k->typematic = byte & 0x7f;
	else if (byte == 0)
		ps2_reply(&k->q, k->set);
	else if (byte <= 2)
		k->set = byte;
	else
		ps2_answer(&k->q, PS2_RESEND);
}

/* What was typed until now is void (specification, "Default Disable" and others). */
static void start_over(struct ps2_keyboard *k)
{
	ps2_clear(&k->q);
	ps2_answer(&k->q, PS2_ACK);
}

static void command(struct ps2_keyboard *k, uint8_t byte)
{
	switch (byte) {
	case CMD_LEDS:
	case CMD_SET:
	case CMD_TYPEMATIC:
		k->argument_of = byte;
		break;
	case CMD_ID:
		ps2_reply(&k->q, 0xab);
		ps2_reply(&k->q, 0x83);
		break;
	case CMD_ENABLE:
		start_over(k);
		k->scanning = true;
		break;
	case CMD_DISABLE:
	case CMD_DEFAULTS:
		defaults(k);
		start_over(k);
		k->scanning = byte == CMD_DEFAULTS;
		break;
	case CMD_RESET:
		defaults(k);
		start_over(k);
		ps2_reply(&k->q, PS2_BAT_GOOD);
		k->scanning = true;
		k->leds = 0;
		break;
	default:
		if (byte < CMD_ALL_FIRST || byte > CMD_ALL_LAST)
			ps2_answer(&k->q, PS2_RESEND);
		break;
	}
}

void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
	if (k->argument_of != 0 && byte < CMD_LEDS) {
		take_argument(k, byte);
		return;
	}
	k->argument_of = 0;
	if (byte == CMD_RESEND) {
		ps2_reply(&k->q, k->q.last);
		return;
	}
	ps2_answer(&k->q, byte == CMD_ECHO ? CMD_ECHO : PS2_ACK);
	if (byte != CMD_ECHO)
		command(k, byte);
}

int ps2_keyboard_check(const struct ps2_keyboard *k, struct err *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 256; i++)
		n += k->down[i / 8] >> i % 8 & 1;
	if (!ps2_queue_good(&k->q) || k->set < 1 || k->set > 2 || k->leds > 7 ||
	    k->typematic > 0x7f || n != k->n_down || n > DOWN_MAX || k->repeat_key > 255)
		return err_set(e, -EINVAL, "i8042: no keyboard is in such a state");
	return 0;
}

const struct state_desc ps2_keyboard_desc = {
	.name = "ps2_keyboard",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ps2_keyboard),
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct ps2_keyboard, q, &ps2_queue_desc),
			STATE(struct ps2_keyboard, repeat_ns),
			STATE(struct ps2_keyboard, repeat_key),
			STATE(struct ps2_keyboard, set),
			STATE(struct ps2_keyboard, leds),
			STATE(struct ps2_keyboard, typematic),
			STATE(struct ps2_keyboard, argument_of),
			STATE(struct ps2_keyboard, scanning),
			STATE(struct ps2_keyboard, n_down),
			STATE_ARRAY(struct ps2_keyboard, down),
			STATE_END,
		},
};
