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
	return q->last;
}

void ps2_answer(struct ps2_queue *q, uint8_t byte)
{
	q->len = 0;
	ps2_put(q, byte);
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
			STATE_PAD(struct ps2_queue, pad_),
			STATE_ARRAY(struct ps2_queue, bytes),
			STATE_END,
		},
};
