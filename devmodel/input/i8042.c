/*
 * Keyboard controller of the PC/AT and PS/2 (Intel 8042 with IBM's program), with a keyboard and a
 * mouse on its two lines: ps2_keyboard.c, ps2_mouse.c.
 *
 * Specification: IBM PS/2 hardware interface technical reference, "Keyboard and auxiliary device
 * controller"; Intel ICH9 datasheet, 5.2 (A20 and reset).
 *
 * A byte of a device takes as long as on its wire, so that what reads the data port twice for one
 * interrupt gets the same twice, as programs of old systems do; answers of the controller are there
 * at once.
 *
 * Not modelled: the controller's program in its RAM beyond the configuration byte (other bytes are
 * kept); polling of the input port; the line errors that a missing device makes; PC/AT controllers
 * without a mouse.
 */
#include "devmodel/input/i8042.h"
#include "devmodel/input/ps2.h"

enum { REGION_DATA, REGION_COMMAND };
enum { LINE_KEYBOARD, LINE_MOUSE };
enum { TIMER_BYTE, TIMER_REPEAT };

enum { ST_FULL = 1, ST_SYSTEM = 4, ST_COMMAND = 8, ST_UNLOCKED = 0x10, ST_MOUSE = 0x20 };
enum {
	CFG_KEYBOARD_INT = 1,
	CFG_MOUSE_INT = 2,
	CFG_SYSTEM = 4,
	CFG_KEYBOARD_OFF = 0x10,
	CFG_MOUSE_OFF = 0x20,
	CFG_TRANSLATE = 0x40
};
enum { OUT_NO_RESET = 1, OUT_A20 = 2, OUT_KEYBOARD_FULL = 0x10, OUT_MOUSE_FULL = 0x20 };
enum {
	CMD_READ_RAM = 0x20, /* to 0x3f; 0 is the configuration */
	CMD_WRITE_RAM = 0x60,
	CMD_PASSWORD = 0xa4,
	CMD_MOUSE_OFF = 0xa7,
	CMD_MOUSE_ON = 0xa8,
	CMD_TEST_MOUSE = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_TEST_KEYBOARD = 0xab,
	CMD_KEYBOARD_OFF = 0xad,
	CMD_KEYBOARD_ON = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_AS_KEYBOARD = 0xd2,
	CMD_AS_MOUSE = 0xd3,
	CMD_TO_MOUSE = 0xd4,
	CMD_A20_OFF = 0xdd,
	CMD_A20_ON = 0xdf,
	CMD_TEST_INPUTS = 0xe0,
	CMD_PULSE = 0xf0 /* to 0xff: bits 0 to 3 low that are not set */
};
enum { NO_PASSWORD = 0xf1, SELF_TEST_GOOD = 0x55, INPUT_NOT_LOCKED = 0x80 };
enum source { FROM_KEYBOARD, FROM_MOUSE, FROM_CONTROLLER };

#define BYTE_NS 700000u /* 11 bits at 16 kHz */
#define RAM_BYTES 32u

STATE_LAYOUT_BEGIN
struct i8042_state {
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
	uint64_t next_ns; /* before that no device's byte arrives */
	uint8_t data;	  /* the output buffer, read at the data port */
	bool full;
	uint8_t source;	     /* of data: enum source */
	uint8_t output;	     /* the output port's bits 0 and 1 */
	uint8_t argument_of; /* the command that the next data byte belongs to; 0: none */
	bool command_last;   /* the last write was to the command port */
	bool answer_waits;   /* the controller's own: sent as soon as data has been read */
	uint8_t answer;
	bool break_code; /* the keyboard's 0xf0 was swallowed, for translation */
	uint8_t pad_[7];
	uint8_t ram[RAM_BYTES];
};
STATE_LAYOUT_END

struct i8042 {
	struct dev dev;
	struct i8042_state s;
};

static struct i8042 *i8042_from_dev(struct dev *d)
{
	assert(d->cls == &dm_i8042);
	return (struct i8042 *)d;
}

static uint8_t config(const struct i8042 *c)
{
	return c->s.ram[0];
}

/* ---- the output buffer ---- */

