/* Pictures and texts of a VM's screen, for the commands that keep them. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H
#include "cli/cli.h"
#include "client/client.h"

/* Writes what the screen shows now as PNG to path ("-": standard output); json (NULL: none) gets
 * what it is: file, size, a pixel's aspect. */
bool screen_save(struct ui_vm *vm, const char *path, uint64_t timeout_ms, GString *json,
		 GError **error);

/* lodge run --screenshot FILE@TIME. */
struct shots;
/* Checks all that were given; NULL with error set. */
struct shots *shots_parse(const struct cli *c, GError **error);
/* The VM of that name runs: from now on they are taken, when it has run for their time. */
void shots_start(struct shots *s, const char *vm_name);
/* The VM has ended: says which were not taken. Frees s; NULL is fine. */
void shots_finish(struct shots *s);
#endif
