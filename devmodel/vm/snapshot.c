/* Taking, suspending and deleting, see snapshot.h. */
#include "vm/snapshot.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "devmodel/storage/image.h"
#include "devmodel/storage/live.h"
#include "protocol/protocol.h"
#include "protocol/snapshots.h"
#include "vm/layers.h"
#include "vm/snapshot_int.h"
#include "vm/state_copy.h"
#include "vm/vm.h"

/* ---- what both kinds share ---- */

int snapshot_make_dir(const char *path, struct err *e)
{
	if (g_mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot make '%s': %s", path, strerror(errno));
	return 0;
}

int snapshot_check_name(const char *name, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(".", NULL);

	if (!lodge_folder_name_ok(name, &error)) /* it speaks of VMs */
		return err_set(e, -EINVAL, "'%s' is no name for a snapshot", name);
	for (guint i = 0; i < all->len; i++)
		if (strcmp(((struct lodge_snapshot *)all->pdata[i])->name, name) == 0)
			return err_set(e, -EEXIST, "there is a snapshot \"%s\" already", name);
	return 0;
}

/* Now; but after the one that the VM has gone on from, whatever the clock says, since the latest is
 * the one that is meant where none is named. */
static char *time_after(const char *parent)
{
	static const char format[] = "%Y-%m-%dT%H:%M:%S.%fZ";
	g_autoptr(GDateTime) now = g_date_time_new_now_utc(), before = NULL, next = NULL;
	g_autoptr(lodge_snapshot_owned) s = lodge_snapshot_read(".", parent, NULL);

	before = s ? g_date_time_new_from_iso8601(s->time, NULL) : NULL;
	if (before && g_date_time_compare(now, before) <= 0)
		next = g_date_time_add(before, 1);
	return g_date_time_format(next ? next : now, format);
}

int snapshot_begin(const char *id, const char *name, const char *text, bool with_state,
		   char **ret_temp, struct err *e)
{
	g_autofree char *hidden = g_strdup_printf(".%s", id), *time = NULL, *parent = NULL;
	g_autofree char *temp = lodge_snapshot_path(".", hidden, NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) ini = NULL;
	int r = snapshot_make_dir("snapshots", e);

	if (r == 0)
		r = snapshot_make_dir(temp, e);
	if (r < 0)
		return r;
	parent = lodge_snapshot_current(".");
	time = time_after(parent);
	const struct lodge_snapshot s = { .id = (char *)(uintptr_t)id,
					  .name = (char *)(uintptr_t)name,
					  .text = (char *)(uintptr_t)text,
					  .parent = parent,
					  .time = time,
					  .needs_state = with_state };
	ini = lodge_ini_load(".", &error);
	if (!ini || !lodge_ini_save(ini, temp, &error) || !lodge_snapshot_write(&s, temp, &error)) {
		lodge_remove_tree(temp, NULL);
		return vm_home_error(e, error);
	}
	*ret_temp = g_steal_pointer(&temp);
	return 0;
}

int snapshot_set_current(const char *id, struct err *e)
{
	g_autoptr(GError) error = NULL;

	return lodge_file_replace("snapshots/current", id, strlen(id), &error)
		       ? 0
		       : vm_home_error(e, error);
}

int snapshot_publish(const char *temp, const char *id, struct err *e)
{
	g_autofree char *path = lodge_snapshot_path(".", id, NULL);

	lodge_folder_sync(temp);
	if (rename(temp, path) < 0)
		return err_set(e, -errno, "cannot make '%s': %s", path, strerror(errno));
	lodge_folder_sync("snapshots");
	return 0;
}

int snapshot_publish_current(const char *temp, const char *id, struct err *e)
{
	g_autofree char *path = lodge_snapshot_path(".", id, NULL);
	int r = snapshot_publish(temp, id, e);

	if (r < 0)
		return r;
	r = snapshot_set_current(id, e);
	if (r < 0) /* none, then: it is temp again */
		(void)!rename(path, temp);
	return r;
}

void snapshot_set_disk(GKeyFile *ini, const char *name, const char *file)
{
	g_autofree char *key = g_strdup_printf("disk.%s.file", name);
	g_autofree char *format = g_strdup_printf("disk.%s.format", name);

	lodge_ini_set(ini, key, file);
	lodge_ini_set(ini, format, "qcow2");
}

int snapshot_point_to(const struct vm_config *c, const char *id, struct err *e)
{
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_ini_lock(".", &error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(".", &error) : NULL;

	for (unsigned i = 0; ini && i < c->n_disks; i++) {
		g_autofree char *file = layer_name(&c->disk[i], id);
		if (layer_wanted(&c->disk[i]))
			snapshot_set_disk(ini, c->disk[i].name, file);
	}
	return ini && lodge_ini_save(ini, ".", &error) ? 0 : vm_home_error(e, error);
}

void snapshot_remove_layers(const struct vm_config *c, const char *id)
{
	for (unsigned i = 0; i < c->n_disks; i++) {
		g_autofree char *file = layer_name(&c->disk[i], id);
		if (layer_wanted(&c->disk[i]) && strcmp(c->disk[i].file, file) != 0)
			unlink(file);
	}
}

int snapshot_create_layers(const struct vm_config *c, struct blk *const *b, const char *id,
			   struct err *e)
{
	int r = snapshot_make_dir("disks", e);

	if (r == 0)
		r = layers_check_room(e);
	for (unsigned i = 0; i < c->n_disks && r == 0; i++) {
		g_autofree char *file = layer_name(&c->disk[i], id);
		if (layer_wanted(&c->disk[i]))
			r = layer_create("", file, &c->disk[i], b ? b[i]->bytes : 0, e);
	}
	if (r < 0)
		snapshot_remove_layers(c, id);
	return r;
}

/* ---- of a VM that runs ---- */

struct take {
	struct vm *vm;
	char *id, *temp;  /* owned */
	bool was_running; /* of what is suspended */
	snapshot_done *done;
	void *ctx;
};

static void free_take(struct take *t)
{
	g_free(t->id);
	g_free(t->temp);
	g_free(t);
}

/* It writes to the image that it had again; top, if there is one, was above that for a while. */
static void switch_back(struct blk *live, struct blk *old, struct blk *top)
{
	struct err e;

	if (top != NULL)
		qcow2_set_backing(top, NULL);
	if (blk_live_switch(live, old, &e) < 0)
		log_msg(LOG_LVL_ERROR, "snapshot", "a disk cannot be written to any more: %s",
			e.msg);
	blk_close(top);
}

static int switch_disk(struct vm *vm, unsigned i, const char *id, struct err *e)
{
	const struct vm_disk_config *d = &vm->cfg.disk[i];
	struct blk *live = vm->files.disk[i], *old = blk_live_top(live), *top = NULL;
	const struct image_options o = { .format = IMAGE_FORMAT_QCOW2,
					 .backing = old,
					 .direct = d->direct,
					 .cache = vm_disk_cache(d) };
	g_autofree char *file = layer_name(d, id);
	int r = blk_live_seal(live, e);

	if (r == 0)
		r = image_open(file, &o, &top, e);
	if (r == 0)
		r = blk_live_switch(live, top, e);
	if (r < 0)
		switch_back(live, old, top);
	return r;
}

/* From here on everything goes to the new layers. The machine is paused. */
static int switch_disks(struct vm *vm, const char *id, struct err *e)
{
	struct blk *old[MACHINE_MAX_DISKS] = { NULL };
	unsigned n = 0;
	int r = 0;

	for (; n < vm->cfg.n_disks && r == 0; n++) {
		if (!layer_wanted(&vm->cfg.disk[n]))
			continue;
		old[n] = blk_live_top(vm->files.disk[n]);
		r = switch_disk(vm, n, id, e);
		if (r < 0)
			old[n] = NULL;
	}
	if (r == 0)
		r = snapshot_point_to(&vm->cfg, id, e);
	for (unsigned i = 0; i < n && r < 0; i++)
		if (old[i] != NULL)
			switch_back(vm->files.disk[i], old[i], blk_live_top(vm->files.disk[i]));
	return r;
}

/* As the settings file has it now. */
static void remember_disks(struct vm_config *c, const char *id)
{
	for (unsigned i = 0; i < c->n_disks; i++) {
		struct vm_disk_config *d = &c->disk[i];
		if (!layer_wanted(d))
			continue;
		g_free(d->file);
		d->file = layer_name(d, id);
		g_free(d->format);
		d->format = g_strdup("qcow2");
	}
}

static void on_taken(void *ctx, int result, uint64_t bytes, const char *why)
{
	struct take *t = ctx;
	struct err e = { 0 };

	(void)bytes;
	if (result == 0)
		result = snapshot_publish_current(t->temp, t->id, &e);
	else
		err_set(&e, result, "%s", why);
	if (result < 0)
		lodge_remove_tree(t->temp, NULL);
	t->done(t->ctx, result, t->id, e.msg);
	free_take(t);
}

static int begin_take(struct vm *vm, struct take *t, struct err *e)
{
	g_autofree char *path = g_build_filename(t->temp, "state", NULL);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_set(e, -errno, "cannot make '%s': %s", path, strerror(errno));
	r = snapshot_create_layers(&vm->cfg, vm->files.disk, t->id, e);
	if (r < 0)
		return r;
	r = vm_snapshot(vm, fd, t->id, on_taken, t, e);
	if (r < 0)
		snapshot_remove_layers(&vm->cfg, t->id);
	return r;
}

int snapshot_switch(struct vm *vm, const char *id, struct err *e)
{
	const int r = switch_disks(vm, id, e);

	if (r == 0)
		remember_disks(&vm->cfg, id);
	return r;
}

static int check_home(const struct vm *vm, struct err *e)
{
	if (!vm->home.dir)
		return err_set(e, -EINVAL,
			       "VM \"%s\" is not kept: there is no folder for snapshots (lodge "
			       "create)",
			       vm_name(vm));
	return vm->home.read_only ? err_set(e, -EROFS, "'%s' cannot be written to", vm->home.dir)
				  : 0;
}

static bool has_disk(const struct vm_config *c, const struct vm_disk_config *d)
{
	for (unsigned i = 0; i < c->n_disks; i++)
		if (!c->disk[i].cdrom && strcmp(c->disk[i].name, d->name) == 0)
			return g_strcmp0(c->disk[i].file, d->file) == 0;
	return false;
}

/* What is kept with a state is the disks of the settings, which may have been changed for the next
 * start: it would go on with others than it was taken with. */
static int check_disks(const struct vm *vm, struct err *e)
{
	const struct vm_config *c = &vm->cfg;
	const char *other = NULL;
	struct vm_config now;
	int r;

	vm_config_init(&now);
	r = vm_home_settings(".", true, &now, e);
	for (unsigned i = 0; i < c->n_disks; i++)
		if (layer_wanted(&c->disk[i]) && !has_disk(&now, &c->disk[i]))
			other = c->disk[i].name;
	for (unsigned i = 0; i < now.n_disks; i++)
		if (!now.disk[i].cdrom && !has_disk(c, &now.disk[i]))
			other = now.disk[i].name;
	if (r == 0 && other)
		r = err_set(e, -EBUSY,
			    "the settings of VM \"%s\" have another disk '%s' than it runs with: "
			    "start it anew before, or set disk.%s.file back",
			    vm_name(vm), other, other);
	vm_config_finish(&now);
	return r;
}

int snapshot_take(struct vm *vm, const char *name, const char *text, snapshot_done *done, void *ctx,
		  struct err *e)
{
	struct take *t;
	int r = check_home(vm, e);

	if (r == 0)
		r = snapshot_check_name(name, e);
	if (r == 0)
		r = check_disks(vm, e);
	if (r < 0)
		return r;
	t = g_new0(struct take, 1);
	*t = (struct take){ .vm = vm, .id = lodge_snapshot_new_id(), .done = done, .ctx = ctx };
	r = snapshot_begin(t->id, name, text, true, &t->temp, e);
	if (r == 0) {
		r = begin_take(vm, t, e);
		if (r < 0)
			lodge_remove_tree(t->temp, NULL);
	}
	if (r < 0)
		free_take(t);
	return r;
}

/* What the guest has written is on the disk before it counts as suspended: it may not have asked
 * for that yet, and goes on as if it were there. */
static int sync_drives(const struct vm_drives *d, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < d->n && r == 0; i++) {
		struct blk *b = *d->drive[i].slot;
		if (b != NULL)
			r = blk_run(b, BLK_FLUSH, 0, NULL, 0);
		if (r < 0)
			err_set(e, r, "cannot write drive '%s': %s", d->drive[i].name,
				strerror(-r));
	}
	return r;
}

static void on_suspended(void *ctx, int result, uint64_t bytes, const char *why)
{
	struct take *t = ctx;
	struct err e = { 0 }, again;

	(void)bytes;
	t->vm->suspending = false;
	if (result < 0)
		err_set(&e, result, "%s", why);
	else
		result = sync_drives(&t->vm->drives, &e);
	if (result == 0 && rename(VM_HOME_SUSPENDED_NEW, VM_HOME_SUSPENDED_STATE) < 0)
		result = err_set(&e, -errno, "cannot keep the state: %s", strerror(errno));
	lodge_folder_sync(VM_HOME_SUSPENDED);
	if (result == 0)
		vm_quit(t->vm, VM_STOPPED, "suspended", 0, "");
	else
		unlink(VM_HOME_SUSPENDED_NEW);
	if (result < 0 && t->was_running && vm_resume(t->vm, "user", &again) < 0)
		vm_quit(t->vm, VM_CRASHED, "error", LODGE_EXIT_FAILED, again.msg);
	t->done(t->ctx, result, "", e.msg);
	free_take(t);
}

int snapshot_suspend(struct vm *vm, snapshot_done *done, void *ctx, struct err *e)
{
	auto_close int fd = -1;
	struct take *t;
	int r = check_home(vm, e);

	if (r == 0)
		r = vm_check_not_saving(vm, e);
	if (r == 0)
		r = check_disks(vm, e);
	if (r == 0)
		r = snapshot_make_dir(VM_HOME_SUSPENDED, e);
	if (r < 0)
		return r;
	unlink(VM_HOME_SUSPENDED_NEW);
	fd = open(VM_HOME_SUSPENDED_NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, -errno, "cannot make '" VM_HOME_SUSPENDED_NEW "': %s",
			       strerror(errno));
	t = g_new0(struct take, 1);
	*t = (struct take){
		.vm = vm, .was_running = machine_running(vm->machine), .done = done, .ctx = ctx
	};
	vm->suspending = true;
	r = vm_save(vm, fd, true, on_suspended, t, e);
	if (r < 0) {
		vm->suspending = false;
		free_take(t);
	}
	return r;
}

/* ---- deleting ---- */

/* Those that came after it come after its parent now. */
static int adopt(GPtrArray *all, const struct lodge_snapshot *gone, struct err *e)
{
	g_autofree char *current = lodge_snapshot_current(".");
	g_autoptr(GError) error = NULL;

	for (guint i = 0; i < all->len; i++) {
		struct lodge_snapshot *s = all->pdata[i];
		g_autofree char *path = lodge_snapshot_path(".", s->id, NULL);
		if (strcmp(s->parent, gone->id) != 0)
			continue;
		g_free(s->parent);
		s->parent = g_strdup(gone->parent);
		if (!lodge_snapshot_write(s, path, &error))
			return vm_home_error(e, error);
	}
	return strcmp(current, gone->id) == 0 ? snapshot_set_current(gone->parent, e) : 0;
}

/* The VM waits to go on from its state: it keeps that. */
static int keep_state(const char *id, struct err *e)
{
	g_autofree char *state = lodge_snapshot_path("", id, "state");
	g_autofree char *from = lodge_file_read(VM_HOME_SUSPENDED "/" VM_HOME_SUSPENDED_FROM, NULL);
	int r;

	if (!from || strcmp(g_strstrip(from), state) != 0)
		return 0;
	unlink(VM_HOME_SUSPENDED_STATE);
	r = state_copy(state, VM_HOME_SUSPENDED_STATE, e);
	if (r < 0)
		return r;
	lodge_folder_sync(VM_HOME_SUSPENDED);
	unlink(VM_HOME_SUSPENDED "/" VM_HOME_SUSPENDED_FROM);
	lodge_folder_sync(VM_HOME_SUSPENDED);
	return 0;
}

/* Could it be deleted? running: the VM does, and this process sees no other one's folder. */
static int check_deletable(const struct lodge_snapshot *s, bool running, struct err *e)
{
	g_autofree char *fork = NULL, *advice = NULL;
	g_autoptr(GError) error = NULL;

	if (!(running ? lodge_snapshot_noted_fork : lodge_snapshot_fork)(".", s->id, &fork, &error))
		return vm_home_error(e, error);
	advice = running || !fork ? g_strdup("delete that first") : lodge_snapshot_advice(fork);
	if (fork)
		return err_set(e, -EBUSY, "snapshot \"%s\" is what the VM in '%s' is based on: %s",
			       s->name, fork, advice);
	return s->protected ? err_set(e, -EBUSY,
				      "snapshot \"%s\" is protected (lodge snapshot protect --off)",
				      s->name)
			    : 0;
}

/* It is none any more, but the folder temp. */
static int unpublish(GPtrArray *all, const struct lodge_snapshot *s, bool running, const char *temp,
		     struct err *e)
{
	g_autofree char *path = lodge_snapshot_path(".", s->id, NULL);
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_ini_lock(".", &error);
	int r = lock >= 0 ? check_deletable(s, running, e) : vm_home_error(e, error);

	if (r == 0)
		r = adopt(all, s, e);
	if (r == 0 && rename(path, temp) < 0)
		r = err_set(e, -errno, "cannot remove '%s': %s", path, strerror(errno));
	if (r == 0) /* it is none before it has lost anything */
		lodge_folder_sync("snapshots");
	return r;
}

/* By its ID alone: another one may be called so. */
static const struct lodge_snapshot *with_id(GPtrArray *all, const char *id, GError **error)
{
	for (guint i = 0; i < all->len; i++) {
		const struct lodge_snapshot *s = all->pdata[i];
		if (strcmp(s->id, id) == 0)
			return s;
	}
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND, "there is no snapshot %s", id);
	return NULL;
}

static int delete_one(const char *id, bool running, struct err *e)
{
	g_autofree char *hidden = g_strdup_printf(".%s", id);
	g_autofree char *temp = lodge_snapshot_path(".", hidden, NULL);
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) all = lodge_snapshots(".", &error);
	const struct lodge_snapshot *s = all ? with_id(all, id, &error) : NULL;
	int r = s ? check_deletable(s, running, e) : vm_home_error(e, error);

	if (r == 0)
		r = keep_state(id, e); /* which takes its time, so not under the lock */
	if (r == 0)
		r = unpublish(all, s, running, temp, e);
	if (r == 0 && !lodge_remove_tree(temp, &error))
		r = vm_home_error(e, error);
	return r;
}

int snapshot_delete(struct vm *vm, const char *id, struct err *e)
{
	int r = check_home(vm, e);

	if (r == 0)
		r = delete_one(id, true, e);
	if (r == 0)
		merging_begin(vm);
	return r;
}

int snapshot_delete_stopped(const char *id, struct err *e)
{
	return delete_one(id, false, e);
}
