/* The commands of gdb's remote serial protocol, see stub.h. Unknown ones get the empty answer. */
#include <glib.h>
#include <string.h>
#include "base/util.h"
#include "vm/gdb/regs.h"
#include "vm/gdb/stub_int.h"

#define MEM_MAX (GDB_PACKET_MAX / 2 - 16)
#define E_BAD "E16"   /* EINVAL: not understood */
#define E_FAULT "E0e" /* EFAULT */
#define E_FULL "E1c"  /* ENOSPC: no breakpoint is free */

/* A hexadecimal number at *p, which moves on. false: there is none. */
static bool take_hex(const char **p, uint64_t *ret_v)
{
	uint64_t v = 0;
	unsigned n = 0;

	for (; g_ascii_isxdigit(**p) && n < 16; n++)
		v = v << 4 | (uint64_t)g_ascii_xdigit_value(*(*p)++);
	*ret_v = v;
	return n > 0;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static void ok_or(struct gdb_stub *g, bool good, const char *error)
{
	gdb_reply(g, good ? "OK" : error);
}

/* ---- registers and memory ---- */

static void read_all_regs(struct gdb_stub *g)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct x86_state s;

	g->ops->state_get(g->ctx, g->thread, &s);
	for (unsigned i = 0; i < gdb_regs_count(); i++)
		gdb_reg_read(&s, i, out);
	gdb_reply(g, out->str);
}

static void write_all_regs(struct gdb_stub *g, const char *p)
{
	struct x86_state s;

	g->ops->state_get(g->ctx, g->thread, &s);
	for (unsigned i = 0; p && i < gdb_regs_count() && *p != '\0'; i++)
		p = gdb_reg_write(&s, i, p);
	ok_or(g, p && g->ops->state_set(g->ctx, g->thread, &s), E_BAD);
}

static void read_reg(struct gdb_stub *g, const char *p)
{
	g_autoptr(GString) out = g_string_new(NULL);
	struct x86_state s;
	uint64_t n;

	if (!take_hex(&p, &n) || n >= gdb_regs_count()) {
		gdb_reply(g, E_BAD);
		return;
	}
	g->ops->state_get(g->ctx, g->thread, &s);
	gdb_reg_read(&s, (unsigned)n, out);
	gdb_reply(g, out->str);
}

static void write_reg(struct gdb_stub *g, const char *p)
{
	struct x86_state s;
	uint64_t n;

	if (!take_hex(&p, &n) || !take_char(&p, '=') || n >= gdb_regs_count()) {
		gdb_reply(g, E_BAD);
		return;
	}
	g->ops->state_get(g->ctx, g->thread, &s);
	ok_or(g, gdb_reg_write(&s, (unsigned)n, p) && g->ops->state_set(g->ctx, g->thread, &s),
	      E_BAD);
}

/* addr,length; length is bounded. */
static bool take_range(const char **p, uint64_t *ret_addr, uint64_t *ret_len)
{
	return take_hex(p, ret_addr) && take_char(p, ',') && take_hex(p, ret_len) &&
	       *ret_len <= MEM_MAX;
}

static void read_mem(struct gdb_stub *g, const char *p)
{
	g_autoptr(GString) out = g_string_new(NULL);
	uint64_t addr, len;
	uint8_t buf[MEM_MAX];

	if (!take_range(&p, &addr, &len)) {
		gdb_reply(g, E_BAD);
		return;
	}
	/* As much as can be read, as gdb expects at the end of a mapping. */
	while (len > 0 && !g->ops->mem_read(g->ctx, g->thread, addr, buf, len))
		len = ((addr + len - 1) & ~4095ull) > addr ? ((addr + len - 1) & ~4095ull) - addr
							   : 0;
	gdb_hex(out, buf, len);
	gdb_reply(g, len > 0 ? out->str : E_FAULT);
}

static void write_mem(struct gdb_stub *g, const char *p)
{
	uint64_t addr, len;
	uint8_t buf[MEM_MAX];

	if (!take_range(&p, &addr, &len) || !take_char(&p, ':') || !gdb_unhex(p, len, buf))
		gdb_reply(g, E_BAD);
	else
		ok_or(g, g->ops->mem_write(g->ctx, g->thread, addr, buf, len), E_FAULT);
}

