/*
 * powercut [SEED]: a qcow2 image is used while all that reaches its file is recorded: every write
 * and flush. Then the power is cut after each of them: what was flushed is in the file, of the rest
 * any part, by sectors, in any order. Each such file must be an image without an error (lost
 * clusters are allowed) that shows, sector by sector, what the guest flushed last or something that
 * it wrote since. Images with a backing image, chains of three overlays and merges are cut, too.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/util.h"
#include "devmodel/storage/format/qcow2/int.h"
#include "devmodel/storage/image_merge.h"
#include "memfile.h"

#define SECTOR 512u
#define DISK_BYTES (1u << 20)
#define N_SECTORS (DISK_BYTES / SECTOR)
#define N_FILES 4 /* each is based on the next */
#define N_THREADS 3
#define STRIPE 8u /* sectors */

static void die(const char *fmt, ...) HV_PRINTF(1, 2);

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "powercut: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* ---- what happens to files ---- */

struct event {
	int file;
	bool flush;
	uint64_t off, bytes;
	uint8_t *data; /* owned; NULL: zeroes */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, and of the files */
static struct event *events;
static size_t n_events, max_events;
static bool recording;

struct file {
	struct mem_file mem;
	int index; /* in events; -1: not recorded */
};

static void note(struct mem_file *m, bool flush, uint64_t off, uint64_t bytes, const uint8_t *data)
{
	const struct file *f = HV_CONTAINER_OF(m, struct file, mem);

	if (!recording || f->index < 0)
		return;
	if (n_events == max_events) {
		max_events = max_events * 2 + 1024;
		events = realloc(events, max_events * sizeof(*events));
	}
	struct event *v = &events[n_events++];
	*v = (struct event){ f->index, flush, off, bytes, NULL };
	if (data != NULL) {
		v->data = malloc(bytes);
		memcpy(v->data, data, bytes);
	}
}

static struct io_host host_of(struct file *f)
{
	f->mem.lock = &lock;
	f->mem.note = note;
	return mem_file_host(&f->mem);
}

/* ---- the guest and what it knows ---- */

struct value {
	uint32_t tag;	    /* what fills the sector; 0: zeroes */
	size_t begun, done; /* events before; done SIZE_MAX: not yet */
};

struct history {
	struct value *v; /* owned; v[0]: before everything */
	unsigned n, max;
};

struct flush {
	size_t begun, done;
};

static struct history sectors[N_SECTORS];
static struct flush *flushes;
static unsigned n_flushes;
static uint32_t next_tag = 1;
static struct blk *top;

static void add_value(unsigned sector, uint32_t tag, size_t begun)
{
	struct history *h = &sectors[sector];

	if (h->n == h->max) {
		h->max = h->max * 2 + 4;
		h->v = realloc(h->v, h->max * sizeof(*h->v));
	}
	h->v[h->n++] = (struct value){ tag, begun, SIZE_MAX };
}

static void fill(uint8_t *buf, unsigned n, uint32_t tag)
{
	for (size_t i = 0; i < n * SECTOR / 4; i++)
		memcpy(buf + 4 * i, &tag, 4);
}

/* The tag of a sector; UINT32_MAX: it is of two minds. */
static uint32_t tag_of(const uint8_t *buf)
{
	uint32_t tag;

	memcpy(&tag, buf, 4);
	return memcmp(buf, buf + 4, SECTOR - 4) == 0 ? tag : UINT32_MAX;
}

static void finish_values(unsigned first, unsigned n)
{
	pthread_mutex_lock(&lock);
	for (unsigned i = first; i < first + n; i++)
		sectors[i].v[sectors[i].n - 1].done = n_events;
	pthread_mutex_unlock(&lock);
}

static void guest_write(unsigned first, unsigned n, bool zero)
{
	uint8_t *buf = malloc(n * SECTOR);

	pthread_mutex_lock(&lock);
	const uint32_t tag = zero ? 0 : next_tag++;
	for (unsigned i = first; i < first + n; i++)
		add_value(i, tag, n_events);
	pthread_mutex_unlock(&lock);
	fill(buf, n, tag);
	const int r = zero ? blk_run(top, BLK_WRITE_ZEROES, first * SECTOR, NULL, n * SECTOR)
			   : blk_run(top, BLK_WRITE, first * SECTOR, buf, n * SECTOR);
	if (r < 0)
		die("write: %s", strerror(-r));
	finish_values(first, n);
	free(buf);
}

/* The sectors have what they had, or nothing: looked up once it is over. */
static void guest_discard(unsigned first, unsigned n)
{
	uint8_t *buf = malloc(n * SECTOR);

	pthread_mutex_lock(&lock);
	const size_t begun = n_events;
	pthread_mutex_unlock(&lock);
	int r = blk_run(top, BLK_DISCARD, first * SECTOR, NULL, n * SECTOR);
	if (r == 0)
		r = blk_run(top, BLK_READ, first * SECTOR, buf, n * SECTOR);
	if (r < 0)
		die("discard: %s", strerror(-r));
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < n; i++)
		add_value(first + i, tag_of(buf + i * SECTOR), begun);
	pthread_mutex_unlock(&lock);
	finish_values(first, n);
	free(buf);
}

