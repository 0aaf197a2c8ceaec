/* Snapshots and forks of a VM that does not run: lodge-vm --snapshot, see snapshot.h. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "protocol/protocol.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"
#include "state/container.h"
#include "vm/base.h"
#include "vm/export.h"
#include "vm/home.h"
#include "vm/layers.h"
#include "vm/snapshot.h"
#include "vm/snapshot_int.h"
#include "vm/state_copy.h"
#include "vm/verify.h"

/* ---- taking, restoring, deleting ---- */

/* A suspended VM's state is the snapshot's, too; it stays suspended. */
static int take_stopped(const struct vm_home *h, const struct vm_config *c, const char *name,
			const char *text, struct err *e)
{
	g_autofree char *id = lodge_snapshot_new_id(), *temp = NULL;
	int r = snapshot_check_name(name, e);

	if (r == 0)
		r = snapshot_begin(id, name, text, h->suspended, &temp, e);
	if (r == 0 && h->suspended) {
		g_autofree char *state = g_build_filename(temp, "state", NULL);
		r = state_copy(c->state, state, e);
	}
	if (r == 0)
		r = snapshot_create_layers(c, NULL, id, e);
	if (r == 0) {
		r = snapshot_point_to(c, id, e);
		if (r < 0)
			snapshot_remove_layers(c, id);
	}
	if (r == 0)
		r = snapshot_publish_current(temp, id, e);
	if (r < 0 && temp)
		lodge_remove_tree(temp, NULL);
	if (r == 0)
		puts(id);
	return r;
}

/* Could a VM go on from it? Not without the state that it was taken with. */
static int check_state(const char *id, struct err *e)
{
	g_autofree char *path = lodge_snapshot_path("", id, "state");
	g_autoptr(GError) error = NULL;
	g_autoptr(lodge_snapshot_owned) s = lodge_snapshot_read(".", id, &error);
	struct state_file *f;
	int r;

	if (!s)
		return vm_home_error(e, error);
	if (!s->has_state && !s->needs_state)
		return 0;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return err_set(e, -errno, "cannot open '%s': %s", path, strerror(errno));
	r = state_file_open(fd, &f, e);
	if (r < 0)
		return err_prefix(e, "'%s'", path);
	state_file_close(f);
	return 0;
}

/* The settings of a snapshot, as of a VM of its own. */
static int read_snapshot(const char *id, struct vm_config *c, struct err *e)
{
	g_autofree char *path = lodge_snapshot_path(".", id, NULL);
	int r;

	vm_config_init(c);
	r = check_state(id, e);
	return r == 0 ? vm_home_settings(path, true, c, e) : r;
}