/* As write_mem, in bytes of which some are escaped. */
static void write_mem_binary(struct gdb_stub *g, const char *p, const char *end)
{
	uint64_t addr, len, n = 0;
	uint8_t buf[MEM_MAX];

	if (!take_range(&p, &addr, &len) || !take_char(&p, ':')) {
		gdb_reply(g, E_BAD);
		return;
	}
	for (; p < end && n < len; p++) {
		const bool escaped = *p == '}' && p + 1 < end;
		p += escaped;
		buf[n++] = (uint8_t)(escaped ? *p ^ 0x20 : *p);
	}
	ok_or(g, n == len && (len == 0 || g->ops->mem_write(g->ctx, g->thread, addr, buf, len)),
	      E_FAULT);
}

/* ---- breakpoints ---- */

static bool add_point(struct gdb_stub *g, char type, uint64_t addr, uint64_t len)
{
	struct hv_debug *d = &g->debug;

	if (type <= '1') {
		for (unsigned i = 0; i < d->n_breaks; i++)
			if (d->breaks[i] == addr && g->hard[i] == (type == '1'))
				return true;
		if (d->n_breaks == HV_DEBUG_MAX)
			return false;
		g->hard[d->n_breaks] = type == '1';
		d->breaks[d->n_breaks++] = addr;
		return true;
	}
	if (d->n_watches == HV_DEBUG_MAX || len == 0)
		return false;
	d->watches[d->n_watches].addr = addr;
	d->watches[d->n_watches].len = len;
	d->watches[d->n_watches].on_write = type != '3';
	d->watches[d->n_watches++].on_read = type != '2';
	return true;
}

static void remove_point(struct gdb_stub *g, char type, uint64_t addr, uint64_t len)
{
	struct hv_debug *d = &g->debug;

	for (unsigned i = 0; type <= '1' && i < d->n_breaks; i++) {
		if (d->breaks[i] != addr || g->hard[i] != (type == '1'))
			continue;
		d->n_breaks--;
		d->breaks[i] = d->breaks[d->n_breaks];
		g->hard[i] = g->hard[d->n_breaks];
		return;
	}
	for (unsigned i = 0; type > '1' && i < d->n_watches; i++) {
		if (d->watches[i].addr != addr || d->watches[i].len != len ||
		    d->watches[i].on_write != (type != '3') ||
		    d->watches[i].on_read != (type != '2'))
			continue;
		d->watches[i] = d->watches[--d->n_watches];
		return;
	}
}

/* Ztype,addr,kind and ztype,addr,kind; more (conditions) may follow and is not offered. */
static void point(struct gdb_stub *g, bool add, const char *p)
{
	const char type = *p;
	uint64_t addr, len;

	if (type < '0' || type > '4') {
		gdb_reply(g, "");
		return;
	}
	p++;
	if (!take_char(&p, ',') || !take_hex(&p, &addr) || !take_char(&p, ',') ||
	    !take_hex(&p, &len)) {
		gdb_reply(g, E_BAD);
		return;
	}
	if (!add)
		remove_point(g, type, addr, len);
	ok_or(g, !add || add_point(g, type, addr, len), E_FULL);
}

/* ---- running ---- */

/* step: that thread executes one instruction; ~0u: none. All others run on. */
static void run(struct gdb_stub *g, unsigned step)
{
	struct hv_debug d = g->debug;
	bool good = true;

	for (unsigned i = 0; i < g->ops->n_threads(g->ctx); i++) {
		d.single_step = i == step;
		good &= g->ops->debug_set(g->ctx, i, &d);
	}
	g->running = good;
	if (good)
		good = g->ops->resume(g->ctx);
	if (!good) {
		g->running = false;
		gdb_reply(g, E_BAD);
	}
}

