/* devmodel/vm/gdb: the remote protocol against a fake target, hostile input included. */
#include "ctest.h"
#include <glib.h>
#include <stdio.h>
#include "vm/gdb/regs.h"
#include "vm/gdb/stub.h"

#define THREADS 3
#define MEM_BASE 0xffffffff81000000ull
#define MEM_BYTES 8192

struct fake {
	struct x86_state s[THREADS];
	uint8_t mem[MEM_BYTES];
	struct hv_debug debug[THREADS];
	bool running, killed, refuse_debug;
	unsigned resumes, stops;
	GString *out;
};

static unsigned f_threads(void *ctx)
{
	(void)ctx;
	return THREADS;
}

static void f_state_get(void *ctx, unsigned t, struct x86_state *s)
{
	struct fake *f = ctx;

	assert_true(t < THREADS);
	*s = f->s[t];
}

static bool f_state_set(void *ctx, unsigned t, const struct x86_state *s)
{
	struct fake *f = ctx;

	assert_true(t < THREADS && !f->running);
	f->s[t] = *s;
	return true;
}

static bool in_mem(uint64_t addr, size_t len)
{
	return addr >= MEM_BASE && len <= MEM_BYTES && addr - MEM_BASE <= MEM_BYTES - len;
}

static bool f_mem_read(void *ctx, unsigned t, uint64_t addr, void *buf, size_t len)
{
	struct fake *f = ctx;

	(void)t;
	if (!in_mem(addr, len))
		return false;
	memcpy(buf, f->mem + (addr - MEM_BASE), len);
	return true;
}

static bool f_mem_write(void *ctx, unsigned t, uint64_t addr, const void *buf, size_t len)
{
	struct fake *f = ctx;

	(void)t;
	if (!in_mem(addr, len))
		return false;
	memcpy(f->mem + (addr - MEM_BASE), buf, len);
	return true;
}

static bool f_debug_set(void *ctx, unsigned t, const struct hv_debug *d)
{
	struct fake *f = ctx;

	assert_true(t < THREADS && !f->running);
	assert_true(d->n_breaks <= HV_DEBUG_MAX && d->n_watches <= HV_DEBUG_MAX);
	f->debug[t] = *d;
	return !f->refuse_debug;
}

static bool f_resume(void *ctx)
{
	struct fake *f = ctx;

	f->running = true;
	f->resumes++;
	return true;
}

static bool f_stop(void *ctx)
{
	struct fake *f = ctx;

	f->running = false;
	f->stops++;
	return true;
}

static void f_kill(void *ctx)
{
	((struct fake *)ctx)->killed = true;
}

static bool f_monitor(void *ctx, const char *cmd, void *answer)
{
	(void)ctx;
	g_string_append(answer, "yes\n");
	return strcmp(cmd, "reset") == 0;
}

static void f_send(void *ctx, const char *buf, size_t len)
{
	g_string_append_len(((struct fake *)ctx)->out, buf, (gssize)len);
}

static const struct gdb_target_ops ops = {
	.n_threads = f_threads,
	.state_get = f_state_get,
	.state_set = f_state_set,
	.mem_read = f_mem_read,
	.mem_write = f_mem_write,
	.debug_set = f_debug_set,
	.resume = f_resume,
	.stop = f_stop,
	.kill = f_kill,
	.monitor = f_monitor,
	.send = f_send,
};

static struct fake fake;
static struct gdb_stub *stub;

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.out = g_string_new(NULL);
	for (unsigned t = 0; t < THREADS; t++) {
		for (unsigned i = 0; i < 16; i++)
			fake.s[t].gpr[i] = 0x1000 * (t + 1) + i;
		fake.s[t].rip = MEM_BASE + t;
		fake.s[t].rflags = 2;
	}
	for (size_t i = 0; i < MEM_BYTES; i++)
		fake.mem[i] = (uint8_t)(i * 7);
	stub = gdb_stub_create(&ops, &fake);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gdb_stub_destroy(stub);
	stub = NULL;
	g_string_free(fake.out, TRUE);
	return 0;
}