static void follow(struct i8042 *c)
{
	const bool mouse = c->s.full && c->s.source == FROM_MOUSE;
	const bool keyboard = c->s.full && !mouse;

	dev_irq_set(&c->dev, LINE_KEYBOARD, keyboard && (config(c) & CFG_KEYBOARD_INT));
	dev_irq_set(&c->dev, LINE_MOUSE, mouse && (config(c) & CFG_MOUSE_INT));
}

static void fill(struct i8042 *c, enum source source, uint8_t byte)
{
	c->s.data = byte;
	c->s.full = true;
	c->s.source = (uint8_t)source;
}

/* The keyboard's next byte, translated; false: none, or only 0xf0. */
static bool take_keyboard(struct i8042 *c)
{
	struct ps2_queue *q = &c->s.keyboard.q;

	while (q->len > 0) {
		uint8_t byte = ps2_take(q);
		if (config(c) & CFG_TRANSLATE) {
			if (byte == 0xf0) {
				c->s.break_code = true;
				continue;
			}
			byte = ps2_translate(byte);
			if (c->s.break_code)
				byte |= 0x80;
			c->s.break_code = false;
		}
		fill(c, FROM_KEYBOARD, byte);
		return true;
	}
	return false;
}

static bool devices_have(const struct i8042 *c)
{
	return (c->s.keyboard.q.len > 0 && !(config(c) & CFG_KEYBOARD_OFF)) ||
	       (c->s.mouse.q.len > 0 && !(config(c) & CFG_MOUSE_OFF));
}

static void take_device(struct i8042 *c)
{
	if (!(config(c) & CFG_KEYBOARD_OFF) && take_keyboard(c))
		return;
	if (!(config(c) & CFG_MOUSE_OFF) && c->s.mouse.q.len > 0)
		fill(c, FROM_MOUSE, ps2_take(&c->s.mouse.q));
}

/* Puts the next byte in place if there is room, and has us called when the next one arrives. */
static void pump(struct i8042 *c)
{
	const uint64_t now = dev_now_ns(&c->dev);
	uint64_t wake = DEV_TIMER_OFF;

	ps2_mouse_pump(&c->s.mouse);
	if (!c->s.full && c->s.answer_waits) {
		c->s.answer_waits = false;
		fill(c, FROM_CONTROLLER, c->s.answer);
	} else if (!c->s.full && devices_have(c)) {
		if (now >= c->s.next_ns)
			take_device(c);
		else
			wake = c->s.next_ns;
	}
	dev_timer_arm(&c->dev, TIMER_BYTE, wake);
	dev_timer_arm(&c->dev, TIMER_REPEAT, c->s.keyboard.repeat_ns);
	follow(c);
}

/* What was last there stays to be read. */
static uint8_t read_data(struct i8042 *c)
{
	const uint8_t byte = c->s.data;

	if (!c->s.full)
		return byte;
	c->s.full = false;
	if (c->s.source != FROM_CONTROLLER)
		c->s.next_ns = dev_now_ns(&c->dev) + BYTE_NS;
	follow(c); /* each byte has an edge of its own */
	pump(c);
	return byte;
}

/* ---- commands ---- */

static void answer(struct i8042 *c, uint8_t byte)
{
	c->s.answer = byte;
	c->s.answer_waits = true;
}

static void set_a20(struct i8042 *c, bool on)
{
	c->s.output = (uint8_t)((c->s.output & ~OUT_A20) | (on ? OUT_A20 : 0));
	dev_request(&c->dev, on ? DEV_REQ_A20_ON : DEV_REQ_A20_OFF, 0);
}

static void write_output(struct i8042 *c, uint8_t v)
{
	if ((v ^ c->s.output) & OUT_A20)
		set_a20(c, v & OUT_A20);
	if (!(v & OUT_NO_RESET))
		dev_request(&c->dev, DEV_REQ_RESET, 0);
}

static uint8_t read_output(const struct i8042 *c)
{
	const uint8_t full = c->s.source == FROM_MOUSE ? OUT_MOUSE_FULL : OUT_KEYBOARD_FULL;

	return (uint8_t)(c->s.output | (c->s.full ? full : 0));
}

static void set_config(struct i8042 *c, uint8_t set, uint8_t clear)
{
	c->s.ram[0] = (uint8_t)((config(c) & ~clear) | set);
}

