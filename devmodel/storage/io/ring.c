/* Direct I/O by io_uring, see ring.h. */
#include "devmodel/storage/io/ring.h"
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/thread.h"
#include "base/util.h"

#define N_ENTRIES 128u

struct io_ring {
	struct io_uring ring;
	pthread_mutex_t lock; /* of the ring's submission side and what follows */
	pthread_cond_t idle;
	unsigned under_way;
	bool broken; /* the kernel takes nothing any more */
	/* loop thread */
	pthread_t thread;
	bool started;
	/* constant after creation */
	void (*again)(void *ctx, struct blk_req *r);
	void *ctx; /* borrowed */
};

static void finish(struct io_ring *q, struct blk_req *r, int result)
{
	/* The lock orders this after the submission, whatever the kernel does in between. */
	pthread_mutex_lock(&q->lock);
	pthread_mutex_unlock(&q->lock);
	if (result >= 0 && (uint64_t)result == r->bytes)
		r->done(r, 0);
	else
		q->again(q->ctx, r);
	pthread_mutex_lock(&q->lock);
	if (--q->under_way == 0)
		pthread_cond_broadcast(&q->idle);
	pthread_mutex_unlock(&q->lock);
}

static void *ring_thread(void *arg)
{
	struct io_ring *q = arg;

	for (;;) {
		struct io_uring_cqe *cqe = NULL;
		const int r = io_uring_wait_cqe(&q->ring, &cqe);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0)
			return NULL;
		struct blk_req *req = io_uring_cqe_get_data(cqe);
		const int result = cqe->res;
		io_uring_cqe_seen(&q->ring, cqe);
		if (req == NULL)
			return NULL; /* io_ring_stop() */
		finish(q, req, result);
	}
}

/* Lock held. */
static bool push(struct io_ring *q, struct blk_req *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	if (sqe == NULL)
		return false;
	if (r == NULL) {
		io_uring_prep_nop(sqe);
	} else {
		if (r->op == BLK_READ)
			io_uring_prep_readv(sqe, 0, r->iov, r->n_iov, r->offset);
		else
			io_uring_prep_writev(sqe, 0, r->iov, r->n_iov, r->offset);
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	io_uring_sqe_set_data(sqe, r);
	if (io_uring_submit(&q->ring) == 1)
		return true;
	/* It stays in the ring, and must not be done later, too: it will tell the thread to end. */
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, NULL);
	q->broken = true;
	return false;
}

/* Tells the thread to end. A ring that is refused for good has told it the same. Lock held. */
static void push_end(struct io_ring *q)
{
	int r = 0;

	if (!q->broken && push(q, NULL))
		return;
	do
		r = io_uring_submit(&q->ring);
	while ((r == -EAGAIN || r == -EINTR) && usleep(1000) == 0); /* no memory just now */
}

bool io_ring_submit(struct io_ring *q, struct blk_req *r)
{
	pthread_mutex_lock(&q->lock);
	const bool taken = q->started && !q->broken && q->under_way < N_ENTRIES && push(q, r);
	q->under_way += taken;
	pthread_mutex_unlock(&q->lock);
	return taken;
}

void io_ring_drain(struct io_ring *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->under_way > 0)
		pthread_cond_wait(&q->idle, &q->lock);
	pthread_mutex_unlock(&q->lock);
}

int io_ring_start(struct io_ring *q, struct err *e)
{
	if (q->started || q->broken)
		return 0;
	const int r = hv_thread_start(&q->thread, "io-ring", ring_thread, q, e);
	pthread_mutex_lock(&q->lock);
	q->started = r == 0;
	pthread_mutex_unlock(&q->lock);
	return r;
}

void io_ring_stop(struct io_ring *q)
{
	if (!q->started)
		return;
	io_ring_drain(q);
	pthread_mutex_lock(&q->lock);
	q->started = false;
	push_end(q);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
}

void io_ring_destroy(struct io_ring *q)
{
	if (q == NULL)
		return;
	io_ring_stop(q);
	io_uring_queue_exit(&q->ring);
	pthread_cond_destroy(&q->idle);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* Of what liburing 2.3 declares and does not export. */
static int call_register(const struct io_uring *ring, unsigned op, const void *arg, unsigned n)
{
	return (int)syscall(SYS_io_uring_register, ring->ring_fd, op, arg, n) < 0 ? -errno : 0;
}

/* The ring belongs to a process that is not trusted once its guest runs. */
static int confine(struct io_uring *ring, int fd)
{
	static const uint8_t ops[] = { IORING_OP_NOP, IORING_OP_READV, IORING_OP_WRITEV };
	struct io_uring_restriction only[HV_ARRAY_LEN(ops) + 1] = { 0 };
	int r = io_uring_register_files(ring, &fd, 1);

	if (r < 0)
		return r;
	for (size_t i = 0; i < HV_ARRAY_LEN(ops); i++) {
		only[i].opcode = IORING_RESTRICTION_SQE_OP;
		only[i].sqe_op = ops[i];
	}
	only[HV_ARRAY_LEN(ops)].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	only[HV_ARRAY_LEN(ops)].sqe_flags = IOSQE_FIXED_FILE;
	r = call_register(ring, IORING_REGISTER_RESTRICTIONS, only, HV_ARRAY_LEN(only));
	return r < 0 ? r : call_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int io_ring_create(int fd, void (*again)(void *ctx, struct blk_req *r), void *ctx,
		   struct io_ring **ret_ring)
{
	struct io_ring *q = calloc(1, sizeof(*q));
	int r;

	if (q == NULL)
		return -ENOMEM;
	r = io_uring_queue_init(N_ENTRIES, &q->ring, IORING_SETUP_R_DISABLED);
	if (r < 0) {
		free(q);
		return r;
	}
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->idle, NULL);
	q->again = again;
	q->ctx = ctx;
	r = confine(&q->ring, fd);
	if (r < 0) {
		io_ring_destroy(q);
		return r;
	}
	*ret_ring = q;
	return 0;
}
