/*
 * diary FILE: writes numbered records to FILE and tells of each only when fsync() has put it on the
 * disk.
 *
 * Between two records it changes a part of its memory; the sum over all of it goes into the record
 * and the line. So what follows a record depends on nothing but its number and the start of the
 * program: a machine that goes on from a saved state must tell the same lines again. It first reads
 * what an earlier start has left; what comes behind the last whole record goes.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RAM_WORDS (4u << 20 >> 3)
#define PART_WORDS (RAM_WORDS / 16)
#define PAUSE_NS 20000000

/* No divisor of a block: most records lie in one, some in two. */
struct record {
	uint64_t number; /* from 1 */
	uint64_t start;	 /* which start of the program wrote it */
	uint64_t ram;
	uint64_t fill[121];
	uint64_t sum; /* of all before */
};

static uint64_t ram[RAM_WORDS];

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

static uint64_t sum_of(const void *p, size_t words)
{
	const uint64_t *w = p;
	uint64_t sum = 1;

	for (size_t i = 0; i < words; i++)
		sum = mix(sum + w[i]);
	return sum;
}

static uint64_t record_sum(const struct record *r)
{
	return sum_of(r, offsetof(struct record, sum) / 8);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* How many whole records the file begins with. */
static uint64_t kept(int fd)
{
	struct record r;
	uint64_t n = 0;

	while (pread(fd, &r, sizeof(r), (off_t)(n * sizeof(r))) == (ssize_t)sizeof(r) &&
	       r.number == n + 1 && r.sum == record_sum(&r))
		n++;
	return n;
}

static void write_record(int fd, uint64_t number, uint64_t start, uint64_t sum)
{
	struct record r = { .number = number, .start = start, .ram = sum };

	fill(r.fill, sizeof(r.fill) / 8, number ^ start);
	r.sum = record_sum(&r);
	if (pwrite(fd, &r, sizeof(r), (off_t)((number - 1) * sizeof(r))) != (ssize_t)sizeof(r))
		die("write");
	if (fsync(fd) < 0)
		die("fsync");
}

int main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	const int fd = argc > 1 ? open(argv[1], O_RDWR | O_CREAT, 0644) : -1;
	struct timespec now;
	uint64_t n, start;

	if (fd < 0)
		die("open");
	n = kept(fd);
	if (ftruncate(fd, (off_t)(n * sizeof(struct record))) < 0)
		die("truncate");
	sync(); /* its name, too */
	clock_gettime(CLOCK_REALTIME, &now);
	start = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	fill(ram, RAM_WORDS, start);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("DIARY start=%016" PRIx64 " kept=%" PRIu64 "\n", start, n);
	for (;;) {
		n++;
		fill(ram + n % 16 * PART_WORDS, PART_WORDS, n ^ start);
		const uint64_t sum = sum_of(ram, RAM_WORDS);
		write_record(fd, n, start, sum);
		printf("DIARY start=%016" PRIx64 " n=%" PRIu64 " ram=%016" PRIx64 "\n", start, n,
		       sum);
		nanosleep(&pause, NULL);
	}
}