static bool send_packet(const char *payload, size_t len)
{
	GString *p = g_string_new("$");
	uint8_t sum = 0;
	bool more;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + (uint8_t)payload[i]);
	g_string_append_len(p, payload, (gssize)len);
	g_string_append_printf(p, "#%02x", sum);
	more = gdb_stub_input(stub, p->str, p->len);
	g_string_free(p, TRUE);
	return more;
}

/* Sends a packet; the payload of the answer, in a buffer that the next call reuses. */
static const char *ask(const char *payload)
{
	static GString *answer;
	const char *start, *end;
	uint8_t sum = 0;
	unsigned want;

	if (!answer)
		answer = g_string_new(NULL);
	g_string_truncate(fake.out, 0);
	send_packet(payload, strlen(payload));
	start = strchr(fake.out->str, '$');
	if (!start)
		return "(none)";
	end = strrchr(fake.out->str, '#');
	for (const char *p = start + 1; p < end; p++)
		sum = (uint8_t)(sum + (uint8_t)*p);
	assert_int_equal(sscanf(end, "#%02x", &want), 1);
	assert_int_equal(sum, want);
	g_string_truncate(answer, 0);
	g_string_append_len(answer, start + 1, end - start - 1);
	return answer->str;
}

static void test_frames(void **state)
{
	(void)state;
	assert_string_equal(ask("qAttached"), "1");
	assert_int_equal(fake.out->str[0], '+');
	g_string_truncate(fake.out, 0);
	assert_true(gdb_stub_input(stub, "$qAttached#00", 13));
	assert_string_equal(fake.out->str, "-");
	assert_string_equal(ask("QStartNoAckMode"), "OK");
	assert_string_equal(ask("qAttached"), "1");
	assert_int_equal(fake.out->str[0], '$');
	assert_string_equal(ask("vNoSuchThing"), "");
	assert_string_equal(ask(""), "");
}

static void test_description(void **state)
{
	GString *xml = g_string_new(NULL);
	const char *part;

	(void)state;
	assert_non_null(strstr(ask("qSupported:swbreak+"), "qXfer:features:read+"));
	do {
		char cmd[64];
		snprintf(cmd, sizeof(cmd), "qXfer:features:read:target.xml:%zx,200", xml->len);
		part = ask(cmd);
		assert_true(part[0] == 'm' || part[0] == 'l');
		g_string_append(xml, part + 1);
	} while (part[0] == 'm');
	assert_string_equal(xml->str, gdb_regs_xml());
	assert_string_equal(ask("qXfer:features:read:target.xml:fffffff,10"), "l");
	g_string_free(xml, TRUE);
}

/* Every register is read and written alone, and as a part of all. */
static void test_registers(void **state)
{
	g_autofree char *all = NULL;
	size_t at = 0;

	(void)state;
	all = g_strdup(ask("g"));
	assert_int_equal(strncmp(all, "0010000000000000", 16), 0); /* rax of thread 1 */
	for (unsigned i = 0; i < gdb_regs_count(); i++) {
		char cmd[80], *value;
		size_t n;
		snprintf(cmd, sizeof(cmd), "p%x", i);
		value = g_strdup(ask(cmd));
		n = strlen(value);
		assert_true(n > 0 && strncmp(all + at, value, n) == 0);
		at += n;
		snprintf(cmd, sizeof(cmd), "P%x=%s", i, value);
		assert_string_equal(ask(cmd), "OK");
		g_free(value);
	}
	assert_int_equal(at, strlen(all));
	assert_string_equal(ask("P10=8877665544332211"), "OK"); /* rip */
	assert_int_equal(fake.s[0].rip, 0x1122334455667788);
	assert_string_equal(ask("P0=12"), "E16");
	assert_string_equal(ask("pffff"), "E16");
	all[1] = '7';
	{
		g_autofree char *cmd = g_strdup_printf("G%s", all);
		assert_string_equal(ask(cmd), "OK");
	}
	assert_int_equal(fake.s[0].gpr[X86_RAX], 0x1007);
	assert_int_equal(fake.s[1].gpr[X86_RAX], 0x2000);
}

