/* Answers for the parts of the machine library that are not merged yet; weak, so that the library's
 * own take their place as soon as they exist. */
#include <errno.h>
#include "devmodel/machine/machine.h"

__attribute__((weak)) int machine_save(struct machine *m, int fd, struct err *e)
{
	(void)m;
	(void)fd;
	return err_set(e, -EBUSY, "saving is not built in");
}

__attribute__((weak)) const char *machine_cannot_save(const struct machine *m)
{
	(void)m;
	return "saving is not built in";
}
