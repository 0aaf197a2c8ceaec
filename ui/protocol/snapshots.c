/* See snapshots.h. */
#include "protocol/snapshots.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/folder.h"
#include "protocol/protocol.h"
#include "protocol/seen.h"

#define GROUP "snapshot"
#define ID_BYTES 12
#define FORKS_MANY_BYTES (64u << 10) /* by then most are gone */

char *lodge_snapshot_path(const char *dir, const char *id, const char *file)
{
	return g_build_filename(dir, "snapshots", id, file, NULL);
}

char *lodge_snapshot_new_id(void)
{
	/* With a letter: what has twelve digits behind its name may be a user's, with a date. */
	return g_strdup_printf("%c%07x%04x", 'a' + g_random_int_range(0, 6),
			       g_random_int() & 0xfffffff, g_random_int() & 0xffff);
}

static bool id_ok(const char *id)
{
	return strlen(id) == ID_BYTES && id[strspn(id, "0123456789abcdef")] == '\0';
}

void lodge_snapshot_free(struct lodge_snapshot *s)
{
	if (!s)
		return;
	g_free(s->id);
	g_free(s->name);
	g_free(s->parent);
	g_free(s->text);
	g_free(s->time);
	g_free(s);
}

/* On one line, whatever the file says in escapes. */
static char *text_of(GKeyFile *f, const char *key)
{
	char *s = g_key_file_get_string(f, GROUP, key, NULL);

	return s ? g_strdelimit(s, "\n\t\r", ' ') : g_strdup("");
}

struct lodge_snapshot *lodge_snapshot_read(const char *dir, const char *id, GError **error)
{
	g_autofree char *path = lodge_snapshot_path(dir, id, "manifest");
	g_autofree char *state = lodge_snapshot_path(dir, id, "state"), *format = NULL;
	g_autofree char *text = lodge_file_read(path, error);
	g_autoptr(GKeyFile) f = g_key_file_new();
	g_autoptr(GError) why = NULL;
	struct lodge_snapshot *s;

	if (!text)
		return NULL;
	if (!g_key_file_load_from_data(f, text, strlen(text), G_KEY_FILE_NONE, &why)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "snapshot %s: '%s': %s", id,
			    path, why->message);
		return NULL;
	}
	format = text_of(f, "format");
	if (strcmp(format, LODGE_SNAPSHOT_FORMAT) != 0) {
		g_set_error(
			error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT,
			"snapshot %s is of format '%s'; this version reads " LODGE_SNAPSHOT_FORMAT,
			id, format);
		return NULL;
	}
	s = g_new0(struct lodge_snapshot, 1);
	s->id = g_strdup(id);
	s->name = text_of(f, "name");
	s->parent = text_of(f, "parent");
	s->text = text_of(f, "text");
	s->time = text_of(f, "time");
	s->protected = g_key_file_get_boolean(f, GROUP, "protected", NULL);
	s->needs_state = g_key_file_get_boolean(f, GROUP, "state", NULL);
	s->has_state = g_file_test(state, G_FILE_TEST_EXISTS);
	return s;
}

bool lodge_snapshot_write(const struct lodge_snapshot *s, const char *in, GError **error)
{
	g_autofree char *path = g_build_filename(in, "manifest", NULL), *text = NULL;
	g_autoptr(GKeyFile) f = g_key_file_new();
	gsize bytes;

	g_key_file_set_string(f, GROUP, "format", LODGE_SNAPSHOT_FORMAT);
	g_key_file_set_string(f, GROUP, "name", s->name);
	g_key_file_set_string(f, GROUP, "parent", s->parent);
	g_key_file_set_string(f, GROUP, "text", s->text);
	g_key_file_set_string(f, GROUP, "time", s->time);
	g_key_file_set_boolean(f, GROUP, "protected", s->protected);
	g_key_file_set_boolean(f, GROUP, "state", s->needs_state);
	text = g_key_file_to_data(f, &bytes, NULL);
	if (lodge_file_can_hold(text))
		return lodge_file_replace(path, text, bytes, error);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT,
		    "the text for snapshot \"%s\" is too long, or none in UTF-8 without control "
		    "characters",
		    s->name);
	return false;
}