static void test_fpu_tag(void **state)
{
	(void)state;
	/* TOP = 6: ST0 and ST1 are physical 6 and 7; ST0 = 1.0, ST1 = 0 */
	fake.s[0].xsave[3] = 6 << 3;
	fake.s[0].xsave[4] = 0xc0;
	fake.s[0].xsave[32 + 7] = 0x80;
	fake.s[0].xsave[32 + 8] = 0xff;
	fake.s[0].xsave[32 + 9] = 0x3f;
	assert_string_equal(ask("p22"), "ff4f0000");
	assert_string_equal(ask("P22=ffff0000"), "OK");
	assert_int_equal(fake.s[0].xsave[4], 0);
}

static void test_memory(void **state)
{
	(void)state;
	assert_string_equal(ask("mffffffff81000001,3"), "070e15");
	assert_string_equal(ask("Mffffffff81000001,2:abCD"), "OK");
	assert_int_equal(fake.mem[1], 0xab);
	assert_int_equal(fake.mem[2], 0xcd);
	assert_string_equal(ask("Xffffffff81000001,2:}\x03}]"), "OK"); /* # and } */
	assert_int_equal(fake.mem[1], '#');
	assert_int_equal(fake.mem[2], '}');
	assert_string_equal(ask("Xffffffff81000000,0:"), "OK");
	assert_string_equal(ask("m0,10"), "E0e");
	assert_string_equal(ask("M0,1:00"), "E0e");
	assert_string_equal(ask("mffffffff81000000,ffffffff"), "E16");
	assert_string_equal(ask("mffffffff81000000"), "E16");
	assert_string_equal(ask("Mffffffff81000000,2:0"), "E16");
	/* what is there, up to the page that is not */
	assert_int_equal(strlen(ask("mffffffff81001fff,100")), 2);
}

static void stop(unsigned thread, struct hv_exit exit)
{
	exit.reason = HV_EXIT_DEBUG;
	fake.running = false;
	g_string_truncate(fake.out, 0);
	gdb_stub_stopped(stub, thread, &exit);
}

static void test_breakpoints(void **state)
{
	struct hv_exit exit = { .debug = { .rip = MEM_BASE + 5 } };

	(void)state;
	assert_string_equal(ask("Z0,ffffffff81000005,1"), "OK");
	assert_string_equal(ask("Z0,ffffffff81000005,1"), "OK"); /* twice is once */
	assert_string_equal(ask("Z1,ffffffff81000009,1"), "OK");
	assert_string_equal(ask("Z2,100,8"), "OK");
	assert_string_equal(ask("Z3,200,4"), "OK");
	assert_string_equal(ask("Z4,300,1"), "OK");
	assert_string_equal(ask("c"), "(none)");
	assert_true(fake.running);
	for (unsigned t = 0; t < THREADS; t++) {
		assert_int_equal(fake.debug[t].n_breaks, 2);
		assert_int_equal(fake.debug[t].n_watches, 3);
		assert_false(fake.debug[t].single_step);
	}
	stop(1, exit);
	assert_non_null(strstr(fake.out->str, "$T05thread:2;swbreak:;#"));
	ask("c");
	exit.debug.rip = MEM_BASE + 9;
	stop(0, exit);
	assert_non_null(strstr(fake.out->str, "$T05thread:1;hwbreak:;#"));
	ask("c");
	exit.debug.is_watch = true;
	exit.debug.addr = 0x203;
	stop(2, exit);
	assert_non_null(strstr(fake.out->str, "$T05thread:3;rwatch:203;#"));
	assert_string_equal(ask("z0,ffffffff81000005,1"), "OK");
	assert_string_equal(ask("z3,200,4"), "OK");
	assert_string_equal(ask("z3,200,4"), "OK");
	ask("c");
	assert_int_equal(fake.debug[0].n_breaks, 1);
	assert_int_equal(fake.debug[0].n_watches, 2);
	stop(0, exit);
}

static void test_full(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HV_DEBUG_MAX; i++) {
		char cmd[32];
		snprintf(cmd, sizeof(cmd), "Z0,%x,1", i);
		assert_string_equal(ask(cmd), "OK");
		snprintf(cmd, sizeof(cmd), "Z2,%x,1", i);
		assert_string_equal(ask(cmd), "OK");
	}
	assert_string_equal(ask("Z0,1000,1"), "E1c");
	assert_string_equal(ask("Z2,1000,1"), "E1c");
	assert_string_equal(ask("Z9,1000,1"), "");
}

