/* Device core: life cycle, the bus's clamping of guest accesses, and the way out to dev_env. */
#include "devmodel/dev.h"
#include "base/cleanup.h"

void dev_destroy(struct dev *d)
{
	if (d == NULL)
		return;
	if (d->cls->unrealize != NULL)
		d->cls->unrealize(d);
	free(d);
}

int dev_create(const struct dev_class *c, const char *id, const struct dev_env *env, void *env_priv,
	       const char *const *args, struct dev **ret_dev, struct err *e)
{
	int r;

	auto_dev struct dev *d = calloc(1, c->size);
	if (d == NULL)
		return err_set(e, -ENOMEM, "%s: out of memory", id);
	*d = (struct dev){ .cls = c, .env = env, .id = id, .env_priv = env_priv };
	r = opt_defaults(c->opts, id, d, e);
	for (; r == 0 && args != NULL && *args != NULL; args++)
		r = opt_set(c->opts, id, *args, d, e);
	if (r == 0 && c->realize != NULL)
		r = c->realize(d, e);
	if (r < 0)
		return r;
	c->reset(d);
	*ret_dev = TAKE_PTR(d);
	return 0;
}

int dev_save(const struct dev *d, struct state_out *o, struct err *e)
{
	if (d->cls->state == NULL)
		return err_set(e, -ENOTSUP, "%s: %s", d->id, d->cls->cannot_save);
	return state_save(o, d->cls->state, (const uint8_t *)d + d->cls->state_off, e);
}

int dev_load(struct dev *d, struct state_in *in, struct err *e)
{
	if (d->cls->state == NULL)
		return err_set(e, -ENOTSUP, "%s: %s", d->id, d->cls->cannot_save);
	return state_load(in, d->cls->state, (uint8_t *)d + d->cls->state_off, e);
}

/* Bytes of the largest access at off that the region takes, at most max; 0: nothing answers. */
static unsigned fit(const struct dev_region *r, uint64_t off, unsigned max)
{
	for (unsigned n = r->max_size; n > 0 && n >= r->min_size; n /= 2)
		if (n <= max && off % n == 0 && off < r->bytes && n <= r->bytes - off)
			return n;
	return 0;
}

/* Splits an access into those that the class declares; v is what to write, NULL to read. */
static uint64_t clamp(struct dev *d, unsigned region, uint64_t off, unsigned size,
		      const uint64_t *v)
{
	assert(region < DEV_MAX_REGIONS && size >= 1 && size <= 8); /* the bus's own tables */
	const struct dev_region *r = &d->cls->regions[region];
	uint64_t got = 0;
	bool missed = false;

	for (unsigned done = 0, n; done < size; done += n) {
		uint64_t part = v != NULL ? *v >> 8 * done : UINT64_MAX;
		n = off < r->bytes ? fit(r, off + done, size - done) : 0;
		missed |= n == 0;
		const uint64_t mask = UINT64_MAX >> (64 - 8 * (n > 0 ? n : 1));
		if (n > 0 && v != NULL)
			d->cls->write(d, region, off + done, n, part & mask);
		else if (n > 0)
			part = d->cls->read(d, region, off + done, n);
		got |= (part & mask) << 8 * done;
		n = n > 0 ? n : 1;
	}
	if (missed)
		dev_guest_error(d, "region %u: nothing takes %u bytes at %#llx", region, size,
				(unsigned long long)off);
	return got;
}

uint64_t dev_read(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	return clamp(d, region, off, size, NULL);
}

void dev_write(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	clamp(d, region, off, size, &v);
}

void dev_timer_arm(struct dev *d, unsigned timer, uint64_t when_ns)
{
	assert(timer < d->cls->n_timers);
	d->env->timer_arm(d->env->ctx, d, timer, when_ns);
}

void dev_irq_set(struct dev *d, unsigned line, bool level)
{
	assert(line < DEV_MAX_IRQS && d->cls->irqs[line] != NULL);
	d->env->irq_set(d->env->ctx, d, line, level);
}

void dev_msi_send(struct dev *d, uint64_t addr, uint32_t data)
{
	d->env->msi_send(d->env->ctx, d, addr, data);
}

int dev_dma_read(struct dev *d, uint64_t gpa, void *buf, size_t len)
{
	return d->env->dma_read(d->env->ctx, gpa, buf, len);
}

int dev_dma_write(struct dev *d, uint64_t gpa, const void *buf, size_t len)
{
	return d->env->dma_write(d->env->ctx, gpa, buf, len);
}

void dev_region_map(struct dev *d, unsigned region, enum dev_space space, uint64_t base, bool on)
{
	assert(region < DEV_MAX_REGIONS && d->cls->regions[region].bytes > 0);
	d->env->region_map(d->env->ctx, d, region, space, base, on);
}

void dev_request(struct dev *d, enum dev_request what, uint32_t arg)
{
	d->env->request(d->env->ctx, d, what, arg);
}

void *dev_backend(struct dev *d, enum dev_backend kind, const char *name, struct err *e)
{
	return d->env->backend(d->env->ctx, d, kind, name, e);
}

void dev_post(struct dev_work *w)
{
	w->dev->env->post(w->dev->env->ctx, w);
}

void dev_log(const struct dev *d, enum dev_log_level l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	d->env->log(d->env->ctx, d, l, fmt, ap);
	va_end(ap);
}

void dev_guest_error(struct dev *d, const char *fmt, ...)
{
	va_list ap;

	d->guest_errors++;
	if ((d->guest_errors & (d->guest_errors - 1)) != 0)
		return; /* the 1st, 2nd, 4th, 8th ... are told: a guest cannot flood the log */
	va_start(ap, fmt);
	d->env->guest_error(d->env->ctx, d, fmt, ap);
	va_end(ap);
}
