/*
 * The generic laws: what every entry of the registry obeys with no test code of its own. A guest
 * that knows nothing hammers the device; saved and loaded it is no different; damaged streams are
 * refused or harmless; reset is power-on; quiesce and resume twice are once; a realize that fails
 * at any step leaves nothing behind (the leak checker judges).
 *
 * laws [class]...: only those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "fake_env.h"
#include "fake_machine.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s: %s (last error: %s)\n", __FILE__, __LINE__,    \
				subject, #x, error.msg);                                           \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define N_POKES 100000u
#define N_TWINS 150u
#define N_RESETS 30u
#define N_FLIPS 4000u
#define HEAD_BYTES 600u /* of a stream, in which half of the flips are: arrays come last */

static const char *subject;
static struct err error;

/* Classes whose reset is not power-on, and why. */
static const struct {
	const char *name, *why;
} keeps_state[] = {
	{ "mc146818", "the CMOS is battery-backed" },
};

/* ---- memory that runs out: the library under test is linked with wrapped allocators ---- */

static unsigned allocs, fail_alloc; /* this call (from 1) fails; 0: none */
void *__real_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return ++allocs == fail_alloc ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return ++allocs == fail_alloc ? NULL : __real_malloc(size);
}

/* ---- a guest that knows nothing ---- */

static uint64_t rnd(void) /* xorshift64: the same run every time */
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static void world_init(struct fake_machine *m, uint64_t now)
{
	fake_machine_init(m, now);
}

/* A register access to each device (the same), at times a wire, then some time. */
static void poke(struct dev *const d[], struct fake_machine m[], unsigned n)
{
	const struct dev_class *c = d[0]->cls;
	uint64_t r = rnd(), v = rnd() >> (rnd() & 63), off, was = 0;
	unsigned region = 0, size = 1u << (r >> 2 & 3);

	for (unsigned i = 0; i < DEV_MAX_REGIONS - 1; i++)
		region = c->regions[i].bytes > 0 ? i + 1 : region;
	region = (unsigned)(rnd() % (region + 1)); /* at times one that is not there */
	off = (r >> 16 & 255) != 0 ? rnd() % (c->regions[region].bytes + 8) : rnd();
	for (unsigned i = 0; i < n; i++) {
		uint64_t got = 0;
		if (c->n_irq_in > 0 && (r >> 25 & 7) == 0)
			c->irq_in(d[i], (unsigned)(v % c->n_irq_in), r >> 28 & 1);
		else if (r >> 24 & 1)
			dev_write(d[i], region, off, size, v);
		else
			got = dev_read(d[i], region, off, size);
		if ((r >> 50 & 63) == 0)
			fake_chr_input(&m[i].f, &r, m[i].f.chr.n_in < 1000 ? r >> 60 & 7 : 0);
		if ((r >> 50 & 63) == 1)
			fake_chr_make_room(&m[i].f, (r >> 56 & 1) ? SIZE_MAX : r >> 57 & 31);
		fake_env_advance(&m[i].f, d[i], (r >> 32 & 0xfff) << (r >> 44 & 15));
		CHECK(i == 0 || got == was); /* a restored device is no different */
		was = got;
	}
	if (n > 1)
		CHECK(fake_machine_same(&m[0], &m[1]));
}

/* ---- tables ---- */

/* Every byte of the struct belongs to exactly one entry; names and versions are in order. */
static bool covers(const struct state_desc *d, unsigned depth)
{
	auto_free uint8_t *map = calloc(d->size, 1);

	if (map == NULL || depth >= STATE_DEPTH_MAX || strlen(d->name) > STATE_NAME_MAX)
		return false;
	for (const struct state_field *f = d->fields; f->name != NULL; f++) {
		if (strlen(f->name) > STATE_NAME_MAX || f->since < 1 || f->since > d->version)
			return false;
		if ((f->type == STATE_T_STRUCT) != (f->sub != NULL))
			return false;
		if (f->sub != NULL && (f->sub->size != f->size || !covers(f->sub, depth + 1)))
			return false;
		for (size_t i = f->off; i < f->off + (size_t)f->size * f->count; i++)
			if (i >= d->size || map[i]++ != 0)
				return false;
	}
	return memchr(map, 0, d->size) == NULL;
}

