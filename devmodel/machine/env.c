/* The dev_env of a real machine, see env.h. */
#include "devmodel/machine/env.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/util.h"

static struct env_dev *of(struct dev *d)
{
	return d->env_priv;
}

/* ---- clock, timers, lines, messages ---- */

static uint64_t now_ns(void *ctx)
{
	return hv_clock_now_ns(((struct env *)ctx)->clock);
}

static uint64_t wall_ns(void *ctx)
{
	return hv_clock_wall_ns(((struct env *)ctx)->clock);
}

static void timer_due(void *ctx)
{
	struct env_timer *t = ctx;

	t->ed->dev->cls->timer(t->ed->dev, t->index);
}

static void timer_arm(void *ctx, struct dev *d, unsigned timer, uint64_t when_ns)
{
	(void)ctx;
	hv_timer_arm(&of(d)->timer[timer].timer, when_ns == DEV_TIMER_OFF ? HV_TIMER_OFF : when_ns);
}

static void irq_set(void *ctx, struct dev *d, unsigned line, bool level)
{
	(void)ctx;
	hv_irq_set(&of(d)->irq[line], level);
}

static void msi_send(void *ctx, struct dev *d, uint64_t addr, uint32_t data)
{
	const struct hv_msi_sink *s = ((struct env *)ctx)->msi;

	(void)d;
	s->send(s->ctx, addr, data);
}

/* ---- guest memory ---- */

static int dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	return hv_mem_read(((struct env *)ctx)->mem, gpa, buf, len);
}

static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	return hv_mem_write(((struct env *)ctx)->mem, gpa, buf, len);
}

static void *dma_host(void *ctx, uint64_t gpa, size_t len, bool write)
{
	return hv_mem_host(((struct env *)ctx)->mem, gpa, len, write);
}

static void dma_written(void *ctx, uint64_t gpa, uint64_t len)
{
	hv_mem_written(((struct env *)ctx)->mem, gpa, len);
}

/* ---- regions ---- */

static uint64_t region_read(void *ctx, uint64_t off, unsigned size)
{
	const struct env_region *r = ctx;

	return dev_read(r->ed->dev, r->index, off, size);
}

static void region_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	const struct env_region *r = ctx;

	dev_write(r->ed->dev, r->index, off, size, v);
}

static const struct hv_io_ops region_ops = { region_read, region_write };

static void map_pio(struct env_region *r, uint64_t base, uint64_t bytes, bool on)
{
	struct hv_pio *pio = r->ed->env->pio;

	on = on && base < 0x10000 && bytes <= 0x10000 - base;
	if (r->pio.mapped && (!on || r->pio.port != base))
		hv_pio_unmap(pio, &r->pio);
	if (!on || r->pio.mapped)
		return;
	r->pio.port = (uint16_t)base;
	r->pio.count = (uint32_t)bytes;
	hv_pio_map(pio, &r->pio);
}

static void map_mem(struct env_region *r, uint64_t base, uint64_t bytes, bool on)
{
	struct hv_mem *mem = r->ed->env->mem;

	on = on && bytes - 1 <= UINT64_MAX - base;
	if (on ? r->mem.mapped && r->mem.gpa == base : !r->mem.mapped)
		return;
	hv_mem_batch_begin(mem);
	if (r->mem.mapped)
		hv_mem_unmap(mem, &r->mem);
	if (on) {
		r->mem.gpa = base;
		r->mem.bytes = bytes;
		hv_mem_map(mem, &r->mem);
	}
	hv_mem_batch_end(mem);
}

void env_map(struct env_dev *ed, unsigned region, enum dev_space space, uint64_t base, bool on)
{
	struct env_region *r = &ed->region[region];

	if (space == DEV_SPACE_PIO)
		map_pio(r, base, r->pio.count, on);
	else
		map_mem(r, base, r->mem.bytes, on);
}

void env_back(struct env_dev *ed, unsigned region, enum hv_map_kind kind, struct hv_ram *ram)
{
	struct hv_map_range *r = &ed->region[region].mem;

	assert(!r->mapped);
	r->kind = kind;
	r->ram = ram;
}

static void region_map(void *ctx, struct dev *d, unsigned region, enum dev_space space,
		       uint64_t base, bool on)
{
	(void)ctx;
	env_map(of(d), region, space, base, on);
}

