/* See progress.h. */
#include "vm/progress.h"
#include <stdio.h>

void progress_show(void *data, uint64_t done, uint64_t part)
{
	struct progress *p = data;
	const double share = p->all > 0 ? (double)(p->before + done) / (double)p->all : 1;
	const int percent = share < 1 ? (int)(share * 100) : 100;

	(void)part;
	if (p->fd < 0 || percent == p->shown)
		return;
	p->shown = percent;
	dprintf(p->fd, "\r%3d %%", percent);
}

void progress_end(struct progress *p)
{
	if (p->fd >= 0 && p->shown >= 0)
		dprintf(p->fd, "\r     \r");
}
