/* See log.h. One lock orders the lines of all threads; the level is looked at without it. */
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static struct {
	pthread_mutex_t lock;
	log_sink_fn sink; /* under lock; NULL: standard error */
	void *sink_ctx;
	int file_fd; /* under lock; -1: none */
	int level;   /* enum log_level; any thread */
} g_log = { .lock = PTHREAD_MUTEX_INITIALIZER, .file_fd = -1, .level = LOG_LVL_WARN };

static const char *const level_names[] = {
	[LOG_LVL_ERROR] = "error", [LOG_LVL_WARN] = "warn",   [LOG_LVL_INFO] = "info",
	[LOG_LVL_DEBUG] = "debug", [LOG_LVL_TRACE] = "trace",
};
#define N_LEVELS (sizeof(level_names) / sizeof(level_names[0]))

void log_set_level(enum log_level level)
{
	__atomic_store_n(&g_log.level, (int)level, __ATOMIC_RELAXED);
}

bool log_wants(enum log_level level)
{
	return (int)level <= __atomic_load_n(&g_log.level, __ATOMIC_RELAXED);
}

void log_set_sink(log_sink_fn fn, void *ctx)
{
	pthread_mutex_lock(&g_log.lock);
	g_log.sink = fn;
	g_log.sink_ctx = ctx;
	pthread_mutex_unlock(&g_log.lock);
}

int log_open_file(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	pthread_mutex_lock(&g_log.lock);
	int old = g_log.file_fd;
	g_log.file_fd = fd;
	pthread_mutex_unlock(&g_log.lock);
	if (old >= 0)
		close(old);
	return 0;
}

/* A log that cannot be written must not stop the machine: errors are dropped. */
static void write_line(int fd, const char *prefix, const char *line)
{
	char buf[LINE_MAX_BYTES + 64];
	int n = snprintf(buf, sizeof(buf), "%s%s\n", prefix, line);

	if (n > 0) {
		ssize_t done = write(fd, buf,
				     (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
		(void)done;
	}
}

static void write_file(int fd, const char *line)
{
	struct timespec ts;
	struct tm tm;
	char day[32], prefix[64];

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(prefix, sizeof(prefix), "%s.%03ld ", day, ts.tv_nsec / 1000000);
	write_line(fd, prefix, line);
}

/* Lines show up on terminals, and parts of them come from guests and files. */
static void make_harmless(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = *s == '\n' || *s == '\t' ? ' ' : '?';
}

void log_vmsg_always(enum log_level level, const char *who, const char *fmt, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int saved = errno, n;

	n = snprintf(line, sizeof(line), "%s: %s%s", level_names[level], who != NULL ? who : "",
		     who != NULL ? ": " : "");
	if (n > 0 && (size_t)n < sizeof(line))
		vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	make_harmless(line);
	pthread_mutex_lock(&g_log.lock);
	if (g_log.sink != NULL)
		g_log.sink(g_log.sink_ctx, level, line);
	else
		write_line(STDERR_FILENO, "", line);
	if (g_log.file_fd >= 0)
		write_file(g_log.file_fd, line);
	pthread_mutex_unlock(&g_log.lock);
	errno = saved;
}

void log_vmsg(enum log_level level, const char *who, const char *fmt, va_list ap)
{
	if (log_wants(level))
		log_vmsg_always(level, who, fmt, ap);
}

void log_msg(enum log_level level, const char *who, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	log_vmsg_always(level, who, fmt, ap);
	va_end(ap);
}

int log_level_parse(const char *s, enum log_level *ret_level)
{
	for (size_t i = 0; i < N_LEVELS; i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}
