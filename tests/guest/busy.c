/*
 * busy: keeps a guest busy in every way at once and prints what it sees, one line a period.
 *
 * A checksum chain that the host can compute too, timer ticks against the clocks, a walk over a
 * large patterned buffer, direct disk I/O with patterned blocks. Whatever a save and restore
 * loses, doubles or corrupts shows in a line: the driver checks that they go on without a gap.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RAM_BYTES (24u << 20)
#define CHAIN_STEPS 1000000u
#define DISK_BLOCK 65536u
#define DISK_BLOCKS 64u

static volatile uint64_t ticks;
static volatile uint64_t ram_walks, ram_bad;
static volatile uint64_t disk_ops, disk_bad;

static uint64_t mix(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ x << 17;
}

static void fill(uint64_t *p, size_t words, uint64_t key)
{
	uint64_t x = key * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < words; i++)
		p[i] = x = mix(x);
}

static bool check(const uint64_t *p, size_t words, uint64_t key)
{
	uint64_t x = key * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < words; i++)
		if (p[i] != (x = mix(x)))
			return false;
	return true;
}

static void *ram_main(void *arg)
{
	uint64_t *p = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);

	(void)arg;
	if (p == MAP_FAILED) {
		ram_bad++;
		return NULL;
	}
	for (uint64_t key = 1;; key++) {
		fill(p, RAM_BYTES / 8, key);
		if (!check(p, RAM_BYTES / 8, key))
			ram_bad++;
		ram_walks++;
	}
}

static void *disk_main(void *arg)
{
	void *buf;
	int fd = open(arg, O_RDWR | O_DIRECT);

	if (fd < 0 || posix_memalign(&buf, 4096, DISK_BLOCK) != 0) {
		disk_bad++;
		return NULL;
	}
	for (uint64_t key = 1;; key++) {
		off_t at = (off_t)(key % DISK_BLOCKS) * DISK_BLOCK;

		fill(buf, DISK_BLOCK / 8, key);
		if (pwrite(fd, buf, DISK_BLOCK, at) != (ssize_t)DISK_BLOCK)
			disk_bad++;
		memset(buf, 0, DISK_BLOCK);
		if (pread(fd, buf, DISK_BLOCK, at) != (ssize_t)DISK_BLOCK ||
		    !check(buf, DISK_BLOCK / 8, key))
			disk_bad++;
		disk_ops++;
	}
}

static void *tick_main(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	for (;;) {
		t.tv_nsec += 10000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_nsec -= 1000000000;
			t.tv_sec++;
		}
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
			;
		ticks++;
	}
	return NULL;
}

static double seconds(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* By how much the wall clock is ahead of the other; of some tries the one that took least, since a
 * busy host lets time pass between two of them. */
static double wall_ahead(void)
{
	double ahead = 0, least = 1e9;

	for (unsigned i = 0; i < 20 && least > 0.01; i++) {
		const double before = seconds(CLOCK_MONOTONIC), wall = seconds(CLOCK_REALTIME);
		const double took = seconds(CLOCK_MONOTONIC) - before;
		if (took < least) {
			least = took;
			ahead = wall - before - took / 2;
		}
	}
	return ahead;
}

/* usage: busy [DISK] */
int main(int argc, char **argv)
{
	pthread_t th;
	uint64_t x = 1, seq = 0;
	double start, wall;

	setvbuf(stdout, NULL, _IOLBF, 0);
	start = seconds(CLOCK_MONOTONIC);
	wall = wall_ahead();
	pthread_create(&th, NULL, tick_main, NULL);
	pthread_create(&th, NULL, ram_main, NULL);
	if (argc > 1)
		pthread_create(&th, NULL, disk_main, argv[1]);
	for (;;) {
		for (unsigned i = 0; i < CHAIN_STEPS; i++)
			x = mix(x);
		seq++;
		double mono = seconds(CLOCK_MONOTONIC);

		printf("BUSY seq=%llu sum=%016llx ticks=%llu mono=%.3f skew=%.3f ram=%llu/%llu "
		       "disk=%llu/%llu\n",
		       (unsigned long long)seq, (unsigned long long)x, (unsigned long long)ticks,
		       mono - start, wall_ahead() - wall, (unsigned long long)ram_walks,
		       (unsigned long long)ram_bad, (unsigned long long)disk_ops,
		       (unsigned long long)disk_bad);
	}
}
