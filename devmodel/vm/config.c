/* Settings of a VM: the table and its parser, see config.h. */
#include "vm/config.h"
#include <glib.h>
#include <stdlib.h>
#include "base/util.h"
#include "protocol/folder.h"
#include "protocol/protocol.h"
#include "vm/config_int.h"

static const char *const machines[] = { "pc-1", NULL };
static const char *const vm_formats[] = { LODGE_FOLDER_FORMAT, NULL };
static const char *const engines[] = { "auto", "kvm", "soft", "driver", "null", NULL };
static const char *const firmwares[] = { "auto", "bios", "none", NULL };
static const char *const adapters[] = { "vga", "none", NULL };
static const char *const tiers[] = { "interp", "translate", NULL };
static const char *const floppies[] = { "auto", "360K", "1.2M", "720K", "1.44M", "2.88M", NULL };
static const char *const buses[] = { "virtio", "ahci", "ide", NULL };
static const char *const cd_buses[] = { "ahci", "ide", NULL };
static const char *const formats[] = { "auto", "raw", "qcow2", NULL };
static const char *const caches[] = { "safe", "host", "unsafe", NULL };
static const char *const clocks[] = { "utc", "local", NULL };
static const char *const levels[] = { "error", "warn", "info", "debug", "trace", NULL };

#define OFF(m) offsetof(struct vm_config, m)
#define DISK(m) offsetof(struct vm_disk_config, m)
#define FLOPPY(m) offsetof(struct vm_floppy_config, m)
#define PORT(m) offsetof(struct vm_serial_config, m)
#define TEXT_MAX 1024
#define KEEP(key, off)                                                                             \
	{                                                                                          \
		key, SETTING_BOOL, off, 0, 0, NULL, "no",                                          \
			"write changes to the image; else they are forgotten"                      \
	}

