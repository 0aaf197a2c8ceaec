/* See irq.h. The line's lock orders the changes of several drivers up to the receivers. */
#include "bus/irq.h"
#include "base/util.h"

void hv_irq_line_init(struct hv_irq_line *l)
{
	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
}

void hv_irq_line_finish(struct hv_irq_line *l)
{
	pthread_mutex_destroy(&l->lock);
}

void hv_irq_line_connect(struct hv_irq_line *l, const struct hv_irq_sink *s, unsigned input)
{
	unsigned i = 0;

	while (i < HV_IRQ_MAX_SINKS && l->to[i].sink != NULL)
		i++;
	assert(i < HV_IRQ_MAX_SINKS);
	l->to[i].sink = s;
	l->to[i].input = input;
}

static void tell(struct hv_irq_line *l, bool level)
{
	for (unsigned i = 0; i < HV_IRQ_MAX_SINKS && l->to[i].sink != NULL; i++) {
		const struct hv_irq_sink *s = l->to[i].sink;
		if (s->domain != NULL)
			hv_domain_lock(s->domain);
		s->set(s->ctx, l->to[i].input, level);
		if (s->domain != NULL)
			hv_domain_unlock(s->domain);
	}
}

void hv_irq_set(struct hv_irq_driver *d, bool level)
{
	struct hv_irq_line *l = d->line;

	if (l == NULL || d->level == level)
		return;
	d->level = level;
	pthread_mutex_lock(&l->lock);
	if (level ? l->raised++ == 0 : --l->raised == 0)
		tell(l, level);
	pthread_mutex_unlock(&l->lock);
}