static bool has_state(const char *id)
{
	g_autofree char *path = lodge_snapshot_path(".", id, "state");

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* A start goes on from the snapshot's state. */
static int go_on_from(const char *in, const char *state, struct err *e)
{
	g_autofree char *dir = g_build_filename(in, VM_HOME_SUSPENDED, NULL);
	g_autofree char *from = g_build_filename(dir, VM_HOME_SUSPENDED_FROM, NULL);
	g_autoptr(GError) error = NULL;
	int r = 0;

	if (!lodge_file_can_hold(state) || strchr(state, '\n'))
		r = err_set(e, -EINVAL,
			    "a VM that others go on from wants a path in UTF-8 without control "
			    "characters");
	if (r == 0)
		r = snapshot_make_dir(dir, e);
	if (r == 0 && !lodge_file_replace(from, state, strlen(state), &error))
		r = vm_home_error(e, error);
	return r;
}

/* The snapshot's settings with new layers; what makes the VM this one stays. */
static int write_restored(const struct vm_config *c, const char *snapshot, const char *in,
			  const char *id, GKeyFile *own, struct err *e)
{
	static const char *const identity[] = { "vm.id", "vm.name" };
	g_autofree char *path = lodge_snapshot_path(".", snapshot, NULL);
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_ini_lock(in[0] ? in : ".", &error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(path, &error) : NULL;

	for (unsigned i = 0; ini && i < c->n_disks; i++) {
		g_autofree char *file = layer_name(&c->disk[i], id);
		if (layer_wanted(&c->disk[i]))
			snapshot_set_disk(ini, c->disk[i].name, file);
	}
	for (gsize i = 0; ini && i < G_N_ELEMENTS(identity); i++) {
		g_autofree char *value = lodge_ini_get(own, identity[i]);
		lodge_ini_set(ini, identity[i], value);
	}
	if (ini)
		lodge_ini_new_generation(ini);
	return ini && lodge_ini_save(ini, in[0] ? in : ".", &error) ? 0 : vm_home_error(e, error);
}

static int forget_state(struct err *e)
{
	g_autoptr(GError) error = NULL;

	if (!lodge_folder_mark(".", "stopped", &error) ||
	    !lodge_remove_tree(VM_HOME_SUSPENDED, &error))
		return vm_home_error(e, error);
	return 0;
}

/* After what was wanted is done: that stands, whatever keeps the rest from being tidied. */
static void tidy(void)
{
	struct err e;

	if (layers_tidy(&e) < 0)
		fprintf(stderr, "lodge: %s\n", e.msg);
}

static int restore(const char *snapshot, struct err *e)
{
	g_autofree char *id = lodge_snapshot_new_id();
	g_autofree char *state = lodge_snapshot_path("", snapshot, "state");
	g_autoptr(GError) error = NULL;
	g_autoptr(GKeyFile) own = lodge_ini_load(".", &error);
	struct vm_config c;
	int r = own ? read_snapshot(snapshot, &c, e) : vm_home_error(e, error);

	if (r == 0)
		r = snapshot_create_layers(&c, NULL, id, e);
	if (r == 0)
		r = forget_state(e);
	if (r == 0)
		r = write_restored(&c, snapshot, "", id, own, e);
	if (r == 0 && has_state(snapshot))
		r = go_on_from("", state, e);
	if (r == 0)
		r = snapshot_set_current(snapshot, e);
	if (r == 0)
		tidy();
	if (own)
		vm_config_finish(&c);
	return r;
}

static int delete_and_tidy(const char *id, struct err *e)
{
	const int r = snapshot_delete_stopped(id, e);

	if (r == 0)
		tidy();
	return r;
}

/* ---- forking ---- */

static int fill_fork(const char *snapshot, const struct vm_config *c, const char *in,
		     GKeyFile *identity, struct err *e)
{
	g_autofree char *id = lodge_snapshot_new_id(), *disks = g_build_filename(in, "disks", NULL);
	g_autofree char *state = lodge_snapshot_path(".", snapshot, "state");
	g_autofree char *whole = g_canonicalize_filename(state, NULL);
	int r = snapshot_make_dir(disks, e);

	for (unsigned i = 0; i < c->n_disks && r == 0; i++) {
		g_autofree char *file = layer_name(&c->disk[i], id);
		if (layer_wanted(&c->disk[i]))
			r = layer_create(in, file, &c->disk[i], 0, e);
	}
	if (r == 0)
		r = write_restored(c, snapshot, in, id, identity, e);
	if (r == 0 && has_state(snapshot))
		r = go_on_from(in, whole, e);
	return r;
}

/* The fork, whole but for its name. */
static int make_fork(const char *snapshot, const char *temp, const char *dir, const char *vm_id,
		     struct err *e)
{
	g_autoptr(GKeyFile) identity = g_key_file_new();
	g_autoptr(GError) error = NULL;
	struct vm_config c;
	int r = read_snapshot(snapshot, &c, e);

	lodge_ini_set(identity, "vm.id", vm_id);
	if (r == 0)
		r = snapshot_make_dir(temp, e);
	if (r == 0)
		r = fill_fork(snapshot, &c, temp, identity, e);
	if (r == 0 && (!lodge_seen_here(temp, dir, &error) || !lodge_seen_disks(temp, &error)))
		r = vm_home_error(e, error);
	lodge_folder_sync(temp);
	vm_config_finish(&c);
	return r;
}

static int fork_to(const char *snapshot, const char *dir, struct err *e)
{
	g_autofree char *parent = g_path_get_dirname(dir), *name = g_path_get_basename(dir);
	g_autofree char *temp = g_strdup_printf("%s/.%s.%08x", parent, name, g_random_int());
	g_autofree char *home = g_get_current_dir(), *vm_id = lodge_new_id();
	g_autoptr(GError) error = NULL;
	int r = 0;

	if (g_mkdir_with_parents(parent, 0755) < 0)
		r = err_set(e, -errno, "cannot make '%s': %s", parent, strerror(errno));
	if (r == 0)
		r = make_fork(snapshot, temp, dir, vm_id, e);
	if (r == 0 && !lodge_snapshot_publish_fork(home, snapshot, vm_id, temp, dir, &error))
		r = vm_home_error(e, error);
	if (r < 0)
		lodge_remove_tree(temp, NULL);
	else
		lodge_folder_sync(parent);
	return r;
}

/* ---- lodge-vm --snapshot ---- */

struct options {
	int progress_fd;
	bool with_paths;
};

static int do_verb(const struct vm_home *h, const struct vm_config *c, const char *verb, int argc,
		   char **argv, struct err *e)
{
	if (strcmp(verb, "take") == 0 && argc == 2)
		return take_stopped(h, c, argv[0], argv[1], e);
	if (strcmp(verb, "restore") == 0 && argc == 1)
		return restore(argv[0], e);
	if (strcmp(verb, "delete") == 0 && argc == 1)
		return delete_and_tidy(argv[0], e);
	if (strcmp(verb, "tidy") == 0 && argc == 0)
		return layers_tidy(e);
	return err_set(e, -EINVAL, "lodge-vm: --snapshot does not know '%s'", verb);
}

/* What it does to the disks is no news at the next start, also if it is killed meanwhile; what
 * others did to them before still is. */
static int do_noticed(const struct vm_home *h, const struct vm_config *c, const char *verb,
		      int argc, char **argv, struct err *e)
{
	g_autofree char *changed = lodge_seen_changed(h->dir);
	int r;

	if (changed)
		return do_verb(h, c, verb, argc, argv, e);
	lodge_seen_no_disks(h->dir);
	r = do_verb(h, c, verb, argc, argv, e);
	if (!lodge_seen_disks(h->dir, NULL))
		lodge_seen_no_disks(h->dir);
	return r;
}

static int locked(const char *verb, const char *dir, int argc, char **argv, struct err *e)
{
	struct vm_home home = { 0 };
	struct vm_config c;
	int r;

	vm_config_init(&c);
	r = vm_home_enter(&home, dir, &c, e);
	if (r == 0 && home.read_only)
		r = err_set(e, -EROFS, "'%s' cannot be written to", dir);
	if (r == 0)
		r = base_settle(&home, &c, e);
	if (r == 0)
		r = do_noticed(&home, &c, verb, argc, argv, e);
	vm_home_leave(&home, false);
	vm_config_finish(&c);
	return r;
}

static int fd_of(const char *word)
{
	guint64 fd;

	return g_ascii_string_to_unsigned(word, 10, 3, 1023, &fd, NULL) ? (int)fd : -1;
}

/* Unless the VM runs nobody else is at its folder meanwhile, so that it is not deleted, say. */
static int import(const struct options *o, const char *file, const char *name, struct err *e)
{
	g_autofree char *dir = g_get_current_dir();
	g_autoptr(GError) error = NULL;
	auto_close int lock = lodge_folder_lock(dir, "takes a snapshot in", &error);
	const bool runs = strcmp(lodge_folder_own_state(dir), "crashed") == 0;

	if (lock < 0 && !(g_error_matches(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE) && runs))
		return vm_home_error(e, error);
	if (lock >= 0)
		lodge_snapshots_clean(".");
	return snapshot_import(file, name, o->with_paths, o->progress_fd, e);
}

/* What only reads the VM's folder, or adds to it. 1: it is another verb. */
static int unlocked(const struct options *o, const char *verb, int argc, char **argv, struct err *e)
{
	if (strcmp(verb, "fork") == 0 && argc == 2)
		return fork_to(argv[0], argv[1], e);
	if (strcmp(verb, "export") == 0 && argc == 2 && fd_of(argv[1]) >= 0)
		return snapshot_export(argv[0], fd_of(argv[1]), o->progress_fd, e);
	if (strcmp(verb, "import") == 0 && (argc == 1 || argc == 2))
		return import(o, argv[0], argc == 2 ? argv[1] : NULL, e);
	if (strcmp(verb, "verify") != 0 || argc > 1)
		return 1;
	snapshot_verify(argc == 1 ? argv[0] : NULL, o->progress_fd);
	return 0;
}

int snapshot_offline(int argc, char **argv, struct err *e)
{
	struct options o = { .progress_fd = -1 };
	int r;

	for (; argc > 0 && g_str_has_prefix(argv[0], "--"); argc--, argv++)
		if (strcmp(argv[0], "--with-paths") == 0)
			o.with_paths = true;
		else if (g_str_has_prefix(argv[0], "--progress-fd="))
			o.progress_fd = fd_of(strchr(argv[0], '=') + 1);
		else
			return err_set(e, -EINVAL, "lodge-vm: no option '%.64s'", argv[0]);
	if (argc < 2)
		return err_set(e, -EINVAL, "lodge-vm: --snapshot VERB DIR ...");
	if (chdir(argv[1]) < 0)
		return err_set(e, -errno, "cannot enter '%s': %s", argv[1], strerror(errno));
	r = unlocked(&o, argv[0], argc - 2, argv + 2, e);
	return r != 1 ? r : locked(argv[0], ".", argc - 2, argv + 2, e);
}