static void guest_flush(void)
{
	struct flush f;

	pthread_mutex_lock(&lock);
	f.begun = n_events;
	pthread_mutex_unlock(&lock);
	const int r = blk_run(top, BLK_FLUSH, 0, NULL, 0);
	if (r < 0)
		die("flush: %s", strerror(-r));
	pthread_mutex_lock(&lock);
	f.done = n_events;
	flushes = realloc(flushes, (n_flushes + 1) * sizeof(f));
	flushes[n_flushes++] = f;
	pthread_mutex_unlock(&lock);
}

struct guest {
	pthread_t thread;
	unsigned index, n_guests, n_ops;
	uint64_t seed;
};

static void guest_step(struct guest *g)
{
	unsigned first = (unsigned)(rnd(&g->seed) % N_SECTORS);
	unsigned n = 1 + (unsigned)(rnd(&g->seed) % (rnd(&g->seed) % 5 == 0 ? 400 : 20));

	if (g->n_guests > 1) { /* a sector belongs to one of them */
		const unsigned stripe =
			(unsigned)(rnd(&g->seed) % (N_SECTORS / STRIPE / g->n_guests));
		first = (stripe * g->n_guests + g->index) * STRIPE + first % STRIPE;
		n = 1 + n % (STRIPE - first % STRIPE);
	}
	n = (unsigned)hv_min_u64(n, N_SECTORS - first);
	switch (rnd(&g->seed) % 9) {
	case 0:
		guest_write(first, n, true);
		break;
	case 1:
		guest_discard(first, n);
		break;
	case 2:
		guest_flush();
		break;
	default:
		guest_write(first, n, false);
	}
}

static void *guest_main(void *arg)
{
	struct guest *g = arg;

	for (unsigned i = 0; i < g->n_ops; i++)
		guest_step(g);
	return NULL;
}

/* ---- images ---- */

struct kind {
	const char *name;
	struct qcow2_create c;
	int n_files;
	unsigned n_guests, n_ops;
	bool resize;	 /* at the end */
	unsigned wasted; /* clusters of each file that are counted and not used */
	int merge;	 /* enum image_merge_way; -1: none */
};

static struct blk *open_file(struct file *f, bool for_check, const char *why)
{
	const struct qcow2_options o = { .for_check = for_check };
	struct io_host h = host_of(f);
	struct blk *b = NULL;
	struct err e;

	if (qcow2_open(&h, "image", &o, &b, &e) < 0)
		die("%s: %s", why, e.msg);
	return b;
}

/* With what it is based on: a merge upwards leaves one out. */
static struct blk *open_chain(struct file *f, int i, const char *why)
{
	struct blk *b = open_file(&f[i], false, why);
	const char *below = qcow2_info(b)->backing_file;

	if (below[0] != '\0')
		qcow2_set_backing(b, open_chain(f, below[0] - '0', why));
	return b;
}

static void make(struct file *f, const struct kind *k, int i)
{
	char below[] = { (char)('0' + i + 1), '\0' };
	struct qcow2_create c = k->c;
	struct io_host h = host_of(&f[i]);
	struct err e;

	c.bytes = DISK_BYTES;
	if (i + 1 < k->n_files) {
		c.backing_file = below;
		c.backing_format = "qcow2";
	}
	if (qcow2_format(&h, &c, &e) < 0)
		die("%s", e.msg);
}

/* ---- the cut ---- */

