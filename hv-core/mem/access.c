/* How devices, loaders and engines' slow paths read and write guest memory. */
#include "mem/mem_int.h"

/* The bytes of [gpa, gpa + len) that lie in the piece; gpa does. */
static uint64_t part(const struct mem_piece *p, uint64_t gpa, uint64_t len)
{
	return p->last - gpa < len - 1 ? p->last - gpa + 1 : len;
}

static bool readable(const struct mem_piece *p)
{
	return p->kind == HV_MAP_RAM || p->kind == HV_MAP_ROM;
}

void hv_ram_written(struct hv_ram *r, uint64_t ram_off, uint64_t len)
{
	hv_ram_dirty_mark(r, ram_off, len);
	for (struct hv_mem_listener *l = r->mem->listeners; l != NULL; l = l->next)
		if (l->written != NULL)
			l->written(l->ctx, r, ram_off, len);
}

static void piece_written(const struct mem_piece *p, uint64_t gpa, uint64_t len)
{
	hv_ram_written((struct hv_ram *)(uintptr_t)p->ram, p->ram_off + (gpa - p->gpa), len);
}

/* One piece as a rule; if more, first all are looked at, so that nothing is half done. */
static int check_all(struct hv_mem *m, uint64_t gpa, size_t len, bool write)
{
	struct mem_piece p;

	if (len - 1 > UINT64_MAX - gpa)
		return -EFAULT;
	for (uint64_t n; len > 0; gpa += n, len -= n) {
		mem_lookup(m, gpa, &p);
		if (!readable(&p) || (write && p.kind != HV_MAP_RAM))
			return -EFAULT;
		n = part(&p, gpa, len);
	}
	return 0;
}

int hv_mem_read(struct hv_mem *m, uint64_t gpa, void *buf, size_t len)
{
	struct mem_piece p;
	uint8_t *to = buf;

	for (bool checked = false; len > 0;) {
		mem_lookup(m, gpa, &p);
		if (!readable(&p))
			return -EFAULT;
		uint64_t n = part(&p, gpa, len);
		if (n < len && !checked && check_all(m, gpa, len, false) < 0)
			return -EFAULT;
		checked = true;
		memcpy(to, mem_piece_host(&p, gpa), n);
		gpa += n;
		to += n;
		len -= n;
	}
	return 0;
}

int hv_mem_write(struct hv_mem *m, uint64_t gpa, const void *buf, size_t len)
{
	struct mem_piece p;
	const uint8_t *from = buf;

	for (bool checked = false; len > 0;) {
		mem_lookup(m, gpa, &p);
		if (p.kind != HV_MAP_RAM)
			return -EFAULT;
		uint64_t n = part(&p, gpa, len);
		if (n < len && !checked && check_all(m, gpa, len, true) < 0)
			return -EFAULT;
		checked = true;
		memcpy(mem_piece_host(&p, gpa), from, n);
		piece_written(&p, gpa, n);
		gpa += n;
		from += n;
		len -= n;
	}
	return 0;
}

void *hv_mem_host(struct hv_mem *m, uint64_t gpa, size_t len, bool write)
{
	struct mem_piece p;

	mem_lookup(m, gpa, &p);
	if (!readable(&p) || (write && p.kind != HV_MAP_RAM) || len == 0 ||
	    part(&p, gpa, len) < len)
		return NULL;
	return mem_piece_host(&p, gpa);
}

void hv_mem_written(struct hv_mem *m, uint64_t gpa, uint64_t len)
{
	struct mem_piece p;

	for (uint64_t n; len > 0; gpa += n, len -= n) {
		mem_lookup(m, gpa, &p);
		n = part(&p, gpa, len);
		if (p.kind == HV_MAP_RAM)
			piece_written(&p, gpa, n);
		if (n == len || gpa + n == 0)
			break;
	}
}

/* ---- as the CPU does it ---- */

static uint64_t ones(unsigned size)
{
	return UINT64_MAX >> (64 - size * 8);
}

/* Constant sizes, so that each is one host instruction: other vCPUs must not see halves. */
static uint64_t load_ram(const uint8_t *host, unsigned size)
{
	uint64_t v = 0;

	switch (size) {
	case 1:
		return *host;
	case 2:
		memcpy(&v, host, 2);
		return v;
	case 4:
		memcpy(&v, host, 4);
		return v;
	case 8:
		memcpy(&v, host, 8);
		return v;
	default:
		memcpy(&v, host, size);
		return v;
	}
}

static void store_ram(uint8_t *host, unsigned size, uint64_t v)
{
	switch (size) {
	case 1:
		*host = (uint8_t)v;
		break;
	case 2:
		memcpy(host, &v, 2);
		break;
	case 4:
		memcpy(host, &v, 4);
		break;
	case 8:
		memcpy(host, &v, 8);
		break;
	default:
		memcpy(host, &v, size);
	}
}

static uint64_t io_read(const struct mem_piece *p, uint64_t gpa, unsigned size)
{
	const struct hv_map_range *r = (const struct hv_map_range *)(uintptr_t)p->r;

	if (r->domain != NULL)
		hv_domain_lock(r->domain);
	uint64_t v = r->io->read(r->io_ctx, p->r_off + (gpa - p->gpa), size);
	if (r->domain != NULL)
		hv_domain_unlock(r->domain);
	return v & ones(size);
}

static void io_write(const struct mem_piece *p, uint64_t gpa, unsigned size, uint64_t v)
{
	const struct hv_map_range *r = (const struct hv_map_range *)(uintptr_t)p->r;

	if (r->domain != NULL)
		hv_domain_lock(r->domain);
	r->io->write(r->io_ctx, p->r_off + (gpa - p->gpa), size, v & ones(size));
	if (r->domain != NULL)
		hv_domain_unlock(r->domain);
}

static uint64_t piece_read(const struct mem_piece *p, uint64_t gpa, unsigned size)
{
	if (p->kind == HV_MAP_IO)
		return io_read(p, gpa, size);
	if (readable(p))
		return load_ram(mem_piece_host(p, gpa), size);
	return ones(size);
}

static void piece_write(const struct mem_piece *p, uint64_t gpa, unsigned size, uint64_t v)
{
	const struct hv_map_range *r = (const struct hv_map_range *)(uintptr_t)p->r;

	if (p->kind == HV_MAP_RAM) {
		store_ram(mem_piece_host(p, gpa), size, v);
		piece_written(p, gpa, size);
	} else if (p->kind == HV_MAP_IO || (p->kind == HV_MAP_ROM && r->io != NULL)) {
		io_write(p, gpa, size, v);
	}
}

uint64_t hv_mem_io_read(struct hv_mem *m, uint64_t gpa, unsigned size)
{
	struct mem_piece p;
	uint64_t v = 0;

	for (unsigned done = 0, n; done < size; done += n, gpa += n) {
		mem_lookup(m, gpa, &p);
		n = (unsigned)part(&p, gpa, size - done);
		v |= piece_read(&p, gpa, n) << (done * 8);
	}
	return v;
}

void hv_mem_io_write(struct hv_mem *m, uint64_t gpa, unsigned size, uint64_t v)
{
	struct mem_piece p;

	for (unsigned done = 0, n; done < size; done += n, gpa += n) {
		mem_lookup(m, gpa, &p);
		n = (unsigned)part(&p, gpa, size - done);
		piece_write(&p, gpa, n, v >> (done * 8));
	}
}