static int by_time(gconstpointer a, gconstpointer b)
{
	const struct lodge_snapshot *x = *(const struct lodge_snapshot *const *)a;
	const struct lodge_snapshot *y = *(const struct lodge_snapshot *const *)b;
	const int r = strcmp(x->time, y->time);

	return r != 0 ? r : strcmp(x->id, y->id);
}

/* One whose parent went while it was taken is a first one. */
static void adopt_orphans(GPtrArray *all)
{
	g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < all->len; i++)
		g_hash_table_add(ids, ((struct lodge_snapshot *)all->pdata[i])->id);
	for (guint i = 0; i < all->len; i++) {
		struct lodge_snapshot *s = all->pdata[i];
		if (s->parent[0] == '\0' || g_hash_table_contains(ids, s->parent))
			continue;
		g_free(s->parent);
		s->parent = g_strdup("");
	}
}

GPtrArray *lodge_snapshot_ids(const char *dir)
{
	GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *path = g_build_filename(dir, "snapshots", NULL);
	g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d)) != NULL)
		if (id_ok(name))
			g_ptr_array_add(ids, g_strdup(name));
	return ids;
}

GPtrArray *lodge_snapshots_readable(const char *dir, GError **ret_damage)
{
	g_autoptr(GPtrArray) ids = lodge_snapshot_ids(dir);
	GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)lodge_snapshot_free);

	for (guint i = 0; i < ids->len; i++) {
		g_autoptr(GError) damage = NULL;
		struct lodge_snapshot *s = lodge_snapshot_read(dir, ids->pdata[i], &damage);
		if (s)
			g_ptr_array_add(all, s);
		else if (ret_damage && !*ret_damage)
			*ret_damage = g_steal_pointer(&damage);
	}
	g_ptr_array_sort(all, by_time);
	adopt_orphans(all);
	return all;
}

GPtrArray *lodge_snapshots(const char *dir, GError **error)
{
	g_autoptr(GError) damage = NULL;
	g_autoptr(GPtrArray) all = lodge_snapshots_readable(dir, &damage);

	if (!damage)
		return g_steal_pointer(&all);
	g_propagate_error(error, g_steal_pointer(&damage));
	return NULL;
}

int lodge_snapshots_hold(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	/* A file system without locks does without. */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		close(fd);
		return -1;
	}
	return fd;
}

static void remove_unless_held(const char *path)
{
	const int fd = lodge_snapshots_hold(path);

	if (fd < 0)
		return;
	lodge_remove_tree(path, NULL);
	close(fd);
}

/* An import has the disks beside those that it will be among. */
void lodge_snapshots_clean(const char *dir)
{
	static const char *const places[] = { "snapshots", "disks" };

	for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
		g_autofree char *path = g_build_filename(dir, places[i], NULL);
		g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
		const char *name;
		while (d && (name = g_dir_read_name(d)) != NULL) {
			g_autofree char *inner = g_build_filename(path, name, NULL);
			if (name[0] == '.' && id_ok(name + 1))
				remove_unless_held(inner);
		}
	}
}

const struct lodge_snapshot *lodge_snapshot_find(GPtrArray *all, const char *name, GError **error)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	const char *near;

	if (!name && all->len > 0)
		return all->pdata[all->len - 1];
	for (guint i = all->len; i-- > 0;) {
		const struct lodge_snapshot *s = all->pdata[i];
		if (name && (strcmp(s->name, name) == 0 || strcmp(s->id, name) == 0))
			return s;
		g_ptr_array_add(names, s->name);
	}
	g_ptr_array_add(names, NULL);
	near = name ? lodge_nearest(name, (const char *const *)(void *)names->pdata) : NULL;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
		    "there is no snapshot%s%s%s%s%s (lodge snapshot list)", name ? " \"" : "",
		    name ? name : "", name ? "\"" : "", near ? "; the nearest is " : "",
		    near ? near : "");
	return NULL;
}

