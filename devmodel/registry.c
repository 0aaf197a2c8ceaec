/* Every device model there is: the one place outside machine/ that names them. */
#include "devmodel/dev.h"

/* clang-format off */
#define DM_CLASSES(X) \
	X(dm_debugcon)    \
	X(dm_debug_exit)  \
	X(dm_port92)      \
	X(dm_reset_ctl)   \
	X(dm_post_port)
/* clang-format on */

#define DM_DECLARE(c) extern const struct dev_class c;
#define DM_ENTRY(c) &c,

DM_CLASSES(DM_DECLARE)

const struct dev_class *const dm_classes[] = { DM_CLASSES(DM_ENTRY) NULL };