static void command(struct i8042 *c, uint8_t byte)
{
	c->s.argument_of = 0;
	if (byte >= CMD_READ_RAM && byte < CMD_READ_RAM + RAM_BYTES) {
		answer(c, c->s.ram[byte - CMD_READ_RAM]);
		return;
	}
	if (byte >= CMD_WRITE_RAM && byte < CMD_WRITE_RAM + RAM_BYTES) {
		c->s.argument_of = byte;
		return;
	}
	if (byte >= CMD_PULSE) {
		if (!(byte & OUT_NO_RESET))
			dev_request(&c->dev, DEV_REQ_RESET, 0);
		return;
	}
	switch (byte) {
	case CMD_PASSWORD:
		answer(c, NO_PASSWORD);
		break;
	case CMD_MOUSE_OFF:
		set_config(c, CFG_MOUSE_OFF, 0);
		break;
	case CMD_MOUSE_ON:
		set_config(c, 0, CFG_MOUSE_OFF);
		break;
	case CMD_KEYBOARD_OFF:
		set_config(c, CFG_KEYBOARD_OFF, 0);
		break;
	case CMD_KEYBOARD_ON:
		set_config(c, 0, CFG_KEYBOARD_OFF);
		break;
	case CMD_SELF_TEST:
		set_config(c, CFG_SYSTEM, 0);
		answer(c, SELF_TEST_GOOD);
		break;
	case CMD_TEST_MOUSE:
	case CMD_TEST_KEYBOARD:
	case CMD_TEST_INPUTS:
		answer(c, 0);
		break;
	case CMD_READ_INPUT:
		answer(c, INPUT_NOT_LOCKED);
		break;
	case CMD_READ_OUTPUT:
		answer(c, read_output(c));
		break;
	case CMD_WRITE_OUTPUT:
	case CMD_AS_KEYBOARD:
	case CMD_AS_MOUSE:
	case CMD_TO_MOUSE:
		c->s.argument_of = byte;
		break;
	case CMD_A20_OFF:
	case CMD_A20_ON:
		set_a20(c, byte == CMD_A20_ON);
		break;
	default:
		dev_log(&c->dev, DEV_LOG_DEBUG, "unknown command %#x", byte);
		break;
	}
}

/* A data byte: a command's argument, else the keyboard's. */
static void write_data(struct i8042 *c, uint8_t byte)
{
	const uint8_t command_of = c->s.argument_of;

	c->s.argument_of = 0;
	switch (command_of) {
	case 0:
		set_config(c, 0, CFG_KEYBOARD_OFF);
		ps2_keyboard_write(&c->s.keyboard, byte);
		break;
	case CMD_WRITE_OUTPUT:
		write_output(c, byte);
		break;
	case CMD_AS_KEYBOARD:
		fill(c, FROM_KEYBOARD, byte);
		break;
	case CMD_AS_MOUSE:
		fill(c, FROM_MOUSE, byte);
		break;
	case CMD_TO_MOUSE:
		set_config(c, 0, CFG_MOUSE_OFF);
		ps2_mouse_write(&c->s.mouse, byte);
		break;
	default: /* CMD_WRITE_RAM */
		c->s.ram[command_of - CMD_WRITE_RAM] = byte;
		break;
	}
}

static uint64_t i8042_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	struct i8042 *c = i8042_from_dev(d);

	(void)off, (void)size;
	if (region == REGION_DATA)
		return read_data(c);
	return (uint64_t)((c->s.full ? ST_FULL : 0) | ST_UNLOCKED |
			  (c->s.full && c->s.source == FROM_MOUSE ? ST_MOUSE : 0) |
			  (config(c) & CFG_SYSTEM ? ST_SYSTEM : 0) |
			  (c->s.command_last ? ST_COMMAND : 0));
}

static void i8042_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	struct i8042 *c = i8042_from_dev(d);

	(void)off, (void)size;
	const uint8_t leds = c->s.keyboard.leds;

	c->s.command_last = region == REGION_COMMAND;
	if (region == REGION_COMMAND)
		command(c, (uint8_t)v);
	else
		write_data(c, (uint8_t)v);
	if (c->s.keyboard.leds != leds)
		dev_request(d, DEV_REQ_LEDS, 0);
	pump(c);
}

