/* Scatter lists of AHCI and bus-master IDE, see sg.h. */
#include "devmodel/storage/ctrl/ata/sg.h"
#include "base/util.h"

#define IDE_TABLE_ENTRIES 8192u

void ata_sg_ahci(struct ata_sg *sg, uint64_t table, uint32_t entries)
{
	*sg = (struct ata_sg){ .table = table, .entries = entries };
}

void ata_sg_ide(struct ata_sg *sg, uint32_t table)
{
	*sg = (struct ata_sg){ .table = table & ~3u, .entries = IDE_TABLE_ENTRIES, .legacy = true };
}

static void begin_ide(struct ata_sg *sg, const uint32_t e[2])
{
	sg->gpa = e[0] & ~1u;
	sg->left = e[1] & 0xfffe;
	if (sg->left == 0)
		sg->left = 0x10000;
	sg->entries = e[1] >> 31 ? 0 : sg->entries - 1;
	sg->table += 8;
}

static void begin_ahci(struct ata_sg *sg, const uint32_t e[4])
{
	sg->gpa = (uint64_t)e[1] << 32 | (e[0] & ~1u);
	sg->left = ((e[3] & 0x3fffff) | 1) + 1;
	sg->notify |= e[3] >> 31;
	sg->entries--;
	sg->table += 16;
}

bool ata_sg_more(struct dev *d, struct ata_sg *sg)
{
	uint32_t e[4];

	if (sg->left > 0)
		return true;
	if (sg->entries == 0 || dev_dma_read(d, sg->table, e, sg->legacy ? 8 : 16) < 0)
		return false;
	if (sg->legacy)
		begin_ide(sg, e);
	else
		begin_ahci(sg, e);
	return true;
}

static void take(struct ata_sg *sg, uint32_t n)
{
	sg->gpa += n;
	sg->left -= n;
}

size_t ata_sg_copy(struct dev *d, struct ata_sg *sg, void *buf, size_t n, bool to_guest)
{
	uint8_t *p = buf;
	size_t done = 0;

	while (done < n && ata_sg_more(d, sg)) {
		const uint32_t part = (uint32_t)hv_min_u64(sg->left, n - done);
		if ((to_guest ? dev_dma_write(d, sg->gpa, p + done, part)
			      : dev_dma_read(d, sg->gpa, p + done, part)) < 0)
			break;
		take(sg, part);
		done += part;
	}
	return done;
}

uint64_t ata_sg_iov(struct dev *d, struct ata_sg *sg, struct blk_req *r, uint64_t *gpa,
		    uint64_t max, uint32_t block, bool to_guest)
{
	const struct ata_sg was = *sg;
	uint64_t total = 0, over;

	r->n_iov = 0;
	while (total < max && r->n_iov < BLK_MAX_IOV && ata_sg_more(d, sg)) {
		const uint32_t part = (uint32_t)hv_min_u64(sg->left, max - total);
		void *p = dev_dma_host(d, sg->gpa, part, to_guest);
		if (p == NULL)
			break;
		gpa[r->n_iov] = sg->gpa;
		r->iov[r->n_iov++] = (struct iovec){ p, part };
		take(sg, part);
		total += part;
	}
	over = total % block;
	if (over == 0)
		return total;
	/* Give back what is no whole block; in many small pieces it goes by copy. */
	const unsigned last = r->n_iov - 1;
	if (total == over || over >= r->iov[last].iov_len ||
	    sg->gpa != gpa[last] + r->iov[last].iov_len) {
		*sg = was;
		return 0;
	}
	r->iov[last].iov_len -= over;
	sg->gpa -= over;
	sg->left += (uint32_t)over;
	return total - over;
}
