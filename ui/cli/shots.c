/* The pictures of `lodge run --screenshot FILE@TIME`, see screen.h. */
#include <string.h>
#include "cli/cli.h"
#include "cli/newfile.h"
#include "cli/screen.h"
#include "protocol/protocol.h"

/* While the VM's time lags behind ours (it is paused, or slow): when to look again at the least. */
#define AGAIN_MS 20

struct shot {
	struct shots *all;
	char *path;
	uint64_t at_ms; /* of the VM's time */
	guint timer;	/* 0: none */
	bool taken;	/* or tried */
};

struct shots {
	const struct cli *cli; /* borrowed */
	char *vm_name;
	GPtrArray *list; /* of struct shot; owned */
};

static void free_shot(gpointer data)
{
	struct shot *s = data;

	if (s->timer)
		g_source_remove(s->timer);
	g_free(s->path);
	g_free(s);
}

/* ---- before the VM ---- */

static struct shot *parse_one(const char *text, GError **error)
{
	const char *at = strrchr(text, '@');
	struct shot *s = g_new0(struct shot, 1);

	s->path = at ? g_strndup(text, (gsize)(at - text)) : g_strdup(text);
	if (!at || !lodge_parse_time(at + 1, &s->at_ms)) {
		cli_bad(error,
			"--screenshot wants a file and a time, such as screen.png@10s, not '%s'",
			text);
	} else if (new_file_check("--screenshot", s->path, error)) {
		return s;
	}
	free_shot(s);
	return NULL;
}

struct shots *shots_parse(const struct cli *c, GError **error)
{
	struct shots *all = g_new0(struct shots, 1);

	all->cli = c;
	all->list = g_ptr_array_new_with_free_func(free_shot);
	for (guint i = 0; i < c->screenshots->len; i++) {
		struct shot *s = parse_one(c->screenshots->pdata[i], error);
		if (!s) {
			shots_finish(all);
			return NULL;
		}
		s->all = all;
		g_ptr_array_add(all->list, s);
	}
	return all;
}

/* ---- while it runs ---- */

static gboolean on_time(gpointer data);

static void wait_for(struct shot *s, uint64_t ms)
{
	s->timer = g_timeout_add((guint)MIN(ms, G_MAXINT), on_time, s);
}

/* How long the VM has still to run; false: it is gone. */
static bool left_ms(struct ui_vm *vm, const struct shot *s, uint64_t *ret_ms, GError **error)
{
	g_autoptr(GVariant) props = ui_vm_properties(vm, error);
	guint64 uptime_ns = 0;

	if (!props)
		return false;
	g_variant_lookup(props, "UptimeNs", "t", &uptime_ns);
	*ret_ms = s->at_ms > uptime_ns / 1000000 ? s->at_ms - uptime_ns / 1000000 : 0;
	return true;
}

static gboolean on_time(gpointer data)
{
	struct shot *s = data;
	g_autoptr(GError) error = NULL;
	auto_vm struct ui_vm *vm = NULL;
	uint64_t ms = 0;
	bool good;

	s->timer = 0;
	vm = ui_vm_connect(s->all->vm_name, &error);
	good = vm && left_ms(vm, s, &ms, &error);
	if (good && ms > 0) {
		wait_for(s, MAX(ms, AGAIN_MS));
		return G_SOURCE_REMOVE;
	}
	s->taken = true;
	if (good)
		good = screen_save(vm, s->path, 0, NULL, &error);
	if (!good)
		cli_say(s->all->cli, "no screenshot '%s': %s", s->path, error->message);
	return G_SOURCE_REMOVE;
}

void shots_start(struct shots *all, const char *vm_name)
{
	all->vm_name = g_strdup(vm_name);
	for (guint i = 0; i < all->list->len; i++) {
		struct shot *s = all->list->pdata[i];
		wait_for(s, s->at_ms);
	}
}

void shots_finish(struct shots *all)
{
	if (!all)
		return;
	for (guint i = 0; i < all->list->len; i++) {
		const struct shot *s = all->list->pdata[i];
		if (all->vm_name && !s->taken)
			cli_say(all->cli, "no screenshot '%s': the VM ended before its time",
				s->path);
	}
	g_ptr_array_unref(all->list);
	g_free(all->vm_name);
	g_free(all);
}