/* Of what was not flushed: 0: all, 1: nothing, else some sectors. */
static void cut(struct mem_file *m, const struct mem_file *durable, int file, size_t from,
		size_t to, unsigned how, uint64_t *seed)
{
	mem_file_reserve(m, durable->bytes);
	memcpy(m->data, durable->data, durable->bytes);
	memset(m->data + durable->bytes, 0, m->room - durable->bytes);
	m->bytes = durable->bytes;
	if (how == 1)
		return;
	for (size_t i = from; i < to; i++) {
		const struct event *v = &events[i];
		if (v->file != file || v->flush)
			continue;
		if (how == 0) {
			mem_file_put(m, v->off, v->bytes, v->data);
			continue;
		}
		const bool all = rnd(seed) % 3 == 0;
		for (uint64_t at = 0, n; at < v->bytes; at += n) {
			n = hv_min_u64(SECTOR - (v->off + at) % SECTOR, v->bytes - at);
			if (all || rnd(seed) % 2 == 0)
				mem_file_put(m, v->off + at, n,
					     v->data != NULL ? v->data + at : NULL);
		}
	}
}

/* May the sector have that tag, if the power went after n events? */
static bool allowed(unsigned sector, uint32_t tag, size_t n)
{
	const struct history *h = &sectors[sector];
	unsigned base = 0;

	for (unsigned i = 0; i < n_flushes; i++)
		for (unsigned k = base + 1; flushes[i].done <= n && k < h->n; k++)
			if (h->v[k].done <= flushes[i].begun)
				base = k;
	for (unsigned k = base; k < h->n; k++)
		if (h->v[k].tag == tag && (k == base || h->v[k].begun <= n))
			return true;
	return false;
}

static void check_file(struct file *f, size_t n, const char *why)
{
	struct qcow2_check c;
	struct err e;
	struct blk *b = open_file(f, true, why);
	const bool lazy = qcow2_info(b)->dirty; /* its counts may be anything */

	if (qcow2_check(b, false, &c, &e) < 0)
		die("%s: %s", why, e.msg);
	blk_close(b);
	if (c.errors > 0 && !lazy)
		die("%s: cut after %zu events: %s", why, n, c.first);
}

static void check_contents(struct file *f, size_t n, const char *why)
{
	static uint8_t buf[DISK_BYTES];
	struct blk *b = open_chain(f, 0, why);

	if (blk_run(b, BLK_READ, 0, buf, DISK_BYTES) < 0)
		die("%s: cut after %zu events: cannot read", why, n);
	for (unsigned i = 0; i < N_SECTORS; i++)
		if (!allowed(i, tag_of(buf + i * SECTOR), n))
			die("%s: cut after %zu events: sector %u has %x", why, n, i,
			    tag_of(buf + i * SECTOR));
	blk_close(b);
}

/* durable: the files after everything up to the last flush of each before event n. */
static void check_cut(const struct kind *k, const struct mem_file *durable, const size_t *from,
		      size_t n, uint64_t *seed)
{
	static struct file f[N_FILES];

	for (unsigned how = 0; how < 4; how++) {
		for (int i = 0; i < k->n_files; i++) {
			f[i].index = -1;
			cut(&f[i].mem, &durable[i], i, from[i], n, how, seed);
			check_file(&f[i], n, k->name);
		}
		check_contents(f, n, k->name);
	}
}

static void replay(const struct kind *k, struct mem_file *durable, uint64_t seed)
{
	size_t from[N_FILES] = { 0 };

	for (size_t n = 0; n <= n_events; n++) {
		/* Most are alike; all around flushes. */
		const bool near = n == n_events || events[n].flush ||
				  (n > 0 && events[n - 1].flush);
		if (near || rnd(&seed) % 4 == 0)
			check_cut(k, durable, from, n, &seed);
		if (n == n_events || !events[n].flush)
			continue;
		const int file = events[n].file;
		for (size_t i = from[file]; i < n; i++)
			if (events[i].file == file && !events[i].flush)
				mem_file_put(&durable[file], events[i].off, events[i].bytes,
					     events[i].data);
		from[file] = n;
	}
}

/* ---- one kind of image ---- */

static void copy_mem(struct mem_file *to, const struct mem_file *from)
{
	*to = (struct mem_file){ 0 };
	mem_file_reserve(to, from->bytes);
	memcpy(to->data, from->data, from->bytes);
}

static void use(const struct kind *k, uint64_t seed)
{
	struct guest g[N_THREADS] = { 0 };
	struct image_merge m;
	struct err e;

	for (unsigned i = 0; i < k->n_guests; i++) {
		g[i] = (struct guest){ .index = i, .n_guests = k->n_guests, .n_ops = k->n_ops };
		g[i].seed = seed * 77 + i + 1;
		if (pthread_create(&g[i].thread, NULL, guest_main, &g[i]) != 0)
			die("no thread");
	}
	for (int left = 2; k->merge >= 0 && left > 0; left--) {
		if (image_merge_begin(&m, top, (enum image_merge_way)k->merge, &e) < 0)
			die("%s", e.msg);
		while (image_merge_step(&m, &e) > 0)
			;
	}
	for (unsigned i = 0; i < k->n_guests; i++)
		pthread_join(g[i].thread, NULL);
	if (k->merge == IMAGE_MERGE_UP && image_merge_finish(&m, &top, &e) < 0)
		die("%s", e.msg);
	/* A larger L1 table, and back again. */
	if (k->resize &&
	    (qcow2_resize(top, 8 * DISK_BYTES, &e) < 0 || qcow2_resize(top, DISK_BYTES, &e) < 0))
		die("%s", e.msg);
}

