/* A page of RAM with a fault of its own, see bad_page.h. */
#include "devmodel/machine/bad_page.h"
#include <errno.h>
#include <string.h>
#include "base/util.h"

static uint64_t bad_read(void *ctx, uint64_t off, unsigned size)
{
	const struct bad_page *b = ctx;
	uint64_t v = 0;

	memcpy(&v, b->host + off, size);
	if (b->byte >= off && b->byte < off + size)
		v |= (uint64_t)b->ones << (b->byte - off) * 8;
	return v;
}

static void bad_write(void *ctx, uint64_t off, unsigned size, uint64_t v)
{
	const struct bad_page *b = ctx;

	memcpy(b->host + off, &v, size);
	hv_ram_written(b->ram, b->ram_off + off, size);
}

static const struct hv_io_ops bad_ops = { bad_read, bad_write };

int bad_page_place(struct bad_page *b, struct hv_mem *mem, struct hv_domain *domain, uint64_t gpa,
		   uint8_t ones, struct err *e)
{
	const uint64_t page = gpa & ~(uint64_t)(HV_PAGE_SIZE - 1);
	struct hv_mem_slice s;

	hv_mem_find(mem, page, &s);
	if (s.kind != HV_MAP_RAM)
		return err_set(e, -EINVAL, "debug.stuck-address: there is no memory at %#llx",
			       (unsigned long long)gpa);
	*b = (struct bad_page){ .ram = s.ram,
				.ram_off = s.ram_off + (page - s.gpa),
				.host = s.host + (page - s.gpa),
				.byte = (uint32_t)(gpa - page),
				.ones = ones };
	b->range = (struct hv_map_range){ .name = "bad-page",
					  .kind = HV_MAP_IO,
					  .prio = HV_PRIO_RAM + 1,
					  .gpa = page,
					  .bytes = HV_PAGE_SIZE,
					  .io = &bad_ops,
					  .io_ctx = b,
					  .domain = domain };
	hv_mem_map(mem, &b->range);
	return 0;
}
