/*
 * Who uses which guest clusters; see int.h. What comes later waits for what came earlier, so nobody
 * waits for ever, and one request has one range at a time, so no two wait for each other.
 */
#include "devmodel/storage/format/qcow2/int.h"

static bool must_wait(const struct q2 *q, const struct q2_range *r)
{
	for (const struct q2_range *o = q->ranges; o != r; o = o->next)
		if ((o->exclusive || r->exclusive) && o->first <= r->last && r->first <= o->last)
			return true;
	return false;
}

void q2_range_enter(struct q2 *q, struct q2_range *r)
{
	struct q2_range **tail = &q->ranges;

	while (*tail != NULL)
		tail = &(*tail)->next;
	r->next = NULL;
	*tail = r;
	q->n_waiting++;
	while (must_wait(q, r))
		pthread_cond_wait(&q->left, &q->lock);
	q->n_waiting--;
}

void q2_range_leave(struct q2 *q, struct q2_range *r)
{
	struct q2_range **p = &q->ranges;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	if (q->n_waiting > 0)
		pthread_cond_broadcast(&q->left);
}
