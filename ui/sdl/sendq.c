/* The user's events on their way, see sendq.h. */
#include "sdl/sendq.h"
#include <string.h>

/* Releases may use what is beyond this. There are at most as many of them as keys are down. */
#define ROOM (SENDQ_SIZE - SENDQ_DOWN_MAX - 1)

static struct sendq_event *tail(struct sendq *q)
{
	return &q->event[(q->head + q->len - 1) % SENDQ_SIZE];
}

static void put(struct sendq *q, const struct sendq_event *e)
{
	q->len++;
	*tail(q) = *e;
}

static void change(struct sendq *q, bool *is_down, const struct sendq_event *e)
{
	if (*is_down == e->down)
		return;
	if (e->down && (q->len >= ROOM || q->n_down >= SENDQ_DOWN_MAX))
		return;
	*is_down = e->down;
	q->n_down += e->down ? 1 : -1u;
	put(q, e);
}

void sendq_key(struct sendq *q, unsigned code, bool down)
{
	const struct sendq_event e = { .kind = SENDQ_KEY, .code = code, .down = down };

	if (code < SENDQ_KEYS)
		change(q, &q->key_down[code], &e);
}

void sendq_button(struct sendq *q, unsigned button, bool down)
{
	const struct sendq_event e = { .kind = SENDQ_BUTTON, .code = button, .down = down };

	if (button < SENDQ_BUTTONS)
		change(q, &q->button_down[button], &e);
}

static int32_t add(int32_t a, int32_t b)
{
	const int64_t sum = (int64_t)a + b, max = 1 << 20;

	return (int32_t)(sum > max ? max : sum < -max ? -max : sum);
}

void sendq_move(struct sendq *q, int32_t dx, int32_t dy, int32_t wheel)
{
	const struct sendq_event e = { .kind = SENDQ_MOVE };

	if (dx == 0 && dy == 0 && wheel == 0)
		return;
	if (q->len == 0 || tail(q)->kind != SENDQ_MOVE) {
		if (q->len >= ROOM)
			return;
		put(q, &e);
	}
	tail(q)->dx = add(tail(q)->dx, dx);
	tail(q)->dy = add(tail(q)->dy, dy);
	tail(q)->wheel = add(tail(q)->wheel, wheel);
}

void sendq_release_all(struct sendq *q)
{
	const struct sendq_event e = { .kind = SENDQ_RELEASE_ALL };

	for (unsigned i = 0; i < SENDQ_KEYS; i++)
		sendq_key(q, i, false);
	for (unsigned i = 0; i < SENDQ_BUTTONS; i++)
		sendq_button(q, i, false);
	if (q->len > 0 && tail(q)->kind == SENDQ_RELEASE_ALL)
		return;
	/* It alone does what all of them would. */
	if (q->len >= ROOM)
		q->len = 0;
	put(q, &e);
}

bool sendq_take(struct sendq *q, struct sendq_event *ret)
{
	if (q->len == 0)
		return false;
	*ret = q->event[q->head];
	q->head = (q->head + 1) % SENDQ_SIZE;
	q->len--;
	return true;
}
