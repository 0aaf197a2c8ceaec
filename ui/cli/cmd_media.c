/* lodge media: what is in a running VM's CD and floppy drives. Files are opened here: the VM's
 * process opens none. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cli/cli.h"
#include "client/client.h"
#include "protocol/protocol.h"

#define CALL_TIMEOUT_MS 30000

/* path: of the medium; NULL: none. */
static GVariant *options(struct cli *c, const char *path)
{
	static const struct {
		const char *option, *name;
	} all[] = {
		{ "--write", "keep" },
		{ "--read-only", "read-only" },
		{ "--force", "force" },
	};
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
		if (cli_has(c, all[i].option))
			g_variant_builder_add(&b, "{sv}", all[i].name, g_variant_new_boolean(TRUE));
	if (path && g_utf8_validate(path, -1, NULL))
		g_variant_builder_add(&b, "{sv}", "path", g_variant_new_string(path));
	return g_variant_builder_end(&b);
}

static int timeout(const struct cli *c)
{
	return c->timeout_ms ? (int)c->timeout_ms : CALL_TIMEOUT_MS;
}

static int insert(struct cli *c, struct ui_vm *vm, GError **error)
{
	const char *file = cli_arg(c, 2), *slot = cli_arg(c, 3);
	g_autofree char *path = g_canonicalize_filename(file, NULL);
	g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
	g_autoptr(GVariant) r = NULL;
	/* Not blocking, so that a FIFO is refused and not waited for. */
	const int fd = open(file, (cli_has(c, "--write") ? O_RDWR : O_RDONLY) | O_CLOEXEC |
					  O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		const int code = (int)lodge_error_of_errno(-errno);
		g_set_error(error, LODGE_ERROR, code, "cannot open '%s': %s", file,
			    g_strerror(errno));
		return code;
	}
	g_unix_fd_list_append(fds, fd, NULL); /* a copy of it */
	close(fd);
	r = ui_vm_call_fds(vm, LODGE_IFACE_MEDIA, "Insert",
			   g_variant_new("(shs@a{sv})", slot ? slot : "", 0, file,
					 options(c, path)),
			   fds, NULL, timeout(c), error);
	return r ? 0 : cli_code(error);
}

static int eject(struct cli *c, struct ui_vm *vm, GError **error)
{
	const char *slot = cli_arg(c, 2);
	g_autoptr(GVariant)
		r = ui_vm_call(vm, LODGE_IFACE_MEDIA, "Eject",
			       g_variant_new("(s@a{sv})", slot ? slot : "", options(c, NULL)),
			       timeout(c), error);

	return r ? 0 : cli_code(error);
}

static void print_json(GVariantIter *it)
{
	static const char *const keys[] = { "name", "file", "changes", "bus" };
	g_autoptr(GString) out = g_string_new("[");
	const char *v[G_N_ELEMENTS(keys)];

	while (g_variant_iter_next(it, "(&s&s&s&s)", &v[0], &v[1], &v[2], &v[3])) {
		for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
			g_string_append_printf(out, "%s\"%s\":",
					       i > 0	      ? ","
					       : out->len > 1 ? ",{"
							      : "{",
					       keys[i]);
			lodge_json_string(out, v[i]);
		}
		g_string_append_c(out, '}');
	}
	g_print("%s]\n", out->str);
}

static int list(struct cli *c, struct ui_vm *vm, GError **error)
{
	g_autoptr(GVariant) r = ui_vm_call(vm, LODGE_IFACE_MEDIA, "List", NULL, timeout(c), error);
	g_autoptr(GVariantIter) it = NULL;
	const char *name, *file, *changes, *bus;

	if (!r)
		return cli_code(error);
	g_variant_get(r, "(a(ssss))", &it);
	if (c->json) {
		print_json(it);
		return 0;
	}
	while (g_variant_iter_next(it, "(&s&s&s&s)", &name, &file, &changes, &bus))
		g_print("%-9s %s%s%s%s\n", name, file[0] ? file : "empty", file[0] ? " (" : "",
			file[0] ? changes : "", file[0] ? ")" : "");
	return 0;
}

int cmd_media(struct cli *c, GError **error)
{
	auto_vm struct ui_vm *vm = ui_vm_connect(cli_arg(c, 1), error);
	const char *verb = cli_arg(c, 0);

	if (!vm)
		return cli_code(error);
	if (strcmp(verb, "insert") == 0)
		return insert(c, vm, error);
	return strcmp(verb, "eject") == 0 ? eject(c, vm, error) : list(c, vm, error);
}
