/* The gdb stub's socket, and the machine as its target; see gdb.h. */
#include "vm/gdb/gdb.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "protocol/protocol.h"
#include "vm/gdb/stub.h"

struct gdb {
	struct vm *vm;	   /* borrowed */
	int listen_fd, fd; /* fd: -1 while no gdb is there */
	guint listen_source, source;
	struct gdb_stub *stub; /* NULL while no gdb is there */
};

/* ---- the machine as the target ---- */

static struct hv_vcpu *vcpu(struct gdb *g, unsigned thread)
{
	return machine_vm(g->vm->machine)->vcpu[thread];
}

static unsigned t_threads(void *ctx)
{
	struct gdb *g = ctx;

	return machine_vm(g->vm->machine)->n_vcpus;
}

static void t_state_get(void *ctx, unsigned thread, struct x86_state *s)
{
	hv_vcpu_state_get(vcpu(ctx, thread), s);
}

static bool t_state_set(void *ctx, unsigned thread, const struct x86_state *s)
{
	return hv_vcpu_state_set(vcpu(ctx, thread), s, NULL) == 0;
}

/* Calls fn for the piece of each page; as all linear addresses, these wrap. */
static bool each_page(struct gdb *g, unsigned thread, uint64_t addr, uint8_t *buf, size_t len,
		      bool write)
{
	struct hv_vcpu *v = vcpu(g, thread);

	while (len > 0) {
		const size_t n = MIN(len, 4096 - (addr & 4095));
		uint64_t gpa;
		int r;
		if (!v->vm->engine->translate(v, addr, &gpa))
			return false;
		r = write ? hv_mem_write(v->vm->mem, gpa, buf, n)
			  : hv_mem_read(v->vm->mem, gpa, buf, n);
		if (r < 0)
			return false;
		addr += n;
		buf += n;
		len -= n;
	}
	return true;
}

static bool t_mem_read(void *ctx, unsigned thread, uint64_t addr, void *buf, size_t len)
{
	return each_page(ctx, thread, addr, buf, len, false);
}

static bool t_mem_write(void *ctx, unsigned thread, uint64_t addr, const void *buf, size_t len)
{
	return each_page(ctx, thread, addr, (uint8_t *)(uintptr_t)buf, len, true);
}

static bool t_debug_set(void *ctx, unsigned thread, const struct hv_debug *d)
{
	struct hv_vcpu *v = vcpu(ctx, thread);
	struct err e;

	if (!v->vm->engine->debug_set)
		return d->n_breaks == 0 && d->n_watches == 0 && !d->single_step;
	if (v->vm->engine->debug_set(v, d, &e) == 0)
		return true;
	log_msg(LOG_LVL_WARN, "gdb", "%s", e.msg);
	return false;
}

static bool t_resume(void *ctx)
{
	struct gdb *g = ctx;
	struct err e;

	if (g->vm->quitting || vm_resume(g->vm, "", &e) == 0)
		return true;
	log_msg(LOG_LVL_WARN, "gdb", "%s", e.msg);
	return false;
}

static bool t_stop(void *ctx)
{
	struct gdb *g = ctx;
	struct err e;

	if (vm_pause(g->vm, "debugger", &e) == 0)
		return true;
	log_msg(LOG_LVL_WARN, "gdb", "%s", e.msg);
	return false;
}

static void t_kill(void *ctx)
{
	struct gdb *g = ctx;

	vm_quit(g->vm, VM_STOPPED, "user", LODGE_EXIT_FAILED, "it was killed by the debugger");
}

static bool t_monitor(void *ctx, const char *cmd, void *answer_gstring)
{
	struct gdb *g = ctx;

	if (strcmp(cmd, "reset") == 0)
		vm_reset(g->vm);
	else if (strcmp(cmd, "nmi") == 0)
		machine_nmi(g->vm->machine);
	else if (strcmp(cmd, "help") == 0)
		g_string_append(answer_gstring, "reset: power-on state\nnmi: to the boot CPU\n");
	else
		return false;
	return true;
}

