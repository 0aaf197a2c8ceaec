/* See merging.h. */
#include "vm/merging.h"
#include <errno.h>
#include <glib.h>
#include <unistd.h>
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "devmodel/storage/image.h"
#include "devmodel/storage/live.h"
#include "protocol/folder.h"
#include "vm/layers.h"
#include "vm/vm.h"

#define LATER_NS (10 * HV_NS_PER_SEC)
#define MOST_BYTES HV_GIB(1) /* that are copied, unless there are as many above */

/* ---- the thread ---- */

/* The image above, which the guest writes to; NULL: this pair is left for later. */
static struct blk *open_above(struct merging *m, const struct layer_pair *p)
{
	struct blk *above = g_hash_table_lookup(m->open, p->above);
	const uint64_t most = hv_max_u64(layer_disk_bytes(p->above), MOST_BYTES);

	return above && !above->read_only && layer_disk_bytes(p->below) <= most ? above : NULL;
}

/* 1: it was stopped. */
static int copy(struct merging *m, struct blk *above, struct err *e)
{
	int r = image_merge_begin(&m->merge, above, IMAGE_MERGE_UP, e);

	while (r >= 0 && !atomic_load_explicit(&m->stop, memory_order_relaxed)) {
		r = image_merge_step(&m->merge, e);
		if (r == 0)
			return 0;
	}
	return r < 0 ? r : 1;
}

static int merge_first(struct merging *m, const GPtrArray *pairs, struct err *e)
{
	for (guint i = 0; i < pairs->len; i++) {
		const struct layer_pair *p = pairs->pdata[i];
		struct blk *above = open_above(m, p);
		if (!above)
			continue;
		const int r = copy(m, above, e);
		if (r == 0)
			m->spare = g_strdup(p->below);
		return r;
	}
	return 0;
}

static void *run(void *arg)
{
	struct vm *vm = arg;
	struct merging *m = &vm->merging;
	GPtrArray *pairs = layers_spare(m->below, &m->error);

	m->result = pairs ? merge_first(m, pairs, &m->error) : m->error.code;
	if (pairs)
		g_ptr_array_unref(pairs);
	loop_post(vm->loop, &m->ended);
	return NULL;
}

/* ---- the loop ---- */

static int leave_out(struct vm *vm, struct err *e)
{
	struct merging *m = &vm->merging;
	struct blk *rest;
	int r = image_merge_finish(&m->merge, &rest, e);

	if (r == 0 && unlink(m->spare) < 0)
		r = err_set(e, -errno, "cannot remove '%s': %s", m->spare, strerror(errno));
	lodge_folder_sync("disks");
	return r;
}

static void finish(struct vm *vm)
{
	const bool was_running = machine_running(vm->machine);
	struct merging *m = &vm->merging;
	int r = was_running ? machine_pause(vm->machine, &m->error) : 0;

	if (r == 0) {
		r = leave_out(vm, &m->error);
		if (was_running)
			vm_go_on(vm);
	}
	m->result = r;
}

/* What the thread had. */
static void tidy(struct merging *m)
{
	g_hash_table_unref(m->open);
	g_hash_table_unref(m->below);
	g_free(g_steal_pointer(&m->spare));
	m->open = m->below = NULL;
	m->started = false;
}

static void on_ended(void *ctx)
{
	struct vm *vm = ctx;
	struct merging *m = &vm->merging;
	bool more;

	pthread_join(m->thread, NULL);
	if (m->spare && !vm->quitting)
		finish(vm);
	/* Asked for meanwhile, as by a snapshot's deletion, which may be why it failed. */
	more = m->again || (m->result == 0 && m->spare);
	if (m->result < 0 && !more)
		log_msg(LOG_LVL_WARN, "snapshot", "layers of disks are not merged now: %s",
			m->error.msg);
	tidy(m);
	if (more && !vm->quitting)
		merging_begin(vm);
}

/* The disk's images from the top on, as far as they are in this folder. */
static void note_open(struct merging *m, const struct vm_disk_config *d, struct blk *b)
{
	char *file = layer_own_name(d->file);

	while (file && qcow2_is(b)) {
		char *below = layer_below(qcow2_info(b)->backing_file);
		g_hash_table_insert(m->open, g_strdup(file), b);
		g_hash_table_insert(m->below, file, g_strdup(below ? below : ""));
		file = b->backing ? g_steal_pointer(&below) : NULL;
		g_free(below);
		b = b->backing;
	}
	g_free(file);
}

void merging_begin(struct vm *vm)
{
	struct merging *m = &vm->merging;
	struct err e;

	m->again = m->started;
	if (m->started || vm->saving || vm->quitting || !vm->home.dir || vm->home.read_only)
		return;
	m->open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	m->below = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	for (unsigned i = 0; i < vm->cfg.n_disks; i++)
		if (layer_wanted(&vm->cfg.disk[i]) && blk_is_live(vm->files.disk[i]))
			note_open(m, &vm->cfg.disk[i], blk_live_top(vm->files.disk[i]));
	m->ended = (struct loop_work){ .fn = on_ended, .ctx = vm };
	atomic_store_explicit(&m->stop, false, memory_order_relaxed);
	m->started = hv_thread_start(&m->thread, "merging", run, vm, &e) == 0;
	if (!m->started)
		tidy(m);
}

static void on_later(void *ctx)
{
	merging_begin(ctx);
}

void merging_begin_later(struct vm *vm)
{
	vm->merging.later = (struct loop_timer){ .fn = on_later, .ctx = vm };
	loop_timer_arm(vm->loop, &vm->merging.later, loop_now_ns() + LATER_NS);
}

void merging_stop(struct vm *vm)
{
	struct merging *m = &vm->merging;

	if (m->later.fn)
		loop_timer_forget(vm->loop, &m->later);
	if (!m->started)
		return;
	atomic_store_explicit(&m->stop, true, memory_order_relaxed);
	pthread_join(m->thread, NULL);
	loop_unpost(vm->loop, &m->ended);
	tidy(m);
}
