/*
 * A snapshot's manifest, and what else lies in its folder and the VM's: read or refused, and what
 * was read is found, written and read the same.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"

#define ID "0123456789ab"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void put(const char *dir, const char *file, const uint8_t *data, size_t size)
{
	g_autofree char *path = lodge_snapshot_path(dir, ID, file);

	must(g_file_set_contents(path, (const char *)data, (gssize)size, NULL));
}

static void look(const char *dir)
{
	g_autoptr(GPtrArray) all = lodge_snapshots(dir, NULL), again = NULL;
	g_autofree char *path = lodge_snapshot_path(dir, ID, NULL), *fork = NULL, *name = NULL;
	const struct lodge_snapshot *s;

	(void)!lodge_snapshot_fork(dir, ID, &fork, NULL);
	if (!all)
		return;
	must(all->len == 1);
	s = all->pdata[0];
	must(lodge_snapshot_find(all, s->id, NULL) == s &&
	     lodge_snapshot_find(all, NULL, NULL) == s);
	must(lodge_snapshot_write(s, path, NULL));
	name = g_strdup(s->name);
	again = lodge_snapshots(dir, NULL);
	must(again != NULL && strcmp(((struct lodge_snapshot *)again->pdata[0])->name, name) == 0);
}

/* The same text as what was seen of the folder: its place is known once it is noted. */
static void look_at_seen(const char *dir, const uint8_t *data, size_t size)
{
	g_autofree char *path = g_build_filename(dir, "seen", NULL), *before = NULL, *none = NULL;
	g_autofree char *changed = NULL, *still = NULL;

	must(g_file_set_contents(path, (const char *)data, (gssize)size, NULL));
	lodge_seen_place(dir, &before);
	changed = lodge_seen_changed(dir);
	must(lodge_seen_here(dir, dir, NULL) && lodge_seen_place(dir, &none) == LODGE_PLACE_SAME);
	must(lodge_seen_disks(dir, NULL));
	still = lodge_seen_changed(dir);
	must(!none && !still && lodge_seen_place(dir, &none) == LODGE_PLACE_SAME);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *dir = g_dir_make_tmp("lodge-fuzz-XXXXXX", NULL), *folder = NULL;

	must(dir != NULL);
	folder = lodge_snapshot_path(dir, ID, NULL);
	must(g_mkdir_with_parents(folder, 0700) == 0);
	put(dir, "manifest", data, size);
	put(dir, "forks", data, size);
	look(dir);
	look_at_seen(dir, data, size);
	must(lodge_remove_tree(dir, NULL));
	return 0;
}
