/*
 * vm.ini, see folder.h. GKeyFile keeps the lines of comment; what stands behind a value, from a
 * blank and a semicolon on, is a comment of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>
#include "protocol/folder.h"
#include "protocol/protocol.h"

/* "disk.root.file": group "disk.root", key "file". False: there is no dot. */
static bool split(const char *key, char **ret_group, const char **ret_name)
{
	const char *dot = strrchr(key, '.');

	if (!dot)
		return false;
	*ret_group = g_strndup(key, (gsize)(dot - key));
	*ret_name = dot + 1;
	return true;
}

/* Where a comment behind the value begins, blanks included; its end if there is none. */
static const char *comment_of(const char *value)
{
	const char *p = value;

	while ((p = strchr(p, ';')) != NULL) {
		if (p == value || g_ascii_isspace(p[-1])) {
			while (p > value && g_ascii_isspace(p[-1]))
				p--;
			return p;
		}
		p++;
	}
	return value + strlen(value);
}

/* No value ends with a space, and carriage returns belong to the line's end. */
static char *without_trailing_space(const char *text)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (guint i = 0; lines[i]; i++)
		g_strchomp(lines[i]);
	return g_strjoinv("\n", lines);
}

GKeyFile *lodge_ini_load(const char *dir, GError **error)
{
	g_autofree char *path = g_build_filename(dir, LODGE_FOLDER_INI, NULL);
	g_autofree char *text = lodge_file_read(path, error), *plain = NULL;
	g_autoptr(GKeyFile) ini = g_key_file_new();
	g_autoptr(GError) why = NULL;

	if (!text)
		return NULL;
	plain = without_trailing_space(text);
	if (g_key_file_load_from_data(ini, plain, strlen(plain), G_KEY_FILE_KEEP_COMMENTS, &why))
		return g_steal_pointer(&ini);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT, "'%s': %s", path, why->message);
	return NULL;
}

/* On the folder: vm.ini is another file after each change. */
int lodge_ini_lock(const char *dir, GError **error)
{
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		lodge_io_error(error, "open", dir);
		return -1;
	}
	/* A file system without locks does without. */
	while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
	return fd;
}

bool lodge_ini_save(GKeyFile *ini, const char *dir, GError **error)
{
	g_autofree char *path = g_build_filename(dir, LODGE_FOLDER_INI, NULL);
	gsize bytes;
	g_autofree char *text = g_key_file_to_data(ini, &bytes, NULL);

	return lodge_file_replace(path, text, bytes, error);
}

char *lodge_ini_get(GKeyFile *ini, const char *key)
{
	g_autofree char *group = NULL, *value = NULL;
	const char *name;

	if (!split(key, &group, &name))
		return NULL;
	value = g_key_file_get_value(ini, group, name, NULL);
	return value ? g_strndup(value, (gsize)(comment_of(value) - value)) : NULL;
}

bool lodge_ini_can_hold(const char *value)
{
	const gsize n = strlen(value);

	for (const char *p = value; *p != '\0'; p++)
		if (g_ascii_iscntrl(*p))
			return false;
	if (!lodge_file_can_hold(value))
		return false;
	return n == 0 || (!g_ascii_isspace(value[0]) && !g_ascii_isspace(value[n - 1]) &&
			  *comment_of(value) == '\0');
}

void lodge_ini_set(GKeyFile *ini, const char *key, const char *value)
{
	g_autofree char *group = NULL, *old = NULL, *text = NULL;
	const char *name, *comment;

	if (!split(key, &group, &name))
		return;
	old = g_key_file_get_value(ini, group, name, NULL);
	if (!value) {
		g_key_file_remove_key(ini, group, name, NULL);
		return;
	}
	comment = old ? comment_of(old) : "";
	text = g_strconcat(value, comment[0] == ';' ? " " : "", comment, NULL);
	g_key_file_set_value(ini, group, name, text);
}

GPtrArray *lodge_ini_settings(GKeyFile *ini)
{
	GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
	g_auto(GStrv) groups = g_key_file_get_groups(ini, NULL);

	for (gsize i = 0; groups[i]; i++) {
		g_auto(GStrv) keys = g_key_file_get_keys(ini, groups[i], NULL, NULL);
		for (gsize k = 0; keys && keys[k]; k++) {
			g_autofree char *key = g_strdup_printf("%s.%s", groups[i], keys[k]);
			g_autofree char *value = lodge_ini_get(ini, key);
			g_ptr_array_add(all, g_strdup_printf("%s=%s", key, value ? value : ""));
		}
	}
	return all;
}

char *lodge_new_id(void)
{
	uint8_t b[16];
	size_t n = 0;

	while (n < sizeof(b)) { /* the kernel's pool is ready long since */
		const ssize_t got = getrandom(b + n, sizeof(b) - n, 0);
		n += (size_t)MAX(got, 0);
	}
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4: random */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	return g_strdup_printf(
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

void lodge_ini_new_generation(GKeyFile *ini)
{
	g_autofree char *id = lodge_new_id();

	lodge_ini_set(ini, "vm.generation", id);
}

char *lodge_new_generation(const char *dir, GError **error)
{
	const int lock = lodge_ini_lock(dir, error);
	g_autoptr(GKeyFile) ini = lock >= 0 ? lodge_ini_load(dir, error) : NULL;
	char *id = NULL;

	if (ini) {
		lodge_ini_new_generation(ini);
		if (lodge_ini_save(ini, dir, error))
			id = lodge_ini_get(ini, "vm.generation");
	}
	if (lock >= 0)
		close(lock);
	return id;
}
