/* See seen.h. */
#include "protocol/seen.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "protocol/folder.h"

#define SEEN "seen"
#define NS_PER_SEC 1000000000
#define ROUNDED_NS (2ll * NS_PER_SEC) /* at most, by FAT */

/* ---- the file ---- */

struct line {
	uint64_t a, b; /* device and inode; bytes and nanoseconds */
	const char *path;
};

/* "WORD A B PATH" */
static bool parse(const char *text, const char *word, struct line *ret_line)
{
	const size_t n = strlen(word);
	int used = 0;

	if (strncmp(text, word, n) != 0 ||
	    sscanf(text + n, " %" SCNu64 " %" SCNu64 " %n", &ret_line->a, &ret_line->b, &used) <
		    2 ||
	    used == 0)
		return false;
	ret_line->path = text + n + used;
	return ret_line->path[0] != '\0';
}

static char **load(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, SEEN, NULL);
	g_autofree char *text = lodge_file_read(path, NULL);

	return g_strsplit(text ? g_strdelimit(text, "\t\r", ' ') : "", "\n", -1);
}

static bool save(const char *dir, const char *text, GError **error)
{
	g_autofree char *path = g_build_filename(dir, SEEN, NULL);

	return lodge_file_replace(path, text, strlen(text), error);
}

static void append(GString *text, const char *word, uint64_t a, uint64_t b, const char *path)
{
	if (!strpbrk(path, "\n\t\r"))
		g_string_append_printf(text, "%s %" PRIu64 " %" PRIu64 " %s\n", word, a, b, path);
}

/* Those lines of the file as it is that begin so. */
static void append_old(GString *text, const char *dir, const char *word)
{
	g_auto(GStrv) lines = load(dir);
	struct line l;

	for (guint i = 0; lines[i]; i++)
		if (parse(lines[i], word, &l))
			append(text, word, l.a, l.b, l.path);
}

/* ---- the folder ---- */

/* Without symbolic links; the last part need not be there. */
static char *real_path(const char *path)
{
	g_autofree char *whole = g_canonicalize_filename(path, NULL);
	g_autofree char *parent = g_path_get_dirname(whole), *name = g_path_get_basename(whole);
	char *real = realpath(whole, NULL), *real_parent;

	if (real)
		return real;
	real_parent = realpath(parent, NULL);
	real = g_build_filename(real_parent ? real_parent : parent, name, NULL);
	free(real_parent);
	return real;
}

static char *id_of(const char *dir)
{
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, NULL);

	return ini ? lodge_ini_get(ini, "vm.id") : NULL;
}

static bool is_twin(const char *dir, const char *other)
{
	g_autofree char *id = id_of(dir), *other_id = id_of(other);

	return id && g_strcmp0(id, other_id) == 0;
}

static bool find_folder(char **lines, struct line *ret_line)
{
	for (guint i = 0; lines[i]; i++)
		if (parse(lines[i], "folder", ret_line))
			return true;
	return false;
}

enum lodge_place lodge_seen_place(const char *dir, char **ret_before)
{
	g_auto(GStrv) lines = load(dir);
	g_autofree char *here = real_path(dir);
	struct line l;
	struct stat st;

	*ret_before = NULL;
	if (!find_folder(lines, &l) || stat(dir, &st) < 0)
		return LODGE_PLACE_NEW;
	if (strcmp(l.path, here) == 0)
		return LODGE_PLACE_SAME;
	*ret_before = g_strdup(l.path);
	if (st.st_dev == l.a && st.st_ino == l.b)
		return LODGE_PLACE_MOVED;
	return is_twin(dir, l.path) ? LODGE_PLACE_COPIED : LODGE_PLACE_OTHER;
}

bool lodge_seen_here(const char *dir, const char *path, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *real = real_path(path);
	struct stat st;

	if (stat(dir, &st) == 0)
		append(text, "folder", st.st_dev, st.st_ino, real);
	append_old(text, dir, "file");
	return save(dir, text->str, error);
}

/* ---- the disks ---- */

static bool look(const char *dir, const char *file, struct line *ret_line)
{
	g_autofree char *path = g_path_is_absolute(file) ? g_strdup(file)
							 : g_build_filename(dir, file, NULL);
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	*ret_line = (struct line){ .a = (uint64_t)st.st_size,
				   .b = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC +
					(uint64_t)st.st_mtim.tv_nsec,
				   .path = file };
	return true;
}

char *lodge_seen_changed(const char *dir)
{
	g_auto(GStrv) lines = load(dir);
	g_autoptr(GString) names = g_string_new(NULL);
	struct line then, now;

	for (guint i = 0; lines[i]; i++) {
		if (!parse(lines[i], "file", &then) || !look(dir, then.path, &now))
			continue; /* one that is missing is named where it is opened */
		if (now.a == then.a && then.b - now.b < ROUNDED_NS)
			continue;
		g_string_append_printf(names, "%s'%s'", names->len > 0 ? ", " : "", then.path);
	}
	return names->len > 0 ? g_strdup(names->str) : NULL;
}

static void add_file(GHashTable *files, const char *file)
{
	g_hash_table_add(files, g_strdup(file));
}

static void add_own(GHashTable *files, const char *dir)
{
	g_autofree char *path = g_build_filename(dir, "disks", NULL);
	g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
	const char *name;

	while (d && (name = g_dir_read_name(d)) != NULL) {
		g_autofree char *file = g_build_filename("disks", name, NULL);
		add_file(files, file);
	}
}

static void add_named(GHashTable *files, const char *dir)
{
	g_autoptr(GKeyFile) ini = lodge_ini_load(dir, NULL);
	g_autoptr(GPtrArray) all = ini ? lodge_ini_settings(ini) : g_ptr_array_new();

	for (guint i = 0; i < all->len; i++) {
		const char *setting = all->pdata[i], *file = strstr(setting, ".file=");
		if (g_str_has_prefix(setting, "disk.") && file)
			add_file(files, file + strlen(".file="));
	}
}

bool lodge_seen_disks(const char *dir, GError **error)
{
	g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	GHashTableIter i;
	gpointer file;
	struct line l;

	append_old(text, dir, "folder");
	add_own(files, dir);
	add_named(files, dir);
	g_hash_table_iter_init(&i, files);
	while (g_hash_table_iter_next(&i, &file, NULL))
		if (look(dir, file, &l))
			append(text, "file", l.a, l.b, l.path);
	return save(dir, text->str, error);
}

void lodge_seen_no_disks(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, SEEN, NULL);
	g_autoptr(GString) text = g_string_new(NULL);

	append_old(text, dir, "folder");
	if (!save(dir, text->str, NULL))
		unlink(path);
}
