/*
 * scribble IMAGE MIRROR SEED N [THREADS]: N random operations on a disk image, and the same ones in
 * memory. MIRROR is a raw file with the image's contents before; afterwards it has those that the
 * image should have. Every read is compared. Threads share clusters, but no sectors.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/util.h"
#include "devmodel/storage/image.h"

#define STRIPE 4096u
#define MAX_OP (3u << 20)

static struct blk *disk;
static uint8_t *mirror;
static unsigned n_threads = 1, n_ops;

struct worker {
	pthread_t thread;
	unsigned index;
	uint64_t seed;
};

static void die(const char *what, int r)
{
	fprintf(stderr, "scribble: %s: %s\n", what, strerror(-r));
	exit(1);
}

static uint64_t rnd(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* A range of this worker's: anything if it is alone, else within a stripe of its own. */
static void choose(struct worker *w, uint64_t *off, uint64_t *bytes)
{
	const uint64_t sectors = disk->bytes / 512;
	const uint64_t max = rnd(&w->seed) % 8 == 0 ? MAX_OP / 512 : 64;

	if (n_threads == 1) {
		*off = rnd(&w->seed) % sectors;
		*bytes = hv_min_u64(1 + rnd(&w->seed) % max, sectors - *off) * 512;
		*off *= 512;
		return;
	}
	const uint64_t stripes = disk->bytes / STRIPE / n_threads;
	const uint64_t first = rnd(&w->seed) % (STRIPE / 512);
	*off = (rnd(&w->seed) % stripes * n_threads + w->index) * STRIPE + first * 512;
	*bytes = (1 + rnd(&w->seed) % (STRIPE / 512 - first)) * 512;
}

static void compare(uint64_t off, uint64_t bytes)
{
	uint8_t *buf = malloc(bytes);
	const int r = blk_run(disk, BLK_READ, off, buf, bytes);

	if (r < 0)
		die("read", r);
	for (uint64_t i = 0; i < bytes; i++)
		if (buf[i] != mirror[off + i]) {
			fprintf(stderr, "scribble: byte %llu is %02x, not %02x\n",
				(unsigned long long)(off + i), buf[i], mirror[off + i]);
			exit(1);
		}
	free(buf);
}

static void write_some(struct worker *w, uint64_t off, uint64_t bytes)
{
	const uint64_t value = rnd(&w->seed);

	for (uint64_t i = 0; i < bytes; i += 8)
		memcpy(mirror + off + i, &(uint64_t){ value + i }, 8);
	const int r = blk_run(disk, BLK_WRITE, off, mirror + off, bytes);
	if (r < 0)
		die("write", r);
}

/* What is discarded is whatever the image says afterwards: the old contents or zeroes. */
static void discard(uint64_t off, uint64_t bytes)
{
	uint8_t *buf = malloc(bytes);
	int r = blk_run(disk, BLK_DISCARD, off, NULL, bytes);

	if (r == 0)
		r = blk_run(disk, BLK_READ, off, buf, bytes);
	if (r < 0)
		die("discard", r);
	for (uint64_t i = 0; i < bytes; i += 512)
		if (memcmp(buf + i, mirror + off + i, 512) != 0 && !hv_is_zero(buf + i, 512)) {
			fprintf(stderr, "scribble: discarded bytes at %llu are new\n",
				(unsigned long long)(off + i));
			exit(1);
		}
	memcpy(mirror + off, buf, bytes);
	free(buf);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < n_ops; i++) {
		uint64_t off, bytes;
		int r = 0;
		choose(w, &off, &bytes);
		switch (rnd(&w->seed) % 10) {
		case 0:
			memset(mirror + off, 0, bytes);
			r = blk_run(disk, BLK_WRITE_ZEROES, off, NULL, bytes);
			break;
		case 1:
			discard(off, bytes);
			break;
		case 2:
			r = rnd(&w->seed) % 4 == 0 ? blk_run(disk, BLK_FLUSH, 0, NULL, 0) : 0;
			break;
		case 3:
		case 4:
		case 5:
			compare(off, bytes);
			break;
		default:
			write_some(w, off, bytes);
		}
		if (r < 0)
			die("operation", r);
	}
	return NULL;
}

static void map_mirror(const char *path)
{
	const int fd = open(path, O_RDWR);

	if (fd < 0 || ftruncate(fd, (off_t)disk->bytes) < 0)
		die(path, -errno);
	mirror = mmap(NULL, disk->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mirror == MAP_FAILED)
		die(path, -errno);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct image_options o = { .format = IMAGE_FORMAT_AUTO };
	struct worker w[16] = { 0 };
	struct err e;

	if (argc < 5)
		return 2;
	n_ops = (unsigned)strtoul(argv[4], NULL, 10);
	n_threads = argc > 5 ? (unsigned)hv_min_u64(strtoul(argv[5], NULL, 10), 16) : 1;
	if (image_open(argv[1], &o, &disk, &e) < 0) {
		fprintf(stderr, "scribble: %s\n", e.msg);
		return 1;
	}
	map_mirror(argv[2]);
	for (unsigned i = 0; i < n_threads; i++) {
		w[i].index = i;
		w[i].seed = (strtoull(argv[3], NULL, 10) + 1) * 0x9e3779b97f4a7c15ull + i;
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (unsigned i = 0; i < n_threads; i++)
		pthread_join(w[i].thread, NULL);
	compare(0, disk->bytes);
	blk_close(disk);
	return 0;
}