/* What the bus and the help text rely on. */
static void law_class(const struct dev_class *c)
{
	bool any = false;

	CHECK(c->name != NULL && c->summary != NULL && c->reset != NULL);
	CHECK(c->size >= sizeof(struct dev));
	CHECK(c->state != NULL ? c->state_off + c->state->size <= c->size : c->cannot_save != NULL);
	CHECK(c->state == NULL || (strcmp(c->state->name, c->name) == 0 && covers(c->state, 0)));
	CHECK((c->n_timers == 0) == (c->timer == NULL) && c->n_timers <= DEV_MAX_TIMERS);
	CHECK((c->n_irq_in == 0) == (c->irq_in == NULL));
	for (unsigned i = 0; i < DEV_MAX_REGIONS; i++) {
		const struct dev_region *r = &c->regions[i];
		any |= r->bytes > 0;
		CHECK((r->bytes > 0) == (r->name != NULL) && (r->bytes > 0) == (r->max_size > 0));
		CHECK(r->min_size <= r->max_size && r->max_size <= 8);
		CHECK(r->bytes == 0 || (r->min_size > 0 && (r->min_size & (r->min_size - 1)) == 0));
	}
	CHECK(any == (c->read != NULL) && any == (c->write != NULL));
	for (const struct opt *o = c->opts; o != NULL && o->name != NULL; o++)
		CHECK(strlen(o->name) <= OPT_NAME_MAX && o->def != NULL && o->help != NULL &&
		      o->off + o->size <= c->size);
}

/* ---- damaged streams ---- */

/* Makes length and checksum right again, so that the decoder itself meets the damage. */
static void reseal(uint8_t *p, size_t n)
{
	uint32_t bytes = (uint32_t)(n - STATE_HEAD_BYTES - STATE_TAIL_BYTES), crc;

	memcpy(p + 4, &bytes, sizeof(bytes));
	crc = state_crc32c(p, n - STATE_TAIL_BYTES);
	memcpy(p + n - STATE_TAIL_BYTES, &crc, sizeof(crc));
}

/* A refused stream changes nothing; after an accepted one the device still works. */
static bool load(struct dev *d, struct fake_machine *m, const uint8_t *p, size_t n)
{
	const struct state_desc *desc = d->cls->state;
	uint8_t *obj = (uint8_t *)d + d->cls->state_off;
	auto_free void *was = malloc(desc->size);
	struct state_in in = { p, n };

	CHECK(was != NULL);
	memcpy(was, obj, desc->size);
	if (dev_load(d, &in, &error) < 0) {
		CHECK(memcmp(was, obj, desc->size) == 0 && in.p == p);
		return false;
	}
	CHECK(in.left == 0);
	if (d->cls->resume != NULL)
		d->cls->resume(d);
	for (unsigned i = 0; i < 20; i++)
		poke(&d, m, 1);
	return true;
}

/* Cut or lengthened anywhere it is refused; flipped bits are refused or harmless. */
static void law_damage(struct dev *d, struct fake_machine *m, const struct state_out *s)
{
	auto_free uint8_t *p = malloc(s->len + 1);
	const size_t step = s->len / 1500 + 1; /* large states: not at each byte */

	CHECK(p != NULL);
	p[s->len] = 0;
	for (size_t n = 0; n <= s->len + 1; n += n + step < s->len ? step : 1) {
		memcpy(p, s->p, n < s->len ? n : s->len);
		CHECK(n >= s->len || !load(d, m, p, n));
		if (n >= STATE_HEAD_BYTES + STATE_TAIL_BYTES && n != s->len) {
			reseal(p, n);
			CHECK(!load(d, m, p, n));
		}
	}
	for (unsigned i = 0; i < N_FLIPS; i++) {
		const size_t span = i & 1 ? s->len : hv_min_u64(s->len, HEAD_BYTES);
		memcpy(p, s->p, s->len);
		for (uint64_t n = rnd() % 3, bit; n < 3; n++) {
			bit = rnd() % (span * 8);
			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		if (memcmp(p, s->p, s->len) == 0)
			continue; /* the same bit twice */
		CHECK(!load(d, m, p, s->len));
		reseal(p, s->len);
		(void)load(d, m, p, s->len);
	}
}

/* ---- saved and loaded ---- */

/* Saved into a new device, saved again: the same bytes, and from then on the same behaviour. */
static void law_twins(struct dev *a, struct fake_machine m[2])
{
	const struct dev_class *c = a->cls;
	auto_dev struct dev *b = NULL;
	auto_state_out struct state_out s1 = { 0 }, s2 = { 0 };

	for (int i = 0; i < 2; i++)
		CHECK(c->quiesce == NULL || c->quiesce(a, &error) == 0);
	world_init(&m[1], m[0].f.now_ns);
	fake_machine_copy_world(&m[1], &m[0]);
	CHECK(fake_machine_create(&m[1], c, "b", &b, &error) == 0);
	fake_machine_copy_world(&m[1], &m[0]);
	CHECK(dev_save(a, &s1, &error) == 0);
	CHECK(dev_load(b, &(struct state_in){ s1.p, s1.len }, &error) == 0);
	CHECK(dev_save(b, &s2, &error) == 0 && s1.len == s2.len && !memcmp(s1.p, s2.p, s1.len));
	for (int i = 0; i < 4 && c->resume != NULL; i++)
		c->resume(i & 1 ? a : b);
	CHECK(memcmp(m[0].f.timer_ns, m[1].f.timer_ns, sizeof(m[0].f.timer_ns)) == 0);
	for (unsigned i = 0; i < 200; i++)
		poke((struct dev *[]){ a, b }, m, 2);
}

static bool resets_to_power_on(const struct dev_class *c)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(keeps_state); i++)
		if (strcmp(keeps_state[i].name, c->name) == 0)
			return false;
	return true;
}

