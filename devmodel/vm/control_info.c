/* org.lodge.Devices1, Stats1 and Serial1: looking into the machine and talking to its ports. */
#include <errno.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "protocol/protocol.h"
#include "vm/control_int.h"

/* ---- Devices1 ---- */

static void add_dev(void *ctx, struct dev *d)
{
	g_variant_builder_add(ctx, "(sss)", d->id, d->cls->name, d->cls->summary);
}

static void devices_list(struct vm *vm, GDBusMethodInvocation *inv)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE("a(sss)"));
	machine_each_dev(vm->machine, add_dev, &b);
	g_dbus_method_invocation_return_value(inv, g_variant_new("(a(sss))", &b));
}

static GVariant *fields_variant(const struct state_desc *d, const char *obj);

static GVariant *scalar_variant(const struct state_field *f, const char *p)
{
	uint64_t v = 0;

	if (f->type == STATE_T_STRUCT)
		return fields_variant(f->sub, p);
	memcpy(&v, p, MIN(f->size, sizeof(v))); /* little endian */
	switch (f->type) {
	case STATE_T_BOOL:
		return g_variant_new_boolean(v != 0);
	case STATE_T_I32:
		return g_variant_new_int64((int32_t)v);
	case STATE_T_I64:
		return g_variant_new_int64((int64_t)v);
	default:
		return g_variant_new_uint64(v);
	}
}

/* Bytes as "ay"; other elements as a list. */
static GVariant *array_variant(const struct state_field *f, const char *p)
{
	GVariantBuilder b;

	if (f->type == STATE_T_U8)
		return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, p, f->count, 1);
	g_variant_builder_init(&b, G_VARIANT_TYPE("av"));
	for (uint32_t i = 0; i < f->count; i++)
		g_variant_builder_add(&b, "v", scalar_variant(f, p + (size_t)i * f->size));
	return g_variant_builder_end(&b);
}

static GVariant *fields_variant(const struct state_desc *d, const char *obj)
{
	GVariantBuilder b;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	for (const struct state_field *f = d->fields; f->name; f++) {
		const char *p = obj + f->off;
		if (f->type == STATE_T_PAD)
			continue;
		g_variant_builder_add(&b, "{sv}", f->name,
				      f->count == 1 ? scalar_variant(f, p) : array_variant(f, p));
	}
	return g_variant_builder_end(&b);
}

struct find {
	const char *id;
	struct dev *dev;
};

static void find_dev(void *ctx, struct dev *d)
{
	struct find *f = ctx;

	if (strcmp(d->id, f->id) == 0)
		f->dev = d;
}

static void devices_state(struct vm *vm, const char *id, GDBusMethodInvocation *inv)
{
	const bool was_running = machine_running(vm->machine);
	struct find f = { .id = id };
	GVariant *fields;
	struct err e;

	machine_each_dev(vm->machine, find_dev, &f);
	if (!f.dev || !f.dev->cls->state) {
		err_set(&e, -ENOENT,
			f.dev ? "device '%.64s' has no state to show"
			      : "no device '%.64s' (lodge show VM --devices)",
			id);
		control_fail(inv, &e);
		return;
	}
	if (machine_pause(vm->machine, &e) < 0) {
		control_fail(inv, &e);
		return;
	}
	fields = fields_variant(f.dev->cls->state, (char *)f.dev + f.dev->cls->state_off);
	if (was_running && machine_run(vm->machine, &e) < 0)
		vm_quit(vm, VM_CRASHED, "error", LODGE_EXIT_FAILED, e.msg);
	g_dbus_method_invocation_return_value(inv, g_variant_new("(@a{sv})", fields));
}

void control_devices_call(struct vm *vm, const char *method, GVariant *args,
			  GDBusMethodInvocation *inv)
{
	const char *id;

	if (strcmp(method, "List") == 0) {
		devices_list(vm, inv);
		return;
	}
	g_variant_get(args, "(&s)", &id);
	devices_state(vm, id, inv);
}

/* ---- Stats1 ---- */

#define COUNTER(m)                                                                                 \
	{                                                                                          \
#m, offsetof(struct hv_engine_stats, m)                                            \
	}
static const struct {
	const char *name;
	size_t off;
} counters[] = {
	COUNTER(instructions),
	COUNTER(translated),
	COUNTER(interpreted),
	COUNTER(untranslatable),
	COUNTER(stepped),
	COUNTER(fallbacks),
	COUNTER(slow_accesses),
	COUNTER(blocks_decoded),
	COUNTER(blocks_translated),
	COUNTER(code_invalidations),
	COUNTER(cache_drops),
	COUNTER(code_bytes),
	COUNTER(code_entries),
	COUNTER(decode_ns),
	COUNTER(translate_ns),
	COUNTER(tlb_misses),
	COUNTER(tlb_flushes),
	COUNTER(flush_requests),
	COUNTER(interrupts),
	COUNTER(exceptions),
	COUNTER(pio),
	COUNTER(mmio),
	COUNTER(lapic),
	COUNTER(msr),
	COUNTER(hlt),
	COUNTER(kicks),
	COUNTER(yields),
};

static uint64_t counter(const struct hv_engine_stats *s, size_t i)
{
	uint64_t v;

	memcpy(&v, (const char *)s + counters[i].off, sizeof(v));
	return v;
}

static char *counter_key(size_t i)
{
	return g_strdelimit(g_strdup(counters[i].name), "_", '-');
}

