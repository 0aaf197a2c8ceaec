/* lodge disk: disk images are read by a program of its own, lodge-disk. */
#include <errno.h>
#include <unistd.h>
#include "cli/cli.h"
#include "client/client.h"
#include "protocol/protocol.h"

int cmd_disk(int argc, char **argv, GError **error)
{
	g_autofree char *program = ui_find_program("lodge-disk", error);
	g_autoptr(GPtrArray) args = g_ptr_array_new();

	if (!program)
		return cli_code(error);
	g_ptr_array_add(args, program);
	for (int i = 0; i < argc; i++)
		g_ptr_array_add(args, argv[i]);
	g_ptr_array_add(args, NULL);
	execv(program, (char **)args->pdata);
	g_set_error(error, LODGE_ERROR, LODGE_ERROR_HOST_LIMIT, "cannot start '%s': %s", program,
		    g_strerror(errno));
	return cli_code(error);
}

int cmd_disk_help(struct cli *c, GError **error)
{
	char help[] = "help", *argv[] = { help };

	(void)c;
	return cmd_disk(1, argv, error);
}
