/*
 * engine-programs ROOT [,NAME,...,]: small programs, and commands of Debian's (programs.list), each
 * with a fixed amount of work; prints `@NAME GROUP SECONDS CHECKSUM`. ROOT (mkroot.sh) becomes the
 * root folder, with the host's devices and a tmpfs as /tmp in it, as they are in the guest. As the
 * first process of a guest it runs those that `only=` of the kernel's command line names, and
 * powers off. See tests/bench/engine.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

/* ---- user programs ---- */

static uint64_t alu(void)
{
	uint64_t a = 1, b = 2;

	for (int i = 0; i < 200000000; i++) {
		a = a * 3 + b;
		b ^= a >> 7;
		a += (uint64_t)i;
	}
	return a + b;
}

static uint64_t sieve(void)
{
	static unsigned char composite[1 << 20];
	uint64_t primes = 0;

	for (int round = 0; round < 80; round++) {
		memset(composite, 0, sizeof(composite));
		for (unsigned i = 2; i < sizeof(composite); i++) {
			if (composite[i])
				continue;
			primes++;
			for (unsigned j = i * 2; j < sizeof(composite); j += i)
				composite[j] = 1;
		}
	}
	return primes;
}

static uint64_t chase(void)
{
	enum { N = 1 << 15 };
	static void *ring[N * 8];
	unsigned at = 0;
	void **p = ring;

	for (int i = 0; i < N; i++) {
		unsigned next = (at * 5 + 12345) & (N - 1);

		ring[at * 8] = &ring[next * 8];
		at = next;
	}
	for (int i = 0; i < 20000000; i++)
		p = *p;
	return (uint64_t)(p - ring);
}

static NOINLINE int fibonacci(int n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t calls(void)
{
	return (uint64_t)fibonacci(40);
}

static NOINLINE int plus(int x)
{
	return x + 1;
}
static NOINLINE int times(int x)
{
	return x * 3;
}
static NOINLINE int mix(int x)
{
	return x ^ 5;
}
static NOINLINE int minus(int x)
{
	return x - 7;
}

static uint64_t indirect(void)
{
	static int (*volatile const table[4])(int) = { plus, times, mix, minus };
	int x = 0;

	for (int i = 0; i < 120000000; i++)
		x = table[i & 3](x);
	return (uint64_t)x;
}

static int by_value(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static uint64_t sort(void)
{
	enum { N = 2000000 };
	int *a = malloc(N * sizeof(*a));
	uint64_t hash = 0;
	unsigned seed = 1;

	for (int i = 0; i < N; i++) {
		seed = seed * 1103515245 + 12345;
		a[i] = (int)(seed >> 8);
	}
	qsort(a, N, sizeof(*a), by_value);
	for (int i = 0; i < N; i += 1000)
		hash = hash * 31 + (uint64_t)a[i];
	free(a);
	return hash;
}

static uint64_t format(void)
{
	char text[200];
	uint64_t hash = 0;

	for (int i = 0; i < 1200000; i++) {
		int n = snprintf(text, sizeof(text), "%d %s %x %5.2f", i, "hello", i * 7, i * 0.25);

		hash += (uint64_t)n + (uint64_t)text[n / 2];
	}
	return hash;
}

struct body {
	double x[3], v[3], mass;
};

static void attract(struct body *a, struct body *b)
{
	double d[3], square = 0.01;

	for (int k = 0; k < 3; k++) {
		d[k] = a->x[k] - b->x[k];
		square += d[k] * d[k];
	}
	double by = 0.001 / (square * sqrt(square));

	for (int k = 0; k < 3; k++) {
		a->v[k] -= d[k] * b->mass * by;
		b->v[k] += d[k] * a->mass * by;
	}
}

static uint64_t nbody(void)
{
	struct body b[5];

	for (int i = 0; i < 5; i++)
		b[i] = (struct body){ { i, i * 2 + 1, i * 3 - 2 }, { 0.1 * i, 0.2, 0.3 }, 1 + i };
	for (int t = 0; t < 1500000; t++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++)
				attract(&b[i], &b[j]);
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				b[i].x[k] += 0.001 * b[i].v[k];
	}
	return (uint64_t)(int64_t)(b[0].x[0] * 1e6);
}

typedef float float4 __attribute__((vector_size(16)));
typedef float float8 __attribute__((vector_size(32)));

static uint64_t floats(void)
{
	static float4 a[2048], b[2048];

	for (int i = 0; i < 2048; i++)
		for (int k = 0; k < 4; k++) {
			a[i][k] = (float)(i + k);
			b[i][k] = (float)k * 0.5f;
		}
	for (int t = 0; t < 100000; t++)
		for (int i = 0; i < 2048; i++)
			a[i] = a[i] * 0.999f + b[i];
	return (uint64_t)a[5][3];
}

__attribute__((target("avx2,fma"))) static uint64_t avx2(void)
{
	static float8 a[1024], b[1024];

	for (int i = 0; i < 1024; i++)
		for (int k = 0; k < 8; k++) {
			a[i][k] = (float)(i + k);
			b[i][k] = (float)k * 0.5f;
		}
	for (int t = 0; t < 200000; t++)
		for (int i = 0; i < 1024; i++)
			a[i] = a[i] * 0.999f + b[i];
	return (uint64_t)a[5][3];
}

static uint64_t x87(void)
{
	long double a = 1.0L, b = 0.5L;

	for (int i = 0; i < 40000000; i++) {
		a = a * 0.9999999L + b;
		b = b * 1.00000001L - a * 1e-9L;
	}
	return (uint64_t)(int64_t)a;
}

static uint64_t copies(void)
{
	static char a[1 << 20], b[1 << 20];

	for (int i = 0; i < 40000; i++)
		memcpy(a, b, 4096);
	for (int i = 0; i < 40000000; i++)
		memcpy(a + (i & 1023), b + (i & 511), (size_t)(16 + (i & 63)));
	for (int i = 0; i < 4000; i++)
		memcpy(a, b, sizeof(a));
	return (uint64_t)a[5];
}

static uint64_t hash(void)
{
	static uint32_t table[1 << 16];
	uint64_t sum = 0;
	unsigned seed = 7;

	for (int i = 0; i < 120000000; i++) {
		seed = seed * 1664525 + 1013904223;
		table[seed >> 16] += (unsigned)i;
		sum += table[seed >> 12 & 65535];
	}
	return sum;
}

/* A sphere over a plane, a ray a pixel. */
static uint64_t rays(void)
{
	enum { SIZE = 5000 };
	uint64_t hits = 0;

	for (int y = 0; y < SIZE; y++)
		for (int x = 0; x < SIZE; x++) {
			double d[3] = { (x - SIZE / 2) / (double)SIZE,
					(y - SIZE / 2) / (double)SIZE, 1 };
			double n = sqrt(d[0] * d[0] + d[1] * d[1] + 1), b = 3 * d[2] / n;
			double disc = b * b - 8, light = 0;

			if (disc > 0)
				light = (b - sqrt(disc)) * 0.25 + fabs(d[0]) / n;
			else if (d[1] > 0)
				light = fmod(floor(d[0] / d[1]) + floor(1 / d[1]), 2);
			hits += (uint64_t)(light * 255);
		}
	return hits;
}

/* ---- system programs ---- */

static uint64_t null_call(void)
{
	for (int i = 0; i < 2000000; i++)
		syscall(SYS_getppid);
	return 0;
}

static uint64_t faults(void)
{
	for (int i = 0; i < 400; i++) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		for (int k = 0; k < 1 << 20; k += 4096)
			p[k] = 1;
		munmap(p, 1 << 20);
	}
	return 0;
}

