/*
 * Instructions whose memory operand is a set of elements: gathers, masked moves, byte masks. Only
 * the elements that the mask names are accessed, and only they can fault.
 */
#include "engine/soft/decode.h"
#include "engine/soft/fpu.h"
#include "engine/soft/key.h"

static uint8_t *lane(struct fpu_image *m, unsigned reg, unsigned byte)
{
	return byte < 16 ? &m->xmm[reg][byte] : &m->ymmh[reg][byte - 16];
}

static uint8_t vector_id(const struct decoded *d, ZydisOperandEncoding enc)
{
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER && d->op[k].encoding == enc)
			return (uint8_t)ZydisRegisterGetId(d->op[k].reg.value);
	return 0;
}

/* aux, src: the stub's instruction and its length, for when there was no room for the stub. */
static void set_stub(const struct decoded *d, struct insn *i, const struct stub_insn *n)
{
	i->priv = soft_stub_get(d->v->vm, n);
	i->aux = n->name;
	i->src = n->len;
}

static stub_fn get_stub(struct soft_vcpu *v, const struct insn *i)
{
	struct stub_insn n = { .name = i->aux, .len = (uint8_t)i->src };

	return (stub_fn)(uintptr_t)(i->priv != NULL ? i->priv : soft_stub_scratch(v, &n));
}

/* One element's address: limits are checked, alignment is not. */
static uint64_t element_ea(struct soft_vcpu *v, const struct insn *i, unsigned at, bool write)
{
	struct insn one = *i;

	one.disp = (int64_t)((uint64_t)i->disp + at);
	if (!(i->flags & INSN_CHECK) || v->code64)
		one.flags = 0;
	return soft_ea(v, &one, 1, write);
}

/* ---- gathers: dst, cc: destination and index register; src: mask; imm: number of elements;
 *      mem_size, op_size: bytes of an element and of an index ---- */

static int64_t gather_index(struct fpu_image *m, const struct insn *i, unsigned e)
{
	int64_t x = 0;
	int32_t y;

	memcpy(&x, lane(m, i->cc, e * i->op_size), 8);
	if (i->op_size == 8)
		return x;
	y = (int32_t)x;
	return y;
}

static uint64_t gather_load(struct soft_vcpu *v, const struct insn *i, int64_t index)
{
	struct insn one = *i;
	uint64_t linear;

	one.disp = (int64_t)((uint64_t)i->disp + ((uint64_t)index << i->scale));
	linear = element_ea(v, &one, 0, false);
	return i->mem_size == 8 ? soft_ld64(v, linear) : soft_ld32(v, linear);
}

static void gather_put(struct fpu_image *m, unsigned reg, unsigned byte, unsigned size, uint64_t x)
{
	if (size == 8) {
		memcpy(lane(m, reg, byte), &x, 8);
	} else {
		uint32_t y = (uint32_t)x;

		memcpy(lane(m, reg, byte), &y, 4);
	}
}

/* Elements done when one faults stay done, and their mask elements are clear. The other mask
 * elements are as they were: the manuals would let them be all ones or zeros, too. No alignment
 * checks. */
static void op_gather(struct soft_vcpu *v, const struct insn *i)
{
	struct fpu_image *m = soft_fpu_image(v);
	unsigned size = i->mem_size, used = size * (unsigned)i->imm;

	m->xstate_bv |= FPU_SSE | FPU_AVX;
	for (unsigned e = 0; e < i->imm; e++) {
		if (*lane(m, i->src, e * size + size - 1) & 0x80)
			gather_put(m, i->dst, e * size, size,
				   gather_load(v, i, gather_index(m, i, e)));
		gather_put(m, i->src, e * size, size, 0);
	}
	for (unsigned b = used; b < 32; b++)
		*lane(m, i->src, b) = *lane(m, i->dst, b) = 0;
}

