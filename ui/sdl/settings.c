/* What the console remembers, see settings.h. */
#include "sdl/settings.h"
#include <string.h>
#include "protocol/protocol.h"
#include "sdl/keymap.h"

#define GROUP "console"
#define WINDOW_MIN 64
#define WINDOW_MAX 16384

static bool bad(const char *path, const char *key, const char *value, const char *near,
		GError **error)
{
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT, "%s: %s cannot be '%s'%s%s", path,
		    key, value, near ? "; the nearest is " : "", near ? near : "");
	return false;
}

static bool take_host_key(const char *path, const char *value, struct settings *s, GError **error)
{
	s->host_key = keymap_host_key(value);
	return s->host_key != SDL_SCANCODE_UNKNOWN ||
	       bad(path, "host-key", value, lodge_nearest(value, keymap_host_key_names()), error);
}

static bool take_scaling(const char *path, const char *value, struct settings *s, GError **error)
{
	const char *names[LAYOUT_N_SCALINGS + 1] = { NULL };

	for (int i = 0; i < LAYOUT_N_SCALINGS; i++) {
		names[i] = layout_scaling_name((enum layout_scaling)i);
		if (strcmp(value, names[i]) == 0) {
			s->scaling = (enum layout_scaling)i;
			return true;
		}
	}
	return bad(path, "scaling", value, lodge_nearest(value, names), error);
}

bool settings_load(struct settings *ret, GError **error)
{
	g_autofree char *path = g_build_filename(g_get_user_config_dir(), "lodge", "console.ini",
						 NULL);
	g_autoptr(GKeyFile) f = g_key_file_new();
	g_autoptr(GError) why = NULL;
	g_autofree char *host_key = NULL, *scaling = NULL;

	*ret = (struct settings){ .host_key = SDL_SCANCODE_RCTRL };
	if (!g_key_file_load_from_file(f, path, G_KEY_FILE_NONE, &why)) {
		if (g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			return true;
		g_set_error(error, LODGE_ERROR, LODGE_ERROR_BAD_ARGUMENT, "%s: %s", path,
			    why->message);
		return false;
	}
	host_key = g_key_file_get_string(f, GROUP, "host-key", NULL);
	scaling = g_key_file_get_string(f, GROUP, "scaling", NULL);
	return (!host_key || take_host_key(path, g_strstrip(host_key), ret, error)) &&
	       (!scaling || take_scaling(path, g_strstrip(scaling), ret, error));
}

/* ---- windows ---- */

/* One file a VM: names may be anything, and several consoles write at a time. */
static char *geometry_path(const char *vm)
{
	g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, vm, -1);
	g_autofree char *name = g_strdup_printf("console-%.16s.ini", sum);

	return g_build_filename(g_get_user_state_dir(), "lodge", name, NULL);
}

bool geometry_load(const char *vm, struct geometry *ret)
{
	g_autofree char *path = geometry_path(vm);
	g_autoptr(GKeyFile) f = g_key_file_new();
	g_autoptr(GError) error = NULL;
	struct geometry g;
	gsize n = 0;

	if (!g_key_file_load_from_file(f, path, G_KEY_FILE_NONE, NULL))
		return false;
	g_autofree gint *v = g_key_file_get_integer_list(f, GROUP, "window", &n, NULL);
	if (!v || n != 4)
		return false;
	g = (struct geometry){ .x = v[0], .y = v[1], .width = v[2], .height = v[3] };
	g.sized = g_key_file_get_boolean(f, GROUP, "sized", NULL);
	if (g.width < WINDOW_MIN || g.height < WINDOW_MIN || g.width > WINDOW_MAX ||
	    g.height > WINDOW_MAX || ABS(g.x) > WINDOW_MAX || ABS(g.y) > WINDOW_MAX)
		return false;
	*ret = g;
	return true;
}

void geometry_save(const char *vm, const struct geometry *g)
{
	g_autofree char *path = geometry_path(vm), *dir = g_path_get_dirname(path);
	g_autoptr(GKeyFile) f = g_key_file_new();
	gint v[] = { g->x, g->y, g->width, g->height };

	g_key_file_set_string(f, GROUP, "vm", vm);
	g_key_file_set_integer_list(f, GROUP, "window", v, G_N_ELEMENTS(v));
	g_key_file_set_boolean(f, GROUP, "sized", g->sized);
	if (g_mkdir_with_parents(dir, 0700) == 0)
		g_key_file_save_to_file(f, path, NULL);
}
