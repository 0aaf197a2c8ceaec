/* Queue of a PS/2 device, see ps2.h. */
#include "devmodel/input/ps2.h"
#include <assert.h>

void ps2_put(struct ps2_queue *q, uint8_t byte)
{
	if (q->len == PS2_QUEUE_BYTES)
		return;
	q->bytes[(q->head + q->len) % PS2_QUEUE_BYTES] = byte;
	q->len++;
}

uint8_t ps2_take(struct ps2_queue *q)
{
	assert(q->len > 0);
	q->last = q->bytes[q->head];
	q->head = (uint16_t)((q->head + 1) % PS2_QUEUE_BYTES);
	q->len--;
	q->n_replies -= q->n_replies > 0;
	return q->last;
}

void ps2_clear(struct ps2_queue *q)
{
	q->len = q->n_replies = 0;
}

void ps2_reply(struct ps2_queue *q, uint8_t byte)
{
	if (q->len == PS2_QUEUE_BYTES)
		return;
	q->head = (uint16_t)((q->head + PS2_QUEUE_BYTES - 1) % PS2_QUEUE_BYTES);
	for (unsigned i = q->head; i < q->head + q->n_replies; i++)
		q->bytes[i % PS2_QUEUE_BYTES] = q->bytes[(i + 1) % PS2_QUEUE_BYTES];
	q->bytes[(q->head + q->n_replies) % PS2_QUEUE_BYTES] = byte;
	q->n_replies++;
	q->len++;
}

void ps2_answer(struct ps2_queue *q, uint8_t byte)
{
	q->head = (uint16_t)((q->head + q->n_replies) % PS2_QUEUE_BYTES);
	q->len -= q->n_replies;
	q->n_replies = 0;
	ps2_reply(q, byte);
}

bool ps2_queue_good(const struct ps2_queue *q)
{
	return q->head < PS2_QUEUE_BYTES && q->len <= PS2_QUEUE_BYTES && q->n_replies <= q->len &&
	       q->n_replies < 16;
}

const struct state_desc ps2_queue_desc = {
	.name = "ps2_queue",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct ps2_queue),
	.fields =
		(const struct state_field[]){
			STATE(struct ps2_queue, head),
			STATE(struct ps2_queue, len),
			STATE(struct ps2_queue, last),
			STATE(struct ps2_queue, n_replies),
			STATE_PAD(struct ps2_queue, pad_),
			STATE_ARRAY(struct ps2_queue, bytes),
			STATE_END,
		},
};
