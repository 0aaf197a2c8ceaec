/* See home.h. */
#include "vm/home.h"
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>
#include "protocol/folder.h"
#include "protocol/protocol.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"

int vm_home_error(struct err *e, const GError *error)
{
	static const int codes[] = {
		[LODGE_ERROR_BAD_ARGUMENT] = -EINVAL, [LODGE_ERROR_NOT_FOUND] = -ENOENT,
		[LODGE_ERROR_WRONG_STATE] = -EBUSY,   [LODGE_ERROR_HOST_LIMIT] = -ENOTSUP,
		[LODGE_ERROR_TIMEOUT] = -ETIMEDOUT,
	};
	const bool known = error->domain == LODGE_ERROR && error->code < (int)G_N_ELEMENTS(codes) &&
			   codes[error->code] < 0;

	return err_set(e, known ? codes[error->code] : -EIO, "%s", error->message);
}

/* ---- settings ---- */

/* A VM that is kept keeps what its guest writes. */
static int keep_disk(const char *setting, struct vm_config *c, struct err *e)
{
	const char *end = strstr(setting, ".file=");
	g_autofree char *keep = NULL;

	if (!g_str_has_prefix(setting, "disk.") || !end)
		return 0;
	keep = g_strdup_printf("%.*s.keep=yes", (int)(end - setting), setting);
	return vm_config_set(c, keep, e);
}

int vm_home_settings(const char *dir, bool keep, struct vm_config *c, struct err *e)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, &error);
	g_autoptr(GPtrArray) all = ini ? lodge_ini_settings(ini) : NULL;
	int r = 0;

	if (!ini)
		return vm_home_error(e, error);
	for (guint i = 0; i < all->len && r == 0 && keep; i++)
		r = keep_disk(all->pdata[i], c, e);
	for (guint i = 0; i < all->len && r == 0; i++)
		r = vm_config_set(c, all->pdata[i], e);
	return r < 0 ? err_prefix(e, "%s/" LODGE_FOLDER_INI, dir) : 0;
}

static int read_settings(const struct vm_home *h, struct vm_config *c, struct err *e)
{
	const int r = vm_home_settings(h->dir, !h->read_only, c, e);

	if (r == 0 && !c->name)
		c->name = g_path_get_basename(h->dir);
	return r;
}

/*
 * The generation stays from one start to the next; a VM from before there were any gets one. Where
 * it cannot be kept each start has another: where the disks forget what was written, that is what
 * it is for; else the guest only makes new random numbers when it goes on from its suspension.
 */
static void settle_generation(const struct vm_home *h, struct vm_config *c)
{
	if (h->read_only)
		g_clear_pointer(&c->generation, g_free);
	else if (!c->generation)
		c->generation = lodge_new_generation(h->dir, NULL);
}

/* A suspended VM goes on; what it was once started with is in its state. One whose state is not
 * known does not start: it would go on from there later, with disks that are others by then. */
static int find_state(struct vm_home *h, struct vm_config *c, struct err *e)
{
	static const char file[] = VM_HOME_SUSPENDED "/" VM_HOME_SUSPENDED_FROM;
	g_autoptr(GError) error = NULL;
	g_autofree char *from = NULL;

	if (g_file_test(file, G_FILE_TEST_EXISTS)) {
		from = lodge_file_read(file, &error);
		if (!from)
			return vm_home_error(e, error);
		g_strstrip(from);
	} else if (g_file_test(VM_HOME_SUSPENDED_STATE, G_FILE_TEST_EXISTS)) {
		from = g_strdup(VM_HOME_SUSPENDED_STATE);
	}
	if (!from)
		return 0;
	h->suspended = true;
	g_free(c->state);
	c->state = g_steal_pointer(&from);
	g_clear_pointer(&c->kernel, g_free);
	g_clear_pointer(&c->initrd, g_free);
	g_clear_pointer(&c->append, g_free);
	g_clear_pointer(&c->boot_file, g_free);
	return 0;
}

int vm_home_enter(struct vm_home *h, const char *dir, struct vm_config *c, struct err *e)
{
	g_autoptr(GError) error = NULL;
	int r;

	h->lock_fd = -1;
	h->dir = g_canonicalize_filename(dir, NULL);
	if (chdir(h->dir) < 0)
		return err_set(e, -errno, "cannot enter '%s': %s", h->dir, strerror(errno));
	h->read_only = lodge_folder_read_only(h->dir);
	if (!h->read_only) {
		h->lock_fd = lodge_folder_lock(h->dir, "runs", &error);
		if (h->lock_fd < 0)
			return vm_home_error(e, error);
	}
	if (!h->read_only) { /* what a process that was killed had begun */
		lodge_snapshots_clean(".");
		unlink(VM_HOME_SUSPENDED_NEW);
	}
	r = read_settings(h, c, e);
	if (r < 0)
		return r;
	settle_generation(h, c);
	return find_state(h, c, e);
}

int vm_home_read(const char *dir, struct vm_config *c, struct err *e)
{
	struct vm_home h = { .dir = g_canonicalize_filename(dir, NULL), .lock_fd = -1 };
	int r = 0;

	if (chdir(h.dir) < 0)
		r = err_set(e, -errno, "cannot enter '%s': %s", h.dir, strerror(errno));
	if (r == 0)
		r = read_settings(&h, c, e);
	g_free(h.dir);
	return r;
}

/* ---- state ---- */

static int mark(const struct vm_home *h, const char *state, struct err *e)
{
	g_autoptr(GError) error = NULL;

	return lodge_folder_mark(h->dir, state, &error) ? 0 : vm_home_error(e, error);
}

int vm_home_begin(struct vm_home *h, struct err *e)
{
	g_autofree char *path = h->dir ? g_build_filename(h->dir, "state", NULL) : NULL;

	if (!h->dir || h->read_only)
		return 0;
	h->before = lodge_file_read(path, NULL);
	if (!h->before)
		h->before = g_strdup("stopped");
	g_strstrip(h->before);
	lodge_seen_no_disks(h->dir);
	return mark(h, "running", e);
}

int vm_home_resumed(struct vm_home *h, struct err *e)
{
	g_autofree char *dir = h->dir ? g_build_filename(h->dir, VM_HOME_SUSPENDED, NULL) : NULL;
	g_autoptr(GError) error = NULL;

	if (!h->suspended || h->read_only)
		return 0;
	h->suspended = false;
	if (!lodge_remove_tree(dir, &error))
		return vm_home_error(e, error);
	lodge_folder_sync(h->dir);
	return 0;
}

void vm_home_leave(struct vm_home *h, bool started)
{
	struct err e;

	if (h->before && mark(h, started ? "stopped" : h->before, &e) < 0)
		g_printerr("lodge: %s\n", e.msg);
	if (h->before && !lodge_seen_disks(h->dir, NULL))
		lodge_seen_no_disks(h->dir);
	if (h->lock_fd > 0)
		close(h->lock_fd);
	g_free(h->before);
	g_free(h->dir);
	*h = (struct vm_home){ .lock_fd = -1 };
}