static uint64_t forks(void)
{
	for (int i = 0; i < 1500; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return 0;
}

static uint64_t execs(void)
{
	for (int i = 0; i < 500; i++) {
		pid_t child = fork();

		if (child == 0) {
			execl("/proc/self/exe", "engine-programs", "-", NULL);
			_exit(1);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}

static uint64_t ping_pong(void)
{
	int to[2], from[2];
	char c = 'x';

	if (pipe(to) < 0 || pipe(from) < 0)
		return 1;
	pid_t child = fork();

	if (child == 0) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1)
			;
		_exit(0);
	}
	for (int i = 0; i < 60000; i++)
		if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
			return 1;
	close(to[1]);
	close(from[0]);
	waitpid(child, NULL, 0);
	return 0;
}

struct turns {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned n;
};

static void take_turns(struct turns *t, unsigned odd)
{
	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < 50000; i++) {
		while ((t->n & 1) != odd)
			pthread_cond_wait(&t->changed, &t->lock);
		t->n++;
		pthread_cond_signal(&t->changed);
	}
	pthread_mutex_unlock(&t->lock);
}

static void *odd_turns(void *arg)
{
	take_turns(arg, 1);
	return NULL;
}

static uint64_t threads(void)
{
	struct turns t = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
	pthread_t other;

	if (pthread_create(&other, NULL, odd_turns, &t) != 0)
		return 0;
	take_turns(&t, 0);
	pthread_join(other, NULL);
	return t.n;
}

static uint64_t files(void)
{
	char name[32];
	struct stat st;
	uint64_t sum = 0;

	for (int i = 0; i < 60000; i++) {
		snprintf(name, sizeof(name), "/tmp/bench-%d", i % 100);
		int fd = open(name, O_CREAT | O_RDWR, 0600);

		sum += stat(name, &st) == 0;
		close(fd);
		unlink(name);
	}
	return sum;
}

/* ---- all of them ---- */

