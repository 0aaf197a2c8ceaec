/*
 * A machine as a file and back: what it is made of in section "machine", the CPUs, then every
 * device under its path, then memory, which is mapped rather than read when the file is loaded. The
 * file is hostile: each section is checked before it touches anything, and the machine that it is
 * loaded into was made for it and is thrown away on any error.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/util.h"
#include "devmodel/machine/machine_int.h"
#include "state/container.h"

#define MODEL_NAME_BYTES 32
#define CLOCK_MAX_NS (1ull << 62) /* a century and more */

STATE_LAYOUT_BEGIN
struct saved_machine {
	uint64_t ram_bytes, clock_ns, tsc_hz;
	uint64_t features[(CPU_F_COUNT + 63) / 64];
	uint64_t disk_bytes[MACHINE_MAX_DISKS]; /* 0: none */
	uint32_t n_cpus;
	uint16_t debug_exit_port;
	uint8_t serial; /* bits: the ports that are there */
	uint8_t asleep;
	uint8_t cpu_model[MODEL_NAME_BYTES];
	uint8_t disk_bus[MACHINE_MAX_DISKS]; /* enum machine_bus, SAVED_CDROM */
};
STATE_LAYOUT_END

#define SAVED_CDROM 0x80u
#define SAVED_UNIT 8u	   /* floppy drive 1 */
#define SAVED_KIND_SHIFT 4 /* a floppy drive's, three bits */

static int check_saved(void *obj, struct err *e)
{
	const struct saved_machine *s = obj;

	if (s->cpu_model[MODEL_NAME_BYTES - 1] != 0 || s->clock_ns > CLOCK_MAX_NS ||
	    s->asleep > 1 || s->tsc_hz < 1000000 || s->tsc_hz > 100000000000)
		return err_set(e, -EINVAL, "the saved machine cannot be so");
	return 0;
}

static const struct state_desc saved_desc = {
	.name = "machine",
	.version = 2,
	.min_version = 1,
	.size = sizeof(struct saved_machine),
	.post_load = check_saved,
	.fields =
		(const struct state_field[]){
			STATE(struct saved_machine, ram_bytes),
			STATE(struct saved_machine, clock_ns),
			STATE(struct saved_machine, tsc_hz),
			STATE_ARRAY(struct saved_machine, features),
			STATE_ARRAY(struct saved_machine, disk_bytes),
			STATE(struct saved_machine, n_cpus),
			STATE(struct saved_machine, debug_exit_port),
			STATE(struct saved_machine, serial),
			STATE(struct saved_machine, asleep),
			STATE_ARRAY(struct saved_machine, cpu_model),
			STATE_ARRAY_SINCE(2, struct saved_machine, disk_bus),
			STATE_END,
		},
};

static uint8_t serial_bits(const struct machine_backends *b)
{
	uint8_t bits = 3;

	for (unsigned i = 2; i < MACHINE_MAX_SERIAL; i++)
		bits |= (uint8_t)((b->serial[i] != NULL) << i);
	return bits;
}

static uint8_t saved_bus(const struct machine_backends *b, unsigned i)
{
	if (!machine_has_drive(b, i))
		return 0;
	return (uint8_t)(b->disk[i].bus | (b->disk[i].cdrom ? SAVED_CDROM : 0) |
			 (b->disk[i].unit != 0 ? SAVED_UNIT : 0) |
			 (unsigned)b->disk[i].floppy << SAVED_KIND_SHIFT);
}

/* A floppy drive whose kind the user has not said is of the saved kind, whatever is in it now. */
static void take_kind(struct machine_backends *b, unsigned i, uint8_t saved)
{
	const unsigned kind = saved >> SAVED_KIND_SHIFT & 7;

	if (b->disk[i].bus == MACHINE_BUS_FLOPPY && b->disk[i].floppy == FLOPPY_DRIVE_NONE &&
	    kind < FLOPPY_N_DRIVES)
		b->disk[i].floppy = (enum floppy_drive)kind;
}

/* ---- saving ---- */

static void describe(struct machine *m, struct saved_machine *s)
{
	*s = (struct saved_machine){ .ram_bytes = m->config.ram_bytes,
				     .clock_ns = hv_clock_now_ns(m->clock),
				     .tsc_hz = m->model.tsc_hz,
				     .n_cpus = m->vm.n_vcpus,
				     .debug_exit_port = m->config.debug_exit_port,
				     .serial = serial_bits(&m->back),
				     .asleep = m->asleep };
	memcpy(s->features, m->model.features, sizeof(s->features));
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		s->disk_bytes[i] = m->back.disk[i].blk != NULL ? m->back.disk[i].blk->bytes : 0;
		s->disk_bus[i] = saved_bus(&m->back, i);
	}
	snprintf((char *)s->cpu_model, sizeof(s->cpu_model), "%s", m->model.name);
}

