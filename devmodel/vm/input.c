/* Who holds keys and buttons, see input.h. */
#include "vm/input.h"
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

struct owner {
	const void *who;		  /* NULL: this place is free */
	uint8_t down[INPUT_KEYS / 8 + 1]; /* a bit a key; the last byte: a bit a button */
};

struct input {
	const struct input_ops *ops; /* borrowed */
	void *ctx;		     /* borrowed */
	struct owner owner[INPUT_OWNERS];
};

/* Buttons are counted on from the keys. */
enum { N_BITS = INPUT_KEYS + INPUT_BUTTONS };
_Static_assert(INPUT_KEYS % 8 == 0 && INPUT_BUTTONS <= 8, "all bits have a place");

static bool holds(const struct owner *o, unsigned bit)
{
	return o->who != NULL && o->down[bit / 8] >> bit % 8 & 1;
}

static bool anybody_holds(const struct input *in, unsigned bit)
{
	for (unsigned i = 0; i < INPUT_OWNERS; i++)
		if (holds(&in->owner[i], bit))
			return true;
	return false;
}

static struct owner *find(struct input *in, const void *who)
{
	for (unsigned i = 0; i < INPUT_OWNERS; i++)
		if (in->owner[i].who == who)
			return &in->owner[i];
	return NULL;
}

static bool send(struct input *in, unsigned bit, bool down)
{
	if (bit < INPUT_KEYS)
		return in->ops->key(in->ctx, bit, down);
	in->ops->button(in->ctx, bit - INPUT_KEYS, down);
	return true;
}

static void let_go(struct input *in, struct owner *o, unsigned bit)
{
	if (o != NULL)
		o->down[bit / 8] &= (uint8_t) ~(1 << bit % 8);
	if (!anybody_holds(in, bit))
		send(in, bit, false);
}

/* One that is held already is sent again: the guest was reset meanwhile, perhaps. */
static bool change(struct input *in, const void *who, unsigned bit, bool down)
{
	struct owner *o = find(in, who);

	assert(who != NULL && bit < N_BITS);
	if (!down) {
		let_go(in, o, bit);
		return true;
	}
	if (o == NULL)
		o = find(in, NULL);
	if (o == NULL || !send(in, bit, true))
		return false;
	o->who = who;
	o->down[bit / 8] |= (uint8_t)(1 << bit % 8);
	return true;
}

bool input_key(struct input *in, const void *owner, unsigned code, bool down)
{
	return change(in, owner, code, down);
}

void input_button(struct input *in, const void *owner, unsigned button, bool down)
{
	change(in, owner, INPUT_KEYS + button, down);
}

void input_release(struct input *in, const void *owner)
{
	struct owner *o = owner != NULL ? find(in, owner) : NULL;

	for (unsigned bit = 0; o != NULL && bit < N_BITS; bit++)
		if (holds(o, bit))
			let_go(in, o, bit);
	if (o != NULL)
		*o = (struct owner){ 0 };
}

void input_release_all(struct input *in)
{
	for (unsigned bit = 0; bit < N_BITS; bit++)
		if (!anybody_holds(in, bit))
			send(in, bit, false);
}

int input_create(const struct input_ops *ops, void *ctx, struct input **ret_input, struct err *e)
{
	struct input *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	in->ops = ops;
	in->ctx = ctx;
	*ret_input = in;
	return 0;
}

void input_destroy(struct input *in)
{
	free(in);
}
