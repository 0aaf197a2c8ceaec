/* The window of `lodge run`, and `lodge console`: both are the program lodge-console. */
#ifndef CLI_WINDOW_H
#define CLI_WINDOW_H
#include <stdbool.h>
#include "cli/cli.h"

struct window;

/* As --display, --headless and the environment want it; the callback: the user pulled the plug in
 * the window. NULL with error set: a window is wanted and cannot be. */
struct window *window_parse(const struct cli *c, void (*plug)(void *ctx), void *ctx,
			    GError **error);
/* The VM of that name runs. Opens the window if there shall be one; if that fails, says so. */
void window_open(struct window *w, const char *name);
/* at_once: the user has ended the VM and need not be told; else the window says so and closes by
 * itself. NULL is fine. */
/* Opens it on the VM in that folder; it outlives this program. Ends w. */
void window_leave(struct window *w, const char *dir);
void window_finish(struct window *w, bool at_once);
#endif