char *lodge_snapshot_current(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, "snapshots", "current", NULL), *text = NULL;

	text = lodge_file_read(path, NULL);
	if (!text || !id_ok(g_strstrip(text)))
		return g_strdup("");
	return g_steal_pointer(&text);
}

/* ---- forks: a line each, "ID PATH" ---- */

/* None is fine; one that cannot be read may name any. */
static char *read_forks(const char *dir, const char *id, GError **error)
{
	g_autofree char *path = lodge_snapshot_path(dir, id, "forks");
	struct stat st;

	return lstat(path, &st) < 0 && errno == ENOENT ? g_strdup("")
						       : lodge_file_read(path, error);
}

static char **fork_lines(const char *dir, const char *id, GError **error)
{
	g_autofree char *text = read_forks(dir, id, error);

	return text ? g_strsplit(text, "\n", -1) : NULL;
}

static bool line_is_of(const char *line, const char *vm_id)
{
	const size_t n = strlen(vm_id);

	return n > 0 && strncmp(line, vm_id, n) == 0 && line[n] == ' ';
}

static bool has_id(const char *dir, const char *line)
{
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, NULL);
	g_autofree char *own = ini ? lodge_ini_get(ini, "vm.id") : NULL;

	return own && line_is_of(line, own);
}

/* Or one whose settings cannot be read now, so that nobody knows. */
static bool may_have_id(const char *dir, const char *line)
{
	g_autofree char *path = g_build_filename(dir, LODGE_FOLDER_INI, NULL);
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, NULL);
	struct stat st;

	if (ini)
		return has_id(dir, line);
	return lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

/* Folders in the library and in parent, which may be the same. */
static GPtrArray *candidates(const char *parent)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *library = lodge_library();
	const char *const places[] = { library, strcmp(parent, library) != 0 ? parent : NULL };

	for (gsize i = 0; i < G_N_ELEMENTS(places) && places[i]; i++) {
		g_autoptr(GDir) dir = g_dir_open(places[i], 0, NULL);
		const char *name;
		while (dir && (name = g_dir_read_name(dir)) != NULL)
			if (name[0] != '.')
				g_ptr_array_add(all, g_build_filename(places[i], name, NULL));
	}
	return all;
}

/* Not even the folder that it was in is there, as when a disk is unplugged: it may come back. */
static bool is_out_of_sight(const char *path)
{
	g_autofree char *parent = g_path_get_dirname(path);

	return !g_file_test(parent, G_FILE_TEST_EXISTS);
}

char *lodge_snapshot_advice(const char *fork)
{
	g_autofree char *parent = g_path_get_dirname(fork);

	return is_out_of_sight(fork)
		       ? g_strdup_printf("plug in the disk that it is on, or make the folder '%s' "
					 "to say that it is gone",
					 parent)
		       : g_strdup("delete that first");
}

static char *still_there(const char *line)
{
	const char *space = strchr(line, ' '), *path = space ? space + 1 : "";
	g_autofree char *parent = g_path_get_dirname(path);
	g_autoptr(GPtrArray) all = NULL;

	if (!space || may_have_id(path, line))
		return space ? g_strdup(path) : NULL;
	all = candidates(parent);
	for (guint i = 0; i < all->len; i++)
		if (has_id(all->pdata[i], line))
			return g_strdup(all->pdata[i]);
	return is_out_of_sight(path) ? g_strdup(path) : NULL;
}

bool lodge_snapshot_fork(const char *dir, const char *id, char **ret_fork, GError **error)
{
	g_auto(GStrv) lines = fork_lines(dir, id, error);

	*ret_fork = NULL;
	for (guint i = 0; lines && lines[i] && !*ret_fork; i++)
		*ret_fork = still_there(lines[i]);
	return lines != NULL;
}