const struct setting vm_settings[] = {
	{ "vm.name", SETTING_TEXT, OFF(name), 1, 64, NULL, NULL, "name of the VM" },
	{ "vm.format", SETTING_CHOICE, OFF(format), 0, 0, vm_formats, NULL, "format of vm.ini: 1" },
	{ "vm.id", SETTING_TEXT, OFF(id), 1, 64, NULL, NULL,
	  "a number of its own (UUID), made with the VM" },
	{ "vm.generation", SETTING_TEXT, OFF(generation), 1, 64, NULL, NULL,
	  "the VM generation ID (UUID): another one when the VM went back to a snapshot or was copied; "
	  "without one each start has another" },
	{ "vm.os", SETTING_TEXT, OFF(os), 1, 64, NULL, NULL,
	  "the guest's operating system, such as debian12" },
	{ "vm.machine", SETTING_CHOICE, OFF(machine), 0, 0, machines, "pc-1", "machine type" },
	{ "vm.engine", SETTING_CHOICE, OFF(engine), 0, 0, engines, "auto",
	  "what runs the guest's instructions" },
	{ "vm.clock", SETTING_CHOICE, OFF(clock), 0, 0, clocks, "utc",
	  "what the guest's clock chip is set to" },
	{ "vm.firmware", SETTING_CHOICE, OFF(firmware), 0, 0, firmwares, "auto",
	  "what starts the guest: auto is bios for disks without a kernel or saved state" },
	{ "vm.boot", SETTING_TEXT, OFF(boot_order), 1, TEXT_MAX, NULL, NULL,
	  "drives in the order in which the BIOS tries them: cdrom.0,disk.root; else boot.file's, "
	  "then floppies, CDs, disks" },
	{ "boot.menu", SETTING_BOOL, OFF(boot_menu), 0, 0, NULL, "no",
	  "the BIOS offers its boot menu (Esc)" },
	{ "boot.menu-wait", SETTING_NUMBER, OFF(boot_menu_ms), 1, 65535, NULL, "2500",
	  "milliseconds for which it does" },
	{ "boot.fail-wait", SETTING_NUMBER, OFF(boot_fail_ms), 0, UINT32_MAX, NULL, "60000",
	  "milliseconds until the BIOS starts again when nothing boots; 4294967295: never" },
	{ "firmware.bios", SETTING_FILE_IN, OFF(bios), 1, TEXT_MAX, NULL,
	  "/usr/share/seabios/bios-256k.bin", "image of the BIOS" },
	{ "firmware.vga-bios", SETTING_FILE_IN, OFF(vga_bios), 1, TEXT_MAX, NULL, VM_VGA_BIOS,
	  "image of the display adapter's BIOS" },
	{ "display.adapter", SETTING_CHOICE, OFF(display), 0, 0, adapters, "vga",
	  "display adapter: vga (with VBE, as bochs-drm drives it) or none" },
	{ "firmware.option-rom", SETTING_FILE_IN, OFF(option_rom), 1, TEXT_MAX, NULL, NULL,
	  "ROM image that the BIOS runs before it boots, up to 128K" },
	{ "cpu.count", SETTING_NUMBER, OFF(n_cpus), 1, HV_MAX_VCPUS, NULL, "1", "number of CPUs" },
	{ "cpu.model", SETTING_TEXT, OFF(cpu_model), 1, 31, NULL, "x86-64-v3",
	  "CPU model: x86-64-v2, x86-64-v3, host" },
	{ "memory.size", SETTING_SIZE, OFF(memory_bytes), 1 << 20, 1ull << 40, NULL, "1G",
	  "guest memory, a multiple of 1M" },
	{ "boot.file", SETTING_FILE_IN, OFF(boot_file), 1, TEXT_MAX, NULL, NULL,
	  "what to run: CD, floppy or disk image, kernel, saved state; its contents tell" },
	{ "boot.keep", SETTING_BOOL, OFF(boot_keep), 0, 0, NULL, "no",
	  "write changes to the image that is boot.file; else they are forgotten" },
	{ "boot.kernel", SETTING_FILE_IN, OFF(kernel), 1, TEXT_MAX, NULL, NULL,
	  "Linux kernel (bzImage) or multiboot program to start directly" },
	{ "boot.initrd", SETTING_FILE_IN, OFF(initrd), 1, TEXT_MAX, NULL, NULL,
	  "initial RAM disk or multiboot module for the kernel" },
	{ "boot.append", SETTING_TEXT, OFF(append), 0, 2047, NULL, NULL,
	  "command line for the kernel" },
	{ "boot.state", SETTING_FILE_IN, OFF(state), 1, TEXT_MAX, NULL, NULL,
	  "saved state to continue" },
	{ "disk.*.file", SETTING_FILE_IN, DISK(file), 1, TEXT_MAX, NULL, NULL,
	  "image given to the guest as a disk" },
	{ "disk.*.format", SETTING_CHOICE, DISK(format), 0, 0, formats, "auto",
	  "format of the image: auto looks; say raw of a disk whose guest is not trusted" },
	{ "disk.*.cache", SETTING_CHOICE, DISK(cache), 0, 0, caches, "safe",
	  "what the guest flushed survives: safe: a power cut; host: the end of the VM, but not of "
	  "the host; unsafe: neither" },
	{ "disk.*.direct", SETTING_BOOL, DISK(direct), 0, 0, NULL, "no",
	  "around the host's page cache (O_DIRECT): for disks that are larger than memory" },
	{ "disk.*.bus", SETTING_CHOICE, DISK(bus), 0, 0, buses, "virtio",
	  "how it is attached: ahci and ide are for guests without virtio drivers" },
	KEEP("disk.*.keep", DISK(keep)),
	{ "disk.*.read-only", SETTING_BOOL, DISK(read_only), 0, 0, NULL, "no",
	  "the guest cannot write to it" },
	{ "cdrom.*.file", SETTING_FILE_IN, DISK(file), 0, TEXT_MAX, NULL, NULL,
	  "image in CD drive 0, 1 and so on; nothing: an empty drive" },
	{ "cdrom.*.bus", SETTING_CHOICE, DISK(bus), 0, 0, cd_buses, "ahci",
	  "how the drive is attached" },
	{ "floppy.*.file", SETTING_FILE_IN, FLOPPY(file), 1, TEXT_MAX, NULL, NULL,
	  "image in floppy drive 0 or 1; its size tells the format" },
	KEEP("floppy.*.keep", FLOPPY(keep)),
	{ "floppy.*.read-only", SETTING_BOOL, FLOPPY(read_only), 0, 0, NULL, "no",
	  "the disk is write-protected" },
	{ "floppy.*.drive", SETTING_CHOICE, FLOPPY(drive), 0, 0, floppies, "auto",
	  "kind of drive: auto is the usual one for its first disk" },
	{ "serial.*.output", SETTING_STREAM, PORT(output), 1, TEXT_MAX, NULL, "none",
	  "where a serial port goes: -, none or a file" },
	{ "debugcon.output", SETTING_STREAM, OFF(debugcon), 1, TEXT_MAX, NULL, "none",
	  "where ports 0x402 and 0xe9 go: -, none or a file" },
	{ "debug.exit-port", SETTING_NUMBER, OFF(debug_exit), 0, 0xffff, NULL, "0",
	  "I/O port at which a written byte ends the VM; 0: none" },
	{ "debug.stuck-address", SETTING_NUMBER64, OFF(stuck_address), 0, 1ull << 46, NULL, "0",
	  "physical address of a faulty byte of memory" },
	{ "debug.stuck-bits", SETTING_NUMBER, OFF(stuck_bits), 0, 0xff, NULL, "0",
	  "its bits that always read as ones; 0: all memory is good" },
	{ "debug.gdb", SETTING_SOCKET, OFF(gdb), 1, 107, NULL, NULL,
	  "where gdb may connect: a TCP port of 127.0.0.1 or the path of a socket" },
	{ "debug.wait", SETTING_BOOL, OFF(gdb_wait), 0, 0, NULL, "yes",
	  "with debug.gdb: hold the first instruction until gdb continues" },
	{ "debug.trace", SETTING_FILE_OUT, OFF(trace), 1, TEXT_MAX, NULL, NULL,
	  "file for the trace of instructions and state" },
	{ "debug.deterministic", SETTING_BOOL, OFF(deterministic), 0, 0, NULL, "no",
	  "one CPU whose instructions are the clock: every run does the same" },
	{ "debug.digest", SETTING_FILE_OUT, OFF(digest), 1, TEXT_MAX, NULL, NULL,
	  "file for digests of a deterministic run, to compare it with another" },
	{ "debug.digest-from", SETTING_NUMBER64, OFF(digest_from), 0, 1ull << 60, NULL, "0",
	  "instructions before the first digest, and before debug.trace; 0: as between digests" },
	{ "debug.digest-every", SETTING_NUMBER64, OFF(digest_every), 1, 1ull << 60, NULL, "1000000",
	  "instructions between two digests" },
	{ "debug.digest-memory", SETTING_NUMBER, OFF(digest_memory), 0, UINT32_MAX, NULL, "64",
	  "digests from one with all of memory in it to the next; 0: none" },
	{ "debug.stats", SETTING_BOOL, OFF(stats), 0, 0, NULL, "no",
	  "print the statistics at the end" },
	{ "soft.tier", SETTING_CHOICE, OFF(soft_tier), 0, 0, tiers, "translate",
	  "how the soft engine runs code" },
	{ "soft.translate-after", SETTING_NUMBER, OFF(soft_translate_after), 0, UINT32_MAX, NULL,
	  "16", "runs of a block before it is translated" },
	{ "soft.disable", SETTING_NUMBER, OFF(soft_disable), 0, UINT32_MAX, NULL, "0",
	  "bits of soft engine optimisations to switch off" },
	{ "soft.perf-map", SETTING_BOOL, OFF(soft_perf_map), 0, 0, NULL, "no",
	  "name translated code in /tmp/perf-PID.map, for perf" },
	{ "log.level", SETTING_CHOICE, OFF(log_level), 0, 0, levels, "warn",
	  "what is worth a line on standard error" },
	{ "log.file", SETTING_FILE_OUT, OFF(log_file), 1, TEXT_MAX, NULL, NULL,
	  "file that gets these lines as well" },
	{ "log.trace", SETTING_TEXT, OFF(log_trace), 1, TEXT_MAX, NULL, NULL,
	  "trace points whose events are logged, as a pattern: virtio_*" },
	{ NULL, SETTING_TEXT, 0, 0, 0, NULL, NULL, NULL },
};