bool simd_select_gather(const struct decoded *d, struct insn *i)
{
	unsigned vector = d->z.raw.vex.L ? 32 : 16;
	ZydisMnemonic mn = d->z.mnemonic;
	bool wide_index = mn == ZYDIS_MNEMONIC_VGATHERQPD || mn == ZYDIS_MNEMONIC_VGATHERQPS ||
			  mn == ZYDIS_MNEMONIC_VPGATHERQD || mn == ZYDIS_MNEMONIC_VPGATHERQQ;

	i->dst = vector_id(d, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	i->src = vector_id(d, ZYDIS_OPERAND_ENCODING_NDSNDD);
	i->mem_size = d->z.raw.vex.W ? 8 : 4;
	i->op_size = wide_index ? 8 : 4;
	i->imm = vector / (i->mem_size > i->op_size ? i->mem_size : i->op_size);
	i->index = SOFT_ZERO;
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			i->cc = (uint8_t)ZydisRegisterGetId(d->op[k].mem.index);
	if (i->dst == i->src || i->dst == i->cc || i->src == i->cc)
		return false;
	i->fn = op_gather;
	return true;
}

/* ---- masked moves: dst: mask register; op_size: bytes of an element; mem_size: of all ---- */

static bool element_on(struct fpu_image *m, const struct insn *i, unsigned at)
{
	return *lane(m, i->dst, at + i->op_size - 1u) & 0x80;
}

/* In 64-bit code the operand goes on where a 32-bit address is at its end. */
static uint64_t masked_ea(struct soft_vcpu *v, const struct insn *i, unsigned at, bool write)
{
	return v->code64 ? element_ea(v, i, 0, write) + at : element_ea(v, i, at, write);
}

/* The host's address of the whole operand; NULL: element by element. */
static void *whole_operand(struct soft_vcpu *v, const struct insn *i, bool write)
{
	const struct soft_tlb_entry *tlb = write ? v->tlb->write : v->tlb->read;

	if ((i->flags & INSN_CHECK) && !v->code64)
		return NULL;
	return soft_tlb_hit(tlb, element_ea(v, i, 0, write), i->mem_size);
}

static void op_maskload(struct soft_vcpu *v, const struct insn *i)
{
	void *p = whole_operand(v, i, false);
	struct fpu_image *m;

	if (HV_LIKELY(p != NULL)) {
		simd_run_stub(v, get_stub(v, i), p, NULL);
		return;
	}
	m = soft_fpu_image(v);
	memset(v->fpu->bounce, 0, 32);
	for (unsigned at = 0; at < i->mem_size; at += i->op_size)
		if (element_on(m, i, at))
			soft_read(v, masked_ea(v, i, at, false), v->fpu->bounce + at, i->op_size);
	simd_run_stub(v, get_stub(v, i), v->fpu->bounce, NULL);
}

static void op_maskstore(struct soft_vcpu *v, const struct insn *i)
{
	void *p = whole_operand(v, i, true);
	struct fpu_image *m;

	if (HV_LIKELY(p != NULL)) {
		simd_run_stub(v, get_stub(v, i), p, NULL);
		return;
	}
	m = soft_fpu_image(v);
	for (unsigned at = 0; at < i->mem_size; at += i->op_size)
		if (element_on(m, i, at))
			soft_probe(v, masked_ea(v, i, at, true), i->op_size, true);
	simd_run_stub(v, get_stub(v, i), v->fpu->bounce, NULL);
	soft_fpu_park(v);
	for (unsigned at = 0; at < i->mem_size; at += i->op_size)
		if (element_on(m, i, at))
			soft_write(v, masked_ea(v, i, at, true), v->fpu->bounce + at, i->op_size);
}

bool simd_select_maskmov(const struct decoded *d, struct insn *i)
{
	struct stub_insn n;

	if (!simd_encode(d, &n))
		return false;
	set_stub(d, i, &n);
	i->dst = vector_id(d, ZYDIS_OPERAND_ENCODING_NDSNDD);
	i->mem_size = d->z.raw.vex.L ? 32 : 16;
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPD:
		i->op_size = 8;
		break;
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		i->op_size = 8;
		break;
	default:
		i->op_size = 4;
	}
	i->fn = d->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? op_maskstore : op_maskload;
	return true;
}

/* ---- MASKMOVQ, MASKMOVDQU: bytes at [RDI], which the stub takes as it is ---- */

/* Which bytes it writes shows by running it over two different backgrounds. */
static uint32_t written_bytes(struct soft_vcpu *v, const struct insn *i, uint8_t *ret_data)
{
	uint32_t mask = 0;
	uint8_t *b = v->fpu->bounce;

	memset(b, 0x55, 16);
	simd_run_stub(v, get_stub(v, i), b, NULL);
	memset(b + 16, 0xaa, 16);
	simd_run_stub(v, get_stub(v, i), b + 16, NULL);
	for (unsigned k = 0; k < i->mem_size; k++) {
		ret_data[k] = b[k];
		mask |= (uint32_t)(b[k] == b[k + 16]) << k;
	}
	return mask;
}

/* The whole operand must be writable, whatever the mask: a choice that the manuals leave, as is
 * that MASKMOVQ makes the x87's registers MMX ones before it faults. */
static void op_bytemask(struct soft_vcpu *v, const struct insn *i)
{
	uint8_t data[16];
	uint32_t mask;
	uint64_t linear;
	void *p;

	if (i->flags & INSN_CHECK)
		written_bytes(v, i, data);
	linear = soft_ea(v, i, 8, true); /* as two words of 8, for limits and alignment */
	if ((i->flags & INSN_CHECK) && i->mem_size == 16)
		(void)element_ea(v, i, 15, true);
	p = soft_tlb_hit(v->tlb->write, linear, i->mem_size);
	if (HV_LIKELY(p != NULL)) {
		simd_run_stub(v, get_stub(v, i), p, NULL);
		return;
	}
	mask = written_bytes(v, i, data);
	soft_fpu_park(v);
	soft_probe(v, linear, i->mem_size, true);
	for (unsigned k = 0; k < i->mem_size; k++)
		if (mask >> k & 1)
			soft_st8(v, element_ea(v, i, k, true), data[k]);
}

bool simd_select_bytemask(const struct decoded *d, struct insn *i)
{
	struct stub_insn n;

	if (!simd_encode(d, &n))
		return false;
	set_stub(d, i, &n);
	for (unsigned k = 0; k < d->z.operand_count; k++)
		if (d->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY)
			i->seg = decode_seg(d->op[k].mem.segment);
	i->flags |= INSN_MEM;
	if ((d->v->key & KEY_ALIGN) || (!d->v->code64 && !(d->v->flat >> i->seg & 1)))
		i->flags |= INSN_CHECK;
	i->base = SOFT_REG(X86_RDI);
	i->index = SOFT_ZERO;
	i->scale = 0;
	i->disp = 0;
	i->addr_size = d->z.address_width / 8;
	i->op_size = 1;
	i->mem_size = d->z.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ ? 8 : 16;
	i->fn = op_bytemask;
	return true;
}
