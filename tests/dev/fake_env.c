/* See fake_env.h. */
#include "fake_env.h"
#include <stdio.h>
#include <string.h>
#include "devmodel/virtio/rng_backend.h"

static uint64_t now_ns(void *ctx)
{
	return ((struct fake_env *)ctx)->now_ns;
}

static uint64_t wall_ns(void *ctx)
{
	const struct fake_env *f = ctx;

	return f->wall_base_ns + f->now_ns;
}

static void timer_arm(void *ctx, struct dev *d, unsigned timer, uint64_t when_ns)
{
	(void)d;
	((struct fake_env *)ctx)->timer_ns[timer] = when_ns;
}

static void irq_set(void *ctx, struct dev *d, unsigned line, bool level)
{
	struct fake_env *f = ctx;

	(void)d;
	f->irq_rises[line] += level && !f->irq[line];
	f->irq[line] = level;
}

static void msi_send(void *ctx, struct dev *d, uint64_t addr, uint32_t data)
{
	struct fake_env *f = ctx;

	(void)d;
	f->msi[f->n_msi % FAKE_MAX_MSI].addr = addr;
	f->msi[f->n_msi++ % FAKE_MAX_MSI].data = data;
}

static uint8_t *ram(struct fake_env *f, uint64_t gpa, size_t len)
{
	return gpa <= sizeof(f->ram) && len <= sizeof(f->ram) - gpa ? f->ram + gpa : NULL;
}