static bool in_list(const char *const *list, const char *s)
{
	for (unsigned i = 0; list[i]; i++)
		if (strcmp(list[i], s) == 0)
			return true;
	return false;
}

static int parse_number(const struct setting *s, const char *key, const char *value,
			uint64_t *ret_v, struct err *e)
{
	const bool hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
	guint64 v = 0;

	if (s->type == SETTING_SIZE) {
		g_autofree char *min = lodge_format_size(s->min), *max = lodge_format_size(s->max);
		if (!lodge_parse_size(value, &v) || v < s->min || v > s->max || v % s->min != 0)
			return err_set(e, -EINVAL, "%s is %s to %s (%s), not '%.64s'", key, min,
				       max, s->help, value);
	} else if (!g_ascii_string_to_unsigned(hex ? value + 2 : value, hex ? 16 : 10, s->min,
					       s->max, &v, NULL)) {
		return err_set(e, -EINVAL, "%s is %llu to %llu (%s), not '%.64s'", key,
			       (unsigned long long)s->min, (unsigned long long)s->max, s->help,
			       value);
	}
	*ret_v = v;
	return 0;
}

static int set_bool(const char *key, const char *value, bool *ret_v, struct err *e)
{
	static const char *const yes[] = { "yes", "on", "true", "1", NULL };
	static const char *const no[] = { "no", "off", "false", "0", NULL };

	if (!in_list(yes, value) && !in_list(no, value))
		return err_set(e, -EINVAL, "%s is yes or no, not '%.64s'", key, value);
	*ret_v = in_list(yes, value);
	return 0;
}