/* A write to any of them: all are looked at, which does no harm. */
static void bell_rung(void *ctx, uint32_t events)
{
	struct env_region *r = ctx;
	struct dev *d = r->ed->dev;
	const struct dev_region *c = &d->cls->regions[r->index];
	uint64_t count;

	(void)events;
	if (read(r->bell.fd, &count, sizeof(count)) < 0)
		return; /* somebody else's round took it */
	hv_domain_lock(r->ed->domain);
	for (uint32_t i = 0; i < c->bells.n; i++)
		dev_write(d, r->index, c->bells.off + (uint64_t)i * c->bells.step, c->max_size, 0);
	hv_domain_unlock(r->ed->domain);
}

/* Before the region is placed; the device is there. */
static int add_bell(struct env_region *r, const struct dev_region *c, struct err *e)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return err_set(e, -errno, "%s: no eventfd: %s", r->ed->id, strerror(errno));
	r->bell = (struct loop_fd){ .fn = bell_rung, .ctx = r, .fd = fd };
	r->mem.bells = (struct hv_bells){ c->bells.off, c->bells.step, c->bells.n, fd };
	return loop_fd_add(r->ed->env->loop, &r->bell, EPOLLIN, e);
}

static int add_bells(struct env_dev *ed, const struct dev_class *c, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < DEV_MAX_REGIONS && r == 0 && ed->env->bells; i++)
		if (c->regions[i].bells.n > 0)
			r = add_bell(&ed->region[i], &c->regions[i], e);
	return r;
}

static void remove_bell(struct env_region *r)
{
	if (r->bell.ctx == NULL)
		return;
	loop_fd_remove(r->ed->env->loop, &r->bell);
	close(r->bell.fd);
}

static void init_region(struct env_dev *ed, unsigned i, const struct dev_region *c)
{
	struct env_region *r = &ed->region[i];

	r->ed = ed;
	r->index = i;
	r->mem = (struct hv_map_range){ .name = ed->id,
					.kind = HV_MAP_IO,
					.prio = ed->prio,
					.bytes = c->bytes,
					.io = &region_ops,
					.io_ctx = r,
					.domain = ed->domain };
	r->pio = (struct hv_pio_range){ .name = ed->id,
					.count = (uint32_t)c->bytes,
					.io = &region_ops,
					.io_ctx = r,
					.domain = ed->domain };
}

/* ---- posted work: a list through the items themselves; priv is the next one ---- */

/* A counted clock's thread does the work, at the time at which it was posted. */
static void call_posted(struct env *env)
{
	if (hv_clock_counted(env->clock))
		hv_timer_arm(&env->posted_timer, hv_clock_now_ns(env->clock));
	else
		loop_post(env->loop, &env->posted);
}

static struct dev_work last_work; /* what the last item's priv points to: queued, none after it */

static void post(void *ctx, struct dev_work *w)
{
	struct env *env = ctx;

	pthread_mutex_lock(&env->post_lock);
	if (w->priv == NULL && !env->closed) {
		w->priv = &last_work;
		*env->post_tail = w;
		env->post_tail = (struct dev_work **)&w->priv;
		call_posted(env);
	}
	pthread_mutex_unlock(&env->post_lock);
}

static struct dev_work *take_post(struct env *env)
{
	struct dev_work *w;

	pthread_mutex_lock(&env->post_lock);
	w = env->post_head;
	if (w == &last_work)
		w = NULL;
	if (w != NULL) {
		env->post_head = w->priv;
		w->priv = NULL;
		if (env->post_head == &last_work)
			env->post_tail = &env->post_head;
	}
	pthread_mutex_unlock(&env->post_lock);
	return w;
}

static void run_posts(void *ctx)
{
	struct env *env = ctx;
	struct dev_work *w;

	/* Bounded: what is posted meanwhile has its turn in the next round. */
	for (unsigned n = 0; n < 64 && (w = take_post(env)) != NULL; n++) {
		struct hv_domain *domain = of(w->dev)->domain;
		hv_domain_lock(domain);
		w->fn(w->dev, w);
		hv_domain_unlock(domain);
	}
	pthread_mutex_lock(&env->post_lock);
	if (env->post_head != &last_work)
		call_posted(env);
	pthread_mutex_unlock(&env->post_lock);
}

/* ---- the rest ---- */

static void request(void *ctx, struct dev *d, enum dev_request what, uint32_t arg)
{
	const struct env_machine *m = &((struct env *)ctx)->machine;

	m->request(m->ctx, d, what, arg);
}

