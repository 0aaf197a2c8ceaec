/* One window on one VM: from the first picture to the end of either. */
#ifndef SDL_CONSOLE_H
#define SDL_CONSOLE_H
#include <gio/gio.h>
#include <stdbool.h>
#include "client/client.h"
#include "client/display.h"

struct console_options {
	bool fullscreen;
	bool keep_open; /* when the VM has ended */
	bool owned; /* by a `lodge run`, which ends the VM when the status is LODGE_CONSOLE_PLUG */
};

/* The status when another process goes on with the VM, as after a restored snapshot. */
#define CONSOLE_REPLACED (-1)

/* Runs until the window is closed; the exit status. vm, display: borrowed. Errors as in
 * protocol.h. */
int console_run(struct ui_vm *vm, struct ui_display *display, const struct console_options *o,
		GError **error);
#endif
