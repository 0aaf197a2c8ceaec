/*
 * The I/O port space: one pointer a port, so that an access is one load. Memory for ports that
 * nobody claims is never touched.
 */
#include "bus/pio.h"
#include <stdatomic.h>
#include <stdlib.h>
#include "base/util.h"

#define N_PORTS 65536u

struct hv_pio {
	pthread_mutex_t lock;	     /* changes */
	struct hv_pio_range *ranges; /* borrowed; the youngest first; under lock */
	struct hv_pio_range *_Atomic port[N_PORTS];
};

int hv_pio_create(struct hv_pio **ret_pio, struct err *e)
{
	struct hv_pio *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	pthread_mutex_init(&p->lock, NULL);
	*ret_pio = p;
	return 0;
}

void hv_pio_destroy(struct hv_pio *p)
{
	if (p == NULL)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static bool covers(const struct hv_pio_range *r, uint32_t port)
{
	return port >= r->port && port - r->port < r->count;
}

/* Ports change one by one: an access in the middle of a change sees the old or the new owner. */
static void refill(struct hv_pio *p, uint32_t first, uint32_t count)
{
	for (uint32_t port = first; port < first + count; port++) {
		struct hv_pio_range *r = p->ranges;
		while (r != NULL && !covers(r, port))
			r = r->next;
		atomic_store_explicit(&p->port[port], r, memory_order_release);
	}
}

void hv_pio_map(struct hv_pio *p, struct hv_pio_range *r)
{
	assert(!r->mapped && r->count > 0 && r->port + r->count <= N_PORTS && r->io != NULL);
	pthread_mutex_lock(&p->lock);
	r->mapped = true;
	atomic_store(&r->span, (uint64_t)r->port << 32 | r->count);
	r->next = p->ranges;
	p->ranges = r;
	refill(p, r->port, r->count);
	pthread_mutex_unlock(&p->lock);
}

void hv_pio_unmap(struct hv_pio *p, struct hv_pio_range *r)
{
	pthread_mutex_lock(&p->lock);
	for (struct hv_pio_range **at = &p->ranges; *at != NULL; at = &(*at)->next) {
		if (*at == r) {
			*at = r->next;
			r->mapped = false;
			refill(p, r->port, r->count);
			break;
		}
	}
	pthread_mutex_unlock(&p->lock);
}

static uint32_t ones(unsigned size)
{
	return UINT32_MAX >> (32 - size * 8);
}

static struct hv_pio_range *range_at(struct hv_pio *p, uint32_t port)
{
	return port < N_PORTS ? atomic_load_explicit(&p->port[port], memory_order_acquire) : NULL;
}

/* Whether the access lies within the range as it is mapped now; if so, where. */
static bool fits(struct hv_pio_range *r, uint32_t port, unsigned size, uint32_t *ret_off)
{
	uint64_t span = atomic_load_explicit(&r->span, memory_order_acquire);
	uint32_t first = (uint32_t)(span >> 32), count = (uint32_t)span;

	if (port < first || port - first >= count || size > count - (port - first))
		return false;
	*ret_off = port - first;
	return true;
}

/* A range that was moved while its domain was waited for does not answer there any more. */
static uint32_t call_read(struct hv_pio_range *r, uint32_t port, unsigned size)
{
	uint64_t v = UINT64_MAX;
	uint32_t off;

	if (r->domain != NULL)
		hv_domain_lock(r->domain);
	if (fits(r, port, size, &off))
		v = r->io->read(r->io_ctx, off, size);
	if (r->domain != NULL)
		hv_domain_unlock(r->domain);
	return (uint32_t)v & ones(size);
}

static void call_write(struct hv_pio_range *r, uint32_t port, unsigned size, uint32_t v)
{
	uint32_t off;

	if (r->domain != NULL)
		hv_domain_lock(r->domain);
	if (fits(r, port, size, &off))
		r->io->write(r->io_ctx, off, size, v & ones(size));
	if (r->domain != NULL)
		hv_domain_unlock(r->domain);
}

uint32_t hv_pio_read(struct hv_pio *p, uint16_t port, unsigned size)
{
	struct hv_pio_range *r = range_at(p, port);
	uint32_t off;
	uint32_t v = 0;

	if (HV_LIKELY(r != NULL && fits(r, port, size, &off)))
		return call_read(r, port, size);
	for (unsigned i = 0; i < size; i++) {
		r = range_at(p, port + i);
		v |= (r != NULL ? call_read(r, port + i, 1) : 0xff) << (i * 8);
	}
	return v;
}

void hv_pio_write(struct hv_pio *p, uint16_t port, unsigned size, uint32_t v)
{
	struct hv_pio_range *r = range_at(p, port);
	uint32_t off;

	if (HV_LIKELY(r != NULL && fits(r, port, size, &off))) {
		call_write(r, port, size, v);
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		r = range_at(p, port + i);
		if (r != NULL)
			call_write(r, port + i, 1, v >> (i * 8));
	}
}
