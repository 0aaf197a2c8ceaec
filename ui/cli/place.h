/* What others did to the folder of a VM that is kept, noticed when it is started. */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H
#include "cli/cli.h"

/* Says it in a line, asks where that is needed (--copied and --moved answer), and makes a copy a VM
 * of its own; a disk that was changed while the VM was suspended is asked about. False: do not
 * start it. */
bool place_settle(struct cli *c, const char *dir, GError **error);
#endif