bool lodge_snapshot_noted_fork(const char *dir, const char *id, char **ret_fork, GError **error)
{
	g_auto(GStrv) lines = fork_lines(dir, id, error);
	const char *space = NULL;

	for (guint i = 0; lines && lines[i] && !space; i++)
		space = strchr(lines[i], ' ');
	*ret_fork = space ? g_strdup(space + 1) : NULL;
	return lines != NULL;
}

bool lodge_snapshot_forget_forks(const char *dir, const char *id, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	g_autofree char *forks = lodge_snapshot_path(dir, id, "forks"), *fork = NULL;
	g_autofree char *advice = NULL;
	bool good;

	if (lock < 0)
		return false;
	good = lodge_snapshot_fork(dir, id, &fork, error);
	if (good && !fork)
		unlink(forks);
	close(lock);
	advice = fork ? lodge_snapshot_advice(fork) : NULL;
	if (fork)
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_WRONG_STATE,
			    "the VM in '%s' is based on that snapshot: %s", fork, advice);
	return good && !fork;
}

static char *without_gone(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	GString *left = g_string_new(NULL);

	for (guint i = 0; lines[i]; i++) {
		g_autofree char *fork = still_there(lines[i]);
		if (fork)
			g_string_append_printf(left, "%s\n", lines[i]);
	}
	return g_string_free(left, FALSE);
}

/* With the settings' lock. */
static bool add_fork(const char *dir, const char *id, const char *vm_id, const char *path,
		     GError **error)
{
	g_autofree char *file = lodge_snapshot_path(dir, id, "forks");
	g_autofree char *text = read_forks(dir, id, error), *left = NULL, *more = NULL;

	if (!text)
		return false;
	if (!lodge_file_can_hold(path) || strchr(path, '\n')) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT,
			    "what is based on a snapshot wants a path in UTF-8 without control "
			    "characters");
		return false;
	}
	left = strlen(text) > FORKS_MANY_BYTES ? without_gone(text) : g_strdup(text);
	more = g_strdup_printf("%s%s %s\n", left, vm_id, path);
	return lodge_file_replace(file, more, strlen(more), error);
}

static bool is_there(const char *dir, const char *id, GError **error)
{
	g_autofree char *manifest = lodge_snapshot_path(dir, id, "manifest");

	if (g_file_test(manifest, G_FILE_TEST_EXISTS))
		return true;
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_NOT_FOUND,
		    "the snapshot was deleted, or its VM renamed, while a VM was made of it");
	return false;
}

bool lodge_snapshot_publish_fork(const char *dir, const char *id, const char *vm_id,
				 const char *temp, const char *path, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	bool good = lock >= 0 && is_there(dir, id, error) && add_fork(dir, id, vm_id, path, error);

	if (good && rename(temp, path) < 0)
		good = lodge_io_error(error, "make", path);
	if (lock >= 0)
		close(lock);
	return good;
}

/* Is the VM of that ID based on this snapshot? */
static bool is_base(const char *dir, const char *id, const char *vm_id)
{
	g_auto(GStrv) lines = fork_lines(dir, id, NULL);
	bool found = false;

	for (guint i = 0; lines && lines[i] && !found; i++)
		found = line_is_of(lines[i], vm_id);
	return found;
}

static bool is_noted(const char *dir, const char *id, const char *vm_id, const char *path)
{
	g_autofree char *line = g_strdup_printf("%s %s", vm_id, path);
	g_auto(GStrv) lines = fork_lines(dir, id, NULL);

	return lines && g_strv_contains((const char *const *)lines, line);
}

