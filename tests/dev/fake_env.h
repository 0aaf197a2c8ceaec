/*
 * A dev_env for tests and fuzzing, one per device: a clock that the test moves, lines, timers,
 * messages and requests to look at, back-ends in memory, and back-end requests that fail on demand.
 */
#ifndef TESTS_DEV_FAKE_ENV_H
#define TESTS_DEV_FAKE_ENV_H
#include "devmodel/chipset/chr.h"
#include "devmodel/dev.h"
#include "devmodel/storage/blk.h"

#define FAKE_RAM_BYTES 65536u
#define FAKE_BLK_BYTES 65536u
#define FAKE_FLOPPY_BYTES 737280u /* 720K; its data come again and again */
#define FAKE_MAX_MSI 64
#define FAKE_MAX_REQUESTS 64
#define FAKE_MAX_POSTS 64
#define FAKE_MAX_MACHINE 8
#define FAKE_CHR_BYTES 4096u

/* Output of the guest, and input that waits to be taken. */
struct fake_chr {
	struct chr chr;
	uint8_t out[FAKE_CHR_BYTES]; /* the last bytes that came; wraps */
	size_t n_out;		     /* since the start */
	size_t room;		     /* how many bytes the next writes take; SIZE_MAX: any */
	uint8_t in[FAKE_CHR_BYTES];
	size_t n_in;
	unsigned accepts; /* calls of accept_input */
};

/* A disk in memory; a request is done delay_ns of virtual time later, or in drain. */
struct fake_blk {
	struct blk blk;
	struct fake_env *f;
	struct blk_req *head;
	uint64_t delay_ns, done_ns;
	int fail; /* -errno for all later requests */
	unsigned flushes, drains;
	uint8_t data[FAKE_BLK_BYTES];
};

struct fake_env {
	struct dev_env env;
	uint64_t now_ns, wall_base_ns, timer_ns[DEV_MAX_TIMERS];
	bool irq[DEV_MAX_IRQS];
	unsigned irq_rises[DEV_MAX_IRQS];
	unsigned guest_errors;
	struct {
		uint64_t addr;
		uint32_t data;
	} msi[FAKE_MAX_MSI]; /* the last ones; n_msi counts all */
	unsigned n_msi;
	struct {
		enum dev_request what;
		uint32_t arg;
	} req[FAKE_MAX_REQUESTS];
	unsigned n_req;
	struct {
		uint64_t base;
		enum dev_space space;
		bool on;
	} map[DEV_MAX_REGIONS];
	struct dev_work *posts[FAKE_MAX_POSTS];
	unsigned n_posts;
	unsigned n_backend;    /* calls of backend so far */
	unsigned fail_backend; /* this call (from 1) fails; 0: none */
	struct {
		const char *name;
		void *p;
	} machine[FAKE_MAX_MACHINE]; /* DEV_BACKEND_MACHINE by name: fake_env_provide() */
	void *rng;		     /* DEV_BACKEND_RNG; NULL: none */
	struct fake_chr chr;
	struct fake_blk blk, floppy; /* "floppy0" and "floppy1" are one */
	uint8_t ram[FAKE_RAM_BYTES]; /* guest RAM from address 0 */
};

void fake_env_init(struct fake_env *f, uint64_t now_ns);
/* Makes to's clock, RAM and back-ends what from's are; the lines and counters too. */
void fake_env_copy_world(struct fake_env *to, const struct fake_env *from);
void fake_env_provide(struct fake_env *f, const char *name, void *p);
/* Moves the clock, completes what is due, runs what was posted, then calls each timer of d that is
 * due, once. */
void fake_env_advance(struct fake_env *f, struct dev *d, uint64_t ns);
void fake_env_run_posts(struct fake_env *f);
/* Advances in steps from timer to timer, so that none is late; at most max_steps of them. */
void fake_env_run_until(struct fake_env *f, struct dev *d, uint64_t when_ns, unsigned max_steps);
/* Offers bytes to the device behind chr: what it did not take waits for accept_input. */
void fake_chr_input(struct fake_env *f, const void *buf, size_t len);
/* The back-end takes n more bytes (SIZE_MAX: any number), and says so. */
void fake_chr_make_room(struct fake_env *f, size_t n);
#endif