static void add_u64(GVariantBuilder *b, const char *key, uint64_t v)
{
	g_variant_builder_add(b, "{sv}", key, g_variant_new_uint64(v));
}

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static void add_process(struct vm *vm, GVariantBuilder *b)
{
	struct rusage u;
	char text[128];
	unsigned long size, resident;
	const ssize_t n = pread(vm->files.statm_fd, text, sizeof(text) - 1, 0);

	if (getrusage(RUSAGE_SELF, &u) == 0) {
		add_u64(b, "process-user-ns", ns_of(u.ru_utime));
		add_u64(b, "process-system-ns", ns_of(u.ru_stime));
		add_u64(b, "process-resident-max-bytes", (uint64_t)u.ru_maxrss * 1024);
	}
	text[MAX(n, 0)] = '\0';
	if (sscanf(text, "%lu %lu", &size, &resident) == 2)
		add_u64(b, "process-resident-bytes", (uint64_t)resident * 4096);
	add_u64(b, "elapsed-ns", loop_now_ns() - vm->started_ns);
}

static void add_display(struct vm *vm, GVariantBuilder *b)
{
	struct display_stats s;

	display_get_stats(vm->display, &s);
	add_u64(b, "display-draws", s.draws);
	add_u64(b, "display-frames", s.frames);
}

/* ---- fallbacks by instruction ---- */

struct fallback {
	const char *name; /* static */
	guint64 n;
};

static gint most_first(gconstpointer a, gconstpointer b)
{
	const guint64 x = ((const struct fallback *)a)->n, y = ((const struct fallback *)b)->n;

	return (x < y) - (x > y);
}

static GVariant *fallbacks(const struct hv_vm *hv)
{
	g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(struct fallback));
	GVariantBuilder b;

	for (unsigned i = 0; hv->engine->fallback; i++) {
		struct fallback f = { 0 };
		for (unsigned k = 0; k < hv->n_vcpus; k++) {
			uint64_t n = 0;
			f.name = hv->engine->fallback(hv->vcpu[k], i, &n);
			f.n += n;
		}
		if (f.name == NULL)
			break;
		if (f.n > 0)
			g_array_append_val(all, f);
	}
	g_array_sort(all, most_first);
	g_variant_builder_init(&b, G_VARIANT_TYPE("a{st}"));
	for (guint i = 0; i < all->len; i++) {
		const struct fallback *f = &g_array_index(all, struct fallback, i);
		g_variant_builder_add(&b, "{st}", f->name, f->n);
	}
	return g_variant_builder_end(&b);
}

/* ---- all together ---- */

/* One vCPU's counters, added to sums, too. */
static GVariant *vcpu_stats(const struct hv_vm *hv, unsigned i, uint64_t *sums)
{
	struct hv_engine_stats s = { 0 };
	GVariantBuilder b;

	hv->engine->stats(hv->vcpu[i], &s);
	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	for (size_t k = 0; k < G_N_ELEMENTS(counters); k++) {
		g_autofree char *key = counter_key(k);
		add_u64(&b, key, counter(&s, k));
		sums[k] += counter(&s, k);
	}
	add_u64(&b, "halted-ns", hv_vcpu_halted_ns(hv->vcpu[i]));
	return g_variant_builder_end(&b);
}

GVariant *control_stats(struct vm *vm)
{
	struct hv_vm *hv = machine_vm(vm->machine);
	uint64_t sums[G_N_ELEMENTS(counters)] = { 0 }, halted_ns = 0;
	GVariantBuilder b, cpus;

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_init(&cpus, G_VARIANT_TYPE("aa{sv}"));
	for (unsigned i = 0; i < hv->n_vcpus; i++) {
		g_variant_builder_add_value(&cpus, vcpu_stats(hv, i, sums));
		halted_ns += hv_vcpu_halted_ns(hv->vcpu[i]);
	}
	g_variant_builder_add(&b, "{sv}", "engine", g_variant_new_string(hv->engine->name));
	add_u64(&b, "uptime-ns", hv_clock_now_ns(hv->clock));
	add_process(vm, &b);
	add_display(vm, &b);
	add_u64(&b, "halted-ns", halted_ns);
	for (size_t k = 0; k < G_N_ELEMENTS(counters); k++) {
		g_autofree char *key = counter_key(k);
		add_u64(&b, key, sums[k]);
	}
	g_variant_builder_add(&b, "{sv}", "fallbacks-by-instruction", fallbacks(hv));
	g_variant_builder_add(&b, "{sv}", "vcpus", g_variant_builder_end(&cpus));
	return g_variant_builder_end(&b);
}

void control_stats_call(struct vm *vm, const char *method, GVariant *args,
			GDBusMethodInvocation *inv)
{
	(void)method;
	(void)args;
	g_dbus_method_invocation_return_value(inv, g_variant_new("(@a{sv})", control_stats(vm)));
}

/* ---- Serial1 ---- */

void control_serial_call(struct vm *vm, const char *method, GVariant *args,
			 GDBusMethodInvocation *inv)
{
	g_autoptr(GUnixFDList) list = NULL;
	gboolean history;
	guint32 port;
	struct err e;
	int fd, r;

	(void)method;
	g_variant_get(args, "(ub)", &port, &history);
	if (port >= MACHINE_MAX_SERIAL)
		r = err_set(&e, -EINVAL, "there are serial ports 0 to %d, not %u",
			    MACHINE_MAX_SERIAL - 1, port);
	else
		r = serial_open_viewer(vm->serial[port], history, &fd, &e);
	if (r < 0) {
		control_fail(inv, &e);
		return;
	}
	list = g_unix_fd_list_new_from_array(&fd, 1);
	g_dbus_method_invocation_return_value_with_unix_fd_list(inv, g_variant_new("(h)", 0), list);
}
