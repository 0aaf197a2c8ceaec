/* See prefetch.h. */
#include "vm/prefetch.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/thread.h"
#include "base/util.h"

#define PIECE_BYTES HV_MIB(4)

void prefetch_plan(struct prefetch *p)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib;

	p->most = 0;
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			p->most = kib * 1024 / 2;
	if (f != NULL)
		fclose(f);
}

/* Returns when it is there: the next piece waits for it. */
static void fetch(int fd, off_t at, off_t bytes)
{
	char last;

	if (posix_fadvise(fd, at, bytes, POSIX_FADV_WILLNEED) == 0)
		(void)!pread(fd, &last, 1, at + bytes - 1);
}

static void *run(void *arg)
{
	struct prefetch *p = arg;
	off_t at = 0, end = 0;
	uint64_t done = 0;

	while (!atomic_load_explicit(&p->stop, memory_order_relaxed) && done < p->most) {
		if (at == end) { /* on to what is no hole */
			at = lseek(p->fd, at, SEEK_DATA);
			end = at < 0 ? -1 : lseek(p->fd, at, SEEK_HOLE);
		}
		if (at < 0 || end <= at)
			break;
		const off_t bytes = (off_t)hv_min_u64((uint64_t)(end - at), PIECE_BYTES);
		fetch(p->fd, at, bytes);
		at += bytes;
		done += (uint64_t)bytes;
	}
	return NULL;
}

void prefetch_begin(struct prefetch *p, int fd)
{
	struct err e;

	p->fd = fd;
	atomic_store_explicit(&p->stop, false, memory_order_relaxed);
	p->started = p->most > 0 && hv_thread_start(&p->thread, "prefetch", run, p, &e) == 0;
}

void prefetch_end(struct prefetch *p)
{
	if (!p->started)
		return;
	atomic_store_explicit(&p->stop, true, memory_order_relaxed);
	pthread_join(p->thread, NULL);
	p->started = false;
}