/* c [addr], s [addr] */
static void run_from(struct gdb_stub *g, const char *p, bool step)
{
	struct x86_state s;
	uint64_t addr;

	if (take_hex(&p, &addr)) {
		g->ops->state_get(g->ctx, g->thread, &s);
		s.rip = addr;
		if (!g->ops->state_set(g->ctx, g->thread, &s)) {
			gdb_reply(g, E_BAD);
			return;
		}
	}
	run(g, step ? g->thread : ~0u);
}

/* A thread id: 0 any, -1 all, else from 1. *ret_thread stays as it is for the first two. */
static bool take_thread(struct gdb_stub *g, const char **p, unsigned *ret_thread)
{
	uint64_t n;

	if (take_char(p, '-'))
		return take_char(p, '1');
	if (!take_hex(p, &n) || n > g->ops->n_threads(g->ctx))
		return false;
	if (n > 0)
		*ret_thread = (unsigned)n - 1;
	return true;
}

/* vCont;action[:thread]...: the first step wins; threads without an action stand still in gdb's
 * book, but here all run together. */
static void vcont(struct gdb_stub *g, const char *p)
{
	unsigned step = ~0u;

	while (take_char(&p, ';')) {
		const char action = *p != '\0' ? *p++ : '\0';
		unsigned thread = g->thread;
		if (action == '\0' || !strchr("cCsS", action)) {
			gdb_reply(g, E_BAD);
			return;
		}
		for (; g_ascii_isxdigit(*p); p++)
			; /* a signal, which a machine does not take */
		if (take_char(&p, ':') && !take_thread(g, &p, &thread)) {
			gdb_reply(g, E_BAD);
			return;
		}
		if ((action == 's' || action == 'S') && step == ~0u)
			step = thread;
	}
	run(g, step);
}

/* ---- queries ---- */

static void threads(struct gdb_stub *g, bool first)
{
	g_autoptr(GString) out = g_string_new("m");

	if (first)
		g->list_next = 0;
	if (g->list_next >= g->ops->n_threads(g->ctx)) {
		gdb_reply(g, "l");
		return;
	}
	for (; g->list_next < g->ops->n_threads(g->ctx); g->list_next++)
		g_string_append_printf(out, "%s%x", out->len > 1 ? "," : "", g->list_next + 1);
	gdb_reply(g, out->str);
}

static void thread_info(struct gdb_stub *g, const char *p)
{
	static const char *const names[] = { "running", "halted", "waits for SIPI", "shut down" };
	g_autoptr(GString) out = g_string_new(NULL);
	g_autofree char *text = NULL;
	struct x86_state s;
	unsigned thread = 0;

	if (!take_thread(g, &p, &thread)) {
		gdb_reply(g, E_BAD);
		return;
	}
	g->ops->state_get(g->ctx, thread, &s);
	text = g_strdup_printf("CPU %u, %s", thread, names[s.mp_state & 3]);
	gdb_hex(out, (const uint8_t *)text, strlen(text));
	gdb_reply(g, out->str);
}

/* qXfer:features:read:target.xml:offset,length */
static void features(struct gdb_stub *g, const char *p)
{
	const char *xml = gdb_regs_xml();
	const size_t total = strlen(xml);
	g_autoptr(GString) out = g_string_new(NULL);
	uint64_t off, len;

	if (!take_range(&p, &off, &len)) {
		gdb_reply(g, E_BAD);
		return;
	}
	off = MIN(off, total);
	len = MIN(len, total - off);
	g_string_append_c(out, off + len < total ? 'm' : 'l');
	g_string_append_len(out, xml + off, (gssize)len);
	gdb_reply_len(g, out->str, out->len);
}

static void monitor(struct gdb_stub *g, const char *p)
{
	g_autoptr(GString) answer = g_string_new(NULL);
	g_autoptr(GString) out = g_string_new(NULL);
	char cmd[256] = "";

	if (strlen(p) / 2 >= sizeof(cmd) || !gdb_unhex(p, strlen(p) / 2, (uint8_t *)cmd)) {
		gdb_reply(g, E_BAD);
		return;
	}
	if (!g->ops->monitor(g->ctx, cmd, answer))
		g_string_printf(answer, "there is no command '%s'\n", cmd);
	gdb_hex(out, (const uint8_t *)answer->str, answer->len);
	gdb_reply(g, out->len > 0 ? out->str : "OK");
}

