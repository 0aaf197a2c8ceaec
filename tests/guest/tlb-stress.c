/*
 * tlb-stress [ROUNDS]: a thread on the first CPU takes pages away, write-protects, empties and
 * exchanges them, while a thread on every other CPU reads and writes them. When the system call is
 * back, no access by an old translation may take effect any more. Prints one line; status 1 if one
 * did.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGES 8u /* of each region, all of them changed at once */
#define MAX_CPUS 8
#define LOOKS 300 /* at what must stay as it is */

enum state { WRITABLE, FIXED, GONE };

static uint8_t *region;		 /* written by all; protected, emptied, taken away */
static uint8_t *exchanged;	 /* read by all; backed by one file page or the other */
static _Atomic unsigned epoch;	 /* even: nothing is being changed */
static _Atomic enum state state; /* of region, while epoch is even */
static _Atomic unsigned shown;	 /* which page exchanged has, while epoch is even */
static _Atomic bool ends;
static _Atomic uint64_t stale, writes, faults;
static __thread sigjmp_buf back;

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		perror("tlb-stress: sched_setaffinity");
}

/* A store that took effect although the page was not writable all the time. */
static void try_write(uint64_t *p, uint64_t x)
{
	unsigned before = epoch;
	enum state s = state;

	if (sigsetjmp(back, 1) != 0) {
		faults++;
		return;
	}
	*(volatile uint64_t *)p = x;
	writes++;
	if (!(before & 1) && s != WRITABLE && epoch == before)
		stale++;
}

static void try_read(unsigned n)
{
	unsigned before = epoch, want = shown;
	uint64_t x = *(volatile uint64_t *)(exchanged + n * PAGE);

	if (!(before & 1) && epoch == before && x != want)
		stale++;
}

static void *other_main(void *arg)
{
	unsigned cpu = (unsigned)(uintptr_t)arg;

	pin(cpu);
	for (uint64_t x = 1; !ends; x++)
		for (unsigned n = 0; n < PAGES; n++) {
			try_write((uint64_t *)(void *)(region + n * PAGE) + cpu, x);
			try_read(n);
		}
	return NULL;
}

/* Nobody writes: what is there stays. */
static void watch(bool is_zero)
{
	for (unsigned n = 0; n < PAGES; n++) {
		volatile uint64_t *p = (volatile uint64_t *)(void *)(region + n * PAGE);

		for (unsigned cpu = 1; cpu < MAX_CPUS; cpu++) {
			uint64_t first = is_zero ? 0 : p[cpu];

			for (unsigned k = 0; k < LOOKS / MAX_CPUS; k++)
				stale += p[cpu] != first;
		}
	}
}

static void change(enum state s)
{
	state = s;
	epoch++;
}

static void round_of(unsigned k, int fd)
{
	epoch++;
	mprotect(region, PAGES * PAGE, PROT_READ);
	change(FIXED);
	watch(false);
	epoch++;
	if (k & 1)
		madvise(region, PAGES * PAGE, MADV_DONTNEED);
	change(FIXED);
	watch(k & 1);
	if (k % 4 == 3) {
		epoch++;
		munmap(region, PAGES * PAGE);
		change(GONE);
		usleep(100);
		epoch++;
		mmap(region, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
		change(FIXED);
		watch(true);
	}
	epoch++;
	mprotect(region, PAGES * PAGE, PROT_READ | PROT_WRITE);
	for (unsigned n = 0; n < PAGES; n++)
		mmap(exchanged + n * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		     (k & 1) * PAGE);
	shown = k & 1;
	change(WRITABLE);
	usleep(200);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1000;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct sigaction sa = { .sa_handler = on_fault };
	int fd = memfd_create("pages", 0);
	pthread_t t[MAX_CPUS];

	sigaction(SIGSEGV, &sa, NULL);
	if (cpus > MAX_CPUS)
		cpus = MAX_CPUS;
	if (fd < 0 || ftruncate(fd, 2 * PAGE) < 0 ||
	    pwrite(fd, &(uint64_t){ 1 }, sizeof(uint64_t), PAGE) < 0)
		return 2;
	region = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	exchanged = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (region == MAP_FAILED || exchanged == MAP_FAILED)
		return 2;
	for (unsigned n = 0; n < PAGES; n++)
		mmap(exchanged + n * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	pin(0);
	for (long cpu = 1; cpu < cpus; cpu++)
		pthread_create(&t[cpu], NULL, other_main, (void *)(uintptr_t)cpu);
	for (unsigned k = 1; k <= rounds; k++)
		round_of(k, fd);
	ends = true;
	for (long cpu = 1; cpu < cpus; cpu++)
		pthread_join(t[cpu], NULL);
	printf("TLB-STRESS cpus %ld rounds %u writes %llu faults %llu stale %llu\n", cpus, rounds,
	       (unsigned long long)writes, (unsigned long long)faults, (unsigned long long)stale);
	return stale != 0 || (cpus > 1 && (writes == 0 || faults == 0));
}