static void *backend(void *ctx, struct dev *d, enum dev_backend kind, const char *name,
		     struct err *e)
{
	const struct env_machine *m = &((struct env *)ctx)->machine;

	return m->backend(m->ctx, d, kind, name, e);
}

static void log_dev(void *ctx, const struct dev *d, enum dev_log_level level, const char *fmt,
		    va_list ap)
{
	(void)ctx;
	log_vmsg((enum log_level)level, d->id, fmt, ap); /* the same scale */
}

static void guest_error(void *ctx, const struct dev *d, const char *fmt, va_list ap)
{
	(void)ctx;
	log_vmsg(LOG_LVL_INFO, d->id, fmt, ap);
}

void env_init(struct env *env)
{
	env->ops = (struct dev_env){
		.now_ns = now_ns,
		.wall_ns = wall_ns,
		.timer_arm = timer_arm,
		.irq_set = irq_set,
		.msi_send = msi_send,
		.dma_read = dma_read,
		.dma_write = dma_write,
		.dma_host = dma_host,
		.dma_written = dma_written,
		.region_map = region_map,
		.post = post,
		.request = request,
		.backend = backend,
		.log = log_dev,
		.guest_error = guest_error,
		.ctx = env,
	};
	env->last = &env->first;
	env->posted = (struct loop_work){ .fn = run_posts, .ctx = env };
	hv_timer_init(&env->posted_timer, env->clock, NULL, run_posts, env);
	pthread_mutex_init(&env->post_lock, NULL);
	env->post_head = &last_work;
	env->post_tail = &env->post_head;
}

static void free_dev(struct env_dev *ed)
{
	for (unsigned i = 0; i < DEV_MAX_TIMERS; i++)
		if (ed->timer[i].ed != NULL)
			hv_timer_finish(&ed->timer[i].timer);
	for (unsigned i = 0; i < DEV_MAX_REGIONS; i++) {
		hv_mem_unmap(ed->env->mem, &ed->region[i].mem);
		hv_pio_unmap(ed->env->pio, &ed->region[i].pio);
		remove_bell(&ed->region[i]);
	}
	dev_destroy(ed->dev);
	free(ed);
}

/* A device's end drains its I/O, which posts: the list leads through devices that are gone. */
static void close_posts(struct env *env)
{
	pthread_mutex_lock(&env->post_lock);
	env->closed = true;
	env->post_head = &last_work;
	env->post_tail = &env->post_head;
	pthread_mutex_unlock(&env->post_lock);
	loop_unpost(env->loop, &env->posted);
	hv_timer_finish(&env->posted_timer);
}

void env_finish(struct env *env)
{
	struct env_dev *stack = NULL, *next;

	if (env->last == NULL)
		return; /* was not begun */
	close_posts(env);
	for (struct env_dev *ed = env->first; ed != NULL; ed = next) {
		next = ed->next;
		ed->next = stack;
		stack = ed;
	}
	for (; stack != NULL; stack = next) {
		next = stack->next;
		free_dev(stack);
	}
	pthread_mutex_destroy(&env->post_lock);
	env->last = NULL;
}

int env_add(struct env *env, const struct dev_class *c, const char *id, struct hv_domain *domain,
	    int prio, const char *const *args, struct env_dev **ret_ed, struct err *e)
{
	struct env_dev *ed = calloc(1, sizeof(*ed));

	if (ed == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", id);
	ed->env = env;
	ed->domain = domain;
	ed->prio = prio;
	snprintf(ed->id, sizeof(ed->id), "%s", id);
	for (unsigned i = 0; i < c->n_timers; i++) {
		ed->timer[i].ed = ed;
		ed->timer[i].index = i;
		hv_timer_init(&ed->timer[i].timer, env->clock, domain, timer_due, &ed->timer[i]);
	}
	for (unsigned i = 0; i < DEV_MAX_REGIONS; i++)
		init_region(ed, i, &c->regions[i]);
	int r = dev_create(c, ed->id, &env->ops, ed, args, &ed->dev, e);
	if (r == 0)
		r = add_bells(ed, c, e);
	if (r < 0) {
		free_dev(ed);
		return r;
	}
	*env->last = ed;
	env->last = &ed->next;
	if (ret_ed != NULL)
		*ret_ed = ed;
	return 0;
}

void env_wire(struct env_dev *ed, unsigned line, struct hv_irq_line *to)
{
	ed->irq[line].line = to;
}