static int dma_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	const uint8_t *p = ram(ctx, gpa, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static int dma_write(void *ctx, uint64_t gpa, const void *buf, size_t len)
{
	uint8_t *p = ram(ctx, gpa, len);

	if (p == NULL)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}

static void *dma_host(void *ctx, uint64_t gpa, size_t len, bool write)
{
	(void)write;
	return ram(ctx, gpa, len);
}

static void dma_written(void *ctx, uint64_t gpa, uint64_t len)
{
	assert(ram(ctx, gpa, len) != NULL);
}

static void region_map(void *ctx, struct dev *d, unsigned region, enum dev_space space,
		       uint64_t base, bool on)
{
	struct fake_env *f = ctx;

	(void)d;
	f->map[region].space = space;
	f->map[region].base = base;
	f->map[region].on = on;
}

static void post(void *ctx, struct dev_work *w)
{
	struct fake_env *f = ctx;

	if (w->priv != NULL)
		return;
	assert(f->n_posts < FAKE_MAX_POSTS);
	w->priv = f;
	f->posts[f->n_posts++] = w;
}

static void request(void *ctx, struct dev *d, enum dev_request what, uint32_t arg)
{
	struct fake_env *f = ctx;

	(void)d;
	f->req[f->n_req % FAKE_MAX_REQUESTS].what = what;
	f->req[f->n_req++ % FAKE_MAX_REQUESTS].arg = arg;
}

static void *backend(void *ctx, struct dev *d, enum dev_backend kind, const char *name,
		     struct err *e)
{
	struct fake_env *f = ctx;
	void *p = NULL;

	if (++f->n_backend != f->fail_backend) {
		if (kind == DEV_BACKEND_BLK)
			p = strncmp(name, "floppy", 6) == 0 ? &f->floppy.blk : &f->blk.blk;
		else if (kind == DEV_BACKEND_CHR)
			p = &f->chr.chr;
		else if (kind == DEV_BACKEND_RNG)
			p = f->rng;
		else
			for (unsigned i = 0; i < FAKE_MAX_MACHINE && p == NULL; i++)
				if (f->machine[i].name && strcmp(f->machine[i].name, name) == 0)
					p = f->machine[i].p;
	}
	if (p == NULL)
		(void)err_set(e, -ENOENT, "%s: no back-end '%s'", d->id, name);
	return p;
}

/* Formats, so that a wrong format or argument shows under the sanitizers. */
static void quiet(void *ctx, const struct dev *d, enum dev_log_level l, const char *fmt, va_list ap)
{
	char line[256];

	(void)ctx, (void)d, (void)l;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
}

static void guest_error(void *ctx, const struct dev *d, const char *fmt, va_list ap)
{
	quiet(ctx, d, DEV_LOG_WARN, fmt, ap);
	((struct fake_env *)ctx)->guest_errors++;
}

/* ---- chr ---- */

static size_t chr_write(struct chr *c, const uint8_t *buf, size_t len)
{
	struct fake_chr *fc = HV_CONTAINER_OF(c, struct fake_chr, chr);

	len = len < fc->room ? len : fc->room;
	for (size_t i = 0; i < len; i++)
		fc->out[fc->n_out++ % FAKE_CHR_BYTES] = buf[i];
	if (fc->room != SIZE_MAX)
		fc->room -= len;
	return len;
}

static void chr_accept_input(struct chr *c)
{
	HV_CONTAINER_OF(c, struct fake_chr, chr)->accepts++;
}

static const struct chr_ops chr_ops = { .write = chr_write, .accept_input = chr_accept_input };

static void feed(struct fake_chr *fc)
{
	size_t n;

	if (fc->n_in == 0 || fc->chr.peer.receive == NULL)
		return;
	n = fc->chr.peer.receive(fc->chr.peer.ctx, fc->in, fc->n_in);
	assert(n <= fc->n_in);
	fc->n_in -= n;
	memmove(fc->in, fc->in + n, fc->n_in);
}

void fake_chr_input(struct fake_env *f, const void *buf, size_t len)
{
	struct fake_chr *fc = &f->chr;

	assert(len <= FAKE_CHR_BYTES - fc->n_in);
	memcpy(fc->in + fc->n_in, buf, len);
	fc->n_in += len;
	feed(fc);
}

void fake_chr_make_room(struct fake_env *f, size_t n)
{
	f->chr.room = n;
	if (f->chr.chr.peer.can_write != NULL)
		f->chr.chr.peer.can_write(f->chr.chr.peer.ctx);
}

/* ---- blk ---- */

static int transfer(struct fake_blk *b, struct blk_req *r)
{
	uint64_t off = r->offset % FAKE_BLK_BYTES;

	assert(r->offset <= b->blk.bytes && r->bytes <= b->blk.bytes - r->offset);
	if (b->fail < 0)
		return b->fail;
	b->flushes += r->op == BLK_FLUSH;
	if (r->op == BLK_FLUSH)
		return 0;
	assert(off <= FAKE_BLK_BYTES && r->bytes <= FAKE_BLK_BYTES - off);
	if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES)
		memset(b->data + off, 0, r->bytes);
	for (unsigned i = 0; i < r->n_iov && (r->op == BLK_READ || r->op == BLK_WRITE); i++) {
		if (r->op == BLK_READ)
			memcpy(r->iov[i].iov_base, b->data + off, r->iov[i].iov_len);
		else
			memcpy(b->data + off, r->iov[i].iov_base, r->iov[i].iov_len);
		off += r->iov[i].iov_len;
	}
	return 0;
}

static void blk_submit(struct blk *blk, struct blk_req *r)
{
	struct fake_blk *b = HV_CONTAINER_OF(blk, struct fake_blk, blk);
	struct blk_req **at = &b->head;

	while (*at != NULL)
		at = &(*at)->next;
	r->next = NULL;
	*at = r;
	if (b->head == r)
		b->done_ns = b->f->now_ns + b->delay_ns;
}

static void blk_drain(struct blk *blk)
{
	struct fake_blk *b = HV_CONTAINER_OF(blk, struct fake_blk, blk);

	b->drains++;
	while (b->head != NULL) {
		struct blk_req *r = b->head;
		b->head = r->next;
		r->done(r, transfer(b, r));
	}
}

static void blk_done_with(struct blk *blk)
{
	(void)blk;
}

static const struct blk_ops blk_ops = { .submit = blk_submit,
					.drain = blk_drain,
					.close = blk_done_with };

/* ---- rng ---- */

static void rng_fill(struct rng *r, uint8_t *buf, size_t len)
{
	(void)r;
	memset(buf, 0x5a, len); /* the same for twins */
}

static struct rng fake_rng = { .ops = &(const struct rng_ops){ .fill = rng_fill } };

/* ---- the world ---- */