static void i8042_timer(struct dev *d, unsigned timer)
{
	struct i8042 *c = i8042_from_dev(d);

	if (timer == TIMER_REPEAT)
		ps2_keyboard_tick(&c->s.keyboard, dev_now_ns(d));
	pump(c);
}

/* ---- the user ---- */

bool dm_i8042_key(struct dev *d, unsigned code, bool down)
{
	struct i8042 *c = i8042_from_dev(d);

	const bool taken = ps2_keyboard_key(&c->s.keyboard, code, down, dev_now_ns(d));

	pump(c);
	return taken;
}

void dm_i8042_move(struct dev *d, int32_t dx, int32_t dy, int32_t wheel)
{
	struct i8042 *c = i8042_from_dev(d);

	ps2_mouse_move(&c->s.mouse, dx, dy, wheel);
	pump(c);
}

void dm_i8042_button(struct dev *d, unsigned button, bool down)
{
	struct i8042 *c = i8042_from_dev(d);

	ps2_mouse_button(&c->s.mouse, button, down);
	pump(c);
}

unsigned dm_i8042_leds(struct dev *d)
{
	return i8042_from_dev(d)->s.keyboard.leds;
}

/* ---- state ---- */

static void i8042_state_init(void *obj)
{
	struct i8042_state *s = obj;

	*s = (struct i8042_state){ .output = OUT_NO_RESET | OUT_A20,
				   .ram = { CFG_KEYBOARD_OFF | CFG_MOUSE_OFF | CFG_TRANSLATE } };
	ps2_keyboard_init(&s->keyboard);
	ps2_mouse_init(&s->mouse);
}

static int i8042_post_load(void *obj, struct err *e)
{
	const struct i8042_state *s = obj;
	const uint8_t a = s->argument_of;
	const bool known = a == 0 || a == CMD_WRITE_OUTPUT || a == CMD_AS_KEYBOARD ||
			   a == CMD_AS_MOUSE || a == CMD_TO_MOUSE ||
			   (a >= CMD_WRITE_RAM && a < CMD_WRITE_RAM + RAM_BYTES);
	int r;

	if (s->source > FROM_CONTROLLER || s->output & ~(OUT_NO_RESET | OUT_A20) || !known)
		return err_set(e, -EINVAL, "i8042: it cannot be in such a state");
	r = ps2_keyboard_check(&s->keyboard, e);
	return r == 0 ? ps2_mouse_check(&s->mouse, e) : r;
}

static void i8042_reset(struct dev *d)
{
	struct i8042 *c = i8042_from_dev(d);

	i8042_state_init(&c->s);
	pump(c);
}

static void i8042_resume(struct dev *d)
{
	pump(i8042_from_dev(d));
}

static const struct state_desc i8042_state = {
	.name = "i8042",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct i8042_state),
	.init = i8042_state_init,
	.post_load = i8042_post_load,
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct i8042_state, keyboard, &ps2_keyboard_desc),
			STATE_STRUCT(struct i8042_state, mouse, &ps2_mouse_desc),
			STATE(struct i8042_state, next_ns),
			STATE(struct i8042_state, data),
			STATE(struct i8042_state, full),
			STATE(struct i8042_state, source),
			STATE(struct i8042_state, output),
			STATE(struct i8042_state, argument_of),
			STATE(struct i8042_state, command_last),
			STATE(struct i8042_state, answer_waits),
			STATE(struct i8042_state, answer),
			STATE(struct i8042_state, break_code),
			STATE_PAD(struct i8042_state, pad_),
			STATE_ARRAY(struct i8042_state, ram),
			STATE_END,
		},
};

const struct dev_class dm_i8042 = {
	.name = "i8042",
	.summary = "keyboard controller with keyboard and mouse",
	.size = sizeof(struct i8042),
	.state = &i8042_state,
	.state_off = offsetof(struct i8042, s),
	.regions = { { "data", 1, 1, 1 }, { "command", 1, 1, 1 } },
	.irqs = { "keyboard", "mouse" },
	.n_timers = 2,
	.reset = i8042_reset,
	.read = i8042_read,
	.write = i8042_write,
	.timer = i8042_timer,
	.resume = i8042_resume,
};