static int set_text(const struct setting *s, const char *key, const char *value, char **slot,
		    struct err *e)
{
	const size_t len = strlen(value);

	if (s->type == SETTING_CHOICE && !in_list(s->choices, value)) {
		g_autofree char *all = g_strjoinv(", ", (char **)(void *)s->choices);
		return err_set(e, -EINVAL, "%s is one of %s, not '%.64s'", key, all, value);
	}
	if (s->choices == NULL && (len < s->min || len > s->max))
		return err_set(e, -EINVAL, "%s has %llu to %llu bytes (%s), not %zu", key,
			       (unsigned long long)s->min, (unsigned long long)s->max, s->help,
			       len);
	if (!g_utf8_validate(value, -1, NULL))
		return err_set(e, -EINVAL, "%s is not valid UTF-8", key);
	g_free(*slot);
	*slot = g_strdup(value);
	return 0;
}

static int set_value(const struct setting *s, const char *key, const char *value, void *obj,
		     struct err *e)
{
	void *p = (char *)obj + s->off;
	uint64_t v;
	int r;

	switch (s->type) {
	case SETTING_BOOL:
		return set_bool(key, value, p, e);
	case SETTING_NUMBER:
	case SETTING_NUMBER64:
	case SETTING_SIZE:
		r = parse_number(s, key, value, &v, e);
		if (r < 0)
			return r;
		memcpy(p, &v, s->type == SETTING_NUMBER ? 4 : 8); /* little endian */
		return 0;
	default:
		return set_text(s, key, value, p, e);
	}
}

