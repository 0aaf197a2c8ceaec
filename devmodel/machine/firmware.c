/* The firmware: the file that becomes the machine's ROM, see memmap.h for where it is seen. */
#include <errno.h>
#include <sys/stat.h>
#include "devmodel/machine/machine_int.h"
#include "state/container.h"

#define BLOCK "firmware"
#define MIN_BYTES 0x10000ull

static int check_size(uint64_t bytes, const char *what, struct err *e)
{
	if (bytes < MIN_BYTES || bytes > MEMMAP_ROM_MAX || bytes % HV_PAGE_SIZE != 0)
		return err_set(e, -EINVAL,
			       "%s has %llu bytes: firmware has 64 KiB to 16 MiB, in "
			       "whole pages",
			       what, (unsigned long long)bytes);
	return 0;
}

static int load_file(struct machine *m, struct hv_ram **ret_rom, struct err *e)
{
	const struct machine_config *c = &m->config;
	struct stat st;
	int r;

	if (fstat(c->firmware_fd, &st) < 0)
		return err_set(e, -errno, "cannot read '%.150s': %s", c->firmware, strerror(errno));
	r = check_size((uint64_t)st.st_size, c->firmware, e);
	if (r == 0)
		r = hv_ram_create(m->mem, BLOCK, HV_RAM_ANON, (uint64_t)st.st_size, -1, 0, ret_rom,
				  e);
	if (r == 0)
		r = boot_read_all(c->firmware_fd, c->firmware, hv_ram_host(*ret_rom),
				  (uint64_t)st.st_size, e);
	return r;
}

int firmware_load(struct machine *m, const struct state_file *f, struct hv_ram **ret_rom,
		  struct err *e)
{
	*ret_rom = NULL;
	if (f == NULL)
		return m->config.firmware != NULL ? load_file(m, ret_rom, e) : 0;
	const struct state_ram *saved = state_file_ram(f, BLOCK);
	if (saved == NULL)
		return 0;
	const int r = check_size(saved->bytes, "the saved firmware", e);
	return r == 0 ? saved_ram(f, m->config.state_fd, m->mem, BLOCK, 0, ret_rom, e) : r;
}