static int put_section(struct state_writer *w, const char *key, const struct state_desc *d,
		       const void *obj, struct err *e)
{
	auto_state_out struct state_out o = { 0 };
	const int r = state_save(&o, d, obj, e);

	return r == 0 ? state_writer_section(w, key, o.p, o.len, e) : r;
}

static int put_cpus(struct machine *m, struct state_writer *w, struct err *e)
{
	auto_free struct x86_state *s = malloc(sizeof(*s));
	int r = 0;

	if (s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < m->vm.n_vcpus && r == 0; i++) {
		char key[24];
		snprintf(key, sizeof(key), "cpu%u", i);
		hv_vcpu_state_get(m->vm.vcpu[i], s);
		r = put_section(w, key, &x86_state_desc, s, e);
	}
	return r;
}

static int put_devices(struct machine *m, struct state_writer *w, struct err *e)
{
	int r = 0;

	for (struct env_dev *ed = m->env.first; ed != NULL && r == 0; ed = ed->next) {
		auto_state_out struct state_out o = { 0 };
		char key[STATE_KEY_MAX + 1];
		snprintf(key, sizeof(key), "dev/%s", ed->id);
		hv_domain_lock(ed->domain);
		r = dev_save(ed->dev, &o, e);
		hv_domain_unlock(ed->domain);
		if (r == 0)
			r = state_writer_section(w, key, o.p, o.len, e);
	}
	return r;
}

/* A disk whose writes are forgotten: the state keeps them, as a map and a block like memory. */
static bool has_changes(const struct blk *b)
{
	return b != NULL && b->ops->changes_begin != NULL;
}

static void disk_key(char *key, size_t n, unsigned disk)
{
	snprintf(key, n, "disk%u", disk);
}

static int put_map(struct state_writer *w, const char *key, const struct blk_changes *c,
		   struct err *e)
{
	return state_writer_section(w, key, c->map, c->map_bytes, e);
}

static int put_data(struct state_writer *w, const char *key, const struct blk_changes *c,
		    struct err *e)
{
	return state_writer_ram(w, key, c->data, c->data_bytes, e);
}

/* One part of each such disk: sections come before all memory in the file. */
static int put_disks(struct machine *m, struct state_writer *w,
		     int (*put)(struct state_writer *w, const char *key,
				const struct blk_changes *c, struct err *e),
		     struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < MACHINE_MAX_DISKS && r == 0; i++) {
		struct blk *b = m->back.disk[i].blk;
		struct blk_changes c;
		char key[16];
		if (!has_changes(b))
			continue;
		disk_key(key, sizeof(key), i);
		r = b->ops->changes_begin(b, &c, e);
		if (r < 0)
			break;
		r = put(w, key, &c, e);
		b->ops->changes_end(b, &c);
	}
	return r;
}

static int put_memory(struct machine *m, struct state_writer *w, struct err *e)
{
	struct hv_ram *ram;
	int r = 0;

	for (unsigned i = 0; r == 0 && (ram = hv_mem_ram(m->mem, i)) != NULL; i++)
		r = state_writer_ram(w, hv_ram_name(ram), hv_ram_host(ram), hv_ram_bytes(ram), e);
	return r;
}

const char *machine_cannot_save(const struct machine *m)
{
	for (const struct env_dev *ed = m->env.first; ed != NULL; ed = ed->next)
		if (ed->dev->cls->state == NULL)
			return ed->dev->cls->cannot_save;
	return NULL;
}

int machine_save_begin(struct machine *m, int fd, struct state_writer **ret_writer,
		       uint64_t *ret_bytes, struct err *e)
{
	struct saved_machine s;
	struct state_writer *w;
	struct hv_ram *ram;
	int r = state_writer_create(fd, &w, e);

	if (r < 0)
		return r;
	describe(m, &s);
	r = put_section(w, "machine", &saved_desc, &s, e);
	if (r == 0)
		r = put_cpus(m, w, e);
	if (r == 0)
		r = put_devices(m, w, e);
	if (r == 0)
		r = put_disks(m, w, put_map, e);
	if (r == 0)
		r = put_disks(m, w, put_data, e);
	if (r < 0) {
		state_writer_destroy(w);
		return r;
	}
	*ret_bytes = state_writer_bytes(w);
	for (unsigned i = 0; (ram = hv_mem_ram(m->mem, i)) != NULL; i++)
		*ret_bytes += hv_ram_bytes(ram);
	*ret_writer = w;
	return 0;
}

int machine_save_end(struct machine *m, struct state_writer *w, struct err *e)
{
	int r = put_memory(m, w, e);

	if (r == 0)
		r = state_writer_finish(w, e);
	state_writer_destroy(w);
	return r;
}

int machine_save(struct machine *m, int fd, struct err *e)
{
	struct state_writer *w;
	uint64_t bytes;
	const int r = machine_save_begin(m, fd, &w, &bytes, e);

	return r == 0 ? machine_save_end(m, w, e) : r;
}

/* ---- loading ---- */