static void *find_serial(struct vm_config *c, const char *name, struct err *e)
{
	guint64 i;

	if (g_ascii_string_to_unsigned(name, 10, 0, MACHINE_MAX_SERIAL - 1, &i, NULL))
		return &c->serial[i];
	err_set(e, -EINVAL, "there are serial ports 0 to %d, not '%.32s'", MACHINE_MAX_SERIAL - 1,
		name);
	return NULL;
}

static void *find_floppy(struct vm_config *c, const char *name, struct err *e)
{
	guint64 i;

	if (!g_ascii_string_to_unsigned(name, 10, 0, VM_MAX_FLOPPIES - 1, &i, NULL)) {
		err_set(e, -EINVAL, "there are floppy drives 0 and 1, not '%.32s'", name);
		return NULL;
	}
	c->floppy[i].there = true;
	return &c->floppy[i];
}

static struct vm_disk_config *add_disk(struct vm_config *c, const char *name, struct err *e)
{
	if (c->n_disks == MACHINE_MAX_DISKS) {
		err_set(e, -EINVAL, "a VM has at most %d disks", MACHINE_MAX_DISKS);
		return NULL;
	}
	c->disk[c->n_disks].name = g_strdup(name);
	return &c->disk[c->n_disks++];
}

/* A dot is in its name: no disk is called so. */
static void *find_cdrom(struct vm_config *c, const char *number, struct err *e)
{
	g_autofree char *name = g_strdup_printf("cdrom.%s", number);
	struct vm_disk_config *d;
	guint64 n;

	if (!g_ascii_string_to_unsigned(number, 10, 0, MACHINE_MAX_DISKS - 1, &n, NULL)) {
		err_set(e, -EINVAL, "there are CD drives 0 to %d, not '%.32s'",
			MACHINE_MAX_DISKS - 1, number);
		return NULL;
	}
	for (unsigned i = 0; i < c->n_disks; i++)
		if (strcmp(c->disk[i].name, name) == 0)
			return &c->disk[i];
	d = add_disk(c, name, e);
	if (d)
		d->cdrom = d->read_only = true;
	return d;
}

