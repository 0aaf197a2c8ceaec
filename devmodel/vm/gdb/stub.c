/* gdb's remote serial protocol: packets and stops, see stub.h. */
#include "vm/gdb/stub.h"
#include <glib.h>
#include <string.h>
#include "vm/gdb/stub_int.h"

/* ---- packets out ---- */

void gdb_reply_len(struct gdb_stub *g, const char *payload, size_t len)
{
	g_autoptr(GString) out = g_string_new("$");
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + (uint8_t)payload[i]);
	g_string_append_len(out, payload, (gssize)len);
	g_string_append_printf(out, "#%02x", sum);
	g->ops->send(g->ctx, out->str, out->len);
}

void gdb_reply(struct gdb_stub *g, const char *payload)
{
	gdb_reply_len(g, payload, strlen(payload));
}

/* ---- stops ---- */

void gdb_report_stop(struct gdb_stub *g)
{
	g_autofree char *text = g_strdup_printf("T%02xthread:%x;%s", (unsigned)g->stop_signal,
						g->stop_thread + 1, g->stop_extra);

	gdb_reply(g, text);
}

/* Breakpoints are linear addresses; outside flat segments RIP is not. */
static const char *break_name(const struct gdb_stub *g, unsigned thread, uint64_t rip)
{
	struct x86_state s;

	g->ops->state_get(g->ctx, thread, &s);
	for (unsigned i = 0; i < g->debug.n_breaks; i++)
		if (g->debug.breaks[i] == rip || g->debug.breaks[i] == rip + s.seg[X86_CS].base)
			return g->hard[i] ? "hwbreak:;" : "swbreak:;";
	return "";
}

static const char *watch_name(const struct gdb_stub *g, uint64_t addr)
{
	for (unsigned i = 0; i < g->debug.n_watches; i++) {
		if (addr - g->debug.watches[i].addr >= g->debug.watches[i].len)
			continue;
		if (!g->debug.watches[i].on_read)
			return "watch";
		return g->debug.watches[i].on_write ? "awatch" : "rwatch";
	}
	return "watch";
}

void gdb_stub_stopped(struct gdb_stub *g, unsigned thread, const struct hv_exit *exit)
{
	if (!g->running)
		return;
	g->running = false;
	g->stop_signal = 5; /* SIGTRAP, in gdb's numbers */
	g->stop_thread = g->thread = thread;
	if (exit->debug.is_watch)
		g_snprintf(g->stop_extra, sizeof(g->stop_extra), "%s:%" G_GINT64_MODIFIER "x;",
			   watch_name(g, exit->debug.addr), exit->debug.addr);
	else
		g_strlcpy(g->stop_extra,
			  exit->debug.is_step ? "" : break_name(g, thread, exit->debug.rip),
			  sizeof(g->stop_extra));
	gdb_report_stop(g);
}

void gdb_stub_exited(struct gdb_stub *g, int status)
{
	g_autofree char *text = g_strdup_printf("W%02x", (unsigned)status & 0xff);

	if (!g->left)
		gdb_reply(g, text);
	g->left = true;
}

/* ---- packets in ---- */

static void interrupt(struct gdb_stub *g)
{
	if (!g->running || !g->ops->stop(g->ctx))
		return;
	g->running = false;
	g->stop_signal = 2; /* SIGINT */
	g->stop_thread = g->thread;
	g->stop_extra[0] = '\0';
	gdb_report_stop(g);
}

static void packet_done(struct gdb_stub *g)
{
	const bool good = g->sum == g->want && !g->bad;

	g->phase = GDB_IDLE;
	if (!g->no_ack)
		g->ops->send(g->ctx, good ? "+" : "-", 1);
	if (!good)
		return;
	g->packet[g->len] = '\0';
	gdb_command(g, g->packet, g->len);
}

static void take_byte(struct gdb_stub *g, char c)
{
	switch (g->phase) {
	case GDB_IDLE:
		if (c == 3)
			interrupt(g);
		if (c != '$')
			return; /* acknowledgements, noise */
		g->phase = GDB_BODY;
		g->len = 0;
		g->sum = 0;
		g->bad = false;
		return;
	case GDB_BODY:
		if (c == '#') {
			g->phase = GDB_SUM1;
			return;
		}
		g->sum = (uint8_t)(g->sum + (uint8_t)c);
		if (g->len < GDB_PACKET_MAX)
			g->packet[g->len++] = c;
		else
			g->bad = true;
		return;
	case GDB_SUM1:
		g->bad |= !g_ascii_isxdigit(c);
		g->want = (uint8_t)(((unsigned)g_ascii_xdigit_value(c) & 15) << 4);
		g->phase = GDB_SUM2;
		return;
	case GDB_SUM2:
		g->bad |= !g_ascii_isxdigit(c);
		g->want |= (uint8_t)g_ascii_xdigit_value(c) & 15;
		packet_done(g);
		return;
	}
}

bool gdb_stub_input(struct gdb_stub *g, const char *buf, size_t len)
{
	for (size_t i = 0; i < len && !g->left; i++)
		take_byte(g, buf[i]);
	return !g->left;
}

/* ---- life ---- */

struct gdb_stub *gdb_stub_create(const struct gdb_target_ops *ops, void *ctx)
{
	struct gdb_stub *g = g_new0(struct gdb_stub, 1);

	g->ops = ops;
	g->ctx = ctx;
	g->stop_signal = 5;
	return g;
}

void gdb_stub_destroy(struct gdb_stub *g)
{
	const struct hv_debug none = { 0 };

	if (!g)
		return;
	if (!g->running || g->ops->stop(g->ctx)) {
		for (unsigned i = 0; i < g->ops->n_threads(g->ctx); i++)
			g->ops->debug_set(g->ctx, i, &none);
		g->ops->resume(g->ctx);
	}
	g_free(g);
}
