/* See emit.h. Encodings: Intel SDM volume 2, chapter 2. */
#include "engine/soft/translate/emit.h"
#include <string.h>

void em8(struct emit *e, uint8_t x)
{
	*e->p++ = x;
}

void em32(struct emit *e, uint32_t x)
{
	memcpy(e->p, &x, 4);
	e->p += 4;
}

void em64(struct emit *e, uint64_t x)
{
	memcpy(e->p, &x, 8);
	e->p += 8;
}

void em_imm(struct emit *e, uint64_t x, unsigned size)
{
	for (unsigned k = 0; k < size; k++)
		em8(e, (uint8_t)(x >> 8 * k));
}

static void prefixes(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned index,
		     unsigned base)
{
	uint8_t rex = (uint8_t)(0x40 | (flags & OP_W ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 |
				(base & 8) >> 3);

	if (flags & OP_LOCK)
		em8(e, 0xf0);
	if (flags & OP_66)
		em8(e, 0x66);
	if (flags & OP_F3)
		em8(e, 0xf3);
	if (flags & OP_F2)
		em8(e, 0xf2);
	if (rex != 0x40 || (flags & OP_BYTE))
		em8(e, rex);
	if (flags & (OP_0F | OP_38))
		em8(e, 0x0f);
	if (flags & OP_38)
		em8(e, 0x38);
	em8(e, op);
}

static uint8_t modrm(unsigned mod, unsigned reg, unsigned rm)
{
	return (uint8_t)(mod << 6 | (reg & 7) << 3 | (rm & 7));
}

void em_rr(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned rm)
{
	prefixes(e, flags, op, reg, 0, rm);
	em8(e, modrm(3, reg, rm));
}

void em_rm(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned base, unsigned index,
	   unsigned scale, int32_t disp)
{
	bool has_base = base != H_NONE, has_index = index != H_NONE;
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : 1;

	if (mod == 1 && disp != (int8_t)disp)
		mod = 2;
	if (!has_base)
		mod = 0;
	prefixes(e, flags, op, reg, has_index ? index : 0, has_base ? base : 0);
	if (!has_base || has_index || (base & 7) == 4) {
		em8(e, modrm(mod, reg, 4));
		em8(e, modrm(scale, has_index ? index : 4, has_base ? base : 5));
	} else {
		em8(e, modrm(mod, reg, base));
	}
	if (mod == 1)
		em8(e, (uint8_t)disp);
	else if (mod == 2 || !has_base)
		em32(e, (uint32_t)disp);
}

/* [RIP + …], of an instruction that ends there. */
static void context(struct emit *e, unsigned reg, uint32_t off)
{
	em8(e, modrm(0, reg, 5));
	em32(e, (uint32_t)((intptr_t)e->ctx + off - ((intptr_t)(e->p + 4) + e->to_rx)));
}

void em_ctx(struct emit *e, unsigned flags, uint8_t op, unsigned reg, uint32_t off)
{
	prefixes(e, flags, op, reg, 0, 0);
	context(e, reg, off);
}

void em_gsx(struct emit *e, unsigned flags, uint8_t op, unsigned reg, unsigned x, uint32_t off)
{
	em8(e, 0x65);
	em_rm(e, flags, op, reg, x, H_NONE, 0, (int32_t)off);
}

void em_load(struct emit *e, unsigned reg, uint32_t off)
{
	em_ctx(e, OP_W, 0x8b, reg, off);
}

void em_store(struct emit *e, unsigned reg, uint32_t off)
{
	em_ctx(e, OP_W, 0x89, reg, off);
}

void em_mov_imm(struct emit *e, unsigned reg, uint64_t x)
{
	if (x <= UINT32_MAX) {
		prefixes(e, 0, (uint8_t)(0xb8 | (reg & 7)), 0, 0, reg);
		em32(e, (uint32_t)x);
	} else if ((int64_t)x == (int32_t)x) {
		em_rr(e, OP_W, 0xc7, 0, reg);
		em32(e, (uint32_t)x);
	} else {
		prefixes(e, OP_W, (uint8_t)(0xb8 | (reg & 7)), 0, 0, reg);
		em64(e, x);
	}
}

/* VEX prefix of three bytes; map 2 is 0F 38, 3 is 0F 3A; pp 2 is F3, 3 is F2. 64-bit. */
static void vex(struct emit *e, unsigned map, unsigned pp, unsigned reg, unsigned vvvv, unsigned rm)
{
	em8(e, 0xc4);
	em8(e, (uint8_t)((reg & 8 ? 0 : 0x80) | 0x40 | (rm & 8 ? 0 : 0x20) | map));
	em8(e, (uint8_t)(0x80 | (~vvvv & 15) << 3 | pp));
}

void em_rorx(struct emit *e, unsigned dst, unsigned src, uint8_t n)
{
	vex(e, 3, 3, dst, 0, src);
	em8(e, 0xf0);
	em8(e, modrm(3, dst, src));
	em8(e, n);
}

static void by_mask(struct emit *e, unsigned pp, unsigned reg, uint32_t off)
{
	vex(e, 2, pp, reg, reg, 0);
	em8(e, 0xf5);
	context(e, reg, off);
}

void em_pdep(struct emit *e, unsigned reg, uint32_t mask_off)
{
	by_mask(e, 3, reg, mask_off);
}

void em_pext(struct emit *e, unsigned reg, uint32_t mask_off)
{
	by_mask(e, 2, reg, mask_off);
}

static void put_distance(uint8_t *at, const uint8_t *to)
{
	int32_t d = to == NULL ? 0 : (int32_t)(to - (at + 4));

	memcpy(at, &d, 4);
}

uint8_t *em_jump(struct emit *e, uint8_t op, const uint8_t *to)
{
	em8(e, op);
	put_distance(e->p, to);
	e->p += 4;
	return e->p - 4;
}

uint8_t *em_jcc(struct emit *e, unsigned cc)
{
	em8(e, 0x0f);
	return em_jump(e, (uint8_t)(0x80 | cc), NULL);
}

void em_patch(struct emit *e, uint8_t *at)
{
	put_distance(at, e->p);
}

void em_patch_to(uint8_t *at, const uint8_t *to)
{
	put_distance(at, to);
}

uint8_t *em_unless_rcx_zero(struct emit *e)
{
	em8(e, 0xe3);
	em8(e, 5);
	return em_jump(e, 0xe9, NULL);
}