static void test_running(void **state)
{
	const struct hv_exit step = { .debug = { .is_step = true } };

	(void)state;
	assert_string_equal(ask("?"), "T05thread:1;");
	assert_string_equal(ask("Hg2"), "OK");
	assert_string_equal(ask("qC"), "QC2");
	ask("s");
	assert_true(fake.debug[1].single_step);
	assert_false(fake.debug[0].single_step);
	assert_string_equal(ask("g"), "(none)"); /* not while it runs */
	stop(1, step);
	assert_non_null(strstr(fake.out->str, "$T05thread:2;#"));
	assert_string_equal(ask("vCont?"), "vCont;c;C;s;S");
	ask("vCont;s:3;c");
	assert_true(fake.debug[2].single_step);
	g_string_truncate(fake.out, 0);
	assert_true(gdb_stub_input(stub, "\x03", 1));
	assert_non_null(strstr(fake.out->str, "$T02thread:"));
	assert_int_equal(fake.stops, 1);
	assert_string_equal(ask("vCont;x"), "E16");
	assert_string_equal(ask("vCont;c:9"), "E16");
	assert_string_equal(ask("Hg1"), "OK");
	ask("c1234");
	assert_int_equal(fake.s[0].rip, 0x1234);
	stop(0, step);
	fake.refuse_debug = true;
	assert_string_equal(ask("c"), "E16");
	assert_false(fake.running);
	fake.refuse_debug = false;
}

static void test_threads(void **state)
{
	(void)state;
	assert_string_equal(ask("qfThreadInfo"), "m1,2,3");
	assert_string_equal(ask("qsThreadInfo"), "l");
	assert_string_equal(ask("T3"), "OK");
	assert_string_equal(ask("T4"), "E16");
	assert_string_equal(ask("Hg-1"), "OK");
	assert_string_equal(ask("Hg4"), "E16");
	assert_string_equal(ask("qThreadExtraInfo,1"), "43505520302c2072756e6e696e67");
	assert_string_equal(ask("qRcmd,7265736574"), "7965730a");
}

static void test_leaving(void **state)
{
	(void)state;
	ask("Z0,ffffffff81000005,1");
	assert_false(send_packet("D", 1));
	gdb_stub_destroy(stub);
	assert_true(fake.running);
	assert_int_equal(fake.debug[0].n_breaks, 0);
	fake.running = false;
	stub = gdb_stub_create(&ops, &fake);
	assert_false(send_packet("k", 1));
	assert_true(fake.killed);
}

/* Random packets out of the protocol's own letters, and random bytes. */
static void test_hostile(void **state)
{
	static const char letters[] = "gGpPmMXZzcsCSHTDvq?0123456789abcdef,:;=-+#$}*Contfeature";
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		char buf[64];
		const size_t n = test_rnd(&seed) % sizeof(buf);
		for (size_t k = 0; k < n; k++)
			buf[k] = i % 4 == 0 ? (char)test_rnd(&seed)
					    : letters[test_rnd(&seed) % (sizeof(letters) - 1)];
		if (i % 8 == 1)
			gdb_stub_input(stub, buf, n);
		if (!send_packet(buf, n)) {
			gdb_stub_destroy(stub);
			fake.running = fake.killed = false;
			stub = gdb_stub_create(&ops, &fake);
		}
		gdb_stub_input(stub, "\x03", 1);
		g_string_truncate(fake.out, 0);
	}
}

static void test_overlong(void **state)
{
	g_autofree char *text = g_strnfill(100000, 'm');

	(void)state;
	g_string_truncate(fake.out, 0);
	assert_true(send_packet(text, 100000));
	assert_string_equal(fake.out->str, "-");
	assert_string_equal(ask("qAttached"), "1");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_frames),	 T(test_description), T(test_registers), T(test_fpu_tag),
		T(test_memory),	 T(test_breakpoints), T(test_full),	 T(test_running),
		T(test_threads), T(test_leaving),     T(test_hostile),	 T(test_overlong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