static const struct {
	const char *name, *group;
	uint64_t (*run)(void);
} programs[] = {
	{ "alu", "user", alu },
	{ "sieve", "user", sieve },
	{ "chase", "user", chase },
	{ "calls", "user", calls },
	{ "indirect", "user", indirect },
	{ "sort", "user", sort },
	{ "format", "user", format },
	{ "nbody", "vector", nbody },
	{ "floats", "vector", floats },
	{ "avx2", "vector", avx2 },
	{ "x87", "vector", x87 },
	{ "copies", "user", copies },
	{ "hash", "user", hash },
	{ "rays", "vector", rays },
	{ "null-call", "system", null_call },
	{ "faults", "system", faults },
	{ "forks", "system", forks },
	{ "execs", "system", execs },
	{ "ping-pong", "system", ping_pong },
	{ "threads", "system", threads },
	{ "files", "system", files },
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* In a process of its own: what others have touched would be copied by each fork. */
static void run_one(unsigned i)
{
	pid_t child = fork();

	if (child != 0) {
		waitpid(child, NULL, 0);
		return;
	}
	double start = now();
	uint64_t sum = programs[i].run();

	printf("@%s %s %.4f %llx\n", programs[i].name, programs[i].group, now() - start,
	       (unsigned long long)sum);
	fflush(stdout);
	_exit(0);
}

/* ---- Debian's programs ---- */

static bool wanted(const char *names, const char *name)
{
	char one[40];

	snprintf(one, sizeof(one), ",%s,", name);
	return *names == '\0' || strstr(names, one) != NULL;
}

/* Of a line of `openssl speed -mr`: the fourth field says how much it did a second. 0: none. */
static double rate_of(const char *text)
{
	const char *p = strstr(text, "+F");

	for (int k = 0; p != NULL && k < 3; k++) {
		p = strchr(p, ':');
		p = p != NULL ? p + 1 : NULL;
	}
	return p != NULL ? atof(p) : 0;
}

static void command(const char *name, const char *group, double scale, const char *text)
{
	static char out[4096];
	uint64_t sum = 0;
	char buf[4096];
	size_t n, kept = 0;
	double start = now();
	FILE *f = popen(text, "r");

	if (f == NULL)
		return;
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0) {
		for (size_t i = 0; i < n; i++)
			sum = (sum ^ (uint8_t)buf[i]) * 0x100000001b3ull;
		for (size_t i = 0; i < n && kept < sizeof(out) - 1; i++)
			out[kept++] = buf[i];
	}
	if (pclose(f) != 0)
		return;
	out[kept] = '\0';
	double seconds = now() - start;

	if (scale != 0) {
		sum = 0; /* it prints what it measured */
		seconds = scale / rate_of(out);
	}
	printf("@%s %s %.4f %llx\n", name, group, seconds, (unsigned long long)sum);
	fflush(stdout);
}

static void run_commands(const char *names)
{
	FILE *f = fopen("/programs.list", "r");
	char line[512], name[32], group[16], scale[16];
	int at;

	if (f == NULL || chdir("/data") < 0)
		return;
	setenv("PATH", "/usr/bin", 1);
	setenv("LC_ALL", "C", 1);
	while (fgets(line, sizeof(line), f) != NULL)
		if (line[0] != '#' &&
		    sscanf(line, "%31s %15s %15s %n", name, group, scale, &at) == 3 &&
		    wanted(names, name))
			command(name, group, atof(scale), line + at);
	fclose(f);
}

static void run_named(const char *names)
{
	for (unsigned i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (wanted(names, programs[i].name))
			run_one(i);
	run_commands(names);
}

/* ---- where they run ---- */

static bool enter_root(const char *root)
{
	char path[512];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/dev", root);
	if (mount("/dev", path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/proc", root);
	if (mount("/proc", path, NULL, MS_BIND | MS_REC, NULL) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/tmp", root);
	return mount("tmp", path, "tmpfs", 0, "") == 0 && chroot(root) == 0 && chdir("/") == 0;
}

static void first_process(char *names, size_t size)
{
	char line[2048] = "";

	mount("dev", "/dev", "devtmpfs", 0, "");
	mount("proc", "/proc", "proc", 0, "");
	mount("tmp", "/tmp", "tmpfs", 0, "");
	int console = open("/dev/console", O_RDWR), fd = open("/proc/cmdline", O_RDONLY);

	dup2(console, 1);
	if (fd >= 0 && read(fd, line, sizeof(line) - 1) > 0) {
		const char *only = strstr(line, "only=");

		if (only != NULL)
			snprintf(names, size, "%.*s", (int)strcspn(only + 5, " \n"), only + 5);
	}
}

int main(int argc, char **argv)
{
	char names[1024] = "";

	if (argc > 1 && strcmp(argv[1], "-") == 0)
		return 0; /* execs */
	bool first = getpid() == 1;

	if (first) {
		first_process(names, sizeof(names));
	} else if (argc < 2 || !enter_root(argv[1])) {
		fprintf(stderr,
			"engine-programs ROOT [,NAME,...,]: as root, in a folder of mkroot.sh\n");
		return 2;
	} else if (argc > 2) {
		snprintf(names, sizeof(names), "%s", argv[2]);
	}
	run_named(names);
	if (first)
		reboot(RB_POWER_OFF);
	return 0;
}