static void init_blk(struct fake_env *f, struct fake_blk *b, uint64_t bytes)
{
	b->f = f;
	b->delay_ns = 1000;
	b->blk = (struct blk){
		.ops = &blk_ops, .bytes = bytes, .block_size = 512, .serial = "fake"
	};
}

void fake_env_init(struct fake_env *f, uint64_t now)
{
	memset(f, 0, sizeof(*f));
	f->env = (struct dev_env){
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
		.log = quiet,
		.guest_error = guest_error,
		.ctx = f,
	};
	f->now_ns = now;
	f->wall_base_ns = 1700000000ull * HV_NS_PER_SEC; /* 2023-11-14 22:13:20 UTC */
	for (unsigned i = 0; i < DEV_MAX_TIMERS; i++)
		f->timer_ns[i] = DEV_TIMER_OFF;
	f->rng = &fake_rng;
	f->chr.chr.ops = &chr_ops;
	f->chr.room = SIZE_MAX;
	init_blk(f, &f->blk, FAKE_BLK_BYTES);
	init_blk(f, &f->floppy, FAKE_FLOPPY_BYTES);
}

void fake_env_copy_world(struct fake_env *to, const struct fake_env *from)
{
	to->now_ns = from->now_ns;
	to->wall_base_ns = from->wall_base_ns;
	memcpy(to->ram, from->ram, sizeof(to->ram));
	memcpy(to->blk.data, from->blk.data, sizeof(to->blk.data));
	to->blk.fail = from->blk.fail;
	memcpy(to->floppy.data, from->floppy.data, sizeof(to->floppy.data));
	to->floppy.fail = from->floppy.fail;
	memcpy(to->chr.out, from->chr.out, sizeof(to->chr.out));
	to->chr.n_out = from->chr.n_out;
	to->chr.room = from->chr.room;
	memcpy(to->chr.in, from->chr.in, sizeof(to->chr.in));
	to->chr.n_in = from->chr.n_in;
	memcpy(to->msi, from->msi, sizeof(to->msi));
	to->n_msi = from->n_msi;
	memcpy(to->req, from->req, sizeof(to->req));
	to->n_req = from->n_req;
}

void fake_env_provide(struct fake_env *f, const char *name, void *p)
{
	unsigned i = 0;

	while (i < FAKE_MAX_MACHINE - 1 && f->machine[i].name != NULL &&
	       strcmp(f->machine[i].name, name) != 0)
		i++;
	f->machine[i].name = name;
	f->machine[i].p = p;
}

void fake_env_run_posts(struct fake_env *f)
{
	for (unsigned n = 0; f->n_posts > 0 && n < 4 * FAKE_MAX_POSTS; n++) {
		struct dev_work *w = f->posts[0];
		memmove(f->posts, f->posts + 1, --f->n_posts * sizeof(f->posts[0]));
		w->priv = NULL;
		w->fn(w->dev, w);
	}
}

static void run_blk(struct fake_blk *b)
{
	if (b->head != NULL && b->done_ns <= b->f->now_ns)
		blk_drain(&b->blk);
}

void fake_env_advance(struct fake_env *f, struct dev *d, uint64_t ns)
{
	f->now_ns += ns;
	run_blk(&f->blk);
	run_blk(&f->floppy);
	fake_env_run_posts(f);
	for (unsigned i = 0; i < d->cls->n_timers; i++) {
		if (f->timer_ns[i] > f->now_ns)
			continue;
		f->timer_ns[i] = DEV_TIMER_OFF;
		d->cls->timer(d, i);
	}
	if (f->chr.accepts > 0) {
		f->chr.accepts = 0;
		feed(&f->chr);
	}
}

void fake_env_run_until(struct fake_env *f, struct dev *d, uint64_t when_ns, unsigned max_steps)
{
	for (unsigned n = 0; n < max_steps && f->now_ns < when_ns; n++) {
		uint64_t next = when_ns;
		for (unsigned i = 0; i < d->cls->n_timers; i++)
			next = hv_min_u64(next, f->timer_ns[i]);
		fake_env_advance(f, d, next > f->now_ns ? next - f->now_ns : 0);
	}
}
