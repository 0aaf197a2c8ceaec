/*
 * The two devices on the keyboard controller's serial lines, each a state struct and functions on
 * it: what the guest writes to it, what the user does, and the bytes that it has to send. They know
 * neither controller nor clock; i8042.c calls them under its device's domain.
 */
#ifndef DEVMODEL_INPUT_PS2_H
#define DEVMODEL_INPUT_PS2_H
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "state/state.h"

#define PS2_QUEUE_BYTES 256u
#define PS2_NEVER UINT64_MAX

enum { PS2_ACK = 0xfa, PS2_BAT_GOOD = 0xaa, PS2_RESEND = 0xfe };

STATE_LAYOUT_BEGIN
/* Bytes on their way to the controller. */
struct ps2_queue {
	uint16_t head, len;
	uint8_t last;	   /* sent; for "resend" */
	uint8_t n_replies; /* of bytes, at the front: to a command */
	uint8_t pad_[2];
	uint8_t bytes[PS2_QUEUE_BYTES];
};

struct ps2_keyboard {
	struct ps2_queue q;
	uint64_t repeat_ns;  /* when repeat_key comes again, or PS2_NEVER */
	uint16_t repeat_key; /* evdev code */
	uint8_t set;	     /* scan code set, 1 or 2 */
	uint8_t leds;	     /* bit 0 scroll, 1 num, 2 caps */
	uint8_t typematic;   /* as written by F3: rate 0-4, delay 5-6 */
	uint8_t argument_of; /* command whose argument is awaited; 0: none */
	bool scanning;
	uint8_t n_down;
	uint8_t down[32]; /* bit map of evdev codes below 256 whose make code was sent */
};

struct ps2_mouse {
	struct ps2_queue q;
	int32_t dx, dy, wheel; /* not yet sent; y grows downwards, the wheel upwards */
	uint8_t buttons;       /* bit 0 left, 1 right, 2 middle, 3 side, 4 extra */
	uint8_t sent_buttons;
	uint8_t id; /* 0 plain, 3 with wheel, 4 with five buttons */
	uint8_t rate, resolution, argument_of;
	uint8_t knock[2]; /* the last two rates but one: 200 100 80 and 200 200 80 change the id */
	bool reporting, remote, wrap, scale_2_1;
};
STATE_LAYOUT_END

extern const struct state_desc ps2_keyboard_desc, ps2_mouse_desc;
/* What post_load of the controller asks; 0 or -EINVAL with e set. */
int ps2_keyboard_check(const struct ps2_keyboard *k, struct err *e) HV_MUST_CHECK;
int ps2_mouse_check(const struct ps2_mouse *m, struct err *e) HV_MUST_CHECK;

/* ---- ps2.c ---- */
extern const struct state_desc ps2_queue_desc;
void ps2_put(struct ps2_queue *q, uint8_t byte); /* dropped if there is no room */
uint8_t ps2_take(struct ps2_queue *q);		 /* not if it is empty */
void ps2_clear(struct ps2_queue *q);
/* To a command: its first byte, which drops what is left of the answer before, and further ones.
 * They go before what the user did; that is not lost, or a key that came up would be down for ever.
 */
void ps2_answer(struct ps2_queue *q, uint8_t byte);
void ps2_reply(struct ps2_queue *q, uint8_t byte);
bool ps2_queue_good(const struct ps2_queue *q); /* of a saved state */

/* ---- ps2_keyboard.c ---- */
void ps2_keyboard_init(struct ps2_keyboard *k); /* power-on */
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
/* code: evdev. What PC keyboards do not have, and a second press, is nothing. False: it was
 * pressed, and there is no room for it now; its release is nothing then. */
bool ps2_keyboard_key(struct ps2_keyboard *k, unsigned code, bool down, uint64_t now_ns);
/* Sends the repeated key if it is due. */
void ps2_keyboard_tick(struct ps2_keyboard *k, uint64_t now_ns);
/* A byte of set 2 as the controller shows it in set 1 (never 0xf0). */
uint8_t ps2_translate(uint8_t byte);

/* ---- ps2_mouse.c ---- */
void ps2_mouse_init(struct ps2_mouse *m);
void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte);
void ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel);
void ps2_mouse_button(struct ps2_mouse *m, unsigned button, bool down); /* bit number of buttons */
/* Makes the next packet if the queue is empty and there is something to tell. */
void ps2_mouse_pump(struct ps2_mouse *m);
#endif
