/*
 * PS/2 mouse with a wheel and five buttons: stream and remote mode, and the two sequences of sample
 * rates by which drivers ask for the wheel (200, 100, 80) and the side buttons (200, 200, 80).
 *
 * Specification: IBM PS/2 hardware interface technical reference, "Auxiliary device"; Microsoft's
 * IntelliMouse extensions.
 *
 * Motion is never lost: what the guest has not fetched yet is added up and sent with the next
 * packet.
 *
 * Not modelled: pacing by the sample rate; resolution (counts are the host's pixels); scaling 2:1
 * is only reported.
 */
#include <errno.h>
#include <string.h>
#include "base/util.h"
#include "devmodel/input/ps2.h"

enum {
	CMD_SCALE_1_1 = 0xe6,
	CMD_SCALE_2_1 = 0xe7,
	CMD_RESOLUTION = 0xe8,
	CMD_STATUS = 0xe9,
	CMD_STREAM = 0xea,
	CMD_READ = 0xeb,
	CMD_WRAP_OFF = 0xec,
	CMD_WRAP = 0xee,
	CMD_REMOTE = 0xf0,
	CMD_ID = 0xf2,
	CMD_RATE = 0xf3,
	CMD_ENABLE = 0xf4,
	CMD_DISABLE = 0xf5,
	CMD_DEFAULTS = 0xf6,
	CMD_RESEND = 0xfe,
	CMD_RESET = 0xff
};
enum { ID_PLAIN = 0, ID_WHEEL = 3, ID_FIVE = 4, N_BUTTONS = 5 };
#define MOTION_MAX 0x100000 /* far more than anybody moves while a guest does not look */

static void defaults(struct ps2_mouse *m)
{
	m->rate = 100;
	m->resolution = 2;
	m->scale_2_1 = m->reporting = m->remote = m->wrap = false;
	m->dx = m->dy = m->wheel = 0;
}

void ps2_mouse_init(struct ps2_mouse *m)
{
	memset(m, 0, sizeof(*m));
	defaults(m);
}

/* ---- what is sent ---- */

/* Takes as much of *v as a field from lo to hi holds. */
static int32_t part(int32_t *v, int32_t lo, int32_t hi)
{
	const int32_t x = *v < lo ? lo : *v > hi ? hi : *v;

	*v -= x;
	return x;
}