static int get_section(const struct state_file *f, const char *key, const struct state_desc *d,
		       void *obj, struct err *e)
{
	const struct state_section *s = state_file_section(f, key);
	int r;

	if (s == NULL)
		return err_set(e, -EBADMSG, "there is no '%s' in it", key);
	struct state_in in = { s->p, s->len };
	r = state_load(&in, d, obj, e);
	if (r == 0 && in.left != 0)
		r = err_set(e, -EBADMSG, "'%s' in it is too long", key);
	return r;
}

int saved_config(const struct state_file *f, struct machine *m, struct err *e)
{
	struct saved_machine s;
	const int r = get_section(f, "machine", &saved_desc, &s, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < MACHINE_MAX_DISKS; i++) {
		const struct blk *b = m->back.disk[i].blk;
		take_kind(&m->back, i, s.disk_bus[i]);
		if (s.disk_bus[i] != saved_bus(&m->back, i))
			return err_set(e, -EINVAL,
				       "disk %u is attached otherwise than the saved one", i);
		if (s.disk_bytes[i] != (b != NULL ? b->bytes : 0))
			return err_set(e, -EINVAL, "disk %u has %llu bytes, the saved one had %llu",
				       i, b != NULL ? (unsigned long long)b->bytes : 0,
				       (unsigned long long)s.disk_bytes[i]);
	}
	if (s.serial != serial_bits(&m->back))
		return err_set(e, -EINVAL, "the saved machine has other serial ports");
	m->config.ram_bytes = s.ram_bytes;
	m->config.n_cpus = s.n_cpus;
	m->config.debug_exit_port = s.debug_exit_port;
	m->asleep = s.asleep;
	memcpy(m->saved_model, s.cpu_model, sizeof(m->saved_model));
	return 0;
}

int saved_cpu_model(const struct state_file *f, struct machine *m, struct err *e)
{
	struct saved_machine s;
	const int r = get_section(f, "machine", &saved_desc, &s, e);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < HV_ARRAY_LEN(s.features); i++)
		if (s.features[i] & ~m->model.features[i])
			return err_set(e, -ENOTSUP,
				       "this host's CPU lacks what the saved machine's had");
	cpu_model_keep(&m->model, s.features);
	m->model.tsc_hz = s.tsc_hz;
	hv_clock_set_ns(m->clock, s.clock_ns);
	return 0;
}

int saved_ram(const struct state_file *f, int fd, struct hv_mem *mem, const char *name,
	      uint64_t bytes, struct hv_ram **ret_ram, struct err *e)
{
	const struct state_ram *r = state_file_ram(f, name);

	if (r == NULL || (bytes != 0 && r->bytes != bytes))
		return err_set(e, -EBADMSG, "there is no memory '%s' of the right size in it",
			       name);
	return hv_ram_create(mem, name, HV_RAM_FILE_PRIVATE, r->bytes, fd, r->file_off, ret_ram, e);
}

static int get_cpus(struct machine *m, const struct state_file *f, struct err *e)
{
	auto_free struct x86_state *s = malloc(sizeof(*s));
	int r = 0;

	if (s == NULL)
		return err_set(e, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < m->vm.n_vcpus && r == 0; i++) {
		char key[24];
		snprintf(key, sizeof(key), "cpu%u", i);
		r = get_section(f, key, &x86_state_desc, s, e);
		if (r == 0)
			r = hv_vcpu_state_set(m->vm.vcpu[i], s, e);
	}
	return r;
}

static int get_changes(struct machine *m, const struct state_file *f, struct err *e)
{
	int r = 0;

	for (unsigned i = 0; i < MACHINE_MAX_DISKS && r == 0; i++) {
		struct blk *b = m->back.disk[i].blk;
		char key[16];
		disk_key(key, sizeof(key), i);
		const struct state_section *map = state_file_section(f, key);
		const struct state_ram *data = state_file_ram(f, key);
		if (map == NULL && data == NULL)
			continue;
		if (map == NULL || data == NULL)
			return err_set(e, -EBADMSG, "'%s' in it is not whole", key);
		if (!has_changes(b))
			return err_set(e, -EINVAL,
				       "the saved machine did not keep its changes to disk %u: "
				       "do not open it for writing",
				       i);
		r = b->ops->changes_load(b, map->p, map->len, m->config.state_fd, data->file_off,
					 data->bytes, e);
	}
	return r;
}

int saved_load(struct machine *m, const struct state_file *f, struct err *e)
{
	int r = get_changes(m, f, e);

	if (r == 0)
		r = get_cpus(m, f, e);

	for (struct env_dev *ed = m->env.first; ed != NULL && r == 0; ed = ed->next) {
		char key[STATE_KEY_MAX + 1];
		snprintf(key, sizeof(key), "dev/%s", ed->id);
		const struct state_section *s = state_file_section(f, key);
		if (s == NULL)
			return err_set(e, -EBADMSG, "there is no '%s' in it", key);
		struct state_in in = { s->p, s->len };
		hv_domain_lock(ed->domain);
		r = dev_load(ed->dev, &in, e);
		hv_domain_unlock(ed->domain);
	}
	return r;
}
