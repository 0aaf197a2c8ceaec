/* hv-core/bus: the port space and interrupt lines. */
#include "ctest.h"
#include <time.h>
#include "bus/irq.h"
#include "bus/pio.h"

struct ports {
	unsigned n, size;
	uint64_t off, value, answer;
};

static uint64_t ports_read(void *ctx, uint64_t off, unsigned size)
{
	struct ports *p = ctx;

	p->n++;
	p->off = off;
	p->size = size;
	return p->answer;
}

static void ports_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	struct ports *p = ctx;

	p->n++;
	p->off = off;
	p->size = size;
	p->value = v;
}

static const struct hv_io_ops ops = { ports_read, ports_write };

static void test_pio(void **state)
{
	struct ports a = { .answer = 0x1122334455667788ull }, b = { .answer = 0xab };
	struct hv_pio_range ra = { "cf8", 0xcf8, 8, &ops, &a }, rb = { "cf9", 0xcf9, 1, &ops, &b };
	struct hv_pio_range top = { "top", 0xfffe, 2, &ops, &b };
	struct hv_domain d;
	struct hv_pio *p;
	struct err e;
	(void)state;

	assert_ok(hv_pio_create(&p, &e), &e);
	hv_domain_init(&d, "ports");
	ra.domain = &d;
	assert_true(hv_pio_read(p, 0xcf8, 4) == UINT32_MAX && hv_pio_read(p, 0x80, 1) == 0xff);
	hv_pio_map(p, &ra);
	hv_pio_map(p, &rb);
	assert_int_equal(hv_pio_read(p, 0xcf8, 4),
			 0x55667788); /* the register, not the port inside */
	assert_true(a.off == 0 && a.size == 4 && b.n == 0);
	assert_int_equal(hv_pio_read(p, 0xcf9, 1), 0xab);
	assert_int_equal(hv_pio_read(p, 0xcf9, 2),
			 0x88ab); /* split: beyond the end of that range */
	assert_int_equal(hv_pio_read(p, 0xcff, 4), 0xffffff88);
	hv_pio_write(p, 0xcfe, 2, 0xfff1234);
	assert_true(a.off == 6 && a.size == 2 && a.value == 0x1234);
	hv_pio_write(p, 0xcff, 2, 0x5678);
	assert_true(a.off == 7 && a.size == 1 && a.value == 0x78);
	hv_pio_unmap(p, &rb);
	hv_pio_unmap(p, &rb);
	assert_int_equal(hv_pio_read(p, 0xcf9, 1), 0x88);
	hv_pio_map(p, &top);
	assert_int_equal(hv_pio_read(p, 0xffff, 4), 0xffffffab);
	assert_int_equal(hv_pio_read(p, 0xfffd, 4), 0xffababff);
	hv_pio_write(p, 0xffff, 4, 0x01020304);
	assert_true(b.value == 4 && b.off == 1);
	hv_pio_unmap(p, &ra);
	assert_int_equal(hv_pio_read(p, 0xcf8, 2), 0xffff);
	hv_pio_destroy(p);
	hv_domain_finish(&d);
}

struct late_access {
	struct hv_pio *p;
	atomic_bool begun;
	uint32_t got;
};

static void *access_late(void *arg)
{
	struct late_access *a = arg;

	atomic_store(&a->begun, true);
	a->got = hv_pio_read(a->p, 0x102, 2);
	hv_pio_write(a->p, 0x102, 2, 1);
	return NULL;
}

/* A vCPU that waits for the domain while another moves the range (a BAR): the device must not be
 * asked for an offset that it does not have. */
static void test_pio_moved(void **state)
{
	struct ports a = { .answer = 0x77 };
	struct hv_pio_range r = { .name = "bar", .port = 0x100, .count = 4, .io = &ops };
	struct late_access late = { 0 };
	struct hv_domain d;
	pthread_t t;
	struct err e;
	(void)state;

	assert_ok(hv_pio_create(&late.p, &e), &e);
	hv_domain_init(&d, "bar");
	r.domain = &d;
	r.io_ctx = &a;
	hv_pio_map(late.p, &r);
	hv_domain_lock(&d);
	assert_int_equal(pthread_create(&t, NULL, access_late, &late), 0);
	while (!atomic_load(&late.begun))
		sched_yield();
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL); /* it waits by now */
	hv_pio_unmap(late.p, &r);
	r.port = 0x200;
	hv_pio_map(late.p, &r);
	hv_domain_unlock(&d);
	pthread_join(t, NULL);
	assert_true(late.got == 0xffff && a.n == 0);
	assert_int_equal(hv_pio_read(late.p, 0x202, 2), 0x77);
	assert_int_equal(a.off, 2);
	hv_pio_destroy(late.p);
	hv_domain_finish(&d);
}

struct chip {
	unsigned n, input;
	bool level[4];
};

static void chip_set(void *ctx, unsigned input, bool level)
{
	struct chip *c = ctx;

	c->n++;
	c->input = input;
	c->level[input] = level;
}

static void test_irq(void **state)
{
	struct chip pic = { 0 }, ioapic = { 0 };
	struct hv_domain d;
	struct hv_irq_sink s1 = { chip_set, &pic, NULL }, s2 = { chip_set, &ioapic, &d };
	struct hv_irq_line l;
	struct hv_irq_driver a = { &l }, b = { &l }, loose = { NULL };
	(void)state;

	hv_domain_init(&d, "chips");
	hv_irq_line_init(&l);
	hv_irq_line_connect(&l, &s1, 1);
	hv_irq_line_connect(&l, &s2, 2);
	hv_irq_set(&loose, true);
	hv_irq_set(&a, false);
	assert_int_equal(pic.n, 0);
	hv_irq_set(&a, true);
	hv_irq_set(&a, true);
	assert_true(pic.n == 1 && ioapic.n == 1 && pic.level[1] && ioapic.level[2]);
	hv_irq_set(&b, true);
	hv_irq_set(&a, false);
	assert_true(pic.n == 1 && pic.level[1]); /* b still holds it */
	hv_irq_set(&b, false);
	assert_true(pic.n == 2 && ioapic.n == 2 && !pic.level[1] && !ioapic.level[2]);
	hv_irq_line_finish(&l);
	hv_domain_finish(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pio),
		cmocka_unit_test(test_pio_moved),
		cmocka_unit_test(test_irq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