/* The VM with vm_id, at path, is based on what the one with vm.id old is based on in dir. */
static bool note(const char *dir, const char *old, const char *vm_id, const char *path,
		 GError **error)
{
	g_autoptr(GPtrArray) ids = lodge_snapshot_ids(dir);
	bool good = true;

	for (guint i = 0; i < ids->len && good; i++) {
		if (!is_base(dir, ids->pdata[i], old) || is_noted(dir, ids->pdata[i], vm_id, path))
			continue;
		const int lock = lodge_ini_lock(dir, error);
		good = lock >= 0 && add_fork(dir, ids->pdata[i], vm_id, path, error);
		if (lock >= 0)
			close(lock);
	}
	return good;
}

bool lodge_snapshots_note_place(const char *dir, const char *vm_id, const char *path,
				GError **error)
{
	return note(dir, vm_id, vm_id, path, error);
}

bool lodge_snapshots_base(const char *dir, const char *vm_id)
{
	g_autoptr(GPtrArray) ids = lodge_snapshot_ids(dir);
	bool found = false;

	for (guint i = 0; i < ids->len && !found; i++)
		found = is_base(dir, ids->pdata[i], vm_id);
	return found;
}

/* Not a copy, which will have no forks once it is started. */
static bool is_original(const char *dir)
{
	g_autofree char *before = NULL;
	const enum lodge_place place = lodge_seen_place(dir, &before);

	return place == LODGE_PLACE_SAME || place == LODGE_PLACE_MOVED;
}

char *lodge_snapshots_find_base(const char *vm_id, const char *before)
{
	g_autofree char *parent = g_path_get_dirname(before);
	g_autoptr(GPtrArray) all = candidates(parent);
	char *found = NULL;

	for (guint i = 0; i < all->len; i++) {
		if (!lodge_snapshots_base(all->pdata[i], vm_id) || !is_original(all->pdata[i]))
			continue;
		if (found) { /* nobody knows which */
			g_free(found);
			return NULL;
		}
		found = g_strdup(all->pdata[i]);
	}
	return found;
}

/* A copy, at path, of the VM with vm.id old: what that one is based on, in the library or beside
 * place, the copy is based on, too. Before the copy counts. */
static bool forks_copied(const char *old, const char *vm_id, const char *path, const char *place,
			 GError **error)
{
	g_autofree char *parent = g_path_get_dirname(place);
	g_autoptr(GPtrArray) all = candidates(parent);

	for (guint i = 0; i < all->len; i++)
		if (!note(all->pdata[i], old, vm_id, path, error))
			return false;
	return true;
}

bool lodge_snapshots_fork(const char *dir, char **ret_fork, GError **error)
{
	g_autoptr(GPtrArray) ids = lodge_snapshot_ids(dir);

	*ret_fork = NULL;
	for (guint i = 0; i < ids->len && !*ret_fork; i++)
		if (!lodge_snapshot_fork(dir, ids->pdata[i], ret_fork, error))
			return false;
	return true;
}

/* What the VM's snapshots are needed for, its copy's are not. */
static void forget_forks(const char *dir)
{
	g_autoptr(GPtrArray) ids = lodge_snapshot_ids(dir);

	for (guint i = 0; i < ids->len; i++) {
		g_autofree char *forks = lodge_snapshot_path(dir, ids->pdata[i], "forks");
		unlink(forks);
	}
}

static bool set_identity(const char *dir, const char *id, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(dir, error) : NULL;
	bool good = false;

	if (ini) {
		lodge_ini_set(ini, "vm.id", id);
		lodge_ini_set(ini, "vm.name", NULL);
		lodge_ini_new_generation(ini);
		good = lodge_ini_save(ini, dir, error);
	}
	if (lock >= 0)
		close(lock);
	return good;
}

bool lodge_new_identity(const char *dir, const char *path, const char *from, GError **error)
{
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, error);
	g_autofree char *id = lodge_new_id(), *old = ini ? lodge_ini_get(ini, "vm.id") : NULL;

	if (!ini)
		return false;
	forget_forks(dir);
	if (old && !(forks_copied(old, id, path, path, error) &&
		     (!from || forks_copied(old, id, path, from, error))))
		return false;
	return set_identity(dir, id, error);
}
