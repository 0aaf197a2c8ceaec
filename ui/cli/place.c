/* See place.h. */
#include "cli/place.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/kept.h"
#include "protocol/protocol.h"
#include "protocol/seen.h"
#include "protocol/snapshots.h"

struct found {
	const char *dir;
	char *name;
	enum lodge_place place;
	char *before;  /* where the folder was; NULL: here */
	char *changed; /* disks; NULL: none, or the folder's files are copies */
};

static bool ask_copied(const struct found *f, bool *ret_copied, GError **error)
{
	char answer[16] = "";

	g_printerr("VM \"%s\" was in '%s' before. Was it copied or moved? [C/m] ", f->name,
		   f->before);
	if (!fgets(answer, sizeof(answer), stdin)) {
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_FAILED, "nothing was done");
		return false;
	}
	*ret_copied = answer[0] != 'm' && answer[0] != 'M';
	return true;
}

/* Is it another VM than the one that was there? */
static bool is_copied(struct cli *c, const struct found *f, bool *ret_copied, GError **error)
{
	*ret_copied = cli_has(c, "--copied");
	if (*ret_copied || cli_has(c, "--moved") || !f->before)
		return true;
	switch (f->place) {
	case LODGE_PLACE_MOVED:
		cli_say(c, "VM \"%s\" was moved here from '%s'", f->name, f->before);
		break;
	case LODGE_PLACE_COPIED:
		cli_say(c,
			"VM \"%s\" is a copy of the one in '%s': it gets an identity of its own (--moved "
			"keeps the old one)",
			f->name, f->before);
		*ret_copied = true;
		break;
	default:
		if (isatty(STDIN_FILENO) && !cli_has(c, "--yes"))
			return ask_copied(f, ret_copied, error);
		cli_say(c,
			"VM \"%s\" was in '%s' before: it is taken for moved (--copied gives it an identity "
			"of its own)",
			f->name, f->before);
		break;
	}
	return true;
}

/* What a suspended guest remembers of its file systems is not on them any more. */
static bool may_go_on(struct cli *c, const struct found *f, GError **error)
{
	if (strcmp(lodge_folder_own_state(f->dir), "suspended") == 0)
		return kept_confirm(
			c, error,
			"VM \"%s\" is suspended, and %s was changed since: its guest may "
			"damage what is on it. Start all the same?",
			f->name, f->changed);
	cli_say(c, "VM \"%s\": %s was changed since it ran last", f->name, f->changed);
	return true;
}

static bool new_generation(const char *dir, GError **error)
{
	g_autofree char *id = lodge_new_generation(dir, error);

	return id != NULL;
}

/* With the folder's lock. Whoever is not known to be the only one goes on as another generation. */
static bool settle(struct cli *c, const struct found *f, GError **error)
{
	const bool foreign = f->place == LODGE_PLACE_COPIED || f->place == LODGE_PLACE_OTHER;
	bool copied;

	if (!is_copied(c, f, &copied, error) || (f->changed && !may_go_on(c, f, error)))
		return false;
	/* One that the user calls a copy; of another one the forks are not based on it. */
	if (copied && !foreign && kept_has_fork(f->dir, error))
		return false;
	if (copied ? !lodge_new_identity(f->dir, f->dir, f->before, error)
		   : (foreign || f->changed) && !new_generation(f->dir, error))
		return false;
	if (foreign)
		lodge_seen_no_disks(f->dir);
	/* No room for it is in the way only where the same would be found again. */
	return lodge_seen_here(f->dir, f->dir, foreign ? error : NULL) || !foreign;
}

bool place_settle(struct cli *c, const char *dir, GError **error)
{
	g_autofree char *before = NULL, *changed = NULL, *name = g_path_get_basename(dir);
	struct found f = { .dir = dir, .name = name };
	bool good;
	int lock;

	if (cli_has(c, "--copied") && cli_has(c, "--moved")) {
		cli_bad(error, "--copied or --moved: it is one of them");
		return false;
	}
	if (lodge_folder_read_only(dir))
		return true;
	f.place = lodge_seen_place(dir, &before);
	f.before = before;
	if (f.place == LODGE_PLACE_SAME || f.place == LODGE_PLACE_MOVED)
		f.changed = changed = lodge_seen_changed(dir);
	if (f.place == LODGE_PLACE_SAME && !changed && !cli_has(c, "--copied"))
		return true;
	lock = lodge_folder_lock(dir, "is being started", error);
	if (lock < 0)
		return false;
	good = settle(c, &f, error);
	close(lock);
	return good;
}