static void reset(struct file *f)
{
	for (size_t i = 0; i < n_events; i++)
		free(events[i].data);
	for (unsigned i = 0; i < N_SECTORS; i++)
		sectors[i].n = 0;
	for (int i = 0; i < N_FILES; i++) {
		free(f[i].mem.data);
		f[i].mem = (struct mem_file){ 0 };
		f[i].index = i;
	}
	n_events = n_flushes = 0;
	recording = false;
}

/* So that the table of the counts is nearly full. */
static void waste(struct blk *b, unsigned n)
{
	struct q2 *q = q2_of(b);

	for (unsigned i = 0; i < n; i++) {
		uint64_t cluster, got;
		bool fresh;
		pthread_mutex_lock(&q->lock);
		const int r = q2_alloc(q, 1, &cluster, &got, &fresh);
		pthread_mutex_unlock(&q->lock);
		if (r < 0)
			die("waste: %s", strerror(-r));
	}
}

static void try(const struct kind *k, uint64_t seed)
{
	static struct file f[N_FILES];
	struct mem_file durable[N_FILES];
	struct guest before = { .n_guests = 1, .seed = seed + 99 };

	reset(f);
	for (unsigned i = 0; i < N_SECTORS; i++)
		add_value(i, 0, 0);
	for (int i = k->n_files - 1; i >= 0; i--) { /* something is there already */
		make(f, k, i);
		top = open_chain(f, i, k->name);
		for (unsigned n = 0; n < 12; n++)
			guest_step(&before);
		waste(top, k->wasted);
		blk_close(top);
	}
	for (unsigned i = 0; i < N_SECTORS; i++) {
		sectors[i].v[0].tag = sectors[i].v[sectors[i].n - 1].tag;
		sectors[i].n = 1;
	}
	n_flushes = 0;
	for (int i = 0; i < N_FILES; i++)
		copy_mem(&durable[i], &f[i].mem);
	recording = true;
	top = open_chain(f, 0, k->name);
	use(k, seed);
	blk_close(top);
	recording = false;
	replay(k, durable, seed);
	printf("%s: %zu events, %u flushes\n", k->name, n_events, n_flushes);
	for (int i = 0; i < N_FILES; i++)
		free(durable[i].data);
}

int main(int argc, char **argv)
{
	static const struct kind kinds[] = {
		{ "512", { .cluster_bits = 9 }, 1, 1, 60, true, 0, -1 },
		{ "4K", { .cluster_bits = 12 }, 1, 1, 60, false, 0, -1 },
		{ "64K", { .cluster_bits = 16 }, 1, 1, 60, false, 0, -1 },
		{ "version 2", { .cluster_bits = 12, .version = 2 }, 2, 1, 50, true, 0, -1 },
		{ "lazy", { .cluster_bits = 12, .lazy_refcounts = true }, 1, 1, 50, false, 0, -1 },
		{ "growing",
		  { .cluster_bits = 9, .refcount_bits = 64 },
		  2,
		  1,
		  60,
		  false,
		  2400,
		  -1 },
		{ "backing", { .cluster_bits = 12 }, 2, 1, 60, false, 0, -1 },
		{ "three overlays", { .cluster_bits = 12 }, 4, 1, 60, false, 0, -1 },
		{ "threads", { .cluster_bits = 14 }, 2, N_THREADS, 40, false, 0, -1 },
		{ "down", { .cluster_bits = 12 }, 2, 1, 25, false, 0, IMAGE_MERGE_DOWN },
		{ "up", { .cluster_bits = 12 }, 2, 1, 25, false, 0, IMAGE_MERGE_UP },
		{ "up in a chain", { .cluster_bits = 12 }, 4, 1, 25, false, 0, IMAGE_MERGE_UP },
	};
	const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

	log_set_level(LOG_LVL_ERROR);
	for (size_t i = 0; i < HV_ARRAY_LEN(kinds); i++)
		try(&kinds[i], seed * 1000 + i);
	return 0;
}