static void supported(struct gdb_stub *g, const char *p)
{
	g_autofree char *text = g_strdup_printf(
		"PacketSize=%x;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+;"
		"QStartNoAckMode+",
		GDB_PACKET_MAX);

	(void)p;
	gdb_reply(g, text);
}

static void current_thread(struct gdb_stub *g, const char *p)
{
	g_autofree char *text = g_strdup_printf("QC%x", g->thread + 1);

	(void)p;
	gdb_reply(g, text);
}

static void first_threads(struct gdb_stub *g, const char *p)
{
	(void)p;
	threads(g, true);
}

static void next_threads(struct gdb_stub *g, const char *p)
{
	(void)p;
	threads(g, false);
}

static void attached(struct gdb_stub *g, const char *p)
{
	(void)p;
	gdb_reply(g, "1");
}

static void no_ack_mode(struct gdb_stub *g, const char *p)
{
	(void)p;
	gdb_reply(g, "OK");
	g->no_ack = true;
}

static void vcont_offer(struct gdb_stub *g, const char *p)
{
	(void)p;
	gdb_reply(g, "vCont;c;C;s;S");
}

static void kill_target(struct gdb_stub *g, const char *p)
{
	(void)p;
	gdb_reply(g, "OK");
	g->left = true;
	g->ops->kill(g->ctx);
}

/* Commands with a name; the longer of two with the same beginning comes first. */
static const struct {
	const char *name;
	void (*fn)(struct gdb_stub *g, const char *rest);
} named[] = {
	{ "qSupported", supported },
	{ "qXfer:features:read:target.xml:", features },
	{ "qfThreadInfo", first_threads },
	{ "qsThreadInfo", next_threads },
	{ "qThreadExtraInfo,", thread_info },
	{ "qAttached", attached },
	{ "qRcmd,", monitor },
	{ "qC", current_thread },
	{ "QStartNoAckMode", no_ack_mode },
	{ "vCont?", vcont_offer },
	{ "vCont", vcont },
	{ "vKill", kill_target },
};

static void named_command(struct gdb_stub *g, const char *p)
{
	for (size_t i = 0; i < HV_ARRAY_LEN(named); i++) {
		const size_t n = strlen(named[i].name);
		if (strncmp(p, named[i].name, n) == 0) {
			named[i].fn(g, p + n);
			return;
		}
	}
	gdb_reply(g, "");
}

static void thread_command(struct gdb_stub *g, char kind, const char *p)
{
	unsigned thread = g->thread;
	const bool good = (kind == 'T' || *p++ != '\0') && take_thread(g, &p, &thread);

	if (good && kind == 'H' && p[-1] != 'c')
		g->thread = thread;
	ok_or(g, good, E_BAD);
}

void gdb_command(struct gdb_stub *g, const char *p, size_t len)
{
	if (g->running)
		return; /* only the interrupt byte means something now */
	switch (p[0]) {
	case '?':
		gdb_report_stop(g);
		break;
	case 'g':
		read_all_regs(g);
		break;
	case 'G':
		write_all_regs(g, p + 1);
		break;
	case 'p':
		read_reg(g, p + 1);
		break;
	case 'P':
		write_reg(g, p + 1);
		break;
	case 'm':
		read_mem(g, p + 1);
		break;
	case 'M':
		write_mem(g, p + 1);
		break;
	case 'X':
		write_mem_binary(g, p + 1, p + len);
		break;
	case 'Z':
	case 'z':
		point(g, p[0] == 'Z', p + 1);
		break;
	case 'c':
	case 's':
		run_from(g, p + 1, p[0] == 's');
		break;
	case 'C':
	case 'S':
		run(g, p[0] == 'S' ? g->thread : ~0u);
		break;
	case 'H':
	case 'T':
		thread_command(g, p[0], p + 1);
		break;
	case 'D':
		gdb_reply(g, "OK");
		g->left = true;
		break;
	case 'k':
		kill_target(g, p);
		break;
	default:
		named_command(g, p);
		break;
	}
}