static void law_reset(struct dev *a, struct fake_machine m[2])
{
	const struct dev_class *c = a->cls;
	auto_dev struct dev *fresh = NULL;
	auto_state_out struct state_out s1 = { 0 }, s2 = { 0 }, s3 = { 0 };

	world_init(&m[1], m[0].f.now_ns);
	CHECK(fake_machine_create(&m[1], c, "fresh", &fresh, &error) == 0);
	for (unsigned i = 0; i < c->n_irq_in; i++)
		c->irq_in(a, i, false); /* wires keep their levels over a reset */
	c->reset(a);
	CHECK(dev_save(fresh, &s1, &error) == 0 && dev_save(a, &s2, &error) == 0);
	c->reset(a);
	CHECK(dev_save(a, &s3, &error) == 0 && s1.len == s2.len && s2.len == s3.len);
	CHECK(!resets_to_power_on(c) || memcmp(s1.p, s2.p, s1.len) == 0);
	CHECK(memcmp(s2.p, s3.p, s2.len) == 0);
	for (unsigned i = 0; i < DEV_MAX_TIMERS && resets_to_power_on(c); i++)
		CHECK(m[0].f.timer_ns[i] == m[1].f.timer_ns[i]);
	if (resets_to_power_on(c))
		CHECK(memcmp(m[0].f.irq, m[1].f.irq, sizeof(m[0].f.irq)) == 0);
}

/* ---- creation ---- */

/* Whatever runs out at whichever step: refused with a reason, nothing kept. */
static void law_realize(const struct dev_class *c, struct fake_machine *m)
{
	struct dev *d = NULL;

	for (unsigned step = 1, r = 1; r != 0; step++) {
		world_init(m, 0);
		m->f.fail_backend = step;
		error.msg[0] = '\0';
		r = (unsigned)fake_machine_create(m, c, "x", &d, &error);
		CHECK(r == 0 || (d == NULL && error.msg[0] != '\0' && m->f.n_backend >= step));
		CHECK(step < 64);
	}
	dev_destroy(d);
	d = NULL;
	for (unsigned step = 1, r = 1; r != 0; step++) {
		world_init(m, 0);
		allocs = 0;
		fail_alloc = step;
		r = (unsigned)fake_machine_create(m, c, "x", &d, &error);
		CHECK(r == 0 || d == NULL);
		CHECK(r != 0 || allocs < step); /* no failed allocation goes unnoticed */
		CHECK(step < 1000);
		fail_alloc = 0;
	}
	dev_destroy(d);
}

static void laws(const struct dev_class *c, struct fake_machine m[2])
{
	auto_dev struct dev *a = NULL;
	auto_state_out struct state_out s = { 0 };

	subject = c->name;
	law_class(c);
	law_realize(c, &m[0]);
	world_init(&m[0], 0);
	CHECK(fake_machine_create(&m[0], c, "a", &a, &error) == 0);
	for (unsigned i = 0; i < N_POKES; i++) {
		poke(&a, m, 1);
		if (i % (N_POKES / N_TWINS) == 0 && c->state != NULL)
			law_twins(a, m);
		if (i % (N_POKES / N_RESETS) == 0 && c->state != NULL)
			law_reset(a, m);
	}
	if (c->state == NULL) {
		CHECK(dev_save(a, &s, &error) == -ENOTSUP);
		return;
	}
	for (unsigned i = 0; i < 2; i++) { /* as it is after all that, and at power-on */
		CHECK(c->quiesce == NULL || c->quiesce(a, &error) == 0);
		s.len = 0;
		CHECK(dev_save(a, &s, &error) == 0);
		if (c->resume != NULL)
			c->resume(a);
		law_damage(a, &m[0], &s);
		c->reset(a);
	}
	printf("ok %s: %zu bytes of state\n", c->name, s.len);
}

int main(int argc, char **argv)
{
	auto_free struct fake_machine *m = calloc(2, sizeof(*m));
	int n = 0;

	subject = "laws";
	CHECK(m != NULL);
	for (const struct dev_class *const *c = dm_classes; *c != NULL; c++) {
		bool wanted = argc < 2;
		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], (*c)->name) == 0;
		if (wanted) {
			laws(*c, m);
			n++;
		}
	}
	CHECK(n > 0);
	return 0;
}