static void t_send(void *ctx, const char *buf, size_t len)
{
	struct gdb *g = ctx;

	/* A gdb that does not read its answers, a few kilobytes, is left behind. */
	if (send(g->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		shutdown(g->fd, SHUT_RDWR);
}

static const struct gdb_target_ops target_ops = {
	.n_threads = t_threads,
	.state_get = t_state_get,
	.state_set = t_state_set,
	.mem_read = t_mem_read,
	.mem_write = t_mem_write,
	.debug_set = t_debug_set,
	.resume = t_resume,
	.stop = t_stop,
	.kill = t_kill,
	.monitor = t_monitor,
	.send = t_send,
};

void gdb_machine_stopped(struct gdb *g, struct hv_vcpu *v, const struct hv_exit *exit)
{
	struct err e;

	/* Without gdb, which has just left, the guest runs on. */
	if (vm_pause(g->vm, "debugger", &e) < 0)
		log_msg(LOG_LVL_WARN, "gdb", "%s", e.msg);
	else if (g->stub)
		gdb_stub_stopped(g->stub, v->index, exit);
	else
		t_resume(g);
}

bool gdb_connected(const struct gdb *g)
{
	return g && g->stub;
}

/* ---- the socket ---- */

static gboolean on_connect(gint fd, GIOCondition cond, gpointer data);

/* One debugger at a time: a second one waits until the first has left. */
static void await_gdb(struct gdb *g)
{
	g->listen_source = g_unix_fd_add(g->listen_fd, G_IO_IN, on_connect, g);
}

static void hang_up(struct gdb *g)
{
	struct gdb_stub *stub = g->stub;

	if (g->fd < 0)
		return;
	g->stub = NULL;
	gdb_stub_destroy(stub);
	close(g->fd);
	g->fd = -1;
}

static gboolean on_data(gint fd, GIOCondition cond, gpointer data)
{
	struct gdb *g = data;
	char buf[4096];
	const ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)cond;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return G_SOURCE_CONTINUE;
	if (n > 0 && gdb_stub_input(g->stub, buf, (size_t)n))
		return G_SOURCE_CONTINUE;
	g->source = 0;
	hang_up(g);
	await_gdb(g);
	return G_SOURCE_REMOVE;
}

static gboolean on_connect(gint fd, GIOCondition cond, gpointer data)
{
	struct gdb *g = data;
	const int one = 1;
	auto_close int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)cond;
	if (conn < 0 || g->vm->quitting || !t_stop(g))
		return G_SOURCE_CONTINUE;
	setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	g->fd = take_fd(&conn);
	g->stub = gdb_stub_create(&target_ops, g);
	g->source = g_unix_fd_add(g->fd, G_IO_IN | G_IO_HUP, on_data, g);
	g->listen_source = 0;
	return G_SOURCE_REMOVE;
}

static int listen_at(const char *where, int *ret_fd, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr *addr = (struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	const int one = 1;
	guint64 port;

	if (where[strspn(where, "0123456789")] != '\0') {
		g_strlcpy(un.sun_path, where, sizeof(un.sun_path));
		addr = (struct sockaddr *)&un;
		len = sizeof(un);
	} else if (!g_ascii_string_to_unsigned(where, 10, 1, 65535, &port, NULL)) {
		return err_set(e, -EINVAL, "debug.gdb: a TCP port is 1 to 65535, not '%.32s'",
			       where);
	} else {
		in.sin_port = htons((uint16_t)port);
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	auto_close int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && addr->sa_family == AF_INET)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, addr, len) < 0 || listen(fd, 1) < 0)
		return err_set(e, -errno, "debug.gdb: cannot listen on '%s': %s", where,
			       strerror(errno));
	*ret_fd = take_fd(&fd);
	return 0;
}

int gdb_create(struct vm *vm, struct gdb **ret_gdb, struct err *e)
{
	struct gdb *g;
	int fd = -1;
	int r = listen_at(vm->cfg.gdb, &fd, e);

	if (r < 0)
		return r;
	g = g_new0(struct gdb, 1);
	*g = (struct gdb){ .vm = vm, .listen_fd = fd, .fd = -1 };
	await_gdb(g);
	*ret_gdb = g;
	return 0;
}

void gdb_destroy(struct gdb *g)
{
	if (!g)
		return;
	if (g->stub)
		gdb_stub_exited(g->stub, g->vm->exit_status);
	if (g->source)
		g_source_remove(g->source);
	hang_up(g);
	if (g->listen_source)
		g_source_remove(g->listen_source);
	close(g->listen_fd);
	g_free(g);
}