static void put_packet(struct ps2_mouse *m)
{
	const int32_t x = part(&m->dx, -256, 255), y = -part(&m->dy, -255, 256);
	const int32_t z = -part(&m->wheel, -7, 8); /* a nibble holds -8 to 7 */

	ps2_put(&m->q, (uint8_t)((m->buttons & 7) | 8 | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
	ps2_put(&m->q, (uint8_t)x);
	ps2_put(&m->q, (uint8_t)y);
	if (m->id == ID_WHEEL)
		ps2_put(&m->q, (uint8_t)z);
	else if (m->id == ID_FIVE)
		ps2_put(&m->q, (uint8_t)((z & 15) | (m->buttons & 0x18) << 1));
	m->sent_buttons = m->buttons;
}

void ps2_mouse_pump(struct ps2_mouse *m)
{
	const bool news = m->dx != 0 || m->dy != 0 || m->buttons != m->sent_buttons ||
			  (m->wheel != 0 && m->id != ID_PLAIN);

	if (m->q.len == 0 && news && m->reporting && !m->remote && !m->wrap)
		put_packet(m);
}

/* ---- the user ---- */

static void add(int32_t *sum, int32_t v)
{
	const int64_t x = (int64_t)*sum + v;

	*sum = (int32_t)(x < -MOTION_MAX ? -MOTION_MAX : x > MOTION_MAX ? MOTION_MAX : x);
}

void ps2_mouse_move(struct ps2_mouse *m, int32_t dx, int32_t dy, int32_t wheel)
{
	if (!m->reporting && !m->remote)
		return;
	add(&m->dx, dx);
	add(&m->dy, dy);
	add(&m->wheel, wheel);
}

void ps2_mouse_button(struct ps2_mouse *m, unsigned button, bool down)
{
	if (button >= N_BUTTONS)
		return;
	m->buttons &= (uint8_t) ~(1 << button);
	m->buttons |= (uint8_t)(down << button);
}

/* ---- the guest ---- */

static void put_status(struct ps2_mouse *m)
{
	const unsigned b = m->buttons;

	ps2_reply(&m->q, (uint8_t)((b >> 1 & 1) | (b >> 2 & 1) << 1 | (b & 1) << 2 |
				   (unsigned)m->scale_2_1 << 4 | (unsigned)m->reporting << 5 |
				   (unsigned)m->remote << 6));
	ps2_reply(&m->q, m->resolution);
	ps2_reply(&m->q, m->rate);
}

static void set_rate(struct ps2_mouse *m, uint8_t rate)
{
	if (m->knock[0] == 200 && m->knock[1] == 100 && rate == 80 && m->id == ID_PLAIN)
		m->id = ID_WHEEL;
	if (m->knock[0] == 200 && m->knock[1] == 200 && rate == 80)
		m->id = ID_FIVE;
	m->knock[0] = m->knock[1];
	m->knock[1] = m->rate = rate;
}

static void take_argument(struct ps2_mouse *m, uint8_t byte)
{
	const uint8_t command = m->argument_of;

	m->argument_of = 0;
	ps2_answer(&m->q, PS2_ACK);
	if (command == CMD_RATE)
		set_rate(m, byte);
	else if (byte <= 3)
		m->resolution = byte;
	else
		ps2_answer(&m->q, PS2_RESEND);
}

static void set_mode(struct ps2_mouse *m, uint8_t byte)
{
	m->scale_2_1 = byte == CMD_SCALE_2_1 || (m->scale_2_1 && byte != CMD_SCALE_1_1);
	m->wrap = byte == CMD_WRAP;
	m->remote = byte == CMD_REMOTE || (m->remote && byte != CMD_STREAM);
	m->reporting = byte == CMD_ENABLE || (m->reporting && byte != CMD_DISABLE);
	if (byte == CMD_ENABLE || byte == CMD_STREAM || byte == CMD_REMOTE)
		m->dx = m->dy = m->wheel = 0;
}

static void command(struct ps2_mouse *m, uint8_t byte)
{
	switch (byte) {
	case CMD_RESOLUTION:
	case CMD_RATE:
		m->argument_of = byte;
		break;
	case CMD_STATUS:
		put_status(m);
		break;
	case CMD_READ:
		put_packet(m);
		break;
	case CMD_ID:
		ps2_reply(&m->q, m->id);
		break;
	case CMD_DEFAULTS:
		defaults(m);
		break;
	case CMD_RESET:
		defaults(m);
		m->id = ID_PLAIN;
		ps2_reply(&m->q, PS2_BAT_GOOD);
		ps2_reply(&m->q, m->id);
		break;
	case CMD_SCALE_1_1:
	case CMD_SCALE_2_1:
	case CMD_STREAM:
	case CMD_WRAP_OFF:
	case CMD_WRAP:
	case CMD_REMOTE:
	case CMD_ENABLE:
	case CMD_DISABLE:
		set_mode(m, byte);
		break;
	default:
		ps2_answer(&m->q, PS2_RESEND);
		break;
	}
}

void ps2_mouse_write(struct ps2_mouse *m, uint8_t byte)
{
	if (m->wrap && byte != CMD_RESET && byte != CMD_WRAP_OFF) {
		ps2_answer(&m->q, byte);
	} else if (m->argument_of != 0) {
		take_argument(m, byte);
	} else if (byte == CMD_RESEND) {
		ps2_reply(&m->q, m->q.last);
	} else {
		ps2_answer(&m->q, PS2_ACK);
		command(m, byte);
	}
}

int ps2_mouse_check(const struct ps2_mouse *m, struct err *e)
{
	const int32_t motion[] = { m->dx, m->dy, m->wheel };

	for (unsigned i = 0; i < HV_ARRAY_LEN(motion); i++)
		if (motion[i] < -MOTION_MAX || motion[i] > MOTION_MAX)
			return err_set(e, -EINVAL, "i8042: no mouse moves so far");
	if (!ps2_queue_good(&m->q) || m->buttons >> N_BUTTONS != 0 ||
	    m->sent_buttons >> N_BUTTONS != 0 || m->resolution > 3 ||
	    (m->id != ID_PLAIN && m->id != ID_WHEEL && m->id != ID_FIVE))
		return err_set(e, -EINVAL, "i8042: no mouse is in such a state");
	return 0;
}

const struct state_desc ps2_mouse_desc = {
	.name = "ps2_mouse",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ps2_mouse),
	.fields =
		(const struct state_field[]){
			STATE_STRUCT(struct ps2_mouse, q, &ps2_queue_desc),
			STATE(struct ps2_mouse, dx),
			STATE(struct ps2_mouse, dy),
			STATE(struct ps2_mouse, wheel),
			STATE(struct ps2_mouse, buttons),
			STATE(struct ps2_mouse, sent_buttons),
			STATE(struct ps2_mouse, id),
			STATE(struct ps2_mouse, rate),
			STATE(struct ps2_mouse, resolution),
			STATE(struct ps2_mouse, argument_of),
			STATE_ARRAY(struct ps2_mouse, knock),
			STATE(struct ps2_mouse, reporting),
			STATE(struct ps2_mouse, remote),
			STATE(struct ps2_mouse, wrap),
			STATE(struct ps2_mouse, scale_2_1),
			STATE_END,
		},
};
