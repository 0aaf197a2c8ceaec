/*
 * vm.ini: whatever is in it is read or refused; what was read is written so that it reads the same,
 * also after a setting was changed. The settings are given to lodge-vm's parser.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fuzz.h"
#include "protocol/folder.h"
#include "vm/config.h"

static char *dir, *path;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void make_dir(void)
{
	if (dir)
		return;
	dir = g_dir_make_tmp("lodge-fuzz-XXXXXX", NULL);
	must(dir != NULL);
	path = g_build_filename(dir, LODGE_FOLDER_INI, NULL);
}

static void remove_dir(void)
{
	g_unlink(path);
	g_rmdir(dir);
	g_clear_pointer(&dir, g_free);
	g_clear_pointer(&path, g_free);
}

static char *joined(GKeyFile *ini)
{
	g_autoptr(GPtrArray) all = lodge_ini_settings(ini);

	g_ptr_array_add(all, NULL);
	return g_strjoinv("\n", (char **)(void *)all->pdata);
}

static void give(GKeyFile *ini)
{
	g_autoptr(GPtrArray) all = lodge_ini_settings(ini);
	struct vm_config c;
	struct err e;
	int r = 0;

	vm_config_init(&c);
	for (guint i = 0; i < all->len && r == 0; i++)
		r = vm_config_set(&c, all->pdata[i], &e);
	if (r == 0)
		r = vm_config_check(&c, &e);
	must(r == 0 || e.msg[0] != '\0');
	vm_config_finish(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GKeyFile) ini = NULL, again = NULL;
	g_autofree char *before = NULL, *after = NULL, *value = NULL;

	make_dir();
	must(g_file_set_contents(path, (const char *)data, (gssize)size, NULL));
	ini = lodge_ini_load(dir, NULL);
	if (ini) {
		give(ini);
		lodge_ini_set(ini, "cpu.count", "2");
		must(lodge_ini_save(ini, dir, NULL));
		again = lodge_ini_load(dir, NULL);
		must(again != NULL);
		before = joined(ini);
		after = joined(again);
		value = lodge_ini_get(again, "cpu.count");
		must(strcmp(before, after) == 0 && strcmp(value, "2") == 0);
	}
	remove_dir();
	return 0;
}