static void *find_disk(struct vm_config *c, const char *name, struct err *e)
{
	for (unsigned i = 0; i < c->n_disks; i++)
		if (strcmp(c->disk[i].name, name) == 0)
			return &c->disk[i];
	if (strlen(name) > VM_DISK_NAME_MAX ||
	    name[strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-_")] != '\0') {
		err_set(e, -EINVAL,
			"a disk's name is 1 to %d letters, digits, - and _, not '%.32s'",
			VM_DISK_NAME_MAX, name);
		return NULL;
	}
	return add_disk(c, name, e);
}

/* The instance's struct; made if it was not mentioned before. */
static void *find_instance(struct vm_config *c, const char *key, const char *name, struct err *e)
{
	if (g_str_has_prefix(key, "serial."))
		return find_serial(c, name, e);
	if (g_str_has_prefix(key, "floppy."))
		return find_floppy(c, name, e);
	if (g_str_has_prefix(key, "cdrom."))
		return find_cdrom(c, name, e);
	return find_disk(c, name, e);
}

enum machine_bus vm_disk_bus(const struct vm_disk_config *d)
{
	static const enum machine_bus bus[] = { MACHINE_BUS_VIRTIO, MACHINE_BUS_AHCI,
						MACHINE_BUS_IDE };

	for (unsigned i = 0; d->bus && buses[i]; i++)
		if (strcmp(d->bus, buses[i]) == 0)
			return bus[i];
	return d->cdrom ? MACHINE_BUS_AHCI : MACHINE_BUS_VIRTIO;
}

enum io_cache vm_disk_cache(const struct vm_disk_config *d)
{
	if (g_strcmp0(d->cache, "host") == 0)
		return IO_CACHE_HOST;
	return g_strcmp0(d->cache, "unsafe") == 0 ? IO_CACHE_UNSAFE : IO_CACHE_SAFE;
}

bool vm_setting_fits(const char *pattern, const char *key, char **ret_name)
{
	const char *star = strchr(pattern, '*');
	const size_t head = star ? (size_t)(star - pattern) : 0, len = strlen(key);
	size_t tail;

	*ret_name = NULL;
	if (!star)
		return strcmp(pattern, key) == 0;
	tail = strlen(star + 1);
	if (len <= head + tail || strncmp(pattern, key, head) != 0 ||
	    strcmp(star + 1, key + len - tail) != 0)
		return false;
	*ret_name = g_strndup(key + head, len - head - tail);
	return true;
}

static int unknown_key(const char *key, struct err *e)
{
	const char *keys[HV_ARRAY_LEN(vm_settings)];
	unsigned n = 0;
	const char *near;

	for (const struct setting *s = vm_settings; s->key; s++)
		keys[n++] = s->key;
	keys[n] = NULL;
	near = lodge_nearest(key, keys);
	return err_set(e, -EINVAL, "no setting '%.64s'%s%s (lodge help settings)", key,
		       near ? "; the nearest is " : "", near ? near : "");
}

int vm_config_set(struct vm_config *c, const char *arg, struct err *e)
{
	const char *eq = strchr(arg, '=');
	g_autofree char *key = eq ? g_strndup(arg, (size_t)(eq - arg)) : NULL;

	if (!key)
		return err_set(e, -EINVAL, "'%.64s' is not KEY=VALUE", arg);
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *name = NULL;
		void *obj = c;
		if (!vm_setting_fits(s->key, key, &name))
			continue;
		if (name)
			obj = find_instance(c, key, name, e);
		return obj ? set_value(s, key, eq + 1, obj, e) : -EINVAL;
	}
	return unknown_key(key, e);
}

int vm_config_default(const char *key, const char **ret_value, struct err *e)
{
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *name = NULL;
		if (!vm_setting_fits(s->key, key, &name))
			continue;
		*ret_value = s->def ? s->def : "";
		return 0;
	}
	return unknown_key(key, e);
}

bool vm_config_is_path(const char *key)
{
	for (const struct setting *s = vm_settings; s->key; s++) {
		g_autofree char *name = NULL;
		if (vm_setting_fits(s->key, key, &name))
			return s->type >= SETTING_FILE_IN;
	}
	return false;
}

void vm_config_init(struct vm_config *c)
{
	struct err e;

	memset(c, 0, sizeof(*c));
	for (const struct setting *s = vm_settings; s->key; s++) {
		int r = 0;
		if (s->def && !strchr(s->key, '*'))
			r = set_value(s, s->key, s->def, c, &e);
		g_assert(r == 0); /* a default of ours that its own row refuses */
	}
}

static bool has_drives(const struct vm_config *c)
{
	bool any = c->n_disks > 0;

	for (unsigned i = 0; i < VM_MAX_FLOPPIES; i++)
		any |= c->floppy[i].there;
	return any;
}

bool vm_config_wants_bios(const struct vm_config *c)
{
	if (c->kernel || c->state || strcmp(c->firmware, "none") == 0)
		return false;
	return strcmp(c->firmware, "bios") == 0 ||
	       (has_drives(c) && strcmp(c->engine, "null") != 0);
}

static int check_start(const struct vm_config *c, struct err *e)
{
	if (strcmp(c->firmware, "bios") == 0 && (c->kernel || c->state))
		return err_set(e, -EINVAL, "%s starts without the BIOS: leave vm.firmware=bios out",
			       c->kernel ? "boot.kernel" : "boot.state");
	if (!c->kernel && !c->state && !vm_config_wants_bios(c) && strcmp(c->engine, "null") != 0)
		return err_set(e, -EINVAL,
			       "nothing to run: give a file (boot.file), a drive (disk.NAME.file), "
			       "a kernel (boot.kernel) or a saved state (boot.state)");
	return 0;
}

