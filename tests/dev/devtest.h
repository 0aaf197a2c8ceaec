/* What the tests of single devices share: a fake machine with one or more devices in it. */
#ifndef TESTS_DEV_DEVTEST_H
#define TESTS_DEV_DEVTEST_H
#include "ctest.h"
#include "fake_machine.h"

static inline struct dev *make(struct fake_machine *m, const struct dev_class *c)
{
	struct dev *d = NULL;
	struct err e = { 0 };

	assert_ok(fake_machine_create(m, c, c->name, &d, &e), &e);
	return d;
}

static inline uint64_t rd(struct dev *d, unsigned region, uint64_t off, unsigned size)
{
	return dev_read(d, region, off, size);
}

static inline void wr(struct dev *d, unsigned region, uint64_t off, unsigned size, uint64_t v)
{
	dev_write(d, region, off, size, v);
}

/* The device's state, saved and loaded into itself after a reset. */
static inline void save_and_load(struct dev *d)
{
	auto_state_out struct state_out s = { 0 };
	struct err e = { 0 };

	assert_ok(dev_save(d, &s, &e), &e);
	d->cls->reset(d);
	assert_ok(dev_load(d, &(struct state_in){ s.p, s.len }, &e), &e);
	if (d->cls->resume != NULL)
		d->cls->resume(d);
}

#define MACHINE_SETUP                                                                              \
	static int setup(void **state)                                                             \
	{                                                                                          \
		struct fake_machine *m = test_calloc(1, sizeof(*m));                               \
		fake_machine_init(m, 1000000);                                                     \
		*state = m;                                                                        \
		return 0;                                                                          \
	}                                                                                          \
	static int teardown(void **state)                                                          \
	{                                                                                          \
		test_free(*state);                                                                 \
		return 0;                                                                          \
	}
#define DEVICE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#endif