int vm_config_check(const struct vm_config *c, struct err *e)
{
	for (unsigned i = 0; i < c->n_disks; i++)
		if (!c->disk[i].file && !c->disk[i].cdrom)
			return err_set(e, -EINVAL, "disk '%s' has no file: set disk.%s.file",
				       c->disk[i].name, c->disk[i].name);
	if (c->state && (c->kernel || c->initrd || c->append))
		return err_set(e, -EINVAL,
			       "a saved state brings its own kernel: leave boot.kernel, "
			       "boot.initrd and boot.append out");
	if (!c->kernel && (c->initrd || c->append))
		return err_set(e, -EINVAL, "%s needs a kernel: set boot.kernel",
			       c->initrd ? "boot.initrd" : "boot.append");
	if (c->soft_perf_map && strcmp(c->soft_tier, "translate") != 0)
		return err_set(e, -EINVAL,
			       "soft.perf-map names translated code: set soft.tier=translate");
	if (c->deterministic && (c->n_cpus != 1 || c->state || strcmp(c->engine, "kvm") == 0))
		return err_set(e, -EINVAL,
			       "a deterministic run has one CPU, no saved state and the soft "
			       "engine: set cpu.count=1, vm.engine=soft");
	if (!c->deterministic && (c->digest || c->digest_from))
		return err_set(e, -EINVAL, "%s needs debug.deterministic=yes",
			       c->digest ? "debug.digest" : "debug.digest-from");
	if (c->generation && !g_uuid_string_is_valid(c->generation))
		return err_set(e, -EINVAL, "vm.generation is a UUID, not '%s'", c->generation);
	return check_start(c, e);
}

void vm_config_generation(const struct vm_config *c, uint8_t ret_id[MACHINE_GENERATION_BYTES])
{
	/* Where a GUID's digits lie in memory: its numbers are little-endian. */
	static const uint8_t place[MACHINE_GENERATION_BYTES] = { 3, 2, 1,  0,  5,  4,  7,  6,
								 8, 9, 10, 11, 12, 13, 14, 15 };
	g_autofree char *made = c->generation || c->deterministic ? NULL : lodge_new_id();
	const char *digit = c->generation ? c->generation : made;

	memset(ret_id, 0, MACHINE_GENERATION_BYTES);
	for (unsigned i = 0; digit && i < 2 * MACHINE_GENERATION_BYTES; digit++) {
		if (*digit == '-')
			continue;
		ret_id[place[i / 2]] |= (uint8_t)(g_ascii_xdigit_value(*digit) << (i % 2 ? 0 : 4));
		i++;
	}
}

static void free_text(char **p)
{
	g_free(*p);
	*p = NULL;
}

void vm_config_finish(struct vm_config *c)
{
	for (const struct setting *s = vm_settings; s->key; s++)
		if (s->type >= SETTING_CHOICE && !strchr(s->key, '*'))
			free_text((char **)(void *)((char *)c + s->off));
	for (unsigned i = 0; i < c->n_disks; i++) {
		free_text(&c->disk[i].name);
		free_text(&c->disk[i].file);
		free_text(&c->disk[i].bus);
		free_text(&c->disk[i].format);
		free_text(&c->disk[i].cache);
	}
	for (unsigned i = 0; i < MACHINE_MAX_SERIAL; i++)
		free_text(&c->serial[i].output);
	for (unsigned i = 0; i < VM_MAX_FLOPPIES; i++) {
		free_text(&c->floppy[i].file);
		free_text(&c->floppy[i].drive);
	}
	c->n_disks = 0;
	free_text(&c->boot_first);
}
